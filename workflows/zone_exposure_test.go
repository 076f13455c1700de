package workflows_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.temporal.io/api/enums/v1"
	sdkpb "go.temporal.io/api/sdk/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"keywave/activities"
	"keywave/internal/rotation"
	"keywave/workflows"
)

// hanging is a read that only its timeout ends.
func hanging(ctx workflow.Context, t *task, _ *edgeZone, _ activities.ReadIn) (any, error) {
	_ = workflow.Sleep(ctx, t.options.StartToCloseTimeout)
	return nil, temporal.NewTimeoutError(enums.TIMEOUT_TYPE_START_TO_CLOSE, nil)
}

// inQueue makes the tasks of an activity wait in their queue from that time on.
func inQueue(w *world, name string, from, wait time.Duration) func(*task) time.Duration {
	return func(t *task) time.Duration {
		if t.name == name && w.env.Now().Sub(noon) >= from {
			return wait
		}
		return 0
	}
}

// Promise 3: whatever a zone waits for, it counts as exposed from exposedAfter
// on, if a refresh may have been sent and no read since shows the key that the
// hosts hold. It never waits longer than deliverFor.
func TestZoneIsCountedWhateverItWaitsFor(t *testing.T) {
	const mark = 30*time.Second + 100*time.Millisecond // a request is signed after 100 ms
	for _, c := range []struct {
		name string
		set  func(w *world, z *edgeZone, in *workflows.ZoneIn)
		// exposed is when the zone must tell that it is exposed (zero for never),
		// and with which standing.
		exposed time.Duration
		stands  rotation.Standing
		why     string
		alone   bool // a person started it, without a shard
		want    rotation.Outcome
		ends    time.Duration
	}{
		{
			name: "nobody takes its read-backs", exposed: mark, stands: rotation.Dark, want: rotation.Unknown, ends: 6 * time.Minute,
			why: "EdgeOne does not say which key is live: the old one may be dead",
			set: func(w *world, z *edgeZone, _ *workflows.ZoneIn) {
				z.refresh, w.queued = []refreshing{unanswered(0)}, inQueue(w, workflows.ActRead, 0, forever)
			},
		},
		{
			name: "every read-back hangs", exposed: mark, stands: rotation.Dark, want: rotation.Unknown, ends: 6 * time.Minute,
			set: func(_ *world, z *edgeZone, _ *workflows.ZoneIn) {
				z.refresh, z.read = []refreshing{unanswered(0)}, slices.Repeat([]reading{hanging}, 100)
			},
		},
		{
			name: "the key cannot be sealed anew", exposed: mark, stands: rotation.Dead, want: rotation.Exposed, ends: 6 * time.Minute,
			why: "the old key is dead, h2 lacks the new one: the sealed key cannot be opened",
			set: func(w *world, _ *edgeZone, _ *workflows.ZoneIn) {
				w.unopened["eu"], w.queued = 1000, inQueue(w, workflows.ActRead, 0, forever)
			},
		},
		{
			name: "a host does not answer", exposed: mark, stands: rotation.Dead, want: rotation.Exposed, ends: 6 * time.Minute,
			why: "the old key is dead, h2 lacks the new one: connect: no route",
			set: func(w *world, _ *edgeZone, _ *workflows.ZoneIn) { w.machines["h2"].down(noon, forever) },
		},
		{
			name: "its first delivery takes longer than exposedAfter", exposed: 2100 * time.Millisecond, stands: rotation.Dead, want: rotation.Done, ends: time.Minute,
			why: "the old key is dead, h1 and h2 lack the new one",
			set: func(w *world, _ *edgeZone, in *workflows.ZoneIn) {
				in.Timing.ExposedAfter, w.took.put = rotation.Span(2*time.Second), 5*time.Second
			},
		},
		{
			name: "a person's refresh that has begun is not answered", alone: true, exposed: 30 * time.Second, stands: rotation.Dark, want: rotation.Done, ends: time.Minute,
			why: "EdgeOne does not say which key is live: the old one may be dead",
			set: func(_ *world, z *edgeZone, _ *workflows.ZoneIn) { z.refresh = []refreshing{slow(50 * time.Second)} },
		},
		{
			name: "a person's refresh waits in its queue", alone: true, want: rotation.Done, ends: time.Minute,
			set: func(w *world, _ *edgeZone, _ *workflows.ZoneIn) {
				w.queued = inQueue(w, workflows.ActRefresh, 0, 50*time.Second)
			},
		},
		{
			name: "a person's refresh is rejected again and again before it is executed", alone: true, want: rotation.Done, ends: time.Minute,
			set: func(w *world, z *edgeZone, _ *workflows.ZoneIn) {
				w.says, z.refresh = "EdgeOne rejects the time of the signature", []refreshing{rejectedFor(50 * time.Second)}
			},
		},
		{
			name: "a refresh of which its shard says that it has begun", exposed: 35 * time.Second, stands: rotation.Dark, want: rotation.Done, ends: time.Minute,
			set: func(w *world, z *edgeZone, _ *workflows.ZoneIn) {
				z.refresh = []refreshing{slow(50 * time.Second)}
				w.after(20*time.Second, func() {
					w.env.SignalWorkflow(workflows.SignalZoneOrder, workflows.ZoneOrder{Begun: noon.Add(5 * time.Second)})
				})
			},
		},
		{
			name: "a refresh that waits in a process which was only silent for a while", want: rotation.Done, ends: time.Minute,
			set: func(w *world, z *edgeZone, _ *workflows.ZoneIn) {
				w.heard = true
				toldByMistake(w, z)
			},
		},
		{
			name: "a refresh that waited in a process which is not heard again", exposed: 31 * time.Second, stands: rotation.Dark, want: rotation.Done, ends: time.Minute,
			set: func(w *world, z *edgeZone, _ *workflows.ZoneIn) { toldByMistake(w, z) },
		},
		{
			name: "a refresh that waits in its queue", want: rotation.Done, ends: time.Minute,
			set: func(w *world, _ *edgeZone, _ *workflows.ZoneIn) {
				w.queued = inQueue(w, workflows.ActRefresh, 0, 50*time.Second)
			},
		},
		{
			name: "a second refresh that has begun is not answered", exposed: 20*time.Second + 350*time.Millisecond + 30*time.Second, stands: rotation.Dark, want: rotation.Done, ends: 10 * time.Minute,
			set: func(_ *world, z *edgeZone, _ *workflows.ZoneIn) {
				z.refresh = []refreshing{unanswered(-1), slow(50 * time.Second)}
			},
		},
		{
			name: "after a read that showed the old key it only settles, proves and waits in a queue", want: rotation.Done, ends: 10 * time.Minute,
			set: func(w *world, z *edgeZone, in *workflows.ZoneIn) {
				z.refresh, in.Timing.Settle = []refreshing{unanswered(-1)}, rotation.Span(40*time.Second)
				w.queued = func(t *task) time.Duration {
					if w.env.Now().Sub(noon) > 40*time.Second && (t.name == workflows.ActProve || t.name == workflows.ActRefresh) {
						return 40 * time.Second
					}
					return 0
				}
			},
		},
		{
			name: "held after a read that showed the live key", want: rotation.Done, ends: 10 * time.Minute,
			set: func(_ *world, z *edgeZone, _ *workflows.ZoneIn) { z.refresh = []refreshing{unanswered(-1)} },
		},
		{
			name: "a verification that nobody takes, after every host acknowledged", want: rotation.Unknown, ends: 6 * time.Minute,
			set: func(w *world, _ *edgeZone, _ *workflows.ZoneIn) { w.queued = inQueue(w, workflows.ActRead, 0, forever) },
		},
		{
			name: "EdgeOne goes on showing a key already replaced", exposed: mark, stands: rotation.Dark, want: rotation.Unknown, ends: 6 * time.Minute,
			set: func(_ *world, z *edgeZone, _ *workflows.ZoneIn) { z.read = slices.Repeat([]reading{readStale(1)}, 100) },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, 1, 2, 2)
			in := w.zoneIn(theZone)
			in.Timing.DeliverFor = rotation.Span(5 * time.Minute)
			in.Campaign, in.Shard = "c", workflows.ShardID("c", 1)
			if c.alone {
				in.Campaign, in.Shard = "", ""
			}
			c.set(w, w.zones[theZone], &in)
			r := w.rotate(in)
			if r.Outcome != c.want || r.EndedAt.Sub(noon) > c.ends {
				t.Errorf("%s after %s (%s)", r.Outcome, r.EndedAt.Sub(noon), r.Why)
			}
			if at := w.countedExposed(); at != c.exposed {
				t.Errorf("the list of workflows has it as exposed after %s; it must be %s", at, c.exposed)
			}
			// Whoever counts the account's exposed zones finds it when it ended so, or
			// when it ended and nobody knows which key is live.
			end := w.attrs[len(w.attrs)-1]
			counts := r.Outcome == rotation.Exposed || r.Outcome == rotation.Unknown && c.exposed > 0
			if counts != (end.account == string(in.Account)) && r.Outcome != rotation.Done {
				t.Errorf("it ended %s, and the list has it for account %q", end.value, end.account)
			}
			if !c.alone {
				w.judgeNews(c.exposed, c.stands, c.why)
			}
			if t.Failed() {
				t.Log(w.story())
			}
		})
	}
}

