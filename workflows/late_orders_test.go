package workflows_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"keywave/internal/plan"
	"keywave/internal/rotation"
	"keywave/workflows"
)

// What people order while a shard starts, it is told when it has.
func TestOrdersWhileAShardStarts(t *testing.T) {
	w := newWorld(t, 8, 4, 2)
	w.starts[workflows.ShardID("c", 1)] = 10 * time.Second
	for _, z := range w.zones {
		z.refresh = []refreshing{slow(time.Second)}
	}
	one := 1
	w.say(4*time.Second, workflows.UpdateSet, workflows.Order{Window: &one})
	w.say(5*time.Second, workflows.UpdateSkip, workflows.Order{Zone: "zone-07", Reason: "not this one"})
	s := w.campaign(w.campaignIn(w.plan(settings(func(s *plan.Settings) { s.Window = 4 }), 10)))
	if w.zones["zone-07"].sent != 0 || s.Zones.Skipped != 1 || s.Zones.Done != 7 {
		t.Errorf("zone-07 was refreshed %d times; %+v\n%s", w.zones["zone-07"].sent, s.Zones, w.story())
	}
	if took := s.EndedAt.Sub(noon); took < 16*time.Second {
		t.Errorf("it ended after %s: with one zone at a time, of a second each, it cannot\n%s", took, w.story())
	}
}

// A resume with another window changes the window.
func TestResumeWithAWindow(t *testing.T) {
	w := newWorld(t, 40, 4, 2)
	for _, z := range w.zones {
		z.refresh = []refreshing{slow(3 * time.Second)}
	}
	one, zero := 1, 0
	w.say(5*time.Second, workflows.UpdatePause, workflows.Order{By: "bob", Reason: "x"})
	refused := w.say(50*time.Second, workflows.UpdateResume, workflows.Order{By: "bob", Reason: "x", Window: &zero})
	w.say(time.Minute, workflows.UpdateResume, workflows.Order{By: "bob", Reason: "x", Window: &one})
	var s workflows.Status // of a campaign whose window was another one before
	w.execute(workflows.CampaignID("c"), workflows.TypeCampaign, w.campaignIn(w.plan(settings(func(s *plan.Settings) { s.Window = 8 }), 50)), &s)
	if took := s.EndedAt.Sub(noon); s.Zones.Done != 40 || took < 100*time.Second {
		t.Errorf("it ended after %s: with one zone at a time, of three seconds each, it cannot; %+v", took, s.Zones)
	}
	if refused.rejected == nil || !strings.Contains(refused.rejected.Error(), "not between 1 and 1000") {
		t.Errorf("a window of 0: %v", refused.rejected)
	}
}

// Keys that the start read are a day old when a wave begins, or a pause ends. Somebody made
// another one meanwhile. A refresh that is not answered is not believed because of that one.
func TestKeysThatAreReadADayLater(t *testing.T) {
	for name, c := range map[string]struct {
		zones int
		zone  rotation.ZoneID
		plan  func(w *world) plan.Plan
	}{
		"a wave waits for its approval": {2, "zone-02", func(w *world) plan.Plan {
			w.say(25*time.Hour, workflows.UpdateApprove, workflows.Order{Wave: 2, By: "bob", Reason: "ok"})
			return w.plan(twoWaves(func(s *plan.Settings) { s.Approve = []int{2} }), 10)
		}},
		"a person paused it": {4, "zone-04", func(w *world) plan.Plan {
			w.say(100*time.Millisecond, workflows.UpdatePause, workflows.Order{By: "bob", Reason: "x"})
			w.say(25*time.Hour, workflows.UpdateResume, workflows.Order{By: "bob", Reason: "ok"})
			return w.plan(settings(func(s *plan.Settings) { s.Window = 1 }), 10)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, c.zones, 4, 2)
			z := w.zones[c.zone]
			w.after(12*time.Hour, func() { z.newKey() })
			z.refresh = []refreshing{unanswered(200 * time.Second)}
			w.say(26*time.Hour, workflows.UpdateResume, workflows.Order{By: "bob", Reason: "a late request made an exposure"})
			w.campaign(w.campaignIn(c.plan(w)))
			r := w.records[c.zone]
			if r.Outcome != rotation.Done || strings.Contains(r.Why, "adopted by read-back") || r.EndedAt.Before(noon.Add(25*time.Hour+200*time.Second)) {
				t.Errorf("%s because %q at %s, and a request lands after 25h3m20s\n%s", r.Outcome, r.Why, r.EndedAt.Sub(noon), w.story())
			}
		})
	}
}

