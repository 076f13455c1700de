package main

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"time"
)

// The crash matrix: at each edge in turn, each victim is killed, exactly there.
// The edge is held open where that can be done, so that the kill falls between
// it and the next one.

// at is an edge of the journal.
type at struct {
	kind, action string
	hold         map[string]any // the API fault that holds it open
	bad          map[string]any // the hosts' bad day that does
}

const describeAction = "DescribeMultiPathGatewaySecretKey"

func edgesToTry() []at {
	slow := func(action, fault string) map[string]any {
		return map[string]any{"action": action, "count": 2, "fault": fault, "delayMs": 700}
	}
	return []at{
		{kind: "arrived", action: refreshAction, hold: slow(refreshAction, "delayBefore")},
		{kind: "executed", action: refreshAction, hold: slow(refreshAction, "delayAfter")},
		{kind: "answered", action: refreshAction},
		{kind: "arrived", action: describeAction, hold: slow(describeAction, "delayBefore")},
		{kind: "answered", action: describeAction},
		{kind: "connected"},
		{kind: "exec", bad: map[string]any{"kind": "lateStart", "count": 3, "delayMs": 700}},
		{kind: "stdin"},
		{kind: "exited", bad: map[string]any{"kind": "lateAck", "count": 3, "delayMs": 700}},
		{kind: "acknowledged"},
	}
}

var victims = []string{"workers", "temporal", "workers and temporal"}

const matrixZones = 8

// matrix tries the first most cells, or all when most is negative. One set of
// processes serves all victims of an edge.
func matrix(ctx context.Context, bin, dir string, most int) (total, error) {
	var sum total
	tried := 0
	for i, e := range edgesToTry() {
		for j, victim := range victims {
			if most >= 0 && tried >= most {
				return sum, nil
			}
			// A short matrix walks the diagonal, so that it meets every victim.
			if most >= 0 && most < len(edgesToTry())*len(victims) && j != i%len(victims) {
				continue
			}
			tried++
			one, err := cell(ctx, bin, filepath.Join(dir, fmt.Sprintf("%02d-%d", i, j)), e, victim)
			sum.add(one)
			if err != nil {
				return sum, fmt.Errorf("%s: %w", cellName(e, victim), err)
			}
		}
	}
	return sum, nil
}

func cellName(e at, victim string) string {
	return fmt.Sprintf("kill %s at %s %s", victim, e.kind, e.action)
}

// cell is one campaign with one kill.
func cell(ctx context.Context, bin, dir string, e at, victim string) (total, error) {
	s, err := raise(ctx, bin, dir, matrixZones, 4)
	defer s.strike()
	if err != nil {
		return total{}, err
	}
	if err := s.planOnly(ctx); err != nil {
		return total{}, err
	}
	from, err := s.holdOpen(ctx, e)
	if err != nil {
		return total{}, err
	}
	if _, err := s.cli(ctx, "campaign", "start", "-f", s.places.Fleet, "--name", campaign); err != nil {
		return total{}, err
	}
	t := total{campaigns: 1, zones: matrixZones}
	met := s.waitFor(ctx, e, from)
	if met {
		t.kills = s.kill(victim)
	}
	if err := s.heal(ctx); err != nil {
		return t, err
	}
	st, ended := s.finish(ctx, healing)
	wrong := s.check(ctx, st, ended)
	if !met {
		wrong = append(wrong, "the edge was never met, so nothing was killed there")
	}
	for _, v := range wrong {
		fmt.Printf("%s: VIOLATION: %s\n", cellName(e, victim), v)
	}
	t.violations = len(wrong)
	fmt.Printf("%s: violations=%d\n", cellName(e, victim), len(wrong))
	return t, nil
}

// planOnly warms everything up, so that the edges of planning are over.
func (s *set) planOnly(ctx context.Context) error {
	_, err := s.cli(ctx, "plan", "-f", s.places.Fleet)
	return err
}

// holdOpen sets the bad days that hold the edge open, and says where the
// journal stands.
func (s *set) holdOpen(ctx context.Context, e at) (uint64, error) {
	if e.hold != nil {
		if err := s.control(ctx, http.MethodPost, "/faults", e.hold, nil); err != nil {
			return 0, err
		}
	}
	if e.bad != nil {
		hosts, err := s.hosts(ctx)
		if err != nil {
			return 0, err
		}
		for name := range hosts {
			if err := s.control(ctx, http.MethodPost, "/hosts/"+name+"/bad", e.bad, nil); err != nil {
				return 0, err
			}
		}
	}
	edges, err := s.edges(ctx, 0)
	if err != nil || len(edges) == 0 {
		return 0, err
	}
	return edges[len(edges)-1].Seq, nil
}

// waitFor waits for the edge: of a host, one after the first refresh, when what
// happens on hosts is delivery.
func (s *set) waitFor(ctx context.Context, e at, after uint64) bool {
	deadline := time.Now().Add(time.Minute)
	refreshed := e.action != "" || e.kind == "connected"
	for time.Now().Before(deadline) && ctx.Err() == nil {
		var page struct {
			Edges []edge `json:"edges"`
		}
		if err := s.control(ctx, http.MethodGet, fmt.Sprintf("/edges?after=%d&max=1&wait=5s", after), nil, &page); err != nil {
			return false
		}
		for _, got := range page.Edges {
			after = got.Seq
			if got.Edge == "executed" && got.Action == refreshAction {
				refreshed = true
			}
			if refreshed && got.Edge == e.kind && got.Action == e.action {
				return true
			}
		}
	}
	return false
}

func (s *set) kill(victim string) int {
	kills := 0
	if victim != "temporal" {
		for _, w := range s.workers {
			w.Kill()
			kills++
		}
	}
	if victim != "workers" {
		s.temporal.Kill()
		kills++
	}
	return kills
}
