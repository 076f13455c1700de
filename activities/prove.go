package activities

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
	"golang.org/x/sync/errgroup"

	"keywave/internal/metrics"
	"keywave/internal/rotation"
)

// Location is what a worker of one location does with its hosts.
type Location struct {
	Name   rotation.Location
	Opener rotation.Opener
	// Queue is the task queue that only this worker polls.
	Queue string
	// Hosts are the location's, as the fleet file defines them now.
	Hosts func() Machines
	// Spans trace deliveries; nil traces nothing.
	Spans Spans

	leaving leaving
	surveys surveys
	serves  shows
}

// surveysAtOnce are the hosts that a worker asks at a time for people, who wait for a plan
// or an audit: all pages of a large plan come at once, and must not be a crowd in which a
// delivery or a heartbeat is late.
const surveysAtOnce = 32

// surveys are the turns of those hosts.
type surveys struct {
	once  sync.Once
	turns chan struct{}
}

// turn waits for one, or for the end of ctx, and gives what ends it.
func (s *surveys) turn(ctx context.Context) func() {
	s.once.Do(func() { s.turns = make(chan struct{}, surveysAtOnce) })
	select {
	case s.turns <- struct{}{}:
		return func() { <-s.turns }
	case <-ctx.Done():
		return func() {}
	}
}

// Machines are hosts by their names.
type Machines map[rotation.HostName]Machine

// Machine is a host of the location as the worker's own fleet file defines it.
type Machine struct {
	rotation.Host
	Digest string
	// Differs names the fields of the definition that are not those of a plan,
	// given its HostRef's Parts.
	Differs func(parts string) []string
}

// probeZone stands in a sealed probe where a zone's ID stands in a sealed key, so
// that no probe is ever taken for a key; and it is for no host.
const probeZone rotation.ZoneID = "keywave-probe"

// Probe is a random value, sealed as a key will be.
type Probe struct {
	Sealed      map[rotation.Location][]byte `json:"sealed"`
	Fingerprint rotation.Fingerprint         `json:"fingerprint"`
	// Queues are this worker's own queues, by location. It can bring a new key
	// straight to the hosts that it proves.
	Queues map[rotation.Location]string `json:"queues,omitempty"`
}

// ProbeIn asks for a probe.
type ProbeIn struct {
	Locations []rotation.Location `json:"locations"`
}

// Probe seals a probe to each location with the keysets that this worker would
// seal a key with.
func (e *EdgeOne) Probe(ctx context.Context, in ProbeIn) (Probe, error) {
	defer beat(ctx)()
	value := rotation.NewSecret(rand.Text())
	nobody := map[rotation.Location][]rotation.HostName{}
	for _, l := range in.Locations {
		nobody[l] = nil
	}
	sealed, err := e.sealAll(nobody, probeZone, value, serverClock(ctx).now())
	if err != nil {
		return Probe{}, fail(KindKeyset, err.Error())
	}
	probe := Probe{Sealed: sealed, Fingerprint: rotation.FingerprintOf(probeZone, value)}
	for _, l := range e.Beside {
		if slices.Contains(in.Locations, l.Name) {
			if probe.Queues == nil {
				probe.Queues = map[rotation.Location]string{}
			}
			probe.Queues[l.Name] = l.Queue
		}
	}
	return probe, nil
}

// ProveIn asks for proofs of many hosts.
type ProveIn struct {
	Location rotation.Location `json:"location"`
	Hosts    []ProveHost       `json:"hosts"`
	// Look only reads what hosts hold: no probe, nothing written (an audit).
	Look bool `json:"look,omitempty"`
	// Rehearse has each host, once proved, put the first of its zones' keys over
	// itself: the one thing here that changes a host.
	Rehearse bool `json:"rehearse,omitempty"`
	// Twins asks, too, which hosts have one and the same file: for people, and not
	// while zones are rotated.
	Twins bool `json:"twins,omitempty"`
	// Sealed and Fingerprint are this location's part of a Probe.
	Sealed      []byte               `json:"sealed,omitempty"`
	Fingerprint rotation.Fingerprint `json:"fingerprint,omitempty"`
}

