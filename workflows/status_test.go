package workflows

import (
	"testing"
	"time"

	"keywave/internal/rotation"
)

// The time that is left includes what zones wait for. It is not told when a
// campaign has no progress.
func TestLeftIsSaidWhereItIsKnown(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	runs := func(change func(*Status)) Status {
		s := Status{State: StateRunning, StartedAt: now.Add(-time.Minute), Zones: rotation.Counts{Total: 9, Done: 6, Pending: 3}, Standing: rotation.Standings{NotBegun: 3}}
		change(&s)
		return s
	}
	for name, c := range map[string]struct {
		change func(*Status)
		want   time.Duration
	}{
		"at the rate so far":           {func(*Status) {}, 30 * time.Second},
		"held zones are not refreshed": {func(s *Status) { s.Standing = rotation.Standings{NotBegun: 1, Held: 2} }, 10 * time.Second},
		"until the last is not held any more": {func(s *Status) {
			s.Waits = []rotation.Wait{{Zones: 1, Until: now.Add(time.Minute)}, {Zones: 2, Until: now.Add(5 * time.Minute)}, {Zones: 1}}
		}, 5 * time.Minute},
		"stalled":     {func(s *Status) { s.Stalled = &Stall{Since: now} }, 0},
		"paused":      {func(s *Status) { s.State = StatePaused }, 0},
		"nothing yet": {func(s *Status) { s.Zones = rotation.NewCounts(9) }, 0},
	} {
		if got := runs(c.change).Left(now); got != c.want {
			t.Errorf("%s: %s are left, want %s", name, got, c.want)
		}
	}
}

// If the status names something to repair, the next step is to repair it and
// then to resume. If it names nothing, as after a pause that a person wanted,
// the next step says nothing of a repair.
func TestNextNamesNothingToMendWhereNothingIs(t *testing.T) {
	for _, kind := range rotation.PauseKinds() {
		c := &campaign{st: &CampaignState{}}
		mends := kind != rotation.PausePerson && kind != rotation.PauseGate && kind != rotation.PauseShard && kind != rotation.PauseBrake && kind != rotation.PauseCalendar
		next := c.resumeBy(Status{Campaign: "c", Paused: []rotation.PauseReason{{Kind: kind, Why: "because"}}})
		if (next != "keywave campaign resume c") != mends {
			t.Errorf("paused by %s, next is %q", kind, next)
		}
	}
}
