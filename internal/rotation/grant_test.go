package rotation

import "testing"

func refs(location Location, names ...HostName) []HostRef {
	var all []HostRef
	for _, n := range names {
		all = append(all, HostRef{Name: n, Location: location})
	}
	return all
}

// A key goes to the hosts to which the fleet file gives it, and a refresh must
// name all of them.
func TestHolders(t *testing.T) {
	given := Holders(refs("hk", "gw-1", "gw-3"))
	for _, c := range []struct {
		name       string
		asked      []HostRef
		retired    []RetiredHost
		matches    bool
		allows     bool
		difference string
	}{
		{name: "all", asked: refs("hk", "gw-3", "gw-1"), matches: true, allows: true},
		{name: "another", asked: refs("hk", "gw-2"), difference: "the fleet file of this worker gives zone-A to gw-1 and gw-3; asked for: gw-2; not of the zone: gw-2 in hk; missing: gw-1 and gw-3"},
		{name: "one more", asked: refs("hk", "gw-1", "gw-2", "gw-3"), difference: "the fleet file of this worker gives zone-A to gw-1 and gw-3; asked for: gw-1, gw-2 and gw-3; not of the zone: gw-2 in hk"},
		{name: "one less", asked: refs("hk", "gw-1"), allows: true, difference: "the fleet file of this worker gives zone-A to gw-1 and gw-3; asked for: gw-1; missing: gw-3"},
		{name: "the other is retired", asked: refs("hk", "gw-1"), retired: []RetiredHost{{Host: "gw-3", Reason: "scrapped"}}, matches: true, allows: true},
		{name: "retired of another zone", asked: refs("hk", "gw-1"), retired: []RetiredHost{{Host: "gw-3", Zone: "zone-B", Reason: "scrapped"}}, allows: true, difference: "the fleet file of this worker gives zone-A to gw-1 and gw-3; asked for: gw-1; missing: gw-3"},
		{name: "retired without a reason", asked: refs("hk", "gw-1"), retired: []RetiredHost{{Host: "gw-3"}}, allows: true, difference: "the fleet file of this worker gives zone-A to gw-1 and gw-3; asked for: gw-1; missing: gw-3"},
		{name: "a retired one that the fleet file does not have", asked: refs("hk", "gw-1", "gw-2", "gw-3"), retired: []RetiredHost{{Host: "gw-2", Reason: "scrapped"}}, difference: "the fleet file of this worker gives zone-A to gw-1 and gw-3; asked for: gw-1, gw-2 and gw-3; not of the zone: gw-2 in hk"},
		{name: "in another place", asked: append(refs("hk", "gw-1"), refs("eu", "gw-3")...), difference: "the fleet file of this worker gives zone-A to gw-1 and gw-3; asked for: gw-1 and gw-3; not of the zone: gw-3 in eu; missing: gw-3"},
		{name: "nobody", difference: "the fleet file of this worker gives zone-A to gw-1 and gw-3; asked for: nobody; missing: gw-1 and gw-3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := given.Match("zone-A", c.asked, c.retired); got != c.difference || (got == "") != c.matches {
				t.Errorf("a refresh: %q, want %q", got, c.difference)
			}
			if got := given.Allow("zone-A", c.asked); (got == "") != c.allows {
				t.Errorf("a read: %q", got)
			}
		})
	}
	if got, want := Holders(nil).Match("zone-A", refs("hk", "gw-1"), nil), "the fleet file of this worker has no zone zone-A; asked for: gw-1; not of the zone: gw-1 in hk"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if Holders(nil).Match("zone-A", nil, nil) == "" {
		t.Error("a zone that the fleet file does not have may be refreshed for nobody")
	}
}

func TestNamed(t *testing.T) {
	for want, hosts := range map[string][]HostName{
		"nobody": nil, "a": {"a"}, "a and b": {"a", "b"}, "a, b and c": {"a", "b", "c"},
		"1, 2, 3, 4, 5, 6, 7, 8 and 2 more": {"1", "2", "3", "4", "5", "6", "7", "8", "9", "10"},
	} {
		if got := Named(hosts); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
