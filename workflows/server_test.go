package workflows_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"keywave/activities"
	"keywave/internal/rotation"
	"keywave/workflows"
)

// task is one activity as Temporal's server and a worker run it.
type task struct {
	world     *world
	name      string
	workflow  string
	options   workflow.ActivityOptions
	in        any
	cancelled bool // its cancel was requested
	attempt   int
	started   time.Time // of the latest attempt
	ended     bool
}

// run takes the task through its queue, its attempts and its timeouts, on the
// environment's clock.
//
// The test environment's own way to run activities cannot be used. It ends a
// running activity at once when it is cancelled, even one that the workflow
// waits for, and it has no time in a queue. But the difference between a
// refresh that never started and one that may have started is what these tests
// are about.
func (t *task) run(ctx workflow.Context) (any, error) {
	for t.attempt = 1; ; t.attempt++ {
		if err := t.wait(ctx); err != nil {
			return nil, err
		}
		t.world.runs[t.name]++
		t.started = workflow.Now(ctx)
		out, err := t.attend(ctx)
		var app *temporal.ApplicationError
		final := errors.As(err, &app) && app.NonRetryable()
		most := t.options.RetryPolicy.MaximumAttempts
		if err == nil || final || most > 0 && t.attempt >= int(most) {
			return out, err
		}
		if t.attempt > 1000 {
			return nil, fmt.Errorf("%s was tried 1000 times: %w", t.name, err)
		}
		if !t.sleep(ctx, t.options.RetryPolicy.InitialInterval) {
			return nil, temporal.NewCanceledError()
		}
	}
}

// judgeOptions: each activity is asked for with the times of the one table, or
// shorter ones, and never waits without an end in a queue that nobody may poll.
func (w *world) judgeOptions(t *task) {
	row := reflect.ValueOf(activities.LimitsFor(time.Hour)).FieldByName(t.name)
	if !row.IsValid() {
		w.Errorf("%s has no limit", t.name)
		return
	}
	limit, o := row.Interface().(activities.Limit), t.options
	switch {
	case o.TaskQueue != workflows.Queue && o.ScheduleToStartTimeout == 0:
		w.Errorf("%s waits on %s without an end", t.name, o.TaskQueue)
	case o.StartToCloseTimeout == 0 || o.StartToCloseTimeout > limit.Close || o.HeartbeatTimeout != limit.Heartbeat:
		w.Errorf("%s: %+v is not within %+v", t.name, o, limit)
	}
}

// wait is the time in the queue.
func (t *task) wait(ctx workflow.Context) error {
	wait, limit := t.world.queued(t), t.options.ScheduleToStartTimeout
	if t.options.TaskQueue == workflows.EarlyQueue(account) && !t.world.standby {
		wait = forever
	}
	if limit == 0 {
		limit = forever
	}
	if d := min(wait, limit); d > 0 {
		t.sleep(ctx, d)
	}
	switch {
	case t.cancelled:
		return temporal.NewCanceledError()
	case wait > limit:
		return temporal.NewTimeoutError(enums.TIMEOUT_TYPE_SCHEDULE_TO_START, nil)
	}
	return nil
}

// sleep waits for d. It returns early, with false, when the task is cancelled.
func (t *task) sleep(ctx workflow.Context, d time.Duration) bool {
	_, _ = workflow.AwaitWithTimeout(ctx, d, func() bool { return t.cancelled })
	return !t.cancelled
}

// lost is how a task ends whose worker dies.
func (t *task) lost(ctx workflow.Context) (any, error) {
	_ = workflow.Sleep(ctx, t.options.HeartbeatTimeout)
	return nil, temporal.NewTimeoutError(enums.TIMEOUT_TYPE_HEARTBEAT, nil)
}

