package rotation

import (
	"fmt"
	"slices"
	"time"
)

const (
	proofTries    = 2  // a host that fails this often in a row is set aside
	leastPart     = 80 // a batch of proofs is about the window and at least so many more zones
	renewFraction = 2  // a proof is renewed after this part of its life
)

// host is a host of the page, and what is known of it.
type host struct {
	HostRef
	proof Proof
	fails int    // in a row
	aside string // why it is not asked any more
	// behind is the bastion whose failure set it aside. It is empty if the
	// failure was the host's own.
	behind string
	asked  bool // a proof is on its way
}

// sight is what a host held for a zone, and when it was asked.
type sight struct {
	at    time.Time
	drift Fingerprint // empty: the baseline
}

// askedHost is one host and the zones it is asked about.
type askedHost struct {
	Host  HostRef
	Zones []askedZone
	// Again says that it has a proof that nothing speaks against.
	Again bool
}

// askedZone is a zone and the key that the host is expected to hold for it.
type askedZone struct {
	ID       ZoneID
	Baseline Fingerprint
}

// batch is a question to a location's hosts that has not been answered yet.
type batch struct {
	AskHosts
	asked time.Time
}

// probeState is the probe that hosts are asked to open.
type probeState struct {
	have, asking bool
	asked        time.Time
}

// prove keeps the proofs fresh for the zones that start next. It asks with one
// batch per location at a time, before the zones are admitted.
func (a *Admission) prove(now time.Time) {
	if a.in.Emergency || a.stopped || a.refused {
		return
	}
	next := a.queue[:min(len(a.queue), a.slots.Window())]
	for _, l := range a.locations() {
		switch {
		case a.onItsWay(l) != nil || len(a.due(l, next, now)) == 0:
		case a.probe.have:
			a.ask(l, now)
		case !a.probe.asking:
			a.askProbe(now)
		}
	}
}

func (a *Admission) askProbe(now time.Time) {
	a.probe.asking, a.probe.asked = true, now
	a.out = append(a.out, AskProbe{a.locations()})
}

// Probed says that there is a probe. If no new one comes, the earlier one stays
// in use.
func (a *Admission) Probed() { a.probe = probeState{have: true} }

func (a *Admission) ask(l Location, now time.Time) {
	ahead := a.ahead()
	q := AskHosts{Location: l}
	for _, h := range a.due(l, ahead, now) {
		a.hosts[h].asked = true
		again := a.hosts[h].proof.Problem == "" && !a.hosts[h].proof.At.IsZero()
		q.Hosts = append(q.Hosts, askedHost{a.hosts[h].HostRef, about(h, ahead), again})
	}
	a.batches = append(a.batches, batch{q, now})
	a.out = append(a.out, q)
}

func about(h int, zones []*entry) []askedZone {
	var all []askedZone
	for _, z := range zones {
		if slices.Contains(z.Hosts, h) {
			all = append(all, askedZone{z.ID, z.Member.Baseline})
		}
	}
	return all
}

func (a *Admission) onItsWay(l Location) *batch {
	i := slices.IndexFunc(a.batches, func(b batch) bool { return b.Location == l })
	if i < 0 {
		return nil
	}
	return &a.batches[i]
}

// ahead are the zones that a batch is for. The files of the other zones are
// read when their turn comes: reading those of a whole page at once would slow
// down the keys that are delivered meanwhile. The first batch is small, because
// everything waits for it.
func (a *Admission) ahead() []*entry {
	n := a.slots.Window()
	if slices.ContainsFunc(a.hosts, func(h *host) bool { return !h.proof.At.IsZero() }) {
		n += max(n, leastPart)
	}
	return a.queue[:min(len(a.queue), n)]
}

// due are the hosts of a location whose proofs for these zones are missing or
// must be renewed.
func (a *Admission) due(l Location, zones []*entry, now time.Time) []int {
	var due []int
	life := a.in.Timing.ProofFor.D() / renewFraction
	for _, z := range zones {
		for i, at := range z.Hosts {
			h := a.hosts[at]
			if z.mending || z.joins || h.Location != l || h.asked || h.aside != "" || slices.Contains(due, at) || a.retired(z, h.Name) {
				continue
			}
			if !a.fresh(z, i, now, life) {
				due = append(due, at)
			}
		}
	}
	return due
}

// fresh says whether the proof of a zone's i-th host still counts at now, and was
// about this zone too.
func (a *Admission) fresh(z *entry, i int, now time.Time, life time.Duration) bool {
	return a.hosts[z.Hosts[i]].proof.Fresh(now, life) && i < len(z.looks) && now.Sub(z.looks[i].at) <= life
}

