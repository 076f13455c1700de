package activities

import (
	"context"

	"go.temporal.io/sdk/activity"

	"keywave/internal/plan"
)

// PlanFleetIn asks for a plan of the fleet file as a person approved it.
type PlanFleetIn struct {
	// Name is the plan's.
	Name     string        `json:"name"`
	Schedule string        `json:"schedule"`
	Approval plan.Approval `json:"approval"`
	// Again says that an earlier attempt may have started it.
	Again bool `json:"again,omitempty"`
}

// PlanFleet makes the plan, for a schedule: the fleet file is read by the
// account's own worker, and refused when it is not the one that was approved.
func (e *EdgeOne) PlanFleet(ctx context.Context, in PlanFleetIn) (plan.Plan, error) {
	defer beat(ctx)()
	ctx, cancel := untilStopped(ctx)
	defer cancel()
	in.Again = activity.GetInfo(ctx).Attempt > 1
	plan, refused, err := e.Plan(ctx, in)
	switch {
	case refused != "":
		return plan, fail(KindFleet, refused)
	case err != nil && ctx.Err() != nil:
		return plan, fail(KindTemporal, "this worker stops; another one plans on")
	case err != nil:
		return plan, fail(KindTemporal, "no plan could be made: "+err.Error())
	}
	return plan, nil
}
