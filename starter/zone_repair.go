package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"keywave/internal/fleet"
	"keywave/internal/harmless"
	"keywave/internal/rotation"
	"keywave/internal/temporalclient"
	"keywave/workflows"
)

type zoneOptions struct {
	fleetFile string
	reason    string
	emergency bool
	strategy  string
	// acceptChanges has a running zone's live key delivered by the present
	// definitions of its hosts.
	acceptChanges bool
	selectors
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
			if _, err := o.chosen(""); err != nil {
				return err
			}
			if o.acceptChanges && o.reason == "" {
				return errors.New("--accept-changes delivers by definitions that differ from those that the operation began with; say why with --reason")
			}
			if len(args) == 0 {
				return a.repairChosen(cmd.Context(), o)
			}
			return a.runZone(cmd.Context(), verb, rotation.ZoneID(args[0]), o)
		},
	}
	cmd.Flags().StringVarP(&o.fleetFile, "fleet", "f", "", "the fleet file")
	cmd.Flags().StringVar(&o.reason, "reason", "", "why, for the record")
	if verb == rotation.Rotate {
		cmd.Flags().BoolVar(&o.emergency, "emergency", false, "waive the hosts' proofs; recorded")
		cmd.Flags().StringVar(&o.strategy, "strategy", "", "who makes the new key: "+strings.Join(rotation.Strategies(), " or ")+" (default: the fleet file's)")
	} else {
		cmd.Long = `Read the live key and deliver it to all hosts of one zone; never a refresh. Where an
operation runs on the zone already, it is joined and never doubled: it delivers at
once. Where the hosts are defined otherwise than when that operation began, the
differences are named, and --accept-changes has the live key delivered by the
present definitions; the workers must run with the same fleet file. Instead of a
zone, --zones, --label and --except choose several of the fleet's.`
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if !o.selection().Empty() {
				return exactly()(cmd, args)
			}
			return exactly("ZONE")(cmd, args)
		}
		o.flags(cmd)
		cmd.Flags().BoolVar(&o.acceptChanges, "accept-changes", false, "deliver by the present definitions of the hosts, although the operation that runs began with others; recorded")
	}
	return cmd
}

func (a *app) runZone(ctx context.Context, verb rotation.Verb, id rotation.ZoneID, o *zoneOptions) error {
	f, conn, err := a.wholeFleet(ctx, o.fleetFile, id)
	if err != nil {
		return err
	}
	defer conn.Close()
	return a.operate(ctx, conn, zoneIn(f, verb, id, o), o)
}

// operate carries an operation out, and shows how it ended.
func (a *app) operate(ctx context.Context, conn *temporalclient.Connection, in workflows.ZoneIn, o *zoneOptions) error {
	record, err := a.recordOf(ctx, conn, in, o)
	if err != nil {
		return err
	}
	if err := a.print(seen(record), func(w io.Writer) { showRecord(w, record) }); err != nil {
		return err
	}
	switch {
	case record.Outcome == rotation.Done:
		return nil
	case record.Outcome == rotation.Pending:
		return refused(fmt.Errorf("zone %s is pending: %s", in.Zone, record.Why))
	case record.Outcome == rotation.Unchanged && in.Former != nil:
		return notDone(fmt.Errorf("zone %s is unchanged, and has the key that it had; why: keywave zone show %s", in.Zone, in.Zone))
	}
	return notDone(fmt.Errorf("zone %s is %s; next: keywave zone repair %s -f %s", in.Zone, record.Outcome, in.Zone, o.fleetFile))
}

// recordOf carries an operation out where a worker is there for it, and no brake holds it.
func (a *app) recordOf(ctx context.Context, conn *temporalclient.Connection, in workflows.ZoneIn, o *zoneOptions) (rotation.Record, error) {
	if err := awaitWorker(ctx, conn); err != nil {
		return rotation.Record{}, err
	}
	if in.Verb == rotation.Rotate {
		if err := released(ctx, conn, in.Account); err != nil {
			return rotation.Record{}, err
		}
	}
	return a.carryOut(ctx, conn, in, o)
}

