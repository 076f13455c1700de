package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"keywave/internal/rotation"
)

// The part slow: a part of the hosts takes seconds to reload. Each zone has a host
// of its own, so the zones of slow hosts are known, and all others should not
// notice.

const (
	slowEach   = 20   // one host of so many is slow
	slowReload = 3000 // ms
)

// slow measures the same campaign without slow hosts and with them.
func (b *bench) slow(ctx context.Context) error {
	run := setup{name: "all quick", zones: b.main, hosts: b.main, hostsEach: hostsAlone, delayMs: roundTrip, limit: limit, workers: 1}
	if err := b.durableThen(ctx, run, nil, others); err != nil {
		return err
	}
	run.name, run.slowEach = "some slow", slowEach
	return b.durableThen(ctx, run, nil, others)
}

// slowHosts are those that reload slowly: every slowEach-th by name.
func (s *stand) slowHosts() map[rotation.HostName]bool {
	var names []rotation.HostName
	for name := range s.fleet.Hosts {
		names = append(names, name)
	}
	slices.Sort(names)
	slow := map[rotation.HostName]bool{}
	for i, name := range names {
		if s.slowEach > 0 && i%s.slowEach == 0 {
			slow[name] = true
		}
	}
	return slow
}

func (s *stand) slowDown(ctx context.Context) error {
	for name := range s.slowHosts() {
		if err := s.Control(ctx, http.MethodPost, "/hosts/"+string(name)+"/bad", map[string]any{"kind": "lateReload", "delayMs": slowReload}, nil); err != nil {
			return err
		}
	}
	return nil
}

// others adds the exposures of the zones that have no slow host.
func others(_ context.Context, s *stand, f *figure) error {
	slow, skip := s.slowHosts(), map[string]bool{}
	for _, z := range s.fleet.Zones {
		skip[string(z.ID)] = slices.ContainsFunc(z.Hosts, func(h rotation.HostName) bool { return slow[h] })
	}
	f.SlowHosts = len(slow)
	for _, e := range f.exposures {
		if !skip[e.zone] {
			f.Others = append(f.Others, e.lasted())
		}
	}
	return nil
}

// slow compares the zones that have no slow host with a run in which nobody has.
func (s *summary) slow(runs []figure) {
	if len(runs) < 2 {
		return
	}
	without, with := runs[0], runs[1]
	ratio := with.Others.p99() / without.Others.p99()
	s.goal(ratio <= asWithout, fmt.Sprintf("%d of %d hosts slow (reload of %d s): p99 of the other zones, against a run without them", with.SlowHosts, with.Zones, slowReload/1000),
		fmt.Sprintf("≤ %.1f ×", asWithout), "%.2f × (%.0f ms)", ratio, with.Others.p99())
}
