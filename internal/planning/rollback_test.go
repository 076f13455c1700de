package planning

import (
	"maps"
	"slices"
	"testing"
	"time"

	"keywave/internal/plan"
	"keywave/internal/rotation"
	"keywave/workflows"
)

const staged = `version: 1
locations: {hk: {hosts: {
  gw-1: {ssh: {address: "10.0.0.1:22", user: edge, path: "/k/{zone}"}},
  gw-2: {ssh: {address: "10.0.0.2:22", user: edge, path: "/k/{zone}"}}}}}
zones:
  - {id: kept, hosts: [gw-1]}
  - {id: exposed, hosts: [gw-1]}
  - {id: old, hosts: [gw-1]}
  - {id: fresh, hosts: [gw-1]}
  - {id: older, hosts: [gw-1]}
  - {id: pending, hosts: [gw-1]}
  - {id: skipped, hosts: [gw-1]}
  - {id: none, hosts: [gw-1]}
  - {id: back, hosts: [gw-1]}
  - {id: again, hosts: [gw-1]}
  - {id: before, hosts: [gw-1]}
  - {id: running, hosts: [gw-1]}
  - {id: lost, hosts: [gw-2]}
  - {id: unchosen, hosts: [gw-2]}
campaign: {waves: [1, 100%], bake: 0s, strategy: staged, rollbackFor: 24h}
`

// A campaign's zones are rolled back where a former key was kept, may still be put
// back, and would replace the key that the campaign set. Of all others it is said why
// not.
func TestWayBack(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	ended := now.Add(-2 * time.Hour)
	done := func(zone rotation.ZoneID, kept, until time.Duration) rotation.Record {
		return rotation.Record{
			Zone: zone, Outcome: rotation.Done, EndedAt: ended,
			Former: &rotation.Former{Key: "a", For: "b", At: now.Add(-kept), Until: now.Add(until), Kept: []byte("sealed")},
		}
	}
	as := func(r rotation.Record, o rotation.Outcome) rotation.Record { r.Outcome = o; return r }
	fresh := as(done("fresh", time.Hour, time.Hour), rotation.Unknown)
	fresh.EndedAt = now.Add(-309 * time.Second)
	none, lost := done("none", 0, 0), done("lost", 0, 0)
	none.Former, lost.Former, lost.Forgotten = nil, nil, true
	ran := Ran{
		Plan: plan.Plan{Settings: plan.Settings{Strategy: rotation.Staged, RollbackFor: rotation.Span(48 * time.Hour)}},
		Records: []rotation.Record{
			done("kept", time.Hour, time.Hour), as(done("exposed", time.Hour, time.Hour), rotation.Exposed),
			done("old", time.Hour, 0), fresh, done("older", 24*time.Hour, time.Hour),
			as(done("skipped", time.Hour, time.Hour), rotation.Skipped), none, done("back", time.Hour, time.Hour), done("again", time.Hour, time.Hour),
			done("before", time.Hour, time.Hour), done("running", time.Hour, time.Hour), lost, done("gone", time.Hour, time.Hour), done("unchosen", time.Hour, time.Hour),
		},
		Running: map[rotation.ZoneID]bool{"running": true},
		Since: map[rotation.ZoneID]Rotated{
			"back": {ended.Add(time.Minute), "campaign spring-rollback", true}, "again": {ended.Add(time.Minute), "ann", false},
			"before": {ended.Add(-time.Minute), "ann", false},
		},
	}
	f := parse(t, staged)
	page := plan.Page{Zones: []plan.PageZone{{ID: "gone"}}}
	for _, z := range f.Zones {
		page.Zones = append(page.Zones, plan.PageZone{ID: z.ID})
	}
	ran.Pages = []plan.Page{page}
	got := ran.WayBack(f, func(z rotation.ZoneID) bool { return z != "unchosen" }, now)
	if want := []rotation.ZoneID{"before", "exposed", "kept"}; !slices.Equal(got.Zones(), want) {
		t.Errorf("%v are rolled back, want %v", got.Zones(), want)
	}
	var left []string
	for _, l := range got.Left {
		left = append(left, l.String())
	}
	want := []string{
		"1 zone: the fleet file does not have them any more: gone",
		"1 zone: their former keys were kept until a time that is over: old",
		"1 zone: a request of theirs may still be executed: wait until 5m10s after their end: fresh",
		"1 zone: their former keys are older than the fleet file allows (rollbackFor 24h0m0s): older",
		"1 zone: their keys were not changed: pending",
		"1 zone: a person left them out: skipped",
		"1 zone: no former key of theirs is on record: none",
		"1 zone: campaign spring-rollback rolled them back since: back",
		"1 zone: ann rotated them since: again",
		"1 zone: their operation still runs: running",
		"1 zone: Temporal has forgotten their records, and the former keys with them: lost",
	}
	if !slices.Equal(left, want) {
		t.Errorf("left are %q, want %q", left, want)
	}
}

