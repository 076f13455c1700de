package deliver_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"keywave/internal/deliver"
)

func TestReloadsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r deliver.Reloads
		var ran atomic.Int32
		reload := func(bool) bool { ran.Add(1); time.Sleep(time.Second); return true }
		var group sync.WaitGroup
		for i := range 10 {
			group.Go(func() {
				time.Sleep(time.Duration(i) * 100 * time.Millisecond)
				r.Share(t.Context(), reload)
			})
		}
		group.Wait()
		if ran.Load() != 2 { // the first ran alone, and one served all who came while it ran
			t.Errorf("%d reloads, want 2", ran.Load())
		}
	})
}

func TestReloadsOneAfterTheOtherAreNotShared(t *testing.T) {
	var r deliver.Reloads
	for range 3 {
		if r.Share(t.Context(), func(bool) bool { return true }) {
			t.Error("served by a reload that began before")
		}
	}
}

func TestAFailedReloadIsTriedByEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r deliver.Reloads
		var ran, shared atomic.Int32
		var group sync.WaitGroup
		for range 5 {
			group.Go(func() {
				if r.Share(t.Context(), func(bool) bool { ran.Add(1); time.Sleep(time.Second); return false }) {
					shared.Add(1)
				}
			})
		}
		group.Wait()
		if ran.Load() != 5 || shared.Load() != 0 {
			t.Errorf("%d tried, %d were told that it worked", ran.Load(), shared.Load())
		}
	})
}

// In any schedule, for whoever is told "served" a reload began after it came,
// and worked. Everybody else ran a reload or gave up, and nobody waits for
// ever.
func TestReloadsUnderAnySchedule(t *testing.T) {
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			var r deliver.Reloads
			var mu sync.Mutex
			var good []time.Time // when reloads that worked began
			running := 0
			var group sync.WaitGroup
			for range 12 {
				wait, takes := time.Duration(random.IntN(3000))*time.Millisecond, time.Duration(random.IntN(900))*time.Millisecond
				works, patience := random.IntN(4) > 0, time.Duration(1+random.IntN(4000))*time.Millisecond
				group.Go(func() {
					time.Sleep(wait)
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					defer cancel()
					came, ran := time.Now(), false
					served := r.Share(ctx, func(bool) bool {
						ran = true
						began := time.Now()
						mu.Lock()
						if running++; running > 1 {
							t.Errorf("seed %d: two reloads at once", seed)
						}
						mu.Unlock()
						time.Sleep(takes)
						mu.Lock()
						defer mu.Unlock()
						running--
						if works {
							good = append(good, began)
						}
						return works
					})
					mu.Lock()
					defer mu.Unlock()
					fits := false
					for _, began := range good {
						fits = fits || !began.Before(came)
					}
					if served && (ran || !fits) {
						t.Errorf("seed %d: served, and no reload that worked began after it came", seed)
					}
					if !served && !ran && ctx.Err() == nil {
						t.Errorf("seed %d: neither served nor run", seed)
					}
				})
			}
			group.Wait()
			if last := false; r.Share(t.Context(), func(bool) bool { last = true; return true }) || !last {
				t.Errorf("seed %d: something runs for ever", seed)
			}
		})
	}
}
