package workflows

import (
	"math"
	"slices"

	"go.temporal.io/sdk/workflow"

	"keywave/internal/rotation"
)

// A campaign has a lane for each account of its plan: its shards start one after
// the other, with a window of their own, beside those of the others. What slows
// or stops one account idles no other; a wave ends when all of its lanes have.

// Lane is what a campaign keeps of one account.
type Lane struct {
	Account rotation.Account `json:"account"`
	// Zones and API are of its pages that are settled.
	Zones rotation.Counts `json:"zones"`
	API   rotation.API    `json:"api"`
}

// AccountStatus is one account's part in a campaign.
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
	// Brake is why its refreshes are held.
	Brake string `json:"brake,omitempty"`
	// Rate is what somebody limited its refreshes to, in all campaigns: "5 a second
	// since …, by ann: why". Temporal holds it, and who shows the status reads it.
	Rate string `json:"rate,omitempty"`
}

func (c *campaign) makeLanes() {
	for _, share := range c.plan.Accounts {
		c.st.Lanes = append(c.st.Lanes, Lane{Account: share.Account})
	}
}

// lane is that of an account.
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
	for _, a := range c.plan.Owners() {
		i := slices.IndexFunc(c.st.Todo, func(page int) bool { return c.plan.AccountOf(page) == a })
		if i >= 0 && c.canStart(a) {
			return i
		}
	}
	return -1
}

// canStart says that an account runs, has room, and that no other of its
// shards admits zones.
func (c *campaign) canStart(a rotation.Account) bool {
	slots := c.slots(a)
	return c.st.Steering.Runs(a) && slots.Left() > 0 && !slots.Admitting()
}

// brakes are the reasons that hold single accounts.
func (c *campaign) brakes() []rotation.PauseReason {
	return slices.DeleteFunc(slices.Clone(c.st.Steering.Reasons), func(r rotation.PauseReason) bool { return r.Kind != rotation.PauseBrake })
}

// allBraked says that all that is left of the wave is of accounts whose brake is
// on: it needs a person like a campaign that is paused.
func (c *campaign) allBraked() bool {
	braked := func(page int) bool { return c.st.Steering.Braked(c.plan.AccountOf(page)) != "" }
	left := slices.Concat(c.st.Todo, c.pages)
	return len(left) > 0 && !slices.ContainsFunc(left, func(page int) bool { return !braked(page) })
}

// accountStatus adds each account up.
func (c *campaign) accountStatus() []AccountStatus {
	var all []AccountStatus
	now := c.endedAt
	if now.IsZero() {
		now = workflow.Now(c.work)
	}
	for i, l := range c.st.Lanes {
		share := c.plan.Accounts[i]
		s := AccountStatus{Account: l.Account, Zones: l.Zones, API: l.API, Limit: share.Limit, Brake: c.st.Steering.Braked(l.Account)}
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
			s.RefreshesPerSecond = math.Round(100*float64(s.API.Changes())/took) / 100
		}
		s.Reread = c.in.RereadBy[l.Account]
		s.API.Describe += share.Describes + s.Reread
		all = append(all, s)
	}
	return all
}
