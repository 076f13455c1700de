package workflows

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"keywave/activities"
	"keywave/internal/calendar"
	"keywave/internal/plan"
	"keywave/internal/rotation"
)

// CampaignIn asks for one run of a plan.
type CampaignIn struct {
	Name   string `json:"name"`
	Plan   string `json:"plan"` // the plan's name
	Digest string `json:"digest"`
	By     string `json:"by,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Emergency waives proofs, bake times and approvals, and says why.
	Emergency string `json:"emergency,omitempty"`
	// Drift is what a person accepted of a plan whose live keys had changed.
	Drift *AcceptedDrift `json:"drift,omitempty"`
	// Reread counts the calls that it took to see that, RereadBy those of each
	// account, where there are several.
	Reread   int                      `json:"reread,omitempty"`
	RereadBy map[rotation.Account]int `json:"rereadBy,omitempty"`
	// Again has what an earlier, closed run of this campaign left gone on with.
	Again bool `json:"again,omitempty"`
	// Began is when the campaign's first run began; zero in that run.
	Began time.Time `json:"began,omitzero"`
	// Hours is a calendar that it obeys besides its plan's.
	Hours calendar.Spec `json:"hours,omitzero"`
	// Outside has it begin although the calendar is closed, because a person
	// says so.
	Outside bool `json:"outside,omitempty"`
	// State continues a run; nil at its start.
	State *CampaignState `json:"state,omitempty"`
}

// State of a campaign, as status shows it.
type State string

// The states.
const (
	StateRunning   State = "running"
	StatePaused    State = "paused"
	StateBaking    State = "baking"    // a wave is done, its bake time runs
	StateWaiting   State = "waiting"   // for an approval
	StateDone      State = "done"      // every zone is done or skipped
	StateEnded     State = "ended"     // closed with zones not done; resume goes on
	StateCancelled State = "cancelled" // closed by an operator
)

// Status is what a campaign shows of itself, and its result.
type Status struct {
	Campaign   string                   `json:"campaign"`
	PlanDigest string                   `json:"planDigest"`
	State      State                    `json:"state"`
	Zones      rotation.Counts          `json:"zones"`
	Hosts      rotation.HostCounts      `json:"hosts"`
	ExposureMs rotation.ExposureSummary `json:"exposureMs"`
	API        rotation.API             `json:"api"`
	StartedAt  time.Time                `json:"startedAt"`
	EndedAt    *time.Time               `json:"endedAt"`
	// Plan is the plan's name; Wave and Waves say how far, InFlight how many
	// zones hold a slot of the window.
	Plan     string `json:"plan"`
	Wave     int    `json:"wave"`
	Waves    int    `json:"waves"`
	Pages    int    `json:"pages"`
	InFlight int    `json:"inFlight"`
	Window   int    `json:"window"`
	// Rate is what set last made of the account's refreshes a second.
	Rate string `json:"rate,omitempty"`
	// Accounts are each account's part, where there are several; Window is each
	// one's own then.
	Accounts []AccountStatus `json:"accounts,omitempty"`
	// Reason is why the campaign is in this state, Next what to do about it.
	Reason    string      `json:"reason,omitempty"`
	Next      string      `json:"next,omitempty"`
	Attention []Attention `json:"attention,omitempty"`
	SetAside  []Attention `json:"setAside,omitempty"`
	Emergency string      `json:"emergency,omitempty"`
	// Drift is what was accepted at the start, Reread how many calls it took to
	// look for it.
	Drift  *AcceptedDrift `json:"drift,omitempty"`
	Reread int            `json:"reread,omitempty"`
	// Hours is what the calendar says; nil without one.
	Hours *Hours `json:"hours,omitempty"`
	Log   Log    `json:"log,omitempty"`
}

// CampaignState is what a run hands to its continuation.
type CampaignState struct {
	StartedAt time.Time      `json:"startedAt"`
	Wave      int            `json:"wave"` // index of the present wave
	Todo      []int          `json:"todo"` // pages of the present wave still to run
	Open      []PageTally    `json:"open"` // pages that ended with zones not done
	Closed    rotation.Tally `json:"closed"`
	Lanes     []Lane         `json:"lanes,omitempty"` // where there are several accounts
	Window    int            `json:"window"`          // of each account
	Budget    rotation.Budget
	Approved  []int  `json:"approved,omitempty"`
	Paused    bool   `json:"paused"`
	Breached  bool   `json:"breached,omitempty"` // paused by the budget
	Braked    bool   `json:"braked,omitempty"`   // paused by the account's brake
	Shut      bool   `json:"shut,omitempty"`     // paused by the calendar alone
	Outside   bool   `json:"outside,omitempty"`  // a person waived the present closed hours
	Rate      string `json:"rate,omitempty"`     // of refreshes, as last set
	Waived    int    `json:"waived,omitempty"`   // the wave after which health does not matter
	Notices   int    `json:"notices,omitempty"`  // sent
	Told      int    `json:"told,omitempty"`     // exposed zones that people were told of
	Reason    string `json:"reason,omitempty"`
	Seq       int    `json:"seq"`
	Log       Log    `json:"log,omitempty"`
	Describes int    `json:"describes"`
	// Mended says that a resumed run has delivered what was exposed or unknown.
	Mending bool    `json:"mending,omitempty"`
	Ran     bool    `json:"ran,omitempty"` // a page of the present wave has run: it is baked
	Mended  bool    `json:"mended,omitempty"`
	Decided Decided `json:"decided,omitzero"`
}

// PageTally is the tally of a page that is not settled, with the run of the
// shard that left it so.
type PageTally struct {
	Page  int            `json:"page"`
	Tally rotation.Tally `json:"tally"`
	Note  ShardNote      `json:"note"`
	Run   string         `json:"run,omitempty"`
	// Prior says that the failures in it are those of an earlier run.
	Prior bool `json:"prior,omitempty"`
}

// Order is what a person says to a campaign.
type Order struct {
	By     string `json:"by,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Wave is for approve: its number, 1-based.
	Wave int `json:"wave,omitempty"`
	// Zone and Host are for skip-zone and retire-host.
	Zone rotation.ZoneID   `json:"zone,omitempty"`
	Host rotation.HostName `json:"host,omitempty"`
	// Window, MaxFailed and MaxExposed are for set and resume; nil keeps.
	Window     *int `json:"window,omitempty"`
	MaxFailed  *int `json:"maxFailed,omitempty"`
	MaxExposed *int `json:"maxExposed,omitempty"`
	// Rate is for set: refreshes a second of the whole account, over all its
	// campaigns. "0" is the brake, "release" lifts it, "default" is the account's
	// own pace.
	Rate string `json:"rate,omitempty"`
	// Account is the one whose rate is set; empty is the campaign's only one.
	Account rotation.Account `json:"account,omitempty"`
	// WaiveHealth is for resume: go on although a health check is not content.
	WaiveHealth bool `json:"waiveHealth,omitempty"`
	// OutsideWindow is for resume: go on although the calendar is closed.
	OutsideWindow bool `json:"outsideWindow,omitempty"`
}

