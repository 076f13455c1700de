package rotation

import (
	"fmt"
	"slices"
	"time"
)

// The clock of an exposure. A zone is exposed while a refresh may have been sent
// and no read younger than the last send shows the key that the hosts hold.
// EdgeOne's answer with a new key is a sight of it; the exposure then lasts until
// every host has acknowledged that key.

// ExposedSince is when the present exposure began; zero while there is none.
func (t *Trip) ExposedSince() time.Time {
	if t.Dark.IsZero() {
		return t.Begun
	}
	return t.Dark
}

// Began says that Temporal has the present refresh started, and not answered,
// since then: it may have been sent. Zero takes that back: the process that has it
// said later that EdgeOne has executed nothing.
func (t *Trip) Began(at time.Time) {
	if t.Phase == PhaseRefresh || t.Phase == PhaseSwitch {
		t.Begun = at
	}
}

// darken starts the clock, unless it runs.
func (t *Trip) darken(since time.Time) {
	if t.Dark.IsZero() {
		t.Dark = since
	}
}

// diedAfterLit dates a death that a read shows: the key may have died at any time
// after the last right sight of it, by whichever attempt.
func (t *Trip) diedAfterLit() {
	t.darkAfterLit()
	if !t.Lit.IsZero() && (t.Since.IsZero() || t.Since.After(t.Lit)) {
		t.Since = t.Lit
	}
}

func (t *Trip) darkAfterLit() {
	if !t.Lit.IsZero() && (t.Dark.IsZero() || t.Dark.After(t.Lit)) {
		t.Dark = t.Lit
	}
}

// light stops the clock: EdgeOne has just shown the key that the hosts hold.
func (t *Trip) light(now time.Time) { t.Lit, t.Dark, t.Stale = now, time.Time{}, 0 }

// served stops the clock: every host acknowledged the key that EdgeOne showed
// last. Until a read confirms it, a read of another key takes the clock back to
// where it was.
func (t *Trip) served() {
	if !t.Dark.IsZero() {
		t.Lit, t.Dark = t.Dark, time.Time{}
	}
}

// sight is what a read after the delivery of Live says about the exposure.
// Whatever differs starts the clock at the last right sight: a request that
// landed late was dark since any moment after it.
func (t *Trip) sight(now time.Time, key Fingerprint) {
	switch {
	case key != t.Live && t.replaced(key):
		t.darken(t.Lit)
	case key != t.Live:
		t.darkAfterLit()
	case len(t.Missing()) == 0:
		t.light(now)
	}
}

// Standing is where the trip stands before its end.
func (t *Trip) Standing() Standing {
	switch {
	case !t.ExposedSince().IsZero() && len(t.missingOfLive()) > 0:
		return Dead
	case !t.ExposedSince().IsZero():
		return Dark
	case !t.HeldUntil.IsZero():
		return Held
	}
	return Alive
}

// StandingWhy says in one clause what is known of the old key and the hosts.
func (t *Trip) StandingWhy() string {
	switch t.Standing() {
	case Dead:
		return t.deadWhy()
	case Dark:
		if t.Live != "" {
			return "EdgeOne does not say which key is live: the one that the hosts hold may be dead"
		}
		return "EdgeOne does not say which key is live: the old one may be dead"
	case Held:
		return "a lost request may still land; the hosts hold the live key"
	}
	return ""
}

func (t *Trip) deadWhy() string {
	missing := t.Missing()
	lack, are := "lack", "are"
	if len(missing) == 1 {
		lack, are = "lacks", "is"
	}
	why := fmt.Sprintf("the old key is dead, %s %s the new one", Named(missing), lack)
	if t.Verb == Repair {
		why = fmt.Sprintf("%s %s not known to hold the live key", Named(missing), are)
	}
	for _, a := range t.Last {
		if slices.Contains(missing, a.Host) {
			return why + ": " + clip(a.Problem, 120)
		}
	}
	return why
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
