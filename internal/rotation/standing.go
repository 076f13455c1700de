package rotation

import "time"

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

// Cause is why zones did not get on, counted.
type Cause struct {
	Zones int    `json:"zones"`
	Why   string `json:"why"`
}
