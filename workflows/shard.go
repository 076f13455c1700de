package workflows

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"keywave/activities"
	"keywave/internal/plan"
	"keywave/internal/rotation"
)

// ShardIn asks for the rotation of one page of a plan.
type ShardIn struct {
	Campaign string           `json:"campaign"`
	Account  rotation.Account `json:"account"`
	Plan     string           `json:"plan"`
	Page     int              `json:"page"` // 1-based
	Digest   string           `json:"digest"`
	Window   int              `json:"window"`
	Timing   rotation.Timing  `json:"timing"`
	// Emergency waives proofs, and says why.
	Emergency string `json:"emergency,omitempty"`
	// Seq is the campaign's latest control number.
	Seq int `json:"seq"`
	// Again says that an earlier run may have left records; Previous is the run
	// ID of this shard's earlier run, if it is known. Runs older than Began are
	// of an earlier campaign of the same name.
	Again    bool      `json:"again,omitempty"`
	Previous string    `json:"previous,omitempty"`
	Began    time.Time `json:"began"`
	// Mend only delivers what an earlier run left exposed or unknown.
	Mend bool `json:"mend,omitempty"`
	// Decided is what people decided about zones and hosts.
	Decided Decided `json:"decided,omitzero"`
	// ClosesAt is the instant from which on no refresh may be signed.
	ClosesAt time.Time `json:"closesAt,omitzero"`
}

// What a shard and its campaign say to each other is the language of their
// machines.
type (
	// Control is what a campaign tells its shards.
	Control = rotation.Control
	// Decided is what people decided about single zones and hosts.
	Decided = rotation.Decided
	// Skipped is a zone that an operator excluded.
	Skipped = rotation.SkippedZone
	// Retired is a host that will never answer.
	Retired = rotation.RetiredHost
	// ShardNews is what a shard tells its campaign while it runs.
	ShardNews = rotation.ShardNews
	// ShardNote is the part of a shard's story that concerns people.
	ShardNote = rotation.ShardNote
	// Attention is a zone or a host that needs a person.
	Attention = rotation.Attention
	// ShardOut is a shard's end.
	ShardOut = rotation.ShardOut
)

const (
	newsEvery     = 10 * time.Second // totals, at most
	startWithin   = time.Minute      // a child that has not started by then is reported
	proofTries    = 2                // a host that fails this often is set aside
	handedBack    = 3                // how often a zone may come back without a refresh before it stays pending
	maxAttention  = 5
	lookAhead     = 2  // windows of zones whose hosts are proved ahead
	leastPart     = 80 // zones that a batch of proofs is about at least, beyond the window
	renewFraction = 2  // a proof is renewed after this part of its life
	breakAfter    = 5  // zones in a row that fail alike stop the campaign
)

type shardZone struct {
	plan   plan.PageZone
	record rotation.Record
	acked  int
	back   int    // times handed back
	looks  []look // of plan.Hosts; nil before the first
	verb   rotation.Verb
	skip   string // why people excluded it
	flight *flight
	// mending says that the outcome is an earlier run's and is being mended,
	// prior that it is an earlier run's.
	mending, prior bool
}

type flight struct {
	since   time.Time
	started bool
	loose   bool
	kept    bool
	lost    bool        // did not start in time
	orders  []ZoneOrder // for when it has started
	cancel  func()
}

var errNotStarted = errors.New("Temporal did not start it within " + startWithin.String())

type shard struct {
	in    ShardIn
	page  plan.Page
	zones []*shardZone
	byID  map[rotation.ZoneID]*shardZone
	queue []*shardZone

	probe   activities.Probe
	inParts bool // a batch of proofs is about the zones whose turn comes next, not the whole page
	proofs  map[rotation.HostName]rotation.Proof
	fails   map[rotation.HostName]int
	aside   map[rotation.HostName]string
	asked   map[rotation.HostName]bool // a proof is on its way

	seq      int
	window   int
	stopped  bool
	retry    bool
	close    bool
	halt     string
	cause    string // of the latest failures in a row
	alike    int    // how many there are
	inFlight int
	loose    int

	urgent bool // news that must not wait
	dirty  bool
	ended  bool
	told   bool // that the last zone has started
	quiet  bool // told so for this seq
	work   workflow.Context
}

