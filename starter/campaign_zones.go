package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/api/serviceerror"
	"golang.org/x/sync/errgroup"

	"keywave/internal/progress"
	"keywave/internal/rotation"
	"keywave/internal/temporalclient"
	"keywave/workflows"
)

// campaignZone is one row of campaign zones.
type campaignZone struct {
	Zone    rotation.ZoneID  `json:"zone"`
	Name    string           `json:"name,omitempty"`
	Account rotation.Account `json:"account"`
	Wave    int              `json:"wave"`
	standing
}

func (a *app) campaignZones() *cobra.Command {
	var only []string
	cmd := &cobra.Command{
		Use: "zones NAME", Short: "A campaign's zones: where each stands, since when, until when, why and what next", Args: exactly("NAME"),
		Long: fmt.Sprintf(`List the zones of a campaign, open or closed, by its records; a zone that is under
way is asked itself. --outcome takes a comma-separated list of
%s.
failed is unchanged, exposed and unknown; running and held are zones under way, and
pending those that have not begun or were handed back.`, strings.Join(standings(), ", ")),
		Example: "  keywave campaign zones spring-rotation --outcome exposed,held",
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, o := range only {
				if !slices.Contains(standings(), o) {
					return wrongUse(cmd, "--outcome %q: use %s", o, strings.Join(standings(), ", "))
				}
			}
			conn, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer conn.Close()
			all, err := zonesIn(cmd.Context(), conn, args[0], time.Now())
			if err != nil {
				return err
			}
			shown := slices.DeleteFunc(slices.Clone(all), func(z campaignZone) bool { return !wanted(z, only) })
			return a.print(shown, func(w io.Writer) { showZones(w, shown, len(all), time.Now()) })
		},
	}
	cmd.Flags().StringSliceVar(&only, "outcome", nil, "only zones of this outcome, or of several: exposed,held")
	return cmd
}

const standsFailed = "failed"

// standings are the words that --outcome takes.
func standings() []string {
	var words []string
	for _, o := range rotation.Outcomes() {
		words = append(words, string(o))
	}
	return append(words, standsRunning, standsHeld, standsFailed)
}

func wanted(z campaignZone, only []string) bool {
	failed := rotation.Outcome(z.Outcome).Failed()
	return len(only) == 0 || slices.Contains(only, z.Outcome) || failed && slices.Contains(only, standsFailed)
}

// zonesIn are all zones of a campaign in the order of its plan.
func zonesIn(ctx context.Context, conn *temporalclient.Connection, name string, now time.Time) ([]campaignZone, error) {
	status, err := statusOf(ctx, conn, name)
	if err != nil {
		return nil, err
	}
	ran, err := planOf(ctx, conn, status)
	if err != nil {
		return nil, err
	}
	running, err := underWayIn(ctx, conn, name, now)
	if err != nil {
		return nil, err
	}
	pages, records, err := pagesOf(ctx, conn, ran, name)
	if err != nil {
		return nil, err
	}
	all := []campaignZone{}
	for i, page := range pages {
		stands := map[rotation.ZoneID]standing{}
		for _, r := range records[i] {
			stands[r.Zone] = ended(r, name, status.EndedAt == nil)
		}
		for _, z := range page.Zones {
			at, is := running[z.ID]
			if !is {
				at, is = stands[z.ID]
			}
			if !is { // its shard never ran
				at = ended(rotation.Record{Zone: z.ID, Outcome: rotation.Pending}, name, status.EndedAt == nil)
			}
			all = append(all, campaignZone{Zone: z.ID, Name: z.Name, Account: page.Account, Wave: page.Wave, standing: at})
		}
	}
	return all, nil
}

// asksAtOnce is how many zones are asked side by side.
const asksAtOnce = 16

// underWayIn asks each zone of a campaign whose operation runs where it stands.
func underWayIn(ctx context.Context, conn *temporalclient.Connection, name string, now time.Time) (map[rotation.ZoneID]standing, error) {
	found, err := listAll(ctx, conn, fmt.Sprintf("WorkflowType = '%s' AND %s = '%s' AND ExecutionStatus = 'Running'", workflows.TypeZone, workflows.AttrCampaign, safeQuery(name)))
	if err != nil {
		return nil, err
	}
	stands := make([]standing, len(found))
	var group errgroup.Group
	group.SetLimit(asksAtOnce)
	for i, e := range found {
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, queryTimeout)
			defer cancel()
			answer, err := conn.QueryWorkflow(ctx, e.GetExecution().GetWorkflowId(), e.GetExecution().GetRunId(), workflows.QueryTrip)
			var t rotation.Trip
			switch {
			case errors.As(err, new(*serviceerror.NotFound)):
				return nil
			case err != nil:
				return fmt.Errorf("%s does not say where it stands (%w); is a worker running?", e.GetExecution().GetWorkflowId(), err)
			case answer.Get(&t) != nil || t.Ended != "": // its campaign has the record
				return nil
			}
			stands[i] = standingOf(&t, e.GetStartTime().AsTime(), now)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	running := map[rotation.ZoneID]standing{}
	for i, e := range found {
		if stands[i].Outcome != "" {
			running[rotation.ZoneID(strings.TrimPrefix(e.GetExecution().GetWorkflowId(), workflows.ZoneID("")))] = stands[i]
		}
	}
	return running, nil
}

// maxName is how much of a zone's name a table shows.
const maxName = 16

func showZones(w io.Writer, zones []campaignZone, of int, now time.Time) {
	t := newTable("ZONE", "NAME", "WAVE", "OUTCOME", "SINCE", "UNTIL")
	for _, z := range zones {
		t.row(z.Zone, orDash(progress.Clip(z.Name, maxName)), z.Wave, z.Outcome, atTime(z.Since, now), atTime(z.Until, now))
		t.below(z.Why)
		t.below(z.nextText())
	}
	if len(zones) > 0 {
		t.write(w)
	}
	put(w, "%d of %s.\n", len(zones), many(of, "zone"))
}

func (s standing) nextText() string {
	if s.Next == "" {
		return ""
	}
	return "next: " + s.Next
}
