package rotation

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// The model: a simulated EdgeOne and simulated hosts drive a Trip by its phase
// until it has ended, and know at every moment what is true. Dice decide how a
// story goes. Zero is always the good roll, so a story whose dice have run out
// comes to its end.

type dice interface {
	// roll gives a number from 0 to n-1.
	roll(n int) int
}

type seeded struct{ *rand.Rand }

func (s seeded) roll(n int) int { return s.IntN(n) }

type scripted struct{ bytes []byte }

func (s *scripted) roll(n int) int {
	if len(s.bytes) == 0 {
		return 0
	}
	b := s.bytes[0]
	s.bytes = s.bytes[1:]
	return int(b) * n / 256
}

// climate is what may go wrong in a story. A chance is in percent.
type climate struct {
	verb      Verb
	way       way
	keeps     bool // the key that is replaced is kept: it is read when the new one is minted
	ambiguous int
	refused   int
	unsent    int
	unproved  int
	unread    int
	badHost   int
	cancel    int
	surprise  int
	console   int
	orders    int
	late      int // refreshes that take seconds to end
	keyless   int
	lag       time.Duration // a read may show the key that was live so long ago
	stuck     bool          // every read shows the oldest key, for ever
	timing    Timing
	remarshal bool
}

// way is how the key changes.
type way int

const (
	refreshed  way = iota // EdgeOne makes it
	staged                // it is ours
	rolledBack            // it is ours, and was live before
)

func (c climate) staged() bool { return c.way != refreshed }

// request is a refresh on its way to EdgeOne. If it lands at all, it does so
// while its signature lives.
type request struct {
	signed   time.Time
	dead     time.Time
	lands    time.Time // zero: lost
	executed bool
	over     keyLife     // the key that it replaced
	key      Fingerprint // and the one that it made
	brings   Fingerprint // a key of ours; empty: EdgeOne makes one
	looked   time.Time   // when a read showed the key that a former one may replace
}

// ending is how a refresh that runs will end.
type ending struct {
	at   time.Time
	take func() Event
}

type keyLife struct {
	from time.Time
	key  Fingerprint
}

type world struct {
	dice
	climate
	now      time.Time
	keys     []keyLife // oldest first; the last one is live
	requests []*request
	held     map[HostName]Fingerprint
	beside   map[HostName]Fingerprint // staged
	whole    map[HostName]bool        // of a transport that stages nothing
	downTill map[HostName]time.Time
	made     int
	byPeople int   // keys made in the console
	awaited  Phase // people change keys then only
	script   int   // keys that a script of somebody's is still to make, one a step
}

func (w *world) live() Fingerprint {
	if len(w.keys) == 0 {
		return ""
	}
	return w.keys[len(w.keys)-1].key
}

func (w *world) newKey() Fingerprint {
	w.made++
	return Fingerprint(fmt.Sprintf("%016x", 0xc0de0000+w.made))
}

func (w *world) execute(at time.Time) Fingerprint {
	key := w.newKey()
	w.set(at, key)
	return key
}

// set is what a call with a key does: nothing if it is live already.
func (w *world) set(at time.Time, key Fingerprint) {
	if w.live() != key {
		w.keys = append(w.keys, keyLife{at, key})
	}
}

// pass moves the clock on. Requests that land on the way do so in their order.
func (w *world) pass(d time.Duration) {
	till := w.now.Add(d)
	for {
		var next *request
		for _, r := range w.requests {
			if !r.executed && !r.lands.IsZero() && !r.lands.After(till) && (next == nil || r.lands.Before(next.lands)) {
				next = r
			}
		}
		if next == nil {
			break
		}
		next.executed, next.over = true, w.keys[len(w.keys)-1]
		if next.key = next.brings; next.key != "" {
			w.set(next.lands, next.key)
		} else {
			next.key = w.execute(next.lands)
		}
	}
	w.now = till
}

func (w *world) passUntil(t time.Time) {
	if t.After(w.now) {
		w.pass(t.Sub(w.now))
	}
}

// bad says whether something goes wrong that does so in the given percentage of
// cases.
func (w *world) bad(percent int) bool { return w.roll(100) >= 100-percent }

func (w *world) about(d time.Duration) time.Duration {
	return d/2 + time.Duration(w.roll(256))*d/256
}

// read is EdgeOne's answer: the live key, or one that was live within lag.
func (w *world) read() Fingerprint {
	if w.stuck {
		return w.keys[0].key
	}
	shown := len(w.keys) - 1
	for shown > 0 && w.keys[shown].from.After(w.now.Add(-w.lag)) && w.roll(3) > 0 {
		shown--
	}
	return w.keys[shown].key
}

// stillLanding is how many requests could still be executed, as far as anybody
// but the model can know.
func (w *world) stillLanding() int {
	n := 0
	for _, r := range w.requests {
		if !r.executed && w.now.Before(r.dead) {
			n++
		}
	}
	return n
}

