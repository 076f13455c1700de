package main

import (
	_ "embed"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"keywave/internal/proving/stage"
)

// table is shown as text, and on the page.
type table struct {
	title string
	head  []string
	rows  [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// tables are all tables.
func tables(results []result, s summary) []table {
	return filled(goalsTable(s), runsTable(results), tollTable(results), costTable(results), minutesTable(results), fitsTable(s))
}

// pageTables are those that the page shows, which is to stay one page.
func pageTables(results []result, s summary) []table {
	return filled(goalsTable(s), shortTable(results), minutesTable(results), fitsTable(s))
}

// filled are the tables that have something to show.
func filled(all ...table) []table {
	return slices.DeleteFunc(all, func(t table) bool { return len(t.rows) == 0 })
}

func goalsTable(s summary) table {
	t := table{title: "Goals", head: []string{"figure", "goal", "measured", ""}}
	for _, g := range s.goals {
		t.add(g.figure, g.want, g.got, g.verdict)
	}
	return t
}

func runsTable(results []result) table {
	t := table{title: "Runs", head: []string{
		"run", "zones × hosts", "RTT ms", "workers", "time s", "refreshes/s", "worst second, refresh/describe", "throttled",
		"exposure ms, p50/p99/max", "from outside",
	}}
	for _, r := range results {
		for _, f := range r.Figures {
			t.add(f.Run, fmt.Sprintf("%d × %d", f.Zones, f.HostsEach), fmt.Sprint(f.DelayMs), num(float64(f.Workers), 0), num(f.Seconds, 1),
				num(f.RefreshesPerSecond, 2), fmt.Sprintf("%d/%d", f.MaxPerSecond[stage.RefreshAction], f.MaxPerSecond[stage.DescribeAction]),
				fmt.Sprint(f.Throttled), f.Exposure.String(), f.Outside.String())
		}
	}
	return t
}

// shortTable says the most important things of each run.
func shortTable(results []result) table {
	t := table{title: "Runs", head: []string{
		"run", "zones × hosts", "zones/s", "exposure ms, p50/p99/max", "CPU ms a zone: temporal", "who rotates", "hosts", "peak MB: temporal", "who rotates",
	}}
	for _, r := range results {
		for _, f := range r.Figures {
			t.add(f.Run, fmt.Sprintf("%d × %d", f.Zones, f.HostsEach), num(f.zonesPerSecond(), 1), f.Exposure.String(),
				num(f.CPUMsPerZone[ofTemporal], 1), num(f.CPUMsPerZone[whoRotates], 1), num(f.CPUMsPerZone[ofHosts], 1),
				num(f.PeakRSSMB[ofTemporal], 0), num(f.PeakRSSMB[whoRotates], 0))
		}
	}
	return t
}

// tollTable has a row for each campaign in which workers died.
func tollTable(results []result) table {
	t := table{title: "When workers die: count, and exposure from outside in ms, p50/p99/max", head: []string{
		"run", "deaths", "zones not done", "in flight", "their delivery begun there", "queued there", "refreshed later", "before the first", "to the next refresh",
	}}
	for _, r := range results {
		for _, f := range r.Figures {
			if x := f.Toll; x != nil {
				t.add(f.Run, fmt.Sprint(x.Deaths), fmt.Sprint(x.NotDone), x.InFlight.String(), x.InProgress.String(), x.Queued.String(), x.After.String(), x.Calm.String(), x.Refresh.String())
			}
		}
	}
	return t
}

func costTable(results []result) table {
	t := table{title: "Cost", head: []string{
		"run", "zones/s", "CPU ms a zone: all", "who rotates", "temporal", "simulator", "hosts", "peak MB: who rotates", "temporal",
		"a zone's history", "longest history", "largest history", "database B a zone",
	}}
	for _, r := range results {
		for _, f := range r.Figures {
			all := 0.0
			for _, cpu := range f.CPUMsPerZone {
				all += cpu
			}
			row := []string{f.Run, num(f.zonesPerSecond(), 1), num(all, 1)}
			for _, who := range []string{whoRotates, ofTemporal, ofSimulator, ofHosts} {
				row = append(row, num(f.CPUMsPerZone[who], 1))
			}
			t.add(append(append(row, num(f.PeakRSSMB[whoRotates], 0), num(f.PeakRSSMB[ofTemporal], 0)), f.historyCells()...)...)
		}
	}
	return t
}

// historyCells are a zone's history, the longest, the largest, and the database.
func (f figure) historyCells() []string {
	if f.Histories == nil {
		return []string{"-", "-", "-", "-"}
	}
	zone := f.kind("Zone")
	long, large := largest(f.Histories)
	return []string{
		fmt.Sprintf("%.1f events, %.1f kB", zone.MeanEvents, zone.MeanBytes/1024),
		fmt.Sprintf("%d events (%s)", f.kind(long).MaxEvents, long),
		fmt.Sprintf("%.2f MB (%s)", megabytes(f.kind(large).MaxBytes), large),
		fmt.Sprint(f.DatabaseBytesPerZone),
	}
}

func fitsTable(s summary) table {
	t := table{
		title: "100,000 zones, computed from a line through the sizes that were run",
		head:  []string{"figure", "fixed part", "for each 1,000 zones", "100,000 zones"},
	}
	for _, f := range s.fits {
		t.add(f.name, fmt.Sprintf("%.1f %s", f.base, f.unit), fmt.Sprintf("%+.2f %s", f.each*1000, f.unit), fmt.Sprintf("%.0f %s", f.base+f.each*paperZones, f.unit))
	}
	return t
}

func num(x float64, decimals int) string {
	if x == 0 {
		return "-"
	}
	return fmt.Sprintf("%.*f", decimals, x)
}

func showTables(w io.Writer, all []table) {
	for _, t := range all {
		fmt.Fprintln(w, t.title)
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, row := range append([][]string{t.head}, t.rows...) {
			fmt.Fprintln(tw, "  "+strings.Join(row, "\t"))
		}
		_ = tw.Flush()
		fmt.Fprintln(w)
	}
}

// method is the part of the page that is always the same.
//
//go:embed method.md
var method string

// markdown is the page.
func markdown(here surroundings, all []table, full bool, took time.Duration) string {
	var b strings.Builder
	b.WriteString("# Benchmarks\n\n")
	b.WriteString("`make bench` writes this page. Everything in a run shares one machine, so compare figures only within one run.\n\n")
	if !full {
		b.WriteString("**This was not a full run**: its figures say little.\n\n")
	}
	fmt.Fprintf(&b, "- Machine: %s, %d cores, %.0f GB, Linux %s\n", here.cpu, here.cores, float64(here.memoryBytes)/(1<<30), here.kernel)
	fmt.Fprintf(&b, "- Versions: Keywave %s, %s, Temporal server %s, Temporal SDK %s\n", here.keywave, here.goVersion, here.server, here.sdk)
	fmt.Fprintf(&b, "- Date: %s; it took %s\n", here.date, took.Round(time.Second))
	for _, t := range all {
		fmt.Fprintf(&b, "\n## %s\n\n| %s |\n|%s\n", t.title, strings.Join(t.head, " | "), strings.Repeat("---|", len(t.head)))
		for _, row := range t.rows {
			fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
		}
	}
	b.WriteString("\n" + method)
	return b.String()
}