// countedExposed is when the zone's search attribute first said exposed. It is
// zero for never.
func (w *world) countedExposed() time.Duration {
	for _, a := range w.attrs[:len(w.attrs)-1] { // the last one is its end
		if a.value == string(rotation.Exposed) {
			return a.at.Sub(noon)
		}
	}
	return 0
}

// judgeNews: the zone told that it is exposed at that time. If it was still
// exposed ten seconds later, it told that it gives its slot back.
func (w *world) judgeNews(exposed time.Duration, stands rotation.Standing, why string) {
	w.Helper()
	news := w.newsOf(theZone)
	i := slices.IndexFunc(news, func(n heard) bool { return n.Exposed })
	switch {
	case i < 0 && exposed > 0:
		w.Errorf("it never told that it is exposed: %v", news)
	case i < 0:
	case news[i].at != exposed || news[i].Standing != stands || why != "" && news[i].Why != why:
		w.Errorf("it told %s, %s, %q", news[i].at, news[i].Standing, news[i].Why)
	case news[i].Since.Sub(noon) > exposed || news[i].Since.IsZero():
		w.Errorf("it is exposed since %s", news[i].Since)
	}
	stayed := len(w.records) > 0 && w.records[theZone].EndedAt.Sub(noon) > exposed+10*time.Second
	for _, n := range news { // unless the exposure had ended by then
		stayed = stayed && (n.Exposed || n.at < exposed || n.at > exposed+10*time.Second)
	}
	if exposed > 0 && stayed && !slices.ContainsFunc(news, func(n heard) bool { return n.at == exposed+10*time.Second && n.Loose }) {
		w.Errorf("it did not give its slot back ten seconds later: %v", news)
	}
	for _, n := range news {
		if n.Exposed && n.at >= exposed+10*time.Second && !n.Loose {
			w.Errorf("it kept its slot at %s: %+v", n.at, n)
		}
	}
}

