package workflows_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"keywave/activities"
	"keywave/internal/plan"
	"keywave/internal/rotation"
	"keywave/workflows"
)

func (w *world) campaignIn(p plan.Plan) workflows.CampaignIn {
	return workflows.CampaignIn{Name: "c", Plan: p.Name, Digest: p.Digest, By: "ann"}
}

// campaign runs a campaign to its end and compares it with the truth.
func (w *world) campaign(in workflows.CampaignIn) workflows.Status {
	w.Helper()
	var s workflows.Status
	w.execute(workflows.CampaignID("c"), workflows.TypeCampaign, in, &s)
	w.judgeStatus(s)
	return s
}

func (w *world) judgeStatus(s workflows.Status) {
	w.Helper()
	w.judgeAll()
	w.judgeTally(rotation.Tally{Zones: s.Zones})
	w.judgeWindow(s.Window, len(w.order)) // each of its shards bounds its own loose zones
	w.judgeStops()
	if s.EndedAt == nil {
		w.Errorf("it has not ended: %+v", s)
	}
}

// answered is the answer to a person's order.
type answered struct {
	workflows.Answer
	at       time.Time
	rejected error
	complete bool
}

// say gives an order after a time.
func (w *world) say(at time.Duration, name string, o workflows.Order) *answered {
	a := &answered{}
	w.after(at, func() {
		if name == workflows.UpdateResume {
			w.log(w.env.Now(), "retry", "", "resume")
		}
		w.env.UpdateWorkflow(name, "", &testsuite.TestUpdateCallback{
			OnAccept: func() {},
			OnReject: func(err error) { a.rejected = err },
			OnComplete: func(v any, err error) {
				a.complete, a.at, a.rejected = err == nil, w.env.Now(), err
				if err != nil {
					return
				}
				body, err := converter.GetDefaultDataConverter().ToPayload(v)
				if err == nil {
					err = converter.GetDefaultDataConverter().FromPayload(body, &a.Answer)
				}
				if err != nil {
					w.Errorf("%s answers with %T: %v", name, v, err)
				}
			},
		}, o)
	})
	return a
}

// status asks for the status after a time.
func (w *world) status(at time.Duration) *workflows.Status {
	s := &workflows.Status{}
	w.after(at, func() {
		answer, err := w.env.QueryWorkflow(workflows.QueryStatus)
		if err == nil {
			err = answer.Get(s)
		}
		if err != nil {
			w.Error(err)
		}
	})
	return s
}

func settings(change func(*plan.Settings)) plan.Settings {
	s := usualSettings()
	change(&s)
	return s
}

func (w *world) sentBetween(from, to time.Duration) int {
	n := 0
	for _, e := range w.happened("sent") {
		if d := e.at.Sub(noon); d >= from && d < to {
			n++
		}
	}
	return n
}

func TestCampaignWavesInOrder(t *testing.T) {
	w := newWorld(t, 12, 4, 2)
	p := w.plan(settings(func(s *plan.Settings) {
		s.Waves, s.Bake = []string{"1", "50%", "100%"}, rotation.Span(30*time.Second)
	}), 3)
	baking := w.status(20 * time.Second)
	s := w.campaign(w.campaignIn(p))
	if s.State != workflows.StateDone || s.Zones.Done != 12 || s.Hosts != (rotation.HostCounts{Total: 24, Acknowledged: 24}) || s.Next != "keywave campaign report c" {
		t.Fatalf("%+v\n%s", s, w.story())
	}
	if baking.State != workflows.StateBaking || baking.Zones.Done != 1 || baking.Zones.Pending != 11 {
		t.Errorf("after 20 s: %+v", baking)
	}
	waves := [][]rotation.ZoneID{w.order[:1], w.order[1:6], w.order[6:]}
	for i, wave := range waves[1:] {
		var last, first time.Time
		for _, id := range waves[i] {
			if at := w.records[id].EndedAt; at.After(last) {
				last = at
			}
		}
		for _, e := range w.happened("zone-asked") {
			if first.IsZero() && e.zone == wave[0] {
				first = e.at
			}
		}
		if gap := first.Sub(last); gap < 30*time.Second {
			t.Errorf("wave %d began %s after the last zone of the wave before ended, and the bake time is 30 s", i+2, gap)
		}
	}
}

