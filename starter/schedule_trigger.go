package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"

	"keywave/internal/temporalclient"
	"keywave/workflows"
)

// triggered is what trigger prints.
type triggered struct {
	Schedule string `json:"schedule"`
	Campaign string `json:"campaign"`
}

const (
	triggerWithin = 30 * time.Second
	triggerEvery  = 200 * time.Millisecond
)

func (a *app) scheduleTrigger() *cobra.Command {
	return a.reasoned("trigger", "Begin a run now, paused or not", "", func(ctx context.Context, name, reason string) error {
		conn, err := a.connect(ctx)
		if err != nil {
			return err
		}
		defer conn.Close()
		run, err := trigger(ctx, conn, name, reason)
		if err != nil {
			return err
		}
		return a.print(triggered{name, run.Campaign}, func(w io.Writer) {
			put(w, "A run of schedule %s has begun; it plans, and then runs campaign %s.\nSee it: keywave schedule show %s\n", name, run.Campaign, name)
		})
	})
}

func trigger(ctx context.Context, conn *temporalclient.Connection, name, reason string) (scheduleRun, error) {
	before, err := describe(ctx, conn, name)
	if err != nil {
		return scheduleRun{}, err
	}
	if len(before.Info.RunningWorkflows) > 0 {
		return scheduleRun{}, refused(fmt.Errorf("a run of schedule %s is under way, and runs do not overlap: keywave schedule show %s", name, name))
	}
	if err := change(ctx, conn, name, func(_ *client.Schedule, in *workflows.ScheduledIn) error {
		record(in, "triggered", reason)
		return nil
	}); err != nil {
		return scheduleRun{}, err
	}
	if err := conn.ScheduleClient().GetHandle(ctx, workflows.ScheduleID(name)).Trigger(ctx, client.ScheduleTriggerOptions{}); err != nil {
		return scheduleRun{}, fmt.Errorf("schedule %s was not triggered: %w", name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, triggerWithin)
	defer cancel()
	for tick := time.Tick(triggerEvery); ; {
		now, err := describe(ctx, conn, name)
		if err == nil && now.Info.NumActions > before.Info.NumActions {
			return runOf(ctx, conn, name, now.Info.RecentActions[len(now.Info.RecentActions)-1])
		}
		select {
		case <-ctx.Done():
			return scheduleRun{}, fmt.Errorf("schedule %s was triggered, and Temporal has begun nothing within %s; see: keywave schedule show %s", name, triggerWithin, name)
		case <-tick:
		}
	}
}
