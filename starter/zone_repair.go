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
	"go.temporal.io/sdk/client"

	"keywave/internal/fleet"
	"keywave/internal/harmless"
	"keywave/internal/rotation"
	"keywave/workflows"
)

type zoneOptions struct {
	fleetFile string
	reason    string
	emergency bool
}

func (a *app) zoneVerb(verb rotation.Verb, short string) *cobra.Command {
	o := &zoneOptions{}
	cmd := &cobra.Command{
		Use: string(verb) + " ZONE -f fleet.yaml", Short: short, Args: exactly("ZONE"),
		Example: fmt.Sprintf("  keywave zone %s zone-27q0p0bal192 -f fleet.yaml --reason \"ticket 4711\"", verb),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.emergency && o.reason == "" {
				return errors.New("--emergency waives the hosts' proofs; say why with --reason")
			}
			return a.runZone(cmd.Context(), verb, rotation.ZoneID(args[0]), o)
		},
	}
	cmd.Flags().StringVarP(&o.fleetFile, "fleet", "f", "", "the fleet file")
	cmd.Flags().StringVar(&o.reason, "reason", "", "why, for the record")
	if verb == rotation.Rotate {
		cmd.Flags().BoolVar(&o.emergency, "emergency", false, "waive the hosts' proofs; recorded")
	}
	return cmd
}

func (a *app) runZone(ctx context.Context, verb rotation.Verb, id rotation.ZoneID, o *zoneOptions) error {
	f, conn, err := a.wholeFleet(ctx, o.fleetFile, id)
	if err != nil {
		return err
	}
	defer conn.Close()
	in := zoneIn(f, verb, id, o)
	if err := awaitWorker(ctx, conn); err != nil {
		return err
	}
	if verb == rotation.Rotate {
		if err := released(ctx, conn, in.Account); err != nil {
			return err
		}
	}
	run, err := conn.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: workflows.ZoneID(id), TaskQueue: workflows.Queue, WorkflowExecutionErrorWhenAlreadyStarted: true,
		TypedSearchAttributes: workflows.Searchable("", id, ""),
		StaticSummary:         harmless.Summary(fmt.Sprintf("%s %s by %s", verb, id, in.By)),
	}, workflows.TypeZone, in)
	if errors.As(err, new(*serviceerror.WorkflowExecutionAlreadyStarted)) {
		return refused(fmt.Errorf("zone %s is busy: one operation per zone at a time; what it does: keywave zone show %s", id, id))
	}
	if err != nil {
		return refused(fmt.Errorf("zone %s cannot be started: %w", id, err))
	}
	a.say("Zone %s: %s runs; leaving this command does not stop it.", id, verb)
	var record rotation.Record
	if err := run.Get(ctx, &record); err != nil {
		return fmt.Errorf("zone %s: its workflow ended without a record (%w); look: keywave zone show %s", id, err, id)
	}
	if err := a.print(record, func(w io.Writer) { showRecord(w, record) }); err != nil {
		return err
	}
	switch record.Outcome {
	case rotation.Done:
		return nil
	case rotation.Pending:
		return refused(fmt.Errorf("zone %s is pending: %s", id, record.Why))
	}
	return notDone(fmt.Errorf("zone %s is %s; next: keywave zone repair %s -f %s", id, record.Outcome, id, o.fleetFile))
}

// zoneIn asks for an operation on a zone of the fleet.
func zoneIn(f *fleet.Fleet, verb rotation.Verb, id rotation.ZoneID, o *zoneOptions) workflows.ZoneIn {
	z := f.Zones[slices.IndexFunc(f.Zones, func(z fleet.Zone) bool { return z.ID == id })]
	in := workflows.ZoneIn{
		Verb: verb, Zone: id, Name: z.Name, Account: z.Account, Timing: f.Campaign.Timing,
		By: operator(), Reason: o.reason,
	}
	if o.emergency {
		in.Emergency = o.reason
	}
	for _, h := range z.Hosts {
		in.Hosts = append(in.Hosts, f.Hosts[h].Ref())
	}
	return in
}

func showRecord(w io.Writer, r rotation.Record) {
	put(w, "zone      %s\noutcome   %s\n", r.Zone, r.Outcome)
	if r.Why != "" {
		put(w, "why       %s\n", r.Why)
	}
	if r.From != "" || r.To != "" {
		put(w, "key       %s → %s\n", orDash(string(r.From)), orDash(string(r.To)))
	}
	if r.RequestID != "" {
		put(w, "request   %s\n", r.RequestID)
	}
	if r.ExposureMs > 0 {
		put(w, "exposure  %s\n", time.Duration(r.ExposureMs)*time.Millisecond)
	}
	for _, h := range r.Acks {
		put(w, "host      %s acknowledged after %d ms\n", h.Host, h.Ms)
	}
	for _, h := range r.Missing {
		put(w, "host      %s does not hold the live key\n", h)
	}
}
