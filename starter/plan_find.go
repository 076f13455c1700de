package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"go.temporal.io/api/workflowservice/v1"

	"keywave/internal/plan"
	"keywave/internal/temporalclient"
	"keywave/workflows"
)

// wholePlan reads a plan by its digest or from a file, and its pages from
// Temporal.
func wholePlan(ctx context.Context, conn *temporalclient.Connection, named string) (plan.Whole, error) {
	digest := named
	if body, err := os.ReadFile(named); err == nil {
		var p plan.Plan
		if err := json.Unmarshal(body, &p); err != nil || p.Digest == "" {
			return plan.Whole{}, fmt.Errorf("%s is not a plan; write one: keywave plan -f fleet.yaml --out %s", named, named)
		}
		digest = p.Digest
	}
	found, err := findPlan(ctx, conn, digest)
	if err != nil {
		return plan.Whole{}, err
	}
	return withPages(ctx, conn, found)
}

func withPages(ctx context.Context, conn *temporalclient.Connection, p plan.Plan) (plan.Whole, error) {
	whole := plan.Whole{Settings: p.Settings, Waves: p.Waves}
	for n := range p.Pages {
		page, err := pageOf(ctx, conn, p.Name, n+1)
		if err != nil {
			return whole, err
		}
		whole.Pages = append(whole.Pages, page)
	}
	return whole, nil
}

func findPlan(ctx context.Context, conn *temporalclient.Connection, digest string) (plan.Plan, error) {
	var plan plan.Plan
	found, err := conn.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		Query: fmt.Sprintf("WorkflowType = '%s' AND %s = '%s'", workflows.TypePlan, workflows.AttrPlan, safeQuery(digest)),
	})
	if err != nil {
		return plan, refused(fmt.Errorf("plans cannot be searched: %w", err))
	}
	if len(found.GetExecutions()) == 0 {
		return plan, refused(fmt.Errorf("no plan has digest %q; make one: keywave plan -f fleet.yaml", digest))
	}
	newest := found.GetExecutions()[0].GetExecution()
	err = conn.GetWorkflow(ctx, newest.GetWorkflowId(), newest.GetRunId()).Get(ctx, &plan)
	return plan, err
}

// planOf is a campaign's plan: that of the workflow that made it, and when Temporal
// has forgotten that, the campaign's own.
func planOf(ctx context.Context, conn *temporalclient.Connection, status workflows.Status) (plan.Plan, error) {
	found, err := findPlan(ctx, conn, status.PlanDigest)
	if err == nil {
		return found, nil
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	var left workflows.Legacy
	answer, asked := conn.QueryWorkflow(ctx, workflows.CampaignID(status.Campaign), "", workflows.QueryState)
	if asked != nil || answer.Get(&left) != nil || left.State.Plan == nil {
		return plan.Plan{}, err
	}
	return *left.State.Plan, nil
}

// safeQuery keeps what a person typed inside its quotes.
func safeQuery(s string) string {
	var b []rune
	for _, r := range s {
		if r != '\'' && r != '\\' {
			b = append(b, r)
		}
	}
	return string(b)
}

func pageOf(ctx context.Context, conn *temporalclient.Connection, name string, n int) (plan.Page, error) {
	var page plan.Page
	answer, err := conn.QueryWorkflow(ctx, workflows.PageID(name, n), "", workflows.QueryPage)
	if err != nil {
		return page, fmt.Errorf("page %d of plan %s cannot be read (%w); is a worker running?", n, name, err)
	}
	return page, answer.Get(&page)
}
