package main

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// figure is what one run found. What was not measured is left out.
type figure struct {
	Run       string `json:"run"`
	Zones     int    `json:"zones"`
	HostsEach int    `json:"hostsEach"`
	DelayMs   int    `json:"delayMs"`
	Limit     int    `json:"limit"`
	Workers   int    `json:"workers"`
	// SlowWrites says that every host writes slowly.
	SlowWrites bool `json:"slowWrites,omitempty"`
	// Seconds is the campaign's time, without its plan.
	Seconds     float64 `json:"seconds"`
	PlanSeconds float64 `json:"planSeconds,omitempty"`
	// Refreshes is how many were asked for, by anybody.
	Refreshes          int     `json:"refreshes"`
	RefreshesPerSecond float64 `json:"refreshesPerSecond"`
	LongestGapMs       float64 `json:"longestGapMs"`
	// MaxPerSecond is the largest number of calls in any sliding second, for each
	// action.
	MaxPerSecond map[string]int `json:"maxPerSecond"`
	Throttled    int            `json:"throttled"`
	// Exposure is measured by the run's own clock, Outside by the simulator's.
	Exposure  *spread `json:"exposureMs,omitempty"`
	Outside   *spread `json:"exposureOutsideMs,omitempty"`
	exposures []exposure

	// Others are the exposures from outside of zones that have no slow host, in the
	// part slow.
	Others    group `json:"othersMs,omitempty"`
	SlowHosts int   `json:"slowHosts,omitempty"`

	// IdlePercent is the part of a core that is used when nothing is to be done.
	IdlePercent map[string]float64 `json:"idlePercent,omitempty"`

	// Huge is there for the part huge.
	Huge *huge `json:"huge,omitempty"`

	// Toll is there if workers died.
	Toll *toll `json:"toll,omitempty"`

	CPUMsPerZone         map[string]float64  `json:"cpuMsPerZone,omitempty"`
	PeakRSSMB            map[string]float64  `json:"peakRSSMB,omitempty"`
	Histories            map[string]*history `json:"histories,omitempty"`
	DatabaseBytesPerZone int64               `json:"databaseBytesPerZone,omitempty"`
}

func (s *stand) newFigure() figure {
	return figure{Run: s.name, Zones: s.zones, HostsEach: s.hostsEach, DelayMs: s.delayMs, Limit: s.limit, Workers: s.workers, SlowWrites: s.slowWrites}
}

// zonesPerSecond counts from the campaign's start to its end.
func (f figure) zonesPerSecond() float64 {
	if f.Seconds <= 0 {
		return 0
	}
	return float64(f.Zones) / f.Seconds
}

// kind is the size of the histories of one type of workflow. It is zero if
// there were none.
func (f figure) kind(name string) history {
	if h := f.Histories[name]; h != nil {
		return *h
	}
	return history{}
}

// durableCPU is what Temporal and whoever rotates use for a zone, in
// milliseconds: hosts and the simulator are left out.
func (f figure) durableCPU() float64 {
	return f.CPUMsPerZone[ofTemporal] + f.CPUMsPerZone[whoRotates]
}

func (f figure) worstSecond() int {
	worst := 0
	for _, n := range f.MaxPerSecond {
		worst = max(worst, n)
	}
	return worst
}

func (f figure) line() string {
	return fmt.Sprintf("%s: %.1f s, %.2f refreshes/s, at most %d calls in a second, throttled %d, exposure %s, from outside %s",
		f.Run, f.Seconds, f.RefreshesPerSecond, f.worstSecond(), f.Throttled, f.Exposure, f.Outside)
}

// String is "p50/p99/max ms".
func (s *spread) String() string {
	if s == nil {
		return "-"
	}
	return fmt.Sprintf("%.0f/%.0f/%.0f", s.P50, s.P99, s.Max)
}

func megabytes(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// rounded is x with two decimals.
func rounded(x float64) float64 { return math.Round(x*100) / 100 }

// spread says how exposures are distributed, in milliseconds.
type spread struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// spreadOf takes percentiles by nearest rank.
func spreadOf(d []time.Duration) *spread {
	if len(d) == 0 {
		return nil
	}
	d = slices.Sorted(slices.Values(d))
	rank := func(q float64) float64 {
		return ms(d[max(0, int(math.Ceil(q*float64(len(d))))-1)])
	}
	return &spread{rank(0.50), rank(0.99), ms(d[len(d)-1])}
}

// ms is d in milliseconds, with one decimal.
func ms(d time.Duration) float64 { return math.Round(float64(d)/float64(time.Millisecond)*10) / 10 }
