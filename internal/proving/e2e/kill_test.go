package e2e

import (
	"testing"
	"time"

	"keywave/internal/proving/stage"
)

// The only worker is killed during a campaign, and another one is started.
// Everything that was under way goes on by itself.
func TestKillTheOnlyWorker(t *testing.T) {
	killed(t, func(s *stage.Stack) error {
		s.Workers[0].Kill()
		return s.StartWorker(0)
	})
}

// The Temporal server is killed during a campaign, and started again on the
// same file.
func TestKillTheServer(t *testing.T) {
	killed(t, func(s *stage.Stack) error {
		s.Temporal.Kill()
		return s.StartTemporal(t.Context())
	})
}

// killed runs a campaign in which two zones wait for a lost answer and for a
// slow host. It kills when some zones are done and others are under way.
func killed(t *testing.T, kill func(*stage.Stack) error) {
	t.Helper()
	s := raiseAs(t, stage.Config{Zones: 60, Hosts: 8, Limit: 10, Settings: quick, Workers: 1}) // slow enough that the campaign is not over before
	zones := zonesOf(t, s)
	fault(t, s, zones[10], "resetAfter")
	fault(t, s, zones[12], "delayAfter")
	post(t, s, "/hosts/gw-hk-1/bad", map[string]any{"kind": "lateAck", "count": 6, "delayMs": 300})
	if err := s.StartCampaign(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a third is refreshed", 3*time.Minute, func() bool { return len(refreshes(t, s)) >= 20 })
	if err := kill(s); err != nil {
		t.Fatal(err)
	}
	if n := len(refreshes(t, s)); n == s.Config.Zones {
		t.Fatal("the campaign was over before anything was killed")
	}
	must(t, s, "campaign", "watch", "c")
	truth(t, s)
	onceEach(t, s)
}
