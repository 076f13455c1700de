package workflows_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	sdkworker "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"keywave/activities"
	"keywave/internal/plan"
	"keywave/internal/rotation"
	"keywave/workflows"
)

// The world that the workflows act on in these tests: EdgeOne's keys, hosts'
// files, and what goes wrong, by script. The workflows are the real ones. They
// run on the SDK's test environment, whose clock jumps over every wait. The
// world keeps a log of what really happened and judges every record by it.
//
// These tests cannot show what only a real server does: how continue-as-new is
// followed, the limits of histories and pending children, updates that race
// each other or arrive with the first workflow task, parent close policies
// after a terminate, and replays.

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

const account rotation.Account = "acme"

func usualTiming() rotation.Timing {
	return rotation.Timing{
		ProofFor: rotation.Span(time.Minute), Settle: rotation.Span(10 * time.Second), SignatureLife: rotation.Span(300 * time.Second),
		ExposedAfter: rotation.Span(30 * time.Second), DeliverFor: rotation.Span(time.Hour),
	}
}

type world struct {
	testing.TB
	metrics  recorder // of the present environment
	env      *testsuite.TestWorkflowEnvironment
	zones    map[rotation.ZoneID]*edgeZone
	order    []rotation.ZoneID
	machines map[rotation.HostName]*machine
	running  map[string]int // workflows by ID
	events   []event
	said     []said
	attrs    []attribute
	records  map[rotation.ZoneID]rotation.Record // the latest of each zone's workflow
	runs     map[string]int                      // activity runs by name

	plans   map[string]plan.Plan
	pages   map[string]plan.Page
	prior   map[rotation.ZoneID]rotation.Found // what an earlier run left
	forgot  time.Time                          // Temporal has forgotten what had ended by then
	forgets bool                               // Temporal may have forgotten what ran
	await   map[string]awaitAnswer             // by workflow ID: it is already running, elsewhere
	lastRun map[string]string
	// left is what an earlier run of a campaign left. It is nil when that is
	// forgotten.
	left json.RawMessage
	// openUntil is when the last campaign of a plan ends.
	openUntil map[string]time.Time
	never     map[string]bool          // workflow IDs that never start
	starts    map[string]time.Duration // how long a workflow ID takes to start
	killed    map[string]time.Duration // when a workflow is terminated, after its start
	retired   map[rotation.HostName]bool

	// queued is how long a task waits for a worker; forever when there is none.
	queued func(t *task) time.Duration
	// took is how long each call of each kind takes.
	took struct{ refresh, read, prove, put time.Duration }
	// unopened is how many sealed keys a location cannot open.
	unopened map[rotation.Location]int
	// emergency says that proofs are waived.
	emergency bool
	// unwell is the list of answers that each health check gives, one after the
	// other.
	unwell map[string][]string
	rates  []activities.RateIn
	// notices are what people were told by webhook.
	notices []rotation.Notice
	// scheduled are the settings with which a schedule's fleet is run;
	// planRefused is why it is not run.
	scheduled   plan.Settings
	planRefused string
	late        time.Duration // until a worker takes the first workflow
	// beside says that the worker that calls EdgeOne also serves the locations.
	beside bool
	// standby says that a process that is not the active one reads early.
	standby bool
	// leaving says that the workers that gave proofs stop.
	leaving bool
	// digest is the definition of h2 at its last delivery.
	digest string
	// says is what a refresh that has begun reports in its heartbeat.
	says string
	// heard says that its process is heard all the time.
	heard bool
	// refreshing is the latest refresh of each workflow.
	refreshing map[string]*task
	// asked is the largest number of zones that a host was asked about at once.
	asked int
	// noProbe is why no probe can be sealed.
	noProbe string
	// rollbackFor is how long the worker that calls EdgeOne keeps former keys, by its own
	// fleet file.
	rollbackFor time.Duration
}

// endless is longer than anything here may take.
const endless = 30 * time.Hour

const forever = time.Duration(1) << 60

