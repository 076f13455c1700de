package rotation

import (
	"testing"
	"time"
)

// What the strategy staged adds to the model, and the way back.

// replaced begins a rollback: a rotation has put another key in place of the former one, an
// hour ago, or so lately that reads may still show that one. Where it ended exposed, some
// host still holds it.
func (s *story) replaced(hosts []HostName) {
	former, ago := s.live(), time.Hour
	if s.roll(2) == 1 {
		ago = s.about(s.lag)
	}
	key := s.execute(s.now.Add(-ago))
	if s.stuck {
		s.keys = s.keys[1:]
	}
	for _, h := range hosts {
		if s.held[h] = key; s.roll(8) == 7 {
			s.held[h] = former
		}
	}
	s.first, s.born = key, len(s.keys)
	s.back = Former{Key: former, For: key}
	s.t = NewRollback("zone-model", hosts, s.timing, s.back)
	if s.t.Lenient = s.roll(2) == 1; s.roll(8) == 7 {
		s.resumed()
	}
}

// resumed begins the story after one that ended without knowing whether its switch was
// executed. That one brought a key that nobody has any more, or the former one.
func (s *story) resumed() {
	lost := s.t.Former
	if lost == "" {
		lost = s.newKey()
	}
	s.send(s.now)
	s.requests[0].brings = lost
	s.pass(s.about(5 * time.Second))
	s.t.ExposedFrom(s.requests[0].signed)
	s.t.Resume(s.requests[0].signed)
	s.before = len(s.requests)
}

// await has people change keys in one phase, and often then. In half of these stories
// little else goes wrong.
func (w *world) await(phase Phase) {
	if w.awaited = phase; phase == "" {
		return
	}
	w.console = 50
	if w.roll(2) == 1 {
		w.cancel, w.unsent, w.refused, w.climate.unread, w.lag = 0, 0, 0, 0, 0
	}
}

// inTheConsole changes the key: to a new one; where we bring keys, people may do so too, and
// may have left a script that does it again and again.
func (s *story) inTheConsole() {
	s.byPeople++
	switch {
	case s.script > 0:
		s.script--
	case s.awaited != "" && s.roll(2) == 1:
		s.script = 2 * maxStaleReads
	case s.staged() && s.roll(4) == 3:
		key := s.keys[s.roll(len(s.keys))].key
		if key == Absent {
			return
		}
		s.say("somebody puts %s back in the console", key)
		s.set(s.now, key)
		return
	}
	s.say("somebody makes %s in the console", s.execute(s.now))
}

func (s *story) mint() Event {
	switch {
	case s.t.Stop:
		s.t.NotSent(s.now, "cancelled before its switch", BackStopped, false)
		return evUnsent
	case s.bad(s.unsent):
		s.t.NotSent(s.now, "no worker", BackNoWorker, s.roll(2) == 0)
		return evUnsent
	case s.bad(s.refused):
		s.t.RefusedBy(s.now, "the account has no keyset", "", true)
		return evRefused
	case s.keeps:
		return s.keep()
	}
	key := s.t.Former
	if key == "" {
		key = s.newKey()
	}
	return s.minted(key)
}

// keep reads the live key and keeps it, where it is the one that is to be replaced.
func (s *story) keep() Event {
	s.pass(s.about(100 * time.Millisecond))
	if s.bad(s.climate.unread) {
		s.t.RefusedBy(s.now, "EdgeOne: InternalError (ambiguous)", "InternalError", false)
		return evRefused
	}
	key := s.read()
	s.say("the mint reads %s (live is %s)", key, s.live())
	if key != s.t.Baseline {
		s.t.KeyMoved(key)
		if s.t.over() {
			return evGaveUp
		}
		if s.t.Phase == PhaseMint && s.t.Baseline != key {
			s.fault("EdgeOne holds %s, and a key is to be minted in place of %s", key, s.t.Baseline)
		}
		return evChanged
	}
	minted := s.newKey()
	s.kept = Former{Key: key, For: minted}
	return s.minted(minted)
}

func (s *story) minted(key Fingerprint) Event {
	if s.t.Minted != "" && len(s.ours()) > 0 {
		s.fault("a second key is minted although the first was sent")
	}
	s.say("mints %s", key)
	s.t.KeyMinted(key)
	return evMinted
}

