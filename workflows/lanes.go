package workflows

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"go.temporal.io/sdk/workflow"

	"keywave/internal/rotation"
)

// A plan of several accounts has a lane for each: its shards start one after the
// other, with a window of their own, beside those of the others. What slows or
// stops one account idles no other; a wave ends when all of its lanes have. A
// campaign of one account has no Lanes, and is one lane.

// Lane is what a campaign keeps of one account of several.
type Lane struct {
	Account rotation.Account `json:"account"`
	// Brake is why its refreshes are held; empty while they are not.
	Brake string `json:"brake,omitempty"`
	// Rate is what set last made of its refreshes a second.
	Rate string `json:"rate,omitempty"`
	// Zones and API are of its pages that are settled.
	Zones rotation.Counts `json:"zones"`
	API   rotation.API    `json:"api"`
}

// AccountStatus is one account's part in a campaign of several.
type AccountStatus struct {
	Account rotation.Account `json:"account"`
	Zones   rotation.Counts  `json:"zones"`
	API     rotation.API     `json:"api"`
	// RefreshesPerSecond is the mean since the campaign started, Limit what the
	// account allows.
	RefreshesPerSecond float64 `json:"refreshesPerSecond"`
	Limit              float64 `json:"limit"`
	InFlight           int     `json:"inFlight"`
	// Reread counts the calls that looked for drift before it started.
	Reread int `json:"reread,omitempty"`
	// Rate is what set last made of its refreshes a second, Brake why they are
	// held.
	Rate  string `json:"rate,omitempty"`
	Brake string `json:"brake,omitempty"`
}

func (c *campaign) makeLanes() {
	for _, a := range c.plan.Accounts {
		c.st.Lanes = append(c.st.Lanes, Lane{Account: a.Account})
	}
}

// accounts are the plan's, in its order.
func (c *campaign) accounts() []rotation.Account {
	if len(c.st.Lanes) == 0 {
		return []rotation.Account{c.plan.Account}
	}
	all := make([]rotation.Account, len(c.st.Lanes))
	for i, l := range c.st.Lanes {
		all[i] = l.Account
	}
	return all
}

// lane is an account's; nil where there is only one account.
func (c *campaign) lane(a rotation.Account) *Lane {
	for i := range c.st.Lanes {
		if c.st.Lanes[i].Account == a {
			return &c.st.Lanes[i]
		}
	}
	return nil
}

// pagesOf are an account's running shards, in the order of their start.
func (c *campaign) pagesOf(a rotation.Account) []int {
	var own []int
	for _, page := range c.pages {
		if c.plan.AccountOf(page) == a {
			own = append(own, page)
		}
	}
	return own
}

// startable is where in Todo a page stands whose account takes a shard now; -1
// when there is none.
func (c *campaign) startable() int {
	if c.st.Paused {
		return -1
	}
	for _, a := range c.accounts() {
		i := slices.IndexFunc(c.st.Todo, func(page int) bool { return c.plan.AccountOf(page) == a })
		if i >= 0 && c.canStart(a) {
			return i
		}
	}
	return -1
}

// canStart says that an account is not held, has room, and that no other of its
// shards admits zones.
func (c *campaign) canStart(a rotation.Account) bool {
	if c.brakeOf(a) != "" || c.windowLeft(a) < 1 {
		return false
	}
	for _, page := range c.pagesOf(a) {
		if n := c.shards[page].news; !n.Started || n.Seq < c.st.Seq {
			return false
		}
	}
	return true
}

func (c *campaign) brakeOf(a rotation.Account) string {
	if l := c.lane(a); l != nil {
		return l.Brake
	}
	return ""
}

// hold has an account's shards hand their pages back, while the others go on:
// no refresh of theirs starts any more, and they end when the zones that may
// have refreshed are delivered. The pages run again once the brake is off.
func (c *campaign) hold(l *Lane, reason string) {
	l.Brake = reason
	for _, page := range c.pagesOf(l.Account) {
		c.shards[page].back = true
		c.sendBack(page)
	}
	c.announce(rotation.OnStop, c.braked())
	c.tell()
}

func (c *campaign) sendBack(page int) {
	c.signal(page, Control{Seq: c.st.Seq, Stop: true, Close: true, Window: c.shards[page].window})
}

// braked says which accounts are held; empty when none is.
func (c *campaign) braked() string {
	var all []string
	for _, l := range c.st.Lanes {
		if l.Brake != "" {
			all = append(all, brakeIsOn(l.Account, l.Brake))
		}
	}
	text := strings.Join(all, "; ")
	if text != "" && len(all) < len(c.st.Lanes) && !c.stalled() {
		text += "; the zones of the other accounts go on"
	}
	return text
}

func brakeIsOn(a rotation.Account, reason string) string {
	return fmt.Sprintf("the brake of account %s is on: %s", a, reason)
}

// release is the command that lets the first account that is held go on.
func (c *campaign) release() string {
	for _, l := range c.st.Lanes {
		if l.Brake != "" {
			return fmt.Sprintf("keywave brake off --account %s --reason \"…\"", l.Account)
		}
	}
	return ""
}

// stalled says that all that is left of the wave is of accounts that are held:
// it needs a person like a campaign that is paused.
func (c *campaign) stalled() bool {
	return len(c.st.Todo) > 0 && len(c.pages) == 0 && !slices.ContainsFunc(c.st.Todo, func(page int) bool {
		return c.brakeOf(c.plan.AccountOf(page)) == ""
	})
}

// accountStatus adds each account up; nil where there is only one.
func (c *campaign) accountStatus() []AccountStatus {
	var all []AccountStatus
	now := c.endedAt
	if now.IsZero() {
		now = workflow.Now(c.work)
	}
	for i, l := range c.st.Lanes {
		share := c.plan.Accounts[i]
		s := AccountStatus{Account: l.Account, Zones: l.Zones, API: l.API, Limit: share.Limit, Rate: l.Rate, Brake: l.Brake}
		add := func(t rotation.Tally) { s.Zones, s.API = s.Zones.Plus(t.Zones), s.API.Plus(t.API) }
		for _, p := range c.st.Open {
			if c.plan.AccountOf(p.Page) == l.Account {
				add(p.Tally)
			}
		}
		for _, page := range c.pagesOf(l.Account) {
			n := c.shards[page].news
			s.InFlight += n.InFlight
			add(n.Tally)
		}
		if rest := share.Zones - s.Zones.Total; rest > 0 {
			s.Zones = s.Zones.Plus(rotation.NewCounts(rest))
		}
		if took := now.Sub(c.st.StartedAt).Seconds(); took > 0 {
			s.RefreshesPerSecond = math.Round(100*float64(s.API.Refresh)/took) / 100
		}
		s.Reread = c.in.RereadBy[l.Account]
		s.API.Describe += share.Describes + s.Reread
		all = append(all, s)
	}
	return all
}
