package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"keywave/internal/proving/stage"
	"keywave/internal/rotation"
)

type config struct {
	seeds  int
	atOnce int
	first  int64
	zones  int
	matrix int
	only   string
	bin    string
	dir    string
}

// total is what the last line prints.
type total struct{ campaigns, zones, kills, faults, violations int }

func (t total) String() string {
	return fmt.Sprintf("chaos: campaigns=%d zones=%d kills=%d faults=%d violations=%d", t.campaigns, t.zones, t.kills, t.faults, t.violations)
}

func (t *total) add(u total) {
	t.campaigns += u.campaigns
	t.zones += u.zones
	t.kills += u.kills
	t.faults += u.faults
	t.violations += u.violations
}

func run(ctx context.Context, c config) (total, error) {
	var sum total
	bin, err := filepath.Abs(c.bin)
	if err != nil {
		return sum, err
	}
	dir, remove, err := workDir(c.dir)
	if err != nil {
		return sum, err
	}
	if sum, err = all(ctx, c, bin, dir); err != nil {
		return sum, err
	}
	if sum.violations == 0 && remove {
		_ = os.RemoveAll(dir)
	} else {
		fmt.Println("logs and databases: " + dir)
	}
	return sum, nil
}

// all runs the matrix and the seeds. c.atOnce of them run side by side: each
// has a stack of its own, and mostly waits.
func all(ctx context.Context, c config, bin, dir string) (total, error) {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(c.atOnce)
	ran := make([]total, c.seeds+1)
	if c.matrix != 0 {
		group.Go(func() (err error) {
			ran[c.seeds], err = matrix(ctx, bin, filepath.Join(dir, "matrix"), c.matrix, c.only)
			return err
		})
	}
	for i := range c.seeds {
		group.Go(func() (err error) {
			ran[i], err = played(ctx, c, bin, dir, c.first+int64(i))
			return err
		})
	}
	err := group.Wait()
	var sum total
	for _, one := range ran {
		sum.add(one)
	}
	return sum, err
}

// played runs one seed. If something was wrong, it prints how to run it again.
func played(ctx context.Context, c config, bin, dir string, seed int64) (total, error) {
	one, err := seeded(ctx, bin, filepath.Join(dir, fmt.Sprintf("seed-%d", seed)), seed, c.zones)
	if err != nil {
		return one, fmt.Errorf("seed %d: %w", seed, err)
	}
	if one.violations > 0 {
		fmt.Printf("run it again: go run ./internal/proving/chaos -seeds 1 -seed %d -zones %d -dir /tmp/chaos\n", seed, c.zones)
	}
	return one, nil
}

func workDir(given string) (dir string, remove bool, err error) {
	if given == "" {
		dir, err = os.MkdirTemp("", "keywave-chaos-")
		return dir, true, err
	}
	dir, err = filepath.Abs(given)
	return dir, false, err
}

// The campaign's settings. Times are short, so that what normally takes five
// minutes takes seconds here. Budgets are wide, so that bad days do not end the
// campaign.
const settings = `{%s, waves: [2, 30%%, 100%%], bake: 1s, window: 20, maxFailed: 100%%, maxExposed: 100000, exposedAfter: 5s, deliverFor: 90s, proofFor: 30s, settle: 1s, signatureLife: 8s}`

const (
	campaign  = "chaos"
	workers   = 2
	limit     = 6                // calls a second: slow enough for a campaign to be still running during a storm
	storm     = 30 * time.Second // how long bad days go on
	healing   = 4 * time.Minute  // how long a campaign may take after the faults have ended
	maxFreeze = 8 * time.Second
)

// seeded runs one campaign under random bad days. The seed decides the kind of
// weather.
func seeded(ctx context.Context, bin, dir string, seed int64, zones int) (total, error) {
	kind := weatherOf(seed)
	strategy := strategyOf(seed)
	fmt.Printf("seed %d: %d zones, %s, %s\n", seed, zones, kind, strategy)
	var flags [][]string
	if kind == silence {
		flags = silentWorkers()
	}
	s, err := raise(ctx, bin, dir, zones, max(4, zones/4), strategy, flags)
	defer s.Strike()
	if err != nil {
		return total{}, err
	}
	w := &weather{Stack: s, changes: changing(strategy), rng: rand.New(rand.NewPCG(uint64(seed), 0x6b657977617665)), done: map[string]time.Time{}}
	if err := w.look(ctx); err != nil {
		return total{}, err
	}
	if w.witness, err = newWitness(ctx, s); err != nil {
		return total{}, err
	}
	if err := s.StartCampaign(ctx); err != nil {
		return total{}, err
	}
	w.during(ctx, kind, zones)
	if err := s.Heal(ctx); err != nil {
		return total{}, err
	}
	t := total{campaigns: 1, zones: zones, kills: w.kills, faults: w.faults}
	status, err := s.Finish(ctx, healing)
	if err != nil && ctx.Err() != nil {
		return t, err
	}
	overlooked, seen := w.witness.verdict()
	wrong := slices.Concat(overlooked, s.Check(ctx, status, err), w.refreshedAgain(ctx))
	if strategy == string(rotation.Staged) && kind == stormy && len(wrong) == 0 {
		var back int
		wrong, back = w.goBack(ctx)
		fmt.Printf("seed %d: %d zones rolled back\n", seed, back)
		t = total{campaigns: 2, zones: zones + back, kills: w.kills, faults: w.faults}
	}
	for _, v := range wrong {
		fmt.Printf("seed %d: VIOLATION: %s\n", seed, v)
	}
	t.violations = len(wrong)
	fmt.Printf("seed %d: kills=%d faults=%d operator=%d turnedAway=%d forgotten=%d violations=%d\n", seed, w.kills, w.faults, w.orders, seen, len(w.done), len(wrong))
	return t, nil
}

// during is the time of the campaign's bad days, which a witness watches.
func (w *weather) during(ctx context.Context, kind string, zones int) {
	watched, stop := context.WithCancel(ctx)
	var group sync.WaitGroup
	group.Go(func() { w.witness.watch(watched) })
	switch kind {
	case silence:
		w.beSilent(ctx, storm)
	case forgetting:
		w.beForgetful(ctx, storm)
	default:
		for range zones / 4 {
			w.apiFault(ctx)
		}
		w.blow(ctx, storm)
	}
	stop()
	group.Wait()
}

// The kinds of weather.
const (
	stormy     = "storm"
	silence    = "silence"
	forgetting = "forgetting"
)

// strategyOf mixes both strategies with every weather.
func strategyOf(seed int64) string { return rotation.Strategies()[seed/3%2] }

// settingsOf has a staged campaign keep the former keys.
func settingsOf(strategy string) string {
	by := "strategy: " + strategy
	if strategy == string(rotation.Staged) {
		by += ", rollbackFor: 1h"
	}
	return fmt.Sprintf(settings, by)
}

// changing is the API action that changes keys by a strategy.
func changing(strategy string) string {
	if strategy == rotation.RefreshWord {
		return stage.RefreshAction
	}
	return stage.ModifyAction
}

func weatherOf(seed int64) string { return []string{stormy, silence, forgetting}[seed%3] }

// raise starts a stack with two workers that play every role, or one for each of
// the flags.
func raise(ctx context.Context, bin, dir string, zones, hosts int, strategy string, flags [][]string) (*stage.Stack, error) {
	return stage.Raise(ctx, stage.Config{
		Bin: bin, Dir: dir, Zones: zones, Hosts: hosts, Limit: limit, Settings: settingsOf(strategy), Workers: max(workers, len(flags)), WorkerFlags: flags, Campaign: campaign,
	})
}
