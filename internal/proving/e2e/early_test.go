package e2e

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"keywave/internal/proving/sim"
	"keywave/internal/proving/stage"
	"keywave/internal/rotation"
	"keywave/workflows"
)

// EdgeOne executes a refresh at once and answers it nine seconds later, which is as late as
// an answer can be. The process that stands by reads the key early: the hosts hold it before
// the answer comes, and the zone ends after it. A machine can be too busy for that within
// nine seconds, so there are several zones, one after the other.
func TestLateAnswerIsReadEarly(t *testing.T) {
	settings := `{waves: [100%], bake: 0s, window: 20, maxFailed: 0, maxExposed: 0, exposedAfter: 30s, deliverFor: 10m, proofFor: 1m, settle: 1s, signatureLife: 5s}`
	s := raiseWith(t, settings, 5, 2, 2)
	held(t, s, workflows.LeaseID("default"))
	held(t, s, workflows.EarlyID("default"))
	early := false
	for i, zone := range zonesOf(t, s) {
		c := planned(t, s, fmt.Sprintf("c%d", i), settings, []string{zone})
		strike(t, s, zone, sim.Fault{Kind: "delayAfter", DelayMs: 9000})
		c.start(t)
		c.watch(t)
		want := fate{outcome: rotation.Done, sent: 1, executed: 1, keys: -1}
		if early = deliveredEarly(t, s, zone); early {
			want.why = "adopted by an early read"
		}
		c.look(t).met(t, zone, want)
		if early {
			break
		}
	}
	if !early {
		t.Error("no zone's hosts held the key before the answer came")
	}
	for _, wrong := range s.Outside(t.Context()) {
		t.Error(wrong)
	}
}

// deliveredEarly says whether the zone's hosts held the new key before EdgeOne's answer
// came.
func deliveredEarly(t *testing.T, s *stage.Stack, zone string) bool {
	t.Helper()
	var shown struct {
		Stages []struct {
			Stage   string
			EndedAt time.Time
		}
	}
	if err := json.Unmarshal([]byte(must(t, s, "zone", "show", zone, "--output", "json")), &shown); err != nil {
		t.Fatal(err)
	}
	var answered, delivered time.Time
	for _, one := range shown.Stages {
		switch one.Stage {
		case "refresh":
			answered = one.EndedAt
		case "deliver":
			delivered = one.EndedAt
		}
	}
	t.Logf("%s: delivered at %s, answered at %s: %+v", zone, delivered, answered, shown.Stages)
	return !delivered.IsZero() && delivered.Before(answered)
}
