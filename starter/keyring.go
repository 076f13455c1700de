package main

import (
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"keywave/internal/rotation"
	"keywave/internal/seal"
)

func (a *app) keyring() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use: "keyring", Short: "The keysets that keys are sealed with, one per location",
		Long: `A location's keyset is a public file (for the edgeone role, which seals) and a
private one (for the location's workers alone, which open). Losing a keyset loses
no key: keywave zone repair reads the live key again.`,
		Example: "  keywave keyring create hk\n  keywave keyring show",
		Args:    oneBelow, RunE: showHelp,
	}
	cmd.PersistentFlags().StringVar(&dir, "keyring", "", "directory of the keysets (default $XDG_DATA_HOME/keywave/keyring)")
	cmd.AddCommand(
		&cobra.Command{
			Use: "create LOCATION", Short: "Make a location's keyset", Args: exactly("LOCATION"),
			Example: "  keywave keyring create hk",
			RunE: func(_ *cobra.Command, args []string) error {
				return a.changeKeyring(dir, func(dir string) error { return seal.Create(dir, rotation.Location(args[0])) })
			},
		},
		&cobra.Command{
			Use: "rotate LOCATION", Short: "Give a location's keyset a new key; old ones still open for 30 days", Args: exactly("LOCATION"),
			Example: "  keywave keyring rotate hk",
			RunE: func(_ *cobra.Command, args []string) error {
				return a.changeKeyring(dir, func(dir string) error { return seal.Rotate(dir, rotation.Location(args[0]), time.Now()) })
			},
		},
		&cobra.Command{
			Use: "show", Short: "The keysets that are there, without any key", Args: exactly(),
			Example: "  keywave keyring show",
			RunE:    func(*cobra.Command, []string) error { return a.changeKeyring(dir, func(string) error { return nil }) },
		},
	)
	return cmd
}

// changeKeyring does something to the keyring and shows it.
func (a *app) changeKeyring(dir string, do func(string) error) error {
	if dir == "" {
		var err error
		if dir, err = seal.DefaultDir(); err != nil {
			return err
		}
	}
	if err := do(dir); err != nil {
		return refused(err)
	}
	infos, err := seal.Show(dir)
	if err != nil {
		return err
	}
	if infos == nil {
		infos = []seal.Info{}
	}
	return a.print(infos, func(w io.Writer) {
		put(w, "%s\n", dir)
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		put(t, "LOCATION\tPUBLIC KEYSET\tPRIMARY\tKEYS\tPRIVATE HERE\tPROBLEM\n")
		for _, i := range infos {
			put(t, "%s\t%s\t%d\t%d\t%v\t%s\n", i.Location, i.Fingerprint, i.Primary, len(i.Keys), i.Private, orDash(i.Problem))
		}
		_ = t.Flush()
	})
}
