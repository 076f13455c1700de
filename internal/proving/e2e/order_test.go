package e2e

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	sdkworker "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"keywave/internal/metrics"
	"keywave/internal/rotation"
	"keywave/internal/telemetry"
	"keywave/internal/temporalclient"
)

// A signal comes in while a workflow's task carries out an order and ends the workflow.
// Temporal fails that task, and the order with it. The order is given again: the person
// who gave it sees an answer. What the task counted is counted once, although the task was
// carried out twice.
func TestOrderOfATaskThatFails(t *testing.T) {
	s := raise(t, 1, 1, 0)
	ctx := t.Context()
	measured, err := telemetry.Start(ctx, telemetry.Options{Page: true, Name: "test", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	dialled, err := client.Dial(client.Options{HostPort: s.Temporal.Address, MetricsHandler: measured.Handler})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dialled.Close)
	conn := &temporalclient.Connection{Client: dialled}
	const name, queue, order = "ends-by-order", "orders", "end"

	var first sync.Once
	given, signalled := make(chan struct{}), make(chan struct{})
	ends := func(ctx workflow.Context) error {
		ordered := false
		err := workflow.SetUpdateHandler(ctx, order, func(_ workflow.Context, by string) (string, error) {
			first.Do(func() { close(given); <-signalled })
			ordered = true
			return "ended by " + by, nil
		})
		if err != nil {
			return err
		}
		err = workflow.Await(ctx, func() bool { return ordered })
		workflow.GetMetricsHandler(ctx).WithTags(map[string]string{metrics.Event: "end", metrics.Outcome: "done", metrics.Strategy: rotation.RefreshWord}).Counter(metrics.Zones).Inc(1)
		return err
	}
	w := sdkworker.New(conn.Client, queue, sdkworker.Options{DeadlockDetectionTimeout: time.Minute})
	w.RegisterWorkflowWithOptions(ends, workflow.RegisterOptions{Name: name})
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	run, err := conn.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: name, TaskQueue: queue}, name)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		<-given
		if err := conn.SignalWorkflow(ctx, name, "", "news", nil); err != nil {
			t.Error(err)
		}
		close(signalled)
	}()
	var answer string
	if err := conn.Order(ctx, name, order, "a person", &answer); err != nil || answer != "ended by a person" {
		t.Fatalf("%q, %v", answer, err)
	}
	if err := run.Get(ctx, nil); err != nil {
		t.Error(err)
	}
	failed := 0
	for events := conn.GetWorkflowHistory(ctx, name, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); events.HasNext(); {
		e, err := events.Next()
		if err != nil {
			t.Fatal(err)
		}
		if e.GetWorkflowTaskFailedEventAttributes().GetCause() == enums.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND {
			failed++
		}
	}
	if failed != 1 {
		t.Errorf("%d tasks failed; the order met none", failed)
	}
	page := httptest.NewRecorder()
	measured.Page.ServeHTTP(page, httptest.NewRequestWithContext(ctx, http.MethodGet, "/metrics", nil))
	if said := page.Body.String(); !strings.Contains(said, `keywave_zones_total{outcome="done",strategy="refresh"} 1`) {
		t.Errorf("a task that was carried out twice counted otherwise than once:\n%s", said)
	}
}
