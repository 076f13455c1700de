package activities_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"keywave/activities"
	"keywave/internal/rotation"
)

const oldKey = "the old key"

// place is a location worker with hosts h1…, defined as in its fleet file.
func place(boxes seals, machines ...*machine) (*activities.Location, []rotation.HostRef) {
	hosts := activities.Machines{}
	l := &activities.Location{Name: hk, Opener: boxes, Queue: "keywave-location-hk@1", Hosts: func() activities.Machines { return hosts }}
	var refs []rotation.HostRef
	for i, m := range machines {
		ref := rotation.HostRef{Name: rotation.HostName("h" + string(rune('1'+i))), Location: hk, Digest: "digest-of-the-plan"}
		hosts[ref.Name] = activities.Machine{Host: m, Digest: ref.Digest}
		refs = append(refs, ref)
	}
	return l, refs
}

func proveIn(t *testing.T, boxes seals, refs []rotation.HostRef) activities.ProveIn {
	t.Helper()
	probe, err := run(t, t.Context(), (&activities.EdgeOne{Sealer: boxes}).Probe, activities.ProbeIn{Locations: []rotation.Location{hk}})
	if err != nil {
		t.Fatal(err)
	}
	in := activities.ProveIn{Location: hk, Sealed: probe.Sealed[hk], Fingerprint: probe.Fingerprint}
	for _, r := range refs {
		in.Hosts = append(in.Hosts, activities.ProveHost{Host: r, Zones: []activities.ProveZone{{ID: zone, Baseline: print(oldKey)}, {ID: "zone-b", Baseline: rotation.Absent}}})
	}
	return in
}

func TestProve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boxes := newSeals(t, hk)
		l, refs := place(boxes, holding(oldKey), holding("a stranger's"), holding(""), &machine{fail: &rotation.HostError{Step: rotation.StepWrite, Why: "disk full"}}, holding(oldKey))
		stranger := refs[0]
		stranger.Name = "h9"
		refs[4].Digest = "another-definition"
		out, err := run(t, t.Context(), l.Prove, proveIn(t, boxes, append(refs, stranger)))
		if err != nil || len(out.Proofs) != 6 {
			t.Fatalf("%+v, %v", out, err)
		}
		for i, want := range []struct {
			drift   map[rotation.ZoneID]rotation.Fingerprint
			problem string
		}{
			{},
			{drift: map[rotation.ZoneID]rotation.Fingerprint{zone: print("a stranger's")}},
			{drift: map[rotation.ZoneID]rotation.Fingerprint{zone: rotation.Absent}},
			{problem: "write: disk full"},
			{problem: "is not the one in the plan: it differs in its digest (digest-o, planned another-)"},
			{problem: "host h9 is not in location hk"},
		} {
			p := out.Proofs[i]
			if len(p.Drift) != len(want.drift) || p.Drift[zone] != want.drift[zone] || !strings.Contains(p.Problem, want.problem) || (p.Problem != "") != (want.problem != "") {
				t.Errorf("%+v, want %+v", p, want)
			}
			if p.Queue != l.Queue || p.At.IsZero() {
				t.Errorf("%+v", p)
			}
		}
	})
}

// A proof that relies on what a host did before is as old as that.
func TestProveAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boxes := newSeals(t, hk)
		one, two := holding(oldKey), holding(oldKey)
		one.age, two.age = 7*time.Second, 7*time.Second
		l, refs := place(boxes, one, two)
		in := proveIn(t, boxes, refs)
		in.Hosts[0].Recent = rotation.Span(10 * time.Second)
		out, err := run(t, t.Context(), l.Prove, in)
		if err != nil || out.Proofs[1].At.Sub(out.Proofs[0].At) != 7*time.Second || one.within != 10*time.Second || two.within != 0 {
			t.Errorf("%+v, %v, within %s and %s", out.Proofs, err, one.within, two.within)
		}
	})
}

