package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"keywave/internal/rotation"
	"keywave/internal/temporalclient"
	"keywave/workflows"
)

func (a *app) brakeTo(use, rate, short string) *cobra.Command {
	var account, reason string
	cmd := &cobra.Command{
		Use: use + " --reason R", Short: short, Args: exactly(),
		Example: fmt.Sprintf("  keywave brake %s --account default --reason \"incident 7\"", use),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if reason == "" {
				return errors.New("why? give --reason")
			}
			conn, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer conn.Close()
			whose, err := accountNamed(cmd.Context(), conn, account)
			if err != nil {
				return err
			}
			state, err := setBrake(cmd.Context(), conn, whose, rate, reason)
			if err != nil {
				return err
			}
			return a.print(state, func(w io.Writer) {
				fmt.Fprintln(w, state)
				if len(state.Campaigns) > 0 {
					fmt.Fprintf(w, "Told: %s.\n", strings.Join(state.Campaigns, ", "))
				}
			})
		},
	}
	cmd.Flags().StringVar(&account, "account", "", accountFlag)
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	return cmd
}

// tellWithin is how long an open campaign is waited for: the brake itself does
// not need it.
const tellWithin = 10 * time.Second

// setBrake limits the queue first, which needs no worker, and then tells the
// open campaigns.
func setBrake(ctx context.Context, conn *temporalclient.Connection, account rotation.Account, rate, reason string) (brakeState, error) {
	perSecond, err := workflows.ParseRate(rate)
	if err != nil {
		return brakeState{}, err
	}
	err = temporalclient.SetRate(ctx, conn, conn.Namespace, workflows.RefreshQueue(account), temporalclient.Rate{
		PerSecond: perSecond, By: operator(), Reason: reason,
	})
	if err != nil {
		return brakeState{}, fmt.Errorf("the brake of account %s was not set: %w", account, err)
	}
	state, err := brakeOf(ctx, conn, account)
	if err != nil {
		return state, err
	}
	rows, err := listCampaigns(ctx, conn)
	if err != nil {
		return state, err
	}
	for _, r := range rows {
		if r.EndedAt != nil {
			continue
		}
		one, cancel := context.WithTimeout(ctx, tellWithin)
		_, err := order(one, conn, r.Campaign, workflows.UpdateSet, workflows.Order{Account: account, Rate: rate, Reason: reason})
		cancel()
		if err == nil {
			state.Campaigns = append(state.Campaigns, r.Campaign)
		}
	}
	return state, nil
}
