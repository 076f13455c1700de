package report

import (
	"fmt"
	"math"
	"slices"
	"time"

	"keywave/internal/rotation"
)

// The plots of the HTML report: values in, positions in a drawing of 640 by 240
// out, of which x from 20 to 620 and y from 24 to 200 is the plot.

type shape struct {
	X, Y, W, H, TextY float64
	Text              string
}

const (
	left, right = 20.0, 620.0
	top, bottom = 24.0, 200.0
	inset       = 25.0 // half of a time's text
)

// strip is one wave, in the order of the plan.
type strip struct {
	Number int
	Text   string
	Width  int
	Cells  []segment
}

type segment struct {
	X, W    int
	Outcome rotation.Outcome
	Text    string
}

// maxCells is how many cells a strip has at most.
const maxCells = 300

func (r Report) strips() []strip {
	waves := make([][]Zone, len(r.Waves))
	for _, z := range r.Zones {
		waves[z.Wave-1] = append(waves[z.Wave-1], z)
	}
	all := make([]strip, len(waves))
	for i, zones := range waves {
		cells := min(len(zones), maxCells)
		s := strip{Number: i + 1, Text: words(r.Waves[i].Counts), Width: max(1, cells)}
		for c := range cells {
			part := zones[c*len(zones)/cells : (c+1)*len(zones)/cells]
			s.add(segment{X: c, W: 1, Outcome: worstOf(part), Text: span(part)})
		}
		all[i] = s
	}
	return all
}

// add joins a cell to the one before it where both say the same: a strip of a
// good day is one rectangle.
func (s *strip) add(c segment) {
	if n := len(s.Cells); n > 0 && s.Cells[n-1].Outcome == c.Outcome && c.Outcome == rotation.Done {
		s.Cells[n-1].W++
		s.Cells[n-1].Text = string(rotation.Done)
		return
	}
	s.Cells = append(s.Cells, c)
}

func worstOf(zones []Zone) rotation.Outcome {
	return slices.MaxFunc(zones, func(a, b Zone) int { return severity(a.Outcome) - severity(b.Outcome) }).Outcome
}

func span(zones []Zone) string {
	worst := worstOf(zones)
	if len(zones) == 1 {
		return fmt.Sprintf("%s %s: %s", zones[0].ID, zones[0].Name, worst)
	}
	return fmt.Sprintf("%s to %s: %s", zones[0].ID, zones[len(zones)-1].ID, worst)
}

type exposurePlot struct {
	P50, P99, Max      string
	Bars, Marks, Ticks []shape
}

// perDecade is how many bars a factor of ten has.
const perDecade = 12

func (r Report) exposurePlot() *exposurePlot {
	counts := map[int]int{}
	most := 0
	for _, z := range r.Zones {
		if z.Outcome != rotation.Done || z.ExposureMs <= 0 {
			continue
		}
		bin := int(math.Floor(math.Log10(float64(z.ExposureMs)) * perDecade))
		counts[bin]++
		most = max(most, counts[bin])
	}
	if most == 0 {
		return nil
	}
	first, last := math.MaxInt, math.MinInt
	for bin := range counts {
		first, last = min(first, bin), max(last, bin)
	}
	first, last = first-2, last+3
	at := func(bin float64) float64 { return left + (right-left)*(bin-float64(first))/float64(last-first) }
	s := r.ExposureMs
	p := &exposurePlot{P50: ms(s.P50), P99: ms(s.P99), Max: ms(s.Max)}
	for bin := first; bin < last; bin++ {
		if n := counts[bin]; n > 0 {
			h := max(1.5, (bottom-top-16)*float64(n)/float64(most))
			from, to := math.Pow(10, float64(bin)/perDecade), math.Pow(10, float64(bin+1)/perDecade)
			p.Bars = append(p.Bars, shape{X: at(float64(bin)) + .5, Y: bottom - h, W: at(1) - at(0) - 1, H: h, Text: fmt.Sprintf("%s between %s and %s", plural(n, "zone"), ms(int64(from)), ms(int64(to)))})
		}
	}
	for i, m := range []struct {
		name string
		ms   int64
	}{{"p50", s.P50}, {"p90", s.P90}, {"p99", s.P99}} {
		p.Marks = append(p.Marks, shape{X: at(math.Log10(float64(max(1, m.ms))) * perDecade), Y: 10 + 11*float64(i%2), Text: m.name})
	}
	for decade := math.Floor(float64(first) / perDecade); decade*perDecade <= float64(last); decade++ {
		for _, step := range []float64{1, 2, 5} {
			v := step * math.Pow(10, decade)
			if x := at(math.Log10(v) * perDecade); v >= 1 && x >= left && x <= right {
				p.Ticks = append(p.Ticks, shape{X: x, Text: ms(int64(v))})
			}
		}
	}
	return p
}

// ms is a span as people say it.
func ms(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d ms", n)
	case n < 60_000:
		return fmt.Sprintf("%.3g s", float64(n)/1000)
	}
	return time.Duration(n * int64(time.Millisecond)).Round(time.Second).String()
}

type ratePlot struct {
	Text, Note         string
	Bars, Marks, Ticks []shape
}

// maxBins is how many bars the plot over time has at most.
const maxBins = 150

func (r Report) ratePlot() *ratePlot {
	var at []time.Time
	for _, z := range r.Zones {
		if !z.Since.IsZero() && z.RequestID != "" {
			at = append(at, z.Since)
		}
	}
	if len(at) == 0 {
		return nil
	}
	slices.SortFunc(at, time.Time.Compare)
	whole := at[len(at)-1].Sub(at[0])
	width := max(time.Second, (whole/maxBins).Truncate(time.Second)+time.Second)
	bins := make([]int, int(whole/width)+1)
	most := 0
	for _, t := range at {
		bin := int(t.Sub(at[0]) / width)
		bins[bin]++
		most = max(most, bins[bin])
	}
	perSecond := func(n int) float64 { return float64(n) / width.Seconds() }
	ceiling := max(perSecond(most), r.Plan.Limit) * 1.08
	y := func(rate float64) float64 { return bottom - (bottom-top)*rate/ceiling }
	p := &ratePlot{Text: fmt.Sprintf("%s in %s.", refreshes(len(at)), whole.Round(time.Second))}
	w := (right - left) / float64(len(bins))
	for i, n := range bins {
		if n > 0 {
			top := y(perSecond(n))
			p.Bars = append(p.Bars, shape{X: left + float64(i)*w, Y: top, W: max(.5, w-.5), H: bottom - top, Text: fmt.Sprintf("%.3g a second at %s", perSecond(n), at[0].Add(time.Duration(i)*width).Format(time.TimeOnly))})
		}
	}
	p.Note = fmt.Sprintf("Refreshes a second, in steps of %s, by the time at which each was sent.", width)
	if r.Plan.Limit > 0 {
		line := y(r.Plan.Limit)
		p.Marks = []shape{{Y: line, TextY: line - 5, Text: fmt.Sprintf("the accounts' limits together: %g a second", r.Plan.Limit)}}
	}
	for i := range 5 {
		x := inset + (right-left-2*inset)*float64(i)/4
		part := time.Duration(float64(len(bins)) * float64(width) * x / (right - left))
		p.Ticks = append(p.Ticks, shape{X: left + x, Text: at[0].Add(part).Format(time.TimeOnly)})
	}
	return p
}

func refreshes(n int) string {
	if n == 1 {
		return "1 refresh"
	}
	return fmt.Sprintf("%d refreshes", n)
}
