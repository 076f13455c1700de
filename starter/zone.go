package main

import (
	"github.com/spf13/cobra"

	"keywave/internal/rotation"
)

func (a *app) zone() *cobra.Command {
	cmd := &cobra.Command{
		Use: "zone", Short: "Rotate, repair, roll back, cancel or show one zone",
		Example: "  keywave zone rotate zone-27q0p0bal192 -f fleet.yaml\n  keywave zone show zone-27q0p0bal192",
		Args:    oneBelow, RunE: showHelp,
	}
	cmd.AddCommand(
		a.zoneVerb(rotation.Rotate, "A new key for one zone, on all of its hosts"),
		a.zoneVerb(rotation.Repair, "Deliver the live key to all hosts of one zone; never a refresh"),
		a.zoneRollback(),
		a.zoneAudit(),
		a.zoneShow(),
		a.zoneCancel(),
	)
	return cmd
}
