package main

import (
	"strings"
	"testing"
	"time"
)

// verdictOf is the verdict of the only goal whose figure contains a text, and
// what was measured.
func verdictOf(t *testing.T, s summary, text string) (verdict, got string) {
	t.Helper()
	found := 0
	for _, g := range s.goals {
		if strings.Contains(g.figure, text) {
			verdict, got, found = g.verdict, g.got, found+1
		}
	}
	if found != 1 {
		t.Errorf("%d goals are about %q, want 1", found, text)
	}
	return verdict, got
}

func TestPacesAreComparedAtTheSameLimit(t *testing.T) {
	paced := func(run string, limit, delayMs int, perSecond float64) figure {
		return figure{Run: run, Limit: limit, DelayMs: delayMs, RefreshesPerSecond: perSecond}
	}
	good := []figure{paced("good", 20, roundTrip, 20), paced("good 0 ms", 20, 0, 1), paced("good limit 40", 40, roundTrip, 40)}
	campaigns := []figure{
		paced("keywave 1", 20, roundTrip, 17.9), paced("keywave 1 0 ms", 20, 0, 0.1),
		paced("keywave 1 limit 40", 40, roundTrip, 36), paced(rolesApart, 20, roundTrip, 2),
	}
	var s summary
	s.paces(campaigns, good)
	if verdict, got := verdictOf(t, s, "good script's"); verdict != "missed" || got != "0.95 × (keywave 1 limit 40)" {
		t.Errorf("36 of the 38 that are not kept for early reads is %s: %s", verdict, got)
	}
	var fine summary
	fine.paces(campaigns[:2], good)
	if verdict, _ := verdictOf(t, fine, "good script's"); verdict != "reached" {
		t.Errorf("17.9 of 18 is %s", verdict)
	}
}

func TestACallTooManyAtEitherLimitIsMissed(t *testing.T) {
	second := func(limit, calls int) figure {
		return figure{Limit: limit, DelayMs: roundTrip, MaxPerSecond: map[string]int{"Describe": calls}}
	}
	for _, c := range []struct {
		campaigns []figure
		want      string
	}{
		{[]figure{second(20, 20), second(40, 40)}, "reached"},
		{[]figure{second(20, 21), second(40, 40)}, "missed"},
		{[]figure{second(20, 20), second(40, 41)}, "missed"},
	} {
		var s summary
		s.limits(c.campaigns, nil)
		if verdict, got := verdictOf(t, s, "sliding second"); verdict != c.want {
			t.Errorf("%s is %s", got, verdict)
		}
	}
}

func TestOtherZonesAreComparedWithARunWithoutSlowHosts(t *testing.T) {
	quick := func(ms ...int) (g group) {
		for _, n := range ms {
			g = append(g, time.Duration(n)*time.Millisecond)
		}
		return g
	}
	for with, want := range map[int]string{120: "reached", 121: "missed"} {
		var s summary
		s.slow([]figure{{Zones: 20, Others: quick(50, 100)}, {Zones: 20, SlowHosts: 1, Others: quick(50, with)}})
		if verdict, got := verdictOf(t, s, "1 of 20 hosts slow"); verdict != want {
			t.Errorf("%d ms against 100 ms is %s: %s", with, verdict, got)
		}
	}
}

func TestRolesApartAreComparedAtEase(t *testing.T) {
	run := func(name string, p50 float64) figure {
		return figure{Run: name, RefreshesPerSecond: 5, Outside: &spread{P50: p50}, CPUMsPerZone: map[string]float64{ofTemporal: 100, ofHosts: 50}}
	}
	all := []figure{run(oneAtEase+" refresh", 40), run(oneAtEase+" staged", 1), run(apartAtEase+" refresh", 84), run(apartAtEase+" staged", 1)}
	var s summary
	s.atEase(all)
	if verdict, got := verdictOf(t, s, "a process for each role"); verdict != "missed" || !strings.HasPrefix(got, "2.10 × (84, 40 ms)") {
		t.Errorf("%s: %s", verdict, got)
	}
	var none summary
	if none.atEase(all[1:]); len(none.goals) > 0 {
		t.Errorf("without the run of one process: %+v", none.goals)
	}
}

func TestLaterZonesAreComparedAtTheirPace(t *testing.T) {
	died := func(limit int, after, calm time.Duration) figure {
		return figure{Limit: limit, Toll: &toll{Deaths: 1, After: group{after}, Calm: group{calm}}}
	}
	var s summary
	s.deaths(nil, []figure{died(limit, 3*time.Second, time.Second), died(halfPace, time.Second, time.Second)}, nil)
	if verdict, got := verdictOf(t, s, "the same, p99"); verdict != "missed" || !strings.HasPrefix(got, "3.00 ×") {
		t.Errorf("at the whole pace: %s: %s", verdict, got)
	}
	if verdict, got := verdictOf(t, s, "10 a second (1 kills), p99"); verdict != "reached" || !strings.HasPrefix(got, "1.00 ×") {
		t.Errorf("at half of it: %s: %s", verdict, got)
	}
}
