package workflows_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/workflow"

	"keywave/activities"
	"keywave/internal/rotation"
	"keywave/workflows"
)

const theZone rotation.ZoneID = "zone-01"

// zoneStory is the rotation of one zone in which something goes wrong, and how
// it must end.
type zoneStory struct {
	name string
	set  func(w *world, z *edgeZone, in *workflows.ZoneIn)
	want rotation.Outcome
	// executed and sent count refreshes at EdgeOne.
	executed, sent int
	why            string // part of the record's reason
	check          func(t *testing.T, w *world, r rotation.Record)
}

func zoneStories() []zoneStory {
	return []zoneStory{
		{
			name: "all goes well: one refresh, one read", want: rotation.Done, executed: 1, sent: 1,
			check: func(t *testing.T, w *world, r rotation.Record) {
				if r.API != (rotation.API{Refresh: 1, Describe: 1}) {
					t.Errorf("calls: %+v", r.API)
				}
				if r.From != w.zones[theZone].baseline() || r.RequestID != "request 1 of zone-01" || len(r.Acks) != 2 || r.Why != "" {
					t.Errorf("record: %+v", r)
				}
				if want := (w.took.refresh/2 + w.took.put).Milliseconds(); r.ExposureMs != want {
					t.Errorf("exposure %d ms, from the signature to the last acknowledgement are %d ms", r.ExposureMs, want)
				}
				if w.runs[workflows.ActDeliver] != 2 || w.runs[workflows.ActProve] != 0 {
					t.Errorf("activities: %v", w.runs)
				}
				if got := w.attrs; len(got) != 1 || got[0].value != "done" {
					t.Errorf("search attributes: %+v", got)
				}
			},
		},
		{
			name: "without proofs it asks for them", want: rotation.Done, executed: 1, sent: 1,
			set: func(_ *world, _ *edgeZone, in *workflows.ZoneIn) { in.Proofs = nil },
			check: func(t *testing.T, w *world, _ rotation.Record) {
				if w.runs[workflows.ActProve] != 2 || w.runs[workflows.ActProbe] != 1 {
					t.Errorf("activities: %v", w.runs)
				}
			},
		},
		{
			name: "without a baseline it is read first", want: rotation.Done, executed: 1, sent: 1,
			set: func(_ *world, _ *edgeZone, in *workflows.ZoneIn) { in.Baseline = "" },
			check: func(t *testing.T, w *world, r rotation.Record) {
				if r.API.Describe != 2 || r.From != w.zones[theZone].baseline() {
					t.Errorf("record: %+v", r)
				}
			},
		},
		{
			name: "a baseline that cannot be read", want: rotation.Unchanged, why: "nothing was sent",
			set: func(_ *world, z *edgeZone, in *workflows.ZoneIn) {
				in.Baseline = ""
				z.read = []reading{unread(false, false)}
			},
		},
		{
			name: "an emergency waives the proofs", want: rotation.Done, executed: 1, sent: 1,
			set: func(w *world, _ *edgeZone, in *workflows.ZoneIn) {
				in.Proofs, in.Emergency, w.emergency = nil, "leaked", true
			},
			check: func(t *testing.T, w *world, _ rotation.Record) {
				if w.runs[workflows.ActProve]+w.runs[workflows.ActProbe] != 0 {
					t.Errorf("activities: %v", w.runs)
				}
			},
		},
		{
			name: "a host that cannot take a key", want: rotation.Pending, why: "h2: disk full; nothing was sent",
			set: func(w *world, _ *edgeZone, in *workflows.ZoneIn) {
				in.Proofs = nil
				w.machines["h2"].unproved = []string{"disk full"}
			},
		},
		{
			name: "a host whose definition is not the plan's", want: rotation.Pending, why: "is not the one in the plan",
			set: func(w *world, _ *edgeZone, in *workflows.ZoneIn) {
				in.Proofs = nil
				w.machines["h2"].ref.Digest = "another"
			},
		},
		{
			name: "a location without workers gives no proofs", want: rotation.Pending, why: "location eu: timed out",
			set: func(w *world, _ *edgeZone, in *workflows.ZoneIn) {
				in.Proofs = nil
				w.queued = noWorkers(workflows.LocationQueue("eu"), forever)
			},
		},
		{
			name: "no probe can be sealed", want: rotation.Pending, why: "no keyset for eu",
			set: func(w *world, _ *edgeZone, in *workflows.ZoneIn) {
				in.Proofs, w.noProbe = nil, "no keyset for eu"
			},
		},

		// The following rows are all that can happen to a refresh.
		{
			name: "lost answer, executed: adopted, no second refresh", want: rotation.Done, executed: 1, sent: 1, why: "adopted by read-back",
			set: func(_ *world, z *edgeZone, _ *workflows.ZoneIn) { z.refresh = []refreshing{unanswered(0)} },
			check: func(t *testing.T, w *world, r rotation.Record) {
				if took := r.EndedAt.Sub(noon); took > 15*time.Second {
					t.Errorf("it stayed locked for %s, though the changed key proves that the one attempt was executed", took)
				}
			},
		},
		{
			name: "lost request: read twice, settled between, then refreshed; locked until the first is dead", want: rotation.Done, executed: 1, sent: 2,
			set: func(_ *world, z *edgeZone, _ *workflows.ZoneIn) { z.refresh = []refreshing{unanswered(-1)} },
			check: func(t *testing.T, w *world, r rotation.Record) {
				if r.EndedAt.Before(noon.Add(300 * time.Second)) {
					t.Errorf("it ended after %s, and the first request could be executed for 300 s", r.EndedAt.Sub(noon))
				}
				sent := w.happened("sent")
				if gap := sent[1].at.Sub(sent[0].at); gap < 20*time.Second {
					t.Errorf("the second refresh came %s after the first: 10 s timeout and 10 s settle make 20 s", gap)
				}
				if !w.told(theZone, func(n heard) bool { return n.Loose && n.Standing == rotation.Held }) {
					t.Errorf("it kept its slot in the window while it only waited: %v", w.newsOf(theZone))
				}
			},
		},
		{
			name: "lost answer, executed between the two reads", want: rotation.Done, executed: 1, sent: 1,
			set: func(_ *world, z *edgeZone, _ *workflows.ZoneIn) {
				z.refresh = []refreshing{unanswered(12 * time.Second)}
			},
		},
		{
			name: "late landing after the second refresh: found by the last verify, delivered", want: rotation.Done, executed: 2, sent: 2, why: "yet another key",
			set: func(_ *world, z *edgeZone, _ *workflows.ZoneIn) {
				z.refresh = []refreshing{unanswered(299 * time.Second)}
			},
			check: func(t *testing.T, w *world, r rotation.Record) {
				if r.API.Describe < 4 {
					t.Errorf("calls: %+v", r.API)
				}
			},
		},
		{
			name: "late landing during the second delivery", want: rotation.Done, executed: 2, sent: 2,
			set: func(w *world, z *edgeZone, _ *workflows.ZoneIn) {
				z.refresh = []refreshing{unanswered(21 * time.Second)}
				w.took.put = 3 * time.Second
			},
		},
		{
			name: "the worker is lost, the request executed", want: rotation.Done, executed: 1, sent: 1,
			set: func(_ *world, z *edgeZone, _ *workflows.ZoneIn) { z.refresh = []refreshing{workerLost(0)} },
		},
		{
			name: "the worker is lost, the request never executed", want: rotation.Done, executed: 1, sent: 2,
			set: func(_ *world, z *edgeZone, _ *workflows.ZoneIn) { z.refresh = []refreshing{workerLost(-1)} },
		},
		{
			name: "a frozen worker wakes and its request lands", want: rotation.Done, executed: 2, sent: 2,
			set: func(_ *world, z *edgeZone, _ *workflows.ZoneIn) {
				z.refresh = []refreshing{workerLost(200 * time.Second)}
			},
		},
		{
			name: "no request is ever answered or executed", want: rotation.Unchanged, executed: 0, sent: 3, why: "the old key is alive",
			set: func(_ *world, z *edgeZone, _ *workflows.ZoneIn) {
				z.refresh = []refreshing{unanswered(-1), unanswered(-1), unanswered(-1)}
			},
			check: func(t *testing.T, w *world, r rotation.Record) {
				last := w.happened("sent")[2].at
				if r.EndedAt.Before(last.Add(300 * time.Second)) {
					t.Errorf("it ended %s after the last request, which could be executed for 300 s", r.EndedAt.Sub(last))
				}
			},
		},
		{
			name: "all three requests are given up, and the last lands late", want: rotation.Done, executed: 1, sent: 3,
			set: func(_ *world, z *edgeZone, _ *workflows.ZoneIn) {
				z.refresh = []refreshing{unanswered(-1), unanswered(-1), unanswered(250 * time.Second)}
			},
		},
		{
			name: "lost request, then refused: waits until the first is dead", want: rotation.Unchanged, executed: 0, sent: 1, why: "OperationDenied",
			set: func(_ *world, z *edgeZone, _ *workflows.ZoneIn) {
				z.refresh = []refreshing{unanswered(-1), refused("OperationDenied", false)}
			},
			check: func(t *testing.T, w *world, r rotation.Record) {
				if r.EndedAt.Before(noon.Add(300 * time.Second)) {
					t.Errorf("it ended after %s", r.EndedAt.Sub(noon))
				}
			},
		},
		{
			name: "lost request, then refused, and the first lands late", want: rotation.Done, executed: 1, sent: 1,
			set: func(_ *world, z *edgeZone, _ *workflows.ZoneIn) {
				z.refresh = []refreshing{unanswered(100 * time.Second), refused("OperationDenied", false)}
			},
		},
		{
			name: "lost request, then proofs run out: proved again", want: rotation.Done, executed: 1, sent: 2,
			set: func(_ *world, z *edgeZone, _ *workflows.ZoneIn) {
				z.refresh = []refreshing{unanswered(-1), notSent(true)}
			},
		},
		{
			name: "refused", want: rotation.Unchanged, executed: 0, sent: 0, why: "OperationDenied",
			set: func(_ *world, z *edgeZone, _ *workflows.ZoneIn) {
				z.refresh = []refreshing{refused("OperationDenied", false)}
			},
			check: func(t *testing.T, _ *world, r rotation.Record) {
				if r.Cause != "OperationDenied" || r.Halt {
					t.Errorf("record: %+v", r)
				}
			},
		},
		{
			name: "denied: every zone would fail alike", want: rotation.Unchanged, executed: 0, sent: 0, why: "not executed",
			set: func(_ *world, z *edgeZone, _ *workflows.ZoneIn) {
				z.refresh = []refreshing{refused("AuthFailure.SignatureFailure", true)}
			},
			check: func(t *testing.T, _ *world, r rotation.Record) {
				if !r.Halt {
					t.Errorf("record: %+v", r)
				}
			},
		},
		{
			name: "handed back unsent", want: rotation.Pending, why: "nothing was sent",
			set: func(_ *world, z *edgeZone, _ *workflows.ZoneIn) { z.refresh = []refreshing{notSent(true)} },
		},
		{
			name: "no process takes refreshes", want: rotation.Pending, why: "no worker took the refresh of account acme",
			set: func(w *world, _ *edgeZone, _ *workflows.ZoneIn) {
				w.queued = noWorkers(workflows.RefreshQueue(account), forever)
			},
		},
		{
			name: "a refresh that waits longer than the proofs are good is not sent", want: rotation.Pending, why: "proof expired",
			set: func(w *world, _ *edgeZone, in *workflows.ZoneIn) {
				for i := range in.Proofs {
					in.Proofs[i].At = in.Proofs[i].At.Add(-30 * time.Second)
				}
				w.queued = noWorkers(workflows.RefreshQueue(account), 40*time.Second)
			},
		},

		// Reads.
		{
			name: "read-back is denied: unknown", want: rotation.Unknown, executed: 1, sent: 1, why: "cannot be read",
			set: func(_ *world, z *edgeZone, _ *workflows.ZoneIn) {
				z.refresh, z.read = []refreshing{unanswered(0)}, slices.Repeat([]reading{unread(true, true)}, 10)
			},
			check: func(t *testing.T, _ *world, r rotation.Record) {
				if !r.Halt || r.Since.IsZero() {
					t.Errorf("record: %+v", r)
				}
			},
		},
		{
			name: "read-back fails for a while", want: rotation.Done, executed: 1, sent: 1,
			set: func(_ *world, z *edgeZone, _ *workflows.ZoneIn) {
				z.refresh = []refreshing{unanswered(0)}
				z.read = []reading{unread(false, false), unread(false, false), unread(false, false)}
			},
		},
		{
			name: "read-back fails for ever", want: rotation.Unknown, executed: 1, sent: 1,
			set: func(_ *world, z *edgeZone, in *workflows.ZoneIn) {
				in.Timing.DeliverFor = rotation.Span(5 * time.Minute)
				z.refresh = []refreshing{unanswered(0)}
				z.read = slices.Repeat([]reading{unread(false, false)}, 100)
			},
		},
		{
			name: "read-back is stale once", want: rotation.Done, executed: 1, sent: 1,
			set: func(_ *world, z *edgeZone, _ *workflows.ZoneIn) {
				z.refresh, z.read = []refreshing{unanswered(0)}, []reading{readStale(1)}
			},
		},
		{
			name: "verify is stale: settles, reads again, delivers nothing", want: rotation.Done, executed: 1, sent: 1,
			set: func(_ *world, z *edgeZone, _ *workflows.ZoneIn) { z.read = []reading{readStale(1), readStale(1)} },
			check: func(t *testing.T, w *world, r rotation.Record) {
				if w.runs[workflows.ActDeliver] != 2 || r.API.Describe != 3 {
					t.Errorf("activities: %v, calls: %+v", w.runs, r.API)
				}
				if w.machines["h1"].puts != 1 {
					t.Errorf("h1 was given a key %d times", w.machines["h1"].puts)
				}
			},
		},
		{
			name: "verify is stale for ever", want: rotation.Unknown, executed: 1, sent: 1, why: "already replaced",
			set: func(_ *world, z *edgeZone, _ *workflows.ZoneIn) {
				z.read = slices.Repeat([]reading{readStale(1)}, 100)
			},
		},
		{
			name: "verify cannot be read", want: rotation.Unknown, executed: 1, sent: 1, why: "every host acknowledged",
			set: func(_ *world, z *edgeZone, _ *workflows.ZoneIn) {
				z.read = slices.Repeat([]reading{unread(true, false)}, 2)
			},
		},
		{
			name: "somebody makes a key in the console before the verify", want: rotation.Done, executed: 2, sent: 1, why: "yet another key",
			set: func(_ *world, z *edgeZone, _ *workflows.ZoneIn) {
				z.read = []reading{func(ctx workflow.Context, task *task, z *edgeZone, in activities.ReadIn) (any, error) {
					z.execute()
					return readLive(ctx, task, z, in)
				}}
			},
		},

		// Hosts.
		{
			name: "a host is away for 5 s", want: rotation.Done, executed: 1, sent: 1, why: "h2 did not take the key at first",
			set: func(w *world, _ *edgeZone, _ *workflows.ZoneIn) { w.machines["h2"].down(noon, 5*time.Second) },
			check: func(t *testing.T, w *world, r rotation.Record) {
				if news := w.newsOf(theZone); len(news) != 2 || news[0].Standing != rotation.Dead || news[0].Exposed || news[1].Standing != rotation.Alive {
					t.Errorf("news: %v", news)
				}
				if w.machines["h1"].puts != 1 {
					t.Errorf("h1 was given the key %d times", w.machines["h1"].puts)
				}
			},
		},
		{
			name: "a host is away for 45 s: an outage, told as soon as it is one", want: rotation.Done, executed: 1, sent: 1,
			set: func(w *world, _ *edgeZone, _ *workflows.ZoneIn) { w.machines["h2"].down(noon, 45*time.Second) },
			check: func(t *testing.T, w *world, r rotation.Record) {
				news := w.newsOf(theZone)
				if len(news) != 4 || !news[1].Exposed || news[1].Loose || !news[2].Loose || news[3].Exposed || news[1].Why != "the old key is dead, h2 lacks the new one: connect: no route" {
					t.Errorf("news: %v", news)
				}
				var values []string
				for _, a := range w.attrs {
					values = append(values, a.value)
				}
				if !slices.Equal(values, []string{"exposed", "", "done"}) {
					t.Fatalf("search attributes: %v", values)
				}
				if at := w.attrs[0].at.Sub(r.Since); at != 30*time.Second {
					t.Errorf("the exposure was told after %s", at)
				}
			},
		},
		{
			name: "a host never comes back: exposed", want: rotation.Exposed, executed: 1, sent: 1, why: "h2: connect",
			set: func(w *world, _ *edgeZone, in *workflows.ZoneIn) {
				w.machines["h2"].down(noon, forever)
				in.Timing.DeliverFor = rotation.Span(10 * time.Minute)
			},
			check: func(t *testing.T, w *world, r rotation.Record) {
				if !slices.Equal(r.Missing, []rotation.HostName{"h2"}) || r.EndedAt.Sub(r.Since) < 10*time.Minute {
					t.Errorf("record: %+v", r)
				}
			},
		},
		{
			name: "a host holds what nobody expected: the live key is read again, then it is overwritten", want: rotation.Done, executed: 1, sent: 1,
			set: func(w *world, _ *edgeZone, _ *workflows.ZoneIn) { w.machines["h2"].files[theZone] = "a stranger's" },
			check: func(t *testing.T, _ *world, r rotation.Record) {
				if r.API.Describe != 2 {
					t.Errorf("calls: %+v", r.API)
				}
			},
		},
		{
			name: "drift that a proof saw is overwritten", want: rotation.Done, executed: 1, sent: 1,
			set: func(w *world, z *edgeZone, in *workflows.ZoneIn) {
				w.machines["h2"].files[theZone] = "a stranger's"
				in.Drift = []rotation.Fingerprint{z.print("a stranger's")}
			},
			check: func(t *testing.T, _ *world, r rotation.Record) {
				if r.API.Describe != 1 {
					t.Errorf("calls: %+v", r.API)
				}
			},
		},
		{
			name: "the worker that gave the proof is gone: the location's other workers deliver", want: rotation.Done, executed: 1, sent: 1,
			set: func(w *world, _ *edgeZone, _ *workflows.ZoneIn) { w.queued = noWorkers(ownQueue("hk"), forever) },
			check: func(t *testing.T, _ *world, r rotation.Record) {
				if ms := r.ExposureMs; ms < 500 || ms > 1200 {
					t.Errorf("exposure %d ms", ms)
				}
			},
		},
		{
			name: "a location has no worker for two minutes", want: rotation.Done, executed: 1, sent: 1,
			set: func(w *world, _ *edgeZone, _ *workflows.ZoneIn) {
				w.queued = func(t *task) time.Duration {
					if strings.HasSuffix(t.options.TaskQueue, "hk") {
						return max(0, noon.Add(2*time.Minute).Sub(w.env.Now()))
					}
					return 0
				}
			},
		},
		{
			name: "a sealed key cannot be opened: made anew from a read-back", want: rotation.Done, executed: 1, sent: 1,
			set: func(w *world, _ *edgeZone, _ *workflows.ZoneIn) { w.unopened["eu"] = 2 },
			check: func(t *testing.T, _ *world, r rotation.Record) {
				if r.API.Describe != 3 {
					t.Errorf("calls: %+v", r.API)
				}
			},
		},
		{
			name: "a sealed key cannot be opened, and the live one is another meanwhile", want: rotation.Done, executed: 2, sent: 1,
			set: func(w *world, _ *edgeZone, _ *workflows.ZoneIn) {
				w.unopened["eu"] = 1
				w.after(400*time.Millisecond, func() { w.zones[theZone].execute() })
			},
		},
		{
			name: "a repair reads, delivers, verifies and never refreshes", want: rotation.Done, executed: 0, sent: 0,
			set: func(w *world, z *edgeZone, in *workflows.ZoneIn) {
				z.newKey()
				in.Verb, in.Proofs, in.Baseline = rotation.Repair, nil, ""
				in.Since = noon.Add(-time.Hour)
				in.Drift = []rotation.Fingerprint{z.baseline()}
			},
			check: func(t *testing.T, w *world, r rotation.Record) {
				if w.runs[workflows.ActRefresh] != 0 || r.API.Describe != 2 || r.ExposureMs < time.Hour.Milliseconds() {
					t.Errorf("record: %+v, activities: %v", r, w.runs)
				}
			},
		},
		{
			name: "a repair of a zone that has no key", want: rotation.Unknown, why: "no key for this zone",
			set: func(_ *world, z *edgeZone, in *workflows.ZoneIn) {
				z.keys = append(z.keys, "")
				in.Verb, in.Proofs, in.Baseline = rotation.Repair, nil, ""
			},
		},
	}
}

