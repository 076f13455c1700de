package workflows

import (
	"fmt"
	"slices"
	"strings"

	"go.temporal.io/sdk/workflow"

	"keywave/activities"
	"keywave/internal/rotation"
)

// What stands between two waves: the bake time, the health checks of the fleet
// file, and a person's approval. A gate that does not open pauses the campaign,
// so that a person is asked. An emergency waives all of them.

// pass goes through the gates behind the wave that has just run.
func (c *campaign) pass() {
	last := c.st.Wave >= len(c.plan.Waves)-1
	ran := c.st.Ran
	c.st.Ran = false
	if c.st.Wave < 0 || last || !ran || c.in.Emergency != "" {
		return
	}
	c.bake()
	c.awaitHealth()
}

func (c *campaign) bake() {
	if c.plan.Settings.Bake == 0 || c.cancel {
		return
	}
	c.baking = true
	c.tell()
	_, _ = workflow.AwaitWithOptions(c.work, within(c.plan.Settings.Bake.D(), fmt.Sprintf("the bake time of wave %d", c.st.Wave+1)), func() bool { return c.cancel })
	c.baking = false
}

// awaitHealth asks the checks again after each resume, until all of them are
// content or a person waives them.
func (c *campaign) awaitHealth() {
	wave := c.st.Wave + 1
	for len(c.plan.Settings.Health) > 0 && !c.cancel && c.st.Waived != wave {
		problem := c.unhealthy()
		if problem == "" {
			return
		}
		c.pause(fmt.Sprintf("after wave %d %s", wave, problem))
		c.holdWhilePaused()
		if len(c.st.Todo) > 0 {
			c.st.Ran = true // these zones come first, and the gate after them
			return
		}
	}
}

func (c *campaign) unhealthy() string {
	checks := c.plan.Settings.Health
	c.baking = true
	c.tell()
	defer func() { c.baking = false }()
	out, err := healthAct().do(c.work, bulkOptions(c.plan.Account, "health: "+strings.Join(checks, ", ")), activities.HealthIn{Checks: checks})
	if err != nil {
		return "no health check could be made: " + why(err)
	}
	return strings.Join(out.Problems, "; ")
}

func (c *campaign) holdWhilePaused() {
	_ = workflow.Await(c.work, func() bool { return !c.st.Paused || c.cancel || c.finished() })
}

// awaitApproval waits for a person to let the present wave begin, and pauses the
// campaign when nobody does in time.
func (c *campaign) awaitApproval() {
	wave := c.st.Wave + 1
	if c.in.Emergency != "" || !slices.Contains(c.plan.Settings.Approve, wave) {
		return
	}
	approved := func() bool { return slices.Contains(c.st.Approved, wave) || c.cancel }
	for !approved() {
		c.waiting = true
		c.announce(rotation.OnGate, fmt.Sprintf("wave %d waits for an approval", wave))
		c.tell()
		inTime := true
		if limit := c.plan.Settings.ApproveWithin.D(); limit > 0 {
			inTime, _ = workflow.AwaitWithOptions(c.work, within(limit, fmt.Sprintf("for somebody who approves wave %d", wave)), approved)
		} else {
			_ = workflow.Await(c.work, approved)
		}
		c.waiting = false
		if !inTime && !c.st.Paused {
			c.pause(fmt.Sprintf("nobody approved wave %d within %s", wave, c.plan.Settings.ApproveWithin))
		}
		c.holdWhilePaused()
	}
}
