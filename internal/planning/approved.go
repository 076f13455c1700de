package planning

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"keywave/activities"
	"keywave/internal/fleet"
	"keywave/internal/plan"
	"keywave/internal/temporalclient"
	"keywave/workflows"
)

// Approve is a person's approval of a fleet.
func Approve(f *fleet.Fleet, by, reason string, at time.Time) (plan.Approval, error) {
	d, err := NewDraft(f, "")
	a := plan.Approval{
		By: by, At: at.UTC(), Reason: reason, Digest: f.Digest, Zones: len(f.Zones), Hosts: len(f.Hosts),
		Whole: plan.Whole{Settings: f.Campaign},
	}
	if body, _ := json.Marshal(d.Pages); len(body) <= plan.MaxPageBytes {
		a.Whole.Waves, a.Whole.Pages = d.Plan.Waves, d.Pages
	}
	return a, err
}

// Planner plans the fleet file of an account's worker, if it is the one that a
// person approved.
type Planner struct {
	File   string
	Loaded *fleet.Fleet // the file as it was when the worker started
	Client client.Client
	// Namespace is where Client is.
	Namespace string
}

const mostDifferences = 5

// Plan reads the fleet file again and makes a plan of it. What refuses it says
// that nothing was touched and what a person has to do; an error is worth
// another try.
func (p Planner) Plan(ctx context.Context, in activities.PlanFleetIn) (plan plan.Plan, refused string, err error) {
	bare, f, err := p.read(ctx)
	var app *temporal.ApplicationError
	switch {
	case errors.As(err, &app):
		return plan, fmt.Sprintf("the zones of account %s are not known, nothing was touched: %s", p.Loaded.Accounts[0].Name, app.Message()), nil
	case errors.As(err, new(fleet.Unplaced)), errors.Is(err, ErrMoved):
		return plan, fmt.Sprintf("the zones of account %s do not fit the fleet file, nothing was touched: %v", p.Loaded.Accounts[0].Name, err), nil
	case err != nil && bare != nil:
		return plan, "", err
	case err != nil:
		return plan, fmt.Sprintf("the fleet file of account %s cannot be read, nothing was touched: %v", p.Loaded.Accounts[0].Name, err), nil
	}
	if refused = p.differs(in, bare, f); refused != "" {
		return plan, refused, nil
	}
	if refused, err = p.notNow(ctx, in, f); refused != "" || err != nil {
		return plan, refused, err
	}
	return p.make(ctx, in, f)
}

// notNow says what keeps an approved fleet from being rotated at this moment.
func (p Planner) notNow(ctx context.Context, in activities.PlanFleetIn, f *fleet.Fleet) (string, error) {
	for _, a := range f.Accounts {
		limit, err := temporalclient.RateOf(ctx, p.Client, p.Namespace, workflows.RefreshQueue(a.Name))
		if err != nil {
			return "", err
		}
		if limit.Braked() {
			return fmt.Sprintf("the brake of account %s is on, by %s: %s; nothing was touched; release it: keywave brake off --account %s --reason \"…\"", a.Name, limit.By, limit.Reason, a.Name), nil
		}
	}
	// What earlier runs of the same schedule rotated is what --every asked for.
	mine := func(campaign string, open bool) bool {
		return campaign == in.Name || !open && strings.HasPrefix(campaign, in.Schedule+"-")
	}
	also, err := LookElsewhere(ctx, p.Client, ZonesOf(f), mine, time.Now())
	if err != nil || also.Zones == 0 {
		return "", err
	}
	return fmt.Sprintf("%d of %d zones belong to other campaigns too, or were rotated just now; nothing was touched: %s", also.Zones, len(f.Zones), also), nil
}

// read gives the fleet file alone, as workers read it, and the fleet with its
// zones, wherever they come from.
func (p Planner) read(ctx context.Context) (bare, f *fleet.Fleet, err error) {
	if f, err = fleet.Read(p.File); err != nil {
		return nil, nil, err
	}
	if bare, err = fleet.Bare(p.File); err != nil {
		return nil, nil, err
	}
	f, err = Resolve(ctx, p.Client, f, func(ctx context.Context, run client.WorkflowRun, result any) error { return run.Get(ctx, result) })
	return bare, f, err
}

func (p Planner) differs(in activities.PlanFleetIn, bare, f *fleet.Fleet) string {
	approved := in.Approval
	now, err := Approve(f, "", "", time.Time{})
	if err != nil {
		return err.Error()
	}
	next := fmt.Sprintf("check it, then: keywave schedule approve %s -f fleet.yaml --reason \"…\"", in.Schedule)
	if found := approved.Differs(now, fleet.PartsDiffer); len(found) > 0 {
		var texts []string
		for _, d := range found[:min(len(found), mostDifferences)] {
			texts = append(texts, d.String())
		}
		if more := len(found) - mostDifferences; more > 0 {
			texts = append(texts, fmt.Sprintf("and %d more", more))
		}
		what := "campaign settings differ"
		if now.Digest != approved.Digest {
			what = fmt.Sprintf("digest %s with %d zones on %d hosts, approved was %s with %d zones on %d hosts",
				now.Digest, now.Zones, now.Hosts, approved.Digest, approved.Zones, approved.Hosts)
		}
		name := "the fleet file"
		if from := f.Source.String(); from != "" {
			name += ", its zones from " + from + ","
		}
		return fmt.Sprintf("%s is not what %s approved on %s, nothing was touched: %s: %s; %s",
			name, approved.By, approved.At.Format(time.DateOnly), what, strings.Join(texts, "; "), next)
	}
	if p.Loaded.Digest != bare.Digest {
		return "the fleet file was approved, but the workers of account " + string(f.Accounts[0].Name) + " run with the one before it; nothing was touched; restart them"
	}
	return ""
}

func (p Planner) make(ctx context.Context, in activities.PlanFleetIn, f *fleet.Fleet) (plan plan.Plan, refused string, err error) {
	if err := workflows.CheckName(in.Name); err != nil {
		return plan, err.Error() + "; nothing was touched", nil
	}
	draft, err := NewDraft(f, in.Name)
	if err != nil {
		return plan, err.Error(), nil
	}
	run, err := draft.Start(ctx, p.Client)
	taken := errors.As(err, new(*serviceerror.WorkflowExecutionAlreadyStarted))
	switch {
	case taken && in.Again:
		run = p.Client.GetWorkflow(ctx, workflows.PlanID(in.Name), "")
	case taken:
		return plan, fmt.Sprintf("there is a plan or campaign named %s already; nothing was touched", in.Name), nil
	case err != nil:
		return plan, "", err
	}
	if err := draft.StartPages(ctx, p.Client); err != nil {
		return plan, "", err
	}
	err = run.Get(ctx, &plan)
	var app *temporal.ApplicationError
	switch {
	case errors.As(err, &app):
		refused, err = app.Message(), nil
	case err == nil:
		if away := UnreachableBy(f, plan); away != nil {
			refused = away.Error()
		}
	}
	if refused != "" {
		draft.Discard(ctx, p.Client)
	}
	return plan, refused, err
}
