package main

import (
	"io"
	"time"

	"github.com/spf13/cobra"

	"keywave/internal/harmless"
	"keywave/internal/progress"
)

func (a *app) campaignStatus() *cobra.Command {
	return &cobra.Command{
		Use: "status NAME", Short: "Counts, exposure, calls, what needs a person and the next command",
		Example: "  keywave campaign status spring-rotation --output json",
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer conn.Close()
			status, err := statusOf(cmd.Context(), conn, args[0])
			if err != nil {
				return err
			}
			if err := limited(cmd.Context(), conn, &status); err != nil {
				return err
			}
			return a.print(status, func(w io.Writer) {
				_, width, color := terminal(w)
				_ = harmless.Draw(w, progress.View(status, width(), color, time.Now()))
			})
		},
	}
}
