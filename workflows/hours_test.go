package workflows_test

import (
	"strings"
	"testing"
	"time"

	"keywave/internal/calendar"
	"keywave/internal/plan"
	"keywave/internal/rotation"
	"keywave/workflows"
)

// noon is a Monday.

func hours(windows ...string) func(*plan.Settings) {
	return func(s *plan.Settings) { s.Windows, s.Window = windows, 2 }
}

// opens notes the moment from which refreshes may be asked for again.
func (w *world) opens(at time.Duration) {
	w.after(at, func() { w.log(w.env.Now(), "retry", "", "it opens") })
}

// slowly makes each refresh take some seconds.
func (w *world) slowly(d time.Duration) {
	for _, z := range w.zones {
		z.refresh = []refreshing{slow(d)}
	}
}

func TestClosedWindowIsWaitedFor(t *testing.T) {
	for name, change := range map[string]func(*plan.Settings, *workflows.CampaignIn){
		"of the plan": func(s *plan.Settings, _ *workflows.CampaignIn) { s.Windows = []string{"Mon 14:00-16:00 UTC"} },
		"its own": func(_ *plan.Settings, in *workflows.CampaignIn) {
			in.Hours.Windows = []string{"Mon 14:00-16:00 UTC"}
		},
		"both of them": func(s *plan.Settings, in *workflows.CampaignIn) {
			s.Windows, in.Hours.Windows = []string{"12:00-16:00 UTC"}, []string{"Mon 14:00-18:00 UTC"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 6, 3, 2)
			s := usualSettings()
			var in workflows.CampaignIn
			change(&s, &in)
			p := w.plan(s, 10)
			in.Name, in.Plan, in.Digest = "c", p.Name, p.Digest
			waits := w.status(time.Hour)
			mute := w.say(time.Hour, workflows.UpdateResume, workflows.Order{By: "ann"})
			ended := w.campaign(in)
			if waits.State != workflows.StatePaused || !waits.Shut() || !strings.HasSuffix(waits.Reason, " is closed until Mon 23 Nov 2026 14:00 UTC") ||
				waits.Next != `wait, it goes on by itself; at once: keywave campaign resume c --outside-window --reason "…"` {
				t.Errorf("while it is closed: %+v, %+v", waits, waits.Hours)
			}
			if mute.rejected == nil || !strings.Contains(mute.rejected.Error(), "goes on by itself then; at once: --outside-window") {
				t.Errorf("resume while it is closed: %v", mute.rejected)
			}
			if ended.State != workflows.StateDone || ended.Zones.Done != 6 || w.sentBetween(0, 2*time.Hour) > 0 || ended.Shut() {
				t.Errorf("%+v\n%s", ended, w.story())
			}
		})
	}
}

func TestWindowClosesMidRun(t *testing.T) {
	w := newWorld(t, 8, 4, 2)
	w.slowly(3 * time.Second)
	w.opens(24 * time.Hour)
	p := w.plan(settings(hours("12:00-12:00:05 UTC")), 8)
	closed := w.status(time.Hour)
	s := w.campaign(w.campaignIn(p))
	if n := w.sentBetween(0, 5*time.Second); n == 0 || n == 8 || closed.Zones.Done != n {
		t.Errorf("%d were refreshed in the window, and an hour later it says %+v", n, closed.Zones)
	}
	if closed.State != workflows.StatePaused || !strings.Contains(closed.Reason, "is closed until Tue 24 Nov 2026 12:00 UTC") {
		t.Errorf("after it closed: %+v", closed)
	}
	if n := w.sentBetween(5*time.Second, 24*time.Hour); n > 0 {
		t.Errorf("%d were refreshed while it was closed\n%s", n, w.story())
	}
	for _, e := range w.happened("sent") { // each knows when its own window closes
		if want := e.at.Format("until "+time.DateOnly) + " 12:00:05"; e.note != want {
			t.Errorf("%s was refreshed with %q, want %q", e.zone, e.note, want)
		}
	}
	if s.State != workflows.StateDone || s.EndedAt.Sub(noon) < 24*time.Hour {
		t.Errorf("%+v\n%s", s, w.story())
	}
}

// Zones that still wait for their turn when the window closes are not refreshed
// late, even if nobody tells them to stop.
func TestQueuedRefreshIsTooLate(t *testing.T) {
	w := newWorld(t, 1, 2, 2)
	w.queued = func(t *task) time.Duration {
		if t.name == workflows.ActRefresh {
			return 10 * time.Second
		}
		return 0
	}
	in := w.zoneIn("zone-01")
	in.ClosesAt = noon.Add(10 * time.Second)
	r := w.rotate(in)
	if r.Outcome != rotation.Pending || len(w.happened("sent")) > 0 {
		t.Errorf("%+v\n%s", r, w.story())
	}
}

