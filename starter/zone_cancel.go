package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"

	"keywave/internal/rotation"
	"keywave/internal/temporalclient"
	"keywave/workflows"
)

// cancelled says what became of an operation that was cancelled.
type cancelled struct {
	Zone rotation.ZoneID `json:"zone"`
	// Stopped is false when a refresh may have been sent: then the operation goes on.
	Stopped bool             `json:"stopped"`
	Outcome rotation.Outcome `json:"outcome,omitempty"`
	Text    string           `json:"text"`
}

func (a *app) zoneCancel() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "cancel ZONE --reason R", Short: "Stop a zone's operation, unless its refresh may have been sent", Args: exactly("ZONE"),
		Long: `Stop the operation that a person began on a zone. One that has sent nothing stops,
and the old key stays alive. One that may have refreshed goes on until its hosts
hold the live key, and so does a repair: the command says which of the two. A zone
of a campaign is the campaign's: keywave campaign skip-zone.`,
		Example: "  keywave zone cancel zone-27q0p0bal192 --reason \"wrong zone\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			if reason == "" {
				return errors.New("why? give --reason")
			}
			conn, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer conn.Close()
			c, err := cancelZone(cmd.Context(), conn, rotation.ZoneID(args[0]), reason)
			if err != nil {
				return err
			}
			return a.print(c, func(w io.Writer) { put(w, "Zone %s: %s.\n", c.Zone, c.Text) })
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	return cmd
}

func cancelZone(ctx context.Context, conn *temporalclient.Connection, id rotation.ZoneID, reason string) (cancelled, error) {
	b, runs, err := busyWith(ctx, conn, id)
	switch {
	case err != nil:
		return cancelled{}, err
	case !runs:
		return cancelled{}, refused(fmt.Errorf("no operation runs on zone %s; nothing was changed; how its latest ended: keywave zone show %s", id, id))
	case b.in.Campaign != "":
		return cancelled{}, refused(fmt.Errorf("zone %s is under way for campaign %s; nothing was changed; leave it out: keywave campaign skip-zone %s %s --reason \"…\"", id, b.in.Campaign, b.in.Campaign, id))
	}
	if err := awaitWorker(ctx, conn); err != nil {
		return cancelled{}, err
	}
	_, err = conn.WorkflowService().RequestCancelWorkflowExecution(ctx, &workflowservice.RequestCancelWorkflowExecutionRequest{
		Namespace: conn.Namespace, Identity: operator(), Reason: reason,
		WorkflowExecution: &common.WorkflowExecution{WorkflowId: workflows.ZoneID(id), RunId: b.run},
	})
	if err != nil && !errors.As(err, new(*serviceerror.NotFound)) && !errors.As(err, new(*serviceerror.CancellationAlreadyRequested)) { // it has just ended, or was told before
		return cancelled{}, fmt.Errorf("zone %s could not be told: %w", id, err)
	}
	return awaitCancelled(ctx, conn, id, b.run)
}

// awaitCancelled waits until the zone has stopped, or says that it goes on.
func awaitCancelled(ctx context.Context, conn *temporalclient.Connection, id rotation.ZoneID, run string) (cancelled, error) {
	ctx, cancel := context.WithTimeout(ctx, orderWithin)
	defer cancel()
	for tick := time.Tick(triggerEvery); ; {
		if c, told := whatBecame(ctx, conn, id, run); told {
			return c, nil
		}
		select {
		case <-ctx.Done():
			return cancelled{}, fmt.Errorf("zone %s was told to stop, and has not said within %s whether its refresh was sent; a refresh that has not begun is not sent any more; see: keywave zone show %s", id, orderWithin, id)
		case <-tick:
		}
	}
}

// whatBecame asks a zone that was told to stop; false while it cannot be said.
func whatBecame(ctx context.Context, conn *temporalclient.Connection, id rotation.ZoneID, run string) (cancelled, bool) {
	c := cancelled{Zone: id}
	described, err := conn.DescribeWorkflowExecution(ctx, workflows.ZoneID(id), run)
	if err != nil {
		return c, false
	}
	if described.GetWorkflowExecutionInfo().GetStatus() != enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
		var r rotation.Record
		if conn.GetWorkflow(ctx, workflows.ZoneID(id), run).Get(ctx, &r) != nil {
			return c, false
		}
		c.Outcome, c.Stopped, c.Text = r.Outcome, true, "its operation had ended: "+string(r.Outcome)
		if r.Outcome == rotation.Pending {
			c.Text = "stopped; no refresh was sent, the old key is alive"
		}
		return c, true
	}
	answer, err := conn.QueryWorkflow(ctx, workflows.ZoneID(id), run, workflows.QueryTrip)
	var t rotation.Trip
	if err != nil || answer.Get(&t) != nil || !t.Stop || t.Ended != "" {
		return c, false
	}
	switch {
	case t.Verb == rotation.Repair:
		c.Text = "goes on: a repair sends no refresh, and delivers until the hosts hold the live key"
	case t.MayHaveRefreshed():
		c.Text = "goes on: its refresh may have been sent, and it delivers until the hosts hold the live key; it sends no further refresh"
	default:
		return c, false
	}
	if at := tripText(&t); at != "" {
		c.Text += "; now " + at
	}
	return c, true
}
