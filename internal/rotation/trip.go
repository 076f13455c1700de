package rotation

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"time"
)

// Phase is where a zone's rotation stands.
type Phase string

// The phases. From Refresh on, the old key may be dead.
const (
	PhaseBaseline Phase = "baseline" // read the live key before anything else
	PhaseProve    Phase = "prove"    // let each host prove that it can take a key
	PhaseRefresh  Phase = "refresh"  // ask EdgeOne for a new key
	PhaseMint     Phase = "mint"     // make a new key ourselves
	PhaseStage    Phase = "stage"    // bring it to every host, beside the file that is in use
	PhaseSwitch   Phase = "switch"   // have EdgeOne take it
	PhaseSweep    Phase = "sweep"    // the outcome is known; remove what is still staged
	PhaseReadBack Phase = "readback" // nobody knows whether the key changed: read it
	PhaseSettle   Phase = "settle"   // wait until a read can be believed
	PhaseDeliver  Phase = "deliver"  // bring the live key to every host
	PhaseVerify   Phase = "verify"   // read the live key after the last acknowledgement
	PhaseAnswer   Phase = "answer"   // the key was learned by an early read: wait for the end of the refresh that made it
	PhaseHold     Phase = "hold"     // wait until no request given up can land any more; read the key meanwhile
	PhaseEnded    Phase = "ended"
)

// Event is what happened in a phase.
type Event string

// The events.
const (
	evRead       Event = "read"       // the baseline was read
	evUnreadable Event = "unreadable" // EdgeOne would not say which key is live
	evProved     Event = "proved"     // every host can take a key
	evUnproved   Event = "unproved"   // some host cannot
	evRefreshed  Event = "refreshed"  // EdgeOne answered with a new key
	evMinted     Event = "minted"     // our new key is in the history
	evStaged     Event = "staged"     // every host has it
	evUnstaged   Event = "unstaged"   // some host has not
	evSwitched   Event = "switched"   // EdgeOne answered that it has taken it
	evSwept      Event = "swept"      // nothing is staged any more, or it was tried
	evAmbiguous  Event = "ambiguous"  // the refresh may have been executed
	evRefused    Event = "refused"    // the refresh was not executed and will not be
	evUnsent     Event = "unsent"     // nothing was sent
	evChanged    Event = "changed"    // the live key is one that we have not seen yet
	evSame       Event = "same"       // the live key is the one that was expected
	evStale      Event = "stale"      // the answer is, or may be, a key already replaced
	evWaited     Event = "waited"     // the wait is over
	evMissing    Event = "missing"    // some host has not acknowledged yet
	evAcked      Event = "acked"      // every host acknowledged the live key
	evRunning    Event = "running"    // the refresh whose key was read early has no end yet
	evSurprised  Event = "surprised"  // a host holds a key nobody expected there
	evGaveUp     Event = "gave up"    // time or tries are exhausted
)

// Transition is one row of the phase table.
type Transition struct {
	From Phase
	On   Event
	To   []Phase // one of these; what else is known decides which
}

