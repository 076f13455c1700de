package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"keywave/internal/rotation"
	"keywave/internal/temporalclient"
	"keywave/workflows"
)

func (a *app) brakeTo(use, rate, short string) *cobra.Command {
	cmd := &cobra.Command{
		Use: use + " --reason R", Short: short, Args: exactly(),
		Example: fmt.Sprintf("  keywave brake %s --account default --reason \"incident 7\"", use),
	}
	set := a.rateSetter(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return set(cmd.Context(), rate) }
	return cmd
}

func (a *app) brakeRate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "rate RATE --reason R", Short: "Limit an account's refreshes a second, in all campaigns; default lifts the limit", Args: exactly("RATE"),
		Long: `Limit the refreshes of an account, of all campaigns and people, until it is set
again. It needs no open campaign and no worker, and cannot lift the account's own
limit. While the brake is on it is refused.`,
		Example: "  keywave brake rate 5 --reason \"the origin is busy\"\n  keywave brake rate default --reason \"it is quiet\"",
	}
	set := a.rateSetter(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		perSecond, err := workflows.ParseRate(args[0])
		if err != nil || args[0] == workflows.RateRelease || perSecond != nil && *perSecond == 0 {
			return wrongUse(cmd, "rate %q is neither a number above 0 nor default; the brake is: keywave brake on", args[0])
		}
		return set(cmd.Context(), args[0])
	}
	return cmd
}

// rateSetter gives a command its flags, and sets an account's rate by them.
func (a *app) rateSetter(cmd *cobra.Command) func(ctx context.Context, rate string) error {
	var account, reason string
	cmd.Flags().StringVar(&account, "account", "", accountFlag)
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	return func(ctx context.Context, rate string) error {
		if reason == "" {
			return errNoReason
		}
		conn, err := a.connect(ctx)
		if err != nil {
			return err
		}
		defer conn.Close()
		whose, err := accountNamed(ctx, conn, account)
		if err != nil {
			return err
		}
		state, err := setBrake(ctx, conn, whose, rate, reason)
		if err != nil {
			return err
		}
		return a.print(state, func(w io.Writer) {
			put(w, "%v\n", state)
			if len(state.Campaigns) > 0 {
				put(w, "Told: %s.\n", strings.Join(state.Campaigns, ", "))
			}
			if len(state.Untold) > 0 {
				put(w, "These campaigns did not answer, and their refreshes wait all the same: %s.\n", strings.Join(state.Untold, ", "))
			}
		})
	}
}

// tellWithin is how long the command waits for the open campaigns; the brake works
// without their answer.
const tellWithin = 10 * time.Second

// setBrake limits the queue first, which needs no worker, and then tells the
// open campaigns.
func setBrake(ctx context.Context, conn *temporalclient.Connection, account rotation.Account, rate, reason string) (brakeState, error) {
	perSecond, err := workflows.ParseRate(rate)
	if err != nil {
		return brakeState{}, err
	}
	queue := workflows.RefreshQueue(account)
	if rate == workflows.RateRelease {
		_, err = temporalclient.ReleaseBrake(ctx, conn, conn.Namespace, queue, operator(), reason)
	} else {
		_, err = temporalclient.SetRate(ctx, conn, conn.Namespace, queue, temporalclient.Rate{PerSecond: perSecond, By: operator(), Reason: reason})
	}
	switch {
	case errors.As(err, new(temporalclient.Braked)):
		return brakeState{}, refused(fmt.Errorf("account %s: %w; release it first: keywave brake off --account %s --reason \"…\"", account, err, account))
	case err != nil:
		return brakeState{}, fmt.Errorf("the rate of account %s was not set: %w", account, err)
	}
	state, err := brakeOf(ctx, conn, account)
	if err != nil {
		return state, err
	}
	return state, state.tell(ctx, conn, workflows.Order{Account: account, Rate: rate, Reason: reason})
}

// tell tells the open campaigns, all at once. One that refuses has no zone of that
// account.
func (s *brakeState) tell(ctx context.Context, conn *temporalclient.Connection, o workflows.Order) error {
	rows, err := listCampaigns(ctx, conn)
	if err != nil {
		return err
	}
	rows = slices.DeleteFunc(rows, func(r campaignRow) bool { return r.EndedAt != nil })
	answers := make([]error, len(rows))
	ctx, cancel := context.WithTimeout(ctx, tellWithin)
	defer cancel()
	var asked sync.WaitGroup
	for i, r := range rows {
		asked.Go(func() { _, answers[i] = order(ctx, conn, r.Campaign, workflows.UpdateSet, o) })
	}
	asked.Wait()
	for i, r := range rows {
		switch err := answers[i]; {
		case err == nil:
			s.Campaigns = append(s.Campaigns, r.Campaign)
		case errors.Is(err, errNoWorker), !errors.As(err, new(*codedError)):
			s.Untold = append(s.Untold, r.Campaign)
		}
	}
	return nil
}