func TestCampaignShardsOverlapWithinTheWindow(t *testing.T) {
	w := newWorld(t, 24, 6, 2)
	for _, z := range w.zones {
		z.refresh = []refreshing{slow(2 * time.Second)}
	}
	w.zones["zone-06"].refresh = []refreshing{slow(8 * time.Second)}
	s := w.campaign(w.campaignIn(w.plan(usualSettings(), 6)))
	if s.State != workflows.StateDone {
		t.Fatalf("%+v\n%s", s, w.story())
	}
	var second time.Time
	for _, e := range w.happened("shard-asked") {
		if strings.HasSuffix(string(e.zone), "/2") {
			second = e.at
		}
	}
	if end := w.records["zone-06"].EndedAt; !second.Before(end) {
		t.Errorf("shard 2 began at %s, and waited for the last zone of shard 1, which ended at %s\n%s", second.Sub(noon), end.Sub(noon), w.story())
	}
}

func TestCampaignApproval(t *testing.T) {
	w := newWorld(t, 6, 3, 2)
	p := w.plan(settings(func(s *plan.Settings) { s.Waves, s.Approve = []string{"1", "100%"}, []int{2} }), 10)
	waiting := w.status(time.Hour)
	early := w.say(time.Hour, workflows.UpdateApprove, workflows.Order{Wave: 1})
	good := w.say(2*time.Hour, workflows.UpdateApprove, workflows.Order{Wave: 2, By: "ann"})
	again := w.say(2*time.Hour+time.Millisecond, workflows.UpdateApprove, workflows.Order{Wave: 2, By: "ann"})
	s := w.campaign(w.campaignIn(p))
	if waiting.State != workflows.StateWaiting || waiting.Zones.Done != 1 || !strings.Contains(waiting.Next, "approve c --wave 2") {
		t.Errorf("after an hour: %+v", waiting)
	}
	if early.rejected == nil || again.rejected == nil || !good.complete {
		t.Errorf("approve 1: %v, approve 2: %+v, again: %v", early.rejected, good, again.rejected)
	}
	if s.State != workflows.StateDone || w.sentBetween(time.Minute, 2*time.Hour) > 0 {
		t.Errorf("%+v\n%s", s, w.story())
	}
}

// An order can arrive with the campaign's first workflow task, before the plan
// is loaded. It waits for the plan, and is refused after that if it must be.
func TestCampaignIsOrderedBeforeItsPlanIsLoaded(t *testing.T) {
	w := newWorld(t, 6, 3, 2)
	p := w.plan(settings(func(s *plan.Settings) { s.Approve = []int{1} }), 10)
	w.queued = func(t *task) time.Duration {
		if t.name == workflows.ActLoadPlan {
			return 2 * time.Second
		}
		return 0
	}
	wrong := w.say(time.Second, workflows.UpdateApprove, workflows.Order{Wave: 2, By: "ann"})
	window := 1
	set := w.say(time.Second, workflows.UpdateSet, workflows.Order{Window: &window, By: "ann"})
	right := w.say(time.Second, workflows.UpdateApprove, workflows.Order{Wave: 1, By: "ann"})
	s := w.campaign(w.campaignIn(p))
	if wrong.rejected == nil || !strings.Contains(wrong.rejected.Error(), "wave 2 needs no approval; those that do: [1]") {
		t.Errorf("an approval of another wave: %v", wrong.rejected)
	}
	if !right.complete || !set.complete || s.State != workflows.StateDone || s.Window != 1 {
		t.Errorf("%+v, %+v, %+v\n%s", right, set, s, w.story())
	}
}

