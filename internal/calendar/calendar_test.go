package calendar

import (
	"strings"
	"testing"
	"time"
)

// at reads an instant in UTC, with or without seconds.
func at(t *testing.T, utc string) time.Time {
	t.Helper()
	when, err := time.Parse(time.DateTime, (utc + ":00")[:len(time.DateTime)])
	if err != nil {
		t.Fatal(err)
	}
	return when
}

func parse(t *testing.T, specs ...Spec) Calendar {
	t.Helper()
	c, err := Parse(specs...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Each case begins at an instant in UTC, and lists the later instants at which
// the calendar changes.
func TestChanges(t *testing.T) {
	for _, c := range []struct {
		name    string
		spec    Spec
		from    string
		open    bool
		changes []string
	}{
		{"a night of the week", Spec{Windows: []string{"Sat 02:00-06:00 Asia/Hong_Kong"}}, "2026-11-24 02:00", false, []string{
			"2026-11-27 18:00", "2026-11-27 22:00", "2026-12-04 18:00",
		}},
		{"over midnight", Spec{Windows: []string{"Sat 22:00-04:00 UTC"}}, "2026-11-28 23:00", true, []string{
			"2026-11-29 04:00", "2026-12-05 22:00", "2026-12-06 04:00",
		}},
		{"over the end of the week", Spec{Windows: []string{"Fri-Mon 23:00-01:00 UTC"}}, "2026-11-27 12:00", false, []string{
			"2026-11-27 23:00", "2026-11-28 01:00", "2026-11-28 23:00", "2026-11-29 01:00", "2026-11-29 23:00", "2026-11-30 01:00",
			"2026-11-30 23:00", "2026-12-01 01:00", "2026-12-04 23:00",
		}},
		{"every day, all day", Spec{Windows: []string{"00:00-24:00 UTC"}}, "2026-11-27 12:00", true, []string{""}},
		{"two that touch", Spec{Windows: []string{"Sat 00:00-24:00 UTC", "Sun 00:00-12:30:15 UTC"}}, "2026-11-27 12:00", false, []string{
			"2026-11-28 00:00", "2026-11-29 12:30:15", "2026-12-05 00:00",
		}},
		// Clocks go from 02:00 CET to 03:00 CEST at 01:00 UTC.
		{"it opens in the gap", Spec{Windows: []string{"02:30-06:00 Europe/Berlin"}}, "2027-03-27 12:00", false, []string{
			"2027-03-28 01:00", "2027-03-28 04:00", "2027-03-29 00:30",
		}},
		{"it closes in the gap", Spec{Windows: []string{"01:00-02:30 Europe/Berlin"}}, "2027-03-27 12:00", false, []string{
			"2027-03-28 00:00", "2027-03-28 01:00", "2027-03-28 23:00",
		}},
		{"all of it is in the gap", Spec{Windows: []string{"02:10-02:50 Europe/Berlin"}}, "2027-03-27 12:00", false, []string{
			"2027-03-29 00:10", "2027-03-29 00:50",
		}},
		// Clocks go from 03:00 CEST to 02:00 CET at 01:00 UTC.
		{"the hour comes twice", Spec{Windows: []string{"02:15-02:45 Europe/Berlin"}}, "2026-10-24 12:00", false, []string{
			"2026-10-25 00:15", "2026-10-25 00:45", "2026-10-25 01:15", "2026-10-25 01:45", "2026-10-26 01:15",
		}},
		{"it closes in the hour that comes twice", Spec{Windows: []string{"01:00-02:30 Europe/Berlin"}}, "2026-10-24 12:00", false, []string{
			"2026-10-24 23:00", "2026-10-25 00:30", "2026-10-25 01:00", "2026-10-25 01:30", "2026-10-26 00:00",
		}},
		// Clocks went from 00:00 to 01:00 on this day: it has no midnight.
		{"a day without midnight", Spec{Freeze: []string{"2018-11-04 America/Sao_Paulo"}}, "2018-11-01 00:00", true, []string{
			"2018-11-04 03:00", "2018-11-05 02:00", "",
		}},
		// This zone skipped a whole day.
		{"a day that there was not", Spec{Freeze: []string{"2011-12-30 Pacific/Apia"}}, "2011-12-01 00:00", true, []string{""}},
		{"a freeze over the windows", Spec{Windows: []string{"Sat 02:00-06:00 Asia/Hong_Kong"}, Freeze: []string{"2026-11-28..2027-01-01"}}, "2026-11-24 00:00", false, []string{
			"2027-01-01 18:00", "2027-01-01 22:00",
		}},
		{"a freeze that ends in a window", Spec{Windows: []string{"Sat 22:00-04:00 UTC"}, Freeze: []string{"2026-11-28"}}, "2026-11-28 12:00", false, []string{
			"2026-11-29 00:00", "2026-11-29 04:00",
		}},
		{"a freeze far away", Spec{Freeze: []string{"2093-05-01..2093-05-03"}}, "2026-11-24 00:00", true, []string{"2093-05-01 00:00", "2093-05-04 00:00", ""}},
		{"nothing at all", Spec{}, "2026-11-24 00:00", true, []string{""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			calendar := parse(t, c.spec)
			now, open := at(t, c.from), c.open
			if calendar.Open(now) != open {
				t.Fatalf("at %s open is %v", c.from, !open)
			}
			for _, want := range c.changes {
				next := calendar.NextChange(now)
				if want == "" {
					if !next.IsZero() {
						t.Fatalf("after %s it changes at %s, and should not", now, next)
					}
					return
				}
				if !next.Equal(at(t, want)) {
					t.Fatalf("after %s it changes at %s, want %s", now, next, want)
				}
				open = !open
				if now = next; calendar.Open(now) != open {
					t.Fatalf("at %s open is %v", now, !open)
				}
			}
		})
	}
}

// Specs that must all be kept: a campaign's own, and its fleet's.
func TestSpecsNarrow(t *testing.T) {
	c := parse(t, Spec{Windows: []string{"Sat 00:00-24:00 UTC", "Sun 00:00-24:00 UTC"}}, Spec{Windows: []string{"22:00-04:00 UTC"}}, Spec{Freeze: []string{"2026-11-29"}})
	now := at(t, "2026-11-27 12:00")
	for _, want := range []string{"2026-11-28 00:00", "2026-11-28 04:00", "2026-11-28 22:00", "2026-11-29 00:00", "2026-12-05 00:00"} {
		if now = c.NextChange(now); !now.Equal(at(t, want)) {
			t.Fatalf("it changes at %s, want %s", now, want)
		}
	}
	never := parse(t, Spec{Windows: []string{"Sat 02:00-06:00 UTC"}}, Spec{Windows: []string{"Sun 02:00-06:00 UTC"}})
	if look := never.Look(now); look.Open || !look.Until.IsZero() || look.Why != "the windows Sat 02:00-06:00 UTC and Sun 02:00-06:00 UTC are closed for good" {
		t.Errorf("windows that never meet: %+v", look)
	}
}

func TestLook(t *testing.T) {
	spec := Spec{Windows: []string{"Sat  02:00-06:00 Asia/Hong_Kong"}, Freeze: []string{"2026-12-05"}}
	for _, c := range []struct {
		spec Spec
		at   string
		want string
	}{
		{spec, "2026-11-24 00:00", "the window Sat 02:00-06:00 Asia/Hong_Kong is closed until Sat 28 Nov 2026 02:00 HKT"},
		{spec, "2026-11-27 18:00", "open until Sat 28 Nov 2026 06:00 HKT"},
		{spec, "2026-12-04 18:00", "2026-12-05 is frozen until Sat 12 Dec 2026 02:00 HKT"},
		{Spec{Freeze: []string{"2026-12-05 Europe/Berlin"}}, "2026-12-05 12:00", "2026-12-05 Europe/Berlin is frozen until Sun 6 Dec 2026 00:00 CET"},
		{Spec{Windows: []string{"00:00-12:00:30 UTC"}}, "2026-12-05 11:00", "open until Sat 5 Dec 2026 12:00:30 UTC"},
		{Spec{Windows: []string{"00:00-24:00 UTC"}}, "2026-12-05 11:00", "open for good"},
		{Spec{}, "2026-12-05 11:00", ""},
	} {
		look := parse(t, c.spec).Look(at(t, c.at))
		if look.Why != c.want || look.Frozen != strings.Contains(c.want, "frozen") {
			t.Errorf("at %s: %+v, want %q", c.at, look, c.want)
		}
	}
}

func TestMistakes(t *testing.T) {
	for line, want := range map[string]string{
		"":                            `window "": write days, times and a time zone, such as`,
		"Sat 02:00-06:00":             `"Sat" is no time of day; write two with a hyphen between them, such as 02:00-06:00`,
		"02:00-06:00":                 "write days, times and a time zone",
		"Sam 02:00-06:00 UTC":         `"Sam" is no day; days are Mon, Tue,`,
		"Mon- 02:00-06:00 UTC":        `"Mon-" is no day`,
		"Sat 2:00-06:00 UTC":          `"2:00" is no time of day`,
		"Sat 02:00-25:00 UTC":         `"25:00" is no time of day`,
		"Sat 02:00 UTC":               `"" is no time of day`,
		"Sat 02:00-02:00 UTC":         "it ends when it begins; a whole day is 00:00-24:00",
		"Sat 24:00-02:00 UTC":         "a window begins at 00:00, not at 24:00",
		"Sat 02:00-06:00 Honkong":     `"Honkong" is no time zone; write a name such as Asia/Hong_Kong`,
		"Sat 02:00-06:00 Local":       `"Local" is no time zone`,
		"Sat 02:00-06:00 UTC and Sun": "write days, times and a time zone",
	} {
		if _, err := Window(line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("window %q: %v, want %q", line, err, want)
		}
		if _, err := Parse(Spec{Windows: []string{line}}); err == nil {
			t.Errorf("window %q is taken", line)
		}
	}
	for line, want := range map[string]string{
		"":                          `freeze "": write a date or two, such as`,
		"2026-02-30":                "write a date or two",
		"2026-12-20..":              "write a date or two",
		"2027-01-05..2026-12-20":    "it ends before it begins",
		"2026-12-20 Mars/Olympus":   `"Mars/Olympus" is no time zone`,
		"2026-12-20 .. 2027-01-05 ": "write a date or two",
	} {
		if _, err := Freeze(line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("freeze %q: %v, want %q", line, err, want)
		}
	}
}

func TestEvery(t *testing.T) {
	for text, want := range map[string]time.Duration{"90d": 90 * 24 * time.Hour, "5s": 5 * time.Second, "1h30m": 90 * time.Minute, "36h": 36 * time.Hour} {
		d, err := ParseEvery(text)
		if err != nil || d != want {
			t.Errorf("%s: %s, %v", text, d, err)
		}
		if again, err := ParseEvery(Every(d)); err != nil || again != want {
			t.Errorf("%s is shown as %s", text, Every(d))
		}
	}
	for _, text := range []string{"", "d", "0d", "-3d", "999ms", "5000d", "1.5d", "90"} {
		if d, err := ParseEvery(text); err == nil {
			t.Errorf("%q is %s", text, d)
		}
	}
}

// The zones of the fuzz test have half hours, changes of the clocks at midnight
// and by half an hour, a day that was skipped, and no changes at all.
var zones = []string{
	"UTC", "Asia/Hong_Kong", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Asia/Kolkata", "Australia/Lord_Howe",
	"Pacific/Apia", "America/Havana", "Asia/Beirut", "Africa/Casablanca", "Antarctica/Troll",
}

// has does what a person would do: it reads the clock on the wall.
func has(at time.Time, zone *time.Location, days [7]bool, from, to string) bool {
	local := at.In(zone)
	now, today := local.Format("15:04"), days[local.Weekday()]
	yesterday := days[(local.Weekday()+6)%7]
	if from < to {
		return today && from <= now && now < to
	}
	return today && from <= now || yesterday && now < to
}

// FuzzChange compares the calendar with the wall clock, for each quarter of an
// hour: nothing may change between an instant and its next change, and
// something must change there.
func FuzzChange(f *testing.F) {
	f.Add(int64(1_790_000_000), uint8(2), uint8(0x7f), uint8(10), uint8(24))
	f.Add(int64(1_793_000_000), uint8(2), uint8(0x40), uint8(92), uint8(9))
	f.Add(int64(1_541_000_000), uint8(4), uint8(0x7f), uint8(0), uint8(3))
	f.Add(int64(1_325_000_000), uint8(7), uint8(0x20), uint8(0), uint8(95))
	f.Fuzz(func(t *testing.T, unix int64, zone, mask, from, to uint8) {
		const quarter = 15 * 60
		unix = 631152000 + (unix&(1<<60-1))%(50*365*day) // 1990 to 2040
		unix -= unix % quarter
		from, to, mask = from%96, to%96, mask&0x7f
		if from == to || mask == 0 {
			return
		}
		loc, err := time.LoadLocation(zones[int(zone)%len(zones)])
		if err != nil {
			t.Fatal(err)
		}
		var days [7]bool
		var names []string
		for d := range days {
			if days[d] = mask&(1<<d) != 0; days[d] {
				names = append(names, weekdays[d])
			}
		}
		wall := func(n uint8) string {
			return time.Date(2026, 1, 1, 0, int(n)*15, 0, 0, time.UTC).Format("15:04")
		}
		line := strings.Join(names, ",") + " " + wall(from) + "-" + wall(to) + " " + loc.String()
		c := parse(t, Spec{Windows: []string{line}})
		start := time.Unix(unix, 0)
		open := has(start, loc, days, wall(from), wall(to))
		if c.Open(start) != open {
			t.Fatalf("%s at %s: open is %v", line, start.In(loc), !open)
		}
		next := c.NextChange(start)
		if !next.After(start) || next.Sub(start) > 15*24*time.Hour {
			t.Fatalf("%s after %s: next change %s", line, start.In(loc), next)
		}
		for now := start; now.Before(next); now = now.Add(quarter * time.Second) {
			if has(now, loc, days, wall(from), wall(to)) != open {
				t.Fatalf("%s after %s: it changed at %s, and not at %s", line, start.In(loc), now.In(loc), next.In(loc))
			}
		}
		if has(next, loc, days, wall(from), wall(to)) == open {
			t.Fatalf("%s after %s: nothing changes at %s", line, start.In(loc), next.In(loc))
		}
	})
}