// Answer is what the campaign says to an order.
type Answer struct {
	State State `json:"state"`
	// Kept zones may have refreshed when the order came, and go on.
	Kept int    `json:"kept"`
	Text string `json:"text"`
}

// PlanValidFor is how old a plan may be when its campaign starts.
const PlanValidFor = 7 * 24 * time.Hour

// TooOld says why a plan is not to be run any more; empty when it is valid.
func TooOld(p plan.Plan, now time.Time) string {
	age := now.Sub(p.Made)
	if age <= PlanValidFor {
		return ""
	}
	return fmt.Sprintf("plan %s is %s old, and plans are valid for %s; plan again, nothing was changed", p.Digest, age.Round(time.Hour), PlanValidFor)
}

// AcceptedDrift is that a person runs a plan although live keys are not any more
// those that it has.
type AcceptedDrift struct {
	// Zones is how many drifted, of Read that were read again.
	Zones int `json:"zones"`
	Read  int `json:"read"`
	// Named are the first of them.
	Named  []plan.Difference `json:"named"`
	Reason string            `json:"reason"`
}

// String is the count and the names.
func (d AcceptedDrift) String() string {
	texts := make([]string, len(d.Named))
	for i, n := range d.Named {
		texts[i] = n.String()
	}
	if more := d.Zones - len(d.Named); more > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", more))
	}
	return fmt.Sprintf("%d of %s not as planned: %s", d.Zones, plural(d.Read, "live key"), strings.Join(texts, "; "))
}

