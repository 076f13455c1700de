package activities

import (
	"context"

	"go.temporal.io/sdk/activity"
	"golang.org/x/sync/errgroup"

	"keywave/internal/rotation"
)

// DeliverIn brings one sealed key to one location's hosts of a zone.
type DeliverIn struct {
	Zone   rotation.ZoneID      `json:"zone"`
	Key    rotation.Fingerprint `json:"key"`
	Sealed []byte               `json:"sealed"`
	Hosts  []rotation.HostRef   `json:"hosts"`
	// Expect is what a host may hold at present; anything else is not
	// overwritten.
	Expect []rotation.Fingerprint `json:"expect"`
	// Staged says that the key may wait on the hosts: what waits is put in place, and
	// the whole key is brought where nothing does.
	Staged bool `json:"staged,omitempty"`
}

// DeliverOut has one Ack per host, in the same order.
type DeliverOut struct {
	Acks []rotation.Ack `json:"acks"`
	// Unopened says why the sealed key cannot be used: it must be sealed again
	// from a read-back.
	Unopened string `json:"unopened,omitempty"`
	// Leaving says that the worker stops: its own queue is served no more.
	Leaving bool `json:"leaving,omitempty"`
}

// Deliver puts the key on every host for which it was sealed, at once, and waits
// for all of them. A host that fails is an Ack with a Problem, not an error.
func (l *Location) Deliver(ctx context.Context, in DeliverIn) (DeliverOut, error) {
	defer beatEach(DeliverBeat, func() { activity.RecordHeartbeat(ctx) })()
	clock := serverClock(ctx)
	p, err := l.open(ctx, in, clock.now())
	if err != nil {
		return DeliverOut{Unopened: err.Error(), Acks: failAll(in.Hosts, err.Error())}, nil
	}
	out := DeliverOut{Acks: make([]rotation.Ack, len(in.Hosts)), Leaving: l.delivers()}
	ctx, cancel := inTime(ctx)
	defer cancel()
	var group errgroup.Group
	for i, ref := range in.Hosts {
		group.Go(func() error {
			out.Acks[i] = l.put(ctx, clock, ref, p)
			return nil
		})
	}
	_ = group.Wait()
	return out, nil
}

func failAll(hosts []rotation.HostRef, why string) []rotation.Ack {
	acks := make([]rotation.Ack, len(hosts))
	for i, h := range hosts {
		acks[i] = rotation.Ack{Host: h.Name, Problem: why}
	}
	return acks
}
