package workflows

import (
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/workflow"

	"keywave/internal/metrics"
	"keywave/internal/rotation"
)

// What workflows count. Their handler is silent while a history is replayed, and counts
// an event once: a task that failed is carried out again.

// counted is the handler for an event of this run, by its name and labels.
func counted(ctx workflow.Context, event string, labels map[string]string) client.MetricsHandler {
	event = workflow.GetInfo(ctx).WorkflowExecution.RunID + "/" + event
	return workflow.GetMetricsHandler(ctx).WithTags(map[string]string{metrics.Event: event}).WithTags(labels)
}

// countPauses counts the reasons to be paused that a campaign did not have before.
func (c *campaign) countPauses(had []rotation.PauseReason) {
	for _, r := range c.st.Steering.Reasons {
		if !slices.ContainsFunc(had, func(h rotation.PauseReason) bool { return h.Kind == r.Kind && h.Account == r.Account }) {
			c.pauses++
			counted(c.work, fmt.Sprint("pause ", c.pauses), map[string]string{metrics.Reason: string(r.Kind)}).Counter(metrics.CampaignPaused).Inc(1)
		}
	}
}

// stretch is a span of time that a zone spent in one phase.
type stretch struct {
	phase    rotation.Phase
	from, to time.Time
}

// measured takes a step, and notes how long the zone was in its phase.
func (z *zone) measured(step func()) {
	phase, from := z.trip.Phase, z.now()
	step()
	if n := len(z.spent); n > 0 && z.spent[n-1].phase == phase {
		z.spent[n-1].to = z.now()
		return
	}
	z.spent = append(z.spent, stretch{phase, from, z.now()})
}

// count counts the zone and, if every host has the live key, its exposure and the
// phases that the exposure was spent in. Only at the end is it known when it began.
func (z *zone) count() {
	strategy := metrics.NoStrategy
	if z.in.Verb == rotation.Rotate {
		strategy = z.trip.Strategy.String()
	}
	counted(z.work, "end", map[string]string{metrics.Outcome: string(z.trip.Ended), metrics.Strategy: strategy}).Counter(metrics.Zones).Inc(1)
	since, over := z.trip.Since, z.trip.LastAck()
	if since.IsZero() || over.IsZero() {
		return
	}
	counted(z.work, "end", map[string]string{metrics.Strategy: strategy}).Timer(metrics.Exposure).Record(max(0, over.Sub(since)))
	for _, phase := range metrics.Phases() {
		if spent := z.spentIn(phase, since, over); spent > 0 {
			counted(z.work, "phase "+string(phase), map[string]string{metrics.Phase: string(phase)}).Timer(metrics.ExposurePhase).Record(spent)
		}
	}
}

// spentIn is how long the zone was in a phase between two times.
func (z *zone) spentIn(phase rotation.Phase, since, over time.Time) time.Duration {
	var spent time.Duration
	for _, s := range z.spent {
		from, to := s.from, s.to
		if from.Before(since) {
			from = since
		}
		if to.After(over) {
			to = over
		}
		if s.phase == phase && to.After(from) {
			spent += to.Sub(from)
		}
	}
	return spent
}
