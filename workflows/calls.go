package workflows

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	sdkworker "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"go.temporal.io/sdk/temporal"

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

func lastRunAct() act[activities.LastRunIn, activities.LastRunOut] {
	return act[activities.LastRunIn, activities.LastRunOut]{ActLastRun}
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
	rateAct().register(r, t.Rate)
	loadPlanAct().register(r, t.LoadPlan)
	loadPageAct().register(r, t.LoadPage)
	priorAct().register(r, t.Prior)
	awaitAct().register(r, t.Await)
}

// RegisterWorkflows registers the workflows alone, for replay.
func RegisterWorkflows(r interface {
	RegisterWorkflowWithOptions(w any, o workflow.RegisterOptions)
},
) {
	for name, w := range map[string]any{
		TypePlan: Plan, TypePage: Page, TypeCampaign: Campaign, TypeShard: Shard, TypeZone: Zone, TypeLease: Lease, TypeAudit: Audit, TypeCheckup: Checkup, TypeNotice: Notice, TypeScheduled: Scheduled,
		TypeDiscover: Discover, TypeReread: Reread,
	} {
		r.RegisterWorkflowWithOptions(w, workflow.RegisterOptions{Name: name})
	}
}

// RegisterRefresh registers what waits on RefreshQueue.
func RegisterRefresh(r sdkworker.ActivityRegistry, e *activities.EdgeOne) {
	refreshAct().register(r, e.Refresh)
}

// RegisterEdgeOne registers what waits on EdgeOneQueue.
func RegisterEdgeOne(r sdkworker.ActivityRegistry, e *activities.EdgeOne) {
	readAct().register(r, e.Read)
	baselinesAct().register(r, e.Baselines)
	probeAct().register(r, e.Probe)
	healthAct().register(r, e.Health)
	examineAct().register(r, e.Examine)
	planFleetAct().register(r, e.PlanFleet)
	discoverAct().register(r, e.Discover)
}

// RegisterLocation registers what waits on a LocationQueue.
func RegisterLocation(r sdkworker.ActivityRegistry, l *activities.Location) {
	proveAct().register(r, l.Prove)
	deliverAct().register(r, l.Deliver)
}

// RegisterLease registers what waits on LeaseQueue.
func RegisterLease(r sdkworker.ActivityRegistry, l *activities.Lease) {
	r.RegisterActivityWithOptions(l.Hold, activity.RegisterOptions{Name: ActHold})
}

// Priorities (Temporal's: 1 is first). An exposed zone goes before everything.
const (
	priorityExposed = 1
	priorityNormal  = 3
	priorityBulk    = 5
)

// The table of all timeouts and retries. The activities whose failure means
// something to a zone are tried once: the zone decides what comes next.
const (
	heartbeat     = 6 * time.Second
	quickAnswer   = 2 * time.Second // a worker that gave a proof takes the delivery at once, or is gone
	firstDelivery = 8 * time.Second
	delivery      = 25 * time.Second
	proving       = 60 * time.Second
	reading       = 60 * time.Second
	refreshTail   = 30 * time.Second // beyond the proofs' life: one call's timeout and the answer
	noWorker      = 15 * time.Second // a location without any worker
	longPoll      = 30 * time.Second
	unhurried     = 2 * time.Minute // a person waits, and others may be served first
)

func once() *temporal.RetryPolicy { return &temporal.RetryPolicy{MaximumAttempts: 1} }

func refreshOptions(in ZoneIn, summary string) workflow.ActivityOptions {
	return workflow.ActivityOptions{
		TaskQueue: RefreshQueue(in.Account), Summary: clipped(summary),
		ScheduleToStartTimeout: in.Timing.ProofFor.D(), StartToCloseTimeout: in.Timing.ProofFor.D() + refreshTail,
		HeartbeatTimeout: heartbeat, WaitForCancellation: true, RetryPolicy: once(),
		Priority: temporal.Priority{PriorityKey: priorityNormal},
	}
}

func readOptions(in ZoneIn, why string, priority int) workflow.ActivityOptions {
	return workflow.ActivityOptions{
		TaskQueue: EdgeOneQueue(in.Account), Summary: why,
		StartToCloseTimeout: reading, HeartbeatTimeout: heartbeat, RetryPolicy: patient(0),
		Priority: temporal.Priority{PriorityKey: priority},
	}
}

func deliverOptions(queue, summary string, own bool, round int) workflow.ActivityOptions {
	o := workflow.ActivityOptions{
		TaskQueue: queue, Summary: clipped(summary),
		ScheduleToStartTimeout: noWorker, StartToCloseTimeout: delivery, HeartbeatTimeout: heartbeat,
		RetryPolicy: once(), Priority: temporal.Priority{PriorityKey: priorityNormal},
	}
	if own {
		o.ScheduleToStartTimeout = quickAnswer
	}
	if round == 0 {
		o.StartToCloseTimeout = firstDelivery
	} else {
		o.Priority.PriorityKey = priorityExposed
	}
	return o
}