// The last zones end after the window has closed. The campaign does not wait
// for the window to open again.
func TestNothingLeftWhenTheWindowCloses(t *testing.T) {
	w := newWorld(t, 2, 2, 1)
	w.slowly(6 * time.Second)
	s := w.campaign(w.campaignIn(w.plan(settings(hours("12:00-12:00:05 UTC")), 10)))
	if s.State != workflows.StateDone || s.EndedAt.Sub(noon) > time.Minute {
		t.Errorf("%+v\n%s", s, w.story())
	}
}

func TestPersonsPauseOutlastsTheWindow(t *testing.T) {
	w := newWorld(t, 6, 3, 2)
	p := w.plan(settings(hours("14:00-16:00 UTC")), 10)
	w.say(time.Hour, workflows.UpdatePause, workflows.Order{By: "ann", Reason: "not today"})
	open := w.status(3 * time.Hour)
	needless := w.say(3*time.Hour, workflows.UpdateResume, workflows.Order{By: "ann", OutsideWindow: true, Reason: "now"})
	resumed := w.say(5*time.Hour, workflows.UpdateResume, workflows.Order{By: "ann"})
	waits := w.status(6 * time.Hour)
	s := w.campaign(w.campaignIn(p))
	if open.State != workflows.StatePaused || open.Reason != "paused by an operator: not today" || open.Shut() {
		t.Errorf("while the window is open: %+v", open)
	}
	if needless.rejected == nil || !strings.Contains(needless.rejected.Error(), "resume without --outside-window") {
		t.Errorf("outside of a window that is open: %v", needless.rejected)
	}
	if !strings.HasPrefix(resumed.Text, "resumed, and waits: the window 14:00-16:00 UTC is closed until Tue") || !waits.Shut() {
		t.Errorf("resumed while it is closed: %+v, then %+v", resumed, waits)
	}
	if s.State != workflows.StateDone || w.sentBetween(0, 26*time.Hour) > 0 {
		t.Errorf("%+v\n%s", s, w.story())
	}
}

func TestOutsideTheWindow(t *testing.T) {
	w := newWorld(t, 6, 3, 2)
	p := w.plan(settings(hours("14:00-16:00 UTC")), 10)
	mute := w.say(30*time.Minute, workflows.UpdateResume, workflows.Order{By: "ann", OutsideWindow: true})
	w.say(time.Hour, workflows.UpdateResume, workflows.Order{By: "ann", OutsideWindow: true, Reason: "the key leaked"})
	s := w.campaign(w.campaignIn(p))
	if mute.rejected == nil {
		t.Error("it went outside the window without a reason")
	}
	if s.State != workflows.StateDone || s.EndedAt.Sub(noon) > 2*time.Hour || !s.Hours.Waived ||
		!logged(s, "goes on although the window 14:00-16:00 UTC is closed until Mon 23 Nov 2026 14:00 UTC", "the key leaked") {
		t.Errorf("%+v\n%s", s, w.story())
	}
}

// If a person lets the campaign run outside a window, it does so until the next
// window closes.
func TestOutsideTheWindowUntilTheNextCloses(t *testing.T) {
	w := newWorld(t, 8, 4, 2)
	w.slowly(3 * time.Second)
	w.opens(24*time.Hour + time.Minute)
	p := w.plan(settings(hours("12:01-12:01:05 UTC")), 10)
	w.say(57*time.Second, workflows.UpdateResume, workflows.Order{By: "ann", OutsideWindow: true, Reason: "early"})
	closed := w.status(time.Hour)
	s := w.campaign(w.campaignIn(p))
	if w.sentBetween(0, time.Minute) == 0 || !closed.Shut() || w.sentBetween(65*time.Second, 24*time.Hour) > 0 || s.State != workflows.StateDone {
		t.Errorf("%+v, then %+v\n%s", closed, s, w.story())
	}
}

// If zones that were under way when the window closed exhaust the budget, the
// campaign does not go on by itself.
func TestBudgetIsKeptWhileTheWindowIsClosed(t *testing.T) {
	w := newWorld(t, 6, 3, 1)
	w.machines["h1"].down(noon.Add(time.Second), 30*time.Hour)
	w.slowly(2 * time.Second)
	p := w.plan(settings(hours("12:00-12:00:10 UTC")), 10)
	closed := w.status(11 * time.Second)
	open := w.status(24*time.Hour + time.Minute)
	w.say(25*time.Hour, workflows.UpdateCancel, workflows.Order{By: "ann"})
	s := w.campaign(w.campaignIn(p))
	if !closed.Shut() || open.State != workflows.StatePaused || open.Shut() || open.Zones.Exposed == 0 || !strings.Contains(open.Reason, "exposed") {
		t.Errorf("when it closed %+v, a day later %+v, %+v\n%s", closed, open, s.Log, w.story())
	}
}

