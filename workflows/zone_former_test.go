package workflows_test

import (
	"strings"
	"testing"
	"time"

	"keywave/internal/rotation"
	"keywave/workflows"
)

// keeping is a zone that is to keep its former key for an hour.
func keeping(t *testing.T) (*world, *edgeZone, workflows.ZoneIn) {
	t.Helper()
	w := newWorld(t, 1, 2, 2)
	w.rollbackFor = time.Hour
	in := w.zoneIn(theZone)
	in.Strategy, in.RollbackFor = rotation.Staged, rotation.Span(time.Hour)
	return w, w.zones[theZone], in
}

// The key that a staged rotation has replaced, or may have, is in its record. One that is
// live still is not.
func TestZoneKeepsItsFormerKey(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(*world, *edgeZone, *workflows.ZoneIn)
		want rotation.Outcome
		kept bool
		why  string
		api  rotation.API
	}{
		{name: "all goes well: one read more", want: rotation.Done, kept: true, api: rotation.API{Modify: 1, Describe: 2}},
		{name: "nobody asks for it", want: rotation.Done, api: rotation.API{Modify: 1, Describe: 1}, set: func(_ *world, _ *edgeZone, in *workflows.ZoneIn) { in.RollbackFor = 0 }},
		{name: "the worker keeps none", want: rotation.Done, why: "the former key was not kept", set: func(w *world, _ *edgeZone, _ *workflows.ZoneIn) { w.rollbackFor = 0 }},
		{name: "lost answer", want: rotation.Done, kept: true, set: func(_ *world, z *edgeZone, _ *workflows.ZoneIn) { z.refresh = []refreshing{unanswered(0)} }},
		{name: "lost request", want: rotation.Done, kept: true, set: func(_ *world, z *edgeZone, _ *workflows.ZoneIn) { z.refresh = []refreshing{unanswered(-1)} }},
		{name: "a host that does not come back", want: rotation.Exposed, kept: true, set: func(w *world, _ *edgeZone, _ *workflows.ZoneIn) {
			w.machines["h2"].down(noon.Add(200*time.Millisecond), forever)
		}},
		{name: "a host that does not take the key", want: rotation.Unchanged, set: func(w *world, _ *edgeZone, _ *workflows.ZoneIn) { w.machines["h2"].unproved = []string{"disk full"} }},
		{name: "refused", want: rotation.Unchanged, set: func(_ *world, z *edgeZone, _ *workflows.ZoneIn) {
			z.refresh = []refreshing{refused("OperationDenied", false)}
		}},
		{name: "no request is ever executed", want: rotation.Unchanged, set: func(_ *world, z *edgeZone, _ *workflows.ZoneIn) {
			z.refresh = []refreshing{unanswered(-1), unanswered(-1), unanswered(-1)}
		}},
		{name: "handed back", want: rotation.Pending, set: func(_ *world, z *edgeZone, _ *workflows.ZoneIn) { z.refresh = []refreshing{notSent(true)} }},
		{name: "the live key cannot be read: nothing is minted", want: rotation.Unchanged, why: "could not be read", set: func(_ *world, z *edgeZone, _ *workflows.ZoneIn) { z.read = []reading{unread(false, false)} }},
		{name: "EdgeOne holds another key: that one is kept", want: rotation.Done, kept: true, api: rotation.API{Modify: 1, Describe: 3}, set: func(w *world, z *edgeZone, _ *workflows.ZoneIn) {
			key := z.newKey()
			for _, m := range w.machines {
				m.files[theZone] = key
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, z, in := keeping(t)
			if c.set != nil {
				c.set(w, z, &in)
			}
			was := z.live()
			r := w.rotate(in)
			if r.Outcome != c.want || !strings.Contains(r.Why, c.why) || (r.Former != nil) != c.kept || c.api != (rotation.API{}) && r.API != c.api {
				t.Fatalf("%s because %q, former key %v, calls %+v\n%s", r.Outcome, r.Why, r.Former, r.API, w.story())
			}
			if f := r.Former; c.kept && (f.Key != z.print(was) || f.For != z.fingerprint() || f.Until.Sub(f.At) != time.Hour || !strings.HasSuffix(string(f.Kept), was)) {
				t.Errorf("%+v, and %s was live\n%s", *f, was, w.story())
			}
			if z.sent == 0 && c.want == rotation.Done || z.minted > 1 {
				t.Errorf("%d keys were minted, %d sent\n%s", z.minted, z.sent, w.story())
			}
		})
	}
}