// took is one step of a trip along its table.
type took struct {
	from Phase
	on   Event
	to   Phase
}

type story struct {
	*world
	t        *Trip
	first    Fingerprint // the live key when the story began
	path     []took
	aloud    bool
	said     []string
	reads    []keyLife // read-backs since the last attempt
	exposure time.Duration
	unread   bool      // the driver gave up reading
	stopped  bool      // an operator has cancelled
	liveAt   time.Time // when Live was learned, or the refresh that made it was signed
	lastRead time.Time // or EdgeOne's answer
	darkFrom time.Time // since when some host does not hold the live key
	checked  time.Time
	unseen   bool    // a late key was replaced before any read could show it
	running  *ending // of a refresh whose key was read early
	patient  bool    // another story follows at once
	rehosted bool    // while the switch was under way
	born     int     // keys when it began
	before   int     // requests of the story before this one
	stagedAt time.Time
	kept     Former   // the key that the minted one is to replace, where it was kept
	back     Former   // what is to be put back
	look     *keyLife // what a read showed, before that is sent
	wrong    string
}

const modelHosts = 3

func newStory(d dice, c climate) *story {
	w := &world{dice: d, climate: c, now: noon, held: map[HostName]Fingerprint{}, beside: map[HostName]Fingerprint{}, whole: map[HostName]bool{}, downTill: map[HostName]time.Time{}}
	w.execute(w.now.Add(-24 * time.Hour))
	s := &story{world: w, checked: w.now}
	hosts := make([]HostName, 1+w.roll(modelHosts))
	for i := range hosts {
		hosts[i] = HostName(fmt.Sprintf("h%d", i+1))
		w.held[hosts[i]] = w.live()
		w.whole[hosts[i]] = c.staged() && w.roll(8) == 7
	}
	if c.staged() && c.console > 0 {
		w.await([]Phase{"", "", PhaseMint, PhaseBaseline}[w.roll(4)])
	}
	if c.way == rolledBack {
		s.replaced(hosts)
		return s
	}
	baseline := w.live()
	if c.verb == Repair {
		w.execute(w.now.Add(-time.Hour)) // longer ago than any read can lag
		baseline = ""
		for _, h := range hosts {
			w.held[h] = []Fingerprint{w.keys[0].key, w.live(), Absent, w.newKey()}[w.roll(4)]
		}
	}
	w.keeps = c.staged() && w.roll(2) == 1
	if w.keeps && w.roll(8) == 7 {
		w.execute(w.now.Add(-time.Hour)) // since the plan
	}
	if w.bad(c.keyless) {
		w.keys = []keyLife{{w.now.Add(-24 * time.Hour), Absent}}
		baseline = Absent
	}
	s.first, s.born = w.live(), len(w.keys)
	if w.roll(4) == 3 {
		baseline = ""
	}
	s.t = NewTrip(c.verb, "zone-model", hosts, c.timing, baseline, w.roll(3) == 0)
	if c.staged() {
		if w.roll(8) == 7 || w.awaited == PhaseBaseline {
			w.held[hosts[0]] = w.newKey()
		}
		s.t = NewStagedTrip("zone-model", hosts, c.timing, baseline)
		s.t.Lenient = w.roll(2) == 1
	}
	if c.staged() && baseline == w.live() && baseline != Absent && (w.roll(8) == 7 || w.awaited == PhaseMint && w.roll(2) == 1) {
		s.resumed()
	}
	return s
}

func (s *story) say(format string, args ...any) {
	if s.aloud {
		s.said = append(s.said, fmt.Sprintf("%9s %-9s ", s.now.Sub(noon).Round(time.Millisecond), s.t.Phase)+fmt.Sprintf(format, args...))
	}
}

func (s *story) fault(format string, args ...any) {
	if s.wrong == "" {
		s.wrong = fmt.Sprintf(format, args...)
	}
}

const tooLong = 3000

// tell runs the story to its end. It returns what was wrong in it, or "".
func (s *story) tell() string {
	for steps := 0; s.t.Phase != PhaseEnded && s.wrong == ""; steps++ {
		if steps == tooLong {
			s.fault("not ended after %d steps, in phase %s", steps, s.t.Phase)
			break
		}
		s.disturb()
		before := *s.t
		on := s.step()
		if on != "" {
			s.checkTable(took{before.Phase, on, s.t.Phase})
			s.path = append(s.path, took{before.Phase, on, s.t.Phase})
		}
		s.checkStep(&before)
	}
	if s.wrong == "" {
		s.checkEnd()
	}
	s.say("ended %s: %s", s.t.Ended, s.t.Why)
	return s.wrong
}

