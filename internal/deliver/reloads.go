package deliver

import (
	"context"
	"sync"
)

// Reloads lets deliveries that reach one host together share its reload
// command. A reload serves each delivery whose file was in place before it
// began. A delivery that comes while a reload runs waits for the next one. The
// zero value is ready.
type Reloads struct {
	mu      sync.Mutex
	running bool
	waiting []*waiter
}

// waiter is a delivery that waits for its turn. Its channel has room for the
// one message that it gets.
type waiter struct {
	told chan turn
	left bool
}

type turn int

const (
	served turn = iota // by a reload that began after the file was in place
	leads              // it runs the reload itself
)

// Share returns true when a reload of somebody else began after this call and
// succeeded. Otherwise it runs reload itself, unless ctx ends before its turn;
// the result then counts for those who wait, if there are any: reload is told. Call it when
// the file is in place.
func (r *Reloads) Share(ctx context.Context, reload func(forOthers bool) bool) bool {
	if w := r.join(); w != nil {
		select {
		case t := <-w.told:
			if t == served {
				return true
			}
		case <-ctx.Done():
			r.leave(w)
			return false
		}
	}
	group := r.begin()
	r.end(group, reload(len(group) > 0))
	return false
}

// join waits in line while a reload runs. It returns nil when it is the
// caller's turn at once.
func (r *Reloads) join() *waiter {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.running {
		r.running = true
		return nil
	}
	w := &waiter{told: make(chan turn, 1)}
	r.waiting = append(r.waiting, w)
	return w
}

func (r *Reloads) leave(w *waiter) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w.left = true
	select {
	case t := <-w.told:
		if t == leads { // this one will not: the next one does
			r.next()
		}
	default:
	}
}

// begin takes all who wait: their files are in place, and the reload has not
// begun yet.
func (r *Reloads) begin() []*waiter {
	r.mu.Lock()
	defer r.mu.Unlock()
	group := r.waiting
	r.waiting = nil
	return group
}

// end tells the group how the reload ended. After a failure each of them tries
// for itself, one after the other.
func (r *Reloads) end(group []*waiter, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ok {
		for _, w := range group {
			w.told <- served
		}
	} else {
		r.waiting = append(group, r.waiting...)
	}
	r.next()
}

func (r *Reloads) next() {
	for len(r.waiting) > 0 {
		w := r.waiting[0]
		r.waiting = r.waiting[1:]
		if !w.left {
			w.told <- leads
			return
		}
	}
	r.running = false
}
