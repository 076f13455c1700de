package workflows

import (
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
	// StallAfter is how long nothing may happen before that is told; zero is the
	// plan's default.
	StallAfter rotation.Span `json:"stallAfter,omitzero"`
	// Strategy is who makes the new keys; empty is EdgeOne.
	Strategy rotation.Strategy `json:"strategy,omitempty"`
	// RollbackFor is how long former keys are kept.
	RollbackFor rotation.Span `json:"rollbackFor,omitzero"`
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
	// Stale is rotation.Setup's.
	Stale bool `json:"stale,omitempty"`
	// Before is what the campaign knew of the page. The shard reports it until it
	// has loaded the page.
	Before ShardOut `json:"before,omitzero"`
	// Mend only delivers what an earlier run left exposed or unknown.
	Mend bool `json:"mend,omitempty"`
	// Last says that no other page of the account waits to start.
	Last bool `json:"last,omitempty"`
	// Decided is what people decided about zones and hosts.
	Decided Decided `json:"decided,omitzero"`
	// ClosesAt is the instant from which on no refresh may be signed.
	ClosesAt time.Time `json:"closesAt,omitzero"`
	// Surprised, Accepted and Told are rotation.Setup's.
	Surprised int  `json:"surprised,omitempty"`
	Accepted  int  `json:"accepted,omitempty"`
	Told      bool `json:"told,omitempty"`
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

// maxAttention is how many zones and hosts a shard names.
const maxAttention = 5

// shard carries out what rotation.Admission decides, and tells it what happens.
type shard struct {
	in       ShardIn
	m        *rotation.Admission
	page     plan.Page
	children map[rotation.ZoneID]child
	probe    activities.Probe
	probed   bool
	out      *ShardOut

	stirred bool // something happened since the machine was asked last
	alarm   time.Time
	unset   func()

	work workflow.Context // not cancelled with the workflow
	drop func()           // what is under way when it ends
}

// child is the latest try of a zone.
type child struct {
	try    int
	cancel func()
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
	workflow.Go(s.work, s.load)
	for {
		s.awaitStarts(ctx)
		for _, c := range s.m.Next(s.now()) {
			s.carryOut(c)
		}
		if s.out != nil {
			return s.end(ctx), nil
		}
		s.rest()
	}
}

func newShard(ctx workflow.Context, in ShardIn) *shard {
	apart, _ := workflow.NewDisconnectedContext(ctx)
	work, drop := workflow.WithCancel(apart)
	if in.StallAfter == 0 {
		in.StallAfter = rotation.Span(plan.Settings{}.StallsAfter())
	}
	m := rotation.NewAdmission(workflow.Now(ctx), rotation.Setup{
		Page: in.Page, Window: in.Window, Seq: in.Seq, Timing: in.Timing, Emergency: in.Emergency != "", Again: in.Again, Stale: in.Stale, Mend: in.Mend, Last: in.Last,
		Decided: in.Decided, ClosesAt: in.ClosesAt, Before: in.Before, StallAfter: in.StallAfter.D(), ProofsWithin: limits().Prove.Close,
		StartWithin: soonStart,
		Surprised:   in.Surprised, Accepted: in.Accepted, Told: in.Told,
	})
	return &shard{in: in, m: m, children: map[rotation.ZoneID]child{}, unset: func() {}, work: work, drop: drop}
}

// awaitStarts is patient with a zone that Temporal has not started within a minute. Where it is
// overloaded it puts a start off, again and again, for longer each time. To give the zone up
// helps it in no case: a person would have to resume.
func (s *shard) awaitStarts(ctx workflow.Context) {
	if s.m.StartsLate(s.now()) && has(ctx, versionSlowStarts) {
		s.m.AwaitStarts(slowStart)
	}
}

func (s *shard) handlers(ctx workflow.Context) error {
	return workflow.SetQueryHandlerWithOptions(ctx, QueryRecords, func() ([]rotation.Record, error) { return s.m.Records(), nil },
		workflow.QueryHandlerOptions{Description: "One record per zone of this shard: outcome, reason, fingerprints, exposure."})
}

func (s *shard) now() time.Time { return workflow.Now(s.work) }

// rest waits until something happens, or the machine wants to be asked.
func (s *shard) rest() {
	s.setAlarm(s.m.Wake(s.now()))
	_ = workflow.Await(s.work, func() bool { return s.stirred })
	s.stirred = false
}

// setAlarm wakes the shard then, or earlier: an alarm that is set for an earlier
// time stays, because each timer costs events.
func (s *shard) setAlarm(at time.Time) {
	if at.IsZero() || !s.alarm.IsZero() && !at.Before(s.alarm) {
		return
	}
	s.unset()
	ctx, cancel := workflow.WithCancel(s.work)
	s.alarm, s.unset = at, cancel
	rings := workflow.NewTimerWithOptions(ctx, at.Sub(s.now()), workflow.TimerOptions{Summary: "before it checks its zones again"})
	workflow.Go(ctx, func(ctx workflow.Context) {
		if rings.Get(ctx, nil) == nil {
			s.alarm, s.stirred = time.Time{}, true
		}
	})
}

// watchCancel stops the shard when it is cancelled, by its campaign's end or in
// the Temporal UI.
func (s *shard) watchCancel(ctx workflow.Context) {
	ctx.Done().Receive(ctx, nil)
	s.m.Cancelled()
	s.stirred = true
}

// listen follows the campaign and hears the zones.
func (s *shard) listen(ctx workflow.Context) {
	selector := workflow.NewSelector(ctx)
	selector.AddReceive(workflow.GetSignalChannel(ctx, SignalControl), func(c workflow.ReceiveChannel, _ bool) {
		var order Control
		c.Receive(ctx, &order)
		s.m.Follow(order)
	})
	selector.AddReceive(workflow.GetSignalChannel(ctx, SignalZoneNews), func(c workflow.ReceiveChannel, _ bool) {
		var n rotation.ZoneNews
		c.Receive(ctx, &n)
		s.m.Heard(s.now(), n)
	})
	for {
		selector.Select(ctx)
		s.stirred = true
	}
}

// load reads the page and, after an earlier run, what that left. Orders are
// followed meanwhile.
func (s *shard) load(ctx workflow.Context) {
	page, err := loadPageAct().do(ctx, storedOptions("the plan page"), activities.LoadPageIn{Workflow: PageID(s.in.Plan, s.in.Page), Digest: s.in.Digest})
	var found []rotation.Found
	if err == nil && s.in.Again {
		found, err = s.loadPrior(ctx, page)
	}
	s.stirred = true
	if err != nil {
		s.m.Refuse(why(err))
		return
	}
	s.page = page
	var members []rotation.Member
	for _, z := range page.Zones {
		members = append(members, rotation.Member{ID: z.ID, Baseline: z.Baseline, Hosts: z.Hosts})
	}
	s.m.Loaded(page.Hosts, members, found)
}

func (s *shard) loadPrior(ctx workflow.Context, page plan.Page) ([]rotation.Found, error) {
	in := activities.PriorIn{
		Namespace: workflow.GetInfo(ctx).Namespace, Campaign: s.in.Campaign, Shard: ShardID(s.in.Campaign, s.in.Page),
		Previous: s.in.Previous, Query: QueryRecords, Page: PageID(s.in.Plan, s.in.Page), Attr: AttrCampaign, Began: s.in.Began,
	}
	for _, z := range page.Zones {
		in.Zones = append(in.Zones, z.ID)
		in.ZoneIDs = append(in.ZoneIDs, ZoneID(z.ID))
	}
	out, err := priorAct().do(ctx, storedOptions("what the earlier run left"), in)
	return out.Zones, err
}

func (s *shard) carryOut(c rotation.Command) {
	switch c := c.(type) {
	case rotation.StartZone:
		s.start(c)
	case rotation.CancelZone:
		if child := s.children[c.Zone]; child.try == c.Try {
			child.cancel()
		}
	case rotation.OrderZone:
		workflow.SignalExternalWorkflow(s.work, ZoneID(c.Zone), "", SignalZoneOrder, c.Order)
	case rotation.AskProbe:
		workflow.Go(s.work, func(ctx workflow.Context) { s.askProbe(ctx, c) })
	case rotation.AskHosts:
		workflow.Go(s.work, func(ctx workflow.Context) { s.askHosts(ctx, c) })
	case rotation.AskKeys:
		workflow.Go(s.work, func(ctx workflow.Context) { s.askKeys(ctx, c) })
	case rotation.AskBegun:
		workflow.Go(s.work, func(ctx workflow.Context) { s.askBegun(ctx, c) })
	case rotation.Tell:
		workflow.SignalExternalWorkflow(s.work, CampaignID(s.in.Campaign), "", SignalShardNews, c.News)
		show(s.work, shardDetails(s.in, c.News, false))
	case rotation.End:
		s.out = &c.Out
	}
}

// end drops what is still waited for, leaves the records with the page, which
// outlives the shard, and shows how it ended.
func (s *shard) end(ctx workflow.Context) ShardOut {
	s.drop()
	if records := s.m.Records(); len(records) > 0 {
		apart, _ := workflow.NewDisconnectedContext(ctx)
		left := PageRecords{s.in.Campaign, keepable(records)}
		_ = workflow.SignalExternalWorkflow(apart, PageID(s.in.Plan, s.in.Page), "", SignalPageRecords, left).Get(apart, nil)
	}
	show(ctx, shardDetails(s.in, s.m.News(s.now()), true))
	ended := StateEnded
	if s.out.Tally.Zones.Settled() {
		ended = StateDone
	}
	_ = workflow.UpsertTypedSearchAttributes(ctx, keyword(AttrOutcome, string(ended)))
	return *s.out
}

// start runs a zone as a child and hears its end, however it ends.
func (s *shard) start(c rotation.StartZone) {
	ctx, cancel := workflow.WithCancel(s.work)
	s.children[c.Zone] = child{c.Try, cancel}
	if c.Join {
		workflow.Go(s.work, func(ctx workflow.Context) { s.join(ctx, c) })
		return
	}
	in := s.zoneIn(c)
	o := childPolicy(ZoneID(c.Zone), zoneSummary(in))
	o.WorkflowTaskTimeout = ZoneTask
	o.TypedSearchAttributes = Searchable(s.in.Campaign, c.Zone, "")
	o.Priority = temporal.Priority{PriorityKey: priorityNormal}
	if c.Urgent {
		o.Priority.PriorityKey = priorityExposed
	}
	zone := workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, o), TypeZone, in)
	workflow.Go(s.work, func(ctx workflow.Context) {
		l := s.follow(ctx, c, zone)
		s.m.Ended(s.now(), c.Zone, c.Try, l)
		s.stirred = true
	})
}

