package activities

import (
	"context"
	"errors"
	"fmt"
	"time"

	"keywave/internal/rotation"
)

// usedFor is how long a sealed key is used, beyond the time for which delivery
// keeps trying. What is older is read back and sealed again.
const usedFor = time.Hour

// sealTo seals a key to the locations of hosts. Each seal names the hosts of its
// location: the key may be given to these, and to no others.
func (e *EdgeOne) sealTo(hosts []rotation.HostRef, zone rotation.ZoneID, key rotation.Secret, now time.Time) (map[rotation.Location][]byte, error) {
	names := map[rotation.Location][]rotation.HostName{}
	for _, h := range hosts {
		names[h.Location] = append(names[h.Location], h.Name)
	}
	return e.sealAll(names, zone, key, now)
}

func (e *EdgeOne) sealAll(hosts map[rotation.Location][]rotation.HostName, zone rotation.ZoneID, key rotation.Secret, now time.Time) (map[rotation.Location][]byte, error) {
	lasts := usedFor
	if e.DeliverFor != nil {
		lasts += e.DeliverFor()
	}
	sealed := make(map[rotation.Location][]byte, len(hosts))
	for l, names := range hosts {
		box, err := e.Sealer.Seal(l, zone, key, rotation.GrantFor(names, now, lasts))
		if err != nil {
			return nil, err
		}
		sealed[l] = box
	}
	return sealed, nil
}

// parcel is a key in clear on its way to hosts.
type parcel struct {
	zone  rotation.ZoneID
	key   rotation.Secret
	print rotation.Fingerprint
	grant rotation.Grant
	// expect is what a host may hold at present.
	expect []rotation.Fingerprint
	// staged says that the key may wait on the host already.
	staged bool
	// begun are the puts that wait on their hosts for the key.
	begun map[rotation.HostName]rotation.Begun
}

// to puts the key on a host.
func (p parcel) to(ctx context.Context, name rotation.HostName, machine rotation.Host) (rotation.Fingerprint, error) {
	if b, has := p.begun[name]; has {
		return b.Put(ctx, p.key)
	}
	return machine.Put(ctx, p.zone, p.key, p.expect)
}

// open opens what is to be delivered, or says why it is not to be used.
func (l *Location) open(ctx context.Context, in DeliverIn, now time.Time) (parcel, error) {
	if why := stray(ctx, ZoneWorkflow(in.Zone), ZoneType); why != "" {
		return parcel{}, errors.New(why)
	}
	key, grant, err := l.Opener.Open(l.Name, in.Zone, in.Sealed)
	switch {
	case err != nil:
		return parcel{}, err
	case grant.Over(now):
		return parcel{}, fmt.Errorf("the key was sealed at %s, to be used until %s; the live key is read back and sealed anew", clockTime(grant.At), clockTime(grant.Until))
	case rotation.FingerprintOf(in.Zone, key) != in.Key:
		return parcel{}, errors.New("the sealed key is not the one that was to be delivered")
	}
	return parcel{zone: in.Zone, key: key, print: in.Key, grant: grant, expect: in.Expect, staged: in.Staged}, nil
}

func clockTime(t time.Time) string { return t.UTC().Format(time.DateTime) + " UTC" }

// give gives the key to a host, if it is for that host.
func (l *Location) give(ctx context.Context, clock clock, ref rotation.HostRef, p parcel) rotation.Ack {
	ack := rotation.Ack{Host: ref.Name}
	if why := p.keeps(ref.Name); why != "" {
		ack.At, ack.Problem = clock.now(), why
		return ack
	}
	machine, err := l.machine(ref)
	if err == nil {
		ack.Held, err = p.bring(ctx, ref.Name, machine)
		l.count(ctx, err)
	}
	ack.At = clock.now()
	var held *rotation.HeldError
	switch {
	case errors.As(err, &held):
		ack.Held, ack.Refused, ack.Problem = held.Held, true, held.Error()
	case err != nil:
		ack.Problem = err.Error()
	case ack.Held != p.print:
		ack.Problem = "the host holds " + string(ack.Held) + " right after taking " + string(p.print) + ": somebody else writes this file"
	}
	return ack
}

func names(refs []rotation.HostRef) []rotation.HostName {
	all := make([]rotation.HostName, len(refs))
	for i, r := range refs {
		all[i] = r.Name
	}
	return all
}
