package activities

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"keywave/internal/rotation"
)

// StraightHost is a host to which a new key may go the short way.
type StraightHost struct {
	Host rotation.HostRef `json:"host"`
	// Queue is that of the worker that proved the host: it holds the connection.
	Queue string `json:"queue"`
}

// The short way is for what is quick: it holds one of the process's few slots
// for refreshes.
const (
	straightAtOnce = 6
	straightFor    = 8 * time.Second // as the first round of an ordinary delivery
)

// straight brings a new key to its hosts from within the refresh, so that no
// trip through Temporal lies between EdgeOne's answer and the hosts: where this
// process has proved all of them itself, and is not busy with other zones so.
// It returns an Ack for each host, or nothing where it is not for it to do.
func (r *refresh) straight(ctx context.Context, key rotation.Secret) []rotation.Ack {
	places := r.e.beside(r.in.Straight)
	if places == nil {
		return nil
	}
	defer r.e.delivering.Add(-1)
	if r.e.delivering.Add(1) > straightAtOnce {
		return nil
	}
	// A key that exists is delivered whoever wants to stop.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), straightFor)
	defer cancel()
	in := DeliverIn{Zone: r.in.Zone, Key: r.out.Key, Expect: r.in.Expect}
	acks := make([]rotation.Ack, len(places))
	var group errgroup.Group
	for i, l := range places {
		group.Go(func() error {
			acks[i] = l.put(ctx, r.clock, r.in.Straight[i].Host, in, key)
			return nil
		})
	}
	_ = group.Wait()
	return acks
}

// beside finds for each host its location in this process; nil unless all are here.
func (e *EdgeOne) beside(hosts []StraightHost) []*Location {
	var found []*Location
	for _, h := range hosts {
		for _, l := range e.Beside {
			if l.Queue == h.Queue && l.Name == h.Host.Location {
				found = append(found, l)
			}
		}
	}
	if len(found) < len(hosts) {
		return nil
	}
	return found
}

func acknowledged(acks []rotation.Ack) bool {
	for _, a := range acks {
		if a.Problem != "" {
			return false
		}
	}
	return len(acks) > 0
}
