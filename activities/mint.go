package activities

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"time"

	"keywave/internal/rotation"
)

// MintIn asks for a new key of one zone, which EdgeOne is to be given later.
type MintIn struct {
	Zone rotation.ZoneID `json:"zone"`
	// Hosts are all that are to be given the key: those to which the fleet file
	// gives it, without the retired.
	Hosts   []rotation.HostRef     `json:"hosts"`
	Retired []rotation.RetiredHost `json:"retired,omitempty"`
	// Baseline is the key that EdgeOne holds. The new one may replace it, and no
	// other.
	Baseline rotation.Fingerprint `json:"baseline"`
	// RollbackFor is how long the key of Baseline is to be kept; 0 is not at all.
	RollbackFor rotation.Span `json:"rollbackFor,omitzero"`
	// Former is the key that is to be put back, and not minted.
	Former *rotation.Former `json:"former,omitempty"`
}

// MintOut has the new key, sealed for all that will need it. It stands in the
// history before anything happens with the key, so that any edgeone worker can
// go on after the one that minted it.
type MintOut struct {
	Key rotation.Fingerprint `json:"key,omitempty"`
	// Minted is when, on Temporal's clock.
	Minted time.Time `json:"minted,omitzero"`
	// Sealed holds the key for the hosts of each location.
	Sealed map[rotation.Location][]byte `json:"sealed,omitempty"`
	// Kept holds it for the account's edgeone workers.
	Kept []byte `json:"kept,omitempty"`
	// Former is the key of Baseline, where it was to be kept. Live is another key that
	// EdgeOne holds in its place: then there is none.
	Former *rotation.Former     `json:"former,omitempty"`
	Live   rotation.Fingerprint `json:"live,omitempty"`
	// Note is what people should know all the same.
	Note string `json:"note,omitempty"`
	// Why is why there is none, and Code its kind. Again says that another try may
	// be worth it, Halt that every zone would fail alike.
	Why   string `json:"why,omitempty"`
	Code  string `json:"code,omitempty"`
	Again bool   `json:"again,omitempty"`
	Halt  bool   `json:"halt,omitempty"`

	API rotation.API `json:"api,omitzero"`
}

// Mint makes a key in memory and tells nobody but the history, which gets it
// sealed. Another try makes another key: the one whose result was lost is known
// to nobody.
func (e *EdgeOne) Mint(ctx context.Context, in MintIn) (MintOut, error) {
	defer beat(ctx)()
	if why, again := e.mayNot(ctx, in.Zone, in.Hosts, in.Retired); why != "" {
		return MintOut{Why: why, Code: codeFleet, Again: again}, nil
	}
	if in.Former != nil {
		return e.again(ctx, in)
	}
	key, now := newKey(), serverClock(ctx).now()
	out := MintOut{Key: rotation.FingerprintOf(in.Zone, key), Minted: now}
	var err error
	if in.RollbackFor > 0 {
		if err = e.keep(ctx, in, out.Key, &out); err != nil || out.Why != "" || out.Live != "" {
			return MintOut{Why: out.Why, Code: out.Code, Halt: out.Halt, Live: out.Live, API: out.API}, err
		}
	}
	if out.Kept, err = e.Keeper.Seal(rotation.Bound{Zone: in.Zone, Purpose: rotation.ForSwitch, Minted: now, Baseline: in.Baseline}, key); err != nil {
		return MintOut{Why: err.Error(), Halt: true}, nil
	}
	if out.Sealed, err = e.sealTo(in.Hosts, in.Zone, key, now); err != nil {
		return MintOut{Why: err.Error(), Halt: true}, nil
	}
	orNone(e.Spans).Note(ctx, factZone, string(in.Zone), factFingerprint, string(out.Key))
	return out, nil
}

// newKey is a key of the documented form: base64 of 32 bytes, as EdgeOne's own
// are.
func newKey() rotation.Secret {
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // never fails: it ends the process where there is no randomness
	return rotation.NewSecret(base64.StdEncoding.EncodeToString(raw[:]))
}
