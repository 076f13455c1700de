package workflows

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"keywave/activities"
	"keywave/internal/rotation"
)

// The pages of a campaign: which shard starts next, how shards share an
// account's window, what they are told, and what their ends mean.

// runPages runs what is lined up: an account's next shard starts when the last
// zone of the one before has started, so that stragglers do not idle the API.
func (c *campaign) runPages(ctx workflow.Context) error {
	for {
		_ = workflow.Await(c.work, func() bool {
			return c.st.Steering.Cancelled && len(c.shards) == 0 || !c.st.Steering.Cancelled && (c.startable() >= 0 || c.drained())
		})
		if c.st.Steering.Cancelled || c.drained() {
			c.pagesRan()
			return nil
		}
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			return c.continued(ctx)
		}
		next := c.startable()
		page := c.st.Todo[next]
		c.st.Todo = slices.Delete(c.st.Todo, next, next+1)
		if !c.mending() {
			c.st.Gate = GateBake
		}
		c.start(page)
	}
}

// drained says that no page runs and none is lined up.
func (c *campaign) drained() bool { return len(c.st.Todo) == 0 && len(c.shards) == 0 }

func (c *campaign) pagesRan() {
	switch c.st.Steering.Stage {
	case rotation.StageMending:
		c.st.Mended = true
		c.take(rotation.Happening{On: rotation.EventMended})
		c.obeyHours()
	case rotation.StageWave:
		c.take(rotation.Happening{On: rotation.EventWaveEnds})
	}
}

// continued hands over to a new run once nothing is under way.
func (c *campaign) continued(ctx workflow.Context) error {
	_ = workflow.Await(c.work, func() bool { return len(c.shards) == 0 && c.telling == 0 && workflow.AllHandlersFinished(ctx) })
	if c.st.Steering.Cancelled {
		return nil
	}
	c.endLines()
	next := c.in
	next.State = c.st
	return workflow.NewContinueAsNewError(ctx, TypeCampaign, next)
}

func (c *campaign) isOpen(page int) bool {
	return slices.ContainsFunc(c.st.Open, func(p PageTally) bool { return p.Page == page })
}

// untouched says that no shard of the campaign has ever run for a page: it is as in a
// first run then, and nobody has to be asked about its zones.
func (c *campaign) untouched(page int) bool {
	return c.st.Complete && !c.isOpen(page) && !slices.Contains(c.st.Settled, page) && c.shards[page] == nil
}

// start runs a page's shard as a child and hears its end.
func (c *campaign) start(page int) {
	again := !c.untouched(page) && c.in.Again || c.isOpen(page)
	before := c.reopen(page)
	ctx, abandon := workflow.WithCancel(c.work)
	slots := c.slots(c.plan.AccountOf(page))
	slots.Give(page, slots.Left())
	r := &running{again: again, abandon: abandon, news: ShardNews{Page: page, Seq: c.st.Seq - 1, Tally: before.Tally, Note: before.Note, Past: before.Past}}
	r.news.Note.Halt = ""
	c.shards[page] = r
	c.pages = append(c.pages, page)
	workflow.Go(ctx, func(ctx workflow.Context) {
		var out ShardOut
		err := c.runShard(ctx, page, r, before.Run, &out)
		c.landed(page, out, err)
	})
}

// reopen takes a page that an earlier shard left unsettled.
func (c *campaign) reopen(page int) PageTally {
	for i, p := range c.st.Open {
		if p.Page == page {
			c.st.Open = slices.Delete(c.st.Open, i, i+1)
			return p
		}
	}
	return PageTally{}
}

// orphans is how often a page's shard may be found running already.
const orphans = 3

// runShard first waits for an orphan of the same page, if there is one. A cancel of
// the campaign ends that wait. It does not wait for another campaign's shard.
func (c *campaign) runShard(ctx workflow.Context, page int, r *running, previous string, out *ShardOut) error {
	id := ShardID(c.in.Name, page)
	for try := 1; ; try++ {
		if r.again && previous == "" {
			last, err := lastRunAct().do(ctx, storedOptions("the earlier run of this shard"), activities.LastRunIn{Workflow: id})
			if err != nil {
				return err
			}
			previous = last.Run
		}
		child, err := c.startShard(ctx, c.shardIn(page, r, previous), r)
		if err == nil {
			return child.Get(ctx, out)
		}
		if !temporal.IsWorkflowExecutionAlreadyStartedError(err) {
			return err
		}
		held, err := awaitAct().do(ctx, longOptions("an earlier shard that still delivers", c.plan.Settings.Timing), activities.AwaitIn{Workflow: id, Type: TypeShard, Campaign: c.in.Name, Attr: AttrCampaign})
		switch {
		case err != nil:
			return err
		case held.Busy != "":
			return fmt.Errorf("another workflow has its workflow ID %s: %s; find that one in Temporal and end it", id, held.Busy)
		case try == orphans:
			return fmt.Errorf("its workflow ID %s was taken %d times; find out in Temporal who starts it", id, orphans)
		}
		r.again, previous = true, ""
	}
}