// running is a shard under way.
type running struct {
	news    ShardNews
	window  int
	run     string
	started bool
	again   bool
	back    bool // it hands its page back, because its account's brake is on
}

type campaign struct {
	in      CampaignIn
	plan    plan.Plan
	loaded  bool // plan is
	st      *CampaignState
	shards  map[int]*running
	pages   []int // keys of shards, in the order of their start
	baking  bool
	waiting bool
	cancel  bool
	endedAt time.Time
	hours   calendar.Look
	looked  time.Time // when it was that
	telling int       // notices that have not started
	work    workflow.Context
}

// Campaign runs a plan in waves. It holds counts and never lists of zones.
func Campaign(ctx workflow.Context, in CampaignIn) (Status, error) {
	c := newCampaign(ctx, in)
	if err := c.handlers(ctx); err != nil {
		return Status{}, err
	}
	if err := c.load(); err != nil {
		return Status{}, err
	}
	c.loaded = true
	workflow.Go(ctx, c.watchCancel)
	workflow.Go(c.work, c.listen)
	c.keepHours()
	for c.nextWave() {
		if err := c.runWave(ctx); err != nil {
			return Status{}, err
		}
	}
	return c.end(ctx)
}

func newCampaign(ctx workflow.Context, in CampaignIn) *campaign {
	work, _ := workflow.NewDisconnectedContext(ctx)
	c := &campaign{in: in, work: work, shards: map[int]*running{}, st: in.State}
	if c.st == nil {
		c.st = &CampaignState{StartedAt: workflow.Now(ctx).UTC(), Wave: -1}
	}
	if c.in.Began.IsZero() {
		c.in.Began = c.st.StartedAt
	}
	return c
}

// load gets the approved plan. A continued run has its state already.
func (c *campaign) load() error {
	plan, err := loadPlanAct().do(c.work, storedOptions("the approved plan"), activities.LoadPlanIn{Workflow: PlanID(c.in.Plan), Digest: c.in.Digest})
	if err != nil {
		return temporal.NewNonRetryableApplicationError(why(err), "PlanRefused", nil)
	}
	c.plan = plan
	if c.in.State != nil {
		return nil
	}
	if old := TooOld(plan, workflow.Now(c.work)); old != "" && !c.in.Again {
		return temporal.NewNonRetryableApplicationError(old, "PlanRefused", nil)
	}
	c.st.Window, c.st.Describes = plan.Settings.Window, plan.Describes+c.in.Reread
	c.makeLanes()
	c.st.Budget, err = plan.Settings.Budget(plan.Zones)
	what := "started"
	if c.in.Again {
		what = "resumed"
	}
	c.log(what, c.in.By, c.in.Reason)
	c.announce(rotation.OnStart, fmt.Sprintf("%s by %s: %d zones in %d waves. %s", what, c.in.By, plan.Zones, len(plan.Waves), c.in.Reason))
	if c.in.Emergency != "" {
		c.log("emergency: proofs, bake times and approvals waived", c.in.By, c.in.Emergency)
	}
	if c.in.Drift != nil && !c.in.Again {
		c.log("drift accepted: "+c.in.Drift.String(), c.in.By, c.in.Drift.Reason)
	}
	c.tell()
	return err
}

// nextWave passes the gate to the next wave, or says that there is none. A
// pause is looked at before the end is.
func (c *campaign) nextWave() bool {
	if c.cancel {
		return false
	}
	if len(c.st.Todo) > 0 {
		return true // continued in the middle of a wave
	}
	if c.in.Again && !c.st.Mended {
		return c.mend()
	}
	c.pass()
	c.holdWhilePaused()
	if len(c.st.Todo) > 0 {
		return !c.cancel
	}
	if c.cancel || c.st.Wave+1 >= len(c.plan.Waves) {
		return false
	}
	c.st.Wave++
	c.awaitApproval()
	if c.cancel {
		return false
	}
	w := c.plan.Waves[c.st.Wave]
	for page := w.First; page <= w.Last; page++ {
		if !c.in.Again || c.isOpen(page) {
			c.st.Todo = append(c.st.Todo, page)
		}
	}
	c.tell()
	return true
}

