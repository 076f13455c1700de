package activities

import (
	"context"
	"errors"
	"time"

	"keywave/internal/rotation"
)

// SwitchIn asks EdgeOne to take a key that lies on every host already.
type SwitchIn struct {
	Zone rotation.ZoneID `json:"zone"`
	// Hosts and Retired are RefreshIn's.
	Hosts   []rotation.HostRef     `json:"hosts"`
	Retired []rotation.RetiredHost `json:"retired,omitempty"`
	// Key is the key's fingerprint, Kept the key under the account's keyset. It was
	// minted then, to replace Baseline and no other key.
	Key      rotation.Fingerprint `json:"key"`
	Kept     []byte               `json:"kept"`
	Minted   time.Time            `json:"minted"`
	Baseline rotation.Fingerprint `json:"baseline"`
	// Former is the key that is to be put back; then there is no Kept, and Minted is when
	// it was sealed for the hosts.
	Former *rotation.Former `json:"former,omitempty"`
	// StagedAt is when the first host was asked to take it, on Temporal's clock. It is
	// good for ProofFor, like a proof.
	StagedAt time.Time     `json:"stagedAt"`
	ProofFor rotation.Span `json:"proofFor"`
	// ClosesAt, Straight and Expect are RefreshIn's. Straight names the workers that
	// staged.
	ClosesAt time.Time              `json:"closesAt,omitzero"`
	Straight []string               `json:"straight,omitempty"`
	Expect   []rotation.Fingerprint `json:"expect,omitempty"`
}

var (
	errMintedLongAgo = errors.New("the key was minted too long ago: the zone begins again")
	errNeverStaged   = errors.New("no host was asked to take the key")
	errOtherKey      = errors.New("the key under the account's keyset is not the one that was to be switched to")
)

// Switch calls ModifyMultiPathGatewaySecretKey with a key that a worker of this account
// has minted. It may be called again with the same key. In all else it is Refresh.
func (e *EdgeOne) Switch(ctx context.Context, in SwitchIn) (RefreshOut, error) {
	r := refresh{e: e, clock: serverClock(ctx), staged: true, key: in.Key, in: RefreshIn{
		Zone: in.Zone, Hosts: in.Hosts, Retired: in.Retired, ProvedAt: in.StagedAt, ProofFor: in.ProofFor,
		ClosesAt: in.ClosesAt, Straight: in.Straight, Expect: in.Expect,
	}}
	if why := r.tooOld(in); why != nil {
		return r.notSent(why.Error(), rotation.BackProof, errors.Is(why, errNeverStaged)), nil
	}
	var key rotation.Secret
	r.send = func(ctx context.Context, ready func() error) (rotation.Secret, rotation.Receipt, error) {
		receipt, err := e.Switcher.Modify(ctx, in.Zone, key, ready)
		return key, receipt, err
	}
	return r.run(ctx, func(ctx context.Context) *RefreshOut {
		var err error
		if key, err = e.minted(in); err != nil {
			return r.refuse(err)
		}
		if in.Former != nil {
			return r.stillLive(ctx, *in.Former)
		}
		return nil
	})
}

// tooOld says that the locations' workers may not use their part of the key any more, so
// that nobody could bring it to a host that has lost it.
func (r *refresh) tooOld(in SwitchIn) error {
	now, lasts := r.clock.now(), usedFor
	if r.e.DeliverFor != nil {
		lasts += r.e.DeliverFor()
	}
	switch {
	case in.StagedAt.IsZero():
		return errNeverStaged
	case now.Sub(in.Minted) > lasts:
		return errMintedLongAgo
	}
	return nil
}

// minted opens what Mint has sealed, or has kept earlier. Nobody but a worker that has the account's keyset
// can have made it.
func (e *EdgeOne) minted(in SwitchIn) (rotation.Secret, error) {
	if in.Former != nil {
		key, err := e.former(in.Zone, in.Baseline, *in.Former)
		if err == nil && in.Former.Key != in.Key {
			err = errOtherKey
		}
		return key, err
	}
	key, err := e.Keeper.Open(rotation.Bound{Zone: in.Zone, Purpose: rotation.ForSwitch, Minted: in.Minted, Baseline: in.Baseline}, in.Kept)
	if err == nil && rotation.FingerprintOf(in.Zone, key) != in.Key {
		return rotation.Secret{}, errOtherKey
	}
	return key, err
}
