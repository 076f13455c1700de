package workflows_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"keywave/activities"
	"keywave/internal/plan"
	"keywave/internal/rotation"
	"keywave/workflows"
)

func (w *world) onHealth(in activities.HealthIn) activities.HealthOut {
	var out activities.HealthOut
	for _, name := range in.Checks {
		w.log(w.env.Now(), "health", "", name)
		if says := w.unwell[name]; len(says) > 0 {
			w.unwell[name] = says[1:]
			if says[0] != "" {
				out.Problems = append(out.Problems, name+": "+says[0])
			}
		}
	}
	return out
}

func twoWaves(change func(*plan.Settings)) plan.Settings {
	return settings(func(s *plan.Settings) {
		s.Waves = []string{"1", "100%"}
		change(s)
	})
}

func TestHealthGate(t *testing.T) {
	w := newWorld(t, 6, 3, 2)
	w.unwell = map[string][]string{"shop": {"503", "503", ""}}
	p := w.plan(twoWaves(func(s *plan.Settings) { s.Health = []string{"shop", "smoke"} }), 10)
	paused := w.status(time.Hour)
	still := w.say(2*time.Hour, workflows.UpdateResume, workflows.Order{By: "ann"})
	again := w.status(3 * time.Hour)
	w.say(4*time.Hour, workflows.UpdateResume, workflows.Order{By: "ann"})
	s := w.campaign(w.campaignIn(p))
	if paused.State != workflows.StatePaused || paused.Reason != "after wave 1 shop: 503" || paused.Zones.Done != 1 {
		t.Errorf("after an hour: %+v", paused)
	}
	if !still.complete || again.State != workflows.StatePaused {
		t.Errorf("resumed while it is unwell: %+v, %+v", still, again)
	}
	if s.State != workflows.StateDone || w.sentBetween(time.Minute, 4*time.Hour) > 0 || len(w.happened("health")) != 6 {
		t.Errorf("%+v\n%s", s, w.story())
	}
}

func TestHealthGateIsWaived(t *testing.T) {
	w := newWorld(t, 6, 3, 2)
	w.unwell = map[string][]string{"shop": {"503", "503", "503"}}
	p := w.plan(twoWaves(func(s *plan.Settings) { s.Health = []string{"shop"} }), 10)
	mute := w.say(time.Hour, workflows.UpdateResume, workflows.Order{By: "ann", WaiveHealth: true})
	w.say(2*time.Hour, workflows.UpdateResume, workflows.Order{By: "ann", WaiveHealth: true, Reason: "the check is broken"})
	s := w.campaign(w.campaignIn(p))
	if mute.rejected == nil {
		t.Error("waived without a reason")
	}
	if s.State != workflows.StateDone || !logged(s, "waived the health checks after wave 1", "the check is broken") {
		t.Errorf("%+v\n%s", s, w.story())
	}
}

func TestEmergencyWaivesEveryGate(t *testing.T) {
	w := newWorld(t, 6, 3, 2)
	w.emergency = true
	w.unwell = map[string][]string{"shop": {"503"}}
	in := w.campaignIn(w.plan(twoWaves(func(s *plan.Settings) {
		s.Health, s.Approve, s.Bake = []string{"shop"}, []int{1, 2}, rotation.Span(time.Hour)
	}), 10))
	in.Emergency = "key leaked"
	s := w.campaign(in)
	if s.State != workflows.StateDone || s.EndedAt.Sub(noon) > time.Minute || s.Emergency != "key leaked" || len(w.happened("health")) > 0 {
		t.Errorf("%+v\n%s", s, w.story())
	}
}

func TestApprovalGateTimesOut(t *testing.T) {
	w := newWorld(t, 6, 3, 2)
	p := w.plan(twoWaves(func(s *plan.Settings) { s.Approve, s.ApproveWithin = []int{2}, rotation.Span(time.Hour) }), 10)
	waiting := w.status(30 * time.Minute)
	paused := w.status(2 * time.Hour)
	approve := w.say(3*time.Hour, workflows.UpdateApprove, workflows.Order{By: "bob", Wave: 2})
	held := w.status(4 * time.Hour)
	w.say(5*time.Hour, workflows.UpdateResume, workflows.Order{By: "bob"})
	s := w.campaign(w.campaignIn(p))
	if waiting.State != workflows.StateWaiting || paused.State != workflows.StatePaused || !strings.Contains(paused.Reason, "nobody approved wave 2 within 1h") {
		t.Errorf("%+v\n%+v", waiting, paused)
	}
	if !approve.complete || held.State != workflows.StatePaused || s.State != workflows.StateDone || w.sentBetween(time.Minute, 5*time.Hour) > 0 {
		t.Errorf("%+v, %+v, %+v\n%s", approve, held, s, w.story())
	}
}

