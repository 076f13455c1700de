package activities

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/converter"

	"keywave/internal/rotation"
	"keywave/internal/temporalclient"
)

// PriorIn asks what earlier runs of a campaign left of a page's zones.
type PriorIn struct {
	Namespace string            `json:"namespace"`
	Campaign  string            `json:"campaign"`
	Shard     string            `json:"shard"`              // the shard's workflow ID
	Previous  string            `json:"previous,omitempty"` // its earlier run; empty when there was none
	Query     string            `json:"query"`              // the query that returns records; a page returns those of one campaign
	Page      string            `json:"page"`               // the page's workflow ID: it keeps the records of a shard that ended
	Zones     []rotation.ZoneID `json:"zones"`              // of the page, in its order
	ZoneIDs   []string          `json:"workflows"`          // their workflow IDs
	Attr      string            `json:"attribute"`          // the search attribute that names a zone's campaign
	Began     time.Time         `json:"began"`              // runs of zones older than this are of another campaign
}

// PriorOut is what Temporal's histories say of each zone, in the page's order.
type PriorOut struct {
	// Retention is how long the namespace keeps what is closed; 0 is unknown.
	Retention rotation.Span    `json:"retention"`
	Zones     []rotation.Found `json:"zones"`
}

// Prior gathers it: the earlier shard's records first (a query, which works on a
// closed or terminated run too), and the zones' own workflows for what the
// shard had not heard when it ended. What is not found proves that nothing ran only if
// Temporal keeps everything that is younger than the campaign.
func (t *Temporal) Prior(ctx context.Context, in PriorIn) (PriorOut, error) {
	defer beat(ctx)()
	now := serverClock(ctx).now()
	retention, err := temporalclient.Retention(ctx, t.Client, in.Namespace)
	if err != nil {
		return PriorOut{}, fail(KindTemporal, fmt.Sprintf("the retention of namespace %s cannot be read: %v", in.Namespace, err))
	}
	records, err := t.records(ctx, in)
	if err != nil {
		return PriorOut{}, fail(KindTemporal, fmt.Sprintf("what %s had done cannot be read: %v", in.Shard, err))
	}
	out := PriorOut{Retention: rotation.Span(retention)}
	for i, zone := range in.Zones {
		heard := records[zone]
		if heard != nil && (heard.Outcome == rotation.Done || heard.Outcome == rotation.Skipped) {
			out.Zones = append(out.Zones, rotation.Find(heard, rotation.OwnRun{}, true))
			continue
		}
		own, err := t.ownRun(ctx, in, in.ZoneIDs[i])
		if err != nil {
			return PriorOut{}, fail(KindTemporal, fmt.Sprintf("the state of %s cannot be read: %v", in.ZoneIDs[i], err))
		}
		out.Zones = append(out.Zones, rotation.Find(heard, own, now.Sub(in.Began) < retention))
	}
	return out, nil
}

// records are those of the earlier shard, or those that it left with the page.
func (t *Temporal) records(ctx context.Context, in PriorIn) (map[rotation.ZoneID]*rotation.Record, error) {
	var records []rotation.Record
	answers := false
	var err error
	if in.Previous != "" {
		answers, err = t.ask(ctx, &records, in.Shard, in.Previous, in.Query)
	}
	if !answers && err == nil {
		_, err = t.ask(ctx, &records, in.Page, "", in.Query, in.Campaign)
	}
	known := map[rotation.ZoneID]*rotation.Record{}
	for i := range records {
		known[records[i].Zone] = &records[i]
	}
	return known, err
}

// ask queries a workflow; false is one that is gone or cannot answer any more.
func (t *Temporal) ask(ctx context.Context, into any, id, run, query string, args ...any) (bool, error) {
	answer, err := t.Client.QueryWorkflow(ctx, id, run, query, args...)
	if missing(err) || errors.As(err, new(*serviceerror.QueryFailed)) {
		return false, nil
	}
	if err == nil {
		err = answer.Get(into)
	}
	return err == nil, err
}

func (t *Temporal) ownRun(ctx context.Context, in PriorIn, id string) (rotation.OwnRun, error) {
	described, err := t.Client.DescribeWorkflowExecution(ctx, id, "")
	if missing(err) {
		return rotation.OwnRun{}, nil
	}
	if err != nil {
		return rotation.OwnRun{}, err
	}
	run := described.GetWorkflowExecutionInfo()
	if !in.owns(run) {
		if run, err = t.earlierRun(ctx, in, id); run == nil {
			return rotation.OwnRun{}, err
		}
	}
	switch run.GetStatus() {
	case enums.WORKFLOW_EXECUTION_STATUS_RUNNING:
		return rotation.OwnRun{Found: true, Running: true}, nil
	case enums.WORKFLOW_EXECUTION_STATUS_COMPLETED:
		var record rotation.Record
		err := t.Client.GetWorkflow(ctx, id, run.GetExecution().GetRunId()).Get(ctx, &record)
		return rotation.OwnRun{Found: true, Record: &record}, err
	default:
		return rotation.OwnRun{Found: true}, nil
	}
}

// owns says that a run is of this campaign.
func (in PriorIn) owns(run *workflowpb.WorkflowExecutionInfo) bool {
	var campaign string
	if p := run.GetSearchAttributes().GetIndexedFields()[in.Attr]; p != nil {
		_ = converter.GetDefaultDataConverter().FromPayload(p, &campaign)
	}
	return campaign == in.Campaign && !run.GetStartTime().AsTime().Before(in.Began)
}

// earlierRun finds the campaign's latest run of a zone behind somebody else's;
// nil when there is none.
func (t *Temporal) earlierRun(ctx context.Context, in PriorIn, id string) (*workflowpb.WorkflowExecutionInfo, error) {
	list, err := t.Client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		Namespace: in.Namespace, Query: fmt.Sprintf("WorkflowId = '%s' AND %s = '%s'", id, in.Attr, in.Campaign),
	})
	if err != nil {
		return nil, err
	}
	var latest *workflowpb.WorkflowExecutionInfo
	for _, run := range list.GetExecutions() {
		if in.owns(run) && (latest == nil || run.GetStartTime().AsTime().After(latest.GetStartTime().AsTime())) {
			latest = run
		}
	}
	return latest, nil
}
