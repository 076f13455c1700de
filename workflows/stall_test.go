package workflows_test

import (
	"strings"
	"testing"
	"time"

	"keywave/activities"
	"keywave/internal/plan"
	"keywave/internal/rotation"
	"keywave/workflows"
)

// absent leaves a queue without workers until that time.
func (w *world) absent(queue string, until time.Duration) {
	w.queued = func(t *task) time.Duration {
		if t.options.TaskQueue != queue {
			return 0
		}
		return max(0, noon.Add(until).Sub(w.env.Now()))
	}
}

// A campaign without progress says so and names the causes. After five times
// stallAfter it pauses itself. A resume lets it go on.
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
	if stalled.State != workflows.StateRunning || stalled.Stalled == nil || !strings.HasPrefix(stalled.Reason, "no refresh was executed and no zone ended since ") ||
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

// A campaign that waits for something that it can name is not stalled, however
// long that takes.
func TestAWaitThatIsNamedIsNoStall(t *testing.T) {
	for what, c := range map[string]struct {
		change func(*world, *plan.Settings)
		waits  func(*workflows.Status) bool // what it must be doing all the while
		until  time.Duration
	}{
		"a bake time": {
			func(_ *world, s *plan.Settings) { s.Bake = rotation.Span(20 * time.Minute) },
			func(s *workflows.Status) bool { return s.State == workflows.StateBaking }, 12 * time.Minute,
		},
		"an approval": {
			func(_ *world, s *plan.Settings) { s.Approve = []int{2} },
			func(s *workflows.Status) bool { return s.State == workflows.StateWaiting }, 12 * time.Minute,
		},
		"a person": {
			func(w *world, _ *plan.Settings) {
				w.say(time.Second/2, workflows.UpdatePause, workflows.Order{By: "ann"})
			},
			func(s *workflows.Status) bool { return s.State == workflows.StatePaused && s.Zones.Pending > 0 }, 12 * time.Minute,
		},
		"held zones": {
			func(w *world, _ *plan.Settings) { // the old key stays alive: the hosts hold the live one
				w.zones["zone-06"].refresh = []refreshing{unanswered(-1)}
			},
			func(s *workflows.Status) bool { return s.State == workflows.StateRunning && s.Zones.Done == 5 }, 5 * time.Minute,
		},
		"a host that is delivered to": {
			func(w *world, s *plan.Settings) {
				s.Window = 1
				w.machines["h1"].down(noon.Add(300*time.Millisecond), 15*time.Minute)
			},
			func(s *workflows.Status) bool { return s.State == workflows.StateRunning && s.Zones.Exposed > 0 }, 12 * time.Minute,
		},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t, 6, 3, 1)
			settings := twoWaves(func(s *plan.Settings) { s.MaxExposed, s.MaxFailed = 6, "100%"; c.change(w, s) })
			p := w.plan(settings, 10)
			var looks []*workflows.Status
			for at := time.Minute; at < c.until; at += time.Minute {
				looks = append(looks, w.status(at))
			}
			w.say(13*time.Minute, workflows.UpdateApprove, workflows.Order{Wave: 2, By: "ann"})
			w.say(13*time.Minute, workflows.UpdateResume, workflows.Order{By: "ann"})
			w.after(3*time.Hour, func() {
				if w.running[workflows.CampaignID("c")] > 0 {
					w.env.CancelWorkflow()
				}
			})
			w.campaign(w.campaignIn(p))
			for i, s := range looks {
				if s.Stalled != nil || !c.waits(s) {
					t.Errorf("after %d min it is %s, %+v, stalled: %v\n%s", i+1, s.State, s.Zones, s.Stalled, w.story())
				}
			}
		})
	}
}

// A pause is answered although a shard cannot confirm it. The answer says what
// is not known.
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

// A refresh that has begun does not end for anybody's order, so its shard
// cannot say that it is quiet. The pause is still answered, and the answer says
// so.
func TestPauseIsAnsweredThoughAShardIsNotQuiet(t *testing.T) {
	w := newWorld(t, 4, 4, 2)
	w.zones["zone-01"].refresh = []refreshing{slow(80 * time.Second)}
	p := w.plan(settings(func(s *plan.Settings) { s.MaxExposed = 4 }), 4)
	pause := w.say(5*time.Second, workflows.UpdatePause, workflows.Order{By: "ann"})
	w.say(time.Hour, workflows.UpdateResume, workflows.Order{By: "ann"})
	s := w.campaign(w.campaignIn(p))
	if !pause.complete || pause.at.Sub(noon) > 40*time.Second || !strings.Contains(pause.Text, "within 30s 1 shard did not confirm that every queued refresh is cancelled") {
		t.Errorf("the pause was answered %+v\n%s", pause, w.story())
	}
	if s.State != workflows.StateDone || s.Zones.Done != 4 {
		t.Errorf("%+v\n%s", s, w.story())
	}
}

// A shard has not started, because an earlier one of its page still delivers.
// So it has sent nothing, and a cancel does not wait for the earlier one.
func TestCancelDoesNotWaitForAShardThatHasNotStarted(t *testing.T) {
	w := newWorld(t, 8, 4, 2)
	p := w.plan(usualSettings(), 4)
	w.await[workflows.ShardID("c", 1)] = awaitAnswer{after: 10 * time.Minute, out: activities.AwaitOut{}}
	in := w.campaignIn(p)
	in.Again = true
	cancel := w.say(time.Minute, workflows.UpdateCancel, workflows.Order{By: "ann"})
	s := w.campaign(in)
	if !cancel.complete || s.State != workflows.StateCancelled || s.EndedAt.Sub(noon) > 2*time.Minute {
		t.Errorf("%+v\n%+v\n%s", cancel, s, w.story())
	}
}

// A campaign says for each group of its zones what it waits for and until when,
// over all of its shards. The time that is left includes that wait, and the
// rows always add up.
func TestCampaignTellsWhatItsZonesWaitFor(t *testing.T) {
	w := newWorld(t, 12, 4, 2)
	for _, id := range []rotation.ZoneID{"zone-01", "zone-02", "zone-07"} { // on two pages
		w.zones[id].refresh = []refreshing{unanswered(-1)}
	}
	p := w.plan(usualSettings(), 5)
	var looks []*workflows.Status
	for at := 50 * time.Millisecond; at < 10*time.Minute; at += at/4 + 50*time.Millisecond {
		looks = append(looks, w.status(at))
	}
	held := w.status(time.Minute)
	if s := w.campaign(w.campaignIn(p)); s.State != workflows.StateDone {
		t.Fatalf("%+v\n%s", s, w.story())
	}
	if len(held.Waits) != 1 || held.Waits[0].Zones != 3 || held.Waits[0].Standing != rotation.Held || held.Standing.Held != 3 {
		t.Fatalf("after a minute: %+v, %+v\n%s", held.Waits, held.Standing, w.story())
	}
	until := held.Waits[0].Until.Sub(noon)
	if until < 5*time.Minute || until > 6*time.Minute || held.Left(noon.Add(time.Minute)) != until-time.Minute {
		t.Errorf("they are held until %s, and %s are left", until, held.Left(noon.Add(time.Minute)))
	}
	for i, s := range looks {
		if s.Standing.Sum() != s.Zones.Pending || s.Standing.NotBegun < 0 {
			t.Errorf("look %d: %d zones are pending, and stand %+v", i, s.Zones.Pending, s.Standing)
		}
	}
}