// rejectedFor is a refresh that EdgeOne rejects for that long before it
// executes it.
// toldByMistake tells the zone that its refresh has begun, which waits for its turn.
func toldByMistake(w *world, z *edgeZone) {
	w.says, z.refresh = "EdgeOne throttles", []refreshing{rejectedFor(50 * time.Second)}
	w.after(2*time.Second, func() {
		w.env.SignalWorkflow(workflows.SignalZoneOrder, workflows.ZoneOrder{Begun: noon.Add(time.Second)})
	})
}

func rejectedFor(d time.Duration) refreshing {
	return func(ctx workflow.Context, t *task, z *edgeZone, in activities.RefreshIn) (any, error) {
		_ = workflow.Sleep(ctx, d)
		t.world.machines["h1"].proved[z.id], t.world.machines["h2"].proved[z.id] = workflow.Now(ctx), workflow.Now(ctx)
		return refreshed(ctx, t, z, in)
	}
}

// An exposure that ends before the zone does is taken back, in the news and in
// the list of workflows.
func TestZoneExposureIsTakenBack(t *testing.T) {
	w := newWorld(t, 1, 2, 2)
	in := w.zoneIn(theZone)
	in.Campaign, in.Shard = "c", workflows.ShardID("c", 1)
	z := w.zones[theZone]
	z.refresh = []refreshing{unanswered(-1)}
	w.queued = func(t *task) time.Duration { // nobody reads for a while
		if t.name == workflows.ActRead {
			return max(0, noon.Add(45*time.Second).Sub(w.env.Now()))
		}
		return 0
	}
	if r := w.rotate(in); r.Outcome != rotation.Done {
		t.Errorf("%s (%s)", r.Outcome, r.Why)
	}
	var values []string
	for _, a := range w.attrs {
		values = append(values, a.value)
	}
	if !slices.Equal(values, []string{"exposed", "", "held", "done"}) {
		t.Errorf("search attributes: %q\n%s", values, w.story())
	}
	news := w.newsOf(theZone)
	i := slices.IndexFunc(news, func(n heard) bool { return n.Exposed })
	if i < 0 || !slices.ContainsFunc(news[i:], func(n heard) bool { return !n.Exposed && n.Standing == rotation.Alive }) || news[len(news)-1].Standing != rotation.Held {
		t.Errorf("news: %v\n%s", news, w.story())
	}
}

