package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"keywave/internal/plan"
	"keywave/internal/rotation"
	"keywave/workflows"
)

func TestSpreadIsEven(t *testing.T) {
	for _, n := range []int{0, 1, 1199, 1200, 1201, 2399, 100_000} {
		all := make([]int, n)
		for i := range all {
			all[i] = i
		}
		some := spread(all, 1200)
		if len(some) != min(n, 1200) || len(slices.Compact(slices.Clone(some))) != len(some) {
			t.Errorf("%d of %d", len(some), n)
		}
		for i := 1; i < len(some); i++ {
			if gap := some[i] - some[i-1]; gap > n/1200+1 {
				t.Errorf("of %d, none of %d after the %dth", n, gap-1, i)
				break
			}
		}
	}
}

// At most 20 zones are named and the others are counted, in the refusal and in
// the record alike.
func TestDriftIsNamedAndCounted(t *testing.T) {
	approved := plan.Plan{Digest: "3f0c"}
	out := workflows.RereadOut{Zones: 30}
	if accepted, err := drifted(approved, out, &startOptions{acceptDrift: true}); accepted != nil || err != nil {
		t.Errorf("nothing drifted: %v, %v", accepted, err)
	}
	for i := range 23 {
		out.Differ = append(out.Differ, plan.Difference{Zone: rotation.ZoneID(fmt.Sprintf("zone-%d", i)), Text: "has another"})
	}
	_, err := drifted(approved, out, &startOptions{})
	if err == nil || strings.Count(err.Error(), "has another") != 20 || !strings.Contains(err.Error(), "\n  … and 3 more\n") || !strings.HasPrefix(err.Error(), "23 of 30 live keys ") {
		t.Errorf("said %v", err)
	}
	accepted, err := drifted(approved, out, &startOptions{acceptDrift: true, reason: "4711"})
	if err != nil || accepted.Zones != 23 || len(accepted.Named) != 20 || accepted.Reason != "4711" || !strings.HasSuffix(accepted.String(), "; and 3 more") {
		t.Errorf("%+v, %v", accepted, err)
	}
}
