package activities_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"keywave/activities"
	"keywave/internal/rotation"
)

// keeps is an account's worker whose fleet file keeps former keys for that long.
func keeps(t *testing.T, k *keeper, lasts time.Duration, reads ...call) *activities.EdgeOne {
	t.Helper()
	return &activities.EdgeOne{
		API: &edgeOne{describes: reads}, Sealer: newSeals(t, hk, eu), Keeper: k, Holders: gives(hosts),
		RollbackFor: func() time.Duration { return lasts },
	}
}

// keepIn asks for a new key in the place of theKey, which is to be kept for that long.
func keepIn(lasts time.Duration) activities.MintIn {
	return activities.MintIn{Zone: zone, Hosts: hosts, Baseline: print(theKey), RollbackFor: rotation.Span(lasts)}
}

// formerOf has theKey kept for an hour, and gives all that a history has of it. The new
// key is the last of the keeper's.
func formerOf(t *testing.T, k *keeper) activities.MintOut {
	t.Helper()
	out, err := run(t, t.Context(), keeps(t, k, time.Hour, answers(theKey, 0)).Mint, keepIn(time.Hour))
	if err != nil || out.Former == nil {
		t.Fatalf("%+v, %v", out, err)
	}
	return out
}

// backIn asks for a former key in the place of the one that replaced it.
func backIn(out activities.MintOut) activities.MintIn {
	return activities.MintIn{Zone: zone, Hosts: hosts, Baseline: out.Key, Former: out.Former}
}

func backTo(t *testing.T, out activities.MintOut) activities.SwitchIn {
	t.Helper()
	return activities.SwitchIn{
		Zone: zone, Hosts: hosts, Key: out.Former.Key, Minted: time.Now(), Baseline: out.Key, Former: out.Former,
		StagedAt: time.Now(), ProofFor: rotation.Span(time.Minute),
	}
}

// A key that is about to be replaced is kept for the shorter of what was asked for and what
// the worker's own fleet file says, and nobody but the account's workers can open it.
func TestTheFormerKeyIsKept(t *testing.T) {
	for name, c := range map[string]struct{ asked, own, lasts time.Duration }{
		"asked for longer":  {24 * time.Hour, time.Hour, time.Hour},
		"asked for shorter": {time.Hour, 24 * time.Hour, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newKeeper(t)
				began := time.Now()
				out, err := run(t, t.Context(), keeps(t, k, c.own, answers(theKey, time.Second)).Mint, keepIn(c.asked))
				if err != nil || out.Why != "" || out.Note != "" || out.Former == nil || out.API != (rotation.API{Describe: 1}) {
					t.Fatalf("%+v, %v", out, err)
				}
				f := *out.Former
				if f.Key != print(theKey) || f.For != out.Key || !f.At.Equal(began.Add(time.Second)) || f.Until.Sub(f.At) != c.lasts {
					t.Errorf("%+v", f)
				}
				key, err := k.Open(f.Bound(zone), f.Kept)
				if err != nil || key.Expose() != theKey {
					t.Errorf("the account's workers cannot open it: %v", err)
				}
				if _, err := newKeeper(t).Open(f.Bound(zone), f.Kept); err == nil {
					t.Error("anybody can open it")
				}
				if body, err := json.Marshal(out); err != nil || strings.Contains(string(body), k.keys[1]) {
					t.Errorf("the result shows the new key (%v)", err)
				}
			})
		})
	}
}