// What people should know of hosts comes with their proofs.
func TestProveNotesAndTwins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boxes := newSeals(t, hk)
		one, two := holding(oldKey), holding(oldKey)
		one.notes = []string{"its certificate ends soon"}
		l, refs := place(boxes, one, two) // one machine and one file
		in := proveIn(t, boxes, refs)
		if out, err := run(t, t.Context(), l.Prove, in); err != nil || len(out.Twins) > 0 {
			t.Errorf("nobody asked for twins: %+v, %v", out.Twins, err)
		}
		in.Twins = true
		out, err := run(t, t.Context(), l.Prove, in)
		if err != nil || len(out.Proofs) != 2 || len(out.Proofs[0].Notes) != 1 || len(out.Proofs[1].Notes) != 0 {
			t.Fatalf("%+v, %v", out, err)
		}
		if len(out.Twins) != 1 || out.Twins[0].Hosts != [2]rotation.HostName{refs[0].Name, refs[1].Name} || out.Twins[0].Shared {
			t.Errorf("twins %+v", out.Twins)
		}
	})
}

// A worker with another keyset than the one that keys are sealed with proves
// none of its hosts.
func TestProveWithoutTheKeyset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := holding(oldKey)
		l, refs := place(newSeals(t, hk), m)
		out, err := run(t, t.Context(), l.Prove, proveIn(t, newSeals(t, hk), refs))
		if err != nil || out.Proofs[0].Problem != "no keyset opens this" {
			t.Errorf("%+v, %v", out, err)
		}
	})
}

func TestProveAnotherProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boxes := newSeals(t, hk)
		l, refs := place(boxes, holding(oldKey))
		in := proveIn(t, boxes, refs)
		in.Fingerprint = "0000000000000000"
		if out, err := run(t, t.Context(), l.Prove, in); err != nil || !strings.Contains(out.Proofs[0].Problem, "something else") {
			t.Errorf("%+v, %v", out, err)
		}
	})
}

func TestProveLooksWithoutAProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boxes := newSeals(t, hk)
		m := holding("a stranger's")
		m.other = []rotation.ZoneID{zone}
		l, refs := place(boxes, m)
		in := proveIn(t, boxes, refs)
		in.Look, in.Sealed, in.Fingerprint = true, nil, ""
		out, err := run(t, t.Context(), l.Prove, in)
		if err != nil || out.Proofs[0].Problem != "" || out.Proofs[0].Drift[zone] != print("a stranger's") || !slices.Equal(out.Proofs[0].Other, m.other) {
			t.Errorf("%+v, %v", out, err)
		}
	})
}

// A host that hangs is given up a second before the activity would time out,
// because a timeout would lose the proofs of the others.
func TestProveAHostThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boxes := newSeals(t, hk)
		l, refs := place(boxes, holding(oldKey), &machine{hangs: true})
		began := time.Now()
		out, err := run(t, t.Context(), l.Prove, proveIn(t, boxes, refs))
		if err != nil || out.Proofs[0].Problem != "" || !strings.Contains(out.Proofs[1].Problem, "no answer") {
			t.Errorf("%+v, %v", out, err)
		}
		if took := time.Since(began); took != 10*time.Minute-time.Second { // the timeout of the test environment
			t.Errorf("it took %s", took)
		}
	})
}

func deliverIn(t *testing.T, boxes seals, refs []rotation.HostRef) activities.DeliverIn {
	t.Helper()
	var names []rotation.HostName
	for _, r := range refs {
		names = append(names, r.Name)
	}
	sealed, err := boxes.Seal(hk, zone, rotation.NewSecret(theKey), rotation.GrantFor(names, time.Now(), time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return activities.DeliverIn{Zone: zone, Key: print(theKey), Sealed: sealed, Hosts: refs, Expect: []rotation.Fingerprint{rotation.Absent, print(oldKey)}}
}

func TestDeliver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boxes := newSeals(t, hk)
		machines := []*machine{holding(oldKey), holding(""), holding(theKey), holding("a stranger's"), {fail: &rotation.HostError{Step: rotation.StepReload, Why: "exit status 1"}}, {hangs: true}, holding(oldKey)}
		l, refs := place(boxes, machines...)
		refs[6].Digest = "another-definition"
		out, err := run(t, t.Context(), l.Deliver, deliverIn(t, boxes, refs))
		if err != nil || out.Unopened != "" || len(out.Acks) != len(refs) {
			t.Fatalf("%+v, %v", out, err)
		}
		for i, want := range []struct {
			held    rotation.Fingerprint
			refused bool
			problem string
		}{
			{held: print(theKey)},
			{held: print(theKey)},
			{held: print(theKey)},
			{held: print("a stranger's"), refused: true, problem: "nothing was changed"},
			{problem: "reload: exit status 1"},
			{problem: "no answer"},
			{problem: "is not the one in the plan"},
		} {
			a := out.Acks[i]
			if a.Host != refs[i].Name || a.Held != want.held || a.Refused != want.refused || !strings.Contains(a.Problem, want.problem) || (a.Problem != "") != (want.problem != "") || a.At.IsZero() {
				t.Errorf("%+v, want %+v", a, want)
			}
		}
		for i, want := range []int{1, 1, 0, 0, 0, 0, 0} {
			if machines[i].wrote != want {
				t.Errorf("%s was written to %d times", refs[i].Name, machines[i].wrote)
			}
		}
		if machines[3].files[zone] != "a stranger's" || machines[6].files[zone] != oldKey {
			t.Errorf("a key was overwritten that was not to be")
		}
	})
}