// Proved takes the answer of a location's hosts, one proof for each host that
// was asked. elsewhere says that another worker than the one that calls EdgeOne
// gave them. Then a new probe is needed, from the worker that calls EdgeOne
// now.
func (a *Admission) Proved(now time.Time, l Location, proofs []Proof, elsewhere bool) {
	b := a.onItsWay(l)
	if b == nil {
		return
	}
	for i, asked := range b.Hosts {
		p := Proof{Problem: "the proof has no answer for it"}
		if i < len(proofs) {
			p = proofs[i]
		}
		a.proved(asked, p)
	}
	a.batches = slices.DeleteFunc(a.batches, func(b batch) bool { return b.Location == l })
	if elsewhere && !a.probe.asking && !a.stopped {
		have := a.probe.have
		a.askProbe(now)
		a.probe.have = have
	}
}

func (a *Admission) proved(asked askedHost, p Proof) {
	at := slices.IndexFunc(a.hosts, func(h *host) bool { return h.Name == asked.Host.Name })
	h := a.hosts[at]
	h.asked = false
	if p.Problem != "" {
		h.proof = Proof{}
		if h.fails++; h.fails >= proofTries {
			h.aside, h.behind = p.Problem, p.Bastion
			a.matters(false)
		}
		return
	}
	for _, zone := range asked.Zones {
		a.byID[zone.ID].looked(at, p.At, p.Drift[zone.ID])
	}
	p.Drift = nil
	h.proof, h.fails = p, 0
}

func (z *entry) looked(h int, at time.Time, drift Fingerprint) {
	if z.looks == nil {
		z.looks = make([]sight, len(z.Hosts))
	}
	z.looks[slices.Index(z.Hosts, h)] = sight{at, drift}
}

// resolved says that a zone can be decided about: each of its hosts has a proof
// that will still be fresh at its refresh. A zone whose key may have changed
// does not wait for proofs.
func (a *Admission) resolved(z *entry, now time.Time) bool {
	if a.in.Emergency || z.mending || z.joins {
		return true
	}
	for i, h := range z.Hosts {
		if !a.retired(z, a.hosts[h].Name) && !a.fresh(z, i, now, a.in.Timing.ProofFor.D()*3/4) {
			return false
		}
	}
	return true
}

// asideHost is a host that is set aside and that a zone waits for. It is nil
// when there is none.
func (a *Admission) asideHost(z *entry) *host {
	for _, h := range a.hostsOf(z) {
		if h.aside != "" {
			return h
		}
	}
	return nil
}

// asideWhy is the same for all hosts behind one bastion.
func (h *host) asideWhy() string {
	if h.behind != "" {
		return fmt.Sprintf("hosts behind bastion %s are set aside: %s", h.behind, h.aside)
	}
	return fmt.Sprintf("host %s is set aside: %s", h.Name, h.aside)
}

// forget lets the zone's hosts be proved again before the next try.
func (a *Admission) forget(z *entry) {
	for _, h := range a.hostsOf(z) {
		h.proof = Proof{Host: h.Name, At: h.proof.At, Problem: "to be given again"}
	}
	z.looks = nil
}

// addProofs gives a zone its hosts' proofs. Each is as old as it is for this
// zone. If a host holds another key than the baseline, the live key is read
// again.
func (a *Admission) addProofs(z *entry, s *StartZone) {
	for i, at := range z.Hosts {
		h := a.hosts[at]
		if h.proof.At.IsZero() || h.proof.Problem != "" || a.retired(z, h.Name) {
			continue
		}
		p := h.proof
		if i < len(z.looks) {
			seen := z.looks[i]
			if seen.drift != "" && !slices.Contains(s.Drift, seen.drift) {
				s.Drift = append(s.Drift, seen.drift)
			}
			if seen.drift != "" && seen.drift != Absent {
				s.Baseline = ""
			}
			if !seen.at.IsZero() && seen.at.Before(p.At) {
				p.At = seen.at
			}
		}
		s.Proofs = append(s.Proofs, p)
	}
	if s.Baseline == "" && z.Baseline != "" && !slices.Contains(s.Drift, z.Baseline) {
		s.Drift = append(s.Drift, z.Baseline) // the other hosts hold it
	}
}

func (a *Admission) locations() []Location {
	var all []Location
	for _, h := range a.hosts {
		if !slices.Contains(all, h.Location) {
			all = append(all, h.Location)
		}
	}
	return all
}
