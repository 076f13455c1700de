package main

import (
	"github.com/spf13/cobra"

	"keywave/internal/rotation"
)

func (a *app) zoneAudit() *cobra.Command {
	var fleetFile string
	cmd := &cobra.Command{
		Use: "audit ZONE -f fleet.yaml", Short: "Compare the live key with what the zone's hosts hold; changes nothing", Args: exactly("ZONE"),
		Example: "  keywave zone audit zone-27q0p0bal192 -f fleet.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runAudit(cmd.Context(), fleetFile, rotation.ZoneID(args[0]), selectors{})
		},
	}
	cmd.Flags().StringVarP(&fleetFile, "fleet", "f", "", "the fleet file")
	return cmd
}
