package workflows

import (
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// home is where a workflow must run: the ID that its input asks for, and the names
// in its input, which must be some. An ID is a lock and an address, so no workflow
// may pass for another: whoever can write to Temporal can start any under any ID.
type home struct {
	id    string
	names []string
	// runs says that Temporal appends the time of a run to the ID.
	runs bool
}

// at lets a workflow run at its home alone. Elsewhere it ends at once and says why.
func at[I interface{ home() home }, O any](w func(workflow.Context, I) (O, error)) func(workflow.Context, I) (O, error) {
	return func(ctx workflow.Context, in I) (O, error) {
		if err := in.home().check(ctx); err != nil {
			var none O
			return none, err
		}
		return w(ctx, in)
	}
}

// atOnly is at for a workflow without a result.
func atOnly[I interface{ home() home }](w func(workflow.Context, I) error) func(workflow.Context, I) error {
	return func(ctx workflow.Context, in I) error {
		if err := in.home().check(ctx); err != nil {
			return err
		}
		return w(ctx, in)
	}
}

func (h home) check(ctx workflow.Context) error {
	why := h.refuses(workflow.GetInfo(ctx).WorkflowExecution.ID)
	if why == "" {
		return nil
	}
	show(ctx, mark("Refused: %s.", why))
	return temporal.NewNonRetryableApplicationError(why, "Refused", nil)
}

// refuses says why a workflow may not run under an ID; empty when it may.
func (h home) refuses(id string) string {
	for _, name := range h.names {
		if err := CheckName(name); err != nil {
			return err.Error() + "; nothing was touched"
		}
	}
	if id != h.id && !(h.runs && strings.HasPrefix(id, h.id+"-")) {
		return fmt.Sprintf("workflow %.200q asks for what %s alone may do; nothing was touched", id, h.id)
	}
	return ""
}

func (in PlanIn) home() home {
	return home{id: PlanID(in.Plan.Name), names: []string{in.Plan.Name}}
}

func (in PageIn) home() home {
	return home{id: PageID(in.Plan, in.Page.Number), names: []string{in.Plan}}
}

func (in CampaignIn) home() home {
	return home{id: CampaignID(in.Name), names: []string{in.Name, in.Plan}}
}

func (in ShardIn) home() home {
	return home{id: ShardID(in.Campaign, in.Page), names: []string{in.Campaign, in.Plan, string(in.Account)}}
}

func (in ZoneIn) home() home {
	return home{id: ZoneID(in.Zone), names: []string{string(in.Zone), string(in.Account)}}
}

func (in LeaseIn) home() home {
	return home{id: in.ID(), names: []string{string(in.Account)}}
}

// A schedule's run makes a plan and a campaign of its own name.
func (in ScheduledIn) home() home {
	names := []string{in.Schedule, ScheduledName(in.Schedule, time.Time{})}
	for _, a := range in.Accounts {
		names = append(names, string(a))
	}
	return home{id: ScheduledID(in.Schedule), runs: true, names: names}
}
