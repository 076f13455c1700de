package workflows_test

import (
	"strings"
	"testing"
	"time"

	sdkpb "go.temporal.io/api/sdk/v1"

	"keywave/activities"
	"keywave/internal/rotation"
	"keywave/workflows"
)

// toldBy is the last news that the campaign had been told at that time.
func (w *world) toldBy(at time.Duration) (last workflows.ShardNews) {
	for _, s := range w.said {
		if n, ok := s.arg.(workflows.ShardNews); ok && s.at.Sub(noon) <= at {
			last = n
		}
	}
	return last
}

// A shard that waits for its page, for an earlier run's records or for a probe
// obeys stop and close at once, whoever does not answer.
func TestShardStopsWhileItWaits(t *testing.T) {
	for name, queue := range map[string]string{
		"the page or the records": workflows.Queue, "a probe": workflows.EdgeOneQueue(account),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 6, 3, 2)
			w.queued = noWorkers(queue, forever)
			in := w.shardIn(4)
			in.Again = true
			in.Before = workflows.ShardOut{Tally: rotation.Tally{Zones: rotation.Counts{Total: 6, Exposed: 1, Pending: 5}}}
			id := workflows.ShardID("c", 1)
			w.after(time.Minute, func() { w.control(id, workflows.Control{Seq: 1, Stop: true, Window: 4}) })
			w.after(2*time.Minute, func() { w.control(id, workflows.Control{Seq: 2, Stop: true, Close: true, Window: 4}) })
			var out workflows.ShardOut
			w.execute(id, workflows.TypeShard, in, &out)
			if told := w.toldBy(time.Minute + time.Second); !told.Quiet || told.Seq != 1 {
				t.Errorf("a second after the stop the campaign knows %+v", told)
			}
			if took := w.env.Now().Sub(noon); took > 2*time.Minute+time.Second || out.Tally.Zones.Total != 6 {
				t.Errorf("it ended after %s: %+v", took, out)
			}
			if name != "a probe" && out.Tally.Zones.Exposed != 1 {
				t.Errorf("what was known of the page is lost: %+v", out.Tally.Zones)
			}
		})
	}
}

// A refresh that has begun and does not answer is counted as exposed in time.
// One that is still in its queue has sent nothing, and does not count.
func TestShardCountsRefreshesThatDoNotAnswer(t *testing.T) {
	w := newWorld(t, 4, 4, 2)
	w.zones["zone-01"].refresh = []refreshing{slow(50 * time.Second)}
	w.queued = func(t *task) time.Duration {
		if t.name == workflows.ActRefresh && t.workflow != workflows.ZoneID("zone-01") {
			return 50 * time.Second
		}
		return 0
	}
	out := w.shard(w.shardIn(4))
	told := w.toldBy(36 * time.Second)
	if told.Tally.Zones.Exposed != 1 || told.Standing != (rotation.Standings{Alive: 3}) {
		t.Errorf("after 36 s it says %+v, %+v\n%s", told.Tally.Zones, told.Standing, w.story())
	}
	if len(told.Note.Attention) != 1 || told.Note.Attention[0].Zone != "zone-01" {
		t.Errorf("%+v", told.Note)
	}
	if w.runs[workflows.ActBegun] > 8+5 { // of the shard, and of the zone after each early read
		t.Errorf("Temporal was asked %d times in 50 s", w.runs[workflows.ActBegun])
	}
	if out.Tally.Zones.Done != 4 {
		t.Errorf("%+v", out.Tally.Zones)
	}
}

