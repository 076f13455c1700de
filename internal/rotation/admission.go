package rotation

import (
	"slices"
	"time"
)

// Setup is what a shard is asked to do.
type Setup struct {
	Page   int
	Window int
	Seq    int // the number of the campaign's latest order
	Timing Timing
	// Emergency waives proofs.
	Emergency bool
	// Again says that an earlier run may have refreshed zones, so their baselines
	// are read again.
	Again bool
	// Stale says that the plan's baselines are so old that they are read again, too.
	Stale bool
	// Mend says that the shard only delivers what an earlier run left exposed or
	// unknown.
	Mend bool
	// Last says that no other page waits for the slots of this one.
	Last     bool
	Decided  Decided
	ClosesAt time.Time
	// Surprised counts zones of other pages that have a key that nobody knows.
	// Accepted counts those that had such a key when the campaign started. Told
	// says that a person let the campaign go on in spite of them.
	Surprised int
	Accepted  int
	Told      bool
	// Before is what the campaign knew of the page. It is used until the page is
	// loaded.
	Before ShardOut
	// StallAfter is how long a shard may be idle before the campaign is told.
	// ProofsWithin is how long the answer to a batch of proofs may take, and
	// StartWithin how long the workflow of a zone may take to start.
	StallAfter   time.Duration
	ProofsWithin time.Duration
	StartWithin  time.Duration
}

// Member is a zone of a page. Hosts are indices into the page's hosts.
type Member struct {
	ID       ZoneID
	Baseline Fingerprint
	Hosts    []int
}

// Command is what a shard does next.
type Command interface{ command() }

// The commands.
type (
	// StartZone starts a zone's operation. Try counts the starts of this zone by
	// this shard.
	StartZone struct {
		Zone     ZoneID
		Try      int
		Join     bool // its workflow is already running: wait for its end
		Verb     Verb
		Urgent   bool // its key may be dead: it goes before the others
		Hosts    []HostRef
		Retired  []RetiredHost // those of the plan's hosts that people retired
		Baseline Fingerprint   // empty: it is read first
		Drift    []Fingerprint
		Proofs   []Proof
		Since    time.Time // when an exposure that an earlier run left began
		Doubt    time.Time // see Trip.Resume; zero means no doubt
		ClosesAt time.Time
		Unstaged bool // it came back because a host did not take a staged key
	}
	// CancelZone keeps a zone from sending a refresh that it has not sent yet.
	CancelZone struct {
		Zone ZoneID
		Try  int
	}
	// OrderZone sends an order to a zone that has started.
	OrderZone struct {
		Zone  ZoneID
		Order ZoneOrder
	}
	// AskProbe asks for a probe that is sealed as keys will be.
	AskProbe struct{ Locations []Location }
	// AskHosts asks a location's hosts to prove that they can take a key.
	AskHosts struct {
		Location Location
		Hosts    []askedHost
	}
	// AskBegun asks Temporal which of these zones' refreshes have begun.
	AskBegun struct{ Zones []ZoneID }
	// Tell sends news to the campaign.
	Tell struct{ News ShardNews }
	// End is the last command.
	End struct{ Out ShardOut }
)

func (StartZone) command()  {}
func (CancelZone) command() {}
func (OrderZone) command()  {}
func (AskProbe) command()   {}
func (AskHosts) command()   {}
func (AskBegun) command()   {}
func (Tell) command()       {}
func (End) command()        {}

// Landing is how a zone's operation ended: with a record, or with the text that
// is set.
type Landing struct {
	Record *Record
	Busy   string // it was not begun: somebody else's operation is running on the zone
	Lost   string // its workflow ended without a record
	Absent string // its workflow did not start
}

const (
	handedBack = 3 // a zone that came back more often than this without a refresh stays pending
	breakAfter = 5 // so many zones in a row that fail alike stop the campaign
)

