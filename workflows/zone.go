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
	// Strategy is who makes the new key; empty is EdgeOne. Unstaged says that an earlier
	// try came back because a host did not take the staged key.
	Strategy rotation.Strategy `json:"strategy,omitempty"`
	Unstaged bool              `json:"unstaged,omitempty"`
	// RollbackFor is how long the key that a staged one replaces is kept; 0 keeps none.
	RollbackFor rotation.Span `json:"rollbackFor,omitzero"`
	// Former is the key that is to be put back: the zone is rolled back then, by the
	// strategy staged.
	Former *rotation.Former `json:"former,omitempty"`
	// Emergency waives the proofs, and says why. Its key is made by EdgeOne in any case:
	// a staged one is not switched to without the hosts.
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
	minted   activities.MintOut // with the strategy staged
	api      rotation.API
	// running is a refresh whose key was read early, and which has not ended.
	running workflow.Future
	// gone are the queues of workers that gave proofs and take no delivery any more.
	gone []string

	spent     []stretch // in each phase
	requestID string
	asked     time.Time          // when the present refresh was put into its queue
	askedFor  []rotation.HostRef // the hosts for which its key is sealed
	says      string             // what the process that calls EdgeOne says about it meanwhile
	begun     time.Time          // when the zone heard that it had begun
	spared    bool               // it had not: the zone asks by itself from then on
	readUntil time.Time          // when the zone gives up asking which key is live

	recall func() // ends an activity that has sent nothing
	wake   func() // ends a wait between two steps
	orders []ZoneOrder
	telling
}

// Zone carries out one operation on one zone: the lock, and the story. It
// returns a record whatever happens, and has no timeout of its own.
func Zone(ctx workflow.Context, in ZoneIn) (rotation.Record, error) {
	z := newZone(ctx, in)
	if err := z.handlers(ctx); err != nil {
		return rotation.Record{}, err
	}
	workflow.Go(ctx, z.watchCancel)
	workflow.Go(z.work, z.listen)
	// The steps come behind the listener, whose turn is first: an order that comes in the
	// same task as an answer is heard before the answer is acted on.
	ended, outer := false, z.work
	workflow.Go(outer, func(ctx workflow.Context) {
		z.work = ctx
		for z.trip.Phase != rotation.PhaseEnded {
			z.show()
			z.measured(z.step)
			z.obey()
			z.tell(underWay)
		}
		ended = true
	})
	if err := workflow.Await(outer, func() bool { return ended }); err != nil {
		return rotation.Record{}, err
	}
	return z.end(), nil
}

func newZone(ctx workflow.Context, in ZoneIn) *zone {
	work, _ := workflow.NewDisconnectedContext(ctx)
	z := &zone{in: in, work: work, proofs: in.Proofs, recall: func() {}, wake: func() {}}
	switch {
	case in.Former != nil:
		z.in.Emergency = "" // a key is put back only where the hosts have it
		z.trip = rotation.NewRollback(in.Zone, namesOf(in.Hosts), in.Timing, *in.Former)
	case in.Strategy == rotation.Staged && in.Verb == rotation.Rotate && in.Emergency == "":
		z.trip = rotation.NewStagedTrip(in.Zone, namesOf(in.Hosts), in.Timing, in.Baseline)
	default:
		z.trip = rotation.NewTrip(in.Verb, in.Zone, namesOf(in.Hosts), in.Timing, in.Baseline, len(in.Proofs) > 0 || in.Emergency != "")
	}
	z.trip.Lenient = z.isStaged() && in.Shard != "" && !in.Unstaged
	z.trip.ExposedFrom(in.Since)
	if !in.Doubt.IsZero() {
		z.trip.Resume(in.Doubt)
	}
	for _, held := range in.Drift {
		z.trip.SawDrift(held)
	}
	return z
}

