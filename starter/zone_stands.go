package main

import (
	"fmt"
	"time"

	"keywave/internal/rotation"
)

// standing is where a zone stands or how it ended, for people.
type standing struct {
	// Outcome is a rotation.Outcome or, of a zone whose operation runs and that has
	// none, running or held.
	Outcome string `json:"outcome"`
	// Since is when it came to stand so, Until when it goes on at the latest; null
	// where that is not known.
	Since *time.Time `json:"since"`
	Until *time.Time `json:"until"`
	Why   string     `json:"why,omitempty"`
	// Next is what a person does about it, empty where nothing is to be done.
	Next string `json:"next,omitempty"`
}

const (
	standsRunning = "running"
	standsHeld    = "held"
)

func orNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// standingOf is that of a zone whose operation runs since started.
func standingOf(t *rotation.Trip, started, now time.Time) standing {
	s := standing{Outcome: standsRunning, Since: orNil(started), Until: orNil(t.Wake), Why: t.StandingWhy()}
	switch t.Standing() {
	case rotation.Held:
		s.Outcome, s.Since, s.Until = standsHeld, orNil(t.LastAck()), orNil(t.HeldUntil)
		s.Next = "wait, it ends by itself"
	case rotation.Dead:
		s.Since, s.Until, s.Next = orNil(t.ExposedSince()), orNil(t.Until), untilHosts(t)
	case rotation.Dark:
		s.Since, s.Next = orNil(t.ExposedSince()), "wait, Keywave asks EdgeOne again and again"
	case rotation.Alive, rotation.NotBegun:
		if s.Why == "" {
			s.Why = "its operation is at " + string(t.Phase) + "; the old key is alive, or its hosts hold the live one"
		}
	}
	if since := t.ExposedSince(); !since.IsZero() && !now.Before(since.Add(t.Timing.ExposedAfter.D())) {
		s.Outcome = string(rotation.Exposed)
	}
	return s
}

// untilHosts is what to do about a zone whose hosts lack the live key.
func untilHosts(t *rotation.Trip) string {
	missing := t.Missing()
	if len(missing) == 0 || len(t.Last) == 0 {
		return "wait, Keywave tries to deliver the key again and again"
	}
	return fmt.Sprintf("bring %s back, Keywave tries to deliver the key again and again; if it never comes back: keywave host retire %s --zone %s --reason \"…\"",
		rotation.Named(missing), missing[0], t.Zone)
}

// ended is how a zone's operation ended; campaign is empty for one by a person,
// and open says that the campaign runs.
func ended(r rotation.Record, campaign string, open bool) standing {
	s := standing{Outcome: string(r.Outcome), Since: orNil(r.EndedAt), Why: r.Why}
	switch r.Outcome {
	case rotation.Exposed, rotation.Unknown:
		if !r.Since.IsZero() {
			s.Since = orNil(r.Since)
		}
		s.Next = fmt.Sprintf("keywave zone repair %s -f fleet.yaml", r.Zone)
	case rotation.Unchanged, rotation.Pending:
		switch {
		case campaign == "":
			s.Next = fmt.Sprintf("keywave zone rotate %s -f fleet.yaml", r.Zone)
		case r.Outcome == rotation.Unchanged || !open:
			s.Next = "keywave campaign resume " + campaign
		}
	case rotation.Done, rotation.Skipped:
	}
	return s
}

// atTime is a time as tables show it: today's by the clock, others with their day.
func atTime(t *time.Time, now time.Time) string {
	switch {
	case t == nil:
		return "-"
	case t.Local().Format(time.DateOnly) == now.Local().Format(time.DateOnly):
		return t.Local().Format(time.TimeOnly)
	}
	return t.Local().Format("Jan 2 15:04")
}
