package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/api/serviceerror"

	"keywave/internal/fleet"
	"keywave/internal/plan"
	"keywave/internal/planning"
	"keywave/internal/rotation"
	"keywave/internal/temporalclient"
	"keywave/workflows"
)

type rollbackOptions struct {
	fleetFile string
	name      string
	reason    string
	watch     bool
	selectors
}

func (a *app) campaignRollback() *cobra.Command {
	o := &rollbackOptions{}
	cmd := &cobra.Command{
		Use: "rollback NAME -f fleet.yaml --reason R", Short: "Put back the keys that a campaign replaced, where they were kept", Args: exactly("NAME"),
		Long: `Put back the keys that a campaign replaced. It kept them if campaign: rollbackFor was
set, with the strategy staged, and only for as long as that says. The rollback is a plan and
a campaign like any other: waves, budgets and gates are those of the fleet file, and so
are the hosts. Zones whose former key was not kept, is too old, or was replaced since by
others keep the key that they have, and are named. Before each switch the live key is
read: where it is not the one that the campaign set, nothing is sent. A rollback keeps
no former key itself.`,
		Example: "  keywave campaign rollback spring-rotation -f fleet.yaml --reason \"ticket 4711\" --watch",
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.reason == "" {
				return errors.New("a rollback puts keys back that were to be replaced; say why with --reason")
			}
			if o.name != "" {
				if err := workflows.CheckName(o.name); err != nil {
					return err
				}
			}
			return a.rollbackCampaign(cmd.Context(), args[0], o)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.fleetFile, "fleet", "f", "", "the fleet file")
	f.StringVar(&o.name, "name", "", "the name of the rollback's campaign (default: NAME-rollback)")
	f.StringVar(&o.reason, "reason", "", "why, for the record")
	o.flags(cmd)
	f.BoolVar(&o.watch, "watch", false, "watch until it ends or needs a person")
	return cmd
}

func (a *app) rollbackCampaign(ctx context.Context, name string, o *rollbackOptions) error {
	f, conn, err := a.wholeFleet(ctx, o.fleetFile, "")
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := allowed(f, o.fleetFile); err != nil {
		return err
	}
	back, err := a.wayBack(ctx, conn, name, f, o)
	if err != nil {
		return err
	}
	in := workflows.CampaignIn{By: operator(), Reason: o.reason}
	if in.Name, err = rollbackName(ctx, conn, name, o.name); err != nil {
		return err
	}
	draft, f, err := planning.NewRollback(f, in.Name, name, back.Formers)
	if err != nil {
		return refused(err)
	}
	p, err := freeze(ctx, conn, f, draft)
	if err != nil {
		return err
	}
	a.sayPlan(f, p)
	if p.Unready == p.Zones {
		return refused(fmt.Errorf("none of %s would be rolled back now, and nothing was started: mend what is named, then roll back again", many(p.Zones, "zone")))
	}
	in.Plan, in.Digest = p.Name, p.Digest
	if err := launch(ctx, conn, in, p, false); err != nil {
		return err
	}
	return a.underWay(ctx, conn, in.Name, fmt.Sprintf("Campaign %s %s. See it: keywave campaign watch %s", in.Name, plan.PutsBack(name), in.Name), o.watch)
}

// allowed refuses a fleet whose file forbids every rollback, as its workers would.
func allowed(f *fleet.Fleet, path string) error {
	if f.Campaign.RollbackFor > 0 {
		return nil
	}
	return refused(fmt.Errorf("rollbackFor in %s is 0, which forbids every rollback, and nothing was changed; if that is the file of the edgeone workers too, set it for them first: campaign: {strategy: staged, rollbackFor: 24h}", path))
}

// wayBack is what of a campaign can be rolled back. It says what cannot, and refuses
// when nothing can.
func (a *app) wayBack(ctx context.Context, conn *temporalclient.Connection, name string, f *fleet.Fleet, o *rollbackOptions) (planning.WayBack, error) {
	if err := awaitWorker(ctx, conn); err != nil {
		return planning.WayBack{}, err
	}
	ran, err := ranBefore(ctx, conn, name)
	if err != nil {
		return planning.WayBack{}, err
	}
	chosen, err := o.of(f)
	if err != nil {
		return planning.WayBack{}, err
	}
	back := ran.WayBack(f, among(chosen), time.Now())
	if len(back.Formers) == 0 {
		return back, nothingBack(name, back)
	}
	for _, left := range back.Left {
		a.say("Not rolled back, %s", left)
	}
	return back, unbusy(ctx, conn, name, back.Zones())
}

