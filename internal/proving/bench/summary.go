package main

import (
	"fmt"
	"slices"
	"strings"

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
	// Flatness is by how much a zone of a large fleet costs more than one of a
	// small fleet: in seconds or in Temporal's CPU, whichever grows more.
	Flatness *float64 `json:"flatness"`
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
	s.paces(all["keywave"], all["good"])
	s.exposures(all)
	s.apart(all["keywave"])
	s.times(all)
	s.deaths(all["failover"], all["handover"], all["upgrade"])
	s.slow(all["slow"])
	s.strategies(all["strategies"])
	s.rest(all["idle"])
	s.unlimited(all["engine"], all["scale"])
	s.besideBare(all["bare"])
	s.whatIsToldCosts(all["observed"])
	s.sinceBefore(all["before"])
	s.huge(all["huge"])
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
	var worst, throttled, twice int
	for _, f := range slices.Concat(campaigns, killed) {
		if throttled += f.Throttled; f.Limit == limit {
			worst = max(worst, f.worstSecond())
		} else {
			twice = max(twice, f.worstSecond())
		}
	}
	if len(campaigns)+len(killed) > 0 {
		s.headline.MaxPerSecond, s.headline.Throttled = &worst, &throttled
		s.goal(worst <= limit && twice <= 2*limit && throttled == 0, "calls in any sliding second per action, with limits of 20 and 40; throttled answers", "≤ 20, ≤ 40; 0", "%d, %d; %d", worst, twice, throttled)
	}
	for _, f := range campaigns {
		share := rounded(f.RefreshesPerSecond / limit)
		if f.DelayMs == roundTrip && f.Limit == limit && f.Run != rolesApart && (s.headline.Efficiency == nil || share < *s.headline.Efficiency) {
			s.headline.Efficiency = &share
		}
	}
	if e := s.headline.Efficiency; e != nil {
		s.state("refreshes per second between the first and the last, as a part of the limit (the lowest, with 1, 2 or 4 workers)", "%.0f %%", *e*100)
	}
	for _, f := range killed {
		s.state("the longest time without a refresh, while the active worker is killed", "%.1f s", f.LongestGapMs/1000)
	}
}

// paces compares refreshes per second with the good script's at the same limit, less the
// part of it that is kept for early reads.
func (s *summary) paces(campaigns, good []figure) {
	lowest, found := 0.0, ""
	for _, f := range campaigns {
		i := slices.IndexFunc(good, func(g figure) bool { return g.Limit == f.Limit && g.DelayMs == f.DelayMs })
		if i < 0 || f.DelayMs != roundTrip || f.Run == rolesApart || good[i].RefreshesPerSecond == 0 {
			continue
		}
		could := good[i].RefreshesPerSecond * (1 - rotation.EarlyShare(float64(f.Limit))/float64(f.Limit))
		if share := f.RefreshesPerSecond / could; found == "" || share < lowest {
			lowest, found = share, f.Run
		}
	}
	if found != "" {
		s.goal(lowest >= 0.97, "refreshes per second against the good script's less what is kept for early reads, limits of 20 and 40, 1, 2 and 4 workers, the lowest", "≥ 0.97 ×", "%.2f × (%s)", lowest, found)
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
	for _, delay := range []int{roundTrip, farAway, 0} {
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
			s.floored(delay, ours.Exposure.P50/floor.Exposure.P50, ours.Exposure.P99/floor.Exposure.P99)
		}
		if ours.Outside != nil {
			s.state("exposure as Keywave reports it, minus what is seen from outside, "+where, "p50 %+.0f ms, p99 %+.0f ms", ours.Exposure.P50-ours.Outside.P50, ours.Exposure.P99-ours.Outside.P99)
		}
	}
}

// floored says how near the floor the exposure is.
func (s *summary) floored(delay int, p50, p99 float64) {
	figure := fmt.Sprintf("exposure against the floor's, hosts %d ms away", delay)
	goals := map[int]float64{roundTrip: 1.25, farAway: 1.1}
	if goals[delay] == 0 {
		s.state(figure, "p50 %.2f ×, p99 %.2f ×", p50, p99)
		return
	}
	s.goal(p50 <= goals[delay], figure, fmt.Sprintf("p50 ≤ %.2f ×", goals[delay]), "p50 %.2f ×, p99 %.2f ×", p50, p99)
}

// apart compares the run with a process for each role.
func (s *summary) apart(campaigns []figure) {
	one, measured := at(campaigns, roundTrip)
	i := slices.IndexFunc(campaigns, func(f figure) bool { return f.Run == rolesApart })
	if measured && i >= 0 {
		ratio := campaigns[i].Exposure.P50 / one.Exposure.P50
		s.goal(ratio <= 2, "exposure p50 with a process for each role, against one process, hosts 20 ms away", "≤ 2 ×", "%.2f ×", ratio)
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
	large := scale[largestOf(scale)]
	rss, server := large.PeakRSSMB[whoRotates], large.PeakRSSMB[ofTemporal]
	s.headline.WorkerRSSMB = &rss
	s.goal(rss <= 150 && server <= 800, fmt.Sprintf("memory at %d zones: server, worker", large.Zones), "≤ 800 MB, ≤ 150 MB, flat from 5,000 on",
		"%.0f MB, %.0f MB (%s)", server, rss, memoryBySize(scale))
	longest, biggest := largest(large.Histories)
	events, bytes := large.kind(longest).MaxEvents, large.kind(biggest).MaxBytes
	s.goal(events <= 5000 && bytes <= 4<<20, "largest history", "≤ 5,000 events, ≤ 4 MB", "%d events (%s), %.2f MB (%s)", events, longest, megabytes(bytes), biggest)
	s.flatness(scale[0].Zones, scale, large)
}

func largestOf(scale []figure) int {
	largest := 0
	for i, f := range scale {
		if f.Zones > scale[largest].Zones {
			largest = i
		}
	}
	return largest
}

// memoryBySize lists what server and worker had at each size.
func memoryBySize(scale []figure) string {
	var each []string
	for _, f := range scale {
		each = append(each, fmt.Sprintf("%d: %.0f, %.0f", f.Zones, f.PeakRSSMB[ofTemporal], f.PeakRSSMB[whoRotates]))
	}
	return strings.Join(each, "; ")
}

// flatness compares a zone of the largest run with one of the small runs, of
// which there is one before and one after.
func (s *summary) flatness(few int, scale []figure, large figure) {
	var seconds, cpu []float64
	for _, f := range scale {
		if f.Zones == few {
			seconds, cpu = append(seconds, f.Seconds/float64(f.Zones)), append(cpu, f.CPUMsPerZone[ofTemporal])
		}
	}
	if large.Zones == few || mean(cpu) == 0 {
		return
	}
	slower, dearer := large.Seconds/float64(large.Zones)/mean(seconds), large.CPUMsPerZone[ofTemporal]/mean(cpu)
	flat := rounded(max(slower, dearer))
	s.headline.Flatness = &flat
	s.goal(flat <= 1.1, fmt.Sprintf("a zone of %d against one of %d: seconds, CPU of Temporal", large.Zones, few), "≤ 1.10 ×, ≤ 1.10 ×",
		"%.2f ×, %.2f × (the small runs before and after: %.1f and %.1f zones/s)", slower, dearer, 1/seconds[0], 1/seconds[len(seconds)-1])
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
	full := rotation.ZonesPerSecond(limit)
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
