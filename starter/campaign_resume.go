package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"

	"keywave/internal/rotation"
	"keywave/internal/temporalclient"
	"keywave/workflows"
)

func (a *app) campaignResume() *cobra.Command {
	var o workflows.Order
	var watch bool
	cmd := &cobra.Command{
		Use: "resume NAME", Short: "Go on with whatever is not done, open or closed", Args: exactly("NAME"),
		Long: `Go on with whatever is not done. An open, paused campaign is resumed; one that was
closed (ended, cancelled, terminated) gets a new run of the same plan. Zones
that are done or skipped are left alone; exposed ones get the live key delivered
and are never refreshed; unknown ones are read back first; the others rotate.`,
		Example: "  keywave campaign resume spring-rotation --watch",
	}
	read := budgetFlags(cmd, &o)
	cmd.Flags().BoolVar(&o.OutsideWindow, "outside-window", false, "go on although a window is closed or a date frozen; recorded")
	cmd.Flags().BoolVar(&o.WaiveHealth, "waive-health", false, "go on although a health check is not content; recorded")
	cmd.Flags().BoolVar(&watch, "watch", false, "watch until it ends or needs a person")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		read()
		if o.OutsideWindow && o.Reason == "" {
			return errors.New("--outside-window refreshes when nothing should be; say why with --reason")
		}
		return a.resume(cmd.Context(), args[0], o, watch)
	}
	return cmd
}

func (a *app) resume(ctx context.Context, name string, o workflows.Order, watch bool) error {
	conn, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	described, err := conn.DescribeWorkflowExecution(ctx, workflows.CampaignID(name), "")
	if errors.As(err, new(*serviceerror.NotFound)) {
		return noCampaign(name)
	}
	if err != nil {
		return fmt.Errorf("campaign %s cannot be read: %w", name, err)
	}
	if described.GetWorkflowExecutionInfo().GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
		if status, err := statusOf(ctx, conn, name); err == nil {
			if plan, err := planOf(ctx, conn, status); err == nil {
				a.warnOfClocks(ctx, conn, plan)
			}
		}
		answer, err := order(ctx, conn, name, workflows.UpdateResume, o)
		if err != nil {
			return err
		}
		return a.underWay(ctx, conn, name, fmt.Sprintf("Campaign %s: %s. See it: keywave campaign watch %s", name, answer.Text, name), watch)
	}
	if nothingLeft, err := a.reopen(ctx, conn, name, described.GetWorkflowExecutionInfo().GetExecution().GetRunId(), o); err != nil {
		return err
	} else if nothingLeft != "" {
		return a.underWay(ctx, conn, name, nothingLeft, watch)
	}
	return a.underWay(ctx, conn, name, fmt.Sprintf("Campaign %s goes on. See it: keywave campaign watch %s", name, name), watch)
}

// reopen starts a new run of a closed campaign, or says why nothing is left to do.
func (a *app) reopen(ctx context.Context, conn *temporalclient.Connection, name, run string, o workflows.Order) (nothingLeft string, err error) {
	status, err := statusOf(ctx, conn, name)
	if err != nil {
		return "", err
	}
	if status.Zones.Settled() {
		return fmt.Sprintf("Campaign %s: all %s are done or skipped, nothing is left to do.", name, many(status.Zones.Total, "zone")), nil
	}
	plan, err := planOf(ctx, conn, status)
	if err != nil {
		return "", err
	}
	if old := workflows.TooOld(plan, time.Now()); old != "" {
		return "", refused(errors.New(old))
	}
	var last workflows.CampaignIn
	if err := temporalclient.Input(ctx, conn, workflows.CampaignID(name), "", &last); err != nil {
		return "", fmt.Errorf("the latest run of campaign %s cannot be read: %w", name, err)
	}
	began := last.Began
	if began.IsZero() {
		began = status.StartedAt
	}
	in := workflows.CampaignIn{
		Name: name, Plan: status.Plan, Digest: status.PlanDigest, By: operator(), Reason: o.Reason,
		Again: true, Previous: run, Began: began, Outside: o.OutsideWindow, Drift: status.Drift, Also: status.Also, Reread: status.Reread,
	}
	in.RereadBy = map[rotation.Account]int{}
	for _, a := range status.Accounts {
		in.RereadBy[a.Account] = a.Reread
	}
	if status.Hours != nil {
		in.Hours = status.Hours.Own
	}
	a.warnOfClocks(ctx, conn, plan)
	if err := launch(ctx, conn, in, plan, true); err != nil {
		return "", err
	}
	if o.Window == nil && o.MaxFailed == nil && o.MaxExposed == nil {
		return "", nil
	}
	_, err = order(ctx, conn, name, workflows.UpdateSet, o)
	return "", err
}