func TestApprovalBySomebodyElse(t *testing.T) {
	w := newWorld(t, 6, 3, 2)
	p := w.plan(twoWaves(func(s *plan.Settings) { s.Approve, s.SecondPerson = []int{2}, true }), 10)
	self := w.say(time.Hour, workflows.UpdateApprove, workflows.Order{By: "ann", Wave: 2})
	nobody := w.say(time.Hour, workflows.UpdateApprove, workflows.Order{Wave: 2})
	other := w.say(2*time.Hour, workflows.UpdateApprove, workflows.Order{By: "bob", Wave: 2, Reason: "canary is well"})
	s := w.campaign(w.campaignIn(p))
	if self.rejected == nil || !strings.Contains(self.rejected.Error(), "somebody else than ann") || nobody.rejected == nil || !other.complete {
		t.Errorf("ann: %v, nobody: %v, bob: %+v", self.rejected, nobody.rejected, other)
	}
	if s.State != workflows.StateDone || !logged(s, "approved wave 2", "canary is well") || w.sentBetween(time.Minute, 2*time.Hour) > 0 {
		t.Errorf("%+v\n%s", s, w.story())
	}
}

// The brake belongs to the account: it is set in Temporal, and pauses the
// campaign until it is released.
func TestBrake(t *testing.T) {
	w := newWorld(t, 20, 4, 2)
	for _, z := range w.zones {
		z.refresh = []refreshing{slow(5 * time.Second)}
	}
	mute := w.say(time.Second, workflows.UpdateSet, workflows.Order{By: "ann", Rate: "0"})
	odd := w.say(time.Second, workflows.UpdateSet, workflows.Order{By: "ann", Rate: "fast", Reason: "?"})
	brake := w.say(2*time.Second, workflows.UpdateSet, workflows.Order{By: "ann", Rate: "0", Reason: "incident 7"})
	braked := w.status(time.Hour)
	resume := w.say(time.Hour, workflows.UpdateResume, workflows.Order{By: "bob"})
	w.say(2*time.Hour, workflows.UpdateSet, workflows.Order{By: "ann", Rate: "5", Reason: "over"})
	s := w.campaign(w.campaignIn(w.plan(usualSettings(), 6)))
	if mute.rejected == nil || odd.rejected == nil || !brake.complete {
		t.Errorf("without a reason: %v, of no number: %v, %+v", mute.rejected, odd.rejected, brake)
	}
	if braked.State != workflows.StatePaused || braked.Reason != "the brake of account acme is on: incident 7" || braked.InFlight != 0 {
		t.Errorf("after an hour: %+v", braked)
	}
	if resume.rejected == nil || !strings.Contains(resume.rejected.Error(), "brake off --account acme") {
		t.Errorf("resumed under the brake: %v", resume.rejected)
	}
	if len(w.rates) != 2 || *w.rates[0].PerSecond != 0 || *w.rates[1].PerSecond != 5 || w.rates[0].Queue != workflows.RefreshQueue(account) || w.rates[0].By != "ann" || w.rates[0].Reason != "incident 7" {
		t.Errorf("rates: %+v", w.rates)
	}
	if s.State != workflows.StateDone || w.sentBetween(8*time.Second, 2*time.Hour) > 0 || !logged(s, "set the rate of account acme to 5", "over") {
		t.Errorf("%+v\n%s", s, w.story())
	}
}

