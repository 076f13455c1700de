package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/converter"
	"golang.org/x/sync/errgroup"

	"keywave/internal/progress"
	"keywave/internal/rotation"
	"keywave/internal/temporalclient"
	"keywave/workflows"
)

// campaignRow is one line of campaign list.
type campaignRow struct {
	Campaign  string     `json:"campaign"`
	State     string     `json:"state"`
	StartedAt time.Time  `json:"startedAt"`
	EndedAt   *time.Time `json:"endedAt"`
	// Zones, Standing and Waits are of one that is open, as it says itself; null
	// where no worker answers for it.
	Zones    *rotation.Counts    `json:"zones,omitempty"`
	Standing *rotation.Standings `json:"standing,omitempty"`
	Waits    []rotation.Wait     `json:"waits,omitempty"`
}

// done is how far an open campaign is: zones done, of all.
func (r campaignRow) done() string {
	if r.EndedAt != nil || r.Zones == nil {
		return "-"
	}
	return fmt.Sprintf("%d/%d", r.Zones.Done, r.Zones.Total)
}

// says is what an open campaign says of its zones beside the counts.
func (r campaignRow) says() string {
	switch {
	case r.EndedAt != nil:
		return ""
	case r.Zones == nil:
		return "no worker answers for it"
	}
	var words []string
	if r.Zones.Exposed > 0 {
		words = append(words, fmt.Sprintf("exposed %d", r.Zones.Exposed))
	}
	for _, row := range r.Standing.Rows() {
		if row.Zones > 0 {
			words = append(words, fmt.Sprintf("%s %d", row.Name, row.Zones))
		}
	}
	for _, w := range r.Waits {
		words = append(words, w.Text(func(at time.Time) string { return at.UTC().Format("15:04:05 UTC") }))
	}
	return progress.Clip(strings.Join(words, "; "), maxSays)
}

// maxSays is how much of that a line of the list shows.
const maxSays = 160

func (a *app) campaignList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "The campaigns that Temporal still knows, newest first",
		Example: "  keywave campaign list", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			conn, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer conn.Close()
			rows, err := listCampaigns(cmd.Context(), conn)
			if err != nil {
				return err
			}
			askOpen(cmd.Context(), conn, rows)
			return a.print(rows, func(w io.Writer) { showCampaigns(w, rows) })
		},
	}
}

func showCampaigns(w io.Writer, rows []campaignRow) {
	t := newTable("CAMPAIGN", "STATE", "STARTED", "ENDED", "ZONES")
	for _, r := range rows {
		ended := "-"
		if r.EndedAt != nil {
			ended = r.EndedAt.Local().Format(time.DateTime)
		}
		t.row(r.Campaign, r.State, r.StartedAt.Local().Format(time.DateTime), ended, r.done())
		t.below(r.says())
	}
	t.write(w)
}

// askOpen asks each open campaign for its zones, for a few seconds in all.
func askOpen(ctx context.Context, conn *temporalclient.Connection, rows []campaignRow) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout/2)
	defer cancel()
	var group errgroup.Group
	group.SetLimit(8)
	for i := range rows {
		if rows[i].EndedAt != nil {
			continue
		}
		group.Go(func() error {
			if s, err := statusOf(ctx, conn, rows[i].Campaign); err == nil {
				rows[i].Zones, rows[i].Standing, rows[i].Waits = &s.Zones, &s.Standing, s.Waits
			}
			return nil
		})
	}
	_ = group.Wait()
}

func listCampaigns(ctx context.Context, conn *temporalclient.Connection) ([]campaignRow, error) {
	rows := []campaignRow{}
	for e, err := range temporalclient.Found(ctx, conn.Client, fmt.Sprintf("WorkflowType = '%s'", workflows.TypeCampaign)) {
		if err != nil {
			return nil, fmt.Errorf("campaigns cannot be listed: %w", err)
		}
		row := campaignRow{Campaign: e.GetExecution().GetWorkflowId()[len(workflows.CampaignID("")):], State: "running", StartedAt: e.GetStartTime().AsTime()}
		if e.GetStatus() != enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
			ended := e.GetCloseTime().AsTime()
			row.EndedAt, row.State = &ended, "ended in Temporal"
		}
		var state workflows.State
		if p := e.GetSearchAttributes().GetIndexedFields()[workflows.AttrOutcome]; p != nil {
			_ = converter.GetDefaultDataConverter().FromPayload(p, &state)
		}
		if state.Closed() == (row.EndedAt != nil) && state != "" { // one that was terminated keeps its last word
			row.State = string(state)
		}
		rows = append(rows, row)
	}
	return rows, nil
}
