package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"keywave/internal/fleet"
	"keywave/internal/planning"
	"keywave/internal/rotation"
	"keywave/internal/temporalclient"
	"keywave/workflows"
)

// readFleet reads a fleet file. Where its zones are EdgeOne's to name they are
// missing until resolve was asked.
func readFleet(path string) (*fleet.Fleet, error) {
	if path == "" {
		return nil, errors.New("which fleet? give -f fleet.yaml")
	}
	f, err := fleet.Read(path)
	if found, ok := errors.AsType[fleet.Mistakes](err); ok && len(found) > 1 {
		return nil, refused(fmt.Errorf("%d mistakes, nothing was touched:\n%w", len(found), found))
	}
	if err != nil {
		return nil, refused(err)
	}
	return f, nil
}

// resolve gives a fleet its zones, wherever they come from; it is asked before
// anything is done with them.
func resolve(ctx context.Context, conn *temporalclient.Connection, f *fleet.Fleet) (*fleet.Fleet, error) {
	if f == nil || !f.Listed() {
		return f, nil
	}
	if err := awaitAccount(ctx, conn, f.Accounts[0].Name); err != nil {
		return nil, err
	}
	whole, err := planning.Resolve(ctx, conn, f, func(ctx context.Context, run client.WorkflowRun, result any) error {
		return waitForWorker(ctx, conn, run, result)
	})
	switch wrong, unplaced := errors.AsType[fleet.Unplaced](err); {
	case err == nil:
		return whole, nil
	case unplaced:
		return nil, refused(fmt.Errorf("%s with the zones that EdgeOne lists, nothing was changed:\n%w", many(len(wrong), "problem"), wrong))
	case ctx.Err() != nil:
		return nil, err
	}
	return nil, refused(fmt.Errorf("the zones of account %s are not known: %w; nothing was changed", f.Accounts[0].Name, err))
}

// wholeFleet reads a fleet file, connects, and has the fleet resolved. It
// refuses one without the zone that is meant, as soon as that is known; empty
// means none.
func (a *app) wholeFleet(ctx context.Context, path string, meant rotation.ZoneID) (*fleet.Fleet, *temporalclient.Connection, error) {
	f, err := readFleet(path)
	if err == nil {
		err = known(f, meant, path)
	}
	if err != nil {
		return nil, nil, err
	}
	conn, err := a.connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	if f, err = resolve(ctx, conn, f); err == nil {
		err = known(f, meant, path)
	}
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	return f, conn, nil
}

// known refuses a fleet that is without a zone, unless its zones are not known yet.
func known(f *fleet.Fleet, id rotation.ZoneID, path string) error {
	switch {
	case id == "", f.Listed(), slices.ContainsFunc(f.Zones, func(z fleet.Zone) bool { return z.ID == id }):
		return nil
	case f.Source != fleet.Source{}:
		return refused(fmt.Errorf("zone %s is not in %s, whose zones come from %s", id, path, f.Source))
	}
	return refused(fmt.Errorf("zone %s is not in %s; add it there with its hosts", id, path))
}

// awaitAccount refuses when no worker could ask EdgeOne now.
func awaitAccount(ctx context.Context, conn *temporalclient.Connection, account rotation.Account) error {
	if err := awaitWorker(ctx, conn); err != nil {
		return err
	}
	return awaitPollers(ctx, conn, workflows.EdgeOneQueue(account), enums.TASK_QUEUE_TYPE_ACTIVITY,
		refused(fmt.Errorf("no worker asks EdgeOne for account %s at %s; nothing was changed; start one: bin/worker --fleet fleet.yaml --roles edgeone", account, conn.Address)))
}

// awaitWorker refuses when no worker polls for workflows, before anything is
// started that would begin later, when nobody looks.
func awaitWorker(ctx context.Context, conn *temporalclient.Connection) error {
	return awaitPollers(ctx, conn, workflows.Queue, enums.TASK_QUEUE_TYPE_WORKFLOW, noWorker(conn))
}

// awaitPollers gives workers a moment to poll a queue, and otherwise says what
// that means.
func awaitPollers(ctx context.Context, conn *temporalclient.Connection, queue string, kind enums.TaskQueueType, nobody error) error {
	tick := time.NewTicker(lookForWorkerEvery)
	defer tick.Stop()
	for began := time.Now(); ; {
		ok, err := hasPollers(ctx, conn, queue, kind)
		switch {
		case ok:
			return nil
		case err != nil:
			return refused(err)
		case time.Since(began) > noWorkerAfter:
			return nobody
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
