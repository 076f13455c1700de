package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/namespace/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/types/known/durationpb"

	"keywave/internal/fleet"
	"keywave/internal/rotation"
	"keywave/internal/temporalclient"
	"keywave/workflows"
)

const wantedRetention = 30 * 24 * time.Hour

// examineTemporal checks the server and the namespace. Without a connection
// nothing else can be asked.
func (a *app) examineTemporal(ctx context.Context, fix bool) ([]check, *temporalclient.Connection) {
	conn, err := a.connect(ctx)
	if missing, is := errors.AsType[*temporalclient.NoNamespace](err); is {
		checks := []check{noNamespace(missing)}
		if !fix {
			return checks, nil
		}
		mend(ctx, checks)
		if conn, err = a.connect(ctx); err != nil {
			return checks, nil
		}
		return append(checks, examineNamespace(ctx, conn, fix)...), conn
	}
	if err != nil {
		return []check{failed("Temporal", err, "")}, nil
	}
	return examineNamespace(ctx, conn, fix), conn
}

func noNamespace(missing *temporalclient.NoNamespace) check {
	return check{
		What: "namespace " + missing.Namespace, Level: levelFail, Saw: "missing in the Temporal at " + missing.Address,
		Remedy: "create it: keywave doctor --fix; or set TEMPORAL_NAMESPACE",
		fix: func(ctx context.Context) (string, error) {
			return "created it; it keeps closed workflows for " + days(wantedRetention), temporalclient.RegisterNamespace(ctx, missing, wantedRetention)
		},
	}
}

func examineNamespace(ctx context.Context, conn *temporalclient.Connection, fix bool) []check {
	d, err := conn.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: conn.Namespace})
	checks := []check{
		checkServer(ctx, conn), checkRetention(conn, d, err), checkAttributes(ctx, conn),
		checkPolls(conn.Namespace, d.GetNamespaceInfo().GetCapabilities().GetWorkerPollCompleteOnShutdown(), err),
	}
	if fix {
		mend(ctx, checks)
	}
	return append(checks, queue{name: workflows.Queue, kind: enums.TASK_QUEUE_TYPE_WORKFLOW, worker: "--roles orchestrator"}.check(ctx, conn)...)
}

func checkServer(ctx context.Context, conn *temporalclient.Connection) check {
	info, err := conn.WorkflowService().GetSystemInfo(ctx, &workflowservice.GetSystemInfoRequest{})
	if err != nil {
		return failed("Temporal", err, "read the log of the server at "+conn.Address)
	}
	return check{What: "Temporal", Level: levelOK, Saw: fmt.Sprintf("%s, version %s, namespace %s", conn.Address, info.GetServerVersion(), conn.Namespace)}
}

func checkRetention(conn *temporalclient.Connection, d *workflowservice.DescribeNamespaceResponse, err error) check {
	if err != nil {
		return failed("retention", err, "may "+operator()+" describe namespace "+conn.Namespace+"?")
	}
	kept := d.GetConfig().GetWorkflowExecutionRetentionTtl().AsDuration()
	c := check{What: "retention", Level: levelOK, Saw: days(kept)}
	if kept >= wantedRetention {
		return c
	}
	c.Level = levelWarn
	c.Remedy = "resume and report need closed workflows for 30 days: keywave doctor --fix"
	c.fix = func(ctx context.Context) (string, error) {
		_, err := conn.WorkflowService().UpdateNamespace(ctx, &workflowservice.UpdateNamespaceRequest{
			Namespace: conn.Namespace, Config: &namespace.NamespaceConfig{WorkflowExecutionRetentionTtl: durationpb.New(wantedRetention)},
		})
		return "closed workflows are kept for " + days(wantedRetention) + " from now on", err
	}
	return c
}

// days is a duration as an operator counts retention.
func days(d time.Duration) string {
	if d%(24*time.Hour) == 0 {
		return many(int(d/(24*time.Hour)), "day")
	}
	return d.String()
}

