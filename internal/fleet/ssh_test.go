package fleet_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"keywave/internal/fleet"
	"keywave/internal/rotation"
)

const jumping = `version: 1
bastions:
  edge-jump: {address: "203.0.113.9", user: jump, hostKey: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICt8r0jh7U6AfqUFCsLMxFjV7KcVcjY00SBVzeMng7uX root@jump"}
  inner: {address: 10.0.0.1, user: hop}
  unused: {address: 10.0.0.9, user: nobody}
defaults: {ssh: {user: edge, path: "/k/{zone}", jump: [edge-jump, inner]}}
locations:
  hk:
    hosts:
      gw-1: {ssh: {address: 10.1.0.1}}
      near: {ssh: {address: 10.1.0.2, jump: [edge-jump]}}
      open: {ssh: {address: 10.1.0.3, jump: []}}
zones: [{id: zone-1, hosts: [gw-1, near, open]}]
`

// A host uses the bastions of the defaults, its own, or none. A bastion that no
// host uses is no mistake.
func TestJump(t *testing.T) {
	f := parse(t, []byte(jumping))
	edge := fleet.Bastion{Name: "edge-jump", Address: "203.0.113.9:22", User: "jump", HostKey: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICt8r0jh7U6AfqUFCsLMxFjV7KcVcjY00SBVzeMng7uX"}
	inner := fleet.Bastion{Name: "inner", Address: "10.0.0.1:22", User: "hop"}
	for host, want := range map[string][]fleet.Bastion{"gw-1": {edge, inner}, "near": {edge}, "open": nil} {
		if got := f.Hosts[rotation.HostName(host)].SSH.Jump; !reflect.DeepEqual(got, want) {
			t.Errorf("%s goes through %+v, want %+v", host, got, want)
		}
	}
}

// sudo means sudo:root, and an empty text undoes what the defaults say.
func TestBecome(t *testing.T) {
	f := parse(t, []byte(`{version: 1, defaults: {ssh: {user: u, path: "/k", become: sudo}}, locations: {hk: {hosts: {
  root: {ssh: {address: a}}, too: {ssh: {address: b, become: "sudo:root"}}, svc: {ssh: {address: c, become: "sudo:svc"}}, login: {ssh: {address: d, become: ""}}}}}, zones: [{id: zone-1, hosts: [root]}]}`))
	for host, want := range map[string]string{"root": "root", "too": "root", "svc": "svc", "login": ""} {
		if got := f.Hosts[rotation.HostName(host)].SSH.Become; got != want {
			t.Errorf("%s becomes %q, want %q", host, got, want)
		}
	}
}

// The digest of a host depends on its bastions' addresses, users and keys, in
// their order, but not on their names. Without bastions it is as before there
// were any.
func TestDigestOfJump(t *testing.T) {
	base := parse(t, []byte(jumping))
	for what, change := range map[string]struct {
		old, new string
		differ   []string // hosts
	}{
		"an address":          {"10.0.0.1,", "10.0.0.2,", []string{"gw-1"}},
		"a port":              {`"203.0.113.9"`, `"203.0.113.9:23"`, []string{"gw-1", "near"}},
		"a user":              {"user: jump", "user: jmp", []string{"gw-1", "near"}},
		"a key":               {"g7uX", "g7uY", []string{"gw-1", "near"}},
		"the order":           {"[edge-jump, inner]", "[inner, edge-jump]", []string{"gw-1"}},
		"none":                {"jump: [edge-jump]", "jump: []", []string{"near"}},
		"one that is unused":  {"10.0.0.9", "10.0.0.8", nil},
		"a name":              {"inner", "middle", nil},
		"a way of its own":    {"jump: []", "jump: [unused]", []string{"open"}},
		"the same, said here": {"address: 10.1.0.1", "address: 10.1.0.1, jump: [edge-jump, inner]", nil},
	} {
		f := parse(t, []byte(strings.ReplaceAll(jumping, change.old, change.new)))
		for name, host := range f.Hosts {
			was, want := base.Hosts[name], []string(nil)
			if slices.Contains(change.differ, string(name)) {
				want = []string{"jump"}
			}
			if got := host.Differs(was.Ref().Parts); !slices.Equal(got, want) || (host.Digest == was.Digest) != (want == nil) {
				t.Errorf("%s: host %s differs in %v, want %v", what, name, got, want)
			}
		}
	}
	direct := parse(t, []byte(strings.ReplaceAll(strings.ReplaceAll(jumping, ", jump: []", ""), ", jump: [edge-jump, inner]", "")))
	if a, b := base.Hosts["open"], direct.Hosts["open"]; a.Digest != b.Digest || fmt.Sprint(a.Ref()) != fmt.Sprint(b.Ref()) {
		t.Error("an empty way is part of the digest")
	}
}
