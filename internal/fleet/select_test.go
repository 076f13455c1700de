package fleet_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"keywave/internal/fleet"
	"keywave/internal/rotation"
)

const selectable = `version: 1
accounts: [{name: intl}, {name: cn}]
locations:
  hk: {hosts: {gw-1: {file: {path: "/k/1/{zone}"}}, gw-2: {file: {path: "/k/2/{zone}"}}}}
zones:
  - {id: zone-1, account: intl, hosts: [gw-1], labels: {tier: canary, team: shop}}
  - {id: zone-2, account: intl, hosts: [gw-2], labels: {team: shop}}
  - {id: zone-3, account: cn, hosts: [gw-1, gw-2]}
`

func TestSelect(t *testing.T) {
	whole := parse(t, []byte(selectable))
	ids := func(names ...rotation.ZoneID) []rotation.ZoneID { return names }
	for _, c := range []struct {
		s        fleet.Selection
		zones    string
		hosts    string
		accounts int
		from     string
	}{
		{fleet.Selection{}, "zone-1 zone-2 zone-3", "gw-1 gw-2", 2, ""},
		{fleet.Selection{Zones: ids("zone-3", "zone-1")}, "zone-1 zone-3", "gw-1 gw-2", 2, "the fleet file: 2 of 3 zones, chosen by --zones zone-3,zone-1"},
		{fleet.Selection{Labels: []string{"team=shop"}}, "zone-1 zone-2", "gw-1 gw-2", 1, "the fleet file: 2 of 3 zones, chosen by --label team=shop"},
		{fleet.Selection{Labels: []string{"team=shop", "tier=canary"}}, "zone-1", "gw-1", 1, "the fleet file: 1 of 3 zones, chosen by --label team=shop,tier=canary"},
		{fleet.Selection{Except: ids("zone-1", "zone-3")}, "zone-2", "gw-2", 1, "the fleet file: 1 of 3 zones, chosen by --except zone-1,zone-3"},
		{fleet.Selection{Labels: []string{"team=shop"}, Except: ids("zone-1")}, "zone-2", "gw-2", 1, "the fleet file: 1 of 3 zones, chosen by --label team=shop --except zone-1"},
	} {
		f, err := whole.Select(c.s)
		if err != nil {
			t.Errorf("%s: %v", c.s, err)
			continue
		}
		var zones, hosts []string
		for _, z := range f.Zones {
			zones = append(zones, string(z.ID))
		}
		for _, h := range slices.Sorted(maps.Keys(f.Hosts)) {
			hosts = append(hosts, string(h))
		}
		if strings.Join(zones, " ") != c.zones || strings.Join(hosts, " ") != c.hosts || len(f.Accounts) != c.accounts || f.From() != c.from {
			t.Errorf("%s chose %v on %v of %d accounts, %q", c.s, zones, hosts, len(f.Accounts), f.From())
		}
		if (f.Digest == whole.Digest) != c.s.Empty() {
			t.Errorf("%s: the digest is %s, of the whole fleet %s", c.s, f.Digest, whole.Digest)
		}
		for name, h := range f.Hosts {
			if h.Digest != whole.Hosts[name].Digest {
				t.Errorf("%s: host %s has another digest", c.s, name)
			}
		}
	}
	if len(whole.Zones) != 3 || len(whole.Hosts) != 2 || len(whole.Accounts) != 2 || whole.Selected != "" {
		t.Errorf("the fleet itself was changed: %+v", whole)
	}
}

func TestSelectRefuses(t *testing.T) {
	whole := parse(t, []byte(selectable))
	for want, s := range map[string]fleet.Selection{
		`--zones names zone "zone-4x", which the fleet does not have (did you mean "zone-1"?)
--except names zone "other", which the fleet does not have
no zone of the fleet has the label tier=gold`: {Zones: []rotation.ZoneID{"zone-4x"}, Except: []rotation.ZoneID{"other"}, Labels: []string{"tier=gold"}},
		`--label "tier" is no label; write key=value`:                      {Labels: []string{"tier"}},
		`no zone of the fleet is chosen by --zones zone-1 --except zone-1`: {Zones: []rotation.ZoneID{"zone-1"}, Except: []rotation.ZoneID{"zone-1"}},
	} {
		if _, err := whole.Select(s); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", s, err, want)
		}
	}
}
