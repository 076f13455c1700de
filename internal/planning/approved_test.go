package planning

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"keywave/activities"
	"keywave/internal/fleet"
)

const file = `version: 1
locations: {hk: {hosts: {
  gw-1: {ssh: {address: "10.0.0.1:22", user: edge, path: "/k/{zone}"}},
  gw-2: {ssh: {address: "10.0.0.2:22", user: edge, path: "/k/{zone}"}}}}}
zones:
  - {id: zone-1, hosts: [gw-1, gw-2]}
  - {id: zone-2, hosts: [gw-1]}
campaign: {waves: [1, 100%], freeze: [2026-12-24]}
`

func parse(t *testing.T, text string) *fleet.Fleet {
	t.Helper()
	f, err := fleet.Parse("fleet.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// asked is what a schedule of that fleet asks for, in the form in which
// Temporal keeps it.
func asked(t *testing.T, f *fleet.Fleet) activities.PlanFleetIn {
	t.Helper()
	a, err := Approve(f, "ann", "policy 7", time.Date(2026, 11, 24, 2, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(activities.PlanFleetIn{Schedule: "night", Approval: a})
	if err != nil {
		t.Fatal(err)
	}
	var in activities.PlanFleetIn
	if err := json.Unmarshal(body, &in); err != nil {
		t.Fatal(err)
	}
	return in
}

func TestAnotherFleetIsRefused(t *testing.T) {
	was := parse(t, file)
	for name, c := range map[string]struct{ from, to, want string }{
		"nothing":      {"", "", ""},
		"a comment":    {"zones:", "# a comment\nzones:", ""},
		"a zone":       {"  - {id: zone-2, hosts: [gw-1]}\n", "", "with 1 zones on 2 hosts, approved was " + was.Digest + " with 2 zones on 2 hosts: waves: 1 zones, were 1, 1; zone zone-2 is gone; check"},
		"its hosts":    {"hosts: [gw-1]}", "hosts: [gw-2]}", "zone zone-2 has hosts [gw-2], had [gw-1]; check it, then: keywave schedule approve night -f fleet.yaml"},
		"an address":   {"10.0.0.2:22", "10.0.0.3:22", "host gw-2 is defined otherwise: address"},
		"a setting":    {"waves: [1, 100%]", "waves: [1, 100%], maxFailed: 100%", "nothing was touched: campaign settings differ: maxFailed: 100%, was 1%; check"},
		"the calendar": {"freeze: [2026-12-24]", "bake: 30s", "freeze: [], was [2026-12-24]"},
		"a label":      {"hosts: [gw-1]}", "hosts: [gw-1], labels: {team: shop}}", "zones, hosts, labels or the endpoint are others"},
	} {
		t.Run(name, func(t *testing.T) {
			now := parse(t, strings.Replace(file, c.from, c.to, 1))
			said := Planner{Loaded: now}.differs(asked(t, was), now, now)
			if (said == "") != (c.want == "") || !strings.Contains(said, c.want) {
				t.Errorf("it says %q, want %q", said, c.want)
			}
			if c.want != "" && !strings.HasPrefix(said, "the fleet file is not what ann approved on 2026-11-24, nothing was touched: ") {
				t.Errorf("it says %q", said)
			}
		})
	}
}

func TestWorkersWithTheFileBeforeAreRefused(t *testing.T) {
	now := parse(t, strings.Replace(file, "10.0.0.2:22", "10.0.0.3:22", 1))
	if said := (Planner{Loaded: parse(t, file)}).differs(asked(t, now), now, now); !strings.Contains(said, "nothing was touched; restart them") {
		t.Errorf("it says %q", said)
	}
}

// Temporal takes no argument above 2 MB. So for a large fleet only the numbers
// and the digest are kept.
func TestALargeFleetIsApprovedByDigest(t *testing.T) {
	large := func(zones int) *fleet.Fleet {
		var b strings.Builder
		for n := range zones {
			fmt.Fprintf(&b, "  - {id: zone-%06d, name: shop-%d.example.com, hosts: [gw-1]}\n", n, n)
		}
		return parse(t, strings.Replace(file, "  - {id: zone-2, hosts: [gw-1]}\n", b.String(), 1))
	}
	was, now := large(100_000), large(100_001)
	in := asked(t, was)
	if body, _ := json.Marshal(in); len(body) > 10_000 {
		t.Errorf("the approval is %d bytes long", len(body))
	}
	if said := (Planner{Loaded: was}).differs(in, was, was); said != "" {
		t.Errorf("the same fleet: %q", said)
	}
	if said := (Planner{Loaded: now}).differs(in, now, now); !strings.Contains(said, "with 100002 zones on 2 hosts, approved was "+was.Digest+" with 100001 zones on 2 hosts: zones, hosts, labels or the endpoint are others") {
		t.Errorf("another fleet: %q", said)
	}
}
