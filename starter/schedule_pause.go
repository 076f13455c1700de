package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"

	"keywave/workflows"
)

func (a *app) schedulePause() *cobra.Command {
	return a.reasoned("pause", "Begin no further run; one that is under way goes on", "", a.setPaused("paused", true))
}

func (a *app) scheduleResume() *cobra.Command {
	return a.reasoned("resume", "Begin runs again", "", a.setPaused("resumed", false))
}

func (a *app) setPaused(what string, paused bool) func(ctx context.Context, name, reason string) error {
	return func(ctx context.Context, name, reason string) error {
		return a.changeSchedule(ctx, name, func(s *client.Schedule, in *workflows.ScheduledIn) error {
			if s.State.Paused == paused {
				return refused(fmt.Errorf("schedule %s is %s already: %s", name, map[bool]string{true: "paused", false: "not paused"}[paused], s.State.Note))
			}
			s.State.Paused, s.State.Note = paused, note(what, reason)
			record(in, what, reason)
			return nil
		})
	}
}
