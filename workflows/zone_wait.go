package workflows

import (
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"keywave/internal/rotation"
)

// What a zone and its shard say to each other.
type (
	// ZoneNews is what a zone tells its shard before it ends.
	ZoneNews = rotation.ZoneNews
	// ZoneOrder is what a shard passes on to a zone.
	ZoneOrder = rotation.ZoneOrder
)

// exposureTold is what a wait is for that something else ends.
const exposureTold = "until its exposure must be told"

// looseAfter is how long after it was counted as exposed a zone gives its slot in
// the window back: by then the budget has been held against it.
const looseAfter = 10 * time.Second

// slack is how late a timeout of Temporal may be told.
const slack = 2 * time.Second

// telling is what a zone has said about its exposure, and to whom.
type telling struct {
	exposed bool // counted as exposed
	loose   bool // its slot in the window is given back
	kept    bool // asked to stop, and goes on
	stands  rotation.Standing
	since   time.Time // of stands
	told    ZoneNews  // the last news, its Why reduced to who is missing
	listed  string    // as the list of workflows has it, before its end
}

// waitFor waits until done or, unless that is zero, until then, and says on the
// way what becomes of the exposure. It is the only place where a zone waits. quiet
// is when whatever is waited for ends by itself: a wait that needs nothing said
// before then costs no timer. It says whether it is done.
func (z *zone) waitFor(done func() bool, until, quiet time.Time, what string) bool {
	for !done() {
		next := earliest(z.nextMark(), until)
		changed := func() bool { return done() || !earliest(z.nextMark(), until).Equal(next) }
		switch {
		case next.IsZero() || next.After(quiet) && !quiet.IsZero():
			_ = workflow.Await(z.work, changed)
		case next.After(z.now()):
			_, _ = awaitWithin(z.work, next.Sub(z.now()), what, changed)
		}
		z.tell(underWay)
		if !until.IsZero() && !z.now().Before(until) {
			return done()
		}
	}
	return true
}

// await waits for an activity; until bounds it, unless zero.
func (z *zone) await(f workflow.Future, until time.Time) bool {
	return z.awaitWithin(f, until, time.Time{})
}

// awaitWithin is await for an activity that its own timeouts end by quiet.
func (z *zone) awaitWithin(f workflow.Future, until, quiet time.Time) bool {
	return z.waitFor(f.IsReady, until, quiet, exposureTold)
}