func proveOptions(location rotation.Location, hosts int) workflow.ActivityOptions {
	return workflow.ActivityOptions{
		TaskQueue: LocationQueue(location), Summary: "proofs of " + fmtHosts(hosts) + " in " + string(location),
		ScheduleToStartTimeout: proving, StartToCloseTimeout: proving, HeartbeatTimeout: heartbeat,
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: time.Second, MaximumAttempts: 2},
		Priority:    temporal.Priority{PriorityKey: priorityBulk},
	}
}

// surveyOptions are for looking at hosts while planning, where an absent worker
// is a finding and not a failure.
func surveyOptions(location rotation.Location, hosts int) workflow.ActivityOptions {
	o := proveOptions(location, hosts)
	o.ScheduleToStartTimeout = noWorker
	return o
}

// checkupOptions are for trying an account's worker, where an absent one is an
// answer.
func checkupOptions(account rotation.Account, why string) workflow.ActivityOptions {
	return workflow.ActivityOptions{
		TaskQueue: EdgeOneQueue(account), Summary: why, ScheduleToStartTimeout: noWorker,
		StartToCloseTimeout: reading, HeartbeatTimeout: heartbeat, RetryPolicy: once(),
	}
}

// bulkOptions are for what the account's process does outside any zone.
func bulkOptions(account rotation.Account, why string) workflow.ActivityOptions {
	return workflow.ActivityOptions{
		TaskQueue: EdgeOneQueue(account), Summary: why, StartToCloseTimeout: 10 * time.Minute,
		HeartbeatTimeout: heartbeat, RetryPolicy: patient(0), Priority: temporal.Priority{PriorityKey: priorityBulk},
	}
}

// unhurriedOptions are for what a person waits for who can ask again.
func unhurriedOptions(account rotation.Account, why string) workflow.ActivityOptions {
	o := bulkOptions(account, why)
	o.ScheduleToStartTimeout, o.RetryPolicy = unhurried, patient(20)
	return o
}

// planFleetOptions are for planning a whole fleet: each zone costs one call.
func planFleetOptions(account rotation.Account, why string) workflow.ActivityOptions {
	return workflow.ActivityOptions{
		TaskQueue: EdgeOneQueue(account), Summary: why, ScheduleToStartTimeout: CatchUp, StartToCloseTimeout: 24 * time.Hour,
		HeartbeatTimeout: heartbeat, RetryPolicy: patient(0), Priority: temporal.Priority{PriorityKey: priorityBulk},
	}
}

// storedOptions are for what Temporal itself holds.
func storedOptions(why string) workflow.ActivityOptions {
	return workflow.ActivityOptions{
		TaskQueue: Queue, Summary: why, StartToCloseTimeout: 5 * time.Minute,
		HeartbeatTimeout: longPoll, RetryPolicy: patient(0),
	}
}

// longOptions are for waiting until a workflow that may have refreshed ends.
func longOptions(why string, t rotation.Timing) workflow.ActivityOptions {
	o := storedOptions(why)
	o.StartToCloseTimeout = 2*t.DeliverFor.D() + t.SignatureLife.D() + time.Hour
	return o
}

// patient retries for as long as it takes, or so many times.
func patient(attempts int32) *temporal.RetryPolicy {
	return &temporal.RetryPolicy{InitialInterval: 500 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: 10 * time.Second, MaximumAttempts: attempts}
}

func childPolicy(id, summary string) workflow.ChildWorkflowOptions {
	return workflow.ChildWorkflowOptions{
		WorkflowID: id, TaskQueue: Queue, StaticSummary: clipped(summary),
		ParentClosePolicy: enums.PARENT_CLOSE_POLICY_REQUEST_CANCEL, WaitForCancellation: true,
		WorkflowIDReusePolicy: enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
	}
}

// within is a wait that the Temporal UI shows by what it is for.
func within(d time.Duration, what string) workflow.AwaitOptions {
	return workflow.AwaitOptions{Timeout: d, TimerOptions: workflow.TimerOptions{Summary: clipped(what)}}
}

// clipped keeps a static summary under Temporal's 200 bytes.
func clipped(s string) string {
	const most = 190
	if len(s) <= most {
		return s
	}
	n := most
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n] + "…"
}

// why is what an activity's error says to people: our own text, without
// Temporal's wrapping.
func why(err error) string {
	var app *temporal.ApplicationError
	if errors.As(err, &app) {
		return app.Message()
	}
	var timeout *temporal.TimeoutError
	if errors.As(err, &timeout) {
		return "timed out: " + timeout.TimeoutType().String()
	}
	return err.Error()
}

// neverStarted says that an activity provably did not run.
func neverStarted(err error) bool {
	var timeout *temporal.TimeoutError
	return errors.As(err, &timeout) && timeout.TimeoutType() == enums.TIMEOUT_TYPE_SCHEDULE_TO_START
}
