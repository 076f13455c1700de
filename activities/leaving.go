package activities

import (
	"sync"
	"time"
)

// leaving is what a worker that stops knows of its own queue. Zones that it gave proofs
// for send their deliveries there, so it serves them to the last, and tells them that it
// will be gone.
type leaving struct {
	mu     sync.Mutex
	since  time.Time // zero while it stays
	proved bool      // somebody may send a delivery to the queue
	served time.Time // when it last did
}

// Leave says that this worker stops soon: from now on its proofs do not name its queue,
// and its deliveries say that it leaves.
func (l *Location) Leave() {
	l.leaving.mu.Lock()
	defer l.leaving.mu.Unlock()
	l.leaving.since = time.Now()
}

// Quiet says that nobody has sent a delivery to this worker's own queue for so long, and
// so nobody is likely to.
func (l *Location) Quiet(d time.Duration) bool {
	l.leaving.mu.Lock()
	defer l.leaving.mu.Unlock()
	latest := l.leaving.since
	if l.leaving.served.After(latest) {
		latest = l.leaving.served
	}
	return !l.leaving.proved || time.Since(latest) >= d
}

// served is the queue that a proof names.
func (l *Location) served() string {
	l.leaving.mu.Lock()
	defer l.leaving.mu.Unlock()
	if !l.leaving.since.IsZero() {
		return ""
	}
	l.leaving.proved = true
	return l.Queue
}

// delivers notes a delivery, and says whether this worker leaves.
func (l *Location) delivers() (leaves bool) {
	l.leaving.mu.Lock()
	defer l.leaving.mu.Unlock()
	l.leaving.served = time.Now()
	return !l.leaving.since.IsZero()
}
