package workflows

import (
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"keywave/activities"
	"keywave/internal/harmless"
	"keywave/internal/rotation"
)

// Priorities (Temporal's: 1 is first). An exposed zone goes before everything.
const (
	priorityExposed = 1
	priorityNormal  = 3
	priorityBulk    = 5
)

// How long an activity may take, and how often it is tried, stands in one table:
// activities.LimitsFor. Here is what a step in a hurry takes of it. The activities
// whose failure means something to a zone are tried once, or a few times: the zone
// decides what comes next.
const (
	quickAnswer   = 300 * time.Millisecond // a worker that gave a proof takes the delivery at once, or is gone
	quickProof    = 2 * time.Second        // the worker that calls EdgeOne gives proofs itself, or is gone
	firstDelivery = 8 * time.Second
	earlyAfter    = time.Second            // a refresh that has begun answers within it, or the key is read early
	aMoment       = 100 * time.Millisecond // between what a process says and what Temporal can be asked about it
	earlyWithin   = 5 * time.Second        // a process that stands by reads early, or none does
	noWorker      = 15 * time.Second       // a location without any worker
	unhurried     = 2 * time.Minute        // a person waits, and others may be served first
	soonStart     = time.Minute            // a zone's workflow, where nothing is slow
	slowStart     = 5 * time.Minute        // a zone's workflow: Temporal puts off what it cannot do for up to three minutes
	takeover      = 30 * time.Second       // an account without an active process: another one takes over within seconds
)

func limits() activities.Limits { return activities.LimitsFor(0) }

// limited lets an activity wait on a queue, within its limit.
func limited(l activities.Limit, queue, why string, priority int) workflow.ActivityOptions {
	return workflow.ActivityOptions{
		TaskQueue: queue, Summary: harmless.Summary(why),
		ScheduleToStartTimeout: l.Start, StartToCloseTimeout: l.Close, ScheduleToCloseTimeout: l.Total,
		HeartbeatTimeout: l.Heartbeat, RetryPolicy: patient(l.Attempts), Priority: temporal.Priority{PriorityKey: priority},
	}
}

// refreshOptions are for a refresh, of which nothing is known before it has ended
// or provably never begun.
func refreshOptions(in ZoneIn, summary string) workflow.ActivityOptions {
	o := limited(activities.LimitsFor(in.Timing.ProofFor.D()).Refresh, RefreshQueue(in.Account), summary, priorityNormal)
	o.WaitForCancellation = true
	return o
}

// mintOptions are for making a key, which asks only the fleet file.
func mintOptions(account rotation.Account, summary string) workflow.ActivityOptions {
	return limited(limits().Mint, EdgeOneQueue(account), summary, priorityNormal)
}

// stageOptions are for bringing a key beside the file in use. A worker that is cancelled
// says what it has done, so that nothing is staged after the sweep.
func stageOptions(queue, summary string, own bool) workflow.ActivityOptions {
	l := limits().Stage
	if own {
		l.Start = quickAnswer
	}
	o := limited(l, queue, summary, priorityNormal)
	o.WaitForCancellation = true
	return o
}

func unstageOptions(queue, summary string) workflow.ActivityOptions {
	return limited(limits().Unstage, queue, summary, priorityBulk)
}

func readOptions(in ZoneIn, why string, priority int) workflow.ActivityOptions {
	return limited(limits().Read, EdgeOneQueue(in.Account), why, priority)
}

// earlyOptions are for a read while a refresh runs. Where no process stands by, nobody
// takes it, and the zone goes on waiting for the refresh.
func earlyOptions(in ZoneIn) workflow.ActivityOptions {
	l := limits().Read
	l.Start, l.Attempts = earlyWithin, 1
	return limited(l, EarlyQueue(in.Account), "the answer is late: has the key changed already?", priorityExposed)
}

// readsFor is when a read has ended, with its retries.
func readsFor() time.Duration { return limits().Read.Total + slack }

// probeOptions are for a probe that a zone asks for by itself.
func probeOptions(account rotation.Account, why string) workflow.ActivityOptions {
	l := limits().Probe
	l.Start, l.Close, l.Attempts = takeover, noWorker, 3
	return limited(l, EdgeOneQueue(account), why, priorityNormal)
}

// begunOptions are for asking Temporal which refreshes have begun. Without an answer
// the question is asked again.
func begunOptions(why string) workflow.ActivityOptions {
	o := limited(limits().Begun, Queue, why, priorityNormal)
	o.ScheduleToStartTimeout = noWorker
	return o
}

