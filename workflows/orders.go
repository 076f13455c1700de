package workflows

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"keywave/activities"
	"keywave/internal/rotation"
)

// handlers registers queries and updates. The state is ready before that, except for
// the plan: an update can arrive with the first workflow task.
func (c *campaign) handlers(ctx workflow.Context) error {
	updates := []struct {
		name, about string
		handle      func(workflow.Context, Order) (Answer, error)
		check       func(Order) error
	}{
		{UpdatePause, "Start no further refresh. Answers when every refresh not yet started is provably cancelled; zones that may have refreshed go on, and are counted. Input: {\"reason\": \"…\"}", c.onPause, c.checkPause},
		{UpdateResume, "Go on with whatever is not done; maxFailed and maxExposed may be raised with it. Input: {\"reason\": \"…\", \"maxExposed\": 1}", c.onResume, c.checkResume},
		{UpdateApprove, "Let a wave that waits for a person begin. Input: {\"wave\": 2, \"by\": \"your name\", \"reason\": \"…\"}", c.onApprove, c.checkApprove},
		{UpdateCancel, "End the campaign: like pause, and then close it. resume can go on later. Input: {\"reason\": \"…\"}", c.onCancel, c.checkCancel},
		{UpdateSkip, "Exclude one zone, with a reason. One that is exposed is not delivered any more. Input: {\"zone\": \"zone-…\", \"reason\": \"…\"}", c.onSkip, c.checkSkip},
		{UpdateRetire, "Take a host that will never answer out of all zones of this campaign, or of one. Input: {\"host\": \"…\", \"reason\": \"…\"}", c.onRetire, c.checkRetire},
		{UpdateSet, "Change window, maxFailed, maxExposed, or the account's rate of refreshes (\"0\" is the brake, \"release\" lifts it, \"default\" is the account's own pace). Input: {\"window\": 10, \"reason\": \"…\"}", c.onSet, c.checkSet},
	}
	for _, u := range updates {
		handle := func(ctx workflow.Context, o Order) (Answer, error) {
			if err := c.loadedFirst(ctx, o, u.check); err != nil {
				return Answer{}, err
			}
			return u.handle(ctx, o)
		}
		err := workflow.SetUpdateHandlerWithOptions(ctx, u.name, handle, workflow.UpdateHandlerOptions{
			Validator: func(_ workflow.Context, o Order) error {
				if err := o.checkWords(); err != nil || !c.loaded {
					return err
				}
				return u.check(o)
			},
			Description: u.about,
		})
		if err != nil {
			return err
		}
	}
	if err := c.handleState(ctx); err != nil {
		return err
	}
	return workflow.SetQueryHandlerWithOptions(ctx, QueryStatus, func() (Status, error) { return c.status(), nil },
		workflow.QueryHandlerOptions{Description: "Counts, exposure, calls, state, reason and the next command."})
}

// loadedFirst lets an order wait until the plan is loaded, and checks it then. Before
// that nobody knows which waves need an approval, and a window that is set would be lost.
func (c *campaign) loadedFirst(ctx workflow.Context, o Order, check func(Order) error) error {
	if c.loaded {
		return nil
	}
	if err := workflow.Await(ctx, func() bool { return c.loaded }); err != nil {
		return err
	}
	if err := check(o); err != nil {
		return temporal.NewNonRetryableApplicationError(err.Error(), "OrderRefused", nil)
	}
	return nil
}

// pausedByOperator begins the reason of a pause that a person ordered.
const pausedByOperator = "paused by an operator"

func (c *campaign) onPause(ctx workflow.Context, o Order) (Answer, error) {
	text := pausedByOperator
	if o.Reason != "" {
		text += ": " + o.Reason
	}
	c.log("paused", o.By, o.Reason)
	c.take(rotation.Happening{On: rotation.OrderPause, By: o.By, Why: text})
	c.tell()
	return c.stopped(ctx, "paused")
}

// answersWithin is how long a pause or a cancel waits for the shards. They need
// seconds, unless the worker of a refresh was lost or there is no worker.
const answersWithin = 30 * time.Second

