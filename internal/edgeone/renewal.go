package edgeone

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// How a temporary credential is kept fresh.
const (
	// renewAhead is how long before its end a credential is renewed, or a fifth
	// of its life where that is less.
	renewAhead = 10 * time.Minute
	// spare is how long before its end it is not used any more, so that a
	// request that was just signed arrives in time.
	spare = 15 * time.Second
	// fetchTimeout bounds one renewal, and so how long a call waits for one.
	fetchTimeout = 10 * time.Second
	// retryFirst is the wait after a renewal that failed; it doubles up to
	// retryMost. In between, a call without a credential is refused at once.
	retryFirst = 5 * time.Second
	retryMost  = time.Minute
)

// renewed keeps a temporary credential. It is renewed in the background, once at
// a time and ahead of its end; the old one is used until it is at its end.
type renewed struct {
	fetch func(context.Context) (Credential, error)
	warn  func(error)
	// source is the credential that it is asked for with; nil where there is none.
	source Provider
	life   context.Context // its end is that of renewals in the background

	mu       sync.Mutex
	current  Credential
	underway chan struct{} // closed at the end of the renewal; nil when there is none
	failed   error         // of the last renewal; nil when it went well
	failedAt time.Time
	wait     time.Duration // until the next try
	next     *time.Timer
}

func newRenewed(life context.Context, warn func(error), fetch func(context.Context) (Credential, error)) *renewed {
	if warn == nil {
		warn = func(error) {}
	}
	return &renewed{fetch: fetch, warn: warn, life: life}
}

// Credential is the present one. Without a good one it waits for the renewal,
// for fetchTimeout at the most.
func (r *renewed) Credential(ctx context.Context) (Credential, error) {
	r.mu.Lock()
	if !r.good() {
		if done := r.renew(); done != nil {
			r.mu.Unlock()
			select {
			case <-done:
			case <-ctx.Done():
				return Credential{}, ctx.Err()
			}
			r.mu.Lock()
		}
	}
	defer r.mu.Unlock()
	switch {
	case r.good():
		return r.current, nil
	case r.failed != nil:
		return Credential{}, r.failed
	}
	return Credential{}, complain("the temporary credential was refused as soon as it was given; check the clock of this machine, then try again")
}

// readable is what came of the last renewal, and of the source that it takes.
func (r *renewed) readable() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed != nil {
		return r.failed
	}
	return Readable(r.source)
}

func (r *renewed) good() bool {
	return !r.current.until.IsZero() && past(r.current.until.Add(-spare)) < 0
}

// refused drops the credential that the service does not accept any more.
func (r *renewed) refused(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current.id == id {
		r.current = Credential{}
	}
}

// renew starts a renewal where none is under way, and says when it ends; nil
// when the last one failed just now.
func (r *renewed) renew() <-chan struct{} {
	if r.underway == nil {
		if r.failed != nil && time.Since(r.failedAt) < retryFirst {
			return nil
		}
		r.underway = make(chan struct{})
		go r.run()
	}
	return r.underway
}

func (r *renewed) run() {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	fresh, err := r.fetch(ctx)
	if err == nil && past(fresh.until.Add(-spare)) >= 0 {
		err = complain("the temporary credential that was given has already ended; check the clock of this machine and what gives the credential")
	}

	if warning := r.settle(fresh, err); warning != nil {
		r.warn(warning)
	}
}

// settle ends the renewal with what came of it, and says what is worth a
// warning.
func (r *renewed) settle(fresh Credential, err error) (warning error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.current, r.failed, r.wait = fresh, nil, 0
	} else {
		r.failed, r.failedAt = err, time.Now()
		r.wait = min(max(2*r.wait, retryFirst), retryMost)
		if until := r.current.until; !until.IsZero() {
			warning = fmt.Errorf("the temporary credential, good until %s, could not be renewed; next try in %s: %w", until.UTC().Format(time.RFC3339), r.wait, err)
		}
	}
	r.schedule()
	close(r.underway)
	r.underway = nil
	return warning
}

// schedule sets the time of the next renewal.
func (r *renewed) schedule() {
	after := r.wait
	if r.failed == nil {
		left := time.Until(r.current.until)
		after = max(left-max(min(renewAhead, left/5), 2*spare), retryFirst)
	}
	if r.next != nil {
		r.next.Stop()
	}
	r.next = time.AfterFunc(after, func() {
		if r.life.Err() != nil {
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.renew()
	})
}
