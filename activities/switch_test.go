package activities_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"keywave/activities"
	"keywave/internal/rotation"
)

// switcher is EdgeOne's call that takes a key. It remembers every key that was sent.
type switcher struct {
	mu    sync.Mutex
	calls []call // in turn; the last one stays
	got   []string
}

func (s *switcher) Modify(ctx context.Context, _ rotation.ZoneID, key rotation.Secret, ready func() error) (rotation.Receipt, error) {
	s.mu.Lock()
	c := s.calls[0]
	if len(s.calls) > 1 {
		s.calls = s.calls[1:]
	}
	s.mu.Unlock()
	_, receipt, err := c(ctx, ready)
	if !receipt.Signed.IsZero() {
		s.mu.Lock()
		s.got = append(s.got, key.Expose())
		s.mu.Unlock()
	}
	return receipt, err
}

// minted is a key as it stands in a history, and the key.
func minted(t *testing.T, k *keeper) (activities.SwitchIn, string) {
	t.Helper()
	act := &activities.EdgeOne{Sealer: newSeals(t, hk, eu), Keeper: k, Holders: gives(hosts)}
	out, err := run(t, t.Context(), act.Mint, mintIn())
	if err != nil || out.Why != "" {
		t.Fatalf("%+v, %v", out, err)
	}
	return activities.SwitchIn{
		Zone: zone, Hosts: hosts, Key: out.Key, Kept: out.Kept, Minted: out.Minted, Baseline: print(oldKey),
		StagedAt: out.Minted, ProofFor: rotation.Span(time.Minute),
	}, k.keys[len(k.keys)-1]
}

func switchWith(t *testing.T, ctx context.Context, s *switcher, k rotation.Keeper, in activities.SwitchIn) activities.RefreshOut {
	t.Helper()
	act := &activities.EdgeOne{Switcher: s, Keeper: k, Holders: gives(hosts)}
	out, err := run(t, ctx, act.Switch, in)
	if err != nil {
		t.Fatalf("a switch never fails, for what is known would be lost: %v", err)
	}
	return out
}

// However often it is called, EdgeOne is given the key that was minted.
func TestSwitchSendsTheMintedKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, s := newKeeper(t), &switcher{calls: []call{fails(rotation.Throttled, "RequestLimitExceeded"), fails(rotation.Ambiguous, "InternalError"), answers("", 0)}}
		in, key := minted(t, k)
		if out := switchWith(t, t.Context(), s, k, in); out.Sending != activities.MaySent || out.API != (rotation.API{Modify: 2, Throttled: 1}) {
			t.Errorf("%+v", out)
		}
		out := switchWith(t, t.Context(), s, k, in)
		if out.Sending != activities.Answered || out.Key != in.Key || out.Sealed != nil || out.API != (rotation.API{Modify: 1}) {
			t.Errorf("%+v", out)
		}
		if len(s.got) != 3 || s.got[0] != key || s.got[1] != key || s.got[2] != key {
			t.Errorf("%d keys were sent, and not only the minted one", len(s.got))
		}
	})
}

// What a worker of the account has not minted for this zone, at that time and to replace
// that key, is never sent.
func TestSwitchRefusesAForgedKey(t *testing.T) {
	forged := func(t *testing.T, in activities.SwitchIn) activities.SwitchIn { // whoever writes to Temporal seals a key of his own, with a keyset of his own
		var raw [32]byte
		_, _ = rand.Read(raw[:])
		key := rotation.NewSecret(base64.StdEncoding.EncodeToString(raw[:]))
		in.Key = print(key.Expose())
		in.Kept, _ = newKeeper(t).Seal(rotation.Bound{Zone: zone, Purpose: rotation.ForSwitch, Minted: in.Minted, Baseline: in.Baseline}, key)
		return in
	}
	for name, change := range map[string]func(*testing.T, activities.SwitchIn) activities.SwitchIn{
		"sealed by another":   forged,
		"another fingerprint": func(_ *testing.T, in activities.SwitchIn) activities.SwitchIn { in.Key = print(theKey); return in },
		"another baseline": func(_ *testing.T, in activities.SwitchIn) activities.SwitchIn {
			in.Baseline = print(theKey)
			return in
		},
		"a younger key": func(_ *testing.T, in activities.SwitchIn) activities.SwitchIn {
			in.Minted = in.Minted.Add(time.Second)
			return in
		},
		"nothing": func(_ *testing.T, in activities.SwitchIn) activities.SwitchIn { in.Kept = nil; return in },
		"a key in clear": func(_ *testing.T, in activities.SwitchIn) activities.SwitchIn {
			in.Kept, in.Key = []byte(theKey), print(theKey)
			return in
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k, s := newKeeper(t), &switcher{calls: []call{answers("", 0)}}
				in, key := minted(t, k)
				out := switchWith(t, t.Context(), s, k, change(t, in))
				if out.Sending != activities.Refused || !out.Halt || len(s.got) > 0 {
					t.Errorf("%+v, %d sent", out, len(s.got))
				}
				if strings.Contains(out.Why, key) || strings.Contains(out.Why, theKey) {
					t.Error("the reason has a key in it")
				}
			})
		})
	}
}

// What is too old is not sent. A zone whose hosts were asked too long ago asks them again;
// one whose key is too old begins again.
func TestSwitchIsNotSentTooLate(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*activities.SwitchIn)
		again  bool
	}{
		"staged too long ago": {func(in *activities.SwitchIn) { in.StagedAt = in.StagedAt.Add(-2 * time.Minute) }, true},
		"never staged":        {func(in *activities.SwitchIn) { in.StagedAt = time.Time{} }, true},
		"minted too long ago": {func(in *activities.SwitchIn) { in.Minted = in.Minted.Add(-2 * time.Hour) }, false},
		"the window is over":  {func(in *activities.SwitchIn) { in.ClosesAt = in.StagedAt }, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k, s := newKeeper(t), &switcher{calls: []call{answers("", 0)}}
				in, _ := minted(t, k)
				c.change(&in)
				if name == "minted too long ago" {
					in.Kept, _ = k.Seal(rotation.Bound{Zone: zone, Purpose: rotation.ForSwitch, Minted: in.Minted, Baseline: in.Baseline}, rotation.NewSecret(k.keys[0]))
				}
				out := switchWith(t, t.Context(), s, k, in)
				if out.Sending != activities.NotSent || out.Again != c.again || len(s.got) > 0 {
					t.Errorf("%+v, %d sent", out, len(s.got))
				}
			})
		})
	}
}

// Other hosts than the fleet file gives the zone's key to have it refused.
func TestSwitchObeysTheFleetFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, s := newKeeper(t), &switcher{calls: []call{answers("", 0)}}
		in, _ := minted(t, k)
		in.Hosts = append(in.Hosts[:1:1], rotation.HostRef{Name: "h9", Location: hk})
		if out := switchWith(t, t.Context(), s, k, in); out.Sending != activities.Refused || len(s.got) > 0 {
			t.Errorf("%+v", out)
		}
	})
}
