package e2e

import (
	"context"
	"slices"
	"testing"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	sdkworker "go.temporal.io/sdk/worker"

	"keywave/activities"
	"keywave/internal/rotation"
	"keywave/internal/temporalclient"
	"keywave/workflows"
)

// An orchestrator that is slow, or starts again, gets in one task what has come meanwhile.
// A zone then hears that a worker is lost before it acts on its refresh's answer: no
// delivery waits at the lost worker's own queue.
func TestOrdersAreHeardBeforeAnswers(t *testing.T) {
	s := raise(t, 1, 1, 0)
	ctx := t.Context()
	conn := &temporalclient.Connection{Client: temporal(t, s), Namespace: client.DefaultNamespace}
	if err := conn.EnsureSearchAttributes(ctx, workflows.Attributes()); err != nil {
		t.Fatal(err)
	}

	const zone, hk, account, own = rotation.ZoneID("zone-aaaaaaaaaaaa"), rotation.Location("hk"), rotation.Account("default"), "own-queue"
	host := rotation.HostRef{Name: "h1", Location: hk, Digest: "d"}
	const was, is = rotation.Fingerprint("00000000000000aa"), rotation.Fingerprint("00000000000000bb")
	begun, answer := make(chan struct{}), make(chan struct{})
	works := func(queue, name string, does any) {
		t.Helper()
		w := sdkworker.New(conn.Client, queue, sdkworker.Options{MaxHeartbeatThrottleInterval: time.Second})
		w.RegisterActivityWithOptions(does, activity.RegisterOptions{Name: name})
		if err := w.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(w.Stop)
	}
	works(workflows.RefreshQueue(account), workflows.ActRefresh, func(ctx context.Context, _ activities.RefreshIn) (activities.RefreshOut, error) {
		close(begun)
		for waits := true; waits; { // a refresh that is not heard of counts as lost
			activity.RecordHeartbeat(ctx)
			select {
			case <-answer:
				waits = false
			case <-time.After(time.Second):
			}
		}
		return activities.RefreshOut{Sending: activities.Answered, SentAt: time.Now(), Key: is, Sealed: map[rotation.Location][]byte{hk: []byte("sealed")}}, nil
	})
	works(workflows.LocationQueue(hk), workflows.ActDeliver, func(_ context.Context, in activities.DeliverIn) (activities.DeliverOut, error) {
		return activities.DeliverOut{Acks: []rotation.Ack{{Host: host.Name, Held: in.Key, At: time.Now()}}}, nil
	})
	works(workflows.EdgeOneQueue(account), workflows.ActRead, func(context.Context, activities.ReadIn) (activities.ReadOut, error) {
		return activities.ReadOut{Key: is}, nil
	})
	orchestrate := func() sdkworker.Worker {
		t.Helper()
		w := sdkworker.New(conn.Client, workflows.Queue, sdkworker.Options{})
		workflows.RegisterWorkflows(w)
		if err := w.Start(); err != nil {
			t.Fatal(err)
		}
		return w
	}

	first := orchestrate()
	span := func(d time.Duration) rotation.Span { return rotation.Span(d) }
	run, err := conn.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: workflows.ZoneID(zone), TaskQueue: workflows.Queue}, workflows.TypeZone, workflows.ZoneIn{
		Verb: rotation.Rotate, Zone: zone, Account: account, Hosts: []rotation.HostRef{host}, Baseline: was,
		Proofs: []rotation.Proof{{Host: host.Name, At: time.Now(), Queue: own}}, By: "a test", Reason: "a test",
		Timing: rotation.Timing{ProofFor: span(time.Minute), Settle: span(time.Second), SignatureLife: span(time.Second), ExposedAfter: span(time.Minute), DeliverFor: span(time.Minute)},
	})
	if err != nil {
		t.Fatal(err)
	}
	<-begun
	first.Stop()
	if err := conn.SignalWorkflow(ctx, run.GetID(), "", workflows.SignalZoneOrder, workflows.ZoneOrder{Lost: own}); err != nil {
		t.Fatal(err)
	}
	close(answer)
	events := func() (all []string) {
		for read := conn.GetWorkflowHistory(ctx, run.GetID(), "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); read.HasNext(); {
			e, err := read.Next()
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, e.GetEventType().String()+" "+e.GetActivityTaskScheduledEventAttributes().GetTaskQueue().GetName())
		}
		return all
	}
	eventually(t, "the refresh has ended", 3*time.Minute, func() bool {
		return slices.Contains(events(), enums.EVENT_TYPE_ACTIVITY_TASK_COMPLETED.String()+" ")
	})

	second := orchestrate()
	t.Cleanup(second.Stop)
	var r rotation.Record
	if err := run.Get(ctx, &r); err != nil || r.Outcome != rotation.Done {
		t.Fatalf("%+v, %v", r, err)
	}
	if all := events(); slices.Contains(all, enums.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED.String()+" "+own) {
		t.Errorf("a delivery waited at the lost worker's own queue: %q", all)
	}
	if !slices.Contains(r.Gone, own) {
		t.Errorf("its shard is told that %v are gone", r.Gone)
	}
}