// edgeZone is a zone at EdgeOne.
type edgeZone struct {
	id       rotation.ZoneID
	account  rotation.Account
	hosts    []rotation.HostRef
	keys     []string // oldest first; the last is live
	landings []time.Time
	executed int // refreshes, in all environments
	before   int // executed when the present environment began
	sent     int
	withheld int          // how often the live key is withheld from its hosts
	refresh  []refreshing // what happens to the next refreshes
	read     []reading    // and to the next reads
	brings   string       // the key that refreshes bring; empty: EdgeOne makes one
	minted   int
}

// machine is a host.
type machine struct {
	ref      rotation.HostRef
	files    map[rotation.ZoneID]string
	downFrom time.Time
	downTill time.Time
	unproved []string                      // problems of the next proofs
	proved   map[rotation.ZoneID]time.Time // when, of which zones it was asked
	put      []putting                     // what happens to the next deliveries
	puts     int
	beside   map[rotation.ZoneID]string // staged
}

type event struct {
	at   time.Time
	what string
	zone rotation.ZoneID
	note string
}

// said is a signal from workflow to workflow.
type said struct {
	from, to, name string
	at             time.Time
	arg            any
}

type attribute struct {
	workflow string
	at       time.Time
	value    string
	account  string
}

// newWorld has zones zone-01… on hosts h1…. Each zone has perZone hosts. Hosts
// are in the locations hk and eu in turn. Every host holds the live key.
func newWorld(t testing.TB, zones, hosts, perZone int) *world {
	w := &world{
		TB: t, zones: map[rotation.ZoneID]*edgeZone{}, machines: map[rotation.HostName]*machine{}, running: map[string]int{},
		records: map[rotation.ZoneID]rotation.Record{}, runs: map[string]int{}, plans: map[string]plan.Plan{}, prior: map[rotation.ZoneID]rotation.Found{},
		pages: map[string]plan.Page{}, await: map[string]awaitAnswer{}, lastRun: map[string]string{}, never: map[string]bool{}, starts: map[string]time.Duration{}, killed: map[string]time.Duration{}, retired: map[rotation.HostName]bool{}, refreshing: map[string]*task{}, unopened: map[rotation.Location]int{},
		queued: func(*task) time.Duration { return 0 },
	}
	w.took.refresh, w.took.read, w.took.prove, w.took.put = 200*time.Millisecond, 100*time.Millisecond, 50*time.Millisecond, 150*time.Millisecond
	var names []rotation.HostName
	for i := range hosts {
		name := rotation.HostName(fmt.Sprintf("h%d", i+1))
		names = append(names, name)
		w.machines[name] = &machine{
			ref:   rotation.HostRef{Name: name, Location: []rotation.Location{"hk", "eu"}[i%2], Digest: "d" + string(name)},
			files: map[rotation.ZoneID]string{}, proved: map[rotation.ZoneID]time.Time{}, beside: map[rotation.ZoneID]string{},
		}
	}
	for i := range zones {
		id := rotation.ZoneID(fmt.Sprintf("zone-%02d", i+1))
		z := &edgeZone{id: id, account: account}
		z.newKey()
		for j := range perZone {
			m := w.machines[names[(i+j)%hosts]]
			m.files[id] = z.live()
			z.hosts = append(z.hosts, m.ref)
		}
		w.zones[id] = z
		w.order = append(w.order, id)
	}
	w.fresh()
	return w
}

// fresh gives the world a new environment, because one environment runs one
// workflow.
func (w *world) fresh() {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	w.metrics = newRecorder()
	suite.SetMetricsHandler(w.metrics)
	start := noon
	if w.env != nil {
		start = w.env.Now()
	}
	w.env = suite.NewTestWorkflowEnvironment()
	w.env.SetStartTime(start)
	w.env.SetTestTimeout(30 * time.Second)
	w.env.SetWorkerOptions(sdkworker.Options{
		Interceptors: []interceptor.WorkerInterceptor{&server{world: w}}, DeadlockDetectionTimeout: time.Minute,
	})
	workflows.RegisterWorkflows(w.env)
	clear(w.running)
	for _, z := range w.zones {
		z.before = z.executed
	}
}

