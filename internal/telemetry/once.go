package telemetry

import (
	"sync"
	"time"

	"go.temporal.io/sdk/client"

	"keywave/internal/metrics"
)

// mostEvents is how many events are remembered. A workflow task that is carried out again
// follows within seconds.
const mostEvents = 10_000

// events are those that were counted latest.
type events struct {
	mu     sync.Mutex
	seen   map[string]bool
	latest []string // the oldest is at next once there are mostEvents
	next   int
}

// first says that the event was not there before.
func (e *events) first(event string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.seen[event] {
		return false
	}
	if e.seen == nil {
		e.seen = map[string]bool{}
	}
	if len(e.latest) < mostEvents {
		e.latest = append(e.latest, event)
	} else {
		delete(e.seen, e.latest[e.next])
		e.latest[e.next] = event
		e.next = (e.next + 1) % mostEvents
	}
	e.seen[event] = true
	return true
}

// once says, at each value of a metric, whether it is to be counted. The SDK asks for the
// metric also while it replays a history, and gives no value then.
func (h handler) once(name string) func() bool {
	event := h.tags[metrics.Event]
	if event == "" {
		return func() bool { return true }
	}
	return func() bool { return h.known.first(name + " " + event) }
}

type counterOnce struct {
	to   client.MetricsCounter
	once func() bool
}

// Inc implements client.MetricsCounter.
func (c counterOnce) Inc(d int64) {
	if c.once() {
		c.to.Inc(d)
	}
}

type timerOnce struct {
	to   client.MetricsTimer
	once func() bool
}

// Record implements client.MetricsTimer.
func (t timerOnce) Record(d time.Duration) {
	if t.once() {
		t.to.Record(d)
	}
}
