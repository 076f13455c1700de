package workflows_test

import (
	"testing"

	"keywave/internal/rotation"
)

func TestZoneGoodPath(t *testing.T) {
	w := newWorld(t, 1, 2, 2)
	r := w.rotate(w.zoneIn("zone-01"))
	if r.Outcome != rotation.Done {
		t.Fatalf("%+v\n%s", r, w.story())
	}
}
