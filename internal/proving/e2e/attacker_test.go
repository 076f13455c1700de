package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	sdktemporal "go.temporal.io/sdk/temporal"
	sdkworker "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"keywave/activities"
	"keywave/internal/fleet"
	"keywave/internal/planning"
	"keywave/internal/proving/stage"
	"keywave/internal/rotation"
	"keywave/internal/seal"
	"keywave/workflows"
)

// attacker has a Temporal client and everything that can be done with it, and
// nothing else. It wants a zone's key on a host to which the fleet file does
// not give it.
type attacker struct {
	*testing.T
	client.Client
	s     *stage.Stack
	fleet *fleet.Fleet
	zone  fleet.Zone
	hosts []rotation.HostRef // the hosts of the zone
	foe   rotation.HostRef   // another host, in the location of the first of them
	other fleet.Zone         // a zone that the foe has
	n     int
}

func newAttacker(t *testing.T, s *stage.Stack) *attacker {
	t.Helper()
	f, err := fleet.Read(s.Places.Fleet)
	if err != nil {
		t.Fatal(err)
	}
	a := &attacker{T: t, Client: temporal(t, s), s: s, fleet: f}
	for _, z := range f.Zones {
		if len(z.Hosts) == 2 && f.Hosts[z.Hosts[0]].Location != f.Hosts[z.Hosts[1]].Location {
			a.zone = z
		}
	}
	for _, h := range a.zone.Hosts {
		a.hosts = append(a.hosts, f.Hosts[h].Ref())
	}
	for _, z := range f.Zones {
		for _, h := range z.Hosts {
			if f.Hosts[h].Location == a.hosts[0].Location && !slices.Contains(a.zone.Hosts, h) {
				a.foe, a.other = f.Hosts[h].Ref(), z
			}
		}
	}
	if a.zone.ID == "" || a.foe.Name == "" {
		t.Fatal("this fleet has no zone in two locations, or no host without it")
	}
	return a
}

// unharmed fails if anything was refreshed, or if a key of any zone, present or
// past, is on a host to which the fleet does not give it.
func (a *attacker) unharmed() {
	a.Helper()
	calls, err := a.s.Calls(a.Context())
	if err != nil || calls[stage.RefreshAction].Calls != 0 {
		a.Errorf("%d refreshes were sent (%v)", calls[stage.RefreshAction].Calls, err)
	}
	if n := calls[stage.ModifyAction].Calls; n != 0 {
		a.Errorf("%d keys were given to EdgeOne", n)
	}
	keys, err := a.s.Keys(a.Context())
	if err != nil {
		a.Fatal(err)
	}
	hosts, err := a.s.Hosts(a.Context())
	if err != nil {
		a.Fatal(err)
	}
	for _, z := range a.fleet.Zones {
		for name, host := range hosts {
			if slices.Contains(z.Hosts, rotation.HostName(name)) {
				continue
			}
			err := filepath.WalkDir(host.Dir, func(path string, e os.DirEntry, err error) error {
				if err != nil || !e.Type().IsRegular() {
					return err
				}
				content, err := os.ReadFile(path)
				for _, key := range keys[string(z.ID)].Ever {
					if strings.Contains(string(content), key) {
						a.Errorf("%s holds a key of %s", name, z.ID)
					}
				}
				return err
			})
			if err != nil {
				a.Error(err)
			}
		}
	}
}

// start starts a workflow and decodes its result.
func (a *attacker) start(id, queue, kind string, in, out any) error {
	a.Helper()
	ctx, cancel := context.WithTimeout(a.Context(), 5*time.Minute)
	defer cancel()
	run, err := a.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: id, TaskQueue: queue, WorkflowExecutionErrorWhenAlreadyStarted: true,
		TypedSearchAttributes: workflows.Searchable("honest", a.zone.ID, ""),
	}, kind, in)
	if err != nil {
		a.Fatalf("%s: %v", id, err)
	}
	return run.Get(ctx, out)
}

