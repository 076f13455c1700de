package activities_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"keywave/activities"
	"keywave/internal/rotation"
)

// shelf is a host on which keys wait.
type shelf struct {
	*machine
	inPlace bool
	waits   map[rotation.ZoneID]string
	stages  int
}

func shelved(m *machine) *shelf { return &shelf{machine: m, waits: map[rotation.ZoneID]string{}} }

func (s *shelf) Stages() bool { return !s.inPlace }

func (s *shelf) Stage(ctx context.Context, z rotation.ZoneID, key rotation.Secret) (rotation.Fingerprint, error) {
	if err := s.reach(ctx); err != nil {
		return "", err
	}
	s.waits[z] = key.Expose()
	s.stages++
	return rotation.FingerprintOf(z, rotation.NewSecret(s.files[z])), nil
}

func (s *shelf) Activate(ctx context.Context, z rotation.ZoneID, key rotation.Fingerprint, expect []rotation.Fingerprint) (rotation.Fingerprint, error) {
	waits := rotation.NewSecret(s.waits[z])
	if rotation.FingerprintOf(z, waits) != key {
		return "", &rotation.GoneError{Why: "nothing waits"}
	}
	fp, err := s.machine.Put(ctx, z, waits, expect)
	if err == nil {
		s.wrote--
		delete(s.waits, z)
	}
	return fp, err
}

func (s *shelf) Unstage(ctx context.Context, z rotation.ZoneID) error {
	if err := s.reach(ctx); err != nil {
		return err
	}
	delete(s.waits, z)
	return nil
}

// shelves is a location worker whose hosts keep keys waiting.
func shelves(boxes seals, hosts ...rotation.Host) (*activities.Location, []rotation.HostRef) {
	l, refs := place(boxes, make([]*machine, len(hosts))...)
	for i, h := range hosts {
		l.Hosts()[refs[i].Name] = activities.Machine{Host: h, Digest: refs[i].Digest}
	}
	return l, refs
}

func stageIn(t *testing.T, boxes seals, refs []rotation.HostRef) activities.StageIn {
	t.Helper()
	in := deliverIn(t, boxes, refs)
	return activities.StageIn{Zone: in.Zone, Key: in.Key, Sealed: in.Sealed, Hosts: in.Hosts}
}

func TestStage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boxes := newSeals(t, hk)
		waits, strange, full := shelved(holding(oldKey)), shelved(holding("a stranger's")), shelved(holding(oldKey))
		full.fail = &rotation.HostError{Step: rotation.StepWrite, Why: "disk full"}
		inPlace, program, hangs := shelved(holding(oldKey)), holding(oldKey), shelved(&machine{hangs: true})
		inPlace.inPlace = true
		broken := &machine{fail: &rotation.HostError{Step: rotation.StepAuth, Why: "no login"}}
		l, refs := shelves(boxes, waits, strange, full, inPlace, program, hangs, broken)
		began := time.Now()
		out, err := run(t, t.Context(), l.Stage, stageIn(t, boxes, refs))
		if err != nil || out.Unopened != "" || len(out.Acks) != len(refs) || out.Queue != l.Queue || out.Leaving || out.At.After(began) {
			t.Fatalf("%+v, %v", out, err)
		}
		for i, want := range []struct {
			held    rotation.Fingerprint
			problem string
		}{
			{held: print(oldKey)},
			{held: print("a stranger's")},
			{problem: "write: disk full"},
			{held: print(oldKey)},
			{held: print(oldKey)},
			{problem: "no answer"},
			{problem: "auth: no login"},
		} {
			if a := out.Acks[i]; a.Host != refs[i].Name || a.Held != want.held || !strings.Contains(a.Problem, want.problem) || (a.Problem != "") != (want.problem != "") || a.At.IsZero() {
				t.Errorf("%+v, want %+v", a, want)
			}
		}
		if waits.waits[zone] != theKey || strange.waits[zone] != theKey || inPlace.stages != 0 {
			t.Error("the key does not wait where it should, or where it should not")
		}
		if waits.files[zone] != oldKey || waits.wrote+inPlace.wrote+program.wrote != 0 {
			t.Error("a live file was written")
		}
		l.Leave()
		if out, err := run(t, t.Context(), l.Stage, stageIn(t, boxes, refs[:1])); err != nil || !out.Leaving || out.Queue != "" {
			t.Errorf("a worker that leaves: %+v, %v", out, err)
		}
	})
}

