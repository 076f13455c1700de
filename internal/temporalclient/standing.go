package temporalclient

import (
	"context"
	"strings"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
)

// idsAtOnce are asked about in one query. mostClosed bounds the look at closed runs:
// what is beyond counts, whatever a later run did.
const (
	idsAtOnce  = 100
	mostClosed = 5000
)

// Standing counts the workflows that a query finds and that stand so now: those that
// run, and those that closed so, unless a later run of the same ID is open, or is one
// that over finds. A later run that did nothing leaves things as they stood.
func Standing(ctx context.Context, c client.Client, query, over string) (int, error) {
	open, err := counted(ctx, c, query+" AND ExecutionStatus = 'Running'")
	if err != nil {
		return 0, err
	}
	ended := query + " AND ExecutionStatus != 'Running'"
	closed, err := listed(ctx, c, ended, mostClosed)
	if err != nil {
		return 0, err
	}
	beyond := 0
	if len(closed) >= mostClosed {
		all, err := counted(ctx, c, ended)
		if err != nil {
			return 0, err
		}
		beyond = max(0, all-len(closed))
	}
	latest := map[string]time.Time{}
	for _, run := range closed {
		id, began := run.GetExecution().GetWorkflowId(), run.GetStartTime().AsTime()
		if began.After(latest[id]) {
			latest[id] = began
		}
	}
	superseded, err := begunAfter(ctx, c, latest, "(ExecutionStatus = 'Running' OR "+over+")")
	return open + beyond + len(latest) - superseded, err
}

func counted(ctx context.Context, c client.Client, query string) (int, error) {
	count, err := c.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Query: query})
	return int(count.GetCount()), err
}

// begunAfter counts the workflow IDs of which a run that a query finds began after a
// time.
func begunAfter(ctx context.Context, c client.Client, than map[string]time.Time, query string) (int, error) {
	var ids []string
	for id := range than {
		ids = append(ids, "'"+strings.ReplaceAll(id, "'", "''")+"'")
	}
	later := map[string]bool{}
	for len(ids) > 0 {
		n := min(idsAtOnce, len(ids))
		runs, err := listed(ctx, c, "WorkflowId IN ("+strings.Join(ids[:n], ", ")+") AND "+query, mostClosed)
		if err != nil {
			return 0, err
		}
		for _, run := range runs {
			id := run.GetExecution().GetWorkflowId()
			later[id] = later[id] || run.GetStartTime().AsTime().After(than[id])
		}
		ids = ids[n:]
	}
	count := 0
	for _, is := range later {
		if is {
			count++
		}
	}
	return count, nil
}

// listed are the first of those that a query finds.
func listed(ctx context.Context, c client.Client, query string, most int) ([]*workflow.WorkflowExecutionInfo, error) {
	var all []*workflow.WorkflowExecutionInfo
	for run, err := range Found(ctx, c, query) {
		if err != nil {
			return nil, err
		}
		if all = append(all, run); len(all) == most {
			break
		}
	}
	return all, nil
}

// Polls says whether the worker that names itself so polls a queue for workflows or
// activities, as the server sees it.
func (c *Connection) Polls(ctx context.Context, queue string, kind enums.TaskQueueType, identity string) (bool, error) {
	d, err := c.WorkflowService().DescribeTaskQueue(ctx, &workflowservice.DescribeTaskQueueRequest{
		Namespace: c.Namespace, TaskQueueType: kind, TaskQueue: &taskqueue.TaskQueue{Name: queue},
	})
	for _, p := range Recent(d.GetPollers()) {
		if SameWorker(p.GetIdentity(), identity) {
			return true, nil
		}
	}
	return false, err
}

// Works says that some worker is at an activity of a workflow, and that the server
// heard it within a time.
func (c *Connection) Works(ctx context.Context, workflowID, activity string, within time.Duration) (bool, error) {
	worker, heard, err := c.Heard(ctx, workflowID, activity)
	return worker != "" && time.Since(heard) < within, err
}

// Heard is which worker is at an activity of a workflow, as it names itself, and when the
// server heard it last, on the server's clock. The worker is empty when none is at it.
func (c *Connection) Heard(ctx context.Context, workflowID, activity string) (worker string, at time.Time, err error) {
	d, err := c.DescribeWorkflowExecution(ctx, workflowID, "")
	for _, a := range d.GetPendingActivities() {
		if a.GetActivityType().GetName() != activity || a.GetState() != enums.PENDING_ACTIVITY_STATE_STARTED {
			continue
		}
		at = a.GetLastStartedTime().AsTime()
		if beat := a.GetLastHeartbeatTime().AsTime(); beat.After(at) {
			at = beat
		}
		return a.GetLastWorkerIdentity(), at, nil
	}
	return "", time.Time{}, err
}