// Why a campaign kept no former key is told from what it was.
func TestWhyNoFormerKeyWasKept(t *testing.T) {
	for want, ran := range map[string]Ran{
		"they were rolled back, and a rollback keeps no former key":                {Plan: plan.Plan{Undoes: "spring", Settings: plan.Settings{Strategy: rotation.Staged}}},
		"in an emergency EdgeOne makes the keys, and the former ones are dead":     {Emergency: true, Plan: plan.Plan{Settings: plan.Settings{Strategy: rotation.Staged, RollbackFor: 1}}},
		"EdgeOne made their keys (strategy refresh), and the former ones are dead": {},
		"their former keys were not kept: rollbackFor was not set":                 {Plan: plan.Plan{Settings: plan.Settings{Strategy: rotation.Staged}}},
		"no former key of theirs is on record":                                     {Plan: plan.Plan{Settings: plan.Settings{Strategy: rotation.Staged, RollbackFor: 1}}},
	} {
		if got := ran.stays("z", rotation.Record{Zone: "z", Outcome: rotation.Done}, plan.Settings{RollbackFor: rotation.Span(time.Hour)}, time.Now()); got != want {
			t.Errorf("it says %q, want %q", got, want)
		}
	}
}

// The latest rotation of each zone after a time counts, the campaign's own and repairs
// do not, and a rollback is told from a rotation.
func TestRotatedSince(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	zone := func(id rotation.ZoneID, campaign string, ago time.Duration, in workflows.ZoneIn) ran {
		return ran{id: workflows.ZoneID(id), kind: workflows.TypeZone, campaign: campaign, closed: now.Add(-ago), outcome: rotation.Done, in: in}
	}
	rotate := workflows.ZoneIn{Verb: rotation.Rotate, By: "ann"}
	rollback := workflows.ZoneIn{Verb: rotation.Rotate, By: "bob", Former: &rotation.Former{}}
	p := past{all: []ran{
		zone("a", "spring", time.Minute, rotate),
		zone("b", "", 3*time.Minute, rotate), zone("b", "", 4*time.Minute, rotate),
		zone("c", "", time.Minute, rollback),
		zone("d", "spring-rollback", time.Minute, rollback),
		zone("e", "summer", time.Minute, rotate),
		zone("f", "", time.Minute, workflows.ZoneIn{Verb: rotation.Repair}),
		zone("g", "", 61*time.Minute, rotate),
		zone("other", "", time.Minute, rotate),
	}}
	got, err := RotatedSince(t.Context(), p, []rotation.ZoneID{"a", "b", "c", "d", "e", "f", "g"}, now.Add(-time.Hour), "spring")
	want := map[rotation.ZoneID]Rotated{
		"b": {now.Add(-3 * time.Minute), "ann", false}, "c": {now.Add(-time.Minute), "bob", true},
		"d": {now.Add(-time.Minute), "campaign spring-rollback", true}, "e": {now.Add(-time.Minute), "campaign summer", false},
	}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("%v (%v), want %v", got, err, want)
	}
}

// The draft of a rollback has the zones that have a former key, with it, their hosts and
// waves as the fleet file has them now, and keeps no former key itself.
func TestDraftOfARollback(t *testing.T) {
	kept, lost := rotation.Former{Key: "a", For: "b", Kept: []byte("1")}, rotation.Former{Key: "c", For: "d", Kept: []byte("2")}
	d, f, err := NewRollback(parse(t, staged), "spring-rollback", "spring", map[rotation.ZoneID]rotation.Former{"kept": kept, "lost": lost})
	if err != nil {
		t.Fatal(err)
	}
	p := d.Plan
	if p.Undoes != "spring" || p.Zones != 2 || p.Hosts != 2 || len(f.Zones) != 2 || len(p.Waves) != 2 || p.Settings.RollbackFor != 0 || p.Settings.Strategy != rotation.Staged {
		t.Errorf("%+v", p)
	}
	if p.Source != "the fleet file: 2 of 14 zones, whose former keys campaign spring kept" {
		t.Errorf("its zones come from %q", p.Source)
	}
	zones := slices.Concat(d.Pages[0].Zones, d.Pages[1].Zones)
	if zones[0].ID != "kept" || zones[0].Former.Key != "a" || zones[1].ID != "lost" || string(zones[1].Former.Kept) != "2" {
		t.Errorf("%+v", zones)
	}
	if d.summary() != "plan of 2 zones on 2 hosts, puts back the keys that campaign spring replaced" {
		t.Error(d.summary())
	}
}
