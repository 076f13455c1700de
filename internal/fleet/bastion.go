package fleet

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Bastion is a machine through which hosts are reached. It gets no key.
type Bastion struct {
	Name string
	// Address is host:port, as it is reached from the bastion before it, or from
	// the location's worker.
	Address string
	// HostKey is the pinned host key, "type base64"; empty means that known_hosts
	// decides.
	HostKey string
	User    string
}

func bastionFields() section {
	return section{
		{"address", single(), "host:port; 22 when there is no port."},
		{"user", words(64), "Who logs in."},
		{"hostKey", schema{"type": "string"}, "Type and base64, as in the bastion's /etc/ssh/ssh_host_ed25519_key.pub; otherwise known_hosts decides."},
	}
}

// bastions reads all bastions. A bastion that no host uses is no mistake;
// neither is a host without zones.
func (r *reader) bastions(n *yaml.Node) map[string]Bastion {
	all := map[string]Bastion{}
	for _, e := range r.entries(n, "bastions") {
		what := fmt.Sprintf("bastion %q", e.key)
		in := r.fields(e.value, what, bastionFields().names()...)
		r.requireOf(e.value, what, "write it here", in, "address", "user")
		all[e.key] = Bastion{
			Name:    value(r, e.at, what, e.key, name[string]),
			Address: value(r, in["address"], what+": address", "", address),
			HostKey: value(r, in["hostKey"], what+": hostKey", "", hostKey),
			User:    value(r, in["user"], what+": user", "", user),
		}
	}
	return all
}

// jump reads the bastions on the way to a host; the first is dialled first. An
// empty list means a way without bastions.
func (r *reader) jump(n *yaml.Node, what string, fallback []Bastion) []Bastion {
	if n == nil {
		return fallback
	}
	what += ": jump"
	var way []Bastion
	for _, item := range r.items(n, what) {
		called := value(r, item, what, "", name[string])
		b, known := r.through[called]
		switch {
		case called == "":
		case !known:
			r.say(item, what, "unknown bastion %q%s; %s", called, meant(called, r.throughNames()), r.knownBastions())
		case slices.ContainsFunc(way, func(b Bastion) bool { return b.Name == called }):
			r.say(item, what, "bastion %q is here twice, and a way goes through each once; remove one", called)
		default:
			way = append(way, b)
		}
	}
	return way
}

func (r *reader) throughNames() []string {
	var names []string
	for called := range r.through {
		names = append(names, called)
	}
	slices.Sort(names)
	return names
}

func (r *reader) knownBastions() string {
	if len(r.through) == 0 {
		return "the fleet has none; add it under bastions, or remove it here"
	}
	return fmt.Sprintf("bastions of the fleet are %s; add it under bastions, or remove it here", listed(r.throughNames()))
}

// way is everything that decides which machines a connection passes: one line
// for each bastion, in their order, without their names.
func way(jump []Bastion) string {
	lines := make([]string, len(jump))
	for i, b := range jump {
		lines[i] = strings.TrimSpace(b.User + " " + b.Address + " " + b.HostKey)
	}
	return strings.Join(lines, "\n")
}
