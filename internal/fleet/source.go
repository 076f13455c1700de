package fleet

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"keywave/internal/charset"
	"keywave/internal/plan"
	"keywave/internal/rotation"
)

// Source is where a fleet's zones come from. No field is set when they stand in
// the fleet file itself.
type Source struct {
	// CSV is the path of a table.
	CSV string
	// EdgeOne is which zones EdgeOne is asked for.
	EdgeOne *Listing
}

// Listing says which of an account's zones a fleet has, and which hosts each of
// them gets.
type Listing struct {
	Query rotation.ZoneQuery
	// Gateways gives a zone the hosts of its private gateways.
	Gateways bool
	// Hosts are given to every zone.
	Hosts []rotation.HostName
}

// String describes the source for people. It is empty when the zones stand in
// the fleet file.
func (s Source) String() string {
	if s.EdgeOne == nil {
		return s.CSV
	}
	var from []string
	if s.EdgeOne.Gateways {
		from = append(from, "private gateways")
	}
	for _, h := range s.EdgeOne.Hosts {
		from = append(from, string(h))
	}
	return fmt.Sprintf("EdgeOne: %s; hosts: %s", s.EdgeOne.Query, strings.Join(from, ", "))
}

func sourceFields() section {
	return section{
		{"csv", words(4096), "A table with the columns id, name, hosts, labels and account; relative to this file."},
		{"edgeone", listingFields().mapping(), "Zones as EdgeOne lists them."},
	}
}

func sourceMapping() schema {
	source := sourceFields().mapping()
	source["minProperties"], source["maxProperties"] = 1, 1
	return source
}

func listingFields() section {
	return section{
		{"name", words(253), "A part of the zones' names."},
		{"status", choice(listedStatuses()...), "Zones of this status only."},
		{"tags", labelled(), "Zones with these tags only."},
		{"gateways", trueOrFalse(), "Whether a zone gets the hosts of its private gateways; default: true."},
		{"hosts", listOf(aName(), 1), "Hosts that every zone gets."},
	}
}

func listedStatuses() []string { return []string{"active", "pending"} }

// source reads where the zones come from. It returns the zones of a table in
// the form of a list in the file.
func (r *reader) source(n *yaml.Node, f *Fleet) {
	const what = "zones"
	in := r.fields(n, what, sourceFields().names()...)
	if len(in) != 1 {
		if len(n.Content) != 2 { // otherwise the unknown field was reported already
			r.say(n, what, "come from %d places; write a list, {csv: zones.csv} or {edgeone: {…}}", len(in))
		}
		return
	}
	if in["csv"] != nil {
		r.table(in["csv"], f)
		return
	}
	f.Source.EdgeOne = r.listing(in["edgeone"], f)
}

func (r *reader) listing(n *yaml.Node, f *Fleet) *Listing {
	const what = "zones: edgeone"
	if len(f.Accounts) > 1 {
		r.say(n, what, "is for a fleet of one account, and this one has several; write a list of zones or {csv: zones.csv}, or a fleet file for each account")
	}
	in := r.fields(n, what, listingFields().names()...)
	l := &Listing{
		Query: rotation.ZoneQuery{
			Name:   value(r, in["name"], what+": name", "", text(253)),
			Status: value(r, in["status"], what+": status", "", oneOf("status", listedStatuses()...)),
			Tags:   r.labels(in["tags"], what+": tags"),
		},
		Gateways: value(r, in["gateways"], what+": gateways", true, yesNo),
	}
	if in["hosts"] != nil {
		l.Hosts = r.zoneHosts(in["hosts"], what, f.Hosts, hostNames(f))
	}
	if !l.Gateways && in["hosts"] == nil {
		r.say(n, what, "gives its zones no hosts; write hosts: […], or leave out gateways: false")
	}
	return l
}

func yesNo(s string) (bool, error) {
	if s != "true" && s != "false" {
		return false, fmt.Errorf("%q is neither true nor false", s)
	}
	return s == "true", nil
}

// gatewayIP reads the address by which EdgeOne knows a private gateway.
func gatewayIP(s string) (string, error) {
	ip, err := netip.ParseAddr(s)
	if err != nil {
		return "", fmt.Errorf("%q is no IP address; write the gateway's IP as EdgeOne shows it, without a port", s)
	}
	return ip.String(), nil
}

// table reads the zones of a CSV file, whose path is relative to the fleet file.
func (r *reader) table(n *yaml.Node, f *Fleet) {
	const what = "zones: csv"
	path := value(r, n, what, "", text(4096))
	if path == "" {
		if n.Kind == yaml.ScalarNode && n.Tag != "!!null" {
			r.say(n, what, "is empty; write the path of a CSV file")
		}
		return
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(r.file), path)
	}
	f.Source.CSV = path
	if r.bare {
		return
	}
	data, err := os.ReadFile(path)
	if err != nil {
		r.say(n, what, "cannot be read: %v", err)
		return
	}
	r.elsewhere = tableOf(path, data, f)
}

