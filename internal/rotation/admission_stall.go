package rotation

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	maxCauses = 5
	maxWaits  = 8
)

// watch notes since when a zone could make progress and none does. While proofs
// are on their way that clock stands still: a zone that came back unsent gets
// new proofs before it is tried again, but that is no progress.
func (a *Admission) watch(now time.Time) {
	able := a.able(now)
	if !able && a.awaitsProofs(now) {
		if a.heldFrom.IsZero() {
			a.heldFrom = now
		}
		return
	}
	held := a.heldFrom
	a.heldFrom = time.Time{}
	switch {
	case !able:
		a.urgent = a.urgent || a.idleTold
		a.idleFrom, a.idleTold = time.Time{}, false
		return
	case a.idleFrom.IsZero():
		a.idleFrom = now
	case !held.IsZero() && !a.idleTold:
		a.idleFrom = a.idleFrom.Add(now.Sub(held))
	}
	if !a.idleTold && now.Sub(a.idleFrom) >= a.in.StallAfter {
		a.idleTold, a.urgent = true, true
	}
}

// progress notes that a refresh was executed, or that a zone has an outcome.
func (a *Admission) progress(now time.Time) {
	if !a.idleFrom.IsZero() {
		a.idleFrom = now
	}
	if !a.heldFrom.IsZero() {
		a.heldFrom = now
	}
	a.urgent = a.urgent || a.idleTold
	a.idleTold = false
}

// able says that a zone is at its refresh, or could start, and that no known
// reason prevents it.
func (a *Admission) able(now time.Time) bool {
	switch {
	case a.stopped || a.refused:
		return false
	case !a.loaded || slices.ContainsFunc(a.zones, (*entry).atRefresh):
		return true
	case len(a.queue) == 0 || !a.slots.Room() || a.shut(a.queue[0], now):
		return false
	}
	return a.overdue(now) != ""
}

// awaitsProofs says that the first zone in the queue waits only for proofs that
// may still come in time.
func (a *Admission) awaitsProofs(now time.Time) bool {
	if !a.loaded || a.stopped || a.refused || len(a.queue) == 0 {
		return false
	}
	return a.slots.Room() && !a.shut(a.queue[0], now) && (len(a.batches) > 0 || a.probe.asking)
}

// atRefresh says that a zone in flight has sent nothing, as far as is known.
func (z *entry) atRefresh() bool {
	return z.flight != nil && z.outcome() == Pending && z.flight.standing() == Alive
}

// overdue names what the first zone in the queue has waited for too long. It is
// empty when there is nothing.
func (a *Admission) overdue(now time.Time) string {
	if p := a.probe; p.asking && !p.have && now.Sub(p.asked) >= a.in.ProofsWithin {
		return "no probe for the proofs came yet: the worker that calls EdgeOne has not answered"
	}
	for _, h := range a.hostsOf(a.queue[0]) {
		if b := a.onItsWay(h.Location); b != nil && h.asked && now.Sub(b.asked) >= a.in.ProofsWithin {
			return fmt.Sprintf("hosts of location %s do not prove in time that they can take a key", h.Location)
		}
	}
	return ""
}

// causes counts why zones made no progress, the most frequent first.
func (a *Admission) causes(now time.Time) []Cause {
	var all []Cause
	add := func(why string, zones int) {
		i := slices.IndexFunc(all, func(c Cause) bool { return c.Why == why })
		if i < 0 {
			all = append(all, Cause{Why: why})
			i = len(all) - 1
		}
		all[i].Zones += zones
	}
	if !a.loaded {
		add("the page of the plan, and what an earlier run left of it, was not read yet", a.in.Before.Tally.Zones.Total)
	}
	for _, z := range a.zones {
		switch {
		case z.outcome() != Pending:
		case z.cause != "":
			add(z.cause, 1)
		case z.flight != nil && !z.flight.started && !z.flight.foreign:
			add("Temporal has not started their workflow yet", 1)
		}
	}
	if len(a.queue) > 0 {
		if why := a.overdue(now); why != "" {
			add(why, len(a.queue))
		}
	}
	slices.SortStableFunc(all, func(x, y Cause) int { return y.Zones - x.Zones })
	return all[:min(len(all), maxCauses)]
}

// waits groups the zones by where they stand and what they wait for.
func (a *Admission) waits() []Wait {
	var all []Wait
	for _, z := range a.zones {
		w, waits := z.waits()
		if !waits {
			continue
		}
		all = AddWait(all, w)
	}
	slices.SortStableFunc(all, func(x, y Wait) int {
		return cmp.Or(order(x.Standing)-order(y.Standing), y.Zones-x.Zones)
	})
	return folded(all)
}

// waits says what a zone waits for. It says nothing if the zone only waits for
// its turn, or makes progress.
func (z *entry) waits() (Wait, bool) {
	w := Wait{Zones: 1, Example: z.ID}
	f := z.flight
	switch {
	case f == nil && z.record.Outcome == Pending:
		w.Standing, w.Why, w.Since = NotBegun, z.record.Why, z.record.EndedAt
	case f == nil:
		return w, false
	case f.news.Why != "":
		w.Standing, w.Why, w.Since, w.Until = f.standing(), f.news.Why, f.news.Since, f.news.Until
	default:
		w.Standing, w.Why, w.Since = f.standing(), z.cause, f.since
	}
	return w, w.Why != ""
}

// order puts those first whose clients may be locked out.
func order(s Standing) int { return slices.Index([]Standing{Dead, Dark, Held, Alive, NotBegun}, s) }

// folded keeps at most eight groups. The smallest groups with the same standing
// are added up to one.
func folded(all []Wait) []Wait {
	for len(all) > maxWaits {
		last := len(all) - 1
		for all[last].Standing != all[last-1].Standing {
			last--
		}
		one := all[last-1].with(all[last])
		one.Why = strings.TrimSuffix(one.Why, alsoOther) + alsoOther
		all = slices.Replace(all, last-1, last+1, one)
	}
	return all
}

const alsoOther = ", and other reasons"
