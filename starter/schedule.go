package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"keywave/internal/calendar"
	"keywave/internal/fleet"
	"keywave/internal/planning"
	"keywave/internal/temporalclient"
	"keywave/workflows"
)

func (a *app) schedule() *cobra.Command {
	cmd := &cobra.Command{
		Use: "schedule", Short: "Run campaigns of an approved fleet again and again",
		Long: `Run campaigns of an approved fleet again and again, in windows of the week and not
on frozen dates. Each run plans the fleet file of the account's worker, and is
refused when that is not what a person approved: the schedule then pauses.`,
		Example: "  keywave schedule create quarterly -f fleet.yaml --every 90d --window \"Sat 02:00-06:00 Asia/Hong_Kong\" --reason \"policy 7\"\n  keywave schedule list",
		Args:    oneBelow, RunE: showHelp,
	}
	cmd.AddCommand(a.scheduleCreate(), a.scheduleApprove(), a.scheduleList(), a.scheduleShow(), a.scheduleTrigger(),
		a.schedulePause(), a.scheduleResume(), a.scheduleDelete())
	return cmd
}

// approveOptions name a fleet that a person approves.
type approveOptions struct {
	fleetFile string
	digest    string
	reason    string
}

func (o *approveOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&o.fleetFile, "fleet", "f", "", "the fleet file that is approved")
	f.StringVar(&o.digest, "digest", "", "refuse if the fleet's digest is another")
	f.StringVar(&o.reason, "reason", "", "why, for the record")
}

// approved gives the fleet, and refuses one that is not meant.
func (a *app) approved(ctx context.Context, o *approveOptions) (*fleet.Fleet, *temporalclient.Connection, error) {
	if o.reason == "" {
		return nil, nil, errNoReason
	}
	f, conn, err := a.wholeFleet(ctx, o.fleetFile, "")
	if err == nil && o.digest != "" && o.digest != f.Digest {
		conn.Close()
		err = refused(fmt.Errorf("the digest of %s is %s, not %s; nothing was changed", o.fleetFile, f.Digest, o.digest))
	}
	return f, conn, err
}

var errNoReason = errors.New("why? give --reason")

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

var scheduleName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`)

func (a *app) createSchedule(ctx context.Context, name string, o *scheduleOptions) error {
	if !scheduleName.MatchString(name) {
		return fmt.Errorf("%q is no name; use at most 64 letters, digits and _.- with a letter or digit first", name)
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
	in := workflows.ScheduledIn{Schedule: name, Account: f.Accounts[0].Name, Hours: o.hours}
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
			StaticSummary: "a run of schedule " + name,
		},
		Overlap: enums.SCHEDULE_OVERLAP_POLICY_SKIP, CatchupWindow: workflows.CatchUp, PauseOnFailure: true,
		Note: note("created", o.reason),
	})
	switch {
	case errors.Is(err, temporal.ErrScheduleAlreadyRunning):
		return refused(fmt.Errorf("there is a schedule named %s already; look: keywave schedule show %s; approve another fleet: keywave schedule approve %s; or delete it first", name, name, name))
	case err != nil:
		return refused(fmt.Errorf("the schedule cannot be created: %w", err))
	}
	return a.showSchedule(ctx, conn, name)
}

// approve puts a person's approval of a fleet into what a schedule does.
func approve(in *workflows.ScheduledIn, f *fleet.Fleet, what, reason string) error {
	var err error
	if in.Accounts = nil; len(f.Accounts) > 1 {
		in.Accounts = f.AccountNames()
	}
	in.Approval, err = planning.Approve(f, operator(), reason, time.Now())
	record(in, what+" for fleet "+f.Digest, reason)
	return err
}

// record keeps what people did to a schedule.
func record(in *workflows.ScheduledIn, what, reason string) {
	in.Log.Add(workflows.Entry{At: time.Now().UTC(), What: what, By: operator(), Reason: reason})
}

func note(what, reason string) string { return fmt.Sprintf("%s by %s: %s", what, operator(), reason) }

// change changes a schedule, and records who did it and why.
func change(ctx context.Context, conn *temporalclient.Connection, name string, do func(*client.Schedule, *workflows.ScheduledIn) error) error {
	err := conn.ScheduleClient().GetHandle(ctx, workflows.ScheduleID(name)).Update(ctx, client.ScheduleUpdateOptions{
		DoUpdate: func(now client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
			s := &now.Description.Schedule
			action, in, err := scheduled(s)
			if err == nil {
				err = do(s, &in)
			}
			if err != nil {
				return nil, err
			}
			action.Args = []any{in}
			return &client.ScheduleUpdate{Schedule: s}, nil
		},
	})
	return noSchedule(name, err)
}

func noSchedule(name string, err error) error {
	if errors.As(err, new(*serviceerror.NotFound)) {
		return refused(fmt.Errorf("no schedule %s in Temporal; those there are: keywave schedule list", name))
	}
	return err
}

func (a *app) scheduleApprove() *cobra.Command {
	o := &approveOptions{}
	cmd := &cobra.Command{
		Use: "approve SCHEDULE -f fleet.yaml --reason R", Short: "Let a schedule run a fleet file that was changed", Args: exactly("SCHEDULE"),
		Long: `Let a schedule run a fleet file that was changed, from its next run on. What it is
