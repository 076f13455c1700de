package workflows

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"keywave/activities"
	"keywave/internal/rotation"
)

// What a campaign remembers, and hands from run to run, so that it depends on no
// workflow that Temporal may forget before it.

// Legacy is what a run of a campaign leaves to one that a person starts later.
type Legacy struct {
	Began time.Time     `json:"began"`
	State CampaignState `json:"state"`
}

// legacy is the state for a later run. For that run, the pages of running shards are
// pages whose end nobody heard.
func (c *campaign) legacy() Legacy {
	st := *c.st
	st.Open = slices.Clone(st.Open)
	for _, page := range c.pages {
		r := c.shards[page]
		st.Open = append(st.Open, c.asOpen(page, rotation.ShardOut{Tally: r.news.Tally, Note: r.news.Note, Past: r.news.Past.Lost()}, r.run))
	}
	return Legacy{c.in.Began, st}
}

// asOpen is a page as the campaign keeps it until it runs again.
func (c *campaign) asOpen(page int, out ShardOut, run string) PageTally {
	return PageTally{Page: page, Tally: out.Tally.Kept(), Note: out.Note.Kept(len(c.st.Open)), Past: out.Past, Run: run, Prior: c.mending()}
}

// inherit takes up what an earlier, closed run left. One that Temporal has
// forgotten leaves nothing: every zone is looked up then.
func (c *campaign) inherit() error {
	out, err := askRunAct().do(c.work, storedOptions("what the earlier run of this campaign left"), activities.AskRunIn{Workflow: CampaignID(c.in.Name), Run: c.in.Previous, Query: QueryState})
	if err != nil {
		return err
	}
	var left Legacy
	if !out.Found {
		return nil
	}
	if err := json.Unmarshal(out.Answer, &left); err != nil || left.State.Plan == nil {
		return err
	}
	c.in.Began = left.Began
	st := &left.State
	for i := range st.Open {
		st.Open[i].Prior = true
	}
	c.st.Plan, c.st.Open, c.st.Closed, c.st.Settled, c.st.Lanes = st.Plan, st.Open, st.Closed, st.Settled, st.Lanes
	c.st.Decided, c.st.Log, c.st.Describes = st.Decided, st.Log, st.Describes
	c.st.Surprised, c.st.PastTold = st.Surprised, st.PastTold
	c.st.Complete = st.Complete && has(c.work, versionUntouched)
	return nil
}

// loadPlan has the approved plan: the campaign's own, or that of the workflow that
// made it.
func (c *campaign) loadPlan() error {
	if c.st.Plan == nil {
		approved, err := loadPlanAct().do(c.work, storedOptions("the approved plan"), activities.LoadPlanIn{Workflow: PlanID(c.in.Plan), Digest: c.in.Digest})
		if err != nil {
			return temporal.NewNonRetryableApplicationError(why(err), "PlanRefused", nil)
		}
		approved.Findings = nil
		c.st.Plan = &approved
	}
	c.plan = *c.st.Plan
	if digest := c.plan.DigestOf(); digest != c.in.Digest {
		return temporal.NewNonRetryableApplicationError(fmt.Sprintf("the campaign carries plan %s, but %s was approved; nothing was changed", digest, c.in.Digest), "PlanRefused", nil)
	}
	return nil
}

// surprised counts the zones of all pages but one whose keys neither plan nor
// history knows.
func (c *campaign) surprised(without int) int {
	n := c.st.Surprised
	for _, p := range c.st.Open {
		n += p.Note.Surprised
	}
	for _, page := range c.pages {
		if page != without {
			n += c.shards[page].news.Note.Surprised
		}
	}
	return n
}

// accepted is how many of them a person knew of when the campaign started.
func (c *campaign) accepted() int {
	if c.in.Drift == nil {
		return 0
	}
	return c.in.Drift.Zones
}

// checkPast pauses the campaign when Temporal's database is older than the world.
func (c *campaign) checkPast() {
	if n := c.surprised(0); rotation.CrowdOf(n, c.accepted(), c.st.PastTold) == rotation.CrowdMany {
		c.pauseFor(rotation.EventPast, "", fmt.Sprintf("Temporal's past is not the world's: of %d zones, EdgeOne and all hosts agree on a key that neither plan nor history knows (was a backup restored?); on resume these keys are delivered, and not refreshed", n))
	}
}

// toldOfPast notes that a person lets the campaign go on although its past is not
// the world's.
func (c *campaign) toldOfPast() {
	c.st.PastTold = c.st.PastTold || slices.ContainsFunc(c.st.Steering.Reasons, func(r rotation.PauseReason) bool { return r.Kind == rotation.PausePast })
}

func (c *campaign) handleState(ctx workflow.Context) error {
	return workflow.SetQueryHandlerWithOptions(ctx, QueryState, func() (Legacy, error) { return c.legacy(), nil },
		workflow.QueryHandlerOptions{Description: "All that the campaign carries: its plan, what it remembers of each page, who did what."})
}
