package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflow/v1"

	"keywave/internal/fleet"
	"keywave/internal/planning"
	"keywave/internal/rotation"
	"keywave/internal/temporalclient"
	"keywave/workflows"
)

func (a *app) zoneRollback() *cobra.Command {
	o := &zoneOptions{}
	cmd := &cobra.Command{
		Use: "rollback ZONE -f fleet.yaml --reason R", Short: "Put back the key that a zone's latest rotation replaced, where it was kept", Args: exactly("ZONE"),
		Long: `Put back the key that the latest rotation of a zone replaced. It was kept if campaign:
rollbackFor was set, with the strategy staged, and only for as long as that says. The key goes
to all hosts of the zone first, then EdgeOne takes it. Before that the live key is read:
where it is not the one that the rotation set, nothing is sent. A rollback keeps no former
key itself.`,
		Example: "  keywave zone rollback zone-27q0p0bal192 -f fleet.yaml --reason \"ticket 4711\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.reason == "" {
				return errors.New("a rollback puts a key back that was to be replaced; say why with --reason")
			}
			return a.rollbackZone(cmd.Context(), rotation.ZoneID(args[0]), o)
		},
	}
	cmd.Flags().StringVarP(&o.fleetFile, "fleet", "f", "", "the fleet file")
	cmd.Flags().StringVar(&o.reason, "reason", "", "why, for the record")
	return cmd
}

func (a *app) rollbackZone(ctx context.Context, id rotation.ZoneID, o *zoneOptions) error {
	f, conn, err := a.wholeFleet(ctx, o.fleetFile, id)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := allowed(f, o.fleetFile); err != nil {
		return err
	}
	former, err := formerOf(ctx, conn, id, planning.LandsFor(f.Campaign.Timing))
	if err != nil {
		return err
	}
	if old := planning.TooOld(former, f.Campaign.RollbackFor.D(), time.Now()); old != "" {
		return noWayBack(id, fmt.Sprintf("its former key was kept at %s, and may not be put back any more", stamp(former.At)))
	}
	return a.operate(ctx, conn, rollbackIn(f, id, former, o), o)
}

// rollbackIn asks for a former key to be put back.
func rollbackIn(f *fleet.Fleet, id rotation.ZoneID, former rotation.Former, o *zoneOptions) workflows.ZoneIn {
	in := zoneIn(f, rotation.Rotate, id, o)
	in.Strategy, in.RollbackFor, in.Former, in.Baseline = rotation.Staged, 0, &former, former.For
	return in
}

// noWayBack refuses, and says what can be done instead.
func noWayBack(id rotation.ZoneID, why string) error {
	return refused(fmt.Errorf("zone %s cannot be rolled back, and nothing was changed: %s; go forward instead: keywave zone rotate %s -f fleet.yaml", id, why, id))
}

func stamp(at time.Time) string { return at.Local().Format(time.DateTime) }

// formerOf is the key that a zone's latest rotation replaced and kept. An operation that
// changed no key is passed over. Nothing is put back while a request of one that was not
// done may still be executed, for lands after its end.
func formerOf(ctx context.Context, conn *temporalclient.Connection, id rotation.ZoneID, lands time.Duration) (rotation.Former, error) {
	runs, err := listAll(ctx, conn, fmt.Sprintf("WorkflowType = '%s' AND WorkflowId = '%s'", workflows.TypeZone, workflows.ZoneID(rotation.ZoneID(safeQuery(string(id))))))
	if err != nil {
		return rotation.Former{}, err
	}
	slices.SortFunc(runs, func(a, b *workflow.WorkflowExecutionInfo) int {
		return b.GetStartTime().AsTime().Compare(a.GetStartTime().AsTime())
	})
	for _, run := range runs {
		switch run.GetStatus() {
		case enums.WORKFLOW_EXECUTION_STATUS_RUNNING:
			return rotation.Former{}, busy(ctx, conn, id)
		case enums.WORKFLOW_EXECUTION_STATUS_COMPLETED:
		default: // ended in Temporal: whether its key is live is read before the switch
			if err := noRequestLeft(id, run, lands); err != nil {
				return rotation.Former{}, err
			}
			continue
		}
		former, done, err := formerIn(ctx, conn, id, run, lands)
		if done || err != nil {
			return former, err
		}
	}
	return rotation.Former{}, noWayBack(id, "Temporal knows no rotation of it")
}

// noRequestLeft refuses while a request of an operation that was not done may still be executed.
func noRequestLeft(id rotation.ZoneID, run *workflow.WorkflowExecutionInfo, lands time.Duration) error {
	until := run.GetCloseTime().AsTime().Add(lands)
	if time.Now().After(until) {
		return nil
	}
	return refused(fmt.Errorf("zone %s cannot be rolled back yet, and nothing was changed: a request of its operation that ended at %s may still be executed; roll it back after %s", id, stamp(run.GetCloseTime().AsTime()), stamp(until)))
}

// formerIn is the former key that one operation left; done is false when it changed no
// key, so that an earlier one counts.
func formerIn(ctx context.Context, conn *temporalclient.Connection, id rotation.ZoneID, run *workflow.WorkflowExecutionInfo, lands time.Duration) (former rotation.Former, done bool, err error) {
	runID := run.GetExecution().GetRunId()
	var in workflows.ZoneIn
	var record rotation.Record
	if err = temporalclient.Input(ctx, conn, workflows.ZoneID(id), runID, &in); err == nil {
		err = conn.GetWorkflow(ctx, workflows.ZoneID(id), runID).Get(ctx, &record)
	}
	switch {
	case err != nil:
		return former, false, fmt.Errorf("an operation of zone %s cannot be read: %w", id, err)
	case in.Verb != rotation.Rotate || !planning.MayHaveChanged(record.Outcome):
		return former, false, nil
	case record.Outcome != rotation.Done:
		err = noRequestLeft(id, run, lands)
	}
	if err != nil {
		return former, true, err
	}
	if record.Former != nil {
		return *record.Former, true, nil
	}
	by, why := in.By, "kept no former key"
	if in.Campaign != "" {
		by = "campaign " + in.Campaign
	}
	switch {
	case in.Former != nil:
		why = "was a rollback, which keeps no former key"
	case in.Strategy != rotation.Staged || in.Emergency != "":
		why += ": EdgeOne made the new one (strategy refresh), and the former is dead"
	case in.RollbackFor == 0:
		why += ": rollbackFor was not set"
	}
	return former, true, noWayBack(id, fmt.Sprintf("its latest rotation, at %s by %s, %s", stamp(run.GetCloseTime().AsTime()), orDash(by), why))
}