func (z *edgeZone) newKey() string {
	key := fmt.Sprintf("key %d of %s", len(z.keys)+1, z.id)
	z.keys = append(z.keys, key)
	return key
}

func (z *edgeZone) live() string { return z.keys[len(z.keys)-1] }

func (z *edgeZone) print(key string) rotation.Fingerprint {
	return rotation.FingerprintOf(z.id, rotation.NewSecret(key))
}

func (z *edgeZone) fingerprint() rotation.Fingerprint { return z.print(z.live()) }

// baseline is the fingerprint of the zone's first key.
func (z *edgeZone) baseline() rotation.Fingerprint { return z.print(z.keys[0]) }

// zone is the state of a zone at the time now. Requests on their way that have
// landed by then are applied first.
func (w *world) zone(id rotation.ZoneID, now time.Time) *edgeZone {
	z := w.zones[id]
	slices.SortFunc(z.landings, time.Time.Compare)
	for len(z.landings) > 0 && !z.landings[0].After(now) {
		z.execute()
		z.landings = z.landings[1:]
	}
	return z
}

func (z *edgeZone) execute() string {
	z.executed++
	switch {
	case z.brings == "":
		return z.newKey()
	case z.brings != z.live():
		z.keys = append(z.keys, z.brings)
	}
	return z.brings
}

func (w *world) log(at time.Time, what string, zone rotation.ZoneID, note string) {
	w.events = append(w.events, event{at, what, zone, note})
}

// happened are the events of a kind, in order.
func (w *world) happened(what string) []event {
	var some []event
	for _, e := range w.events {
		if e.what == what {
			some = append(some, e)
		}
	}
	return some
}

// story is the log for a failure's text.
func (w *world) story() string {
	var b strings.Builder
	for _, e := range w.events {
		fmt.Fprintf(&b, "%12s %-18s %s %s\n", e.at.Sub(noon), e.what, e.zone, e.note)
	}
	return b.String()
}

// after does something when that much time has passed.
func (w *world) after(d time.Duration, do func()) { w.env.RegisterDelayedCallback(do, d) }

// down makes a host not answer for that long.
func (m *machine) down(from time.Time, d time.Duration) { m.downFrom, m.downTill = from, from.Add(d) }

func (m *machine) isDown(now time.Time) bool {
	return !now.Before(m.downFrom) && now.Before(m.downTill)
}

func (w *world) zoneIn(id rotation.ZoneID) workflows.ZoneIn {
	z := w.zones[id]
	in := workflows.ZoneIn{Verb: rotation.Rotate, Zone: id, Account: z.account, Hosts: z.hosts, Baseline: z.fingerprint(), Timing: usualTiming()}
	for _, h := range z.hosts {
		w.machines[h.Name].proved[id] = w.env.Now()
		in.Proofs = append(in.Proofs, rotation.Proof{Host: h.Name, At: w.env.Now().UTC(), Queue: ownQueue(h.Location)})
	}
	return in
}

func ownQueue(l rotation.Location) string { return "own-" + string(l) }

// rotate runs one zone's workflow to its end.
func (w *world) rotate(in workflows.ZoneIn) rotation.Record {
	w.Helper()
	var record rotation.Record
	w.execute(workflows.ZoneID(in.Zone), workflows.TypeZone, in, &record)
	w.judge(record)
	return record
}

// execute runs a workflow to its end and decodes its result.
func (w *world) execute(id, kind string, in, result any) {
	w.Helper()
	if err := w.try(id, kind, in, result); err != nil {
		w.Fatalf("%s ended with an error: %v\n%s", id, err, w.story())
	}
}

