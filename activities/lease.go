package activities

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
)

// Lease times. The holder stops itself LeaseLife after it sent its last
// successful heartbeat; the server gives the lease away LeaseTimeout after it
// received it, which is later; the successor waits TakeoverPause on top.
const (
	LeaseTimeout  = 5 * time.Second
	LeaseLife     = 4 * time.Second
	leaseBeat     = 250 * time.Millisecond // a process that stands by sees by it that the active one is silent
	TakeoverPause = time.Second
)

// Lease makes one process per account the one that its workflow chooses: the
// active one, or the one that reads early. That is the process that holds the Lease
// activity.
type Lease struct {
	Client client.Client
	// Workflow is the ID of the workflow that alone may ask for it.
	Workflow string
	// Extend is told that the lease holds for life from sent on, on this
	// process's monotonic clock.
	Extend func(sent time.Time, life time.Duration)
	// Activate begins the work that needs the lease; the returned function
	// ends it and waits for what is under way.
	Activate func() (deactivate func(), err error)
	// Drop is told that the lease is lost: no further call from now on.
	Drop func()
	// Release is closed when this process wants to hand the lease back.
	Release <-chan struct{}
}

// LeaseIn names the account.
type LeaseIn struct {
	Account string `json:"account"`
}

// Serve keeps the lease for as long as the server hears its heartbeats. Each
// heartbeat is a call of its own: the SDK's are batched, and would not tell
// when the server last heard one. It ends by failing, also when it hands the
// lease back: a retry needs no workflow task, which would go to the orchestrator
// that stops in the same process, and be lost for 10 s.
func (l *Lease) Serve(ctx context.Context, _ LeaseIn) error {
	if why := stray(ctx, l.Workflow, LeaseType); why != "" {
		return fail(KindStray, why+"; two leases would let two processes call EdgeOne at once")
	}
	token := activity.GetInfo(ctx).TaskToken
	if _, err := l.beat(ctx, token); err != nil {
		return err
	}
	if err := pause(ctx, TakeoverPause); err != nil {
		return err
	}
	if held, err := l.beat(ctx, token); !held {
		return err
	}
	deactivate, err := l.Activate()
	if err != nil {
		return err
	}
	err = l.keep(ctx, token)
	if err != nil {
		l.Drop()
		deactivate()
		return err
	}
	stop := l.keepWhile(ctx, token)
	deactivate()
	stop()
	l.Drop()
	return fail(KindHanded, "handed back")
}

// keep beats until the process wants to release the lease (nil) or has lost it.
func (l *Lease) keep(ctx context.Context, token []byte) error {
	tick := time.NewTicker(leaseBeat)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-l.Release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		held, err := l.beat(ctx, token)
		switch {
		case held:
			last = time.Now()
		case gone(err):
			return err
		case time.Since(last) > LeaseTimeout:
			return errors.New("the lease ran out: Temporal could not be reached in time")
		}
	}
}

// keepWhile goes on beating while the last calls are made.
func (l *Lease) keepWhile(ctx context.Context, token []byte) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(leaseBeat)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				_, _ = l.beat(ctx, token)
			}
		}
	}()
	return func() { close(done); <-ended }
}

func (l *Lease) beat(ctx context.Context, token []byte) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, LeaseLife)
	defer cancel()
	sent := time.Now()
	if err := l.Client.RecordActivityHeartbeat(ctx, token); err != nil {
		return false, err
	}
	l.Extend(sent, LeaseLife)
	return true, nil
}

// gone says that the server has given the lease away or wants it back.
func gone(err error) bool {
	var notFound *serviceerror.NotFound
	var canceled *serviceerror.Canceled
	return errors.As(err, &notFound) || errors.As(err, &canceled) || errors.Is(err, context.Canceled)
}
