package main

import (
	"sync"

	sdkworker "go.temporal.io/sdk/worker"
)

// stop ends the roles: first those that change something, the workflows last,
// so that what was finished is also told.
func (w *workers) stop() {
	close(w.release)
	var holding []sdkworker.Worker
	for _, c := range w.callers {
		if c.holding != nil {
			holding = append(holding, c.holding)
		}
	}
	for _, c := range w.callers {
		if c.early != nil {
			c.early.stop(true)
		}
	}
	stopAll(holding)
	stopAll(w.running)
	for _, l := range w.locations {
		for _, h := range l.Hosts() {
			_ = h.Close()
		}
	}
}

func stopAll(all []sdkworker.Worker) {
	var group sync.WaitGroup
	for _, r := range all {
		group.Go(r.Stop)
	}
	group.Wait()
}