func (s *shard) follow(ctx workflow.Context, c rotation.StartZone, zone workflow.ChildWorkflowFuture) rotation.Landing {
	err := zone.GetChildWorkflowExecution().Get(ctx, nil)
	s.stirred = true
	switch {
	case temporal.IsWorkflowExecutionAlreadyStartedError(err):
		s.m.Foreign(s.now(), c.Zone, c.Try)
		return s.foreign(ctx, c.Zone)
	case err != nil:
		return rotation.Landing{Absent: why(err)}
	}
	s.m.Started(s.now(), c.Zone, c.Try)
	var record rotation.Record
	if zone.Get(ctx, &record) != nil {
		return rotation.Landing{Lost: "its workflow ended without a record (terminated?); resume reads the live key back"}
	}
	return rotation.Landing{Record: &record}
}

// askKeys asks EdgeOne for the keys of zones whose hosts hold one that nobody
// knows.
func (s *shard) askKeys(ctx workflow.Context, c rotation.AskKeys) {
	out, err := baselinesAct().do(ctx, bulkOptions(s.in.Account, "keys that neither plan nor history knows: are they EdgeOne's?"), activities.BaselinesIn{Zones: c.Zones})
	var keys []rotation.LiveKey
	if err == nil && len(out.Baselines) == len(c.Zones) {
		for i, b := range out.Baselines {
			keys = append(keys, rotation.LiveKey{Zone: c.Zones[i], Key: b.Key})
		}
	}
	s.m.KeysRead(keys)
	s.stirred = true
}