// mend goes over all pages of a resumed campaign, in order to deliver what is
// exposed before anything else is done.
func (c *campaign) mend() bool {
	if c.st.Mending {
		c.st.Mended, c.st.Mending = true, false
		c.obeyHours()
		return c.nextWave()
	}
	c.st.Mending = true
	for page := range c.plan.Pages {
		c.st.Todo = append(c.st.Todo, page+1)
	}
	return true
}

func (c *campaign) isOpen(page int) bool {
	return slices.ContainsFunc(c.st.Open, func(p PageTally) bool { return p.Page == page })
}

// runWave runs the pages of the wave: an account's next shard starts when the
// last zone of the one before has started, so that stragglers do not idle the
// API.
func (c *campaign) runWave(ctx workflow.Context) error {
	for {
		_ = workflow.Await(c.work, func() bool {
			return c.cancel && len(c.shards) == 0 || !c.cancel && (c.startable() >= 0 || c.drained())
		})
		if c.cancel || c.drained() {
			return nil
		}
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			return c.continued(ctx)
		}
		next := c.startable()
		page := c.st.Todo[next]
		c.st.Todo = slices.Delete(c.st.Todo, next, next+1)
		c.st.Ran = !c.st.Mending
		c.start(page)
	}
}

func (c *campaign) drained() bool {
	return len(c.st.Todo) == 0 && len(c.shards) == 0 && !c.st.Paused || c.finished()
}

// windowLeft is the part of the account's window that running shards do not use.
func (c *campaign) windowLeft(a rotation.Account) int {
	left := c.st.Window
	for _, page := range c.pagesOf(a) {
		left -= c.slots(page)
	}
	return left
}

// slots are the places of the window that a shard may take up: all that it was
// given, until it says that it needs less.
func (c *campaign) slots(page int) int {
	r := c.shards[page]
	if !r.news.Started || r.news.Seq < c.st.Seq {
		return max(r.window, r.news.Slots)
	}
	return r.news.Slots
}

// continued hands over to a new run once nothing is under way.
func (c *campaign) continued(ctx workflow.Context) error {
	_ = workflow.Await(c.work, func() bool { return len(c.shards) == 0 && c.telling == 0 && workflow.AllHandlersFinished(ctx) })
	if c.cancel {
		return nil
	}
	next := c.in
	next.State = c.st
	return workflow.NewContinueAsNewError(ctx, TypeCampaign, next)
}

// start runs a page's shard as a child and hears its end.
func (c *campaign) start(page int) {
	before, again := c.reopen(page)
	r := &running{window: c.windowLeft(c.plan.AccountOf(page)), again: again || c.in.Again}
	r.news = ShardNews{Page: page, Seq: c.st.Seq - 1, Tally: before.Tally, Slots: r.window}
	c.shards[page] = r
	c.pages = append(c.pages, page)
	workflow.Go(c.work, func(ctx workflow.Context) {
		var out ShardOut
		err := c.runShard(ctx, page, r, before.Run, &out)
		c.landed(page, out, err)
	})
}

// reopen takes a page that an earlier shard left unsettled.
func (c *campaign) reopen(page int) (PageTally, bool) {
	for i, p := range c.st.Open {
		if p.Page == page {
			c.st.Open = slices.Delete(c.st.Open, i, i+1)
			return p, true
		}
	}
	return PageTally{}, false
}

