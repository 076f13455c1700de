package main

import (
	"fmt"
	"slices"

	"keywave/internal/rotation"
)

// headline is the last line. A figure that was not measured is null.
type headline struct {
	Efficiency           *float64 `json:"efficiency"`
	Throttled            *int     `json:"throttled"`
	MaxPerSecond         *int     `json:"maxPerSecond"`
	ExposureP50VsGood    *float64 `json:"exposureP50VsGoodScript"`
	ExposureP99VsGood    *float64 `json:"exposureP99VsGoodScript"`
	EngineZonesPerSecond *float64 `json:"engineZonesPerSecond"`
	WorkerRSSMB          *float64 `json:"workerRSSMB"`
	// FailoverP99 is the exposure of zones in flight when the worker that calls
	// EdgeOne was killed, HandoverP99 that of zones whose delivery waited for a
	// location's worker that was killed.
	FailoverP99 *float64 `json:"failoverP99Ms"`
	HandoverP99 *float64 `json:"handoverP99Ms"`
	// CPUVsBare is the CPU of Temporal and worker for a zone, against that for a
	// child of the bare pattern: the mean of the pairs. Spread is by which part of
	// it the pairs differ.
	CPUVsBare *float64 `json:"cpuVsBare"`
	Spread    *float64 `json:"spread"`
	// Drift says by how much the bare pattern itself changed between the pairs. It
	// is there if that was so much that ratios of this run say little.
	Drift *float64 `json:"drift,omitempty"`
}

// summary is what follows from all runs together.
type summary struct {
	headline headline
	goals    []goal
	fits     []fit
}

// goal is one figure of the goals, and whether it was reached.
type goal struct {
	figure, want, got string
	// verdict is empty where the figure has no goal.
	verdict string
}

// fit is a figure as a straight line over the number of zones.
type fit struct {
	name, unit string
	base, each float64
}

const paperZones = 100_000

func sum(results []result) summary {
	all := map[string][]figure{}
	for _, r := range results {
		all[r.Part] = r.Figures
	}
	var s summary
	s.limits(all["keywave"], all["joinkill"])
	s.exposures(all)
	s.times(all)
	s.deaths(all["failover"], all["handover"], all["upgrade"])
	s.unlimited(all["engine"], all["scale"])
	s.besideBare(all["bare"])
	s.whatIsToldCosts(all["observed"])
	return s
}

func (s *summary) goal(reached bool, figure, want, format string, args ...any) {
	verdict := "missed"
	if reached {
		verdict = "reached"
	}
	s.goals = append(s.goals, goal{figure, want, fmt.Sprintf(format, args...), verdict})
}

func (s *summary) state(figure, format string, args ...any) {
	s.goals = append(s.goals, goal{figure: figure, want: "stated", got: fmt.Sprintf(format, args...)})
}

// limits says how much of the account's limit was used, and whether it was
// kept.
func (s *summary) limits(campaigns, killed []figure) {
	var worst, throttled int
	for _, f := range slices.Concat(campaigns, killed) {
		worst, throttled = max(worst, f.worstSecond()), throttled+f.Throttled
	}
	if len(campaigns)+len(killed) > 0 {
		s.headline.MaxPerSecond, s.headline.Throttled = &worst, &throttled
		s.goal(worst <= limit && throttled == 0, "calls in any sliding second per action; throttled answers", "≤ 20; 0", "%d; %d", worst, throttled)
	}
	for _, f := range campaigns {
		share := rounded(f.RefreshesPerSecond / limit)
		if f.DelayMs == roundTrip && (s.headline.Efficiency == nil || share < *s.headline.Efficiency) {
			s.headline.Efficiency = &share
		}
	}
	if e := s.headline.Efficiency; e != nil {
		s.goal(*e >= 0.95, "refreshes per second between the first and the last, as a part of the limit (the lowest, with 1, 2 or 4 workers)", "≥ 95 %", "%.0f %%", *e*100)
	}
	for _, f := range killed {
		s.state("the longest time without a refresh, while the active worker is killed", "%.1f s", f.LongestGapMs/1000)
	}
}

// at is the first figure with that distance to the hosts.
func at(figures []figure, delayMs int) (figure, bool) {
	i := slices.IndexFunc(figures, func(f figure) bool { return f.DelayMs == delayMs && f.Exposure != nil })
	if i < 0 {
		return figure{}, false
	}
	return figures[i], true
}

