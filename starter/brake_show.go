package main

import (
	"io"

	"github.com/spf13/cobra"
)

func (a *app) brakeShow() *cobra.Command {
	var account string
	cmd := &cobra.Command{
		Use: "show", Short: "Whether the brake of an account is on, since when, by whom and why", Args: exactly(),
		Example: "  keywave brake show --account default",
		RunE: func(cmd *cobra.Command, _ []string) error {
			conn, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer conn.Close()
			whose, err := accountNamed(cmd.Context(), conn, account)
			if err != nil {
				return err
			}
			state, err := brakeOf(cmd.Context(), conn, whose)
			if err != nil {
				return err
			}
			return a.print(state, func(w io.Writer) { put(w, "%v\n", state) })
		},
	}
	cmd.Flags().StringVar(&account, "account", "", accountFlag)
	return cmd
}