// What may not be delivered is not staged either.
func TestStageWhatIsNotForThatHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boxes := newSeals(t, hk)
		one, two := shelved(holding(oldKey)), shelved(holding(oldKey))
		l, refs := shelves(boxes, one, two)
		in := stageIn(t, boxes, refs[:1])
		in.Hosts = refs
		out, err := run(t, t.Context(), l.Stage, in)
		if err != nil || out.Acks[0].Problem != "" || !strings.Contains(out.Acks[1].Problem, "was sealed for h1; this worker gives it to no other host") {
			t.Errorf("%+v, %v", out, err)
		}
		one.waits[zone] = ""
		for name, spoil := range map[string]func(*activities.StageIn){
			"sealed for another zone":   func(in *activities.StageIn) { in.Zone = "zone-b" },
			"not sealed":                func(in *activities.StageIn) { in.Sealed = nil },
			"another key than was told": func(in *activities.StageIn) { in.Key = "0000000000000000" },
			"too old": func(in *activities.StageIn) {
				in.Sealed, _ = boxes.Seal(hk, zone, rotation.NewSecret(theKey), rotation.GrantFor([]rotation.HostName{"h1"}, time.Now().Add(-time.Hour), time.Hour))
			},
		} {
			in := stageIn(t, boxes, refs[:1])
			spoil(&in)
			if out, err := run(t, t.Context(), l.Stage, in); err != nil || out.Unopened == "" || out.Queue != "" || len(out.Acks) != 1 || out.Acks[0].Problem == "" {
				t.Errorf("%s: %+v, %v", name, out, err)
			}
		}
		for _, from := range []asker{{"zone/another", activities.ZoneType}, {activities.ZoneWorkflow(zone), "Other"}, {}} {
			if out, err := runFrom(t, t.Context(), from, l.Stage, stageIn(t, boxes, refs[:1])); err != nil || out.Unopened == "" {
				t.Errorf("asked for by %+v: %+v, %v", from, out, err)
			}
			if _, err := runFrom(t, t.Context(), from, l.Unstage, activities.UnstageIn{Zone: zone, Hosts: refs}); err == nil {
				t.Errorf("asked for by %+v, it removed what waits", from)
			}
		}
		if one.waits[zone]+two.waits[zone]+one.waits["zone-b"] != "" {
			t.Error("a key waits that may not")
		}
	})
}

// What waits is put in place; where nothing does, the whole key comes in the same
// activity. What a host refuses it refuses.
func TestDeliverStaged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boxes := newSeals(t, hk)
		waits, bare, strange, program := shelved(holding(oldKey)), shelved(holding(oldKey)), shelved(holding("a stranger's")), holding(oldKey)
		inPlace := shelved(holding(oldKey))
		waits.waits[zone], strange.waits[zone], inPlace.waits[zone], inPlace.inPlace = theKey, theKey, theKey, true
		bare.waits[zone] = "another key"
		l, refs := shelves(boxes, waits, bare, strange, program, inPlace)
		in := deliverIn(t, boxes, refs)
		in.Staged = true
		out, err := run(t, t.Context(), l.Deliver, in)
		if err != nil || out.Unopened != "" {
			t.Fatalf("%+v, %v", out, err)
		}
		for i, held := range []rotation.Fingerprint{print(theKey), print(theKey), print("a stranger's"), print(theKey), print(theKey)} {
			if a := out.Acks[i]; a.Held != held || (a.Problem != "") != (i == 2) || a.Refused != (i == 2) {
				t.Errorf("%+v", a)
			}
		}
		if got := []int{waits.wrote, bare.wrote, strange.wrote, program.wrote, inPlace.wrote}; !slices.Equal(got, []int{0, 1, 0, 1, 1}) {
			t.Errorf("the whole key was written %v times", got)
		}
		// Nobody says that it waits: the whole key.
		waits.files[zone], waits.waits[zone] = oldKey, theKey
		if _, err := run(t, t.Context(), l.Deliver, deliverIn(t, boxes, refs[:1])); err != nil || waits.wrote != 1 {
			t.Errorf("it was written %d times, %v", waits.wrote, err)
		}
	})
}

func TestUnstage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boxes := newSeals(t, hk)
		waits, bare, full, hangs := shelved(holding(oldKey)), shelved(holding(oldKey)), shelved(holding(oldKey)), shelved(&machine{hangs: true})
		waits.waits[zone], full.fail = theKey, &rotation.HostError{Step: rotation.StepWrite, Why: "read-only"}
		l, refs := shelves(boxes, waits, bare, full, holding(oldKey), hangs, shelved(holding(oldKey)))
		refs[5].Digest = "another-definition"
		began, limit := time.Now(), activities.LimitsFor(0).Unstage
		out, err := runWithin(t, limit.Close, l.Unstage, activities.UnstageIn{Zone: zone, Hosts: refs})
		if err != nil || !slices.Equal(out.Left, []rotation.HostName{"h3", "h5", "h6"}) || waits.waits[zone] != "" {
			t.Errorf("%+v, %v, %v", out, err, waits.waits)
		}
		if took := time.Since(began); took > limit.Close {
			t.Errorf("it took %s of %s", took, limit.Close)
		}
	})
}

// BeginActivate implements rotation.StagedBeginner.
func (s *shelf) BeginActivate(_ context.Context, z rotation.ZoneID, key rotation.Fingerprint, expect []rotation.Fingerprint) rotation.Begun {
	s.began = append(s.began, time.Now())
	return &activating{s, z, key, expect}
}

type activating struct {
	s      *shelf
	zone   rotation.ZoneID
	key    rotation.Fingerprint
	expect []rotation.Fingerprint
}

