package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"keywave/internal/calendar"
	"keywave/internal/plan"
)

// A campaign's hours: while its calendar is closed no refresh is sent, exposed
// zones are still delivered, and the campaign is paused until it opens. What
// the calendar says is recorded, so that a worker with another time zone
// database replays what was decided.

// Hours is what a campaign's calendar says now.
type Hours struct {
	calendar.Look
	// Holds says that the campaign is paused by its calendar alone, and goes on
	// by itself.
	Holds bool `json:"holds,omitempty"`
	// Waived says that a person lets it run although it is closed.
	Waived bool `json:"waived,omitempty"`
	// Own is the campaign's calendar beside its plan's.
	Own calendar.Spec `json:"own,omitzero"`
}

// Shut says that nobody is needed: the campaign waits for its calendar.
func (s Status) Shut() bool { return s.State == StatePaused && s.Hours != nil && s.Hours.Holds }

func (c *campaign) hasHours() bool { return c.in.Emergency == "" && c.hasCalendar() }

func (c *campaign) hasCalendar() bool {
	return !planHours(c.plan.Settings).Empty() || !c.in.Hours.Empty()
}

func planHours(s plan.Settings) calendar.Spec {
	return calendar.Spec{Windows: s.Windows, Freeze: s.Freeze}
}

// keepHours begins to obey the calendar.
func (c *campaign) keepHours() {
	if c.in.Emergency != "" && c.hasCalendar() && c.in.State == nil {
		c.log("emergency: windows and freezes waived", c.in.By, c.in.Emergency)
	}
	if !c.hasHours() {
		return
	}
	c.look()
	if c.in.State == nil && c.in.Outside && !c.hours.Open {
		c.goOutside(c.in.By, c.in.Reason)
	}
	c.obeyHours()
	workflow.Go(c.work, c.watchHours)
}

func (c *campaign) watchHours(ctx workflow.Context) {
	for !c.hours.Until.IsZero() {
		wait := within(max(time.Second, c.hours.Until.Sub(workflow.Now(ctx))), "until the calendar is looked at again")
		_ = workflow.NewTimerWithOptions(ctx, wait.Timeout, wait.TimerOptions).Get(ctx, nil)
		c.look()
		c.obeyHours()
	}
}

func (c *campaign) look() {
	c.looked = workflow.Now(c.work)
	c.hours = lookAt(c.work, planHours(c.plan.Settings), c.in.Hours)
}

// lookAt is what calendars say now, recorded.
func lookAt(ctx workflow.Context, specs ...calendar.Spec) (look calendar.Look) {
	now := workflow.Now(ctx)
	_ = workflow.SideEffect(ctx, func(workflow.Context) any {
		all, err := calendar.Parse(specs...)
		if err != nil {
			return calendar.Look{Why: "the calendar cannot be read: " + err.Error()}
		}
		return all.Look(now)
	}).Get(&look)
	return look
}

// obeyHours pauses and resumes as the calendar says. What a person or the
// budget paused stays so.
func (c *campaign) obeyHours() {
	if !c.hasHours() || c.cancel {
		return
	}
	if c.hours.Open {
		c.st.Outside = false
	}
	mending := c.in.Again && !c.st.Mended // exposed zones get their key at any hour
	switch {
	case c.shut() && !c.st.Paused && !mending:
		c.close()
	case !c.shut() && c.st.Shut:
		c.resume()
	default:
		for _, page := range c.pages {
			c.signal(page, Control{Seq: c.st.Seq, Window: c.shards[page].window})
		}
		c.tell()
	}
}

// shut says that no refresh may start now.
func (c *campaign) shut() bool { return c.hasHours() && !c.hours.Open && !c.st.Outside }

// close pauses until the calendar opens.
func (c *campaign) close() {
	c.st.Paused, c.st.Shut, c.st.Reason = true, true, c.hours.Why
	c.log(byCalendar, "", c.hours.Why)
	c.order(Control{Stop: true})
	c.tell()
}

// held says that the campaign is paused by something that a person must lift.
func (c *campaign) held() bool { return c.st.Paused && !c.st.Shut }

// goOutside lets the campaign run until the calendar opens and closes again.
func (c *campaign) goOutside(by, reason string) {
	c.st.Outside = true
	c.log("goes on although "+c.hours.Why, by, reason)
}

// closesAt is the instant from which on no refresh may be signed; zero is none.
func (c *campaign) closesAt() time.Time {
	switch {
	case c.shut():
		return c.looked
	case c.hasHours() && c.hours.Open:
		return c.hours.Until
	}
	return time.Time{}
}

// finished says that a campaign that is shut has nothing left to open for.
func (c *campaign) finished() bool {
	return c.st.Shut && len(c.st.Todo) == 0 && len(c.shards) == 0 && len(c.st.Open) == 0 && c.st.Wave == len(c.plan.Waves)-1
}

// letGo ends a shard that is stopped and has nothing left to do.
func (c *campaign) letGo(n ShardNews) {
	if c.st.Shut && n.Quiet && n.Tally.Zones.Settled() {
		c.sendBack(n.Page)
	}
}

// opening is Hours for the status; nil without a calendar.
func (c *campaign) opening() *Hours {
	if !c.hasHours() {
		return nil
	}
	return &Hours{Look: c.hours, Holds: c.st.Shut, Waived: c.st.Outside, Own: c.in.Hours}
}
