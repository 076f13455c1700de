package workflows

import (
	"fmt"

	"go.temporal.io/sdk/workflow"

	"keywave/activities"
	"keywave/internal/plan"
	"keywave/internal/rotation"
)

// DiscoverIn asks for a part of the zones that EdgeOne has for an account.
type DiscoverIn struct {
	Account rotation.Account `json:"account"`
	activities.DiscoverIn
}

// Discover lists a part of an account's zones, for whoever reads a fleet file
// that leaves them to EdgeOne. It changes nothing.
func Discover(ctx workflow.Context, in DiscoverIn) (activities.DiscoverOut, error) {
	show(ctx, mark("Lists the zones of account **%s** from number %d on. Changes nothing.", in.Account, in.From+1))
	out, err := discoverAct().do(ctx, unhurriedOptions(in.Account, fmt.Sprintf("zones from number %d on", in.From+1)), in.DiscoverIn)
	return out, untaken(in.Account, "ZonesUnlisted", err)
}

// RereadIn asks whether live keys are still those of a plan.
type RereadIn struct {
	// Page has the zones with their planned baselines.
	Page plan.Page `json:"page"`
}

// RereadOut is what is not any more as it was planned.
type RereadOut struct {
	Zones     int               `json:"zones"`
	Describes int               `json:"describes"`
	Differ    []plan.Difference `json:"differ,omitempty"`
	// AheadMs is how far the clock of the account's worker is ahead of EdgeOne's;
	// nil where that is not known.
	AheadMs *int64 `json:"aheadMs,omitempty"`
}

// Plus adds two parts.
func (a RereadOut) Plus(b RereadOut) RereadOut {
	return RereadOut{a.Zones + b.Zones, a.Describes + b.Describes, append(a.Differ, b.Differ...), further(a.AheadMs, b.AheadMs)}
}

// Reread reads the live keys of planned zones again and names those that
// drifted since. It fails when a key cannot be read, and changes nothing.
func Reread(ctx workflow.Context, in RereadIn) (RereadOut, error) {
	show(ctx, mark("Compares the live keys of %s with their plan. Changes nothing.", plural(len(in.Page.Zones), "zone")))
	now, report := in.Page, PagePlanned{}
	now.Zones = append([]plan.PageZone(nil), in.Page.Zones...)
	if err := readAll(ctx, &now, &report, unhurriedOptions, true); err != nil {
		return RereadOut{}, untaken(in.Page.Account, "KeysUnread", err)
	}
	said := map[rotation.ZoneID]string{}
	for _, f := range report.Findings {
		said[f.Zone] = f.Text
	}
	out := RereadOut{Zones: len(now.Zones), Describes: report.Describes, AheadMs: report.AheadMs}
	for i, z := range in.Page.Zones {
		text := plan.KeyChanged(z.Baseline, now.Zones[i].Baseline)
		if z.Baseline != "" && now.Zones[i].Baseline == "" {
			text = fmt.Sprintf("had the live key %s, and EdgeOne does not show it any more; does the zone still exist? %s", z.Baseline, said[z.ID])
		}
		if text != "" {
			out.Differ = append(out.Differ, plan.Difference{Zone: z.ID, Text: text})
		}
	}
	return out, nil
}
