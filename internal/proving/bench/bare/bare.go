// Package bare is the yardstick: the least that anybody's program costs on
// Temporal when it does something for each zone. A parent starts a child for each
// of them, some at a time, and each child has two activities that return at once.
// It uses the plain SDK with its defaults, as a sample does, and no line of
// Keywave.
package bare

import (
	"context"
	"fmt"
	"io"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	sdkworker "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

const queue = "bare"

// Parent runs the children, at most atOnce of them at the same time.
func Parent(ctx workflow.Context, children, atOnce int) error {
	var failed error
	next := 0
	lanes := workflow.NewWaitGroup(ctx)
	for range atOnce {
		lanes.Add(1)
		workflow.Go(ctx, func(ctx workflow.Context) {
			defer lanes.Done()
			for next < children && failed == nil {
				next++
				if err := workflow.ExecuteChildWorkflow(ctx, Child, next).Get(ctx, nil); err != nil {
					failed = err
				}
			}
		})
	}
	lanes.Wait(ctx)
	return failed
}

// Child has two activities, one after the other.
func Child(ctx workflow.Context, number int) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	for range 2 {
		if err := workflow.ExecuteActivity(ctx, Nothing, number).Get(ctx, nil); err != nil {
			return err
		}
	}
	return nil
}

// Nothing is the activity.
func Nothing(context.Context, int) error { return nil }

// Work is the worker. It writes a line once it polls, and ends with ctx.
func Work(ctx context.Context, address string, out io.Writer, logger log.Logger) error {
	c, err := client.DialContext(ctx, client.Options{HostPort: address, Logger: logger})
	if err != nil {
		return err
	}
	defer c.Close()
	w := sdkworker.New(c, queue, sdkworker.Options{})
	w.RegisterWorkflow(Parent)
	w.RegisterWorkflow(Child)
	w.RegisterActivity(Nothing)
	if err := w.Start(); err != nil {
		return err
	}
	defer w.Stop()
	fmt.Fprintln(out, "ready")
	<-ctx.Done()
	return nil
}

// Run runs the pattern, and waits for its end.
func Run(ctx context.Context, c client.Client, children, atOnce int) error {
	run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{TaskQueue: queue}, Parent, children, atOnce)
	if err != nil {
		return err
	}
	return run.Get(ctx, nil)
}
