package workflows_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"keywave/activities"
	"keywave/internal/plan"
	"keywave/internal/rotation"
	"keywave/workflows"
)

// look runs a workflow that asks the account's worker one thing.
func look[I, O any](t *testing.T, w any, in any, name string, act func(context.Context, I) (O, error), result any) error {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := suite.NewTestWorkflowEnvironment()
	env.RegisterActivityWithOptions(act, activity.RegisterOptions{Name: name})
	env.ExecuteWorkflow(w, in)
	if err := env.GetWorkflowError(); err != nil {
		return err
	}
	return env.GetWorkflowResult(result)
}

// planned is a page of zones whose baselines are their IDs.
func planned(n int) plan.Page {
	page := plan.Page{Account: "default", Number: 1}
	for i := range n {
		id := rotation.ZoneID(fmt.Sprintf("zone-%03d", i))
		page.Zones = append(page.Zones, plan.PageZone{ID: id, Baseline: rotation.Fingerprint(id)})
	}
	return page
}

func TestRereadNamesWhatDrifted(t *testing.T) {
	page := planned(250)
	page.Zones[4].Baseline, page.Zones[5].Baseline = "", rotation.Absent
	var batches []int
	baselines := func(_ context.Context, in activities.BaselinesIn) (activities.BaselinesOut, error) {
		batches = append(batches, len(in.Zones))
		if !in.Strict {
			t.Error("a key that cannot be read would pass for one that is as planned")
		}
		out := activities.BaselinesOut{Baselines: make([]activities.Baseline, len(in.Zones)), API: rotation.API{Describe: len(in.Zones)}}
		for i, z := range in.Zones {
			out.Baselines[i].Key = map[rotation.ZoneID]rotation.Fingerprint{"zone-001": "other", "zone-002": rotation.Absent, "zone-003": "", "zone-005": "new"}[z]
			switch z {
			case "zone-001", "zone-002", "zone-005":
			case "zone-003":
				out.Baselines[i].Problem = "refused"
			default:
				out.Baselines[i].Key = rotation.Fingerprint(z)
			}
		}
		return out, nil
	}
	var out workflows.RereadOut
	if err := look(t, workflows.Reread, workflows.RereadIn{Page: page}, workflows.ActBaselines, baselines, &out); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range out.Differ {
		got = append(got, d.String())
	}
	want := `zone zone-001 has the live key other, had zone-001: it was changed in between
zone zone-002 has the live key absent, had zone-002: it was changed in between
zone zone-003 had the live key zone-003, and EdgeOne does not show it any more; does the zone still exist? refused
zone zone-005 has the live key new, had absent: it was changed in between`
	if strings.Join(got, "\n") != want || out.Zones != 250 || out.Describes != 250 || len(batches) != 3 {
		t.Errorf("of %d, in %v:\n%s", out.Zones, batches, strings.Join(got, "\n"))
	}
}

// An answer that cannot be read fails the workflow.
func TestLookingFails(t *testing.T) {
	nobody := temporal.NewTimeoutError(enums.TIMEOUT_TYPE_SCHEDULE_TO_START, nil)
	unread := temporal.NewNonRetryableApplicationError("zone zone-000: the live key could not be read", "Unread", nil)
	for _, c := range []struct {
		err  error
		want string
	}{
		{nobody, "no worker of account default took it up within 2m0s (is one active, or busy? keywave doctor)"},
		{unread, "zone zone-000: the live key could not be read"},
	} {
		for name, err := range map[string]error{
			"reread": look(t, workflows.Reread, workflows.RereadIn{Page: planned(1)}, workflows.ActBaselines,
				func(context.Context, activities.BaselinesIn) (activities.BaselinesOut, error) {
					return activities.BaselinesOut{}, c.err
				}, nil),
			"discover": look(t, workflows.Discover, workflows.DiscoverIn{Account: "default"}, workflows.ActDiscover,
				func(context.Context, activities.DiscoverIn) (activities.DiscoverOut, error) {
					return activities.DiscoverOut{}, c.err
				}, nil),
		} {
			var app *temporal.ApplicationError
			if !errors.As(err, &app) || app.Message() != c.want || !app.NonRetryable() {
				t.Errorf("%s: %v, want %s", name, err, c.want)
			}
		}
	}
}

func TestDiscoverPassesOn(t *testing.T) {
	var out activities.DiscoverOut
	in := workflows.DiscoverIn{Account: "default", DiscoverIn: activities.DiscoverIn{Query: rotation.ZoneQuery{Name: "a*"}, Gateways: true, From: 500}}
	err := look(t, workflows.Discover, in, workflows.ActDiscover, func(_ context.Context, got activities.DiscoverIn) (activities.DiscoverOut, error) {
		if got.From != 500 || got.Query.Name != "a*" || !got.Gateways {
			t.Errorf("asked %+v", got)
		}
		return activities.DiscoverOut{Total: 501, Next: 501, Zones: []rotation.ListedZone{{ID: "zone-500"}}}, nil
	}, &out)
	if err != nil || out.Next != 501 || len(out.Zones) != 1 {
		t.Errorf("%+v, %v", out, err)
	}
}
