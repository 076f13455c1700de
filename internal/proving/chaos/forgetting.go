package main

import (
	"context"
	"fmt"
	"time"

	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"keywave/internal/proving/stage"
	"keywave/internal/rotation"
	"keywave/workflows"
)

// Forgetting: closed histories vanish during the campaign, as they do after a
// namespace's retention, while people pause, terminate and resume. A zone that
// was done before its history vanished is never refreshed again.

func (w *weather) beForgetful(ctx context.Context, while time.Duration) {
	end := time.Now().Add(while)
	for time.Now().Before(end) && ctx.Err() == nil {
		if stage.Pause(ctx, time.Duration(1000+w.rng.IntN(3000))*time.Millisecond) != nil {
			return
		}
		switch w.rng.IntN(6) {
		case 0, 1, 2:
			w.forget(ctx)
		case 3:
			w.terminate(ctx)
		case 4:
			w.apiFault(ctx)
		default:
			w.operator(ctx)
		}
	}
}

func (w *weather) dial() (client.Client, error) {
	return client.Dial(client.Options{HostPort: fmt.Sprintf("127.0.0.1:%d", w.Port), Logger: silent{}})
}

// forget deletes the closed histories of zones and shards.
func (w *weather) forget(ctx context.Context) {
	c, err := w.dial()
	if err != nil {
		return
	}
	defer c.Close()
	closed := fmt.Sprintf("%s = '%s' AND ExecutionStatus != 'Running' AND WorkflowType IN ('%s', '%s')", workflows.AttrCampaign, campaign, workflows.TypeZone, workflows.TypeShard)
	found, err := c.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Query: closed, PageSize: 200})
	if err != nil {
		return
	}
	for _, e := range found.GetExecutions() {
		id, run := e.GetExecution().GetWorkflowId(), e.GetExecution().GetRunId()
		if e.GetType().GetName() == workflows.TypeZone {
			var r rotation.Record
			if c.GetWorkflow(ctx, id, run).Get(ctx, &r) == nil && r.Outcome == rotation.Done && w.done[string(r.Zone)].IsZero() {
				w.done[string(r.Zone)] = time.Now()
			}
		}
		_, err := c.WorkflowService().DeleteWorkflowExecution(ctx, &workflowservice.DeleteWorkflowExecutionRequest{
			Namespace: client.DefaultNamespace, WorkflowExecution: &common.WorkflowExecution{WorkflowId: id, RunId: run},
		})
		if err == nil {
			w.faults++
		}
	}
}

// terminate ends a shard or the campaign in Temporal, and a person resumes.
func (w *weather) terminate(ctx context.Context) {
	c, err := w.dial()
	if err != nil {
		return
	}
	defer c.Close()
	id := workflows.CampaignID(campaign)
	if w.rng.IntN(3) > 0 {
		id = workflows.ShardID(campaign, 1+w.rng.IntN(2))
	}
	w.witness.disturbed() // a workflow that was terminated counts nothing
	defer w.witness.recovered()
	if c.TerminateWorkflow(ctx, id, "", "chaos") == nil {
		w.kills++
	}
	w.forget(ctx)
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, _ = w.CLI(ctx, "campaign", "resume", campaign, "--reason", "chaos")
	w.orders++
}

// refreshedAgain: no zone that was done when its history vanished was refreshed
// after that.
func (w *weather) refreshedAgain(ctx context.Context) []string {
	edges, err := w.Edges(ctx, 0)
	if err != nil {
		return []string{"could not be checked: " + err.Error()}
	}
	var wrong []string
	for _, e := range edges {
		since, done := w.done[e.Zone]
		if done && e.Kind == "executed" && e.Action == w.changes && e.At.After(since) {
			wrong = append(wrong, fmt.Sprintf("%s was done, its history vanished, and it was refreshed again", e.Zone))
		}
	}
	return wrong
}
