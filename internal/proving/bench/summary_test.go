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