// EdgeOne rejects every request. After stallAfter the campaign is told that
// there is no progress, and why. When there is progress again, it is told that
// too.
func TestShardTellsThatNothingGetsOn(t *testing.T) {
	w := newWorld(t, 6, 4, 2)
	const skew = "EdgeOne rejects the time of the signature"
	w.says = skew
	w.took.refresh = 100 * time.Second
	in := w.shardIn(3)
	in.Timing.ProofFor = rotation.Span(3 * time.Minute)
	w.after(90*time.Second, func() { w.took.refresh, w.says = 200*time.Millisecond, "" })
	out := w.shard(in)
	idle, over := w.toldBy(65*time.Second), w.toldBy(150*time.Second)
	if idle.Idle.IsZero() || len(idle.Causes) != 1 || idle.Causes[0] != (rotation.Cause{Zones: 3, Why: skew}) {
		t.Errorf("after 65 s it is idle since %s because of %+v\n%s", idle.Idle, idle.Causes, w.story())
	}
	if !over.Idle.IsZero() || out.Tally.Zones.Done != 6 {
		t.Errorf("it is idle since %s\n%s", over.Idle, w.story())
	}
}

// Hours in which nothing could start are no stall.
func TestShardThatWaitsIsNotIdle(t *testing.T) {
	for name, set := range map[string]func(w *world){
		"stopped":          func(w *world) { w.stopAndClose(300*time.Millisecond, 2) },
		"a window of held": func(w *world) { w.each(func(z *edgeZone) { z.refresh = []refreshing{unanswered(-1)} }) },
		"a host set aside": func(w *world) { w.each(func(z *edgeZone) { w.machines[z.hosts[0].Name].down(noon, forever) }) },
		"all busy elsewhere": func(w *world) {
			w.each(func(z *edgeZone) {
				w.await[workflows.ZoneID(z.id)] = awaitAnswer{out: activities.AwaitOut{Busy: "other"}, again: true}
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 8, 4, 1)
			set(w)
			w.shard(w.shardIn(2))
			for _, s := range w.said {
				if n, ok := s.arg.(workflows.ShardNews); ok && !n.Idle.IsZero() {
					t.Errorf("at %s it is idle since %s because of %+v\n%s", s.at.Sub(noon), n.Idle.Sub(noon), n.Causes, w.story())
				}
			}
		})
	}
}

func (w *world) each(do func(z *edgeZone)) {
	for _, id := range w.order {
		do(w.zones[id])
	}
}

// Held zones are told, with the time at which they end.
func TestShardTellsWhatItsZonesWaitFor(t *testing.T) {
	w := newWorld(t, 5, 4, 2)
	for _, id := range w.order[:3] {
		w.zones[id].refresh = []refreshing{unanswered(-1)}
	}
	w.await[workflows.ZoneID("zone-05")] = awaitAnswer{out: activities.AwaitOut{Busy: "other"}, again: true}
	w.shard(w.shardIn(4))
	told := w.toldBy(2 * time.Minute)
	if told.Standing != (rotation.Standings{NotBegun: 1, Held: 3}) || len(told.Waits) != 2 {
		t.Fatalf("%+v %+v\n%s", told.Standing, told.Waits, w.story())
	}
	held, busy := told.Waits[0], told.Waits[1]
	if held.Zones != 3 || held.Standing != rotation.Held || held.Until.Sub(noon) < 5*time.Minute || held.Until.Sub(noon) > 6*time.Minute {
		t.Errorf("%+v", held)
	}
	if busy.Zones != 1 || busy.Standing != rotation.NotBegun || busy.Example != "zone-05" || !strings.Contains(busy.Why, "busy elsewhere: other") {
		t.Errorf("%+v", busy)
	}
}

// A page that has ended shows its end in the Temporal UI.
func TestShardShowsItsEnd(t *testing.T) {
	w := newWorld(t, 12, 4, 2)
	w.shard(w.shardIn(4))
	answer, err := w.env.QueryWorkflow("__temporal_workflow_metadata")
	if err != nil {
		t.Fatal(err)
	}
	var metadata sdkpb.WorkflowMetadata
	if err := answer.Get(&metadata); err != nil || !strings.Contains(metadata.CurrentDetails, "has ended: 12 of 12 zones done") {
		t.Errorf("%v: %s", err, metadata.CurrentDetails)
	}
}