// runShard waits for an orphan of the same page first, should there be one.
func (c *campaign) runShard(ctx workflow.Context, page int, r *running, previous string, out *ShardOut) error {
	id := ShardID(c.in.Name, page)
	for {
		if r.again && previous == "" {
			last, err := lastRunAct().do(ctx, storedOptions("the earlier run of this shard"), activities.LastRunIn{Workflow: id})
			if err != nil {
				return err
			}
			previous = last.Run
		}
		in := ShardIn{
			Campaign: c.in.Name, Account: c.plan.AccountOf(page), Plan: c.in.Plan, Page: page, Digest: c.plan.Pages[page-1],
			Window: r.window, Timing: c.plan.Settings.Timing, Emergency: c.in.Emergency, Seq: c.st.Seq,
			Again: r.again, Previous: previous, Began: c.in.Began, Mend: c.st.Mending, Decided: c.st.Decided, ClosesAt: c.closesAt(),
		}
		summary := shardSummary(in, len(c.plan.Pages), c.st.Wave+1, len(c.plan.Waves))
		if len(c.st.Lanes) > 0 {
			summary += ", for account " + string(in.Account)
		}
		o := childPolicy(id, summary)
		o.TypedSearchAttributes = Searchable(c.in.Name, "", "")
		child := workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, o), TypeShard, in)
		var started workflow.Execution
		err := child.GetChildWorkflowExecution().Get(ctx, &started)
		if err == nil {
			r.run, r.started = started.RunID, true
			if c.st.Paused || c.cancel {
				c.order(Control{Stop: true, Close: c.cancel})
			} else if r.back {
				c.sendBack(page)
			}
			return child.Get(ctx, out)
		}
		if !temporal.IsWorkflowExecutionAlreadyStartedError(err) {
			return err
		}
		if _, err := awaitAct().do(ctx, longOptions("an earlier shard that still delivers", c.plan.Settings.Timing), activities.AwaitIn{Workflow: id, Campaign: c.in.Name, Attr: AttrCampaign}); err != nil {
			return err
		}
		r.again, previous = true, ""
	}
}

// landed takes a shard's end, however it ended.
func (c *campaign) landed(page int, out ShardOut, err error) {
	r := c.shards[page]
	delete(c.shards, page)
	c.pages = slices.DeleteFunc(c.pages, func(p int) bool { return p == page })
	if err != nil {
		out.Tally, out.Note = r.news.Tally, r.news.Note
	}
	if err == nil && out.Tally.Zones.Settled() && out.Tally.Zones.Total > 0 {
		c.st.Closed = c.st.Closed.Plus(out.Tally)
		if l := c.lane(c.plan.AccountOf(page)); l != nil {
			l.Zones, l.API = l.Zones.Plus(out.Tally.Zones), l.API.Plus(out.Tally.API)
		}
	} else {
		if r.back {
			c.st.Todo = slices.Insert(c.st.Todo, 0, page)
		}
		c.st.Open = append(c.st.Open, PageTally{Page: page, Tally: out.Tally, Note: out.Note, Run: r.run, Prior: c.st.Mending})
	}
	if err != nil && !c.held() && !c.cancel {
		c.pause(fmt.Sprintf("shard %d ended without a result (%s); resume looks its zones up", page, why(err)))
	}
	c.check(page, out.Note)
	c.widen(c.plan.AccountOf(page))
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
		c.announceExposed()
		c.check(n.Page, n.Note)
		c.letGo(n)
		c.tell()
	}
}

// widen gives the slots of a shard that ended to the one of its account that
// admits zones.
func (c *campaign) widen(a rotation.Account) {
	pages := c.pagesOf(a)
	if len(pages) == 0 || c.st.Paused || c.cancel {
		return
	}
	page := pages[len(pages)-1]
	r := c.shards[page]
	if room := c.windowLeft(a) + c.slots(page); r.started && room > r.window {
		c.signal(page, Control{Seq: c.st.Seq, Window: room})
	}
}

// check pauses the campaign when the budget is exhausted or every zone would
// fail alike. What is about to be tried again does not count.
func (c *campaign) check(page int, note ShardNote) {
	if c.held() || c.cancel {
		return
	}
	if note.Halt != "" {
		of := ""
		if len(c.st.Lanes) > 0 {
			of = " of account " + string(c.plan.AccountOf(page))
		}
		c.pause("stopped, because every zone" + of + " would fail alike: " + note.Halt)
		return
	}
	if breach := c.st.Budget.Breach(c.judged()); breach != "" {
		c.st.Breached = true
		c.pause(breach)
	}
}

// reason is why the campaign is paused. A breach is told by what is so now.
func (c *campaign) reason() string {
	if c.st.Reason == "" && c.endedAt.IsZero() && !c.cancel {
		return c.braked()
	}
	if !c.st.Breached {
		return c.st.Reason
	}
	if now := c.st.Budget.Breach(c.judged()); now != "" {
		return now
	}
	return c.st.Reason + "; by now it is kept again"
}