// refused fails unless the refusal has this sentence.
func (a *attacker) refused(what, said string, err error, sentence string) {
	a.Helper()
	if app, ok := errors.AsType[*sdktemporal.ApplicationError](err); ok {
		said += app.Message()
	} else if err != nil {
		said += err.Error()
	}
	if !strings.Contains(said, sentence) {
		a.Errorf("%s: %q, want %q", what, said, sentence)
	}
}

// zoneIn is a forged operation on the zone that asks for no proofs.
func (a *attacker) zoneIn(verb rotation.Verb, hosts ...rotation.HostRef) workflows.ZoneIn {
	return workflows.ZoneIn{
		Verb: verb, Zone: a.zone.ID, Account: a.zone.Account, Hosts: hosts, Timing: a.fleet.Campaign.Timing,
		Emergency: "I say so", By: "mallory",
	}
}

// gives is how a refusal begins.
func (a *attacker) gives() string {
	return fmt.Sprintf("the fleet file of this worker gives %s to %s; asked for: ", a.zone.ID, rotation.Named(a.zone.Hosts))
}

// A person who can write to Temporal, and has nothing else, gets no key to a
// host to which the fleet file does not give it, and causes no refresh for such
// a host. docs/security.md says what such a person can still do.
func TestAttacker(t *testing.T) {
	s := raise(t, 6, 6, 2)
	a := newAttacker(t, s)
	must(t, s, "zone", "repair", string(a.zone.ID), "-f", s.Places.Fleet)
	sealed := a.sealedInHistory()
	for _, attack := range []struct {
		name string
		by   func(*attacker)
	}{
		{"an ID that another needs", (*attacker).takesAnID},
		{"starts", (*attacker).forgesStarts},
		{"a staged start", (*attacker).forgesStagedStart},
		{"a lost refresh that never was", (*attacker).forgesDoubt},
		{"a plan and a campaign", (*attacker).forgesPlan},
		{"a page and a shard", (*attacker).forgesShard},
		{"IDs", (*attacker).forgesIDs},
		{"signals and updates", (*attacker).forgesOrders},
		{"activities without a workflow", func(a *attacker) { a.asksAlone(sealed) }},
		{"a workflow of its own", func(a *attacker) { a.plays(sealed) }},
	} {
		t.Run(attack.name, func(t *testing.T) {
			a.T = t
			attack.by(a)
			a.unharmed()
		})
	}
	a.T = t
	must(t, s, "zone", "repair", string(a.zone.ID), "-f", s.Places.Fleet)
	must(t, s, "audit", "-f", s.Places.Fleet)
	a.unharmed()
	noKey(t, s)
}

// sealedInHistory is the zone's live key as it is in the history of its repair,
// where anybody can read it.
func (a *attacker) sealedInHistory() activities.ReadOut {
	a.Helper()
	for events := a.GetWorkflowHistory(a.Context(), workflows.ZoneID(a.zone.ID), "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); events.HasNext(); {
		event, err := events.Next()
		if err != nil {
			a.Fatal(err)
		}
		var out activities.ReadOut
		result := event.GetActivityTaskCompletedEventAttributes().GetResult()
		if converter.GetDefaultDataConverter().FromPayloads(result, &out) == nil && out.Key != "" && len(out.Sealed) == 2 {
			return out
		}
	}
	a.Fatal("no sealed key in the history of a repair")
	return activities.ReadOut{}
}

