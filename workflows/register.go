package workflows

import (
	"context"

	"go.temporal.io/sdk/activity"
	sdkworker "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"keywave/activities"
	"keywave/internal/plan"
	"keywave/internal/rotation"
)

// act is an activity as workflows see it: its name, and the shapes that the
// compiler checks at both ends.
type act[I, O any] struct{ name string }

func (a act[I, O]) start(ctx workflow.Context, o workflow.ActivityOptions, in I) workflow.Future {
	return workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, o), a.name, in)
}

func (a act[I, O]) do(ctx workflow.Context, o workflow.ActivityOptions, in I) (O, error) {
	var out O
	err := a.start(ctx, o, in).Get(ctx, &out)
	return out, err
}

func (a act[I, O]) register(r sdkworker.ActivityRegistry, f func(context.Context, I) (O, error)) {
	r.RegisterActivityWithOptions(f, activity.RegisterOptions{Name: a.name})
}

func refreshAct() act[activities.RefreshIn, activities.RefreshOut] {
	return act[activities.RefreshIn, activities.RefreshOut]{ActRefresh}
}

func mintAct() act[activities.MintIn, activities.MintOut] {
	return act[activities.MintIn, activities.MintOut]{ActMint}
}

func switchAct() act[activities.SwitchIn, activities.RefreshOut] {
	return act[activities.SwitchIn, activities.RefreshOut]{ActSwitch}
}

func stageAct() act[activities.StageIn, activities.StageOut] {
	return act[activities.StageIn, activities.StageOut]{ActStage}
}

func unstageAct() act[activities.UnstageIn, activities.UnstageOut] {
	return act[activities.UnstageIn, activities.UnstageOut]{ActUnstage}
}

func readAct() act[activities.ReadIn, activities.ReadOut] {
	return act[activities.ReadIn, activities.ReadOut]{ActRead}
}

func baselinesAct() act[activities.BaselinesIn, activities.BaselinesOut] {
	return act[activities.BaselinesIn, activities.BaselinesOut]{ActBaselines}
}

func probeAct() act[activities.ProbeIn, activities.Probe] {
	return act[activities.ProbeIn, activities.Probe]{ActProbe}
}

func proveAct() act[activities.ProveIn, activities.ProveOut] {
	return act[activities.ProveIn, activities.ProveOut]{ActProve}
}

func deliverAct() act[activities.DeliverIn, activities.DeliverOut] {
	return act[activities.DeliverIn, activities.DeliverOut]{ActDeliver}
}

func loadPlanAct() act[activities.LoadPlanIn, plan.Plan] {
	return act[activities.LoadPlanIn, plan.Plan]{ActLoadPlan}
}

func loadPageAct() act[activities.LoadPageIn, plan.Page] {
	return act[activities.LoadPageIn, plan.Page]{ActLoadPage}
}

func priorAct() act[activities.PriorIn, activities.PriorOut] {
	return act[activities.PriorIn, activities.PriorOut]{ActPrior}
}

func awaitAct() act[activities.AwaitIn, activities.AwaitOut] {
	return act[activities.AwaitIn, activities.AwaitOut]{ActAwait}
}

func begunAct() act[activities.BegunIn, activities.BegunOut] {
	return act[activities.BegunIn, activities.BegunOut]{ActBegun}
}

func lastRunAct() act[activities.LastRunIn, activities.LastRunOut] {
	return act[activities.LastRunIn, activities.LastRunOut]{ActLastRun}
}

func openRunAct() act[activities.OpenRunIn, activities.OpenRunOut] {
	return act[activities.OpenRunIn, activities.OpenRunOut]{ActOpenRun}
}

func askRunAct() act[activities.AskRunIn, activities.AskRunOut] {
	return act[activities.AskRunIn, activities.AskRunOut]{ActAskRun}
}

func healthAct() act[activities.HealthIn, activities.HealthOut] {
	return act[activities.HealthIn, activities.HealthOut]{ActHealth}
}

