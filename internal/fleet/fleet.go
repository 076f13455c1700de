// Package fleet reads the fleet file: the accounts, the locations, their hosts,
// the zones and which hosts each zone has. A file that it accepts is complete
// and without contradiction. When it refuses a file, it reports every mistake
// at once, each with file, line, column and what to do about it. It dials
// nothing, and a fleet file holds no key.
package fleet

import (
	"fmt"
	"os"
	"slices"

	"keywave/internal/plan"
	"keywave/internal/rotation"
)

// Fleet is a fleet file that was read without a mistake.
type Fleet struct {
	// Version is the file's format; always 1.
	Version int
	// Accounts are in the order of the file; each has at least one zone.
	Accounts []Account
	// Locations are in the order of the file; each has at least one host.
	Locations []rotation.Location
	Hosts     map[rotation.HostName]Host
	// Zones are in the order of the file. Each has at least one host, and every
	// host that it names is in Hosts. They are nil where they come from elsewhere
	// and have not been read yet.
	Zones []Zone
	// Source is where the zones come from.
	Source Source
	// Selected says which of the zones were chosen, and how. It is empty when all
	// were.
	Selected string
	// Notes are what people should know of the zones.
	Notes []plan.Finding
	// Health is the checks between waves, by name.
	Health map[string]Check
	// Campaign is how a campaign runs, with the defaults filled in.
	Campaign plan.Settings
	// Digest names accounts with their endpoints, hosts and zones: 32 hex digits.
	// It does not depend on their order, or on the file's comments.
	Digest string
}

// Account is a Tencent account that owns zones.
type Account struct {
	Name rotation.Account
	// Endpoint is host[:port], which is called by HTTPS. It is http://host:port
	// when, and only when, that host is this machine.
	Endpoint string
	// Credentials says where the API credentials come from.
	Credentials Credentials
	// RequestsPerSecond is the account's limit for each API action, above 0 and
	// at most 1000.
	RequestsPerSecond float64
}

// Host is a machine that must hold keys. Exactly one of SSH, File and Exec is set.
type Host struct {
	Name     rotation.HostName
	Location rotation.Location
	SSH      *SSH
	File     *File
	Exec     *Exec
	// Gateway is the IP by which EdgeOne knows the host as a private gateway. It
	// is empty where EdgeOne knows it by its name. It decides which zones the
	// host has, and is no part of its definition.
	Gateway string
	// Digest names everything that decides where and how a key goes: 32 hex
	// digits over the definition, defaults included.
	Digest string
}

// Ref names the host in a plan. It holds no address.
func (h Host) Ref() rotation.HostRef {
	return rotation.HostRef{Name: h.Name, Location: h.Location, Digest: h.Digest, Parts: h.parts()}
}

// Zone is one zone and the hosts that must hold its key.
type Zone struct {
	ID   rotation.ZoneID
	Name string
	// Account is one of the fleet's accounts.
	Account rotation.Account
	Hosts   []rotation.HostName
	Labels  map[string]string
}

// Canary says that the zone is to go first: it has the label tier: canary.
func (z Zone) Canary() bool { return z.Labels[rotation.TierLabel] == "canary" }

// AccountNames are the names of Accounts.
func (f *Fleet) AccountNames() []rotation.Account {
	names := make([]rotation.Account, len(f.Accounts))
	for i, a := range f.Accounts {
		names[i] = a.Name
	}
	return names
}

// ZonesOf are an account's zones, in the order of the file.
func (f *Fleet) ZonesOf(a rotation.Account) []Zone {
	return slices.DeleteFunc(slices.Clone(f.Zones), func(z Zone) bool { return z.Account != a })
}

// Ordered are the zones in the order in which a campaign takes them: canaries
// first, otherwise as in the file.
func (f *Fleet) Ordered() []Zone {
	zones := slices.Clone(f.Zones)
	slices.SortStableFunc(zones, func(a, b Zone) int {
		switch {
		case a.Canary() == b.Canary():
			return 0
		case a.Canary():
			return -1
		}
		return 1
	})
	return zones
}

// Targets is Ordered in the form that a plan needs.
func (f *Fleet) Targets() []plan.Target {
	zones := f.Ordered()
	targets := make([]plan.Target, len(zones))
	for i, z := range zones {
		refs := make([]rotation.HostRef, len(z.Hosts))
		for j, name := range z.Hosts {
			refs[j] = f.Hosts[name].Ref()
		}
		targets[i] = plan.Target{ID: z.ID, Name: z.Name, Account: z.Account, Hosts: refs}
	}
	return targets
}

// Read reads the fleet file at path, and the table of zones that it names.
// Zones that come from EdgeOne must still be resolved. Its error is the file
// system's, or Mistakes.
func Read(path string) (*Fleet, error) { return read(path, false) }

// Bare reads the fleet file at path and nothing else: zones that are not in the
// file itself are missing, and not part of its digest. A worker needs no more.
func Bare(path string) (*Fleet, error) { return read(path, true) }

func read(path string, bare bool) (*Fleet, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the fleet file: %w", err)
	}
	return parse(&reader{file: path, bare: bare}, data)
}

// Parse reads a fleet file's content. name is printed before each mistake, and
// files that it names are searched beside name. A non-nil error is Mistakes.
func Parse(name string, data []byte) (*Fleet, error) { return parse(&reader{file: name}, data) }

func parse(r *reader, data []byte) (*Fleet, error) {
	f := r.read(data)
	if all := append(r.found.sorted(), r.elsewhere...); len(all) > 0 {
		return nil, all
	}
	f.digest()
	return f, nil
}
