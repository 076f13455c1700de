package main

import (
	_ "embed"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"keywave/internal/stage"
)

// figure is what one run found. What was not measured is left out.
type figure struct {
	Run       string `json:"run"`
	Zones     int    `json:"zones"`
	HostsEach int    `json:"hostsEach"`
	DelayMs   int    `json:"delayMs"`
	Limit     int    `json:"limit"`
	Workers   int    `json:"workers"`
	// Seconds is the campaign's time, without its plan.
	Seconds float64 `json:"seconds"`
	// Refreshes is how many were asked for, by whomever.
	Refreshes          int     `json:"refreshes"`
	RefreshesPerSecond float64 `json:"refreshesPerSecond"`
	LongestGapMs       float64 `json:"longestGapMs"`
	// MaxPerSecond is the worst sliding second of each action.
	MaxPerSecond map[string]int `json:"maxPerSecond"`
	Throttled    int            `json:"throttled"`
	// Exposure is by the run's own clock, Outside by the simulator's.
	Exposure *spread `json:"exposureMs,omitempty"`
	Outside  *spread `json:"exposureOutsideMs,omitempty"`

	CPUMsPerZone         map[string]float64  `json:"cpuMsPerZone,omitempty"`
	PeakRSSMB            map[string]float64  `json:"peakRSSMB,omitempty"`
	Histories            map[string]*history `json:"histories,omitempty"`
	DatabaseBytesPerZone int64               `json:"databaseBytesPerZone,omitempty"`
}

func (s *stand) newFigure() figure {
	return figure{Run: s.name, Zones: s.zones, HostsEach: s.hostsEach, DelayMs: s.delayMs, Limit: s.limit, Workers: s.workers}
}

// zonesPerSecond counts from the campaign's start to its end.
func (f figure) zonesPerSecond() float64 {
	if f.Seconds <= 0 {
		return 0
	}
	return float64(f.Zones) / f.Seconds
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

// rounded has two decimals.
func rounded(x float64) float64 { return math.Round(x*100) / 100 }

// headline is the last line. A figure that was not measured is null.
type headline struct {
	Efficiency           *float64 `json:"efficiency"`
	Throttled            *int     `json:"throttled"`
	MaxPerSecond         *int     `json:"maxPerSecond"`
	ExposureP50VsGood    *float64 `json:"exposureP50VsGoodScript"`
	ExposureP99VsGood    *float64 `json:"exposureP99VsGoodScript"`
	EngineZonesPerSecond *float64 `json:"engineZonesPerSecond"`
	WorkerRSSMB          *float64 `json:"workerRSSMB"`
}

// summary is what the runs say together.
type summary struct {
	headline headline
	goals    []goal
	fits     []fit
}

// goal is one figure of the goals, and whether it was reached.
type goal struct {
	figure, want, got string
	reached           bool
	// stated says that there is nothing to reach.
	stated bool
}

// fit is a figure as a straight line over the number of zones.
type fit struct {
	name, unit         string
	base, each, assume float64
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
	s.unlimited(all["engine"], all["scale"])
	return s
}

func (s *summary) goal(reached bool, figure, want, format string, args ...any) {
	s.goals = append(s.goals, goal{figure: figure, want: want, got: fmt.Sprintf(format, args...), reached: reached})
}

func (s *summary) state(figure, format string, args ...any) {
	s.goals = append(s.goals, goal{figure: figure, want: "stated", got: fmt.Sprintf(format, args...), stated: true})
}

// limits is how much of the account's limit was used, and that it was kept.
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
		s.goal(*e >= 0.95, "refreshes per second between first and last, of the limit (the worst of all numbers of workers)", "≥ 95 %", "%.0f %%", *e*100)
	}
	for _, f := range killed {
		s.state("the longest time without a refresh, the active worker being killed", "%.1f s", f.LongestGapMs/1000)
	}
}

// at is the first figure of a part at a distance.
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
			s.state("exposure as Keywave states it, less what is seen from outside, "+where, "p50 %+.0f ms, p99 %+.0f ms", ours.Exposure.P50-ours.Outside.P50, ours.Exposure.P99-ours.Outside.P99)
		}
	}
}