func TestDeliverWhatCannotBeOpened(t *testing.T) {
	boxes := newSeals(t, hk, eu)
	for name, spoil := range map[string]func(*activities.DeliverIn){
		"sealed with another keyset": func(in *activities.DeliverIn) {
			in.Sealed, _ = newSeals(t, hk).Seal(hk, zone, rotation.NewSecret(theKey), rotation.GrantFor([]rotation.HostName{"h1"}, time.Now(), time.Hour))
		},
		"sealed to another location": func(in *activities.DeliverIn) {
			in.Hosts[0].Location = eu
			in.Sealed, _ = boxes.Seal(eu, zone, rotation.NewSecret(theKey), rotation.GrantFor([]rotation.HostName{"h1"}, time.Now(), time.Hour))
		},
		"too old": func(in *activities.DeliverIn) {
			in.Sealed, _ = boxes.Seal(hk, zone, rotation.NewSecret(theKey), rotation.GrantFor([]rotation.HostName{"h1"}, time.Now().Add(-time.Hour), time.Hour))
		},
		"sealed for another zone":   func(in *activities.DeliverIn) { in.Zone = "zone-b" },
		"not sealed":                func(in *activities.DeliverIn) { in.Sealed = nil },
		"another key than was told": func(in *activities.DeliverIn) { in.Key = "0000000000000000" },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := holding(oldKey)
				l, refs := place(boxes, m)
				in := deliverIn(t, boxes, refs)
				spoil(&in)
				out, err := run(t, t.Context(), l.Deliver, in)
				if err != nil || out.Unopened == "" || len(out.Acks) != 1 || out.Acks[0].Problem == "" || m.wrote != 0 {
					t.Errorf("%+v, %v", out, err)
				}
			})
		})
	}
}

// A key goes only to the hosts for which it was sealed, whatever is asked for.
// A probe goes to no host.
func TestDeliverToNoOtherHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boxes := newSeals(t, hk)
		machines := []*machine{holding(oldKey), holding(oldKey), holding(oldKey), holding(oldKey)}
		l, refs := place(boxes, machines...)
		in := deliverIn(t, boxes, refs[:3])
		in.Hosts = refs[1:]
		out, err := run(t, t.Context(), l.Deliver, in)
		if err != nil || out.Unopened != "" || len(out.Acks) != 3 || out.Acks[0].Problem != "" || out.Acks[1].Problem != "" {
			t.Fatalf("%+v, %v", out, err)
		}
		if want := "the key of zone " + string(zone) + " was sealed for h1, h2 and h3; this worker gives it to no other host"; out.Acks[2].Problem != want {
			t.Errorf("%q, want %q", out.Acks[2].Problem, want)
		}
		if machines[0].wrote+machines[3].wrote != 0 {
			t.Error("a host was touched that was not asked for, or that the key is not for")
		}
		probe := proveIn(t, boxes, refs)
		out, err = run(t, t.Context(), l.Deliver, activities.DeliverIn{Zone: "keywave-probe", Key: probe.Fingerprint, Sealed: probe.Sealed, Hosts: refs[:1], Expect: []rotation.Fingerprint{rotation.Absent}})
		if err != nil || out.Acks[0].Problem == "" || machines[0].wrote != 0 {
			t.Errorf("a probe was taken for a key: %+v, %v", out, err)
		}
	})
}

