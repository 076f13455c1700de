package e2e

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"keywave/internal/proving/sim"
	"keywave/internal/proving/stage"
	"keywave/internal/rotation"
	"keywave/workflows"
)

const (
	stagedTouchy = `{strategy: staged, rollbackFor: 1h, waves: [1, 50%, 100%], bake: 100ms, window: 20, maxFailed: 100%, maxExposed: 0, exposedAfter: 30s, deliverFor: 10m, proofFor: 1m, settle: 1s, signatureLife: 5s}`
	stagedLife   = 5 * time.Second
)

// switched is what came of a zone whose key was minted by a worker.
func (s *sight) switched(t *testing.T, zone string, sent, executed int, why string) {
	t.Helper()
	record := s.records[zone]
	if record.Outcome != rotation.Done || !strings.Contains(record.Why, why) {
		t.Errorf("%s is %s (%q), want done (…%s…)", zone, record.Outcome, record.Why, why)
	}
	counts := map[string]int{}
	for _, e := range s.edges[zone] {
		counts[e.Kind+e.Action]++
	}
	for what, n := range map[string][2]int{
		"calls that were sent":        {counts["arrived"+stage.ModifyAction], sent},
		"calls that were executed":    {counts["executed"+stage.ModifyAction], executed},
		"calls in the record":         {record.API.Modify, sent},
		"refreshes":                   {counts["arrived"+stage.RefreshAction] + record.API.Refresh, 0},
		"keys that the zone ever had": {len(s.keys[zone].Ever), 2},
	} {
		if n[0] != n[1] {
			t.Errorf("%s: %d %s, want %d (%s)", zone, n[0], what, n[1], record.Why)
		}
	}
}

// A staged campaign over three hosts, in which answers are lost in every way: each zone
// gets one key, which a worker minted, however often it is sent.
func TestStagedCampaign(t *testing.T) {
	s := raiseAs(t, stage.Config{Zones: 8, Hosts: 3, HostsEach: 3, Limit: 20, Settings: stagedTouchy, Workers: 2})
	c := planned(t, s, "c", stagedTouchy, zonesOf(t, s))
	modify := func(zone, kind string) {
		strike(t, s, zone, sim.Fault{Action: stage.ModifyAction, Kind: kind, DelayMs: 9000})
	}
	z := c.zones
	modify(z[1], "resetAfter")
	modify(z[2], "resetBefore")
	modify(z[3], "internalErrorAfter")
	modify(z[4], "delayAfter")
	modify(z[5], "throttle")
	c.start(t)
	c.watch(t)
	seen := c.look(t)
	seen.switched(t, z[0], 1, 1, "")
	seen.switched(t, z[1], 1, 1, "EdgeOne had taken the key")
	seen.switched(t, z[2], 2, 1, "")
	seen.switched(t, z[3], 1, 1, "EdgeOne had taken the key")
	seen.switched(t, z[4], 1, 1, "") // read early, unless this machine was too slow for that
	seen.switched(t, z[5], 2, 1, "") // throttled, unless the worker counted as lost meanwhile: then the record does not say it
	for _, zone := range z[1:4] {
		first, _ := arrivals(seen.edges[zone], stage.ModifyAction)
		seen.locked(t, zone, first, stagedLife)
	}
	if got := stagesOf(t, s, z[0]); !slices.Contains(got, "mint") || !slices.Contains(got, "stage") || !slices.Contains(got, "switch") {
		t.Errorf("%s went through %v", z[0], got)
	}
	truth(t, s)
	must(t, s, "audit", "-f", s.Places.Fleet)
	exportHistories(t, s)
	if !holds(histories(s), `"former":{"key":`) || !holds(histories(s), `"kept":"`) {
		t.Error("no history holds a former key, which is to be searched for")
	}
	nothingIsLeftOnHosts(t, s)
	noKeyAnywhere(t, s)
}

// stagesOf are the stages of a zone as people see them.
func stagesOf(t *testing.T, s *stage.Stack, zone string) []string {
	t.Helper()
	var shown struct{ Stages []struct{ Stage string } }
	if err := json.Unmarshal([]byte(must(t, s, "zone", "show", zone, "--output", "json")), &shown); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, one := range shown.Stages {
		all = append(all, one.Stage)
	}
	return all
}

func hostNames(t *testing.T, s *stage.Stack) []string {
	t.Helper()
	hosts, err := s.Hosts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(hosts))
}

// A host that cannot take the key costs nothing: EdgeOne is not asked, and no client is
// turned away for a moment.
func TestStagedHostThatCannotTakeTheKey(t *testing.T) {
	s := raiseAs(t, stage.Config{Zones: 2, Hosts: 3, HostsEach: 3, Limit: 20, Settings: stagedTouchy, Workers: 1})
	host := hostNames(t, s)[0]
	for i, kind := range []string{"diskFull", "readOnlyDir"} {
		zone := zonesOf(t, s)[i]
		post(t, s, "/hosts/"+host+"/bad", map[string]any{"kind": kind})
		out := exits(t, s, 2, host, "zone", "rotate", zone, "-f", s.Places.Fleet, "--strategy", "staged", "--reason", "test", "--output", "json")
		var r rotation.Record
		if err := json.Unmarshal([]byte(out), &r); err != nil || r.Outcome != rotation.Unchanged || r.ExposureMs != 0 || !r.Since.IsZero() {
			t.Errorf("%s: %v: %s", kind, err, out)
		}
		if err := s.Control(t.Context(), http.MethodDelete, "/hosts/"+host+"/bad", nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	calls, err := s.Calls(t.Context())
	if err != nil || calls[stage.ModifyAction].Calls+calls[stage.RefreshAction].Calls > 0 {
		t.Errorf("%v, %v", calls, err)
	}
	nothingIsLeftOnHosts(t, s)
	must(t, s, "zone", "rotate", zonesOf(t, s)[0], "-f", s.Places.Fleet, "--strategy", "staged", "--reason", "healed")
}

// The worker that minted a key and brings it to the hosts is killed. Another one goes on
// with the same key.
func TestStagedWorkerIsKilledBeforeTheSwitch(t *testing.T) {
	s := raiseAs(t, stage.Config{Zones: 1, Hosts: 3, HostsEach: 3, Limit: 20, Settings: stagedTouchy, Workers: 2})
	c := planned(t, s, "c", stagedTouchy, zonesOf(t, s))
	zone := c.zones[0]
	for _, host := range hostNames(t, s) {
		post(t, s, "/hosts/"+host+"/bad", map[string]any{"kind": "lateAck", "delayMs": 6000, "match": "\nstage\n"})
	}
	c.start(t)
	eventually(t, "the key is on its way to the hosts", 5*time.Minute, func() bool { return isAt(t, s, zone, workflows.ActStage) })
	s.Workers[held(t, s, workflows.LeaseID("default"))].Kill()
	c.watch(t)
	c.look(t).switched(t, zone, 1, 1, "")
	truth(t, s)
	nothingIsLeftOnHosts(t, s)
}