// Table is the whole story of a zone. Trip cannot leave it, and the docs draw
// their diagram from it.
func Table() []Transition {
	return []Transition{
		{PhaseBaseline, evRead, []Phase{PhaseRefresh, PhaseMint, PhaseSwitch, PhaseDeliver, PhaseEnded, PhaseSweep}},
		{PhaseBaseline, evUnreadable, []Phase{PhaseEnded, PhaseSweep}},
		{PhaseBaseline, evUnsent, []Phase{PhaseEnded, PhaseSweep}},
		{PhaseProve, evProved, []Phase{PhaseBaseline, PhaseRefresh}},
		{PhaseProve, evUnproved, []Phase{PhaseEnded, PhaseHold}},
		{PhaseRefresh, evRefreshed, []Phase{PhaseDeliver}},
		{PhaseRefresh, evAmbiguous, []Phase{PhaseReadBack}},
		{PhaseRefresh, evRefused, []Phase{PhaseEnded, PhaseHold}},
		{PhaseRefresh, evUnsent, []Phase{PhaseEnded, PhaseHold, PhaseProve}},
		{PhaseRefresh, evChanged, []Phase{PhaseDeliver}},
		{PhaseMint, evMinted, []Phase{PhaseStage}},
		{PhaseMint, evChanged, []Phase{PhaseMint, PhaseReadBack}},
		{PhaseMint, evGaveUp, []Phase{PhaseEnded, PhaseSweep}},
		{PhaseMint, evRefused, []Phase{PhaseEnded, PhaseSweep, PhaseHold}},
		{PhaseMint, evUnsent, []Phase{PhaseEnded, PhaseSweep, PhaseHold}},
		{PhaseStage, evStaged, []Phase{PhaseSwitch, PhaseBaseline}},
		{PhaseStage, evUnstaged, []Phase{PhaseEnded, PhaseSweep, PhaseHold}},
		{PhaseSwitch, evSwitched, []Phase{PhaseDeliver}},
		{PhaseSwitch, evAmbiguous, []Phase{PhaseReadBack}},
		{PhaseSwitch, evRefused, []Phase{PhaseEnded, PhaseSweep, PhaseReadBack}},
		{PhaseSwitch, evUnsent, []Phase{PhaseEnded, PhaseSweep, PhaseHold, PhaseStage}},
		{PhaseSwitch, evChanged, []Phase{PhaseDeliver}},
		{PhaseReadBack, evChanged, []Phase{PhaseDeliver}},
		{PhaseReadBack, evSame, []Phase{PhaseSettle, PhaseProve, PhaseMint, PhaseStage, PhaseSwitch, PhaseHold, PhaseEnded, PhaseSweep}},
		{PhaseReadBack, evStale, []Phase{PhaseSettle}},
		{PhaseReadBack, evUnreadable, []Phase{PhaseEnded, PhaseHold}},
		{PhaseSettle, evWaited, []Phase{PhaseReadBack, PhaseVerify}},
		{PhaseDeliver, evMissing, []Phase{PhaseDeliver}},
		{PhaseDeliver, evSurprised, []Phase{PhaseVerify}},
		{PhaseDeliver, evAcked, []Phase{PhaseVerify}},
		{PhaseDeliver, evGaveUp, []Phase{PhaseEnded}},
		{PhaseDeliver, evRunning, []Phase{PhaseAnswer}},
		{PhaseVerify, evSame, []Phase{PhaseEnded, PhaseSweep, PhaseHold, PhaseDeliver}},
		{PhaseVerify, evStale, []Phase{PhaseSettle}},
		{PhaseVerify, evChanged, []Phase{PhaseDeliver}},
		{PhaseVerify, evUnreadable, []Phase{PhaseEnded, PhaseHold}},
		{PhaseVerify, evGaveUp, []Phase{PhaseEnded}},
		{PhaseVerify, evRunning, []Phase{PhaseAnswer}},
		{PhaseAnswer, evRefreshed, []Phase{PhaseVerify, PhaseSettle}},
		{PhaseAnswer, evSwitched, []Phase{PhaseVerify, PhaseSettle}},
		{PhaseAnswer, evAmbiguous, []Phase{PhaseVerify}},
		{PhaseAnswer, evRefused, []Phase{PhaseVerify}},
		{PhaseAnswer, evUnsent, []Phase{PhaseVerify}},
		{PhaseHold, evWaited, []Phase{PhaseReadBack, PhaseVerify}},
		{PhaseSweep, evSwept, []Phase{PhaseEnded}},
	}
}

// How often a thing is tried before a person is asked.
const (
	maxRefreshes  = 3
	maxStaleReads = 20
)

// firstLook is the pause before the first read of a held zone. Each further
// pause is twice as long.
const firstLook = 2 * time.Second