func checkAttributes(ctx context.Context, conn *temporalclient.Connection) check {
	const what = "search attributes"
	missing, err := conn.MissingSearchAttributes(ctx, workflows.Attributes())
	switch {
	case err != nil:
		return failed(what, err, "may "+operator()+" list the search attributes of namespace "+conn.Namespace+"?")
	case len(missing) == 0:
		return check{What: what, Level: levelOK, Saw: "registered"}
	}
	return check{
		What: what, Level: levelFail, Saw: "missing: " + strings.Join(missing, ", "),
		Remedy: "keywave doctor --fix; a worker with the orchestrator role registers them at its start, too",
		fix: func(ctx context.Context) (string, error) {
			return "registered them as Keyword", conn.EnsureSearchAttributes(ctx, workflows.Attributes())
		},
	}
}

// checkPolls asks whether a worker that stops hands its polls back. If it does not,
// a task that the server gives to one of them is lost until it times out.
func checkPolls(namespace string, handedBack bool, err error) check {
	c := check{What: "polls of a worker that stops", Level: levelOK, Saw: "handed back"}
	switch {
	case err != nil:
		return failed(c.What, err, "may "+operator()+" describe namespace "+namespace+"?")
	case !handedBack:
		c.Level, c.Saw = levelWarn, "not handed back: a workflow, and so an exposed zone, may wait 10 s for a task that went to a worker that stops"
		c.Remedy = fmt.Sprintf("set frontend.enableCancelWorkerPollsOnShutdown to true in the server's dynamic config, with constraints {namespace: %s}", namespace)
	}
	return c
}

// queue is a task queue and who should poll it.
type queue struct {
	name   string
	kind   enums.TaskQueueType
	worker string // the flags of the worker that does
	// ordered says that priorities must hold in it.
	ordered bool
	// refreshes is the account whose refreshes wait in it, lease the one whose
	// processes wait for their turn; empty otherwise.
	refreshes, lease rotation.Account
}

// edgeoneWorker is the flags of a worker that calls EdgeOne for an account.
func edgeoneWorker(a fleet.Account) string {
	return "--roles edgeone --accounts " + string(a.Name)
}

func queuesOf(f *fleet.Fleet) []queue {
	var all []queue
	for _, a := range f.Accounts {
		worker := edgeoneWorker(a)
		all = append(
			all,
			queue{name: workflows.LeaseQueue(a.Name), worker: worker, lease: a.Name},
			queue{name: workflows.RefreshQueue(a.Name), worker: worker, ordered: true, refreshes: a.Name},
			queue{name: workflows.EdgeOneQueue(a.Name), worker: worker},
		)
	}
	for _, l := range f.Locations {
		all = append(all, queue{name: workflows.LocationQueue(l), worker: "--roles location --locations " + string(l), ordered: true})
	}
	for i := range all {
		all[i].kind = enums.TASK_QUEUE_TYPE_ACTIVITY
	}
	return all
}

func (q queue) check(ctx context.Context, conn *temporalclient.Connection) []check {
	d, err := describeQueue(ctx, conn, q.name, q.kind)
	if err != nil {
		return []check{failed("queue "+q.name, err, "may "+operator()+" describe the task queues of namespace "+conn.Namespace+"?")}
	}
	checks := []check{q.checkPollers(ctx, conn, temporalclient.Recent(d.GetPollers()))}
	if q.refreshes != "" {
		checks = append(checks, checkRate(ctx, conn, q.refreshes))
	}
	if q.ordered {
		checks = append(checks, q.checkPartitions(ctx, conn))
	}
	return checks
}

func (q queue) checkPollers(ctx context.Context, conn *temporalclient.Connection, pollers []*taskqueue.PollerInfo) check {
	c := check{What: "queue " + q.name, Level: levelOK, Saw: "polled by " + many(len(pollers), "worker")}
	if q.lease != "" {
		active, err := activeProcess(ctx, conn, q.lease)
		if err != nil {
			return failed(c.What, err, "")
		}
		if active != "" {
			c.Saw = fmt.Sprintf("%s is active, %d stand by", active, standingBy(pollers, active))
			return c
		}
	}
	if len(pollers) == 0 {
		c.Level, c.Saw, c.Remedy = levelFail, "nobody polls it", "start one: bin/worker --fleet fleet.yaml "+q.worker
	}
	return c
}

