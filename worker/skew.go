package main

import (
	"context"
	"time"

	"keywave/internal/telemetry"
	"keywave/internal/temporalclient"
	"keywave/workflows"
)

const lookAtOthers = 30 * time.Second

// watchFleets warns of workers that play the same roles with another fleet file: what
// one plans or proves, the other refuses. Each is named once.
func (w *workers) watchFleets(ctx context.Context) {
	warned := map[string]bool{}
	tick := time.NewTicker(lookAtOthers)
	defer tick.Stop()
	for {
		for _, queue := range w.sharedQueues() {
			marks, err := w.temporal.Fleets(ctx, queue)
			if err != nil && ctx.Err() == nil {
				w.log.Debug("whether other workers have the same fleet file is not known", "queue", queue, "error", err.Error())
			}
			for worker, mark := range marks {
				own := w.mark()
				if mark == own || warned[worker+own] || w.file.young() || temporalclient.SameWorker(worker, w.identity()) {
					continue
				}
				warned[worker+own] = true
				w.log.Warn("another worker has another fleet file: give both the same, or what one does the other refuses",
					"queue", queue, "worker", worker, telemetry.Fleet, mark, "own", own)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// sharedQueues are those that others with the same roles poll too.
func (w *workers) sharedQueues() []string {
	var all []string
	for _, c := range w.callers {
		all = append(all, workflows.LeaseQueue(c.account.Name), workflows.EdgeOneQueue(c.account.Name))
	}
	for _, l := range w.locations {
		all = append(all, workflows.LocationQueue(l.Name))
	}
	return all
}
