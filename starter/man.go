package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// manual is what man prints.
type manual struct {
	Dir   string   `json:"dir"`
	Pages []string `json:"pages"`
}

func (a *app) manual() *cobra.Command {
	return &cobra.Command{
		Use: "man DIR", Short: "Write a man page for every command", Args: exactly("DIR"),
		Example: "  keywave man ~/.local/share/man/man1\n  man keywave-campaign-start",
		RunE: func(cmd *cobra.Command, args []string) error {
			m := manual{Dir: args[0]}
			if err := os.MkdirAll(m.Dir, 0o755); err != nil {
				return fmt.Errorf("the man pages cannot be written: %w", err)
			}
			cmd.Root().DisableAutoGenTag = true
			if err := doc.GenManTree(cmd.Root(), &doc.GenManHeader{Section: "1", Source: "Keywave", Manual: "Keywave"}, m.Dir); err != nil {
				return fmt.Errorf("the man pages cannot be written: %w", err)
			}
			pages, err := filepath.Glob(filepath.Join(m.Dir, "keywave*.1"))
			if err != nil {
				return err
			}
			for _, page := range pages {
				m.Pages = append(m.Pages, filepath.Base(page))
			}
			return a.print(m, func(w io.Writer) { put(w, "%s: %s\n", m.Dir, many(len(m.Pages), "page")) })
		},
	}
}
