package fleet

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"

	"keywave/internal/rotation"
)

func topFields() section {
	return section{
		{"version", schema{"enum": []any{1, "1"}}, "1"},
		{"account", accountFields().mapping(), "The Tencent account that owns the zones."},
		{"accounts", listOf(accountFields().mapping(), 1), "Several accounts, instead of account; each zone then says whose it is."},
		{"bastions", namedBy(aName(), bastionFields().mapping("address", "user"), 0), "Machines through which hosts are reached, by name."},
		{"defaults", defaultFields().mapping(), "What hosts leave out, for each transport."},
		{"locations", namedBy(aName(), locationFields().mapping("hosts"), 1), "Network places, by name: each has workers and hosts of its own."},
		{"zones", anyOf(listOf(zoneFields().mapping("id", "hosts"), 1), sourceMapping()), "The zones and the hosts that must hold their keys: a list, {csv: zones.csv} or {edgeone: {…}}."},
		{"campaign", campaignFields().mapping(), "How a campaign runs."},
		{"health", namedBy(schema{}, checkMapping(), 0), "Checks between waves, by name."},
	}
}

// read reads the whole file. Its result is complete only if no mistake was
// found.
func (r *reader) read(data []byte) *Fleet {
	root := r.document(data)
	if root == nil {
		return nil
	}
	top := r.fields(root, "", topFields().names()...)
	if !r.version(root, top["version"]) {
		return nil
	}
	f := &Fleet{Version: 1}
	owners := r.accounts(top["account"], top["accounts"], f)
	r.through = r.bastions(top["bastions"])
	places := r.locations(root, top["locations"], r.defaults(top["defaults"]), f)
	r.zones(root, top["zones"], f)
	r.owned(f, owners)
	r.overwrites(f, places)
	f.Health = r.health(top["health"])
	f.Campaign = r.campaign(top["campaign"], f.Health, !slices.ContainsFunc(f.Accounts, func(a Account) bool { return !isLocal(a.Endpoint) }))
	return f
}

// version says whether the rest may be read: a file of another version has
// other fields.
func (r *reader) version(root, n *yaml.Node) bool {
	switch {
	case root.Kind != yaml.MappingNode:
		return false
	case n == nil:
		r.say(root, "", "version is missing; write version: 1")
		return true
	case n.Kind == yaml.ScalarNode && n.Value == "1":
		return true
	}
	r.found = nil
	r.say(n, "version", "this keywave reads version 1 of the fleet file; write 1, or use the keywave that the file was written for")
	return false
}

// accounts fills in the fleet's accounts, from one account or a list. It
// returns the places of those in a list.
func (r *reader) accounts(one, many *yaml.Node, f *Fleet) []*yaml.Node {
	if one != nil && many != nil {
		r.say(many, "accounts", "account is in line %d already; write all of them here, or remove one of the two", one.Line)
	}
	if many == nil {
		f.Accounts = []Account{r.account(one, "account")}
		return nil
	}
	var owners []*yaml.Node
	items := r.items(many, "accounts")
	if many.Kind == yaml.SequenceNode && len(items) == 0 {
		r.say(many, "accounts", "is empty; write accounts: [{name: …}], or account: {…} for a single one")
	}
	for i, item := range items {
		a := r.account(item, fmt.Sprintf("account %d", i+1))
		if item.Kind != yaml.MappingNode {
			continue
		}
		first := slices.IndexFunc(f.Accounts, func(b Account) bool { return b.Name == a.Name })
		if first >= 0 {
			r.say(item, fmt.Sprintf("account %q", a.Name), "is here twice, first in line %d; give each a name of its own", owners[first].Line)
			continue
		}
		f.Accounts, owners = append(f.Accounts, a), append(owners, item)
	}
	if len(f.Accounts) == 0 {
		f.Accounts = []Account{r.account(nil, "account")}
		return nil
	}
	return owners
}

