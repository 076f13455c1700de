package main

import (
	"context"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
)

// history is the size of one type's histories.
type history struct {
	Workflows  int     `json:"workflows"`
	MaxEvents  int64   `json:"maxEvents"`
	MaxBytes   int64   `json:"maxBytes"`
	MeanEvents float64 `json:"meanEvents"`
	MeanBytes  float64 `json:"meanBytes"`

	sumEvents, sumBytes int64
}

func (h *history) add(events, bytes int64) {
	h.Workflows++
	h.sumEvents, h.sumBytes = h.sumEvents+events, h.sumBytes+bytes
	h.MaxEvents, h.MaxBytes = max(h.MaxEvents, events), max(h.MaxBytes, bytes)
	h.MeanEvents = rounded(float64(h.sumEvents) / float64(h.Workflows))
	h.MeanBytes = rounded(float64(h.sumBytes) / float64(h.Workflows))
}

// histories adds the sizes of all histories that Temporal has, by type.
func (s *stand) histories(ctx context.Context, f *figure) error {
	c, err := s.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	f.Histories = map[string]*history{}
	var token []byte
	for {
		found, err := c.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{PageSize: 1000, NextPageToken: token})
		if err != nil {
			return err
		}
		for _, e := range found.GetExecutions() {
			if e, err = sized(ctx, c, e); err != nil {
				return err
			}
			name := e.GetType().GetName()
			if f.Histories[name] == nil {
				f.Histories[name] = &history{}
			}
			f.Histories[name].add(e.GetHistoryLength(), e.GetHistorySizeBytes())
		}
		if token = found.GetNextPageToken(); len(token) == 0 {
			return nil
		}
	}
}

// sized asks for the sizes of workflows that still run, which a list does not
// have.
func sized(ctx context.Context, c client.Client, e *workflow.WorkflowExecutionInfo) (*workflow.WorkflowExecutionInfo, error) {
	if e.GetStatus() != enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
		return e, nil
	}
	described, err := c.DescribeWorkflowExecution(ctx, e.GetExecution().GetWorkflowId(), e.GetExecution().GetRunId())
	return described.GetWorkflowExecutionInfo(), err
}

// largest are the types with the longest history and with the largest one.
func largest(all map[string]*history) (longest, biggest string) {
	var events, bytes int64
	for name, h := range all {
		if h.MaxEvents > events {
			longest, events = name, h.MaxEvents
		}
		if h.MaxBytes > bytes {
			biggest, bytes = name, h.MaxBytes
		}
	}
	return longest, biggest
}