that differs is said by the run that was refused. The account's worker must have
been started with the new file. A paused schedule stays paused.`,
		Example: "  keywave schedule approve quarterly -f fleet.yaml --reason \"two new zones\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			f, conn, err := a.approved(cmd.Context(), o)
			if err != nil {
				return err
			}
			defer conn.Close()
			return a.changeSchedule(cmd.Context(), args[0], func(_ *client.Schedule, in *workflows.ScheduledIn) error {
				if first := f.Accounts[0].Name; first != in.Account {
					return refused(fmt.Errorf("schedule %s is planned by account %s, and the fleet file's first account is %s", args[0], in.Account, first))
				}
				return approve(in, f, "approved", o.reason)
			})
		},
	}
	o.flags(cmd)
	return cmd
}

// changeSchedule changes a schedule and shows what it is then.
func (a *app) changeSchedule(ctx context.Context, name string, do func(*client.Schedule, *workflows.ScheduledIn) error) error {
	conn, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := change(ctx, conn, name, do); err != nil {
		return err
	}
	return a.showSchedule(ctx, conn, name)
}

// reasoned is a command about one schedule that needs a reason.
func (a *app) reasoned(use, short, long string, do func(ctx context.Context, name, reason string) error) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: use + " SCHEDULE --reason R", Short: short, Long: long, Args: exactly("SCHEDULE"),
		Example: fmt.Sprintf("  keywave schedule %s quarterly --reason \"…\"", use),
		RunE: func(cmd *cobra.Command, args []string) error {
			if reason == "" {
				return errNoReason
			}
			return do(cmd.Context(), args[0], reason)
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	return cmd
}

func (a *app) schedulePause() *cobra.Command {
	return a.reasoned("pause", "Begin no further run; one that is under way goes on", "", a.setPaused("paused", true))
}

func (a *app) scheduleResume() *cobra.Command {
	return a.reasoned("resume", "Begin runs again", "", a.setPaused("resumed", false))
}

func (a *app) setPaused(what string, paused bool) func(ctx context.Context, name, reason string) error {
	return func(ctx context.Context, name, reason string) error {
		return a.changeSchedule(ctx, name, func(s *client.Schedule, in *workflows.ScheduledIn) error {
			if s.State.Paused == paused {
				return refused(fmt.Errorf("schedule %s is %s already: %s", name, map[bool]string{true: "paused", false: "not paused"}[paused], s.State.Note))
			}
			s.State.Paused, s.State.Note = paused, note(what, reason)
			record(in, what, reason)
			return nil
		})
	}
}

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
			fmt.Fprintf(w, "A run of schedule %s has begun; it plans, and then runs campaign %s.\nLook at it: keywave schedule show %s\n", name, run.Campaign, name)
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
			return lookAtRun(ctx, conn, name, now.Info.RecentActions[len(now.Info.RecentActions)-1])
		}
		select {
		case <-ctx.Done():
			return scheduleRun{}, fmt.Errorf("schedule %s was triggered, and Temporal has begun nothing within %s; look: keywave schedule show %s", name, triggerWithin, name)
		case <-tick:
		}
	}
}

func (a *app) scheduleDelete() *cobra.Command {
	return a.reasoned("delete", "End a schedule; a run that is under way goes on",
		"End a schedule. A run that is under way goes on, and so do campaigns and plans\nthat were made; what people did to the schedule is forgotten, and is printed here.", func(ctx context.Context, name, reason string) error {
			conn, err := a.connect(ctx)
			if err != nil {
				return err
			}
			defer conn.Close()
			view, err := viewOf(ctx, conn, name)
			if err != nil {
				return err
			}
			if err := conn.ScheduleClient().GetHandle(ctx, workflows.ScheduleID(name)).Delete(ctx); err != nil {
				return noSchedule(name, err)
			}
			view.Log = append(view.Log, workflows.Entry{At: time.Now().UTC(), What: "deleted", By: operator(), Reason: reason})
			view.Next = nil
			return a.print(view, func(w io.Writer) {
				fmt.Fprintf(w, "Schedule %s is deleted. What was done to it:\n", name)
				showLog(w, view.Log)
			})
		})
}

func showLog(w io.Writer, log []workflows.Entry) {
	for _, e := range log {
		fmt.Fprintf(w, "  %s  %s\n", e.At.Local().Format(time.DateTime), strings.Join([]string{e.Text(), "by", e.By + ":", e.Reason}, " "))
	}
}
