package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"keywave/internal/proving/sim"
	"keywave/internal/proving/stage"
	"keywave/internal/rotation"
)

// A window closes while a campaign runs. Zones that have refreshed are
// delivered. No refresh is executed, or even arrives, until the next window
// opens. Then the campaign goes on by itself to its end.
func TestWindowClosesMidRun(t *testing.T) {
	settings := `{waves: [100%], bake: 0s, window: 1, exposedAfter: 30s, deliverFor: 2m, proofFor: 30s, settle: 1s, signatureLife: 5s}`
	const zones = 24
	s := raiseWith(t, settings, zones, 4, 2)
	began := time.Now()
	must(t, s, "plan", "-f", s.Places.Fleet)
	slow := 4 * time.Since(began) // what this machine needs for a start, and some more
	lasts := 20*time.Second + slow
	// One after the other, and twice as long in all as the window stays open.
	answer := min(2*lasts/zones, 8*time.Second)
	for _, zone := range zonesOf(t, s) {
		strike(t, s, zone, sim.Fault{Kind: "delayAfter", DelayMs: int(answer.Milliseconds())})
	}
	closes := time.Now().Add(lasts).Truncate(time.Second)
	opens := closes.Add(inFlight + slow + answer).Truncate(time.Second)
	window := func(from, to time.Time) string {
		return from.UTC().Format(time.TimeOnly) + "-" + to.UTC().Format(time.TimeOnly) + " UTC"
	}
	must(t, s, "schedule", "create", "night", "-f", s.Places.Fleet, "--every", "90d", "--reason", "policy 7",
		"--window", window(began.Add(-time.Minute), closes), "--window", window(opens, opens.Add(time.Hour)))
	var run struct{ Campaign string }
	if err := json.Unmarshal([]byte(must(t, s, "schedule", "trigger", "night", "--reason", "now", "--output", "json")), &run); err != nil {
		t.Fatal(err)
	}
	s.Campaign = run.Campaign
	var status struct {
		State, Reason string
		Zones         rotation.Counts
		InFlight      int
	}
	eventually(t, "the campaign pauses", 3*time.Minute, func() bool {
		out, err := s.CLI(t.Context(), "campaign", "status", run.Campaign, "--output", "json")
		return err == nil && json.Unmarshal([]byte(out), &status) == nil && status.State == "paused" && status.InFlight == 0
	})
	if !strings.Contains(status.Reason, " closed until ") || status.Zones.Done == 0 || status.Zones.Done+status.Zones.Pending != zones || status.Zones.Pending == 0 {
		t.Errorf("while the window is closed: %+v", status)
	}
	if err := s.Control(t.Context(), http.MethodDelete, "/faults", nil, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CLI(t.Context(), "campaign", "watch", run.Campaign); err != nil {
		t.Fatal(err)
	}
	edges, err := s.Edges(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	before, after := 0, 0
	for _, e := range edges {
		switch {
		case e.Action != stage.RefreshAction || e.Kind != "executed" && e.Kind != "arrived":
		case e.At.Before(closes.Add(inFlight)):
			before++
		case e.At.Before(opens):
			t.Errorf("%s: a refresh %s %s after the window closed", e.Zone, e.Kind, e.At.Sub(closes))
		default:
			after++
		}
	}
	if before == 0 || after == 0 {
		t.Errorf("%d edges of refreshes before the window closed, %d after it opened again", before, after)
	}
	if wrong := s.Check(t.Context(), mustStatus(t, s), nil); len(wrong) > 0 {
		t.Error(strings.Join(wrong, "\n"))
	}
}

// inFlight is how long a request that was signed in time may be on its way.
const inFlight = 10 * time.Second

func mustStatus(t *testing.T, s *stage.Stack) stage.Status {
	t.Helper()
	st, err := s.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return st
}