// Where the key that is to be replaced cannot be kept although it is to be, nothing is
// minted. Where it is not to be, or there is none, one is minted all the same.
func TestTheFormerKeyIsNotKept(t *testing.T) {
	for _, c := range []struct {
		name   string
		reads  call
		own    time.Duration
		set    func(*activities.MintIn, *keeper)
		says   string
		code   string
		halt   bool
		live   rotation.Fingerprint
		kind   activities.Kind
		note   string
		mints  bool
		unread bool
	}{
		{name: "the lease is lost", reads: unsigned(errors.New("this process is not the active one")), own: time.Hour, kind: activities.KindLease, says: "not the active one"},
		{name: "unreadable", reads: fails(rotation.Ambiguous, "InternalError"), own: time.Hour, says: "could not be read", code: "InternalError"},
		{name: "denied", reads: fails(rotation.Denied, "AuthFailure"), own: time.Hour, says: "could not be read", code: "AuthFailure", halt: true},
		{name: "another key is live", reads: answers("another", 0), own: time.Hour, live: print("another")},
		{name: "the zone has no key any more", reads: answers("", 0), own: time.Hour, live: rotation.Absent},
		{name: "no keyset of the account", reads: answers(theKey, 0), own: time.Hour, set: func(_ *activities.MintIn, k *keeper) { k.err = errors.New("the account has no keyset") }, says: "the account has no keyset", halt: true},
		{name: "the worker's fleet file keeps none", reads: answers(theKey, 0), note: "rollbackFor is 0", mints: true, unread: true},
		{name: "nobody asks for it", reads: answers(theKey, 0), own: time.Hour, set: func(in *activities.MintIn, _ *keeper) { in.RollbackFor = 0 }, mints: true, unread: true},
		{name: "there is no key yet", reads: answers("", 0), own: time.Hour, set: func(in *activities.MintIn, _ *keeper) { in.Baseline = rotation.Absent }, mints: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k, in := newKeeper(t), keepIn(time.Hour)
				if c.set != nil {
					c.set(&in, k)
				}
				act := keeps(t, k, c.own, c.reads)
				out, err := run(t, t.Context(), act.Mint, in)
				if (err != nil) != (c.kind != "") || err != nil && (!strings.Contains(err.Error(), string(c.kind)) || !strings.Contains(err.Error(), c.says)) {
					t.Fatalf("%+v, %v", out, err)
				}
				if err == nil && !strings.Contains(out.Why, c.says) || out.Code != c.code || out.Halt != c.halt || out.Live != c.live || !strings.Contains(out.Note, c.note) || (out.Note != "") != (c.note != "") {
					t.Errorf("%+v", out)
				}
				if out.Former != nil || (out.Key != "") != c.mints || (out.Kept != nil) != c.mints || (out.Sealed != nil) != c.mints {
					t.Errorf("%+v", out)
				}
				if reads := act.API.(*edgeOne).described; (reads == 0) != c.unread {
					t.Errorf("it was read %d times", reads)
				}
			})
		})
	}
}

// A worker whose fleet file says nothing of former keys keeps none.
func TestAWorkerWithoutASpanKeepsNoFormerKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		act := keeps(t, newKeeper(t), 0, answers(theKey, 0))
		act.RollbackFor = nil
		if out, err := run(t, t.Context(), act.Mint, keepIn(time.Hour)); err != nil || out.Former != nil || out.Note == "" {
			t.Errorf("%+v, %v", out, err)
		}
	})
}

// A former key is sealed for the hosts that are to have it again, and EdgeOne is given it,
// however often it is sent.
func TestAFormerKeyIsPutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(t)
		kept := formerOf(t, k)
		live := k.keys[len(k.keys)-1]
		time.Sleep(time.Hour - time.Second) // not yet its end
		act := keeps(t, k, time.Hour, answers(live, 0))
		boxes := newSeals(t, hk, eu)
		act.Sealer = boxes
		back, err := run(t, t.Context(), act.Mint, backIn(kept))
		if err != nil || back.Why != "" || back.Key != print(theKey) || back.Kept != nil || back.Former != nil || !back.Minted.Equal(time.Now()) {
			t.Fatalf("%+v, %v", back, err)
		}
		for _, l := range []rotation.Location{hk, eu} {
			key, grant, err := boxes.Open(l, zone, back.Sealed[l])
			if err != nil || key.Expose() != theKey || grant.Gives("h1") != (l == hk) || grant.Gives("h2") != (l == eu) {
				t.Errorf("%s may use it so: %+v, %v", l, grant, err)
			}
		}
		s := &switcher{calls: []call{fails(rotation.Throttled, "RequestLimitExceeded"), fails(rotation.Ambiguous, "InternalError"), answers("", 0)}}
		act.Switcher = s
		in := backTo(t, kept)
		out, err := run(t, t.Context(), act.Switch, in)
		if err != nil || out.Sending != activities.MaySent || out.API != (rotation.API{Modify: 2, Throttled: 1, Describe: 1}) {
			t.Errorf("%+v, %v", out, err)
		}
		out, err = run(t, t.Context(), act.Switch, in)
		if err != nil || out.Sending != activities.Answered || out.Key != print(theKey) || out.Sealed != nil || out.API != (rotation.API{Modify: 1, Describe: 1}) {
			t.Errorf("%+v, %v", out, err)
		}
		if len(s.got) != 3 || s.got[0] != theKey || s.got[1] != theKey || s.got[2] != theKey {
			t.Errorf("%d keys were sent, and not only the former one", len(s.got))
		}
	})
}