// Trip is one zone's rotation: what is known, and what comes next. It is a
// value machine: it takes what happened and says where that leads. It is the
// only judge of whether a key may be refreshed again, and of when a zone is
// done.
type Trip struct {
	Verb   Verb       `json:"verb"`
	Zone   ZoneID     `json:"zone"`
	Hosts  []HostName `json:"hosts"`
	Timing Timing     `json:"timing"`

	Phase Phase `json:"phase"`
	// Wake is when the present wait ends. It is zero when the zone does not wait.
	Wake time.Time `json:"wake,omitzero"`

	// Strategy is empty for refresh. Minted is the key that EdgeOne is to be
	// given; it is empty until it is in the history.
	Strategy Strategy    `json:"strategy,omitempty"`
	Minted   Fingerprint `json:"minted,omitempty"`
	// Former is the key that is to be put back, in a rollback; then Minted is that one.
	Former Fingerprint `json:"former,omitempty"`
	// Staged are the hosts on which a minted key may lie beside the file.
	Staged []HostName `json:"staged,omitempty"`
	// Ready says that Minted lies on every host, as the host is defined now.
	Ready bool `json:"ready,omitempty"`
	// Lenient says that a zone whose host does not take the staged key is handed back:
	// its shard asks the host for another proof first.
	Lenient bool `json:"lenient,omitempty"`

	Baseline Fingerprint `json:"baseline,omitempty"`
	// Live is the key that EdgeOne is believed to hold after a refresh or a
	// repair's read. It is empty until known.
	Live Fingerprint `json:"live,omitempty"`
	// Replaced are keys that were live before Live. None is ever delivered.
	Replaced []Fingerprint `json:"replaced,omitempty"`
	// Drift are keys that hosts were found to hold and that are none of the
	// above.
	Drift []Fingerprint `json:"drift,omitempty"`
	// Stood is what Drift was before the first refresh: EdgeOne makes none of these
	// anew. If a read shows one, the baseline was read too early after a change.
	Stood []Fingerprint `json:"stood,omitempty"`
	// Given are the attempts that were given up without an answer.
	Given []Attempt `json:"given,omitempty"`
	// Sent counts refreshes that may have been executed.
	Sent int `json:"sent"`
	// Adopted counts the different keys that were learned from a read and not
	// from an answer. Each proves that one given-up attempt was executed.
	Adopted int `json:"adopted,omitempty"`
	// Open says that Live was read while the refresh that is believed to have made it
	// still ran: nothing ends before that refresh has. Told is the key that it answered
	// with, where that was another one.
	Open bool        `json:"open,omitempty"`
	Told Fingerprint `json:"told,omitempty"`

	// Since is when the old key may have died; zero while it is known to live.
	Since time.Time `json:"since,omitzero"`
	// Dark is since when it is not known that the hosts hold the live key,
	// although a refresh may have been sent. It is zero while it is known. Lit is
	// the last time at which it was known.
	Dark time.Time `json:"dark,omitzero"`
	Lit  time.Time `json:"lit,omitzero"`
	// Begun is when the present refresh began, as Temporal says. From then on it
	// may have been sent, although it has no answer yet.
	Begun time.Time `json:"begun,omitzero"`
	// HeldUntil is when no request given up can land any more. It is zero unless
	// the zone waits for that. Looks counts the reads during that wait.
	HeldUntil time.Time `json:"heldUntil,omitzero"`
	Looks     int       `json:"looks,omitempty"`
	// SureFrom is from when a read can no longer show a key from before Live. It
	// is zero until Live is verified for the first time.
	SureFrom time.Time `json:"sureFrom,omitzero"`
	Acks     []Ack     `json:"acks,omitempty"` // of Live
	Last     []Ack     `json:"last,omitempty"` // the latest failures
	// Held is what each host was last seen to hold. Retired are the hosts that
	// people took out.
	Held    []HostHeld `json:"held,omitempty"`
	Retired []HostHeld `json:"retired,omitempty"`
	Same    int        `json:"same,omitempty"` // reads in a row that showed the baseline
	Stale   int        `json:"stale,omitempty"`
	Round   int        `json:"round,omitempty"`   // delivery rounds of Live
	Until   time.Time  `json:"until,omitzero"`    // delivery gives up here
	Stop    bool       `json:"stop,omitempty"`    // no further refresh: cancelled or refused
	Resumed bool       `json:"resumed,omitempty"` // see Resume
	Halt    bool       `json:"halt,omitempty"`
	Met     []string   `json:"met,omitempty"` // what went wrong meanwhile, for people
	Why     string     `json:"why,omitempty"`
	Cause   string     `json:"cause,omitempty"` // the kind of failure, for the circuit breaker
	Back    Handback   `json:"back,omitempty"`  // why it ended pending
	Ended   Outcome    `json:"ended,omitempty"`
}

// Attempt is a refresh given up without an answer.
type Attempt struct {
	SentAt time.Time `json:"sentAt"`
	DeadAt time.Time `json:"deadAt"` // from here on its signature is refused
}