// among says whether a zone was chosen. Without selectors that is every zone, also one
// that the fleet file does not have any more.
func among(f *fleet.Fleet) func(rotation.ZoneID) bool {
	if f.Selected == "" {
		return func(rotation.ZoneID) bool { return true }
	}
	chosen := map[rotation.ZoneID]bool{}
	for _, z := range f.Zones {
		chosen[z.ID] = true
	}
	return func(id rotation.ZoneID) bool { return chosen[id] }
}

// ranBefore gathers a campaign that is closed, and who rotated its zones since.
func ranBefore(ctx context.Context, conn *temporalclient.Connection, name string) (planning.Ran, error) {
	var ran planning.Ran
	status, err := statusOf(ctx, conn, name)
	if err != nil {
		return ran, err
	}
	if status.EndedAt == nil {
		return ran, refused(fmt.Errorf("campaign %s is %s, and its zones are its own until it is closed, a pause does not help; nothing was changed; cancel it: keywave campaign cancel %s --reason \"…\", or wait for its end: keywave campaign watch %s; one zone that is done: keywave zone rollback ZONE -f fleet.yaml --reason \"…\"", name, status.State, name, name))
	}
	if ran.Plan, err = planOf(ctx, conn, status); err != nil {
		return ran, err
	}
	pages, recorded, err := pagesOf(ctx, conn, ran.Plan, name)
	if err != nil {
		return ran, err
	}
	ran.Pages, ran.Emergency, ran.Running = pages, status.Emergency != "", map[rotation.ZoneID]bool{}
	began := status.StartedAt
	for _, records := range recorded {
		ran.Records = append(ran.Records, records...)
		for _, r := range records {
			if !r.EndedAt.IsZero() && r.EndedAt.Before(began) { // in an earlier run
				began = r.EndedAt
			}
		}
	}
	running, err := underWayIn(ctx, conn, name, time.Now())
	if err != nil {
		return ran, err
	}
	for id := range running {
		ran.Running[id] = true
	}
	ran.Since, err = planning.RotatedSince(ctx, conn, planning.PlannedZones(pages), began, name)
	return ran, err
}

// nothingBack says why nothing of a campaign can be rolled back.
func nothingBack(name string, back planning.WayBack) error {
	var texts []string
	for _, left := range back.Left {
		texts = append(texts, left.String())
	}
	return refused(fmt.Errorf("nothing of campaign %s can be rolled back, and nothing was changed:\n%s\nGo forward instead: keywave campaign start -f fleet.yaml", name, strings.Join(texts, "\n")))
}

// unbusy refuses zones that others have. Those that others rotated since are left out
// already.
func unbusy(ctx context.Context, conn *temporalclient.Connection, name string, zones []rotation.ZoneID) error {
	also, err := planning.LookBusy(ctx, conn, zones, func(campaign string, _ bool) bool { return campaign == name })
	switch {
	case err != nil:
		return refused(fmt.Errorf("%w; nothing was changed", err))
	case also.Zones > 0:
		return refused(fmt.Errorf("%d of %s belong to others; nothing was started:\n%s\nSee: keywave campaign list. Wait for the others, or roll back without these zones: --except", also.Zones, many(len(zones), "zone"), strings.Join(also.Texts, "\n")))
	}
	return nil
}

// rollbackName is the given name, or else the first of NAME-rollback, NAME-rollback-2, …
// that no plan and no campaign has.
func rollbackName(ctx context.Context, conn *temporalclient.Connection, of, given string) (string, error) {
	if given != "" {
		return given, nil
	}
	name := of + "-rollback"
	for n := 2; ; n++ {
		if workflows.CheckName(name) != nil { // too long
			return planName("")
		}
		free, err := isFree(ctx, conn, workflows.PlanID(name), workflows.CampaignID(name))
		if free || err != nil {
			return name, err
		}
		name = fmt.Sprintf("%s-rollback-%d", of, n)
	}
}

// isFree says that no workflow has one of these IDs.
func isFree(ctx context.Context, conn *temporalclient.Connection, ids ...string) (bool, error) {
	for _, id := range ids {
		_, err := conn.DescribeWorkflowExecution(ctx, id, "")
		if err == nil || !errors.As(err, new(*serviceerror.NotFound)) {
			return false, err
		}
	}
	return true, nil
}
