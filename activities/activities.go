// Package activities touches the world, one verb per file and once per call:
// EdgeOne through rotation.EdgeOne, hosts through rotation.Host, and Temporal
// through its client. One call may touch it twice: a refresh whose new key goes
// straight to the hosts (straight.go). It decides nothing that could be decided from values
// (rotation does), and links no adapter. What it returns is readable by anybody
// who can read a history, so keys leave it only sealed.
package activities

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
)

// clock tells the time of Temporal's server inside an activity: the start time
// that the server recorded plus what this process's monotonic clock measured
// since. Times from it can be compared across workers whose own clocks differ.
type clock struct{ started, base time.Time }

func serverClock(ctx context.Context) clock {
	return clock{activity.GetInfo(ctx).StartedTime.UTC(), time.Now()}
}

func (c clock) now() time.Time { return c.at(time.Now()) }

// at converts a reading of this process's clock.
func (c clock) at(local time.Time) time.Time { return c.started.Add(local.Sub(c.base)) }

// beatEvery is how often a running activity reports. The first beat waits as
// long, so that a quick activity costs the server nothing.
const beatEvery = 2 * time.Second

// beat reports until the returned function is called.
func beat(ctx context.Context) (stop func()) {
	return beatEach(ctx, beatEvery, func(ctx context.Context) { activity.RecordHeartbeat(ctx) })
}

// beatEach goes on when ctx has ended: whoever was cancelled and finishes its work lives.
func beatEach(ctx context.Context, every time.Duration, report func(context.Context)) (stop func()) {
	ctx = context.WithoutCancel(ctx)
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				report(ctx)
			}
		}
	}()
	return func() { close(done) }
}

// inTime ends shortly before the activity's own deadline, so that a host that
// hangs does not cost what the others acknowledged. The SDK ends ctx also when Temporal
// has not taken one heartbeat in time, often within a second; the work goes on then, for
// the next heartbeat may be taken. Who must not go on unheard, as a refresh, uses ctx.
func inTime(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline := activity.GetInfo(ctx).Deadline.Add(-time.Second)
	apart, end := context.WithCancelCause(context.WithoutCancel(ctx))
	unhook := context.AfterFunc(ctx, func() {
		if !unheard(ctx) {
			end(context.Cause(ctx))
		}
	})
	timed, cancel := context.WithDeadline(apart, deadline)
	return timed, func() { unhook(); cancel(); end(nil) }
}

// unheard says that ctx ended because Temporal could not be told that the activity lives,
// and for no other reason.
func unheard(ctx context.Context) bool {
	cause := context.Cause(ctx)
	if !errors.Is(ctx.Err(), context.Canceled) || errors.Is(cause, context.Canceled) {
		return false // its own end, or the worker's
	}
	_, cancelled := errors.AsType[*temporal.CanceledError](cause)
	_, gone := errors.AsType[*serviceerror.NotFound](cause)
	_, elsewhere := errors.AsType[*serviceerror.NamespaceNotActive](cause)
	return !cancelled && !gone && !elsewhere && !errors.Is(cause, activity.ErrActivityPaused) && !errors.Is(cause, activity.ErrActivityReset)
}

// pause waits, or says why not.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// untilStopped ends with the worker, for waits that another worker can take up.
func untilStopped(ctx context.Context) (context.Context, context.CancelFunc) {
	stop := activity.GetWorkerStopChannel(ctx)
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}
