package e2e

import (
	"testing"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"

	"keywave/internal/proving/stage"
)

// Workers are replaced one after the other during a campaign, as in an upgrade.
// Each is told to stop, and ends what it holds. It leaves with no task that it
// has not answered: a workflow would wait for such a task until it times out.
func TestUpgradeUnderARunningCampaign(t *testing.T) {
	s := raise(t, 200, 8, 2)
	if err := s.StartCampaign(t.Context()); err != nil {
		t.Fatal(err)
	}
	gone := map[*stage.Process]time.Time{}
	for i, done := range []int{40, 110} {
		eventually(t, "so many are refreshed", 3*time.Minute, func() bool { return len(refreshes(t, s)) >= done })
		if n := len(refreshes(t, s)); n == s.Config.Zones {
			t.Fatalf("the campaign was over before worker %d was stopped", i)
		}
		worker := s.Workers[i]
		worker.Stop(30 * time.Second)
		gone[worker] = time.Now()
		if err := s.StartWorker(i); err != nil {
			t.Fatal(err)
		}
	}
	must(t, s, "campaign", "watch", "c")
	truth(t, s)
	onceEach(t, s)
	for _, id := range lost(t, s, gone) {
		t.Errorf("a workflow task of %s went to a worker that stopped, and was lost for 10 s", id)
	}
}

// lost are the workflows with a task that was given to a worker and timed out after
// that one's end. A worker that lives can be too slow for a task, on a busy machine.
func lost(t *testing.T, s *stage.Stack, gone map[*stage.Process]time.Time) []string {
	t.Helper()
	c := temporal(t, s)
	found, err := c.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{PageSize: 1000})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, e := range found.GetExecutions() {
		id := e.GetExecution().GetWorkflowId()
		givenTo := map[int64]string{}
		events := c.GetWorkflowHistory(t.Context(), id, e.GetExecution().GetRunId(), false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for events.HasNext() {
			event, err := events.Next()
			if err != nil {
				t.Fatal(err)
			}
			if started := event.GetWorkflowTaskStartedEventAttributes(); started != nil {
				givenTo[event.GetEventId()] = started.GetIdentity()
			}
			out := event.GetWorkflowTaskTimedOutEventAttributes()
			if out.GetTimeoutType() != enums.TIMEOUT_TYPE_START_TO_CLOSE {
				continue
			}
			for worker, ended := range gone {
				if named(worker, givenTo[out.GetStartedEventId()]) && event.GetEventTime().AsTime().After(ended) {
					ids = append(ids, id)
				}
			}
		}
	}
	return ids
}
