package workflows

import (
	"go.temporal.io/sdk/workflow"

	"keywave/internal/plan"
)

// AuditIn asks for a comparison of one page's live keys with what hosts hold.
type AuditIn struct {
	Page plan.Page `json:"page"`
}

// AuditOut is what was found; nothing was changed.
type AuditOut struct {
	Zones int `json:"zones"`
	// Pairs are those of zone and host that were asked for, Compared those of which
	// both sides were read.
	Pairs     int `json:"pairs"`
	Compared  int `json:"compared"`
	Describes int `json:"describes"`
	Found     int `json:"found"`
	// Differences are those of the Found in which a host holds another key than
	// EdgeOne, or none; Formats are those in which its file is in another format than
	// the fleet file says; Staged are those in which a staged key lies on it. The others,
	// too, say what could not be compared.
	Differences int            `json:"differences"`
	Formats     int            `json:"formats,omitempty"`
	Staged      int            `json:"staged,omitempty"`
	Findings    []plan.Finding `json:"findings,omitempty"`
}

// Plus adds two pages.
func (a AuditOut) Plus(b AuditOut) AuditOut {
	findings, less := plan.Together(append(a.Findings, b.Findings...))
	return AuditOut{
		a.Zones + b.Zones, a.Pairs + b.Pairs, a.Compared + b.Compared, a.Describes + b.Describes,
		a.Found + b.Found - less, a.Differences + b.Differences, a.Formats + b.Formats, a.Staged + b.Staged, findings,
	}
}

// maxAuditFindings keeps a result far below Temporal's 2 MB.
const maxAuditFindings = 2000

// Audit reads the live key of every zone of a page, asks every host what it
// holds, and names each difference. It writes nowhere.
func Audit(ctx workflow.Context, in AuditIn) (AuditOut, error) {
	show(ctx, mark("Compares the live keys of %d zones with what %d hosts hold. Changes nothing.", len(in.Page.Zones), len(in.Page.Hosts)))
	report := PagePlanned{}
	if err := readBaselines(ctx, &in.Page, &report); err != nil {
		return AuditOut{}, err
	}
	surveyHosts(ctx, &in.Page, &report, true)
	out := AuditOut{Zones: len(in.Page.Zones), Pairs: in.Page.Pairs(), Compared: report.count(in.Page), Describes: report.Describes, Found: len(report.Findings), Findings: report.Findings}
	for _, f := range report.Findings {
		switch {
		case f.Staged:
			out.Staged++
		case f.Format:
			out.Formats++
			if !report.unread[f.Zone] {
				out.Compared--
			}
		case f.Zone != "" && f.Host != "":
			out.Differences++
		}
	}
	out.Findings = out.Findings[:min(len(out.Findings), maxAuditFindings)]
	return out, nil
}
