package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

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
	// Zone is one whose own operation goes on without the host, where no campaign
	// has it.
	Zone rotation.ZoneID `json:"zone,omitempty"`
}

func (a *app) hostRetire() *cobra.Command {
	var o workflows.Order
	var zone string
	var campaigns []string
	cmd := &cobra.Command{
		Use: "retire HOST --reason R", Short: "A host that will never answer: open campaigns go on without it", Args: exactly("HOST"),
		Long: `Take a host that will never answer out of the open campaigns, or with --zone out of
the operation that runs on one zone, whoever began it. Zones that wait for it alone
go on with their other hosts; a zone without any other is skipped. The fleet file is
yours to change: take the host out there too.`,
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
			if o.Zone != "" && len(campaigns) == 0 {
				if own, err := retireFromZone(cmd.Context(), conn, o); err != nil || own {
					return cmp.Or(err, a.retired(retirement{Host: args[0], Campaigns: []string{}, Zone: o.Zone}))
				}
			}
			told, err := retire(cmd.Context(), conn, campaigns, o)
			if err != nil {
				return err
			}
			return a.retired(retirement{Host: args[0], Campaigns: told})
		},
	}
	cmd.Flags().StringVar(&zone, "zone", "", "only of this zone")
	cmd.Flags().StringSliceVar(&campaigns, "campaign", nil, "only in these campaigns (default: all open ones)")
	cmd.Flags().StringVar(&o.Reason, "reason", "", "why, for the record")
	return cmd
}

func (a *app) retired(r retirement) error {
	from := strings.Join(r.Campaigns, ", ")
	if r.Zone != "" {
		from = "the operation that runs on zone " + string(r.Zone)
	}
	return a.print(r, func(w io.Writer) {
		put(w, "Host %s is retired from %s. Take it out of the fleet file too.\n", r.Host, from)
	})
}

// retireFromZone takes a host out of a person's operation that runs on a zone; false
// when there is none, or it is a campaign's. It answers when the zone has heard it.
func retireFromZone(ctx context.Context, conn *temporalclient.Connection, o workflows.Order) (bool, error) {
	b, runs, err := busyWith(ctx, conn, o.Zone)
	if err != nil || !runs || b.in.Campaign != "" {
		return false, err
	}
	if err := awaitWorker(ctx, conn); err != nil {
		return false, err
	}
	if there, err := tripHas(ctx, conn, b.run, o); err != nil || !there {
		return false, cmp.Or(err, refused(fmt.Errorf("the operation that runs on zone %s has no host %s; nothing was changed; what it does: keywave zone show %s", o.Zone, o.Host, o.Zone)))
	}
	err = conn.SignalWorkflow(ctx, workflows.ZoneID(o.Zone), b.run, workflows.SignalZoneOrder, rotation.ZoneOrder{Retire: o.Host, Reason: operator() + ": " + o.Reason})
	if err != nil {
		return false, fmt.Errorf("zone %s could not be told: %w", o.Zone, err)
	}
	ctx, cancel := context.WithTimeout(ctx, orderWithin)
	defer cancel()
	for tick := time.Tick(triggerEvery); ; {
		if there, err := tripHas(ctx, conn, b.run, o); err == nil && !there {
			return true, nil
		}
		select {
		case <-ctx.Done():
			return false, fmt.Errorf("zone %s was told, and has not confirmed within %s that it goes on without host %s; see: keywave zone show %s", o.Zone, orderWithin, o.Host, o.Zone)
		case <-tick:
		}
	}
}

// tripHas says whether a zone's operation still counts on a host.
func tripHas(ctx context.Context, conn *temporalclient.Connection, run string, o workflows.Order) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	answer, err := conn.QueryWorkflow(ctx, workflows.ZoneID(o.Zone), run, workflows.QueryTrip)
	if err != nil {
		return false, fmt.Errorf("zone %s does not say which hosts it has: %w", o.Zone, err)
	}
	var t rotation.Trip
	if err := answer.Get(&t); err != nil {
		return false, err
	}
	return slices.Contains(t.Hosts, o.Host), nil
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