func (a *attacker) forgesStarts() {
	for _, c := range []struct {
		verb     rotation.Verb
		hosts    []rotation.HostRef
		want     rotation.Outcome
		sentence string
	}{
		{rotation.Rotate, []rotation.HostRef{a.foe}, rotation.Unchanged, a.gives() + string(a.foe.Name)},
		{rotation.Rotate, append(slices.Clone(a.hosts), a.foe), rotation.Unchanged, "not of the zone: " + string(a.foe.Name)},
		{rotation.Rotate, a.hosts[:1], rotation.Unchanged, "missing: " + string(a.hosts[1].Name)},
		{rotation.Repair, []rotation.HostRef{a.foe}, rotation.Pending, a.gives() + string(a.foe.Name)},
		{rotation.Repair, append(slices.Clone(a.hosts), a.foe), rotation.Pending, "not of the zone: " + string(a.foe.Name)},
	} {
		var r rotation.Record
		err := a.start(workflows.ZoneID(a.zone.ID), workflows.Queue, workflows.TypeZone, a.zoneIn(c.verb, c.hosts...), &r)
		a.refused(string(c.verb), r.Why, err, c.sentence)
		if r.Outcome != c.want {
			a.Errorf("%s for %v: %s (%s), %v", c.verb, rotation.NamesOf(c.hosts), r.Outcome, r.Why, err)
		}
	}
}

// forgesDoubt has the zone read back and delivered as if a refresh had been
// lost.
func (a *attacker) forgesDoubt() {
	in := a.zoneIn(rotation.Rotate, a.foe)
	in.Doubt, in.Baseline = time.Now().Add(-time.Hour), "0123456789abcdef"
	in.Timing.DeliverFor = rotation.Span(20 * time.Second) // the read, too, is tried for so long
	var r rotation.Record
	err := a.start(workflows.ZoneID(a.zone.ID), workflows.Queue, workflows.TypeZone, in, &r)
	a.refused("a doubt", r.Why, err, "it gets no key: "+a.gives()[:40])
}

// forgesPlan makes a plan that gives the zone to the foe, and runs it.
func (a *attacker) forgesPlan() {
	draft, err := planning.NewDraft(a.forgedFleet(), "evil")
	if err != nil {
		a.Fatal(err)
	}
	run, err := draft.Start(a.Context(), a.Client)
	if err == nil {
		err = draft.StartPages(a.Context(), a.Client)
	}
	if err == nil {
		err = run.Get(a.Context(), &draft.Plan)
	}
	if err != nil {
		a.Fatal(err)
	}
	in := workflows.CampaignIn{Name: "evil", Plan: "evil", Digest: draft.Plan.Digest, By: "mallory", Emergency: "I say so"}
	_, err = a.ExecuteWorkflow(a.Context(), client.StartWorkflowOptions{ID: workflows.CampaignID("evil"), TaskQueue: workflows.Queue}, workflows.TypeCampaign, in)
	if err != nil {
		a.Fatal(err)
	}
	a.stops("evil", a.gives()[:40])
}

// stops waits until a campaign says why it makes no progress, and ends it.
func (a *attacker) stops(campaign, sentence string) {
	a.Helper()
	eventually(a.T, "campaign "+campaign+" says: "+sentence, 5*time.Minute, func() bool {
		out, _ := a.s.CLI(a.Context(), "campaign", "status", campaign, "--output", "json")
		return strings.Contains(out, sentence)
	})
	_, _ = a.s.CLI(a.Context(), "campaign", "cancel", campaign, "--reason", "somebody else's") // unless it has ended
}

// forgedFleet is a fleet with only this zone, on the foe.
func (a *attacker) forgedFleet() *fleet.Fleet {
	forged := *a.fleet
	zone := a.zone
	zone.Hosts = []rotation.HostName{a.foe.Name}
	forged.Zones = []fleet.Zone{zone}
	return &forged
}

