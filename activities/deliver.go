package activities

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"keywave/internal/rotation"
)

// DeliverIn brings one sealed key to one location's hosts of a zone.
type DeliverIn struct {
	Zone     rotation.ZoneID      `json:"zone"`
	Location rotation.Location    `json:"location"`
	Key      rotation.Fingerprint `json:"key"`
	Sealed   []byte               `json:"sealed"`
	Hosts    []rotation.HostRef   `json:"hosts"`
	// Expect is what a host may hold at present; anything else is not
	// overwritten.
	Expect []rotation.Fingerprint `json:"expect"`
}

// DeliverOut has one Ack per host, in the same order.
type DeliverOut struct {
	Acks []rotation.Ack `json:"acks"`
	// Unopened says why the sealed key could not be opened: it must be sealed
	// anew from a read-back.
	Unopened string `json:"unopened,omitempty"`
}

// Deliver puts the key on every host at once and waits for all of them. A host
// that fails is an Ack with a Problem, not an error.
func (l *Location) Deliver(ctx context.Context, in DeliverIn) (DeliverOut, error) {
	defer beat(ctx)()
	clock := serverClock(ctx)
	key, err := l.Opener.Open(in.Location, in.Zone, in.Sealed)
	if err != nil {
		return DeliverOut{Unopened: err.Error(), Acks: failAll(in.Hosts, err.Error())}, nil
	}
	if rotation.FingerprintOf(in.Zone, key) != in.Key {
		why := "the sealed key is not the one that was to be delivered"
		return DeliverOut{Unopened: why, Acks: failAll(in.Hosts, why)}, nil
	}
	out := DeliverOut{Acks: make([]rotation.Ack, len(in.Hosts))}
	ctx, cancel := inTime(ctx)
	defer cancel()
	var group errgroup.Group
	for i, ref := range in.Hosts {
		group.Go(func() error {
			out.Acks[i] = l.put(ctx, clock, ref, in, key)
			return nil
		})
	}
	_ = group.Wait()
	return out, nil
}

func (l *Location) put(ctx context.Context, clock clock, ref rotation.HostRef, in DeliverIn, key rotation.Secret) rotation.Ack {
	ack := rotation.Ack{Host: ref.Name}
	machine, err := l.machine(ref)
	if err == nil {
		ack.Held, err = machine.Put(ctx, in.Zone, key, in.Expect)
	}
	ack.At = clock.now()
	var held *rotation.HeldError
	switch {
	case errors.As(err, &held):
		ack.Held, ack.Refused, ack.Problem = held.Held, true, held.Error()
	case err != nil:
		ack.Problem = err.Error()
	case ack.Held != in.Key:
		ack.Problem = "the host holds " + string(ack.Held) + " right after taking " + string(in.Key) + ": somebody else writes this file"
	}
	return ack
}

func failAll(hosts []rotation.HostRef, why string) []rotation.Ack {
	acks := make([]rotation.Ack, len(hosts))
	for i, h := range hosts {
		acks[i] = rotation.Ack{Host: h.Name, Problem: why}
	}
	return acks
}