// activeProcess is the worker that holds the account's lease. It polls for no
// other turn meanwhile, so that it is not among the queue's pollers.
func activeProcess(ctx context.Context, conn *temporalclient.Connection, account rotation.Account) (string, error) {
	d, err := conn.DescribeWorkflowExecution(ctx, workflows.LeaseID(account), "")
	if errors.As(err, new(*serviceerror.NotFound)) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("the lease of account %s cannot be read: %w", account, err)
	}
	for _, p := range d.GetPendingActivities() {
		if p.GetState() == enums.PENDING_ACTIVITY_STATE_STARTED {
			return p.GetLastWorkerIdentity(), nil
		}
	}
	return "", nil
}

func standingBy(pollers []*taskqueue.PollerInfo, active string) int {
	n := 0
	for _, p := range pollers {
		if p.GetIdentity() != active {
			n++
		}
	}
	return n
}

func checkRate(ctx context.Context, conn *temporalclient.Connection, account rotation.Account) check {
	what := "refreshes of account " + string(account)
	state, err := brakeOf(ctx, conn, account)
	if err != nil {
		return failed(what, err, "keywave brake show --account "+string(account))
	}
	c := check{What: what, Level: levelOK, Saw: state.String()}
	switch {
	case state.on():
		c.Level, c.Remedy = levelWarn, fmt.Sprintf("once its reason is gone: keywave brake off --account %s --reason \"…\"", account)
	case state.Rate != nil:
		c.Level, c.Remedy = levelWarn, fmt.Sprintf("once its reason is gone: keywave brake rate default --account %s --reason \"…\"", account)
	}
	return c
}

// checkPartitions wants one: with more, an exposed zone's delivery waits behind
// others, and a rate limit is not what was asked for.
func (q queue) checkPartitions(ctx context.Context, conn *temporalclient.Connection) check {
	d, err := conn.WorkflowService().ListTaskQueuePartitions(ctx, &workflowservice.ListTaskQueuePartitionsRequest{Namespace: conn.Namespace, TaskQueue: &taskqueue.TaskQueue{Name: q.name}})
	return judgePartitions(conn.Namespace, q.name, len(d.GetActivityTaskQueuePartitions()), err)
}

func judgePartitions(namespace, queue string, n int, err error) check {
	c := check{What: "partitions of " + queue, Level: levelOK, Saw: "one"}
	remedy := fmt.Sprintf("set matching.numTaskqueueWritePartitions, then matching.numTaskqueueReadPartitions, to 1 in the server's dynamic config, with constraints {namespace: %s, taskQueueName: %s}", namespace, queue)
	switch {
	case err != nil:
		c.Level, c.Saw, c.Remedy = levelNote, "this server does not show them: "+err.Error(), "there should be one: "+remedy
	case n > 1:
		c.Level, c.Saw, c.Remedy = levelWarn, fmt.Sprintf("%d, so that exposed zones do not always go first", n), remedy
	}
	return c
}

func describeQueue(ctx context.Context, conn *temporalclient.Connection, name string, kind enums.TaskQueueType) (*workflowservice.DescribeTaskQueueResponse, error) {
	d, err := conn.WorkflowService().DescribeTaskQueue(ctx, &workflowservice.DescribeTaskQueueRequest{
		Namespace: conn.Namespace, TaskQueueType: kind, TaskQueue: &taskqueue.TaskQueue{Name: name},
	})
	if err != nil {
		return nil, fmt.Errorf("queue %s cannot be read: %w", name, err)
	}
	return d, nil
}

func hasPollers(ctx context.Context, conn *temporalclient.Connection, name string, kind enums.TaskQueueType) (bool, error) {
	d, err := describeQueue(ctx, conn, name, kind)
	return len(temporalclient.Recent(d.GetPollers())) > 0, err
}
