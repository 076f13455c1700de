package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"keywave/internal/calendar"
	"keywave/internal/harmless"
	"keywave/workflows"
)

type scheduleOptions struct {
	approveOptions
	every  string
	jitter time.Duration
	hours  calendar.Spec
}

func (a *app) scheduleCreate() *cobra.Command {
	o := &scheduleOptions{}
	cmd := &cobra.Command{
		Use: "create SCHEDULE -f fleet.yaml --every 90d --reason R", Short: "Approve a fleet and run campaigns of it from now on", Args: exactly("SCHEDULE"),
		Long: `Approve a fleet and run campaigns of it from now on: the first after one interval.
A run that is due plans at once; outside its windows its campaign waits for the
next one. A run that is due on a frozen date is left out, and so is one that is
due while the one before it goes on. One that does not end with all zones done
pauses the schedule.`,
		Example: `  keywave schedule create quarterly -f fleet.yaml --every 90d --jitter 1h --reason "policy 7" \
    --window "Sat 02:00-06:00 Asia/Hong_Kong" --freeze 2026-12-20..2027-01-05`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.createSchedule(cmd.Context(), args[0], o) },
	}
	o.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.every, "every", "", "how often: days, such as 90d, or a duration")
	f.DurationVar(&o.jitter, "jitter", 0, "begin up to this much later, at random")
	f.StringArrayVar(&o.hours.Windows, "window", nil, `when refreshes may start, such as "Sat 02:00-06:00 Asia/Hong_Kong"; several add up`)
	f.StringArrayVar(&o.hours.Freeze, "freeze", nil, "dates without refreshes, such as 2026-12-20..2027-01-05; several add up")
	return cmd
}

func (a *app) createSchedule(ctx context.Context, name string, o *scheduleOptions) error {
	if err := workflows.CheckScheduleName(name); err != nil {
		return err
	}
	if o.every == "" {
		return errors.New("how often? give --every, such as --every 90d")
	}
	every, err := calendar.ParseEvery(o.every)
	if err != nil {
		return fmt.Errorf("--every: %w", err)
	}
	f, conn, err := a.approved(ctx, &o.approveOptions)
	if err != nil {
		return err
	}
	defer conn.Close()
	in := workflows.ScheduledIn{Schedule: name, Hours: o.hours}
	if err := approve(&in, f, "created", o.reason); err != nil {
		return err
	}
	all, err := calendar.Parse(in.Calendar()...)
	if err != nil {
		return err
	}
	now := time.Now()
	if look := all.Look(now); !look.Open && look.Until.IsZero() {
		return refused(fmt.Errorf("%s, so nothing would ever be refreshed; nothing was created", look.Why))
	}
	_, err = conn.ScheduleClient().Create(ctx, client.ScheduleOptions{
		ID: workflows.ScheduleID(name),
		Spec: client.ScheduleSpec{
			// Temporal counts intervals from 1970; the first is to end one interval from now.
			Intervals: []client.ScheduleIntervalSpec{{Every: every, Offset: time.Duration(now.Unix()) * time.Second % every}},
			Jitter:    o.jitter,
		},
		Action: &client.ScheduleWorkflowAction{
			ID: workflows.ScheduledID(name), Workflow: workflows.TypeScheduled, Args: []any{in}, TaskQueue: workflows.Queue,
			StaticSummary: harmless.Summary("a run of schedule " + name),
		},
		Overlap: enums.SCHEDULE_OVERLAP_POLICY_SKIP, CatchupWindow: workflows.CatchUp, PauseOnFailure: true,
		Note: note("created", o.reason),
	})
	switch {
	case errors.Is(err, temporal.ErrScheduleAlreadyRunning):
		return refused(fmt.Errorf("there is a schedule named %s already; see: keywave schedule show %s; approve another fleet: keywave schedule approve %s; or delete it first", name, name, name))
	case err != nil:
		return refused(fmt.Errorf("the schedule cannot be created: %w", err))
	}
	return a.showSchedule(ctx, conn, name)
}
