package edgeone

import (
	"fmt"
	"sync"
	"time"
)

// Lease is one process's right to call an account's API: exactly one process
// has it. Whoever grants it (a heartbeat that was answered) extends it, and
// every call asks it just before its bytes leave. The zero Lease is not held.
//
// It is measured on this process's monotonic clock, which on Linux goes on
// while the process is stopped (SIGSTOP, a debugger, a frozen cgroup): who
// wakes up late finds the lease gone. It does not go on while the whole machine
// is suspended or a virtual machine is paused, so the wall clock is asked too,
// and the one that says "over" is believed.
type Lease struct {
	mu      sync.Mutex
	until   time.Time
	dropped time.Time
	granted time.Time // when the latest grant was asked for
	steady  time.Time // since when one came after the other without a gap of readLife; when the first was answered
}

// A process that stands by may make the reads of the holder, at its pace, once the holder
// has been silent for SilentFor. So the holder makes none from readLife after its last
// grant on, which is a sliding second earlier and more; and after such a gap it waits for
// readPause, in which the other one sees that it lives.
const (
	readLife  = 1000 * time.Millisecond
	readPause = 1500 * time.Millisecond
	SilentFor = 2250 * time.Millisecond
)

// Extend makes the lease last for life after sentAt, which is when the request
// that was granted was sent, by time.Now of this process; not when the answer
// came. It never shortens the lease, and a grant asked for before the last Drop
// is too late.
func (l *Lease) Extend(sentAt time.Time, life time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	until := sentAt.Add(life)
	if !sentAt.After(l.dropped) || !until.After(l.until) {
		return
	}
	if l.granted.IsZero() || sentAt.Sub(l.granted) > readLife {
		l.steady = time.Now() // it may have been long on its way, and the other one has seen nothing before
	}
	l.until, l.granted = until, sentAt
}

// ReadsAfter is how long a read must still wait; 0 is not at all. It fits Config.ReadsAfter.
func (l *Lease) ReadsAfter() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if past(l.granted.Add(readLife)) >= 0 {
		return readPause
	}
	return max(0, -past(l.steady.Add(readPause)))
}

// Drop ends the lease at once.
func (l *Lease) Drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until, l.dropped = time.Time{}, time.Now()
}

// Valid is nil while the lease is held, and a *NotHeldError from then on. It
// fits Config.Gate.
func (l *Lease) Valid() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.until.IsZero() {
		return &NotHeldError{}
	}
	late := past(l.until)
	if late < 0 {
		return nil
	}
	return &NotHeldError{Late: max(late, 1)}
}

// past is how long ago t was, on the monotonic or the wall clock, whichever says
// more.
func past(t time.Time) time.Duration {
	now := time.Now()
	return max(now.Sub(t), now.Round(0).Sub(t.Round(0)))
}

// NotHeldError says that this process must not call the account's API now.
type NotHeldError struct {
	// Late is how long ago the lease ran out; 0 when it was never held or was
	// given back.
	Late time.Duration
}

// Error says what is still true, and that waiting is enough.
func (e *NotHeldError) Error() string {
	when := "it was never granted, or was given back"
	if e.Late > 0 {
		when = fmt.Sprintf("it ran out %v ago", e.Late.Round(time.Millisecond))
	}
	return "this process does not hold the account's lease (" + when +
		"): another edgeone process may be calling EdgeOne; nothing was sent, whoever holds the lease makes this call"
}
