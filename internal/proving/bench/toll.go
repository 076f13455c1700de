package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"keywave/internal/proving/stage"
)

// toll is what deaths of workers did to zones: their exposures, seen from
// outside.
type toll struct {
	Deaths int `json:"deaths"`
	// NotDone is how many zones the campaign did not finish. They were not
	// refreshed: one that was, and holds another key, has no exposure, and is an
	// error.
	NotDone int `json:"notDone"`
	// Refresh is, for each death, the time until the next refresh arrived.
	Refresh group `json:"nextRefreshMs"`
	// InFlight are the zones that were exposed at the moment of a death.
	// InProgress and Queued are those of them whose delivery waited for the worker
	// that died.
	InFlight   group `json:"inFlightMs"`
	InProgress group `json:"inProgressMs"`
	Queued     group `json:"queuedMs"`
	// Calm are the zones that were done before the first death, After all others.
	After group `json:"afterMs"`
	Calm  group `json:"calmMs"`
}

// group is the exposures of some zones.
type group []time.Duration

// MarshalJSON says how many there are, and how they are distributed.
func (g group) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Count int `json:"count"`
		*spread
	}{len(g), spreadOf(g)})
}

func (g group) String() string {
	if len(g) == 0 {
		return "-"
	}
	return fmt.Sprintf("%d: %s", len(g), spreadOf(g))
}

func (g group) p99() float64 {
	if len(g) == 0 {
		return 0
	}
	return spreadOf(g).P99
}

func (g group) max() float64 {
	if len(g) == 0 {
		return 0
	}
	return spreadOf(g).Max
}

// landing is how long after its sender's death a request may still arrive.
const landing = 20 * time.Millisecond

// tollOf sorts the exposures by what the deaths had to do with them.
func tollOf(deaths []death, exposures []exposure, edges []edge) toll {
	t := toll{Deaths: len(deaths)}
	for _, d := range deaths {
		if next, ok := nextRefresh(edges, d.at.Add(landing)); ok {
			t.Refresh = append(t.Refresh, next.Sub(d.at))
		}
	}
	for _, e := range exposures {
		met := slices.IndexFunc(deaths, func(d death) bool { return !e.from.After(d.at.Add(landing)) && !e.to.Before(d.at) })
		switch {
		case met >= 0:
			t.meet(e, deaths[met].held[e.zone])
		case e.to.Before(deaths[0].at):
			t.Calm = append(t.Calm, e.lasted())
		default:
			t.After = append(t.After, e.lasted())
		}
	}
	return t
}

// meet counts a zone that was exposed when a worker died.
func (t *toll) meet(e exposure, h hold) {
	t.InFlight = append(t.InFlight, e.lasted())
	switch h {
	case inProgress:
		t.InProgress = append(t.InProgress, e.lasted())
	case queued:
		t.Queued = append(t.Queued, e.lasted())
	}
}

func nextRefresh(edges []edge, after time.Time) (time.Time, bool) {
	for _, e := range edges {
		if e.Kind == "arrived" && e.Action == stage.RefreshAction && e.At.After(after) {
			return e.At, true
		}
	}
	return time.Time{}, false
}

// poolOf puts the campaigns of one part together.
func poolOf(figures []figure) (toll, bool) {
	var t toll
	for _, f := range figures {
		if f.Toll == nil {
			continue
		}
		t.Deaths, t.NotDone = t.Deaths+f.Toll.Deaths, t.NotDone+f.Toll.NotDone
		t.Refresh = append(t.Refresh, f.Toll.Refresh...)
		t.InFlight = append(t.InFlight, f.Toll.InFlight...)
		t.InProgress = append(t.InProgress, f.Toll.InProgress...)
		t.Queued = append(t.Queued, f.Toll.Queued...)
		t.After = append(t.After, f.Toll.After...)
		t.Calm = append(t.Calm, f.Toll.Calm...)
	}
	return t, t.Deaths > 0
}

// deaths says what happened to zones when workers died.
func (s *summary) deaths(failover, handover, upgrade []figure) {
	if t, ok := poolOf(failover); ok {
		p99 := t.InFlight.p99()
		s.headline.FailoverP99 = seenIn(t.InFlight)
		s.goalOf(t.InFlight, p99 <= 3000 && t.InFlight.max() <= 5000, fmt.Sprintf("worker that calls EdgeOne killed %d times: exposure of the %d zones in flight, p99 and max", t.Deaths, len(t.InFlight)),
			"≤ 3 s, ≤ 5 s", "%.2f s, %.2f s", p99/1000, t.InFlight.max()/1000)
		s.goal(t.Refresh.max() <= 7000, "from the kill to the next refresh, the longest", "≤ 7 s", "%.2f s", t.Refresh.max()/1000)
	}
	if t, ok := poolOf(ofPace(handover, limit)); ok {
		s.headline.HandoverP99 = seenIn(slices.Concat(t.Queued, t.InProgress))
		s.goalOf(t.Queued, t.Queued.max() <= 1700, fmt.Sprintf("location's worker killed %d times, another at hand: exposure of the %d zones queued for it, the longest", t.Deaths, len(t.Queued)),
			"≤ 1.7 s", "%.2f s", t.Queued.max()/1000)
		s.goalOf(t.InProgress, t.InProgress.max() <= 3000, fmt.Sprintf("the same, the %d zones whose delivery it had begun", len(t.InProgress)), "≤ 3 s", "%.2f s", t.InProgress.max()/1000)
		s.later(t, "the same")
	}
	if t, ok := poolOf(ofPace(handover, halfPace)); ok {
		s.later(t, fmt.Sprintf("the same at %d a second (%d kills)", halfPace, t.Deaths))
	}
	if t, ok := poolOf(upgrade); ok {
		worst := slices.Concat(t.InFlight, t.After).max()
		s.goal(worst <= 2*t.Calm.p99(), fmt.Sprintf("SIGTERM to every worker in turn (%d): the longest exposure since the first one, against the p99 before", t.Deaths),
			"≤ 2 ×", "%.2f × (%.0f ms)", worst/t.Calm.p99(), worst)
	}
}

// later compares zones that were refreshed after a death with those before.
func (s *summary) later(t toll, when string) {
	s.goalOf(t.After, t.After.p99() <= asWithout*t.Calm.p99(), fmt.Sprintf("%s, p99 of the %d zones that were refreshed later, against those before the first kill", when, len(t.After)),
		fmt.Sprintf("≤ %.1f ×", asWithout), "%.2f × (%.0f ms)", t.After.p99()/t.Calm.p99(), t.After.p99())
}

func ofPace(figures []figure, limit int) []figure {
	return slices.DeleteFunc(slices.Clone(figures), func(f figure) bool { return f.Limit != limit })
}

// goalOf is a goal for a group of zones, of which there may be none.
func (s *summary) goalOf(zones group, reached bool, figure, want, format string, args ...any) {
	if len(zones) == 0 {
		s.goals = append(s.goals, goal{figure: figure, want: want, got: "there was none"})
		return
	}
	s.goal(reached, figure, want, format, args...)
}

// seenIn is the p99 of a group; nil where it is empty.
func seenIn(zones group) *float64 {
	if len(zones) == 0 {
		return nil
	}
	p99 := zones.p99()
	return &p99
}

// asWithout is by how much zones may be worse off for being near a trouble that
// is not theirs.
const asWithout = 1.2
