package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// Wrong use is one line that ends with where to read more.

func wrongUse(cmd *cobra.Command, format string, args ...any) error {
	return fmt.Errorf("%s; see %s --help", fmt.Sprintf(format, args...), cmd.CommandPath())
}

// exactly wants the named arguments.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == len(names):
			return nil
		case len(names) == 0:
			return wrongUse(cmd, "%s takes no arguments, and %q is one%s", cmd.Name(), args[0], meant(cmd, args[0]))
		}
		return wrongUse(cmd, "%s takes %s", cmd.Name(), strings.Join(names, " and "))
	}
}

// oneBelow wants the name of a command below cmd, which cobra would have found.
func oneBelow(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return wrongUse(cmd, "there is no command %q%s", args[0], meant(cmd, args[0]))
}

// meant names the commands below cmd whose names are close to a word.
func meant(cmd *cobra.Command, word string) string {
	cmd.SuggestionsMinimumDistance = 2
	near := cmd.SuggestionsFor(word)
	if len(near) == 0 {
		return ""
	}
	return fmt.Sprintf(" (did you mean %s?)", strings.Join(near, " or "))
}

func showHelp(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// helpCommand is cobra's, except that an unknown topic is wrong use.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]…", Short: "Help about any command",
		Example: "  keywave help campaign start",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return wrongUse(cmd.Root(), "there is no command %q", strings.Join(args, " "))
			}
			return about.Help()
		},
	}
}

// completions gives cobra's completion commands what all others have.
func completions(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() != "completion" {
			continue
		}
		cmd.Args, cmd.RunE, cmd.Example = oneBelow, showHelp, "  source <(keywave completion bash)"
		for _, shell := range cmd.Commands() {
			shell.Args, shell.Example = exactly(), "  keywave completion "+shell.Name()
		}
	}
}
