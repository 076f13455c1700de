package workflows

import (
	"slices"
	"testing"

	"keywave/internal/plan"
	"keywave/internal/rotation"
)

// The plan of a rollback names the zones whose live key is not the one that the former
// key may replace, and counts them as zones that it would not change now. A key that
// could not be read is found already.
func TestPlanFindsWhatCannotBeRolledBack(t *testing.T) {
	former := &rotation.Former{Key: "0000000000000001", For: "0000000000000002"}
	page := plan.Page{
		Hosts: []rotation.HostRef{{Name: "gw-1"}},
		Zones: []plan.PageZone{
			{ID: "as-it-was", Hosts: []int{0}, Former: former, Baseline: former.For},
			{ID: "another", Hosts: []int{0}, Former: former, Baseline: "0000000000000003"},
			{ID: "back", Hosts: []int{0}, Former: former, Baseline: former.Key},
			{ID: "unread", Hosts: []int{0}, Former: former},
			{ID: "rotated", Hosts: []int{0}, Baseline: "0000000000000003"},
		},
	}
	var report PagePlanned
	report.notBack(page, "spring")
	report.count(page)
	want := []plan.Finding{
		{Zone: "another", Text: "EdgeOne holds 0000000000000003, and not 0000000000000002, which campaign spring set: it will not be rolled back"},
		{Zone: "back", Text: "EdgeOne holds 0000000000000001, and not 0000000000000002, which campaign spring set: it will not be rolled back"},
	}
	same := func(a, b plan.Finding) bool { return a.Zone == b.Zone && a.Text == b.Text }
	if !slices.EqualFunc(report.Findings, want, same) || report.Unready != 2 {
		t.Errorf("found %+v, %d zones are not ready; want %+v", report.Findings, report.Unready, want)
	}
}