// disturb is what happens between two steps.
func (s *story) disturb() {
	if s.bad(s.cancel) {
		s.say("an operator cancels")
		s.t.Cancelled()
		s.stopped = true
	}
	if waits := s.awaited != "" && s.awaited != s.t.Phase; s.script > 0 || s.byPeople < 5 && !waits && s.bad(s.console) {
		s.inTheConsole()
	}
	if s.bad(s.orders) {
		s.order()
	}
	if s.remarshal {
		body, err := json.Marshal(s.t)
		if err != nil {
			s.fault("a trip cannot be marshalled: %v", err)
			return
		}
		s.t = new(Trip)
		if err := json.Unmarshal(body, s.t); err != nil {
			s.fault("a trip cannot be read again: %v", err)
		}
	}
}

// order gives an operator's order. Like a zone's workflow, it leaves a zone
// alone while nobody knows whether its key changed.
func (s *story) order() {
	skip := s.roll(3) == 2
	if s.roll(4) == 3 && (s.t.MayHaveRefreshed() || s.t.Verb == Repair) {
		s.rehost()
		return
	}
	if len(s.t.Hosts) > 0 && !skip {
		host := s.t.Hosts[s.roll(len(s.t.Hosts))]
		s.say("an operator retires %s", host)
		s.t.Retire(host, "scrapped")
		delete(s.beside, host)
	}
	// The zone's workflow does this with orders.
	if (skip || len(s.t.Hosts) == 0) && !s.t.MayLand(s.now) {
		s.say("an operator skips the zone")
		s.t.Skip("gone")
	}
}

// rehost changes the definition of some hosts. What they hold by the new
// definition is unknown.
func (s *story) rehost() {
	var asBefore []HostName
	for _, h := range s.t.Hosts {
		if s.roll(2) == 0 {
			asBefore = append(asBefore, h)
			continue
		}
		s.held[h] = []Fingerprint{s.live(), s.first, Absent, s.newKey()}[s.roll(4)]
		delete(s.beside, h)
	}
	s.say("a person accepts other definitions of all but %v", asBefore)
	s.t.Rehost(s.now, s.t.Hosts, asBefore, "other definitions")
	s.rehosted = s.t.Phase == PhaseSwitch
	s.liveAt = s.now // delivery has its full time again
}

func (s *story) step() Event {
	switch s.t.Phase {
	case PhaseBaseline, PhaseReadBack, PhaseVerify:
		return s.readStep()
	case PhaseProve:
		return s.prove()
	case PhaseRefresh:
		return s.refresh()
	case PhaseMint:
		return s.mint()
	case PhaseStage:
		return s.stage()
	case PhaseSwitch:
		return s.change()
	case PhaseSweep:
		return s.sweep()
	case PhaseSettle, PhaseHold:
		return s.wait()
	case PhaseDeliver:
		return s.deliver()
	case PhaseAnswer:
		end := s.running
		s.running = nil
		s.passUntil(end.at)
		return end.take()
	}
	if s.t.Phase != PhaseEnded { // an order may have ended it
		s.fault("phase %q has no step", s.t.Phase)
	}
	return ""
}

func (s *story) prove() Event {
	s.pass(s.about(2 * time.Second))
	switch {
	case s.t.Stop:
		s.t.Proved(s.now, "cancelled before its refresh", BackStopped)
		return evUnproved
	case s.bad(s.unproved):
		s.say("h1 cannot take a key")
		s.t.Proved(s.now, "h1: disk full", BackProof)
		return evUnproved
	}
	for _, h := range s.t.Hosts {
		if held := s.held[h]; held != s.t.Baseline {
			s.t.SawDrift(held)
		}
	}
	s.t.Proved(s.now, "", "")
	return evProved
}

func (s *story) refresh() Event { return s.call(s.fate, "refresh") }

// call makes the call that changes the key, and waits for the fate that it meets.
func (s *story) call(fate func(scheduled time.Time) *ending, what string) Event {
	if s.t.Stop {
		s.t.NotSent(s.now, "cancelled before its "+what, BackStopped, false)
		return evUnsent
	}
	scheduled := s.now
	s.pass(s.about(200 * time.Millisecond))
	begun := s.roll(4) == 3 || s.late > 0
	if begun {
		s.t.Began(s.now)
		s.checkStanding()
		if s.t.Standing() != Dark {
			s.fault("a %s that has begun leaves it %s", what, s.t.Standing())
		}
	}
	end := fate(scheduled)
	if begun && s.early(end) {
		s.running = end
		return evChanged
	}
	s.passUntil(end.at)
	return end.take()
}

// early reads now and then while the refresh runs.
func (s *story) early(end *ending) (changed bool) {
	for s.roll(4) > 0 && s.now.Add(time.Second).Before(end.at) {
		s.pass(time.Second)
		key := s.read()
		s.lastRead = s.now
		s.say("an early read shows %s (live is %s)", key, s.live())
		if s.t.Early(s.now, key) {
			s.liveAt = s.now
			return true
		}
	}
	return false
}

