package workflows_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"keywave/activities"
	"keywave/internal/rotation"
	"keywave/workflows"
)

// What workers do for the strategy staged.

// onMint behaves as activities.EdgeOne.Mint does.
func (w *world) onMint(ctx workflow.Context, t *task, in activities.MintIn) (any, error) {
	now := workflow.Now(ctx)
	z := w.zone(in.Zone, now)
	if why := rotation.Holders(z.hosts).Match(z.id, in.Hosts, in.Retired); why != "" {
		return activities.MintOut{Why: why, Code: "FleetDiffers"}, nil
	}
	if in.Former != nil {
		key, why := w.former(z, in.Baseline, *in.Former, now)
		if why != "" {
			return activities.MintOut{Why: why, Code: "FormerKey"}, nil
		}
		return activities.MintOut{Key: z.print(key), Minted: now.UTC(), Sealed: seal(in.Hosts, z.id, key)}, nil
	}
	key := fmt.Sprintf("minted %d for %s", z.minted+1, z.id)
	out := activities.MintOut{Key: z.print(key), Minted: now.UTC(), Kept: []byte(key), Sealed: seal(in.Hosts, z.id, key)}
	if in.RollbackFor > 0 && w.rollbackFor == 0 {
		out.Note = "the former key was not kept: rollbackFor is 0"
	} else if in.RollbackFor > 0 {
		answer, err := z.nextRead()(ctx, t, z, activities.ReadIn{Zone: in.Zone})
		if err != nil {
			return nil, err
		}
		switch read := answer.(activities.ReadOut); {
		case read.Problem != "":
			return activities.MintOut{Why: read.Problem, Code: read.Code, Halt: read.Halt, API: read.API}, nil
		case read.Key != in.Baseline:
			return activities.MintOut{Live: read.Key, API: read.API}, nil
		default:
			f := rotation.Former{Key: read.Key, For: out.Key, At: now.UTC(), Until: now.UTC().Add(min(w.rollbackFor, in.RollbackFor.D()))}
			f.Kept = []byte(keptAs(z, f) + z.live())
			out.Former, out.API = &f, read.API
		}
	}
	z.minted++
	w.log(now, "minted", z.id, key)
	return out, nil
}

// keptAs stands in for the seal of a former key, which is bound to all of this.
func keptAs(z *edgeZone, f rotation.Former) string {
	return fmt.Sprintf("%s|%s|%s|%s|", z.id, f.For, f.At.Format(time.RFC3339Nano), f.Until.Format(time.RFC3339Nano))
}

// former is a key that may be put back in the place of another one, or why it may not.
func (w *world) former(z *edgeZone, live rotation.Fingerprint, f rotation.Former, now time.Time) (key, why string) {
	key, opens := strings.CutPrefix(string(f.Kept), keptAs(z, f))
	switch {
	case w.rollbackFor == 0, !now.Before(f.Until), !now.Before(f.At.Add(w.rollbackFor)):
		return "", "the former key could be used until then"
	case f.For != live:
		return "", "the former key was kept to replace another key"
	case !opens:
		return "", "the former key cannot be opened"
	}
	return key, ""
}

func (w *world) onStage(ctx workflow.Context, t *task, in activities.StageIn) (any, error) {
	if !t.sleep(ctx, w.took.put) {
		return nil, temporal.NewCanceledError()
	}
	l, now := in.Hosts[0].Location, workflow.Now(ctx)
	out := activities.StageOut{At: now.UTC(), Queue: ownQueue(l)}
	key, ok := opened(l, in.Zone, in.Sealed)
	if !ok || w.zones[in.Zone].print(key) != in.Key {
		return activities.StageOut{Unopened: "the sealed key cannot be opened"}, nil
	}
	for _, h := range in.Hosts {
		m, ack := w.machines[h.Name], rotation.Ack{Host: h.Name, At: now.UTC()}
		switch {
		case m.isDown(now):
			ack.Problem = "connect: no route"
		case len(m.unproved) > 0:
			ack.Problem, m.unproved = m.unproved[0], m.unproved[1:]
		default:
			m.beside[in.Zone], m.proved[in.Zone] = key, now
			ack.Held = w.zones[in.Zone].print(m.files[in.Zone])
		}
		w.log(now, "staged", in.Zone, string(h.Name)+" "+ack.Problem)
		out.Acks = append(out.Acks, ack)
	}
	return out, nil
}

