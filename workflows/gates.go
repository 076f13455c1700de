package workflows

import (
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/workflow"

	"keywave/activities"
	"keywave/internal/rotation"
)

// What stands between two waves: the bake time, the health checks of the fleet
// file, and a person's approval. A gate that does not open pauses the campaign,
// so that a person is asked. An emergency waives all of them.

// Gate is what is still to pass behind a wave that has run.
type Gate string

// The gates, in their order.
const (
	GateBake   Gate = "bake"
	GateHealth Gate = "health"
)

// passGates goes through the gates behind the wave that has just run, and says
// whether they are all open.
func (c *campaign) passGates() bool {
	s := &c.st.Steering
	if s.Wave < 1 || s.Wave >= s.Waves || s.Emergency {
		c.st.Gate = ""
	}
	if c.st.Gate == GateBake {
		c.bake()
		c.st.Gate = GateHealth
	}
	if c.st.Gate == GateHealth && !s.Cancelled && !c.isHealthy() {
		return false
	}
	c.st.Gate = ""
	return !s.Held() || s.ByItself()
}

func (c *campaign) bake() {
	if c.plan.Settings.Bake == 0 || c.st.Steering.Cancelled {
		return
	}
	c.take(rotation.Happening{On: rotation.EventBakes})
	c.tell()
	wave := c.st.Steering.Wave
	_, _ = awaitWithin(c.work, c.plan.Settings.Bake.D(), fmt.Sprintf("the bake time of wave %d", wave), func() bool { return c.st.Steering.Cancelled })
	c.take(rotation.Happening{On: rotation.EventBaked})
}

// isHealthy asks the checks, unless a person waived them. A check that is not
// content pauses the campaign; it is asked again after a resume.
func (c *campaign) isHealthy() bool {
	s := &c.st.Steering
	if len(c.plan.Settings.Health) == 0 || s.Waived == s.Wave {
		return true
	}
	c.take(rotation.Happening{On: rotation.EventAsksHealth})
	c.tell()
	problem := c.unhealthy()
	if problem == "" {
		c.take(rotation.Happening{On: rotation.EventHealthy})
		return true
	}
	c.pauseFor(rotation.EventUnhealthy, "", fmt.Sprintf("after wave %d %s", s.Wave, problem))
	return s.Cancelled
}

func (c *campaign) unhealthy() string {
	checks := c.plan.Settings.Health
	ctx, drop := workflow.WithCancel(c.work)
	defer drop()
	asked := healthAct().start(ctx, bulkOptions(c.plan.Owners()[0], "health: "+strings.Join(checks, ", ")), activities.HealthIn{Checks: checks})
	_ = workflow.Await(c.work, func() bool { return asked.IsReady() || c.st.Steering.Cancelled })
	if !asked.IsReady() && has(c.work, versionHealthCancelled) {
		return "the campaign was cancelled before a health check was made"
	}
	var out activities.HealthOut
	if err := asked.Get(c.work, &out); err != nil {
		return "no health check could be made: " + why(err)
	}
	return strings.Join(out.Problems, "; ")
}

// awaitApproval waits for a person to let the next wave begin, and pauses the
// campaign when nobody does in time. Pages that a resume brings back meanwhile
// end the wait: they run first, and then it goes on.
func (c *campaign) awaitApproval() {
	s := &c.st.Steering
	wave := s.Wave + 1
	if s.Stage != rotation.StageApproval {
		c.take(rotation.Happening{On: rotation.EventAsksPerson})
		c.st.Asked = workflow.Now(c.work)
		c.announce(rotation.OnGate, fmt.Sprintf("wave %d waits for an approval", wave))
	}
	c.tell()
	answered := func() bool { return s.IsApproved(wave) || s.Cancelled || c.startable() >= 0 }
	limit := c.plan.Settings.ApproveWithin.D()
	if limit == 0 {
		_ = workflow.Await(c.work, answered)
		return
	}
	rest := max(time.Second, c.st.Asked.Add(limit).Sub(workflow.Now(c.work)))
	inTime, _ := awaitWithin(c.work, rest, approvalLine(wave), answered)
	if !inTime {
		c.pauseFor(rotation.EventNotApproved, "", fmt.Sprintf("nobody approved wave %d within %s", wave, c.plan.Settings.ApproveWithin))
	}
}