// slowly is how long a refresh takes that could take longer than its answer needs.
func (s *story) slowly(usual time.Duration) time.Time {
	if s.bad(s.late) {
		usual = s.about(9 * time.Second)
	}
	return s.now.Add(usual)
}

// fate decides how a refresh ends, and sends what it sends.
func (s *story) fate(scheduled time.Time) *ending {
	switch {
	case s.bad(s.unsent):
		again := s.roll(2) == 0
		return &ending{s.slowly(0), func() Event {
			s.say("the refresh is not sent, again %t", again)
			s.t.NotSent(s.now, "no worker", BackNoWorker, again)
			return evUnsent
		}}
	case s.bad(s.refused):
		halt := s.roll(4) == 3
		return &ending{s.slowly(0), func() Event {
			s.say("the refresh is refused")
			s.t.RefusedBy(s.now, "EdgeOne: OperationDenied (refused)", "OperationDenied", halt)
			return evRefused
		}}
	}
	s.checkMaySend()
	signed := s.now
	if s.bad(s.ambiguous) {
		s.send(signed)
		return &ending{signed.Add(s.about(5 * time.Second)), func() Event {
			if s.roll(4) == 3 {
				s.t.GivenUp(scheduled, s.now, "the worker was lost during the refresh")
			} else {
				s.t.GivenUp(signed, signed, "no answer")
			}
			return evAmbiguous
		}}
	}
	r := &request{signed: signed, dead: signed.Add(s.timing.SignatureLife.D()), lands: signed.Add(s.about(100 * time.Millisecond))}
	s.requests = append(s.requests, r)
	return &ending{later(r.lands, s.slowly(0)).Add(s.about(100 * time.Millisecond)), func() Event {
		s.unseen = s.unseen || r.over.key != s.first
		s.lastRead = r.lands
		s.say("refreshed: EdgeOne answers %s", r.key)
		if s.t.Live == "" {
			s.liveAt = signed
		}
		s.t.Refreshed(s.now, signed, r.key)
		return evRefreshed
	}}
}

// send sends a request whose answer will be lost. It is executed at once,
// later, just before its signature dies, or never.
func (s *story) send(signed time.Time) {
	life := s.timing.SignatureLife.D()
	r := &request{signed: signed, dead: signed.Add(life)}
	switch s.roll(5) {
	case 0:
		r.lands = signed.Add(10 * time.Millisecond)
	case 1:
		r.lands = signed.Add(time.Duration(s.roll(256)) * 30 * time.Second / 256)
	case 2:
		r.lands = signed.Add(time.Duration(s.roll(256)) * life / 256)
	case 3:
		r.lands = r.dead.Add(-time.Millisecond)
	}
	if r.lands.Before(r.dead) && !r.lands.IsZero() {
		s.say("a refresh goes unanswered; it will be executed at %s", r.lands.Sub(noon).Round(time.Millisecond))
	} else {
		s.say("a refresh goes unanswered; it is lost")
		r.lands = time.Time{}
	}
	s.requests = append(s.requests, r)
}

// checkMaySend checks promise 4.
func (s *story) checkMaySend() {
	if s.t.Verb == Repair {
		s.fault("a repair asks for a refresh")
	}
	if s.stopped || len(s.ours()) >= maxRefreshes {
		s.fault("refresh %d, cancelled %t", len(s.ours())+1, s.stopped)
	}
	if s.t.Live != "" {
		s.fault("a refresh although the live key %s is known", s.t.Live)
	}
	if len(s.ours()) == 0 {
		return
	}
	n := len(s.reads)
	if n < 2 || s.reads[n-1].key != s.t.Baseline || s.reads[n-2].key != s.t.Baseline ||
		s.reads[n-1].from.Sub(s.reads[n-2].from) < s.timing.Settle.D() {
		s.fault("a second refresh on a guess: reads since the last attempt %v", s.reads)
	}
	s.reads = nil
}

func (s *story) readStep() Event {
	phase, live := s.t.Phase, s.t.Live
	if phase == PhaseBaseline && s.t.Verb == Rotate && s.t.Stop {
		s.t.NotSent(s.now, "cancelled before its refresh", BackStopped, false)
		return evUnsent
	}
	s.pass(s.about(100 * time.Millisecond))
	if s.bad(s.climate.unread) {
		return s.unreadable()
	}
	key := s.read()
	s.lastRead = s.now
	s.say("reads %s (live is %s)", key, s.live())
	if phase == PhaseReadBack {
		s.reads = append(s.reads, keyLife{s.now, key})
	}
	right := phase == PhaseReadBack && key == s.t.Baseline || phase == PhaseVerify && key == live && len(s.t.Missing()) == 0
	s.t.Read(s.now, key)
	if dark := s.t.Standing(); right && s.t.Phase != PhaseEnded && (dark == Dark || dark == Dead) {
		s.fault("a read shows the key that the hosts hold, and the zone is %s", dark)
	}
	switch {
	case phase == PhaseBaseline:
		return evRead
	case s.t.Phase == PhaseAnswer:
		return evRunning
	case s.t.Live != live:
		return evChanged
	case phase == PhaseReadBack && key == s.t.Former:
		return evStale
	case phase == PhaseReadBack:
		return evSame
	case s.t.Phase == PhaseSettle:
		return evStale
	case s.t.Phase == PhaseEnded && s.t.Ended != Done:
		return evGaveUp
	}
	return evSame
}