// onSwitch is a refresh that brings a key. Each host must have it, unless the trip has
// nothing to stage there.
func (w *world) onSwitch(ctx workflow.Context, t *task, in activities.SwitchIn) (any, error) {
	z := w.zone(in.Zone, workflow.Now(ctx))
	z.brings = string(in.Kept)
	var before rotation.API
	if in.Former != nil {
		instead, err := w.stillLive(ctx, t, z, in)
		if err != nil || instead.Sending != "" {
			return instead, err
		}
		before = instead.API
	}
	if z.print(z.brings) != in.Key || in.Baseline == "" || in.Minted.IsZero() {
		w.Errorf("%s is to be switched to what was not minted: %+v", z.id, in)
	}
	for _, h := range in.Hosts {
		if w.machines[h.Name].beside[in.Zone] != z.brings {
			w.Errorf("%s is switched, and %s has not the key\n%s", z.id, h.Name, w.story())
		}
	}
	done, err := w.onRefresh(ctx, t, activities.RefreshIn{
		Zone: in.Zone, Hosts: in.Hosts, Retired: in.Retired, ProvedAt: in.StagedAt, ProofFor: in.ProofFor, ClosesAt: in.ClosesAt, Straight: in.Straight, Expect: in.Expect,
	})
	out, is := done.(activities.RefreshOut)
	if !is {
		return done, err
	}
	out.Sealed = nil
	out.API.Modify, out.API.Refresh = out.API.Refresh, 0
	out.API = out.API.Plus(before)
	return out, err
}

// stillLive lets a former key be brought, if it may be and EdgeOne holds the key that it
// may replace.
func (w *world) stillLive(ctx workflow.Context, t *task, z *edgeZone, in activities.SwitchIn) (activities.RefreshOut, error) {
	key, why := w.former(z, in.Baseline, *in.Former, workflow.Now(ctx))
	if why != "" {
		return activities.RefreshOut{Sending: activities.Refused, Why: why, Code: "FormerKey"}, nil
	}
	z.brings = key
	answer, err := z.nextRead()(ctx, t, z, activities.ReadIn{Zone: z.id})
	if err != nil {
		return activities.RefreshOut{}, err
	}
	read := answer.(activities.ReadOut)
	out := activities.RefreshOut{API: read.API}
	switch {
	case read.Problem != "":
		out.Sending, out.Why, out.Back, out.Again = activities.NotSent, read.Problem, rotation.BackUnreached, true
	case read.Key != in.Former.For:
		out.Sending, out.Why, out.Code = activities.Refused, "EdgeOne holds another key than the former one may replace", "FormerKey"
	}
	return out, nil
}

func (w *world) onUnstage(ctx workflow.Context, in activities.UnstageIn) (any, error) {
	var out activities.UnstageOut
	for _, h := range in.Hosts {
		if w.machines[h.Name].isDown(workflow.Now(ctx)) {
			out.Left = append(out.Left, h.Name)
			continue
		}
		delete(w.machines[h.Name].beside, in.Zone)
	}
	return out, nil
}

// somebody makes a key in the console.
func somebody(z *edgeZone) {
	brings := z.brings
	z.brings = ""
	z.newKey()
	z.brings = brings
}

