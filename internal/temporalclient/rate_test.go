package temporalclient

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// queueRate is what Temporal keeps about a queue's limit.
type queueRate struct {
	t    *testing.T
	kept Rate // in the form in which it is stored
	at   time.Time
}

func (q *queueRate) look() Rate { return q.kept.read() }

func (q *queueRate) keep(next Rate) {
	q.t.Helper()
	if len(next.Reason) > 1000 {
		q.t.Fatalf("Temporal takes no reason of %d bytes", len(next.Reason))
	}
	q.at = q.at.Add(time.Minute)
	next.At, next.Under = q.at, nil
	q.kept = next
}

func (q *queueRate) set(r Rate) {
	q.t.Helper()
	next, err := r.over(q.look())
	if err != nil {
		q.t.Fatal(err)
	}
	q.keep(next)
}

func (q *queueRate) release() {
	q.t.Helper()
	q.keep(q.look().released("dan", "over"))
}

func (q *queueRate) wants(what string, perSecond *float32, by, reason string) {
	q.t.Helper()
	if got := q.look(); !sameRate(got.PerSecond, perSecond) || got.By != by || got.Reason != reason {
		q.t.Errorf("%s: %v by %q: %q, want %v by %q: %q", what, got.PerSecond, got.By, got.Reason, perSecond, by, reason)
	}
}

func perSecond(f float32) *float32 { return &f }

// The brake keeps the rate that was set: when it is put on, when it is put on
// twice, and when it is released.
func TestBrakeKeepsTheRate(t *testing.T) {
	for name, reason := range map[string]string{
		"plain":   "the origin is busy",
		"quoted":  `it's "busy"] [under it: 7 a second`,
		"long":    strings.TrimSpace(strings.Repeat(`"\`, 600)),
		"Chinese": strings.Repeat("源站很忙", 60),
	} {
		t.Run(name, func(t *testing.T) {
			q := &queueRate{t: t, at: time.Date(2026, 11, 27, 6, 0, 0, 0, time.UTC)}
			q.set(Rate{PerSecond: perSecond(5), By: `ann "a"`, Reason: reason})
			set := q.look()
			q.set(Rate{PerSecond: perSecond(0), By: "bob", Reason: "incident 7"})
			q.wants("braked", perSecond(0), "bob", "incident 7")
			q.set(Rate{PerSecond: perSecond(0), By: "cy", Reason: "incident 8"})
			q.wants("braked twice", perSecond(0), "cy", "incident 8")
			if u := q.look().Under; u == nil || *u.PerSecond != 5 || u.By != `ann "a"` || !u.At.Equal(set.At) {
				t.Fatalf("under the brake: %+v", u)
			}
			q.release()
			q.wants("released", perSecond(5), `ann "a"`, set.Reason)
			if at := q.look().At; !at.Equal(set.At) {
				t.Errorf("the rate is as of %s, want %s", at, set.At)
			}
			q.set(Rate{By: "eve", Reason: "quiet"})
			q.wants("lifted", nil, "eve", "quiet")
		})
	}
}

func TestBrakeWithoutARate(t *testing.T) {
	q := &queueRate{t: t}
	q.set(Rate{PerSecond: perSecond(0), By: "bob", Reason: "incident 7"})
	q.release()
	q.wants("released", nil, "dan", "over")
}

// Nobody releases somebody's brake by setting a rate.
func TestNoRateIsSetUnderTheBrake(t *testing.T) {
	for _, rate := range []*float32{perSecond(5), nil} {
		q := &queueRate{t: t}
		q.set(Rate{PerSecond: perSecond(0), By: "bob", Reason: "incident 7"})
		_, err := Rate{PerSecond: rate, By: "ann", Reason: "busy"}.over(q.look())
		if braked, is := errors.AsType[Braked](err); !is || braked != (Braked{"bob", "incident 7"}) {
			t.Errorf("%v", err)
		}
	}
}