// forgesShard starts a page that nobody planned, and its shard, without a plan.
func (a *attacker) forgesShard() {
	draft, err := planning.NewDraft(a.forgedFleet(), "evil-page")
	if err != nil {
		a.Fatal(err)
	}
	page := draft.Pages[0]
	if _, err := a.ExecuteWorkflow(a.Context(), client.StartWorkflowOptions{ID: workflows.PageID("evil-page", 1), TaskQueue: workflows.Queue},
		workflows.TypePage, workflows.PageIn{Plan: "evil-page", Page: page, Frozen: true, Keep: rotation.Span(time.Hour)}); err != nil {
		a.Fatal(err)
	}
	var out workflows.ShardOut
	err = a.start(workflows.ShardID("evil-page", 1), workflows.Queue, workflows.TypeShard, workflows.ShardIn{
		Campaign: "evil-page", Account: a.zone.Account, Plan: "evil-page", Page: 1, Digest: page.Digest(), Window: 1,
		Timing: a.fleet.Campaign.Timing, Emergency: "I say so", Began: time.Now(),
	}, &out)
	why := ""
	for _, zone := range out.Note.Attention {
		why += zone.Why
	}
	a.refused("a shard", why, err, a.gives()[:40])
}

func (a *attacker) forgesIDs() {
	long := strings.Repeat("n", 300)
	for _, c := range []struct {
		id, kind, sentence string
		in                 any
	}{
		{"mallory", workflows.TypeZone, "alone may do; nothing was touched", a.zoneIn(rotation.Repair, a.foe)},
		{workflows.ZoneID(a.other.ID), workflows.TypeZone, "alone may do; nothing was touched", a.zoneIn(rotation.Repair, a.foe)},
		{"campaign/x/shard/2", workflows.TypeShard, "alone may do; nothing was touched", workflows.ShardIn{Campaign: "x", Plan: "x", Account: a.zone.Account, Page: 1}},
		{"campaign/boom/shard/1", workflows.TypeCampaign, `"boom/shard/1" is no name`, workflows.CampaignIn{Name: "boom/shard/1", Plan: "x"}},
		{"campaign/n", workflows.TypeCampaign, "is no name; use at most 64", workflows.CampaignIn{Name: long, Plan: "x"}},
		{"edgeone/mallory", workflows.TypeLease, "alone may do; nothing was touched", workflows.LeaseIn{Account: a.zone.Account}},
	} {
		var out any
		a.refused(c.kind+" under "+c.id, "", a.start(c.id, workflows.Queue, c.kind, c.in, &out), c.sentence)
	}
}

// takesAnID takes the ID that a campaign needs for its first shard.
func (a *attacker) takesAnID() {
	squatter, err := a.ExecuteWorkflow(a.Context(), client.StartWorkflowOptions{
		ID: workflows.ShardID("honest", 1), TaskQueue: "nobody polls this", TypedSearchAttributes: workflows.Searchable("honest", "", ""),
	}, "Nonsense")
	if err != nil {
		a.Fatal(err)
	}
	must(a.T, a.s, "campaign", "start", "-f", a.s.Places.Fleet, "--name", "honest")
	a.stops("honest", "another workflow has its workflow ID")
	if err := a.TerminateWorkflow(a.Context(), squatter.GetID(), "", "enough"); err != nil {
		a.Error(err)
	}
}

