package workflows

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"keywave/activities"
	"keywave/internal/rotation"
)

// ZoneIn asks for one operation on one zone.
type ZoneIn struct {
	Verb    rotation.Verb      `json:"verb"`
	Zone    rotation.ZoneID    `json:"zone"`
	Name    string             `json:"name,omitempty"`
	Account rotation.Account   `json:"account"`
	Hosts   []rotation.HostRef `json:"hosts"`
	// Retired are hosts of the zone that are not among Hosts, and why.
	Retired  []rotation.RetiredHost `json:"retired,omitempty"`
	Baseline rotation.Fingerprint   `json:"baseline,omitempty"` // read first when empty
	// Drift is what proofs say hosts hold that is not the baseline.
	Drift []rotation.Fingerprint `json:"drift,omitempty"`
	// Proofs are of all hosts, or absent: then the zone gathers them itself.
	Proofs []rotation.Proof `json:"proofs,omitempty"`
	Timing rotation.Timing  `json:"timing"`
	// Since is when an exposure that an earlier run left began.
	Since time.Time `json:"since,omitzero"`
	// Doubt is when, at the latest, a refresh was signed of which an earlier run
	// did not learn whether it was executed; Baseline is the key before it.
	Doubt time.Time `json:"doubt,omitzero"`
	// Emergency waives the proofs, and says why.
	Emergency string `json:"emergency,omitempty"`
	// ClosesAt is the instant from which on no refresh may be signed.
	ClosesAt time.Time `json:"closesAt,omitzero"`
	// Campaign and Shard are empty for an operation by a person, By and Reason
	// for one of a campaign.
	Campaign string `json:"campaign,omitempty"`
	Shard    string `json:"shard,omitempty"`
	By       string `json:"by,omitempty"`
	Reason   string `json:"reason,omitempty"`
}

// ZoneNews is what a zone tells its shard before it ends.
type ZoneNews struct {
	Zone rotation.ZoneID `json:"zone"`
	Kind ZoneNewsKind    `json:"kind"`
	Why  string          `json:"why,omitempty"`
}

// ZoneNewsKind is the kind of news.
type ZoneNewsKind string

// The kinds.
const (
	NewsKept    ZoneNewsKind = "kept"    // asked to stop, but a refresh may have been sent: it goes on
	NewsLoose   ZoneNewsKind = "loose"   // only waits, or has been exposed for longer than a window's slot is worth
	NewsExposed ZoneNewsKind = "exposed" // exposed for longer than exposedAfter
)

// looseAfter is how long after it was counted as exposed a zone gives its slot in
// the window back: by then the budget has been held against it.
const looseAfter = 10 * time.Second

// rereadAfter is the pause between activities that could not read the live key.
const rereadAfter = 10 * time.Second

type zone struct {
	in     ZoneIn
	trip   *rotation.Trip
	work   workflow.Context // not cancelled with the workflow: nothing stops delivery
	proofs []rotation.Proof
	sealed map[rotation.Location][]byte // of trip.Live
	// withheld is why the worker that calls EdgeOne gives the live key to none of
	// the hosts.
	withheld string
	api      rotation.API

	requestID     string
	cancelRefresh func()
	cancelWait    func()
	orders        []ZoneOrder
	said          map[ZoneNewsKind]bool
	readUntil     time.Time
}

// Zone carries out one operation on one zone: the lock, and the story. It
// returns a record whatever happens, and has no timeout of its own.
func Zone(ctx workflow.Context, in ZoneIn) (rotation.Record, error) {
	z := newZone(ctx, in)
	if err := workflow.SetQueryHandlerWithOptions(ctx, QueryTrip, func() (*rotation.Trip, error) { return z.trip, nil },
		workflow.QueryHandlerOptions{Description: "Where the rotation of this zone stands: phase, fingerprints, acknowledgements, what went wrong."}); err != nil {
		return rotation.Record{}, err
	}
	workflow.Go(ctx, z.watchCancel)
	workflow.Go(z.work, z.listen)
	for z.trip.Phase != rotation.PhaseEnded {
		z.tell(ctx)
		z.step()
		z.obey()
	}
	return z.end(ctx)
}

