package workflows

import (
	"fmt"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"keywave/activities"
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
	workflow.SetCurrentDetails(ctx, fmt.Sprintf("Lists the zones of account **%s** from the %s on: %s. Changes nothing.", in.Account, ordinal(in.From+1), plain(in.Query.String())))
	out, err := discoverAct().do(ctx, unhurriedOptions(in.Account, fmt.Sprintf("zones from the %s on", ordinal(in.From+1))), in.DiscoverIn)
	return out, untaken(in.Account, "ZonesUnlisted", err)
}

// RereadIn asks whether live keys are still those of a plan.
type RereadIn struct {
	// Page has the zones with their planned baselines.
	Page rotation.Page `json:"page"`
}

// RereadOut is what is not any more as it was planned.
type RereadOut struct {
	Zones     int                   `json:"zones"`
	Describes int                   `json:"describes"`
	Differ    []rotation.Difference `json:"differ,omitempty"`
}

// Plus adds two parts.
func (a RereadOut) Plus(b RereadOut) RereadOut {
	return RereadOut{a.Zones + b.Zones, a.Describes + b.Describes, append(a.Differ, b.Differ...)}
}

// Reread reads the live keys of planned zones again and names those that
// drifted since. It fails when a key cannot be read, and changes nothing.
func Reread(ctx workflow.Context, in RereadIn) (RereadOut, error) {
	workflow.SetCurrentDetails(ctx, fmt.Sprintf("Compares the live keys of %s with their plan. Changes nothing.", plural(len(in.Page.Zones), "zone")))
	now, report := in.Page, PagePlanned{}
	now.Zones = append([]rotation.PageZone(nil), in.Page.Zones...)
	if err := readAll(ctx, &now, &report, unhurriedOptions, true); err != nil {
		return RereadOut{}, untaken(in.Page.Account, "KeysUnread", err)
	}
	out := RereadOut{Zones: len(now.Zones), Describes: report.Describes}
	out.Differ = rotation.Diff(rotation.Whole{Pages: []rotation.Page{in.Page}}, rotation.Whole{Pages: []rotation.Page{now}}, nil)
	refused := map[rotation.ZoneID]string{}
	for _, f := range report.Findings {
		refused[f.Zone] = f.Text
	}
	for i, z := range in.Page.Zones {
		if z.Baseline != "" && now.Zones[i].Baseline == "" {
			out.Differ = append(out.Differ, rotation.Difference{Zone: z.ID, Text: fmt.Sprintf("had the live key %s, and EdgeOne does not show it any more; does the zone still exist? %s", z.Baseline, refused[z.ID])})
		}
	}
	return out, nil
}

// untaken says why the account's worker has no answer.
func untaken(account rotation.Account, kind string, err error) error {
	switch {
	case err == nil:
		return nil
	case neverStarted(err):
		return temporal.NewNonRetryableApplicationError(fmt.Sprintf("no worker of account %s took it up within %s (is one active, or busy? keywave doctor)", account, unhurried), kind, nil)
	}
	return temporal.NewNonRetryableApplicationError(why(err), kind, nil)
}

func ordinal(n int) string {
	suffix := "th"
	switch {
	case n%100 >= 11 && n%100 <= 13:
	case n%10 == 1:
		suffix = "st"
	case n%10 == 2:
		suffix = "nd"
	case n%10 == 3:
		suffix = "rd"
	}
	return fmt.Sprintf("%d%s", n, suffix)
}
