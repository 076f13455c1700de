package workflows

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"keywave/internal/rotation"
)

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

// Closed says that a campaign in this state has ended by itself.
func (s State) Closed() bool { return s == StateDone || s == StateEnded || s == StateCancelled }

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
	// zones hold a slot of the window, Running how many have a workflow that runs.
	Plan     string `json:"plan"`
	Wave     int    `json:"wave"`
	Waves    int    `json:"waves"`
	Pages    int    `json:"pages"`
	InFlight int    `json:"inFlight"`
	Running  int    `json:"running"`
	Window   int    `json:"window"`
	// Accounts are each account's part; each has a Window of its own.
	Accounts []AccountStatus `json:"accounts"`
	// Standing parts the pending zones by where they stand; Waits say what groups
	// of zones wait for, and until when.
	Standing rotation.Standings `json:"standing"`
	Waits    []rotation.Wait    `json:"waits,omitempty"`
	// Paused are the reasons that hold the campaign or an account, each with its
	// start and with who gave it; Stalled is set while there is no progress.
	Paused  []rotation.PauseReason `json:"paused,omitempty"`
	Stalled *Stall                 `json:"stalled,omitempty"`
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
	// Undoes is the campaign whose former keys this one puts back; empty when it rotates.
	Undoes string `json:"undoes,omitempty"`
	// Also is what was accepted of zones that are not this campaign's alone.
	Also *AlsoRotated `json:"also,omitempty"`
	// Hours is what the calendar says; nil without one.
	Hours *Hours `json:"hours,omitempty"`
	Log   Log    `json:"log,omitempty"`
}

// Left is how long the campaign may still run: the zones that are to be refreshed
// at the rate so far, and the zones that wait for something until a known time.
// It is zero where nothing can be said.
func (s Status) Left(now time.Time) time.Duration {
	took := now.Sub(s.StartedAt).Seconds()
	if s.State != StateRunning || s.Stalled != nil || s.Zones.Pending == 0 || s.Zones.Done == 0 || took <= 0 {
		return 0
	}
	rate := float64(s.Zones.Done) / took
	left := time.Duration(float64(s.Zones.Pending-s.Standing.Held) / rate * float64(time.Second))
	for _, w := range s.Waits {
		left = max(left, w.Until.Sub(now))
	}
	return left
}

// closes is how a campaign's workflow ends: completed when every zone is done or
// skipped, canceled when a person ended it, failed otherwise. The whole Status
// goes with each of them; StatusOf reads it.
func (s Status) closes() (Status, error) {
	switch s.State {
	case StateCancelled:
		return s, temporal.NewCanceledError(s)
	case StateEnded:
		return s, temporal.NewApplicationErrorWithOptions("ended with zones not done: "+countsInWords(s.Zones), TypeEnded,
			temporal.ApplicationErrorOptions{NonRetryable: true, Details: []any{s}})
	}
	return s, nil
}

// TypeEnded is the type of the failure of a campaign that ended with zones not
// done.
const TypeEnded = "CampaignEnded"

// StatusIn reads the Status of a campaign that closed, from the error that its
// result is; false when there is none in it.
func StatusIn(err error) (Status, bool) {
	var s Status
	var canceled *temporal.CanceledError
	var failed *temporal.ApplicationError
	switch {
	case errors.As(err, &canceled) && canceled.HasDetails():
		return s, canceled.Details(&s) == nil
	case errors.As(err, &failed) && failed.Type() == TypeEnded && failed.HasDetails():
		return s, failed.Details(&s) == nil
	}
	return s, false
}

// StatusOf reads the Status of one run of a campaign that closed with a result;
// an error when it closed without, such as a terminated one, or was refused
// before it began.
func StatusOf(ctx context.Context, c client.Client, campaign, run string) (Status, error) {
	var s Status
	err := c.GetWorkflow(ctx, CampaignID(campaign), run).Get(ctx, &s)
	if found, closed := StatusIn(err); closed {
		return found, nil
	}
	return s, err
}

