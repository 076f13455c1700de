package workflows

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

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
	// Also is what a person accepted of zones that others have, or that were rotated
	// just now.
	Also *AlsoRotated `json:"also,omitempty"`
	// Reread counts the calls that read live keys again before the start, RereadBy
	// those of each account.
	Reread   int                      `json:"reread,omitempty"`
	RereadBy map[rotation.Account]int `json:"rereadBy,omitempty"`
	// Again says that this run goes on with what an earlier, closed run of the
	// campaign left; Previous is that run.
	Again    bool   `json:"again,omitempty"`
	Previous string `json:"previous,omitempty"`
	// Began is when the campaign's first run began; zero in that run.
	Began time.Time `json:"began,omitzero"`
	// Hours is a calendar that it obeys beside its plan's.
	Hours calendar.Spec `json:"hours,omitzero"`
	// Outside lets it begin while the calendar is closed, because a person said
	// so.
	Outside bool `json:"outside,omitempty"`
	// State continues a run; nil at its start.
	State *CampaignState `json:"state,omitempty"`
}

// CampaignState is what a run hands to its continuation.
type CampaignState struct {
	// Plan is the approved one, without its findings.
	Plan      *plan.Plan        `json:"plan,omitempty"`
	StartedAt time.Time         `json:"startedAt"`
	Steering  rotation.Steering `json:"steering"`
	Todo      []int             `json:"todo"` // pages of the present wave still to run
	Open      []PageTally       `json:"open"` // pages that ended with zones not done
	Closed    rotation.Tally    `json:"closed"`
	Lanes     []Lane            `json:"lanes"`  // one for each account
	Window    int               `json:"window"` // of each account
	Budget    rotation.Budget   `json:"budget"`
	// Gate is the next gate behind the wave that has run; empty when all of them
	// are passed.
	Gate Gate `json:"gate,omitempty"`
	// GoOutside says that a person's permission to run outside the hours still
	// counts.
	GoOutside bool `json:"goOutside,omitempty"`
	// Asked is since when a person is asked for an approval.
	Asked     time.Time `json:"asked,omitzero"`
	Notices   int       `json:"notices,omitempty"` // sent
	Told      int       `json:"told,omitempty"`    // exposed zones that people were told of
	Seq       int       `json:"seq"`               // of the latest order to the shards
	Log       Log       `json:"log,omitempty"`
	Describes int       `json:"describes"`
	// Mended says that a resumed run has delivered what was exposed or unknown.
	Mended  bool    `json:"mended,omitempty"`
	Decided Decided `json:"decided,omitzero"`
	// Settled are the pages whose zones are all done or skipped.
	Settled []int `json:"settled,omitempty"`
	// Complete says that a page which is neither open nor settled, and has no shard, has
	// never had one, in any run of the campaign.
	Complete bool `json:"complete,omitempty"`
	// Surprised counts the zones of those pages that had keys which nobody knew;
	// PastTold says that a person let the campaign go on although there were many.
	Surprised int  `json:"surprised,omitempty"`
	PastTold  bool `json:"pastTold,omitempty"`
}

// PageTally is the tally of a page that is not settled, with the run of the
// shard that left it so.
type PageTally struct {
	Page  int            `json:"page"`
	Tally rotation.Tally `json:"tally"`
	Note  ShardNote      `json:"note"`
	Run   string         `json:"run,omitempty"`
	// Past is what is remembered of each zone.
	Past rotation.Past `json:"past,omitempty"`
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
	return fmt.Sprintf("plan %s is %s old, and plans are valid for %s; plan again, nothing was changed (a zone that is exposed: keywave zone repair)", p.Digest, age.Round(time.Hour), PlanValidFor)
}

// AcceptedDrift says that a person runs a plan although live keys changed after it
// was made.
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
	return fmt.Sprintf("%d of %s changed since the plan was made: %s", d.Zones, plural(d.Read, "live key"), strings.Join(texts, "; "))
}

// AlsoRotated says that a person runs a plan although another campaign has some of its
// zones, or they were rotated just now.
type AlsoRotated struct {
	Zones int `json:"zones"`
	// Texts say who has which.
	Texts  []string `json:"texts"`
	Reason string   `json:"reason"`
}

// String is the count and who has them.
func (a AlsoRotated) String() string {
	return plural(a.Zones, "zone") + " that others have too, or had just now: " + strings.Join(a.Texts, "; ")
}

// running is a shard under way.
type running struct {
	news    ShardNews
	run     string
	started bool
	again   bool
	abandon func() // gives up a shard that has not started
}

