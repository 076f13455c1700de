package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"keywave/activities"
)

// awaitRefresh waits for a refresh. When it has begun and does not answer, the key is
// read early. It says whether the refresh has ended; otherwise its key was read, and is
// to be delivered while it still runs.
func (z *zone) awaitRefresh(f workflow.Future) (ended bool) {
	z.awaitBegun(f)
	next := z.trip.Begun.Add(earlyAfter)
	for gap := earlyAfter; !z.waitFor(f.IsReady, next, time.Time{}, "before the live key is read early"); gap *= 2 {
		if z.readEarly(f) {
			return false
		}
		if z.takesBack(f) {
			return z.awaitRefresh(f)
		}
		next = z.now().Add(gap)
	}
	return true
}

// began notes that the refresh has begun: it may have been sent.
func (z *zone) began(since time.Time) {
	z.trip.Began(since)
	z.begun = z.now()
}

// takesBack asks about a refresh that is known to have begun, and whose key has not changed. A
// process that was only silent for a while has it wait: it says so when it is heard again.
func (z *zone) takesBack(f workflow.Future) bool {
	if f.IsReady() || !has(z.work, versionSpared) {
		return false
	}
	if r := z.askBegun(f); r.Says == "" || !r.Heard.After(z.begun) {
		return false
	}
	z.trip.Began(time.Time{})
	z.spared = true
	z.tell(asks) // its shard may have been told that it had begun
	return true
}

// awaitBegun waits until a refresh has ended, or is known to have begun. While it is in
// its queue nothing was sent: the shard asks Temporal whether it has begun, and says so
// by an order. Without a shard, and for a second refresh, the zone asks by itself.
func (z *zone) awaitBegun(f workflow.Future) {
	known := func() bool { return f.IsReady() || !z.trip.Begun.IsZero() }
	if z.in.Shard != "" && z.trip.Sent == 0 && !z.spared {
		z.waitFor(known, time.Time{}, time.Time{}, exposureTold)
		return
	}
	most := max(z.in.Timing.ExposedAfter.D()/2, earlyAfter)
	for gap := earlyAfter; !z.waitFor(known, z.now().Add(gap), time.Time{}, "before it is asked whether the refresh has begun"); {
		gap = min(2*gap, most)
		r := z.askBegun(f)
		if r.MayHaveSent() {
			z.began(r.Since)
		}
		if says := saysBy(r); !says.IsZero() {
			gap = min(gap, max(says.Sub(z.now()), aMoment))
		}
	}
}

// askBegun asks whether the refresh has begun, and gives what Temporal knows of it.
func (z *zone) askBegun(f workflow.Future) (r activities.Refreshing) {
	self := workflow.GetInfo(z.work).WorkflowExecution.ID
	asked := begunAct().start(z.work, begunOptions("has the refresh begun?"), begunIn(z.trip.Strategy, self))
	z.waitFor(func() bool { return asked.IsReady() || f.IsReady() }, time.Time{}, time.Time{}, exposureTold)
	var out activities.BegunOut
	if f.IsReady() || asked.Get(z.work, &out) != nil || len(out.Refreshes) != 1 {
		return r
	}
	z.says = out.Refreshes[0].Says
	return out.Refreshes[0]
}

// readEarly reads the live key while the refresh runs, and says whether it had changed.
// A refresh that has not been signed yet is cancelled then.
func (z *zone) readEarly(f workflow.Future) (changed bool) {
	ctx, cancel := workflow.WithCancel(z.work)
	defer cancel()
	in := activities.ReadIn{Zone: z.in.Zone, Hosts: z.hosts(), Known: z.known()}
	read := readAct().start(ctx, earlyOptions(z.in), in)
	z.waitFor(func() bool { return read.IsReady() || f.IsReady() }, time.Time{}, time.Time{}, exposureTold)
	var out activities.ReadOut
	if f.IsReady() || read.Get(z.work, &out) != nil {
		return false
	}
	z.api = z.api.Plus(out.API)
	if out.Problem != "" || !z.trip.Early(z.now(), out.Key) {
		return false
	}
	z.seal(in.Hosts, out.Sealed, out.Withheld)
	z.running = f
	z.recall()
	return true
}

// awaitAnswer waits for the end of a refresh whose key was read early.
func (z *zone) awaitAnswer() {
	f := z.running
	z.await(f, time.Time{})
	z.running = nil
	z.take(f)
}
