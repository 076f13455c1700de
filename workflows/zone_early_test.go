package workflows_test

import (
	"testing"
	"time"

	"go.temporal.io/sdk/workflow"

	"keywave/activities"
	"keywave/internal/rotation"
	"keywave/workflows"
)

// late is a refresh that is executed at once and answered only then.
func late(d time.Duration) refreshing {
	return func(ctx workflow.Context, t *task, z *edgeZone, in activities.RefreshIn) (any, error) {
		at := t.world.sign(ctx, z, in)
		key := z.execute()
		_ = workflow.Sleep(ctx, d)
		return activities.RefreshOut{
			Sending: activities.Answered, SentAt: at.UTC(), Key: z.print(key), Sealed: seal(in.Hosts, z.id, key), API: rotation.API{Refresh: 1},
		}, nil
	}
}

// recallable is a refresh that waits for its turn, and is cancelled before it comes.
func recallable(ctx workflow.Context, t *task, z *edgeZone, in activities.RefreshIn) (any, error) {
	if t.sleep(ctx, time.Minute) {
		return refreshed(ctx, t, z, in)
	}
	return activities.RefreshOut{Sending: activities.NotSent, Why: "cancelled before it was sent", Back: rotation.BackStopped}, nil
}

// A refresh that has begun and does not answer is not waited for: a process that stands
// by reads the key, and the hosts get it. The zone ends after the refresh has.
func TestZoneReadsEarly(t *testing.T) {
	for _, c := range []struct {
		name       string
		refresh    refreshing
		standby    bool
		set        func(*world, *edgeZone)
		atMost     time.Duration // of exposure
		ends       time.Duration // the zone, at the soonest
		sent, made int
	}{
		{"the worker is lost", workerLost(0), true, nil, 2 * time.Second, 6 * time.Second, 1, 1},
		{"the worker is lost, and nobody stands by", workerLost(0), false, nil, 8 * time.Second, 6 * time.Second, 1, 1},
		{"the answer takes eight seconds", late(8 * time.Second), true, nil, 2 * time.Second, 8 * time.Second, 1, 1},
		{"it is executed after the first early read", workerLost(1500 * time.Millisecond), true, nil, 4 * time.Second, 6 * time.Second, 1, 1},
		{"somebody makes a key while it waits for its turn", recallable, true, func(w *world, z *edgeZone) {
			w.after(500*time.Millisecond, func() { z.execute() })
		}, 2 * time.Second, 0, 0, 1},
		{"the worker that proved the hosts is lost too", workerLost(0), true, func(w *world, _ *edgeZone) {
			w.queued = noWorkers(ownQueue("hk"), forever)
		}, 2 * time.Second, 6 * time.Second, 1, 1},
		{"that one is lost too, and nobody stands by", workerLost(0), false, func(w *world, _ *edgeZone) {
			w.queued = noWorkers(ownQueue("hk"), forever)
		}, 6500 * time.Millisecond, 6 * time.Second, 1, 1},
		{"it is taken half a second late, and the worker is lost then", workerLost(0), true, func(w *world, _ *edgeZone) {
			w.queued = func(asked *task) time.Duration {
				if asked.name == workflows.ActRefresh {
					return 500 * time.Millisecond
				}
				return 0
			}
		}, 3 * time.Second, 6 * time.Second, 1, 1},
		{"a host is away meanwhile", workerLost(0), true, func(w *world, _ *edgeZone) {
			w.machines["h1"].down(noon, 20*time.Second)
		}, 40 * time.Second, 20 * time.Second, 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, 1, 2, 2)
			w.standby = c.standby
			z := w.zones[theZone]
			z.refresh = []refreshing{c.refresh}
			if c.set != nil {
				c.set(w, z)
			}
			began := w.env.Now()
			r := w.rotate(w.zoneIn(theZone))
			if r.Outcome != rotation.Done || z.sent != c.sent || z.executed != c.made {
				t.Fatalf("%s because %q, %d sent, %d executed\n%s", r.Outcome, r.Why, z.sent, z.executed, w.story())
			}
			if exposed := time.Duration(r.ExposureMs) * time.Millisecond; exposed > c.atMost {
				t.Errorf("it was exposed for %s\n%s", exposed, w.story())
			}
			if took := r.EndedAt.Sub(began); took < c.ends {
				t.Errorf("it ended after %s, and its refresh may have run until %s\n%s", took, c.ends, w.story())
			}
			for _, m := range w.machines {
				if m.files[theZone] != z.live() {
					t.Errorf("%s does not hold the live key\n%s", m.ref.Name, w.story())
				}
			}
		})
	}
}

// With a process that stands by, every story ends as without one.
func TestZoneStoriesWithAStandby(t *testing.T) {
	tellZoneStories(t, func(w *world) { w.standby = true }, func(*world) {})
}

