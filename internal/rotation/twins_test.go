package rotation_test

import (
	"reflect"
	"testing"

	"keywave/internal/rotation"
)

func TestTwins(t *testing.T) {
	file := func(name string, shared bool) map[rotation.ZoneID]rotation.Place {
		return map[rotation.ZoneID]rotation.Place{"zone-1": {File: name, Shared: shared}}
	}
	located := map[rotation.HostName]rotation.Whereabouts{
		"a1": {Machine: "a", Places: file("1:7", false)},
		"a2": {Machine: "a", Places: file("1:7", false)},                                          // a1 under another name
		"a3": {Machine: "a", Places: file("1:8", false)},                                          // another file of that machine
		"b":  {Machine: "b", Places: file("1:7", false)},                                          // the same number on another machine
		"n1": {Machine: "n1", Places: file("nfs:9", true)},                                        //
		"n2": {Machine: "n2", Places: file("nfs:9", true)},                                        // one directory that two machines mount
		"o":  {Machine: "a", Places: map[rotation.ZoneID]rotation.Place{"zone-2": {File: "1:7"}}}, // of another zone
		"u1": {Places: file("2:1", false)},                                                        //
		"u2": {Places: file("2:1", false)},                                                        // the machine is not known
		"v1": {Machine: "v", Places: file("", false)},                                             //
		"v2": {Machine: "v", Places: file("", false)},                                             // the file is not known
	}
	want := []rotation.Twins{{Hosts: [2]rotation.HostName{"a1", "a2"}}, {Hosts: [2]rotation.HostName{"n1", "n2"}, Shared: true}}
	if got := rotation.FindTwins(located); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
