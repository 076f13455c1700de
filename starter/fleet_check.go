package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"keywave/internal/fleet"
	"keywave/internal/rotation"
)

func (a *app) fleet() *cobra.Command {
	cmd := &cobra.Command{
		Use: "fleet", Short: "Check a fleet file, and its JSON Schema for editors",
		Example: "  keywave fleet check fleet.yaml\n  keywave fleet schema > fleet.schema.json",
		Args:    oneBelow, RunE: showHelp,
	}
	cmd.AddCommand(a.fleetCheck(), a.fleetSchema())
	return cmd
}

// checkedFleet is what a fleet file has, or all that is wrong in it.
type checkedFleet struct {
	File      string              `json:"file"`
	Mistakes  []mistake           `json:"mistakes"`
	Accounts  []rotation.Account  `json:"accounts,omitempty"`
	Locations []rotation.Location `json:"locations,omitempty"`
	Hosts     int                 `json:"hosts"`
	Zones     int                 `json:"zones"`
	// From is where the zones come from, when they do not stand in the file. Those
	// that EdgeOne lists are not counted.
	From   string `json:"from,omitempty"`
	Digest string `json:"digest,omitempty"`
	listed bool
}

// mistake is a fleet.Mistake; its line and column are 0 where they are not known.
type mistake struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
	Text   string `json:"text"`
}

func (a *app) fleetCheck() *cobra.Command {
	return &cobra.Command{
		Use: "check FILE", Short: "All mistakes of a fleet file, with line and column; asks nobody else", Args: exactly("FILE"),
		Long: `Read a fleet file as every other command and every worker does, and the table of
zones that it names. All mistakes go to standard output, a line for each, as
file:line:column: text, and the exit code is 3. Neither Temporal nor EdgeOne is
asked: zones that EdgeOne lists are not known here.`,
		Example: "  keywave fleet check fleet.yaml",
		RunE: func(_ *cobra.Command, args []string) error {
			c := checkedFleet{File: args[0], Mistakes: []mistake{}}
			f, err := fleet.Read(args[0])
			found, wrong := errors.AsType[fleet.Mistakes](err)
			switch {
			case wrong:
				for _, m := range found {
					c.Mistakes = append(c.Mistakes, mistake{m.File, m.Line, m.Column, m.Text})
				}
			case err != nil:
				return refused(err)
			default:
				c.have(f)
			}
			if err := a.print(c, func(w io.Writer) { c.show(w, found) }); err != nil || !wrong {
				return err
			}
			return refused(fmt.Errorf("%s in %s; nothing was touched", many(len(found), "mistake"), args[0]))
		},
	}
}

func (c *checkedFleet) have(f *fleet.Fleet) {
	c.Accounts, c.Locations = f.AccountNames(), f.Locations
	c.Hosts, c.Zones, c.From, c.listed = len(f.Hosts), len(f.Zones), f.Source.String(), f.Listed()
	if !c.listed {
		c.Digest = f.Digest
	}
}

func (c *checkedFleet) show(w io.Writer, wrong fleet.Mistakes) {
	for _, m := range wrong {
		put(w, "%s\n", m)
	}
	if len(wrong) > 0 {
		return
	}
	zones := many(c.Zones, "zone")
	if c.listed {
		zones = "zones as EdgeOne lists them"
	}
	put(w, "%s has no mistake: %s, %s in %s, %s.\n", c.File, zones, many(c.Hosts, "host"), many(len(c.Locations), "location"), many(len(c.Accounts), "account"))
	if c.From != "" {
		put(w, "The zones come from %s.\n", c.From)
	}
	if c.listed {
		put(w, "keywave plan finds out which zones these are, and whether each has a host.\n")
	}
}
