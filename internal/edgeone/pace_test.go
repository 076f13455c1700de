package edgeone

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"keywave/internal/rotation"
)

const action = ActionRefresh

// pass is one call: it waits, is late, and writes.
func pass(t *testing.T, p *Pace, late time.Duration) (at time.Time) {
	t.Helper()
	if err := p.wait(t.Context(), action); err != nil {
		t.Error(err)
	}
	time.Sleep(late)
	m, err := p.write(t.Context(), action, func() (bool, error) { at = time.Now(); return true, nil })
	p.answered(m)
	if err != nil {
		t.Error(err)
	}
	return at
}

// TestNeverAboveTheLimit makes calls that wake up late, by nothing, by a little
// or by seconds, and checks every sliding window.
func TestNeverAboveTheLimit(t *testing.T) {
	for _, limit := range []float64{0.5, 1, 2, 2.5, 20, 100} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, random := NewPace(limit), rand.New(rand.NewPCG(1, 2))
				const calls = 400
				var mu sync.Mutex
				var times []time.Time
				var all sync.WaitGroup
				start := time.Now()
				for range calls {
					late := time.Duration(0)
					if random.IntN(3) == 0 {
						late = time.Duration(random.Int64N(int64(3 * time.Second)))
					}
					all.Go(func() {
						at := pass(t, p, late)
						mu.Lock()
						defer mu.Unlock()
						times = append(times, at)
					})
				}
				all.Wait()
				n, window := int(max(1, limit)), time.Duration(float64(time.Second)/min(1, limit))
				if most := busiest(times, window+jitter-1); most > n {
					t.Errorf("%d in %v, limit %v/s", most, window, limit)
				}
				ideal := time.Duration(calls / min(share*limit, max(1, math.Floor(limit))) * float64(time.Second))
				if took := time.Since(start); took > ideal+ideal/20+4*time.Second {
					t.Errorf("took %v, could be %v", took, ideal)
				}
			})
		})
	}
}

// All calls get their turn and then sleep until the same moment.
func TestALateCrowdDoesNotSqueeze(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, start := NewPace(20), time.Now()
		var mu sync.Mutex
		var times []time.Time
		var all sync.WaitGroup
		for range 60 {
			all.Go(func() {
				if err := p.wait(t.Context(), action); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Until(start.Add(10 * time.Second)))
				m, _ := p.write(t.Context(), action, func() (bool, error) {
					mu.Lock()
					defer mu.Unlock()
					times = append(times, time.Now())
					return true, nil
				})
				p.answered(m)
			})
		}
		all.Wait()
		if most := busiest(times, time.Second); most != 20 {
			t.Errorf("%d in one second", most)
		}
		if took := time.Since(start); took > 13*time.Second {
			t.Errorf("the crowd took %v", took)
		}
	})
}

func TestSlowWritersWriteOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPace(0)
		writing := 0
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				m, _ := p.write(t.Context(), action, func() (bool, error) {
					if writing++; writing != 1 {
						t.Errorf("%d at once", writing)
					}
					time.Sleep(time.Second)
					writing--
					return true, nil
				})
				p.answered(m)
			})
		}
		all.Wait()
	})
}

func TestThePaceIsEvenAndFirstComeFirstServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPace(20)
		var mu sync.Mutex
		var order []int
		var times []time.Time
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				_ = p.wait(t.Context(), action)
				mu.Lock()
				defer mu.Unlock()
				order, times = append(order, i), append(times, time.Now())
			})
			synctest.Wait() // i is in line before i+1 comes
		}
		all.Wait()
		if !slices.IsSorted(order) {
			t.Errorf("served in the order %v", order)
		}
		for i := 1; i < len(times); i++ {
			gap, want := times[i].Sub(times[i-1]), 51546*time.Microsecond // 1/19.4 s
			if (gap - want).Abs() > time.Millisecond {
				t.Fatalf("turn %d came after %v, want %v", i, gap, want)
			}
		}
	})
}

func TestActionsHaveAPaceEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, start := NewPace(1), time.Now()
		for _, a := range []string{ActionRefresh, ActionDescribe, ActionZones, ActionGateways} {
			if err := p.wait(t.Context(), a); err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("waited %v for each other", took)
		}
	})
}

func TestThoseWhoLeaveTheLineLeaveNoGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPace(20)
		ctx, cancel := context.WithCancel(t.Context())
		pass(t, p, 0)
		var line sync.WaitGroup
		for range 1000 {
			line.Go(func() {
				if err := p.wait(ctx, action); err != context.Canceled {
					t.Errorf("got %v", err)
				}
			})
		}
		synctest.Wait()
		start := time.Now()
		cancel()
		line.Wait()
		pass(t, p, 0)
		if took := time.Since(start); took > 52*time.Millisecond {
			t.Errorf("the next waited %v", took)
		}
	})
}

func TestWaitingForTheWindowCanBeCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPace(1)
		pass(t, p, 0)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := p.write(ctx, action, func() (bool, error) { t.Error("written"); return true, nil })
		if err != context.DeadlineExceeded {
			t.Errorf("got %v", err)
		}
		pass(t, p, 0) // the pen was put back
	})
}

func TestWhatWasNotWrittenDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, start := NewPace(1), time.Now()
		for range 5 {
			m, _ := p.write(t.Context(), action, func() (bool, error) { return false, nil })
			p.answered(m)
		}
		if counts := len(p.lane(action).writes); time.Since(start) != 0 || counts != 0 {
			t.Errorf("after %v, %d count", time.Since(start), counts)
		}
	})
}

func TestLiftedMeansNoWaiting(t *testing.T) {
	for _, limit := range []float64{0, math.Inf(1)} {
		synctest.Test(t, func(t *testing.T) {
			p, start := NewPace(limit), time.Now()
			for range 5000 {
				pass(t, p, 0)
			}
			p.throttled(action, time.Now())
			pass(t, p, 0)
			if took := time.Since(start); took != 0 {
				t.Errorf("waited %v", took)
			}
		})
	}
}

func TestWrongLimitsPanic(t *testing.T) {
	for _, limit := range []float64{-1, math.NaN(), math.Inf(-1)} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%v was accepted", limit)
				}
			}()
			NewPace(limit)
		}()
	}
}

func TestThrottledLowersThePaceAndItRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPace(20)
		rate := func() float64 { l := p.lane(action); return l.speed(time.Now()) }
		near := func(got, want float64) bool { return math.Abs(got-want) < 1e-9 }
		pass(t, p, 0)
		old := time.Now()
		time.Sleep(time.Millisecond)
		p.throttled(action, time.Now())
		if !near(rate(), 0.8*19.4) {
			t.Errorf("lowered to %v", rate())
		}
		p.throttled(action, old) // of a request sent at the old pace
		if !near(rate(), 0.8*19.4) {
			t.Errorf("an old answer lowered it to %v", rate())
		}
		time.Sleep(5 * time.Second)
		if !near(rate(), 0.9*19.4) {
			t.Errorf("after 5 s: %v", rate())
		}
		time.Sleep(time.Minute)
		if !near(rate(), 19.4) {
			t.Errorf("after a minute: %v", rate())
		}
		for range 100 {
			p.throttled(action, time.Now())
			time.Sleep(time.Millisecond)
		}
		if rate() < 1 || rate() > 1.1 {
			t.Errorf("at the floor: %v", rate())
		}
		start, sent := time.Now(), 0
		for ; time.Since(start) < 10*time.Second; sent++ {
			pass(t, p, 0)
		}
		// 1/s, growing by 0.388/s each second: 29 in ten seconds.
		if sent < 26 || sent > 32 {
			t.Errorf("%d in the ten seconds after", sent)
		}
	})
}

func TestThrottledBelowOnePerSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPace(0.5)
		for range 10 {
			p.throttled(action, time.Now())
			time.Sleep(time.Millisecond)
		}
		if speed := p.lane(action).speed(time.Now()); speed > share*0.5 || speed < share*0.5-1e-9 {
			t.Errorf("%v", speed)
		}
	})
}

// EdgeOne counts a request at any time between its writing and its answer. No
// second on EdgeOne's own clock may have more calls than the limit, however
// slow the answers are.
func TestTheSecondCountsFromTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, start := NewPace(20), time.Now()
		rng := rand.New(rand.NewPCG(1, 2))
		var mu sync.Mutex
		var counted []time.Time
		var all sync.WaitGroup
		const calls = 300
		for range calls {
			travel := time.Duration(rng.Int64N(int64(300 * time.Millisecond)))
			back := time.Duration(rng.Int64N(int64(100 * time.Millisecond)))
			all.Go(func() {
				if err := p.wait(t.Context(), action); err != nil {
					t.Error(err)
				}
				m, _ := p.write(t.Context(), action, func() (bool, error) { return true, nil })
				time.Sleep(travel)
				mu.Lock()
				counted = append(counted, time.Now())
				mu.Unlock()
				time.Sleep(back)
				p.answered(m)
			})
		}
		all.Wait()
		slices.SortFunc(counted, time.Time.Compare)
		if most := busiest(counted, time.Second); most > 20 {
			t.Errorf("EdgeOne counted %d in one second", most)
		}
		if rate := calls / time.Since(start).Seconds(); rate < 15 {
			t.Errorf("%.1f calls a second, with answers after 200 ms", rate)
		}
	})
}

