package rotation

import (
	"fmt"
	"slices"
	"time"
)

// Strategy is who makes a zone's new key.
type Strategy string

// Staged has us make it, and bring it to the hosts before EdgeOne takes it. The
// empty Strategy is refresh: EdgeOne makes it.
const Staged Strategy = "staged"

// RefreshWord is how people write the empty Strategy.
const RefreshWord = "refresh"

// String is how people write it.
func (s Strategy) String() string {
	if s == "" {
		return RefreshWord
	}
	return string(s)
}

// Strategies are all, as people write them.
func Strategies() []string { return []string{RefreshWord, string(Staged)} }

// ParseStrategy reads what people wrote.
func ParseStrategy(s string) (Strategy, error) {
	switch s {
	case RefreshWord:
		return "", nil
	case string(Staged):
		return Staged, nil
	}
	return "", fmt.Errorf("%q is no strategy; write refresh or staged", s)
}

// NewStagedTrip begins a rotation whose key is minted here. If baseline is empty,
// it is read first: a key is minted to replace one key and no other.
func NewStagedTrip(zone ZoneID, hosts []HostName, timing Timing, baseline Fingerprint) *Trip {
	t := &Trip{Verb: Rotate, Strategy: Staged, Zone: zone, Hosts: hosts, Timing: timing, Baseline: baseline, Phase: PhaseMint}
	if baseline == "" {
		t.Phase = PhaseBaseline
	}
	return t
}

// NewRollback begins a rotation that puts a former key back, in the place of the key that
// replaced it and of no other.
func NewRollback(zone ZoneID, hosts []HostName, timing Timing, former Former) *Trip {
	t := NewStagedTrip(zone, hosts, timing, former.For)
	t.Former = former.Key
	return t
}

// KeyMoved says that EdgeOne holds another key than the one for whose place a key was to be
// minted. Nothing was minted.
func (t *Trip) KeyMoved(key Fingerprint) {
	switch {
	case t.Sent > 0: // what an earlier trip sent, perhaps
		t.to(evChanged, PhaseReadBack)
	case t.Stale >= maxStaleReads:
		t.end(evGaveUp, Unchanged, "EdgeOne keeps answering with other keys; nothing was sent, the key is as it was")
	default:
		t.Stale++
		t.mintFor(key)
		t.to(evChanged, PhaseMint)
	}
}

// mintFor says in whose place the next key is minted. Hosts may hold the key that was
// believed to be live until now.
func (t *Trip) mintFor(key Fingerprint) {
	former := t.Baseline
	t.Baseline, t.Minted = key, ""
	t.SawDrift(former)
}

// KeyMinted says that a new key is in the history, sealed for all that will need
// it.
func (t *Trip) KeyMinted(key Fingerprint) {
	t.Minted, t.Ready, t.Stale = key, false, 0
	t.to(evMinted, PhaseStage)
}

// KeyStaged is the end of PhaseStage. asked are the hosts on which the key may
// lie now, and acks says what each host holds in its file. problem is empty when
// every host can be switched; back is BackStage where a host is the problem.
func (t *Trip) KeyStaged(now time.Time, asked []HostName, acks []Ack, problem string, back Handback) {
	for _, h := range asked {
		if !slices.Contains(t.Staged, h) {
			t.Staged = append(t.Staged, h)
		}
	}
	problem = clip(problem, 160) // a record is short, and is to say that nothing was sent
	strange := false
	for _, a := range acks {
		t.sawHeld(a)
		strange = strange || a.Held != "" && a.Held != t.Baseline && !slices.Contains(t.Drift, a.Held)
		t.SawDrift(a.Held)
	}
	switch {
	case problem != "" && len(t.Given) > 0:
		t.Note(problem)
		t.finishUnsent(evUnstaged, now)
	case problem != "" && back == BackStage && !t.Lenient:
		t.end(evUnstaged, Unchanged, problem+"; nothing was sent, the old key is alive")
	case problem != "":
		t.handBack(evUnstaged, problem, back)
	case strange && t.Sent == 0: // what EdgeOne holds may be another key than was planned with
		t.Ready = true
		t.to(evStaged, PhaseBaseline)
	default:
		t.Ready = true
		t.to(evStaged, PhaseSwitch)
	}
}

// readStagedBaseline goes on with the key that was minted, if EdgeOne still holds
// the one that it is to replace.
func (t *Trip) readStagedBaseline(key Fingerprint) {
	if key == t.Baseline && t.Minted != "" {
		t.to(evRead, PhaseSwitch)
		return
	}
	if t.Former != "" {
		t.end(evRead, Unchanged, fmt.Sprintf("EdgeOne holds %s, and not %s, which the rotation had set; nothing was put back, and nothing was sent", key, t.Baseline))
		return
	}
	t.mintFor(key)
	t.to(evRead, PhaseMint)
}