type campaign struct {
	in      CampaignIn
	plan    plan.Plan
	loaded  bool // the plan is loaded
	st      *CampaignState
	shards  map[int]*running
	pages   []int // keys of shards, in the order of their start
	windows map[rotation.Account]*rotation.Slots[int]
	endedAt time.Time
	shown   State // what the list of workflows shows
	hours   calendar.Look
	looked  time.Time // when the calendar said that
	telling int       // notices that have not started
	pauses  int       // reasons to be paused that this run counted
	// endLines ends the lines on the timeline.
	endLines func()
	work     workflow.Context
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
	workflow.Go(c.work, c.watchStall)
	c.drawTimeline()
	c.mend()
	c.keepHours()
	if err := c.story(ctx); err != nil {
		return Status{}, err
	}
	return c.end(ctx)
}

// story runs wave after wave. At any moment, pages that a resume brings back run
// before anything else.
func (c *campaign) story(ctx workflow.Context) error {
	for {
		if err := c.runPages(ctx); err != nil {
			return err
		}
		c.waitWhileHeld()
		switch {
		case c.st.Steering.Cancelled:
			return nil
		case len(c.st.Todo) > 0 || !c.passGates():
		case c.st.Steering.Wave >= len(c.plan.Waves):
			return nil
		default:
			c.beginWave()
		}
	}
}

func newCampaign(ctx workflow.Context, in CampaignIn) *campaign {
	work, _ := workflow.NewDisconnectedContext(ctx)
	c := &campaign{in: in, work: work, shards: map[int]*running{}, windows: map[rotation.Account]*rotation.Slots[int]{}, st: in.State}
	if c.st == nil {
		c.st = &CampaignState{StartedAt: workflow.Now(ctx).UTC()}
	}
	if c.in.Began.IsZero() {
		c.in.Began = c.st.StartedAt
	}
	return c
}

// load gets the approved plan. A continued run has its state already.
func (c *campaign) load() error {
	if c.in.Again && c.in.State == nil {
		if err := c.inherit(); err != nil {
			return temporal.NewNonRetryableApplicationError(why(err), "PlanRefused", nil)
		}
	}
	if err := c.loadPlan(); err != nil || c.in.State != nil {
		return err
	}
	if old := TooOld(c.plan, workflow.Now(c.work)); old != "" {
		return temporal.NewNonRetryableApplicationError(old, "PlanRefused", nil)
	}
	return c.begin()
}

// begin makes the state of a campaign's first run.
func (c *campaign) begin() error {
	settings := c.plan.Settings
	if c.st.Window = settings.Window; len(c.st.Lanes) == 0 {
		c.st.Describes = c.plan.Describes + c.in.Reread
		c.makeLanes()
	}
	c.st.Steering = rotation.NewSteering(c.plan.Owners(), len(c.plan.Waves), settings.Approve, c.in.Emergency != "")
	budget, err := settings.Budget(c.plan.Zones)
	if err != nil {
		return temporal.NewNonRetryableApplicationError(err.Error(), "PlanRefused", nil)
	}
	c.st.Budget = budget
	what := "started"
	if c.in.Again {
		what = "resumed"
	} else {
		c.st.Complete = true
	}
	back := ""
	if c.plan.Undoes != "" {
		back = "; it " + plan.PutsBack(c.plan.Undoes)
	}
	c.log(what+back, c.in.By, c.in.Reason)
	c.announce(rotation.OnStart, fmt.Sprintf("%s by %s: %d zones in %d waves%s. %s", what, c.in.By, c.plan.Zones, len(c.plan.Waves), back, c.in.Reason))
	if c.in.Emergency != "" {
		c.log("emergency: proofs, bake times and approvals waived", c.in.By, c.in.Emergency)
	}
	if c.in.Drift != nil && !c.in.Again {
		c.log("drift accepted: "+c.in.Drift.String(), c.in.By, c.in.Drift.Reason)
	}
	if c.in.Also != nil && !c.in.Again {
		c.log("also rotated, accepted: "+c.in.Also.String(), c.in.By, c.in.Also.Reason)
	}
	c.tell()
	return nil
}

// mend lets a resumed campaign go over all pages that may have had a shard, and deliver
// what is exposed, before it does anything else.
func (c *campaign) mend() {
	if !c.in.Again || c.st.Mended || c.mending() {
		return
	}
	c.take(rotation.Happening{On: rotation.EventMend})
	for page := range c.plan.Pages {
		if !slices.Contains(c.st.Settled, page+1) && !c.untouched(page+1) {
			c.st.Todo = append(c.st.Todo, page+1)
		}
	}
}

func (c *campaign) mending() bool { return c.st.Steering.Stage == rotation.StageMending }