func (z *zone) handlers(ctx workflow.Context) error {
	err := workflow.SetQueryHandlerWithOptions(ctx, QueryTrip, func() (*rotation.Trip, error) { return z.trip, nil },
		workflow.QueryHandlerOptions{Description: "Where the rotation of this zone stands: phase, fingerprints, acknowledgements, what went wrong."})
	if err != nil {
		return err
	}
	return workflow.SetUpdateHandlerWithOptions(ctx, UpdateRepair, z.repair, workflow.UpdateHandlerOptions{
		Validator:   z.mayRepair,
		Description: "Has the live key delivered at once; with acceptChanges, by and reason, to the hosts as they are given here.",
	})
}

// step does what the present phase asks for; the trip says where that leads.
func (z *zone) step() {
	switch z.trip.Phase {
	case rotation.PhaseProve:
		z.prove()
	case rotation.PhaseRefresh:
		z.refresh()
	case rotation.PhaseMint:
		z.mint()
	case rotation.PhaseStage:
		z.stage()
	case rotation.PhaseSwitch:
		z.change()
	case rotation.PhaseSweep:
		z.sweep()
	case rotation.PhaseBaseline, rotation.PhaseReadBack, rotation.PhaseVerify:
		z.read()
	case rotation.PhaseDeliver:
		z.deliver()
	case rotation.PhaseAnswer:
		z.awaitAnswer()
	case rotation.PhaseSettle, rotation.PhaseHold:
		if z.sleep(z.trip.Wake) {
			z.trip.Waited()
		}
	case rotation.PhaseEnded:
	}
}

func (z *zone) now() time.Time { return workflow.Now(z.work) }

// recallable is for an activity that has sent nothing: whoever cancels the zone
// ends it at once, whether anybody works at it or not.
func (z *zone) recallable() workflow.Context {
	ctx, cancel := workflow.WithCancel(z.work)
	z.recall = cancel
	return ctx
}

const recalled = "cancelled before its refresh"

func (z *zone) prove() {
	if z.in.Emergency != "" {
		z.trip.Proved(z.now(), "", "")
		return
	}
	if z.trip.Stop {
		z.trip.Proved(z.now(), recalled, rotation.BackStopped)
		return
	}
	ctx := z.recallable()
	var probe activities.Probe
	f := probeAct().start(ctx, probeOptions(z.in.Account, "a probe, sealed as the key will be"), activities.ProbeIn{Locations: z.locations()})
	z.await(f, time.Time{})
	if err := f.Get(z.work, &probe); err != nil {
		z.unproved(unprobed(z.in.Account, err), err)
		return
	}
	z.proofs = nil
	var q question
	for _, l := range z.locations() {
		for _, h := range z.hostsIn(l, nil) {
			q.add(h, []activities.ProveZone{{ID: z.in.Zone, Baseline: z.trip.Baseline}}, false)
		}
	}
	q.sealed(probe)
	var futures []workflow.Future
	for _, l := range q.locations {
		futures = append(futures, startProof(ctx, probe.Queues[l], *q.asked[l]))
	}
	z.unproved(z.gather(futures))
}

// gather takes the proofs of each location, and says what is missing.
func (z *zone) gather(futures []workflow.Future) (problem string, lost error) {
	var problems []string
	for i, f := range futures {
		z.await(f, time.Time{})
		var out activities.ProveOut
		if err := f.Get(z.work, &out); err != nil {
			problems, lost = append(problems, fmt.Sprintf("location %s: %s", z.locations()[i], why(err))), err
		}
		for _, p := range out.Proofs {
			if p.Problem != "" {
				problems = append(problems, fmt.Sprintf("%s: %s", p.Host, p.Problem))
			}
			z.trip.SawDrift(p.Drift[z.in.Zone])
			z.proofs = append(z.proofs, p)
		}
	}
	return strings.Join(problems, "; "), lost
}

// unproved ends the proofs, with a problem or without.
func (z *zone) unproved(problem string, err error) {
	back := rotation.BackProof
	switch {
	case z.trip.Stop && problem != "":
		problem, back = recalled, rotation.BackStopped
	case neverStarted(err):
		back = rotation.BackNoWorker
	}
	z.trip.Proved(z.now(), problem, back)
}