func TestCampaignBudget(t *testing.T) {
	for _, c := range []struct {
		failed string
		fail   int
		pauses bool
	}{
		{"10%", 2, false}, // of 12: 1.2, rounded up
		{"10%", 3, true},
		{"1%", 1, false}, // at least 1
		{"1%", 2, true},
		{"0", 1, true},
	} {
		t.Run(fmt.Sprintf("%d fail of %s", c.fail, c.failed), func(t *testing.T) {
			w := newWorld(t, 12, 4, 2)
			p := w.plan(settings(func(s *plan.Settings) { s.MaxFailed, s.Window = c.failed, 1 }), 5)
			for i := range c.fail {
				w.zones[w.order[1+i]].refresh = []refreshing{refused(fmt.Sprintf("Code%d", i), false)}
			}
			paused := w.status(time.Hour)
			if c.pauses {
				w.say(2*time.Hour, workflows.UpdateResume, workflows.Order{By: "ann"})
			}
			s := w.campaign(w.campaignIn(p))
			if got := paused.State == workflows.StatePaused; got != c.pauses {
				t.Fatalf("paused %t\n%+v\n%s", got, paused, w.story())
			}
			if !c.pauses {
				if s.State != workflows.StateEnded || s.Zones.Unchanged != c.fail {
					t.Errorf("%+v", s)
				}
				return
			}
			if !strings.Contains(paused.Reason, "maxFailed") || !strings.Contains(paused.Next, "campaign resume c") || paused.Zones.Unchanged != c.fail {
				t.Errorf("after an hour: %+v", paused)
			}
			if w.sentBetween(time.Minute, 2*time.Hour) > 0 {
				t.Errorf("a refresh was sent while it was paused\n%s", w.story())
			}
			if s.State != workflows.StateDone {
				t.Errorf("resumed, it ended %+v\n%s", s, w.story())
			}
			for _, z := range w.zones {
				if z.executed != 1 {
					t.Errorf("%s was refreshed %d times", z.id, z.executed)
				}
			}
		})
	}
}

func TestCampaignExposedZonePausesIt(t *testing.T) {
	w := newWorld(t, 12, 4, 1)
	p := w.plan(settings(func(s *plan.Settings) { s.Window = 2 }), 6)
	for _, z := range w.zones {
		z.refresh = []refreshing{slow(5 * time.Second)}
	}
	w.machines["h2"].down(noon.Add(100*time.Millisecond), 20*time.Minute)
	paused := w.status(2 * time.Minute)
	none := 0
	enough := 10
	refusedOrder := w.say(3*time.Minute, workflows.UpdateResume, workflows.Order{MaxExposed: &none})
	accepted := w.say(4*time.Minute, workflows.UpdateResume, workflows.Order{MaxExposed: &enough, Reason: "known"})
	s := w.campaign(w.campaignIn(p))
	if paused.State != workflows.StatePaused || paused.Zones.Exposed == 0 || !strings.Contains(paused.Reason, "maxExposed") {
		t.Fatalf("after 2 min: %+v\n%s", paused, w.story())
	}
	if len(paused.Attention) == 0 || paused.Attention[0].Outcome != rotation.Exposed {
		t.Errorf("it names nobody: %+v", paused.Attention)
	}
	if refusedOrder.rejected == nil || !strings.Contains(refusedOrder.rejected.Error(), "--max-exposed") || !accepted.complete {
		t.Errorf("resume: %v, resume with --max-exposed 10: %+v", refusedOrder.rejected, accepted)
	}
	if s.Zones.Done+s.Zones.Pending != 12 { // h2 was set aside for the zones that had not started
		t.Errorf("%+v\n%s", s, w.story())
	}
}

func TestCampaignDeniedStopsAtOnce(t *testing.T) {
	w := newWorld(t, 20, 4, 2)
	p := w.plan(settings(func(s *plan.Settings) { s.Window = 1; s.MaxFailed = "100%" }), 6)
	for _, z := range w.zones {
		z.refresh = []refreshing{refused("AuthFailure.SignatureFailure", true)}
	}
	paused := w.status(time.Minute)
	w.say(time.Hour, workflows.UpdateCancel, workflows.Order{By: "ann"})
	s := w.campaign(w.campaignIn(p))
	if paused.State != workflows.StatePaused || !strings.Contains(paused.Reason, "every zone would fail alike") || paused.Zones.Unchanged > 2 {
		t.Errorf("%+v\n%s", paused, w.story())
	}
	if s.State != workflows.StateCancelled {
		t.Errorf("%+v", s)
	}
}

func TestCampaignPause(t *testing.T) {
	w := newWorld(t, 20, 4, 2)
	p := w.plan(usualSettings(), 6)
	for _, z := range w.zones {
		z.refresh = []refreshing{slow(5 * time.Second)}
	}
	w.queued = noWorkers(workflows.RefreshQueue(account), 2*time.Second)
	pause := w.say(3500*time.Millisecond, workflows.UpdatePause, workflows.Order{By: "ann", Reason: "lunch"})
	twice := w.say(20*time.Second, workflows.UpdatePause, workflows.Order{By: "bob"})
	paused := w.status(30 * time.Minute)
	w.say(time.Hour, workflows.UpdateResume, workflows.Order{By: "ann"})
	s := w.campaign(w.campaignIn(p))
	if !pause.complete || pause.at.Sub(noon) > 8*time.Second || pause.Kept != 4 || !strings.Contains(pause.Text, "4 zones may have refreshed") {
		t.Errorf("the pause was answered with %+v\n%s", pause, w.story())
	}
	if twice.rejected == nil {
		t.Errorf("a second pause was taken")
	}
	if paused.State != workflows.StatePaused || paused.InFlight != 0 || !strings.Contains(paused.Reason, "lunch") {
		t.Errorf("after half an hour: %+v", paused)
	}
	if w.sentBetween(3500*time.Millisecond, time.Hour) > 0 || s.State != workflows.StateDone {
		t.Errorf("%+v\n%s", s, w.story())
	}
	if len(s.Log) < 3 {
		t.Errorf("log: %+v", s.Log)
	}
}