func newZone(ctx workflow.Context, in ZoneIn) *zone {
	work, _ := workflow.NewDisconnectedContext(ctx)
	z := &zone{in: in, work: work, proofs: in.Proofs, said: map[ZoneNewsKind]bool{}, cancelRefresh: func() {}, cancelWait: func() {}}
	z.trip = rotation.NewTrip(in.Verb, in.Zone, namesOf(in.Hosts), in.Timing, in.Baseline, len(in.Proofs) > 0 || in.Emergency != "")
	z.trip.Since = in.Since
	if !in.Doubt.IsZero() {
		z.trip.Resume(in.Doubt)
	}
	for _, held := range in.Drift {
		z.trip.SawDrift(held)
	}
	return z
}

// step does what the present phase asks for; the trip says where that leads.
func (z *zone) step() {
	switch z.trip.Phase {
	case rotation.PhaseProve:
		z.prove()
	case rotation.PhaseRefresh:
		z.refresh()
	case rotation.PhaseBaseline, rotation.PhaseReadBack, rotation.PhaseVerify:
		z.read()
	case rotation.PhaseDeliver:
		z.deliver()
	case rotation.PhaseSettle, rotation.PhaseHold:
		z.wait()
	case rotation.PhaseEnded:
	}
}

func (z *zone) now() time.Time { return workflow.Now(z.work) }

// watchCancel turns a cancel, from the shard or from the Temporal UI, into "no
// refresh that has not started yet".
func (z *zone) watchCancel(ctx workflow.Context) {
	ctx.Done().Receive(ctx, nil)
	z.trip.Cancelled()
	z.cancelRefresh()
	on, _ := workflow.NewDisconnectedContext(ctx)
	_ = workflow.Await(on, func() bool { return z.trip.MayHaveRefreshed() || z.trip.Phase == rotation.PhaseEnded })
	if z.trip.Phase != rotation.PhaseEnded {
		z.say(NewsKept, "")
	}
}

// ZoneOrder is what a shard passes on to a zone from people.
type ZoneOrder struct {
	// Retire takes a host out; Skip ends the zone's operation.
	Retire rotation.HostName `json:"retire,omitempty"`
	Skip   bool              `json:"skip,omitempty"`
	Reason string            `json:"reason"`
}

// listen takes orders; the loop acts on them.
func (z *zone) listen(ctx workflow.Context) {
	orders := workflow.GetSignalChannel(ctx, SignalZoneOrder)
	for {
		var o ZoneOrder
		orders.Receive(ctx, &o)
		z.orders = append(z.orders, o)
		if o.Skip {
			z.trip.Cancelled()
			z.cancelRefresh()
		}
		z.cancelWait()
	}
}

// obey carries out what was ordered since the last step. Skipping waits until no
// request that was given up can still be executed.
func (z *zone) obey() {
	skip := ""
	var later []ZoneOrder
	for _, o := range z.orders {
		if o.Retire != "" {
			z.trip.Retire(o.Retire, o.Reason)
			z.in.Retired = append(z.in.Retired, rotation.RetiredHost{Host: o.Retire, Reason: o.Reason})
			continue
		}
		skip = o.Reason
		later = append(later, o)
	}
	z.orders = later
	if len(z.trip.Hosts) == 0 {
		skip = "every host is retired"
	}
	if skip != "" && !z.trip.MayLand(z.now()) {
		z.trip.Skip(skip)
	}
}

func (z *zone) prove() {
	if z.in.Emergency != "" {
		z.trip.Proved(z.now(), "")
		return
	}
	if z.trip.Stop {
		z.trip.Proved(z.now(), "cancelled before its refresh")
		return
	}
	probe, err := probeAct().do(z.work, bulkOptions(z.in.Account, "a probe, sealed as the key will be"), activities.ProbeIn{Locations: z.locations()})
	if err != nil {
		z.trip.Proved(z.now(), why(err))
		return
	}
	z.proofs = nil
	var futures []workflow.Future
	for _, l := range z.locations() {
		in := activities.ProveIn{Location: l, Sealed: probe.Sealed[l], Fingerprint: probe.Fingerprint}
		for _, h := range z.hostsIn(l, nil) {
			in.Hosts = append(in.Hosts, activities.ProveHost{Host: h, Zones: []activities.ProveZone{{ID: z.in.Zone, Baseline: z.trip.Baseline}}})
		}
		futures = append(futures, startProof(z.work, probe.Queues[l], in))
	}
	var problems []string
	for i, f := range futures {
		var out activities.ProveOut
		if err := f.Get(z.work, &out); err != nil {
			problems = append(problems, fmt.Sprintf("location %s: %s", z.locations()[i], why(err)))
		}
		for _, p := range out.Proofs {
			if p.Problem != "" {
				problems = append(problems, fmt.Sprintf("%s: %s", p.Host, p.Problem))
			}
			z.trip.SawDrift(p.Drift[z.in.Zone])
			z.proofs = append(z.proofs, p)
		}
	}
	z.trip.Proved(z.now(), strings.Join(problems, "; "))
}