// Admission decides for one shard: which zone starts when, whose hosts are
// asked, what people's orders mean for each zone, and what the campaign is
// told. It is a value machine like Trip. Its methods take what happened, and
// Next returns what must be done then. Wake says when Next must be called even
// if nothing happens.
type Admission struct {
	in     Setup
	loaded bool
	hosts  []*host
	zones  []*entry
	byID   map[ZoneID]*entry
	queue  []*entry
	slots  Slots[ZoneID]

	probe   probeState
	batches []batch

	stopped bool
	closed  bool // it returns as soon as nothing is in flight
	refused bool // there will be no page or no probe
	ended   bool
	halt    string
	cause   string // the cause of the latest failures, if they are alike
	alike   int    // how many there are

	asking bool // an AskBegun is on its way
	// landedAt is when the latest zone ended.
	landedAt time.Time
	askedAt  time.Time

	idleFrom time.Time // zero while nothing could make progress
	heldFrom time.Time // since when that clock stands still; zero while it runs
	idleTold bool
	began    time.Time

	told   bool // the campaign was told that the last zone has started
	urgent bool // news that must not wait
	soon   bool // news that people wait for
	dirty  bool // any news
	quiet  bool // the campaign was told, for the present Seq, that the shard is quiet
	toldAt time.Time

	out []Command
}

// entry is a zone of the page.
type entry struct {
	Member
	record Record
	verb   Verb
	tries  int
	back   int     // times handed back
	looks  []sight // what each of Hosts was seen to hold; nil before the first proof
	skip   string  // why people excluded it
	cause  string  // why it made no progress when that was last checked
	flight *flight
	// mending says that the outcome is an earlier one and that the zone is being
	// mended now. prior says that the outcome is from an earlier run.
	mending, prior bool
	// joins says that its workflow is already running.
	joins bool
	// surprising says that EdgeOne and all hosts agreed on a key that nobody knows.
	surprising bool
	stranger   stranger
}

// flight is an operation under way.
type flight struct {
	since     time.Time
	started   bool
	foreign   bool // another shard started it
	cancelled bool
	orders    []ZoneOrder // they are sent when it has started
	news      ZoneNews
	heard     bool
	begun     bool      // it was told when its refresh began
	askAt     time.Time // when Temporal is asked about it next
	taken     bool      // its refresh had just been taken when it was asked about last
	asks      int
}

// NewAdmission makes the machine of a shard whose page is not loaded yet.
func NewAdmission(now time.Time, in Setup) *Admission {
	return &Admission{in: in, byID: map[ZoneID]*entry{}, slots: NewSlots[ZoneID](in.Window), began: now, toldAt: now}
}

// Loaded gives the machine its page. found is what was found of each zone, in
// the order of the zones, if an earlier run may have left something.
func (a *Admission) Loaded(hosts []HostRef, members []Member, found []Found) {
	for _, ref := range hosts {
		a.hosts = append(a.hosts, &host{HostRef: ref})
	}
	for _, m := range members {
		z := &entry{Member: m, verb: Rotate, record: Record{Zone: m.ID, Outcome: Pending}}
		a.zones = append(a.zones, z)
		a.byID[m.ID] = z
	}
	a.recall(found)
	a.loaded, a.dirty, a.urgent = true, true, a.in.Again
	a.skipDecided()
	a.enqueue()
}

// Refuse says that there is no page or no probe, so no refresh can start. Zones
// in flight that are mended without proofs go on.
func (a *Admission) Refuse(why string) {
	a.refused, a.halt, a.urgent = true, why, true
	for _, z := range a.zones {
		if z.flight == nil && z.record.Outcome == Pending {
			z.record.Why = why
		}
	}
}

// enqueue puts all zones that are not done into the queue. Exposed zones come
// first; they get the live key without a refresh.
func (a *Admission) enqueue() {
	a.queue = nil
	var rest []*entry
	for _, z := range a.zones {
		if z.back = 0; z.flight != nil {
			continue
		}
		z.stranger = ""
		if z.skip != "" && z.record.Outcome != Done {
			z.exclude()
		}
		switch z.record.Outcome {
		case Done, Skipped:
		case Exposed, Unknown:
			z.verb, z.mending = Repair, true
			if z.record.Outcome == Unknown && z.former() != "" {
				z.verb = Rotate
			}
			a.queue = append(a.queue, z)
		case Unchanged, Pending:
			if a.in.Mend {
				continue
			}
			z.verb, z.prior, z.cause = Rotate, false, ""
			z.record = Record{Zone: z.ID, Outcome: Pending, API: z.record.API}
			rest = append(rest, z)
		}
	}
	a.queue = append(a.queue, rest...)
}