// judged is what the budget is held against.
func (c *campaign) judged() rotation.Counts {
	var counts rotation.Counts
	for _, p := range c.st.Open {
		if !slices.Contains(c.st.Todo, p.Page) && !p.Prior {
			counts = counts.Plus(p.Tally.Zones)
		}
	}
	for _, page := range c.pages {
		if n := c.shards[page].news; n.Seq >= c.st.Seq {
			counts = counts.Plus(n.Tally.Zones).Minus(n.Mending)
		}
	}
	return counts
}

// pause stops every shard; the campaign waits for a person.
func (c *campaign) pause(reason string) {
	c.st.Paused, c.st.Shut, c.st.Reason = true, false, reason
	c.log("paused", "", reason)
	c.announce(rotation.OnStop, "it paused itself: "+reason)
	c.order(Control{Stop: true})
	c.tell()
}

// order tells all running shards, under a new number.
func (c *campaign) order(o Control) {
	c.st.Seq++
	for _, a := range c.accounts() {
		c.orderTo(c.pagesOf(a), o)
	}
}

// orderTo tells the shards of one account. Those that admit zones at the same
// time share what is left of its window; one that hands its page back goes on
// doing so.
func (c *campaign) orderTo(pages []int, o Control) {
	left := c.st.Window
	for _, page := range pages {
		left -= c.shards[page].news.Slots
	}
	for i, page := range pages {
		r := c.shards[page]
		if r.back {
			c.sendBack(page)
			continue
		}
		o.Seq, o.Window = c.st.Seq, r.window
		if o.Retry {
			share := max(0, left) / (len(pages) - i)
			left -= share
			o.Window = r.news.Slots + share
		}
		c.signal(page, o)
	}
}

func (c *campaign) signal(page int, o Control) {
	r := c.shards[page]
	r.window = o.Window
	o.ClosesAt = c.closesAt()
	if r.started {
		workflow.SignalExternalWorkflow(c.work, ShardID(c.in.Name, page), r.run, SignalControl, o)
	}
}

// quiet says that every running shard has carried out the last order.
func (c *campaign) quiet() bool {
	for _, page := range c.pages {
		if n := c.shards[page].news; n.Seq < c.st.Seq || !n.Quiet {
			return false
		}
	}
	return true
}

func (c *campaign) kept() int {
	n := 0
	for _, page := range c.pages {
		n += c.shards[page].news.Kept
	}
	return n
}

// resume goes on: running shards retry what is not done, and pages that ended
// so run again, first.
func (c *campaign) resume() {
	c.st.Paused, c.st.Shut, c.st.Breached, c.st.Braked, c.st.Reason = false, false, false, false, ""
	if c.shut() {
		c.close()
		return
	}
	slices.SortStableFunc(c.st.Open, func(a, b PageTally) int { return b.Tally.Zones.Exposed - a.Tally.Zones.Exposed })
	var again []int
	for _, p := range c.st.Open {
		if !slices.Contains(c.st.Todo, p.Page) {
			again = append(again, p.Page)
		}
	}
	c.st.Todo = append(again, c.st.Todo...)
	c.order(Control{Retry: true})
	c.tell()
}

// watchCancel makes a cancel from the Temporal UI the same as one by update.
func (c *campaign) watchCancel(ctx workflow.Context) {
	ctx.Done().Receive(ctx, nil)
	c.cancelBy("", "cancelled in Temporal")
}

func (c *campaign) cancelBy(by, reason string) {
	if c.cancel {
		return
	}
	c.cancel = true
	c.log("cancelled", by, reason)
	c.order(Control{Stop: true, Close: true})
	c.tell()
}

func (c *campaign) end(ctx workflow.Context) (Status, error) {
	_ = workflow.Await(c.work, func() bool { return len(c.shards) == 0 && c.telling == 0 && workflow.AllHandlersFinished(ctx) })
	c.endedAt = workflow.Now(ctx).UTC()
	status := c.status()
	c.log(string(status.State), "", "")
	c.announce(rotation.OnEnd, fmt.Sprintf("%s: %d of %d zones done, %d exposed, %d unknown, %d unchanged, %d pending, %d skipped",
		status.State, status.Zones.Done, status.Zones.Total, status.Zones.Exposed, status.Zones.Unknown, status.Zones.Unchanged, status.Zones.Pending, status.Zones.Skipped))
	_ = workflow.Await(c.work, func() bool { return c.telling == 0 })
	_ = workflow.UpsertTypedSearchAttributes(c.work, keyword(AttrOutcome, string(status.State)))
	c.tell()
	return c.status(), nil
}