// A cancelled campaign waits for no health check that nobody makes.
func TestCancelEndsAHealthCheck(t *testing.T) {
	w := newWorld(t, 6, 3, 2)
	w.queued = func(t *task) time.Duration {
		if t.name == workflows.ActHealth {
			return 11 * time.Hour
		}
		return 0
	}
	w.say(10*time.Minute, workflows.UpdateCancel, workflows.Order{By: "ann", Reason: "enough"})
	s := w.campaign(w.campaignIn(w.plan(twoWaves(func(s *plan.Settings) { s.Health = []string{"shop"} }), 10)))
	if took := s.EndedAt.Sub(noon); took > 11*time.Minute {
		t.Errorf("it is %s after %s", s.State, took)
	}
}

// An order that says that a refresh will have begun in some years hides no exposure.
func TestForgedBeginningIsIgnored(t *testing.T) {
	w := newWorld(t, 1, 2, 2)
	w.machines["h1"].down(noon.Add(100*time.Millisecond), forever)
	w.zones[theZone].refresh = []refreshing{workerLost(0)}
	w.after(150*time.Millisecond, func() {
		w.env.SignalWorkflow(workflows.SignalZoneOrder, workflows.ZoneOrder{Begun: noon.Add(1000 * 24 * time.Hour)})
	})
	r := w.rotate(w.zoneIn(theZone))
	if r.Outcome != rotation.Exposed || r.Since.After(noon.Add(time.Minute)) || r.ExposureMs < time.Minute.Milliseconds() {
		t.Errorf("%s since %s, for %d ms\n%s", r.Outcome, r.Since, r.ExposureMs, w.story())
	}
	if !slices.ContainsFunc(w.attrs, func(a attribute) bool { return a.value == "exposed" }) {
		t.Errorf("the list of workflows does not say it: %v", w.attrs)
	}
}

// A zone that takes back that its refresh has begun tells its shard so.
func TestShardHearsWhatIsTakenBack(t *testing.T) {
	w := newWorld(t, 1, 2, 2)
	for _, z := range w.zones {
		z.refresh = []refreshing{rejectedFor(100 * time.Second)}
	}
	w.standby = true
	w.after(8*time.Second, func() { w.heard, w.says = true, "it waits for its turn at the account's pace" })
	w.shard(w.shardIn(1))
	told := w.toldBy(95 * time.Second)
	for _, c := range told.Causes {
		if strings.Contains(c.Why, "has begun") {
			t.Errorf("at 95 s it says %+v", told.Causes)
		}
	}
	if len(told.Causes) == 0 {
		t.Errorf("it names no cause: %+v", told)
	}
	if t.Failed() {
		t.Log(w.story())
	}
}

// Hosts that a person replaces while the key is read get a seal of their own.
func TestHostsThatAreReplacedDuringARead(t *testing.T) {
	w := newWorld(t, 1, 4, 2)
	z := w.zones[theZone]
	w.machines["h1"].down(noon.Add(100*time.Millisecond), forever)
	z.refresh = []refreshing{unanswered(0)}
	w.took.read = 20 * time.Second
	in := w.zoneIn(theZone)
	now := []rotation.HostRef{w.machines["h3"].ref, z.hosts[1]}
	w.machines["h3"].files[theZone] = w.machines["h2"].files[theZone]
	var a workflows.RepairAnswer
	var refused error
	w.repaired(20*time.Second, workflows.RepairOrder{Hosts: now, AcceptChanges: true, By: "mira", Reason: "h1 burnt"}, &a, &refused)
	var r rotation.Record
	w.execute(workflows.ZoneID(theZone), workflows.TypeZone, in, &r)
	if refused != nil || r.Outcome != rotation.Done {
		t.Fatalf("%v; %s because %q\n%s", refused, r.Outcome, r.Why, w.story())
	}
	if took := r.EndedAt.Sub(noon); took > 10*time.Minute {
		t.Errorf("it took %s\n%s", took, w.story())
	}
}

// A zone that an overloaded Temporal starts after two minutes is not given up; one that it does
// not start at all is.
func TestZoneThatStartsLate(t *testing.T) {
	for after, want := range map[time.Duration]rotation.Counts{
		2 * time.Minute: {Total: 2, Done: 2},
		6 * time.Minute: {Total: 2, Done: 1, Pending: 1},
	} {
		w := newWorld(t, 2, 2, 2)
		w.starts[workflows.ZoneID("zone-01")] = after
		w.after(time.Second, func() { delete(w.starts, workflows.ZoneID("zone-01")) }) // a second try, with new proofs, is quick
		if out := w.shard(w.shardIn(2)); out.Tally.Zones != want {
			t.Errorf("started after %s: %+v, want %+v\n%s", after, out.Tally.Zones, want, w.story())
		}
	}
}