// attend does what the worker does.
func (t *task) attend(ctx workflow.Context) (any, error) {
	w := t.world
	switch t.name {
	case workflows.ActRefresh:
		return w.onRefresh(ctx, t, input[activities.RefreshIn](t))
	case workflows.ActMint:
		return w.onMint(ctx, t, input[activities.MintIn](t))
	case workflows.ActStage:
		return w.onStage(ctx, t, input[activities.StageIn](t))
	case workflows.ActSwitch:
		return w.onSwitch(ctx, t, input[activities.SwitchIn](t))
	case workflows.ActUnstage:
		return w.onUnstage(ctx, input[activities.UnstageIn](t))
	case workflows.ActRead:
		return w.onRead(ctx, t, input[activities.ReadIn](t))
	case workflows.ActBaselines:
		return w.onBaselines(ctx, input[activities.BaselinesIn](t))
	case workflows.ActProbe:
		return w.onProbe(input[activities.ProbeIn](t))
	case workflows.ActProve:
		return w.onProve(ctx, t, input[activities.ProveIn](t))
	case workflows.ActDeliver:
		return w.onDeliver(ctx, t, input[activities.DeliverIn](t))
	case workflows.ActLoadPlan:
		return w.onLoadPlan(input[activities.LoadPlanIn](t))
	case workflows.ActLoadPage:
		return w.onLoadPage(input[activities.LoadPageIn](t))
	case workflows.ActPrior:
		return w.onPrior(input[activities.PriorIn](t))
	case workflows.ActAwait:
		return w.onAwait(ctx, t, input[activities.AwaitIn](t))
	case workflows.ActNotify:
		w.notices = append(w.notices, input[rotation.Notice](t))
		return activities.NotifyOut{}, nil
	case workflows.ActPlanFleet:
		return w.onPlanFleet(input[activities.PlanFleetIn](t))
	case workflows.ActHealth:
		return w.onHealth(input[activities.HealthIn](t)), nil
	case workflows.ActRate:
		in := input[activities.RateIn](t)
		w.rates = append(w.rates, in)
		note := in.Queue
		if in.PerSecond != nil && *in.PerSecond == 0 {
			note += " braked"
		}
		w.log(workflow.Now(ctx), "rate", "", note)
		return activities.RateOut{PerSecond: in.PerSecond}, nil
	case workflows.ActBegun:
		return w.onBegun(workflow.Now(ctx), input[activities.BegunIn](t))
	case workflows.ActLastRun:
		return activities.LastRunOut{Run: w.lastRun[input[activities.LastRunIn](t).Workflow]}, nil
	case workflows.ActAskRun:
		return activities.AskRunOut{Found: w.left != nil, Answer: w.left}, nil
	case workflows.ActOpenRun:
		var open string
		if in := input[activities.OpenRunIn](t); in.Type == workflows.TypeCampaign && workflow.Now(ctx).Before(w.openUntil[in.Plan]) {
			open = "campaign/of-" + in.Plan
		}
		return activities.OpenRunOut{Workflow: open}, nil
	}
	return nil, temporal.NewNonRetryableApplicationError("no worker knows "+t.name, "", nil)
}

func (t *task) zone() rotation.ZoneID {
	field := reflect.ValueOf(t.in).FieldByName("Zone")
	if !field.IsValid() {
		return ""
	}
	return rotation.ZoneID(field.String())
}

// input is what the worker decodes. What does not survive the history is
// missing here too.
func input[I any](t *task) I {
	var in I
	decode(t.world, encode(t.world, t.in), &in)
	return in
}

func encode(w *world, v any) *commonpb.Payloads {
	body, err := converter.GetDefaultDataConverter().ToPayloads(v)
	if err != nil {
		w.Errorf("%T cannot be encoded: %v", v, err)
	}
	return body
}

func decode(w *world, body *commonpb.Payloads, into any) {
	if err := converter.GetDefaultDataConverter().FromPayloads(body, into); err != nil {
		w.Errorf("%T cannot be decoded: %v", into, err)
	}
}

// refreshing is what happens to one refresh once it may be signed.
type refreshing func(ctx workflow.Context, t *task, z *edgeZone, in activities.RefreshIn) (any, error)

