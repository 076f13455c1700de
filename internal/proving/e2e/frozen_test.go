package e2e

import (
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"keywave/internal/proving/sim"
	"keywave/internal/proving/stage"
	"keywave/internal/rotation"
	"keywave/workflows"
)

// The active worker is frozen while the answer to one refresh is on its way to
// it. Another refresh waits there for its turn: nothing can call it back, and it
// is not sent yet. Another worker takes over, adopts the first key, and sends the
// others itself. The frozen worker wakes up and sends nothing. Because nobody
// could know that, each zone that waited stays locked until its request would
// have been dead, and is read once more.
func TestFrozenWorker(t *testing.T) {
	const life = 8 * time.Second
	settings := `{waves: [100%], bake: 0s, window: 20, maxFailed: 100%, exposedAfter: 1m, deliverFor: 2m, proofFor: 1m, settle: 1s, signatureLife: 8s}`
	s := raiseAs(t, stage.Config{Zones: 16, Hosts: 4, Limit: 1, Settings: settings, Workers: 2})
	c := planned(t, s, "c", settings, zonesOf(t, s))
	for _, zone := range c.zones {
		strike(t, s, zone, sim.Fault{Kind: "delayAfter", DelayMs: 800}) // shorter than the pace, so that the next one waits
	}
	c.start(t)
	frozen, sent, answering, waiting := freeze(t, s, c)
	edges, err := s.Edges(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	_, since := arrivals(edges, stage.RefreshAction)
	// What the server hands to the frozen worker's open polls is lost too. A zone
	// to which this happens again and again ends unchanged.
	eventually(t, "the other worker does what it can", 5*time.Minute, func() bool {
		st, err := s.Status(t.Context())
		return len(refreshes(t, s)) == len(c.zones) || err == nil && st.State != "running"
	})
	if err := frozen.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if st, err := s.Finish(t.Context(), 5*time.Minute); err != nil {
		t.Fatal(err, st)
	}
	seen := c.look(t)
	for _, zone := range c.zones {
		want := fate{outcome: rotation.Done, sent: 1, executed: 1, keys: -1, lost: true}
		switch {
		case answering[zone]:
			want.why = "adopted by " // an early read, or the read-back
		case waiting[zone]:
			seen.locked(t, zone, since, life)
		}
		seen.met(t, zone, want)
	}
	if len(sent) == len(c.zones) {
		t.Error("every zone was refreshed before the worker was frozen")
	}
	truth(t, s)
}

// freeze stops the active worker while one of its refreshes is being answered and another
// one waits for its turn. That is so most of the time, and it is looked at when the worker
// stands still: on a busy machine it is over before somebody has looked. A worker that had
// neither goes on, and the one that is active then is stopped. sent are the zones whose
// refresh had arrived by then.
func freeze(t *testing.T, s *stage.Stack, c *run) (worker *stage.Process, sent map[string]int, answering, waiting map[string]bool) {
	t.Helper()
	look := func() bool {
		sent, answering, waiting = refreshes(t, s), map[string]bool{}, map[string]bool{}
		for _, zone := range c.zones {
			switch {
			case !refreshing(t, s, zone):
			case sent[zone] > 0:
				answering[zone] = true
			default:
				waiting[zone] = true
			}
		}
		return len(answering) > 0 && len(waiting) > 0
	}
	eventually(t, "a worker stands still while one refresh is answered and another one waits", 3*time.Minute, func() bool {
		active := holder(t, s, workflows.LeaseID("default"))
		if active < 0 || len(refreshes(t, s)) == 0 {
			return false
		}
		worker = s.Workers[active]
		if err := worker.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		if err := stage.Pause(t.Context(), time.Second); err != nil { // what was under way arrives
			t.Fatal(err)
		}
		if look() {
			return true
		}
		if err := worker.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		return false
	})
	return worker, sent, answering, waiting
}

// Every process stops for one and a half seconds, one after the other and all at once, as
// a busy machine or a short pause of a virtual one lets it. That stops nothing: the
// active worker stays the active one, each zone is refreshed once, and no second is above
// the limit.
func TestShortStops(t *testing.T) {
	const stop = 1500 * time.Millisecond
	s := raise(t, 160, 12, 2)
	if err := s.StartCampaign(t.Context()); err != nil {
		t.Fatal(err)
	}
	server := s.Temporal.Process
	stalled := watchStalls(t)
	done, longest := 0, time.Duration(0)
	for i, stopped := range [][]*stage.Process{{s.Workers[0]}, {s.Workers[1]}, {server}, {server, s.Workers[0], s.Workers[1]}} {
		done += 20
		eventually(t, "zones are refreshed", 3*time.Minute, func() bool { return len(refreshes(t, s)) >= done })
		if n := len(refreshes(t, s)); n == s.Config.Zones {
			t.Fatalf("the campaign was over before stop %d", i)
		}
		began := time.Now()
		for _, sent := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGCONT} {
			for _, p := range stopped {
				if err := p.Signal(sent); err != nil {
					t.Fatal(err)
				}
			}
			if sent == syscall.SIGSTOP {
				if err := stage.Pause(t.Context(), stop); err != nil {
					t.Fatal(err)
				}
			}
		}
		longest = max(longest, time.Since(began))
	}
	st, err := s.Finish(t.Context(), 3*time.Minute)
	if err != nil || st.Zones["done"] != s.Config.Zones {
		t.Fatal(err, st)
	}
	switch active, alone := activations(t, s), stalled(); {
	case longest+alone > 3*time.Second: // on top comes what a worker on a busy machine needs before it is heard
		t.Logf("a stop lasted for %s, and this machine stood still for %s by itself: workers %v became active", longest, alone, active)
	case len(active) != 1:
		t.Errorf("workers %v became active, one after the other; none was stopped for as long as a lease", active)
	}
	truth(t, s)
	onceEach(t, s)
}

// watchStalls says for how long a process that only wanted to look at the clock had to wait
// for this machine, at most.
func watchStalls(t *testing.T) (longest func() time.Duration) {
	t.Helper()
	const every = 50 * time.Millisecond
	var worst atomic.Int64
	go func() {
		for last := time.Now(); stage.Pause(t.Context(), every) == nil; last = time.Now() {
			worst.Store(max(worst.Load(), int64(time.Since(last)-every)))
		}
	}()
	return func() time.Duration { return time.Duration(worst.Load()) }
}
