package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"keywave/internal/fleet"
	"keywave/internal/plan"
	"keywave/internal/planning"
	"keywave/internal/temporalclient"
	"keywave/workflows"
)

// makePlan plans a fleet.
func makePlan(ctx context.Context, conn *temporalclient.Connection, f *fleet.Fleet, name string) (plan.Plan, error) {
	draft, err := planning.NewDraft(f, name)
	if err != nil {
		return draft.Plan, refused(err)
	}
	return freeze(ctx, conn, f, draft)
}

// freeze starts a draft of the fleet and its pages, and waits for the plan.
func freeze(ctx context.Context, conn *temporalclient.Connection, f *fleet.Fleet, draft planning.Draft) (plan.Plan, error) {
	if err := awaitWorker(ctx, conn); err != nil {
		return draft.Plan, err
	}
	plan := draft.Plan
	run, err := draft.Start(ctx, conn)
	if errors.As(err, new(*serviceerror.WorkflowExecutionAlreadyStarted)) {
		return plan, refused(fmt.Errorf("there is a plan or campaign named %s already; give another --name", plan.Name))
	}
	if err != nil {
		return plan, refused(fmt.Errorf("the plan cannot be started: %w", err))
	}
	if err := draft.StartPages(ctx, conn); err != nil {
		return plan, refused(err)
	}
	if err = waitForWorker(ctx, conn, run, &plan); err == nil {
		if away := planning.UnreachableBy(f, plan); away != nil {
			err = refused(away)
		}
	}
	if err != nil {
		draft.Discard(ctx, conn)
	}
	return plan, err
}

var errNoWorker = errors.New("no worker polls the task queue")

func noWorker(conn *temporalclient.Connection) error {
	return refused(fmt.Errorf("%w %q at %s; start one: bin/worker --fleet fleet.yaml", errNoWorker, workflows.Queue, conn.Address))
}

// waitForWorker waits for the result of a workflow that changes nothing, and
// ends it when nobody works on it any more.
func waitForWorker(ctx context.Context, conn *temporalclient.Connection, run client.WorkflowRun, result any) error {
	done := make(chan error, 1)
	go func() { done <- run.Get(ctx, result) }()
	tick := time.NewTicker(noWorkerAfter)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return planFailure(err)
		case <-tick.C:
			if ok, err := hasPollers(ctx, conn, workflows.Queue, enums.TASK_QUEUE_TYPE_WORKFLOW); err == nil && !ok {
				_ = conn.TerminateWorkflow(ctx, run.GetID(), run.GetRunID(), "no worker")
				return noWorker(conn)
			}
		}
	}
}

const (
	lookForWorkerEvery = 250 * time.Millisecond
	noWorkerAfter      = 10 * time.Second
)

func planFailure(err error) error {
	if err == nil {
		return nil
	}
	var app *temporal.ApplicationError
	if errors.As(err, &app) {
		return refused(errors.New(app.Message()))
	}
	return err
}
