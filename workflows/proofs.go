package workflows

import (
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/workflow"

	"keywave/activities"
	"keywave/internal/plan"
	"keywave/internal/rotation"
)

// keepProving keeps the proofs of the zones that start next fresh, one batch
// per location at a time, ahead of the admission.
func (s *shard) keepProving(ctx workflow.Context) {
	if s.in.Emergency != "" {
		return
	}
	for _, l := range s.locations() {
		workflow.Go(ctx, func(ctx workflow.Context) {
			for !s.ended {
				_ = workflow.Await(ctx, func() bool { return s.ended || !s.stopped && len(s.due(l, s.next())) > 0 })
				if !s.ended {
					s.proveBatch(ctx, l)
				}
			}
		})
	}
}

// look is what a host held for a zone, and when it was asked.
type look struct {
	at    time.Time
	drift rotation.Fingerprint // empty: the baseline
}

// next are the zones whose turn comes so soon that a batch must not wait.
func (s *shard) next() []*shardZone {
	if !s.inParts {
		return s.ahead()
	}
	return s.queue[:min(len(s.queue), s.window)]
}

// ahead are the zones that a batch is for. The files of the others are read when
// their turn comes: to read those of a whole page at once would get in the way of
// the keys that are delivered meanwhile. The first batch is a small one, for its
// end is waited for.
func (s *shard) ahead() []*shardZone {
	n := lookAhead * s.window
	switch {
	case !s.inParts:
	case len(s.proofs) == 0:
		n = s.window
	default:
		n = s.window + max(s.window, leastPart)
	}
	return s.queue[:min(len(s.queue), n)]
}

// due are the hosts of a location of which these zones need a proof, or need it
// renewed.
func (s *shard) due(l rotation.Location, zones []*shardZone) []int {
	var due []int
	now := workflow.Now(s.work)
	seen := map[int]bool{}
	for _, z := range zones {
		for i, h := range z.plan.Hosts {
			ref := s.page.Hosts[h]
			if z.mending || ref.Location != l || seen[h] || s.asked[ref.Name] || s.aside[ref.Name] != "" {
				continue
			}
			if !s.fresh(z, i, now, s.in.Timing.ProofFor.D()/renewFraction) {
				seen[h] = true
				due = append(due, h)
			}
		}
	}
	return due
}

// fresh says whether the proof of a zone's i-th host still counts at now, and was
// about this zone too.
func (s *shard) fresh(z *shardZone, i int, now time.Time, life time.Duration) bool {
	if !s.proofs[s.page.Hosts[z.plan.Hosts[i]].Name].Fresh(now, life) {
		return false
	}
	return !s.inParts || i < len(z.looks) && now.Sub(z.looks[i].at) <= life
}

func (s *shard) proveBatch(ctx workflow.Context, l rotation.Location) {
	in := activities.ProveIn{Location: l, Sealed: s.probe.Sealed[l], Fingerprint: s.probe.Fingerprint}
	waiting := s.zonesOf()
	for _, h := range s.due(l, s.ahead()) {
		ref := s.page.Hosts[h]
		s.asked[ref.Name] = true
		in.Hosts = append(in.Hosts, activities.ProveHost{Host: ref, Zones: waiting[h]})
	}
	near := s.probe.Queues[l]
	var out activities.ProveOut
	err := startProof(ctx, near, in).Get(ctx, &out)
	for i, asked := range in.Hosts {
		proof := rotation.Proof{Host: asked.Host.Name}
		switch {
		case neverStarted(err):
			proof.Problem = fmt.Sprintf("no worker of location %s answers (is one running? keywave doctor)", l)
		case err != nil:
			proof.Problem = why(err)
		default:
			proof = out.Proofs[i]
		}
		s.proved(asked, proof)
	}
	elsewhere := slices.ContainsFunc(out.Proofs, func(p rotation.Proof) bool { return p.Queue != near })
	if near != "" && elsewhere {
		s.probeAgain(ctx) // another process is the active one now
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
		own.TaskQueue, own.ScheduleToStartTimeout = near, quickAnswer
		out, err := proveAct().do(ctx, own, in)
		if neverStarted(err) {
			out, err = proveAct().do(ctx, o, in)
		}
		settle.Set(out, err)
	})
	return done
}

// probeAgain learns which worker calls EdgeOne now. One that does not answer
// leaves the probe as it was: it opens as before.
func (s *shard) probeAgain(ctx workflow.Context) {
	probe, err := probeAct().do(ctx, bulkOptions(s.in.Account, "another worker calls EdgeOne: a probe of its own"), activities.ProbeIn{Locations: s.locations()})
	if err == nil {
		s.probe = probe
	}
}

// zonesOf is, by host index, every zone that a batch asks about.
func (s *shard) zonesOf() map[int][]activities.ProveZone {
	zones := s.queue
	if s.inParts {
		zones = s.ahead()
	}
	waiting := map[int][]activities.ProveZone{}
	for _, z := range zones {
		for _, h := range z.plan.Hosts {
			waiting[h] = append(waiting[h], activities.ProveZone{ID: z.plan.ID, Baseline: z.plan.Baseline})
		}
	}
	return waiting
}

func (s *shard) proved(asked activities.ProveHost, p rotation.Proof) {
	delete(s.asked, p.Host)
	if p.Problem == "" {
		for _, about := range asked.Zones {
			s.byID[about.ID].looked(s.page, p, p.Drift[about.ID])
		}
		p.Drift = nil
		s.proofs[p.Host] = p
		if s.inParts {
			delete(s.fails, p.Host)
		}
		return
	}
	delete(s.proofs, p.Host)
	if s.fails[p.Host]++; s.fails[p.Host] >= proofTries {
		s.aside[p.Host] = p.Problem
		s.urgent = true
	}
}

func (z *shardZone) looked(page plan.Page, p rotation.Proof, drift rotation.Fingerprint) {
	if z.looks == nil {
		z.looks = make([]look, len(z.plan.Hosts))
	}
	for i, h := range z.plan.Hosts {
		if page.Hosts[h].Name == p.Host {
			z.looks[i] = look{p.At, drift}
		}
	}
}

// resolved says that a zone can be decided about: each of its hosts has a proof
// that will still be fresh at its refresh, or is set aside. A zone whose key may
// have changed does not wait for proofs.
func (s *shard) resolved(z *shardZone) bool {
	if s.in.Emergency != "" || z.mending {
		return true
	}
	now := workflow.Now(s.work)
	for i, h := range z.plan.Hosts {
		host := s.page.Hosts[h].Name
		switch {
		case s.retired(z, host):
		case s.aside[host] != "":
			return true
		case !s.fresh(z, i, now, s.in.Timing.ProofFor.D()*3/4):
			return false
		}
	}
	return true
}

func (s *shard) asideHost(z *shardZone) (rotation.HostName, string) {
	for _, h := range s.hostsOf(z) {
		if why := s.aside[h.Name]; why != "" {
			return h.Name, why
		}
	}
	return "", ""
}
