package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflow/v1"

	"keywave/internal/plan"
	"keywave/internal/planning"
	"keywave/internal/report"
	"keywave/internal/rotation"
	"keywave/internal/temporalclient"
	"keywave/workflows"
)

// pastOf finds a campaign's earlier runs, and what people did to its zones since. It
// also says what Temporal's retention has deleted.
func pastOf(ctx context.Context, conn *temporalclient.Connection, name string, status workflows.Status, pages []plan.Page) (report.Past, error) {
	past, began, err := earlierRuns(ctx, conn, name)
	if err != nil {
		return past, err
	}
	if began.IsZero() {
		began = status.StartedAt
	}
	known := status
	if len(past.Runs) > 0 {
		known = past.Runs[0]
	}
	if known.StartedAt.Sub(began) > time.Second {
		past.Forgotten = fmt.Sprintf("The campaign began at %s, and Temporal knows its runs from %s on: who started it, which waivers it had, and what people did until then and why, is not known any more: its retention is over.",
			began.UTC().Format(time.RFC3339), known.StartedAt.UTC().Format(time.RFC3339))
	}
	past.Repairs, err = repairs(ctx, conn, began, pages)
	return past, err
}

// earlierRuns are the statuses of the runs before the latest, oldest first. The time is
// when the very first run began, which the oldest run that is known says; zero where
// that one was the first.
func earlierRuns(ctx context.Context, conn *temporalclient.Connection, name string) (report.Past, time.Time, error) {
	var past report.Past
	runs, err := listAll(ctx, conn, fmt.Sprintf("WorkflowType = '%s' AND WorkflowId = '%s'", workflows.TypeCampaign, workflows.CampaignID(safeQuery(name))))
	if err != nil || len(runs) == 0 {
		return past, time.Time{}, err
	}
	slices.SortFunc(runs, func(a, b *workflow.WorkflowExecutionInfo) int {
		return cmp.Compare(a.GetStartTime().AsTime().UnixNano(), b.GetStartTime().AsTime().UnixNano())
	})
	var oldest workflows.CampaignIn
	if err := temporalclient.Input(ctx, conn, workflows.CampaignID(name), runs[0].GetExecution().GetRunId(), &oldest); err != nil {
		return past, time.Time{}, fmt.Errorf("the first run of campaign %s cannot be read: %w", name, err)
	}
	for _, run := range runs[:len(runs)-1] {
		if run.GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW {
			continue // the one that it goes on in has all of it
		}
		status, err := statusOfRun(ctx, conn, name, run)
		switch {
		case errors.As(err, new(*codedError)): // refused before it began
			continue
		case errors.As(err, new(*serviceerror.NotFound)):
			continue // forgotten since it was listed
		case err != nil:
			return past, time.Time{}, err
		}
		past.Runs = append(past.Runs, status)
	}
	return past, oldest.Began, nil
}

// repairs are what people began on zones of these pages since then.
func repairs(ctx context.Context, conn *temporalclient.Connection, since time.Time, pages []plan.Page) ([]report.Repair, error) {
	ours := map[rotation.ZoneID]bool{}
	for _, z := range planning.PlannedZones(pages) {
		ours[z] = true
	}
	found, err := listAll(ctx, conn, fmt.Sprintf("WorkflowType = '%s' AND %s IS NULL AND StartTime >= '%s'", workflows.TypeZone, workflows.AttrCampaign, since.UTC().Format(time.RFC3339Nano)))
	if err != nil {
		return nil, err
	}
	var all []report.Repair
	for _, e := range found {
		zone := rotation.ZoneID(strings.TrimPrefix(e.GetExecution().GetWorkflowId(), workflows.ZoneID("")))
		if !ours[zone] {
			continue
		}
		one, err := repairOf(ctx, conn, zone, e)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b report.Repair) int {
		return cmp.Or(a.StartedAt.Compare(b.StartedAt), strings.Compare(string(a.Zone), string(b.Zone)))
	})
	return all, nil
}

func repairOf(ctx context.Context, conn *temporalclient.Connection, zone rotation.ZoneID, e *workflow.WorkflowExecutionInfo) (report.Repair, error) {
	one := report.Repair{Zone: zone, StartedAt: e.GetStartTime().AsTime().UTC()}
	id, run := e.GetExecution().GetWorkflowId(), e.GetExecution().GetRunId()
	var in workflows.ZoneIn
	if err := temporalclient.Input(ctx, conn, id, run, &in); err != nil {
		return one, fmt.Errorf("an operation of zone %s cannot be read: %w", zone, err)
	}
	one.Verb, one.By, one.Reason, one.Rollback = in.Verb, in.By, in.Reason, in.Former != nil
	if e.GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
		return one, nil
	}
	ended := e.GetCloseTime().AsTime().UTC()
	one.EndedAt = &ended
	if e.GetStatus() != enums.WORKFLOW_EXECUTION_STATUS_COMPLETED {
		one.Why = "its workflow was ended in Temporal (" + e.GetStatus().String() + ")"
		return one, nil
	}
	var record rotation.Record
	if err := conn.GetWorkflow(ctx, id, run).Get(ctx, &record); err != nil {
		return one, fmt.Errorf("an operation of zone %s cannot be read: %w", zone, err)
	}
	one.Outcome, one.Why = record.Outcome, record.Why
	return one, nil
}

// listAll is every workflow that a query finds.
func listAll(ctx context.Context, conn *temporalclient.Connection, query string) ([]*workflow.WorkflowExecutionInfo, error) {
	var all []*workflow.WorkflowExecutionInfo
	for run, err := range temporalclient.Found(ctx, conn.Client, query) {
		if err != nil {
			return nil, fmt.Errorf("the list of workflows in Temporal cannot be searched: %w", err)
		}
		all = append(all, run)
	}
	return all, nil
}
