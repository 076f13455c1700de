package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"keywave/activities"
	"keywave/internal/calendar"
	"keywave/internal/plan"
	"keywave/internal/rotation"
)

// ScheduledIn is what a schedule does each time that it is due. It is kept by
// Temporal with the schedule.
type ScheduledIn struct {
	Schedule string `json:"schedule"`
	// Accounts are the fleet's; the worker of the first one plans.
	Accounts []rotation.Account `json:"accounts"`
	// Approval is the fleet that a person approved; any other is refused.
	Approval plan.Approval `json:"approval"`
	// Hours are the schedule's own, beside the fleet file's.
	Hours calendar.Spec `json:"hours,omitzero"`
	// Log is what people did to the schedule.
	Log Log `json:"log,omitempty"`
}

// ScheduledOut is how a run ended.
type ScheduledOut struct {
	Campaign string `json:"campaign,omitempty"`
	Zones    int    `json:"zones,omitempty"`
	// Skipped says why nothing was begun.
	Skipped string `json:"skipped,omitempty"`
}

// CatchUp is how late a run may begin; later it is left out.
const CatchUp = 10 * time.Minute

// Calendar is what a run of the schedule obeys.
func (in ScheduledIn) Calendar() []calendar.Spec {
	return []calendar.Spec{planHours(in.Approval.Whole.Settings), in.Hours}
}

// Scheduled is one run: it plans the approved fleet as it is now and runs a
// campaign of the plan, which waits for its window by itself. It ends with the
// campaign, so that runs do not overlap, and fails when not all is done, which
// pauses the schedule.
func Scheduled(ctx workflow.Context, in ScheduledIn) (ScheduledOut, error) {
	due := workflow.GetInfo(ctx).WorkflowStartTime
	name := ScheduledName(in.Schedule, due)
	if why := notNow(ctx, in, due); why != "" {
		show(ctx, mark("Nothing was begun: %s.", why))
		return ScheduledOut{Skipped: why}, nil
	}
	if len(in.Accounts) == 0 {
		return ScheduledOut{}, failed("the schedule names no account; approve its fleet again; nothing was touched")
	}
	show(ctx, mark("Plans the fleet that %s approved, and runs campaign **%s** of it.", in.Approval.By, name))
	plan, err := planFleetAct().do(ctx, planFleetOptions(in.Accounts[0], "plan of the approved fleet"), activities.PlanFleetIn{Name: name, Schedule: in.Schedule, Approval: in.Approval})
	if neverStarted(err) {
		return ScheduledOut{}, failed("no worker of account %s took the planning within %s (is one active? keywave doctor); nothing was touched", in.Accounts[0], CatchUp)
	}
	if err != nil {
		return ScheduledOut{}, failed("%s", why(err))
	}
	return runScheduled(ctx, in, plan)
}

// notNow says why a run is left out.
func notNow(ctx workflow.Context, in ScheduledIn, due time.Time) string {
	if late := workflow.Now(ctx).Sub(due); late > CatchUp {
		return fmt.Sprintf("no worker took it for %s, and a run may be %s late", late.Round(time.Second), CatchUp)
	}
	if look := hoursNow(ctx, in.Calendar()...); look.Frozen {
		return look.Why
	}
	return ""
}

func runScheduled(ctx workflow.Context, in ScheduledIn, plan plan.Plan) (ScheduledOut, error) {
	o := childPolicy(CampaignID(plan.Name), fmt.Sprintf("rotate %d zones on %d hosts in %d waves, by schedule %s", plan.Zones, plan.Hosts, len(plan.Waves), in.Schedule))
	o.ParentClosePolicy = enums.PARENT_CLOSE_POLICY_ABANDON
	o.WorkflowIDReusePolicy = enums.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE
	o.TypedSearchAttributes = Searchable(plan.Name, "", plan.Digest)
	var s Status
	err := workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, o), TypeCampaign, CampaignIn{
		Name: plan.Name, Plan: plan.Name, Digest: plan.Digest, By: in.Approval.By, Hours: in.Hours,
		Reason: fmt.Sprintf("schedule %s: %s", in.Schedule, in.Approval.Reason),
	}).Get(ctx, &s)
	if found, closed := StatusIn(err); closed {
		s, err = found, nil
	}
	if err != nil {
		return ScheduledOut{}, failed("campaign %s: %s", plan.Name, why(err))
	}
	if s.State != StateDone {
		return ScheduledOut{}, failed("campaign %s is %s with %d of %d zones done; next: %s", plan.Name, s.State, s.Zones.Done+s.Zones.Skipped, s.Zones.Total, s.Next)
	}
	return ScheduledOut{Campaign: plan.Name, Zones: s.Zones.Total}, nil
}

func failed(format string, args ...any) error {
	return temporal.NewNonRetryableApplicationError(fmt.Sprintf(format, args...), "RunFailed", nil)
}