func accountFields() section {
	return section{
		{"name", aName(), "Part of queue names and of the lease; default: default."},
		{"endpoint", single(), "Host or host:port, over HTTPS; http:// only for this machine. Default: teo.intl.tencentcloudapi.com."},
		{"credentials", credentialsSchema(), "Where the API credential comes from; default: env."},
		{"requestsPerSecond", schema{"type": []string{"number", "string"}, "exclusiveMinimum": 0, "maximum": 1000}, "The account's limit of each API action; default: 20."},
	}
}

// account reads one account. Without a name it is called default.
func (r *reader) account(n *yaml.Node, what string) Account {
	in := r.fields(n, what, accountFields().names()...)
	return Account{
		Name:              value(r, in["name"], what+": name", "default", name[rotation.Account]),
		Endpoint:          value(r, in["endpoint"], what+": endpoint", "teo.intl.tencentcloudapi.com", endpoint),
		Credentials:       r.credentials(in["credentials"], what+": credentials"),
		RequestsPerSecond: value(r, in["requestsPerSecond"], what+": requestsPerSecond", 20, rate),
	}
}

// owned reports accounts without zones.
func (r *reader) owned(f *Fleet, owners []*yaml.Node) {
	has := map[rotation.Account]bool{}
	for _, z := range f.Zones {
		has[z.Account] = true
	}
	for i, at := range owners {
		a := f.Accounts[i].Name
		if len(f.Zones) > 0 && !has[a] && !has[""] { // a zone that names no account is a mistake of its own
			r.say(at, fmt.Sprintf("account %q", a), "has no zones; write account: %s at those that are its, or remove it", a)
		}
	}
}

func isLocal(endpoint string) bool {
	u, err := url.Parse("https://" + strings.TrimPrefix(endpoint, "http://"))
	return err == nil && isLoopback(u.Hostname())
}

// place is where a host is in the file, for mistakes that are found later.
type place struct {
	at, path *yaml.Node
	what     string
}

func locationFields() section {
	return section{{"hosts", namedBy(aName(), hostMapping(), 1), "The location's hosts, by name."}}
}

// hostMapping is the schema of a host: one transport, and the fields beside it.
func hostMapping() schema {
	fields := section{{gatewayField, single(), "The IP by which EdgeOne knows the host as a private gateway."}}
	var one []schema
	for _, t := range transports() {
		fields = append(fields, property{t.name, slices.Concat(t.own, t.shared).mapping(t.always...), t.about})
		one = append(one, schema{"required": []string{t.name}})
	}
	host := fields.mapping()
	host["oneOf"] = one
	return host
}

const gatewayField = "gateway"

// locations fills in the fleet's locations and hosts.
func (r *reader) locations(root, n *yaml.Node, from map[string]inherited, f *Fleet) map[rotation.HostName]place {
	f.Hosts = map[rotation.HostName]Host{}
	places := map[rotation.HostName]place{}
	list := r.entries(n, "locations")
	if n == nil || n.Kind == yaml.MappingNode && len(list) == 0 {
		r.say(orElse(n, root), "", "no locations; write locations: {default: {hosts: {…}}}")
	}
	for _, e := range list {
		what := fmt.Sprintf("location %q", e.key)
		location := value(r, e.at, what, "", name[rotation.Location])
		f.Locations = append(f.Locations, location)
		in := r.fields(e.value, what, locationFields().names()...)
		hosts := r.entries(in["hosts"], what+": hosts")
		if len(hosts) == 0 && e.value.Kind == yaml.MappingNode && (in["hosts"] == nil || in["hosts"].Kind == yaml.MappingNode) {
			r.say(e.at, what, "has no hosts; add one, or remove the location")
		}
		for _, h := range hosts {
			r.host(h, location, from, f, places)
		}
	}
	return places
}

func orElse(n, other *yaml.Node) *yaml.Node {
	if n == nil {
		return other
	}
	return n
}

