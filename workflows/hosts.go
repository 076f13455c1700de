package workflows

import (
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/workflow"

	"keywave/activities"
	"keywave/internal/rotation"
)

// All that workflows ask hosts goes through this file: to prove that they can take
// a key, or only which keys they hold.

// question is what hosts are asked: one activity for each location, in the order in
// which its first host was added.
type question struct {
	locations []rotation.Location
	asked     map[rotation.Location]*activities.ProveIn
}

// add asks one more host. look only reads what it holds.
func (q *question) add(h rotation.HostRef, zones []activities.ProveZone, look bool) {
	if q.asked == nil {
		q.asked = map[rotation.Location]*activities.ProveIn{}
	}
	in := q.asked[h.Location]
	if in == nil {
		in = &activities.ProveIn{Location: h.Location, Look: look}
		q.asked[h.Location] = in
		q.locations = append(q.locations, h.Location)
	}
	in.Hosts = append(in.Hosts, activities.ProveHost{Host: h, Zones: zones})
}

// sealed gives each location its part of the probe that it is to open.
func (q *question) sealed(probe activities.Probe) {
	for _, l := range q.locations {
		q.asked[l].Sealed, q.asked[l].Fingerprint = probe.Sealed[l], probe.Fingerprint
	}
}

// recent lets hosts rely on what they tried so short a time ago.
func (q *question) recent(span time.Duration) {
	for _, l := range q.locations {
		for i := range q.asked[l].Hosts {
			q.asked[l].Hosts[i].Recent = rotation.Span(span)
		}
	}
}

// survey asks all locations at once, without hurry, and passes each answer on. That a
// worker is absent is an answer too.
func (q *question) survey(ctx workflow.Context, heard func(in activities.ProveIn, out activities.ProveOut, err error)) {
	futures := make([]workflow.Future, len(q.locations))
	for i, l := range q.locations {
		q.asked[l].Twins = !q.asked[l].Look
		futures[i] = proveAct().start(ctx, surveyOptions(l, len(q.asked[l].Hosts)), *q.asked[l])
	}
	for i, l := range q.locations {
		var out activities.ProveOut
		err := futures[i].Get(ctx, &out)
		heard(*q.asked[l], out, err)
	}
}

// startProof asks for proofs the worker that also calls EdgeOne, where it serves
// the location: it holds the connections then, and can bring a new key to the
// hosts without a trip through Temporal. near is its queue, or empty. If it is
// gone, another worker of the location answers.
func startProof(ctx workflow.Context, near string, in activities.ProveIn) workflow.Future {
	o := proveOptions(in.Location, len(in.Hosts))
	if near == "" {
		return proveAct().start(ctx, o, in)
	}
	done, settle := workflow.NewFuture(ctx)
	workflow.Go(ctx, func(ctx workflow.Context) {
		own := o
		own.TaskQueue, own.ScheduleToStartTimeout = near, quickProof
		out, err := proveAct().do(ctx, own, in)
		if neverStarted(err) {
			out, err = proveAct().do(ctx, o, in)
		}
		settle.Set(out, err)
	})
	return done
}

// noAnswer says why hosts of a location were not asked.
func noAnswer(l rotation.Location, err error) string {
	if neverStarted(err) {
		return fmt.Sprintf("no worker of location %s answers (is one running? keywave doctor)", l)
	}
	return why(err)
}

// askProbe asks the worker that calls EdgeOne now to seal a probe. If it cannot seal a
// later one, the former stays in use.
func (s *shard) askProbe(ctx workflow.Context, c rotation.AskProbe) {
	what := "a probe, sealed as keys will be"
	if s.probed {
		what = "another worker calls EdgeOne: a probe of its own"
	}
	probe, err := probeAct().do(ctx, bulkOptions(s.in.Account, what), activities.ProbeIn{Locations: c.Locations})
	s.stirred = true
	switch {
	case err == nil:
		s.probe, s.probed = probe, true
	case !s.probed:
		s.m.Refuse(why(err))
		return
	}
	s.m.Probed()
}

// recentFraction is the part of a proof's life for which a host need not try again what it
// tried. Proofs come every few seconds, because each is about the next zones.
const recentFraction = 6

// askHosts lets a location's hosts prove that they can take a key.
func (s *shard) askHosts(ctx workflow.Context, c rotation.AskHosts) {
	var q question
	for _, h := range c.Hosts {
		var zones []activities.ProveZone
		for _, z := range h.Zones {
			zones = append(zones, activities.ProveZone{ID: z.ID, Baseline: z.Baseline})
		}
		q.add(h.Host, zones, false)
		if h.Again {
			in := q.asked[c.Location]
			in.Hosts[len(in.Hosts)-1].Recent = s.in.Timing.ProofFor / recentFraction
		}
	}
	q.sealed(s.probe)
	near := s.probe.Queues[c.Location]
	var out activities.ProveOut
	if err := startProof(ctx, near, *q.asked[c.Location]).Get(ctx, &out); err != nil {
		out.Proofs = nil
		for _, h := range c.Hosts {
			out.Proofs = append(out.Proofs, rotation.Proof{Host: h.Host.Name, Problem: noAnswer(c.Location, err)})
		}
		near = ""
	}
	elsewhere := near != "" && slices.ContainsFunc(out.Proofs, func(p rotation.Proof) bool { return p.Queue != near })
	s.m.Proved(s.now(), c.Location, out.Proofs, elsewhere)
	s.stirred = true
}
