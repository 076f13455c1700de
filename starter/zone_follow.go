package main

import (
	"context"
	"fmt"
	"time"

	"go.temporal.io/sdk/client"

	"keywave/internal/rotation"
	"keywave/internal/temporalclient"
	"keywave/workflows"
)

// zoneEvery is how often a zone that takes long is asked where it stands: the good
// path is over before.
const zoneEvery = 2 * time.Second

// followZone waits for a zone's record, and says on the way when it stands
// otherwise than well: exposed, held, or without a worker.
func (a *app) followZone(ctx context.Context, conn *temporalclient.Connection, run client.WorkflowRun, id rotation.ZoneID) (rotation.Record, error) {
	var record rotation.Record
	done := make(chan error, 1)
	go func() { done <- run.Get(ctx, &record) }()
	tick := time.NewTicker(zoneEvery)
	defer tick.Stop()
	said := ""
	for {
		select {
		case err := <-done:
			if err != nil {
				return record, fmt.Errorf("zone %s: its workflow ended without a record (%w); see: keywave zone show %s", id, err, id)
			}
			return record, nil
		case <-tick.C:
		}
		if text := standsAt(ctx, conn, run); text != "" && text != said && ctx.Err() == nil {
			said = text
			a.say("%s  zone %s: %s", time.Now().Format(time.TimeOnly), id, text)
		}
	}
}

// standsAt is where a running zone stands, if people should know; empty while all
// is well.
func standsAt(ctx context.Context, conn *temporalclient.Connection, run client.WorkflowRun) string {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	answer, err := conn.QueryWorkflow(ctx, run.GetID(), run.GetRunID(), workflows.QueryTrip)
	if err != nil {
		return "no worker says where it stands; it goes on once one with the orchestrator role runs: bin/worker --fleet fleet.yaml"
	}
	var t rotation.Trip
	if answer.Get(&t) != nil || t.Ended != "" {
		return ""
	}
	return tripText(&t)
}

// tripText is where a trip stands in one line; empty while all is well.
func tripText(t *rotation.Trip) string {
	switch t.Standing() {
	case rotation.Dead, rotation.Dark:
		text := fmt.Sprintf("exposed since %s: %s", t.ExposedSince().Local().Format(time.TimeOnly), t.StandingWhy())
		if !t.Until.IsZero() {
			text += "; delivery is tried until " + t.Until.Local().Format(time.DateTime)
		}
		return text
	case rotation.Held:
		return fmt.Sprintf("held until %s: %s", t.HeldUntil.Local().Format(time.TimeOnly), t.StandingWhy())
	case rotation.Alive, rotation.NotBegun:
	}
	return ""
}
