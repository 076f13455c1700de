package temporalclient_test

import (
	"testing"

	"keywave/internal/temporalclient"
)

func TestFleetOf(t *testing.T) {
	for _, mark := range []string{"", "0123456789ab"} {
		if got := temporalclient.FleetOf(temporalclient.WorkerIdentity("fleet-less-1-abc", "v1.0.0", mark)); got != mark {
			t.Errorf("%q, want %q", got, mark)
		}
	}
	if got := temporalclient.FleetOf("somebody@elsewhere/fleet-0123"); got != "" {
		t.Errorf("who is no worker has fleet %q", got)
	}
}
