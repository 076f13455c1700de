package activities

import (
	"context"
	"sync"

	"go.temporal.io/sdk/activity"

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
	defer beatDelivery(ctx)()
	clock := serverClock(ctx)
	p, err := l.open(ctx, in, clock.now())
	if err != nil {
		return DeliverOut{Unopened: err.Error(), Acks: failAll(in.Hosts, err.Error())}, nil
	}
	out := DeliverOut{Acks: make([]rotation.Ack, len(in.Hosts)), Leaving: l.delivers()}
	ctx, cancel := inTime(ctx)
	defer cancel()
	atOnce(in.Hosts, func(i int, ref rotation.HostRef) { out.Acks[i] = l.put(ctx, clock, ref, p) })
	return out, nil
}

// beatDelivery is beat for what brings keys to hosts.
func beatDelivery(ctx context.Context) (stop func()) {
	return beatEach(ctx, DeliverBeat, func(ctx context.Context) { activity.RecordHeartbeat(ctx) })
}

// atOnce does something for each host, for all of them at once, and waits for all.
func atOnce(hosts []rotation.HostRef, do func(i int, ref rotation.HostRef)) {
	var all sync.WaitGroup
	for i, ref := range hosts {
		all.Go(func() { do(i, ref) })
	}
	all.Wait()
}

func failAll(hosts []rotation.HostRef, why string) []rotation.Ack {
	acks := make([]rotation.Ack, len(hosts))
	for i, h := range hosts {
		acks[i] = rotation.Ack{Host: h.Name, Problem: why}
	}
	return acks
}