// stopped waits until every refresh that had not started is cancelled.
func (c *campaign) stopped(ctx workflow.Context, what string) (Answer, error) {
	quiet, err := awaitWithin(ctx, answersWithin, "until the shards confirm that no refresh can start", c.quiet)
	if err != nil {
		return Answer{}, err
	}
	kept := c.kept()
	text := what + "; no refresh is under way and none can start"
	switch {
	case !quiet:
		text = fmt.Sprintf("%s; nothing further is started, but within %s %s did not confirm that every queued refresh is cancelled; ask again: keywave campaign status %s",
			what, answersWithin, plural(len(c.unquiet()), "shard"), c.in.Name)
	case kept > 0:
		text = fmt.Sprintf("%s; no refresh can start any more; %d zones may have refreshed and go on until their hosts hold the live key", what, kept)
	}
	return Answer{State: c.status().State, Kept: kept, Text: text}, nil
}

// resumeOf is the kind of resume that a person asks for.
func resumeOf(o Order) rotation.Input {
	switch {
	case o.OutsideWindow:
		return rotation.OrderOutside
	case o.WaiveHealth:
		return rotation.OrderWaive
	}
	return rotation.OrderResume
}

func (c *campaign) onResume(_ workflow.Context, o Order) (Answer, error) {
	c.adjust(o)
	c.log("resumed", o.By, o.Reason)
	if o.WaiveHealth {
		c.log(fmt.Sprintf("waived the health checks after wave %d", c.st.Steering.Wave), o.By, o.Reason)
	}
	if o.OutsideWindow {
		c.log("goes on although "+c.hours.Why, o.By, o.Reason)
	}
	if o.Window != nil && has(c.work, versionResumeWindow) {
		c.resize()
	}
	c.toldOfPast()
	c.take(rotation.Happening{On: resumeOf(o), By: o.By, Why: o.Reason})
	c.tell()
	return Answer{State: c.status().State, Text: c.resumed()}, nil
}

// resumed says what a resume did, and names the reasons to pause that are left.
func (c *campaign) resumed() string {
	s := &c.st.Steering
	switch reasons := c.reasons(); {
	case len(reasons) > 0 && s.ByItself():
		return "resumed, and waits: " + reasons
	case len(reasons) > 0:
		return "resumed, but still paused: " + reasons
	case s.Stage == rotation.StageApproval && len(c.st.Todo) > 0:
		return fmt.Sprintf("the zones of earlier waves that are not done are tried again; wave %d still waits for its approval", s.Wave+1)
	case s.Stage == rotation.StageApproval:
		return fmt.Sprintf("nothing of the earlier waves is left to do; wave %d waits for its approval", s.Wave+1)
	}
	return "resumed"
}

func (c *campaign) onApprove(_ workflow.Context, o Order) (Answer, error) {
	c.log(approvedWave(o.Wave), o.By, o.Reason)
	c.take(rotation.Happening{On: rotation.OrderApprove, Wave: o.Wave, By: o.By, Why: o.Reason})
	return Answer{State: c.status().State, Text: fmt.Sprintf("wave %d is approved", o.Wave)}, nil
}

func (c *campaign) onCancel(ctx workflow.Context, o Order) (Answer, error) {
	c.cancelBy(o.By, o.Reason)
	return c.stopped(ctx, "cancelled")
}

func (c *campaign) onSet(ctx workflow.Context, o Order) (Answer, error) {
	if o.Rate != "" {
		if err := c.setRate(ctx, o); err != nil {
			return Answer{}, err
		}
	}
	if o.Window != nil || o.MaxFailed != nil || o.MaxExposed != nil {
		c.adjust(o)
		c.log(fmt.Sprintf("set window %d, maxFailed %d, maxExposed %d", c.st.Window, c.st.Budget.MaxFailed, c.st.Budget.MaxExposed), o.By, o.Reason)
	}
	c.resize()
	c.tell()
	return Answer{State: c.status().State, Text: "set"}, nil
}