// A pause in the last wave is noticed before the campaign ends.
func TestCampaignPausedInItsLastWaveDoesNotEnd(t *testing.T) {
	w := newWorld(t, 3, 3, 2)
	for _, z := range w.zones {
		z.refresh = []refreshing{slow(5 * time.Second)}
	}
	pause := w.say(2*time.Second, workflows.UpdatePause, workflows.Order{By: "ann"})
	paused := w.status(time.Hour)
	w.say(2*time.Hour, workflows.UpdateResume, workflows.Order{By: "ann"})
	s := w.campaign(w.campaignIn(w.plan(usualSettings(), 6)))
	if !pause.complete || paused.State != workflows.StatePaused || s.State != workflows.StateDone || s.EndedAt.Sub(noon) < 2*time.Hour {
		t.Errorf("%+v\nafter an hour: %+v\n%+v\n%s", pause, paused, s, w.story())
	}
}

func TestCampaignPauseAtAnyMoment(t *testing.T) {
	for _, at := range moments(20 * time.Second) {
		w := newWorld(t, 14, 4, 2)
		p := w.plan(settings(func(s *plan.Settings) {
			s.Waves, s.Bake, s.Window = []string{"2", "100%"}, rotation.Span(3*time.Second), 3
		}), 4)
		for _, z := range w.zones {
			z.refresh = []refreshing{slow(700 * time.Millisecond)}
		}
		w.zones["zone-05"].refresh = []refreshing{unanswered(0)}
		pause := w.say(at, workflows.UpdatePause, workflows.Order{By: "ann"})
		resume := w.say(at+10*time.Minute, workflows.UpdateResume, workflows.Order{By: "ann"})
		over := true
		w.after(at, func() { over = w.running[workflows.CampaignID("c")] == 0 })
		s := w.campaign(w.campaignIn(p))
		if !over && (!pause.complete || !resume.complete) {
			t.Errorf("paused after %s: %+v, %+v\n%s", at, pause, resume, w.story())
		}
		if s.State != workflows.StateDone || s.Zones.Done != 14 {
			t.Errorf("paused after %s and resumed: %+v\n%s", at, s, w.story())
		}
		for _, z := range w.zones {
			if z.executed != 1 {
				t.Errorf("paused after %s: %s was refreshed %d times", at, z.id, z.executed)
			}
		}
		if t.Failed() {
			return
		}
	}
}

func TestCampaignCancelAtAnyMoment(t *testing.T) {
	for _, how := range []string{"by an order", "in Temporal"} {
		t.Run(how, func(t *testing.T) {
			for _, at := range moments(20 * time.Second) {
				w := newWorld(t, 14, 4, 2)
				p := w.plan(settings(func(s *plan.Settings) {
					s.Waves, s.Bake, s.Window, s.Approve = []string{"2", "100%"}, rotation.Span(3*time.Second), 3, []int{2}
				}), 4)
				for _, z := range w.zones {
					z.refresh = []refreshing{slow(700 * time.Millisecond)}
				}
				w.say(6*time.Second, workflows.UpdateApprove, workflows.Order{Wave: 2})
				w.machines["h3"].down(noon.Add(9*time.Second), 40*time.Second)
				over := true
				var order *answered
				if how == "in Temporal" {
					w.after(at, func() {
						over = w.running[workflows.CampaignID("c")] == 0
						w.env.CancelWorkflow()
					})
				} else {
					w.after(at, func() { over = w.running[workflows.CampaignID("c")] == 0 })
					order = w.say(at, workflows.UpdateCancel, workflows.Order{By: "ann"})
				}
				s := w.campaign(w.campaignIn(p))
				if over {
					continue
				}
				if s.Zones.Exposed+s.Zones.Unknown > 0 || s.State != workflows.StateCancelled && s.Zones.Done < 14 {
					t.Errorf("cancelled after %s: %+v\n%s", at, s, w.story())
				}
				if order != nil && !order.complete {
					t.Errorf("cancelled after %s: no answer\n%s", at, w.story())
				}
				if t.Failed() {
					return
				}
			}
		})
	}
}