// join waits for a zone that an earlier shard left running.
func (s *shard) join(ctx workflow.Context, c rotation.StartZone) {
	s.m.Foreign(s.now(), c.Zone, c.Try)
	l := s.foreign(ctx, c.Zone)
	s.m.Ended(s.now(), c.Zone, c.Try, l)
	s.stirred = true
}

// foreign waits for a zone that runs already, if it is this campaign's.
func (s *shard) foreign(ctx workflow.Context, zone rotation.ZoneID) rotation.Landing {
	out, err := awaitAct().do(ctx, longOptions("a zone that runs already", s.in.Timing), activities.AwaitIn{Workflow: ZoneID(zone), Type: TypeZone, Campaign: s.in.Campaign, Attr: AttrCampaign})
	switch {
	case err != nil:
		return rotation.Landing{Lost: "it ran already, and nobody heard how it ended:  " + why(err)}
	case out.Busy != "":
		return rotation.Landing{Busy: out.Busy}
	case out.Lost:
		return rotation.Landing{Lost: "its workflow ended without a record"}
	}
	return rotation.Landing{Record: &out.Record}
}

func (s *shard) zoneIn(c rotation.StartZone) ZoneIn {
	in := ZoneIn{
		Verb: c.Verb, Zone: c.Zone, Account: s.in.Account, Hosts: c.Hosts, Retired: c.Retired, Baseline: c.Baseline,
		Drift: c.Drift, Proofs: c.Proofs, Timing: s.in.Timing, Since: c.Since, Doubt: c.Doubt, ClosesAt: c.ClosesAt,
		Strategy: s.in.Strategy, RollbackFor: s.in.RollbackFor, Unstaged: c.Unstaged, Emergency: s.in.Emergency, Campaign: s.in.Campaign, Shard: ShardID(s.in.Campaign, s.in.Page),
	}
	for _, z := range s.page.Zones {
		if z.ID == c.Zone {
			in.Name, in.Former = z.Name, z.Former
		}
	}
	return in
}

