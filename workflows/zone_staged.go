package workflows

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"keywave/activities"
	"keywave/internal/rotation"
)

// The steps that only the strategy staged has. Delivery activates what is staged.

const recalledSwitch = "cancelled before its switch"

// mint has a key made. It is in the history before anything happens with it.
func (z *zone) mint() {
	if z.trip.Stop {
		z.trip.NotSent(z.now(), recalledSwitch, rotation.BackStopped, false)
		return
	}
	in := activities.MintIn{
		Zone: z.in.Zone, Hosts: z.hosts(), Retired: z.in.Retired, Baseline: z.trip.Baseline, RollbackFor: z.in.RollbackFor, Former: z.in.Former,
	}
	f := mintAct().start(z.recallable(), mintOptions(z.in.Account, mintSummary(in)), in)
	z.await(f, time.Time{})
	var out activities.MintOut
	err := f.Get(z.work, &out)
	z.api = z.api.Plus(out.API)
	switch {
	case errors.As(err, new(*temporal.CanceledError)):
		z.trip.NotSent(z.now(), recalledSwitch, rotation.BackStopped, false)
	case err != nil:
		z.trip.NotSent(z.now(), "no worker of account "+string(z.in.Account)+" minted a key (is one active? keywave doctor): "+why(err), rotation.BackNoWorker, false)
	case out.Why != "" && out.Again:
		z.trip.NotSent(z.now(), out.Why, rotation.BackNoWorker, false)
	case out.Why != "":
		z.trip.RefusedBy(z.now(), out.Why, out.Code, out.Halt)
	case out.Live != "":
		z.trip.KeyMoved(out.Live)
	default:
		z.minted = out
		z.trip.Note(out.Note)
		z.trip.KeyMinted(out.Key)
	}
}

// former is the key that the zone has replaced, or may have, where it was kept.
func (z *zone) former() *rotation.Former {
	if f := z.minted.Former; f != nil && z.trip.MayHaveRefreshed() && z.trip.Ended != rotation.Unchanged {
		return f
	}
	return nil
}

// staging is the key on its way to the hosts of one location.
type staging struct {
	location rotation.Location
	hosts    []rotation.HostRef
	own      string // the queue of the worker that proved them, where it goes there
	future   workflow.Future
}

// stage brings the minted key to every host, beside the file that is in use. What a host
// answers is its proof.
func (z *zone) stage() {
	if z.trip.Stop {
		z.trip.KeyStaged(z.now(), nil, nil, recalledSwitch, rotation.BackStopped)
		return
	}
	if z.minted.Sealed == nil {
		z.trip.KeyStaged(z.now(), nil, nil, "the minted key was sealed for other hosts than are to get it now", rotation.BackStage)
		return
	}
	ctx := z.recallable()
	var all []*staging
	for _, l := range z.locations() {
		if hosts := z.hostsIn(l, nil); len(hosts) > 0 {
			s := &staging{location: l, hosts: hosts}
			if own := z.proofQueue(hosts[0].Name); !slices.Contains(z.gone, own) {
				s.own = own
			}
			z.askToStage(ctx, s)
			all = append(all, s)
		}
	}
	asked := slices.Clone(z.trip.Hosts)
	proofs := z.proofs
	z.proofs = nil
	var r staged
	for _, s := range all {
		z.staged(ctx, s, &r)
	}
	if r.problem() != "" {
		z.proofs = proofs
	}
	switch {
	case z.trip.Stop && r.problem() != "":
		z.trip.KeyStaged(z.now(), asked, r.acks, recalledSwitch, rotation.BackStopped)
	default:
		z.trip.KeyStaged(z.now(), asked, r.acks, r.problem(), r.back)
	}
}

func (z *zone) askToStage(ctx workflow.Context, s *staging) {
	queue := LocationQueue(s.location)
	if s.own != "" {
		queue = s.own
	}
	s.future = stageAct().start(ctx, stageOptions(queue, stageSummary(s.location, s.hosts), s.own != ""), activities.StageIn{
		Zone: z.in.Zone, Key: z.trip.Minted, Sealed: z.minted.Sealed[s.location], Hosts: s.hosts,
	})
}

// staged is what all locations answered.
type staged struct {
	acks     []rotation.Ack
	problems []string
	back     rotation.Handback
}

func (r *staged) problem() string { return strings.Join(r.problems, "; ") }

func (r *staged) failed(back rotation.Handback, format string, args ...any) {
	r.problems = append(r.problems, fmt.Sprintf(format, args...))
	if r.back == "" || back == rotation.BackStage {
		r.back = back
	}
}

