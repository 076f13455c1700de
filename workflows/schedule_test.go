package workflows_test

import (
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"

	"keywave/activities"
	"keywave/internal/calendar"
	"keywave/internal/plan"
	"keywave/internal/rotation"
	"keywave/workflows"
)

func (w *world) onPlanFleet(in activities.PlanFleetIn) (plan.Plan, error) {
	if w.planRefused != "" {
		return plan.Plan{}, temporal.NewNonRetryableApplicationError(w.planRefused, string(activities.KindFleet), nil)
	}
	p := w.plan(w.scheduled, 10)
	p.Name, p.Made = in.Name, w.env.Now()
	w.plans[workflows.PlanID(in.Name)] = p
	for n := range p.Pages {
		w.pages[workflows.PageID(in.Name, n+1)] = w.pages[workflows.PageID("p", n+1)]
	}
	return p, nil
}

func scheduledIn(windows ...string) workflows.ScheduledIn {
	return workflows.ScheduledIn{
		Schedule: "night", Accounts: []rotation.Account{account}, Hours: calendar.Spec{Windows: windows},
		Approval: plan.Approval{By: "ann", Reason: "policy 7", Digest: "d", Whole: plan.Whole{Settings: usualSettings()}},
	}
}

// due runs one run of a schedule to its end.
func (w *world) due(in workflows.ScheduledIn) (workflows.ScheduledOut, error) {
	w.Helper()
	if w.scheduled.Waves == nil {
		w.scheduled = usualSettings()
	}
	var out workflows.ScheduledOut
	err := w.try(workflows.ScheduledID(in.Schedule)+"-2026-11-23T12:00:00Z", workflows.TypeScheduled, in, &out)
	w.judgeAll()
	return out, err
}

func TestScheduledRun(t *testing.T) {
	w := newWorld(t, 6, 3, 2)
	out, err := w.due(scheduledIn("Mon 14:00-16:00 UTC"))
	if err != nil || out != (workflows.ScheduledOut{Campaign: "night-20261123-120000", Zones: 6}) {
		t.Fatalf("%+v, %v\n%s", out, err, w.story())
	}
	if w.sentBetween(0, 2*time.Hour) > 0 || w.sentBetween(2*time.Hour, 3*time.Hour) != 6 || w.runs[workflows.ActPlanFleet] != 1 {
		t.Errorf("it did not wait for its window, or not all were refreshed\n%s", w.story())
	}
}

func TestScheduledRunIsLeftOutOnFrozenDates(t *testing.T) {
	for name, freeze := range map[string]func(*workflows.ScheduledIn){
		"the schedule's": func(in *workflows.ScheduledIn) { in.Hours.Freeze = []string{"2026-11-20..2026-11-30"} },
		"the fleet's": func(in *workflows.ScheduledIn) {
			in.Approval.Whole.Settings.Freeze = []string{"2026-11-20..2026-11-30"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 2, 2, 1)
			in := scheduledIn()
			freeze(&in)
			out, err := w.due(in)
			if err != nil || !strings.HasPrefix(out.Skipped, "2026-11-20..2026-11-30 is frozen until ") || len(w.runs) > 0 {
				t.Errorf("%+v, %v, %v", out, err, w.runs)
			}
		})
	}
}

// A run that could not start in time is left out, because nobody expects it any
// more.
func TestScheduledRunIsLeftOutWhenItIsLate(t *testing.T) {
	for late, skipped := range map[time.Duration]bool{9 * time.Minute: false, 11 * time.Minute: true} {
		w := newWorld(t, 2, 2, 1)
		w.late = late
		out, err := w.due(scheduledIn())
		if err != nil || (out.Skipped != "") != skipped || (len(w.runs) == 0) != skipped {
			t.Errorf("%s late: %+v, %v, %v", late, out, err, w.runs)
		}
	}
}

// A run that does not end with all zones done fails. That pauses the schedule,
// and the failure says what to do.
func TestScheduledRunFails(t *testing.T) {
	for _, c := range []struct {
		name  string
		world func(*world)
		want  string
	}{
		{"the fleet file is another", func(w *world) { w.planRefused = "zone zone-07 is new; nothing was touched" }, "zone zone-07 is new; nothing was touched"},
		{"no worker plans", func(w *world) {
			w.queued = func(t *task) time.Duration {
				if t.name == workflows.ActPlanFleet {
					return forever
				}
				return 0
			}
		}, "no worker of account acme took the planning within 10m0s (is one active? keywave doctor); nothing was touched"},
		{"zones are not done", func(w *world) {
			w.scheduled = settings(func(s *plan.Settings) { s.MaxFailed = "100%" })
			w.zones["zone-02"].refresh = []refreshing{refused("InvalidParameter.ZoneNotFound", false)}
		}, "campaign night-20261123-120000 is ended with 1 of 2 zones done; next: keywave campaign resume night-20261123-120000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, 2, 2, 1)
			c.world(w)
			out, err := w.due(scheduledIn())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%+v, %v, want %q\n%s", out, err, c.want, w.story())
			}
		})
	}
}
