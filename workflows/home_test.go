package workflows_test

import (
	"errors"
	"strings"
	"testing"

	"go.temporal.io/sdk/temporal"

	"keywave/internal/plan"
	"keywave/internal/rotation"
	"keywave/workflows"
)

// A workflow's ID is a lock and an address. No workflow runs under the ID of
// another, or for a name that could be read as two names.
func TestNoWorkflowPassesForAnother(t *testing.T) {
	long := strings.Repeat("a", 65)
	for _, c := range []struct {
		kind, id string
		in       any
		says     string
	}{
		{workflows.TypeZone, "zone/another", workflows.ZoneIn{Zone: "zone-01", Account: account}, `workflow "zone/another" asks for what zone/zone-01 alone may do`},
		{workflows.TypeZone, "campaign/c/shard/1", workflows.ZoneIn{Zone: "zone-01", Account: account}, "zone/zone-01 alone"},
		{workflows.TypeZone, "zone/a/b", workflows.ZoneIn{Zone: "a/b", Account: account}, `"a/b" is no name`},
		{workflows.TypeZone, "zone/zone-01", workflows.ZoneIn{Zone: "zone-01", Account: "a\nb"}, `"a\nb" is no name`},
		{workflows.TypeShard, "campaign/c/shard/2", workflows.ShardIn{Campaign: "c", Plan: "p", Account: account, Page: 1}, "campaign/c/shard/1 alone"},
		{workflows.TypeShard, "campaign/c/shard/1/shard/1", workflows.ShardIn{Campaign: "c/shard/1", Plan: "p", Account: account, Page: 1}, `"c/shard/1" is no name`},
		{workflows.TypeCampaign, "campaign/c/shard/1", workflows.CampaignIn{Name: "c", Plan: "p"}, "campaign/c alone"},
		{workflows.TypeCampaign, "campaign/boom/shard/1", workflows.CampaignIn{Name: "boom/shard/1", Plan: "p"}, `"boom/shard/1" is no name`},
		{workflows.TypeCampaign, "campaign/c", workflows.CampaignIn{Name: "c", Plan: "p/page/1"}, `"p/page/1" is no name`},
		{workflows.TypeCampaign, "campaign/" + long, workflows.CampaignIn{Name: long, Plan: "p"}, "at most 64 letters"},
		{workflows.TypePlan, "plan/q", workflows.PlanIn{Plan: plan.Plan{Name: "p"}, Pages: 1}, "plan/p alone"},
		{workflows.TypePlan, "plan/p/page/1", workflows.PlanIn{Plan: plan.Plan{Name: "p/page/1"}}, `"p/page/1" is no name`},
		{workflows.TypePage, "plan/p/page/2", workflows.PageIn{Plan: "p", Page: plan.Page{Number: 1}}, "plan/p/page/1 alone"},
		{workflows.TypeScheduled, "schedule/other/run-2026-11-23T12:00:00Z", workflows.ScheduledIn{Schedule: "s", Accounts: []rotation.Account{account}}, "schedule/s/run alone"},
		{workflows.TypeScheduled, "schedule/" + long[:60] + "/run", workflows.ScheduledIn{Schedule: long[:60], Accounts: []rotation.Account{account}}, "at most 64 letters"},
		{workflows.TypeLease, "edgeone/other", workflows.LeaseIn{Account: account}, "edgeone/acme alone"},
		{workflows.TypeLease, "edgeone/acme", workflows.LeaseIn{Account: account, Early: true}, "early/acme alone"},
	} {
		t.Run(c.kind+" under "+c.id, func(t *testing.T) {
			w := newWorld(t, 1, 1, 1)
			var result any
			err := w.try(c.id, c.kind, c.in, &result)
			var app *temporal.ApplicationError
			if !errors.As(err, &app) || !app.NonRetryable() || !strings.Contains(app.Message(), c.says) || !strings.HasSuffix(app.Message(), "; nothing was touched") {
				t.Errorf("%v, want %q", err, c.says)
			}
			if len(w.runs) > 0 || len(w.said) > 0 {
				t.Errorf("it did something: %v %v", w.runs, w.said)
			}
		})
	}
}

// A schedule's name leaves room for the time of its runs, because each run is a
// campaign with a name.
func TestScheduledNamesAreNames(t *testing.T) {
	longest := strings.Repeat("s", 48)
	if err := workflows.CheckScheduleName(longest); err != nil {
		t.Error(err)
	}
	if err := workflows.CheckName(workflows.ScheduledName(longest, noon)); err != nil {
		t.Error(err)
	}
	if workflows.CheckScheduleName(longest+"s") == nil || workflows.CheckScheduleName("a/b") == nil {
		t.Error("a name is taken whose runs have none")
	}
}