// A zone without trouble sends no news and has no timer of its own.
func TestZoneGoodPathCostsNoTimer(t *testing.T) {
	w := newWorld(t, 1, 2, 2)
	in := w.zoneIn(theZone)
	in.Campaign, in.Shard = "c", workflows.ShardID("c", 1)
	var own []time.Duration
	w.env.SetOnTimerScheduledListener(func(_ string, d time.Duration) {
		if d > 200*time.Millisecond { // those of the world are shorter
			own = append(own, d)
		}
	})
	w.rotate(in)
	if len(own) > 0 || len(w.newsOf(theZone)) > 0 {
		t.Errorf("timers of %v, news %v", own, w.newsOf(theZone))
	}
}

// The key of a held zone is read again and again: a request that lands late is
// an outage from then on, and its key is delivered at once.
func TestZoneHeldIsLookedAt(t *testing.T) {
	for _, lands := range []time.Duration{25 * time.Second, 60 * time.Second, 150 * time.Second, 299 * time.Second} {
		t.Run(lands.String(), func(t *testing.T) {
			w := newWorld(t, 1, 2, 2)
			in := w.zoneIn(theZone)
			in.Campaign, in.Shard = "c", workflows.ShardID("c", 1)
			w.zones[theZone].refresh = []refreshing{unanswered(lands)}
			r := w.rotate(in)
			if r.Outcome != rotation.Done {
				t.Fatalf("%s (%s)\n%s", r.Outcome, r.Why, w.story())
			}
			puts := w.happened("put")
			if dark := puts[len(puts)-1].at.Sub(noon) - lands; dark > 31*time.Second {
				t.Errorf("it was dead for %s\n%s", dark, w.story())
			}
			if r.API.Describe > 20 {
				t.Errorf("it was read %d times", r.API.Describe)
			}
		})
	}
}

// If such a read fails, the zone stays held, whatever the reason, and the next
// read comes at its own time.
func TestZoneHeldThatCannotBeLookedAt(t *testing.T) {
	for name, failing := range map[string]reading{"refused": unread(true, true), "for a while": unread(false, false)} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1, 2, 2)
			in := w.zoneIn(theZone)
			z := w.zones[theZone]
			z.refresh = []refreshing{unanswered(-1)}
			z.read = slices.Concat(slices.Repeat([]reading{readLive}, 3), slices.Repeat([]reading{failing}, 8))
			r := w.rotate(in)
			if r.Outcome != rotation.Done || r.Halt || r.EndedAt.Sub(noon) < 300*time.Second {
				t.Errorf("%s (%s) after %s, halt %t\n%s", r.Outcome, r.Why, r.EndedAt.Sub(noon), r.Halt, w.story())
			}
			if w.runs[workflows.ActRead] > 16 {
				t.Errorf("it was read %d times\n%s", w.runs[workflows.ActRead], w.story())
			}
		})
	}
}

