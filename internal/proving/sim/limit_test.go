package sim

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

func TestNoSlidingSecondHasMoreThanTheLimit(t *testing.T) {
	const limit = 20
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(1, 2))
		var g gate
		var passed []time.Time
		for range 5000 {
			time.Sleep(time.Duration(random.IntN(60)) * time.Millisecond / 2)
			now := time.Now()
			inSecond := 0
			for _, at := range passed {
				if now.Sub(at) < time.Second {
					inSecond++
				}
			}
			no := g.pass(now, limit)
			if (no == nil) != (inSecond < limit) {
				t.Fatalf("with %d calls in the second before it, a call got %v", inSecond, no)
			}
			if no == nil {
				passed = append(passed, now)
			}
		}
		if len(passed) == 5000 {
			t.Fatal("nothing was ever throttled; the test shows nothing")
		}
	})
}

func TestLimitIsExactToTheNanosecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate
		for i := range 20 {
			if no := g.pass(time.Now(), 20); no != nil {
				t.Fatalf("call %d: %v", i+1, no)
			}
		}
		time.Sleep(time.Second - time.Nanosecond)
		if no := g.pass(time.Now(), 20); no == nil || no.code != "RequestLimitExceeded" {
			t.Fatalf("the 21st call in less than a second got %v", no)
		}
		time.Sleep(time.Nanosecond)
		if no := g.pass(time.Now(), 20); no != nil {
			t.Fatalf("a call a whole second later got %v", no)
		}
	})
}

func TestThrottledMessageCountsTheCalls(t *testing.T) {
	var g gate
	now := time.Now()
	var no *refusal
	for range 23 {
		no = g.pass(now, 20)
	}
	const want = "Your current request times equals to `23` in a second, which exceeds the frequency limit `20` for a second. Please reduce the frequency of calls."
	if no == nil || no.message != want {
		t.Errorf("message is %v, want %q", no, want)
	}
}

func TestCounterKeepsTheFullestSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Counter
		for _, pause := range []time.Duration{0, 400, 400, 400, 400, 2000, 0, 999, 1} {
			time.Sleep(pause * time.Millisecond)
			c.arrive(time.Now())
		}
		if c.Calls != 9 || c.MaxPerSecond != 3 {
			t.Errorf("calls %d, fullest second %d; want 9 and 3", c.Calls, c.MaxPerSecond)
		}
	})
}