func TestBrakeOutlastsTheWindow(t *testing.T) {
	w := newWorld(t, 6, 3, 2)
	p := w.plan(settings(hours("14:00-16:00 UTC")), 10)
	w.say(time.Hour, workflows.UpdateSet, workflows.Order{Rate: "0", Reason: "incident"})
	open := w.status(150 * time.Minute)
	w.after(3*time.Hour, func() { w.log(w.env.Now(), "retry", "", "the brake is off") })
	w.say(3*time.Hour, workflows.UpdateSet, workflows.Order{Rate: "default", Reason: "over"})
	s := w.campaign(w.campaignIn(p))
	if open.State != workflows.StatePaused || open.Shut() || w.sentBetween(0, 3*time.Hour) > 0 || s.State != workflows.StateDone {
		t.Errorf("%+v, then %+v\n%s", open, s, w.story())
	}
}

func TestEmergencyWaivesTheCalendar(t *testing.T) {
	w := newWorld(t, 6, 3, 2)
	w.emergency = true
	in := w.campaignIn(w.plan(settings(func(s *plan.Settings) { s.Freeze = []string{"2026-11-01..2026-12-01"} }), 10))
	in.Emergency, in.Hours = "key leaked", calendar.Spec{Windows: []string{"Sat 02:00-06:00 UTC"}}
	s := w.campaign(in)
	if s.State != workflows.StateDone || s.EndedAt.Sub(noon) > time.Minute || !logged(s, "emergency: windows and freezes waived", "key leaked") {
		t.Errorf("%+v\n%s", s, w.story())
	}
}

// When a person resumes a closed campaign outside its window, and says so, it
// runs at once. It does so too after it has delivered what was exposed.
func TestTakenUpAgainOutsideTheWindow(t *testing.T) {
	w := newWorld(t, 6, 3, 2)
	p := w.plan(settings(hours("Tue 14:00-16:00 UTC")), 10)
	w.leave(rotation.Record{Zone: "zone-01", Outcome: rotation.Exposed})
	in := w.campaignIn(p)
	in.Again, in.Outside, in.Reason = true, true, "the key leaked"
	s := w.campaign(in)
	if s.State != workflows.StateDone || s.EndedAt.Sub(noon) > time.Hour || !s.Hours.Waived || !logged(s, "goes on although the window Tue 14:00-16:00 UTC is closed until Tue 24 Nov 2026 14:00 UTC", "the key leaked") {
		t.Errorf("%+v\n%s", s, w.story())
	}
}

// A campaign that is resumed while its window is closed delivers to exposed
// zones, and refreshes nothing.
func TestExposedZonesAreMendedAtAnyHour(t *testing.T) {
	w := newWorld(t, 6, 3, 2)
	p := w.plan(settings(hours("Tue 14:00-16:00 UTC")), 10)
	w.leave(rotation.Record{Zone: "zone-01", Outcome: rotation.Exposed}, rotation.Record{Zone: "zone-02", Outcome: rotation.Unknown})
	in := w.campaignIn(p)
	in.Again = true
	w.opens(26 * time.Hour)
	waits := w.status(time.Hour)
	s := w.campaign(in)
	if waits.Zones.Done != 2 || waits.Zones.Exposed != 0 || !waits.Shut() {
		t.Errorf("while it is closed: %+v\n%s", waits, w.story())
	}
	if s.State != workflows.StateDone || w.sentBetween(0, 26*time.Hour) > 0 {
		t.Errorf("%+v\n%s", s, w.story())
	}
}

// A wave that needs a person's approval asks for it while the window is closed.
func TestApprovalIsAskedForWhileTheWindowIsClosed(t *testing.T) {
	w := newWorld(t, 6, 3, 2)
	p := w.plan(twoWaves(func(s *plan.Settings) { s.Windows, s.Approve = []string{"12:00-12:30 UTC"}, []int{2} }), 10)
	asks := w.status(time.Hour)
	w.say(2*time.Hour, workflows.UpdateApprove, workflows.Order{By: "bob", Wave: 2})
	waits := w.status(3 * time.Hour)
	s := w.campaign(w.campaignIn(p))
	if asks.State != workflows.StateWaiting || !strings.HasPrefix(asks.Next, "keywave campaign approve c --wave 2") || !waits.Shut() {
		t.Errorf("before the approval %+v, after it %+v", asks, waits)
	}
	if s.State != workflows.StateDone || w.sentBetween(30*time.Minute, 24*time.Hour) > 0 {
		t.Errorf("%+v\n%s", s, w.story())
	}
}