// A person's pause goes on after the brake is released.
func TestBrakeOfAPausedCampaign(t *testing.T) {
	w := newWorld(t, 6, 3, 2)
	for _, z := range w.zones {
		z.refresh = []refreshing{slow(5 * time.Second)}
	}
	w.say(time.Second, workflows.UpdatePause, workflows.Order{By: "ann", Reason: "lunch"})
	w.say(time.Hour, workflows.UpdateSet, workflows.Order{By: "bob", Rate: "0", Reason: "incident 7"})
	w.say(2*time.Hour, workflows.UpdateSet, workflows.Order{By: "bob", Rate: "default", Reason: "over"})
	paused := w.status(3 * time.Hour)
	w.say(4*time.Hour, workflows.UpdateResume, workflows.Order{By: "ann"})
	s := w.campaign(w.campaignIn(w.plan(usualSettings(), 6)))
	if paused.State != workflows.StatePaused || !strings.Contains(paused.Reason, "lunch") || s.State != workflows.StateDone || len(w.rates) != 2 || w.rates[1].PerSecond != nil {
		t.Errorf("%+v\n%+v", paused, s)
	}
}

// When a budget has paused the campaign, the status names the exposed zones as
// they are now, not as they were.
func TestABreachIsToldAsItIsNow(t *testing.T) {
	w := newWorld(t, 12, 4, 1)
	p := w.plan(settings(func(s *plan.Settings) { s.Window, s.MaxFailed = 4, "100%" }), 6)
	for _, z := range w.zones {
		z.refresh = []refreshing{slow(2 * time.Second)}
	}
	for _, name := range []rotation.HostName{"h1", "h2", "h3"} {
		w.machines[name].down(noon.Add(time.Second), 20*time.Minute)
	}
	paused := w.status(5 * time.Minute)
	kept := w.status(time.Hour)
	w.say(2*time.Hour, workflows.UpdateResume, workflows.Order{By: "ann"})
	w.campaign(w.campaignIn(p))
	if paused.Zones.Exposed < 2 || !strings.HasPrefix(paused.Reason, fmt.Sprintf("exposed zones: %d,", paused.Zones.Exposed)) {
		t.Errorf("%d are exposed, and it says %q", paused.Zones.Exposed, paused.Reason)
	}
	if kept.Zones.Exposed != 0 || kept.State != workflows.StatePaused || !strings.HasSuffix(kept.Reason, "now the budget is kept again") {
		t.Errorf("later: %+v", kept)
	}
}

func logged(s workflows.Status, what, reason string) bool {
	for _, e := range s.Log {
		if e.What == what && e.Reason == reason {
			return true
		}
	}
	return false
}

func TestNotices(t *testing.T) {
	w := newWorld(t, 6, 3, 1)
	p := w.plan(twoWaves(func(s *plan.Settings) {
		s.Approve, s.Notify, s.MaxFailed = []int{2}, []string{"start", "gate", "exposed", "stop", "end"}, "100%"
	}), 10)
	for _, z := range w.zones {
		z.refresh = []refreshing{slow(2 * time.Second)}
	}
	w.say(time.Hour, workflows.UpdateApprove, workflows.Order{By: "bob", Wave: 2})
	w.machines["h2"].down(noon.Add(time.Hour+time.Second), 20*time.Minute)
	w.say(2*time.Hour, workflows.UpdateResume, workflows.Order{By: "bob"})
	s := w.campaign(w.campaignIn(p))
	var told []string
	for _, n := range w.notices {
		told = append(told, string(n.Event)+" "+n.State)
		if n.Campaign != "c" || n.Text == "" || n.Zones.Total != 6 || n.At.IsZero() {
			t.Errorf("%+v", n)
		}
	}
	want := []string{"start running", "gate waiting", "exposed running", "stop paused", "end done"}
	slices.Sort(told) // two are told at the same instant
	slices.Sort(want)
	if s.State != workflows.StateDone || !slices.Equal(told, want) {
		t.Errorf("told %q, want %q\n%+v\n%s", told, want, s, w.story())
	}
}

func TestNoNoticeUnlessAsked(t *testing.T) {
	w := newWorld(t, 3, 3, 1)
	w.campaign(w.campaignIn(w.plan(settings(func(s *plan.Settings) { s.Notify = []string{"stop"} }), 10)))
	if len(w.notices) > 0 {
		t.Errorf("told %+v", w.notices)
	}
}