// setRate limits an account's refreshes, of all campaigns. The brake holds the
// account's zones besides, so that nothing waits in the queue until its proofs
// are old.
func (c *campaign) setRate(ctx workflow.Context, o Order) error {
	account := cmp.Or(o.Account, c.plan.Owners()[0])
	perSecond, err := ParseRate(o.Rate)
	if err != nil {
		return err
	}
	out, err := rateAct().do(ctx, storedOptions("refreshes a second of account "+string(account)+": "+o.Rate), activities.RateIn{
		Namespace: workflow.GetInfo(ctx).Namespace, Queue: RefreshQueue(account), Account: account,
		PerSecond: perSecond, Release: o.Rate == RateRelease, By: o.By, Reason: o.Reason,
	})
	if err != nil {
		return temporal.NewNonRetryableApplicationError(why(err), "RateRefused", nil)
	}
	rate := RateText(out.PerSecond)
	what := fmt.Sprintf("set the rate of account %s to %s", account, rate)
	if o.Rate == RateRelease {
		what = fmt.Sprintf("released the brake of account %s; its rate is %s", account, rate)
	}
	c.log(what, o.By, o.Reason)
	if out.PerSecond != nil && *out.PerSecond == 0 {
		c.pauseFor(rotation.EventBrakeOn, account, o.Reason)
		return nil
	}
	c.take(rotation.Happening{On: rotation.EventBrakeOff, Account: account, By: o.By, Why: o.Reason})
	return nil
}

// RateDefault is the account's own pace; RateRelease lifts the brake alone, and
// the rate that was set before it stands again.
const (
	RateDefault = "default"
	RateRelease = "release"
)

// RateText is a rate as people set it.
func RateText(perSecond *float32) string {
	if perSecond == nil {
		return RateDefault
	}
	return strconv.FormatFloat(float64(*perSecond), 'g', -1, 32)
}

// ParseRate reads a rate of refreshes: nil is the account's own pace.
func ParseRate(s string) (*float32, error) {
	if s == RateDefault || s == RateRelease {
		return nil, nil
	}
	f, err := strconv.ParseFloat(s, 32)
	if err != nil || math.IsNaN(f) || f < 0 || f > 1000 {
		return nil, fmt.Errorf("rate %q is neither a number from 0 to 1000 nor \"default\"", s)
	}
	rate := float32(f)
	return &rate, nil
}

func (c *campaign) onSkip(_ workflow.Context, o Order) (Answer, error) {
	c.st.Decided.Skipped = append(c.st.Decided.Skipped, Skipped{Zone: o.Zone, By: o.By, Reason: o.Reason})
	c.log(skippedZone+string(o.Zone), o.By, o.Reason)
	c.tellDecided()
	return Answer{State: c.status().State, Text: fmt.Sprintf("zone %s is skipped", o.Zone)}, nil
}

func (c *campaign) onRetire(_ workflow.Context, o Order) (Answer, error) {
	c.st.Decided.Retired = append(c.st.Decided.Retired, Retired{Host: o.Host, Zone: o.Zone, By: o.By, Reason: o.Reason})
	c.log("retired host "+string(o.Host)+" "+string(o.Zone), o.By, o.Reason)
	c.tellDecided()
	return Answer{State: c.status().State, Text: fmt.Sprintf("host %s is retired; zones that waited for it alone go on", o.Host)}, nil
}

// tellDecided tells the running shards; pages that ended are told when they
// run again.
func (c *campaign) tellDecided() {
	for _, page := range c.pages {
		c.keep(page, Control{Decided: &c.st.Decided})
	}
	c.tell()
}

func (c *campaign) checkSkip(o Order) error {
	if o.Zone == "" || o.Reason == "" {
		return errors.New("name the zone and the reason")
	}
	return c.checkOpen(o)
}

func (c *campaign) checkRetire(o Order) error {
	if o.Host == "" || o.Reason == "" {
		return errors.New("name the host and the reason")
	}
	return c.checkOpen(o)
}