// A zone that has sent nothing ends at once when it is cancelled, even if
// nobody polls the queue in which it waits.
func TestZoneCancelledThoughNobodyPolls(t *testing.T) {
	for _, name := range []string{workflows.ActProbe, workflows.ActProve, workflows.ActRead, workflows.ActRefresh} {
		for _, how := range []string{"cancel", "skip"} {
			t.Run(name+" "+how, func(t *testing.T) {
				w := newWorld(t, 1, 2, 2)
				in := w.zoneIn(theZone)
				in.Proofs, in.Baseline = nil, ""
				in.Campaign, in.Shard = "c", workflows.ShardID("c", 1)
				w.queued = inQueue(w, name, 0, forever)
				w.after(5*time.Second, func() {
					if how == "skip" {
						w.env.SignalWorkflow(workflows.SignalZoneOrder, workflows.ZoneOrder{Skip: true, Reason: "not this one"})
						return
					}
					w.env.CancelWorkflow()
				})
				r := w.rotate(in)
				if r.Outcome != rotation.Pending || r.Back != rotation.BackStopped || r.EndedAt.Sub(noon) > 6*time.Second || !strings.Contains(r.Why, "the old key is alive") {
					t.Errorf("%s (%s, %s) after %s\n%s", r.Outcome, r.Back, r.Why, r.EndedAt.Sub(noon), w.story())
				}
			})
		}
	}
}

// Without a worker a zone comes back unsent, and its record says of which kind
// that is.
func TestZoneHandedBackByKind(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(w *world, z *edgeZone, in *workflows.ZoneIn)
		want rotation.Handback
	}{
		{"nobody seals a probe", func(w *world, _ *edgeZone, in *workflows.ZoneIn) {
			in.Proofs, w.queued = nil, inQueue(w, workflows.ActProbe, 0, forever)
		}, rotation.BackNoWorker},
		{"nobody gives proofs", func(w *world, _ *edgeZone, in *workflows.ZoneIn) {
			in.Proofs, w.queued = nil, inQueue(w, workflows.ActProve, 0, forever)
		}, rotation.BackNoWorker},
		{"nobody reads the baseline", func(w *world, _ *edgeZone, in *workflows.ZoneIn) {
			in.Baseline, w.queued = "", inQueue(w, workflows.ActRead, 0, forever)
		}, rotation.BackNoWorker},
		{"nobody refreshes", func(w *world, _ *edgeZone, _ *workflows.ZoneIn) {
			w.queued = inQueue(w, workflows.ActRefresh, 0, forever)
		}, rotation.BackNoWorker},
		{"a host refuses its proof", func(w *world, _ *edgeZone, in *workflows.ZoneIn) {
			in.Proofs, w.machines["h2"].unproved = nil, []string{"disk full"}
		}, rotation.BackProof},
		{"EdgeOne is not reached", func(_ *world, z *edgeZone, _ *workflows.ZoneIn) {
			z.refresh = []refreshing{unreached}
		}, rotation.BackUnreached},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, 1, 2, 2)
			in := w.zoneIn(theZone)
			c.set(w, w.zones[theZone], &in)
			if r := w.rotate(in); r.Outcome != rotation.Pending || r.Back != c.want {
				t.Errorf("%s, %s (%s)\n%s", r.Outcome, r.Back, r.Why, w.story())
			}
		})
	}
}

func unreached(workflow.Context, *task, *edgeZone, activities.RefreshIn) (any, error) {
	return activities.RefreshOut{Sending: activities.NotSent, Why: "EdgeOne rejects the time of the signature", Back: rotation.BackUnreached, Again: true}, nil
}

// The refresh of a lost worker had begun, so one call may have been sent, and
// is counted.
func TestZoneCountsTheCallOfALostWorker(t *testing.T) {
	w := newWorld(t, 1, 2, 2)
	w.zones[theZone].refresh = []refreshing{workerLost(0)}
	if r := w.rotate(w.zoneIn(theZone)); r.API.Refresh != 1 {
		t.Errorf("%+v", r.API)
	}
}

// repaired sends the zone an order while it runs, and keeps the answer.
func (w *world) repaired(at time.Duration, o workflows.RepairOrder, answer *workflows.RepairAnswer, refused *error) {
	w.after(at, func() {
		w.env.UpdateWorkflow(workflows.UpdateRepair, fmt.Sprint(at), &told{accept: func() {}, reject: func(err error) { *refused = err }, done: func(v any, err error) {
			if err != nil {
				*refused = err
				return
			}
			*answer = v.(workflows.RepairAnswer)
		}}, o)
	})
}

type told struct {
	accept func()
	reject func(error)
	done   func(any, error)
}