// onRefresh behaves as activities.EdgeOne.Refresh does: it obeys a cancel until
// the request is signed, and checks the age of the proofs just before.
func (w *world) onRefresh(ctx workflow.Context, t *task, in activities.RefreshIn) (any, error) {
	if !t.sleep(ctx, w.took.refresh/2) {
		return activities.RefreshOut{Sending: activities.NotSent, Why: "cancelled before it was sent"}, nil
	}
	now := workflow.Now(ctx)
	if !in.ClosesAt.IsZero() && !now.Before(in.ClosesAt) {
		return activities.RefreshOut{Sending: activities.NotSent, Why: "the window closed"}, nil
	}
	if !in.ProvedAt.IsZero() && now.Sub(in.ProvedAt) > in.ProofFor.D() {
		return activities.RefreshOut{Sending: activities.NotSent, Why: "a host's proof expired", Again: true}, nil
	}
	z := w.zone(in.Zone, now)
	if why := rotation.Holders(z.hosts).Match(z.id, in.Hosts, in.Retired); why != "" {
		return activities.RefreshOut{Sending: activities.Refused, Why: why, Code: "FleetDiffers"}, nil
	}
	if queue := workflows.RefreshQueue(z.account); t.options.TaskQueue != queue {
		w.Errorf("%s is refreshed by %s, and is to be by %s", z.id, t.options.TaskQueue, queue)
	}
	become := refreshed
	if len(z.refresh) > 0 {
		become, z.refresh = z.refresh[0], z.refresh[1:]
	}
	return become(ctx, t, z, in)
}

// sign is the moment at which a request leaves. Promises 2 and 4 are checked
// here.
func (w *world) sign(ctx workflow.Context, z *edgeZone, in activities.RefreshIn) time.Time {
	now := workflow.Now(ctx)
	z.sent++
	until := ""
	if !in.ClosesAt.IsZero() {
		until = "until " + in.ClosesAt.UTC().Format(time.DateTime)
	}
	w.log(now, "sent", z.id, until)
	if in.ProvedAt.IsZero() != w.emergency {
		w.Errorf("%s is refreshed with proofs of %v, and emergency is %t", z.id, in.ProvedAt, w.emergency)
	}
	for _, h := range z.hosts {
		if age := now.Sub(w.machines[h.Name].proved[z.id]); !w.emergency && !w.retired[h.Name] && age > in.ProofFor.D() {
			w.Errorf("%s is refreshed, and %s was asked about it %s ago\n%s", z.id, h.Name, age, w.story())
		}
	}
	return now
}

// refreshed is the good answer.
func refreshed(ctx workflow.Context, t *task, z *edgeZone, in activities.RefreshIn) (any, error) {
	w := t.world
	at := w.sign(ctx, z, in)
	key := z.execute()
	_ = workflow.Sleep(ctx, w.took.refresh/2)
	out := activities.RefreshOut{
		Sending: activities.Answered, SentAt: at.UTC(), Key: z.print(key),
		RequestID: fmt.Sprintf("request %d of %s", z.sent, z.id), API: rotation.API{Refresh: 1},
	}
	if out.Acks = w.straight(ctx, z, in, key); !acknowledged(out.Acks) {
		out.Sealed = seal(in.Hosts, z.id, key)
		return out, nil
	}
	after, err := w.readAfter(ctx, t, z.id)
	out.After = &after
	return out, err
}

// readAfter is the read within the refresh.
func (w *world) readAfter(ctx workflow.Context, t *task, id rotation.ZoneID) (activities.ReadOut, error) {
	const most = time.Second
	_ = workflow.Sleep(ctx, min(w.took.read, most))
	if w.took.read > most {
		return activities.ReadOut{Problem: "the live key could not be read: it was not its turn in time"}, nil
	}
	z := w.zone(id, workflow.Now(ctx))
	out, err := z.nextRead()(ctx, t, z, activities.ReadIn{Zone: id})
	if err != nil {
		return activities.ReadOut{}, err
	}
	w.log(workflow.Now(ctx), "read after", id, "")
	return out.(activities.ReadOut), nil
}