// countsInWords names what there is of each outcome.
func countsInWords(c rotation.Counts) string {
	words := []string{fmt.Sprintf("%d of %d zones done", c.Done, c.Total)}
	for _, o := range rotation.Outcomes() {
		if n := c.Of(o); n > 0 && o != rotation.Done {
			words = append(words, fmt.Sprintf("%d %s", n, o))
		}
	}
	return strings.Join(words, ", ")
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

// standing parts the pending zones: shards know of theirs, all others have not
// begun.
func (c *campaign) standing(pending int) rotation.Standings {
	var s rotation.Standings
	for _, page := range c.pages {
		s = s.Plus(c.shards[page].news.Standing)
	}
	s.NotBegun += pending - s.Sum()
	return s
}

// waits are the groups of all shards, those that stand alike together.
func (c *campaign) waits() []rotation.Wait {
	var all []rotation.Wait
	for _, page := range c.pages {
		for _, w := range c.shards[page].news.Waits {
			all = rotation.AddWait(all, w)
		}
	}
	return all
}

func (c *campaign) state(counts rotation.Counts) State {
	s := &c.st.Steering
	switch {
	case !c.endedAt.IsZero() && counts.Settled():
		return StateDone
	case !c.endedAt.IsZero() && s.Cancelled:
		return StateCancelled
	case !c.endedAt.IsZero():
		return StateEnded
	case s.Held() && !(s.ByItself() && s.Stage == rotation.StageApproval), c.allBraked():
		return StatePaused
	case s.Stage == rotation.StageBaking, s.Stage == rotation.StageHealth:
		return StateBaking
	case s.Stage == rotation.StageApproval && c.drained():
		return StateWaiting
	}
	return StateRunning
}

// reasons says why the campaign is paused; a breach is told with the present counts.
func (c *campaign) reasons() string {
	var words []string
	ended := !c.endedAt.IsZero() || c.st.Steering.Cancelled
	brakes := c.brakes()
	for _, r := range c.st.Steering.Reasons {
		switch {
		case ended && (r.Kind == rotation.PauseBrake || r.Kind == rotation.PauseCalendar):
		case r.Kind == rotation.PauseBudget:
			words = append(words, c.breach(r))
		default:
			words = append(words, r.String())
		}
	}
	text := strings.Join(words, "; ")
	if !ended && len(brakes) > 0 && len(brakes) == len(c.st.Steering.Reasons) && !c.allBraked() && len(brakes) < len(c.plan.Owners()) {
		text += "; the zones of the other accounts go on"
	}
	return text
}

func (c *campaign) breach(r rotation.PauseReason) string {
	if now := c.st.Budget.Breach(c.judged()); now != "" {
		return now
	}
	for _, page := range c.pages {
		if s := c.shards[page]; s.started && s.news.Seq < c.st.Seq {
			return r.Why // it has not told its counts since the campaign was stopped
		}
	}
	return r.Why + "; now the budget is kept again"
}

func (c *campaign) status() Status {
	t := c.tally()
	st := &c.st.Steering
	s := Status{
		Campaign: c.in.Name, PlanDigest: c.in.Digest, Zones: t.Zones, Hosts: t.Hosts,
		ExposureMs: t.Exposures.Summary(), API: t.API, StartedAt: c.st.StartedAt,
		Plan: c.in.Plan, Wave: st.Wave, Waves: len(c.plan.Waves), Pages: len(c.plan.Pages),
		Window: c.st.Window, Accounts: c.accountStatus(), Paused: st.Reasons, Reason: c.reasons(),
		Standing: c.standing(t.Zones.Pending), Waits: c.waits(), Stalled: c.stall(),
		Emergency: c.in.Emergency, Undoes: c.plan.Undoes, Drift: c.in.Drift, Also: c.in.Also, Reread: c.in.Reread, Hours: c.opening(), Log: c.st.Log,
	}
	if st.Stage == rotation.StageApproval {
		s.Wave++ // the one that is asked for
	}
	s.API.Describe += c.st.Describes
	s.State = c.state(t.Zones)
	if !c.endedAt.IsZero() {
		s.EndedAt = &c.endedAt
	}
	c.needs(&s)
	if s.Reason == "" && s.Stalled != nil {
		s.Reason = s.Stalled.String()
	}
	s.Next = c.next(s)
	return s
}

// needs gathers what needs a person.
func (c *campaign) needs(s *Status) {
	for _, p := range c.st.Open {
		s.Attention, s.SetAside = append(s.Attention, p.Note.Attention...), append(s.SetAside, p.Note.SetAside...)
	}
	for _, page := range c.pages {
		n := c.shards[page].news
		s.InFlight += n.InFlight
		s.Running += n.Running
		s.Attention, s.SetAside = append(s.Attention, n.Note.Attention...), append(s.SetAside, n.Note.SetAside...)
	}
	s.Attention = s.Attention[:min(len(s.Attention), 2*maxAttention)]
	s.SetAside = rotation.AsideTogether(s.SetAside)
	s.SetAside = s.SetAside[:min(len(s.SetAside), 2*maxAttention)]
}

// next is the command that a person would use now; it works in this very state.
func (c *campaign) next(s Status) string {
	switch s.State {
	case StateEnded, StateCancelled:
		return "keywave campaign resume " + s.Campaign
	case StateDone:
		return "keywave campaign report " + s.Campaign
	case StateBaking:
		return ""
	}
	way, held := c.st.Steering.Next()
	switch {
	case !held || c.st.Steering.Cancelled || s.State == StateRunning && way.Order != rotation.EventBrakeOff:
		return ""
	case way.Order == rotation.EventBrakeOff:
		return fmt.Sprintf("keywave brake off --account %s --reason \"…\"", way.Account)
	case way.Order == rotation.OrderApprove:
		return fmt.Sprintf("keywave campaign approve %s --wave %d --reason \"…\"", s.Campaign, way.Wave)
	case way.Order == "":
		return fmt.Sprintf("wait, it goes on by itself; at once: keywave campaign resume %s --outside-window --reason \"…\"", s.Campaign)
	}
	return c.resumeBy(s)
}

// first is what a person does before a resume, by the kind of a reason.
var first = map[rotation.PauseKind]string{
	rotation.PauseBudget:  "mend the zones that need a person, then: ",
	rotation.PauseHealth:  "mend what the check names, then: ",
	rotation.PauseStalled: "mend the cause that is named above, then: ",
	rotation.PauseHalt:    "mend the cause that is named above, then: ",
	rotation.PausePast:    "compare EdgeOne with the hosts (audit) before you go on, then: ",
}

func (c *campaign) resumeBy(s Status) string {
	if exposed := c.exposedNow(); exposed > c.st.Budget.MaxExposed {
		return fmt.Sprintf("bring the hosts of the exposed zones back; or accept them: keywave campaign resume %s --max-exposed %d --reason \"…\"", s.Campaign, exposed)
	}
	for _, r := range s.Paused {
		if prose := first[r.Kind]; prose != "" {
			return prose + "keywave campaign resume " + s.Campaign
		}
	}
	return "keywave campaign resume " + s.Campaign
}