func stagedStories() []zoneStory {
	lost := func(lands ...time.Duration) func(*world, *edgeZone, *workflows.ZoneIn) {
		return func(_ *world, z *edgeZone, _ *workflows.ZoneIn) {
			for _, l := range lands {
				z.refresh = append(z.refresh, unanswered(l))
			}
		}
	}
	return []zoneStory{
		{
			name: "all goes well: one switch, one read", want: rotation.Done, executed: 1, sent: 1,
			check: func(t *testing.T, w *world, r rotation.Record) {
				if r.API != (rotation.API{Modify: 1, Describe: 1}) {
					t.Errorf("calls: %+v", r.API)
				}
				if w.runs[workflows.ActStage] != 2 || w.runs[workflows.ActUnstage] != 0 || w.runs[workflows.ActRefresh] != 0 {
					t.Errorf("activities: %v", w.runs)
				}
				if want := (w.took.refresh/2 + w.took.put).Milliseconds(); r.ExposureMs != want {
					t.Errorf("exposure %d ms, from the signature to the last acknowledgement are %d ms", r.ExposureMs, want)
				}
			},
		},
		{
			name: "the process that calls EdgeOne activates the keys itself", want: rotation.Done, executed: 1, sent: 1,
			set: func(w *world, _ *edgeZone, _ *workflows.ZoneIn) { w.beside = true },
			check: func(t *testing.T, w *world, _ rotation.Record) {
				if w.runs[workflows.ActDeliver]+w.runs[workflows.ActRead] != 0 {
					t.Errorf("activities: %v", w.runs)
				}
			},
		},
		{
			name: "without proofs and baseline", want: rotation.Done, executed: 1, sent: 1,
			set: func(_ *world, _ *edgeZone, in *workflows.ZoneIn) { in.Proofs, in.Baseline = nil, "" },
			check: func(t *testing.T, w *world, _ rotation.Record) {
				if w.runs[workflows.ActProve]+w.runs[workflows.ActProbe] != 0 {
					t.Errorf("what is staged is its proof: %v", w.runs)
				}
			},
		},
		{
			name: "an emergency is a refresh", want: rotation.Done, executed: 1, sent: 1,
			set: func(w *world, _ *edgeZone, in *workflows.ZoneIn) {
				in.Proofs, in.Emergency, w.emergency = nil, "leaked", true
			},
			check: func(t *testing.T, w *world, _ rotation.Record) {
				if w.runs[workflows.ActMint] != 0 || w.runs[workflows.ActRefresh] != 1 {
					t.Errorf("activities: %v", w.runs)
				}
			},
		},
		{
			name: "a host that does not take the key", want: rotation.Unchanged, why: "h2: disk full; nothing was sent",
			set: func(w *world, _ *edgeZone, _ *workflows.ZoneIn) { w.machines["h2"].unproved = []string{"disk full"} },
			check: func(t *testing.T, w *world, r rotation.Record) {
				if r.ExposureMs != 0 || w.runs[workflows.ActUnstage] != 2 {
					t.Errorf("exposed for %d ms, activities %v", r.ExposureMs, w.runs)
				}
			},
		},
		{
			name: "a host that does not take the key, in a campaign: its shard asks it for a proof", want: rotation.Pending, why: "h2: disk full; nothing was sent",
			set: func(w *world, _ *edgeZone, in *workflows.ZoneIn) {
				in.Campaign, in.Shard = "c", workflows.ShardID("c", 1)
				w.machines["h2"].unproved = []string{"disk full"}
			},
		},
		{
			name: "and when it has failed before", want: rotation.Unchanged, why: "h2: disk full; nothing was sent",
			set: func(w *world, _ *edgeZone, in *workflows.ZoneIn) {
				in.Campaign, in.Shard, in.Unstaged = "c", workflows.ShardID("c", 1), true
				w.machines["h2"].unproved = []string{"disk full"}
			},
		},
		{
			name: "a host that is away at the sweep keeps its file, and is named", want: rotation.Unchanged, why: "a staged key was left on h2",
			set: func(w *world, _ *edgeZone, _ *workflows.ZoneIn) { w.machines["h2"].down(noon, forever) },
		},
		{
			name: "a location without workers", want: rotation.Pending, why: "no worker of location eu",
			set: func(w *world, _ *edgeZone, in *workflows.ZoneIn) {
				in.Proofs = nil
				w.queued = noWorkers(workflows.LocationQueue("eu"), forever)
			},
		},
		{
			name: "the worker that proved the hosts is gone", want: rotation.Done, executed: 1, sent: 1,
			set: func(w *world, _ *edgeZone, _ *workflows.ZoneIn) { w.queued = noWorkers(ownQueue("eu"), forever) },
		},
		{
			name: "drift: what EdgeOne holds is read again", want: rotation.Done, executed: 1, sent: 1,
			set: func(w *world, _ *edgeZone, _ *workflows.ZoneIn) { w.machines["h2"].files[theZone] = "somebody else's" },
			check: func(t *testing.T, w *world, r rotation.Record) {
				if w.zones[theZone].minted != 1 || r.API.Describe != 2 {
					t.Errorf("minted %d, calls %+v", w.zones[theZone].minted, r.API)
				}
			},
		},
		{
			name: "EdgeOne holds another key than was planned with: a second key is minted for it", want: rotation.Done, executed: 1, sent: 1,
			set: func(w *world, z *edgeZone, _ *workflows.ZoneIn) {
				for _, m := range w.machines {
					m.files[theZone] = z.newKey()
				}
			},
			check: func(t *testing.T, w *world, r rotation.Record) {
				if w.zones[theZone].minted != 2 || r.From == w.zones[theZone].baseline() {
					t.Errorf("minted %d, from %s", w.zones[theZone].minted, r.From)
				}
			},
		},
		{
			name: "lost answer, executed: activated, held until the request is dead", want: rotation.Done, executed: 1, sent: 1, why: "EdgeOne had taken the key", set: lost(0),
			check: func(t *testing.T, _ *world, r rotation.Record) {
				if r.EndedAt.Before(noon.Add(300*time.Second)) || r.ExposureMs > 11_000 {
					t.Errorf("ended after %s, exposed for %d ms", r.EndedAt.Sub(noon), r.ExposureMs)
				}
			},
		},
		{
			name: "lost request: the same key is sent again at once", want: rotation.Done, executed: 1, sent: 2, set: lost(-1),
			check: func(t *testing.T, w *world, _ rotation.Record) {
				sent := w.happened("sent")
				if gap := sent[1].at.Sub(sent[0].at); gap > 12*time.Second || w.zones[theZone].minted != 1 {
					t.Errorf("sent again after %s, %d keys minted", gap, w.zones[theZone].minted)
				}
			},
		},
		{name: "no request is ever executed", want: rotation.Unchanged, sent: 3, why: "the old key is alive", set: lost(-1, -1, -1)},
		{name: "a request lands after the second switch: it brings the same key", want: rotation.Done, executed: 2, sent: 2, set: lost(200 * time.Second)},
		{
			name: "somebody else changes the key: it is delivered, and not replaced", want: rotation.Done, executed: 0, sent: 1, why: "somebody else changed the key",
			set: func(w *world, z *edgeZone, _ *workflows.ZoneIn) {
				z.refresh = []refreshing{unanswered(-1)}
				w.after(5*time.Second, func() { somebody(z) })
			},
		},
		{name: "refused", want: rotation.Unchanged, why: "OperationDenied", set: func(_ *world, z *edgeZone, _ *workflows.ZoneIn) {
			z.refresh = []refreshing{refused("OperationDenied", false)}
		}},
		{
			name: "lost, executed later, and the second is refused because EdgeOne has the key", want: rotation.Done, executed: 1, sent: 1,
			set: func(_ *world, z *edgeZone, _ *workflows.ZoneIn) {
				z.refresh = []refreshing{unanswered(10200 * time.Millisecond), refused("OperationDenied", false)}
			},
		},
		{
			name: "the worker is lost, the request executed: read early, activated", want: rotation.Done, executed: 1, sent: 1,
			set: func(w *world, z *edgeZone, _ *workflows.ZoneIn) {
				w.standby, z.refresh = true, []refreshing{workerLost(0)}
			},
			check: func(t *testing.T, _ *world, r rotation.Record) {
				if r.ExposureMs > 2000 {
					t.Errorf("exposed for %d ms", r.ExposureMs)
				}
			},
		},
		{
			name: "a host that is away at the switch gets the key later", want: rotation.Done, executed: 1, sent: 1,
			set: func(w *world, _ *edgeZone, _ *workflows.ZoneIn) {
				w.machines["h2"].down(noon.Add(200*time.Millisecond), 20*time.Second)
			},
		},
		{
			name: "a location that cannot open its seal any more gets a new one", want: rotation.Done, executed: 1, sent: 1,
			set: func(w *world, _ *edgeZone, _ *workflows.ZoneIn) { w.unopened["eu"] = 1 },
		},
		{
			name: "staged too long ago: it begins again", want: rotation.Pending, why: "proof expired",
			set: func(_ *world, z *edgeZone, _ *workflows.ZoneIn) { z.refresh = []refreshing{notSent(true)} },
		},
	}
}

