package temporalclient

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// listing is a list of workflows: exposed are those that the query finds.
type listing struct {
	client.Client
	running int64
	ended   int64                             // what the count of the closed ones says
	closed  []*workflow.WorkflowExecutionInfo // exposed
	others  []*workflow.WorkflowExecutionInfo
	asked   []string
}

func (l *listing) CountWorkflow(_ context.Context, in *workflowservice.CountWorkflowExecutionsRequest) (*workflowservice.CountWorkflowExecutionsResponse, error) {
	l.asked = append(l.asked, in.GetQuery())
	if strings.Contains(in.GetQuery(), "!= 'Running'") {
		return &workflowservice.CountWorkflowExecutionsResponse{Count: l.ended}, nil
	}
	return &workflowservice.CountWorkflowExecutionsResponse{Count: l.running}, nil
}

// ListWorkflow gives a page of two, or of as many as make a few pages.
func (l *listing) ListWorkflow(_ context.Context, in *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error) {
	var found []*workflow.WorkflowExecutionInfo
	if ids, is := strings.CutPrefix(in.GetQuery(), "WorkflowId IN "); is {
		for _, run := range append(l.closed, l.others...) {
			counts := run.GetStatus() != enums.WORKFLOW_EXECUTION_STATUS_FAILED || !strings.HasSuffix(ids, " AND (ExecutionStatus = 'Running' OR KeywaveOutcome = 'done')")
			if counts && strings.Contains(ids, "'"+run.GetExecution().GetWorkflowId()+"'") {
				found = append(found, run)
			}
		}
	} else {
		l.asked = append(l.asked, in.GetQuery())
		found = l.closed
	}
	from := 0
	_, _ = fmt.Sscan(string(in.GetNextPageToken()), &from)
	to := min(from+max(2, len(found)/5), len(found))
	out := &workflowservice.ListWorkflowExecutionsResponse{Executions: found[from:to]}
	if to < len(found) {
		out.NextPageToken = fmt.Append(nil, to)
	}
	return out, nil
}

func ran(id string, hour int) *workflow.WorkflowExecutionInfo {
	return &workflow.WorkflowExecutionInfo{
		Execution: &common.WorkflowExecution{WorkflowId: id},
		StartTime: timestamppb.New(time.Date(2026, 11, 27, hour, 0, 0, 0, time.UTC)),
	}
}

// idle is a run that changed nothing.
func idle(id string, hour int) *workflow.WorkflowExecutionInfo {
	run := ran(id, hour)
	run.Status = enums.WORKFLOW_EXECUTION_STATUS_FAILED
	return run
}

// What ended so stands so until something of the same ID is under way or done: one that
// was terminated, or that could do nothing, has mended nothing.
func TestStanding(t *testing.T) {
	l := &listing{
		running: 2,
		closed:  []*workflow.WorkflowExecutionInfo{ran("zone/a", 1), ran("zone/b", 1), ran("zone/b", 3), ran("zone/c", 1), ran("zone/d", 5)},
		others:  []*workflow.WorkflowExecutionInfo{ran("zone/a", 2), ran("zone/d", 4), idle("zone/c", 6), ran("zone/e", 9)},
	}
	for i := range 300 {
		l.closed = append(l.closed, ran(fmt.Sprintf("zone/n%d", i), 1))
		l.others = append(l.others, ran(fmt.Sprintf("zone/n%d", i), 2))
	}
	n, err := Standing(t.Context(), l, "KeywaveOutcome = 'exposed'", "KeywaveOutcome = 'done'")
	if err != nil || n != 2+3 { // b, c and d; a was repaired
		t.Errorf("%d (%v), want 5", n, err)
	}
	want := []string{"KeywaveOutcome = 'exposed' AND ExecutionStatus = 'Running'", "KeywaveOutcome = 'exposed' AND ExecutionStatus != 'Running'"}
	if len(l.asked) < 2 || l.asked[0] != want[0] || l.asked[1] != want[1] {
		t.Errorf("asked %q", l.asked[:2])
	}
}

// More than can be looked at count, whatever came later.
func TestStandingBeyondTheLook(t *testing.T) {
	l := &listing{ended: mostClosed + 7}
	for i := range mostClosed {
		l.closed = append(l.closed, ran(fmt.Sprintf("zone/n%d", i), 1))
	}
	if n, err := Standing(t.Context(), l, "KeywaveOutcome = 'exposed'", "KeywaveOutcome = 'done'"); err != nil || n != mostClosed+7 {
		t.Errorf("%d (%v), want %d", n, err, mostClosed+7)
	}
}