func (c *campaign) log(what, by, reason string) {
	c.st.Log.Add(Entry{At: workflow.Now(c.work).UTC(), What: what, By: by, Reason: reason})
}

// tally adds up everything; zones of pages that have not run yet are pending.
func (c *campaign) tally() rotation.Tally {
	t := c.st.Closed
	for _, p := range c.st.Open {
		t = t.Plus(p.Tally)
	}
	for _, page := range c.pages {
		t = t.Plus(c.shards[page].news.Tally)
	}
	if rest := c.plan.Zones - t.Zones.Total; rest > 0 {
		t.Zones = t.Zones.Plus(rotation.NewCounts(rest))
	}
	t.Hosts.Total = c.plan.Pairs
	return t
}

func (c *campaign) state(counts rotation.Counts) State {
	switch {
	case !c.endedAt.IsZero() && counts.Settled():
		return StateDone
	case !c.endedAt.IsZero() && c.cancel:
		return StateCancelled
	case !c.endedAt.IsZero():
		return StateEnded
	case c.st.Paused && !(c.st.Shut && c.waiting), c.stalled():
		return StatePaused
	case c.baking:
		return StateBaking
	case c.waiting:
		return StateWaiting
	}
	return StateRunning
}

func (c *campaign) status() Status {
	t := c.tally()
	s := Status{
		Campaign: c.in.Name, PlanDigest: c.in.Digest, Zones: t.Zones, Hosts: t.Hosts,
		ExposureMs: t.Exposures.Summary(), API: t.API, StartedAt: c.st.StartedAt,
		Plan: c.in.Plan, Wave: c.st.Wave + 1, Waves: len(c.plan.Waves), Pages: len(c.plan.Pages),
		Window: c.st.Window, Rate: c.st.Rate, Accounts: c.accountStatus(), Reason: c.reason(), Emergency: c.in.Emergency, Drift: c.in.Drift, Reread: c.in.Reread, Hours: c.opening(), Log: c.st.Log,
	}
	s.API.Describe += c.st.Describes
	s.State = c.state(t.Zones)
	if !c.endedAt.IsZero() {
		s.EndedAt = &c.endedAt
	}
	for _, p := range c.st.Open {
		s.Attention, s.SetAside = append(s.Attention, p.Note.Attention...), append(s.SetAside, p.Note.SetAside...)
	}
	for _, page := range c.pages {
		n := c.shards[page].news
		s.InFlight += n.InFlight
		s.Attention, s.SetAside = append(s.Attention, n.Note.Attention...), append(s.SetAside, n.Note.SetAside...)
	}
	s.Attention = s.Attention[:min(len(s.Attention), 2*maxAttention)]
	s.SetAside = s.SetAside[:min(len(s.SetAside), 2*maxAttention)]
	if s.Next = next(s); s.State == StatePaused && !c.st.Paused {
		s.Next = c.release()
	}
	return s
}

// next is the command that a person would use now.
func next(s Status) string {
	switch s.State {
	case StateWaiting:
		return fmt.Sprintf("keywave campaign approve %s --wave %d --reason \"…\"", s.Campaign, s.Wave)
	case StatePaused:
		if s.Shut() {
			return fmt.Sprintf("wait, it goes on by itself; at once: keywave campaign resume %s --outside-window --reason \"…\"", s.Campaign)
		}
		return "mend what is named above, then: keywave campaign resume " + s.Campaign
	case StateEnded, StateCancelled:
		return "keywave campaign resume " + s.Campaign
	case StateDone:
		return "keywave campaign report " + s.Campaign
	case StateRunning, StateBaking:
	}
	return ""
}

func (c *campaign) tell() {
	workflow.SetCurrentDetails(c.work, campaignDetails(c.status(), workflow.Now(c.work)))
}