func (t *told) Accept()                   { t.accept() }
func (t *told) Reject(err error)          { t.reject(err) }
func (t *told) Complete(v any, err error) { t.done(v, err) }

// An exposed zone can be repaired while it runs, with the present definitions
// of its hosts. A person must answer for these.
func TestZoneRepairedWhileItRuns(t *testing.T) {
	mended := func(w *world) []rotation.HostRef { // h2 has another definition now, with which it can be reached
		hosts := slices.Clone(w.zones[theZone].hosts)
		hosts[1].Digest = "mended"
		return hosts
	}
	t.Run("with changes accepted", func(t *testing.T) {
		w := newWorld(t, 1, 2, 2)
		w.machines["h2"].put = slices.Repeat([]putting{func(ctx workflow.Context, m *machine, z rotation.ZoneID, key string) (rotation.Ack, bool) {
			if w.digest == "mended" {
				return rotation.Ack{}, false
			}
			return failing(ctx, m, z, key)
		}}, 1000)
		in := w.zoneIn(theZone)
		var first, second workflows.RepairAnswer
		var refused error
		w.repaired(2*time.Minute, workflows.RepairOrder{Hosts: mended(w)}, &first, &refused)
		w.repaired(3*time.Minute+time.Second, workflows.RepairOrder{Hosts: mended(w), AcceptChanges: true, By: "mira", Reason: "wrong reload"}, &second, &refused)
		r := w.rotate(in)
		if refused != nil || len(first.Differences) != 1 || !strings.Contains(first.Differences[0], "h2 is defined otherwise") || !strings.Contains(first.Text, "--accept-changes") {
			t.Errorf("%v, %+v", refused, first)
		}
		if len(second.Differences) != 1 || second.Record == nil || len(second.Record.Missing) != 1 {
			t.Errorf("%+v", second)
		}
		if r.Outcome != rotation.Done || !strings.Contains(r.Why, "mira accepted other definitions") || !strings.Contains(r.Why, "wrong reload") {
			t.Errorf("%s (%s)\n%s", r.Outcome, r.Why, w.story())
		}
		if took := r.EndedAt.Sub(noon); took > 3*time.Minute+3*time.Second {
			t.Errorf("it waited out its back-off: %s\n%s", took, w.story())
		}
		if w.zones[theZone].sent != 1 || w.digest != "mended" {
			t.Errorf("%d refreshes; h2 was delivered by definition %q", w.zones[theZone].sent, w.digest)
		}
	})
	t.Run("the delivery is woken", func(t *testing.T) {
		w := newWorld(t, 1, 2, 2)
		w.machines["h2"].down(noon, 121*time.Second)
		var answer workflows.RepairAnswer
		var refused error
		w.repaired(122*time.Second, workflows.RepairOrder{Hosts: w.zones[theZone].hosts}, &answer, &refused)
		if r := w.rotate(w.zoneIn(theZone)); r.Outcome != rotation.Done || r.EndedAt.Sub(noon) > 123*time.Second || refused != nil || len(answer.Differences) > 0 {
			t.Errorf("%s after %s; %v %+v\n%s", r.Outcome, r.EndedAt.Sub(noon), refused, answer, w.story())
		}
	})
	for name, c := range map[string]struct {
		at    time.Duration
		order workflows.RepairOrder
		why   string
	}{
		"nothing was sent yet":  {time.Second, workflows.RepairOrder{}, "the old key is alive"},
		"nobody answers for it": {20 * time.Second, workflows.RepairOrder{AcceptChanges: true, Hosts: []rotation.HostRef{{Name: "h1"}}}, "--reason"},
		"it names no host":      {20 * time.Second, workflows.RepairOrder{AcceptChanges: true, By: "mira", Reason: "x"}, "names no host"},
	} {
		t.Run("refused, because "+name, func(t *testing.T) {
			w := newWorld(t, 1, 2, 2)
			w.queued = inQueue(w, workflows.ActRefresh, 0, 5*time.Second)
			w.machines["h2"].down(noon, time.Minute)
			var answer workflows.RepairAnswer
			var refused error
			w.repaired(c.at, c.order, &answer, &refused)
			w.rotate(w.zoneIn(theZone))
			if refused == nil || !strings.Contains(refused.Error(), c.why) {
				t.Errorf("%v", refused)
			}
		})
	}
}