// tellZoneStories tells every story in a world that differs, and wants the same ends.
// before is done to the world before the story sets it up, and after afterwards.
func tellZoneStories(t *testing.T, before, after func(*world)) {
	for _, s := range zoneStories() {
		t.Run(s.name, func(t *testing.T) {
			w := newWorld(t, 1, 2, 2)
			before(w)
			in := w.zoneIn(theZone)
			z := w.zones[theZone]
			if s.set != nil {
				s.set(w, z, &in)
			}
			after(w)
			r := w.rotate(in)
			if r.Outcome != s.want || z.executed != s.executed || z.sent != s.sent {
				t.Errorf("%s, %d refreshes executed and %d sent; it should be %s, %d and %d\n%s", r.Outcome, z.executed, z.sent, s.want, s.executed, s.sent, w.story())
			}
		})
	}
}

// On the short way every story ends as on the ordinary way. A location without workers
// has no worker that proved its hosts either.
func TestZoneStoriesOnTheShortWay(t *testing.T) {
	tellZoneStories(t, func(w *world) { w.beside = true }, func(w *world) {
		late := w.queued
		w.queued = func(asked *task) time.Duration {
			own := *asked
			for _, l := range []rotation.Location{"hk", "eu"} {
				if own.options.TaskQueue == ownQueue(l) {
					own.options.TaskQueue = workflows.LocationQueue(l)
				}
			}
			return max(late(asked), late(&own))
		}
	})
}