// ProveHost is one host and the zones it is asked about.
type ProveHost struct {
	Host  rotation.HostRef `json:"host"`
	Zones []ProveZone      `json:"zones"`
	// Recent is how old what the host tried may be, if it need not try everything
	// again. The proof is then as old as that.
	Recent rotation.Span `json:"recent,omitempty"`
}

// ProveZone is a zone and the key that the host is expected to hold for it.
type ProveZone struct {
	ID       rotation.ZoneID      `json:"id"`
	Baseline rotation.Fingerprint `json:"baseline,omitempty"`
}

// ProveOut has one proof per host, in the same order; a host that cannot take a
// key has a proof with a Problem.
type ProveOut struct {
	Proofs []rotation.Proof `json:"proofs"`
	// Twins are hosts among them that seem to have one and the same file, where that
	// was asked for.
	Twins []rotation.Twins `json:"twins,omitempty"`
	// Unopened is why this worker cannot open what is sealed to its location.
	Unopened string `json:"unopened,omitempty"`
}

// hostsAtOnce are asked at a time by one activity.
const hostsAtOnce = 64

// Prove lets each host show that it can take a key, and keeps the connections
// warm for the delivery.
func (l *Location) Prove(ctx context.Context, in ProveIn) (ProveOut, error) {
	defer beat(ctx)()
	clock := serverClock(ctx)
	var opens error
	if !in.Look {
		opens = l.opens(in)
	}
	out, at := ProveOut{Proofs: make([]rotation.Proof, len(in.Hosts))}, make([]rotation.Whereabouts, len(in.Hosts))
	if opens != nil {
		out.Unopened = opens.Error()
	}
	ctx, cancel := inTime(ctx)
	defer cancel()
	var group errgroup.Group
	group.SetLimit(hostsAtOnce)
	for i, asked := range in.Hosts {
		group.Go(func() error {
			if in.Twins || in.Look {
				defer l.surveys.turn(ctx)()
			}
			proof := rotation.Proof{Host: asked.Host.Name, Queue: l.served()}
			began := time.Now()
			shown, err := l.prove(ctx, asked, opens, in.Look)
			if err == nil && !in.Look {
				l.serves.gave(asked.Host.Name, began.Add(-shown.Age))
			}
			if err == nil && in.Rehearse {
				proof.Rehearsed, err = l.rehearse(ctx, asked)
			}
			l.count(ctx, err)
			if err != nil {
				proof.Problem, proof.Bastion = err.Error(), bastionOf(err)
			} else if in.Twins {
				at[i] = l.locate(ctx, asked)
			}
			proof.Drift, proof.Other, proof.Staged, proof.Notes, proof.At = drift(asked, shown.Held), shown.Other, shown.Staged, shown.Notes, clock.now().Add(-shown.Age)
			out.Proofs[i] = proof
			return nil
		})
	}
	_ = group.Wait()
	if in.Twins {
		out.Twins = twins(in.Hosts, at)
	}
	return out, nil
}

// locate gives nothing where the host cannot tell.
func (l *Location) locate(ctx context.Context, asked ProveHost) rotation.Whereabouts {
	able, is := l.Hosts()[asked.Host.Name].Host.(rotation.Locator)
	if !is {
		return rotation.Whereabouts{}
	}
	at, err := able.Locate(ctx, zonesOf(asked))
	if err != nil {
		return rotation.Whereabouts{}
	}
	return at
}

func twins(hosts []ProveHost, at []rotation.Whereabouts) []rotation.Twins {
	all := map[rotation.HostName]rotation.Whereabouts{}
	for i, h := range hosts {
		all[h.Host.Name] = at[i]
	}
	return rotation.FindTwins(all)
}