func rateAct() act[activities.RateIn, activities.RateOut] {
	return act[activities.RateIn, activities.RateOut]{ActRate}
}

func examineAct() act[activities.ExamineIn, activities.ExamineOut] {
	return act[activities.ExamineIn, activities.ExamineOut]{ActExamine}
}

func planFleetAct() act[activities.PlanFleetIn, plan.Plan] {
	return act[activities.PlanFleetIn, plan.Plan]{ActPlanFleet}
}

func discoverAct() act[activities.DiscoverIn, activities.DiscoverOut] {
	return act[activities.DiscoverIn, activities.DiscoverOut]{ActDiscover}
}

func notifyAct() act[rotation.Notice, activities.NotifyOut] {
	return act[rotation.Notice, activities.NotifyOut]{ActNotify}
}

// RegisterOrchestrator registers what the orchestrator role runs.
func RegisterOrchestrator(r sdkworker.Registry, t *activities.Temporal, n *activities.Notices) {
	RegisterWorkflows(r)
	notifyAct().register(r, n.Notify)
	lastRunAct().register(r, t.LastRun)
	openRunAct().register(r, t.OpenRun)
	askRunAct().register(r, t.AskRun)
	rateAct().register(r, t.Rate)
	loadPlanAct().register(r, t.LoadPlan)
	loadPageAct().register(r, t.LoadPage)
	priorAct().register(r, t.Prior)
	awaitAct().register(r, t.Await)
	begunAct().register(r, t.Begun)
}

// RegisterWorkflows registers the workflows alone, for replay.
func RegisterWorkflows(r interface {
	RegisterWorkflowWithOptions(w any, o workflow.RegisterOptions)
},
) {
	for name, w := range map[string]any{
		TypePlan: at(Plan), TypePage: atOnly(Page), TypeCampaign: at(Campaign), TypeShard: at(Shard), TypeZone: at(Zone), TypeLease: atOnly(Lease),
		TypeAudit: Audit, TypeCheckup: Checkup, TypeNotice: Notice, TypeScheduled: at(Scheduled), TypeDiscover: Discover, TypeReread: Reread,
	} {
		r.RegisterWorkflowWithOptions(w, workflow.RegisterOptions{Name: name})
	}
}

// RegisterRefresh registers what waits on RefreshQueue.
func RegisterRefresh(r sdkworker.ActivityRegistry, e *activities.EdgeOne) {
	refreshAct().register(r, e.Refresh)
	switchAct().register(r, e.Switch)
}

// RegisterEdgeOne registers what waits on EdgeOneQueue.
func RegisterEdgeOne(r sdkworker.ActivityRegistry, e *activities.EdgeOne) {
	mintAct().register(r, e.Mint)
	readAct().register(r, e.Read)
	baselinesAct().register(r, e.Baselines)
	probeAct().register(r, e.Probe)
	healthAct().register(r, e.Health)
	examineAct().register(r, e.Examine)
	planFleetAct().register(r, e.PlanFleet)
	discoverAct().register(r, e.Discover)
}

// RegisterEarly registers what waits on EarlyQueue.
func RegisterEarly(r sdkworker.ActivityRegistry, e *activities.EdgeOne) {
	readAct().register(r, e.Read)
}

// RegisterLocation registers what waits on a LocationQueue.
func RegisterLocation(r sdkworker.ActivityRegistry, l *activities.Location) {
	proveAct().register(r, l.Prove)
	deliverAct().register(r, l.Deliver)
	stageAct().register(r, l.Stage)
	unstageAct().register(r, l.Unstage)
}

// RegisterLease registers what waits on LeaseQueue and on EarlyLeaseQueue.
func RegisterLease(r sdkworker.ActivityRegistry, l *activities.Lease) {
	r.RegisterActivityWithOptions(l.Serve, activity.RegisterOptions{Name: ActLease})
}
