package main

import (
	"math"
	"testing"
	"time"

	"keywave/internal/proving/stage"
)

func TestSpreadIsByNearestRank(t *testing.T) {
	var d []time.Duration
	for i := 100; i > 0; i-- {
		d = append(d, time.Duration(i)*time.Millisecond)
	}
	if got := *spreadOf(d); got != (spread{50, 99, 100}) {
		t.Errorf("1…100 ms are spread %+v", got)
	}
	if got := *spreadOf(d[:1]); got != (spread{100, 100, 100}) {
		t.Errorf("one of 100 ms is spread %+v", got)
	}
	if spreadOf(nil) != nil {
		t.Error("nothing has a spread")
	}
}

func TestPaceIsBetweenTheFirstAndTheLastRefresh(t *testing.T) {
	noon := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	var edges []edge
	for _, at := range []int{0, 50, 100, 400} {
		edges = append(edges,
			edge{Kind: "executed", Action: stage.RefreshAction, At: noon.Add(time.Duration(at) * time.Millisecond)},
			edge{Kind: "executed", Action: stage.DescribeAction, At: noon.Add(time.Hour)})
	}
	perSecond, gap := pace(edges)
	if math.Abs(perSecond-7.5) > 1e-9 || gap != 300*time.Millisecond {
		t.Errorf("3 more refreshes in 400 ms: %v a second, the longest gap %v", perSecond, gap)
	}
	if perSecond, gap := pace(edges[:2]); perSecond != 0 || gap != 0 {
		t.Errorf("a single refresh has a pace of %v, a gap of %v", perSecond, gap)
	}
}

func TestLineGoesThroughTheSizes(t *testing.T) {
	sizes := []figure{{Zones: 1000, Seconds: 30}, {Zones: 5000, Seconds: 130}, {Zones: 10_000, Seconds: 255}}
	base, each := line(sizes, func(f figure) float64 { return f.Seconds })
	if math.Abs(base-5) > 1e-6 || math.Abs(each-0.025) > 1e-9 {
		t.Errorf("5 s and 25 ms a zone became %v s and %v s", base, each)
	}
}

func TestTheCommandThatWroteAFile(t *testing.T) {
	noon := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	at := func(ms int) time.Time { return noon.Add(time.Duration(ms) * time.Millisecond) }
	// They are in the order of their ends, as endOf needs them.
	commands := []*command{{at(0), at(40)}, {at(100), at(140)}, {at(120), at(170)}, {at(10), at(500)}}
	for written, want := range map[int]int{20: 40, 110: 140, 130: 140, 150: 170, 300: 500, -5: 40} {
		if got, found := endOf(commands, at(written)); !found || !got.Equal(at(want)) {
			t.Errorf("written at %d ms by a command that ended %v (%t), want %d ms", written, got.Sub(noon), found, want)
		}
	}
	if _, found := endOf(commands, at(600)); found {
		t.Error("a file that was written after every command has one")
	}
}
