package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"

	"keywave/internal/temporalclient"
	"keywave/workflows"
)

func (a *app) scheduleList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "The schedules, with their next times", Args: exactly(),
		Example: "  keywave schedule list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			conn, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer conn.Close()
			names, err := scheduleNames(cmd.Context(), conn)
			if err != nil {
				return fmt.Errorf("schedules cannot be listed: %w", err)
			}
			views := []scheduleView{}
			for _, name := range names {
				v, err := viewOf(cmd.Context(), conn, name)
				if err != nil {
					return err
				}
				views = append(views, v)
			}
			return a.print(views, func(w io.Writer) { listSchedules(w, views) })
		},
	}
}

func listSchedules(w io.Writer, views []scheduleView) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	put(t, "SCHEDULE\tEVERY\tNEXT\tLATEST\tNOTE\n")
	for _, v := range views {
		next, latest := "-", "-"
		switch {
		case v.Paused:
			next = "paused"
		case len(v.Next) > 0:
			next = v.Next[0].At.Local().Format(time.DateTime)
		}
		if len(v.Runs) > 0 {
			latest = v.Runs[0].State
		}
		put(t, "%s\t%s\t%s\t%s\t%s\n", v.Schedule, v.Every, next, latest, v.Note)
	}
	_ = t.Flush()
}

// scheduleNames are Keywave's schedules, in order.
func scheduleNames(ctx context.Context, conn *temporalclient.Connection) ([]string, error) {
	var names []string
	all, err := conn.ScheduleClient().List(ctx, client.ScheduleListOptions{})
	for err == nil && all.HasNext() {
		var entry *client.ScheduleListEntry
		if entry, err = all.Next(); err == nil {
			if name, ours := strings.CutPrefix(entry.ID, workflows.ScheduleID("")); ours && entry.WorkflowType.Name == workflows.TypeScheduled {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names, err
}