// begunIn asks about the calls that change keys by a strategy. Zones of a staged campaign
// may be refreshed, too: in an emergency.
func begunIn(by rotation.Strategy, zones ...string) activities.BegunIn {
	in := activities.BegunIn{Workflows: zones, Refresh: ActRefresh, Taken: true}
	if by == rotation.Staged {
		in.Switch = ActSwitch
	}
	return in
}

// saysBy is when a process that has taken a refresh a moment ago has said whether it waits for
// its turn. It is zero if it has had the time.
func saysBy(r activities.Refreshing) time.Time {
	if r.State != activities.RefreshTaken {
		return time.Time{}
	}
	return r.Since.Add(activities.SaysWithin + aMoment)
}

// askBegun asks Temporal which refreshes have begun: a workflow cannot see whether
// an activity of another one waits in its queue or runs.
func (s *shard) askBegun(ctx workflow.Context, c rotation.AskBegun) {
	var zones []string
	for _, z := range c.Zones {
		zones = append(zones, ZoneID(z))
	}
	in := begunIn(s.in.Strategy, zones...)
	out, err := begunAct().do(ctx, begunOptions("which refreshes have begun?"), in)
	var seen []rotation.RefreshSeen
	if err == nil && len(out.Refreshes) == len(c.Zones) {
		for i, r := range out.Refreshes {
			one := rotation.RefreshSeen{Zone: c.Zones[i], Queued: r.State == activities.RefreshQueued, Taken: saysBy(r), Text: r.Says}
			if r.MayHaveSent() {
				one.Begun = r.Since
			}
			seen = append(seen, one)
		}
	}
	s.m.HeardBegun(seen)
	s.stirred = true
}
