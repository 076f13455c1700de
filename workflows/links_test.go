package workflows_test

import (
	"slices"
	"testing"

	"keywave/internal/rotation"
	"keywave/workflows"
)

// Each list of zones has a query of its own. A list without zones is left out.
func TestZoneLists(t *testing.T) {
	s := workflows.Status{Campaign: "spring", Running: 4}
	s.Zones = rotation.Counts{Total: 9, Done: 2, Unchanged: 1, Exposed: 1, Pending: 5}
	s.Standing = rotation.Standings{NotBegun: 2, Held: 3}
	const of = "KeywaveCampaign = 'spring' AND WorkflowType = 'Zone' AND "
	want := []workflows.ZoneList{
		{Name: "exposed", Zones: 1, Query: of + "KeywaveOutcome = 'exposed'"},
		{Name: "held", Zones: 3, Query: of + "KeywaveOutcome = 'held'"},
		{Name: "running", Zones: 4, Query: of + "ExecutionStatus = 'Running'"},
		{Name: "failed", Zones: 2, Query: of + "KeywaveOutcome IN ('unchanged', 'exposed', 'unknown')"},
	}
	if got := s.ZoneLists(); !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
	if got := (workflows.Status{Campaign: "spring", Zones: rotation.Counts{Total: 9, Done: 9}}).ZoneLists(); len(got) > 0 {
		t.Errorf("a campaign that is done: %+v", got)
	}
	const url = "http://ui:8233/namespaces/n/workflows?query=KeywaveCampaign+%3D+%27spring%27+AND+WorkflowType+%3D+%27Zone%27+AND+KeywaveOutcome+%3D+%27exposed%27"
	if got := workflows.ListURL("http://ui:8233/", "n", want[0].Query); got != url {
		t.Errorf("%s", got)
	}
}
