package main

import (
	"context"
	"net/http"
	"time"

	"keywave/internal/proving/stage"
)

// Silence: answers that never come. Reads hang until the client gives up. The
// process that calls EdgeOne is killed after a refresh was executed and before
// its answer is sent, while the orchestrator and the hosts' worker go on.

// silentWorkers are an orchestrator that also serves the hosts, and two
// processes for EdgeOne, of which one is active.
func silentWorkers() [][]string {
	return [][]string{{"--roles", "orchestrator,location"}, {"--roles", "edgeone"}, {"--roles", "edgeone"}}
}

func (w *weather) beSilent(ctx context.Context, while time.Duration) {
	end := time.Now().Add(while)
	for time.Now().Before(end) && ctx.Err() == nil {
		if stage.Pause(ctx, time.Duration(w.rng.IntN(3000))*time.Millisecond) != nil {
			return
		}
		switch w.rng.IntN(5) {
		case 0, 1:
			w.hangReads(ctx)
		case 2, 3:
			w.killBetweenExecutionAndAnswer(ctx)
		default:
			w.hostFault(ctx)
		}
	}
}

// hangReads makes some of the next reads hang for a minute.
func (w *weather) hangReads(ctx context.Context) {
	f := map[string]any{"action": stage.DescribeAction, "count": 2 + w.rng.IntN(10), "fault": "delayBefore", "delayMs": 60_000}
	if w.Control(ctx, http.MethodPost, "/faults", f, nil) == nil {
		w.faults++
	}
}

// killBetweenExecutionAndAnswer delays the next answers, waits for an
// execution, and then kills both processes for EdgeOne. They stay away for a
// while.
func (w *weather) killBetweenExecutionAndAnswer(ctx context.Context) {
	edges, err := w.Edges(ctx, 0)
	if err != nil || len(edges) == 0 {
		return
	}
	hold := map[string]any{"action": w.changes, "count": 2, "fault": "delayAfter", "delayMs": 3000}
	if w.Control(ctx, http.MethodPost, "/faults", hold, nil) != nil {
		return
	}
	w.faults++
	c := &crash{w.Stack}
	if !c.executedWithin(ctx, w.changes, edges[len(edges)-1].Seq, 5*time.Second) {
		return
	}
	for i := 1; i < len(w.Workers); i++ {
		w.Workers[i].Kill()
		w.kills++
	}
	_ = stage.Pause(ctx, time.Duration(w.rng.IntN(15))*time.Second)
	for i := 1; i < len(w.Workers); i++ {
		_ = w.StartWorker(i)
	}
}

// executedWithin waits for a refresh that is executed.
func (s *crash) executedWithin(ctx context.Context, action string, after uint64, within time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return s.waitFor(ctx, at{kind: "executed", action: action}, after)
}
