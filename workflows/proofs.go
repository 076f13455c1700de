package workflows

import (
	"fmt"
	"slices"

	"go.temporal.io/sdk/workflow"

	"keywave/activities"
	"keywave/internal/rotation"
)

// askProbe has a probe sealed by the worker that calls EdgeOne now. Should a later
// one not be had, the former opens as before.
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

// askHosts has a location's hosts prove that they can take a key.
func (s *shard) askHosts(ctx workflow.Context, c rotation.AskHosts) {
	in := activities.ProveIn{Location: c.Location, Sealed: s.probe.Sealed[c.Location], Fingerprint: s.probe.Fingerprint}
	for _, h := range c.Hosts {
		asked := activities.ProveHost{Host: h.Host}
		for _, z := range h.Zones {
			asked.Zones = append(asked.Zones, activities.ProveZone{ID: z.ID, Baseline: z.Baseline})
		}
		in.Hosts = append(in.Hosts, asked)
	}
	near := s.probe.Queues[c.Location]
	var out activities.ProveOut
	err := startProof(ctx, near, in).Get(ctx, &out)
	elsewhere := near != "" && slices.ContainsFunc(out.Proofs, func(p rotation.Proof) bool { return p.Queue != near })
	if err != nil {
		out.Proofs = unproven(c, err)
	}
	s.m.Proved(s.now(), c.Location, out.Proofs, elsewhere)
	s.stirred = true
}

// unproven are the proofs of hosts that could not be asked.
func unproven(c rotation.AskHosts, err error) []rotation.Proof {
	problem := why(err)
	if neverStarted(err) {
		problem = fmt.Sprintf("no worker of location %s answers (is one running? keywave doctor)", c.Location)
	}
	var proofs []rotation.Proof
	for _, h := range c.Hosts {
		proofs = append(proofs, rotation.Proof{Host: h.Host.Name, Problem: problem})
	}
	return proofs
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