// Shard rotates the zones of one page, never more than a window of them at a
// time.
func Shard(ctx workflow.Context, in ShardIn) (ShardOut, error) {
	s := newShard(ctx, in)
	if err := s.handlers(ctx); err != nil {
		return ShardOut{}, err
	}
	workflow.Go(ctx, s.watchCancel)
	workflow.Go(s.work, s.listen)
	workflow.Go(s.work, s.report)
	if err := s.load(); err != nil {
		return s.refuse(err), nil
	}
	workflow.Go(s.work, s.watchStarts)
	workflow.Go(s.work, s.keepProving)
	for {
		s.admit()
		s.settle()
		if !s.again() {
			break
		}
	}
	s.ended = true
	return ShardOut{Tally: s.tally(), Note: s.note()}, nil
}

func newShard(ctx workflow.Context, in ShardIn) *shard {
	work, _ := workflow.NewDisconnectedContext(ctx)
	return &shard{
		in: in, work: work, window: in.Window, seq: in.Seq,
		byID: map[rotation.ZoneID]*shardZone{}, proofs: map[rotation.HostName]rotation.Proof{},
		fails: map[rotation.HostName]int{}, aside: map[rotation.HostName]string{}, asked: map[rotation.HostName]bool{},
	}
}

func (s *shard) handlers(ctx workflow.Context) error {
	return workflow.SetQueryHandlerWithOptions(ctx, QueryRecords, func() ([]rotation.Record, error) {
		records := make([]rotation.Record, len(s.zones))
		for i, z := range s.zones {
			records[i] = z.record
		}
		return records, nil
	}, workflow.QueryHandlerOptions{Description: "One record per zone of this shard: outcome, reason, fingerprints, exposure."})
}

func (s *shard) unstarted() bool {
	return slices.ContainsFunc(s.zones, func(z *shardZone) bool { return z.flight != nil && !z.flight.started })
}

// refuse ends a shard whose page or probe could not be had: nothing was touched.
func (s *shard) refuse(err error) ShardOut {
	s.ended = true
	s.halt = why(err)
	for _, z := range s.zones {
		if z.record.Outcome == rotation.Pending {
			z.record.Why = s.halt
		}
	}
	return ShardOut{Tally: s.tally(), Note: s.note()}
}

// load reads the page and, after an earlier run, what that left.
func (s *shard) load() error {
	page, err := loadPageAct().do(s.work, storedOptions("the plan page"), activities.LoadPageIn{Workflow: PageID(s.in.Plan, s.in.Page), Digest: s.in.Digest})
	if err != nil {
		return err
	}
	s.page = page
	for _, z := range page.Zones {
		zone := &shardZone{plan: z, verb: rotation.Rotate, record: rotation.Record{Zone: z.ID, Outcome: rotation.Pending}}
		s.zones = append(s.zones, zone)
		s.byID[z.ID] = zone
	}
	if s.in.Again {
		if err := s.loadPrior(); err != nil {
			return err
		}
	}
	s.urgent = s.in.Again
	s.skip()
	s.enqueue()
	if s.in.Emergency != "" || len(s.queue) == 0 {
		return nil
	}
	s.inParts = workflow.GetVersion(s.work, ChangeProofParts, workflow.DefaultVersion, 1) != workflow.DefaultVersion
	s.probe, err = probeAct().do(s.work, bulkOptions(s.in.Account, "a probe, sealed as keys will be"), activities.ProbeIn{Locations: s.locations()})
	return err
}

func (s *shard) loadPrior() error {
	in := activities.PriorIn{
		Campaign: s.in.Campaign, Shard: ShardID(s.in.Campaign, s.in.Page), Previous: s.in.Previous,
		Query: QueryRecords, Attr: AttrCampaign, Started: s.in.Began,
	}
	for _, z := range s.zones {
		in.Zones = append(in.Zones, z.plan.ID)
		in.ZoneIDs = append(in.ZoneIDs, ZoneID(z.plan.ID))
	}
	out, err := priorAct().do(s.work, storedOptions("what the earlier run left"), in)
	if err != nil {
		return err
	}
	for _, r := range out.Records {
		s.byID[r.Zone].take(r)
		s.byID[r.Zone].prior = true
	}
	for _, id := range out.Lost {
		s.byID[id].record = rotation.Record{Zone: id, Outcome: rotation.Unknown, Why: "its workflow was terminated"}
		s.byID[id].prior = true
	}
	return nil
}

