package main

import (
	"context"
	"time"

	"keywave/internal/proving/stage"
)

// The part idle: a worker of every role and its server, which have nothing to do.

const (
	idleAfter = 20 * time.Second // the start is over
	idleFor   = time.Minute
)

func (b *bench) idle(ctx context.Context) error {
	s, err := b.raise(ctx, setup{name: "idle", zones: 3, hostsEach: hostsEach, limit: limit, workers: 1})
	defer s.strike()
	if err != nil {
		return err
	}
	if err := stage.Pause(ctx, idleAfter); err != nil {
		return err
	}
	before, err := s.usages()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := stage.Pause(ctx, idleFor); err != nil {
		return err
	}
	cpu, err := s.cpuSince(before)
	if err != nil {
		return err
	}
	f := s.newFigure()
	f.IdlePercent = map[string]float64{}
	for _, of := range []string{ofTemporal, whoRotates} {
		f.IdlePercent[of] = rounded(100 * cpu[of].Seconds() / time.Since(began).Seconds())
	}
	b.add(f)
	return nil
}

// rest says what a worker and a server cost that have nothing to do.
func (s *summary) rest(runs []figure) {
	if len(runs) == 0 {
		return
	}
	server, worker := runs[0].IdlePercent[ofTemporal], runs[0].IdlePercent[whoRotates]
	s.goal(server+worker <= 3, "an idle worker of every role and its server, of one core", "≤ 3 %", "%.1f %% (server %.1f, worker %.1f)", server+worker, server, worker)
}