func (r *reader) host(e entry, location rotation.Location, from map[string]inherited, f *Fleet, places map[rotation.HostName]place) {
	what := fmt.Sprintf("host %q", e.key)
	host := Host{Name: value(r, e.at, what, rotation.HostName(e.key), name[rotation.HostName]), Location: location}
	if first, twice := places[host.Name]; twice {
		r.say(e.at, what, "is here twice, first in line %d under location %q; remove or rename one", first.at.Line, f.Hosts[host.Name].Location)
		return
	}
	where := place{at: e.at, what: what}
	ways := slices.DeleteFunc(r.entries(e.value, what), func(t entry) bool {
		if t.key == gatewayField {
			host.Gateway = r.gateway(t.value, what, host.Name)
		}
		return t.key == gatewayField
	})
	if len(ways) != 1 && e.value.Kind == yaml.MappingNode {
		_, write := transportNames()
		r.say(e.at, what, "has %d transports; write one, %s", len(ways), write)
	}
	for _, way := range ways {
		where.path = cmp.Or(r.transport(way, what, from, &host), where.path)
	}
	f.Hosts[host.Name], places[host.Name] = host, where
}

// gateway reads the IP by which EdgeOne knows a host. No two hosts may have the
// same.
func (r *reader) gateway(n *yaml.Node, what string, host rotation.HostName) string {
	ip := value(r, n, what+": gateway", "", gatewayIP)
	if other, taken := r.gateways[ip]; taken && ip != "" {
		r.say(n, what+": gateway", "%s is that of host %q too; remove one", ip, other)
	}
	if r.gateways == nil {
		r.gateways = map[string]rotation.HostName{}
	}
	r.gateways[ip] = host
	return ip
}

// zones fills in the fleet's zones, or the place that they come from.
func (r *reader) zones(root, n *yaml.Node, f *Fleet) {
	if n != nil && n.Kind == yaml.MappingNode {
		r.source(n, f)
		return
	}
	items := r.items(n, "zones")
	if n == nil || n.Kind == yaml.SequenceNode && len(items) == 0 {
		r.say(orElse(n, root), "", "no zones; write zones: [{id: zone-…, hosts: […]}]")
	}
	r.list(items, f)
}

// list reads zones one by one.
func (r *reader) list(items []*yaml.Node, f *Fleet) {
	known := hostNames(f)
	lines := make(map[rotation.ZoneID]int, len(items))
	f.Zones = make([]Zone, 0, len(items))
	for _, item := range items {
		zone := r.zone(item, f.Hosts, known)
		r.owner(item, &zone, f)
		if line, twice := lines[zone.ID]; twice && zone.ID != "" {
			r.say(item, fmt.Sprintf("zone %q", zone.ID), "is here twice, first in line %d; remove one", line)
			continue
		}
		lines[zone.ID] = item.Line
		f.Zones = append(f.Zones, zone)
	}
}

func hostNames(f *Fleet) []string {
	names := make([]string, 0, len(f.Hosts))
	for h := range f.Hosts {
		names = append(names, string(h))
	}
	slices.Sort(names)
	return names
}

// zoneNames are needed once for each zone, so they are made only once.
var zoneNames = sync.OnceValue(func() []string { return zoneFields().names() })

func zoneFields() section {
	return section{
		{"id", aName(), "As the EdgeOne console shows it: zone-…"},
		{"name", words(253), "For people."},
		{"account", aName(), "Whose it is, where there are several accounts."},
		{"hosts", listOf(aName(), 1), "The hosts that must hold its key."},
		{"labels", labelled(), "For people and for --label; a zone with tier: canary goes first."},
	}
}

func (r *reader) zone(n *yaml.Node, hosts map[rotation.HostName]Host, known []string) Zone {
	in := r.fields(n, "zone", zoneNames()...)
	if n.Kind != yaml.MappingNode {
		return Zone{}
	}
	if in["id"] == nil {
		r.say(n, "zone", "has no id; write id: zone-… as the EdgeOne console shows it")
	}
	zone := Zone{ID: value(r, in["id"], "zone: id", "", name[rotation.ZoneID])}
	what := "zone"
	if zone.ID != "" {
		what = fmt.Sprintf("zone %q", zone.ID)
	}
	zone.Name = value(r, in["name"], what+": name", "", text(253))
	zone.Account = value(r, in["account"], what+": account", "", name[rotation.Account])
	zone.Labels = r.labels(in["labels"], what+": labels")

	if in["hosts"] == nil {
		r.say(n, what, noHosts)
		return zone
	}
	zone.Hosts = r.zoneHosts(in["hosts"], what, hosts, known)
	return zone
}

