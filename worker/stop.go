package main

import (
	"sync"
	"time"

	sdkworker "go.temporal.io/sdk/worker"
)

// How long a worker that stops goes on serving the queues that its proofs name: until no
// zone has used them for a moment, and not for ever.
const (
	quietFor  = time.Second
	quietTurn = 100 * time.Millisecond
	servesFor = 15 * time.Second
)

// stop ends the roles: first those that change something, the workflows last,
// so that what was finished is also told.
func (w *workers) stop() {
	close(w.release)
	for _, l := range w.locations {
		l.Leave()
	}
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
	w.serveOut()
	for _, l := range w.locations {
		for _, h := range l.Hosts() {
			_ = h.Close()
		}
	}
}

// serveOut ends the queues that this worker's proofs name.
func (w *workers) serveOut() {
	quiet := func() bool {
		for _, l := range w.locations {
			if !l.Quiet(quietFor) {
				return false
			}
		}
		return true
	}
	for end := time.Now().Add(servesFor); !quiet() && time.Now().Before(end); {
		time.Sleep(quietTurn)
	}
	stopAll(w.own)
}

func stopAll(all []sdkworker.Worker) {
	var group sync.WaitGroup
	for _, r := range all {
		group.Go(r.Stop)
	}
	group.Wait()
}
