package activities_test

import (
	"testing"
	"testing/synctest"
	"time"

	"keywave/activities"
	"keywave/internal/rotation"
)

// From the instant on at which the campaign's window closes nothing is signed,
// however long the request waited for its turn or was rejected.
func TestRefreshClosedWindow(t *testing.T) {
	throttled := fails(rotation.Throttled, "RequestLimitExceeded")
	for name, c := range map[string]struct {
		calls []call
		want  activities.Sending
	}{
		"its turn comes in time":    {[]call{limited(9*time.Second, answers(theKey, 5*time.Second))}, activities.Answered},
		"its turn comes too late":   {[]call{limited(10*time.Second, answers(theKey, 0))}, activities.NotSent},
		"it is rejected until then": {[]call{throttled}, activities.NotSent},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in := refreshIn()
				in.ClosesAt = time.Now().Add(10 * time.Second)
				began := time.Now()
				out := refresh(t, t.Context(), &edgeOne{refreshes: c.calls}, in)
				if out.Sending != c.want || out.Again || time.Since(began) > 20*time.Second {
					t.Errorf("after %s: %+v", time.Since(began), out)
				}
			})
		})
	}
}
