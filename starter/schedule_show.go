package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"keywave/internal/calendar"
	"keywave/internal/harmless"
	"keywave/internal/rotation"
	"keywave/internal/temporalclient"
	"keywave/workflows"
)

// scheduleView is what list and show print of a schedule.
type scheduleView struct {
	Schedule string `json:"schedule"`
	// Accounts are the fleet's; the worker of the first one plans.
	Accounts []rotation.Account `json:"accounts"`
	Every    string             `json:"every"`
	Jitter   string             `json:"jitter,omitempty"`
	// Windows and Freeze are the schedule's own and the fleet file's.
	Windows []string `json:"windows"`
	Freeze  []string `json:"freeze"`
	Paused  bool     `json:"paused"`
	Note    string   `json:"note"`
	// Approved is the fleet that it runs, and who approved that.
	Approved approved `json:"approved"`
	// Next are the next times without those on frozen dates.
	Next []nextRun `json:"next"`
	// Runs are the latest, newest first; Overlapped and Missed count times at
	// which none was begun.
	Runs       []scheduleRun     `json:"runs"`
	Overlapped int               `json:"overlapped"`
	Missed     int               `json:"missed"`
	Log        []workflows.Entry `json:"log"`
}

type approved struct {
	Fleet  string    `json:"fleet"`
	Zones  int       `json:"zones"`
	Hosts  int       `json:"hosts"`
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
}

// nextRun is a time at which a run is due; Waits says why its campaign will
// wait, Opens until when.
type nextRun struct {
	At    time.Time `json:"at"`
	Waits string    `json:"waits,omitempty"`
	Opens time.Time `json:"opens,omitzero"`
}

// scheduleRun is one run. State is running, done, skipped, or failed.
type scheduleRun struct {
	At       time.Time `json:"at"`
	Workflow string    `json:"workflow"`
	State    string    `json:"state"`
	Campaign string    `json:"campaign,omitempty"`
	Text     string    `json:"text,omitempty"`
}

// scheduled is what a schedule does.
func scheduled(s *client.Schedule) (*client.ScheduleWorkflowAction, workflows.ScheduledIn, error) {
	var in workflows.ScheduledIn
	action, ok := s.Action.(*client.ScheduleWorkflowAction)
	if !ok || len(action.Args) != 1 {
		return nil, in, errors.New("the schedule is not one of Keywave's")
	}
	payload, ok := action.Args[0].(*common.Payload)
	if !ok {
		return nil, in, errors.New("the schedule is not one of Keywave's")
	}
	return action, in, converter.GetDefaultDataConverter().FromPayload(payload, &in)
}

func describe(ctx context.Context, conn *temporalclient.Connection, name string) (*client.ScheduleDescription, error) {
	d, err := conn.ScheduleClient().GetHandle(ctx, workflows.ScheduleID(name)).Describe(ctx)
	return d, noSchedule(name, err)
}

const nextShown = 5

func viewOf(ctx context.Context, conn *temporalclient.Connection, name string) (scheduleView, error) {
	d, err := describe(ctx, conn, name)
	if err != nil {
		return scheduleView{}, err
	}
	_, in, err := scheduled(&d.Schedule)
	if err != nil {
		return scheduleView{}, err
	}
	v := scheduleView{
		Schedule: name, Accounts: in.Accounts, Windows: []string{}, Freeze: []string{}, Next: []nextRun{}, Runs: []scheduleRun{},
		Paused: d.Schedule.State.Paused, Note: d.Schedule.State.Note, Log: in.Log,
		Overlapped: d.Info.NumActionsSkippedOverlap, Missed: d.Info.NumActionsMissedCatchupWindow,
		Approved: approved{in.Approval.Digest, in.Approval.Zones, in.Approval.Hosts, in.Approval.By, in.Approval.At, in.Approval.Reason},
	}
	for _, i := range d.Schedule.Spec.Intervals {
		v.Every = calendar.Every(i.Every)
	}
	if jitter := d.Schedule.Spec.Jitter; jitter > 0 {
		v.Jitter = jitter.String()
	}
	for _, spec := range in.Calendar() {
		v.Windows, v.Freeze = append(v.Windows, spec.Windows...), append(v.Freeze, spec.Freeze...)
	}
	if v.Next, err = nextRuns(in, d.Info.NextActionTimes); err != nil {
		return v, err
	}
	for _, taken := range slices.Backward(d.Info.RecentActions) {
		run, err := runOf(ctx, conn, name, taken)
		if err != nil {
			return v, err
		}
		v.Runs = append(v.Runs, run)
	}
	return v, nil
}

// nextRuns leaves out times on frozen dates, and says which have to wait.
func nextRuns(in workflows.ScheduledIn, times []time.Time) ([]nextRun, error) {
	next := []nextRun{}
	all, err := calendar.Parse(in.Calendar()...)
	if err != nil {
		return next, err
	}
	for _, t := range times {
		look := all.Look(t)
		switch run := (nextRun{At: t}); {
		case look.Frozen || len(next) == nextShown:
		case !look.Open:
			run.Waits, run.Opens = look.Why, look.Until
			next = append(next, run)
		default:
			next = append(next, run)
		}
	}
	return next, nil
}

