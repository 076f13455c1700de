package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"

	"keywave/workflows"
)

func (a *app) scheduleApprove() *cobra.Command {
	o := &approveOptions{}
	cmd := &cobra.Command{
		Use: "approve SCHEDULE -f fleet.yaml --reason R", Short: "Let a schedule run a fleet file that was changed", Args: exactly("SCHEDULE"),
		Long: `Let a schedule run a fleet file that was changed, from its next run on. The run that
was refused says what differs. The account's worker must have
been started with the new file. A paused schedule stays paused.`,
		Example: "  keywave schedule approve quarterly -f fleet.yaml --reason \"two new zones\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			f, conn, err := a.approved(cmd.Context(), o)
			if err != nil {
				return err
			}
			defer conn.Close()
			return a.changeSchedule(cmd.Context(), args[0], func(_ *client.Schedule, in *workflows.ScheduledIn) error {
				if first := f.Accounts[0].Name; first != in.Accounts[0] {
					return refused(fmt.Errorf("schedule %s is planned by account %s, and the fleet file's first account is %s", args[0], in.Accounts[0], first))
				}
				return approve(in, f, "approved", o.reason)
			})
		},
	}
	o.flags(cmd)
	return cmd
}