// A call hears once that its turn is the next one: when the call before it has had its own.
func TestWhoseTurnIsNextHearsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPace(10)
		var mu sync.Mutex
		var said, turns []time.Time
		note := func(into *[]time.Time) {
			mu.Lock()
			defer mu.Unlock()
			*into = append(*into, time.Now())
		}
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				if err := p.wait(rotation.WithNext(t.Context(), func() { note(&said) }), ActionRefresh); err != nil {
					t.Error(err)
				}
				note(&turns)
			})
		}
		all.Wait()
		if len(said) != 5 {
			t.Fatalf("it was said %d times", len(said))
		}
		for i := 1; i < 5; i++ {
			if !said[i].Equal(turns[i-1]) || !said[i].Before(turns[i]) {
				t.Errorf("call %d hears it after %s, the turns come after %s and %s", i+1, said[i].Sub(said[0]), turns[i-1].Sub(said[0]), turns[i].Sub(said[0]))
			}
		}
	})
}

// The active process and the one that reads early share a limit for reads: together they
// keep it. Refreshes have all of theirs.
func TestTwoPacesShareTheLimitForReads(t *testing.T) {
	for _, limit := range []float64{2, 3, 5, 10, 15, 20, 25, 40} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				active, early := NewPaces(limit)
				var mu sync.Mutex
				var reads []time.Time
				var all sync.WaitGroup
				for _, p := range []*Pace{active, early} {
					for range 120 {
						all.Go(func() {
							if err := p.wait(t.Context(), ActionDescribe); err != nil {
								t.Error(err)
							}
							m, err := p.write(t.Context(), ActionDescribe, func() (bool, error) {
								mu.Lock()
								defer mu.Unlock()
								reads = append(reads, time.Now())
								return true, nil
							})
							p.answered(m)
							if err != nil {
								t.Error(err)
							}
						})
					}
				}
				all.Wait()
				if most := busiest(reads, time.Second); most > int(limit) {
					t.Errorf("%d reads in one second, limit %v", most, limit)
				}
				if got := active.lane(ActionRefresh).limit; got != limit {
					t.Errorf("%v refreshes a second, limit %v", got, limit)
				}
			})
		})
	}
	if _, early := NewPaces(1); early != nil {
		t.Error("a limit of one call a second is shared")
	}
	if active, early := NewPaces(0); early == nil || !math.IsInf(active.lane(ActionDescribe).limit, 1) || !math.IsInf(early.lane(ActionDescribe).limit, 1) {
		t.Error("no limit is one")
	}
}

// Once the other one surely makes none, the reads of all that wait are made at once, as far
// as the limit lets them; and then again at the pace of the part.
func TestAloneLetsThoseGoThatWait(t *testing.T) {
	for _, known := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			_, early := NewPaces(20)
			read := func() (at time.Time) {
				if err := early.wait(t.Context(), ActionDescribe); err != nil {
					t.Error(err)
				}
				m, err := early.write(t.Context(), ActionDescribe, func() (bool, error) { at = time.Now(); return true, nil })
				early.answered(m)
				if err != nil {
					t.Error(err)
				}
				return at
			}
			crowd := func(n int) (last func() time.Time) {
				var mu sync.Mutex
				var latest time.Time
				var all sync.WaitGroup
				for range n {
					all.Go(func() {
						at := read()
						mu.Lock()
						defer mu.Unlock()
						if at.After(latest) {
							latest = at
						}
					})
				}
				synctest.Wait()
				return func() time.Time { all.Wait(); return latest }
			}
			if known { // two have been read, and eight wait
				began := time.Now()
				last := crowd(10)
				early.Alone(time.Now().Add(time.Second))
				if took := last().Sub(began); took != 0 {
					t.Errorf("the last of ten is read after %s", took)
				}
			}
			time.Sleep(3 * time.Second)
			early.Alone(time.Now().Add(time.Second))
			began := time.Now()
			if took := crowd(20)().Sub(began); took != 0 {
				t.Errorf("the last of twenty is read after %s", took)
			}
			time.Sleep(3 * time.Second)
			began = time.Now()
			if took := crowd(10)().Sub(began); took < 3*time.Second {
				t.Errorf("with two reads a second, ten have taken %s", took)
			}
		})
	}
}