// take keeps a record.
func (z *shardZone) take(r rotation.Record) {
	r.Zone = z.plan.ID
	z.record = r
	z.acked = 0
	if r.To != "" {
		z.acked = len(z.plan.Hosts) - len(r.Missing)
	}
}

// enqueue lines up what is not done, by the outcome table of design §2: exposed
// zones first, and those get the live key without a refresh.
func (s *shard) enqueue() {
	s.queue = nil
	var rest []*shardZone
	for _, z := range s.zones {
		if z.flight != nil {
			continue
		}
		switch z.record.Outcome {
		case rotation.Done, rotation.Skipped:
		case rotation.Exposed, rotation.Unknown:
			z.verb, z.mending = rotation.Repair, true
			if z.record.Outcome == rotation.Unknown && z.baseline() != "" {
				z.verb = rotation.Rotate
			}
			s.queue = append(s.queue, z)
		case rotation.Unchanged, rotation.Pending:
			if s.in.Mend {
				continue
			}
			z.verb = rotation.Rotate
			z.prior = false
			if z.record.Outcome == rotation.Unchanged {
				z.record = rotation.Record{Zone: z.plan.ID, Outcome: rotation.Pending, API: z.record.API}
			}
			z.back = 0
			rest = append(rest, z)
		}
	}
	s.queue = append(s.queue, rest...)
}

// admit starts zones while there is room, in their order, each as soon as all
// of its hosts have proved that they can take a key.
func (s *shard) admit() {
	for len(s.queue) > 0 && !s.stopped {
		_ = workflow.Await(s.work, func() bool {
			return s.stopped || len(s.queue) == 0 || s.room() && s.resolved(s.queue[0])
		})
		if s.stopped || len(s.queue) == 0 {
			break
		}
		z := s.queue[0]
		s.queue = s.queue[1:]
		if host, why := s.asideHost(z); host != "" && !z.mending {
			z.record.Outcome = rotation.Pending
			z.record.Why = fmt.Sprintf("host %s is set aside: %s", host, why)
			s.dirty = true
			continue
		}
		s.start(z)
	}
	if len(s.queue) == 0 && !s.told {
		s.told, s.urgent = true, true
	}
}

// room says whether another zone may be in flight: at most window of them, and
// at most window more that only wait or deliver to a host that does not answer.
func (s *shard) room() bool { return s.inFlight-s.loose < s.window && s.loose <= s.window }

// hostsOf are a zone's hosts without those that were retired.
func (s *shard) hostsOf(z *shardZone) []rotation.HostRef {
	return slices.DeleteFunc(s.page.HostsOf(z.plan), func(h rotation.HostRef) bool { return s.retired(z, h.Name) })
}

func (s *shard) retired(z *shardZone, host rotation.HostName) bool {
	return slices.ContainsFunc(s.in.Decided.Retired, func(r Retired) bool {
		return r.Host == host && (r.Zone == "" || r.Zone == z.plan.ID)
	})
}

// skip marks the zones that people excluded, and those whose hosts are all
// retired; one that is under way is told.
func (s *shard) skip() {
	for _, skipped := range s.in.Decided.Skipped {
		if z := s.byID[skipped.Zone]; z != nil {
			s.skipZone(z, "skipped: "+skipped.Reason)
		}
	}
	for _, z := range s.zones {
		if len(s.hostsOf(z)) == 0 {
			s.skipZone(z, "every host is retired")
		}
	}
}

func (s *shard) skipZone(z *shardZone, why string) {
	if z.record.Outcome == rotation.Done && z.flight == nil {
		return
	}
	z.skip = why
	if z.flight != nil {
		s.tellZone(z, ZoneOrder{Skip: true, Reason: why})
		return
	}
	z.record.Outcome, z.record.Why, z.mending = rotation.Skipped, why, false
	s.queue = slices.DeleteFunc(s.queue, func(q *shardZone) bool { return q == z })
	s.dirty = true
}

