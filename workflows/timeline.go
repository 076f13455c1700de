package workflows

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/workflow"

	"keywave/internal/harmless"
	"keywave/internal/rotation"
)

// What the Temporal UI draws on a campaign's timeline besides its shards, its
// activities and the orders of people: a line for each wave, each pause and each
// wait for a person, and a mark where a shard has ended. Signals draw lines too,
// and those have no words but their names.

// drawnFor is longer than any wave or pause.
const drawnFor = 365 * 24 * time.Hour

// draw draws a line on the timeline for as long as says gives the same words, and
// none while it gives no words. The line is a timer that nobody waits for; it is
// cancelled where the line ends.
func draw(ctx workflow.Context, says func() string) {
	for ctx.Err() == nil {
		if workflow.Await(ctx, func() bool { return says() != "" }) != nil {
			return
		}
		text := says()
		_, _ = awaitWithin(ctx, drawnFor, text, func() bool { return says() != text })
	}
}

// markTimeline puts a mark with these words on the timeline.
func (c *campaign) markTimeline(text string) {
	workflow.SideEffectWithOptions(c.work, workflow.SideEffectOptions{Summary: harmless.Summary(text)}, func(workflow.Context) any { return nil })
}

// drawTimeline draws the campaign's lines until it ends.
func (c *campaign) drawTimeline() {
	ctx, end := workflow.WithCancel(c.work)
	c.endLines = end
	workflow.Go(ctx, func(ctx workflow.Context) { draw(ctx, c.stageLine) })
	workflow.Go(ctx, func(ctx workflow.Context) { draw(ctx, c.pauseLine) })
}

// stageLine says what the campaign does. A bake time, the health checks and an
// approval with a limit have timers and activities of their own.
func (c *campaign) stageLine() string {
	s := &c.st.Steering
	switch s.Stage {
	case rotation.StageMending:
		return "delivers first what an earlier run left exposed or unknown"
	case rotation.StageWave:
		return c.waveLine()
	case rotation.StageApproval:
		if c.plan.Settings.ApproveWithin == 0 {
			return approvalLine(s.Wave + 1)
		}
	}
	return ""
}

func (c *campaign) waveLine() string {
	s := &c.st.Steering
	text := fmt.Sprintf("wave %d of %d: %s", s.Wave, len(c.plan.Waves), plural(c.plan.Waves[s.Wave-1].Zones, "zone"))
	for _, e := range c.st.Log {
		if e.What == approvedWave(s.Wave) {
			text += byWhom(", approved", e.By, e.Reason)
		}
	}
	return text
}

// approvalLine is a wait for a person.
func approvalLine(wave int) string { return fmt.Sprintf("waits for the approval of wave %d", wave) }

func approvedWave(wave int) string { return fmt.Sprintf("approved wave %d", wave) }

// pauseLine is what holds the campaign or one of its accounts, and who ordered it.
func (c *campaign) pauseLine() string {
	s := &c.st.Steering
	if s.Stage == rotation.StageEnded || s.Cancelled {
		return ""
	}
	var words []string
	for _, r := range s.Reasons {
		switch {
		case r.Kind == rotation.PauseBrake:
			words = append(words, r.String())
		case r.Kind == rotation.PausePerson:
			words = append(words, strings.Replace(r.Why, pausedByOperator, "paused by "+cmp.Or(r.By, "an operator"), 1))
		default:
			words = append(words, "paused: "+r.Why)
		}
	}
	return strings.Join(words, "; ")
}

// byWhom is "what by somebody: the reason".
func byWhom(what, by, reason string) string {
	if by != "" {
		what += " by " + by
	}
	if reason != "" {
		what += ": " + reason
	}
	return what
}

// shardEnded says in a few words how a shard ended.
func shardEnded(page, pages int, out ShardOut, err error) string {
	if err != nil {
		return fmt.Sprintf("page %d of %d: its shard ended without a result", page, pages)
	}
	return fmt.Sprintf("page %d of %d: %s", page, pages, countsInWords(out.Tally.Zones))
}