func (w *world) try(id, kind string, in, result any) error {
	w.env.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: id, TaskQueue: workflows.Queue})
	w.after(endless, func() {
		if w.running[id] > 0 {
			w.Fatalf("%s still runs after %s\n%s", id, endless, w.story())
		}
	})
	w.env.ExecuteWorkflow(kind, in)
	if !w.env.IsWorkflowCompleted() {
		w.Fatalf("%s did not end\n%s", id, w.story())
	}
	err := w.env.GetWorkflowError()
	status, isStatus := result.(*workflows.Status)
	if found, closed := workflows.StatusIn(err); closed && isStatus {
		*status = found
		w.judgeClose(found, err)
		return nil
	}
	if err != nil {
		return err
	}
	err = w.env.GetWorkflowResult(result)
	if isStatus {
		w.judgeClose(*status, err)
	}
	return err
}

// judgeClose: Temporal's list shows whether a campaign is done, was cancelled
// or failed. The message of a failed one has the counts.
func (w *world) judgeClose(s workflows.Status, err error) {
	w.Helper()
	right := false
	switch s.State {
	case workflows.StateDone:
		right = err == nil
	case workflows.StateCancelled:
		right = temporal.IsCanceledError(err)
	default:
		right = err != nil && strings.Contains(err.Error(), fmt.Sprintf("ended with zones not done: %d of %d zones done", s.Zones.Done, s.Zones.Total))
	}
	if !right {
		w.Errorf("a campaign that is %s closed with %v", s.State, err)
	}
}

// judge compares a record with the truth.
func (w *world) judge(r rotation.Record) {
	w.Helper()
	z := w.zone(r.Zone, r.EndedAt)
	bad := func(format string, args ...any) {
		w.Helper()
		w.Errorf("%s is %s (%s), but %s\n%s", r.Zone, r.Outcome, r.Why, fmt.Sprintf(format, args...), w.story())
	}
	landing := len(z.landings)
	var lacking []rotation.HostName
	for _, h := range z.hosts {
		if w.machines[h.Name].files[r.Zone] != z.live() && !w.retired[h.Name] {
			lacking = append(lacking, h.Name)
		}
	}
	for _, h := range z.hosts {
		left := w.machines[h.Name].beside[r.Zone] != "" && !w.retired[h.Name]
		if left && r.Outcome != rotation.Exposed && r.Outcome != rotation.Unknown && !strings.Contains(r.Why, "a staged key was left on") {
			bad("a staged key lies on %s", h.Name)
		}
	}
	switch r.Outcome {
	case rotation.Done:
		if len(lacking) > 0 {
			bad("%v do not hold the live key", lacking)
		}
		if landing > 0 {
			bad("%d requests can still be executed", landing)
		}
		if r.To != z.fingerprint() {
			bad("it says that %s is live, and %s is", r.To, z.fingerprint())
		}
	case rotation.Unchanged, rotation.Pending:
		if changed := z.executed - z.before; changed > 0 || landing > 0 {
			bad("its key changed %d times and %d requests can still be executed", changed, landing)
		}
	case rotation.Exposed:
		if len(lacking) == 0 {
			bad("every host holds the live key")
		}
	case rotation.Unknown, rotation.Skipped:
	default:
		bad("that is no outcome")
	}
}

// judgeAll compares the latest record of every zone with the truth.
func (w *world) judgeAll() {
	w.Helper()
	for _, id := range w.order {
		if r, has := w.records[id]; has {
			w.judge(r)
		}
	}
}

// heard is news of a zone, and when it was told.
type heard struct {
	workflows.ZoneNews
	at time.Duration // after noon
}

// newsOf is the news that a zone told, in order.
func (w *world) newsOf(zone rotation.ZoneID) []heard {
	var all []heard
	for _, s := range w.said {
		if n, ok := s.arg.(workflows.ZoneNews); ok && n.Zone == zone {
			all = append(all, heard{n, s.at.Sub(noon)})
		}
	}
	return all
}

// told says whether a zone told such news.
func (w *world) told(zone rotation.ZoneID, such func(heard) bool) bool {
	return slices.ContainsFunc(w.newsOf(zone), such)
}

// server stands between workflows and workers, as Temporal's server does. See
// task.run for why activities are run here.
type server struct {
	interceptor.WorkerInterceptorBase
	world *world
}