// keysFor is how old the keys may be that a campaign's start read: after that each zone reads
// its own first, because somebody else may have made another one.
const keysFor = 2 * time.Hour

func (c *campaign) stale() bool { return workflow.Now(c.work).Sub(c.in.Began) > keysFor }

func (c *campaign) shardIn(page int, r *running, previous string) ShardIn {
	return ShardIn{
		Campaign: c.in.Name, Account: c.plan.AccountOf(page), Plan: c.in.Plan, Page: page, Digest: c.plan.Pages[page-1],
		Window: c.slots(c.plan.AccountOf(page)).Given(page), Timing: c.plan.Settings.Timing, Strategy: c.plan.Settings.Strategy, RollbackFor: c.plan.Settings.RollbackFor, Emergency: c.in.Emergency, Seq: c.st.Seq,
		Again: r.again, Stale: !r.again && c.stale(), Previous: previous, Began: c.in.Began, Mend: c.mending(), Last: c.isLast(page), Decided: c.st.Decided, ClosesAt: c.closesAt(),
		StallAfter: rotation.Span(c.stallAfter()), Before: ShardOut{Tally: r.news.Tally, Note: r.news.Note, Past: r.news.Past},
		Surprised: c.surprised(page), Accepted: c.accepted(), Told: c.st.PastTold,
	}
}

// isLast says that no other page of the account waits to start.
func (c *campaign) isLast(page int) bool {
	return !slices.ContainsFunc(c.st.Todo, func(p int) bool { return c.plan.AccountOf(p) == c.plan.AccountOf(page) })
}

// startShard starts the child, and tells it what was ordered meanwhile. Once it
// has started it is not abandoned any more: it ends by its orders.
func (c *campaign) startShard(ctx workflow.Context, in ShardIn, r *running) (workflow.ChildWorkflowFuture, error) {
	summary := shardSummary(in, c.plan.Undoes, len(c.plan.Pages), c.st.Steering.Wave, len(c.plan.Waves))
	if len(c.plan.Owners()) > 1 {
		summary += ", for account " + string(in.Account)
	}
	o := childPolicy(ShardID(in.Campaign, in.Page), summary)
	o.WorkflowTaskTimeout = shardTask
	o.TypedSearchAttributes = listedAs(Searchable(in.Campaign, "", ""), OutcomeRunning)
	child := workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, o), TypeShard, in)
	var started workflow.Execution
	if err := child.GetChildWorkflowExecution().Get(ctx, &started); err != nil {
		return nil, err
	}
	r.run, r.started = started.RunID, true
	s := &c.st.Steering
	order := Control{Stop: !s.Runs(in.Account), Close: s.Cancelled}
	other := !reflect.DeepEqual(in.Decided, c.st.Decided)
	if other {
		order.Decided = &c.st.Decided
	}
	other = other || in.Window != c.slots(in.Account).Given(in.Page)
	if order.Stop || in.Seq != c.st.Seq || other && has(c.work, versionStartOrders) {
		c.keep(in.Page, order)
	}
	return child, nil
}

// landed takes a shard's end, however it ended.
func (c *campaign) landed(page int, out ShardOut, err error) {
	r := c.shards[page]
	delete(c.shards, page)
	c.pages = slices.DeleteFunc(c.pages, func(p int) bool { return p == page })
	if err != nil {
		out.Tally, out.Note, out.Past = r.news.Tally, r.news.Note, r.news.Past.Lost()
	}
	account := c.plan.AccountOf(page)
	c.slots(account).Leave(page)
	if err == nil && out.Tally.Zones.Settled() && out.Tally.Zones.Total > 0 {
		c.st.Closed = c.st.Closed.Plus(out.Tally)
		c.st.Settled, c.st.Surprised = append(c.st.Settled, page), c.st.Surprised+out.Note.Surprised
		l := c.lane(account)
		l.Zones, l.API = l.Zones.Plus(out.Tally.Zones), l.API.Plus(out.Tally.API)
	} else {
		c.st.Open = append(c.st.Open, c.asOpen(page, out, r.run))
	}
	if err != nil && !c.st.Steering.Cancelled {
		ended := "ended without a result"
		if !r.started {
			ended = "did not start"
		}
		c.pauseFor(rotation.EventShardLost, "", fmt.Sprintf("shard %d %s (%s); resume finds out how its zones stand", page, ended, why(err)))
	}
	c.markTimeline(shardEnded(page, len(c.plan.Pages), out, err))
	c.check(page, out.Note)
	c.widen(account)
	c.tell()
}