// NewTrip begins a trip. If baseline is empty, it is read first. proved says
// that the hosts have shown their proofs, or that proofs are waived.
func NewTrip(verb Verb, zone ZoneID, hosts []HostName, timing Timing, baseline Fingerprint, proved bool) *Trip {
	t := &Trip{Verb: verb, Zone: zone, Hosts: hosts, Timing: timing, Baseline: baseline}
	switch {
	case verb == Rotate && !proved:
		t.Phase = PhaseProve
	case verb == Rotate && baseline != "":
		t.Phase = PhaseRefresh
	default:
		t.Phase = PhaseBaseline
	}
	return t
}

// ExposedFrom begins the trip with the exposure that an earlier one left. Zero
// means that there is none.
func (t *Trip) ExposedFrom(since time.Time) { t.Since, t.Dark = since, since }

// Resume begins the trip where an earlier one ended without knowing whether its
// refresh was executed. That request was signed no later than latest. Baseline
// is the key from before it.
func (t *Trip) Resume(latest time.Time) {
	t.Sent, t.Resumed = 1, true
	t.darken(latest)
	t.Given = []Attempt{{SentAt: latest, DeadAt: latest.Add(t.Timing.SignatureLife.D())}}
	t.Phase = PhaseReadBack
}

// to moves along the table; a step outside it is a programming error.
func (t *Trip) to(on Event, next Phase) {
	for _, row := range Table() {
		if row.From == t.Phase && row.On == on && slices.Contains(row.To, next) {
			t.Phase, t.Wake, t.Begun = next, time.Time{}, time.Time{}
			return
		}
	}
	panic(fmt.Sprintf("rotation: zone %s cannot go from %s on %q to %s", t.Zone, t.Phase, on, next))
}

// end judges the trip. What is staged is removed first, except where a host may
// still need it: of these, the delivery that mends the zone removes it.
func (t *Trip) end(on Event, outcome Outcome, why string) {
	if len(t.Staged) > 0 && outcome != Exposed && outcome != Unknown {
		t.to(on, PhaseSweep)
	} else {
		t.to(on, PhaseEnded)
	}
	t.Ended, t.Why = outcome, why
}

// over says that the outcome is known: no order changes it any more.
func (t *Trip) over() bool { return t.Ended != "" }

// MayHaveRefreshed says that the old key may be dead or replaced: from here on
// nothing stops delivery.
func (t *Trip) MayHaveRefreshed() bool { return t.Sent > 0 || t.Live != "" }

// Missing are the hosts that have not acknowledged Live.
func (t *Trip) Missing() []HostName {
	var missing []HostName
	for _, h := range t.Hosts {
		if !slices.ContainsFunc(t.Acks, func(a Ack) bool { return a.Host == h }) {
			missing = append(missing, h)
		}
	}
	return missing
}

// Expect is what a host may hold when Live is put there: nothing, a key that
// this trip knows to be dead, or drift that was seen and accepted.
func (t *Trip) Expect() []Fingerprint {
	expect := []Fingerprint{Absent}
	for _, f := range slices.Concat([]Fingerprint{t.Baseline}, t.Replaced, t.Drift) {
		if f != "" && f != t.Live && !slices.Contains(expect, f) {
			expect = append(expect, f)
		}
	}
	return expect
}

// SawDrift remembers what a host holds, as its proof says.
func (t *Trip) SawDrift(held Fingerprint) {
	if held != "" && held != t.Baseline && !slices.Contains(t.Drift, held) {
		t.Drift = append(t.Drift, held)
	}
}

// Cancelled says that an operator wants no refresh of this zone. It stops
// nothing that may have been sent.
func (t *Trip) Cancelled() { t.Stop = true }

// adopt takes a key that was learned from a read.
func (t *Trip) adopt(now time.Time, key Fingerprint) {
	t.Adopted++
	t.diedAfterLit()
	t.Until = now.Add(t.Timing.DeliverFor.D())
	t.setLive(key)
}

// Proved is the end of PhaseProve. problem is empty when every host can take a
// key. Otherwise it says why not, and back of which kind that is.
func (t *Trip) Proved(now time.Time, problem string, back Handback) {
	switch {
	case problem != "" && len(t.Given) > 0:
		t.Note(problem)
		t.finishUnsent(evUnproved, now)
	case problem != "":
		t.handBack(evUnproved, problem, back)
	case t.Baseline == "":
		t.to(evProved, PhaseBaseline)
	default:
		t.to(evProved, PhaseRefresh)
	}
}

