package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"keywave/internal/proving/bench/bare"
	"keywave/internal/proving/stage"
)

// The yardstick. A machine that is a third faster in one hour than in the next
// makes both the engine and the bare pattern faster, so they are measured in turn,
// and only the ratio of two neighbours counts.

// bare measures pairs: the bare pattern, and the engine right after it.
func (b *bench) bare(ctx context.Context) error {
	for i := range b.pairs {
		if err := b.barePattern(ctx, fmt.Sprintf("bare %d", i+1), b.free); err != nil {
			return err
		}
		if err := b.durable(ctx, setup{name: fmt.Sprintf("engine %d", i+1), zones: b.free, hostsEach: hostsAlone, delayMs: roundTrip, limit: lifted, workers: 1}, nil); err != nil {
			return err
		}
	}
	return nil
}

// versusBefore measures pairs too: the programs of the commit before, and these.
func (b *bench) versusBefore(ctx context.Context) error {
	if b.before == "" {
		return errors.New("say with -before where the programs of the commit before are")
	}
	bin, err := filepath.Abs(b.before)
	if err != nil {
		return err
	}
	run := setup{zones: b.free, hostsEach: hostsEach, delayMs: roundTrip, limit: lifted, workers: 1}
	for i := range b.pairs {
		run.name, run.bin = fmt.Sprintf("before %d", i+1), bin
		if err := b.durable(ctx, run, nil); err != nil {
			return err
		}
		run.name, run.bin = fmt.Sprintf("now %d", i+1), ""
		if err := b.durable(ctx, run, nil); err != nil {
			return err
		}
	}
	return nil
}

// barePattern measures one run of it, on a server and with a worker of its own.
func (b *bench) barePattern(ctx context.Context, name string, children int) error {
	b.say("%s: %d children", name, children)
	s, err := b.bareStand(setup{name: name, zones: children, workers: 1, limit: lifted})
	defer s.strike()
	if err != nil {
		return err
	}
	if err := s.startBare(ctx); err != nil {
		return err
	}
	c, err := s.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := bare.Run(ctx, c, window, window); err != nil { // the engine's server has made a plan before
		return err
	}
	before, err := s.usages()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := bare.Run(ctx, c, children, window); err != nil {
		return err
	}
	f := s.newFigure()
	f.Seconds = rounded(time.Since(began).Seconds())
	if err := s.used(before, &f); err != nil {
		return err
	}
	if err := s.histories(ctx, &f); err != nil {
		return err
	}
	return b.addWithDatabase(ctx, s, f)
}

// startBare starts a Temporal server and the pattern's worker, which is this
// program in a process of its own.
func (s *stand) startBare(ctx context.Context) error {
	if err := s.FirstTemporal(ctx); err != nil {
		return err
	}
	this, err := os.Executable()
	if err != nil {
		return err
	}
	w, err := stage.Start("bare worker", this, s.Log("bare-worker"), stage.Environment(), "-bare-worker", s.Temporal.Address)
	if err != nil {
		return err
	}
	s.Workers = append(s.Workers, w)
	_, err = w.FirstLine(ctx, readyFor)
	return err
}

// driftAllowed is by how much the yardstick may change between the pairs before
// the ratios say little.
const driftAllowed = 0.15

// besideBare compares each engine with the bare pattern before it.
func (s *summary) besideBare(turns []figure) {
	ratios := ratiosOf(turns)
	if len(ratios) == 0 {
		return
	}
	var costs, paces []float64
	for pair := range slices.Chunk(turns, 2) {
		costs, paces = append(costs, pair[0].durableCPU()), append(paces, pair[0].zonesPerSecond())
	}
	ratio, apart := rounded(mean(ratios)), rounded((slices.Max(ratios)-slices.Min(ratios))/mean(ratios))
	s.headline.CPUVsBare, s.headline.Spread = &ratio, &apart
	s.goal(ratio <= 0.95, fmt.Sprintf("CPU of Temporal and worker a zone, one host, against the bare pattern's a child (%d pairs)", len(ratios)),
		"≤ 0.95 ×", "%.2f ×, from %.2f to %.2f", ratio, slices.Min(ratios), slices.Max(ratios))
	drift := max(slices.Max(costs)/slices.Min(costs), slices.Max(paces)/slices.Min(paces)) - 1
	says := ""
	if drift > driftAllowed {
		says = ", so much that this run's ratios say little"
		tooMuch := rounded(drift)
		s.headline.Drift = &tooMuch
	}
	s.state("the yardstick", "%.1f children/s, %.1f ms of CPU a child; between the pairs it drifted by %.0f %%%s", mean(paces), mean(costs), drift*100, says)
}

// ratiosOf has, for each pair, the CPU of Temporal and worker of the second, as a
// part of that of the first.
func ratiosOf(turns []figure) []float64 {
	var ratios []float64
	for pair := range slices.Chunk(turns, 2) {
		if len(pair) == 2 && pair[0].durableCPU() > 0 {
			ratios = append(ratios, pair[1].durableCPU()/pair[0].durableCPU())
		}
	}
	return ratios
}

// sinceBefore compares each run with that of the commit before.
func (s *summary) sinceBefore(turns []figure) {
	if ratios := ratiosOf(turns); len(ratios) > 0 {
		s.goal(mean(ratios) <= 0.75, fmt.Sprintf("CPU of Temporal and worker a zone, %d hosts, against the commit before (%d pairs)", hostsEach, len(ratios)),
			"≤ 0.75 ×", "%.2f ×, from %.2f to %.2f", mean(ratios), slices.Min(ratios), slices.Max(ratios))
	}
}

func mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}
