package workflows

import (
	"slices"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/workflow"

	"keywave/internal/metrics"
	"keywave/internal/rotation"
)

// What workflows count. Their handler is silent while a history is replayed, so that
// nothing is counted twice.

func counted(ctx workflow.Context, label, value string) client.MetricsHandler {
	return workflow.GetMetricsHandler(ctx).WithTags(map[string]string{label: value})
}

// countPauses counts the reasons to be paused that a campaign did not have before.
func countPauses(ctx workflow.Context, had, has []rotation.PauseReason) {
	for _, r := range has {
		if !slices.ContainsFunc(had, func(h rotation.PauseReason) bool { return h.Kind == r.Kind && h.Account == r.Account }) {
			counted(ctx, metrics.Reason, string(r.Kind)).Counter(metrics.CampaignPaused).Inc(1)
		}
	}
}

// count counts the zone, and its exposure when that is over.
func (z *zone) count() {
	counted(z.work, metrics.Outcome, string(z.trip.Ended)).Counter(metrics.Zones).Inc(1)
	if over := z.trip.LastAck(); !z.trip.Since.IsZero() && !over.IsZero() {
		workflow.GetMetricsHandler(z.work).Timer(metrics.Exposure).Record(max(0, over.Sub(z.trip.Since)))
	}
}

// measured takes a step, and says how long the zone was exposed in it.
func (z *zone) measured(step func()) {
	phase, from := z.trip.Phase, z.now()
	step()
	since, to := z.trip.Since, z.now()
	if since.IsZero() {
		return
	}
	if since.After(from) {
		from = since
	}
	if over := z.trip.LastAck(); !over.IsZero() && over.Before(to) {
		to = over
	}
	if spent := to.Sub(from); spent > time.Duration(0) {
		counted(z.work, metrics.Phase, string(phase)).Timer(metrics.ExposurePhase).Record(spent)
	}
}