func TestCampaignRefusesAPlan(t *testing.T) {
	t.Run("whose digest is not the approved one", func(t *testing.T) {
		w := newWorld(t, 3, 3, 2)
		in := w.campaignIn(w.plan(usualSettings(), 6))
		in.Digest = strings.Repeat("0", 32)
		err := w.try(workflows.CampaignID("c"), workflows.TypeCampaign, in, nil)
		if err == nil || !strings.Contains(err.Error(), "nothing was changed") || len(w.happened("shard-asked")) > 0 {
			t.Errorf("%v\n%s", err, w.story())
		}
	})
	t.Run("that is too old", func(t *testing.T) {
		w := newWorld(t, 3, 3, 2)
		p := w.plan(usualSettings(), 6)
		p.Made = noon.Add(-8 * 24 * time.Hour)
		w.plans[workflows.PlanID("p")] = p
		err := w.try(workflows.CampaignID("c"), workflows.TypeCampaign, w.campaignIn(p), nil)
		if err == nil || !strings.Contains(err.Error(), "valid for") || len(w.happened("shard-asked")) > 0 {
			t.Errorf("%v\n%s", err, w.story())
		}
	})
	t.Run("one page of which differs: the others run, it is named", func(t *testing.T) {
		w := newWorld(t, 8, 4, 2)
		p := w.plan(usualSettings(), 4)
		page := w.pages[workflows.PageID("p", 1)]
		page.Hosts = append([]rotation.HostRef{}, page.Hosts...)
		page.Hosts[0].Digest = "tampered"
		w.pages[workflows.PageID("p", 1)] = page
		paused := w.status(time.Hour)
		w.say(2*time.Hour, workflows.UpdateCancel, workflows.Order{})
		w.campaign(w.campaignIn(p))
		if paused.State != workflows.StatePaused || !strings.Contains(paused.Reason, "another digest") {
			t.Errorf("%+v\n%s", paused, w.story())
		}
		for _, id := range w.order[:4] {
			if w.zones[id].sent > 0 {
				t.Errorf("%s was refreshed", id)
			}
		}
	})
}

func TestCampaignStatusBeforeItsPagesRan(t *testing.T) {
	w := newWorld(t, 12, 4, 2)
	early := w.status(time.Millisecond)
	w.campaign(w.campaignIn(w.plan(usualSettings(), 4)))
	if early.Zones != rotation.NewCounts(12) || early.Hosts.Total != 24 || early.State != workflows.StateRunning {
		t.Errorf("%+v", early)
	}
}

// A run hands over when Temporal suggests it, and the next run starts in the
// middle of the wave. Here the test starts the second run.
func TestCampaignContinuesAsNew(t *testing.T) {
	w := newWorld(t, 18, 4, 2)
	p := w.plan(settings(func(s *plan.Settings) { s.Waves = []string{"2", "100%"} }), 5)
	w.after(2*time.Second, func() { w.env.SetContinueAsNewSuggested(true) })
	for _, z := range w.zones {
		z.refresh = []refreshing{slow(2 * time.Second)}
	}
	next := w.handOver(w.campaignIn(p))
	if next.State == nil || len(next.State.Todo) == 0 || next.State.Steering.Wave != 2 || next.Began != noon {
		t.Fatalf("%+v, %+v\n%s", next, next.State, w.story())
	}
	w.fresh()
	s := w.campaign(next)
	if s.State != workflows.StateDone || s.Zones.Done != 18 || !s.StartedAt.Equal(noon) {
		t.Errorf("%+v\n%s", s, w.story())
	}
	for _, z := range w.zones {
		if z.executed != 1 {
			t.Errorf("%s was refreshed %d times", z.id, z.executed)
		}
	}
}

// handOver runs a campaign until it continues as new, and returns the input of
// the next run.
func (w *world) handOver(in workflows.CampaignIn) workflows.CampaignIn {
	w.Helper()
	err := w.try(workflows.CampaignID("c"), workflows.TypeCampaign, in, nil)
	var again *workflow.ContinueAsNewError
	if !errors.As(err, &again) {
		w.Fatalf("it did not continue as new: %v\n%s", err, w.story())
	}
	var next workflows.CampaignIn
	decode(w, again.Input, &next)
	return next
}

