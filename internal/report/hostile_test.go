package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"keywave/internal/plan"
	"keywave/internal/proving/hostile"
	"keywave/internal/rotation"
	"keywave/workflows"
)

// saying is a report in which every word of others is w.
func saying(t *testing.T, w string) Report {
	t.Helper()
	c := newCampaign(t, 3, func(int) string { return w })
	c.plan.Findings, c.plan.Found = []plan.Finding{{Zone: rotation.ZoneID(w), Host: rotation.HostName(w), Text: w}}, 1
	c.set(1, func(rec *rotation.Record) {
		*rec = rotation.Record{Zone: rec.Zone, Outcome: rotation.Unchanged, Why: w, RequestID: w}
	})
	c.records[2].Why, c.records[2].RequestID = w, w
	c.status.Campaign, c.status.Emergency, c.status.Reason = w, w, w
	c.status.Next = "keywave campaign resume " + w
	c.plan.Undoes = w
	c.status.Drift = &workflows.AcceptedDrift{Zones: 1, Read: 1, Reason: w, Named: []plan.Difference{{Zone: rotation.ZoneID(w), Text: w}}}
	c.status.Log = append(c.status.Log, workflows.Entry{At: began, What: w, By: w, Reason: w})
	c.status.SetAside = []workflows.Attention{{Host: rotation.HostName(w), Why: w}}
	return c.build(t)
}

// In no form of a report does a word of others act, whoever said it: a
// campaign's reason, a host, EdgeOne, a person.
func TestReportsStandHostileWords(t *testing.T) {
	calm := saying(t, "calm")
	forms := map[string]func(Report, *bytes.Buffer) error{
		"html": func(r Report, b *bytes.Buffer) error { return r.WriteHTML(b) },
		"json": func(r Report, b *bytes.Buffer) error { return r.WriteJSON(b) },
		"csv":  func(r Report, b *bytes.Buffer) error { return r.WriteCSV(b) },
		"md":   func(r Report, b *bytes.Buffer) error { return r.WriteMarkdown(b) },
	}
	for name, write := range forms {
		var quiet bytes.Buffer
		if err := write(calm, &quiet); err != nil {
			t.Fatal(err)
		}
		for _, w := range hostile.Words() {
			var b bytes.Buffer
			if err := write(saying(t, w.Text), &b); err != nil {
				t.Fatal(err)
			}
			if bad := hostile.Seen(strings.ReplaceAll(b.String(), "\n", "")); bad != "" {
				t.Errorf("%s of what hopes for %s: %s", name, w.Hope, bad)
			}
			if got, want := lines(b.String()), lines(quiet.String()); got != want && name != "html" { // a line break is a blank there
				t.Errorf("%s of what hopes for %s has %d lines, want %d", name, w.Hope, got, want)
			}
			judge(t, name, w.Hope, b.String(), quiet.String())
		}
	}
}

func lines(s string) int { return strings.Count(s, "\n") }

func judge(t *testing.T, form, hope, got, quiet string) {
	t.Helper()
	switch form {
	case "html":
		if elements(got) != elements(quiet) {
			t.Errorf("what hopes for %s changes the page: %s", hope, elements(got))
		}
	case "json":
		if !json.Valid([]byte(got)) {
			t.Errorf("what hopes for %s: no JSON", hope)
		}
	case "csv":
		rows, err := csv.NewReader(strings.NewReader(got)).ReadAll()
		if err != nil {
			t.Error(err)
		}
		for _, row := range rows {
			for _, cell := range row {
				if regexp.MustCompile(`^[=+@＝＋－＠-]`).MatchString(cell) {
					t.Errorf("what hopes for %s: the cell %q", hope, cell)
				}
			}
		}
	case "md":
		if err := rectangular(got); err != nil || strings.ContainsAny(got, "<>") {
			t.Errorf("what hopes for %s: %v\n%s", hope, err, got)
		}
	}
}

// elements are the tags of a page, without the JSON that it holds.
func elements(page string) string {
	page = regexp.MustCompile(`(?s)id="report">.*?</script>`).ReplaceAllString(page, "")
	page = regexp.MustCompile(` (aria-label|content)="[^"]*"`).ReplaceAllString(page, "")
	return strings.Join(regexp.MustCompile(`<[^>]*>`).FindAllString(page, -1), "")
}
