package main

import (
	"io"
	"slices"
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
private one (for the location's workers alone, which open). An account has a keyset
only for the strategy staged: one file, for the account's edgeone workers alone.
Losing a keyset loses no key: keywave zone repair reads the live key again.`,
		Example: "  keywave keyring create hk\n  keywave keyring show",
		Args:    oneBelow, RunE: showHelp,
	}
	cmd.PersistentFlags().StringVar(&dir, "keyring", "", "directory of the keysets (default $XDG_DATA_HOME/keywave/keyring)")
	cmd.AddCommand(
		a.keyringChange(&dir, "create", "Make the keyset of a location, or of an account", seal.Create, seal.CreateAccount),
		a.keyringChange(&dir, "rotate", "Give a keyset a new key; old ones still open for 30 days",
			func(dir string, l rotation.Location) error { return seal.Rotate(dir, l, time.Now()) },
			func(dir string, account rotation.Account) error { return seal.RotateAccount(dir, account, time.Now()) }),
		&cobra.Command{
			Use: "show", Short: "The keysets that are there, without any key", Args: exactly(),
			Example: "  keywave keyring show",
			RunE:    func(*cobra.Command, []string) error { return a.changeKeyring(dir, func(string) error { return nil }) },
		},
	)
	return cmd
}

// keyringChange is a command that changes one keyset: a location's or an
// account's.
func (a *app) keyringChange(dir *string, verb, short string, location func(string, rotation.Location) error, account func(string, rotation.Account) error) *cobra.Command {
	var of string
	cmd := &cobra.Command{
		Use: verb + " LOCATION | --account NAME", Short: short,
		Example: "  keywave keyring " + verb + " hk\n  keywave keyring " + verb + " --account default",
		Args: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 1) == (of != "") {
				return wrongUse(cmd, "%s takes either LOCATION or --account NAME", verb)
			}
			return cobra.MaximumNArgs(1)(cmd, args)
		},
		RunE: func(_ *cobra.Command, args []string) error {
			return a.changeKeyring(*dir, func(dir string) error {
				if of != "" {
					return account(dir, rotation.Account(of))
				}
				return location(dir, rotation.Location(args[0]))
			})
		},
	}
	cmd.Flags().StringVar(&of, "account", "", "the keyset of an account, for the strategy staged; its edgeone workers alone may have it")
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
		accounts := slices.IndexFunc(infos, func(i seal.Info) bool { return i.Account != "" })
		if accounts < 0 {
			accounts = len(infos)
		}
		for _, i := range infos[:accounts] {
			put(t, "%s\t%s\t%d\t%d\t%v\t%s\n", i.Location, i.Fingerprint, i.Primary, len(i.Keys), i.Private, orDash(i.Problem))
		}
		_ = t.Flush()
		showAccountKeysets(w, infos[accounts:])
	})
}

func showAccountKeysets(w io.Writer, infos []seal.Info) {
	if len(infos) == 0 {
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	put(t, "\nACCOUNT\tKEYSET\tPRIMARY\tKEYS\tPROBLEM\n")
	for _, i := range infos {
		put(t, "%s\t%s\t%d\t%d\t%s\n", i.Account, i.Fingerprint, i.Primary, len(i.Keys), orDash(i.Problem))
	}
	_ = t.Flush()
}