// forgesOrders sends orders to a repair that cannot end, because a host is
// down.
func (a *attacker) forgesOrders() {
	post(a.T, a.s, "/hosts/"+string(a.hosts[1].Name)+"/bad", map[string]string{"kind": "down"})
	id := workflows.ZoneID(a.zone.ID)
	in := a.zoneIn(rotation.Repair, a.hosts...)
	if _, err := a.ExecuteWorkflow(a.Context(), client.StartWorkflowOptions{ID: id, TaskQueue: workflows.Queue}, workflows.TypeZone, in); err != nil {
		a.Fatal(err)
	}
	eventually(a.T, "one host has it and the other does not", 5*time.Minute, func() bool {
		var trip rotation.Trip
		answer, err := a.QueryWorkflow(a.Context(), id, "", workflows.QueryTrip)
		return err == nil && answer.Get(&trip) == nil && len(trip.Acks) == 1
	})
	for _, order := range []any{"nonsense", 7, map[string]any{"retire": a.foe.Name, "reason": "x"}} {
		if err := a.SignalWorkflow(a.Context(), id, "", workflows.SignalZoneOrder, order); err != nil {
			a.Error(err)
		}
	}
	handle, err := a.UpdateWorkflow(a.Context(), client.UpdateWorkflowOptions{
		WorkflowID: id, UpdateName: workflows.UpdateRepair, WaitForStage: client.WorkflowUpdateStageCompleted,
		Args: []any{workflows.RepairOrder{Hosts: []rotation.HostRef{a.foe}, AcceptChanges: true, By: "mallory", Reason: "I say so"}},
	})
	if err == nil {
		var answer workflows.RepairAnswer
		err = handle.Get(a.Context(), &answer)
	}
	a.Logf("an update for another host: %v", err)
	eventually(a.T, "it gets no key, went on as before, or ended", 5*time.Minute, func() bool {
		var trip rotation.Trip
		answer, err := a.QueryWorkflow(a.Context(), id, "", workflows.QueryTrip)
		if err != nil || answer.Get(&trip) != nil {
			return false
		}
		return trip.Phase == rotation.PhaseEnded || len(trip.Last) > 0 &&
			(trip.Last[0].Host == a.hosts[1].Name || strings.Contains(trip.Last[0].Problem, "it gets no key: "))
	})
	_ = a.TerminateWorkflow(a.Context(), id, "", "enough") // unless it has ended, without its hosts
	if err := a.s.Heal(a.Context()); err != nil {
		a.Fatal(err)
	}
}

// asksAlone asks for activities without a workflow, on the queues of all
// workers.
func (a *attacker) asksAlone(sealed activities.ReadOut) {
	const sentence = "asked for by nobody's workflow"
	alone := func(queue, name string, in, out any) error {
		a.n++
		handle, err := a.ExecuteActivity(a.Context(), client.StartActivityOptions{
			ID: fmt.Sprintf("alone-%d", a.n), TaskQueue: queue, StartToCloseTimeout: 20 * time.Second, ScheduleToCloseTimeout: 40 * time.Second,
			RetryPolicy: &sdktemporal.RetryPolicy{MaximumAttempts: 1},
		}, name, in)
		if err != nil {
			a.Fatalf("%s: %v", name, err)
		}
		return handle.Get(a.Context(), out)
	}
	account, zone := a.zone.Account, a.zone.ID
	var refreshed activities.RefreshOut
	err := alone(workflows.RefreshQueue(account), workflows.ActRefresh, activities.RefreshIn{Zone: zone, Hosts: a.hosts, ProofFor: rotation.Span(time.Minute)}, &refreshed)
	a.refused("a refresh", refreshed.Why, err, sentence)
	var switched activities.RefreshOut
	err = alone(workflows.RefreshQueue(account), workflows.ActSwitch, a.ownKey(sealed.Key), &switched)
	a.refused("a switch", switched.Why, err, sentence)
	var minted activities.MintOut
	err = alone(workflows.EdgeOneQueue(account), workflows.ActMint, activities.MintIn{Zone: zone, Hosts: a.hosts, Baseline: sealed.Key}, &minted)
	a.refused("a key", minted.Why, err, sentence)
	var read activities.ReadOut
	err = alone(workflows.EdgeOneQueue(account), workflows.ActRead, activities.ReadIn{Zone: zone, Hosts: a.hosts}, &read)
	a.refused("a read", read.Withheld, err, sentence)
	if len(read.Sealed) > 0 || read.Key == "" {
		a.Errorf("a read gave more or less than a fingerprint: %+v", read)
	}
	var delivered activities.DeliverOut
	in := activities.DeliverIn{Zone: zone, Key: sealed.Key, Sealed: sealed.Sealed[a.foe.Location], Hosts: []rotation.HostRef{a.foe}, Expect: []rotation.Fingerprint{rotation.Absent}}
	err = alone(workflows.LocationQueue(a.foe.Location), workflows.ActDeliver, in, &delivered)
	a.refused("a delivery", delivered.Unopened, err, sentence)
	err = alone(workflows.LeaseQueue(account), workflows.ActLease, activities.LeaseIn{Account: string(account)}, nil)
	a.refused("a lease", "", err, sentence)
}