func TestZoneStaged(t *testing.T) {
	for _, s := range stagedStories() {
		t.Run(s.name, func(t *testing.T) {
			w := newWorld(t, 1, 2, 2)
			in := w.zoneIn(theZone)
			in.Strategy = rotation.Staged
			z := w.zones[theZone]
			if s.set != nil {
				s.set(w, z, &in)
			}
			r := w.rotate(in)
			if r.Outcome != s.want || !strings.Contains(r.Why, s.why) || z.executed != s.executed || z.sent != s.sent {
				t.Errorf("%s because %q, %d executed, %d sent; want %s, %q, %d and %d", r.Outcome, r.Why, z.executed, z.sent, s.want, s.why, s.executed, s.sent)
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

// A cancel before the signature leaves nothing on hosts and sends nothing; a cancel after
// it stops nothing.
func TestZoneStagedCancelledAtEveryMoment(t *testing.T) {
	for name, first := range map[string][]refreshing{"good path": nil, "lost request": {unanswered(-1)}, "lost answer": {unanswered(0)}, "lost worker": {workerLost(20 * time.Second)}} {
		t.Run(name, func(t *testing.T) {
			for _, at := range moments(20 * time.Second) {
				w := newWorld(t, 1, 2, 2)
				in := w.zoneIn(theZone)
				in.Strategy, in.Campaign, in.Shard = rotation.Staged, "c", workflows.ShardID("c", 1)
				z := w.zones[theZone]
				z.refresh = slices.Clone(first)
				sentBefore, over := -1, false
				w.after(at, func() {
					_, over = w.records[theZone]
					sentBefore = z.sent
					w.env.CancelWorkflow()
				})
				r := w.rotate(in)
				switch {
				case over || sentBefore < 0:
				case sentBefore == 0 && (r.Outcome != rotation.Pending || z.sent > 0):
					t.Errorf("cancelled after %s, before anything was sent: %s (%s), %d sent\n%s", at, r.Outcome, r.Why, z.sent, w.story())
				case sentBefore > 0 && (z.sent != sentBefore || r.Outcome != rotation.Done && r.Outcome != rotation.Unchanged):
					t.Errorf("cancelled after %s: %s (%s), %d sent\n%s", at, r.Outcome, r.Why, z.sent, w.story())
				}
				if t.Failed() {
					return
				}
			}
		})
	}
}