// If the worker that calls EdgeOne has proved all hosts of a zone itself, the
// key needs no way through Temporal. A host that does not take it at once gets
// it by the ordinary way, and only that host.
func TestZoneGoesStraight(t *testing.T) {
	for _, c := range []struct {
		name            string
		set             func(w *world, in *workflows.ZoneIn)
		delivers, reads int
		waits           bool // before it reads again
	}{
		{"to all its hosts", func(*world, *workflows.ZoneIn) {}, 0, 0, false},
		{"one host fails once", func(w *world, _ *workflows.ZoneIn) { w.machines["h2"].put = []putting{failing} }, 1, 1, false},
		{"another worker proved a host", func(_ *world, in *workflows.ZoneIn) { in.Proofs[1].Queue = "another" }, 2, 1, false},
		{"the read behind it is slow", func(w *world, _ *workflows.ZoneIn) { w.took.read = 3 * time.Second }, 0, 1, false},
		{"the read behind it fails", func(w *world, _ *workflows.ZoneIn) { w.zones[theZone].read = []reading{unread(false, false)} }, 0, 1, false},
		{"the read behind it is stale", func(w *world, _ *workflows.ZoneIn) { w.zones[theZone].read = []reading{readStale(1)} }, 0, 1, true},
		{"somebody changes the key behind it", func(w *world, _ *workflows.ZoneIn) { w.zones[theZone].read = []reading{changedBySomebody} }, 2, 2, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, 1, 2, 2)
			w.beside = true
			in := w.zoneIn(theZone)
			c.set(w, &in)
			r := w.rotate(in)
			if r.Outcome != rotation.Done || w.runs[workflows.ActDeliver] != c.delivers || w.runs[workflows.ActRead] != c.reads || len(r.Acks) != 2 {
				t.Errorf("%+v; activities %v, want %d deliveries and %d reads\n%s", r, w.runs, c.delivers, c.reads, w.story())
			}
			if took := r.EndedAt.Sub(r.Since); (took > 5*time.Second) != c.waits {
				t.Errorf("it took %s\n%s", took, w.story())
			}
			if want := 2 + c.delivers/2; w.machines["h1"].puts+w.machines["h2"].puts > want+1 {
				t.Errorf("%d and %d puts\n%s", w.machines["h1"].puts, w.machines["h2"].puts, w.story())
			}
		})
	}
}

