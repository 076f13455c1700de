package workflows_test

import (
	"testing"
	"time"

	"keywave/internal/rotation"
	"keywave/workflows"
)

// A page stays open as long as its plan is valid, and after that as long as a
// campaign of the plan is open.
func TestPageStaysWhileACampaignNeedsIt(t *testing.T) {
	const valid = 10 * time.Hour
	for _, c := range []struct {
		name        string
		open        time.Duration // how long a campaign of the plan runs
		least, most time.Duration
	}{
		{"no campaign", 0, valid, valid + time.Minute},
		{"a quick campaign", time.Hour, valid, valid + time.Minute},
		{"a campaign that outlives the plan", 14 * time.Hour, 14 * time.Hour, 20 * time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, 4, 2, 2)
			p := w.plan(usualSettings(), 4)
			w.openUntil = map[string]time.Time{p.Name: noon.Add(c.open), "another": noon.Add(endless)}
			id := workflows.PageID(p.Name, 1)
			in := workflows.PageIn{Plan: p.Name, Page: w.pages[id], Frozen: true, Keep: rotation.Span(valid)}
			w.execute(id, workflows.TypePage, in, nil)
			if took := w.env.Now().Sub(noon); took < c.least || took > c.most {
				t.Errorf("it was open for %s, and is to be for %s to %s", took, c.least, c.most)
			}
		})
	}
}