// forgedOrder is what a workflow of the attacker's own asks for.
type forgedOrder struct {
	Queue, Activity string
	In              json.RawMessage
}

// puppet poses as a Zone: it has the zone's ID and the type's name, and asks
// for whatever it is told.
func puppet(ctx workflow.Context, o forgedOrder) (json.RawMessage, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue: o.Queue, StartToCloseTimeout: 20 * time.Second, ScheduleToCloseTimeout: 40 * time.Second, RetryPolicy: &sdktemporal.RetryPolicy{MaximumAttempts: 1},
	})
	var out json.RawMessage
	err := workflow.ExecuteActivity(ctx, o.Activity, o.In).Get(ctx, &out)
	return out, err
}

// plays runs workflows of the attacker's own under the zone's ID and the type's
// name, and uses old seals again.
func (a *attacker) plays(sealed activities.ReadOut) {
	const queue = "mallory"
	w := sdkworker.New(a.Client, queue, sdkworker.Options{})
	w.RegisterWorkflowWithOptions(puppet, workflow.RegisterOptions{Name: workflows.TypeZone})
	if err := w.Start(); err != nil {
		a.Fatal(err)
	}
	defer w.Stop()
	foe, zone := []rotation.HostRef{a.foe}, a.zone.ID
	here, there := workflows.LocationQueue(a.hosts[0].Location), workflows.LocationQueue(a.hosts[1].Location)
	deliver := func(z rotation.ZoneID, box []byte, hosts []rotation.HostRef) activities.DeliverIn {
		return activities.DeliverIn{Zone: z, Key: sealed.Key, Sealed: box, Hosts: hosts, Expect: []rotation.Fingerprint{rotation.Absent}}
	}
	mine := sealed.Sealed[a.hosts[0].Location]
	refreshes, edgeOne := workflows.RefreshQueue(a.zone.Account), workflows.EdgeOneQueue(a.zone.Account)
	for _, c := range []struct {
		name, queue, activity string
		in                    any
		zone                  rotation.ZoneID
		sentence              string
	}{
		{"a refresh for another host", workflows.RefreshQueue(a.zone.Account), workflows.ActRefresh, activities.RefreshIn{Zone: zone, Hosts: foe, ProofFor: rotation.Span(time.Minute)}, zone, a.gives() + string(a.foe.Name)},
		{"a refresh straight to another host", workflows.RefreshQueue(a.zone.Account), workflows.ActRefresh, activities.RefreshIn{Zone: zone, Hosts: foe, Straight: []string{here}, ProofFor: rotation.Span(time.Minute)}, zone, a.gives() + string(a.foe.Name)},
		{"a key minted for another host", edgeOne, workflows.ActMint, activities.MintIn{Zone: zone, Hosts: foe, Baseline: sealed.Key}, zone, a.gives() + string(a.foe.Name)},
		{"a switch to a key of its own", refreshes, workflows.ActSwitch, a.ownKey(sealed.Key), zone, "cannot open the key that was kept"},
		{"a switch to a key in clear", refreshes, workflows.ActSwitch, a.inClear(sealed.Key), zone, "cannot open the key that was kept"},
		{"a read for another host", workflows.EdgeOneQueue(a.zone.Account), workflows.ActRead, activities.ReadIn{Zone: zone, Hosts: append(slices.Clone(a.hosts), a.foe)}, zone, "not of the zone: " + string(a.foe.Name)},
		{"a read for another zone's hosts", workflows.EdgeOneQueue(a.zone.Account), workflows.ActRead, activities.ReadIn{Zone: zone, Hosts: a.hosts}, a.other.ID, "alone, and was asked for by workflow"},
		{"a seal to another host", here, workflows.ActDeliver, deliver(zone, mine, foe), zone, "this worker gives it to no other host"},
		{"a seal to another zone", here, workflows.ActDeliver, deliver(a.other.ID, mine, foe), a.other.ID, "belongs to another zone or location"},
		{"a seal to another location", there, workflows.ActDeliver, deliver(zone, mine, a.hosts[1:]), zone, "cannot open what was sealed"},
		{"an old seal", here, workflows.ActDeliver, deliver(zone, a.oldSeal(), a.hosts[:1]), zone, "to be used until"},
	} {
		body, err := json.Marshal(c.in)
		if err != nil {
			a.Fatal(err)
		}
		var said json.RawMessage
		err = a.start(workflows.ZoneID(c.zone), queue, workflows.TypeZone, forgedOrder{c.queue, c.activity, body}, &said)
		a.refused(c.name, string(said), err, c.sentence)
	}
}