// unreadable does what the zone's workflow does when EdgeOne cannot be read.
func (s *story) unreadable() Event {
	if patience := !s.t.Looking(s.now) && s.t.MayHaveRefreshed() && s.roll(8) < 7; patience {
		s.say("EdgeOne cannot be read; again in 10 s")
		s.pass(10 * time.Second)
		return ""
	}
	s.say("EdgeOne cannot be read, given up")
	s.t.Unreadable(s.now, "EdgeOne: InternalError (ambiguous)", "InternalError", false)
	if s.t.Phase == PhaseAnswer {
		return evRunning
	}
	s.unread = s.unread || s.t.Phase == PhaseEnded
	return evUnreadable
}

func (s *story) wait() Event {
	if s.t.Wake.IsZero() {
		s.fault("nobody knows how long to wait in %s", s.t.Phase)
	}
	if s.t.Phase == PhaseHold {
		s.checkHold()
	}
	s.passUntil(s.t.Wake)
	s.t.Waited()
	return evWaited
}

// checkHold: a hold lasts until nothing can land, and the key is read on the
// way.
func (s *story) checkHold() {
	for _, r := range s.requests {
		if !r.executed && s.t.HeldUntil.Before(r.dead) {
			s.fault("the hold ends before a request signed at %s can no longer land", r.signed.Sub(noon))
		}
	}
	if blind := s.t.Wake.Sub(s.now); blind > s.timing.ExposedAfter.D() {
		s.fault("a held zone is not looked at for %s", blind)
	}
}

func (s *story) deliver() Event {
	s.passUntil(s.t.Wake)
	if s.running != nil && !s.now.Before(s.running.at) {
		s.t.Running()
		return evRunning
	}
	if s.bad(s.surprise) && s.read() != s.t.Live {
		s.say("the key was to be sealed anew, and the live one is another")
		s.t.Doubt()
		return evSurprised
	}
	if slices.Contains(s.t.Replaced, s.t.Live) {
		s.fault("%s is delivered although it was replaced", s.t.Live)
	}
	if !s.stuck && !slices.ContainsFunc(s.keys[s.born-1:], func(k keyLife) bool { return k.key == s.t.Live }) {
		s.fault("%s is delivered, which was not live since the story began: a read was not up to date", s.t.Live)
	}
	s.pass(s.about(300 * time.Millisecond))
	var acks []Ack
	for _, h := range s.t.Missing() {
		acks = append(acks, s.put(h))
	}
	for _, a := range acks {
		s.say("brings %s to %s, which holds %s now %s", s.t.Live, a.Host, s.held[a.Host], a.Problem)
	}
	s.t.Delivered(s.now, acks)
	switch {
	case s.t.Phase == PhaseVerify && len(s.t.Missing()) == 0:
		return evAcked
	case s.t.Phase == PhaseVerify:
		return evSurprised
	case s.t.Phase == PhaseEnded:
		return evGaveUp
	case s.t.Phase == PhaseAnswer:
		return evRunning
	}
	return evMissing
}

func (s *story) put(h HostName) Ack {
	a := Ack{Host: h, At: s.now}
	switch {
	case s.now.Before(s.downTill[h]):
		a.Problem = "connect: no route"
		return a
	case s.bad(s.badHost):
		s.downTill[h] = s.now.Add(s.downTime())
		a.Problem = "connect: no route"
		if s.roll(2) == 1 { // the file was written, but the answer was lost or the reload failed
			s.swap(h, &a)
			a.Problem = "reload: exit status 1"
		}
		return a
	case s.bad(s.surprise):
		s.held[h] = s.newKey()
	}
	s.swap(h, &a)
	return a
}

func (s *story) downTime() time.Duration {
	return []time.Duration{0, time.Second, time.Minute, 2 * s.timing.DeliverFor.D()}[s.roll(4)]
}

// swap is a host's compare-and-swap.
func (s *story) swap(h HostName, a *Ack) {
	held := s.held[h]
	if held != s.t.Live && !slices.Contains(s.t.Expect(), held) {
		a.Held, a.Refused, a.Problem = held, true, "holds another key"
		return
	}
	s.held[h] = s.t.Live
	a.Held = s.t.Live
	delete(s.beside, h) // renamed, or removed as what another attempt left
}