// A plan whose live keys had changed since runs only because a person accepted
// that, and everybody can see it.
func TestAcceptedDriftIsOnRecord(t *testing.T) {
	w := newWorld(t, 6, 3, 2)
	in := w.campaignIn(w.plan(twoWaves(func(*plan.Settings) {}), 10))
	plain := w.campaign(in)
	w = newWorld(t, 6, 3, 2)
	in = w.campaignIn(w.plan(twoWaves(func(*plan.Settings) {}), 10))
	in.Reread = 6
	in.Drift = &workflows.AcceptedDrift{Zones: 2, Read: 6, Reason: "ticket 4711", Named: []plan.Difference{{Zone: "zone-1", Text: "has another key"}}}
	s := w.campaign(in)
	if s.State != workflows.StateDone || s.Drift == nil || s.Drift.Zones != 2 || s.API.Describe != plain.API.Describe+6 {
		t.Errorf("%+v, and without drift %+v", s, plain)
	}
	if !logged(s, "drift accepted: 2 of 6 live keys changed since the plan was made: zone zone-1 has another key; and 1 more", "ticket 4711") {
		t.Errorf("the log is %+v", s.Log)
	}
}

// A resume takes a person's pause away, but never the brake, and says what
// still holds the campaign.
func TestResumeDoesNotSkipTheBrake(t *testing.T) {
	w := newWorld(t, 12, 4, 2)
	for _, z := range w.zones {
		z.refresh = []refreshing{slow(5 * time.Second)}
	}
	p := w.plan(settings(func(s *plan.Settings) { s.Window = 2 }), 6)
	w.say(time.Second, workflows.UpdatePause, workflows.Order{By: "ann", Reason: "lunch"})
	w.say(time.Minute, workflows.UpdateSet, workflows.Order{By: "bob", Rate: "0", Reason: "incident 7"})
	resume := w.say(time.Hour, workflows.UpdateResume, workflows.Order{By: "ann"})
	held := w.status(90 * time.Minute)
	w.say(2*time.Hour, workflows.UpdateSet, workflows.Order{By: "bob", Rate: "default", Reason: "over"})
	s := w.campaign(w.campaignIn(p))
	if !resume.complete || resume.State != workflows.StatePaused || resume.Text != "resumed, but still paused: the brake of account acme is on: incident 7" {
		t.Errorf("resume was answered with %+v", resume)
	}
	if held.State != workflows.StatePaused || held.Reason != "the brake of account acme is on: incident 7" || !strings.HasPrefix(held.Next, "keywave brake off --account acme ") {
		t.Errorf("after the resume: %+v", held)
	}
	if s.State != workflows.StateDone || w.sentBetween(10*time.Second, 2*time.Hour) > 0 {
		t.Errorf("%+v\n%s", s, w.story())
	}
}

// When a wave waits for its approval, a resume delivers the exposed zones of
// earlier waves, and the wave goes on waiting.
func TestResumeWhileAWaveWaitsForItsApproval(t *testing.T) {
	w := newWorld(t, 6, 3, 1)
	for _, z := range w.zones {
		z.refresh = []refreshing{slow(2 * time.Second)}
	}
	p := w.plan(settings(func(s *plan.Settings) {
		s.Waves, s.Approve, s.MaxExposed, s.Timing.DeliverFor = []string{"1", "100%"}, []int{2}, 1, rotation.Span(time.Minute)
	}), 10)
	w.machines["h1"].down(noon.Add(time.Second), 30*time.Minute)
	exposed := w.status(20 * time.Minute)
	resume := w.say(time.Hour, workflows.UpdateResume, workflows.Order{By: "ann"})
	mended := w.status(90 * time.Minute)
	w.say(2*time.Hour, workflows.UpdateApprove, workflows.Order{Wave: 2, By: "ann"})
	s := w.campaign(w.campaignIn(p))
	if exposed.State != workflows.StateWaiting || exposed.Zones.Exposed != 1 {
		t.Fatalf("after 20 minutes: %+v\n%s", exposed, w.story())
	}
	if !resume.complete || !strings.Contains(resume.Text, "wave 2 still waits for its approval") {
		t.Errorf("resume was answered with %+v", resume)
	}
	if mended.State != workflows.StateWaiting || mended.Zones.Exposed != 0 || mended.Zones.Done != 1 || w.sentBetween(time.Minute, 2*time.Hour) > 0 {
		t.Errorf("after the resume: %+v\n%s", mended, w.story())
	}
	if s.State != workflows.StateDone || s.Zones.Done != 6 {
		t.Errorf("%+v\n%s", s, w.story())
	}
}