func (c *campaign) adjust(o Order) {
	for _, a := range []struct{ to, from *int }{
		{&c.st.Window, o.Window}, {&c.st.Budget.MaxFailed, o.MaxFailed}, {&c.st.Budget.MaxExposed, o.MaxExposed},
	} {
		if a.from != nil {
			*a.to = *a.from
		}
	}
}

func (c *campaign) checkOpen(Order) error {
	return c.refuses(rotation.Happening{On: rotation.OrderSet})
}

func (c *campaign) checkCancel(Order) error {
	return c.refuses(rotation.Happening{On: rotation.OrderCancel})
}

func (c *campaign) checkPause(Order) error {
	return c.refuses(rotation.Happening{On: rotation.OrderPause})
}

// refuses asks the steering, and says of a cancel what it still waits for.
func (c *campaign) refuses(h rotation.Happening) error {
	why := c.st.Steering.Refuses(h)
	switch {
	case why == "":
		return nil
	case !c.endedAt.IsZero() || !c.st.Steering.Cancelled:
		return errors.New(why)
	case c.kept() > 0:
		return fmt.Errorf("%s; %d zones may have refreshed and go on to their end", why, c.kept())
	}
	return fmt.Errorf("%s; %s still to end, and no zone in them is known to have refreshed", why, plural(len(c.pages), "shard"))
}

func (c *campaign) checkResume(o Order) error {
	if err := c.refuses(rotation.Happening{On: resumeOf(o)}); err != nil {
		return err
	}
	switch {
	case o.OutsideWindow && o.Reason == "":
		return errors.New("going on outside the window needs a reason")
	case o.WaiveHealth && o.Reason == "":
		return errors.New("waiving the health checks needs a reason")
	}
	if err := checkWindow(o); err != nil {
		return err
	}
	limit := c.st.Budget.MaxExposed
	if o.MaxExposed != nil {
		limit = *o.MaxExposed
	}
	if exposed := c.exposedNow(); exposed > limit {
		return fmt.Errorf("zones exposed at this moment: %d, and maxExposed is %d: bring their hosts back, or accept them with --max-exposed %d --reason \"…\"", exposed, limit, exposed)
	}
	return nil
}

// exposedNow are the zones in flight that count as exposed: a resume would change
// nothing for them.
func (c *campaign) exposedNow() int {
	exposed := 0
	for _, page := range c.pages {
		exposed += c.shards[page].news.Exposed
	}
	return exposed
}

func (c *campaign) checkApprove(o Order) error {
	if err := c.refuses(rotation.Happening{On: rotation.OrderApprove, Wave: o.Wave}); err != nil {
		return err
	}
	if c.plan.Settings.SecondPerson && (o.By == "" || o.By == c.in.By) {
		return fmt.Errorf("wave %d needs the approval of somebody else than %s, who started the campaign", o.Wave, c.in.By)
	}
	return nil
}

func checkWindow(o Order) error {
	if o.Window != nil && (*o.Window < 1 || *o.Window > 1000) {
		return fmt.Errorf("window %d is not between 1 and 1000", *o.Window)
	}
	return nil
}

func (c *campaign) checkSet(o Order) error {
	if err := c.checkOpen(o); err != nil {
		return err
	}
	if err := checkWindow(o); err != nil {
		return err
	}
	if o.Window == nil && o.MaxFailed == nil && o.MaxExposed == nil && o.Rate == "" {
		return errors.New("nothing to set: give --window, --max-failed, --max-exposed or --rate")
	}
	if o.Rate == "" {
		return nil
	}
	if all := c.plan.Owners(); o.Account == "" && len(all) > 1 {
		return fmt.Errorf("the campaign is of %s, each with a rate of its own; say which one: --account %s", rotation.AccountsText(all), all[0])
	} else if o.Account != "" && !slices.Contains(all, o.Account) {
		return fmt.Errorf("the campaign is of %s", rotation.AccountsText(all))
	}
	if o.Reason == "" {
		return errors.New("the rate is the whole account's: say why")
	}
	if _, err := ParseRate(o.Rate); err != nil {
		return err
	}
	return nil
}