func (z *zone) refresh() {
	if z.trip.Stop {
		z.trip.NotSent(z.now(), recalled, rotation.BackStopped, false)
		return
	}
	in := activities.RefreshIn{Zone: z.in.Zone, Hosts: z.hosts(), Retired: z.in.Retired, ProofFor: z.in.Timing.ProofFor, ClosesAt: z.in.ClosesAt}
	if z.in.Emergency == "" {
		in.ProvedAt = z.oldestProof()
		in.Straight, in.Expect = z.straight(), z.trip.Expect()
	}
	z.asked, z.askedFor, z.says, z.spared = z.now(), in.Hosts, "", false
	f := refreshAct().start(z.recallable(), refreshOptions(z.in, refreshSummary(in)), in)
	if z.awaitRefresh(f) {
		z.take(f)
	}
}

// take takes what became of a refresh.
func (z *zone) take(f workflow.Future) {
	var out activities.RefreshOut
	err := f.Get(z.work, &out)
	z.api = z.api.Plus(out.API)
	var cancelled *temporal.CanceledError
	switch {
	case errors.As(err, &cancelled):
		z.trip.NotSent(z.now(), recalled, rotation.BackStopped, false)
	case neverStarted(err):
		z.trip.NotSent(z.now(), "no worker took the "+z.call()+" of account "+string(z.in.Account)+" in time (is one active? keywave doctor)", rotation.BackNoWorker, true)
	case err != nil:
		z.lostRefresh()
	default:
		z.refreshed(out)
	}
}

// lostRefresh is a refresh whose worker was lost. It had begun, so one call is
// counted; as long as that worker believes in its lease it may sign one.
func (z *zone) lostRefresh() {
	if z.isStaged() {
		z.api.Modify++
	} else {
		z.api.Refresh++
	}
	from := z.asked
	if z.trip.Begun.After(from) {
		from = z.trip.Begun
	}
	z.trip.GivenUp(from, z.now().Add(activities.LeaseLife), "the worker was lost during the "+z.call())
}

func (z *zone) refreshed(out activities.RefreshOut) {
	if out.API.Throttled > 0 {
		z.trip.Note("EdgeOne throttled the " + z.call() + " before executing it; it was sent again")
	}
	switch out.Sending {
	case activities.NotSent:
		z.trip.NotSent(z.now(), out.Why, out.Back, out.Again)
	case activities.Refused:
		z.trip.RefusedBy(z.now(), out.Why, out.Code, out.Halt)
	case activities.Answered:
		z.answered(out)
	default:
		z.requestID = out.RequestID
		z.trip.GivenUp(out.SentAt, out.SentAt, out.Why)
	}
}

// answered takes an answer with a key. Where that was read early, its delivery is under
// way.
func (z *zone) answered(out activities.RefreshOut) {
	z.requestID = out.RequestID
	early := z.trip.Open
	if z.isStaged() {
		z.trip.Switched(z.now(), out.SentAt)
	} else {
		z.trip.Refreshed(z.now(), out.SentAt, out.Key)
	}
	if early {
		return
	}
	z.seal(z.askedFor, out.Sealed, z.withheld)
	if len(out.Acks) > 0 {
		z.trip.Delivered(z.now(), out.Acks)
	}
	z.readAfter(out.After)
}

// readAfter takes the read that followed the acknowledgements within the refresh. Where
// it did not tell which key is live, or another one, the zone asks by itself.
func (z *zone) readAfter(after *activities.ReadOut) {
	if after == nil {
		return
	}
	z.api = z.api.Plus(after.API)
	if after.Problem == "" && z.trip.Phase == rotation.PhaseVerify {
		z.trip.Read(z.now(), after.Key)
	}
}

