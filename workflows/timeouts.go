package workflows

import (
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"keywave/internal/rotation"
)

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
	askFor        = 2 * time.Minute  // a read of a zone, with its retries
	takeover      = 30 * time.Second // an account without an active process: another one takes over within seconds
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
		ScheduleToStartTimeout: takeover, StartToCloseTimeout: reading, ScheduleToCloseTimeout: askFor, HeartbeatTimeout: heartbeat, RetryPolicy: patient(3),
		Priority: temporal.Priority{PriorityKey: priority},
	}
}

// probeOptions are for a probe that a zone asks for by itself.
func probeOptions(account rotation.Account, why string) workflow.ActivityOptions {
	return workflow.ActivityOptions{
		TaskQueue: EdgeOneQueue(account), Summary: why, ScheduleToStartTimeout: takeover,
		StartToCloseTimeout: noWorker, RetryPolicy: patient(3), Priority: temporal.Priority{PriorityKey: priorityNormal},
	}
}

// begunOptions are for asking Temporal which refreshes have begun: who asks in
// vain asks again.
func begunOptions(why string) workflow.ActivityOptions {
	return workflow.ActivityOptions{
		TaskQueue: Queue, Summary: why, ScheduleToStartTimeout: noWorker,
		StartToCloseTimeout: noWorker, HeartbeatTimeout: heartbeat, RetryPolicy: once(),
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
