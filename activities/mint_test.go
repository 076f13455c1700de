package activities_test

import (
	"context"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"keywave/activities"
	"keywave/internal/rotation"
)

// keeper keeps keys with AES-GCM. It remembers every key in clear, to be
// searched for.
type keeper struct {
	cipher.AEAD
	keys []string
	err  error
}

func newKeeper(t *testing.T) *keeper { return &keeper{AEAD: newSeals(t, "account")["account"]} }

func (k *keeper) Seal(bound rotation.Bound, key rotation.Secret) ([]byte, error) {
	if k.err != nil {
		return nil, k.err
	}
	k.keys = append(k.keys, key.Expose())
	return k.AEAD.Seal(nil, make([]byte, k.NonceSize()), []byte(key.Expose()), encoded(bound)), nil
}

func (k *keeper) Open(bound rotation.Bound, sealed []byte) (rotation.Secret, error) {
	clear, err := k.AEAD.Open(nil, make([]byte, k.NonceSize()), sealed, encoded(bound))
	return rotation.NewSecret(string(clear)), err
}

func encoded(bound rotation.Bound) []byte {
	bound.Minted = bound.Minted.UTC()
	b, _ := json.Marshal(bound)
	return b
}

func mintIn() activities.MintIn {
	return activities.MintIn{Zone: zone, Hosts: hosts, Baseline: print(oldKey)}
}

func TestMint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boxes, k := newSeals(t, hk, eu), newKeeper(t)
		act := &activities.EdgeOne{Sealer: boxes, Keeper: k, Holders: gives(hosts)}
		seen := map[rotation.Fingerprint]bool{}
		for range 2 {
			out, err := run(t, t.Context(), act.Mint, mintIn())
			if err != nil || out.Why != "" || seen[out.Key] || out.Key == print(oldKey) {
				t.Fatalf("%+v, %v", out, err)
			}
			seen[out.Key] = true
			key, err := k.Open(rotation.Bound{Zone: zone, Purpose: rotation.ForSwitch, Minted: out.Minted, Baseline: print(oldKey)}, out.Kept)
			if err != nil || rotation.FingerprintOf(zone, key) != out.Key {
				t.Errorf("the account's workers cannot open it: %v", err)
			}
			if raw, err := base64.StdEncoding.Strict().DecodeString(key.Expose()); err != nil || len(raw) != 32 {
				t.Errorf("it has %d bytes (%v)", len(raw), err)
			}
			for _, l := range []rotation.Location{hk, eu} {
				same, grant, err := boxes.Open(l, zone, out.Sealed[l])
				if err != nil || same.Expose() != key.Expose() {
					t.Errorf("%s cannot open it: %v", l, err)
				}
				if grant.Gives("h1") != (l == hk) || grant.Gives("h2") != (l == eu) || !grant.At.Equal(out.Minted) {
					t.Errorf("%s may use it so: %+v", l, grant)
				}
			}
			result, err := json.Marshal(out)
			if err != nil {
				t.Fatal(err)
			}
			for _, minted := range k.keys {
				for _, form := range []string{minted, base64.StdEncoding.EncodeToString([]byte(minted))} {
					if strings.Contains(string(result), form) {
						t.Error("the result shows a key")
					}
				}
			}
		}
		if len(k.keys) != 2 {
			t.Errorf("%d keys were minted", len(k.keys))
		}
	})
}

// Nothing is minted for other hosts than the fleet's, for another workflow, or
// where it cannot be sealed.
func TestNothingIsMintedInVain(t *testing.T) {
	own := asker{activities.ZoneWorkflow(zone), activities.ZoneType}
	for _, c := range []struct {
		name string
		set  func(*activities.EdgeOne, *activities.MintIn)
		from asker
		says string
		code string
		halt bool
		more bool
	}{
		{name: "another host", set: func(_ *activities.EdgeOne, in *activities.MintIn) { in.Hosts = []rotation.HostRef{other} }, from: own, says: "not of the zone: h9 in hk", code: "FleetDiffers"},
		{name: "one host less", set: func(_ *activities.EdgeOne, in *activities.MintIn) { in.Hosts = in.Hosts[:1] }, from: own, says: "missing: h2", code: "FleetDiffers"},
		{name: "the source cannot be read", set: func(e *activities.EdgeOne, _ *activities.MintIn) { e.Holders = unknown(hosts) }, from: own, says: "is not known", code: "FleetDiffers", more: true},
		{name: "another workflow", from: asker{"zone/zone-b", "Zone"}, says: "alone, and was asked for by", code: "FleetDiffers"},
		{name: "no workflow", says: "asked for by nobody's workflow", code: "FleetDiffers"},
		{name: "no keyset of a location", set: func(e *activities.EdgeOne, _ *activities.MintIn) { e.Sealer = newSeals(t, hk) }, from: own, says: "eu", halt: true},
		{name: "no keyset of the account", set: func(e *activities.EdgeOne, _ *activities.MintIn) {
			e.Keeper = &keeper{err: errors.New("the account has no keyset")}
		}, from: own, says: "the account has no keyset", halt: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				act := &activities.EdgeOne{Sealer: newSeals(t, hk, eu), Keeper: newKeeper(t), Holders: gives(hosts)}
				in := mintIn()
				if c.set != nil {
					c.set(act, &in)
				}
				out, err := runFrom(t, t.Context(), c.from, func(ctx context.Context, in activities.MintIn) (activities.MintOut, error) { return act.Mint(ctx, in) }, in)
				if err != nil || !strings.Contains(out.Why, c.says) || out.Code != c.code || out.Halt != c.halt || out.Again != c.more {
					t.Errorf("%+v, %v", out, err)
				}
				if out.Key != "" || out.Kept != nil || out.Sealed != nil {
					t.Error("there is a key")
				}
			})
		})
	}
}
