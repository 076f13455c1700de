package activities

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"keywave/internal/rotation"
)

// StageIn brings one sealed key, which EdgeOne is to take, to one location's hosts of a
// zone, where it waits.
type StageIn struct {
	Zone   rotation.ZoneID      `json:"zone"`
	Key    rotation.Fingerprint `json:"key"`
	Sealed []byte               `json:"sealed"`
	Hosts  []rotation.HostRef   `json:"hosts"`
}

// StageOut has one Ack per host, in the same order. What is Held there is what the live
// file holds; without a Problem the host has the key, or has proved that it can take it.
type StageOut struct {
	Acks []rotation.Ack `json:"acks"`
	// At is when the first host was asked.
	At time.Time `json:"at"`
	// Queue is the queue of the worker that holds the connections now.
	Queue string `json:"queue,omitempty"`
	// Unopened says why the sealed key cannot be used.
	Unopened string `json:"unopened,omitempty"`
	// Leaving says that the worker stops: its own queue is served no more.
	Leaving bool `json:"leaving,omitempty"`
}

// Stage makes the key wait on every host for which it was sealed, at once. A host on
// which none can wait proves that it can take one.
func (l *Location) Stage(ctx context.Context, in StageIn) (StageOut, error) {
	defer beatDelivery(ctx)()
	clock := serverClock(ctx)
	out := StageOut{Acks: make([]rotation.Ack, len(in.Hosts)), At: clock.now(), Leaving: l.delivers()}
	p, err := l.open(ctx, DeliverIn{Zone: in.Zone, Key: in.Key, Sealed: in.Sealed}, clock.now())
	if err != nil {
		out.Unopened, out.Acks = err.Error(), failAll(in.Hosts, err.Error())
		return out, nil
	}
	out.Queue = l.served()
	ctx, cancel := inTime(ctx)
	defer cancel()
	atOnce(in.Hosts, func(i int, ref rotation.HostRef) { out.Acks[i] = l.stage(ctx, clock, ref, p) })
	return out, nil
}

// stage makes the key wait on a host, within a span of its own.
func (l *Location) stage(ctx context.Context, clock clock, ref rotation.HostRef, p parcel) rotation.Ack {
	end := orNone(l.Spans).Begin(ctx, spanStage, factHost, string(ref.Name), factZone, string(p.zone))
	ack := rotation.Ack{Host: ref.Name}
	held, err := l.lay(ctx, ref, p)
	l.count(ctx, err)
	ack.At = clock.now()
	if err != nil {
		ack.Problem = err.Error()
	} else {
		ack.Held = held
	}
	end(ack.Problem, factFingerprint, string(p.print))
	return ack
}

// lay returns what the host's live file holds.
func (l *Location) lay(ctx context.Context, ref rotation.HostRef, p parcel) (rotation.Fingerprint, error) {
	if why := p.keeps(ref.Name); why != "" {
		return "", errors.New(why)
	}
	machine, err := l.machine(ref)
	if err != nil {
		return "", err
	}
	if able, is := stager(machine); is {
		if err := l.serves.show(ctx, ref.Name, machine, p.zone); err != nil {
			return "", err
		}
		return able.Stage(ctx, p.zone, p.key)
	}
	shown, err := machine.Prove(ctx, []rotation.ZoneID{p.zone})
	return shown.Held[p.zone], err
}

// shownFor is how long a proof tells that a host can serve a key that waits: what waits
// shows the file, and not the commands.
const shownFor = time.Minute

// shows are the hosts that gave a proof to this worker, and when.
type shows struct {
	mu    sync.Mutex
	hosts map[rotation.HostName]*show
}

type show struct {
	sync.Mutex
	at time.Time
}

func (s *shows) of(name rotation.HostName) *show {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hosts == nil {
		s.hosts = map[rotation.HostName]*show{}
	}
	if s.hosts[name] == nil {
		s.hosts[name] = &show{}
	}
	return s.hosts[name]
}

// gave notes a proof of the host that began then.
func (s *shows) gave(name rotation.HostName, began time.Time) {
	one := s.of(name)
	one.Lock()
	defer one.Unlock()
	one.at = began
}

// show has the host give a proof, unless it did so a moment ago.
func (s *shows) show(ctx context.Context, name rotation.HostName, m Machine, zone rotation.ZoneID) error {
	one := s.of(name)
	one.Lock()
	defer one.Unlock()
	if time.Since(one.at) < shownFor {
		return nil
	}
	began := time.Now()
	if _, err := m.Prove(ctx, []rotation.ZoneID{zone}); err != nil {
		return err
	}
	one.at = began
	return nil
}

// stager is the host, if keys can wait on it.
func stager(m Machine) (rotation.Stager, bool) {
	able, is := m.Host.(rotation.Stager)
	return able, is && able.Stages()
}

// bring makes the host hold the key: the one that waits there, or else the whole key.
func (p parcel) bring(ctx context.Context, name rotation.HostName, m Machine) (rotation.Fingerprint, error) {
	_, begun := p.begun[name]
	if able, is := stager(m); is && p.staged && !begun {
		held, err := able.Activate(ctx, p.zone, p.print, p.expect)
		if _, gone := errors.AsType[*rotation.GoneError](err); !gone {
			return held, err
		}
	}
	return p.to(ctx, name, m)
}

// UnstageIn removes what waits on one location's hosts for a zone.
type UnstageIn struct {
	Zone  rotation.ZoneID    `json:"zone"`
	Hosts []rotation.HostRef `json:"hosts"`
}

// UnstageOut names the hosts on which a key may still wait.
type UnstageOut struct {
	Left []rotation.HostName `json:"left,omitempty"`
}

// Unstage removes what waits on the hosts, at once, and waits for none that does not
// answer in time.
func (l *Location) Unstage(ctx context.Context, in UnstageIn) (UnstageOut, error) {
	defer beatDelivery(ctx)()
	if why := stray(ctx, ZoneWorkflow(in.Zone), ZoneType); why != "" {
		return UnstageOut{}, fail(KindStray, why)
	}
	ctx, cancel := inTime(ctx)
	defer cancel()
	left := make([]bool, len(in.Hosts))
	atOnce(in.Hosts, func(i int, ref rotation.HostRef) { left[i] = l.unstage(ctx, ref, in.Zone) != nil })
	var out UnstageOut
	for i, ref := range in.Hosts {
		if left[i] {
			out.Left = append(out.Left, ref.Name)
		}
	}
	return out, nil
}

func (l *Location) unstage(ctx context.Context, ref rotation.HostRef, zone rotation.ZoneID) error {
	machine, err := l.machine(ref)
	if err != nil {
		return err
	}
	able, is := stager(machine)
	if !is {
		return nil
	}
	err = able.Unstage(ctx, zone)
	l.count(ctx, err)
	return err
}

// keeps says why the key is not for a host; empty when it is.
func (p parcel) keeps(host rotation.HostName) string {
	if p.grant.Gives(host) {
		return ""
	}
	return fmt.Sprintf("the key of zone %s was sealed for %s; this worker gives it to no other host", p.zone, rotation.Named(p.grant.Hosts))
}