type rollbackStory struct {
	name string
	// set changes what is so when the rollback begins.
	set      func(*world, *edgeZone, *workflows.ZoneIn)
	want     rotation.Outcome
	why      string
	executed int
	sent     int
	check    func(*testing.T, *world, rotation.Record)
}

func rollbackStories() []rollbackStory {
	scripted := func(all ...refreshing) func(*world, *edgeZone, *workflows.ZoneIn) {
		return func(_ *world, z *edgeZone, _ *workflows.ZoneIn) { z.refresh = all }
	}
	return []rollbackStory{
		{
			name: "all goes well: one switch, and a read before and after", want: rotation.Done, executed: 1, sent: 1,
			check: func(t *testing.T, w *world, r rotation.Record) {
				if r.API != (rotation.API{Modify: 1, Describe: 2}) {
					t.Errorf("calls: %+v", r.API)
				}
				if w.runs[workflows.ActProve]+w.runs[workflows.ActProbe]+w.runs[workflows.ActUnstage] != 0 {
					t.Errorf("activities: %v", w.runs)
				}
			},
		},
		{
			name: "the process that calls EdgeOne activates the keys itself", want: rotation.Done, executed: 1, sent: 1,
			set: func(w *world, _ *edgeZone, _ *workflows.ZoneIn) { w.beside = true },
		},
		{
			name: "an emergency is no refresh", want: rotation.Done, executed: 1, sent: 1,
			set: func(_ *world, _ *edgeZone, in *workflows.ZoneIn) { in.Emergency, in.Proofs = "leaked", nil },
		},
		{
			name: "an order that names no strategy", want: rotation.Done, executed: 1, sent: 1,
			set: func(_ *world, _ *edgeZone, in *workflows.ZoneIn) { in.Strategy, in.Baseline = "", "" },
		},
		{
			name: "somebody else has changed the key", want: rotation.Unchanged, why: "EdgeOne holds another key",
			set: func(_ *world, z *edgeZone, _ *workflows.ZoneIn) { somebody(z) },
		},
		{
			name: "a host holds a key of somebody else's: what EdgeOne holds is read before", want: rotation.Unchanged, why: "nothing was put back",
			set: func(w *world, z *edgeZone, _ *workflows.ZoneIn) {
				somebody(z)
				w.machines["h1"].files[theZone] = z.live()
			},
		},
		{
			name: "the former key is live already", want: rotation.Unchanged, why: "EdgeOne holds another key",
			set: func(_ *world, z *edgeZone, _ *workflows.ZoneIn) { z.keys = append(z.keys, z.keys[0]) },
		},
		{
			name: "the live key cannot be read", want: rotation.Pending, why: "could not be read",
			set: func(_ *world, z *edgeZone, _ *workflows.ZoneIn) { z.read = []reading{unread(false, false)} },
		},
		{
			name: "its time is over", want: rotation.Unchanged, why: "could be used until",
			set: func(w *world, _ *edgeZone, _ *workflows.ZoneIn) { w.rollbackFor = time.Millisecond },
		},
		{
			name: "the worker puts none back", want: rotation.Unchanged, why: "could be used until",
			set: func(w *world, _ *edgeZone, _ *workflows.ZoneIn) { w.rollbackFor = 0 },
		},
		{
			name: "forged", want: rotation.Unchanged, why: "cannot be opened",
			set: func(_ *world, _ *edgeZone, in *workflows.ZoneIn) { in.Former.Until = in.Former.Until.Add(time.Hour) },
		},
		{
			name: "forged: for the key that is live after somebody else's change", want: rotation.Unchanged, why: "cannot be opened",
			set: func(_ *world, z *edgeZone, in *workflows.ZoneIn) {
				somebody(z)
				in.Former.For = z.fingerprint()
			},
		},
		{
			name: "a host that does not take it", want: rotation.Unchanged, why: "h2: disk full; nothing was sent",
			set: func(w *world, _ *edgeZone, _ *workflows.ZoneIn) { w.machines["h2"].unproved = []string{"disk full"} },
		},
		{name: "lost answer", want: rotation.Done, executed: 1, sent: 1, why: "EdgeOne had taken the key", set: scripted(unanswered(0)), check: func(t *testing.T, _ *world, r rotation.Record) {
			if life := usualTiming().SignatureLife.D(); r.EndedAt.Sub(noon) < life || r.ExposureMs > 21_000 {
				t.Errorf("ended after %s, exposed for %d ms", r.EndedAt.Sub(noon), r.ExposureMs)
			}
		}},
		{name: "lost request: the same key is sent again, after another read", want: rotation.Done, executed: 1, sent: 2, set: scripted(unanswered(-1)), check: func(t *testing.T, _ *world, r rotation.Record) {
			if r.API.Modify != 2 || r.API.Describe < 4 {
				t.Errorf("calls: %+v", r.API)
			}
		}},
		{name: "no request is ever executed", want: rotation.Unchanged, sent: 3, why: "the old key is alive", set: scripted(unanswered(-1), unanswered(-1), unanswered(-1))},
		{
			name: "lost request, and a read that is not up to date shows the former key: read again", want: rotation.Done, executed: 1, sent: 2,
			set: func(_ *world, z *edgeZone, in *workflows.ZoneIn) {
				in.Timing.Settle = rotation.Span(20 * time.Second)
				z.refresh, z.read = []refreshing{unanswered(-1)}, []reading{readLive, readStale(1)}
			},
		},
		{
			name: "and so does an early read", want: rotation.Done, executed: 1, sent: 2,
			set: func(w *world, z *edgeZone, _ *workflows.ZoneIn) {
				w.standby = true
				z.refresh, z.read = []refreshing{unanswered(-1)}, []reading{readLive, readStale(1)}
			},
		},
		{
			name: "resumed: an earlier run's request was executed", want: rotation.Done,
			set: func(w *world, z *edgeZone, in *workflows.ZoneIn) {
				z.keys = append(z.keys, z.keys[0])
				in.Doubt = w.env.Now().Add(-time.Minute)
			},
		},
		{
			name: "resumed: an earlier run's request was never executed", want: rotation.Done, executed: 1, sent: 1,
			set: func(w *world, _ *edgeZone, in *workflows.ZoneIn) { in.Doubt = w.env.Now().Add(-time.Minute) },
		},
		{
			name: "resumed, and the key is somebody else's: it is delivered, and nothing is put back", want: rotation.Done,
			set: func(w *world, z *edgeZone, in *workflows.ZoneIn) {
				somebody(z)
				in.Doubt = w.env.Now().Add(-time.Minute)
			},
			check: func(t *testing.T, w *world, r rotation.Record) {
				if z := w.zones[theZone]; r.To == z.baseline() {
					t.Error("the former key is live")
				}
			},
		},
	}
}

