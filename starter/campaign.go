package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"keywave/internal/fleet"
	"keywave/internal/plan"
	"keywave/internal/progress"
	"keywave/internal/rotation"
	"keywave/internal/temporalclient"
	"keywave/workflows"
)

func (a *app) campaign() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "campaign",
		Short:   "Start, watch and steer campaigns",
		Example: "  keywave campaign start -f fleet.yaml --watch\n  keywave campaign status NAME",
		Args:    oneBelow, RunE: showHelp,
	}
	cmd.AddCommand(a.campaignStart(), a.campaignStatus(), a.campaignWatch(), a.campaignList(), a.campaignReport(),
		a.campaignResume(), a.campaignApprove(), a.campaignSet(), a.campaignSkip(),
		a.campaignOrder("pause", workflows.UpdatePause, "Start no further refresh; answers when that is certain"),
		a.campaignOrder("cancel", workflows.UpdateCancel, "Pause and close; zones that may have refreshed are still delivered"),
	)
	return cmd
}

type startOptions struct {
	fleetFile string
	digest    string
	name      string
	reason    string
	emergency bool
	// acceptDrift runs a plan although live keys are not the planned ones.
	acceptDrift bool
	watch       bool
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
			if o.emergency && o.reason == "" {
				return errors.New("--emergency waives the hosts' proofs; say why with --reason")
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
	f.BoolVar(&o.watch, "watch", false, "watch until it ends or needs a person")
	return cmd
}

func (a *app) startCampaign(ctx context.Context, o *startOptions) error {
	var f *fleet.Fleet
	var err error
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
	if f, err = resolve(ctx, conn, f); err != nil {
		return err
	}
	in := workflows.CampaignIn{Name: planName(o.name), By: operator(), Reason: o.reason}
	if o.emergency {
		in.Emergency = o.reason
	}
	var plan plan.Plan
	if o.digest == "" {
		plan, err = a.planNow(ctx, conn, f, in.Name)
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
	return a.underWay(ctx, conn, in.Name, fmt.Sprintf("Campaign %s runs. Look at it: keywave campaign watch %s", in.Name, in.Name), o.watch)
}

// planNow plans a fleet in order to run the plan at once.
func (a *app) planNow(ctx context.Context, conn *temporalclient.Connection, f *fleet.Fleet, name string) (plan.Plan, error) {
	plan, err := a.makePlan(ctx, conn, f, name)
	if err != nil {
		return plan, err
	}
	a.say("Plan %s: %s on %s in %s, %s.", plan.Digest, many(plan.Zones, "zone"), many(plan.Hosts, "host"), many(len(plan.Waves), "wave"), many(plan.Found, "finding"))
	for _, f := range plan.Findings[:min(len(plan.Findings), 10)] {
		a.say("  %s", finding(f))
	}
	return plan, nil
}

// approvedPlan finds a plan that was made before, and refuses one that is too
// old, or whose fleet file or live keys are others by now.
func (a *app) approvedPlan(ctx context.Context, conn *temporalclient.Connection, f *fleet.Fleet, o *startOptions, in *workflows.CampaignIn) (plan.Plan, error) {
	plan, err := findPlan(ctx, conn, o.digest)
	if err != nil {
		return plan, err
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
	for _, account := range accountsOf(plan) {
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
	out, by, err := a.reread(ctx, conn, plan, whole)
	if err != nil {
		return plan, err
	}
	if in.Reread = out.Describes; len(plan.Accounts) > 0 {
		in.RereadBy = by
	}
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
	}{name}, func(w io.Writer) { fmt.Fprintln(w, text) })
}

// launch starts a run of a campaign; again says that it goes on with one that
// was closed.
func launch(ctx context.Context, conn *temporalclient.Connection, in workflows.CampaignIn, plan plan.Plan, again bool) error {
	if err := awaitWorker(ctx, conn); err != nil {
		return err
	}
	for _, account := range accountsOf(plan) {
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
		StaticSummary:                            fmt.Sprintf("rotate %d zones on %d hosts in %d waves", plan.Zones, plan.Hosts, len(plan.Waves)),
		StaticDetails:                            fmt.Sprintf("Plan `%s`, digest `%s`. Started by %s. %s", in.Plan, in.Digest, in.By, in.Reason),
	}, workflows.TypeCampaign, in)
	if errors.As(err, new(*serviceerror.WorkflowExecutionAlreadyStarted)) {
		return nameTaken(in.Name)
	}
	if err != nil {
		return refused(fmt.Errorf("the campaign cannot be started: %w", err))
	}
	return nil
}

func nameTaken(name string) error {
	return refused(fmt.Errorf("there is a campaign named %s already; look: keywave campaign status %s; go on with it: keywave campaign resume %s; or give another --name", name, name, name))
}

func accountsOf(plan plan.Plan) []rotation.Account {
	if len(plan.Accounts) == 0 {
		return []rotation.Account{plan.Account}
	}
	var all []rotation.Account
	for _, a := range plan.Accounts {
		all = append(all, a.Account)
	}
	return all
}

func findPlan(ctx context.Context, conn *temporalclient.Connection, digest string) (plan.Plan, error) {
	var plan plan.Plan
	found, err := conn.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		Query: fmt.Sprintf("WorkflowType = '%s' AND %s = '%s'", workflows.TypePlan, workflows.AttrPlan, safeQuery(digest)),
	})
	if err != nil {
		return plan, refused(fmt.Errorf("plans cannot be searched: %w", err))
	}
	if len(found.GetExecutions()) == 0 {
		return plan, refused(fmt.Errorf("no plan has digest %q; make one: keywave plan -f fleet.yaml", digest))
	}
	newest := found.GetExecutions()[0].GetExecution()
	err = conn.GetWorkflow(ctx, newest.GetWorkflowId(), newest.GetRunId()).Get(ctx, &plan)
	return plan, err
}

