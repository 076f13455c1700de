package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
)

// The part strategies: the same campaign by refresh and staged, one after the other.

// calm is a pace at which this machine, which is EdgeOne, Temporal, the workers and all hosts
// at once, has CPU to spare. At a full pace zones wait for the CPU, and so for each other's
// staging, which on a fleet's own hosts they would not.
const calm = 5

// slowWrite is how long the writing of a key takes on hosts whose writes are slow, whether
// it is put in place or beside the file that is in use.
const slowWrite = 2000 // ms

func (b *bench) strategies(ctx context.Context) error {
	zones, delays := b.near, []int{roundTrip, 0, farAway}
	if zones == 0 {
		zones, delays = 100, delays[:1]
	}
	var failed error
	for _, run := range strategyRuns(zones, delays) {
		for _, strategy := range []string{"refresh", "staged"} {
			of := run
			of.name, of.settings = run.name+" "+strategy, "strategy: "+strategy
			failed = errors.Join(failed, b.durable(ctx, of, nil))
		}
	}
	return failed
}

// The runs at that pace.
var (
	oneAtEase   = fmt.Sprintf("%d ms at %d a second", roundTrip, calm)
	apartAtEase = fmt.Sprintf("roles apart at %d a second", calm)
)

func strategyRuns(zones int, delays []int) []setup {
	var runs []setup
	for _, d := range delays {
		runs = append(runs, setup{name: fmt.Sprintf("%d ms", d), zones: zones, hostsEach: hostsEach, delayMs: d, limit: limit, workers: 1})
	}
	roles := [][]string{{"--roles", "orchestrator"}, {"--roles", "edgeone"}, {"--roles", "location"}}
	return append(runs,
		setup{name: oneAtEase, zones: zones, hostsEach: hostsEach, delayMs: roundTrip, limit: calm, workers: 1},
		setup{name: "roles apart", zones: zones, hostsEach: hostsEach, delayMs: roundTrip, limit: limit, roles: roles},
		setup{name: apartAtEase, zones: zones, hostsEach: hostsEach, delayMs: roundTrip, limit: calm, roles: roles},
		setup{name: "slow writes", zones: zones, hostsEach: hostsEach, delayMs: roundTrip, limit: limit, workers: 1, slowWrites: true},
	)
}

// slowDownWrites has every host take its time for whatever writes a key.
func (s *stand) slowDownWrites(ctx context.Context) error {
	if !s.slowWrites {
		return nil
	}
	for name := range s.fleet.Hosts {
		// A host has one bad day of a kind: a put begins late, and staging ends late.
		for kind, verb := range map[string]string{"lateStart": "put", "lateAck": "stage"} {
			day := map[string]any{"kind": kind, "delayMs": slowWrite, "match": "\n" + verb + "\n"}
			if err := s.Control(ctx, http.MethodPost, "/hosts/"+string(name)+"/bad", day, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// atEase compares a process for each role with one process, where the CPU is not full.
func (s *summary) atEase(runs []figure) {
	named := func(name string) int {
		return slices.IndexFunc(runs, func(f figure) bool { return f.Run == name+" refresh" && f.Outside != nil })
	}
	one, apart := named(oneAtEase), named(apartAtEase)
	if one < 0 || apart < 0 {
		return
	}
	ratio, cpu := runs[apart].Outside.P50/runs[one].Outside.P50, 0.0
	for _, ms := range runs[apart].CPUMsPerZone {
		cpu += ms
	}
	busy := cpu * runs[apart].RefreshesPerSecond / 1000 / float64(runtime.NumCPU())
	s.goal(ratio <= 2, fmt.Sprintf("exposure p50 with a process for each role, against one process, at %d zones a second, from outside", calm), "≤ 2 ×",
		"%.2f × (%.0f, %.0f ms), while the CPU was busy for %.0f %% of the time", ratio, runs[apart].Outside.P50, runs[one].Outside.P50, busy*100)
}

// strategies compares the runs in pairs.
func (s *summary) strategies(runs []figure) {
	s.atEase(runs)
	for pair := range slices.Chunk(runs, 2) {
		if len(pair) < 2 || pair[0].Outside == nil || pair[1].Outside == nil || pair[0].Outside.P50 == 0 {
			continue
		}
		p50, p99 := pair[1].Outside.P50/pair[0].Outside.P50, pair[1].Outside.P99/pair[0].Outside.P99
		most := 1.0
		if pair[0].SlowWrites {
			most = 0.1
		}
		s.goal(p50 <= most, fmt.Sprintf("staged against refresh, exposure from outside (%s)", pair[1].Run), fmt.Sprintf("p50 ≤ %.1f ×", most),
			"p50 %.2f × (%.0f, %.0f ms), p99 %.2f × (%.0f, %.0f ms), max %.0f, %.0f ms", p50, pair[1].Outside.P50, pair[0].Outside.P50, p99, pair[1].Outside.P99, pair[0].Outside.P99, pair[1].Outside.Max, pair[0].Outside.Max)
	}
}