// times compares seconds per zone, because the script rotates fewer zones.
func (s *summary) times(all map[string][]figure) {
	ours, measured := at(all["keywave"], roundTrip)
	script, there := at(all["script"], roundTrip)
	if measured && there {
		s.state("campaign time against the script's, per zone", "%.1f × faster", (script.Seconds/float64(script.Zones))/(ours.Seconds/float64(ours.Zones)))
	}
}

// unlimited is what the machine does when the API does not hold it back.
func (s *summary) unlimited(engine, scale []figure) {
	if len(engine) > 0 {
		speed := rounded(engine[0].zonesPerSecond())
		s.headline.EngineZonesPerSecond = &speed
		s.goal(speed >= 30, "engine, limit lifted, one location, hosts' work included", "≥ 30 zones/s", "%.1f zones/s", speed)
	}
	if len(scale) == 0 {
		return
	}
	small, large := scale[0], scale[len(scale)-1]
	rss := large.PeakRSSMB["workers"]
	s.headline.WorkerRSSMB = &rss
	s.goal(rss <= 256, fmt.Sprintf("worker memory at %d zones (at %d: %.0f MB)", large.Zones, small.Zones, small.PeakRSSMB["workers"]), "≤ 256 MB, flat", "%.0f MB", rss)
	name, events, bytes := largest(large.Histories)
	s.goal(events <= 5000 && bytes <= 4<<20, "largest history", "≤ 5,000 events, ≤ 4 MB", "%d events (%s), %.2f MB", events, name, float64(bytes)/(1<<20))
	if len(scale) < 2 {
		return
	}
	ratio := (large.Seconds / float64(large.Zones)) / (small.Seconds / float64(small.Zones))
	s.goal(ratio <= 1.1, fmt.Sprintf("seconds per zone, %d against %d zones", large.Zones, small.Zones), "≤ 1.1 ×", "%.2f ×", ratio)
	s.fit(scale)
}

// fit puts a line through the sizes and reads it at a size that was not run.
func (s *summary) fit(scale []figure) {
	for _, of := range []struct {
		name, unit string
		value      func(figure) float64
	}{
		{"campaign time, limit lifted", "s", func(f figure) float64 { return f.Seconds }},
		{"worker memory, peak", "MB", func(f figure) float64 { return f.PeakRSSMB["workers"] }},
		{"server memory, peak", "MB", func(f figure) float64 { return f.PeakRSSMB["temporal"] }},
		{"database", "MB", func(f figure) float64 { return float64(f.DatabaseBytesPerZone) * float64(f.Zones) / (1 << 20) }},
		{"campaign's history", "events", func(f figure) float64 { return float64(f.events("Campaign")) }},
		{"longest shard's history", "events", func(f figure) float64 { return float64(f.events("Shard")) }},
	} {
		base, each := line(scale, of.value)
		s.fits = append(s.fits, fit{of.name, of.unit, base, each, base + each*paperZones})
	}
	const full = 0.97 * limit // what Keywave uses of the limit
	s.fits = append(s.fits, fit{name: "campaign time at the limit of 20", unit: "s", each: 1 / full, assume: paperZones / full})
}

