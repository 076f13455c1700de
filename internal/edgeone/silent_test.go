package edgeone

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// silentWorld is an active process that is cut off from Temporal now and then, and goes on
// reading as long as it may; and one that stands by, and reads for it when it is silent.
type silentWorld struct {
	rng    *rand.Rand
	lease  Lease
	active *Pace
	early  *Pace

	mu    sync.Mutex
	cut   bool
	beats int // that Temporal has heard
	reads map[*Pace][]time.Time
}

func (w *silentWorld) travel() {
	w.mu.Lock()
	d := time.Duration(w.rng.Int64N(int64(150 * time.Millisecond)))
	w.mu.Unlock()
	time.Sleep(d)
}

// through waits for the connection, at most for as long as a heartbeat does.
func (w *silentWorld) through(ctx context.Context, within time.Duration) bool {
	for until := time.Now().Add(within); time.Now().Before(until) && ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
		w.mu.Lock()
		cut := w.cut
		w.mu.Unlock()
		if !cut {
			return true
		}
	}
	return false
}

func (w *silentWorld) beat(ctx context.Context) {
	for ; ctx.Err() == nil; time.Sleep(250 * time.Millisecond) {
		sent := time.Now()
		w.travel()
		if !w.through(ctx, 4*time.Second) {
			continue
		}
		w.mu.Lock()
		w.beats++
		w.mu.Unlock()
		w.travel()
		if w.through(ctx, 4*time.Second) {
			w.lease.Extend(sent, time.Hour) // that the lease itself ends is told elsewhere
		}
	}
}

// look is the vigil of the process that stands by.
func (w *silentWorld) look(ctx context.Context) {
	const every = 150 * time.Millisecond
	seen, since := -1, time.Now()
	for ; ctx.Err() == nil; time.Sleep(every) {
		w.mu.Lock()
		beats := w.beats
		w.mu.Unlock()
		now := time.Now()
		if beats != seen {
			seen, since = beats, now
		}
		if now.Sub(since) >= SilentFor {
			w.early.Alone(now.Add(2 * every))
		}
	}
}

func (w *silentWorld) read(ctx context.Context, p *Pace, after func() time.Duration) {
	for ctx.Err() == nil {
		if d := after(); d > 0 {
			time.Sleep(min(d, lookAgain))
			continue
		}
		if p.wait(ctx, ActionDescribe) != nil {
			return
		}
		m, _ := p.write(ctx, ActionDescribe, func() (bool, error) {
			if after() > 0 {
				return false, errReadLater
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			w.reads[p] = append(w.reads[p], time.Now())
			return true, nil
		})
		p.answered(m)
	}
}

// A process that is cut off from Temporal reads no more by the time at which another one
// makes its reads, and the other one makes them no more when it reads again: together they
// keep the limit. A silent process costs its zones little time, because the other one reads
// at the whole pace.
func TestReadsInASilentProcessesPlace(t *testing.T) {
	for seed := range uint64(12) {
		synctest.Test(t, func(t *testing.T) {
			const limit = 20
			active, early := NewPaces(limit)
			w := &silentWorld{rng: rand.New(rand.NewPCG(seed, 7)), active: active, early: early, reads: map[*Pace][]time.Time{}}
			ctx, end := context.WithCancel(t.Context())
			var all sync.WaitGroup
			all.Go(func() { w.beat(ctx) })
			all.Go(func() { w.look(ctx) })
			for range 8 {
				all.Go(func() { w.read(ctx, active, w.lease.ReadsAfter) })
				all.Go(func() { w.read(ctx, early, func() time.Duration { return 0 }) })
			}
			for range 30 { // connected for a while, cut off for a while
				for _, cut := range []bool{false, true} {
					w.mu.Lock()
					w.cut = cut
					d := time.Duration(w.rng.Int64N(int64(5 * time.Second)))
					w.mu.Unlock()
					time.Sleep(d)
				}
			}
			end()
			all.Wait()
			both := append(append([]time.Time{}, w.reads[active]...), w.reads[early]...)
			if most := busiest(both, time.Second); most > limit {
				t.Errorf("seed %d: %d reads in one second, limit %d", seed, most, limit)
			}
			if most := busiest(w.reads[early], time.Second); most < 15 {
				t.Errorf("seed %d: of a silent process no more than %d zones are read in a second", seed, most)
			}
			if most := busiest(w.reads[active], time.Second); most < 15 {
				t.Errorf("seed %d: the active process makes %d reads in a second", seed, most)
			}
		})
	}
}

// A read needs a grant that is young, and after a gap a while without another one.
func TestReadsAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Lease
		waits := func(want time.Duration, when string) {
			t.Helper()
			if got := l.ReadsAfter(); got != want {
				t.Errorf("%s: reads wait for %s, want %s", when, got, want)
			}
		}
		grant := func() { l.Extend(time.Now(), 4*time.Second) }
		waits(readPause, "never granted")
		grant()
		waits(readPause, "just granted")
		time.Sleep(time.Second)
		grant()
		waits(readPause-time.Second, "granted again")
		time.Sleep(time.Second)
		grant()
		waits(0, "granted for a while")
		time.Sleep(readLife - 1)
		waits(0, "the last instant")
		time.Sleep(time.Nanosecond)
		waits(readPause, "silent for too long")
		grant()
		waits(0, "granted in the last instant, with no gap that the other one could use")
		time.Sleep(readLife + 1)
		grant()
		waits(readPause, "granted after a gap")
		l.Drop()
		time.Sleep(readPause)
		waits(readPause, "dropped")
	})
}
