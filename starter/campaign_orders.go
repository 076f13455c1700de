package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/temporal"

	"keywave/internal/plan"
	"keywave/internal/rotation"
	"keywave/internal/temporalclient"
	"keywave/workflows"
)

// campaignAnswersWithin is how long a campaign may take to answer an order. A pause or
// a cancel waits up to 30 s for its shards.
const campaignAnswersWithin = 90 * time.Second

// order sends an update to an open campaign and waits for its answer.
func order(ctx context.Context, conn *temporalclient.Connection, name, update string, o workflows.Order) (workflows.Answer, error) {
	var answer workflows.Answer
	if err := awaitWorker(ctx, conn); err != nil {
		return answer, err
	}
	o.By = operator()
	ctx, cancel := context.WithTimeout(ctx, campaignAnswersWithin)
	defer cancel()
	err := conn.Order(ctx, workflows.CampaignID(name), update, o, &answer)
	var app *temporal.ApplicationError
	if errors.As(err, &app) {
		return answer, refused(errors.New(app.Message()))
	}
	if errors.As(err, new(*serviceerror.NotFound)) {
		return answer, refused(fmt.Errorf("campaign %s is not open; see: keywave campaign status %s", name, name))
	}
	if err != nil {
		return answer, fmt.Errorf("campaign %s did not answer (%w); whether it obeys is not known, so look before you order again: keywave campaign status %s; is a worker with the orchestrator role running? keywave doctor", name, err, name)
	}
	return answer, nil
}

// has says whether the campaign's plan has the zone, the host, or the host in
// the zone: the campaign itself holds no lists, and would believe a wrong name.
func has(ctx context.Context, conn *temporalclient.Connection, name string, zone rotation.ZoneID, host rotation.HostName) (bool, error) {
	status, err := statusOf(ctx, conn, name)
	if err != nil {
		return false, err
	}
	plan, err := planOf(ctx, conn, status)
	if err != nil {
		return false, err
	}
	for n := range plan.Pages {
		page, err := pageOf(ctx, conn, plan.Name, n+1)
		if err != nil {
			return false, err
		}
		for _, z := range page.Zones {
			if (zone == "" || z.ID == zone) && (host == "" || holds(page, z, host)) {
				return true, nil
			}
		}
	}
	return false, nil
}

func holds(page plan.Page, z plan.PageZone, host rotation.HostName) bool {
	return slices.ContainsFunc(page.HostsOf(z), func(h rotation.HostRef) bool { return h.Name == host })
}

// campaignOrder is a command that sends one update with a reason.
func (a *app) campaignOrder(use, update, short string) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: use + " NAME", Short: short, Args: exactly("NAME"),
		Example: fmt.Sprintf("  keywave campaign %s spring-rotation --reason \"maintenance\"", use),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.give(cmd.Context(), args[0], update, workflows.Order{Reason: reason})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	return cmd
}

func (a *app) give(ctx context.Context, name, update string, o workflows.Order) error {
	conn, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return a.tell(ctx, conn, name, update, o)
}

func (a *app) tell(ctx context.Context, conn *temporalclient.Connection, name, update string, o workflows.Order) error {
	answer, err := order(ctx, conn, name, update, o)
	if err != nil {
		return err
	}
	return a.print(answer, func(w io.Writer) { put(w, "Campaign %s: %s.\n", name, answer.Text) })
}

func (a *app) campaignApprove() *cobra.Command {
	var o workflows.Order
	cmd := &cobra.Command{
		Use: "approve NAME --wave N", Short: "Let a wave that waits for a person begin", Args: exactly("NAME"),
		Example: "  keywave campaign approve spring-rotation --wave 2 --reason \"canary looks good\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.Wave < 1 {
				return errors.New("which wave? give --wave N")
			}
			return a.give(cmd.Context(), args[0], workflows.UpdateApprove, o)
		},
	}
	cmd.Flags().IntVar(&o.Wave, "wave", 0, "the wave's number")
	cmd.Flags().StringVar(&o.Reason, "reason", "", "why, for the record")
	return cmd
}