// Switched takes EdgeOne's answer that it has taken the minted key.
func (t *Trip) Switched(now, sentAt time.Time) {
	if t.Open {
		t.answeredLate(evSwitched, now, t.Minted)
		return
	}
	t.sent(sentAt)
	t.Until = sentAt.Add(t.Timing.DeliverFor.D())
	t.setLive(t.Minted)
	t.to(evSwitched, PhaseDeliver)
}

// readBackStaged judges a read after a switch that went unanswered. The same key
// may be sent again at once: whichever of the requests is executed, and when, it
// brings this key. A key of somebody else is never replaced by ours.
func (t *Trip) readBackStaged(now time.Time, key Fingerprint) {
	switch {
	case key == t.Baseline, key == Absent:
		t.unswitched(now, key)
	case t.tooEarly(now, key):
		t.darkAfterLit()
		t.to(evStale, PhaseSettle)
		t.Wake = t.sentFirst().Add(t.Timing.Settle.D())
	default:
		t.found(now, key)
	}
}

// tooEarly says that a read may show the former key because it is not up to date: the key
// was live before the one that is to be replaced, and EdgeOne was seen to hold that one just
// before the first switch was sent. The switch may have brought it back as well, so such a
// read ends what was known of the hosts.
func (t *Trip) tooEarly(now time.Time, key Fingerprint) bool {
	return t.Former != "" && key == t.Former && now.Before(t.sentFirst().Add(t.Timing.Settle.D()))
}

// sentFirst is when the first attempt was signed at the earliest.
func (t *Trip) sentFirst() time.Time {
	if len(t.Given) > 0 {
		return t.Given[0].SentAt
	}
	return t.Begun
}

// found takes a key that a read shows in place of the old one. Nothing is counted as
// Adopted: whichever attempts were executed, each has brought the same key.
func (t *Trip) found(now time.Time, key Fingerprint) {
	switch {
	case key == t.Minted:
		t.Note("EdgeOne had taken the key: seen by a read, and not sent again")
	case t.Minted == "":
		t.Note("the key had changed: adopted by a read, and nothing is sent")
	default:
		t.Stop = true
		t.Note("somebody else changed the key meanwhile: that one is delivered, and not replaced")
	}
	t.diedAfterLit()
	t.Until = now.Add(t.Timing.DeliverFor.D())
	t.setLive(key)
	t.to(evChanged, PhaseDeliver)
}

// unswitched goes on after a read that shows the old key.
func (t *Trip) unswitched(now time.Time, key Fingerprint) {
	t.Same++
	if key == t.Baseline {
		t.light(now)
		t.Since = time.Time{}
	}
	dead := t.lastDead(now)
	switch spent := t.Stop || t.Sent >= maxRefreshes; {
	case spent && !dead.After(now):
		t.end(evSame, Unchanged, t.lastMet("EdgeOne did not take the key")+"; the old key is alive")
	case t.Same == 1 && (t.Minted == "" || key == Absent):
		t.to(evSame, PhaseSettle)
		t.Wake = now.Add(t.Timing.Settle.D())
	case spent, key == Absent, t.Minted == "" && t.inDoubt(now, key):
		t.hold(evSame, now)
	case t.Minted == "": // an earlier trip's request is dead, and was not executed
		t.to(evSame, PhaseMint)
	case !t.Ready: // hosts were defined otherwise meanwhile
		t.to(evSame, PhaseStage)
	default:
		t.to(evSame, PhaseSwitch)
	}
}

// unresolved says that a read cannot tell what became of the attempts that were
// given up. With refresh, each key that was learned from a read accounts for one
// of them. A minted key says nothing of the kind: all of them bring it.
func (t *Trip) unresolved() bool {
	if t.Strategy == Staged {
		return len(t.Given) > 0 || t.Open
	}
	return len(t.Given) > t.Adopted
}

// Learned says that a read, and not an answer, told which key is live.
func (t *Trip) Learned() bool { return t.Adopted > 0 || t.Strategy == Staged && t.unresolved() }

// Swept is the end of PhaseSweep; on the hosts in left a key is still staged.
func (t *Trip) Swept(left []HostName) {
	if t.Staged = left; len(left) > 0 {
		t.Why += "; a staged key was left on " + Named(left)
	}
	t.to(evSwept, PhaseEnded)
}

func (t *Trip) unstage(host HostName) {
	t.Staged = slices.DeleteFunc(slices.Clone(t.Staged), func(h HostName) bool { return h == host })
}