func (a *activating) Put(ctx context.Context, _ rotation.Secret) (rotation.Fingerprint, error) {
	return a.s.Activate(ctx, a.zone, a.key, a.expect)
}

func (a *activating) Close() { a.s.closed++ }

// Hosts begin to put a staged key in place when the switch is signed, and not before; those
// on which nothing waits begin a put.
func TestSwitchBeginsItsActivations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boxes, k := newSeals(t, hk), newKeeper(t)
		waits, whole := shelved(holding(oldKey)), shelved(holding(oldKey))
		whole.inPlace = true
		l, refs := shelves(boxes, waits, whole)
		l.Queue = "keywave-location-hk-me"
		s := &switcher{calls: []call{limited(3*time.Second, answers("", time.Second))}}
		e := &activities.EdgeOne{API: &edgeOne{describes: []call{answers(theKey, 0)}}, Switcher: s, Sealer: boxes, Keeper: k, Holders: gives(refs), Beside: []*activities.Location{l}}
		out, err := run(t, t.Context(), e.Mint, activities.MintIn{Zone: zone, Hosts: refs, Baseline: print(oldKey)})
		if err != nil || out.Why != "" {
			t.Fatalf("%+v, %v", out, err)
		}
		key := k.keys[0]
		waits.waits[zone] = key
		in := activities.SwitchIn{
			Zone: zone, Hosts: refs, Key: out.Key, Kept: out.Kept, Minted: out.Minted, Baseline: print(oldKey),
			StagedAt: out.Minted, ProofFor: rotation.Span(time.Minute), Straight: []string{l.Queue, l.Queue}, Expect: []rotation.Fingerprint{print(oldKey)},
		}
		asked := time.Now()
		switched, err := run(t, t.Context(), e.Switch, in)
		if err != nil || switched.Sending != activities.Answered || len(switched.Acks) != 2 {
			t.Fatalf("%+v, %v", switched, err)
		}
		for name, h := range map[string]*shelf{"staged": waits, "in place": whole} {
			if len(h.began) != 1 || h.began[0].Sub(asked) != 3*time.Second || h.closed != 1 {
				t.Errorf("%s: began %v, %d closed", name, h.began, h.closed)
			}
			if h.files[zone] != key {
				t.Errorf("%s: the host does not hold the key", name)
			}
		}
		if waits.wrote != 0 || whole.wrote != 1 {
			t.Errorf("%d and %d keys were written", waits.wrote, whole.wrote)
		}
	})
}

// sworn is a shelf that gives proofs, or does not.
type sworn struct {
	*shelf
	wrong  error
	proofs int
}

func (s *sworn) Prove(ctx context.Context, zones []rotation.ZoneID) (rotation.Shown, error) {
	s.proofs++
	if s.wrong != nil {
		return rotation.Shown{}, s.wrong
	}
	return s.shelf.Prove(ctx, zones)
}

// A key that waits shows the file, and not the commands that serve it: before the first one
// its host gives a proof, and again when that is a minute old.
func TestStageHasItsHostGiveAProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boxes := newSeals(t, hk)
		host := &sworn{shelf: shelved(holding("old")), wrong: &rotation.HostError{Step: rotation.StepReload, Why: "no such program"}}
		l, refs := shelves(boxes, host)
		stage := func() rotation.Ack {
			t.Helper()
			out, err := run(t, t.Context(), l.Stage, stageIn(t, boxes, refs))
			if err != nil {
				t.Fatal(err)
			}
			return out.Acks[0]
		}
		if ack := stage(); !strings.Contains(ack.Problem, "no such program") || host.stages != 0 {
			t.Errorf("%+v, %d keys wait", ack, host.stages)
		}
		host.wrong = nil
		for range 3 {
			if ack := stage(); ack.Problem != "" {
				t.Errorf("%+v", ack)
			}
		}
		if host.proofs != 2 || host.stages != 3 {
			t.Errorf("%d proofs and %d stages, want the one that failed, one more, and 3", host.proofs, host.stages)
		}
		time.Sleep(time.Minute)
		if stage(); host.proofs != 3 {
			t.Errorf("after a minute there were %d proofs, want 3", host.proofs)
		}
	})
}

// A proof that the host gave for a plan, or before a refresh, counts too.
func TestStageReliesOnAProofOfAMomentAgo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boxes := newSeals(t, hk)
		host := &sworn{shelf: shelved(holding(oldKey))}
		l, refs := shelves(boxes, host)
		if out, err := run(t, t.Context(), l.Prove, proveIn(t, boxes, refs)); err != nil || out.Proofs[0].Problem != "" {
			t.Fatalf("%+v, %v", out, err)
		}
		before := host.proofs
		if out, err := run(t, t.Context(), l.Stage, stageIn(t, boxes, refs)); err != nil || out.Acks[0].Problem != "" || host.proofs != before || before != 1 {
			t.Errorf("%+v, %v; %d proofs, then %d", out, err, before, host.proofs)
		}
	})
}