// ownKey is a key of the attacker's choice, under a keyset that the attacker made.
func (a *attacker) ownKey(baseline rotation.Fingerprint) activities.SwitchIn {
	a.Helper()
	dir := a.TempDir()
	if err := seal.CreateAccount(dir, a.zone.Account); err != nil {
		a.Fatal(err)
	}
	key := rotation.NewSecret(base64.StdEncoding.EncodeToString([]byte("thirty-two bytes of the attacker")))
	in := a.inClear(baseline)
	kept, err := seal.NewKeeper(dir, a.zone.Account).Seal(rotation.Bound{Zone: a.zone.ID, Purpose: rotation.ForSwitch, Minted: in.Minted, Baseline: baseline}, key)
	if err != nil {
		a.Fatal(err)
	}
	in.Kept = kept
	return in
}

// inClear is such a key without any keyset, for all of the zone's hosts.
func (a *attacker) inClear(baseline rotation.Fingerprint) activities.SwitchIn {
	key := base64.StdEncoding.EncodeToString([]byte("thirty-two bytes of the attacker"))
	return activities.SwitchIn{
		Zone: a.zone.ID, Hosts: a.hosts, Key: rotation.FingerprintOf(a.zone.ID, rotation.NewSecret(key)), Kept: []byte(key),
		Minted: time.Now().UTC(), Baseline: baseline, StagedAt: time.Now(), ProofFor: rotation.Span(time.Minute),
	}
}

// forgesStagedStart starts a staged rotation for another host.
func (a *attacker) forgesStagedStart() {
	in := a.zoneIn(rotation.Rotate, a.foe)
	in.Strategy, in.Emergency = rotation.Staged, ""
	var r rotation.Record
	err := a.start(workflows.ZoneID(a.zone.ID), workflows.Queue, workflows.TypeZone, in, &r)
	a.refused("a staged rotation", r.Why, err, a.gives()+string(a.foe.Name))
}

// oldSeal is a seal as in a history from some hours ago: the live key, sealed
// to the zone's own host.
func (a *attacker) oldSeal() []byte {
	a.Helper()
	keys, err := a.s.Keys(a.Context())
	if err != nil {
		a.Fatal(err)
	}
	l := a.hosts[0].Location
	s, err := seal.OpenSealer(a.s.Keyring(), []rotation.Location{l})
	if err != nil {
		a.Fatal(err)
	}
	grant := rotation.GrantFor([]rotation.HostName{a.hosts[0].Name}, time.Now().Add(-3*time.Hour), 2*time.Hour)
	box, err := s.Seal(l, a.zone.ID, rotation.NewSecret(keys[string(a.zone.ID)].Live), grant)
	if err != nil {
		a.Fatal(err)
	}
	return box
}
