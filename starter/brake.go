package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/api/workflowservice/v1"

	"keywave/internal/rotation"
	"keywave/internal/temporalclient"
	"keywave/workflows"
)

func (a *app) brake() *cobra.Command {
	cmd := &cobra.Command{
		Use: "brake", Short: "Stop and release all refreshes of an account, in all campaigns",
		Long: `Stop all refreshes of an account at once: those of every campaign and of every
person. Deliveries and reads go on, so no exposed zone is held up. Open campaigns
of the account pause; where they have other accounts too, only its zones wait.
They go on by themselves once the brake is released.`,
		Example: "  keywave brake on --reason \"incident 7\"\n  keywave brake off --reason \"incident 7 is over\"",
		Args:    oneBelow, RunE: showHelp,
	}
	cmd.AddCommand(a.brakeTo("on", "0", "Let no refresh of an account start any more"), a.brakeTo("off", workflows.RateRelease, "Let an account's refreshes start again, at the rate that was set before"), a.brakeRate(), a.brakeShow())
	return cmd
}

// brakeState is what the brake commands print.
type brakeState struct {
	Account rotation.Account `json:"account"`
	// Rate is in refreshes a second; null is the account's own pace.
	Rate   *float32   `json:"rate"`
	By     string     `json:"by,omitempty"`
	Reason string     `json:"reason,omitempty"`
	At     *time.Time `json:"at,omitempty"`
	// Under is the rate that stands again once the brake is released.
	Under *float32 `json:"under,omitempty"`
	// Campaigns are the open ones that were told.
	Campaigns []string `json:"campaigns,omitempty"`
	// Untold are those that did not answer: their refreshes wait in the queue.
	Untold []string `json:"untold,omitempty"`
}

func (s brakeState) on() bool { return s.Rate != nil && *s.Rate == 0 }

func (s brakeState) String() string {
	switch {
	case s.Rate == nil:
		return fmt.Sprintf("The brake of account %s is off; refreshes run at the account's pace.", s.Account)
	case *s.Rate == 0:
		text := fmt.Sprintf("The brake of account %s is on since %s, by %s: %s.", s.Account, s.At.Local().Format(time.DateTime), s.By, s.Reason)
		if s.Under != nil {
			text += fmt.Sprintf(" Released, refreshes run at most %v a second, as was set before.", *s.Under)
		}
		return text
	}
	return fmt.Sprintf("The brake of account %s is off; all of its refreshes, of every campaign and person, are limited to %s.", s.Account, s.limit())
}

// limit is the rate that somebody set, "5 a second since …, by ann: why"; empty
// where none stands.
func (s brakeState) limit() string {
	if s.Rate == nil || s.on() {
		return ""
	}
	return fmt.Sprintf("%v a second since %s, by %s: %s", *s.Rate, s.At.Local().Format(time.DateTime), s.By, s.Reason)
}

// limited puts into the status of an open campaign what each of its accounts is
// limited to. Where that cannot be read the rest of the status is true all the same.
func (a *app) limited(ctx context.Context, conn *temporalclient.Connection, s *workflows.Status) {
	if s.State.Closed() {
		return
	}
	for i := range s.Accounts {
		state, err := brakeOf(ctx, conn, s.Accounts[i].Account)
		if err != nil {
			a.say("Nobody could say whether the refreshes are limited: %v.", err)
			continue
		}
		s.Accounts[i].Rate = state.limit()
	}
}

const accountFlag = "the account's name in the fleet file (default: the only one that has workers)"

// accountNamed is the account that a person named, or the only one whose workers
// have ever taken its lease.
func accountNamed(ctx context.Context, conn *temporalclient.Connection, name string) (rotation.Account, error) {
	if name != "" {
		return rotation.Account(name), nil
	}
	found, err := conn.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		Query: fmt.Sprintf("WorkflowType = '%s' AND ExecutionStatus = 'Running'", workflows.TypeLease),
	})
	if err != nil {
		return "", fmt.Errorf("accounts cannot be listed, name one with --account: %w", err)
	}
	var all []rotation.Account
	for _, e := range found.GetExecutions() {
		if name, is := strings.CutPrefix(e.GetExecution().GetWorkflowId(), workflows.LeaseID("")); is { // not the lease of early reads
			all = append(all, rotation.Account(name))
		}
	}
	slices.Sort(all)
	switch len(all) {
	case 0:
		return "", refused(errors.New("no worker has ever called EdgeOne through this Temporal, so its accounts are not known; say which: --account NAME, as in the fleet file"))
	case 1:
		return all[0], nil
	}
	return "", refused(fmt.Errorf("there are %s, each with a brake of its own; say which one: --account %s", rotation.AccountsText(all), all[0]))
}

// released refuses to start anything while the account's brake is on.
func released(ctx context.Context, conn *temporalclient.Connection, account rotation.Account) error {
	state, err := brakeOf(ctx, conn, account)
	if err != nil || !state.on() {
		return err
	}
	return refused(fmt.Errorf("%s Nothing was started; release it: keywave brake off --account %s --reason \"…\"", state, account))
}

// brakeOf reads the limit that Temporal holds for the account's refreshes.
func brakeOf(ctx context.Context, conn *temporalclient.Connection, account rotation.Account) (brakeState, error) {
	state := brakeState{Account: account}
	now, err := temporalclient.RateOf(ctx, conn, conn.Namespace, workflows.RefreshQueue(account))
	if err != nil {
		return state, fmt.Errorf("the brake of account %s cannot be read: %w", account, err)
	}
	state.Rate, state.By, state.Reason = now.PerSecond, now.By, now.Reason
	if now.PerSecond != nil {
		state.At = &now.At
	}
	if now.Under != nil {
		state.Under = now.Under.PerSecond
	}
	return state, nil
}