// asMinted is a former key that never was one: the new key, as it was sealed for the switch.
func asMinted(out *activities.MintOut, _ *keeper) {
	out.Former = &rotation.Former{Key: out.Key, For: print(theKey), At: out.Minted, Until: out.Minted.Add(time.Hour), Kept: out.Kept}
	out.Key = print(theKey)
}

// sealedBy has a former key kept by another keyset, or for another use.
func sealedBy(by func(t *testing.T, k *keeper) *keeper, change func(*rotation.Bound)) func(*testing.T, *activities.MintOut, *keeper) {
	return func(t *testing.T, out *activities.MintOut, k *keeper) {
		bound := out.Former.Bound(zone)
		change(&bound)
		var err error
		if out.Former.Kept, err = by(t, k).Seal(bound, rotation.NewSecret(theKey)); err != nil {
			t.Fatal(err)
		}
	}
}

// What was not kept for this zone, in the place of that key and until then, is not put
// back, whatever stands in a history, and neither after the time that the worker's own
// fleet file gives. EdgeOne is not even asked, and other zones go on.
func TestAFormerKeyIsRefused(t *testing.T) {
	ours, theirs := func(_ *testing.T, k *keeper) *keeper { return k }, func(t *testing.T, _ *keeper) *keeper { return newKeeper(t) }
	moved := func(change func(*rotation.Former)) func(*testing.T, *activities.MintOut, *keeper) {
		return func(_ *testing.T, out *activities.MintOut, _ *keeper) { change(out.Former) }
	}
	for _, c := range []struct {
		name  string
		own   time.Duration
		later time.Duration
		set   func(*testing.T, *activities.MintOut, *keeper)
		says  string
	}{
		{name: "it is over", own: 24 * time.Hour, later: time.Hour, says: "could be used until"},
		{name: "it is over by the worker's own fleet file", own: time.Minute, later: time.Minute, says: "could be used until"},
		{name: "the worker's fleet file keeps none", says: "rollbackFor is 0"},
		{name: "EdgeOne's key is not the one that it was kept for", own: time.Hour, set: func(_ *testing.T, out *activities.MintOut, _ *keeper) { out.Key = print("another") }, says: "was kept to replace"},
		{name: "and a history that says it is", own: time.Hour, set: func(_ *testing.T, out *activities.MintOut, _ *keeper) {
			out.Key = print("another")
			out.Former.For = out.Key
		}, says: "message authentication failed"},
		{name: "its end was moved", own: 24 * time.Hour, later: 2 * time.Hour, set: moved(func(f *rotation.Former) { f.Until = f.Until.Add(5 * time.Hour) }), says: "message authentication failed"},
		{name: "its time was moved", own: time.Hour, later: 30 * time.Minute, set: moved(func(f *rotation.Former) { f.At = f.At.Add(30 * time.Minute) }), says: "message authentication failed"},
		{name: "another key is named", own: time.Hour, set: moved(func(f *rotation.Former) { f.Key = print("another") }), says: "not the one"},
		{name: "nothing was kept", own: time.Hour, set: moved(func(f *rotation.Former) { f.Kept = nil }), says: "message authentication failed"},
		{name: "a key in clear", own: time.Hour, set: moved(func(f *rotation.Former) { f.Kept = []byte("another"); f.Key = print("another") }), says: "message authentication failed"},
		{name: "another keyset", own: time.Hour, set: sealedBy(theirs, func(*rotation.Bound) {}), says: "message authentication failed"},
		{name: "another zone", own: time.Hour, set: sealedBy(ours, func(to *rotation.Bound) { to.Zone = "zone-b" }), says: "message authentication failed"},
		{name: "another purpose", own: time.Hour, set: sealedBy(ours, func(to *rotation.Bound) { to.Purpose = rotation.ForSwitch }), says: "message authentication failed"},
		{name: "a key that was minted, and not kept", own: time.Hour, set: func(_ *testing.T, out *activities.MintOut, k *keeper) { asMinted(out, k) }, says: "message authentication failed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newKeeper(t)
				out := formerOf(t, k)
				live := k.keys[len(k.keys)-1]
				if c.set != nil {
					c.set(t, &out, k)
				}
				time.Sleep(c.later)
				act, s := keeps(t, k, c.own, answers(live, 0)), &switcher{calls: []call{answers("", 0)}}
				act.Switcher = s
				back, err := run(t, t.Context(), act.Mint, backIn(out))
				if err != nil || !strings.Contains(back.Why, c.says) || !strings.Contains(back.Why, "it is not put back") || back.Code != "FormerKey" || back.Halt || back.Again || back.Key != "" || back.Sealed != nil {
					t.Errorf("%+v, %v", back, err)
				}
				sw, err := run(t, t.Context(), act.Switch, backTo(t, out))
				if err != nil || sw.Sending != activities.Refused || !strings.Contains(sw.Why, c.says) || sw.Code != "FormerKey" || sw.Halt {
					t.Errorf("%+v, %v", sw, err)
				}
				if reads := act.API.(*edgeOne).described; reads > 0 || len(s.got) > 0 {
					t.Errorf("EdgeOne was asked %d times, and given %d keys", reads, len(s.got))
				}
			})
		})
	}
}