// straight are the queues of the workers that proved the hosts, if the one that calls
// EdgeOne is among them.
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
		z.tell(waits)
		in.Known = z.known()
		summary, priority = "the answer was lost: did the key change?", priorityExposed
	case z.trip.Live != "":
		in.Known = []rotation.Fingerprint{z.trip.Live}
	case z.in.Verb == rotation.Rotate:
		summary = "the live key before the refresh"
		in.Hosts = nil // only the fingerprint is wanted
	default:
		summary, priority = "the live key", priorityExposed
	}
	if z.trip.Looking(z.now()) {
		summary, priority = "has a lost request landed meanwhile?", priorityBulk
	}
	out, lost := z.ask(in, summary, priority)
	if out.Problem != "" {
		z.reread(out, lost)
		return
	}
	z.readUntil = time.Time{}
	if out.Withheld != "" && z.trip.Phase == rotation.PhaseBaseline {
		z.trip.Withheld(out.Withheld)
		return
	}
	z.trip.Read(z.now(), out.Key)
	if out.Key == z.trip.Live && (out.Sealed != nil || out.Withheld != "") {
		z.seal(in.Hosts, out.Sealed, out.Withheld)
	}
}

// seal takes the live key as it was sealed for some hosts. When the zone has others by now, it
// has it sealed anew.
func (z *zone) seal(hosts []rotation.HostRef, sealed map[rotation.Location][]byte, withheld string) {
	if sealed != nil && !slices.Equal(hosts, z.hosts()) && has(z.work, versionSealedAnew) {
		sealed, withheld = nil, ""
	}
	z.sealed, z.withheld = sealed, withheld
}

// known are the keys of which a read needs to bring no seal.
func (z *zone) known() []rotation.Fingerprint {
	known := []rotation.Fingerprint{z.trip.Baseline}
	if z.trip.Minted != "" {
		known = append(known, z.trip.Minted)
	}
	return known
}

// ask reads the live key once, which ends in any case: with an answer, a problem,
// or nobody who takes it.
func (z *zone) ask(in activities.ReadIn, summary string, priority int) (activities.ReadOut, error) {
	if z.readUntil.IsZero() {
		z.readUntil = z.now().Add(z.in.Timing.DeliverFor.D())
	}
	ctx := z.work
	if !z.trip.MayHaveRefreshed() {
		ctx = z.recallable()
	}
	ctx, cancel := workflow.WithCancel(ctx)
	defer cancel()
	f := readAct().start(ctx, readOptions(z.in, summary, priority), in)
	var out activities.ReadOut
	if !z.awaitWithin(f, z.readUntil, z.now().Add(readsFor())) {
		out.Problem = "EdgeOne did not say for " + z.in.Timing.DeliverFor.D().String() + " which key is live"
		return out, nil
	}
	err := f.Get(z.work, &out)
	z.api = z.api.Plus(out.API)
	if err != nil {
		out.Problem, out.Final = unread(z.in.Account, err)
	}
	return out, err
}

// reread waits and keeps the phase, so that the key is read again, until readUntil.
func (z *zone) reread(out activities.ReadOut, lost error) {
	patience := z.trip.MayHaveRefreshed() || !z.trip.ExposedSince().IsZero()
	switch {
	case !patience && z.in.Verb == rotation.Rotate && z.trip.Stop:
		z.trip.NotSent(z.now(), recalled, rotation.BackStopped, false)
	case !patience && z.in.Verb == rotation.Rotate && neverStarted(lost):
		z.trip.NotSent(z.now(), out.Problem, rotation.BackNoWorker, false)
	case out.Final || !patience || z.trip.Looking(z.now()) || !z.now().Before(z.readUntil):
		z.readUntil = time.Time{}
		z.trip.Unreadable(z.now(), out.Problem, out.Code, out.Halt)
	default:
		z.trip.Note(out.Problem)
		z.sleep(z.now().Add(rereadAfter))
	}
}

func (z *zone) end() rotation.Record {
	z.show()
	_ = workflow.UpsertTypedSearchAttributes(z.work, z.listedAs(string(z.trip.Ended))...)
	z.count()
	r := z.trip.Record(z.now(), z.requestID, z.api)
	r.Gone, r.Former = z.gone, z.former()
	return r
}

func (z *zone) show() {
	show(z.work, zoneDetails(z.in, z.trip, z.news(), z.says))
}

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
