package main

import (
	"io"

	"github.com/spf13/cobra"

	"keywave/internal/version"
)

func (a *app) version() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Which build this is, with its Go and Temporal SDK", Args: exactly(),
		Example: "  keywave version --output json",
		RunE: func(*cobra.Command, []string) error {
			b := version.Of()
			return a.print(b, func(w io.Writer) { put(w, "keywave %v\n", b) })
		},
	}
}
