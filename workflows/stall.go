package workflows

import (
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/workflow"

	"keywave/internal/rotation"
)

// A campaign is stalled when a zone could start, and for stallAfter no refresh was
// executed and no zone ended. It says so with the causes, and pauses itself after
// five times that.

// Stall says that there is no progress.
type Stall struct {
	Since time.Time `json:"since"`
	// Account is whose zones they are; empty where there is only one account.
	Account rotation.Account `json:"account,omitempty"`
	Causes  []rotation.Cause `json:"causes,omitempty"`
}

// pauseAfterStalls is after how many times stallAfter a stalled campaign pauses
// itself.
const pauseAfterStalls = 5

// String is the stall as a clause, with its causes counted.
func (s Stall) String() string {
	text := "no refresh was executed and no zone ended since " + clock(s.Since)
	if s.Account != "" {
		text += " for account " + string(s.Account)
	}
	causes := make([]string, len(s.Causes))
	for i, c := range s.Causes {
		causes[i] = fmt.Sprintf("%s: %s", plural(c.Zones, "zone"), c.Why)
	}
	if len(causes) == 0 {
		return text + "; the cause is not known (keywave doctor)"
	}
	return text + "; " + strings.Join(causes, "; ")
}

// stall is the longest stall of an account that runs; nil when there is none.
func (c *campaign) stall() *Stall {
	var longest *Stall
	if !c.endedAt.IsZero() {
		return nil
	}
	for _, a := range c.plan.Owners() {
		if s := c.stallOf(a); s != nil && (longest == nil || s.Since.Before(longest.Since)) {
			longest = s
		}
	}
	if longest != nil && len(c.plan.Owners()) == 1 {
		longest.Account = ""
	}
	return longest
}

// stallOf is since when all shards of an account that have something to do are
// idle. A shard reports that it is once it has been so for stallAfter.
func (c *campaign) stallOf(a rotation.Account) *Stall {
	if !c.st.Steering.Runs(a) {
		return nil
	}
	var s *Stall
	for _, page := range c.pagesOf(a) {
		n := c.shards[page].news
		switch {
		case n.Idle.IsZero() && n.Started:
			continue // its last zone has started: it has nothing that could start
		case n.Idle.IsZero():
			return nil
		case s == nil:
			s = &Stall{Since: n.Idle, Account: a}
		case n.Idle.After(s.Since):
			s.Since = n.Idle
		}
		s.Causes = append(s.Causes, n.Causes...)
	}
	return s
}

func (c *campaign) stallAfter() time.Duration { return c.plan.Settings.StallsAfter() }

// watchStall logs a stall, and pauses the campaign when it lasts.
func (c *campaign) watchStall(ctx workflow.Context) {
	for {
		_ = workflow.Await(ctx, func() bool { return c.stall() != nil })
		began := c.stall()
		c.log("stalled", "", began.String())
		c.announce(rotation.OnStop, "it is stalled: "+began.String())
		c.tell()
		rest := began.Since.Add(pauseAfterStalls * c.stallAfter()).Sub(workflow.Now(ctx))
		over := func() bool { s := c.stall(); return s == nil || !s.Since.Equal(began.Since) }
		moved, _ := awaitWithin(ctx, max(time.Second, rest), "for progress", over)
		if still := c.stall(); !moved && still != nil {
			c.pauseFor(rotation.EventStalled, "", still.String())
		}
		_ = workflow.Await(ctx, over)
		c.tell()
	}
}
