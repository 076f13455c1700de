package e2e

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	sdkworker "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"keywave/activities"
	"keywave/internal/fleet"
	"keywave/internal/proving/sim"
	"keywave/internal/proving/stage"
	"keywave/internal/rotation"
	"keywave/internal/seal"
	"keywave/workflows"
)

// formerKeys are what an attacker finds in histories: of one zone the key that the live
// one replaced, and the one before, and of another zone one. before is how often EdgeOne
// was given a key until then.
type formerKeys struct {
	*attacker
	older, latest, others rotation.Former
	live                  rotation.Fingerprint
	before                int
}

// turns has a zone's key replaced, or put back, as an honest person would.
func (a *attacker) turns(z fleet.Zone, back *rotation.Former) rotation.Record {
	a.Helper()
	in := workflows.ZoneIn{
		Verb: rotation.Rotate, Zone: z.ID, Account: z.Account, Timing: a.fleet.Campaign.Timing, Strategy: rotation.Staged, RollbackFor: rotation.Span(time.Hour),
		Former: back, By: "alice", Reason: "test",
	}
	for _, h := range z.Hosts {
		in.Hosts = append(in.Hosts, a.fleet.Hosts[h].Ref())
	}
	var r rotation.Record
	if err := a.start(workflows.ZoneID(z.ID), workflows.Queue, workflows.TypeZone, in, &r); err != nil || r.Outcome != rotation.Done {
		a.Fatalf("%s: %s (%s), %v", z.ID, r.Outcome, r.Why, err)
	}
	return r
}

// asks forges a rollback, an emergency at that, and says what it must be told.
func (k *formerKeys) asks(name string, f rotation.Former, sentence string, hosts ...rotation.HostRef) {
	k.Helper()
	in := k.zoneIn(rotation.Rotate, hosts...)
	in.Former = &f
	var r rotation.Record
	err := k.start(workflows.ZoneID(k.zone.ID), workflows.Queue, workflows.TypeZone, in, &r)
	k.refused(name, r.Why, err, sentence)
	if r.Outcome != rotation.Unchanged {
		k.Errorf("%s: %s (%s), %v", name, r.Outcome, r.Why, err)
	}
	k.nothingSent(name)
}

// nothingSent fails if EdgeOne was given a key, or made one.
func (k *formerKeys) nothingSent(name string) {
	k.Helper()
	calls, err := k.s.Calls(k.Context())
	if err != nil || calls[stage.ModifyAction].Calls != k.before || calls[stage.RefreshAction].Calls != 0 {
		k.Errorf("%s: %d keys were given to EdgeOne, %d before; %d refreshes (%v)", name, calls[stage.ModifyAction].Calls, k.before, calls[stage.RefreshAction].Calls, err)
	}
	keys, err := k.s.Keys(k.Context())
	if err != nil || k.print(keys[string(k.zone.ID)].Live) != k.live {
		k.Errorf("%s: another key is live (%v)", name, err)
	}
}

func (k *formerKeys) print(key string) rotation.Fingerprint {
	return rotation.FingerprintOf(k.zone.ID, rotation.NewSecret(key))
}

// own is a former key of the attacker's choice, under a keyset that the attacker made.
func (k *formerKeys) own() rotation.Former {
	k.Helper()
	dir := k.TempDir()
	if err := seal.CreateAccount(dir, k.zone.Account); err != nil {
		k.Fatal(err)
	}
	f := k.clear()
	var err error
	if f.Kept, err = seal.NewKeeper(dir, k.zone.Account).Seal(f.Bound(k.zone.ID), rotation.NewSecret(string(f.Kept))); err != nil {
		k.Fatal(err)
	}
	return f
}

func (k *formerKeys) clear() rotation.Former {
	key := base64.StdEncoding.EncodeToString([]byte("thirty-two bytes of the attacker"))
	return rotation.Former{Key: k.print(key), For: k.live, At: time.Now().UTC(), Until: time.Now().UTC().Add(time.Hour), Kept: []byte(key)}
}