func (s *shard) tellZone(z *shardZone, o ZoneOrder) {
	if !z.flight.started {
		z.flight.orders = append(z.flight.orders, o)
		return
	}
	workflow.SignalExternalWorkflow(s.work, ZoneID(z.plan.ID), "", SignalZoneOrder, o)
}

// decide takes new decisions of people.
func (s *shard) decide(d Decided) {
	for _, r := range d.Retired {
		if slices.Contains(s.in.Decided.Retired, r) {
			continue
		}
		for _, z := range s.zones {
			if z.flight != nil && (r.Zone == "" || r.Zone == z.plan.ID) {
				s.tellZone(z, ZoneOrder{Retire: r.Host, Reason: r.Reason})
			}
		}
	}
	s.in.Decided = d
	s.skip()
}

// start runs a zone as a child and hears its end.
func (s *shard) start(z *shardZone) {
	ctx, cancel := workflow.WithCancel(s.work)
	f := &flight{since: workflow.Now(s.work), cancel: cancel}
	z.flight = f
	s.inFlight++
	o := childPolicy(ZoneID(z.plan.ID), zoneSummary(z.verb, z.plan.Name, z.plan.ID, s.hostsOf(z)))
	o.TypedSearchAttributes = Searchable(s.in.Campaign, z.plan.ID, "")
	o.Priority = temporal.Priority{PriorityKey: priorityNormal}
	if z.mending {
		o.Priority.PriorityKey = priorityExposed
	}
	child := workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, o), TypeZone, s.zoneIn(z))
	workflow.Go(s.work, func(ctx workflow.Context) {
		begun := child.GetChildWorkflowExecution()
		_ = workflow.Await(ctx, func() bool { return begun.IsReady() || f.lost })
		if f.lost {
			s.landed(ctx, z, rotation.Record{}, errNotStarted)
			return
		}
		f.started = begun.Get(ctx, nil) == nil
		for _, o := range f.orders {
			s.tellZone(z, o)
		}
		var record rotation.Record
		err := child.Get(ctx, &record)
		s.landed(ctx, z, record, err)
	})
}

func (s *shard) zoneIn(z *shardZone) ZoneIn {
	in := ZoneIn{
		Verb: z.verb, Zone: z.plan.ID, Name: z.plan.Name, Account: s.in.Account,
		Hosts: s.hostsOf(z), Baseline: z.plan.Baseline, Timing: s.in.Timing,
		Emergency: s.in.Emergency, Campaign: s.in.Campaign, Shard: ShardID(s.in.Campaign, s.in.Page),
		ClosesAt: s.in.ClosesAt,
	}
	for _, r := range s.in.Decided.Retired {
		if r.Zone == "" || r.Zone == z.plan.ID {
			in.Retired = append(in.Retired, r)
		}
	}
	if z.mending {
		in.Baseline, in.Since = "", z.record.Since
		in.Drift = known(z.record.From, z.record.To, z.plan.Baseline)
		if z.verb == rotation.Rotate {
			in.Baseline, in.Doubt = z.baseline(), z.record.EndedAt
			if in.Doubt.IsZero() {
				in.Doubt = workflow.Now(s.work)
			}
			return in
		}
	}
	for i, h := range z.plan.Hosts {
		p, ok := s.proofs[s.page.Hosts[h].Name]
		if !ok || s.retired(z, p.Host) {
			continue
		}
		var seen look
		if z.looks != nil {
			seen = z.looks[i]
		}
		if seen.drift != "" && !slices.Contains(in.Drift, seen.drift) {
			in.Drift = append(in.Drift, seen.drift)
			if seen.drift != rotation.Absent {
				in.Baseline = "" // somebody changed something: read the live key again
			}
		}
		if !seen.at.IsZero() && seen.at.Before(p.At) {
			p.At = seen.at
		}
		in.Proofs = append(in.Proofs, p)
	}
	if in.Baseline == "" && z.plan.Baseline != "" {
		in.Drift = append(in.Drift, z.plan.Baseline) // which the other hosts hold
	}
	if s.in.Again || z.back > 0 {
		in.Baseline = ""
	}
	return in
}

// baseline is the key from before the earlier run's refresh.
func (z *shardZone) baseline() rotation.Fingerprint { return cmp.Or(z.record.From, z.plan.Baseline) }

