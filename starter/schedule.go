package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

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
refused when that is not the fleet that a person approved: the schedule then pauses.`,
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

// approve puts a person's approval of a fleet into what a schedule does.
func approve(in *workflows.ScheduledIn, f *fleet.Fleet, what, reason string) error {
	var err error
	in.Accounts = f.AccountNames()
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

func showLog(w io.Writer, log []workflows.Entry) {
	for _, e := range log {
		put(w, "  %s  %s\n", e.At.Local().Format(time.DateTime), strings.Join([]string{e.Text(), "by", e.By + ":", e.Reason}, " "))
	}
}