// listen hears the shards.
func (c *campaign) listen(ctx workflow.Context) {
	news := workflow.GetSignalChannel(ctx, SignalShardNews)
	for {
		var n ShardNews
		news.Receive(ctx, &n)
		r := c.shards[n.Page]
		if r == nil || n.Seq < r.news.Seq {
			continue
		}
		r.news = n
		c.slots(c.plan.AccountOf(n.Page)).Uses(n.Page, n.Slots, n.Started && n.Seq >= c.st.Seq)
		c.announceExposed()
		if n.Seq >= c.st.Seq { // older news are of before the latest order
			c.check(n.Page, n.Note)
		}
		c.letGo(n)
		c.tell()
	}
}

// letGo ends a shard that is stopped and has nothing left to do.
func (c *campaign) letGo(n ShardNews) {
	if n.Quiet && n.Tally.Zones.Settled() {
		c.keep(n.Page, Control{Stop: true, Close: true})
	}
}

// slots say which shard of an account owns which part of its window.
func (c *campaign) slots(a rotation.Account) *rotation.Slots[int] {
	if c.windows[a] == nil {
		slots := rotation.NewSlots[int](c.st.Window)
		c.windows[a] = &slots
	}
	return c.windows[a]
}

// widen gives the slots of a shard that ended to the one of its account that
// admits zones.
func (c *campaign) widen(a rotation.Account) {
	if !c.st.Steering.Runs(a) {
		return
	}
	if page, window, more := c.slots(a).Widen(); more && c.shards[page].started {
		c.signal(page, Control{Seq: c.st.Seq, Window: window})
	}
}

// resize gives every account a window of another size; the shard that started
// last takes up the difference.
func (c *campaign) resize() {
	for _, a := range c.plan.Owners() {
		slots, pages := c.slots(a), c.pagesOf(a)
		slots.Resize(c.st.Window)
		if len(pages) == 0 || !c.st.Steering.Runs(a) {
			continue
		}
		page := pages[len(pages)-1]
		window := max(1, slots.Left()+slots.Owned(page))
		slots.Give(page, window)
		c.signal(page, Control{Seq: c.st.Seq, Window: window})
	}
}

// follow has the shards carry out what the steering decided, under a new number.
func (c *campaign) follow(change rotation.Change) {
	if len(change.Stop)+len(change.Go) == 0 && !change.Close {
		return
	}
	c.st.Seq++
	for _, a := range c.plan.Owners() {
		var o Control
		switch {
		case change.Close:
			o.Stop, o.Close = true, true
		case slices.Contains(change.Stop, a):
			o.Stop = true
		case slices.Contains(change.Go, a):
			o.Retry = true
			c.bringBack(a)
		}
		c.orderTo(a, o)
	}
	for _, page := range c.pages {
		if r := c.shards[page]; change.Close && !r.started {
			r.abandon() // it has sent nothing
		}
	}
	c.tell()
}

// bringBack lines up the account's pages that ended with zones not done, those
// with exposed zones first.
func (c *campaign) bringBack(a rotation.Account) {
	slices.SortStableFunc(c.st.Open, func(a, b PageTally) int { return b.Tally.Zones.Exposed - a.Tally.Zones.Exposed })
	var again []int
	for _, p := range c.st.Open {
		if c.plan.AccountOf(p.Page) == a && !slices.Contains(c.st.Todo, p.Page) {
			again = append(again, p.Page)
		}
	}
	c.st.Todo = append(again, c.st.Todo...)
}

// orderTo tells the shards of one account. Those that go on at the same time
// share its window.
func (c *campaign) orderTo(a rotation.Account, o Control) {
	slots := c.slots(a)
	slots.Ordered()
	if o.Retry {
		slots.Split()
		o.Stale = c.stale()
	}
	for _, page := range c.pagesOf(a) {
		o.Seq, o.Window = c.st.Seq, slots.Given(page)
		c.signal(page, o)
	}
}

func (c *campaign) signal(page int, o Control) {
	o.ClosesAt = c.closesAt()
	o.Surprised, o.Told = c.surprised(page), c.st.PastTold
	if r := c.shards[page]; r.started {
		workflow.SignalExternalWorkflow(c.work, ShardID(c.in.Name, page), r.run, SignalControl, o)
	}
}

// keep tells a shard something that leaves its window as it is.
func (c *campaign) keep(page int, o Control) {
	o.Seq, o.Window = c.st.Seq, c.slots(c.plan.AccountOf(page)).Given(page)
	c.signal(page, o)
}

// quiet says that every shard has carried out the last order. One that has not
// started has sent nothing.
func (c *campaign) quiet() bool { return len(c.unquiet()) == 0 }

// unquiet are the shards that have not confirmed yet that they carried out the
// last order.
func (c *campaign) unquiet() []int {
	var pages []int
	for _, page := range c.pages {
		r := c.shards[page]
		if r.started && (r.news.Seq < c.st.Seq || !r.news.Quiet) {
			pages = append(pages, page)
		}
	}
	return pages
}

func (c *campaign) kept() int {
	n := 0
	for _, page := range c.pages {
		n += c.shards[page].news.Kept
	}
	return n
}
