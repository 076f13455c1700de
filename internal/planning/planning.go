// Package planning starts the workflows of a plan from a fleet, for an operator
// and for a schedule alike. It changes nothing at EdgeOne or on hosts.
package planning

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"keywave/internal/fleet"
	"keywave/internal/harmless"
	"keywave/internal/plan"
	"keywave/internal/rotation"
	"keywave/workflows"
)

// Draft is a plan without baselines, and its pages.
type Draft struct {
	Plan  plan.Plan
	Pages []plan.Page
	// Within is how long its pages may take: each zone costs one call.
	Within time.Duration
	// Keep is how long they stay open once they are frozen: the plan's validity
	// ends before.
	Keep time.Duration
}

// NewDraft cuts a fleet into waves and pages.
func NewDraft(f *fleet.Fleet, name string) (Draft, error) {
	return newDraft(f, plan.Plan{Name: name, Settings: f.Campaign}, f.Targets())
}

// newDraft cuts targets, which are a fleet's zones.
func newDraft(f *fleet.Fleet, p plan.Plan, targets []plan.Target) (Draft, error) {
	pages, waves, err := plan.Cut(targets, p.Settings.Waves)
	if err != nil {
		return Draft{}, err
	}
	p.Zones, p.Hosts, p.Waves = len(f.Zones), len(f.Hosts), waves
	d := Draft{Plan: p, Pages: pages, Within: 2 * time.Minute}
	for _, p := range pages {
		d.Plan.Pairs += p.Pairs()
	}
	d.Plan.Source = f.From()
	d.Plan.Findings, d.Plan.Found = f.Notes[:min(len(f.Notes), workflows.MaxFindings)], len(f.Notes)
	for _, a := range f.Accounts {
		share := plan.Share{Account: a.Name, Zones: len(f.ZonesOf(a.Name)), Limit: a.RequestsPerSecond}
		d.Within = max(d.Within, 2*time.Minute+time.Duration(float64(share.Zones)/share.Limit*2)*time.Second)
		d.Plan.Limit += share.Limit
		d.Plan.Accounts = append(d.Plan.Accounts, share)
	}
	d.Plan.Takes = d.Plan.Estimate()
	d.Keep = workflows.PlanValidFor + d.Within + time.Hour
	return d, nil
}

// Start starts the plan, which ends when all of its pages have reported. An
// error of type WorkflowExecutionAlreadyStarted says that its name is taken.
func (d Draft) Start(ctx context.Context, c client.Client) (client.WorkflowRun, error) {
	if err := workflows.CheckName(d.Plan.Name); err != nil {
		return nil, err
	}
	return c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: workflows.PlanID(d.Plan.Name), TaskQueue: workflows.Queue, WorkflowExecutionErrorWhenAlreadyStarted: true,
		WorkflowIDReusePolicy: enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY,
		StaticSummary:         harmless.Summary(d.summary()),
	}, workflows.TypePlan, workflows.PlanIn{Plan: d.Plan, Pages: len(d.Pages), Within: rotation.Span(d.Within)})
}

func (d Draft) summary() string {
	text := fmt.Sprintf("plan of %d zones on %d hosts", d.Plan.Zones, d.Plan.Hosts)
	if undoes := plan.PutsBack(d.Plan.Undoes); undoes != "" {
		text += ", " + undoes
	}
	return text
}

// StartPages starts the pages; one that is there already is left alone.
func (d Draft) StartPages(ctx context.Context, c client.Client) error {
	for _, page := range d.Pages {
		in := workflows.PageIn{Plan: d.Plan.Name, Undoes: d.Plan.Undoes, Page: page, Keep: rotation.Span(d.Keep)}
		_, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
			ID: workflows.PageID(d.Plan.Name, page.Number), TaskQueue: workflows.Queue, StaticSummary: harmless.Summary(workflows.PageSummary(in)),
		}, workflows.TypePage, in)
		if err != nil {
			return fmt.Errorf("page %d of the plan cannot be started: %w", page.Number, err)
		}
	}
	return nil
}

// Discard ends the pages: without a plan they are of no use.
func (d Draft) Discard(ctx context.Context, c client.Client) {
	for _, page := range d.Pages {
		_ = c.TerminateWorkflow(ctx, workflows.PageID(d.Plan.Name, page.Number), "", "there is no plan")
	}
}

// Unreachable says of which account not one request was sent: the network or the
// endpoint is wrong, and not the zones. It is nil when each has described keys.
func Unreachable(f *fleet.Fleet, described map[rotation.Account]int, found []plan.Finding) error {
	for _, a := range f.Accounts {
		if described[a.Name] > 0 {
			continue
		}
		why := ""
		own := map[rotation.ZoneID]bool{}
		for _, z := range f.ZonesOf(a.Name) {
			own[z.ID] = true
		}
		if i := slices.IndexFunc(found, func(f plan.Finding) bool { return own[f.Zone] }); i >= 0 {
			why = " (" + found[i].Text + ")"
		}
		return fmt.Errorf("no request reached EdgeOne for account %s at %s%s; check its endpoint in the fleet file and the network of the edgeone worker; nothing was changed", a.Name, a.Endpoint, why)
	}
	return nil
}

// UnreachableBy is Unreachable of a plan.
func UnreachableBy(f *fleet.Fleet, plan plan.Plan) error {
	described := map[rotation.Account]int{}
	for _, a := range plan.Accounts {
		described[a.Account] = a.Describes
	}
	return Unreachable(f, described, plan.Findings)
}