// Refreshed takes EdgeOne's answer with a new key.
func (t *Trip) Refreshed(now, sentAt time.Time, key Fingerprint) {
	if t.Open {
		t.answeredLate(evRefreshed, now, key)
		return
	}
	t.sent(sentAt)
	t.Until = sentAt.Add(t.Timing.DeliverFor.D())
	t.setLive(key)
	t.to(evRefreshed, PhaseDeliver)
}

// GivenUp says that a refresh may have been executed and was not answered. It
// was signed no earlier than sentAt and no later than latest.
func (t *Trip) GivenUp(sentAt, latest time.Time, why string) {
	t.Given = append(t.Given, Attempt{SentAt: sentAt, DeadAt: latest.Add(t.Timing.SignatureLife.D())})
	if t.Open {
		t.closed(evAmbiguous, why)
		return
	}
	t.sent(sentAt)
	t.Same = 0
	t.Note(why)
	t.to(evAmbiguous, PhaseReadBack)
}

func (t *Trip) sent(at time.Time) {
	if t.Sent == 0 {
		t.Stood = slices.Clone(t.Drift)
	}
	t.Sent++
	t.darken(at)
	if t.Since.IsZero() {
		t.Since = at
	}
}

// Retire takes a host out of the trip: an operator says that it will never
// answer.
func (t *Trip) Retire(host HostName, why string) {
	if !slices.Contains(t.Hosts, host) || t.over() {
		return
	}
	t.Hosts = slices.DeleteFunc(slices.Clone(t.Hosts), func(h HostName) bool { return h == host })
	t.unstage(host) // it will never answer
	t.Retired = append(t.Retired, HostHeld{host, t.lastHeld(host)})
	t.Note("host " + string(host) + " retired: " + why)
}

// Rehost lets the trip go on with other hosts, or with other definitions of
// hosts, as a person decided. An acknowledgement of a host in asBefore, whose
// definition has not changed, still counts.
func (t *Trip) Rehost(now time.Time, hosts, asBefore []HostName, why string) {
	if t.over() {
		return
	}
	t.Hosts = hosts
	t.Acks = slices.DeleteFunc(slices.Clone(t.Acks), func(a Ack) bool { return !slices.Contains(asBefore, a.Host) })
	t.Last = nil
	t.Ready = false
	t.Staged = slices.DeleteFunc(slices.Clone(t.Staged), func(h HostName) bool { return !slices.Contains(asBefore, h) })
	t.Note(why)
	if len(t.missingOfLive()) == 0 {
		return
	}
	t.darken(now)
	t.Until = later(t.Until, now.Add(t.Timing.DeliverFor.D()))
	switch t.Phase {
	case PhaseDeliver:
		t.Wake = now
	case PhaseHold, PhaseSettle:
		t.Waited()
	}
}

// Wakes ends a wait before the next delivery.
func (t *Trip) Wakes(now time.Time) {
	if t.Phase == PhaseDeliver {
		t.Wake = now
	}
}

// MayLand says that a refresh that was given up may still be executed, or may
// have been, without anybody seeing it. The zone stays locked until that is
// known.
func (t *Trip) MayLand(now time.Time) bool {
	return t.Open || t.Live == "" && t.Sent > 0 || t.unresolved() && t.lastDead(now).After(now)
}

// Skip ends the trip because an operator says so, with a reason. It must not be
// called while MayLand is true.
func (t *Trip) Skip(why string) {
	if t.over() {
		return
	}
	if missing := t.missingOfLive(); len(missing) > 0 {
		why = fmt.Sprintf("%s; skipped while %d hosts are not known to hold the live key", why, len(missing))
	}
	t.Phase, t.Wake, t.Ended, t.Why = PhaseEnded, time.Time{}, Skipped, why
	if len(t.Staged) > 0 {
		t.Phase = PhaseSweep
	}
}

// RefusedBy takes an answer that says: not executed, and never will be. halt
// says that every zone would fail in the same way.
func (t *Trip) RefusedBy(now time.Time, why, cause string, halt bool) {
	t.Halt, t.Cause = halt, cause
	if t.Open {
		t.closed(evRefused, why)
		return
	}
	t.Note(why)
	switch {
	case len(t.Given) > 0 && t.Phase == PhaseSwitch: // perhaps because EdgeOne has this key already
		t.Stop = true
		t.to(evRefused, PhaseReadBack)
		return
	case len(t.Given) > 0:
		t.finishUnsent(evRefused, now)
		return
	}
	t.end(evRefused, Unchanged, why+"; not executed, "+keyOf(cause, "the old key is alive"))
}

