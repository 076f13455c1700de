package rotation

import (
	"slices"
	"time"
)

// How often the campaign is told at most. Each time costs a line in its history
// and on its timeline.
const (
	soonEvery    = time.Second     // what people wait for
	newsEvery    = 2 * time.Second // mere progress, at first
	rareNews     = 10 * time.Second
	maxAttention = 5
)

// report tells the campaign what cannot wait at once, and the rest now and
// then. It tells nothing while nothing changes.
func (a *Admission) report(now time.Time) {
	quiet, due := a.isQuiet(), a.newsDue()
	if !a.urgent && quiet == a.quiet && (due.IsZero() || now.Before(due)) {
		return
	}
	a.urgent, a.soon, a.dirty, a.quiet, a.toldAt = false, false, false, quiet, now
	if a.told {
		// The next shard may get the slots that are free, so zones that come back
		// do not take them again.
		a.slots.Resize(min(a.slots.Window(), a.needs()))
	}
	a.out = append(a.out, Tell{a.News(now)})
}

// newsDue is when news that can wait is told; zero means never. The older the
// shard is, the longer mere progress waits.
func (a *Admission) newsDue() time.Time {
	switch {
	case a.soon:
		return a.toldAt.Add(soonEvery)
	case a.dirty:
		return a.toldAt.Add(min(rareNews, max(newsEvery, a.toldAt.Sub(a.began)/2)))
	}
	return time.Time{}
}

// matters says that the campaign depends on the news, or that people wait for it.
func (a *Admission) matters(now bool) {
	a.urgent, a.soon, a.dirty = a.urgent || now, true, true
}

// needs is how many places of the window this shard uses. While it runs it
// keeps one for zones that come back.
func (a *Admission) needs() int { return max(1, a.slots.Taken()) }

// News is everything that the campaign is told.
func (a *Admission) News(now time.Time) ShardNews {
	n := ShardNews{
		Page: a.in.Page, Seq: a.in.Seq, Tally: a.tally(), Note: a.note(), Started: a.told,
		InFlight: a.slots.Taken(), Slots: a.needs(), Running: a.flying(), Quiet: a.isQuiet(), Mending: a.mending(),
		Standing: a.standings(), Waits: a.waits(), Past: a.past(),
	}
	for _, z := range a.zones {
		if z.flight == nil {
			continue
		}
		if z.flight.news.Kept {
			n.Kept++
		}
		if z.outcome() == Exposed && !z.mending {
			n.Exposed++
		}
	}
	if a.idleTold {
		n.Idle, n.Causes = a.idleFrom, a.causes(now)
	}
	return n
}

// Out is what the shard returns.
func (a *Admission) Out() ShardOut { return ShardOut{a.tally(), a.note(), a.past()} }

// Records has one record per zone, in the order of the page.
func (a *Admission) Records() []Record {
	records := make([]Record, len(a.zones))
	for i, z := range a.zones {
		records[i] = z.record
		records[i].Retired = a.retiredOf(z)
		if o := z.outcome(); o != z.record.Outcome {
			records[i].Outcome, records[i].Why, records[i].Since = o, z.flight.news.Why, z.flight.news.Since
		}
	}
	return records
}

// outcome is what a zone counts as now. A zone in flight counts as exposed as
// long as it says so.
func (z *entry) outcome() Outcome {
	if z.flight != nil && z.flight.news.Exposed {
		return Exposed
	}
	return z.record.Outcome
}

// standing is where a zone stands that counts as pending.
func (z *entry) standing() Standing {
	if z.flight == nil {
		return NotBegun
	}
	return z.flight.standing()
}

func (a *Admission) standings() Standings {
	if !a.loaded {
		return Standings{NotBegun: a.in.Before.Tally.Zones.Pending}
	}
	var s Standings
	for _, z := range a.zones {
		if z.outcome() == Pending {
			s.Count(z.standing())
		}
	}
	return s
}

// isQuiet says that a stop has been carried out: each zone in flight may have
// refreshed, or never will.
func (a *Admission) isQuiet() bool {
	if !a.stopped {
		return false
	}
	for _, z := range a.zones {
		if f := z.flight; f != nil && !f.news.Kept && z.verb != Repair {
			return false
		}
	}
	return true
}

func (a *Admission) tally() Tally {
	if !a.loaded {
		return a.in.Before.Tally
	}
	var t Tally
	for _, z := range a.zones {
		t.Zones.Count(z.outcome())
		t.Hosts, t.API = t.Hosts.Plus(a.pairs(z)), t.API.Plus(z.record.API)
		if z.record.Outcome == Done && z.record.ExposureMs > 0 {
			t.Exposures.Add(z.record.ExposureMs)
		}
	}
	return t
}

// pairs counts a zone's hosts: those whose acknowledgement came, and, of the
// others, those that people retired.
func (a *Admission) pairs(z *entry) HostCounts {
	n := HostCounts{Total: len(z.Hosts)}
	for _, at := range z.Hosts {
		name := a.hosts[at].Name
		switch {
		case z.record.acknowledged(name):
			n.Acknowledged++
		case z.record.retired(name), a.retired(z, name):
			n.Retired++
		}
	}
	return n
}

// retiredOf are a zone's hosts that people retired. If the zone has not begun
// since, nobody knows what such a host held.
func (a *Admission) retiredOf(z *entry) []HostHeld {
	all := slices.Clone(z.record.Retired)
	for _, at := range z.Hosts {
		if name := a.hosts[at].Name; a.retired(z, name) && !z.record.retired(name) && !z.record.acknowledged(name) {
			all = append(all, HostHeld{Host: name})
		}
	}
	return all
}

func (r Record) acknowledged(name HostName) bool {
	for _, ack := range r.Acks {
		if ack.Host == name && r.To != "" {
			return true
		}
	}
	return false
}

func (r Record) retired(name HostName) bool {
	for _, h := range r.Retired {
		if h.Host == name {
			return true
		}
	}
	return false
}

// mending are the zones that are being mended: their outcome is an earlier one.
func (a *Admission) mending() Counts {
	if !a.loaded {
		return a.in.Before.Tally.Zones
	}
	var counts Counts
	for _, z := range a.zones {
		if z.mending || z.prior && z.record.Outcome != Done {
			counts.Count(z.outcome())
		}
	}
	return counts
}

func (a *Admission) note() ShardNote {
	if !a.loaded {
		note := a.in.Before.Note
		note.Halt = a.halt
		return note
	}
	note := ShardNote{Halt: a.halt, Surprised: a.surprised()}
	for _, z := range a.zones {
		o, why := z.outcome(), z.record.Why
		if o != z.record.Outcome {
			why = z.flight.news.Why
		}
		if failed(o) && len(note.Attention) < maxAttention {
			note.Attention = append(note.Attention, Attention{Zone: z.ID, Outcome: o, Why: why})
		}
	}
	note.SetAside = a.setAside()
	return note
}