// forges starts rollbacks with what the attacker has found, changed or made.
func (k *formerKeys) forges() {
	const damaged = "was sealed for another zone, purpose, time or baseline"
	with := func(f rotation.Former, change func(*rotation.Former)) rotation.Former { change(&f); return f }
	forLive := func(f *rotation.Former) { f.For = k.live }
	k.asks("an older rotation's", k.older, "nothing was put back", k.hosts...)
	k.asks("an older rotation's, for the live key", with(k.older, forLive), damaged, k.hosts...)
	k.asks("another zone's", k.others, damaged, k.hosts...)
	k.asks("another zone's, for the live key", with(k.others, forLive), damaged, k.hosts...)
	k.asks("a later end", with(k.latest, func(f *rotation.Former) { f.Until = f.Until.Add(time.Minute) }), damaged, k.hosts...)
	k.asks("a later time", with(k.latest, func(f *rotation.Former) { f.At = f.At.Add(time.Minute) }), damaged, k.hosts...)
	k.asks("a keyset of its own", k.own(), "it is sealed with key", k.hosts...)
	k.asks("in clear", k.clear(), "cannot open the key that was kept", k.hosts...)
	k.asks("for another host", k.latest, k.gives()+string(k.foe.Name), k.foe)
}

// plays asks for switches by a workflow of the attacker's own, which asks no host and
// reads nothing before.
func (k *formerKeys) plays() {
	const queue = "mallory"
	w := sdkworker.New(k.Client, queue, sdkworker.Options{})
	w.RegisterWorkflowWithOptions(puppet, workflow.RegisterOptions{Name: workflows.TypeZone})
	if err := w.Start(); err != nil {
		k.Fatal(err)
	}
	defer w.Stop()
	for name, c := range map[string]struct {
		in       activities.SwitchIn
		sentence string
	}{
		"an older rotation's":                   {activities.SwitchIn{Baseline: k.older.For, Key: k.older.Key, Former: &k.older}, "which the former key may replace"},
		"an older rotation's, for the live key": {activities.SwitchIn{Baseline: k.live, Key: k.older.Key, Former: &k.older}, "was kept to replace"},
		"as a key that was minted":              {activities.SwitchIn{Baseline: k.latest.For, Key: k.latest.Key, Kept: k.latest.Kept, Minted: k.latest.At}, "cannot open the key that was kept"},
	} {
		in := c.in
		in.Zone, in.Hosts, in.StagedAt, in.ProofFor = k.zone.ID, k.hosts, time.Now(), rotation.Span(time.Minute)
		if in.Minted.IsZero() {
			in.Minted = time.Now().UTC()
		}
		body, err := json.Marshal(in)
		if err != nil {
			k.Fatal(err)
		}
		var said json.RawMessage
		err = k.start(workflows.ZoneID(k.zone.ID), queue, workflows.TypeZone, forgedOrder{workflows.RefreshQueue(k.zone.Account), workflows.ActSwitch, body}, &said)
		k.refused(name, string(said), err, c.sentence)
		k.nothingSent("a switch to " + name)
	}
}

// fleetSays changes how long the workers keep former keys, by their own fleet file.
func (k *formerKeys) fleetSays(rollbackFor string) {
	k.Helper()
	content, err := os.ReadFile(k.s.Places.Fleet)
	if err != nil {
		k.Fatal(err)
	}
	before, after, found := strings.Cut(string(content), "rollbackFor: ")
	_, rest, ends := strings.Cut(after, ",")
	if !found || !ends {
		k.Fatal("the fleet file has no rollbackFor")
	}
	changed := k.s.Places.Fleet + ".changed"
	write(k.T, changed, before+"rollbackFor: "+rollbackFor+","+rest)
	if err := os.Rename(changed, k.s.Places.Fleet); err != nil {
		k.Fatal(err)
	}
}

