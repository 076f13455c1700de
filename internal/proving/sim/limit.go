package sim

import (
	"fmt"
	"time"
)

// window holds the times of the last second, oldest first. The second is
// half-open: a call exactly one second old is no longer in it.
type window []time.Time

// at forgets calls that are older than a second at now, and returns how many
// are left.
func (w *window) at(now time.Time) int {
	old := 0
	for old < len(*w) && now.Sub((*w)[old]) >= time.Second {
		old++
	}
	*w = (*w)[old:]
	return len(*w)
}

// add counts a call at now, which must not be before the last one. It returns
// how many calls there are in the second that ends with it.
func (w *window) add(now time.Time) int {
	w.at(now)
	*w = append(*w, now)
	return len(*w)
}

// Counter is what the simulator counted of one API action.
type Counter struct {
	// Calls is every authenticated arrival, throttled ones included.
	Calls int `json:"calls"`
	// Executed is how many took effect.
	Executed int `json:"executed"`
	// Throttled is how many were rejected with RequestLimitExceeded.
	Throttled int `json:"throttled"`
	// MaxPerSecond is the largest number of Calls in any sliding second.
	MaxPerSecond int `json:"maxPerSecond"`

	recent window
}

func (c *Counter) arrive(now time.Time) {
	c.Calls++
	c.MaxPerSecond = max(c.MaxPerSecond, c.recent.add(now))
}

// gate is the limit of one (action, SecretId): only calls that it lets through
// count against it.
type gate struct{ arrived, passed window }

func (g *gate) pass(now time.Time, limit int) *refusal {
	seen := g.arrived.add(now)
	if limit > 0 && g.passed.at(now) >= limit {
		return throttled(seen, limit)
	}
	g.passed.add(now)
	return nil
}

func throttled(seen, limit int) *refusal {
	return refuse("RequestLimitExceeded", fmt.Sprintf("Your current request times equals to `%d` in a second, which exceeds the frequency limit `%d` for a second. Please reduce the frequency of calls.", seen, limit))
}
