package activities_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"keywave/activities"
)

// server receives heartbeats, and answers them according to the time that has
// passed.
type server struct {
	client.Client
	began  time.Time
	answer func(since time.Duration) error
}

func (s *server) RecordActivityHeartbeat(context.Context, []byte, ...any) error {
	return s.answer(time.Since(s.began))
}

// holder is a process that holds the lease, and what it was told.
type holder struct {
	activities.Lease
	began    time.Time
	told     []string
	until    time.Duration // how far the lease was last extended
	lasting  time.Duration // how long its last calls take
	dropped  time.Duration
	activeAt time.Duration
}

// leaseWorkflow is the only one that may ask for the lease.
const leaseWorkflow = "edgeone/acme"

func newHolder(answer func(time.Duration) error) *holder {
	h := &holder{began: time.Now()}
	h.Workflow = leaseWorkflow
	h.Client = &server{began: h.began, answer: answer}
	h.Extend = func(sent time.Time, life time.Duration) { h.until = sent.Add(life).Sub(h.began) }
	h.Activate = func() (func(), error) {
		h.told, h.activeAt = append(h.told, "activate"), time.Since(h.began)
		return func() {
			time.Sleep(h.lasting)
			h.told = append(h.told, "deactivate")
		}, nil
	}
	h.Drop = func() { h.told, h.dropped = append(h.told, "drop"), time.Since(h.began) }
	return h
}

func (h *holder) hold(t *testing.T) error {
	t.Helper()
	_, err := run(t, t.Context(), func(ctx context.Context, in activities.LeaseIn) (string, error) { return "", h.Serve(ctx, in) }, activities.LeaseIn{Account: "acme"})
	return err
}

// handsBack holds the lease until it is released. Then Temporal gives it to the
// next process.
func (h *holder) handsBack(t *testing.T) {
	t.Helper()
	var app *temporal.ApplicationError
	if err := h.hold(t); !errors.As(err, &app) || app.Type() != string(activities.KindHanded) || app.NonRetryable() {
		t.Errorf("%v", err)
	}
}

func always(time.Duration) error { return nil }

func TestHoldWaitsBeforeItsFirstCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHolder(always)
		release := make(chan struct{})
		h.Release, h.lasting = release, 10*time.Second
		time.AfterFunc(time.Minute, func() { close(release) })
		h.handsBack(t)
		if h.activeAt != activities.TakeoverPause {
			t.Errorf("active after %s", h.activeAt)
		}
		if !slices.Equal(h.told, []string{"activate", "deactivate", "drop"}) {
			t.Errorf("%v", h.told)
		}
		if h.dropped != 70*time.Second || h.until < h.dropped {
			t.Errorf("dropped after %s, and the lease was held until %s: the last calls took until 1m10s", h.dropped, h.until)
		}
	})
}

// Once the server has given the lease away, no call is made. The calls on their
// way are stopped before they are waited for.
func TestHoldLoses(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(time.Duration) error
		within time.Duration
	}{
		"to another process": {func(d time.Duration) error {
			if d > 20*time.Second {
				return serviceerror.NewNotFound("activity timed out")
			}
			return nil
		}, 22 * time.Second},
		"because Temporal cannot be reached": {func(d time.Duration) error {
			if d > 20*time.Second {
				return errors.New("unavailable")
			}
			return nil
		}, 27 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHolder(c.answer)
				if err := h.hold(t); err == nil {
					t.Errorf("it released a lease that it had lost")
				}
				if !slices.Equal(h.told, []string{"activate", "drop", "deactivate"}) || h.dropped > c.within {
					t.Errorf("%v after %s", h.told, h.dropped)
				}
				if h.until > 20*time.Second+activities.LeaseTimeout-time.Second {
					t.Errorf("it believed to hold the lease until %s", h.until)
				}
			})
		})
	}
}

func TestHoldSurvivesAHiccup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHolder(func(d time.Duration) error {
			if d > 10*time.Second && d < 13*time.Second {
				return errors.New("unavailable")
			}
			return nil
		})
		release := make(chan struct{})
		h.Release = release
		time.AfterFunc(30*time.Second, func() { close(release) })
		h.handsBack(t)
	})
}

func TestHoldThatIsGivenToSomebodyElseNeverActivates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHolder(func(d time.Duration) error {
			if d > 0 {
				return serviceerror.NewNotFound("activity timed out")
			}
			return nil
		})
		if err := h.hold(t); err == nil || len(h.told) > 0 {
			t.Errorf("%v, %v", err, h.told)
		}
	})
}