// A person who can write to Temporal, and has nothing else, has no key put back that was
// not the zone's former one, within the time that the worker's own fleet file gives. EdgeOne
// never holds a key that none of our workers minted. docs/security.md says what such a
// person can still do.
func TestAttackerAndFormerKeys(t *testing.T) {
	s := raiseAs(t, stage.Config{Zones: 6, Hosts: 6, Limit: 20, Settings: stagedTouchy, Workers: 2})
	k := &formerKeys{attacker: newAttacker(t, s)}
	first, second, others := k.turns(k.zone, nil), k.turns(k.zone, nil), k.turns(k.other, nil)
	if first.Former == nil || second.Former == nil || others.Former == nil {
		t.Fatalf("former keys: %v, %v, %v", first.Former, second.Former, others.Former)
	}
	k.older, k.latest, k.others, k.live, k.before = *first.Former, *second.Former, *others.Former, second.To, 3
	k.forges()
	k.plays()

	for says, sentence := range map[string]string{"0s": "rollbackFor is 0", "1s": "could be used until"} {
		k.fleetSays(says)
		k.asks("rollbackFor: "+says, k.latest, sentence, k.hosts...)
	}
	k.fleetSays("1h")
	back := k.turns(k.zone, &k.latest)
	if k.live = back.To; back.To != first.To || back.Former != nil {
		t.Errorf("put back: %s, and it was %s; former key %v", back.To, first.To, back.Former)
	}
	k.before++
	k.asks("a second time", k.latest, "nothing was put back", k.hosts...)

	k.fleetSays("0s")
	third := k.turns(k.zone, nil)
	if third.Former != nil || !strings.Contains(third.Why, "the former key was not kept") {
		t.Errorf("kept although the worker's fleet file says 0: %v (%s)", third.Former, third.Why)
	}
	keys, err := s.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ours := []rotation.Fingerprint{first.From, first.To, second.To, third.To}
	for _, key := range keys[string(k.zone.ID)].Ever {
		if !slices.Contains(ours, k.print(key)) {
			t.Errorf("EdgeOne held %s", k.print(key))
		}
	}
	must(t, s, "audit", "-f", s.Places.Fleet)
	nothingIsLeftOnHosts(t, s)
	noKey(t, s)
}

// A campaign is rolled back while answers are lost in every way and the active worker is
// killed: each zone has the key again that it had before, on every host.
func TestRollbackCampaign(t *testing.T) {
	s := raiseAs(t, stage.Config{Zones: 6, Hosts: 3, HostsEach: 3, Limit: 20, Settings: stagedTouchy, Workers: 2})
	must(t, s, "campaign", "start", "-f", s.Places.Fleet, "--name", "c", "--watch")
	z := zonesOf(t, s)
	for i, kind := range []string{"", "resetAfter", "resetBefore", "internalErrorAfter", "throttle", "delayAfter"} {
		if kind != "" {
			strike(t, s, z[i], sim.Fault{Action: stage.ModifyAction, Kind: kind, DelayMs: 9000})
		}
	}
	must(t, s, "campaign", "rollback", "c", "-f", s.Places.Fleet, "--reason", "clients broke")
	eventually(t, z[5]+" is switched back", 5*time.Minute, func() bool { return isAt(t, s, z[5], workflows.ActSwitch) })
	s.Workers[held(t, s, workflows.LeaseID("default"))].Kill()
	back := &run{Stack: s, name: "c-rollback", zones: z}
	back.watch(t)
	seen := back.look(t)
	for _, zone := range z {
		if r := seen.records[zone]; r.Outcome != rotation.Done {
			t.Errorf("%s is %s (%q)", zone, r.Outcome, r.Why)
		}
		if keys := seen.keys[zone]; keys.Live != keys.Ever[0] || slices.Compact(keys.Ever)[1] == keys.Live {
			t.Errorf("%s has another key than before", zone)
		}
		for _, e := range seen.edges[zone] {
			if e.Action == stage.RefreshAction {
				t.Errorf("%s was refreshed", zone)
			}
		}
	}
	truth(t, s)
	must(t, s, "audit", "-f", s.Places.Fleet)
	nothingIsLeftOnHosts(t, s)
	noKey(t, s)
}
