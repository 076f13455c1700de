package rotation

import (
	"testing"
	"time"
)

// A trip that begins in doubt does what the table of pasts says, at each read.
func TestTripObeysThePasts(t *testing.T) {
	timing := Timing{Settle: Span(10 * time.Second), SignatureLife: Span(5 * time.Minute), ExposedAfter: Span(30 * time.Second), DeliverFor: Span(time.Hour)}
	const old, other = Fingerprint("0000000000000001"), Fingerprint("0000000000000002")
	for _, c := range []struct {
		name  string
		sent  time.Duration // since the last signature that may have been made
		keys  []Fingerprint // read one after the other; the last one stays
		reads int           // at least
		took  time.Duration // at least
		ends  Phase
	}{
		{"the old key, and a request may still land", 0, []Fingerprint{old}, 3, 5*time.Minute + 10*time.Second, PhaseProve},
		{"the old key, long after", time.Hour, []Fingerprint{old}, 2, 10 * time.Second, PhaseProve},
		{"none at all, long after", time.Hour, []Fingerprint{Absent}, 2, 10 * time.Second, PhaseProve},
		{"another key", 0, []Fingerprint{other}, 1, 0, PhaseDeliver},
		{"a request that lands between two reads", 0, []Fingerprint{old, old, other}, 3, 10 * time.Second, PhaseDeliver},
	} {
		t.Run(c.name, func(t *testing.T) {
			start := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
			now := start
			trip := NewTrip(Rotate, "zone-1", []HostName{"h1"}, timing, old, true)
			trip.Resume(now.Add(-c.sent))
			reads, settled := 0, time.Time{}
			for trip.Phase == PhaseReadBack {
				key := c.keys[min(reads, len(c.keys)-1)]
				if reads++; reads == 1 {
					settled = now.Add(timing.Settle.D())
				}
				dead := now.Sub(start)+c.sent >= timing.SignatureLife.D()+timing.Settle.D()
				seen := Sight{Live: key, Baseline: old, Surely: !now.Before(settled) && dead}.Compare()
				trip.Read(now, key)
				obeys := map[Do][]Phase{doRead: {PhaseSettle, PhaseHold}, doRotate: {PhaseProve}, doDeliver: {PhaseDeliver}}
				row := Recall(memoryStarted, HistoryForgotten, seen, crowdFew)
				if !in(obeys[row.Do], trip.Phase) {
					t.Fatalf("read %d: the table says %s of %s, and the trip goes to %s", reads, row.Do, seen, trip.Phase)
				}
				if trip.Phase == PhaseSettle || trip.Phase == PhaseHold {
					now = trip.Wake
					trip.Waited()
				}
			}
			if trip.Phase != c.ends || reads < c.reads || now.Sub(start) < c.took {
				t.Errorf("it goes to %s after %d reads in %s, and is to go to %s after %d in %s", trip.Phase, reads, now.Sub(start), c.ends, c.reads, c.took)
			}
		})
	}
}