// NotSent says that the refresh, or the read before it, was handed back before
// anything was sent. again says that fresh proofs would help.
func (t *Trip) NotSent(now time.Time, why string, back Handback, again bool) {
	switch {
	case t.Open:
		t.closed(evUnsent, "")
	case len(t.Given) > 0 && again && !t.Stop && t.Phase == PhaseSwitch:
		t.to(evUnsent, PhaseStage)
	case len(t.Given) > 0 && again && !t.Stop && t.Phase == PhaseRefresh:
		t.to(evUnsent, PhaseProve)
	case len(t.Given) > 0:
		t.finishUnsent(evUnsent, now)
	default:
		t.handBack(evUnsent, why, back)
	}
}

func (t *Trip) handBack(on Event, why string, back Handback) {
	t.Back = back
	if back == BackUnreached { // requests were sent, and rejected
		t.end(on, Pending, why+"; the old key is alive")
		return
	}
	t.end(on, Pending, why+"; nothing was sent, the old key is alive")
}

// finishUnsent ends a trip that sends nothing more, once its unanswered
// attempts are dead.
func (t *Trip) finishUnsent(on Event, now time.Time) {
	t.Stop = true
	t.hold(on, now)
}

// hold waits until no given-up attempt can land any more, and reads the key
// meanwhile.
func (t *Trip) hold(on Event, now time.Time) {
	t.to(on, PhaseHold)
	if t.HeldUntil.IsZero() {
		t.Looks = 0
	}
	t.HeldUntil = t.lastDead(now)
	t.Wake = t.HeldUntil
	if next := now.Add(t.rereadAfter()); next.Before(t.Wake) {
		t.Wake = next
	}
	t.Looks++
}

// rereadAfter is the pause before the next read of a held zone. It is at most
// ExposedAfter, because a request that lands late is an outage from then on.
func (t *Trip) rereadAfter() time.Duration {
	return min(firstLook<<min(t.Looks, 8), max(t.Timing.ExposedAfter.D(), firstLook))
}

// Looking says that the present read is one of a held zone. It is in no hurry,
// and another one follows.
func (t *Trip) Looking(now time.Time) bool { return now.Before(t.HeldUntil) && t.Dark.IsZero() }

// lastDead is when a read will show everything that the given-up attempts have
// done: the last signature is dead, and EdgeOne's reads are up to date.
func (t *Trip) lastDead(now time.Time) time.Time {
	wake := now
	for _, a := range t.Given {
		if seen := a.DeadAt.Add(t.Timing.Settle.D()); seen.After(wake) {
			wake = seen
		}
	}
	return wake
}

// Read takes the fingerprint of the live key, in PhaseBaseline, PhaseReadBack
// or PhaseVerify.
func (t *Trip) Read(now time.Time, key Fingerprint) {
	switch t.Phase {
	case PhaseBaseline:
		t.readBaseline(now, key)
	case PhaseReadBack:
		t.readBack(now, key)
	default:
		t.verify(now, key)
	}
}

func (t *Trip) readBaseline(now time.Time, key Fingerprint) {
	switch {
	case t.Strategy == Staged:
		t.readStagedBaseline(key)
	case t.Verb == Rotate:
		t.Baseline = key
		t.to(evRead, PhaseRefresh)
	case key == Absent:
		t.end(evRead, Unknown, "EdgeOne has no key for this zone, there is nothing to deliver")
	default:
		t.Until = now.Add(t.Timing.DeliverFor.D())
		t.darken(now)
		t.setLive(key)
		t.to(evRead, PhaseDeliver)
	}
}