// budgetFlags are the numbers that set and resume can change.
func budgetFlags(cmd *cobra.Command, o *workflows.Order) func() {
	var window, failed, exposed int
	f := cmd.Flags()
	f.IntVar(&failed, "max-failed", 0, "new budget for zones unchanged, exposed or unknown")
	f.IntVar(&exposed, "max-exposed", 0, "new budget for exposed zones")
	f.IntVar(&window, "window", 0, "zones in flight")
	f.StringVar(&o.Reason, "reason", "", "why, for the record")
	return func() {
		for name, set := range map[string]func(){
			"window":      func() { o.Window = &window },
			"max-failed":  func() { o.MaxFailed = &failed },
			"max-exposed": func() { o.MaxExposed = &exposed },
		} {
			if f.Changed(name) {
				set()
			}
		}
	}
}

func (a *app) campaignSet() *cobra.Command {
	var o workflows.Order
	cmd := &cobra.Command{
		Use: "set NAME", Short: "Change window, budgets or rate of an open campaign", Args: exactly("NAME"),
		Long: `Change window or budgets of an open campaign, or the rate of refreshes. The rate is
the account's: it holds for all of its campaigns until it is set again, and cannot
lift the account's own limit. default is that limit; 0 puts the brake on, and release
puts it off (see keywave brake): neither changes a rate that was set. Where a campaign
has several accounts, --account says whose rate it is; each account has the whole
window.`,
		Example: "  keywave campaign set spring-rotation --window 20 --reason \"hosts are slow today\"\n  keywave campaign set spring-rotation --rate 5 --reason \"the origin is busy\"",
	}
	read := budgetFlags(cmd, &o)
	cmd.Flags().StringVar(&o.Rate, "rate", "", "refreshes a second of the whole account, or default")
	cmd.Flags().StringVar((*string)(&o.Account), "account", "", "whose rate, where the campaign has several accounts")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		read()
		conn, err := a.connect(cmd.Context())
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := a.tell(cmd.Context(), conn, args[0], workflows.UpdateSet, o); err != nil || o.Rate == "" {
			return err
		}
		return a.sayRate(cmd.Context(), conn, args[0], o.Account)
	}
	return cmd
}

// sayRate says that a rate set through a campaign limits the whole account, not that
// campaign alone.
func (a *app) sayRate(ctx context.Context, conn *temporalclient.Connection, name string, account rotation.Account) error {
	if account == "" {
		status, err := statusOf(ctx, conn, name)
		if err != nil {
			return err
		}
		account = status.Accounts[0].Account
	}
	state, err := brakeOf(ctx, conn, account)
	if err != nil {
		return err
	}
	a.say("%s", state)
	return nil
}

func (a *app) campaignSkip() *cobra.Command {
	var o workflows.Order
	cmd := &cobra.Command{
		Use: "skip-zone NAME ZONE --reason R", Short: "Exclude one zone of an open campaign", Args: exactly("NAME", "ZONE"),
		Long: `Exclude one zone of an open campaign. A zone that has not refreshed is left as it
is. One that is exposed is not delivered any more: its clients stay locked out
until keywave zone repair.`,
		Example: "  keywave campaign skip-zone spring-rotation zone-27q0p0bal192 --reason \"is being moved\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.Reason == "" {
				return errors.New("why? give --reason")
			}
			o.Zone = rotation.ZoneID(args[1])
			conn, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer conn.Close()
			there, err := has(cmd.Context(), conn, args[0], o.Zone, "")
			if err != nil {
				return err
			}
			if !there {
				return refused(fmt.Errorf("campaign %s has no zone %s; nothing was changed", args[0], o.Zone))
			}
			return a.tell(cmd.Context(), conn, args[0], workflows.UpdateSkip, o)
		},
	}
	cmd.Flags().StringVar(&o.Reason, "reason", "", "why, for the record")
	return cmd
}