func (z *zone) refresh() {
	if z.trip.Stop {
		z.trip.NotSent(z.now(), "cancelled before its refresh", false)
		return
	}
	ctx, cancel := workflow.WithCancel(z.work)
	z.cancelRefresh = cancel
	in := activities.RefreshIn{Zone: z.in.Zone, Hosts: z.hosts(), Retired: z.in.Retired, ProofFor: z.in.Timing.ProofFor, ClosesAt: z.in.ClosesAt}
	if z.in.Emergency == "" {
		in.ProvedAt = z.oldestProof()
		in.Straight, in.Expect = z.straight(), z.trip.Expect()
	}
	scheduled := z.now()
	out, err := refreshAct().do(ctx, refreshOptions(z.in, refreshSummary(in)), in)
	z.api = z.api.Plus(out.API)
	var cancelled *temporal.CanceledError
	switch {
	case errors.As(err, &cancelled):
		z.trip.NotSent(z.now(), "cancelled before its refresh", false)
	case neverStarted(err):
		z.trip.NotSent(z.now(), "no worker took the refresh of account "+string(z.in.Account)+" in time (is one active? keywave doctor)", true)
	case err != nil:
		z.trip.GivenUp(scheduled, z.now(), "the worker was lost during the refresh")
	default:
		z.refreshed(out)
	}
}

func (z *zone) refreshed(out activities.RefreshOut) {
	if out.API.Throttled > 0 {
		z.trip.Note("EdgeOne throttled the refresh before executing it; it was sent again")
	}
	switch out.Sending {
	case activities.NotSent:
		z.trip.NotSent(z.now(), out.Why, out.Again)
	case activities.Refused:
		z.trip.RefusedBy(z.now(), out.Why, out.Code, out.Halt)
	case activities.Answered:
		z.requestID, z.sealed = out.RequestID, out.Sealed
		z.trip.Refreshed(out.SentAt, out.Key)
		if len(out.Acks) > 0 {
			z.trip.Delivered(z.now(), out.Acks)
		}
	default:
		z.requestID = out.RequestID
		z.trip.GivenUp(out.SentAt, out.SentAt, out.Why)
	}
}

// straight are the queues of the workers that proved the hosts, should the one
// that calls EdgeOne be among them.
func (z *zone) straight() []string {
	var queues []string
	for _, h := range z.hosts() {
		queue := z.proofQueue(h.Name)
		if queue == "" {
			return nil
		}
		queues = append(queues, queue)
	}
	return queues
}

// read asks which key is live; the trip compares.
func (z *zone) read() {
	in := activities.ReadIn{Zone: z.in.Zone, Hosts: z.hosts()}
	priority := priorityNormal
	summary := "verify after the last acknowledgement"
	switch {
	case z.trip.Phase == rotation.PhaseReadBack:
		in.Known = []rotation.Fingerprint{z.trip.Baseline}
		summary, priority = "the answer was lost: did the key change?", priorityExposed
	case z.trip.Live != "":
		in.Known = []rotation.Fingerprint{z.trip.Live}
	case z.in.Verb == rotation.Rotate:
		summary = "the live key before the refresh"
		in.Hosts = nil // only the fingerprint is wanted
	default:
		summary, priority = "the live key", priorityExposed
	}
	out, err := readAct().do(z.work, readOptions(z.in, summary, priority), in)
	z.api = z.api.Plus(out.API)
	if err != nil {
		out.Problem, out.Final = why(err), true
	}
	if out.Problem != "" {
		z.reread(out)
		return
	}
	z.readUntil = time.Time{}
	if out.Withheld != "" && z.trip.Phase == rotation.PhaseBaseline {
		z.trip.Withheld(out.Withheld)
		return
	}
	z.trip.Read(z.now(), out.Key)
	if out.Key == z.trip.Live && (out.Sealed != nil || out.Withheld != "") {
		z.sealed, z.withheld = out.Sealed, out.Withheld
	}
}