// lying is a host whose file changes right after it took the key.
type lying struct{ *machine }

func (l lying) Put(ctx context.Context, z rotation.ZoneID, key rotation.Secret, expect []rotation.Fingerprint) (rotation.Fingerprint, error) {
	if _, err := l.machine.Put(ctx, z, key, expect); err != nil {
		return "", err
	}
	return print("a stranger's"), nil
}

func TestDeliverWhereSomebodyElseWritesTheFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boxes := newSeals(t, hk)
		m := holding(oldKey)
		l, refs := place(boxes, m)
		l.Hosts()["h1"] = activities.Machine{Host: lying{m}, Digest: refs[0].Digest}
		out, err := run(t, t.Context(), l.Deliver, deliverIn(t, boxes, refs))
		if err != nil || !strings.Contains(out.Acks[0].Problem, "somebody else writes this file") {
			t.Errorf("%+v, %v", out, err)
		}
	})
}

func TestProbeCannotBeSealed(t *testing.T) {
	_, err := run(t, t.Context(), (&activities.EdgeOne{Sealer: newSeals(t, hk)}).Probe, activities.ProbeIn{Locations: []rotation.Location{hk, eu}})
	if err == nil || !strings.Contains(err.Error(), "no keyset for location eu") {
		t.Errorf("%v", err)
	}
}

// A worker that stops serves the queue that its proofs name until nobody has used it for
// a while, tells whoever does, and gives no proof any more that names it.
func TestAWorkerThatStopsServesItsQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boxes := newSeals(t, hk)
		l, refs := place(boxes, holding(oldKey))
		if !l.Quiet(time.Second) {
			t.Error("it waits for deliveries, and has given no proof")
		}
		if out, err := run(t, t.Context(), l.Prove, proveIn(t, boxes, refs)); err != nil || out.Proofs[0].Queue != l.Queue {
			t.Fatalf("%+v, %v", out, err)
		}
		l.Leave()
		if l.Quiet(time.Second) {
			t.Error("it is quiet at once")
		}
		time.Sleep(900 * time.Millisecond)
		deliver := deliverIn(t, boxes, refs)
		if out, err := run(t, t.Context(), l.Deliver, deliver); err != nil || !out.Leaving || out.Acks[0].Problem != "" {
			t.Errorf("%+v, %v", out, err)
		}
		time.Sleep(900 * time.Millisecond)
		if l.Quiet(time.Second) {
			t.Error("it is quiet 900 ms after a delivery")
		}
		time.Sleep(200 * time.Millisecond)
		if !l.Quiet(time.Second) {
			t.Error("it is never quiet")
		}
		if out, err := run(t, t.Context(), l.Prove, proveIn(t, boxes, refs)); err != nil || out.Proofs[0].Queue != "" {
			t.Errorf("its proof names a queue that is soon gone: %+v, %v", out, err)
		}
	})
}

// A heartbeat that Temporal did not take in time ends no work at hosts. Whatever Temporal
// says, and the worker's end, does.
func TestOneLateHeartbeatEndsNoWork(t *testing.T) {
	for _, c := range []struct {
		name  string
		cause error
		ends  bool
	}{
		{"no answer in time", context.DeadlineExceeded, false},
		{"Temporal is away", serviceerror.NewUnavailable("connection refused"), false},
		{"Temporal has too much to do", serviceerror.NewResourceExhausted(enums.RESOURCE_EXHAUSTED_CAUSE_SYSTEM_OVERLOADED, "overloaded"), false},
		{"cancelled", temporal.NewCanceledError(), true},
		{"counted as lost", serviceerror.NewNotFound("no such activity"), true},
		{"paused", activity.ErrActivityPaused, true},
		{"the worker stops", context.Canceled, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				boxes := newSeals(t, hk)
				l, refs := place(boxes, &machine{hangs: true})
				in := proveIn(t, boxes, refs)
				ctx, end := context.WithCancelCause(t.Context())
				end(c.cause)
				began := time.Now()
				out, err := run(t, ctx, l.Prove, in)
				if ended := time.Since(began) < time.Second; err != nil || out.Proofs[0].Problem == "" || ended != c.ends {
					t.Errorf("after %s: %+v, %v", time.Since(began), out, err)
				}
			})
		})
	}
}
