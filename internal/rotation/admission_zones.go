package rotation

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// start begins a zone with everything that is known of it.
func (a *Admission) start(z *entry, now time.Time) {
	z.tries++
	z.flight = &flight{since: now}
	a.slots.Give(z.ID, 1)
	a.dirty = true
	s := StartZone{
		Zone: z.ID, Try: z.tries, Join: z.joins, Verb: z.verb, Urgent: z.mending, Baseline: z.Baseline, ClosesAt: a.in.ClosesAt,
		Unstaged: z.record.Back == BackStage,
	}
	for _, h := range a.hostsOf(z) {
		ref := h.HostRef
		ref.Parts = ""
		s.Hosts = append(s.Hosts, ref)
	}
	for _, r := range a.in.Decided.Retired {
		if r.Zone == "" || r.Zone == z.ID {
			s.Retired = append(s.Retired, r)
		}
	}
	if z.mending {
		s.Baseline, s.Since = "", z.record.Since
		s.Drift = known(z.record.From, z.record.To, z.Baseline)
	}
	switch {
	case z.mending && z.verb == Rotate:
		s.Baseline, s.Doubt = z.former(), z.record.EndedAt
		if s.Doubt.IsZero() {
			s.Doubt = now
		}
	default:
		a.addProofs(z, &s)
		if a.in.Again || a.in.Stale || z.back > 0 {
			s.Baseline = "" // it may have changed since the plan was made
		}
	}
	a.out = append(a.out, s)
}

// former is the key from before an earlier refresh.
func (z *entry) former() Fingerprint { return cmp.Or(z.record.From, z.Baseline) }

func known(all ...Fingerprint) []Fingerprint {
	var some []Fingerprint
	for _, f := range all {
		if f != "" && f != Absent && !slices.Contains(some, f) {
			some = append(some, f)
		}
	}
	return some
}

// inFlight is the zone that news of a try belongs to. It is nil when that try
// is over.
func (a *Admission) inFlight(id ZoneID, try int) *entry {
	z := a.byID[id]
	if z == nil || z.flight == nil || z.tries != try {
		return nil
	}
	return z
}

// Started says that a zone's workflow is running.
func (a *Admission) Started(now time.Time, id ZoneID, try int) {
	z := a.inFlight(id, try)
	if z == nil {
		return
	}
	z.flight.started = true
	a.underWay(z, now)
}

// Foreign says that a zone's workflow is already running, and that somebody
// else started it. If it belongs to this campaign, the shard waits for its end.
func (a *Admission) Foreign(now time.Time, id ZoneID, try int) {
	z := a.inFlight(id, try)
	if z == nil {
		return
	}
	z.flight.foreign = true
	a.underWay(z, now)
	a.tellZone(z, ZoneOrder{Tell: true})
}

func (a *Admission) underWay(z *entry, now time.Time) {
	f := z.flight
	f.askAt = now.Add(soonestAsk)
	for _, o := range f.orders {
		a.tellZone(z, o)
	}
	f.orders = nil
}

// StartsLate says that a zone has not started within StartWithin, and would be given up by the
// next Next.
func (a *Admission) StartsLate(now time.Time) bool {
	return slices.ContainsFunc(a.zones, func(z *entry) bool { return a.startsLate(z, now) })
}

func (a *Admission) startsLate(z *entry, now time.Time) bool {
	f := z.flight
	return f != nil && !f.started && !f.foreign && now.Sub(f.since) >= a.in.StartWithin
}

// AwaitStarts lets the workflows of zones take that long to start.
func (a *Admission) AwaitStarts(within time.Duration) { a.in.StartWithin = within }

// giveUpStarts ends zones that do not start, because a zone that never starts
// must not stop the shard. Temporal may still start it, so it is not tried
// again before people resume.
func (a *Admission) giveUpStarts(now time.Time) {
	for _, z := range a.zones {
		if !a.startsLate(z, now) {
			continue
		}
		if !z.flight.cancelled {
			a.out = append(a.out, CancelZone{z.ID, z.tries}) // in case it starts after all
		}
		z.back = handedBack
		a.Ended(now, z.ID, z.tries, Landing{Absent: "Temporal did not start it within " + a.in.StartWithin.String()})
	}
}

// Heard is a zone's news.
func (a *Admission) Heard(now time.Time, n ZoneNews) {
	z := a.byID[n.Zone]
	if z == nil || z.flight == nil {
		return
	}
	if n.Gone != "" {
		a.unqueue([]string{n.Gone})
		return
	}
	f, was := z.flight, z.outcome()
	if n.Loose {
		a.slots.Loosen(z.ID)
	}
	if n.Standing == Alive {
		f.askAt, f.asks = now.Add(soonestAsk), 0
	} else if n.Standing != f.news.Standing {
		a.progress(now)
	}
	f.news, f.heard, f.begun, z.cause = n, true, false, ""
	a.dirty = true
	if z.outcome() != was {
		a.matters(failed(z.outcome()) && !a.stopped)
	}
}