const noHosts = "has no hosts; write the hosts that must hold its key, or remove the zone"

// zoneHosts reads the hosts that must hold a key.
func (r *reader) zoneHosts(n *yaml.Node, what string, hosts map[rotation.HostName]Host, known []string) []rotation.HostName {
	list := r.items(n, what+": hosts")
	if n.Kind == yaml.SequenceNode && len(list) == 0 {
		r.say(n, what, noHosts)
	}
	found := make([]rotation.HostName, 0, len(list))
	for _, item := range list {
		host := value(r, item, what+": hosts", "", name[rotation.HostName])
		switch _, is := hosts[host]; {
		case host == "":
		case !is:
			r.unknownHost(item, what, string(host), known)
		case slices.Contains(found, host):
			r.say(item, what, "host %q is here twice; remove one", host)
		default:
			found = append(found, host)
		}
	}
	return found
}

// owner finds a zone's account among the fleet's.
func (r *reader) owner(n *yaml.Node, zone *Zone, f *Fleet) {
	var names []string
	for _, name := range f.AccountNames() {
		names = append(names, string(name))
	}
	what := fmt.Sprintf("zone %q", zone.ID)
	at := n
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == "account" {
			at = n.Content[i+1]
		}
	}
	switch {
	case n.Kind != yaml.MappingNode:
	case zone.Account == "" && len(names) == 1:
		zone.Account = f.Accounts[0].Name
	case zone.Account == "":
		r.say(n, what, "has no account, and the fleet has several; write account: %s", strings.Join(names, " or "))
	case zone.Account != "" && !slices.Contains(names, string(zone.Account)):
		r.say(at, what, "unknown account %q%s; accounts of the fleet are %s", zone.Account, meant(string(zone.Account), names), listed(names))
	}
}

func (r *reader) unknownHost(n *yaml.Node, what, host string, known []string) {
	hint := ""
	if len(r.found) < shown { // a search through all hosts is worth it only for mistakes that are printed
		hint = meant(host, known)
	}
	r.say(n, what, "unknown host %q%s; hosts of the fleet are %s; add it under locations, or remove it here", host, hint, listed(known))
}

func (r *reader) labels(n *yaml.Node, what string) map[string]string {
	list := r.entries(n, what)
	if len(list) == 0 {
		return nil
	}
	labels := make(map[string]string, len(list))
	for _, e := range list {
		key := value(r, e.at, what, "", text(128))
		labels[key] = value(r, e.value, what+": "+key, "", text(256))
	}
	return labels
}

// overwrites reports definitions by which one zone's key would replace
// another's.
func (r *reader) overwrites(f *Fleet, places map[rotation.HostName]place) {
	crowded := map[rotation.HostName]string{}
	for _, c := range f.crowded() {
		crowded[c.Name] = c.why
	}
	said := map[*yaml.Node]bool{}
	files := map[string]rotation.HostName{}
	for _, h := range slices.SortedFunc(maps.Values(f.Hosts), func(a, b Host) int { return places[a.Name].at.Line - places[b.Name].at.Line }) {
		file, where := h.target(), places[h.Name]
		if file.Path == "" {
			continue
		}
		if why := crowded[h.Name]; why != "" && !said[where.path] {
			said[where.path] = true
			r.say(where.path, where.what, "%s", why)
		}
		id := h.fileID()
		if other, taken := files[id]; taken {
			r.say(where.at, where.what, "is the same machine, user and path as host %q in line %d; give it another path, or remove one", other, places[other].at.Line)
			continue
		}
		files[id] = h.Name
	}
}
