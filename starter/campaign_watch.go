package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"keywave/internal/harmless"
	"keywave/internal/progress"
	"keywave/internal/temporalclient"
	"keywave/internal/watch"
	"keywave/workflows"
)

func (a *app) campaignWatch() *cobra.Command {
	return &cobra.Command{
		Use: "watch NAME", Short: "Watch until it ends or needs a person",
		Long: `Watch a campaign. On a terminal it is a screen with keys: p pause, r resume, a
approve, c cancel, q leave; leaving does not stop the campaign. Elsewhere it is
lines, until the campaign ends or needs a person.`,
		Example: "  keywave campaign watch spring-rotation",
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer conn.Close()
			return a.watchCampaign(cmd.Context(), conn, args[0])
		},
	}
}

const watchEvery = 500 * time.Millisecond

// watchCampaign draws the campaign until it has ended (nil when all is done),
// pauses itself or waits for an approval.
func (a *app) watchCampaign(ctx context.Context, conn *temporalclient.Connection, name string) error {
	follow := a.follow
	if a.interactive() {
		follow = a.screen
	}
	status, err := follow(ctx, conn, name)
	if err != nil {
		return err
	}
	if a.output == "json" {
		if err := a.print(status, nil); err != nil {
			return err
		}
	}
	switch status.State {
	case workflows.StateDone:
		return nil
	case workflows.StateRunning, workflows.StateBaking:
		a.say("Campaign %s goes on without you. Watch it again: keywave campaign watch %s", name, name)
		return nil
	case workflows.StateWaiting:
		return notDone(fmt.Errorf("campaign %s waits for an approval; next: %s", name, status.Next))
	}
	return notDone(fmt.Errorf("campaign %s is %s with %d of %d zones done; next: %s", name, status.State, status.Zones.Done+status.Zones.Skipped, status.Zones.Total, status.Next))
}

// follow draws until the campaign needs nobody any more, or somebody.
func (a *app) follow(ctx context.Context, conn *temporalclient.Connection, name string) (workflows.Status, error) {
	w := a.out
	if a.output == "json" {
		w = a.err
	}
	tty, width, color := terminal(w)
	painter := progress.NewPainter(w, tty, width, color)
	painter.Rows = rows(w)
	defer func() { _ = painter.Close() }()
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var lost silence
	for {
		status, err := statusOf(ctx, conn, name)
		var coded *codedError
		switch {
		case err == nil:
			lost = silence{}
			if err := painter.Show(status); err != nil {
				return status, err
			}
			if settled(status) {
				return status, nil
			}
		case errors.As(err, &coded) || ctx.Err() != nil:
			return status, err
		case lost.over(time.Now()):
			return status, err
		default:
			_ = painter.Close() // what stands is not overwritten
			lost.say(w, err)
		}
		select {
		case <-ctx.Done():
			return status, ctx.Err()
		case <-tick.C:
		}
	}
}

// watchPatience is how long watch stays while nobody answers, silenceToldEvery how
// often it says so meanwhile.
const (
	watchPatience    = 10 * time.Minute
	silenceToldEvery = time.Minute
)

// silence is since when nobody answers for a campaign, and when watch last said so.
type silence struct{ since, said time.Time }

// over says that it is not worth waiting any longer.
func (s *silence) over(now time.Time) bool {
	if s.since.IsZero() {
		s.since = now
	}
	return now.Sub(s.since) > watchPatience
}

// say says it at once, and then now and then.
func (s *silence) say(w io.Writer, err error) {
	now := time.Now()
	if now.Sub(s.said) < silenceToldEvery {
		return
	}
	s.said = now
	put(w, "%s no answer since %s, asked again until %s: %v\n",
		now.Format(time.TimeOnly), s.since.Format(time.TimeOnly), s.since.Add(watchPatience).Format(time.TimeOnly), err)
}

// settled says that watching on would show nothing new without a person.
func settled(s workflows.Status) bool {
	switch s.State {
	case workflows.StateDone, workflows.StateEnded, workflows.StateCancelled, workflows.StateWaiting:
		return true
	case workflows.StatePaused:
		return s.InFlight == 0 && !s.Shut()
	case workflows.StateRunning, workflows.StateBaking:
	}
	return false
}

// interactive says that a person sits there, with a keyboard and a terminal that
// can do more than lines.
func (a *app) interactive() bool {
	tty, _, _ := terminal(a.out)
	typed, _, _ := terminal(os.Stdin)
	return a.output != "json" && tty && typed && os.Getenv("TERM") != "dumb"
}

// screen is follow with keys; it leaves the last view standing.
func (a *app) screen(ctx context.Context, conn *temporalclient.Connection, name string) (workflows.Status, error) {
	_, width, color := terminal(a.out)
	status, err := watch.Run(ctx, watch.Config{
		Status: func(ctx context.Context) (workflows.Status, error) { return statusOf(ctx, conn, name) },
		Order: func(ctx context.Context, update string, o workflows.Order) (workflows.Answer, error) {
			return order(ctx, conn, name, update, o)
		},
		Color: color,
		Lost:  func(err error) bool { return errors.As(err, new(*codedError)) },
	})
	if err == nil && status.Campaign != "" {
		_ = harmless.Draw(a.out, progress.View(status, width(), color, time.Now()))
	}
	return status, err
}
