package fleet

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"

	"keywave/internal/rotation"
)

// transport is a way to bring keys to a host. Each has a file of its own here,
// with its fields, their checks and its part of a host's digest.
type transport struct {
	// name is what the fleet file calls it.
	name, about string
	// own are the fields that only a host may have. shared are those that may
	// stand under defaults too.
	own, shared section
	// required are fields that the host or the defaults must have, always are
	// fields that the host itself must have.
	required, always []string
	// read fills in the host's part for this transport, from the fields in. Where
	// they say nothing, it takes what from has.
	read func(r *reader, in map[string]*yaml.Node, what string, from Host, h *Host)
}

// transports lists them all.
var transports = sync.OnceValue(func() []transport { return []transport{sshTransport(), fileTransport(), execTransport()} })

func transportNames() (names []string, toWrite string) {
	var words []string
	for _, t := range transports() {
		names, words = append(names, t.name), append(words, t.name+": {…}")
	}
	return names, strings.Join(words, " or ")
}

// field is a part of a host's definition. A later field that is left out enters
// no digest, so that digests of hosts without it do not change.
type field struct {
	name, value string
	later       bool
}

// definition is everything that decides where and how a key goes to the host.
// Digests depend on the order and the names: add, never rename.
func (h Host) definition() []field {
	name, ssh, exec := "file", SSH{}, Exec{}
	switch {
	case h.SSH != nil:
		name, ssh = "ssh", *h.SSH
	case h.Exec != nil:
		name, exec = "exec", *h.Exec
	}
	all := []field{{"name", string(h.Name), false}, {"location", string(h.Location), false}, {"transport", name, false}}
	return slices.Concat(all, ssh.definition(), h.target().definition(), exec.definition(), ssh.later(), h.target().later())
}

// Place is where the host keeps a zone's key, for people.
func (h Host) Place(zone rotation.ZoneID) string {
	if h.Exec != nil {
		return "what " + h.Exec.Command[0] + " writes"
	}
	return strings.ReplaceAll(h.target().Path, zoneMark, string(zone))
}

// target is the host's file, for every transport that has one. It is empty
// where a program decides.
func (h Host) target() File {
	switch {
	case h.SSH != nil:
		return h.SSH.File
	case h.File != nil:
		return *h.File
	}
	return File{}
}

// fileID is the same for two hosts that are one machine, user and path. Equal
// addresses in two locations, or behind different bastions, are different
// machines.
func (h Host) fileID() string {
	id := []string{string(h.Location), "", "", h.target().Path}
	if h.SSH != nil {
		id[1], id[2] = h.SSH.Address, h.SSH.User
		id = append(id, way(h.SSH.Jump))
	}
	return strings.Join(id, "\x00")
}

// inherited is what hosts of one transport take from defaults: values, and where
// they stand.
type inherited struct {
	host Host
	in   map[string]*yaml.Node
}

func defaultFields() section {
	var fields section
	for _, t := range transports() {
		fields = append(fields, property{t.name, t.shared.mapping(), t.about})
	}
	return fields
}

// defaults gives what each transport inherits, by its name.
func (r *reader) defaults(n *yaml.Node) map[string]inherited {
	in := r.fields(n, "defaults", defaultFields().names()...)
	all := map[string]inherited{}
	for _, t := range transports() {
		what := "defaults: " + t.name
		own := inherited{in: r.fields(in[t.name], what, t.shared.names()...)}
		t.read(r, own.in, what, Host{}, &own.host)
		all[t.name] = own
	}
	return all
}

// transport reads a host's one transport. It returns the place of its path, or
// nil when it has none.
func (r *reader) transport(e entry, what string, from map[string]inherited, host *Host) (path *yaml.Node) {
	what += ": " + e.key
	i := slices.IndexFunc(transports(), func(t transport) bool { return t.name == e.key })
	if i < 0 {
		_, write := transportNames()
		r.say(e.at, what, "unknown transport %q; write %s", e.key, write)
		return nil
	}
	t, above := transports()[i], from[e.key]
	in := r.fields(e.value, what, slices.Concat(t.own, t.shared).names()...)
	t.read(r, in, what, above.host, host)
	all := maps.Clone(above.in)
	maps.Copy(all, in)
	r.require(e.value, what, all, t.required...)
	return all["path"]
}

// require says which fields neither the transport at n nor its defaults gave.
func (r *reader) require(n *yaml.Node, what string, in map[string]*yaml.Node, fields ...string) {
	r.requireOf(n, what, "write it here or under defaults", in, fields...)
}

// requireOf says which fields are missing at n, and where to write them.
func (r *reader) requireOf(n *yaml.Node, what, where string, in map[string]*yaml.Node, fields ...string) {
	if n.Kind != yaml.MappingNode {
		return
	}
	for _, field := range fields {
		switch {
		case in[field] != nil:
		case field == "address":
			r.say(n, what, "has no address; write address: \"host:port\"")
		default:
			r.say(n, what, "has no %s; %s", field, where)
		}
	}
}
