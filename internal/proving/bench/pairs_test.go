package main

import "testing"

// turn is a run of 100 zones that took so many seconds, and so much CPU of
// Temporal and of the worker, in milliseconds a zone.
func turn(seconds, temporal, worker float64) figure {
	return figure{Zones: 100, Seconds: seconds, CPUMsPerZone: map[string]float64{ofTemporal: temporal, whoRotates: worker, ofHosts: 1000}}
}

func TestTheEngineIsComparedWithTheBarePatternBesideIt(t *testing.T) {
	// The machine got twice as slow between the pairs; the ratios did not change
	// by it.
	var s summary
	s.besideBare([]figure{turn(2, 8, 2), turn(4, 8, 4), turn(4, 16, 4), turn(8, 16, 4)})
	h := s.headline
	if h.CPUVsBare == nil || *h.CPUVsBare != 1.1 || *h.Spread != 0.18 {
		t.Errorf("pairs of 1.2 and 1.0 became %v, spread %v", h.CPUVsBare, h.Spread)
	}
	if h.Drift == nil || *h.Drift != 1 {
		t.Errorf("a yardstick that took twice as much has a drift of %v", h.Drift)
	}
	var steady summary
	steady.besideBare([]figure{turn(2, 8, 2), turn(4, 8, 4), turn(2.2, 8, 2)})
	if h := steady.headline; *h.CPUVsBare != 1.2 || h.Drift != nil {
		t.Errorf("one pair, and a pattern without its engine, became %v with a drift of %v", *h.CPUVsBare, h.Drift)
	}
	var none summary
	none.besideBare(nil)
	if none.headline.CPUVsBare != nil || len(none.goals) > 0 {
		t.Error("nothing was compared, and a figure came out")
	}
}

func TestFlatnessIsOfWhatGrowsMore(t *testing.T) {
	run := func(zones int, secondsEach, temporal float64) figure {
		return figure{Zones: zones, Seconds: secondsEach * float64(zones), CPUMsPerZone: map[string]float64{ofTemporal: temporal}}
	}
	var s summary
	s.unlimited(nil, []figure{run(1000, 0.02, 20), run(5000, 0.5, 500), run(20_000, 0.03, 33), run(1000, 0.04, 24)})
	if got := s.headline.Flatness; got == nil || *got != 1.5 {
		t.Errorf("1.0 × in seconds and 1.5 × in CPU are a flatness of %v", got)
	}
	var one summary
	if one.unlimited(nil, []figure{run(1000, 0.02, 20)}); one.headline.Flatness != nil {
		t.Error("one size has a flatness")
	}
}