// straight behaves as the short way of activities.EdgeOne.Refresh does.
func (w *world) straight(ctx workflow.Context, z *edgeZone, in activities.RefreshIn, key string) []rotation.Ack {
	if !w.beside || len(in.Straight) == 0 {
		return nil
	}
	for i, h := range in.Hosts {
		if in.Straight[i] != ownQueue(h.Location) {
			return nil
		}
	}
	var acks []rotation.Ack
	_ = workflow.Sleep(ctx, w.took.put)
	for _, h := range in.Hosts {
		ack := w.machines[h.Name].take(ctx, w, activities.DeliverIn{Zone: z.id, Key: z.print(key), Expect: in.Expect}, key)
		w.log(workflow.Now(ctx), "put", z.id, fmt.Sprintf("%s straight on %s: %s", z.print(key), h.Name, ack.Problem))
		acks = append(acks, ack)
	}
	return acks
}

func acknowledged(acks []rotation.Ack) bool {
	return len(acks) > 0 && !slices.ContainsFunc(acks, func(a rotation.Ack) bool { return a.Problem != "" })
}

// unanswered is a request without an answer. It lands after some time, or never
// if that time is negative.
func unanswered(lands time.Duration) refreshing {
	return func(ctx workflow.Context, t *task, z *edgeZone, in activities.RefreshIn) (any, error) {
		at := t.world.sign(ctx, z, in)
		z.lands(at, lands)
		_ = workflow.Sleep(ctx, 10*time.Second)
		return activities.RefreshOut{
			Sending: activities.MaySent, SentAt: at.UTC(), Why: "EdgeOne: ClientError.NetworkError (ambiguous)",
			Code: "ClientError.NetworkError", API: rotation.API{Refresh: 1},
		}, nil
	}
}

// workerLost is a worker that dies while its request is on its way.
func workerLost(lands time.Duration) refreshing {
	return func(ctx workflow.Context, t *task, z *edgeZone, in activities.RefreshIn) (any, error) {
		z.lands(t.world.sign(ctx, z, in), lands)
		return t.lost(ctx)
	}
}

func (z *edgeZone) lands(at time.Time, after time.Duration) {
	if after >= 0 {
		z.landings = append(z.landings, at.Add(after))
	}
}

// refused is an answer that says: not executed.
func refused(code string, halt bool) refreshing {
	return func(_ workflow.Context, _ *task, _ *edgeZone, _ activities.RefreshIn) (any, error) {
		return activities.RefreshOut{Sending: activities.Refused, Why: "EdgeOne: " + code + " (refused)", Code: code, Halt: halt, API: rotation.API{Refresh: 1}}, nil
	}
}

// notSent is a refresh that came back before it was signed.
func notSent(again bool) refreshing {
	return func(workflow.Context, *task, *edgeZone, activities.RefreshIn) (any, error) {
		return activities.RefreshOut{Sending: activities.NotSent, Why: "a host's proof expired", Again: again}, nil
	}
}

// slow is a refresh that takes that long between its signature and its end.
func slow(d time.Duration) refreshing {
	return func(ctx workflow.Context, t *task, z *edgeZone, in activities.RefreshIn) (any, error) {
		out, err := refreshed(ctx, t, z, in)
		_ = workflow.Sleep(ctx, d)
		return out, err
	}
}

// reading is what happens to one read.
type reading func(ctx workflow.Context, t *task, z *edgeZone, in activities.ReadIn) (any, error)

func (w *world) onRead(ctx workflow.Context, t *task, in activities.ReadIn) (any, error) {
	if !t.sleep(ctx, w.took.read) {
		return nil, temporal.NewCanceledError()
	}
	z := w.zone(in.Zone, workflow.Now(ctx))
	early := t.options.TaskQueue == workflows.EarlyQueue(z.account)
	if queue := workflows.EdgeOneQueue(z.account); !early && t.options.TaskQueue != queue {
		w.Errorf("%s is read by %s, and is to be by %s", z.id, t.options.TaskQueue, queue)
	}
	if early {
		w.log(workflow.Now(ctx), "read early", z.id, "")
	}
	return z.nextRead()(ctx, t, z, in)
}