// Follow obeys the campaign's order. It ignores an order that is older than the
// last one.
func (a *Admission) Follow(order Control) {
	if order.Seq < a.in.Seq {
		return
	}
	a.in.Seq, a.in.ClosesAt = order.Seq, order.ClosesAt
	a.in.Surprised, a.in.Told = order.Surprised, a.in.Told || order.Told
	a.slots.Resize(order.Window)
	a.in.Stale = a.in.Stale || order.Stale
	if order.Decided != nil {
		a.decide(*order.Decided)
	}
	a.quiet, a.urgent = false, true
	if order.Retry && !a.closed {
		a.retry()
	}
	if order.Stop || order.Close {
		a.closed = a.closed || order.Close
		a.stop()
	}
}

// Cancelled says that the shard itself was cancelled, because its campaign
// ended or by a person. It is closed then.
func (a *Admission) Cancelled() {
	a.closed, a.urgent = true, true
	a.stop()
}

func (a *Admission) retry() {
	a.stopped, a.told = false, false
	a.halt, a.cause, a.alike = "", "", 0
	for _, h := range a.hosts {
		h.fails, h.aside, h.behind = 0, "", ""
	}
	if a.loaded {
		a.enqueue()
	}
}

// stop cancels every refresh that has not started.
func (a *Admission) stop() {
	a.stopped = true
	for _, z := range a.zones {
		if f := z.flight; f != nil && !f.cancelled && !f.news.Kept {
			a.cancel(z)
		}
	}
}

func (a *Admission) cancel(z *entry) {
	z.flight.cancelled = true
	a.out = append(a.out, CancelZone{z.ID, z.tries})
}

// standStill stops at once. It does not wait for the campaign's order, which
// comes only after the campaign has heard why.
func (a *Admission) standStill(why string) {
	a.halt, a.urgent = why, true
	a.stop()
}

// decide takes over all that people have decided so far.
func (a *Admission) decide(d Decided) {
	for _, r := range d.Retired {
		if slices.Contains(a.in.Decided.Retired, r) {
			continue
		}
		for _, z := range a.zones {
			if z.flight != nil && (r.Zone == "" || r.Zone == z.ID) {
				a.tellZone(z, ZoneOrder{Retire: r.Host, Reason: r.Reason})
			}
		}
	}
	a.in.Decided, a.dirty = d, true
	a.skipDecided()
	for _, z := range a.zones {
		waited := z.record.Back == backAside && z.record.Outcome == Pending && z.flight == nil
		if waited && a.asideHost(z) == nil && !slices.Contains(a.queue, z) {
			z.record.Back, z.record.Why = "", "" // it waited for hosts that are retired now
			a.queue = append(a.queue, z)
		}
	}
}

// skipDecided marks the zones that people excluded, and those whose hosts are
// all retired. A zone that is in flight gets an order.
func (a *Admission) skipDecided() {
	for _, s := range a.in.Decided.Skipped {
		if z := a.byID[s.Zone]; z != nil {
			a.skipZone(z, "skipped: "+s.Reason)
		}
	}
	for _, z := range a.zones {
		if len(a.hostsOf(z)) == 0 {
			a.skipZone(z, "every host is retired")
		}
	}
}

func (a *Admission) skipZone(z *entry, why string) {
	switch f := z.flight; {
	case z.skip != "": // it was decided before
	case f != nil:
		z.skip = why
		a.tellZone(z, ZoneOrder{Skip: true, Reason: why})
	case z.record.Outcome != Done:
		z.skip = why
		z.exclude()
		a.queue = slices.DeleteFunc(a.queue, func(q *entry) bool { return q == z })
		a.dirty = true
	}
}

