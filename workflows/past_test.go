package workflows_test

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"testing"
	"time"

	"keywave/internal/plan"
	"keywave/internal/rotation"
	"keywave/workflows"
)

// forget makes Temporal forget everything that ran, except what the campaign
// itself keeps.
func (w *world) forget() {
	w.Helper()
	answer, err := w.env.QueryWorkflow(workflows.QueryState)
	if err == nil {
		err = answer.Get(&w.left)
	}
	if err != nil {
		w.Fatal(err)
	}
	clear(w.plans)
	w.forgets, w.forgot, w.events = true, w.env.Now(), nil
}

// A campaign is cancelled when some zones are done, one is exposed, one is
// unknown and others have not started. Then Temporal forgets the plan, the
// shards and the zones. A resumed run refreshes each zone once in all.
func TestCampaignResumedWhenAllIsForgotten(t *testing.T) {
	w := newWorld(t, 12, 12, 1)
	p := w.plan(settings(func(s *plan.Settings) { s.Window, s.MaxExposed, s.MaxFailed = 2, 100, "100%" }), 6)
	w.machines["h2"].down(noon.Add(70*time.Millisecond), 2*time.Hour) // zone-02 is refreshed, and not delivered
	w.zones["zone-03"].refresh = []refreshing{unanswered(0)}
	w.zones["zone-03"].read = []reading{unread(true, false)}
	for _, id := range w.order[3:] {
		w.zones[id].refresh = []refreshing{slow(time.Second)}
	}
	w.say(3*time.Second, workflows.UpdateCancel, workflows.Order{By: "ann", Reason: "enough"})
	first := w.campaign(w.campaignIn(p))
	if c := first.Zones; c.Done == 0 || c.Exposed != 1 || c.Unknown != 1 || c.Pending == 0 {
		t.Fatalf("%+v\n%s", c, w.story())
	}
	executed, puts := map[rotation.ZoneID]int{}, map[rotation.ZoneID]int{}
	for id, z := range w.zones {
		executed[id] = z.executed
		if w.records[id].Outcome == rotation.Done {
			puts[id] = w.machines[z.hosts[0].Name].puts
		}
	}
	w.forget()
	w.fresh()
	again := w.campaignIn(p)
	again.Again, again.By = true, "bob"
	s := w.campaign(again)
	if s.State != workflows.StateDone || s.Zones.Done != 12 {
		t.Fatalf("%+v\n%s", s, w.story())
	}
	for id, z := range w.zones {
		if z.executed != 1 {
			t.Errorf("%s was refreshed %d times, %d of them before all was forgotten\n%s", id, z.executed, executed[id], w.story())
		}
	}
	for id, before := range puts { // those that are remembered as done get no key again
		if now := w.machines[w.zones[id].hosts[0].Name].puts; now != before {
			t.Errorf("%s was done, and delivered %d times more", id, now-before)
		}
	}
	if log := s.Log; log[0].What != "started" || log[1].By != "ann" || log[len(log)-2].By != "bob" {
		t.Errorf("the log has not the whole past: %+v", log)
	}
}

// A resumed campaign asks nobody about the zones of a page that never had a shard, not
// before it goes on and not later. It asks about all pages where an earlier run did not
// keep which ones had a shard, and where nothing is left of that run.
func TestResumedCampaignAsksNobodyAboutUntouchedPages(t *testing.T) {
	for name, c := range map[string]struct {
		left  func(json.RawMessage) json.RawMessage
		pages int // that are asked about
		reads int // of keys, at most: after each refresh, and of the page that had begun
	}{
		"what the earlier run kept": {func(left json.RawMessage) json.RawMessage { return left }, 1, 16 + 3},
		"kept three hours ago": {func(left json.RawMessage) json.RawMessage {
			began := regexp.MustCompile(`"began":"[^"]*"`)
			return began.ReplaceAll(left, []byte(`"began":"`+noon.Add(-3*time.Hour).Format(time.RFC3339)+`"`))
		}, 1, 16 + 3 + 12},
		"kept by a version that did not count": {func(left json.RawMessage) json.RawMessage {
			return bytes.Replace(left, []byte(`"complete":true`), []byte(`"complete":false`), 1)
		}, 4, 29},
		"forgotten": {func(json.RawMessage) json.RawMessage { return nil }, 4, 29},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 16, 16, 1)
			in := w.campaignIn(w.plan(settings(func(s *plan.Settings) { s.Window = 2 }), 4))
			for _, z := range w.zones {
				z.refresh = []refreshing{slow(time.Second)}
			}
			w.say(1500*time.Millisecond, workflows.UpdateCancel, workflows.Order{By: "ann", Reason: "enough"})
			if first := w.campaign(in).Zones; first.Done == 0 || first.Done > 4 {
				t.Fatalf("%+v\n%s", first, w.story())
			}
			answer, err := w.env.QueryWorkflow(workflows.QueryState)
			if err == nil {
				err = answer.Get(&w.left)
			}
			if err != nil || !bytes.Contains(w.left, []byte(`"complete":true`)) {
				t.Fatalf("%v: %s", err, w.left)
			}
			w.left, w.events = c.left(w.left), nil
			w.fresh()
			clear(w.runs)
			in.Again = true
			if s := w.campaign(in); s.State != workflows.StateDone || s.Zones.Done != 16 {
				t.Fatalf("%+v\n%s", s, w.story())
			}
			if looks := w.runs[workflows.ActPrior]; looks != 2*c.pages { // once to mend, and once in the wave
				t.Errorf("%d looks at what earlier shards left, want 2 of each of %d pages", looks, c.pages)
			}
			if read := w.runs[workflows.ActRead]; read > c.reads || read < c.reads-3 {
				t.Errorf("%d keys were read, want %d or a little less", read, c.reads)
			}
			for id, z := range w.zones {
				if z.executed != 1 {
					t.Errorf("%s was refreshed %d times\n%s", id, z.executed, w.story())
				}
			}
		})
	}
}