// A retired host is in the record with what was last seen on it.
func TestZoneRecordsRetiredHosts(t *testing.T) {
	w := newWorld(t, 1, 2, 2)
	w.machines["h2"].files[theZone] = "a stranger's"
	w.machines["h2"].put = []putting{nil, failing, failing, failing, failing, failing, failing, failing, failing}
	in := w.zoneIn(theZone)
	w.machines["h2"].put[0] = func(ctx workflow.Context, m *machine, zone rotation.ZoneID, _ string) (rotation.Ack, bool) {
		held := w.zones[zone].print(m.files[zone])
		return rotation.Ack{Host: "h2", At: workflow.Now(ctx).UTC(), Held: held, Refused: true, Problem: "holds another key"}, true
	}
	w.after(20*time.Second, func() {
		w.retired["h2"] = true
		w.env.SignalWorkflow(workflows.SignalZoneOrder, workflows.ZoneOrder{Retire: "h2", Reason: "scrapped"})
	})
	r := w.rotate(in)
	want := []rotation.HostHeld{{Host: "h2", Held: w.zones[theZone].print("a stranger's")}}
	if r.Outcome != rotation.Done || !slices.Equal(r.Retired, want) || len(r.Acks) != 1 || len(r.Missing) > 0 {
		t.Errorf("%+v\n%s", r, w.story())
	}
}

// A repair keeps its acknowledgements too, even if nobody knows when the
// exposure began.
func TestZoneRepairKeepsItsAcknowledgements(t *testing.T) {
	w := newWorld(t, 1, 2, 2)
	in := w.zoneIn(theZone)
	in.Verb, in.Proofs, in.Baseline = rotation.Repair, nil, ""
	if r := w.rotate(in); len(r.Acks) != 2 || r.ExposureMs != 0 || r.Acks[0].Ms != 0 {
		t.Errorf("%+v", r)
	}
}

// A shard that newly has to do with a zone hears where it stands.
func TestZoneTellsAgain(t *testing.T) {
	w := newWorld(t, 1, 2, 2)
	w.machines["h2"].down(noon, 2*time.Minute)
	in := w.zoneIn(theZone)
	in.Campaign, in.Shard = "c", workflows.ShardID("c", 1)
	w.after(90*time.Second, func() { w.env.SignalWorkflow(workflows.SignalZoneOrder, workflows.ZoneOrder{Tell: true}) })
	w.rotate(in)
	if !w.told(theZone, func(n heard) bool {
		return n.at == 90*time.Second && n.Exposed && n.Loose && n.Standing == rotation.Dead
	}) {
		t.Errorf("%v\n%s", w.newsOf(theZone), w.story())
	}
}

// What the zone waits for is shown in the Temporal UI, with since when and
// until when.
func TestZoneDetailsSayWhatItWaitsFor(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(w *world, z *edgeZone)
		at   time.Duration
		want []string
	}{
		{"held", func(_ *world, z *edgeZone) { z.refresh = []refreshing{unanswered(-1)} }, time.Minute, []string{"a lost request may still land", "until 12:05:1"}},
		{"dark", func(w *world, z *edgeZone) {
			z.refresh, w.queued = []refreshing{unanswered(0)}, inQueue(w, workflows.ActRead, 0, forever)
		}, time.Minute, []string{"Since 12:00:00 UTC: EdgeOne does not say which key is live", "until 13:00", "exposed"}},
		{"dead", func(w *world, _ *edgeZone) { w.machines["h2"].down(noon, forever) }, time.Minute, []string{"clients of h2 may be locked out", "until 13:00"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, 1, 2, 2)
			c.set(w, w.zones[theZone])
			var text string
			w.after(c.at, func() {
				answer, err := w.env.QueryWorkflow("__temporal_workflow_metadata")
				if err != nil {
					t.Error(err)
					return
				}
				var metadata sdkpb.WorkflowMetadata
				if err := answer.Get(&metadata); err != nil {
					t.Error(err)
				}
				text = metadata.CurrentDetails
			})
			w.rotate(w.zoneIn(theZone))
			for _, want := range c.want {
				if !strings.Contains(text, want) {
					t.Errorf("%q is missing in:\n%s", want, text)
				}
			}
		})
	}
}
