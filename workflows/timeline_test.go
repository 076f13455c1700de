package workflows_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"keywave/internal/plan"
	"keywave/workflows"
)

// A line on a campaign's timeline is a timer that nobody waits for. There is
// one for each wave and each pause, from its beginning to its end. The line of
// the last wave ends with the campaign.
func TestCampaignDrawsItsTimeline(t *testing.T) {
	w := newWorld(t, 20, 4, 2)
	for _, z := range w.zones {
		z.refresh = []refreshing{slow(5 * time.Second)}
	}
	open := map[string]time.Time{}
	var lines []string
	w.env.SetOnTimerScheduledListener(func(id string, d time.Duration) {
		if d > 300*24*time.Hour {
			open[id] = w.env.Now()
		}
	})
	w.env.SetOnTimerCanceledListener(func(id string) {
		if from, drawn := open[id]; drawn {
			lines = append(lines, fmt.Sprintf("%s %s", from.Sub(noon).Round(10*time.Second), w.env.Now().Sub(noon).Round(time.Second)))
			delete(open, id)
		}
	})
	w.say(3500*time.Millisecond, workflows.UpdatePause, workflows.Order{By: "ann", Reason: "lunch"})
	w.say(time.Hour, workflows.UpdateResume, workflows.Order{By: "ann"})
	w.campaign(w.campaignIn(w.plan(settings(func(s *plan.Settings) { s.Waves = []string{"50%", "100%"} }), 6)))
	if want := []string{"0s 1h0m0s", "0s 1h0m11s"}; !slices.Equal(lines, want) || len(open) > 1 {
		t.Errorf("lines: %q, still drawn: %v\n%s", lines, open, w.story())
	}
}