func known(all ...rotation.Fingerprint) []rotation.Fingerprint {
	var some []rotation.Fingerprint
	for _, f := range all {
		if f != "" && f != rotation.Absent && !slices.Contains(some, f) {
			some = append(some, f)
		}
	}
	return some
}

// landed takes a child's end, however it ended.
func (s *shard) landed(ctx workflow.Context, z *shardZone, record rotation.Record, err error) {
	if temporal.IsWorkflowExecutionAlreadyStartedError(err) {
		record, err = s.foreign(ctx, z)
	}
	f, mended := z.flight, z.mending
	z.flight, z.mending, z.prior = nil, false, false
	s.inFlight--
	if f.loose {
		s.loose--
	}
	s.dirty = true
	if s.told && s.inFlight-s.loose == s.window/2 {
		s.urgent = true // the next shard can have half of the window
	}
	switch {
	case err == nil && mended && record.Outcome == rotation.Pending, err != nil && mended && !f.started:
		// Nothing was done, so what was true of an exposed zone still is.
		z.record.Why = "could not be mended now: " + cmp.Or(record.Why, errorText(err))
	case err == nil:
		z.take(merged(z.record, record))
	case !f.started:
		z.record.Outcome, z.record.Why = rotation.Pending, "its workflow did not start: "+why(err)
	default:
		z.record.Outcome = rotation.Unknown
		z.record.Why = "its workflow ended without a record (terminated?); resume reads the live key back"
	}
	if z.skip != "" && (z.record.Outcome == rotation.Pending || z.record.Outcome == rotation.Unchanged) {
		z.record.Outcome, z.record.Why = rotation.Skipped, z.skip
	}
	s.judge(z)
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return why(err)
}

// merged is a later run's record with what only the earlier one knows.
func merged(before, after rotation.Record) rotation.Record {
	after.API = after.API.Plus(before.API)
	after.From = cmp.Or(after.From, before.From)
	after.RequestID = cmp.Or(after.RequestID, before.RequestID)
	if after.Since.IsZero() {
		after.Since = before.Since
	}
	return after
}

// foreign looks at a zone that runs already.
func (s *shard) foreign(ctx workflow.Context, z *shardZone) (rotation.Record, error) {
	out, err := awaitAct().do(ctx, longOptions("a zone that runs already", s.in.Timing), activities.AwaitIn{Workflow: ZoneID(z.plan.ID), Campaign: s.in.Campaign, Attr: AttrCampaign})
	switch {
	case err != nil:
		return rotation.Record{}, err
	case out.Busy != "":
		return rotation.Record{Zone: z.plan.ID, Outcome: rotation.Pending, Why: "busy elsewhere: " + out.Busy}, nil
	case out.Lost:
		return rotation.Record{Zone: z.plan.ID, Outcome: rotation.Unknown, Why: "its workflow ended without a record"}, nil
	}
	return out.Record, nil
}

// judge decides what a zone's end means for the others.
func (s *shard) judge(z *shardZone) {
	r := z.record
	s.breaker(r)
	switch {
	case r.Halt:
		s.standStill(r.Why)
	case r.Outcome == rotation.Exposed || r.Outcome == rotation.Unknown || r.Outcome == rotation.Unchanged:
		s.urgent = true
	case r.Outcome == rotation.Pending && !s.stopped && z.back < handedBack:
		z.back++
		s.queue = append(s.queue, z)
		s.forget(z)
	}
}

// breaker stops a campaign whose zones fail alike, one after the other: the
// next one would too.
func (s *shard) breaker(r rotation.Record) {
	failed := r.Outcome == rotation.Unchanged || r.Outcome == rotation.Unknown
	switch {
	case r.Outcome == rotation.Done:
		s.alike = 0
	case failed && r.Cause != "" && r.Cause == s.cause:
		s.alike++
	case failed:
		s.cause, s.alike = r.Cause, 1
	}
	if failed && r.Cause != "" && s.alike >= breakAfter {
		s.standStill(fmt.Sprintf("%d zones in a row failed with %s, the latest: %s", s.alike, r.Cause, r.Why))
	}
}

