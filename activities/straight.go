package activities

import (
	"cmp"
	"context"
	"time"

	"keywave/internal/rotation"
)

// The short way is for what is quick: it holds one of the process's few slots
// for refreshes.
const (
	straightFor  = 8 * time.Second // as the first round of an ordinary delivery
	readAfterFor = time.Second     // for the read behind it, with its turn at the account's pace
)

// straightAtOnce leaves slots to those whose hosts are quick.
func (e *EdgeOne) straightAtOnce() int32 { return int32(rotation.RefreshesAtOnce(e.PerSecond)+1) / 2 }

// straight brings a new key to its hosts from within the refresh, so that no
// trip through Temporal lies between EdgeOne's answer and the hosts: where this
// process has proved all of them itself, and has room for one more zone. It returns
// an Ack for each host, or nothing when the ordinary delivery is to do it.
func (r *refresh) straight(ctx context.Context, key rotation.Secret) []rotation.Ack {
	defer r.unbegin()
	places := r.e.beside(r.in)
	if places == nil {
		return nil
	}
	defer r.e.delivering.Add(-1)
	if r.e.delivering.Add(1) > r.e.straightAtOnce() {
		return nil
	}
	// A key that exists is delivered whoever wants to stop.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), straightFor)
	defer cancel()
	p := parcel{zone: r.in.Zone, key: key, print: r.out.Key, grant: rotation.Grant{Hosts: names(r.in.Hosts)}, expect: r.in.Expect, staged: r.staged, begun: r.begun}
	acks := make([]rotation.Ack, len(places))
	atOnce(r.in.Hosts, func(i int, ref rotation.HostRef) { acks[i] = places[i].put(ctx, r.clock, ref, p) })
	return acks
}

// begin has the hosts of the short way begin the puts of the key that EdgeOne is about to
// be asked for, or to take, so that they wait for it when it comes: when the call's turn is
// the next one, or else when it is signed. It waits for nothing, and nothing
// depends on it: where a host has not begun, the put is made whole.
func (r *refresh) begin(ctx context.Context) {
	places := r.e.beside(r.in)
	if r.begun != nil || places == nil || r.e.delivering.Load() >= r.e.straightAtOnce() {
		return
	}
	ctx = context.WithoutCancel(ctx) // it is ended by Close, whoever wants to stop
	r.begun = map[rotation.HostName]rotation.Begun{}
	for i, l := range places {
		machine, err := l.machine(r.in.Hosts[i])
		if err != nil {
			continue
		}
		if b := r.beginOn(ctx, machine); b != nil {
			r.begun[r.in.Hosts[i].Name] = b
		}
	}
}

// beginOn begins on one host; nil where that is not possible.
func (r *refresh) beginOn(ctx context.Context, m Machine) rotation.Begun {
	if _, is := stager(m); is && r.staged {
		if host, can := m.Host.(rotation.StagedBeginner); can {
			return host.BeginActivate(ctx, r.in.Zone, r.key, r.in.Expect)
		}
		return nil
	}
	if host, can := m.Host.(rotation.Beginner); can {
		return host.Begin(ctx, r.in.Zone, r.in.Expect)
	}
	return nil
}

// unbegin ends what has begun and got no key.
func (r *refresh) unbegin() {
	for _, b := range r.begun {
		b.Close()
	}
	r.begun = nil
}

// beside finds for each host its location in this process; nil unless all are here.
func (e *EdgeOne) beside(in RefreshIn) []*Location {
	if len(in.Straight) != len(in.Hosts) {
		return nil
	}
	var found []*Location
	for i, h := range in.Hosts {
		for _, l := range e.Beside {
			if l.Queue == in.Straight[i] && l.Name == h.Location {
				found = append(found, l)
			}
		}
	}
	if len(found) < len(in.Hosts) {
		return nil
	}
	return found
}

// readAfter asks once which key is live, now that every host has acknowledged the new
// one. So a zone on which all goes well needs no further activity. Where there is no
// answer within readAfterFor, the zone asks anew by itself.
func (r *refresh) readAfter(ctx context.Context) *ReadOut {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readAfterFor)
	defer cancel()
	end := orNone(r.e.Spans).Begin(ctx, spanReadAfter, factZone, string(r.in.Zone))
	out := &ReadOut{}
	key, err := r.e.describe(ctx, r.in.Zone, out)
	if err == nil {
		out.Key = rotation.FingerprintOf(r.in.Zone, key)
	} else {
		out.Problem = cmp.Or(out.Problem, "the live key could not be read: it was not its turn in time")
	}
	end(out.Problem, factFingerprint, string(out.Key), factRequestID, out.RequestID)
	return out
}

func acknowledged(acks []rotation.Ack) bool {
	for _, a := range acks {
		if a.Problem != "" {
			return false
		}
	}
	return len(acks) > 0
}