// bastionOf is the bastion whose failure this is; empty where it is the host's own.
func bastionOf(err error) string {
	if failure, is := errors.AsType[*rotation.HostError](err); is {
		return failure.Bastion
	}
	return ""
}

// count counts a host's failure.
func (l *Location) count(ctx context.Context, err error) {
	if failure, is := errors.AsType[*rotation.HostError](err); is {
		activity.GetMetricsHandler(ctx).WithTags(map[string]string{metrics.Location: string(l.Name), metrics.Step: string(failure.Step)}).Counter(metrics.HostFailures).Inc(1)
	}
}

// opens says whether this worker can open what is sealed to its location.
func (l *Location) opens(in ProveIn) error {
	value, _, err := l.Opener.Open(l.Name, probeZone, in.Sealed)
	if err != nil {
		return err
	}
	if rotation.FingerprintOf(probeZone, value) != in.Fingerprint {
		return errors.New("the sealed probe opened to something else")
	}
	return nil
}

func (l *Location) prove(ctx context.Context, asked ProveHost, opens error, look bool) (rotation.Shown, error) {
	if opens != nil {
		return rotation.Shown{}, opens
	}
	machine, err := l.machine(asked.Host)
	if err != nil {
		return rotation.Shown{}, err
	}
	if look {
		return machine.Held(ctx, zonesOf(asked))
	}
	if able, is := machine.Host.(rotation.Reprover); is && asked.Recent > 0 {
		return able.ProveAgain(ctx, zonesOf(asked), asked.Recent.D())
	}
	return machine.Prove(ctx, zonesOf(asked))
}

func zonesOf(asked ProveHost) []rotation.ZoneID {
	zones := make([]rotation.ZoneID, len(asked.Zones))
	for i, z := range asked.Zones {
		zones[i] = z.ID
	}
	return zones
}

// rehearse gives nothing where the host's transport cannot.
func (l *Location) rehearse(ctx context.Context, asked ProveHost) (rotation.Fingerprint, error) {
	able, is := l.Hosts()[asked.Host.Name].Host.(rotation.Rehearser)
	if !is || len(asked.Zones) == 0 {
		return "", nil
	}
	return able.Rehearse(ctx, asked.Zones[0].ID)
}

// drift is what a host holds that is not the baseline; nil where nothing was seen.
func drift(asked ProveHost, held map[rotation.ZoneID]rotation.Fingerprint) map[rotation.ZoneID]rotation.Fingerprint {
	if held == nil {
		return nil
	}
	differs := map[rotation.ZoneID]rotation.Fingerprint{}
	for _, z := range asked.Zones {
		if held[z.ID] != z.Baseline {
			differs[z.ID] = held[z.ID]
		}
	}
	return differs
}

// machine finds a host as the plan knows it, or says how this worker's fleet
// file differs from the plan (promise 8).
func (l *Location) machine(ref rotation.HostRef) (Machine, error) {
	m, known := l.Hosts()[ref.Name]
	switch {
	case !known:
		return m, fmt.Errorf("host %s is not in location %s of this worker's fleet file; give the worker the fleet file that the plan was made from", ref.Name, l.Name)
	case m.Digest != ref.Digest:
		return m, fmt.Errorf("the definition of host %s in this worker's fleet file is not the one in the plan: it differs in %s; plan again, or give the worker the planned fleet file", ref.Name, m.difference(ref))
	}
	return m, nil
}

// difference names the fields that differ, or both digests where the plan does
// not carry the fields.
func (m Machine) difference(ref rotation.HostRef) string {
	if m.Differs != nil {
		if fields := m.Differs(ref.Parts); len(fields) > 0 {
			return strings.Join(fields, ", ")
		}
	}
	return fmt.Sprintf("its digest (%s, planned %s)", short(m.Digest), short(ref.Digest))
}

func short(digest string) string { return digest[:min(8, len(digest))] }
