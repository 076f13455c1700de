package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"keywave/internal/report"
)

func (a *app) report() *cobra.Command {
	cmd := &cobra.Command{
		Use: "report", Short: "Check a report that was written earlier",
		Example: "  keywave report verify spring.html", Args: oneBelow, RunE: showHelp,
	}
	cmd.AddCommand(a.reportVerify())
	return cmd
}

func (a *app) reportVerify() *cobra.Command {
	return &cobra.Command{
		Use: "verify FILE", Short: "Check that a report (html or json) was not changed", Args: exactly("FILE"),
		Long: `Compute the digest of a report's content and compare it with the one in the file. It
tells a damaged or edited file from a whole one. It is no signature: whoever edits
the file can write another digest. Compare it with the one that you noted elsewhere.`,
		Example: "  keywave report verify spring.html",
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer func() { _ = f.Close() }()
			digest, err := report.Verify(f)
			if err != nil {
				return notDone(fmt.Errorf("%s: %w", args[0], err))
			}
			return a.print(struct {
				File   string `json:"file"`
				Digest string `json:"digest"`
			}{args[0], digest}, func(w io.Writer) { put(w, "%s is whole. Digest: %s\n", args[0], digest) })
		},
	}
}
