package rotation

import (
	"fmt"
	"slices"
)

// What an earlier run left of a page, and keys that nobody knows: see Pasts.

// AskKeys asks EdgeOne which key each of these zones has.
type AskKeys struct{ Zones []ZoneID }

func (AskKeys) command() {}

// LiveKey is a zone's live key. It is empty when EdgeOne does not say.
type LiveKey struct {
	Zone ZoneID
	Key  Fingerprint
}

// stranger is how much is known of a zone whose hosts agree on a key that neither plan
// nor history knows.
type stranger string

const (
	strangerNew     stranger = "new"     // EdgeOne is to be asked
	strangerAsked   stranger = "asked"   // EdgeOne was asked and has not answered yet
	strangerAgreed  stranger = "agreed"  // EdgeOne has that key too
	strangerCleared stranger = "cleared" // its turn may come
)

// recall decides about each zone by what the campaign remembers and what is
// found of it.
func (a *Admission) recall(found []Found) {
	for i, f := range found {
		z := a.zones[i]
		row := Recall(a.in.Before.Past.Of(i), f.History, liveUnread, crowdFew)
		if f.Record != nil {
			z.record = *f.Record
			z.record.Zone = z.ID
		}
		z.prior = row.Do != doRotate
		switch row.Do {
		case doLeave:
			z.leave(a.in.Before.Past.Of(i), f.History, row.Why)
		case doDeliver:
			z.recalled(Exposed, row.Why)
		case doRead:
			z.recalled(Unknown, row.Why)
		case doAwait:
			z.joins = true
		case doRotate, doAsk:
		}
	}
}

// leave keeps an outcome that may be known only from the campaign's memory.
func (z *entry) leave(m Memory, h History, why string) {
	if h == historyDone || h == historySkipped {
		return
	}
	z.recalled(Outcome(m), why)
}

// recalled is an outcome that is known without a record of it, or although the
// record has another outcome.
func (z *entry) recalled(o Outcome, why string) {
	if z.record.Outcome != o || z.record.Why == "" {
		z.record.Why, z.record.Forgotten = why, z.record.Outcome != o
	}
	z.record.Outcome = o
}

// past is what the campaign has to remember of each zone.
func (a *Admission) past() Past {
	if !a.loaded {
		return a.in.Before.Past
	}
	memories := make([]Memory, len(a.zones))
	for i, z := range a.zones {
		// A workflow that did not start in time may still do so.
		memories[i] = Remember(z.outcome(), z.flight != nil || z.record.Back == BackNoWorker)
	}
	return PastOf(memories)
}

// strange says that EdgeOne must be asked about a zone before its turn,
// although nothing was sent for it: all of its hosts hold a key that neither
// the plan nor a record knows.
func (a *Admission) strange(z *entry) bool {
	held := z.agreed(a)
	known := held == "" || held == Absent || held == z.record.From || held == z.record.To
	seen := z.stranger == strangerCleared && !(z.surprising && z.verb == Rotate && a.crowd() != crowdFew)
	return !known && !z.mending && !z.joins && z.Baseline != "" && !seen
}

// agreed is the key that all hosts hold, if it is not the baseline. Otherwise
// it is empty.
func (z *entry) agreed(a *Admission) Fingerprint {
	var held Fingerprint
	for i, at := range z.Hosts {
		switch {
		case a.retired(z, a.hosts[at].Name):
		case i >= len(z.looks) || z.looks[i].drift == "" || held != "" && z.looks[i].drift != held:
			return ""
		default:
			held = z.looks[i].drift
		}
	}
	return held
}

// askKeys asks about all zones that were set apart since the last question.
func (a *Admission) askKeys() {
	var zones []ZoneID
	for _, z := range a.zones {
		if z.stranger == strangerNew && !a.stopped {
			z.stranger = strangerAsked
			zones = append(zones, z.ID)
		}
	}
	if len(zones) > 0 {
		a.out = append(a.out, AskKeys{zones})
	}
}

// KeysRead takes the answer to AskKeys. Zones may be missing in it.
func (a *Admission) KeysRead(keys []LiveKey) {
	for _, k := range keys {
		z := a.byID[k.Zone]
		if z == nil || z.stranger != strangerAsked {
			continue
		}
		switch z.stranger = strangerCleared; {
		case k.Key != "" && k.Key == z.agreed(a):
			z.stranger, z.surprising = strangerAgreed, true
			continue
		case k.Key == "" && a.crowd() != crowdFew:
			z.verb = Repair // it may be one of them
		case k.Key != "":
			z.surprising = false
		}
		a.queue = slices.Insert(a.queue, 0, z)
	}
	for _, z := range a.zones { // if an answer does not come, no zone is cleared
		if z.stranger == strangerAsked {
			z.stranger = ""
			a.queue = append(a.queue, z)
		}
	}
	a.judgeStrangers()
}

// judgeStrangers decides about the zones whose key EdgeOne has too. If they are
// few they are rotated, but last, because there may turn out to be more.
func (a *Admission) judgeStrangers() {
	row := Recall(memoryNever, HistoryNone, liveHeld, a.crowd())
	for _, z := range a.zones {
		if z.stranger != strangerAgreed {
			continue
		}
		switch row.Do {
		case doDeliver:
			z.stranger, z.verb = strangerCleared, Repair
			a.queue = append(a.queue, z)
		case doAsk:
			z.stranger = ""
			z.record.Outcome, z.record.Back = Pending, backPast
			z.record.Why = fmt.Sprintf("EdgeOne and all hosts agree on %s, which neither plan nor history knows", z.agreed(a))
		default:
		}
	}
	a.dirty, a.urgent = true, a.urgent || a.surprised() > 0
	if row.Do == doAsk && !a.stopped {
		a.stop()
	}
}

func (a *Admission) crowd() Crowd {
	return CrowdOf(a.in.Surprised+a.surprised(), a.in.Accepted, a.in.Told)
}

// lastStrangers lets these few start when no other zone is left.
func (a *Admission) lastStrangers() {
	if a.stopped || a.refused || len(a.queue) > 0 || a.apart(strangerNew, strangerAsked) > 0 {
		return
	}
	for _, z := range a.zones {
		if z.stranger == strangerAgreed {
			z.stranger = strangerCleared
			a.queue = append(a.queue, z)
		}
	}
}

// surprised counts all zones that were ever found to be so.
func (a *Admission) surprised() int {
	n := 0
	for _, z := range a.zones {
		if z.surprising {
			n++
		}
	}
	return n
}

func (a *Admission) apart(in ...stranger) int {
	n := 0
	for _, z := range a.zones {
		if slices.Contains(in, z.stranger) {
			n++
		}
	}
	return n
}