// nextRead is what happens to the next read.
func (z *edgeZone) nextRead() reading {
	become := readLive
	if len(z.read) > 0 {
		become, z.read = z.read[0], z.read[1:]
	}
	return become
}

func readLive(_ workflow.Context, _ *task, z *edgeZone, in activities.ReadIn) (any, error) {
	return z.shown(z.live(), in), nil
}

// readStale shows a key of the past: 1 is the one before the live key.
func readStale(back int) reading {
	return func(_ workflow.Context, _ *task, z *edgeZone, in activities.ReadIn) (any, error) {
		return z.shown(z.keys[max(0, len(z.keys)-1-back)], in), nil
	}
}

// unread is a read that fails.
func unread(final, halt bool) reading {
	return func(workflow.Context, *task, *edgeZone, activities.ReadIn) (any, error) {
		return activities.ReadOut{Problem: "the live key could not be read", Code: "UnauthorizedOperation", Final: final, Halt: halt, API: rotation.API{Describe: 1}}, nil
	}
}

func (z *edgeZone) shown(key string, in activities.ReadIn) activities.ReadOut {
	out := activities.ReadOut{Key: z.print(key), API: rotation.API{Describe: 1}}
	for _, known := range in.Known {
		if known == out.Key {
			return out
		}
	}
	if z.withheld > 0 && len(in.Hosts) > 0 {
		z.withheld--
		out.Withheld = "the fleet file of this worker gives it to others"
		return out
	}
	out.Sealed = seal(in.Hosts, z.id, key)
	return out
}

// seal and opened stand in for sealing: these tests only need to know who is
// given which key.
func seal(hosts []rotation.HostRef, zone rotation.ZoneID, key string) map[rotation.Location][]byte {
	names := map[rotation.Location]string{}
	for _, h := range hosts {
		names[h.Location] += string(h.Name) + ","
	}
	sealed := map[rotation.Location][]byte{}
	for l, all := range names {
		sealed[l] = []byte(fmt.Sprintf("%s|%s|%s#%s", l, zone, key, all))
	}
	return sealed
}

// given says whether the key was sealed for the host.
func given(sealed []byte, host rotation.HostName) bool {
	_, names, _ := strings.Cut(string(sealed), "#")
	return slices.Contains(strings.Split(names, ","), string(host))
}

func opened(l rotation.Location, zone rotation.ZoneID, sealed []byte) (string, bool) {
	key, _, _ := strings.Cut(string(sealed), "#")
	return strings.CutPrefix(key, fmt.Sprintf("%s|%s|", l, zone))
}

// onBegun is what Temporal knows of refreshes without a result.
func (w *world) onBegun(now time.Time, in activities.BegunIn) (any, error) {
	var out activities.BegunOut
	for _, id := range in.Workflows {
		r := activities.Refreshing{Workflow: id, State: activities.RefreshNone}
		switch t := w.refreshing[id]; {
		case t == nil || t.ended:
		case t.started.IsZero():
			r.State = activities.RefreshQueued
		default:
			r.State, r.Since, r.Says = activities.RefreshStarted, t.started.UTC(), w.says
			if w.heard {
				r.Heard = now.UTC()
			}
			if in.Taken && r.MayHaveSent() && now.Sub(t.started) < activities.SaysWithin {
				r.State = activities.RefreshTaken
			}
		}
		out.Refreshes = append(out.Refreshes, r)
	}
	return out, nil
}

