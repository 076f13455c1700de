package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"keywave/internal/fleet"
	"keywave/internal/harmless"
	"keywave/internal/plan"
	"keywave/internal/planning"
	"keywave/internal/temporalclient"
	"keywave/workflows"
)

type startOptions struct {
	fleetFile string
	digest    string
	name      string
	reason    string
	emergency bool
	// acceptDrift runs a plan although live keys are not the planned ones.
	acceptDrift bool
	// alsoRotated runs it although others have zones of it, or had just now.
	alsoRotated bool
	watch       bool
	selectors
}

func (a *app) campaignStart() *cobra.Command {
	o := &startOptions{}
	cmd := &cobra.Command{
		Use:   "start (-f fleet.yaml | --plan DIGEST [-f fleet.yaml])",
		Short: "Run a plan: all of a fleet's zones, in waves",
		Example: `  keywave campaign start -f fleet.yaml --watch
  keywave campaign start --plan 3f0c…  --name spring-rotation`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.fleetFile == "" && o.digest == "" {
				return errors.New("give -f fleet.yaml (plan and run), --plan DIGEST (run an approved plan), or both (and refuse if the fleet file has changed since)")
			}
			if o.fleetFile == "" && !o.selection().Empty() {
				return errors.New("a plan has its zones already; --zones, --label and --except choose those of a fleet file: give -f fleet.yaml")
			}
			if o.emergency && o.reason == "" {
				return errors.New("--emergency waives the hosts' proofs; say why with --reason")
			}
			if o.alsoRotated && o.reason == "" {
				return errors.New("--also-rotated rotates zones that others have, or that were rotated just now; say why with --reason")
			}
			if o.acceptDrift && (o.reason == "" || o.digest == "") {
				return errAcceptDrift
			}
			return a.startCampaign(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.fleetFile, "fleet", "f", "", "plan this fleet file and run the plan; with --plan: refuse if it has changed since")
	f.StringVar(&o.digest, "plan", "", "run the plan with this digest")
	f.StringVar(&o.name, "name", "", "the campaign's name (default: from the time)")
	f.StringVar(&o.reason, "reason", "", "why, for the record")
	f.BoolVar(&o.emergency, "emergency", false, "waive proofs, bake times and approvals; recorded")
	f.BoolVar(&o.acceptDrift, "accept-drift", false, "with --plan: run it although live keys changed since it was made; recorded")
	f.BoolVar(&o.alsoRotated, "also-rotated", false, "run it although another open campaign has zones of it, or they were rotated within the last hour; recorded")
	o.flags(cmd)
	f.BoolVar(&o.watch, "watch", false, "watch until it ends or needs a person")
	return cmd
}

func (a *app) startCampaign(ctx context.Context, o *startOptions) error {
	var f *fleet.Fleet
	name, err := planName(o.name)
	if err != nil {
		return err
	}
	if o.fleetFile != "" {
		if f, err = readFleet(o.fleetFile); err != nil {
			return err
		}
	}
	conn, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if f, err = resolve(ctx, conn, f); err == nil {
		f, err = o.of(f)
	}
	if err != nil {
		return err
	}
	in := workflows.CampaignIn{Name: name, By: operator(), Reason: o.reason}
	if o.emergency {
		in.Emergency = o.reason
	}
	var plan plan.Plan
	if o.digest == "" {
		if in.Also, err = alone(ctx, conn, planning.ZonesOf(f), o); err == nil {
			plan, err = a.planNow(ctx, conn, f, in.Name)
		}
	} else {
		plan, err = a.approvedPlan(ctx, conn, f, o, &in)
	}
	if err != nil {
		return err
	}
	in.Plan, in.Digest = plan.Name, plan.Digest
	if err := launch(ctx, conn, in, plan, false); err != nil {
		return err
	}
	return a.underWay(ctx, conn, in.Name, fmt.Sprintf("Campaign %s runs. See it: keywave campaign watch %s", in.Name, in.Name), o.watch)
}

// planNow plans a fleet in order to run the plan at once.
func (a *app) planNow(ctx context.Context, conn *temporalclient.Connection, f *fleet.Fleet, name string) (plan.Plan, error) {
	plan, err := makePlan(ctx, conn, f, name)
	if err != nil {
		return plan, err
	}
	a.sayPlan(f, plan)
	return plan, nil
}

// sayPlan says what of a plan a person must know that runs it at once.
func (a *app) sayPlan(f *fleet.Fleet, p plan.Plan) {
	a.say("Plan %s: %s on %s in %s, %s.", p.Digest, many(p.Zones, "zone"), many(p.Hosts, "host"), many(len(p.Waves), "wave"), many(p.Found, "finding"))
	if f.Selected != "" {
		a.say("  %s", f.Selected)
	}
	if kept := p.Settings.RollbackFor; kept > 0 {
		a.say("  Each key that is replaced is kept for %s, at half the pace, and can be put back until then, also by whoever can write to Temporal.", kept)
	}
	for _, f := range p.Findings[:min(len(p.Findings), 10)] {
		a.say("  %s", finding(f))
	}
}

// approvedPlan finds a plan that was made before, and refuses one that is too
// old, or whose fleet file or live keys are others by now.
func (a *app) approvedPlan(ctx context.Context, conn *temporalclient.Connection, f *fleet.Fleet, o *startOptions, in *workflows.CampaignIn) (plan.Plan, error) {
	plan, err := findPlan(ctx, conn, o.digest)
	if err != nil {
		return plan, err
	}
	if plan.Undoes != "" {
		return plan, refused(fmt.Errorf("plan %s puts back the keys that campaign %s replaced, and such a plan is run when it is made; nothing was started; roll back what can be now: keywave campaign rollback %s -f fleet.yaml --reason \"…\"", plan.Digest, plan.Undoes, plan.Undoes))
	}
	if old := workflows.TooOld(plan, time.Now()); old != "" {
		return plan, refused(errors.New(old))
	}
	if _, err := conn.DescribeWorkflowExecution(ctx, workflows.CampaignID(in.Name), ""); err == nil {
		return plan, nameTaken(in.Name)
	}
	if err := awaitWorker(ctx, conn); err != nil {
		return plan, err
	}
	for _, account := range plan.Owners() {
		if err := released(ctx, conn, account); err != nil {
			return plan, err
		}
	}
	whole, err := withPages(ctx, conn, plan)
	if err != nil {
		return plan, refused(err)
	}
	if f != nil {
		if err := unchanged(plan, whole, f); err != nil {
			return plan, err
		}
	}
	if in.Also, err = alone(ctx, conn, planning.PlannedZones(whole.Pages), o); err != nil {
		return plan, err
	}
	out, by, err := a.reread(ctx, conn, plan, whole)
	if err != nil {
		return plan, err
	}
	in.Reread, in.RereadBy = out.Describes, by
	in.Drift, err = drifted(plan, out, o)
	return plan, err
}

// underWay says that a campaign runs, and watches it if that is wanted.
func (a *app) underWay(ctx context.Context, conn *temporalclient.Connection, name, text string, watch bool) error {
	if watch {
		a.say("%s", text)
		return a.watchCampaign(ctx, conn, name)
	}
	return a.print(struct {
		Campaign string `json:"campaign"`
	}{name}, func(w io.Writer) { put(w, "%v\n", text) })
}

// launch starts a run of a campaign; again says that it goes on with one that
// was closed.
func launch(ctx context.Context, conn *temporalclient.Connection, in workflows.CampaignIn, plan plan.Plan, again bool) error {
	if err := awaitWorker(ctx, conn); err != nil {
		return err
	}
	for _, account := range plan.Owners() {
		if err := released(ctx, conn, account); err != nil {
			return err
		}
	}
	reuse := enums.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE
	if again {
		reuse = enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE
	}
	_, err := conn.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: workflows.CampaignID(in.Name), TaskQueue: workflows.Queue, WorkflowIDReusePolicy: reuse,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		TypedSearchAttributes:                    workflows.Searchable(in.Name, "", in.Digest),
		StaticSummary:                            harmless.Summary(summaryOf(plan)),
		StaticDetails:                            harmless.Sprintf(harmless.Markdown, "Plan %s, digest `%s`. Started by %s. %s", in.Plan, in.Digest, in.By, in.Reason),
	}, workflows.TypeCampaign, in)
	if errors.As(err, new(*serviceerror.WorkflowExecutionAlreadyStarted)) {
		return nameTaken(in.Name)
	}
	if err != nil {
		return refused(fmt.Errorf("the campaign cannot be started: %w", err))
	}
	return nil
}

// summaryOf is what a campaign of the plan does, in one line of the Temporal UI.
func summaryOf(p plan.Plan) string {
	text := fmt.Sprintf("rotate %d zones on %d hosts in %d waves", p.Zones, p.Hosts, len(p.Waves))
	if p.Undoes != "" {
		text = "roll back" + strings.TrimPrefix(text, "rotate") + ", whose keys campaign " + p.Undoes + " replaced"
	}
	return text
}

func nameTaken(name string) error {
	return refused(fmt.Errorf("there is a campaign named %s already; see: keywave campaign status %s; go on with it: keywave campaign resume %s; or give another --name", name, name, name))
}