// staged waits for one location's answer. Where the worker that proved the hosts is
// gone, another one of the location is asked.
func (z *zone) staged(ctx workflow.Context, s *staging, r *staged) {
	z.await(s.future, time.Time{})
	var out activities.StageOut
	err := s.future.Get(z.work, &out)
	lost := s.own != "" && temporal.IsTimeoutError(err)
	if lost || s.own != "" && out.Leaving {
		z.goes(s.own)
	}
	if lost && !z.trip.Stop {
		s.own = ""
		z.askToStage(ctx, s)
		z.staged(ctx, s, r)
		return
	}
	switch {
	case neverStarted(err):
		r.failed(rotation.BackNoWorker, "no worker of location %s took the key to its hosts (is one running? keywave doctor)", s.location)
	case err != nil:
		r.failed(rotation.BackNoWorker, "location %s: %s", s.location, why(err))
	case out.Unopened != "":
		r.failed(rotation.BackNoWorker, "location %s: %s", s.location, out.Unopened)
	}
	if err != nil || out.Unopened != "" {
		return
	}
	for _, a := range out.Acks {
		if a.Problem != "" {
			r.failed(rotation.BackStage, "%s: %s", a.Host, a.Problem)
			continue
		}
		r.acks = append(r.acks, a)
		z.proofs = append(z.proofs, rotation.Proof{Host: a.Host, At: out.At, Queue: out.Queue})
	}
}

// change has EdgeOne take the minted key.
func (z *zone) change() {
	if z.trip.Stop {
		z.trip.NotSent(z.now(), recalledSwitch, rotation.BackStopped, false)
		return
	}
	in := activities.SwitchIn{
		Zone: z.in.Zone, Hosts: z.hosts(), Retired: z.in.Retired, Key: z.trip.Minted, Kept: z.minted.Kept, Minted: z.minted.Minted, Baseline: z.trip.Baseline,
		Former: z.in.Former, StagedAt: z.oldestProof(), ProofFor: z.in.Timing.ProofFor, ClosesAt: z.in.ClosesAt, Straight: z.straight(), Expect: z.trip.Expect(),
	}
	z.asked, z.askedFor, z.says, z.spared = z.now(), z.hosts(), "", false
	f := switchAct().start(z.recallable(), refreshOptions(z.in, switchSummary(in)), in)
	if z.awaitRefresh(f) {
		z.take(f)
	}
}

// sweep removes what is still staged. It never waits for a host that does not answer.
func (z *zone) sweep() {
	var left []rotation.HostName
	futures := map[rotation.Location]workflow.Future{}
	for _, l := range z.locations() {
		if hosts := z.stagedIn(l); len(hosts) > 0 {
			futures[l] = unstageAct().start(z.work, unstageOptions(LocationQueue(l), sweepSummary(l, hosts)), activities.UnstageIn{Zone: z.in.Zone, Hosts: hosts})
		}
	}
	for _, l := range z.locations() {
		f, asked := futures[l]
		if !asked {
			continue
		}
		z.await(f, time.Time{})
		var out activities.UnstageOut
		if f.Get(z.work, &out) != nil {
			out.Left = namesOf(z.stagedIn(l))
		}
		left = append(left, out.Left...)
	}
	z.trip.Swept(left)
}

// stagedIn are the hosts in a location on which a key may still lie beside the file.
func (z *zone) stagedIn(l rotation.Location) []rotation.HostRef {
	return slices.DeleteFunc(slices.Clone(z.in.Hosts), func(h rotation.HostRef) bool {
		return h.Location != l || !slices.Contains(z.trip.Staged, h.Name)
	})
}

// isStaged says that the zone's new key is ours.
func (z *zone) isStaged() bool { return z.trip.Strategy == rotation.Staged }

// activates says that the key to deliver is the one that was staged.
func (z *zone) activates() bool { return z.trip.Minted != "" && z.trip.Live == z.trip.Minted }

// mintedFor drops the minted key's seals where they are not for all of these hosts.
func (z *zone) mintedFor(hosts []rotation.HostRef) {
	for _, h := range hosts {
		if !slices.ContainsFunc(z.in.Hosts, func(b rotation.HostRef) bool { return b.Name == h.Name && b.Location == h.Location }) {
			z.minted.Sealed = nil
		}
	}
}

// call is how the call that changes the key is named to people.
func (z *zone) call() string {
	if z.isStaged() {
		return "switch"
	}
	return "refresh"
}
