package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/api/workflow/v1"
	"golang.org/x/sync/errgroup"

	"keywave/internal/plan"
	"keywave/internal/temporalclient"
	"keywave/workflows"
)

// listedPlan is one line of plan list.
type listedPlan struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
	// Made is when it was asked for; ValidUntil until when a campaign may start
	// with it.
	Made       time.Time `json:"made"`
	ValidUntil time.Time `json:"validUntil"`
	Zones      int       `json:"zones"`
	Hosts      int       `json:"hosts"`
	Waves      int       `json:"waves"`
	Found      int       `json:"found"`
	// Campaigns are those that ran it, as far as Temporal knows, in order of name.
	Campaigns []string `json:"campaigns"`
}

func (a *app) planList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "The plans that Temporal still knows, newest first, and which campaigns ran them", Args: exactly(),
		Example: "  keywave plan list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			conn, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer conn.Close()
			plans, err := listPlans(cmd.Context(), conn)
			if err != nil {
				return err
			}
			return a.print(plans, func(w io.Writer) { showPlans(w, plans, time.Now()) })
		},
	}
}

// listPlans are the plans that were made; one that failed is none.
func listPlans(ctx context.Context, conn *temporalclient.Connection) ([]listedPlan, error) {
	found, err := listAll(ctx, conn, fmt.Sprintf("WorkflowType = '%s' AND ExecutionStatus = 'Completed'", workflows.TypePlan))
	if err != nil {
		return nil, err
	}
	ran, err := campaignsByPlan(ctx, conn)
	if err != nil {
		return nil, err
	}
	plans := make([]*listedPlan, len(found))
	var group errgroup.Group
	group.SetLimit(asksAtOnce)
	for i, e := range found {
		group.Go(func() error {
			var p plan.Plan
			if conn.GetWorkflow(ctx, e.GetExecution().GetWorkflowId(), e.GetExecution().GetRunId()).Get(ctx, &p) == nil { // otherwise forgotten since it was listed
				plans[i] = &listedPlan{p.Name, p.Digest, p.Made, p.Made.Add(workflows.PlanValidFor), p.Zones, p.Hosts, len(p.Waves), p.Found, orNone(ran[p.Digest])}
			}
			return nil
		})
	}
	_ = group.Wait()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	all := []listedPlan{}
	for _, p := range plans {
		if p != nil {
			all = append(all, *p)
		}
	}
	slices.SortFunc(all, func(a, b listedPlan) int { return b.Made.Compare(a.Made) })
	return all, nil
}

// campaignsByPlan are the names of campaigns by the digest of their plan.
func campaignsByPlan(ctx context.Context, conn *temporalclient.Connection) (map[string][]string, error) {
	found, err := listAll(ctx, conn, fmt.Sprintf("WorkflowType = '%s'", workflows.TypeCampaign))
	if err != nil {
		return nil, err
	}
	ran := map[string][]string{}
	for _, e := range found {
		digest := planDigest(e)
		ran[digest] = append(ran[digest], strings.TrimPrefix(e.GetExecution().GetWorkflowId(), workflows.CampaignID("")))
	}
	for digest, names := range ran {
		slices.Sort(names)
		ran[digest] = slices.Compact(names) // a campaign that was resumed has several runs
	}
	return ran, nil
}

func planDigest(e *workflow.WorkflowExecutionInfo) string {
	var digest string
	decode(e.GetSearchAttributes().GetIndexedFields()[workflows.AttrPlan], &digest)
	return digest
}

func orNone(names []string) []string {
	if names == nil {
		return []string{}
	}
	return names
}

func showPlans(w io.Writer, plans []listedPlan, now time.Time) {
	if len(plans) == 0 {
		put(w, "No plan is known to Temporal; make one: keywave plan -f fleet.yaml\n")
		return
	}
	t := newTable("PLAN", "DIGEST", "MADE", "ZONES")
	for _, p := range plans {
		t.row(p.Name, p.Digest, atTime(&p.Made, now), p.Zones)
		t.below(p.says(now))
	}
	t.write(w)
}

// says is until when it is valid, and who ran it.
func (p listedPlan) says(now time.Time) string {
	valid := "valid until " + p.ValidUntil.Local().Format("Jan 2 15:04")
	if now.After(p.ValidUntil) {
		valid = "not valid any more since " + p.ValidUntil.Local().Format("Jan 2 15:04")
	}
	if len(p.Campaigns) == 0 {
		return valid + "; no campaign ran it"
	}
	return valid + "; run by " + strings.Join(p.Campaigns, ", ")
}
