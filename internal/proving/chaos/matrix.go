package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"keywave/internal/proving/stage"
	"keywave/internal/rotation"
)

// The crash matrix: for each edge, each victim is killed exactly there. Where
// possible the edge is held open, so that the kill falls between it and the
// next one.

// at is an edge of the journal.
type at struct {
	kind, action string
	staged       bool             // with the strategy staged
	step         string           // what has happened there, where kind does not say it
	hold         map[string]any   // the fault of the API that holds it open
	bad          []map[string]any // the hosts' bad days that lead there and hold it open
}

// late holds some commands of a host up, or all. Those that match it are told by the edge.
func late(kind, match string, count int) map[string]any {
	return map[string]any{"kind": kind, "match": match, "count": count, "delayMs": 700}
}

func edgesToTry() []at {
	slow := func(action, fault string) map[string]any {
		return map[string]any{"action": action, "count": 2, "fault": fault, "delayMs": 700}
	}
	return []at{
		{kind: "arrived", action: stage.RefreshAction, hold: slow(stage.RefreshAction, "delayBefore")},
		{kind: "executed", action: stage.RefreshAction, hold: slow(stage.RefreshAction, "delayAfter")},
		{kind: "answered", action: stage.RefreshAction},
		{kind: "arrived", action: stage.DescribeAction, hold: slow(stage.DescribeAction, "delayBefore")},
		{kind: "answered", action: stage.DescribeAction},
		{kind: "connected"},
		{kind: "exec", bad: []map[string]any{late("lateStart", "", 3)}},
		{kind: "stdin"},
		{kind: "renamed", bad: []map[string]any{late("lateReload", "", 0)}},
		{kind: "exited", bad: []map[string]any{late("lateAck", "", 3)}},
		{kind: "acknowledged"},
		// The key is in the history, and on no host. It lies on a host, which has not said so.
		{staged: true, step: "minted", kind: "late", bad: []map[string]any{late("lateStart", "\nstage\n", 3)}},
		{staged: true, step: "staged", kind: "exited", bad: []map[string]any{late("lateAck", "\nstage\n", 3)}},
		{staged: true, kind: "arrived", action: stage.ModifyAction, hold: slow(stage.ModifyAction, "delayBefore")},
		{staged: true, kind: "executed", action: stage.ModifyAction, hold: slow(stage.ModifyAction, "delayAfter")},
		{staged: true, kind: "answered", action: stage.ModifyAction},
		{staged: true, kind: "renamed", bad: []map[string]any{late("lateReload", "", 0)}},
		{staged: true, kind: "acknowledged"},
		// A key that one host did not take is removed from a host, which has not said so.
		{staged: true, step: "swept", kind: "exited", bad: []map[string]any{
			{"kind": "diskFull", "match": "\nstage\n", "count": 1}, late("lateAck", "\nunstage\n", 3),
		}},
	}
}

var victims = []string{"workers", "temporal", "workers and temporal"}

const matrixZones = 8