// reread waits and leaves the phase as it is, until it is not worth it any more.
func (z *zone) reread(out activities.ReadOut) {
	if z.readUntil.IsZero() {
		z.readUntil = z.now().Add(z.in.Timing.DeliverFor.D())
	}
	patience := z.trip.MayHaveRefreshed() && z.now().Before(z.readUntil)
	if out.Final || !patience {
		z.trip.Unreadable(out.Problem, out.Code, out.Halt)
		return
	}
	z.sleep(z.now().Add(rereadAfter))
}

// deliver makes one round over the hosts that have not acknowledged yet, all
// locations at once.
func (z *zone) deliver() {
	if !z.sleep(z.trip.Wake) {
		return
	}
	if z.sealed == nil && !z.reseal() {
		z.trip.Doubt()
		return
	}
	missing := z.trip.Missing()
	if len(missing) == 0 { // the last one missing was retired
		z.trip.Delivered(z.now(), nil)
		return
	}
	if z.withheld != "" {
		z.trip.Delivered(z.now(), withheld(missing, z.withheld))
		return
	}
	type flight struct {
		location rotation.Location
		hosts    []rotation.HostRef
		future   workflow.Future
		own      bool
	}
	var flights []*flight
	for _, l := range z.locations() {
		hosts := z.hostsIn(l, missing)
		if len(hosts) == 0 {
			continue
		}
		f := &flight{location: l, hosts: hosts}
		queue := LocationQueue(l)
		if own := z.proofQueue(hosts[0].Name); own != "" && z.trip.Round == 0 {
			queue, f.own = own, true
		}
		f.future = z.send(queue, l, hosts, f.own)
		flights = append(flights, f)
	}
	var acks []rotation.Ack
	for _, f := range flights {
		var out activities.DeliverOut
		err := z.await(f.future, &out)
		if f.own && neverStarted(err) {
			err = z.await(z.send(LocationQueue(f.location), f.location, f.hosts, false), &out)
		}
		if err != nil {
			for _, h := range f.hosts {
				acks = append(acks, rotation.Ack{Host: h.Name, Problem: z.lostDelivery(f.location, err)})
			}
		}
		if out.Unopened != "" {
			z.sealed = nil
		}
		acks = append(acks, out.Acks...)
	}
	z.trip.Delivered(z.now(), acks)
}

// withheld is what becomes of a round for which there is no key.
func withheld(hosts []rotation.HostName, why string) []rotation.Ack {
	acks := make([]rotation.Ack, len(hosts))
	for i, h := range hosts {
		acks[i] = rotation.Ack{Host: h, Problem: "it is given no key: " + why}
	}
	return acks
}

func (z *zone) lostDelivery(l rotation.Location, err error) string {
	if neverStarted(err) {
		return fmt.Sprintf("no worker of location %s took the delivery (is one running? keywave doctor)", l)
	}
	return "the location's worker was lost during the delivery: " + why(err)
}

func (z *zone) send(queue string, l rotation.Location, hosts []rotation.HostRef, own bool) workflow.Future {
	return deliverAct().start(z.work, deliverOptions(queue, deliverySummary(l, hosts, z.trip.Round), own, z.trip.Round), activities.DeliverIn{
		Zone: z.in.Zone, Key: z.trip.Live, Sealed: z.sealed[l], Hosts: hosts, Expect: z.trip.Expect(),
	})
}

// reseal has the live key sealed anew, because a location could not open it or
// the refresh could not seal it. It says whether the live key is still the one
// to deliver.
func (z *zone) reseal() bool {
	out, err := readAct().do(z.work, readOptions(z.in, "seal the live key anew", priorityExposed), activities.ReadIn{Zone: z.in.Zone, Hosts: z.hosts()})
	z.api = z.api.Plus(out.API)
	if err == nil && out.Key == z.trip.Live {
		z.sealed, z.withheld = out.Sealed, out.Withheld
	}
	return err != nil || out.Problem != "" || out.Key == z.trip.Live
}

func (z *zone) wait() {
	if z.trip.Phase == rotation.PhaseHold {
		z.say(NewsLoose, "waits until no request given up can still be executed")
	}
	if z.sleep(z.trip.Wake) {
		z.trip.Waited()
	}
}

