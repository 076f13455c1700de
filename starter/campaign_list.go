package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/converter"

	"keywave/internal/temporalclient"
	"keywave/workflows"
)

// campaignRow is one line of campaign list.
type campaignRow struct {
	Campaign  string     `json:"campaign"`
	State     string     `json:"state"`
	StartedAt time.Time  `json:"startedAt"`
	EndedAt   *time.Time `json:"endedAt"`
}

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
			return a.print(rows, func(w io.Writer) {
				t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
				put(t, "CAMPAIGN\tSTATE\tSTARTED\tENDED\n")
				for _, r := range rows {
					ended := "-"
					if r.EndedAt != nil {
						ended = r.EndedAt.Local().Format(time.DateTime)
					}
					put(t, "%s\t%s\t%s\t%s\n", r.Campaign, r.State, r.StartedAt.Local().Format(time.DateTime), ended)
				}
				_ = t.Flush()
			})
		},
	}
}

func listCampaigns(ctx context.Context, conn *temporalclient.Connection) ([]campaignRow, error) {
	rows := []campaignRow{}
	var page []byte
	for {
		found, err := conn.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			Query: fmt.Sprintf("WorkflowType = '%s'", workflows.TypeCampaign), NextPageToken: page,
		})
		if err != nil {
			return nil, fmt.Errorf("campaigns cannot be listed: %w", err)
		}
		for _, e := range found.GetExecutions() {
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
		if page = found.GetNextPageToken(); len(page) == 0 {
			return rows, nil
		}
	}
}