func (t *Trip) readBack(now time.Time, key Fingerprint) {
	if t.Strategy == Staged {
		t.readBackStaged(now, key)
		return
	}
	if key != t.Baseline && t.stood(key) {
		t.rebase(key)
	}
	if key != t.Baseline && key != Absent {
		t.Note("the key had changed: adopted by read-back, no second refresh")
		t.adopt(now, key)
		t.to(evChanged, PhaseDeliver)
		return
	}
	t.Same++
	if key == t.Baseline { // the old key was alive when this was answered
		t.light(now)
		t.Since = time.Time{}
	}
	dead := t.lastDead(now)
	switch {
	case (t.Stop || t.Sent >= maxRefreshes) && !dead.After(now):
		t.end(evSame, Unchanged, t.lastMet("EdgeOne executed no refresh")+"; the old key is alive")
	case t.Same == 1:
		t.to(evSame, PhaseSettle)
		t.Wake = now.Add(t.Timing.Settle.D())
	case t.Stop || t.Sent >= maxRefreshes, t.inDoubt(now, key):
		t.hold(evSame, now)
	default:
		t.to(evSame, PhaseProve)
	}
}

// stood says that some host held the key before the first refresh.
func (t *Trip) stood(key Fingerprint) bool {
	if t.Sent == 0 {
		return slices.Contains(t.Drift, key)
	}
	return slices.Contains(t.Stood, key)
}

// rebase takes a key that stood for the baseline: the read that told another one was not
// up to date, and counts for nothing.
func (t *Trip) rebase(key Fingerprint) {
	former := t.Baseline
	t.Baseline, t.Same = key, 0
	t.SawDrift(former)
	t.Stood = append(t.Stood, former)
}

// inDoubt says that by the table of pasts another read is needed before a
// resumed trip sends its own first refresh.
func (t *Trip) inDoubt(now time.Time, key Fingerprint) bool {
	seen := Sight{Live: key, Baseline: t.Baseline, Surely: t.Same > 1 && !t.lastDead(now).After(now)}
	return t.Resumed && t.Sent == 1 && Recall(memoryUnknown, historyUnknown, seen.Compare(), crowdFew).Do == doRead
}

func (t *Trip) verify(now time.Time, key Fingerprint) {
	if t.SureFrom.IsZero() {
		t.SureFrom = now.Add(t.Timing.Settle.D())
	}
	t.sight(now, key)
	switch {
	case t.Open:
		t.Running()
	case key == t.Live && len(t.Missing()) > 0:
		t.to(evSame, PhaseDeliver)
	case key == t.Live && t.unresolved() && t.lastDead(now).After(now):
		t.hold(evSame, now)
	case key == t.Live:
		t.end(evSame, Done, t.lastMet(""))
	case t.replaced(key):
		if t.Stale++; t.Stale > maxStaleReads {
			t.end(evGaveUp, Unknown, "EdgeOne keeps answering with a key that was already replaced")
			return
		}
		t.to(evStale, PhaseSettle)
		t.Wake = now.Add(t.Timing.Settle.D())
	case now.Before(t.SureFrom): // the key of a late request that a later refresh has replaced already looks the same
		t.to(evStale, PhaseSettle)
		t.Wake = t.SureFrom
	default:
		t.Note("EdgeOne held yet another key after delivery: a late request, or someone else's change; delivering that one")
		if key != t.Told {
			t.Adopted++
		}
		t.Until = now.Add(t.Timing.DeliverFor.D())
		t.setLive(key)
		t.to(evChanged, PhaseDeliver)
	}
}

// replaced says that a read shows a key that was live before Live: it is stale.
func (t *Trip) replaced(key Fingerprint) bool {
	if t.Strategy == Staged && key == t.Minted && t.unresolved() {
		return false // a late request of ours may have put it back
	}
	return key == Absent || key == t.Baseline || slices.Contains(t.Replaced, key)
}

func (t *Trip) setLive(key Fingerprint) {
	for _, old := range []Fingerprint{t.Baseline, t.Live} {
		if old != "" && old != key && !slices.Contains(t.Replaced, old) {
			t.Replaced = append(t.Replaced, old)
		}
	}
	t.Replaced = slices.DeleteFunc(t.Replaced, func(f Fingerprint) bool { return f == key })
	t.Live, t.Acks, t.Last, t.Round, t.SureFrom = key, nil, nil, 0, time.Time{}
	t.HeldUntil = time.Time{}
}