// standStill stops without waiting for the campaign's order, which comes when
// the campaign has heard why. A retry on its way begins anew anyway.
func (s *shard) standStill(why string) {
	s.halt, s.urgent = why, true
	if !s.retry && workflow.GetVersion(s.work, ChangeStandStill, workflow.DefaultVersion, 1) != workflow.DefaultVersion {
		s.stop()
	}
}

// forget has the zone's hosts proved again before the next try.
func (s *shard) forget(z *shardZone) {
	for _, h := range s.hostsOf(z) {
		delete(s.proofs, h.Name)
	}
	z.looks = nil
}

// settle waits until nothing is in flight, or more zones are to be admitted.
func (s *shard) settle() {
	_ = workflow.Await(s.work, func() bool {
		return s.inFlight == 0 || s.retry || !s.stopped && len(s.queue) > 0
	})
}

// again says whether there is, or may come, more to do.
func (s *shard) again() bool {
	if s.stopped {
		s.urgent = true
		_ = workflow.Await(s.work, func() bool { return s.retry || s.close })
		if s.close {
			return false
		}
	}
	if s.retry {
		s.retry, s.told = false, false
		s.halt, s.alike = "", 0
		clear(s.fails)
		clear(s.aside)
		s.enqueue()
	}
	return s.inFlight > 0 || len(s.queue) > 0
}

// listen follows the campaign and hears the zones.
func (s *shard) listen(ctx workflow.Context) {
	control := workflow.GetSignalChannel(ctx, SignalControl)
	news := workflow.GetSignalChannel(ctx, SignalZoneNews)
	selector := workflow.NewSelector(ctx)
	selector.AddReceive(control, func(c workflow.ReceiveChannel, _ bool) {
		var order Control
		c.Receive(ctx, &order)
		s.follow(order)
	})
	selector.AddReceive(news, func(c workflow.ReceiveChannel, _ bool) {
		var n ZoneNews
		c.Receive(ctx, &n)
		s.hear(n)
	})
	for {
		selector.Select(ctx)
	}
}

func (s *shard) follow(order Control) {
	if order.Seq < s.seq {
		return
	}
	s.in.ClosesAt = order.ClosesAt
	s.seq, s.window, s.close = order.Seq, order.Window, s.close || order.Close
	if order.Decided != nil {
		s.decide(*order.Decided)
	}
	s.quiet = false
	if order.Retry {
		s.stopped, s.retry = false, true
	}
	if order.Stop || order.Close {
		s.stop()
	}
	s.urgent = true
}

// stop cancels every refresh that has not started.
func (s *shard) stop() {
	s.stopped = true
	for _, z := range s.zones {
		if z.flight != nil && !z.flight.kept {
			z.flight.cancel()
		}
	}
}

func (s *shard) hear(n ZoneNews) {
	z := s.byID[n.Zone]
	if z == nil || z.flight == nil {
		return
	}
	s.dirty = true
	z.flight.kept = z.flight.kept || n.Kept
	if n.Loose && !z.flight.loose {
		z.flight.loose = true
		s.loose++
	}
	switch {
	case n.Exposed:
		z.record.Outcome, z.record.Why = rotation.Exposed, n.Why
		s.urgent = true
	case z.record.Outcome == rotation.Exposed && !z.mending:
		z.record.Outcome, z.record.Why = rotation.Pending, ""
		s.urgent = true
	}
}

// watchCancel stops the shard when it is cancelled, by its campaign's end or in
// the Temporal UI.
func (s *shard) watchCancel(ctx workflow.Context) {
	ctx.Done().Receive(ctx, nil)
	s.close = true
	s.stop()
	s.urgent = true
}

// isQuiet says that a stop has been carried out: whatever is in flight may have
// refreshed.
func (s *shard) isQuiet() bool {
	if !s.stopped {
		return false
	}
	for _, z := range s.zones {
		if z.flight != nil && !z.flight.kept {
			return false
		}
	}
	return true
}