// beginWave lines up the pages of the next wave, once nobody has to approve it.
func (c *campaign) beginWave() {
	if !c.st.Steering.IsApproved(c.st.Steering.Wave + 1) {
		c.awaitApproval()
		return
	}
	c.take(rotation.Happening{On: rotation.EventWave})
	w := c.plan.Waves[c.st.Steering.Wave-1]
	for page := w.First; page <= w.Last; page++ {
		if !c.in.Again || c.isOpen(page) || c.untouched(page) {
			c.st.Todo = append(c.st.Todo, page)
		}
	}
	c.tell()
}

// take gives an order or an event to the steering, and the shards their orders.
func (c *campaign) take(h rotation.Happening) {
	h.At = workflow.Now(c.work).UTC()
	had := slices.Clone(c.st.Steering.Reasons)
	c.follow(c.st.Steering.Take(h))
	c.countPauses(had)
}

// pauseFor pauses for a reason that no person gave, logs it and tells people.
func (c *campaign) pauseFor(on rotation.Input, a rotation.Account, why string) {
	before := len(c.st.Steering.Reasons)
	c.take(rotation.Happening{On: on, Account: a, Why: why})
	if len(c.st.Steering.Reasons) == before {
		return
	}
	c.log("paused", "", why)
	c.announce(rotation.OnStop, "it paused itself: "+why)
	c.tell()
}

// waitWhileHeld waits until no reason to pause is left. While only the calendar is
// closed, it asks for an approval that is due.
func (c *campaign) waitWhileHeld() {
	s := &c.st.Steering
	_ = workflow.Await(c.work, func() bool {
		asks := s.ByItself() && len(c.st.Todo) == 0 && c.st.Gate == "" && s.Wave < s.Waves && !s.IsApproved(s.Wave+1)
		return !s.Held() || s.Cancelled || c.finished() || asks
	})
}

// finished says that nothing is left to do for which a calendar would have to
// open, or a brake to go off.
func (c *campaign) finished() bool {
	held := slices.ContainsFunc(c.st.Steering.Reasons, func(r rotation.PauseReason) bool {
		return r.Kind != rotation.PauseCalendar && r.Kind != rotation.PauseBrake
	})
	return !held && c.drained() && len(c.st.Open) == 0 && c.st.Steering.Wave == len(c.plan.Waves)
}

// check pauses the campaign when the budget is exhausted or every zone would
// fail alike. What is about to be tried again does not count.
func (c *campaign) check(page int, note ShardNote) {
	if c.st.Steering.Cancelled {
		return
	}
	if note.Halt != "" {
		of := ""
		if len(c.plan.Owners()) > 1 {
			of = " of account " + string(c.plan.AccountOf(page))
		}
		c.pauseFor(rotation.EventHalted, "", "stopped, because every zone"+of+" would fail alike: "+note.Halt)
	}
	c.checkPast()
	if breach := c.st.Budget.Breach(c.judged()); breach != "" {
		c.pauseFor(rotation.EventBreach, "", breach)
	}
}

// judged are the counts that are compared with the budget.
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

// watchCancel makes a cancel from the Temporal UI the same as one by update.
func (c *campaign) watchCancel(ctx workflow.Context) {
	ctx.Done().Receive(ctx, nil)
	c.cancelBy("", "cancelled in Temporal")
}

func (c *campaign) cancelBy(by, reason string) {
	if c.st.Steering.Cancelled {
		return
	}
	c.log("cancelled", by, reason)
	c.take(rotation.Happening{On: rotation.OrderCancel, By: by, Why: reason})
	c.tell()
}

func (c *campaign) end(ctx workflow.Context) (Status, error) {
	_ = workflow.Await(c.work, func() bool { return len(c.shards) == 0 && c.telling == 0 && workflow.AllHandlersFinished(ctx) })
	c.endedAt = workflow.Now(ctx).UTC()
	c.take(rotation.Happening{On: rotation.EventEnds})
	c.endLines()
	status := c.status()
	c.log(string(status.State), "", "")
	c.announce(rotation.OnEnd, fmt.Sprintf("%s: %s", status.State, countsInWords(status.Zones)))
	_ = workflow.Await(c.work, func() bool { return c.telling == 0 })
	_ = workflow.UpsertTypedSearchAttributes(c.work, keyword(AttrOutcome, string(status.State)))
	c.tell()
	return c.status().closes()
}

func (c *campaign) log(what, by, reason string) {
	c.st.Log.Add(Entry{At: workflow.Now(c.work).UTC(), What: what, By: by, Reason: reason})
}

// tell shows people the present state, in the details of the workflow and in the
// list of workflows.
func (c *campaign) tell() {
	s := c.status()
	show(c.work, campaignDetails(s, workflow.Now(c.work)))
	if s.State != c.shown {
		c.shown = s.State
		_ = workflow.UpsertTypedSearchAttributes(c.work, keyword(AttrOutcome, string(s.State)))
	}
}