// sleep waits between two steps. An order ends it early; it says whether it was
// waited out.
func (z *zone) sleep(until time.Time) bool {
	if !until.After(z.now()) {
		return true
	}
	woken := false
	z.wake = func() { woken = true }
	if until.Sub(z.now()) >= time.Second {
		z.tell(waits)
	}
	return !z.waitFor(func() bool { return woken }, until, time.Time{}, waitSummary(z.trip))
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// nextMark is when people must be told of the exposure if it lasts.
func (z *zone) nextMark() time.Time {
	since, after := z.trip.ExposedSince(), z.in.Timing.ExposedAfter.D()
	switch {
	case since.IsZero():
		return time.Time{}
	case !z.exposed:
		return since.Add(after)
	case !z.loose:
		return since.Add(after + looseAfter)
	}
	return time.Time{}
}

// occasion is why a zone checks whether there is news.
type occasion int

const (
	underWay occasion = iota // between two steps: the good path tells nothing
	waits                    // it begins to wait for something that went wrong
	asks                     // a shard wants to hear it
)

// tell reports how the zone stands: to the shard, if something changed, and in the
// list of workflows.
func (z *zone) tell(on occasion) {
	if z.trip.Phase == rotation.PhaseEnded {
		return
	}
	z.mark()
	n := z.news()
	said := n
	said.Why, said.Until = "", time.Time{}
	if n.Standing == rotation.Dead {
		said.Why = rotation.Named(z.trip.Missing())
	}
	bad := n.Standing != rotation.Alive
	first := z.told == (ZoneNews{})
	if on != asks && (said == z.told || first && !n.Exposed && !n.Kept && !n.Loose && (!bad || on != waits)) {
		return
	}
	z.told = said
	z.show()
	if z.in.Shard != "" {
		workflow.SignalExternalWorkflow(z.work, z.in.Shard, "", SignalZoneNews, n)
	}
}

// mark takes the marks that were passed.
func (z *zone) mark() {
	now, since := z.now(), z.trip.ExposedSince()
	if s := z.trip.Standing(); s != z.stands {
		z.stands, z.since = s, now
	}
	after := z.in.Timing.ExposedAfter.D()
	exposed := !since.IsZero() && !now.Before(since.Add(after))
	z.loose = z.loose || z.stands == rotation.Held || exposed && !now.Before(since.Add(after+looseAfter))
	z.exposed = exposed
	z.list()
}

// list makes the list of workflows say that the zone is exposed or held.
func (z *zone) list() {
	as := ""
	switch {
	case z.exposed:
		as = string(rotation.Exposed)
	case z.stands == rotation.Held:
		as = OutcomeHeld
	}
	if as == z.listed {
		return
	}
	z.listed = as
	_ = workflow.UpsertTypedSearchAttributes(z.work, z.listedAs(as)...)
}

// listedAs is how the list of workflows shows the zone. An exposed one says whose it
// is, so that the exposed zones of an account can be counted. So does one that ends
// unknown while it is exposed; one that ends unknown, and is not, says it no more.
func (z *zone) listedAs(outcome string) []temporal.SearchAttributeUpdate {
	as, whose := keyword(AttrOutcome, outcome), keyword(AttrAccount, string(z.in.Account))
	exposed := !z.trip.ExposedSince().IsZero()
	switch {
	case outcome == "":
		return []temporal.SearchAttributeUpdate{noKeyword(AttrOutcome)}
	case outcome == string(rotation.Exposed), outcome == string(rotation.Unknown) && exposed:
		return []temporal.SearchAttributeUpdate{as, whose}
	case outcome == string(rotation.Unknown):
		return []temporal.SearchAttributeUpdate{as, noKeyword(AttrAccount)}
	}
	return []temporal.SearchAttributeUpdate{as}
}

// news is where the zone stands, for its shard and for people.
func (z *zone) news() ZoneNews {
	t := z.trip
	n := ZoneNews{
		Zone: z.in.Zone, Standing: t.Standing(), Why: t.StandingWhy(), Since: z.since,
		Exposed: z.exposed, Kept: z.kept, Loose: z.loose,
	}
	if since := t.ExposedSince(); !since.IsZero() {
		n.Since = since
	}
	switch {
	case n.Standing == rotation.Held:
		n.Until = t.HeldUntil
	case n.Standing == rotation.Dead:
		n.Until = t.Until
	case n.Standing == rotation.Dark && !z.readUntil.IsZero():
		n.Until = z.readUntil
	default:
		n.Until = t.Wake
	}
	return n
}

// watchCancel turns a cancel, from the shard or from the Temporal UI, into "no
// refresh that has not started yet".
func (z *zone) watchCancel(ctx workflow.Context) {
	ctx.Done().Receive(ctx, nil)
	z.trip.Cancelled()
	z.recall()
	on, _ := workflow.NewDisconnectedContext(ctx)
	_ = workflow.Await(on, func() bool { return z.goesOn() || z.trip.Phase == rotation.PhaseEnded })
	z.kept = true
	z.tell(underWay)
}

// goesOn says that nothing stops the zone: a refresh may have been sent, or it
// mends what an earlier one left.
func (z *zone) goesOn() bool { return z.trip.MayHaveRefreshed() || z.in.Verb == rotation.Repair }

// listen takes orders; the loop acts on them.
func (z *zone) listen(ctx workflow.Context) {
	orders := workflow.GetSignalChannel(ctx, SignalZoneOrder)
	for {
		var o ZoneOrder
		orders.Receive(ctx, &o)
		z.order(o)
	}
}

func (z *zone) order(o ZoneOrder) {
	z.avoid(o.Lost)
	switch {
	case o.Tell:
		z.tell(asks)
	case !o.Begun.IsZero():
		// Not of a refresh before this one, and not of one that is still to come.
		if !o.Begun.Before(z.asked) && o.Begun.Before(z.now().Add(time.Minute)) {
			z.began(o.Begun)
		}
	case o.Lost != "":
	default:
		z.orders = append(z.orders, o)
		if o.Skip {
			z.trip.Cancelled()
			z.recall()
		}
		z.wake()
	}
}

// goes notes that a worker takes no delivery at its own queue any more, and tells the
// shard at once, for the zones that are under way.
func (z *zone) goes(own string) {
	if slices.Contains(z.gone, own) {
		return
	}
	z.gone = append(z.gone, own)
	if z.in.Shard != "" {
		workflow.SignalExternalWorkflow(z.work, z.in.Shard, "", SignalZoneNews, ZoneNews{Zone: z.in.Zone, Gone: own})
	}
}

// avoid has no delivery wait at own queues of a process that may be lost. Another worker
// of the location brings it.
func (z *zone) avoid(lost string) {
	for _, p := range z.proofs {
		if lost != "" && (p.Queue == lost || strings.HasSuffix(p.Queue, "-"+lost)) && !slices.Contains(z.gone, p.Queue) {
			z.gone = append(z.gone, p.Queue)
		}
	}
}

// obey carries out what was ordered since the last step. Skipping waits until no
// request that was given up can still be executed.
func (z *zone) obey() {
	skip := ""
	for _, o := range z.orders {
		if o.Retire != "" {
			z.trip.Retire(o.Retire, o.Reason)
			z.in.Retired = append(z.in.Retired, rotation.RetiredHost{Host: o.Retire, Reason: o.Reason})
			continue
		}
		skip = o.Reason
	}
	z.orders = slices.DeleteFunc(z.orders, func(o ZoneOrder) bool { return o.Retire != "" })
	if len(z.trip.Hosts) == 0 {
		skip = "every host is retired"
	}
	if skip != "" && !z.trip.MayLand(z.now()) {
		z.trip.Skip(skip)
	}
}