// A cancel that comes while a run waits to hand over is not lost.
func TestCampaignCancelledWhileItHandsOver(t *testing.T) {
	w := newWorld(t, 10, 4, 2)
	p := w.plan(settings(func(s *plan.Settings) { s.Window = 2 }), 3)
	w.after(2*time.Second, func() { w.env.SetContinueAsNewSuggested(true) })
	for _, z := range w.zones {
		z.refresh = []refreshing{slow(2 * time.Second)}
	}
	w.zones["zone-03"].refresh = []refreshing{slow(20 * time.Second)}
	order := w.say(15*time.Second, workflows.UpdateCancel, workflows.Order{By: "ann"})
	var s workflows.Status
	if err := w.try(workflows.CampaignID("c"), workflows.TypeCampaign, w.campaignIn(p), &s); err != nil {
		t.Fatalf("cancelled (%+v), it went on: %v\n%s", order.Answer, err, w.story())
	}
	if s.State != workflows.StateCancelled || !order.complete {
		t.Errorf("%+v, %+v\n%s", s, order, w.story())
	}
}

// leave gives the campaign an earlier run with these records.
func (w *world) leave(records ...rotation.Record) {
	for _, r := range records {
		if r.Outcome == rotation.Exposed || r.Outcome == rotation.Unknown {
			w.zones[r.Zone].newKey()
		}
		r.From = w.zones[r.Zone].baseline()
		if r.Outcome == rotation.Done {
			r.To = w.zones[r.Zone].fingerprint()
			w.records[r.Zone] = r
		}
		w.prior[r.Zone] = rotation.Found{History: rotation.History(r.Outcome), Record: &r}
	}
}

func TestCampaignResumedMendsFirst(t *testing.T) {
	w := newWorld(t, 12, 4, 2)
	p := w.plan(settings(func(s *plan.Settings) { s.Waves, s.Window = []string{"4", "100%"}, 2 }), 4)
	w.leave(
		rotation.Record{Zone: "zone-01", Outcome: rotation.Done}, rotation.Record{Zone: "zone-02", Outcome: rotation.Done},
		rotation.Record{Zone: "zone-03", Outcome: rotation.Unchanged}, rotation.Record{Zone: "zone-10", Outcome: rotation.Exposed},
		rotation.Record{Zone: "zone-06", Outcome: rotation.Unknown}, rotation.Record{Zone: "zone-07", Outcome: rotation.Skipped, Why: "not this one"},
	)
	in := w.campaignIn(p)
	in.Again = true
	s := w.campaign(in)
	if s.State != workflows.StateDone || s.Zones.Done != 11 || s.Zones.Skipped != 1 {
		t.Fatalf("%+v\n%s", s, w.story())
	}
	for id, want := range map[rotation.ZoneID]int{"zone-01": 0, "zone-02": 0, "zone-03": 1, "zone-04": 1, "zone-06": 0, "zone-07": 0, "zone-10": 0, "zone-12": 1} {
		if w.zones[id].sent != want {
			t.Errorf("%s was refreshed %d times, want %d", id, w.zones[id].sent, want)
		}
	}
	first := w.happened("sent")[0].at
	for _, id := range []rotation.ZoneID{"zone-06", "zone-10"} {
		if w.records[id].EndedAt.After(first) {
			t.Errorf("%s was mended at %s, after the first refresh at %s\n%s", id, w.records[id].EndedAt.Sub(noon), first.Sub(noon), w.story())
		}
	}
}

// Zones that failed earlier and are about to be tried again do not count
// against the budget, in whatever wave they are.
func TestCampaignResumedDoesNotPauseForOldFailures(t *testing.T) {
	w := newWorld(t, 12, 4, 2)
	p := w.plan(settings(func(s *plan.Settings) { s.Waves, s.MaxFailed = []string{"4", "100%"}, "1" }), 4)
	w.leave(
		rotation.Record{Zone: "zone-06", Outcome: rotation.Unchanged}, rotation.Record{Zone: "zone-07", Outcome: rotation.Unchanged},
		rotation.Record{Zone: "zone-08", Outcome: rotation.Unchanged},
	)
	in := w.campaignIn(p)
	in.Again = true
	at := w.status(20 * time.Minute)
	w.after(30*time.Minute, func() {
		if w.running[workflows.CampaignID("c")] > 0 {
			t.Errorf("it paused: %s\n%s", at.Reason, w.story())
			w.env.CancelWorkflow()
		}
	})
	if s := w.campaign(in); s.State != workflows.StateDone {
		t.Errorf("%+v\n%s", s, w.story())
	}
}