// A shard and its zones are terminated and forgotten. What the campaign had
// heard of each zone decides. A zone of which it had heard nothing is read
// before anything is refreshed.
func TestCampaignAShardIsTerminatedAndForgotten(t *testing.T) {
	w := newWorld(t, 8, 8, 1)
	p := w.plan(settings(func(s *plan.Settings) { s.Window, s.MaxFailed = 2, "100%" }), 8)
	for _, z := range w.zones {
		z.refresh = []refreshing{slow(4 * time.Second)}
	}
	w.killed[workflows.ShardID("c", 1)] = 9 * time.Second
	w.after(30*time.Minute, func() {
		w.forgets, w.forgot = true, w.env.Now()
	})
	w.say(2*time.Hour, workflows.UpdateResume, workflows.Order{By: "ann"})
	s := w.campaign(w.campaignIn(p))
	if s.State != workflows.StateDone || s.Zones.Done != 8 {
		t.Fatalf("%+v\n%s", s, w.story())
	}
	for id, z := range w.zones {
		if z.executed != 1 {
			t.Errorf("%s was refreshed %d times\n%s", id, z.executed, w.story())
		}
	}
}

// A campaign that continues as new needs no other workflow to know its plan,
// however old the plan is.
func TestCampaignOutlivesItsPlan(t *testing.T) {
	w := newWorld(t, 10, 4, 2)
	p := w.plan(settings(func(s *plan.Settings) { s.Waves = []string{"2", "100%"} }), 5)
	w.after(2*time.Second, func() { w.env.SetContinueAsNewSuggested(true) })
	for _, z := range w.zones {
		z.refresh = []refreshing{slow(2 * time.Second)}
	}
	next := w.handOver(w.campaignIn(p))
	if len(next.State.Todo) == 0 {
		t.Fatalf("%+v", next.State)
	}
	clear(w.plans)
	w.fresh()
	w.env.SetStartTime(noon.Add(30 * 24 * time.Hour))
	if s := w.campaign(next); s.State != workflows.StateDone || s.Zones.Done != 10 || s.Plan != p.Name {
		t.Errorf("%+v\n%s", s, w.story())
	}
	next.State.Plan.Zones++
	next.State.Plan.Pages[0] = "another"
	w.fresh()
	if err := w.try(workflows.CampaignID("c"), workflows.TypeCampaign, next, nil); err == nil {
		t.Error("it runs another plan than the approved one")
	}
}

// A closed campaign is not resumed when its plan is no longer valid.
func TestCampaignIsNotResumedWithAnOldPlan(t *testing.T) {
	w := newWorld(t, 4, 2, 1)
	in := w.campaignIn(w.plan(usualSettings(), 4))
	in.Again = true
	w.env.SetStartTime(noon.Add(workflows.PlanValidFor + 2*time.Hour))
	err := w.try(workflows.CampaignID("c"), workflows.TypeCampaign, in, nil)
	if err == nil || len(w.happened("sent")) > 0 {
		t.Errorf("it goes on: %v\n%s", err, w.story())
	}
}

// Zones were rotated by somebody, or in a past that Temporal has lost. One or
// two of them are rotated as usual, at the end of their page. The third,
// counted over all pages, pauses the campaign. When a person lets it go on,
// those that wait are not refreshed.
func TestCampaignMeetsAPastThatIsNotTheWorlds(t *testing.T) {
	for _, c := range []struct{ from, changed, refreshed int }{{2, 2, 8}, {4, 3, 5}, {2, 4, 6}} {
		w := newWorld(t, 8, 4, 2)
		p := w.plan(settings(func(s *plan.Settings) { s.Waves, s.Window = []string{"4", "100%"}, 2 }), 4)
		for _, id := range w.order[c.from : c.from+c.changed] { // a page has four
			z := w.zones[id]
			z.newKey()
			for _, h := range z.hosts {
				w.machines[h.Name].files[id] = z.live()
			}
		}
		paused := w.status(time.Hour)
		w.after(2*time.Hour, func() {
			if w.running[workflows.CampaignID("c")] > 0 {
				w.say(0, workflows.UpdateResume, workflows.Order{By: "ann", Reason: "hosts and EdgeOne agree"})
			}
		})
		s := w.campaign(w.campaignIn(p))
		stops := slices.ContainsFunc(paused.Paused, func(r rotation.PauseReason) bool { return r.Kind == rotation.PausePast })
		if s.State != workflows.StateDone || s.Zones.Done != 8 || stops != (c.changed > 2) {
			t.Errorf("%d zones changed: it pauses %t, and ends as %+v\n%s", c.changed, stops, s.Zones, w.story())
		}
		if sent := len(w.happened("sent")); sent != c.refreshed {
			t.Errorf("%d zones changed, and %d were refreshed\n%s", c.changed, sent, w.story())
		}
	}
}
