package rotation

import "time"

// The early read. A refresh or a switch that has begun and does not answer may have changed the key,
// and its hosts wait: for the answer, or until Temporal counts its worker as lost. So
// another process reads the live key meanwhile. The refresh goes on all the same, and
// the trip ends after it.

// Early takes a read that was made while the refresh runs and has not answered. It says
// whether the key had changed: then that one is delivered, and whatever the refresh
// still answers comes after. A key that is the same tells nothing, for the request may
// be executed later.
func (t *Trip) Early(now time.Time, key Fingerprint) (changed bool) {
	switch {
	case key == t.Baseline, key == Absent, t.Strategy != Staged && t.stood(key):
		return false
	case t.tooEarly(now, key):
		t.darkAfterLit()
		return false
	}
	t.sent(t.Begun)
	t.Open = true
	if t.Strategy == Staged {
		t.found(now, key)
		return true
	}
	t.Note("the answer was late, and the key had changed: adopted by an early read")
	t.adopt(now, key)
	t.to(evChanged, PhaseDeliver)
	return true
}

// Running says that the end of the refresh whose key was read early is to be taken
// next, or waited for.
func (t *Trip) Running() { t.to(evRunning, PhaseAnswer) }

// closed is the end of a refresh whose key was read early.
func (t *Trip) closed(on Event, why string) {
	t.Open = false
	t.Note(why)
	t.to(on, PhaseVerify)
}

// answeredLate is that end with a key. The same one was learned from a read for
// nothing. Of two different ones nobody knows which came first: a read tells it that is
// late enough.
func (t *Trip) answeredLate(on Event, now time.Time, key Fingerprint) {
	if key == t.Live {
		if t.Strategy != Staged {
			t.Adopted--
		}
		t.closed(on, "")
		return
	}
	t.Open, t.Told = false, key
	t.darkAfterLit()
	t.SureFrom = now.Add(t.Timing.Settle.D())
	t.to(on, PhaseSettle)
	t.Wake = t.SureFrom
}