// matrix tries the cells whose name contains only. It tries the first most of
// them, or all when most is negative.
func matrix(ctx context.Context, bin, dir string, most int, only string) (total, error) {
	var sum total
	tried := 0
	for i, e := range edgesToTry() {
		for j, victim := range victims {
			if most >= 0 && tried >= most {
				return sum, nil
			}
			// A short matrix takes the diagonal, so that it has every victim.
			if most >= 0 && most < len(edgesToTry())*len(victims) && j != i%len(victims) {
				continue
			}
			if !strings.Contains(cellName(e, victim), only) {
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
	return fmt.Sprintf("kill %s at %s %s%s", victim, cmp.Or(e.step, e.kind), e.action, map[bool]string{true: " (staged)"}[e.staged])
}

// cell is one campaign with one kill.
func cell(ctx context.Context, bin, dir string, e at, victim string) (total, error) {
	strategy := rotation.RefreshWord
	if e.staged {
		strategy = string(rotation.Staged)
	}
	s, err := raise(ctx, bin, dir, matrixZones, 4, strategy, nil)
	defer s.Strike()
	if err != nil {
		return total{}, err
	}
	c := &crash{s}
	digest, err := c.plan(ctx)
	if err != nil {
		return total{}, err
	}
	if e.kind == "connected" { // connections from the plan would be used again, so begin without them
		c.kill("workers")
		if err := s.Heal(ctx); err != nil {
			return total{}, err
		}
	}
	from, err := c.holdOpen(ctx, e)
	if err != nil {
		return total{}, err
	}
	if _, err := s.CLI(ctx, "campaign", "start", "--plan", digest, "--name", campaign); err != nil {
		return total{}, err
	}
	t := total{campaigns: 1, zones: matrixZones}
	met := c.waitFor(ctx, e, from)
	if met {
		t.kills = c.kill(victim)
	}
	if err := s.Heal(ctx); err != nil {
		return t, err
	}
	st, ended := s.Finish(ctx, healing)
	wrong := s.Check(ctx, st, ended)
	if !met {
		wrong = append(wrong, "the edge was never reached, so nothing was killed there")
	}
	for _, v := range wrong {
		fmt.Printf("%s: VIOLATION: %s\n", cellName(e, victim), v)
	}
	t.violations = len(wrong)
	fmt.Printf("%s: violations=%d\n", cellName(e, victim), len(wrong))
	return t, nil
}

// crash is a stack in which a process is about to be killed.
type crash struct{ *stage.Stack }

// plan makes a plan in advance, so that the edges of planning are over.
func (s *crash) plan(ctx context.Context) (digest string, err error) {
	out, err := s.CLI(ctx, "plan", "-f", s.Places.Fleet, "--output", "json")
	if err != nil {
		return "", err
	}
	var plan struct {
		Digest string `json:"digest"`
	}
	err = json.Unmarshal([]byte(out), &plan)
	return plan.Digest, err
}

// holdOpen sets the bad days that hold the edge open. It returns the number of
// the journal's last edge.
func (s *crash) holdOpen(ctx context.Context, e at) (uint64, error) {
	if e.hold != nil {
		if err := s.Control(ctx, http.MethodPost, "/faults", e.hold, nil); err != nil {
			return 0, err
		}
	}
	hosts, err := s.Hosts(ctx)
	if err != nil {
		return 0, err
	}
	for _, bad := range e.bad {
		for name := range hosts {
			if err := s.Control(ctx, http.MethodPost, "/hosts/"+name+"/bad", bad, nil); err != nil {
				return 0, err
			}
		}
	}
	edges, err := s.Edges(ctx, 0)
	if err != nil || len(edges) == 0 {
		return 0, err
	}
	return edges[len(edges)-1].Seq, nil
}

// waitFor waits for the edge. An edge of a host counts only after the first
// refresh, because only then what happens on hosts is a delivery; one of a step counts
// where the bad day struck that tells the step's commands.
func (s *crash) waitFor(ctx context.Context, e at, after uint64) bool {
	deadline := time.Now().Add(time.Minute)
	refreshed := e.action != "" || e.kind == "connected" || e.step != ""
	for time.Now().Before(deadline) && ctx.Err() == nil {
		var page struct {
			Edges []stage.Edge `json:"edges"`
		}
		if err := s.Control(ctx, http.MethodGet, fmt.Sprintf("/edges?after=%d&max=1&wait=5s", after), nil, &page); err != nil {
			return false
		}
		for _, got := range page.Edges {
			after = got.Seq
			if got.Kind == "executed" && changesKeys(got.Action) {
				refreshed = true
			}
			if refreshed && got.Kind == e.kind && got.Action == e.action && (e.step == "" || got.Fault != "") {
				return true
			}
		}
	}
	return false
}

func (s *crash) kill(victim string) int {
	kills := 0
	if victim != "temporal" {
		for _, w := range s.Workers {
			w.Kill()
			kills++
		}
	}
	if victim != "workers" {
		s.Temporal.Kill()
		kills++
	}
	return kills
}