// changedBySomebody is a read before which somebody else changed the key.
func changedBySomebody(ctx workflow.Context, t *task, z *edgeZone, in activities.ReadIn) (any, error) {
	z.newKey()
	return readLive(ctx, t, z, in)
}

// failing is one delivery that does not reach the host.
func failing(ctx workflow.Context, m *machine, _ rotation.ZoneID, _ string) (rotation.Ack, bool) {
	return rotation.Ack{Host: m.ref.Name, At: workflow.Now(ctx).UTC(), Problem: "session: the connection broke"}, true
}

func TestZoneStories(t *testing.T) {
	for _, s := range zoneStories() {
		t.Run(s.name, func(t *testing.T) {
			w := newWorld(t, 1, 2, 2)
			in := w.zoneIn(theZone)
			in.Campaign, in.Shard = "c", workflows.ShardID("c", 1)
			z := w.zones[theZone]
			if s.set != nil {
				s.set(w, z, &in)
			}
			r := w.rotate(in)
			if r.Outcome != s.want || !strings.Contains(r.Why, s.why) {
				t.Fatalf("%s, because %q; it should be %s, because %q\n%s", r.Outcome, r.Why, s.want, s.why, w.story())
			}
			if z.executed != s.executed || z.sent != s.sent {
				t.Errorf("%d refreshes executed and %d sent; it should be %d and %d\n%s", z.executed, z.sent, s.executed, s.sent, w.story())
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

// noWorkers makes tasks wait in one queue.
func noWorkers(queue string, d time.Duration) func(*task) time.Duration {
	return func(t *task) time.Duration {
		if t.options.TaskQueue == queue {
			return d
		}
		return 0
	}
}

// Promise 3 at every moment: after a cancel before the signature nothing is
// ever sent, and a cancel after it stops nothing.
func TestZoneCancelledAtEveryMoment(t *testing.T) {
	shapes := map[string]func(w *world, z *edgeZone, in *workflows.ZoneIn){
		"good path": func(w *world, _ *edgeZone, in *workflows.ZoneIn) {
			in.Proofs, in.Baseline = nil, ""
			w.queued = noWorkers(workflows.RefreshQueue(account), 300*time.Millisecond)
		},
		"lost request": func(_ *world, z *edgeZone, _ *workflows.ZoneIn) { z.refresh = []refreshing{unanswered(-1)} },
		"lost answer":  func(_ *world, z *edgeZone, _ *workflows.ZoneIn) { z.refresh = []refreshing{unanswered(0)} },
		"late landing": func(_ *world, z *edgeZone, _ *workflows.ZoneIn) {
			z.refresh = []refreshing{unanswered(150 * time.Second)}
		},
		"lost worker": func(_ *world, z *edgeZone, _ *workflows.ZoneIn) {
			z.refresh = []refreshing{workerLost(20 * time.Second)}
		},
		"a host that is away": func(w *world, _ *edgeZone, _ *workflows.ZoneIn) { w.machines["h1"].down(noon, 25*time.Second) },
		"unread for some while": func(_ *world, z *edgeZone, _ *workflows.ZoneIn) {
			z.refresh, z.read = []refreshing{unanswered(0)}, []reading{unread(false, false)}
		},
	}
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			for _, at := range moments(32 * time.Second) {
				w := newWorld(t, 1, 2, 2)
				in := w.zoneIn(theZone)
				in.Campaign, in.Shard = "c", workflows.ShardID("c", 1)
				z := w.zones[theZone]
				shape(w, z, &in)
				sentBefore, over := -1, false
				w.after(at, func() {
					_, over = w.records[theZone]
					sentBefore = z.sent
					w.env.CancelWorkflow()
				})
				r := w.rotate(in)
				kept := w.told(theZone, func(n heard) bool { return n.Kept })
				switch {
				case over || sentBefore < 0:
				case sentBefore == 0 && (r.Outcome != rotation.Pending || z.sent > 0 || kept):
					t.Errorf("cancelled after %s, before anything was sent: %s (%s), %d sent, kept %t\n%s", at, r.Outcome, r.Why, z.sent, kept, w.story())
				case sentBefore > 0 && z.sent != sentBefore:
					t.Errorf("cancelled after %s: another refresh was sent\n%s", at, w.story())
				case sentBefore > 0 && !kept && r.EndedAt.Sub(noon) > at+time.Second:
					t.Errorf("cancelled after %s, when a refresh had been sent: it did not say that it goes on\n%s", at, w.story())
				case sentBefore > 0 && r.Outcome != rotation.Done && r.Outcome != rotation.Unchanged:
					t.Errorf("cancelled after %s, when a refresh had been sent: %s (%s)\n%s", at, r.Outcome, r.Why, w.story())
				}
				if t.Failed() {
					return
				}
			}
		})
	}
}

// moments are close together at first, and farther apart later.
func moments(until time.Duration) []time.Duration {
	var all []time.Duration
	for at := time.Millisecond; at < until; at += max(25*time.Millisecond, at/12) {
		all = append(all, at)
	}
	return all
}

func TestZoneOrders(t *testing.T) {
	retire := workflows.ZoneOrder{Retire: "h2", Reason: "scrapped"}
	skip := workflows.ZoneOrder{Skip: true, Reason: "not this one"}
	for _, s := range []struct {
		name  string
		set   func(w *world, z *edgeZone, in *workflows.ZoneIn)
		order workflows.ZoneOrder
		at    time.Duration
		want  rotation.Outcome
		why   string
		sent  int
		ends  time.Duration // within
	}{
		{
			name: "retire the host that is waited for", order: retire, at: 2 * time.Minute, want: rotation.Done, why: "host h2 retired: scrapped", sent: 1, ends: 2*time.Minute + 30*time.Second, // the longest back-off
			set: func(w *world, _ *edgeZone, _ *workflows.ZoneIn) { w.machines["h2"].down(noon, forever) },
		},
		{
			name: "retire a host before the refresh", order: retire, at: 50 * time.Millisecond, want: rotation.Done, why: "retired", sent: 1, ends: time.Minute,
			set: func(w *world, _ *edgeZone, _ *workflows.ZoneIn) { w.machines["h2"].down(noon, forever) },
		},
		{
			name: "retire the only host: skipped", order: retire, at: 2 * time.Minute, want: rotation.Skipped, why: "every host is retired", sent: 1, ends: 3 * time.Minute,
			set: func(w *world, z *edgeZone, in *workflows.ZoneIn) {
				z.hosts = z.hosts[1:]
				in.Hosts, in.Proofs = in.Hosts[1:], in.Proofs[1:]
				w.machines["h2"].down(noon, forever)
			},
		},
		{
			// Its shard turns this into skipped. Without a shard it ends as any
			// cancelled zone.
			name: "skip before the refresh", order: skip, at: 30 * time.Millisecond, want: rotation.Pending, why: "nothing was sent", ends: time.Second,
			set: func(w *world, _ *edgeZone, _ *workflows.ZoneIn) {
				w.queued = noWorkers(workflows.RefreshQueue(account), time.Minute)
			},
		},
		{
			name: "skip an exposed zone", order: skip, at: time.Minute, want: rotation.Skipped, why: "skipped while 1 hosts are not known to hold the live key", sent: 1, ends: 2 * time.Minute,
			set: func(w *world, _ *edgeZone, _ *workflows.ZoneIn) { w.machines["h2"].down(noon, forever) },
		},
		{
			name: "skip while nobody knows whether the key changed: waits until it is known", order: skip, at: 12 * time.Second, want: rotation.Skipped, why: "not this one", sent: 1, ends: 10 * time.Minute,
			set: func(_ *world, z *edgeZone, _ *workflows.ZoneIn) {
				z.refresh = []refreshing{unanswered(15 * time.Second)}
			},
		},
	} {
		t.Run(s.name, func(t *testing.T) {
			w := newWorld(t, 1, 2, 2)
			in := w.zoneIn(theZone)
			z := w.zones[theZone]
			s.set(w, z, &in)
			w.after(s.at, func() {
				w.retired[s.order.Retire] = true
				w.env.SignalWorkflow(workflows.SignalZoneOrder, s.order)
			})
			r := w.rotate(in)
			if r.Outcome != s.want || !strings.Contains(r.Why, s.why) || z.sent != s.sent {
				t.Errorf("%s, because %q, %d sent\n%s", r.Outcome, r.Why, z.sent, w.story())
			}
			if took := r.EndedAt.Sub(noon); took > s.ends {
				t.Errorf("it took %s\n%s", took, w.story())
			}
		})
	}
}

// A zone that is started for hosts other than its own gives them no key,
// neither a new one nor the live one.
func TestZoneForOtherHosts(t *testing.T) {
	for verb, want := range map[rotation.Verb]rotation.Outcome{rotation.Rotate: rotation.Unchanged, rotation.Repair: rotation.Pending} {
		w := newWorld(t, 1, 3, 2)
		in := w.zoneIn("zone-01")
		in.Verb = verb
		in.Hosts = []rotation.HostRef{w.machines["h3"].ref}
		if verb == rotation.Repair {
			in.Baseline, w.zones["zone-01"].withheld = "", 1
		}
		r := w.rotate(in)
		if r.Outcome != want || !strings.Contains(r.Why, "the fleet file of this worker gives") || w.machines["h3"].puts > 0 || w.zones["zone-01"].sent > 0 {
			t.Errorf("%s: %s (%s)\n%s", verb, r.Outcome, r.Why, w.story())
		}
	}
}

// An exposed zone whose hosts may not get the key says so, and goes on as soon
// as they may.
func TestZoneExposedAndWithheld(t *testing.T) {
	w := newWorld(t, 1, 3, 2)
	z := w.zones["zone-01"]
	z.refresh, z.withheld = []refreshing{unanswered(0)}, 6
	var held *rotation.Trip
	w.after(20*time.Second, func() {
		answer, err := w.env.QueryWorkflow(workflows.QueryTrip)
		if err == nil {
			err = answer.Get(&held)
		}
		if err != nil {
			t.Error(err)
		}
	})
	r := w.rotate(w.zoneIn("zone-01"))
	if r.Outcome != rotation.Done || z.sent != 1 {
		t.Errorf("%s (%s), %d refreshes\n%s", r.Outcome, r.Why, z.sent, w.story())
	}
	if held == nil || len(held.Last) != 2 || held.Last[0].Problem != "it gets no key: the fleet file of this worker gives it to others" {
		t.Errorf("after 20 s: %+v\n%s", held, w.story())
	}
}

// Promise 4: a zone is not let go while a request that was given up can still
// land, whatever people order. The request would kill the key that all hosts
// hold, and nobody would be left to deliver the new one.
func TestZoneSkippedWhileARequestMayLand(t *testing.T) {
	w := newWorld(t, 1, 2, 2)
	z := w.zones[theZone]
	z.refresh = []refreshing{unanswered(200 * time.Second)}
	w.after(25*time.Second, func() {
		w.env.SignalWorkflow(workflows.SignalZoneOrder, workflows.ZoneOrder{Skip: true, Reason: "not this one"})
	})
	r := w.rotate(w.zoneIn(theZone))
	if len(z.landings) > 0 {
		t.Errorf("%s (%s), and a request is still on its way\n%s", r.Outcome, r.Why, w.story())
	}
}

func TestZoneTripQuery(t *testing.T) {
	w := newWorld(t, 1, 2, 2)
	w.machines["h2"].down(noon, time.Minute)
	var trip rotation.Trip
	w.after(40*time.Second, func() {
		answer, err := w.env.QueryWorkflow(workflows.QueryTrip)
		if err != nil {
			t.Error(err)
			return
		}
		if err := answer.Get(&trip); err != nil {
			t.Error(err)
		}
	})
	w.rotate(w.zoneIn(theZone))
	if trip.Phase != rotation.PhaseDeliver || len(trip.Acks) != 1 || fmt.Sprint(trip.Missing()) != "[h2]" {
		t.Errorf("%+v", trip)
	}
}

// The gaps between a zone's deliveries are its own: none is the back-off to the millisecond.
func TestZoneRetriesAreSpread(t *testing.T) {
	w := newWorld(t, 1, 1, 1)
	w.machines["h1"].down(noon, 20*time.Second)
	w.rotate(w.zoneIn(theZone))
	rounds := w.happened(workflows.ActDeliver)
	if len(rounds) < 4 {
		t.Fatalf("%d rounds", len(rounds))
	}
	// The second round waits for nothing.
	wait := rounds[2].at.Sub(rounds[1].at) - rounds[1].at.Sub(rounds[0].at)
	if wait < 750*time.Millisecond || wait >= 1250*time.Millisecond || wait == time.Second {
		t.Errorf("the third round waits %s", wait)
	}
}
