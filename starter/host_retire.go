package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"keywave/internal/rotation"
	"keywave/internal/temporalclient"
	"keywave/workflows"
)

func (a *app) host() *cobra.Command {
	cmd := &cobra.Command{
		Use: "host", Short: "Say what is true of a host",
		Example: "  keywave host retire gw-hk-7 --reason \"burnt down\"",
		Args:    oneBelow, RunE: showHelp,
	}
	cmd.AddCommand(a.hostRetire())
	return cmd
}

// retirement is what host retire prints.
type retirement struct {
	Host      string   `json:"host"`
	Campaigns []string `json:"campaigns"`
}

func (a *app) hostRetire() *cobra.Command {
	var o workflows.Order
	var zone string
	var campaigns []string
	cmd := &cobra.Command{
		Use: "retire HOST --reason R", Short: "A host that will never answer: open campaigns go on without it", Args: exactly("HOST"),
		Long: `Take a host that will never answer out of the open campaigns. Zones that wait for
it alone go on with their other hosts; a zone without any other is skipped. The
fleet file is yours to change: take the host out there too.`,
		Example: "  keywave host retire gw-hk-7 --reason \"burnt down\"\n  keywave host retire gw-hk-7 --zone zone-27q0p0bal192 --reason \"moved\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.Reason == "" {
				return errors.New("why? give --reason")
			}
			o.Host, o.Zone = rotation.HostName(args[0]), rotation.ZoneID(zone)
			conn, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer conn.Close()
			told, err := retire(cmd.Context(), conn, campaigns, o)
			if err != nil {
				return err
			}
			return a.print(retirement{args[0], told}, func(w io.Writer) {
				put(w, "Host %s is retired from %s. Take it out of the fleet file too.\n", args[0], strings.Join(told, ", "))
			})
		},
	}
	cmd.Flags().StringVar(&zone, "zone", "", "only of this zone")
	cmd.Flags().StringSliceVar(&campaigns, "campaign", nil, "only in these campaigns (default: all open ones)")
	cmd.Flags().StringVar(&o.Reason, "reason", "", "why, for the record")
	return cmd
}

func retire(ctx context.Context, conn *temporalclient.Connection, only []string, o workflows.Order) ([]string, error) {
	rows, err := listCampaigns(ctx, conn)
	if err != nil {
		return nil, err
	}
	var told []string
	open := false
	for _, r := range rows {
		if r.EndedAt != nil || len(only) > 0 && !slices.Contains(only, r.Campaign) {
			continue
		}
		open = true
		there, err := has(ctx, conn, r.Campaign, o.Zone, o.Host)
		if err != nil {
			return told, err
		}
		if !there {
			continue
		}
		if _, err := order(ctx, conn, r.Campaign, workflows.UpdateRetire, o); err != nil {
			return told, err
		}
		told = append(told, r.Campaign)
	}
	switch {
	case len(told) > 0:
	case open && o.Zone != "":
		return nil, refused(fmt.Errorf("no open campaign has a zone %s with host %s; nothing was changed", o.Zone, o.Host))
	case open:
		return nil, refused(fmt.Errorf("no open campaign has a host %s; nothing was changed", o.Host))
	default:
		return nil, refused(errors.New("no open campaign to retire it from; resume the campaign first, or take the host out of the fleet file and plan again"))
	}
	return told, nil
}
