// Package activities touches the world, one verb per file and once per call:
// EdgeOne through rotation.EdgeOne, hosts through rotation.Host, and Temporal
// through its client. One call may touch it twice: a refresh whose new key goes
// straight to the hosts (straight.go). It decides nothing that could be decided from values
// (rotation does), and links no adapter. What it returns is readable by anybody
// who can read a history, so keys leave it only sealed.
package activities

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"
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
	return beatEach(beatEvery, func() { activity.RecordHeartbeat(ctx) })
}

func beatEach(every time.Duration, report func()) (stop func()) {
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				report()
			}
		}
	}()
	return func() { close(done) }
}

// inTime ends shortly before the activity's own deadline, so that a host that
// hangs does not cost what the others acknowledged.
func inTime(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithDeadline(ctx, activity.GetInfo(ctx).Deadline.Add(-time.Second))
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