func (s *story) checkTable(step took) {
	for _, row := range Table() {
		if row.From == step.from && row.On == step.on && slices.Contains(row.To, step.to) {
			return
		}
	}
	s.fault("the table has no way from %s on %q to %s", step.from, step.on, step.to)
}

// checkStep checks what must be true after every step.
func (s *story) checkStep(before *Trip) {
	if before.Live != "" && s.t.Live == "" {
		s.fault("the live key was forgotten")
	}
	if s.t.Live != before.Live && before.Phase != PhaseRefresh && before.Phase != PhaseSwitch {
		s.liveAt = s.now
	}
	if s.t.Live != "" && slices.Contains(s.t.Expect(), s.t.Live) {
		s.fault("the live key is expected as an old one")
	}
	for _, old := range before.Expect() {
		if old != s.t.Live && !slices.Contains(s.t.Expect(), old) {
			s.fault("that hosts may hold %s was forgotten", old)
		}
	}
	for _, old := range before.Replaced {
		if !slices.Contains(s.t.Replaced, old) && !(s.staged() && old == s.t.Minted && s.t.Live == old) {
			s.fault("%s is no longer known as replaced", old)
		}
	}
	if s.t.Former != s.back.Key || s.back.For != "" && s.t.Baseline != s.back.For {
		s.fault("%s is put back in place of %s, and may be in place of %s only", s.t.Former, s.t.Baseline, s.back.For)
	}
	if s.t.Sent < before.Sent || len(s.t.Given) < len(before.Given) {
		s.fault("an attempt was forgotten")
	}
	s.checkExposure()
	s.checkStanding()
}

// checkStanding checks promise 3: while some host does not hold the key that
// EdgeOne holds, a zone that may have refreshed says that it is exposed, and
// since when. What no read could show yet is excepted.
func (s *story) checkStanding() {
	before := s.checked
	s.checked = s.now
	if s.t.Phase == PhaseEnded || s.byPeople > 0 || s.stuck || !s.t.MayHaveRefreshed() {
		return
	}
	standing, why := s.t.Standing(), s.t.StandingWhy()
	if standing != Alive && why == "" || standing == Dead && len(s.t.Missing()) == 0 {
		s.fault("it is %s because %q, and misses %v", standing, why, s.t.Missing())
	}
	if s.allHold() || s.t.Verb == Rotate && s.live() == s.first {
		s.darkFrom = time.Time{}
		return
	}
	if s.darkFrom.IsZero() {
		s.darkFrom = s.diedAfter(before)
	}
	if s.keys[len(s.keys)-1].from.After(s.lastRead.Add(-s.lag)) && s.t.Phase != PhaseDeliver {
		return // no read has shown it
	}
	if standing != Dark && standing != Dead {
		s.fault("some host does not hold the live key since %s, and the zone is %s", s.darkFrom.Sub(noon), standing)
	}
	died := s.darkFrom
	if s.t.Lit.After(died) { // meanwhile a read that lagged showed the hosts' key
		died = s.keys[len(s.keys)-1].from
	}
	if since := s.t.ExposedSince(); s.t.Verb == Rotate && !s.unseen && since.After(died.Add(s.lag)) {
		s.fault("some host does not hold the live key since %s, and the exposure is told since %s", died.Sub(noon), since.Sub(noon))
	}
}

func (s *story) allHold() bool {
	return !slices.ContainsFunc(s.t.Hosts, func(h HostName) bool { return s.held[h] != s.live() })
}

// diedAfter is when the first key after that moment was made.
func (s *story) diedAfter(at time.Time) time.Time {
	for _, k := range s.keys {
		if k.from.After(at) {
			return k.from
		}
	}
	return s.now
}

// checkExposure: once the key has changed, an exposure never gets shorter,
// except at its end, which is the moment of the last acknowledgement.
func (s *story) checkExposure() {
	if s.t.Live == "" {
		s.exposure = 0
		return
	}
	e := s.t.Exposure(s.now)
	if e < s.exposure && s.t.LastAck().IsZero() {
		s.fault("the exposure shrank from %s to %s", s.exposure, e)
	}
	s.exposure = e
}

