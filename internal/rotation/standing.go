package rotation

import (
	"fmt"
	"time"
)

// Standing is where a zone stands that has no outcome yet, or whose outcome is
// being mended.
type Standing string

// The standings. NotBegun is the shard's word; the others are the zone's own.
const (
	// NotBegun: it waits for its turn, and the old key is alive.
	NotBegun Standing = "not begun"
	// Alive: it is in flight, and either nothing was sent yet, or its refresh was
	// sent a moment ago, or a read younger than the last send showed the key that
	// its hosts hold.
	Alive Standing = "alive"
	// Dark: a refresh may have been sent, and EdgeOne does not say which key is
	// live: the old one may be dead.
	Dark Standing = "dark"
	// Dead: the old key is dead, and some host is not known to hold the live one.
	Dead Standing = "dead"
	// Held: every host holds the live key, and a lost request may still land.
	Held Standing = "held"
)

// Standings parts Counts.Pending by where those zones stand: the four add up to
// it. A zone that counts as exposed or unknown is in none of them.
type Standings struct {
	NotBegun int `json:"notBegun"`
	Alive    int `json:"alive"` // in flight, the old key alive
	Dead     int `json:"dead"`  // in flight, the old key is dead or may be (Dead and Dark)
	Held     int `json:"held"`
}

// Plus adds two disjoint sets of zones.
func (s Standings) Plus(o Standings) Standings {
	return Standings{s.NotBegun + o.NotBegun, s.Alive + o.Alive, s.Dead + o.Dead, s.Held + o.Held}
}

// Sum is the number of zones in it.
func (s Standings) Sum() int { return s.NotBegun + s.Alive + s.Dead + s.Held }

// Count puts one more zone where it stands.
func (s *Standings) Count(at Standing) {
	switch at {
	case Alive:
		s.Alive++
	case Dark, Dead:
		s.Dead++
	case Held:
		s.Held++
	default:
		s.NotBegun++
	}
}

// Wait is what a group of zones waits for, told to people.
type Wait struct {
	Standing Standing `json:"standing"`
	Zones    int      `json:"zones"`
	// Since is when the first of them came to stand so, Until when the last of
	// them goes on at the latest; zero is not known.
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
	// Why is one clause without a full stop, such as "a lost request may still
	// land; their hosts hold the live key".
	Why string `json:"why"`
	// Example is one of the zones.
	Example ZoneID `json:"example,omitempty"`
}

// Cause is a reason why zones made no progress, counted.
type Cause struct {
	Zones int    `json:"zones"`
	Why   string `json:"why"`
}

// AddWait puts a group of zones to those that stand alike for the same reason.
func AddWait(all []Wait, w Wait) []Wait {
	for i, known := range all {
		if known.Standing == w.Standing && known.Why == w.Why {
			all[i] = known.with(w)
			return all
		}
	}
	return append(all, w)
}

func (w Wait) with(o Wait) Wait {
	w.Zones += o.Zones
	if w.Since.IsZero() || !o.Since.IsZero() && o.Since.Before(w.Since) {
		w.Since = o.Since
	}
	if w.Until.IsZero() || o.Until.IsZero() {
		w.Until = time.Time{} // of one of them it is not known
	} else if o.Until.After(w.Until) {
		w.Until = o.Until
	}
	return w
}

// Text says in one clause what the group waits for, with times as clock shows
// them.
func (w Wait) Text(clock func(time.Time) string) string {
	zones, are := "1 zone", "is"
	if w.Zones != 1 {
		zones, are = fmt.Sprintf("%d zones", w.Zones), "are"
	}
	until, since := "", ""
	if !w.Until.IsZero() {
		until = " until " + clock(w.Until)
	}
	if !w.Since.IsZero() {
		since = " since " + clock(w.Since)
	}
	switch w.Standing {
	case Held:
		return fmt.Sprintf("%s %s held%s: %s", zones, are, until, w.Why)
	case Dead, Dark:
		return fmt.Sprintf("%s%s: %s", zones, since, w.Why)
	case Alive:
		return fmt.Sprintf("%s %s in flight%s: %s", zones, are, until, w.Why)
	}
	return fmt.Sprintf("%s not begun%s: %s", zones, until, w.Why)
}

// StandingRow is one row of Standings, for people.
type StandingRow struct {
	Zones int
	// Name is the row's name, Means what it says to somebody who reads it first.
	Name, Means string
}

// Rows are the standings, in their order.
func (s Standings) Rows() []StandingRow {
	return []StandingRow{
		{s.NotBegun, "not begun", "the old key is alive"},
		{s.Alive, "in flight", "the old key is alive, or was replaced a moment ago"},
		{s.Dead, "old key dead", "in flight; the old key is dead or may be, and some host is not known to hold the live one"},
		{s.Held, "held", "every host holds the live key; the zone stays locked while a lost request may land"},
	}
}