// Unreadable says that EdgeOne did not tell which key is live, and that no
// further try makes sense now. A held zone is read again later.
func (t *Trip) Unreadable(now time.Time, why, cause string, halt bool) {
	if t.Looking(now) {
		t.hold(evUnreadable, now)
		return
	}
	if t.Open {
		t.Note(why)
		t.Running()
		return
	}
	t.Halt, t.Cause = halt, cause
	switch {
	case t.Phase == PhaseBaseline && t.Verb == Rotate:
		t.end(evUnreadable, Unchanged, why+"; nothing was sent, "+keyOf(cause, "the key is as it was"))
	case t.Phase == PhaseVerify && len(t.Missing()) > 0:
		t.end(evUnreadable, Unknown, fmt.Sprintf("%s; %d of %d hosts are not known to hold %s, and whether EdgeOne still holds it cannot be read", why, len(t.Missing()), len(t.Hosts), t.Live))
	case t.Phase == PhaseVerify:
		t.end(evUnreadable, Unknown, why+"; every host acknowledged "+string(t.Live)+", but whether EdgeOne still holds it cannot be read")
	default:
		t.end(evUnreadable, Unknown, why+"; whether the old key is alive cannot be read")
	}
}

// Waited is the end of a wait in PhaseSettle or PhaseHold.
func (t *Trip) Waited() {
	if t.Live != "" {
		t.to(evWaited, PhaseVerify)
		return
	}
	t.to(evWaited, PhaseReadBack)
}

// Delivered takes the acknowledgements of one delivery round of Live.
func (t *Trip) Delivered(now time.Time, acks []Ack) {
	surprised := false
	t.Last = nil
	for _, a := range acks {
		t.sawHeld(a)
		switch {
		case a.Problem == "" && a.Held == t.Live:
			if slices.Contains(t.Missing(), a.Host) {
				t.Acks = append(t.Acks, a)
			}
			if a.Held == t.Minted {
				t.unstage(a.Host)
			}
		case a.Refused:
			surprised = true
			t.SawDrift(a.Held)
			t.Last = append(t.Last, a)
		default:
			t.Last = append(t.Last, a)
		}
	}
	if t.Round++; t.Round == 1 && len(t.Last) > 0 {
		t.Note(fmt.Sprintf("%s did not take the key at first (%s)", t.Last[0].Host, clip(t.Last[0].Problem, 60)))
	}
	switch {
	case len(t.Missing()) == 0:
		t.served()
		t.to(evAcked, PhaseVerify)
	case !t.Until.After(now) && t.Open:
		t.Running()
	case !t.Until.After(now):
		t.end(evGaveUp, Exposed, t.exposedWhy())
	case surprised && t.Round <= maxStaleReads:
		t.to(evSurprised, PhaseVerify)
	default:
		t.to(evMissing, PhaseDeliver)
		t.Wake = now.Add(t.gap())
	}
}

// gap is how long after a round the next one begins: between three and five quarters of
// the back-off, and always the same for a zone and a round. So zones that failed at one
// time, because of one host perhaps, do not come back at one time, and a replay waits as
// long.
func (t *Trip) gap() time.Duration {
	gap := backOff(t.Round)
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", t.Zone, t.Round))
	return gap - gap/4 + gap/2*time.Duration(binary.BigEndian.Uint16(sum[:]))>>16
}

// backOff is the pause before the next delivery round. It is nothing after the
// first round, because most failures are a connection that broke while it was
// idle. Then it grows from 1 s, because Temporal's timers are hardly finer, to 24 s.
func backOff(round int) time.Duration {
	if round <= 1 {
		return 0
	}
	return min(time.Second<<min(round-2, 5), longestBackOff)
}

// longestBackOff is, with its fifth quarter, 30 s.
const longestBackOff = 24 * time.Second

// Doubt interrupts delivery to read again which key is live.
func (t *Trip) Doubt() { t.to(evSurprised, PhaseVerify) }

func (t *Trip) exposedWhy() string {
	why := fmt.Sprintf("the old key is dead, and %d of %d hosts are not known to hold the live key", len(t.Missing()), len(t.Hosts))
	for _, a := range t.Last {
		return string(a.Host) + ": " + clip(a.Problem, 120) + "; " + why
	}
	return why
}

// Note keeps something that went wrong on the way, for people.
func (t *Trip) Note(what string) {
	if what != "" && !slices.Contains(t.Met, what) && len(t.Met) < 4 {
		t.Met = append(t.Met, what)
	}
}

func (t *Trip) lastMet(otherwise string) string {
	if len(t.Met) == 0 {
		return otherwise
	}
	why := t.Met[0]
	for _, m := range t.Met[1:] {
		why += "; " + m
	}
	return why
}