// checkEnd compares the outcome with the truth.
func (s *story) checkEnd() {
	if s.running != nil {
		s.fault("ended as %s while its refresh runs", s.t.Ended)
	}
	switch s.t.Ended {
	case Done:
		s.checkDone()
	case Unchanged:
		if s.stuck {
			break // the outcome is what can be read
		}
		if s.live() != s.first && s.byPeople == 0 {
			s.fault("unchanged, but EdgeOne holds %s and held %s", s.live(), s.first)
		}
		if n := s.stillLanding(); n > 0 {
			s.fault("unchanged, but %d requests may still be executed", n)
		}
	case Pending:
		if len(s.ours()) > 0 || s.live() != s.first && s.byPeople == 0 {
			s.fault("pending, although a refresh was sent")
		}
	case Exposed:
		if s.t.Live == "" || len(s.t.Missing()) == 0 {
			s.fault("exposed, but live is %q and %d hosts miss it", s.t.Live, len(s.t.Missing()))
		}
		if tried := s.now.Sub(s.liveAt); tried < s.timing.DeliverFor.D() {
			s.fault("delivery of %s was given up after %s", s.t.Live, tried)
		}
	case Unknown:
		if !s.unread && !s.stuck && s.byPeople == 0 && s.first != Absent {
			s.fault("unknown, although EdgeOne could be read: %s", s.t.Why)
		}
	case Skipped:
		if len(s.ours()) > 0 && s.t.Live == "" {
			s.fault("skipped while nobody knows whether the key changed")
		}
	default:
		s.fault("ended as %q", s.t.Ended)
	}
	if len(s.t.Missing()) > 0 && strings.Contains(s.t.Why, "every host acknowledged") {
		s.fault("%d hosts have not acknowledged, but: %s", len(s.t.Missing()), s.t.Why)
	}
	if s.t.Why == "" && s.t.Ended != Done {
		s.fault("%s without a reason", s.t.Ended)
	}
	s.checkRollback()
	s.checkSince()
}

func (s *story) checkDone() {
	if s.stuck && s.t.Verb == Rotate {
		s.fault("done, but no read has ever shown %s", s.t.Live)
	}
	if s.stuck || s.byPeople > 0 {
		return // a person may have made yet another key since the last read
	}
	if n := s.stillLanding(); n > 0 {
		s.fault("done, but %d requests may still be executed", n)
	}
	if s.patient {
		return
	}
	s.pass(s.timing.SignatureLife.D() + time.Hour)
	if s.t.Live != s.live() {
		s.fault("done with %s, but EdgeOne holds %s", s.t.Live, s.live())
	}
	for _, h := range s.t.Hosts {
		if s.held[h] != s.live() {
			s.fault("done, but %s holds %s and EdgeOne %s", h, s.held[h], s.live())
		}
	}
	if s.t.Verb == Rotate && s.live() == s.first {
		s.fault("done, but the key is the old one")
	}
	if len(s.beside) > 0 && len(s.t.Staged) == 0 {
		s.fault("done, and %v still has staged keys", s.beside)
	}
}

