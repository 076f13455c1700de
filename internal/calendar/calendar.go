// Package calendar says when refreshes may start: inside windows of the week,
// and not on frozen dates. Windows are times on the wall clock of a time zone.
// When that clock is put forward, it skips the hour in between; when it is put
// back, it shows an hour twice, and a window in that hour is open both times.
// Nothing here asks what time it is.
package calendar

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Spec is a calendar as people write it. It is open when any of its windows is;
// a Spec without windows is always open.
type Spec struct {
	// Windows are such as "Sat 02:00-06:00 Asia/Hong_Kong".
	Windows []string `json:"windows,omitempty"`
	// Freeze are dates such as "2026-12-20..2027-01-05", both included, in the
	// zone of the first window (UTC without one) unless one is named.
	Freeze []string `json:"freeze,omitempty"`
}

// Empty says that the calendar is always open.
func (s Spec) Empty() bool { return len(s.Windows) == 0 && len(s.Freeze) == 0 }

// Calendar is open when each of its specs has an open window, and the date is
// not frozen.
type Calendar struct {
	groups  [][]window
	freezes []freeze
}

// Parse reads specs that must all be kept.
func Parse(specs ...Spec) (Calendar, error) {
	var c Calendar
	for _, s := range specs {
		zone := time.UTC
		var group []window
		for _, text := range s.Windows {
			w, err := parseWindow(text)
			if err != nil {
				return c, err
			}
			group = append(group, w)
		}
		if len(group) > 0 {
			zone = group[0].zone
			c.groups = append(c.groups, group)
		}
		for _, text := range s.Freeze {
			f, err := parseFreeze(text, zone)
			if err != nil {
				return c, err
			}
			c.freezes = append(c.freezes, f)
		}
	}
	return c, nil
}

// Open says whether refreshes may start at t.
func (c Calendar) Open(t time.Time) bool {
	return len(c.closed(t)) == 0 && c.frozen(t) == nil
}

// closed are the groups without an open window.
func (c Calendar) closed(t time.Time) [][]window {
	return slices.DeleteFunc(slices.Clone(c.groups), func(group []window) bool {
		return slices.ContainsFunc(group, func(w window) bool { return w.has(t) })
	})
}

func (c Calendar) frozen(t time.Time) *freeze {
	for _, f := range c.freezes {
		if f.has(t) {
			return &f
		}
	}
	return nil
}

// farthest is how far NextChange searches beyond the last freeze: far enough
// for every week of the year, and every change of the clocks.
const farthest = 400 * 24 * time.Hour

// NextChange is the first instant after t at which Open gives another answer
// than at t. It is zero when there is none.
func (c Calendar) NextChange(t time.Time) time.Time {
	now, last := c.Open(t), t
	for _, f := range c.freezes {
		if _, to := f.around(); to.After(last) {
			last = to
		}
	}
	for at := c.next(t); !at.IsZero() && at.Before(last.Add(farthest)); at = c.next(at) {
		if c.Open(at) != now {
			return at
		}
	}
	return time.Time{}
}

// next is the first instant after t at which anything may change.
func (c Calendar) next(t time.Time) time.Time {
	var first time.Time
	sooner := func(at time.Time) {
		if !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	for _, group := range c.groups {
		for _, w := range group {
			sooner(nextWall(t, w.zone, w.from, w.to))
		}
	}
	for _, f := range c.freezes {
		switch from, to := f.around(); {
		case t.Before(from):
			sooner(from)
		case t.Before(to):
			sooner(nextWall(t, f.zone, 0))
		}
	}
	return first
}

// nextWall is the first instant after t at which a clock in zone shows one of
// the times of day, or is put forward or back.
func nextWall(t time.Time, zone *time.Location, times ...int) time.Time {
	local := t.In(zone)
	_, offset := local.Zone()
	y, m, d := local.Date()
	midnight := time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() - int64(offset)
	var first int64
	for _, s := range times {
		at := midnight + int64(s%day)
		if at <= t.Unix() {
			at += day
		}
		if first == 0 || at < first {
			first = at
		}
	}
	if _, set := local.ZoneBounds(); !set.IsZero() && set.Unix() <= first {
		return set.UTC()
	}
	return time.Unix(first, 0).UTC()
}

// Look is what a calendar says at a moment.
type Look struct {
	Open bool `json:"open"`
	// Until is when that changes. It is zero when it never does.
	Until time.Time `json:"until,omitzero"`
	// Why says it to people.
	Why string `json:"why"`
	// Frozen says that the date is frozen.
	Frozen bool `json:"frozen,omitempty"`
}

// Look says whether the calendar is open at t, until when, and why.
func (c Calendar) Look(t time.Time) Look {
	l := Look{Open: c.Open(t), Until: c.NextChange(t)}
	frozen, closed := c.frozen(t), c.closed(t)
	l.Frozen = frozen != nil
	switch {
	case frozen != nil:
		l.Why = fmt.Sprintf("%s is frozen%s", frozen.text, until(l.Until, frozen.zone))
	case len(closed) > 0:
		l.Why = named(closed) + " closed" + until(l.Until, closed[0][0].zone)
	case len(c.groups) > 0:
		l.Why = "open" + until(l.Until, c.groups[0][0].zone)
	case len(c.freezes) > 0:
		l.Why = "open" + until(l.Until, c.freezes[0].zone)
	}
	return l
}

func named(groups [][]window) string {
	var texts []string
	for _, group := range groups {
		for _, w := range group {
			texts = append(texts, w.text)
		}
	}
	if len(texts) == 1 {
		return "the window " + texts[0] + " is"
	}
	return "the windows " + strings.Join(texts, " and ") + " are"
}

func until(t time.Time, zone *time.Location) string {
	if t.IsZero() {
		return " for good"
	}
	layout := "Mon 2 Jan 2006 15:04 MST"
	if t.Second() != 0 {
		layout = "Mon 2 Jan 2006 15:04:05 MST"
	}
	return " until " + t.In(zone).Format(layout)
}

// Window reads one line of Spec.Windows and returns it in the form in which it
// is shown.
func Window(s string) (string, error) {
	w, err := parseWindow(s)
	return w.text, err
}

// Freeze is Window for a line of Spec.Freeze.
func Freeze(s string) (string, error) {
	f, err := parseFreeze(s, time.UTC)
	return f.text, err
}