func (s *story) stage() Event {
	s.pass(s.about(2 * time.Second))
	if s.t.Stop {
		s.t.KeyStaged(s.now, nil, nil, "cancelled before its switch", BackStopped)
		return evUnstaged
	}
	var acks []Ack
	var asked []HostName
	problem := ""
	for _, h := range s.t.Hosts {
		if s.whole[h] { // its transport stages nothing: it proves, and gets the key whole
			continue
		}
		asked = append(asked, h)
		if s.bad(s.unproved) {
			problem = string(h) + ": disk full"
			continue
		}
		s.beside[h] = s.t.Minted
		acks = append(acks, Ack{Host: h, At: s.now, Held: s.held[h]})
	}
	s.stagedAt, s.rehosted = s.now, false
	s.say("stages %s on %v: %s", s.t.Minted, asked, problem)
	s.t.KeyStaged(s.now, asked, acks, problem, BackStage)
	if problem != "" {
		return evUnstaged
	}
	return evStaged
}

// ours are the requests of this trip.
func (s *story) ours() []*request { return s.requests[s.before:] }

func (s *story) change() Event { return s.call(s.fateOfSwitch, "switch") }

// fateOfSwitch decides how a switch ends, and sends what it sends.
func (s *story) fateOfSwitch(scheduled time.Time) *ending {
	if s.t.Former != "" {
		if end := s.lookFirst(); end != nil {
			return end
		}
	}
	switch {
	case s.bad(s.unsent), s.now.Sub(s.stagedAt) > s.timing.ProofFor.D():
		again := s.roll(2) == 0
		return &ending{s.slowly(0), func() Event {
			s.t.NotSent(s.now, "staged too long ago", BackProof, again)
			return evUnsent
		}}
	case s.bad(s.refused), s.t.Baseline == Absent, s.live() == s.t.Minted && s.roll(2) == 1: // it does not take the key that it has
		return &ending{s.slowly(0), func() Event {
			s.say("the switch is refused")
			s.t.RefusedBy(s.now, "EdgeOne: OperationDenied (refused)", "OperationDenied", false)
			return evRefused
		}}
	}
	s.checkMaySwitch()
	signed := s.now
	if s.bad(s.ambiguous) {
		s.send(signed)
		r := s.requests[len(s.requests)-1]
		r.brings, r.looked = s.t.Minted, s.looked()
		return &ending{signed.Add(s.about(5 * time.Second)), func() Event {
			if s.roll(4) == 3 {
				s.t.GivenUp(scheduled, s.now, "the worker was lost during the switch")
			} else {
				s.t.GivenUp(signed, signed, "no answer")
			}
			return evAmbiguous
		}}
	}
	r := &request{signed: signed, dead: signed.Add(s.timing.SignatureLife.D()), lands: signed.Add(s.about(100 * time.Millisecond)), brings: s.t.Minted, looked: s.looked()}
	s.requests = append(s.requests, r)
	return &ending{later(r.lands, s.slowly(0)).Add(s.about(100 * time.Millisecond)), func() Event {
		s.unseen = s.unseen || r.over.key != s.first
		s.lastRead = r.lands
		s.say("switched: EdgeOne has taken %s", s.t.Minted)
		if s.t.Live == "" {
			s.liveAt = signed
		}
		s.t.Switched(s.now, signed)
		return evSwitched
	}}
}

// lookFirst is what becomes of a former key that is not sent: nil where a read shows the
// key that it may replace.
func (s *story) lookFirst() *ending {
	s.pass(s.about(100 * time.Millisecond))
	if s.bad(s.climate.unread) {
		return &ending{s.now, func() Event {
			s.t.NotSent(s.now, "EdgeOne cannot be read", BackUnreached, true)
			return evUnsent
		}}
	}
	s.look = &keyLife{s.now, s.read()}
	s.say("the switch reads %s (live is %s)", s.look.key, s.live())
	if s.look.key == s.back.For {
		return nil
	}
	return &ending{s.now, func() Event {
		s.t.RefusedBy(s.now, "EdgeOne holds another key", "FormerKey", false)
		return evRefused
	}}
}

// looked is when, and good for one call.
func (s *story) looked() time.Time {
	if s.look == nil {
		return time.Time{}
	}
	at := s.look.from
	s.look = nil
	return at
}