// sleep waits until then, and says on the way what becomes of the exposure. An
// order ends it early; it says whether it was waited out.
func (z *zone) sleep(until time.Time) bool {
	ctx, cancel := workflow.WithCancel(z.work)
	z.cancelWait = cancel
	for z.now().Before(until) {
		next := until
		if mark, ok := z.nextMark(); ok && mark.Before(next) {
			next = mark
		}
		wait := within(next.Sub(z.now()), waitSummary(z.trip))
		if workflow.NewTimerWithOptions(ctx, wait.Timeout, wait.TimerOptions).Get(ctx, nil) != nil {
			return false
		}
		z.sayMarks()
	}
	return true
}

// await waits for a delivery. The first round is left alone, for the good path
// must stay lean; it is short. Later ones are raced against the marks.
func (z *zone) await(f workflow.Future, out any) error {
	for z.trip.Round > 0 && !f.IsReady() {
		mark, ok := z.nextMark()
		if !ok {
			break
		}
		_, _ = workflow.AwaitWithOptions(z.work, within(mark.Sub(z.now()), "until its exposure must be told"), f.IsReady)
		z.sayMarks()
	}
	return f.Get(z.work, out)
}

// marks are the exposures at which something must be said.
func (z *zone) marks() []struct {
	kind  ZoneNewsKind
	after time.Duration
} {
	return []struct {
		kind  ZoneNewsKind
		after time.Duration
	}{
		{NewsExposed, z.in.Timing.ExposedAfter.D()},
		{NewsLoose, z.in.Timing.ExposedAfter.D() + looseAfter},
	}
}

func (z *zone) exposed() bool { return !z.trip.Since.IsZero() && z.trip.LastAck().IsZero() }

func (z *zone) nextMark() (time.Time, bool) {
	if !z.exposed() {
		return time.Time{}, false
	}
	for _, m := range z.marks() {
		if !z.said[m.kind] {
			return z.trip.Since.Add(m.after), true
		}
	}
	return time.Time{}, false
}

func (z *zone) sayMarks() {
	if !z.exposed() {
		return
	}
	for _, m := range z.marks() {
		if !z.said[m.kind] && !z.now().Before(z.trip.Since.Add(m.after)) {
			z.say(m.kind, z.missingWhy())
			if m.kind == NewsExposed {
				_ = workflow.UpsertTypedSearchAttributes(z.work, keyword(AttrOutcome, string(rotation.Exposed)))
			}
		}
	}
}

func (z *zone) missingWhy() string {
	for _, a := range z.trip.Last {
		return string(a.Host) + ": " + a.Problem
	}
	return "waiting for EdgeOne"
}

// say tells the shard, once per kind.
func (z *zone) say(kind ZoneNewsKind, why string) {
	if z.said[kind] {
		return
	}
	z.said[kind] = true
	if z.in.Shard != "" {
		workflow.SignalExternalWorkflow(z.work, z.in.Shard, "", SignalZoneNews, ZoneNews{z.in.Zone, kind, why})
	}
}

func (z *zone) end(ctx workflow.Context) (rotation.Record, error) {
	z.tell(ctx)
	_ = workflow.UpsertTypedSearchAttributes(z.work, keyword(AttrOutcome, string(z.trip.Ended)))
	return z.trip.Record(z.now(), z.requestID, z.api), nil
}

func (z *zone) tell(ctx workflow.Context) { workflow.SetCurrentDetails(ctx, zoneDetails(z.in, z.trip)) }

func (z *zone) locations() []rotation.Location { return locationsOf(z.in.Hosts) }

// hosts are those that are to hold the key: all but the retired.
func (z *zone) hosts() []rotation.HostRef {
	return slices.DeleteFunc(slices.Clone(z.in.Hosts), func(h rotation.HostRef) bool { return !slices.Contains(z.trip.Hosts, h.Name) })
}

// hostsIn are the zone's hosts in a location; of those in only, unless nil.
func (z *zone) hostsIn(l rotation.Location, only []rotation.HostName) []rotation.HostRef {
	var hosts []rotation.HostRef
	for _, h := range z.in.Hosts {
		if h.Location == l && slices.Contains(z.trip.Hosts, h.Name) && (only == nil || slices.Contains(only, h.Name)) {
			hosts = append(hosts, h)
		}
	}
	return hosts
}

func (z *zone) proofQueue(h rotation.HostName) string {
	for _, p := range z.proofs {
		if p.Host == h {
			return p.Queue
		}
	}
	return ""
}

func (z *zone) oldestProof() time.Time {
	var oldest time.Time
	for _, p := range z.proofs {
		if oldest.IsZero() || p.At.Before(oldest) {
			oldest = p.At
		}
	}
	return oldest
}
