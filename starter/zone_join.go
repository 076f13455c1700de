package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/temporal"

	"keywave/internal/fleet"
	"keywave/internal/plan"
	"keywave/internal/rotation"
	"keywave/internal/temporalclient"
	"keywave/workflows"
)

// busyZone is an operation that runs on a zone.
type busyZone struct {
	run     string
	in      workflows.ZoneIn
	started time.Time
}

// whose is "campaign spring rotates it since 10:02:03".
func (b busyZone) whose() string {
	by := b.in.By
	if b.in.Campaign != "" {
		by = "campaign " + b.in.Campaign
	}
	does := string(b.in.Verb) + "s it"
	if b.in.Former != nil {
		does = "rolls it back"
	}
	return fmt.Sprintf("%s %s since %s", orDash(by), does, b.started.Local().Format(time.TimeOnly))
}

// busyWith looks at the operation that runs on a zone; false when none does. No
// worker is needed.
func busyWith(ctx context.Context, conn *temporalclient.Connection, id rotation.ZoneID) (busyZone, bool, error) {
	var b busyZone
	described, err := conn.DescribeWorkflowExecution(ctx, workflows.ZoneID(id), "")
	if errors.As(err, new(*serviceerror.NotFound)) {
		return b, false, nil
	}
	if err != nil {
		return b, false, fmt.Errorf("zone %s cannot be read: %w", id, err)
	}
	info := described.GetWorkflowExecutionInfo()
	b.run, b.started = info.GetExecution().GetRunId(), info.GetStartTime().AsTime()
	if info.GetStatus() != enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
		return b, false, nil
	}
	if err := temporalclient.Input(ctx, conn, workflows.ZoneID(id), b.run, &b.in); err != nil {
		return b, false, fmt.Errorf("the history of zone %s cannot be read: %w", id, err)
	}
	return b, true, nil
}

// busy says that a zone has an operation already, and whose.
func busy(ctx context.Context, conn *temporalclient.Connection, id rotation.ZoneID) error {
	whose := ""
	if b, runs, err := busyWith(ctx, conn, id); err == nil && runs {
		whose = ": " + b.whose()
	}
	return refused(fmt.Errorf("zone %s is busy%s; one operation per zone at a time; what it does: keywave zone show %s", id, whose, id))
}

// joinTries bounds how often a repair is started again because the operation that it
// was to join has just ended.
const joinTries = 3

var errJustEnded = errors.New("its operation has just ended")

// join lets the operation that runs on a zone deliver the live key at once, and
// follows it to its end. A zone never has two operations.
func (a *app) join(ctx context.Context, conn *temporalclient.Connection, in workflows.ZoneIn, o *zoneOptions) (rotation.Record, error) {
	var record rotation.Record
	b, runs, err := busyWith(ctx, conn, in.Zone)
	switch {
	case err != nil:
		return record, err
	case !runs:
		return record, errJustEnded
	}
	answer, err := orderRepair(ctx, conn, in, o)
	if err != nil {
		return record, err
	}
	a.say("Zone %s: %s; this joins it: %s.", in.Zone, b.whose(), answer.Text)
	for _, d := range named(ctx, conn, b, in.Hosts, answer.Differences) {
		a.say("  %s", d)
	}
	if len(answer.Differences) > 0 && !o.acceptChanges {
		return record, notDone(fmt.Errorf("the definitions of the hosts of zone %s changed after its operation began, so it goes on with the old ones; deliver the live key with the present ones: keywave zone repair %s -f %s --accept-changes --reason \"…\"", in.Zone, in.Zone, o.fleetFile))
	}
	return a.followZone(ctx, conn, conn.GetWorkflow(ctx, workflows.ZoneID(in.Zone), b.run), in.Zone)
}

// orderRepair sends the update, and says what it means that nobody answers.
func orderRepair(ctx context.Context, conn *temporalclient.Connection, in workflows.ZoneIn, o *zoneOptions) (workflows.RepairAnswer, error) {
	var answer workflows.RepairAnswer
	ctx, cancel := context.WithTimeout(ctx, orderWithin)
	defer cancel()
	err := conn.Order(ctx, workflows.ZoneID(in.Zone), workflows.UpdateRepair,
		workflows.RepairOrder{Hosts: in.Hosts, AcceptChanges: o.acceptChanges, By: operator(), Reason: o.reason}, &answer)
	var app *temporal.ApplicationError
	switch {
	case err == nil:
		return answer, nil
	case errors.As(err, &app) && strings.Contains(app.Message(), errJustEnded.Error()), errors.As(err, new(*serviceerror.NotFound)):
		return answer, errJustEnded
	case errors.As(err, &app):
		return answer, refused(fmt.Errorf("%s; what it does: keywave zone show %s", app.Message(), in.Zone))
	}
	return answer, fmt.Errorf("the operation of zone %s did not answer within %s (%w); whether it has the order is not known, so look first: keywave zone show %s; is a worker with the orchestrator role running? keywave doctor", in.Zone, orderWithin, err, in.Zone)
}

// orderWithin is how long a running zone may take to answer an order.
const orderWithin = 30 * time.Second

// named adds the names of the changed fields to differences of definitions, where
// the definitions that the operation began with are known.
func named(ctx context.Context, conn *temporalclient.Connection, b busyZone, now []rotation.HostRef, differences []string) []string {
	began := b.in.Hosts
	if b.in.Campaign != "" && len(differences) > 0 {
		began = plannedHosts(ctx, conn, b.in)
	}
	all := slices.Clone(differences)
	for i, d := range all {
		for _, h := range now {
			was := slices.IndexFunc(began, func(r rotation.HostRef) bool { return r.Name == h.Name })
			if was < 0 || !strings.HasPrefix(d, fmt.Sprintf("host %s is defined otherwise", h.Name)) {
				continue
			}
			if fields := fleet.PartsDiffer(began[was].Parts, h.Parts); len(fields) > 0 {
				all[i] = fmt.Sprintf("host %s is defined otherwise: %s", h.Name, strings.Join(fields, ", "))
			}
		}
	}
	return all
}

// plannedHosts are a zone's hosts as the page of its campaign has them, with the parts
// of their definitions; none where that cannot be read.
func plannedHosts(ctx context.Context, conn *temporalclient.Connection, in workflows.ZoneIn) []rotation.HostRef {
	status, err := statusOf(ctx, conn, in.Campaign)
	if err != nil {
		return nil
	}
	for n := range status.Pages {
		var page workflows.PageIn
		if temporalclient.Input(ctx, conn, workflows.PageID(status.Plan, n+1), "", &page) != nil {
			return nil
		}
		if slices.ContainsFunc(page.Page.Zones, func(z plan.PageZone) bool { return z.ID == in.Zone }) {
			return page.Page.Hosts
		}
	}
	return nil
}