// checkMaySwitch: a key is sent that lies on every host. It is sent again only
// after a read of the key that it is to replace, and never beside another one
// that may still land. A former key is sent only just after such a read.
func (s *story) checkMaySwitch() {
	if s.stopped || s.t.Stop || len(s.ours()) >= maxRefreshes || s.t.Live != "" || s.t.Minted == "" {
		s.fault("switch %d, stopped %t, live %q, minted %q", len(s.ours())+1, s.t.Stop, s.t.Live, s.t.Minted)
	}
	for _, h := range s.t.Hosts {
		if s.beside[h] != s.t.Minted && !s.whole[h] && !s.rehosted {
			s.fault("switched although %s has no %s staged", h, s.t.Minted)
		}
	}
	for _, r := range s.requests {
		if r.brings != s.t.Minted && s.now.Before(r.dead) && !r.executed {
			s.fault("%s is sent while another key may still land", s.t.Minted)
		}
	}
	if f := s.t.Former; f != "" && (s.t.Minted != f || s.look == nil || s.look.key != s.back.For) {
		s.fault("%s is put back, minted %s, although a read showed %v", f, s.t.Minted, s.look)
	}
	if n := len(s.reads); len(s.ours()) > 0 && (n == 0 || s.reads[n-1].key != s.t.Baseline) {
		s.fault("the key is sent again on a guess: reads since the last attempt %v", s.reads)
	}
	s.reads = nil
}

func (s *story) sweep() Event {
	var left []HostName
	for _, h := range s.t.Staged {
		if s.bad(s.badHost) {
			left = append(left, h)
			continue
		}
		delete(s.beside, h)
	}
	s.t.Swept(left)
	return evSwept
}

// checkRollback: a former key replaces the one key that it may, and nobody else's that a
// read could show.
func (s *story) checkRollback() {
	if s.t.Former == "" || s.stuck {
		return
	}
	for _, r := range s.ours() {
		if r.executed && r.over.key != s.back.For && r.over.key != s.back.Key && !r.over.from.After(r.looked.Add(-s.lag)) {
			s.fault("somebody made %s at %s, and it was replaced by a call that looked at %s", r.over.key, r.over.from.Sub(noon), r.looked.Sub(noon))
		}
	}
	if s.t.Ended == Done && s.byPeople == 0 && s.t.Live != s.t.Former {
		s.fault("done with %s, and not with %s", s.t.Live, s.t.Former)
	}
}

// sequel is what follows right after the end of the first story: the way back, where that
// one has kept the former key, or another rotation, with a key of ours or of EdgeOne's. It
// is nil where nothing may follow.
func (s *story) sequel() *story {
	w := s.world
	open := s.t.Ended == Exposed || s.t.Ended == Unknown
	w.climate.way, w.keeps = way(w.roll(2)), w.roll(2) == 1
	n := &story{world: w, checked: w.now, before: len(w.requests), aloud: s.aloud, said: s.said}
	switch {
	case len(s.t.Hosts) == 0:
		return nil
	case s.kept.Key != "" && s.t.MayHaveRefreshed() && s.t.Ended != Unchanged && (open || w.roll(3) > 0):
		w.climate.way, w.keeps = rolledBack, false
		n.back = s.kept
		n.t = NewRollback("zone-model", s.t.Hosts, w.timing, n.back)
		if open { // it was let go while its requests may land
			w.pass(w.timing.SignatureLife.D())
		}
	case open:
		return nil
	case w.climate.way == staged:
		n.t = NewStagedTrip("zone-model", s.t.Hosts, w.timing, "")
	default:
		n.t = NewTrip(Rotate, "zone-model", s.t.Hosts, w.timing, "", true)
	}
	if w.climate.way != rolledBack {
		w.pass(w.lag) // so that its first read shows what the first story left
	}
	n.first, n.born, n.checked, n.lastRead = w.live(), len(w.keys), w.now, w.now
	return n
}

// Two in a row: no late request of a rotation may undo the next one, or its own way back,
// and none of the way back a rotation.
func TestTwoRotationsInARow(t *testing.T) {
	pairs := map[string]int{}
	names := []string{"refresh", "staged", "rollback"}
	tell := func(seed uint64, aloud bool) (string, *story) {
		s := randomStory(Rotate, []way{staged, staged, rolledBack}[seed%3], none, seed)
		s.aloud, s.keyless = aloud, 0
		s.patient = true
		name := names[s.way]
		if wrong := s.tell(); wrong != "" {
			return "first: " + wrong, s
		}
		n := s.sequel()
		if n == nil {
			return "", s
		}
		pairs[name+", "+names[n.way]]++
		if wrong := n.tell(); wrong != "" {
			return "second: " + wrong, n
		}
		return "", n
	}
	for seed := range uint64(30000) {
		if wrong, _ := tell(seed, false); wrong != "" {
			_, s := tell(seed, true)
			for _, line := range s.said {
				t.Log(line)
			}
			t.Fatalf("%d: %s", seed, wrong)
		}
	}
	for name, n := range pairs {
		t.Logf("%6d %s", n, name)
	}
	if len(pairs) != 5 {
		t.Errorf("%d kinds of pairs", len(pairs))
	}
}