// The sealed copy of a former key is no key that a switch takes for a new one: that would
// be a way around its end.
func TestAFormerKeyIsNoNewKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(t)
		out := formerOf(t, k)
		s := &switcher{calls: []call{answers("", 0)}}
		got := switchWith(t, t.Context(), s, k, activities.SwitchIn{
			Zone: zone, Hosts: hosts, Key: out.Former.Key, Kept: out.Former.Kept, Minted: out.Former.At, Baseline: out.Former.For,
			StagedAt: time.Now(), ProofFor: rotation.Span(time.Minute),
		})
		if got.Sending != activities.Refused || len(s.got) > 0 {
			t.Errorf("%+v, %d sent", got, len(s.got))
		}
	})
}

// A switch back to another key than the former one is refused, though that may be put back.
func TestAFormerKeyIsTheOneThatWasAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(t)
		kept := formerOf(t, k)
		act, s := keeps(t, k, time.Hour, answers(k.keys[1], 0)), &switcher{calls: []call{answers("", 0)}}
		act.Switcher = s
		in := backTo(t, kept)
		in.Key = print("another")
		if out, err := run(t, t.Context(), act.Switch, in); err != nil || out.Sending != activities.Refused || len(s.got) > 0 {
			t.Errorf("%+v, %v, %d sent", out, err, len(s.got))
		}
	})
}

// Immediately before a former key is put back, EdgeOne is asked whether it holds the key
// that may be replaced. Where it does not, or does not say, nothing is sent.
func TestASwitchBackReadsFirst(t *testing.T) {
	for _, c := range []struct {
		name  string
		reads call
		want  activities.Sending
		code  string
		again bool
		halt  bool
		back  rotation.Handback
		says  string
	}{
		{name: "another key is live", reads: answers("another", 0), want: activities.Refused, code: "FormerKey", says: "EdgeOne holds " + string(print("another"))},
		{name: "the zone has no key any more", reads: answers("", 0), want: activities.Refused, code: "FormerKey", says: "EdgeOne holds " + string(rotation.Absent)},
		{name: "the former key is live", reads: answers(theKey, 0), want: activities.Refused, code: "FormerKey", says: "EdgeOne holds " + string(print(theKey))},
		{name: "unreadable", reads: fails(rotation.Ambiguous, "InternalError"), want: activities.NotSent, again: true, back: rotation.BackUnreached, says: "could not be read"},
		{name: "denied", reads: fails(rotation.Denied, "AuthFailure"), want: activities.NotSent, again: true, halt: true, back: rotation.BackUnreached, says: "could not be read"},
		{name: "the lease is lost", reads: unsigned(errors.New("this process is not the active one")), want: activities.NotSent, again: true, back: rotation.BackNoWorker, says: "not the active one"},
		{name: "cancelled meanwhile", reads: answers("", time.Minute), want: activities.NotSent, back: rotation.BackStopped, says: "cancelled"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newKeeper(t)
				kept := formerOf(t, k)
				act, s := keeps(t, k, time.Hour, c.reads), &switcher{calls: []call{answers("", 0)}}
				act.Switcher = s
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if c.back == rotation.BackStopped {
					time.AfterFunc(time.Second, cancel)
				}
				out, err := run(t, ctx, act.Switch, backTo(t, kept))
				if err != nil || out.Sending != c.want || out.Code != c.code || out.Again != c.again || out.Halt != c.halt || out.Back != c.back || !strings.Contains(out.Why, c.says) {
					t.Errorf("%+v, %v", out, err)
				}
				if len(s.got) > 0 || out.API.Modify > 0 || act.API.(*edgeOne).described == 0 {
					t.Errorf("%d keys were sent, calls %+v", len(s.got), out.API)
				}
			})
		})
	}
}
