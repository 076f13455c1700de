package main

import (
	"context"
	"io"
	"time"

	"github.com/spf13/cobra"

	"keywave/workflows"
)

func (a *app) scheduleDelete() *cobra.Command {
	return a.reasoned("delete", "End a schedule; a run that is under way goes on",
		"End a schedule. A run that is under way goes on, and so do campaigns and plans\nthat were made; what people did to the schedule is forgotten, and is printed here.", func(ctx context.Context, name, reason string) error {
			conn, err := a.connect(ctx)
			if err != nil {
				return err
			}
			defer conn.Close()
			view, err := viewOf(ctx, conn, name)
			if err != nil {
				return err
			}
			if err := conn.ScheduleClient().GetHandle(ctx, workflows.ScheduleID(name)).Delete(ctx); err != nil {
				return noSchedule(name, err)
			}
			view.Log = append(view.Log, workflows.Entry{At: time.Now().UTC(), What: "deleted", By: operator(), Reason: reason})
			view.Next = nil
			return a.print(view, func(w io.Writer) {
				put(w, "Schedule %s is deleted. What was done to it:\n", name)
				showLog(w, view.Log)
			})
		})
}
