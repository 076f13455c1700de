package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
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

type planOptions struct {
	fleetFile string
	name      string
	out       string
}

func (a *app) plan() *cobra.Command {
	o := &planOptions{}
	cmd := &cobra.Command{
		Use:   "plan -f fleet.yaml",
		Short: "Say what a campaign would do: zones, hosts, waves, time, problems; changes nothing",
		Long: `Read the fleet file, read the live key's fingerprint of every zone, let every
host prove that it can take a key, and freeze the result as a plan with a digest.
Nothing is changed. A plan is valid for 7 days.`,
		Example: "  keywave plan -f fleet.yaml\n  keywave plan -f fleet.yaml -o plan.json",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := os.Stat(filepath.Dir(o.out)); err != nil {
				return fmt.Errorf("--out %s cannot be written: %w", o.out, err)
			}
			f, conn, err := a.wholeFleet(cmd.Context(), o.fleetFile, "")
			if err != nil {
				return err
			}
			defer conn.Close()
			plan, err := a.makePlan(cmd.Context(), conn, f, planName(o.name))
			if err != nil {
				return err
			}
			if o.out != "" {
				if err := writePlan(o.out, plan); err != nil {
					return err
				}
			}
			return a.print(plan, func(w io.Writer) { showPlan(w, plan) })
		},
	}
	cmd.AddCommand(a.planDiff())
	cmd.Flags().StringVarP(&o.fleetFile, "fleet", "f", "", "the fleet file")
	cmd.Flags().StringVar(&o.name, "name", "", "the plan's name (default: from the time)")
	cmd.Flags().StringVarP(&o.out, "out", "o", "", "write the plan as JSON to this file")
	return cmd
}

func planName(given string) string {
	if given != "" {
		return given
	}
	return time.Now().UTC().Format("20060102-150405")
}

func writePlan(path string, plan plan.Plan) error {
	body, err := json.MarshalIndent(plan, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(body, '\n'), 0o644)
}

// makePlan starts the plan and its draft pages, and waits for the plan.
func (a *app) makePlan(ctx context.Context, conn *temporalclient.Connection, f *fleet.Fleet, name string) (plan.Plan, error) {
	draft, err := planning.NewDraft(f, name)
	if err != nil {
		return draft.Plan, refused(err)
	}
	if err := awaitWorker(ctx, conn); err != nil {
		return draft.Plan, err
	}
	plan := draft.Plan
	run, err := draft.Start(ctx, conn)
	if errors.As(err, new(*serviceerror.WorkflowExecutionAlreadyStarted)) {
		return plan, refused(fmt.Errorf("there is a plan or campaign named %s already; give another --name", name))
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

func noWorker(conn *temporalclient.Connection) error {
	return refused(fmt.Errorf("no worker polls the task queue %q at %s; start one: bin/worker --fleet fleet.yaml", workflows.Queue, conn.Address))
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

func showPlan(w io.Writer, p plan.Plan) {
	if p.Found > 0 {
		fmt.Fprintf(w, "Problems first (%d):\n", p.Found)
		for _, f := range p.Findings {
			fmt.Fprintf(w, "  %s\n", finding(f))
		}
		if more := p.Found - len(p.Findings); more > 0 {
			fmt.Fprintf(w, "  … and %d more\n", more)
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "Plan %s\n", p.Name)
	fmt.Fprintf(w, "  digest    %s\n", p.Digest)
	if len(p.Accounts) == 0 {
		fmt.Fprintf(w, "  account   %s\n", p.Account)
	}
	for _, a := range p.Accounts {
		fmt.Fprintf(w, "  account   %s: %s, %g calls a second\n", a.Account, many(a.Zones, "zone"), a.Limit)
	}
	fmt.Fprintf(w, "  zones     %d on %d hosts (%d deliveries)\n", p.Zones, p.Hosts, p.Pairs)
	if p.Source != "" {
		fmt.Fprintf(w, "  from      %s\n", p.Source)
	}
	for i, wave := range p.Waves {
		note := ""
		if i == 0 {
			note = "  (canary)"
		}
		for _, n := range p.Settings.Approve {
			if n == i+1 {
				note += "  waits for approval"
			}
		}
		fmt.Fprintf(w, "  wave %-4d %s%s\n", i+1, many(wave.Zones, "zone"), note)
	}
	budget, err := p.Settings.Budget(p.Zones)
	if err == nil {
		fmt.Fprintf(w, "  budget    pauses at more than %d failed or %d exposed zones; at most %d zones are at risk at once\n", budget.MaxFailed, budget.MaxExposed, p.Settings.Window*max(1, len(p.Accounts)))
	}
	whose := "the account's pace"
	if len(p.Accounts) > 0 {
		whose = "the accounts' own paces, side by side"
	}
	fmt.Fprintf(w, "  time      about %s at %s, bake times included; waits for people come on top\n", p.Takes, whose)
	fmt.Fprintf(w, "  exposure  each zone's clients are locked out for one API call and at most 3 round trips to its hosts\n")
	if hours := hoursOf(p.Settings); hours != "" {
		fmt.Fprintf(w, "  hours     %s\n", hours)
	}
	if len(p.Settings.Health) > 0 {
		fmt.Fprintf(w, "  health    %s, before each next wave\n", strings.Join(p.Settings.Health, ", "))
	}
	fmt.Fprintf(w, "\nNothing was changed. Run it:\n  keywave campaign start --plan %s --watch\n", p.Digest)
}

// hoursOf is when refreshes may start.
func hoursOf(s plan.Settings) string {
	hours := strings.Join(s.Windows, ", ")
	if len(s.Freeze) > 0 {
		hours = strings.TrimPrefix(hours+"; not on "+strings.Join(s.Freeze, ", "), "; ")
	}
	return hours
}

// many is "1 zone" or "2 zones".
func many(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func finding(f plan.Finding) string {
	where := ""
	if f.Zone != "" {
		where = string(f.Zone) + " "
	}
	if f.Host != "" {
		where += "host " + string(f.Host) + " "
	}
	if where == "" {
		return f.Text
	}
	return where[:len(where)-1] + ": " + f.Text
}