// tableOf gives a fleet the zones of a table, and says what is wrong with it.
func tableOf(path string, data []byte, f *Fleet) Mistakes {
	t := &reader{file: path}
	text, err := charset.UTF8(data)
	if other, is := errors.AsType[*charset.OtherError](err); is {
		return Mistakes{{File: path, Line: other.Line, Text: other.Error() + " (in Excel: CSV UTF-8)"}}
	}
	items := t.rows(text)
	if len(items) == 0 && len(t.found) == 0 {
		t.found = append(t.found, Mistake{File: path, Text: "has no zones; write a line for each, below the header " + strings.Join(columns(), ",")})
	}
	t.list(items, f)
	return t.found.sorted()
}

func columns() []string { return []string{"id", "name", "hosts", "labels", "account"} }

// rows turns a table into the list of zones that a fleet file has, with each
// cell at its place. A row of empty cells is skipped, because spreadsheets
// write many of them below the last.
func (r *reader) rows(table string) []*yaml.Node {
	c := csv.NewReader(strings.NewReader(table))
	c.FieldsPerRecord = -1
	var header []string
	var items []*yaml.Node
	for {
		cells, err := c.Read()
		if errors.Is(err, io.EOF) {
			return items
		}
		if broken, ok := errors.AsType[*csv.ParseError](err); ok {
			r.found = append(r.found, Mistake{r.file, broken.Line, broken.Column, "not CSV: " + broken.Err.Error() + "; a cell with a comma or a quote in it stands in quotes, and a quote in it is written twice"})
			return items
		}
		if strings.TrimSpace(strings.Join(cells, "")) == "" {
			continue
		}
		at := func(i int) *yaml.Node {
			line, column := c.FieldPos(i)
			return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: cells[i], Line: line, Column: column}
		}
		if header == nil {
			if header = r.header(cells, at); header == nil {
				return nil
			}
			continue
		}
		if len(cells) != len(header) {
			r.say(at(0), "", "the line has %d cells, and the header %d; write one for each of %s", len(cells), len(header), strings.Join(header, ","))
			continue
		}
		items = append(items, r.row(header, at))
	}
}

// header is the list of a table's columns, in upper or lower case. It is nil
// after a mistake.
func (r *reader) header(cells []string, at func(int) *yaml.Node) []string {
	before := len(r.found)
	var header []string
	for i, cell := range cells {
		cell = strings.ToLower(strings.TrimSpace(cell))
		switch {
		case !slices.Contains(columns(), cell):
			r.say(at(i), "", "unknown column %q%s; columns here: %s, with commas between them", cell, meant(cell, columns()), listed(columns()))
		case slices.Contains(header, cell):
			r.say(at(i), "", "column %q is here twice; remove one", cell)
		}
		header = append(header, cell)
	}
	for _, needed := range []string{"id", "hosts"} {
		if before == len(r.found) && !slices.Contains(header, needed) {
			r.say(at(0), "", "column %q is missing; the first line names the columns: %s", needed, strings.Join(columns(), ","))
		}
	}
	if before < len(r.found) {
		return nil
	}
	return header
}

// row is one line as the mapping that describes a zone in a fleet file. Empty
// cells are left out.
func (r *reader) row(header []string, at func(int) *yaml.Node) *yaml.Node {
	first := at(0)
	zone := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: first.Line, Column: first.Column}
	for i, column := range header {
		cell := at(i)
		content := cell
		switch words := split(cell); {
		case column == "hosts":
			content = &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Line: cell.Line, Column: cell.Column, Content: words}
		case strings.TrimSpace(cell.Value) == "":
			continue
		case column == "labels":
			content = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: cell.Line, Column: cell.Column}
			for _, word := range words {
				key, value, is := strings.Cut(word.Value, "=")
				if !is {
					r.say(word, "labels", "%q is no label; write key=value", word.Value)
					continue
				}
				content.Content = append(content.Content, moved(word, key, 0), moved(word, value, len(key)+1))
			}
		}
		zone.Content = append(zone.Content, moved(cell, column, 0), content)
	}
	return zone
}

func moved(n *yaml.Node, text string, by int) *yaml.Node {
	out := *n
	out.Value, out.Column = text, n.Column+by
	return &out
}

// split cuts a cell into words, at spaces and semicolons.
func split(cell *yaml.Node) []*yaml.Node {
	var words []*yaml.Node
	begin := -1
	for i, c := range cell.Value + ";" {
		switch gap := c == ';' || c == ' ' || c == '\t'; {
		case gap && begin >= 0:
			words = append(words, moved(cell, cell.Value[begin:i], begin))
			begin = -1
		case !gap && begin < 0:
			begin = i
		}
	}
	return words
}

// Listed says that EdgeOne names the zones, and has not been asked yet. Resolve
// then completes the fleet.
func (f *Fleet) Listed() bool { return f.Source.EdgeOne != nil && f.Zones == nil }

// Unplaced is everything that does not fit between the zones that EdgeOne lists
// and the fleet.
type Unplaced []string

const mostUnplaced = 200

// Error has one line for each of the first 200, and the number of the others.
func (u Unplaced) Error() string {
	lines := slices.Clone(u[:min(len(u), mostUnplaced)])
	if more := len(u) - len(lines); more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(lines, "\n")
}