// report tells the campaign: at once what cannot wait, the rest every ten
// seconds at most, and nothing while nothing changes.
func (s *shard) report(ctx workflow.Context) {
	last := workflow.Now(ctx)
	// A retry is told of once its zones are lined up: until then the tally is of
	// before the order.
	atOnce := func() bool { return s.ended || !s.retry && (s.urgent || s.isQuiet() != s.quiet) }
	for {
		_ = workflow.Await(ctx, func() bool { return !s.retry && s.dirty || atOnce() })
		if rest := last.Add(newsEvery).Sub(workflow.Now(ctx)); rest > 0 {
			_, _ = workflow.AwaitWithOptions(ctx, within(rest, "before the campaign is told more"), atOnce)
		}
		if s.ended {
			return
		}
		last = workflow.Now(ctx)
		s.urgent, s.dirty, s.quiet = false, false, s.isQuiet()
		if s.told {
			// The next shard may have the slots that are free: they are not
			// taken again for zones that come back.
			s.window = min(s.window, max(1, s.inFlight-s.loose))
		}
		news := ShardNews{
			Page: s.in.Page, Seq: s.seq, Tally: s.tally(), Note: s.note(),
			Started: s.told, InFlight: s.inFlight - s.loose, Slots: s.slots(), Quiet: s.quiet, Kept: s.kept(), Exposed: s.exposed(), Mending: s.mending(),
		}
		workflow.SignalExternalWorkflow(ctx, CampaignID(s.in.Campaign), "", SignalShardNews, news)
		workflow.SetCurrentDetails(ctx, shardDetails(s.in, news))
	}
}

// slots are the places of the window that this shard takes up; while it runs it
// keeps one for zones that come back.
func (s *shard) slots() int { return max(1, s.inFlight-s.loose) }

func (s *shard) mending() rotation.Counts {
	var counts rotation.Counts
	for _, z := range s.zones {
		if z.mending || z.prior && z.record.Outcome != rotation.Done {
			one := rotation.NewCounts(1)
			one.Move(rotation.Pending, z.record.Outcome)
			counts = counts.Plus(one)
		}
	}
	return counts
}

func (s *shard) exposed() int {
	n := 0
	for _, z := range s.zones {
		if z.flight != nil && z.record.Outcome == rotation.Exposed && !z.mending {
			n++
		}
	}
	return n
}

func (s *shard) kept() int {
	n := 0
	for _, z := range s.zones {
		if z.flight != nil && z.flight.kept {
			n++
		}
	}
	return n
}

// watchStarts reports children that do not start: a child that never starts
// must not hang the shard.
func (s *shard) watchStarts(ctx workflow.Context) {
	for !s.ended {
		_ = workflow.Await(ctx, func() bool { return s.ended || s.unstarted() })
		_, _ = workflow.AwaitWithOptions(ctx, within(startWithin, "for zones that do not start"), func() bool { return s.ended })
		for _, z := range s.zones {
			if f := z.flight; f != nil && !f.started && workflow.Now(ctx).Sub(f.since) >= startWithin {
				f.lost = true
				f.cancel() // should it start after all
			}
		}
	}
}

func (s *shard) tally() rotation.Tally {
	var t rotation.Tally
	for _, z := range s.zones {
		one := rotation.NewCounts(1)
		one.Move(rotation.Pending, z.record.Outcome)
		t.Zones = t.Zones.Plus(one)
		t.Hosts = t.Hosts.Plus(rotation.HostCounts{Total: len(z.plan.Hosts), Acknowledged: z.acked})
		t.API = t.API.Plus(z.record.API)
		if z.record.Outcome == rotation.Done && z.record.ExposureMs > 0 {
			t.Exposures.Add(z.record.ExposureMs)
		}
	}
	return t
}

func (s *shard) note() ShardNote {
	note := ShardNote{Halt: s.halt}
	for _, z := range s.zones {
		needs := z.record.Outcome == rotation.Exposed || z.record.Outcome == rotation.Unknown || z.record.Outcome == rotation.Unchanged
		if needs && len(note.Attention) < maxAttention {
			note.Attention = append(note.Attention, Attention{Zone: z.plan.ID, Outcome: z.record.Outcome, Why: z.record.Why})
		}
	}
	for _, h := range s.page.Hosts {
		if problem := s.aside[h.Name]; problem != "" && len(note.SetAside) < maxAttention {
			note.SetAside = append(note.SetAside, Attention{Host: h.Name, Why: problem})
		}
	}
	return note
}

func (s *shard) locations() []rotation.Location {
	var all []rotation.Location
	for _, h := range s.page.Hosts {
		if !slices.Contains(all, h.Location) {
			all = append(all, h.Location)
		}
	}
	return all
}