func TestCampaignResumedWhileAnOrphanShardDelivers(t *testing.T) {
	w := newWorld(t, 8, 4, 2)
	p := w.plan(usualSettings(), 4)
	w.await[workflows.ShardID("c", 1)] = awaitAnswer{after: 10 * time.Minute, out: activities.AwaitOut{}}
	in := w.campaignIn(p)
	in.Again = true
	if s := w.campaign(in); s.State != workflows.StateDone || s.Zones.Done != 8 {
		t.Errorf("%+v\n%s", s, w.story())
	}
	if w.runs[workflows.ActPrior] < 2 {
		t.Errorf("nobody looked what the earlier shards left: %v", w.runs)
	}
}

// If somebody else holds a shard's ID, the campaign pauses and says so. It does
// not ask for the ID again and again.
func TestCampaignShardIDIsTaken(t *testing.T) {
	for name, c := range map[string]struct {
		out  activities.AwaitOut
		says string
	}{
		"by another campaign": {activities.AwaitOut{Busy: "boom/shard/1"}, "shard 1 did not start (another workflow has its workflow ID campaign/c/shard/1: boom/shard/1; find that one in Temporal and end it)"},
		"again and again":     {activities.AwaitOut{Lost: true}, "shard 1 did not start (its workflow ID campaign/c/shard/1 was taken 3 times; find out in Temporal who starts it)"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 8, 4, 2)
			p := w.plan(usualSettings(), 4)
			id := workflows.ShardID("c", 1)
			w.await[id] = awaitAnswer{out: c.out, again: true}
			paused := w.status(time.Hour)
			w.after(time.Hour, func() { delete(w.await, id) })
			w.say(2*time.Hour, workflows.UpdateResume, workflows.Order{By: "ann"})
			s := w.campaign(w.campaignIn(p))
			if paused.State != workflows.StatePaused || !strings.Contains(paused.Reason, c.says) || w.runs[workflows.ActAwait] > 3 {
				t.Errorf("after an hour: %s: %s, after %d looks", paused.State, paused.Reason, w.runs[workflows.ActAwait])
			}
			if s.State != workflows.StateDone || s.Zones.Done != 8 {
				t.Errorf("%+v\n%s", s, w.story())
			}
		})
	}
}

func TestCampaignAShardIsTerminated(t *testing.T) {
	w := newWorld(t, 12, 4, 2)
	p := w.plan(settings(func(s *plan.Settings) { s.Window = 2 }), 6)
	for _, z := range w.zones {
		z.refresh = []refreshing{slow(3 * time.Second)}
	}
	w.killed[workflows.ShardID("c", 1)] = 5 * time.Second
	paused := w.status(time.Hour)
	w.say(2*time.Hour, workflows.UpdateResume, workflows.Order{By: "ann"})
	s := w.campaign(w.campaignIn(p))
	if paused.State != workflows.StatePaused || !strings.Contains(paused.Reason, "shard 1 ended without a result") {
		t.Errorf("after an hour: %+v\n%s", paused, w.story())
	}
	if s.State != workflows.StateDone || s.Zones.Done != 12 {
		t.Errorf("%+v\n%s", s, w.story())
	}
	for _, z := range w.zones {
		if z.executed != 1 {
			t.Errorf("%s was refreshed %d times", z.id, z.executed)
		}
	}
}

func TestCampaignSkipAndRetire(t *testing.T) {
	w := newWorld(t, 8, 4, 2)
	p := w.plan(settings(func(s *plan.Settings) { s.Window, s.MaxExposed = 2, 100 }), 4)
	w.machines["h2"].down(noon.Add(100*time.Millisecond), forever)
	w.after(5*time.Minute, func() { w.retired["h2"] = true })
	nameless := w.say(time.Minute, workflows.UpdateRetire, workflows.Order{Host: "h2"})
	w.say(50*time.Millisecond, workflows.UpdateSkip, workflows.Order{Zone: "zone-07", Reason: "not this one"})
	w.say(5*time.Minute, workflows.UpdateRetire, workflows.Order{Host: "h2", Reason: "scrapped"})
	w.after(3*time.Hour, func() {
		if w.running[workflows.CampaignID("c")] > 0 {
			w.env.CancelWorkflow()
		}
	})
	s := w.campaign(w.campaignIn(p))
	if nameless.rejected == nil {
		t.Errorf("a host was retired without a reason")
	}
	if s.Zones.Skipped != 1 || w.zones["zone-07"].sent > 0 || s.Zones.Exposed > 0 {
		t.Errorf("%+v\n%s", s, w.story())
	}
}

