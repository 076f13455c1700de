package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"keywave/internal/calendar"
	"keywave/internal/plan"
	"keywave/internal/rotation"
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
	if c.in.State == nil {
		c.st.GoOutside = c.in.Outside && !c.hours.Open
	}
	c.obeyHours()
	workflow.Go(c.work, c.watchHours)
}

func (c *campaign) watchHours(ctx workflow.Context) {
	for !c.hours.Until.IsZero() {
		wait := within(max(time.Second, c.hours.Until.Sub(workflow.Now(ctx))), "until the calendar is checked again")
		_ = workflow.NewTimerWithOptions(ctx, wait.Timeout, wait.TimerOptions).Get(ctx, nil)
		c.look()
		c.obeyHours()
	}
}

func (c *campaign) look() {
	c.looked = workflow.Now(c.work)
	c.hours = hoursNow(c.work, planHours(c.plan.Settings), c.in.Hours)
}

// hoursNow is what calendars say now, recorded.
func hoursNow(ctx workflow.Context, specs ...calendar.Spec) (look calendar.Look) {
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

// obeyHours tells the steering what the calendar says, and the shards until when
// a refresh may be signed.
func (c *campaign) obeyHours() {
	s := &c.st.Steering
	if !c.hasHours() || s.Cancelled {
		return
	}
	seq := c.st.Seq
	switch {
	case c.shut() && !s.Has(rotation.PauseCalendar):
		c.take(rotation.Happening{On: rotation.EventCloses, Why: c.hours.Why})
		c.closed()
	case c.hours.Open:
		c.st.GoOutside = false
		c.take(rotation.Happening{On: rotation.EventOpens})
	}
	if c.st.Seq == seq { // nobody was told yet
		for _, page := range c.pages {
			c.keep(page, Control{})
		}
	}
	c.tell()
}

// closed follows when the calendar closes the campaign. A permission to run outside
// its hours ends then: it was for the hours before.
func (c *campaign) closed() {
	switch {
	case !c.st.Steering.Has(rotation.PauseCalendar): // it is not obeyed now
	case c.st.GoOutside:
		c.st.GoOutside = false
		c.log("goes on although "+c.hours.Why, c.in.By, c.in.Reason)
		c.take(rotation.Happening{On: rotation.OrderOutside, By: c.in.By, Why: c.in.Reason})
	default:
		c.log(byCalendar, "", c.hours.Why)
	}
}

// shut says that no refresh may start now.
func (c *campaign) shut() bool { return c.hasHours() && !c.hours.Open && !c.st.Steering.Outside }

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

// opening is Hours for the status; nil without a calendar.
func (c *campaign) opening() *Hours {
	if !c.hasHours() {
		return nil
	}
	return &Hours{Look: c.hours, Holds: c.st.Steering.ByItself(), Waived: c.st.Steering.Outside, Own: c.in.Hours}
}
