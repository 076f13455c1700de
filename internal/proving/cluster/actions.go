package main

import (
	"context"
	"maps"
	"slices"
	"strings"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
)

// actions says how many actions a zone would be on Temporal Cloud, by what histories show
// (https://docs.temporal.io/cloud/actions). Heartbeats and queries leave no event.
func (d *day) actions(ctx context.Context) error {
	c, err := d.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	counted := map[string]int{}
	var token []byte
	for {
		found, err := c.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{PageSize: 1000, NextPageToken: token})
		if err != nil {
			return err
		}
		for _, e := range found.GetExecutions() {
			if strings.HasPrefix(e.GetType().GetName(), "temporal-sys") {
				continue
			}
			if err := countActions(ctx, c, counted, e.GetExecution().GetWorkflowId(), e.GetExecution().GetRunId()); err != nil {
				return err
			}
		}
		if token = found.GetNextPageToken(); len(token) == 0 {
			break
		}
	}
	all := 0
	for _, what := range slices.Sorted(maps.Keys(counted)) {
		all += counted[what]
		say("actions of Temporal Cloud, %s: %.2f a zone", what, float64(counted[what])/float64(d.Zones))
	}
	say("actions of Temporal Cloud, without heartbeats and queries: %.1f a zone", float64(all)/float64(d.Zones))
	return nil
}

func countActions(ctx context.Context, c client.Client, counted map[string]int, workflow, run string) error {
	events := c.GetWorkflowHistory(ctx, workflow, run, false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		if err != nil {
			return err
		}
		if what, n := billed(e); n > 0 {
			counted[what] += n
		}
	}
	return nil
}

// billed is what an event is, and how often it counts: an activity once for each attempt.
func billed(e *history.HistoryEvent) (string, int) {
	switch e.GetEventType() {
	case enums.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
		return "workflows", 1
	case enums.EVENT_TYPE_ACTIVITY_TASK_STARTED:
		return "activities", int(e.GetActivityTaskStartedEventAttributes().GetAttempt())
	case enums.EVENT_TYPE_TIMER_STARTED:
		return "timers", 1
	case enums.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES:
		return "search attributes", 1
	case enums.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
		return "signals", 1
	case enums.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED:
		return "updates", 1
	}
	return "", 0
}