func TestCampaignSetsItsWindow(t *testing.T) {
	w := newWorld(t, 20, 4, 2)
	for _, z := range w.zones {
		z.refresh = []refreshing{slow(3 * time.Second)}
	}
	one, six, none := 1, 6, 0
	w.say(time.Second, workflows.UpdateSet, workflows.Order{Window: &six})
	bad := w.say(time.Second, workflows.UpdateSet, workflows.Order{Window: &none})
	empty := w.say(time.Second, workflows.UpdateSet, workflows.Order{})
	wide := w.status(3500 * time.Millisecond)
	w.say(4*time.Second, workflows.UpdateSet, workflows.Order{Window: &one})
	p := w.plan(settings(func(s *plan.Settings) { s.Window = 2 }), 30)
	var s workflows.Status
	w.execute(workflows.CampaignID("c"), workflows.TypeCampaign, w.campaignIn(p), &s)
	w.judgeAll()
	if bad.rejected == nil || empty.rejected == nil || wide.Window != 6 || s.State != workflows.StateDone {
		t.Errorf("%v, %v, %+v, %+v", bad.rejected, empty.rejected, wide, s)
	}
}

// Many schedules with pauses, resumes, sets of faults and several shards: the
// window of the whole campaign is kept, and so are stops.
func TestCampaignSchedules(t *testing.T) {
	seeds := uint64(60)
	if testing.Short() {
		seeds = 10
	}
	for seed := range seeds {
		campaignSchedule(t, seed)
		if t.Failed() {
			t.Logf("seed %d", seed)
			return
		}
	}
}

func campaignSchedule(t *testing.T, seed uint64) {
	dice := rand.New(rand.NewPCG(seed, 11))
	ms := func(most int) time.Duration { return time.Duration(dice.IntN(most)+1) * time.Millisecond }
	w := newWorld(t, 10+dice.IntN(20), 3+dice.IntN(4), 1+dice.IntN(2))
	w.took.refresh, w.took.read, w.took.prove, w.took.put = ms(900), ms(500), ms(1500), ms(900)
	w.beside, w.standby = seed%2 == 1, seed%3 == 1
	for _, z := range w.zones {
		switch dice.IntN(12) {
		case 0:
			z.refresh = []refreshing{unanswered(ms(299_000))}
		case 1:
			z.refresh = []refreshing{workerLost(-1)}
		case 2:
			z.refresh = []refreshing{refused(fmt.Sprintf("Code%d", dice.IntN(3)), false)}
		case 3:
			z.refresh = []refreshing{notSent(true)}
		case 4, 5:
			z.refresh = []refreshing{slow(ms(15_000))}
		}
	}
	for _, m := range w.machines {
		if dice.IntN(5) == 0 {
			m.down(noon.Add(ms(8000)), ms(25_000))
		}
	}
	p := w.plan(settings(func(s *plan.Settings) {
		s.Waves, s.Window, s.MaxFailed = []string{"10%", "100%"}, 1+dice.IntN(5), "20%"
	}), 3+dice.IntN(5))
	lots := 1000
	at := time.Duration(0)
	for range 4 {
		at += ms(15_000)
		w.say(at, workflows.UpdatePause, workflows.Order{})
		at += ms(60_000)
		w.say(at, workflows.UpdateResume, workflows.Order{MaxExposed: &lots, MaxFailed: &lots})
	}
	w.after(at+3*time.Hour, func() { w.env.CancelWorkflow() })
	s := w.campaign(w.campaignIn(p))
	for _, z := range w.zones {
		if z.executed > z.sent || z.sent > 6 {
			t.Errorf("%s: %d sent, %d executed", z.id, z.sent, z.executed)
		}
	}
	if s.Zones.Exposed+s.Zones.Unknown > 0 {
		t.Errorf("%+v\n%s", s, w.story())
	}
}