func (w *world) onBaselines(ctx workflow.Context, in activities.BaselinesIn) (any, error) {
	var out activities.BaselinesOut
	for _, id := range in.Zones {
		_ = workflow.Sleep(ctx, w.took.read)
		z := w.zone(id, workflow.Now(ctx))
		answer, err := z.nextRead()(ctx, nil, z, activities.ReadIn{Zone: id})
		if err != nil {
			return nil, err
		}
		read := answer.(activities.ReadOut)
		if read.Halt {
			return nil, temporal.NewNonRetryableApplicationError(read.Problem, string(activities.KindDenied), nil)
		}
		out.Baselines = append(out.Baselines, activities.Baseline{Key: read.Key, Problem: read.Problem})
		out.API = out.API.Plus(read.API)
	}
	return out, nil
}

func (w *world) onProbe(in activities.ProbeIn) (any, error) {
	if w.noProbe != "" {
		return nil, temporal.NewNonRetryableApplicationError(w.noProbe, string(activities.KindKeyset), nil)
	}
	var nobody []rotation.HostRef
	for _, l := range in.Locations {
		nobody = append(nobody, rotation.HostRef{Location: l})
	}
	probe := activities.Probe{Sealed: seal(nobody, "probe", "probe"), Fingerprint: "00000000000000aa"}
	if w.beside {
		probe.Queues = map[rotation.Location]string{}
		for _, l := range in.Locations {
			probe.Queues[l] = ownQueue(l)
		}
	}
	return probe, nil
}

func (w *world) onProve(ctx workflow.Context, t *task, in activities.ProveIn) (any, error) {
	if !t.sleep(ctx, w.took.prove) {
		return nil, temporal.NewCanceledError()
	}
	if _, ok := opened(in.Location, "probe", in.Sealed); !ok && !in.Look {
		w.Errorf("the hosts of %s are asked for proofs without a probe for them: %q", in.Location, in.Sealed)
	}
	var out activities.ProveOut
	now := workflow.Now(ctx)
	for _, asked := range in.Hosts {
		m := w.machines[asked.Host.Name]
		proof := rotation.Proof{Host: asked.Host.Name, At: now.UTC(), Queue: ownQueue(in.Location)}
		if w.beside && t.options.TaskQueue == workflows.LocationQueue(in.Location) {
			proof.Queue = "of another worker"
		}
		switch {
		case asked.Host != m.ref:
			proof.Problem = "the definition of host " + string(m.ref.Name) + " is not the one in the plan"
		case m.isDown(now):
			proof.Problem = "connect: no route"
		case len(m.unproved) > 0:
			proof.Problem, m.unproved = m.unproved[0], m.unproved[1:]
		default:
			for _, about := range asked.Zones {
				m.proved[about.ID] = now
			}
			w.asked = max(w.asked, len(asked.Zones))
			proof.Drift = m.drift(w, asked.Zones)
		}
		out.Proofs = append(out.Proofs, proof)
	}
	return out, nil
}

func (m *machine) drift(w *world, zones []activities.ProveZone) map[rotation.ZoneID]rotation.Fingerprint {
	drift := map[rotation.ZoneID]rotation.Fingerprint{}
	for _, z := range zones {
		if held := w.zones[z.ID].print(m.files[z.ID]); held != z.Baseline {
			drift[z.ID] = held
		}
	}
	return drift
}

// putting is what happens to one delivery to a host. If it returns false, the
// host takes the key in its usual way.
type putting func(ctx workflow.Context, m *machine, zone rotation.ZoneID, key string) (rotation.Ack, bool)