// Ended is the end of a zone's operation, however it ended.
func (a *Admission) Ended(now time.Time, id ZoneID, try int, l Landing) {
	z := a.inFlight(id, try)
	if z == nil {
		return
	}
	a.landedAt = now
	f, mended := z.flight, z.mending
	z.flight, z.mending, z.joins = nil, false, false
	a.slots.Leave(id)
	a.dirty = true
	if a.told && !a.in.Last && a.slots.Taken() == a.slots.Window()/2 {
		a.urgent = true // the next shard can have half of the window
	}
	fresh := landed(now, f, l)
	a.unqueue(fresh.Gone)
	fresh.Gone = nil
	z.cause = ""
	if mended && fresh.Outcome == Pending { // nothing was done, so what was true of it is still true
		z.record.Why = "could not be mended now: " + fresh.Why
		a.mendAgain(z)
		return
	}
	z.prior = false
	z.record = merged(z.record, fresh)
	if z.record.Zone = z.ID; z.skip != "" && (fresh.Outcome == Pending || fresh.Outcome == Unchanged) {
		z.exclude()
	}
	if z.record.Outcome != Pending {
		a.progress(now)
	}
	a.judge(z)
}

// unqueue has proofs name no queue any more that nobody serves, and tells the zones that
// were started with such proofs.
func (a *Admission) unqueue(gone []string) {
	for _, queue := range gone {
		lost := map[*host]bool{}
		for _, h := range a.hosts {
			if lost[h] = h.proof.Queue == queue; lost[h] {
				h.proof.Queue = ""
			}
		}
		for _, z := range a.zones {
			if z.flight != nil && slices.ContainsFunc(a.hostsOf(z), func(h *host) bool { return lost[h] }) {
				a.tellZone(z, ZoneOrder{Lost: queue})
			}
		}
	}
}

func landed(now time.Time, f *flight, l Landing) Record {
	switch {
	case l.Record != nil:
		return *l.Record
	case l.Busy != "":
		return Record{Outcome: Pending, Back: backBusy, Why: "busy elsewhere: " + l.Busy, EndedAt: now}
	case l.Lost == "" && !f.foreign && !f.started && f.cancelled:
		return Record{Outcome: Pending, Back: BackStopped, Why: "stopped before it began", EndedAt: now}
	case l.Lost == "" && !f.foreign && !f.started:
		return Record{Outcome: Pending, Back: BackNoWorker, Why: "its workflow did not start: " + l.Absent, EndedAt: now}
	}
	return Record{Outcome: Unknown, Why: cmp.Or(l.Lost, l.Absent), EndedAt: now}
}

// merged is a later run's record, with what only the earlier record knows.
func merged(before, after Record) Record {
	after.API = after.API.Plus(before.API)
	after.From = cmp.Or(after.From, before.From)
	after.RequestID = cmp.Or(after.RequestID, before.RequestID)
	if after.Since.IsZero() {
		after.Since = before.Since
	}
	if after.Outcome == Unknown && after.To == "" {
		after.To, after.Acks, after.Missing, after.Retired = before.To, before.Acks, before.Missing, before.Retired
	}
	return after
}

// mendAgain puts a zone into the queue again that an earlier operation left
// exposed or unknown and that could not be helped yet.
func (a *Admission) mendAgain(z *entry) {
	if z.skip != "" {
		z.exclude()
		return
	}
	if a.stopped || z.back >= handedBack {
		z.prior = false
		a.matters(!a.stopped)
		return
	}
	z.back++
	z.mending = true
	a.queue = append(a.queue, z)
}

// judge decides what a zone's end means for the others.
func (a *Admission) judge(z *entry) {
	r := z.record
	a.breaker(r)
	switch {
	case r.Halt:
		a.standStill(r.Why)
	case failed(r.Outcome):
		a.matters(!a.stopped)
	case r.Outcome == Pending && r.Back != backBusy && r.Back != BackStopped:
		z.cause = r.Why
	}
	if r.Outcome == Pending && !a.stopped && z.back < handedBack {
		z.back++
		a.queue = append(a.queue, z)
		a.forget(z)
	}
}

func failed(o Outcome) bool { return o == Unchanged || o == Exposed || o == Unknown }