// runOf says how a run stands, or how it ended.
func runOf(ctx context.Context, conn *temporalclient.Connection, name string, taken client.ScheduleActionResult) (scheduleRun, error) {
	run := scheduleRun{At: taken.ActualTime}
	if taken.StartWorkflowResult == nil {
		return run, nil
	}
	run.Workflow = taken.StartWorkflowResult.WorkflowID
	id := taken.StartWorkflowResult.FirstExecutionRunID
	described, err := conn.DescribeWorkflowExecution(ctx, run.Workflow, id)
	if errors.As(err, new(*serviceerror.NotFound)) {
		run.State = "forgotten" // older than Temporal's retention
		return run, nil
	}
	if err != nil {
		return run, fmt.Errorf("run %s of schedule %s cannot be read: %w", run.Workflow, name, err)
	}
	info := described.GetWorkflowExecutionInfo()
	run.Campaign = workflows.ScheduledName(name, info.GetStartTime().AsTime())
	if info.GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
		run.State, run.Text = "running", "plans"
		if status, err := statusOf(ctx, conn, run.Campaign); err == nil {
			run.Text = strings.TrimSuffix(fmt.Sprintf("campaign is %s: %s", status.State, status.Reason), ": ")
		}
		return run, nil
	}
	var out workflows.ScheduledOut
	err = conn.GetWorkflow(ctx, run.Workflow, id).Get(ctx, &out)
	var app *temporal.ApplicationError
	switch {
	case err == nil && out.Skipped != "":
		run.State, run.Campaign, run.Text = "skipped", "", out.Skipped
	case err == nil:
		run.State, run.Text = "done", many(out.Zones, "zone")
	case errors.As(err, &app):
		run.State, run.Text = "failed", app.Message()
	default:
		run.State, run.Text = "failed", strings.ToLower(info.GetStatus().String())+" in Temporal"
	}
	return run, nil
}

func (a *app) scheduleShow() *cobra.Command {
	return &cobra.Command{
		Use: "show SCHEDULE", Short: "A schedule: what was approved, its next times, how its runs ended", Args: exactly("SCHEDULE"),
		Example: "  keywave schedule show quarterly --output json",
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer conn.Close()
			return a.showSchedule(cmd.Context(), conn, args[0])
		},
	}
}

func (a *app) showSchedule(ctx context.Context, conn *temporalclient.Connection, name string) error {
	v, err := viewOf(ctx, conn, name)
	if err != nil {
		return err
	}
	return a.print(v, func(w io.Writer) { v.show(w) })
}

func (v scheduleView) show(w io.Writer) {
	state := "is active"
	if v.Paused {
		state = "is paused"
	}
	every := "every " + v.Every
	if v.Jitter != "" {
		every += ", up to " + v.Jitter + " later"
	}
	put(w, "Schedule %s %s: %s\n", v.Schedule, state, v.Note)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range [][2]string{
		{"runs", every},
		{"windows", strings.Join(v.Windows, ", ")},
		{"freeze", strings.Join(v.Freeze, ", ")},
		{"fleet", fmt.Sprintf("%s: %s on %s of %s; the worker of %s plans", v.Approved.Fleet, many(v.Approved.Zones, "zone"), many(v.Approved.Hosts, "host"), rotation.AccountsText(v.Accounts), v.Accounts[0])},
		{"approved", fmt.Sprintf("by %s on %s: %s", v.Approved.By, v.Approved.At.Local().Format(time.DateTime), v.Approved.Reason)},
		{"left out", leftOut(v)},
	} {
		if row[1] != "" {
			put(t, "  %s\t%s\n", row[0], row[1])
		}
	}
	_ = t.Flush()
	switch {
	case len(v.Next) > 0 && v.Paused:
		put(w, "Next, once it is resumed:\n")
	case len(v.Next) > 0:
		put(w, "Next:\n")
	}
	for _, n := range v.Next {
		waits := harmless.Own("")
		if n.Waits != "" {
			waits = "  waits: "
		}
		put(w, "  %s%s%s\n", n.At.Local().Format(time.DateTime), waits, n.Waits)
	}
	if len(v.Runs) > 0 {
		put(w, "Runs, newest first:\n")
	}
	for _, r := range v.Runs {
		put(t, "  %s\t%s\t%s\t%s\n", r.At.Local().Format(time.DateTime), r.State, r.Campaign, r.Text)
	}
	_ = t.Flush()
	if len(v.Log) > 0 {
		put(w, "What people did:\n")
	}
	showLog(w, v.Log)
}

func leftOut(v scheduleView) string {
	var texts []string
	if v.Overlapped > 0 {
		texts = append(texts, fmt.Sprintf("%d because the run before was under way", v.Overlapped))
	}
	if v.Missed > 0 {
		texts = append(texts, fmt.Sprintf("%d because Temporal was away", v.Missed))
	}
	return strings.Join(texts, ", ")
}
