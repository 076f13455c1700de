package main

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"keywave/internal/progress"
	"keywave/internal/rotation"
)

// On a terminal of 80 columns no view is wider, except for a command or a word
// that must stay whole so that people can copy it.
func TestViewsFitATerminal(t *testing.T) {
	for name, show := range said("shop.example.com") {
		var text strings.Builder
		show(&text)
		for line := range strings.Lines(progress.Fold(text.String(), 80)) {
			line = strings.TrimSuffix(line, "\n")
			rest := strings.TrimLeft(line, " ")
			if utf8.RuneCountInString(line) > 80 && strings.Contains(rest, " ") && !strings.HasPrefix(rest, "keywave ") {
				t.Errorf("%s: %d columns: %q", name, utf8.RuneCountInString(line), line)
			}
		}
	}
}

// Tables are never wider than 80 columns, whoever reads them.
func TestTablesFit80Columns(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	before, later := now.Add(-48*time.Hour), now.Add(48*time.Hour)
	zone := campaignZone{Zone: "zone-27q0p0bal192", Name: "shop.hongkong.example.com", Wave: 4, standing: standing{Outcome: "unchanged", Since: &before, Until: &later}}
	var text strings.Builder
	showZones(&text, []campaignZone{zone}, 1, now)
	showPlans(&text, []listedPlan{{Name: "spring-rotation-2026", Digest: strings.Repeat("f", 32), Made: before, ValidUntil: later, Zones: 100000, Campaigns: []string{"spring-rotation-2026"}}}, now)
	counts := rotation.NewCounts(100000)
	showCampaigns(&text, []campaignRow{
		{Campaign: "spring-rotation", State: "running", StartedAt: before, Zones: &counts, Standing: &rotation.Standings{NotBegun: 100000}},
		{Campaign: "autumn", State: "ended", StartedAt: before, EndedAt: &now},
	})
	for line := range strings.Lines(text.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
			t.Errorf("%d columns: %q", n, line)
		}
	}
}
