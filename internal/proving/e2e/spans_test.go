package e2e

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"keywave/internal/proving/stage"
	"keywave/internal/rotation"
)

// span is one of those that a worker exports to its standard output, a line each.
type span struct {
	Name                string
	SpanContext, Parent struct{ SpanID string }
	Attributes          []struct {
		Key   string
		Value struct{ Value any }
	}
}

func (s span) fact(name string) string {
	for _, a := range s.Attributes {
		if a.Key == name {
			text, _ := a.Value.Value.(string)
			return text
		}
	}
	return ""
}

// spans are those that the first worker exported, by their IDs.
func spans(t *testing.T, s *stage.Stack) map[string]span {
	t.Helper()
	log, err := os.ReadFile(s.Workers[0].Log)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]span{}
	for line := range strings.Lines(string(log)) {
		var one span
		if strings.HasPrefix(line, `{"Name":`) && json.Unmarshal([]byte(line), &one) == nil {
			all[one.SpanContext.SpanID] = one
		}
	}
	return all
}

// traced is how a worker exports its spans to where the leak test looks.
func traced() []string {
	return []string{"OTEL_TRACES_EXPORTER=console", "OTEL_BSP_SCHEDULE_DELAY=200"}
}

// spansAreTrue follows a zone from the campaign down to EdgeOne and its hosts.
func spansAreTrue(t *testing.T, s *stage.Stack, zone string) {
	t.Helper()
	var all map[string]span
	eventually(t, "the campaign's span is exported", 3*time.Minute, func() bool {
		all = spans(t, s)
		return slices.ContainsFunc(values(all), func(s span) bool { return s.Name == "RunWorkflow:Campaign" })
	})
	keys, err := s.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	live := string(rotation.FingerprintOf(rotation.ZoneID(zone), rotation.NewSecret(keys[zone].Live)))
	above := func(s span) []string {
		var names []string
		for {
			names = append(names, s.Name)
			parent, known := all[s.Parent.SpanID]
			if !known {
				return names
			}
			s = parent
		}
	}
	way := []string{"RunWorkflow:Zone", "StartChildWorkflow:Zone", "RunWorkflow:Shard", "StartChildWorkflow:Shard", "RunWorkflow:Campaign"}
	seen := map[string]int{}
	var hosts []string
	for _, one := range values(all) {
		if one.fact("keywave.zone") != zone {
			continue
		}
		names := above(one)
		if len(names) < len(way) || !slices.Equal(names[len(names)-len(way):], way) {
			t.Errorf("%s stands below %q, want %q", one.Name, names, way)
		}
		if one.fact("keywave.fingerprint") != live {
			t.Errorf("%s has fingerprint %q, and the live key has %s", one.Name, one.fact("keywave.fingerprint"), live)
		}
		if one.Name != "DeliverToHost" && one.fact("keywave.request_id") == "" {
			t.Errorf("%s has no request ID", one.Name)
		}
		if one.Name == "DeliverToHost" {
			hosts = append(hosts, one.fact("keywave.host"))
		}
		seen[one.Name]++
	}
	pairs, err := s.Pairs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, p := range pairs {
		if p.Zone == zone {
			want = append(want, p.Host)
		}
	}
	slices.Sort(hosts)
	slices.Sort(want)
	hosts = slices.Compact(hosts) // what a slow machine delivers late is delivered again, and read again
	if seen["RunActivity:Refresh"] != 1 || seen["RunActivity:Read"]+seen["ReadAfter"] < 1 || !slices.Equal(hosts, want) {
		t.Errorf("of %s these spans were exported: %v, with hosts %v; it has %v", zone, seen, hosts, want)
	}
}

// without is the first of some zones that has nothing to do with a host.
func without(t *testing.T, s *stage.Stack, zones []string, host string) string {
	t.Helper()
	pairs, err := s.Pairs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, zone := range zones {
		if !slices.ContainsFunc(pairs, func(p stage.Pair) bool { return p.Zone == zone && p.Host == host }) {
			return zone
		}
	}
	t.Fatalf("each of these zones has the host %s: %v", host, zones)
	return ""
}

func values(all map[string]span) []span {
	var list []span
	for _, s := range all {
		list = append(list, s)
	}
	return list
}
