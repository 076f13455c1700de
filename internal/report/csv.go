package report

import (
	"encoding/csv"
	"io"
	"strconv"
	"time"

	"keywave/internal/harmless"
)

// WriteCSV writes one row for each zone and host (RFC 4180, with a header): the
// zones and hosts of the report, not its log or settings. A cell that a
// spreadsheet would take for a formula begins with an apostrophe.
func (r Report) WriteCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	titles := []string{
		"campaign", "wave", "page", "zone", "name", "outcome", "why", "from", "to", "request_id", "since", "ended_at",
		"exposure_ms", "host", "location", "acknowledged_ms", "missing", "retired", "account", "former_until",
	}
	_ = out.Write(titles)
	for _, z := range r.Zones {
		for _, h := range z.Hosts {
			acknowledged, missing, retired := "", "", ""
			if h.Ms != nil {
				acknowledged, missing = strconv.FormatInt(*h.Ms, 10), "no"
			}
			if h.Retired {
				retired = "yes"
			}
			for _, name := range z.Missing {
				if name == h.Host {
					missing = "yes"
				}
			}
			_ = out.Write(plain(
				r.Campaign, strconv.Itoa(z.Wave), strconv.Itoa(z.Page), string(z.ID), z.Name, string(z.Outcome), z.Why, string(z.From), string(z.To),
				z.RequestID, when(z.Since), when(z.EndedAt), strconv.FormatInt(z.ExposureMs, 10), string(h.Host), string(h.Location), acknowledged, missing, retired,
				string(z.Account), when(z.FormerUntil),
			))
		}
	}
	out.Flush()
	return out.Error()
}

func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339Nano)
}

// plain makes text of what a spreadsheet would calculate, and of what cannot be
// seen.
func plain(cells ...string) []string {
	for i, c := range cells {
		cells[i] = harmless.CSV(c)
	}
	return cells
}