func (s *summary) exposures(all map[string][]figure) {
	for _, delay := range []int{roundTrip, 0} {
		ours, measured := at(all["keywave"], delay)
		if !measured {
			continue
		}
		where := fmt.Sprintf("hosts %d ms away", delay)
		if good, ok := at(all["good"], delay); ok {
			p50, p99 := rounded(ours.Exposure.P50/good.Exposure.P50), rounded(ours.Exposure.P99/good.Exposure.P99)
			if delay == roundTrip {
				s.headline.ExposureP50VsGood, s.headline.ExposureP99VsGood = &p50, &p99
				s.goal(p50 <= 0.6, "exposure p50 against the good script's, "+where, "≤ 0.6 ×", "%.2f ×", p50)
				s.goal(p99 <= 1.0, "exposure p99 against the good script's, "+where, "≤ 1.0 ×", "%.2f ×", p99)
			} else {
				s.state("exposure against the good script's, "+where, "p50 %.2f ×, p99 %.2f ×", p50, p99)
			}
		}
		if floor, ok := at(all["floor"], delay); ok {
			s.state("exposure against the floor's, "+where, "p50 %.2f ×, p99 %.2f ×", ours.Exposure.P50/floor.Exposure.P50, ours.Exposure.P99/floor.Exposure.P99)
		}
		if ours.Outside != nil {
			s.state("exposure as Keywave reports it, minus what is seen from outside, "+where, "p50 %+.0f ms, p99 %+.0f ms", ours.Exposure.P50-ours.Outside.P50, ours.Exposure.P99-ours.Outside.P99)
		}
	}
}

// times compares seconds per zone, because the script rotates fewer zones than
// Keywave.
func (s *summary) times(all map[string][]figure) {
	ours, measured := at(all["keywave"], roundTrip)
	script, there := at(all["script"], roundTrip)
	if measured && there {
		s.state("campaign time against the script's, per zone", "%.1f × faster", (script.Seconds/float64(script.Zones))/(ours.Seconds/float64(ours.Zones)))
	}
}

// unlimited says what the machine does when the API sets no limit.
func (s *summary) unlimited(engine, scale []figure) {
	if len(engine) > 0 {
		speed := rounded(engine[0].zonesPerSecond())
		s.headline.EngineZonesPerSecond = &speed
		s.goal(speed >= 30, "engine without the limit, one location, hosts' work included", "≥ 30 zones/s", "%.1f zones/s", speed)
	}
	if len(scale) == 0 {
		return
	}
	small, large := scale[0], scale[len(scale)-1]
	rss := large.PeakRSSMB[whoRotates]
	s.headline.WorkerRSSMB = &rss
	s.goal(rss <= 256, fmt.Sprintf("worker memory at %d zones (at %d: %.0f MB)", large.Zones, small.Zones, small.PeakRSSMB[whoRotates]), "≤ 256 MB, flat", "%.0f MB", rss)
	longest, biggest := largest(large.Histories)
	events, bytes := large.kind(longest).MaxEvents, large.kind(biggest).MaxBytes
	s.goal(events <= 5000 && bytes <= 4<<20, "largest history", "≤ 5,000 events, ≤ 4 MB", "%d events (%s), %.2f MB (%s)", events, longest, megabytes(bytes), biggest)
	if len(scale) < 2 {
		return
	}
	ratio := (large.Seconds / float64(large.Zones)) / (small.Seconds / float64(small.Zones))
	s.goal(ratio <= 1.1, fmt.Sprintf("seconds per zone, %d against %d zones", large.Zones, small.Zones), "≤ 1.1 ×", "%.2f ×", ratio)
	s.fit(scale)
}

// fit puts a line through the sizes that were run, and reads from it a size
// that was not.
func (s *summary) fit(scale []figure) {
	for _, of := range []struct {
		name, unit string
		value      func(figure) float64
	}{
		{"campaign time without the limit", "s", func(f figure) float64 { return f.Seconds }},
		{"worker memory, peak", "MB", func(f figure) float64 { return f.PeakRSSMB[whoRotates] }},
		{"server memory, peak", "MB", func(f figure) float64 { return f.PeakRSSMB[ofTemporal] }},
		{"database", "MB", func(f figure) float64 { return megabytes(f.DatabaseBytesPerZone) * float64(f.Zones) }},
		{"campaign's history", "events", func(f figure) float64 { return float64(f.kind("Campaign").MaxEvents) }},
		{"longest shard's history", "events", func(f figure) float64 { return float64(f.kind("Shard").MaxEvents) }},
	} {
		base, each := line(scale, of.value)
		s.fits = append(s.fits, fit{of.name, of.unit, base, each})
	}
	const full = rotation.PaceShare * limit // what Keywave uses of the limit
	s.fits = append(s.fits, fit{name: "campaign time at the limit of 20", unit: "s", each: 1 / full})
}

// line is the least-squares line through the figures.
func line(figures []figure, value func(figure) float64) (base, each float64) {
	var n, sx, sy, sxx, sxy float64
	for _, f := range figures {
		x, y := float64(f.Zones), value(f)
		n, sx, sy, sxx, sxy = n+1, sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	each = (n*sxy - sx*sy) / (n*sxx - sx*sx)
	return (sy - each*sx) / n, each
}