// A quick answer costs no early read, and no question to Temporal.
func TestZoneReadsNothingEarlyWhereAllIsWell(t *testing.T) {
	w := newWorld(t, 1, 2, 2)
	w.standby = true
	if r := w.rotate(w.zoneIn(theZone)); r.Outcome != rotation.Done || w.runs[workflows.ActRead] != 1 || w.runs[workflows.ActBegun] != 0 {
		t.Errorf("%s; activities %v\n%s", r.Outcome, w.runs, w.story())
	}
}

// A zone that is told that a process may be lost has no delivery wait for it, and keeps
// waiting for its refresh: only what is known of that begins its exposure.
func TestZoneAvoidsAProcessThatMayBeLost(t *testing.T) {
	for _, c := range []struct {
		name  string
		order workflows.ZoneOrder
		own   int // deliveries that wait for the worker that proved the hosts
	}{
		{"the one that proved the hosts", workflows.ZoneOrder{Lost: "hk"}, 0},
		{"another one", workflows.ZoneOrder{Lost: "elsewhere"}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, 1, 1, 1)
			own := 0
			w.queued = func(asked *task) time.Duration {
				switch {
				case asked.name == workflows.ActRefresh:
					return 5 * time.Second
				case asked.name == workflows.ActDeliver && asked.options.TaskQueue == ownQueue("hk"):
					own++
				}
				return 0
			}
			w.after(time.Second, func() { w.env.SignalWorkflow(workflows.SignalZoneOrder, c.order) })
			r := w.rotate(w.zoneIn(theZone))
			if r.Outcome != rotation.Done || own != c.own || w.runs[workflows.ActDeliver] != 1 {
				t.Errorf("%s; %d deliveries to the worker that proved the hosts, want %d\n%s", r.Outcome, own, c.own, w.story())
			}
			if known := len(r.Gone) == 1; known != (c.own == 0) {
				t.Errorf("its shard is told that %v are gone", r.Gone)
			}
		})
	}
}

// A delivery that waits for a worker that may be lost, or that it has begun, is not waited
// for: another worker of the location brings the key too. Whoever ends first is believed.
func TestZoneHasAnotherWorkerBringTheKeyToo(t *testing.T) {
	const told = 200 * time.Millisecond
	stuck := func(d time.Duration) putting {
		return func(ctx workflow.Context, _ *machine, _ rotation.ZoneID, _ string) (rotation.Ack, bool) {
			_ = workflow.Sleep(ctx, d)
			return rotation.Ack{}, false
		}
	}
	for _, c := range []struct {
		name   string
		set    func(*world)
		atMost time.Duration // of exposure
		begun  int           // deliveries
	}{
		{"it waits in the lost worker's queue", func(w *world) { w.queued = noWorkers(ownQueue("hk"), forever) }, told + 100*time.Millisecond, 1},
		{"the lost worker has begun it", func(w *world) { w.machines["h1"].put = []putting{stuck(time.Minute)} }, told + 100*time.Millisecond, 2},
		{"the worker lives, and is first", func(w *world) {
			w.machines["h1"].put = []putting{stuck(time.Second)}
			w.queued = noWorkers(workflows.LocationQueue("hk"), 5*time.Second)
		}, 1100 * time.Millisecond, 1},
		{"the worker lives, is first, and fails", func(w *world) {
			w.machines["h1"].put = []putting{func(ctx workflow.Context, m *machine, _ rotation.ZoneID, _ string) (rotation.Ack, bool) {
				_ = workflow.Sleep(ctx, time.Second)
				return rotation.Ack{Host: m.ref.Name, Problem: "reload: status 1"}, true
			}}
			w.queued = noWorkers(workflows.LocationQueue("hk"), 3*time.Second)
		}, 3300 * time.Millisecond, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, 1, 1, 1)
			z := w.zones[theZone]
			c.set(w)
			w.took.refresh, w.took.put = 0, 0
			w.after(told, func() { w.env.SignalWorkflow(workflows.SignalZoneOrder, workflows.ZoneOrder{Lost: ownQueue("hk")}) })
			r := w.rotate(w.zoneIn(theZone))
			if r.Outcome != rotation.Done || w.runs[workflows.ActDeliver] != c.begun {
				t.Fatalf("%s because %q; %d deliveries, want %d\n%s", r.Outcome, r.Why, w.runs[workflows.ActDeliver], c.begun, w.story())
			}
			if exposed := time.Duration(r.ExposureMs) * time.Millisecond; exposed > c.atMost {
				t.Errorf("it was exposed for %s, want at most %s\n%s", exposed, c.atMost, w.story())
			}
			if w.machines["h1"].files[theZone] != z.live() {
				t.Errorf("the host does not hold the live key\n%s", w.story())
			}
		})
	}
}