func (s *server) InterceptWorkflow(_ workflow.Context, next interceptor.WorkflowInboundInterceptor) interceptor.WorkflowInboundInterceptor {
	in := &inbound{world: s.world}
	in.Next = next
	return in
}

type inbound struct {
	interceptor.WorkflowInboundInterceptorBase
	world *world
}

func (i *inbound) Init(next interceptor.WorkflowOutboundInterceptor) error {
	out := &outbound{world: i.world}
	out.Next = next
	return i.Next.Init(out)
}

func (i *inbound) ExecuteWorkflow(ctx workflow.Context, in *interceptor.ExecuteWorkflowInput) (any, error) {
	w, info := i.world, workflow.GetInfo(ctx)
	id := info.WorkflowExecution.ID
	zone, _ := strings.CutPrefix(id, "zone/")
	what := strings.ToLower(info.WorkflowType.Name)
	if late := w.late; late > 0 {
		w.late = 0
		_ = workflow.Sleep(ctx, late)
	}
	w.running[id]++
	w.log(workflow.Now(ctx), what+"-start", rotation.ZoneID(zone), "")
	defer func() { w.running[id]-- }()
	out, err := i.runUntilKilled(ctx, id, in)
	note := ""
	if r, ok := out.(rotation.Record); ok {
		w.records[r.Zone] = r
		note = string(r.Outcome) + ": " + r.Why
	}
	if err != nil {
		note = err.Error()
	}
	w.log(workflow.Now(ctx), what+"-end", rotation.ZoneID(zone), note)
	return out, err
}

// runUntilKilled ends a workflow early if the test wants it. Its children are
// left to their parent close policy, as after a terminate.
func (i *inbound) runUntilKilled(ctx workflow.Context, id string, in *interceptor.ExecuteWorkflowInput) (out any, err error) {
	after, kill := i.world.killed[id]
	if !kill {
		return i.Next.ExecuteWorkflow(ctx, in)
	}
	delete(i.world.killed, id)
	ended := false
	workflow.Go(ctx, func(ctx workflow.Context) {
		out, err = i.Next.ExecuteWorkflow(ctx, in)
		ended = true
	})
	apart, _ := workflow.NewDisconnectedContext(ctx)
	_, _ = workflow.AwaitWithTimeout(apart, after, func() bool { return ended })
	if !ended {
		return nil, temporal.NewNonRetryableApplicationError("terminated", "Terminated", nil)
	}
	return out, err
}

func (i *inbound) HandleSignal(ctx workflow.Context, in *interceptor.HandleSignalInput) error {
	if in.SignalName == workflows.SignalControl {
		var order workflows.Control
		decode(i.world, in.Arg, &order)
		if order.Retry {
			i.world.log(workflow.Now(ctx), "retry", "", workflow.GetInfo(ctx).WorkflowExecution.ID)
		}
		if order.Stop || order.Close {
			i.world.log(workflow.Now(ctx), "stop", "", workflow.GetInfo(ctx).WorkflowExecution.ID)
		}
	}
	return i.Next.HandleSignal(ctx, in)
}

type outbound struct {
	interceptor.WorkflowOutboundInterceptorBase
	world *world
}

func (o *outbound) UpsertTypedSearchAttributes(ctx workflow.Context, updates ...temporal.SearchAttributeUpdate) error {
	err := o.Next.UpsertTypedSearchAttributes(ctx, updates...)
	outcome, _ := workflow.GetTypedSearchAttributes(ctx).GetKeyword(temporal.NewSearchAttributeKeyKeyword(workflows.AttrOutcome))
	account, _ := workflow.GetTypedSearchAttributes(ctx).GetKeyword(temporal.NewSearchAttributeKeyKeyword(workflows.AttrAccount))
	o.world.attrs = append(o.world.attrs, attribute{workflow.GetInfo(ctx).WorkflowExecution.ID, workflow.Now(ctx), outcome, account})
	return err
}

