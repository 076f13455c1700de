package calendar

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

const day = 24 * 60 * 60 // in seconds

// window is a span of some days of the week on the wall clocks of a zone.
type window struct {
	days [7]bool
	// from and to are seconds of the day. to is more than a day when the window
	// goes over midnight.
	from, to int
	zone     *time.Location
	text     string
}

func (w window) has(t time.Time) bool {
	local := t.In(w.zone)
	today := int(local.Weekday())
	now := (local.Hour()*60+local.Minute())*60 + local.Second()
	return w.days[today] && w.from <= now && now < w.to || w.days[(today+6)%7] && now < w.to-day
}

// freeze is some dates of a zone, both included.
type freeze struct {
	from, to time.Time // midnights in UTC that stand for dates
	zone     *time.Location
	text     string
}

func (f freeze) has(t time.Time) bool {
	y, m, d := t.In(f.zone).Date()
	date := time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	return !date.Before(f.from) && !date.After(f.to)
}

// around is a span that holds the whole freeze, whatever the zone is.
func (f freeze) around() (from, to time.Time) {
	return f.from.Add(-36 * time.Hour), f.to.Add(60 * time.Hour)
}

var weekdays = []string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}

var (
	errWindow = errors.New(`write days, times and a time zone, such as "Sat 02:00-06:00 Asia/Hong_Kong", "Mon-Fri 22:00-04:00 UTC" or "00:00-05:30 Europe/Berlin" for every day`)
	errFreeze = errors.New(`write a date or two, such as "2026-12-24" or "2026-12-20..2027-01-05 Asia/Hong_Kong"`)
)

func parseWindow(s string) (window, error) {
	words := strings.Fields(s)
	w := window{days: [7]bool{true, true, true, true, true, true, true}, text: strings.Join(words, " ")}
	fail := func(err error) (window, error) { return window{}, fmt.Errorf("window %q: %w", s, err) }
	var err error
	if len(words) == 3 {
		if w.days, err = parseDays(words[0]); err != nil {
			return fail(err)
		}
		words = words[1:]
	}
	if len(words) != 2 {
		return fail(errWindow)
	}
	from, to, _ := strings.Cut(words[0], "-")
	if w.from, err = parseTime(from); err != nil {
		return fail(err)
	}
	if w.to, err = parseTime(to); err != nil {
		return fail(err)
	}
	switch {
	case w.from == day:
		return fail(errors.New("a window begins at 00:00, not at 24:00"))
	case w.from == w.to:
		return fail(errors.New("it ends when it begins; a whole day is 00:00-24:00"))
	case w.to < w.from:
		w.to += day
	}
	if w.zone, err = parseZone(words[1]); err != nil {
		return fail(err)
	}
	return w, nil
}

// parseDays reads "Sat", "Mon-Fri" and "Mon,Wed-Fri".
func parseDays(s string) (days [7]bool, err error) {
	for part := range strings.SplitSeq(s, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, to := slices.Index(weekdays, first), slices.Index(weekdays, last)
		if from < 0 || to < 0 {
			return days, fmt.Errorf("%q is no day; days are Mon, Tue, Wed, Thu, Fri, Sat and Sun", part)
		}
		for d := from; ; d = (d + 1) % 7 {
			days[d] = true
			if d == to {
				break
			}
		}
	}
	return days, nil
}

// parseTime reads 02:00, 02:00:30 and 24:00 as seconds of the day.
func parseTime(s string) (int, error) {
	if s == "24:00" {
		return day, nil
	}
	for _, layout := range []string{"15:04", "15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil && len(s) == len(layout) {
			return (t.Hour()*60+t.Minute())*60 + t.Second(), nil
		}
	}
	return 0, fmt.Errorf("%q is no time of day; write two with a hyphen between them, such as 02:00-06:00", s)
}

func parseZone(s string) (*time.Location, error) {
	zone, err := time.LoadLocation(s)
	if err != nil || s == "Local" {
		return nil, fmt.Errorf("%q is no time zone; write a name such as Asia/Hong_Kong, Europe/Berlin or UTC", s)
	}
	return zone, nil
}

func parseFreeze(s string, zone *time.Location) (freeze, error) {
	words := strings.Fields(s)
	fail := func(err error) (freeze, error) { return freeze{}, fmt.Errorf("freeze %q: %w", s, err) }
	if len(words) != 1 && len(words) != 2 {
		return fail(errFreeze)
	}
	f := freeze{zone: zone, text: strings.Join(words, " ")}
	first, last, isRange := strings.Cut(words[0], "..")
	if !isRange {
		last = first
	}
	var err error
	if f.from, err = time.Parse(time.DateOnly, first); err != nil {
		return fail(errFreeze)
	}
	if f.to, err = time.Parse(time.DateOnly, last); err != nil {
		return fail(errFreeze)
	}
	if f.to.Before(f.from) {
		return fail(errors.New("it ends before it begins"))
	}
	if len(words) == 2 {
		if f.zone, err = parseZone(words[1]); err != nil {
			return fail(err)
		}
	}
	return f, nil
}
