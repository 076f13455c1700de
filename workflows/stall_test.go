package workflows_test

import (
	"strings"
	"testing"
	"time"

	"keywave/internal/plan"
	"keywave/internal/rotation"
	"keywave/workflows"
)

// absent has a queue without workers until then.
func (w *world) absent(queue string, until time.Duration) {
	w.queued = func(t *task) time.Duration {
		if t.options.TaskQueue != queue {
			return 0
		}
		return max(0, noon.Add(until).Sub(w.env.Now()))
	}
}

// A campaign in which nothing gets on says so with its causes, and pauses itself
// after five times stallAfter; a resume has it go on.
func TestCampaignStalls(t *testing.T) {
	w := newWorld(t, 20, 4, 2)
	w.absent(workflows.RefreshQueue(account), time.Hour)
	p := w.plan(settings(func(s *plan.Settings) { s.Window = 4 }), 10)
	early := w.status(50 * time.Second)
	stalled := w.status(150 * time.Second)
	paused := w.status(10 * time.Minute)
	resume := w.say(2*time.Hour, workflows.UpdateResume, workflows.Order{By: "ann", Reason: "a worker is there"})
	s := w.campaign(w.campaignIn(p))
	if early.Stalled != nil || early.Reason != "" {
		t.Errorf("after 50 s: %+v, %q", early.Stalled, early.Reason)
	}
	if stalled.State != workflows.StateRunning || stalled.Stalled == nil || !strings.HasPrefix(stalled.Reason, "nothing was executed and nothing ended since ") ||
		!strings.Contains(stalled.Reason, "no worker took the refresh of account acme in time") || stalled.Left(noon.Add(150*time.Second)) != 0 {
		t.Errorf("after 150 s: %+v", stalled)
	}
	if paused.State != workflows.StatePaused || len(paused.Paused) != 1 || paused.Paused[0].Kind != rotation.PauseStalled || !strings.HasSuffix(paused.Next, "keywave campaign resume c") {
		t.Errorf("after 10 min: %+v", paused)
	}
	if !resume.complete || s.State != workflows.StateDone || s.Zones.Done != 20 {
		t.Errorf("%+v\n%+v\n%s", resume, s, w.story())
	}
}

// A campaign that waits for something that is named is not stalled, however long
// that takes.
func TestAWaitThatIsNamedIsNoStall(t *testing.T) {
	for what, change := range map[string]func(*world, *plan.Settings){
		"a bake time":    func(_ *world, s *plan.Settings) { s.Bake = rotation.Span(20 * time.Minute) },
		"an approval":    func(_ *world, s *plan.Settings) { s.Approve = []int{2} },
		"a held zone":    func(w *world, _ *plan.Settings) { w.zones["zone-01"].refresh = []refreshing{unanswered(0)} },
		"an absent host": func(w *world, _ *plan.Settings) { w.machines["h1"].down(noon, 15*time.Minute) },
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t, 6, 3, 1)
			p := w.plan(twoWaves(func(s *plan.Settings) { s.MaxExposed, s.MaxFailed = 6, "100%"; change(w, s) }), 10)
			var looks []*workflows.Status
			for at := time.Minute; at < 12*time.Minute; at += time.Minute {
				looks = append(looks, w.status(at))
			}
			w.say(13*time.Minute, workflows.UpdateApprove, workflows.Order{Wave: 2, By: "ann"})
			w.after(3*time.Hour, func() {
				if w.running[workflows.CampaignID("c")] > 0 {
					w.env.CancelWorkflow()
				}
			})
			w.campaign(w.campaignIn(p))
			for i, s := range looks {
				if s.Stalled != nil {
					t.Errorf("after %d min: %s\n%s", i+1, s.Stalled, w.story())
				}
			}
		})
	}
}

// A pause is answered although a shard cannot confirm it: what is not known is
// said.
func TestPauseIsAnsweredInBoundedTime(t *testing.T) {
	w := newWorld(t, 8, 4, 2)
	w.absent(workflows.EdgeOneQueue(account), 3*time.Hour)
	p := w.plan(settings(func(s *plan.Settings) { s.Window = 4 }), 8)
	pause := w.say(10*time.Second, workflows.UpdatePause, workflows.Order{By: "ann"})
	cancel := w.say(time.Hour, workflows.UpdateCancel, workflows.Order{By: "ann"})
	s := w.campaign(w.campaignIn(p))
	if !pause.complete || pause.at.Sub(noon) > time.Minute {
		t.Errorf("the pause was answered %+v\n%s", pause, w.story())
	}
	if !cancel.complete || s.State != workflows.StateCancelled || s.EndedAt.Sub(noon) > time.Hour+time.Minute {
		t.Errorf("the cancel was answered %+v, and the campaign ended %+v\n%s", cancel, s, w.story())
	}
}