func (f figure) events(kind string) int64 {
	if h := f.Histories[kind]; h != nil {
		return h.MaxEvents
	}
	return 0
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

// grid is a table.
type grid struct {
	head []string
	rows [][]string
}

func (g *grid) add(cells ...string) { g.rows = append(g.rows, cells) }

func num(x float64, decimals int) string {
	if x == 0 {
		return "-"
	}
	return fmt.Sprintf("%.*f", decimals, x)
}

func runsGrid(results []result) grid {
	g := grid{head: []string{"run", "zones × hosts", "RTT ms", "workers", "time s", "refreshes/s", "worst second", "throttled", "exposure ms p50/p99/max", "from outside"}}
	for _, r := range results {
		for _, f := range r.Figures {
			g.add(f.Run, fmt.Sprintf("%d × %d", f.Zones, f.HostsEach), fmt.Sprint(f.DelayMs), num(float64(f.Workers), 0), num(f.Seconds, 1),
				num(f.RefreshesPerSecond, 2), f.worstSeconds(), fmt.Sprint(f.Throttled), f.Exposure.String(), f.Outside.String())
		}
	}
	return g
}

// worstSeconds is "refresh/describe".
func (f figure) worstSeconds() string {
	return fmt.Sprintf("%d/%d", f.MaxPerSecond[stage.RefreshAction], f.MaxPerSecond[stage.DescribeAction])
}

func costGrid(results []result) grid {
	g := grid{head: []string{"run", "zones/s", "CPU ms per zone: temporal", "workers", "simulator", "hosts", "peak MB: temporal", "one worker", "zone's history", "largest history", "database B per zone"}}
	for _, r := range results {
		for _, f := range r.Figures {
			if f.Histories == nil {
				continue
			}
			zone := "-"
			if h := f.Histories["Zone"]; h != nil {
				zone = fmt.Sprintf("%.1f events, %.1f kB", h.MeanEvents, h.MeanBytes/1024)
			}
			name, events, bytes := largest(f.Histories)
			c, m := f.CPUMsPerZone, f.PeakRSSMB
			g.add(f.Run, num(f.zonesPerSecond(), 1), num(c["temporal"], 1), num(c["workers"], 1), num(c["simulator"], 1), num(c["hosts"], 1),
				num(m["temporal"], 0), num(m["workers"], 0), zone, fmt.Sprintf("%s: %d events, %.2f MB", name, events, float64(bytes)/(1<<20)), fmt.Sprint(f.DatabaseBytesPerZone))
		}
	}
	return g
}

func goalsGrid(s summary) grid {
	g := grid{head: []string{"figure", "goal", "measured", ""}}
	for _, x := range s.goals {
		verdict := "missed"
		switch {
		case x.stated:
			verdict = ""
		case x.reached:
			verdict = "reached"
		}
		g.add(x.figure, x.want, x.got, verdict)
	}
	return g
}

func fitsGrid(s summary) grid {
	g := grid{head: []string{"figure", "at the beginning", "for each 1,000 zones more", "100,000 zones, on paper"}}
	for _, f := range s.fits {
		g.add(f.name, fmt.Sprintf("%.1f %s", f.base, f.unit), fmt.Sprintf("%+.2f %s", f.each*1000, f.unit), fmt.Sprintf("%.0f %s", f.assume, f.unit))
	}
	return g
}

// grids are the tables, each with its title; one without rows is left out.
func grids(results []result, s summary) []struct {
	title string
	grid  grid
} {
	all := []struct {
		title string
		grid  grid
	}{
		{"Goals", goalsGrid(s)},
		{"Runs", runsGrid(results)},
		{"Cost", costGrid(results)},
		{"100,000 zones, from the line through the sizes that were run", fitsGrid(s)},
	}
	return slices.DeleteFunc(all, func(t struct {
		title string
		grid  grid
	},
	) bool {
		return len(t.grid.rows) == 0
	})
}

func showTables(w io.Writer, results []result, s summary) {
	for _, t := range grids(results, s) {
		fmt.Fprintln(w, t.title)
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, row := range append([][]string{t.grid.head}, t.grid.rows...) {
			fmt.Fprintln(tw, "  "+strings.Join(row, "\t"))
		}
		_ = tw.Flush()
		fmt.Fprintln(w)
	}
}

//go:embed method.md
var method string

// markdown is the page.
func markdown(c config, here surroundings, results []result, s summary, took time.Duration) string {
	var b strings.Builder
	b.WriteString("# Benchmarks\n\n")
	b.WriteString("`make bench` writes this page. Goals are ratios of one run in which everything shares one machine.\n\n")
	if c.quick || c.zones > 0 || c.parts != "" {
		b.WriteString("**This was not a run in full**: the figures say little.\n\n")
	}
	fmt.Fprintf(&b, "- Machine: %s, %d cores, %.0f GB, Linux %s\n", here.CPU, here.Cores, float64(here.MemoryBytes)/(1<<30), here.Kernel)
	fmt.Fprintf(&b, "- Versions: Keywave %s, %s, Temporal server %s, Temporal SDK %s\n", here.Keywave, here.Go, here.Temporal, here.SDK)
	fmt.Fprintf(&b, "- Date: %s; it took %s\n", here.Date, took.Round(time.Second))
	for _, t := range grids(results, s) {
		fmt.Fprintf(&b, "\n## %s\n\n", t.title)
		fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(t.grid.head, " | "), strings.Repeat("---|", len(t.grid.head)))
		for _, row := range t.grid.rows {
			fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
		}
	}
	b.WriteString("\n" + method)
	return b.String()
}