// A zone is rolled back by a switch to its former key, which lies on every host before, and
// only in the place of the key that replaced it. No rollback is ever a refresh.
func TestZoneRollsBack(t *testing.T) {
	for _, s := range rollbackStories() {
		t.Run(s.name, func(t *testing.T) {
			w, z, in := keeping(t)
			forward := w.rotate(in)
			if forward.Outcome != rotation.Done || forward.Former == nil {
				t.Fatalf("%s because %q\n%s", forward.Outcome, forward.Why, w.story())
			}
			w.fresh()
			clear(w.runs)
			executed, sent, was := z.executed, z.sent, z.print(z.keys[0])
			in = w.zoneIn(theZone)
			in.Former = forward.Former
			if s.set != nil {
				s.set(w, z, &in)
			}
			r := w.rotate(in)
			if r.Outcome != s.want || !strings.Contains(r.Why, s.why) || z.executed-executed != s.executed || z.sent-sent != s.sent {
				t.Errorf("%s because %q, %d executed, %d sent; want %s, %q, %d and %d", r.Outcome, r.Why, z.executed-executed, z.sent-sent, s.want, s.why, s.executed, s.sent)
			}
			if s.executed > 0 && r.To != was {
				t.Errorf("it is rolled back to %s, and %s was live", r.To, was)
			}
			if w.runs[workflows.ActRefresh] > 0 || r.Former != nil || z.minted > 1 {
				t.Errorf("former key %v, activities %v", r.Former, w.runs)
			}
			if s.check != nil {
				s.check(t, w, r)
			}
			if t.Failed() {
				t.Log(w.story())
			}
		})
	}
}
