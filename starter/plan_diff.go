package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"keywave/internal/fleet"
	"keywave/internal/harmless"
	"keywave/internal/plan"
)

func (a *app) planDiff() *cobra.Command {
	return &cobra.Command{
		Use: "diff OLD NEW", Short: "What differs between two plans", Args: exactly("OLD", "NEW"),
		Long: `Name what differs between two plans: settings, waves, hosts (and the fields of their
definitions), zones, and keys that were changed in between. A plan is named by its
digest, or by a file that keywave plan --out wrote. Exit code 2 says that they differ.`,
		Example: "  keywave plan diff 0f3b… 8c21…\n  keywave plan diff approved.json today.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer conn.Close()
			old, err := wholePlan(cmd.Context(), conn, args[0])
			if err != nil {
				return err
			}
			now, err := wholePlan(cmd.Context(), conn, args[1])
			if err != nil {
				return err
			}
			found := append([]plan.Difference{}, plan.Diff(old, now, fleet.PartsDiffer)...)
			if err := a.print(found, func(w io.Writer) {
				for _, d := range found {
					put(w, "%v\n", d)
				}
				if len(found) == 0 {
					put(w, "The plans are the same.\n")
				}
			}); err != nil {
				return err
			}
			if len(found) > 0 {
				return notDone(fmt.Errorf("the plans differ in %s", many(len(found), "thing")))
			}
			return nil
		},
	}
}

// unchanged refuses when the fleet file is not any more what was approved.
func unchanged(approved plan.Plan, old plan.Whole, f *fleet.Fleet) error {
	pages, waves, err := plan.Cut(f.Targets(), f.Campaign.Waves)
	if err != nil {
		return refused(err)
	}
	found := plan.Diff(old, plan.Whole{Settings: f.Campaign, Waves: waves, Pages: pages}, fleet.PartsDiffer)
	if len(found) == 0 {
		return nil
	}
	text := ""
	for _, d := range found[:min(len(found), 10)] {
		text += "\n  " + harmless.Terminal(d.String())
	}
	if more := len(found) - 10; more > 0 {
		text += fmt.Sprintf("\n  … and %d more", more)
	}
	return refused(fmt.Errorf("the fleet file is not what plan %s was made from; nothing was started; plan again, or give the fleet file that was approved:%s", approved.Digest, text))
}
