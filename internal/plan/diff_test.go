package plan

import (
	"slices"
	"testing"

	"keywave/internal/rotation"
)

func TestDiff(t *testing.T) {
	base := func() Whole {
		return Whole{
			Settings: Settings{Waves: []string{"1", "100%"}, Window: 40, MaxFailed: "1%"},
			Waves:    []Wave{{Zones: 1}, {Zones: 1}},
			Pages:    []Page{samplePage()},
		}
	}
	fields := func(old, now string) []string {
		if old == "p1" && now == "p2" {
			return []string{"address", "reload"}
		}
		return nil
	}
	for name, c := range map[string]struct {
		change func(*Whole)
		want   []string
	}{
		"nothing": {func(*Whole) {}, nil},
		"settings": {func(w *Whole) { w.Settings.Window, w.Settings.Timing.Settle = 20, 1e9 }, []string{
			"window: 20, was 40", "settle: 1s, was 0s",
		}},
		"waves":              {func(w *Whole) { w.Waves = []Wave{{Zones: 2}} }, []string{"waves: 2 zones, were 1, 1"}},
		"a host":             {func(w *Whole) { w.Pages[0].Hosts[0].Digest = "other" }, []string{"host gw-hk-1 is defined otherwise: its definition"}},
		"a field":            {func(w *Whole) { w.Pages[0].Hosts[1].Digest, w.Pages[0].Hosts[1].Parts = "other", "p2" }, []string{"host gw-eu-1 is defined otherwise: address, reload"}},
		"a zone less":        {func(w *Whole) { w.Pages[0].Zones = w.Pages[0].Zones[1:] }, []string{"zone zone-1 is gone"}},
		"a zone more":        {func(w *Whole) { w.Pages[0].Zones = append(w.Pages[0].Zones, PageZone{ID: "zone-9"}) }, []string{"zone zone-9 is new"}},
		"another wave":       {func(w *Whole) { w.Pages[0].Wave = 3 }, []string{"zone zone-1 is in wave 3, was in 1", "zone zone-2 is in wave 3, was in 1"}},
		"fewer hosts":        {func(w *Whole) { w.Pages[0].Zones[0].Hosts = []int{1} }, []string{"zone zone-1 has hosts [gw-eu-1], had [gw-eu-1 gw-hk-1]"}},
		"the order of hosts": {func(w *Whole) { w.Pages[0].Zones[0].Hosts = []int{1, 0} }, nil},
		"a key":              {func(w *Whole) { w.Pages[0].Zones[0].Baseline = "0000000000000000" }, []string{"zone zone-1 has the live key 0000000000000000, had 96e5c85bc58d01f7: it was changed in between"}},
		"a rollback":         {func(w *Whole) { w.Pages[0].Zones[0].Former = &rotation.Former{Key: "1111111111111111"} }, []string{"zone zone-1 gets its former key 1111111111111111, and got a new key before"}},
		"a draft":            {func(w *Whole) { w.Pages[0].Zones[0].Baseline = "" }, nil},
		"hosts": {func(w *Whole) { w.Pages[0].Hosts[0].Name = "gw-hk-2" }, []string{
			"host gw-hk-1 is gone", "host gw-hk-2 is new", "zone zone-1 has hosts [gw-eu-1 gw-hk-2], had [gw-eu-1 gw-hk-1]",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			old, now := base(), base()
			old.Pages[0].Hosts[1].Parts = "p1"
			now.Pages[0].Hosts[1].Parts = "p1"
			c.change(&now)
			var got []string
			for _, d := range Diff(old, now, fields) {
				got = append(got, d.String())
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
