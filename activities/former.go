package activities

import (
	"context"
	"errors"
	"fmt"
	"time"

	"keywave/internal/rotation"
)

// The way back: a key that is about to be replaced is kept, and may be put back. Both are
// decided here, by the process that calls EdgeOne and by its own fleet file and clock:
// whoever can write to Temporal can ask for no more than that.

// codeFormer stands where EdgeOne's error code would, when a former key is not put back.
const codeFormer = "FormerKey"

// formerError is why a former key is not put back. It is about one zone.
type formerError struct{ why string }

// Error says what is still true.
func (e *formerError) Error() string { return e.why + "; it is not put back" }

func (e *EdgeOne) rollbackFor() time.Duration {
	if e.RollbackFor == nil {
		return 0
	}
	return e.RollbackFor()
}

// keep reads the live key, which next is to replace, and keeps it. What it finds is in out:
// also that EdgeOne holds another key than the one to be replaced.
func (e *EdgeOne) keep(ctx context.Context, in MintIn, next rotation.Fingerprint, out *MintOut) error {
	lasts := min(in.RollbackFor.D(), e.rollbackFor())
	if lasts == 0 {
		out.Note = "the former key was not kept: rollbackFor is 0 in the fleet file of the account's worker"
		return nil
	}
	key, read, err := e.live(ctx, in.Zone, readUntil(ctx))
	out.API = read.API
	if err != nil {
		return err
	}
	live := rotation.FingerprintOf(in.Zone, key)
	switch {
	case read.Problem != "":
		out.Why, out.Code, out.Halt = read.Problem, read.Code, read.Halt
	case live != in.Baseline:
		out.Live = live
	case live != rotation.Absent:
		now := time.Now().UTC()
		f := rotation.Former{Key: live, For: next, At: now, Until: now.Add(lasts)}
		if f.Kept, err = e.Keeper.Seal(f.Bound(in.Zone), key); err != nil {
			out.Why, out.Halt = err.Error(), true
			return nil
		}
		out.Former = &f
	}
	return nil
}

// again is a former key, sealed for the hosts that are to have it again.
func (e *EdgeOne) again(ctx context.Context, in MintIn) (MintOut, error) {
	key, err := e.former(in.Zone, in.Baseline, *in.Former)
	if err != nil {
		return MintOut{Why: err.Error(), Code: codeFormer}, nil
	}
	out := MintOut{Key: in.Former.Key, Minted: serverClock(ctx).now()}
	if out.Sealed, err = e.sealTo(in.Hosts, in.Zone, key, out.Minted); err != nil {
		return MintOut{Why: err.Error(), Halt: true}, nil
	}
	return out, nil
}

// former opens a key that may be put back in place of another one.
func (e *EdgeOne) former(zone rotation.ZoneID, live rotation.Fingerprint, f rotation.Former) (rotation.Secret, error) {
	lasts := e.rollbackFor()
	until := f.Ends(lasts)
	switch {
	case lasts == 0:
		return rotation.Secret{}, &formerError{"rollbackFor is 0 in the fleet file of the account's worker"}
	case f.For != live:
		return rotation.Secret{}, &formerError{fmt.Sprintf("the former key was kept to replace %s, and not %s", f.For, live)}
	case !time.Now().Before(until):
		return rotation.Secret{}, &formerError{"the former key could be used until " + clockTime(until)}
	}
	key, err := e.Keeper.Open(f.Bound(zone), f.Kept)
	if err == nil && rotation.FingerprintOf(zone, key) != f.Key {
		err = errOtherKey
	}
	if err != nil {
		return rotation.Secret{}, &formerError{err.Error()}
	}
	return key, nil
}

// stillLive says why a former key is not put back now: nil where EdgeOne holds the key that
// it may replace.
func (r *refresh) stillLive(ctx context.Context, f rotation.Former) *RefreshOut {
	r.says.say("it reads whether EdgeOne holds the key that is to be replaced")
	key, read, err := r.e.live(ctx, r.in.Zone, readUntil(ctx))
	r.out.API = r.out.API.Plus(read.API)
	live := rotation.FingerprintOf(r.in.Zone, key)
	switch {
	case ctx.Err() != nil:
		r.stopped(ctx)
	case err != nil:
		r.notSent(err.Error(), rotation.BackNoWorker, true)
	case read.Problem != "":
		r.out.Halt = read.Halt
		r.notSent(read.Problem, rotation.BackUnreached, true)
	case live != f.For:
		return r.refuse(&formerError{fmt.Sprintf("EdgeOne holds %s, and not %s, which the former key may replace", live, f.For)})
	default:
		return nil
	}
	return &r.out
}

// refuse is a call that is not made, and why. Only what is wrong with one zone's former key
// lets other zones go on.
func (r *refresh) refuse(err error) *RefreshOut {
	r.out.Sending, r.out.Why = Refused, err.Error()
	if errors.As(err, new(*formerError)) {
		r.out.Code = codeFormer
	} else {
		r.out.Halt = true
	}
	return &r.out
}
