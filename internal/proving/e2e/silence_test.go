package e2e

import (
	"net/http"
	"testing"
	"time"

	"keywave/internal/proving/sim"
	"keywave/internal/proving/stage"
	"keywave/internal/rotation"
	"keywave/workflows"
)

// The answer to a refresh is lost, and every read-back hangs. The zone counts
// as exposed although it only waits, and the campaign says so. As soon as
// EdgeOne can be read again the key is delivered, and the zone no longer
// counts.
func TestReadBacksThatHangAreCounted(t *testing.T) {
	settings := `{waves: [100%], bake: 0s, window: 20, maxFailed: 100%, maxExposed: 100, exposedAfter: 3s, deliverFor: 10m, proofFor: 1m, settle: 1s, signatureLife: 5s}`
	s := raiseWith(t, settings, 3, 2, 1)
	c := planned(t, s, "c", settings, zonesOf(t, s))
	post(t, s, "/faults", []sim.Fault{
		{Zone: c.zones[0], Action: stage.RefreshAction, Nth: 1, Kind: "closeAfter"},
		// The start of a plan reads every key once more; that read is not struck.
		{Zone: c.zones[0], Action: stage.DescribeAction, Nth: 2, Count: 1000, Kind: "delayAfter", DelayMs: 60_000},
	})
	c.start(t)
	eventually(t, "the zone counts as exposed while its first read hangs", 5*time.Minute, func() bool {
		st, err := s.Status(t.Context())
		return err == nil && st.State == "running" && st.Zones["exposed"] == 1 && st.Zones["done"] == 2 && isAt(t, s, c.zones[0], workflows.ActRead) && reads(t, s, c.zones[0]) == 1
	})
	if err := s.Control(t.Context(), http.MethodDelete, "/faults", nil, nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the campaign is done", 5*time.Minute, func() bool {
		st, err := s.Status(t.Context())
		return err == nil && st.State == "done" && st.Zones["done"] == 3 && st.Zones["exposed"] == 0
	})
	seen := c.look(t)
	seen.met(t, c.zones[0], fate{outcome: rotation.Done, sent: 1, executed: 1, why: "adopted by read-back", keys: -1})
	truth(t, s)
}