// checkSince: an exposure begins no later than the old key's death, except for
// a time that a lagging read may have hidden.
func (s *story) checkSince() {
	if s.t.Verb != Rotate || s.t.Live == "" || s.byPeople > 0 || s.stuck || s.t.Sent > 1 {
		return
	}
	if len(s.keys) <= s.born {
		return
	}
	died := s.keys[s.born].from
	if s.t.Since.IsZero() || s.t.Since.After(died.Add(s.lag)) {
		s.fault("the exposure is counted from %s, but the old key died at %s", s.t.Since.Sub(noon), died.Sub(noon))
	}
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func modelTiming(d dice) Timing {
	return Timing{
		ProofFor:      Span(time.Minute),
		Settle:        Span(10 * time.Second),
		SignatureLife: Span([]time.Duration{300 * time.Second, 30 * time.Second, time.Second}[d.roll(3)]),
		ExposedAfter:  Span(30 * time.Second),
		DeliverFor:    Span([]time.Duration{5 * time.Minute, 20 * time.Second, 4 * time.Second}[d.roll(3)]),
	}
}

// trouble is what weakens the promises in a group of stories.
type trouble int

const (
	none   trouble = iota
	people         // somebody makes keys in the console
	stuck          // EdgeOne reads back the oldest key for ever
)

// weather draws a climate, from calm to stormy.
func weather(d dice, verb Verb, trouble trouble) climate {
	rate := func(of ...int) int { return of[d.roll(len(of))] }
	c := climate{
		verb: verb, timing: modelTiming(d),
		ambiguous: rate(10, 50, 90), refused: rate(0, 5, 30), unsent: rate(0, 5, 40), unproved: rate(0, 3, 20),
		orders: rate(0, 0, 0, 2), late: rate(0, 0, 30, 90), keyless: rate(0, 0, 0, 10), unread: rate(0, 10, 50), badHost: rate(0, 20, 70), cancel: rate(0, 2, 20), surprise: rate(0, 5, 30),
	}
	c.lag = time.Duration(rate(0, 1, 5, 10)) * time.Second
	switch trouble {
	case people:
		c.console = rate(2, 10, 30)
	case stuck:
		c.stuck = true
	}
	return c
}

func randomStory(verb Verb, way way, trouble trouble, seed uint64) *story {
	d := seeded{rand.New(rand.NewPCG(seed, 1))}
	c := weather(d, verb, trouble)
	c.way = way
	return newStory(d, c)
}

// explain tells a story once more and prints each step.
func explain(s *story) string {
	s.aloud = true
	wrong := s.tell()
	return wrong + "\n" + strings.Join(s.said, "\n")
}

type chapter struct {
	name    string
	verb    Verb
	way     way
	trouble trouble
	stories int
}

func (c chapter) story(seed uint64) *story { return randomStory(c.verb, c.way, c.trouble, seed) }

func chapters() []chapter {
	return []chapter{
		{"rotate", Rotate, refreshed, none, 20000},
		{"rotate while people change keys", Rotate, refreshed, people, 4000},
		{"rotate while reads are stuck", Rotate, refreshed, stuck, 2000},
		{"repair", Repair, refreshed, none, 4000},
		{"repair while people change keys", Repair, refreshed, people, 2000},
		{"staged", Rotate, staged, none, 20000},
		{"staged while people change keys", Rotate, staged, people, 8000},
		{"staged while reads are stuck", Rotate, staged, stuck, 2000},
		{"rollback", Rotate, rolledBack, none, 12000},
		{"rollback while people change keys", Rotate, rolledBack, people, 4000},
		{"rollback while reads are stuck", Rotate, rolledBack, stuck, 1000},
	}
}

// Every story keeps the promises. Together, the stories use every row of the
// table and have every outcome.
func TestTripAgainstTheModel(t *testing.T) {
	taken := map[took]int{}
	ended := map[Outcome]int{}
	for _, c := range chapters() {
		t.Run(c.name, func(t *testing.T) {
			for seed := range uint64(c.stories) {
				s := c.story(seed)
				if wrong := s.tell(); wrong != "" {
					t.Fatalf("story %d: %s", seed, explain(c.story(seed)))
				}
				ended[s.t.Ended]++
				for _, step := range s.path {
					taken[step]++
				}
			}
		})
	}
	for _, row := range Table() {
		for _, to := range row.To {
			step := took{row.From, row.On, to}
			t.Logf("%7d from %s on %q to %s", taken[step], step.from, step.on, step.to)
			if taken[step] == 0 {
				t.Errorf("no story goes from %s on %q to %s", step.from, step.on, step.to)
			}
		}
	}
	for _, o := range Outcomes() {
		t.Logf("%7d ended %s", ended[o], o)
		if ended[o] == 0 {
			t.Errorf("no story ended %s", o)
		}
	}
}

// A trip that is written as JSON and read again at every step goes the same
// way.
func TestTripSurvivesJSONAtAnyPoint(t *testing.T) {
	for _, c := range chapters() {
		for seed := range uint64(c.stories / 20) {
			straight, broken := c.story(seed), c.story(seed)
			broken.remarshal = true
			straight.tell()
			if wrong := broken.tell(); wrong != "" {
				t.Fatalf("%s, story %d: %s", c.name, seed, wrong)
			}
			if !slices.Equal(straight.path, broken.path) {
				t.Fatalf("%s, story %d: %v became %v", c.name, seed, straight.path, broken.path)
			}
			a, _ := json.Marshal(straight.t)
			b, _ := json.Marshal(broken.t)
			if string(a) != string(b) {
				t.Fatalf("%s, story %d:\n%s\nbecame\n%s", c.name, seed, a, b)
			}
		}
	}
}

func TestEveryPhaseHasAWayToTheEnd(t *testing.T) {
	ends := map[Phase]bool{PhaseEnded: true}
	for range Table() {
		for _, row := range Table() {
			ends[row.From] = ends[row.From] || slices.ContainsFunc(row.To, func(p Phase) bool { return ends[p] })
		}
	}
	for _, row := range Table() {
		for _, p := range append([]Phase{row.From}, row.To...) {
			if !ends[p] {
				t.Errorf("%s is a dead end", p)
			}
		}
	}
	if slices.ContainsFunc(Table(), func(row Transition) bool { return row.From == PhaseEnded }) {
		t.Error("ended is not the end")
	}
}

func FuzzTrip(f *testing.F) {
	for seed := range uint64(64) {
		r := rand.New(rand.NewPCG(seed, 2))
		bytes := make([]byte, 40+r.IntN(200))
		for i := range bytes {
			bytes[i] = byte(r.UintN(256))
		}
		f.Add(bytes)
	}
	f.Fuzz(func(t *testing.T, bytes []byte) {
		tell := func() *story {
			d := &scripted{slices.Clone(bytes)}
			kind := d.roll(8)
			verb := []Verb{Rotate, Rotate, Rotate, Repair, Rotate, Rotate, Rotate, Rotate}[kind]
			c := weather(d, verb, []trouble{none, none, people, stuck}[d.roll(4)])
			c.way = []way{refreshed, refreshed, refreshed, refreshed, staged, staged, rolledBack, rolledBack}[kind]
			return newStory(d, c)
		}
		if wrong := tell().tell(); wrong != "" {
			t.Fatal(explain(tell()))
		}
	})
}
