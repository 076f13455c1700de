package main

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	sdkworker "go.temporal.io/sdk/worker"

	"keywave/activities"
	"keywave/internal/edgeone"
	"keywave/internal/harmless"
	"keywave/internal/rotation"
	"keywave/internal/telemetry"
	"keywave/workflows"
)

// standBy waits in the account's lease queue to become the active process.
func (w *caller) standBy(ctx context.Context) error {
	if err := w.patiently(ctx, func() error { return w.ensureLeases(ctx) }); err != nil {
		return err
	}
	var err error
	if w.holding, err = w.waitFor(workflows.LeaseIn{Account: w.account.Name}, w.lease, w.activate, w.release); err != nil {
		return err
	}
	if w.early != nil {
		if err := w.early.standBy(); err != nil {
			return err
		}
	}
	go w.keepLease(ctx)
	return nil
}

// waitFor waits in a lease's queue to be the process that it chooses.
func (w *caller) waitFor(in workflows.LeaseIn, lease *edgeone.Lease, activate func() (func(), error), release <-chan struct{}) (sdkworker.Worker, error) {
	o := w.activityOptions(1)
	o.WorkerStopTimeout = stopTimeout + 10*time.Second
	holding := sdkworker.New(w.temporal.Client, in.Queue(), o)
	workflows.RegisterLease(holding, &activities.Lease{
		Client: w.temporal.Client, Workflow: in.ID(), Extend: lease.Extend, Drop: lease.Drop, Activate: activate, Release: release,
	})
	return holding, holding.Start()
}

// ensureLeases starts the account's lease workflows where they do not run.
func (w *caller) ensureLeases(ctx context.Context) error {
	err := w.ensureLease(ctx, workflows.LeaseIn{Account: w.account.Name})
	if err == nil && w.early != nil {
		err = w.ensureLease(ctx, workflows.LeaseIn{Account: w.account.Name, Early: true})
	}
	return err
}

func (w *caller) ensureLease(ctx context.Context, in workflows.LeaseIn) error {
	_, err := w.temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: in.ID(), TaskQueue: workflows.Queue,
		WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		StaticSummary:            harmless.Summary("chooses " + in.Chooses()),
	}, workflows.TypeLease, in)
	if errors.As(err, new(*serviceerror.WorkflowExecutionAlreadyStarted)) {
		return nil
	}
	return err
}

const ensureEvery = 30 * time.Second

// keepLease starts the lease workflow again should somebody have ended it.
func (w *caller) keepLease(ctx context.Context) {
	tick := time.NewTicker(ensureEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := w.ensureLeases(ctx); err != nil && ctx.Err() == nil {
				w.log.Warn("the lease workflow cannot be started", telemetry.Account, w.account.Name, "error", err.Error())
			}
		}
	}
}

// activate takes up the account's queues: this process is the active one.
func (w *caller) activate() (func(), error) {
	account := w.account.Name
	o := w.activityOptions(rotation.RefreshesAtOnce(w.account.RequestsPerSecond))
	o.MaxHeartbeatThrottleInterval = activities.RefreshBeat // the server is to hear each beat
	refresh := sdkworker.New(w.temporal.Client, workflows.RefreshQueue(account), o)
	workflows.RegisterRefresh(refresh, w.edgeOne)
	rest := sdkworker.New(w.temporal.Client, workflows.EdgeOneQueue(account), w.activityOptions(describesAtOnce))
	workflows.RegisterEdgeOne(rest, w.edgeOne)
	if err := refresh.Start(); err != nil {
		return nil, err
	}
	if err := rest.Start(); err != nil {
		refresh.Stop()
		return nil, err
	}
	w.log.Info("active: this process calls EdgeOne", telemetry.Account, account)
	w.active.Store(true)
	w.early.rest()
	watching, unwatch := context.WithCancel(context.Background())
	go w.watch(watching)
	return func() {
		w.active.Store(false)
		unwatch()
		stopAll([]sdkworker.Worker{refresh, rest})
		w.standByAgain()
		w.log.Info("not active any more", telemetry.Account, account)
	}, nil
}