func (w *world) onDeliver(ctx workflow.Context, t *task, in activities.DeliverIn) (any, error) {
	l := in.Hosts[0].Location
	key, ok := opened(l, in.Zone, in.Sealed)
	z := w.zones[in.Zone]
	out := activities.DeliverOut{Acks: make([]rotation.Ack, len(in.Hosts))}
	if w.unopened[l] > 0 {
		w.unopened[l]--
		ok = false
	}
	if !ok || z.print(key) != in.Key {
		out.Unopened = "the sealed key cannot be opened"
	}
	_ = workflow.Sleep(ctx, w.took.put)
	out.Leaving = w.leaving && t.options.TaskQueue == ownQueue(l)
	for i, ref := range in.Hosts {
		if out.Unopened != "" {
			out.Acks[i] = rotation.Ack{Host: ref.Name, Problem: out.Unopened}
			continue
		}
		if !given(in.Sealed, ref.Name) {
			out.Acks[i] = rotation.Ack{Host: ref.Name, Problem: "the key was not sealed for it; this worker gives it to no other host"}
			continue
		}
		if ref.Name == "h2" {
			w.digest = ref.Digest
		}
		out.Acks[i] = w.machines[ref.Name].take(ctx, w, in, key)
		w.log(workflow.Now(ctx), "put", in.Zone, fmt.Sprintf("%s on %s: %s", in.Key, ref.Name, out.Acks[i].Problem))
	}
	return out, nil
}

// take behaves as rotation.Host's Put.
func (m *machine) take(ctx workflow.Context, w *world, in activities.DeliverIn, key string) rotation.Ack {
	ack := rotation.Ack{Host: m.ref.Name, At: workflow.Now(ctx).UTC()}
	m.puts++
	if len(m.put) > 0 {
		become := m.put[0]
		m.put = m.put[1:]
		if ack, settled := become(ctx, m, in.Zone, key); settled {
			return ack
		}
	}
	z := w.zones[in.Zone]
	held := z.print(m.files[in.Zone])
	expected := held == in.Key
	for _, e := range in.Expect {
		expected = expected || held == e
	}
	switch {
	case m.isDown(workflow.Now(ctx)):
		ack.Problem = "connect: no route"
	case !expected:
		ack.Held, ack.Refused, ack.Problem = held, true, (&rotation.HeldError{Held: held}).Error()
	default:
		m.files[in.Zone] = key
		delete(m.beside, in.Zone)
		ack.Held = in.Key
	}
	return ack
}

func (w *world) onLoadPlan(in activities.LoadPlanIn) (any, error) {
	plan, has := w.plans[in.Workflow]
	if !has || plan.Digest != in.Digest || plan.DigestOf() != in.Digest {
		return nil, temporal.NewNonRetryableApplicationError(in.Workflow+" has another digest than was approved; nothing was changed", string(activities.KindPage), nil)
	}
	return plan, nil
}

func (w *world) onLoadPage(in activities.LoadPageIn) (any, error) {
	page, has := w.pages[in.Workflow]
	if !has || page.Digest() != in.Digest {
		return nil, temporal.NewNonRetryableApplicationError(in.Workflow+" has another digest than the plan names; nothing was changed", string(activities.KindPage), nil)
	}
	return page, nil
}

// onPrior returns what an earlier run left of the zones that are asked for.
func (w *world) onPrior(in activities.PriorIn) (any, error) {
	var out activities.PriorOut
	for _, id := range in.Zones {
		f := rotation.Found{History: rotation.HistoryNone}
		if w.forgets {
			f.History = rotation.HistoryForgotten
		}
		if earlier, has := w.prior[id]; has {
			f = earlier
		}
		if r, ended := w.records[id]; ended && r.EndedAt.After(w.forgot) {
			f = rotation.Found{History: rotation.History(r.Outcome), Record: &r}
		}
		out.Zones = append(out.Zones, f)
	}
	return out, nil
}

// awaitAnswer is how a workflow that is already running ends, and after what
// time.
type awaitAnswer struct {
	after time.Duration
	out   activities.AwaitOut
	again bool // it still runs afterwards
}

// busy says that a workflow is already running, and not in this environment.
func (w *world) busy(id string) bool {
	_, busy := w.await[id]
	return busy
}

func (w *world) onAwait(ctx workflow.Context, t *task, in activities.AwaitIn) (any, error) {
	answer := w.await[in.Workflow]
	if !t.sleep(ctx, answer.after) {
		return nil, temporal.NewCanceledError()
	}
	if !answer.again {
		delete(w.await, in.Workflow)
	}
	return answer.out, nil
}