func (o *outbound) SignalExternalWorkflow(ctx workflow.Context, id, run, name string, arg any) workflow.Future {
	w := o.world
	from := workflow.GetInfo(ctx).WorkflowExecution.ID
	w.said = append(w.said, said{from, id, name, workflow.Now(ctx), arg})
	if n, ok := arg.(workflows.ShardNews); ok && n.Quiet {
		w.log(workflow.Now(ctx), "quiet", "", fmt.Sprintf("%s, %d kept", from, n.Kept))
	}
	if n, ok := arg.(workflows.ZoneNews); ok {
		w.log(workflow.Now(ctx), "news", n.Zone, fmt.Sprintf("%s, exposed %t, kept %t: %s", n.Standing, n.Exposed, n.Kept, n.Why))
		if n.Loose {
			w.log(workflow.Now(ctx), "loose", n.Zone, "")
		}
	}
	if w.running[id] > 0 {
		return o.Next.SignalExternalWorkflow(ctx, id, run, name, arg)
	}
	future, settle := workflow.NewFuture(ctx)
	settle.SetError(serviceerror.NewNotFound("no workflow " + id))
	return future
}

func (o *outbound) ExecuteChildWorkflow(ctx workflow.Context, kind string, args ...any) workflow.ChildWorkflowFuture {
	w, id := o.world, workflow.GetChildWorkflowOptions(ctx).WorkflowID
	zone, _ := strings.CutPrefix(id, "zone/")
	w.log(workflow.Now(ctx), strings.ToLower(kind)+"-asked", rotation.ZoneID(zone), "")
	switch {
	case w.never[id]:
		return unstarted(ctx, nil)
	case w.busy(id):
		return unstarted(ctx, serviceerror.NewWorkflowExecutionAlreadyStarted("running", "", ""))
	}
	if w.starts[id] == 0 {
		return o.Next.ExecuteChildWorkflow(ctx, kind, args...)
	}
	started, settleStart := workflow.NewFuture(ctx)
	ended, settleEnd := workflow.NewFuture(ctx)
	apart, _ := workflow.NewDisconnectedContext(ctx)
	workflow.Go(apart, func(own workflow.Context) {
		_ = workflow.Sleep(own, w.starts[id])
		future := o.Next.ExecuteChildWorkflow(ctx, kind, args...)
		var execution workflow.Execution
		err := future.GetChildWorkflowExecution().Get(own, &execution)
		settleStart.Set(execution, err)
		settleEnd.Chain(future)
	})
	return child{ended, started}
}

// child is a child workflow that does not start, or starts late.
type child struct {
	workflow.Future
	started workflow.Future
}

func unstarted(ctx workflow.Context, err error) workflow.ChildWorkflowFuture {
	future, settle := workflow.NewFuture(ctx)
	if err != nil {
		settle.SetError(err)
	}
	return child{future, future}
}

func (c child) GetChildWorkflowExecution() workflow.Future { return c.started }

func (c child) SignalChildWorkflow(workflow.Context, string, any) workflow.Future { return c.Future }

func (o *outbound) ExecuteActivity(ctx workflow.Context, name string, args ...any) workflow.Future {
	w := o.world
	t := &task{world: w, name: name, workflow: workflow.GetInfo(ctx).WorkflowExecution.ID, options: workflow.GetActivityOptions(ctx), in: args[0]}
	w.judgeOptions(t)
	if name == workflows.ActRefresh || name == workflows.ActSwitch {
		w.refreshing[t.workflow] = t
	}
	future, settle := workflow.NewFuture(ctx)
	apart, _ := workflow.NewDisconnectedContext(ctx)
	w.log(workflow.Now(ctx), name, t.zone(), "")
	workflow.Go(apart, func(own workflow.Context) {
		if ctx.Done() != nil {
			ctx.Done().Receive(own, nil)
			t.cancelled = true
		}
	})
	workflow.Go(apart, func(own workflow.Context) {
		out, err := t.run(own)
		t.ended = true
		if err != nil {
			settle.SetError(err)
			return
		}
		settle.SetValue(encode(w, out))
	})
	return future
}
