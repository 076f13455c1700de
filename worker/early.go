package main

import (
	"context"
	"sync"

	sdkworker "go.temporal.io/sdk/worker"

	"keywave/activities"
	"keywave/internal/edgeone"
	"keywave/internal/rotation"
	"keywave/workflows"
)

// early is this process's part in reading keys early for an account. While it is not the
// active process, it waits for the lease of the one that may: should the active one be
// lost, its refreshes have a reader at once. The two share the account's limit.
type early struct {
	*caller
	lease   *edgeone.Lease
	pace    *edgeone.Pace
	edgeOne *activities.EdgeOne

	mu      sync.Mutex
	holding sdkworker.Worker // nil while it does not wait
	release chan struct{}
	over    bool // the process stops
}

// wireEarly makes the part that reads early; there is none without a pace for it.
func (w *caller) wireEarly(pace *edgeone.Pace, sealer rotation.Sealer) error {
	if pace == nil {
		return nil
	}
	e := &early{caller: w, lease: &edgeone.Lease{}, pace: pace}
	api, err := w.api(pace, e.lease, nil)
	if err != nil {
		return err
	}
	e.edgeOne = w.answers(api, sealer)
	w.early = e
	return nil
}

// standBy waits for the lease of the process that reads early, unless it does already.
func (e *early) standBy() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.holding != nil || e.over {
		return nil
	}
	var err error
	e.release = make(chan struct{})
	e.holding, err = e.waitFor(workflows.LeaseIn{Account: e.account.Name, Early: true}, e.lease, e.activate, e.release)
	return err
}

// standByAgain is for a process that was the active one.
func (w *caller) standByAgain() {
	if w.early == nil {
		return
	}
	if err := w.early.standBy(); err != nil {
		w.log.Warn("it does not stand by to read keys early: " + err.Error())
	}
}

// rest hands the lease back, because this process is the active one now, and does not
// wait for that.
func (e *early) rest() {
	if e != nil {
		go e.stop(false)
	}
}

// stop hands the lease back and waits for that; over is for the process's end.
func (e *early) stop(over bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.over = e.over || over
	if e.holding == nil {
		return
	}
	close(e.release)
	e.holding.Stop()
	e.holding = nil
}

// activate takes up the queue of early reads, and looks after the active process.
func (e *early) activate() (func(), error) {
	reads := sdkworker.New(e.temporal.Client, workflows.EarlyQueue(e.account.Name), e.activityOptions(describesAtOnce))
	workflows.RegisterEarly(reads, e.edgeOne)
	if err := reads.Start(); err != nil {
		return nil, err
	}
	vigil, end := context.WithCancel(context.Background())
	go e.keepVigil(vigil)
	return func() { end(); reads.Stop() }, nil
}