func deliverOptions(queue, summary string, own bool, round int) workflow.ActivityOptions {
	l, priority := limits().Deliver, priorityExposed
	if own {
		l.Start = quickAnswer
	}
	if round == 0 {
		l.Close, priority = firstDelivery, priorityNormal
	}
	return limited(l, queue, summary, priority)
}

func proveOptions(location rotation.Location, hosts int) workflow.ActivityOptions {
	return limited(limits().Prove, LocationQueue(location), "proofs of "+fmtHosts(hosts)+" in "+string(location), priorityBulk)
}

// surveyOptions are for asking hosts while planning, where an absent worker
// is a finding and not a failure, and where no proof gets too old.
func surveyOptions(location rotation.Location, hosts int) workflow.ActivityOptions {
	o := proveOptions(location, hosts)
	o.ScheduleToStartTimeout, o.StartToCloseTimeout = noWorker, limits().Baselines.Close
	return o
}

// checkupOptions are for trying an account's worker, where an absent one is an
// answer.
func checkupOptions(account rotation.Account, why string) workflow.ActivityOptions {
	return limited(limits().Examine, EdgeOneQueue(account), why, priorityNormal)
}

// bulkOptions are for what the account's process does outside any zone.
func bulkOptions(account rotation.Account, why string) workflow.ActivityOptions {
	return limited(limits().Baselines, EdgeOneQueue(account), why, priorityBulk)
}

// unhurriedOptions are for what a person waits for who can ask again.
func unhurriedOptions(account rotation.Account, why string) workflow.ActivityOptions {
	o := bulkOptions(account, why)
	o.ScheduleToStartTimeout, o.RetryPolicy = unhurried, patient(20)
	return o
}

// planFleetOptions are for planning a whole fleet: each zone costs one call.
func planFleetOptions(account rotation.Account, why string) workflow.ActivityOptions {
	o := limited(limits().PlanFleet, EdgeOneQueue(account), why, priorityBulk)
	o.ScheduleToStartTimeout = CatchUp
	return o
}

// storedOptions are for what Temporal itself holds.
func storedOptions(why string) workflow.ActivityOptions {
	return limited(limits().Prior, Queue, why, priorityNormal)
}

// longOptions are for waiting until a workflow that may have refreshed ends.
func longOptions(why string, t rotation.Timing) workflow.ActivityOptions {
	o := limited(limits().Await, Queue, why, priorityNormal)
	o.StartToCloseTimeout = max(o.StartToCloseTimeout, 2*t.DeliverFor.D()+t.SignatureLife.D()+time.Hour)
	return o
}

// patient retries for as long as it takes, or so many times.
func patient(attempts int32) *temporal.RetryPolicy {
	return &temporal.RetryPolicy{InitialInterval: 500 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: 10 * time.Second, MaximumAttempts: attempts}
}

// How long the server waits for a workflow task of a zone and of a shard before it gives
// the task to another process. Their tasks take milliseconds. A zone's is short, because
// the answer of a refresh may be in it, with which an orchestrator died; a shard's
// leaves time to read its history anew.
const (
	ZoneTask  = 2 * time.Second
	shardTask = 5 * time.Second
)

func childPolicy(id, summary string) workflow.ChildWorkflowOptions {
	return workflow.ChildWorkflowOptions{
		WorkflowID: id, TaskQueue: Queue, StaticSummary: harmless.Summary(summary),
		ParentClosePolicy: enums.PARENT_CLOSE_POLICY_REQUEST_CANCEL, WaitForCancellation: true,
		WorkflowIDReusePolicy: enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
	}
}

// within is a wait that the Temporal UI shows by what it is for.
func within(d time.Duration, what string) workflow.AwaitOptions {
	return workflow.AwaitOptions{Timeout: d, TimerOptions: workflow.TimerOptions{Summary: harmless.Summary(what)}}
}

// awaitWithin waits until done, or for so long, and says whether it is done. The
// wait ends its timer: the Temporal UI draws a line for it until then.
func awaitWithin(ctx workflow.Context, d time.Duration, what string, done func() bool) (bool, error) {
	if done() {
		return true, nil
	}
	ctx, end := workflow.WithCancel(ctx)
	defer end()
	return workflow.AwaitWithOptions(ctx, within(d, what), done)
}
