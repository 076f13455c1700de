package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/temporal"

	"keywave/internal/temporalclient"
	"keywave/workflows"
)

func (a *app) campaign() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "campaign",
		Short:   "Start, watch and steer campaigns",
		Example: "  keywave campaign start -f fleet.yaml --watch\n  keywave campaign status NAME",
		Args:    oneBelow, RunE: showHelp,
	}
	cmd.AddCommand(a.campaignStart(), a.campaignRollback(), a.campaignStatus(), a.campaignWatch(), a.campaignList(), a.campaignZones(), a.campaignReport(),
		a.campaignResume(), a.campaignApprove(), a.campaignSet(), a.campaignSkip(),
		a.campaignOrder("pause", workflows.UpdatePause, "Start no further refresh; answers when that is certain"),
		a.campaignOrder("cancel", workflows.UpdateCancel, "Pause and close; zones that may have refreshed are still delivered"),
	)
	return cmd
}

func noCampaign(name string) error {
	return refused(fmt.Errorf("no campaign %s in Temporal; those there are: keywave campaign list", name))
}

// statusOf is a campaign's status: the one that its workflow closed with, or else
// the answer to a query.
func statusOf(ctx context.Context, conn *temporalclient.Connection, name string) (workflows.Status, error) {
	var status workflows.Status
	id := workflows.CampaignID(name)
	described, err := conn.DescribeWorkflowExecution(ctx, id, "")
	if errors.As(err, new(*serviceerror.NotFound)) {
		return status, noCampaign(name)
	}
	if err != nil {
		return status, fmt.Errorf("campaign %s cannot be read: %w", name, err)
	}
	return statusOfRun(ctx, conn, name, described.GetWorkflowExecutionInfo())
}

// statusOfRun is the status of one run of a campaign.
func statusOfRun(ctx context.Context, conn *temporalclient.Connection, name string, run *workflow.WorkflowExecutionInfo) (workflows.Status, error) {
	var status workflows.Status
	id := run.GetExecution().GetRunId()
	switch run.GetStatus() {
	case enums.WORKFLOW_EXECUTION_STATUS_COMPLETED, enums.WORKFLOW_EXECUTION_STATUS_FAILED, enums.WORKFLOW_EXECUTION_STATUS_CANCELED:
		status, err := workflows.StatusOf(ctx, conn, name, id)
		var app *temporal.ApplicationError
		if errors.As(err, &app) {
			return status, refused(fmt.Errorf("campaign %s was refused: %s", name, app.Message()))
		}
		return status, err
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	answer, err := conn.QueryWorkflow(ctx, workflows.CampaignID(name), id, workflows.QueryStatus)
	if err != nil {
		return status, fmt.Errorf("campaign %s is there, but no worker answers for it (%w); start one: bin/worker --fleet fleet.yaml", name, err)
	}
	if err := answer.Get(&status); err != nil {
		return status, err
	}
	if run.GetStatus() != enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
		ended := run.GetCloseTime().AsTime()
		status.State, status.EndedAt = workflows.StateEnded, &ended
		status.Reason = "its workflow was ended in Temporal (" + run.GetStatus().String() + "); zones that may have refreshed go on by themselves"
		status.Next = "keywave campaign resume " + name
	}
	return status, nil
}

const queryTimeout = 15 * time.Second