// safeQuery keeps what a person typed inside its quotes.
func safeQuery(s string) string {
	var b []rune
	for _, r := range s {
		if r != '\'' && r != '\\' {
			b = append(b, r)
		}
	}
	return string(b)
}

func (a *app) campaignStatus() *cobra.Command {
	return &cobra.Command{
		Use: "status NAME", Short: "Counts, exposure, calls, what needs a person and the next command",
		Example: "  keywave campaign status spring-rotation --output json",
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer conn.Close()
			status, err := statusOf(cmd.Context(), conn, args[0])
			if err != nil {
				return err
			}
			return a.print(status, func(w io.Writer) {
				_, width, color := terminal(w)
				fmt.Fprint(w, progress.View(status, width(), color, time.Now()))
			})
		},
	}
}

func noCampaign(name string) error {
	return refused(fmt.Errorf("no campaign %s in Temporal; those there are: keywave campaign list", name))
}

// statusOf asks a campaign how it is: its result when it is closed, a query
// otherwise.
func statusOf(ctx context.Context, conn *temporalclient.Connection, name string) (workflows.Status, error) {
	var status workflows.Status
	id := workflows.CampaignID(name)
	described, err := conn.DescribeWorkflowExecution(ctx, id, "")
	if errors.As(err, new(*serviceerror.NotFound)) {
		return status, noCampaign(name)
	}
	if err != nil {
		return status, fmt.Errorf("campaign %s cannot be looked at: %w", name, err)
	}
	run := described.GetWorkflowExecutionInfo().GetExecution().GetRunId()
	switch described.GetWorkflowExecutionInfo().GetStatus() {
	case enums.WORKFLOW_EXECUTION_STATUS_COMPLETED:
		err := conn.GetWorkflow(ctx, id, run).Get(ctx, &status)
		return status, err
	case enums.WORKFLOW_EXECUTION_STATUS_FAILED:
		err := conn.GetWorkflow(ctx, id, run).Get(ctx, nil)
		var app *temporal.ApplicationError
		if errors.As(err, &app) {
			return status, refused(fmt.Errorf("campaign %s was refused: %s", name, app.Message()))
		}
		return status, err
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	answer, err := conn.QueryWorkflow(ctx, id, run, workflows.QueryStatus)
	if err != nil {
		return status, fmt.Errorf("campaign %s is there, but no worker answers for it (%w); start one: bin/worker --fleet fleet.yaml", name, err)
	}
	if err := answer.Get(&status); err != nil {
		return status, err
	}
	if s := described.GetWorkflowExecutionInfo().GetStatus(); s != enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
		ended := described.GetWorkflowExecutionInfo().GetCloseTime().AsTime()
		status.State, status.EndedAt = workflows.StateEnded, &ended
		status.Reason = "its workflow was ended in Temporal (" + s.String() + "); zones that may have refreshed go on by themselves"
		status.Next = "keywave campaign resume " + name
	}
	return status, nil
}

const queryTimeout = 10 * time.Second

// campaignRow is one line of campaign list.
type campaignRow struct {
	Campaign  string     `json:"campaign"`
	State     string     `json:"state"`
	StartedAt time.Time  `json:"startedAt"`
	EndedAt   *time.Time `json:"endedAt"`
}

func (a *app) campaignList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "The campaigns that Temporal still knows, newest first",
		Example: "  keywave campaign list", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			conn, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer conn.Close()
			rows, err := listCampaigns(cmd.Context(), conn)
			if err != nil {
				return err
			}
			return a.print(rows, func(w io.Writer) {
				t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
				fmt.Fprintln(t, "CAMPAIGN\tSTATE\tSTARTED\tENDED")
				for _, r := range rows {
					ended := "-"
					if r.EndedAt != nil {
						ended = r.EndedAt.Local().Format(time.DateTime)
					}
					fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", r.Campaign, r.State, r.StartedAt.Local().Format(time.DateTime), ended)
				}
				_ = t.Flush()
			})
		},
	}
}

func listCampaigns(ctx context.Context, conn *temporalclient.Connection) ([]campaignRow, error) {
	rows := []campaignRow{}
	var page []byte
	for {
		found, err := conn.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			Query: fmt.Sprintf("WorkflowType = '%s'", workflows.TypeCampaign), NextPageToken: page,
		})
		if err != nil {
			return nil, fmt.Errorf("campaigns cannot be listed: %w", err)
		}
		for _, e := range found.GetExecutions() {
			row := campaignRow{Campaign: e.GetExecution().GetWorkflowId()[len(workflows.CampaignID("")):], State: "running", StartedAt: e.GetStartTime().AsTime()}
			if e.GetStatus() != enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
				ended := e.GetCloseTime().AsTime()
				row.EndedAt, row.State = &ended, "ended in Temporal"
			}
			if p := e.GetSearchAttributes().GetIndexedFields()[workflows.AttrOutcome]; p != nil {
				_ = converter.GetDefaultDataConverter().FromPayload(p, &row.State)
			}
			rows = append(rows, row)
		}
		if page = found.GetNextPageToken(); len(page) == 0 {
			return rows, nil
		}
	}
}
