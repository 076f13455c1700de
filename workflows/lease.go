package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"keywave/activities"
	"keywave/internal/harmless"
	"keywave/internal/rotation"
)

// LeaseIn names the account whose active process this lease chooses.
type LeaseIn struct {
	Account rotation.Account `json:"account"`
}

// turnsPerRun bounds a run's history: a turn is one process's time as the
// active one, and adds six events.
const turnsPerRun = 200

// Lease gives one process per account the right to call EdgeOne, for as long
// as the server hears from it. It never ends.
func Lease(ctx workflow.Context, in LeaseIn) error {
	show(ctx, mark("Chooses the one process that may call EdgeOne for account **%s**. The pending activity shows which one it is.", in.Account))
	o := workflow.ActivityOptions{
		TaskQueue: LeaseQueue(in.Account), Summary: harmless.Summary("the active edgeone process of " + string(in.Account)),
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