// carryOut starts an operation on a zone, or joins the one that runs there if it is
// to be repaired, and follows it to its end.
func (a *app) carryOut(ctx context.Context, conn *temporalclient.Connection, in workflows.ZoneIn, o *zoneOptions) (rotation.Record, error) {
	for range joinTries {
		run, err := startZone(ctx, conn, in)
		if err == nil {
			a.say("Zone %s: %s runs; leaving this command does not stop it.", in.Zone, whatOf(in))
			return a.followZone(ctx, conn, run, in.Zone)
		}
		switch taken := errors.As(err, new(*serviceerror.WorkflowExecutionAlreadyStarted)); {
		case !taken:
			return rotation.Record{}, refused(fmt.Errorf("zone %s cannot be started: %w", in.Zone, err))
		case in.Verb != rotation.Repair:
			return rotation.Record{}, busy(ctx, conn, in.Zone)
		}
		record, err := a.join(ctx, conn, in, o)
		if !errors.Is(err, errJustEnded) {
			return record, err
		}
	}
	return rotation.Record{}, busy(ctx, conn, in.Zone)
}

func startZone(ctx context.Context, conn *temporalclient.Connection, in workflows.ZoneIn) (client.WorkflowRun, error) {
	return conn.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: workflows.ZoneID(in.Zone), TaskQueue: workflows.Queue, WorkflowExecutionErrorWhenAlreadyStarted: true,
		TypedSearchAttributes: workflows.Searchable("", in.Zone, ""), WorkflowTaskTimeout: workflows.ZoneTask,
		StaticSummary: harmless.Summary(fmt.Sprintf("%s %s by %s", whatOf(in), in.Zone, in.By)),
	}, workflows.TypeZone, in)
}

// whatOf is what an operation does, in a word.
func whatOf(in workflows.ZoneIn) string {
	if in.Former != nil {
		return "rollback"
	}
	return string(in.Verb)
}

// chosen is the strategy that was asked for, or the fleet file's.
func (o *zoneOptions) chosen(byFile rotation.Strategy) (rotation.Strategy, error) {
	switch {
	case o.strategy == "":
		return byFile, nil
	case o.emergency && o.strategy == string(rotation.Staged):
		return "", errors.New("an emergency is a refresh: with the strategy staged nothing is switched that does not lie on every host")
	}
	return rotation.ParseStrategy(o.strategy)
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
	} else if verb == rotation.Rotate {
		if in.Strategy, _ = o.chosen(f.Campaign.Strategy); in.Strategy == rotation.Staged {
			in.RollbackFor = f.Campaign.RollbackFor
		}
	}
	for _, h := range z.Hosts {
		in.Hosts = append(in.Hosts, f.Hosts[h].Ref())
	}
	return in
}

// seen is a record as JSON shows it: the sealed copy of a former key is for workers.
func seen(r rotation.Record) rotation.Record {
	r.Former = unsealed(r.Former)
	return r
}

// unsealed is what people see of a former key.
func unsealed(f *rotation.Former) *rotation.Former {
	if f == nil {
		return nil
	}
	people := *f
	people.Kept = nil
	return &people
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
	if f := r.Former; f != nil && time.Now().Before(f.Until) {
		put(w, "former    %s is kept until %s; put it back: keywave zone rollback %s -f fleet.yaml --reason \"…\"\n", f.Key, f.Until.Local().Format(time.DateTime), r.Zone)
	}
	for _, h := range r.Acks {
		put(w, "host      %s acknowledged after %d ms\n", h.Host, h.Ms)
	}
	for _, h := range r.Missing {
		put(w, "host      %s did not acknowledge the live key\n", h)
	}
	for _, h := range r.Retired {
		put(w, "host      %s was retired; %s\n", h.Host, lastSeen(h.Held, r.To))
	}
}

// lastSeen is what a host held when it was last seen.
func lastSeen(held, live rotation.Fingerprint) string {
	switch held {
	case "":
		return "what it holds is not known"
	case rotation.Absent:
		return "it held no key when it was last seen"
	case live:
		return "it held the live key when it was last seen"
	}
	return "it held " + string(held) + " when it was last seen, which is not the live key"
}
