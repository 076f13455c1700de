package edgeone

import (
	"sync"
	"time"

	"keywave/internal/rotation"
)

// clock compares this machine's clock with EdgeOne's, by the dates of its answers.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
	known bool
	told  time.Time // when tell was last called; zero while the clock is right
	tell  func(ahead time.Duration)
}

// clockToldEvery is how often a clock that stays wrong is reported.
const clockToldEvery = 5 * time.Minute

// saw takes an answer's receipt, and tells when the clock is off by more than
// rotation.ClockOff, again every clockToldEvery, and when it is right again.
func (c *clock) saw(r rotation.Receipt, now time.Time) {
	ahead, known := r.Ahead(now)
	if !known {
		return
	}
	c.mu.Lock()
	c.ahead, c.known = ahead, true
	off := ahead.Abs() > rotation.ClockOff
	tell := off && now.Sub(c.told) >= clockToldEvery || !off && !c.told.IsZero()
	if tell {
		c.told = now
	}
	if !off {
		c.told = time.Time{}
	}
	c.mu.Unlock()
	if tell && c.tell != nil {
		c.tell(ahead)
	}
}

// Clock is how far this machine's clock is ahead of EdgeOne's, by its latest
// answer; known is false while there was none with a date.
func (c *Client) Clock() (ahead time.Duration, known bool) {
	c.clock.mu.Lock()
	defer c.clock.mu.Unlock()
	return c.clock.ahead, c.clock.known
}
