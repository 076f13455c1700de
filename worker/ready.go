package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.temporal.io/api/enums/v1"

	"keywave/activities"
	"keywave/internal/deliver/ssh"
	"keywave/internal/edgeone"
	"keywave/internal/seal"
	"keywave/workflows"
)

// How a worker looks whether it is ready. Those who ask at once share an answer.
const (
	lookWithin = 4 * time.Second
	lookAgain  = 2 * time.Second
)

// readiness says why a worker is not ready to do its part.
type readiness struct {
	// checks are asked in turn; each says its reasons, in plain words.
	checks []func(context.Context) []string

	mu      sync.Mutex
	looked  time.Time
	reasons []string
}

func (r *readiness) unready(ctx context.Context) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.looked.IsZero() && time.Since(r.looked) < lookAgain {
		return r.reasons
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookWithin)
	defer cancel()
	r.reasons = nil
	for _, check := range r.checks {
		r.reasons = append(r.reasons, check(ctx)...)
	}
	r.looked = time.Now()
	return r.reasons
}

// stage is where a worker stands in its life.
type stage int32

const (
	starting stage = iota
	working
	stopping
)

// unready are the reasons of this worker.
func (w *workers) unready(ctx context.Context) []string {
	switch stage(w.stage.Load()) {
	case starting:
		return []string{"it starts: it does not poll yet"}
	case stopping:
		return []string{"it stops: it finishes or hands back what it holds"}
	}
	return w.ready.unready(ctx)
}

// readyChecks are what this worker's roles need.
func (w *workers) readyChecks() []func(context.Context) []string {
	all := []func(context.Context) []string{w.unpolled}
	if w.file != nil {
		all = append(all, fileCheck(w.file.problem))
	}
	for _, c := range w.callers {
		all = append(all, fileCheck(c.unreadable), c.badKeyset, c.leaseless)
	}
	if len(w.callers) > 0 {
		all = append(all, fileCheck(func() error { _, err := seal.OpenSealer(w.keyring, w.fleet.Locations); return err }))
	}
	if len(w.locations) > 0 {
		all = append(all, fileCheck(func() error { _, err := seal.OpenOpener(w.keyring, w.served()); return err }))
		all = append(all, fileCheck(func() error { _, err := ssh.NewShared(w.sshOptions(nil)); return err }))
	}
	return all
}

func fileCheck(read func() error) func(context.Context) []string {
	return func(context.Context) []string {
		if err := read(); err != nil {
			return []string{err.Error()}
		}
		return nil
	}
}

// unreadable says why the account's credential cannot be read now.
func (w *caller) unreadable() error {
	if err := edgeone.Readable(w.credentials); err != nil {
		return fmt.Errorf("account %s: %w", w.account.Name, err)
	}
	return nil
}

// badKeyset says what is wrong with the account's own keyset.
func (w *caller) badKeyset(context.Context) []string {
	if _, problem := w.keyset(); problem != "" {
		return []string{problem}
	}
	return nil
}

// leaseless says that nobody calls EdgeOne for the account. Who stands by while
// another holds the lease is ready.
func (w *caller) leaseless(ctx context.Context) []string {
	if w.lease.Valid() == nil {
		return nil
	}
	held, err := w.temporal.Works(ctx, workflows.LeaseID(w.account.Name), workflows.ActLease, activities.LeaseTimeout)
	switch {
	case err != nil:
		return []string{fmt.Sprintf("account %s: whether a process holds its lease is not known: Temporal at %s does not say", w.account.Name, w.temporal.Address)}
	case !held:
		return []string{fmt.Sprintf("account %s: no process holds its lease, so nobody calls EdgeOne for it", w.account.Name)}
	}
	return nil
}

// polled is a queue and what is taken from it.
type polled struct {
	queue string
	kind  enums.TaskQueueType
}

// polledNow are the queues that this worker has to poll now. The one of a lease is
// polled by those who stand by.
func (w *workers) polledNow() []polled {
	var all []polled
	if w.plays(roleOrchestrator) {
		all = append(all, polled{workflows.Queue, enums.TASK_QUEUE_TYPE_WORKFLOW}, polled{workflows.Queue, enums.TASK_QUEUE_TYPE_ACTIVITY})
	}
	activity := func(queue string) { all = append(all, polled{queue, enums.TASK_QUEUE_TYPE_ACTIVITY}) }
	for _, l := range w.locations {
		activity(workflows.LocationQueue(l.Name))
		activity(l.Queue)
	}
	for _, c := range w.callers {
		if c.active.Load() {
			activity(workflows.RefreshQueue(c.account.Name))
			activity(workflows.EdgeOneQueue(c.account.Name))
		} else if c.lease.Valid() != nil {
			activity(workflows.LeaseQueue(c.account.Name))
		}
	}
	return all
}

// unpolled names the queues that Temporal does not see this worker poll.
func (w *workers) unpolled(ctx context.Context) []string {
	var reasons []string
	for _, p := range w.polledNow() {
		polls, err := w.temporal.Polls(ctx, p.queue, p.kind, w.temporal.Identity)
		switch {
		case err != nil:
			return []string{fmt.Sprintf("whether it polls is not known: Temporal at %s does not say", w.temporal.Address)}
		case !polls:
			reasons = append(reasons, "Temporal does not see it poll the queue "+w.shared(p.queue))
		}
	}
	return reasons
}

// shared is a queue's name for people; this process's own has no name that helps.
func (w *workers) shared(queue string) string {
	for _, l := range w.locations {
		if l.Queue == queue {
			return workflows.LocationQueue(l.Name) + " of its own"
		}
	}
	return queue
}
