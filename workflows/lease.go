package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"keywave/activities"
	"keywave/internal/harmless"
	"keywave/internal/rotation"
)

// LeaseIn names the account whose active process this lease chooses; Early, it is the
// one that reads early.
type LeaseIn struct {
	Account rotation.Account `json:"account"`
	Early   bool             `json:"early,omitempty"`
}

// ID is the workflow's.
func (in LeaseIn) ID() string {
	if in.Early {
		return EarlyID(in.Account)
	}
	return LeaseID(in.Account)
}

// Queue is where those wait who want the lease.
func (in LeaseIn) Queue() string {
	if in.Early {
		return EarlyLeaseQueue(in.Account)
	}
	return LeaseQueue(in.Account)
}

// Chooses says for people whom the lease chooses.
func (in LeaseIn) Chooses() string {
	if in.Early {
		return "the one process that reads a key early, where an answer of EdgeOne is late, for account " + string(in.Account)
	}
	return "the one process that calls EdgeOne for account " + string(in.Account)
}

// turnsPerRun bounds a run's history: a turn is one process's time as the
// active one, and adds six events.
const turnsPerRun = 200

// Lease gives one process per account the right to call EdgeOne, or to read early, for
// as long as the server hears from it. It never ends.
func Lease(ctx workflow.Context, in LeaseIn) error {
	show(ctx, mark("Chooses %s. The pending activity shows which one it is.", in.Chooses()))
	o := workflow.ActivityOptions{
		TaskQueue: in.Queue(), Summary: harmless.Summary(in.Chooses()),
		StartToCloseTimeout: limits().Lease.Close, HeartbeatTimeout: limits().Lease.Heartbeat,
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: 100 * time.Millisecond, BackoffCoefficient: 1},
	}
	for range turnsPerRun {
		hold := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, o), ActLease, activities.LeaseIn{Account: string(in.Account)})
		if err := hold.Get(ctx, nil); temporal.IsCanceledError(err) {
			return err
		}
	}
	return workflow.NewContinueAsNewError(ctx, TypeLease, in)
}