func (z *entry) exclude() {
	z.record.Outcome, z.record.Why, z.mending, z.prior, z.stranger = Skipped, z.skip, false, false, ""
}

func (a *Admission) tellZone(z *entry, o ZoneOrder) {
	if f := z.flight; !f.started && !f.foreign {
		f.orders = append(f.orders, o)
		return
	}
	a.out = append(a.out, OrderZone{z.ID, o})
}

// hostsOf are a zone's hosts without those that were retired.
func (a *Admission) hostsOf(z *entry) []*host {
	var all []*host
	for _, h := range z.Hosts {
		if !a.retired(z, a.hosts[h].Name) {
			all = append(all, a.hosts[h])
		}
	}
	return all
}

func (a *Admission) retired(z *entry, name HostName) bool {
	return slices.ContainsFunc(a.in.Decided.Retired, func(r RetiredHost) bool {
		return r.Host == name && (r.Zone == "" || r.Zone == z.ID)
	})
}

// Next returns what must be done now.
func (a *Admission) Next(now time.Time) []Command {
	if a.ended {
		return nil
	}
	a.giveUpStarts(now)
	a.admit(now)
	a.prove(now)
	a.askBegun(now)
	a.watch(now)
	if a.over() {
		a.ended = true
		a.out = append(a.out, End{a.Out()})
	} else {
		a.report(now)
	}
	commands := a.out
	a.out = nil
	return commands
}

// Wake is when Next must be called even if nothing happens. Zero means never.
func (a *Admission) Wake(now time.Time) time.Time {
	var wake time.Time
	at := func(t time.Time) {
		if t.After(now) && (wake.IsZero() || t.Before(wake)) {
			wake = t
		}
	}
	for _, z := range a.zones {
		if f := z.flight; f != nil && !f.started && !f.foreign {
			at(f.since.Add(a.in.StartWithin))
		}
	}
	at(a.askDue())
	for _, b := range a.batches {
		at(b.asked.Add(a.in.ProofsWithin))
	}
	if a.probe.asking {
		at(a.probe.asked.Add(a.in.ProofsWithin))
	}
	switch {
	case a.idleTold:
		at(a.in.ClosesAt) // closed hours are no stall
	case !a.idleFrom.IsZero() && a.heldFrom.IsZero():
		at(a.idleFrom.Add(a.in.StallAfter))
	}
	at(a.newsDue())
	return wake
}

// admit starts zones in the order of the queue, as long as there is room. A
// zone starts only when all of its hosts have proved that they can take a key.
func (a *Admission) admit(now time.Time) {
	a.lastStrangers()
	for len(a.queue) > 0 && !a.stopped && !a.refused {
		z := a.queue[0]
		if h := a.asideHost(z); h != nil && !z.mending {
			a.queue = a.queue[1:]
			z.record.Back = backAside
			z.record.Why = h.asideWhy()
			a.dirty = true
			continue
		}
		if !a.slots.Room() || !a.resolved(z, now) || a.shut(z, now) {
			break
		}
		a.queue = a.queue[1:]
		if a.strange(z) {
			z.stranger = strangerNew
			continue
		}
		a.start(z, now)
	}
	a.askKeys()
	if a.loaded && len(a.queue) == 0 && a.apart(strangerNew, strangerAsked, strangerAgreed) == 0 && !a.told {
		a.told = true
		a.matters(!a.in.Last)
	}
}

// shut says that by the calendar no refresh of the zone may be signed any more.
func (a *Admission) shut(z *entry, now time.Time) bool {
	return !z.mending && !a.in.ClosesAt.IsZero() && !now.Before(a.in.ClosesAt)
}

// over says that nothing is left to do, now or later.
func (a *Admission) over() bool {
	switch {
	case a.flying() > 0:
		return false
	case a.refused, a.closed:
		return true
	}
	return a.loaded && !a.stopped && len(a.queue) == 0 && a.apart(strangerNew, strangerAsked, strangerAgreed) == 0
}

func (a *Admission) flying() int {
	n := 0
	for _, z := range a.zones {
		if z.flight != nil {
			n++
		}
	}
	return n
}