// breaker stops a campaign whose zones fail alike, one after the other, because
// the next one would fail too. Of the zones that come back unharmed, only those
// that never reached EdgeOne count.
func (a *Admission) breaker(r Record) {
	cause := r.Cause
	switch {
	case r.Outcome == Done:
		a.cause, a.alike = "", 0
		return
	case r.Outcome == Pending && r.Back == BackUnreached:
		cause = string(BackUnreached)
	case r.Outcome != Unchanged && r.Outcome != Unknown:
		return
	}
	if cause == "" || cause != a.cause {
		a.cause, a.alike = cause, 0
	}
	if a.alike++; cause == "" || a.alike < breakAfter {
		return
	}
	if cause == string(BackUnreached) {
		a.standStill(fmt.Sprintf("%d zones in a row never reached EdgeOne, their old keys are alive; the latest: %s", a.alike, r.Why))
		return
	}
	a.standStill(fmt.Sprintf("%d zones in a row failed with %s, the latest: %s", a.alike, cause, r.Why))
}

// When Temporal is asked whether refreshes have begun: soon where no zone ends any
// more, because the process that calls EdgeOne may be gone; later about a zone that
// waits while others end.
const (
	soonestAsk = time.Second
	latestAsk  = 5 * time.Second
)

func (a *Admission) askAfter() time.Duration {
	return max(soonestAsk, min(a.in.Timing.ExposedAfter.D()/2, latestAsk))
}

// silent says that of a zone's refresh nothing is known except that it was
// asked for.
func (z *entry) silent() bool {
	f := z.flight
	return f != nil && (f.started || f.foreign) && z.verb == Rotate && !z.mending && !f.begun && !f.news.Exposed && f.standing() == Alive
}

func (f *flight) standing() Standing { return cmp.Or(f.news.Standing, Alive) }

// askDue is when Temporal is asked about silent zones. It is zero while there
// are none.
func (a *Admission) askDue() time.Time {
	var due time.Time
	if a.asking {
		return due
	}
	for _, z := range a.zones {
		if !z.silent() {
			continue
		}
		if at := a.askAt(z.flight); due.IsZero() || at.Before(due) {
			due = at
		}
	}
	return due
}

// askAt is when it is asked about one zone. As long as others end, it is not in a
// hurry.
func (a *Admission) askAt(f *flight) time.Time {
	quiet, patient := a.landedAt.Add(soonestAsk), f.since.Add(a.askAfter())
	if quiet.After(patient) {
		quiet = patient
	}
	if !f.taken {
		quiet = later(quiet, a.askedAt.Add(soonestAsk))
	}
	return later(f.askAt, quiet)
}

// askBegun asks about all zones that have been silent for long, as soon as one
// of them is due; if that is one that had just been taken, only about such. If a
// refresh has begun and does not answer, only this makes the exposure count.
func (a *Admission) askBegun(now time.Time) {
	due := a.askDue()
	if due.IsZero() || now.Before(due) {
		return
	}
	isDue := func(z *entry) bool { return z.silent() && !now.Before(a.askAt(z.flight)) }
	all := slices.ContainsFunc(a.zones, func(z *entry) bool { return isDue(z) && !z.flight.taken })
	var zones []ZoneID
	for _, z := range a.zones {
		if f := z.flight; z.silent() && (isDue(z) || all && now.Sub(f.since) >= soonestAsk) {
			zones = append(zones, z.ID)
			gap := min(soonestAsk<<min(f.asks, 6), max(a.askAfter(), a.in.Timing.ExposedAfter.D()/2))
			f.asks++
			f.askAt, f.taken = now.Add(gap), false
		}
	}
	a.asking = true
	if all {
		a.askedAt = now
	}
	a.out = append(a.out, AskBegun{zones})
}

// RefreshSeen is what Temporal says of a zone's refresh.
type RefreshSeen struct {
	Zone ZoneID `json:"zone"`
	// Begun is since when a worker has worked at it without saying that EdgeOne
	// rejected it before executing it. It is zero if that is not so.
	Begun time.Time `json:"begun,omitzero"`
	// Queued says that no worker has taken it yet.
	Queued bool `json:"queued,omitempty"`
	// Taken is when one that has taken it a moment ago will have said whether it waits
	// for its turn. It is zero if it has had the time.
	Taken time.Time `json:"taken,omitzero"`
	// Text is what it last said of itself, for people.
	Text string `json:"text,omitempty"`
}

// HeardBegun takes the answer to AskBegun. Zones may be missing in it.
func (a *Admission) HeardBegun(seen []RefreshSeen) {
	a.asking = false
	for _, s := range seen {
		z := a.byID[s.Zone]
		if z == nil || !z.silent() {
			continue
		}
		was := z.cause
		z.cause = s.Text
		switch {
		case !s.Begun.IsZero():
			z.flight.begun = true
			a.tellZone(z, ZoneOrder{Begun: s.Begun})
			z.cause = cmp.Or(s.Text, "the refresh has begun, and has no answer yet")
		case !s.Taken.IsZero():
			z.flight.askAt, z.flight.asks, z.flight.taken = s.Taken, 0, true
		case s.Queued:
			z.cause = cmp.Or(s.Text, "the refresh is in its queue: the worker that calls EdgeOne has not taken it")
		}
		a.dirty = a.dirty || z.cause != was
	}
}