// Resolve is the fleet with the zones that EdgeOne lists. They are in the order
// of their IDs, whatever the order of the list. Its error is Unplaced.
func (f *Fleet) Resolve(zones []rotation.ListedZone) (*Fleet, error) {
	out := *f
	out.Zones, out.Hosts = []Zone{}, maps.Clone(f.Hosts)
	var wrong Unplaced
	byIP := f.byGateway()
	for _, z := range slices.SortedFunc(slices.Values(zones), func(a, b rotation.ListedZone) int { return strings.Compare(string(a.ID), string(b.ID)) }) {
		zone, problems := f.place(z, byIP)
		for _, p := range problems {
			wrong = append(wrong, fmt.Sprintf("zone %.64q: %s", z.ID, p))
		}
		if z.Locked != "" {
			out.Notes = append(out.Notes, plan.Finding{Zone: z.ID, Text: "EdgeOne may refuse to change it: " + z.Locked})
		}
		out.Zones = append(out.Zones, zone)
	}
	if len(zones) == 0 {
		wrong = append(wrong, fmt.Sprintf("EdgeOne lists no zone (%s); see zones.edgeone in the fleet file", f.Source.EdgeOne.Query))
	}
	for _, h := range out.crowded() {
		wrong = append(wrong, fmt.Sprintf("host %q: %s", h.Name, h.why))
	}
	if len(wrong) > 0 {
		return nil, wrong
	}
	out.digest()
	return &out, nil
}

// byGateway finds hosts by the IP of a gateway.
func (f *Fleet) byGateway() map[string]rotation.HostName {
	byIP := map[string]rotation.HostName{}
	for _, h := range f.Hosts {
		if h.Gateway != "" {
			byIP[h.Gateway] = h.Name
		}
	}
	return byIP
}

// place gives a listed zone its hosts.
func (f *Fleet) place(z rotation.ListedZone, byIP map[string]rotation.HostName) (Zone, []string) {
	var wrong []string
	zone := Zone{ID: z.ID, Name: z.Name, Account: f.Accounts[0].Name, Hosts: slices.Clone(f.Source.EdgeOne.Hosts)}
	if _, err := name[rotation.ZoneID](string(z.ID)); err != nil {
		wrong = append(wrong, "its ID "+err.Error())
	}
	if _, err := text(253)(z.Name); err != nil {
		wrong = append(wrong, "its name "+err.Error())
	}
	for _, g := range z.Gateways {
		host, problem := f.hostOf(g, byIP)
		if problem != "" {
			wrong = append(wrong, problem)
			continue
		}
		zone.Hosts = append(zone.Hosts, host)
	}
	slices.Sort(zone.Hosts)
	zone.Hosts = slices.Compact(zone.Hosts)
	if len(zone.Hosts) == 0 && len(wrong) == 0 {
		wrong = append(wrong, "has no private gateway, and so no host; leave it out by zones.edgeone, give it one, or write zones.edgeone.hosts")
	}
	for _, key := range slices.Sorted(maps.Keys(z.Tags)) {
		_, badKey := text(128)(key)
		_, badValue := text(256)(z.Tags[key])
		if err := errors.Join(badKey, badValue); err != nil {
			wrong = append(wrong, "a tag "+err.Error())
		}
	}
	if len(z.Tags) > 0 {
		zone.Labels = z.Tags
	}
	return zone, wrong
}

// hostOf is the host that stands for a private gateway: it has its name, or its
// IP.
func (f *Fleet) hostOf(g rotation.Gateway, byIP map[string]rotation.HostName) (rotation.HostName, string) {
	byName, named := f.Hosts[rotation.HostName(g.Name)]
	ip, err := gatewayIP(g.IP)
	if err != nil {
		ip = g.IP
	}
	at, known := byIP[ip]
	what := fmt.Sprintf("gateway %.64q (%.64s)", g.Name, strings.ToValidUTF8(ip, "?"))
	switch {
	case !named && !known:
		return "", what + " matches no host; name a host so under locations, or give it gateway: with that IP"
	case named && known && at != byName.Name:
		return "", fmt.Sprintf("%s is host %q by its name and host %q by its IP; correct one of them under locations", what, byName.Name, at)
	case known:
		return at, ""
	}
	return byName.Name, ""
}

// crowd is a host on which several zones would share one file.
type crowd struct {
	Host
	why string
}

// crowded finds the hosts on which one zone's key would replace another's.
func (f *Fleet) crowded() []crowd {
	zones := map[rotation.HostName]int{}
	for _, z := range f.Zones {
		for _, h := range z.Hosts {
			zones[h]++
		}
	}
	var found []crowd
	for _, name := range slices.Sorted(maps.Keys(f.Hosts)) {
		h := f.Hosts[name]
		path := h.target().Path
		if path != "" && zones[name] > 1 && !strings.Contains(path, zoneMark) {
			found = append(found, crowd{h, fmt.Sprintf("path %q is one file, but the host serves %d zones, and each would overwrite the other's key; put %s into it", path, zones[name], zoneMark)})
		}
	}
	return found
}
