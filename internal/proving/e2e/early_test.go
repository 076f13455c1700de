package e2e

import (
	"encoding/json"
	"testing"
	"time"

	"keywave/internal/proving/sim"
	"keywave/internal/proving/stage"
	"keywave/internal/rotation"
)

// EdgeOne executes a refresh at once and answers it nine seconds later. The process that
// stands by reads the key early: the hosts hold it before the answer comes, and the zone
// ends after it.
func TestLateAnswerIsReadEarly(t *testing.T) {
	settings := `{waves: [100%], bake: 0s, window: 20, maxFailed: 0, maxExposed: 0, exposedAfter: 30s, deliverFor: 10m, proofFor: 1m, settle: 1s, signatureLife: 5s}`
	s := raiseWith(t, settings, 3, 2, 2)
	c := planned(t, s, "c", settings, zonesOf(t, s))
	post(t, s, "/faults", []sim.Fault{{Zone: c.zones[0], Action: stage.RefreshAction, Nth: 1, Kind: "delayAfter", DelayMs: 9000}})
	c.start(t)
	eventually(t, "the campaign is done", 2*time.Minute, func() bool {
		st, err := s.Status(t.Context())
		return err == nil && st.State == "done" && st.Zones["done"] == 3
	})
	seen := c.look(t)
	seen.met(t, c.zones[0], fate{outcome: rotation.Done, sent: 1, executed: 1, why: "adopted by an early read", keys: -1})
	var shown struct {
		Stages []struct {
			Stage   string
			EndedAt time.Time
		}
	}
	if err := json.Unmarshal([]byte(must(t, s, "zone", "show", c.zones[0], "--output", "json")), &shown); err != nil {
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
	if delivered.IsZero() || !delivered.Before(answered) {
		t.Errorf("delivered at %s, answered at %s: %+v", delivered, answered, shown.Stages)
	}
	truth(t, s)
	onceEach(t, s)
}
