package fleet_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"keywave/internal/fleet"
	"keywave/internal/rotation"
)

// Every testdata/csv/*.csv is refused with exactly the mistakes in the .txt
// beside it.
func TestMistakesInTables(t *testing.T) {
	files, err := filepath.Glob("testdata/csv/*.csv")
	if err != nil || len(files) == 0 {
		t.Fatalf("no bad tables (%v)", err)
	}
	text, err := os.ReadFile("testdata/csv/fleet.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".csv")
		t.Run(name, func(t *testing.T) {
			f, err := fleet.Parse("testdata/csv/fleet.yaml", bytes.ReplaceAll(text, []byte("NAME"), []byte(name)))
			if f != nil || !errors.As(err, new(fleet.Mistakes)) {
				t.Fatalf("got %v and %v, want no fleet and Mistakes", f, err)
			}
			golden(t, strings.TrimSuffix(file, ".csv")+".txt", err.Error()+"\n")
		})
	}
}

// fleetWith writes a fleet file with these zones, and a table beside it.
func fleetWith(t testing.TB, zones, table string) string {
	t.Helper()
	dir := t.TempDir()
	text := `version: 1
locations:
  hk:
    hosts:
      gw-1: {file: {path: "/k/1/{zone}"}}
      gw-2: {file: {path: "/k/2/{zone}"}, gateway: 203.0.113.2}
      gw-3: {file: {path: "/k/3/{zone}"}, gateway: "2001:db8::3"}
      lonely: {file: {path: /k/lonely}}
zones: ` + zones + "\n"
	for name, content := range map[string]string{"fleet.yaml": text, "zones.csv": table} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "fleet.yaml")
}

func read(t testing.TB, path string) *fleet.Fleet {
	t.Helper()
	f, err := fleet.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A table means the same as a list in the fleet file, in whatever form it is
// written.
func TestTablesSayWhatListsSay(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	pick := func(words ...string) string { return words[random.IntN(len(words))] }
	for range 200 {
		var list []string
		var table bytes.Buffer
		if random.IntN(4) == 0 {
			table.WriteString("\ufeff")
		}
		w := csv.NewWriter(&table)
		w.UseCRLF = random.IntN(2) == 0
		columns := []string{"id", "name", "hosts", "labels"}
		random.Shuffle(len(columns), func(i, j int) { columns[i], columns[j] = columns[j], columns[i] })
		var header []string
		for _, c := range columns {
			header = append(header, pick(c, strings.ToUpper(c), strings.ToUpper(c[:1])+c[1:]+" "))
		}
		_ = w.Write(header)
		for i := range 1 + random.IntN(5) {
			id, name := fmt.Sprintf("zone-%d", i), pick("", "shop.example.com", `a "b", c`, "Käse")
			hosts := []string{"gw-1", "gw-2", "gw-3"}[:1+random.IntN(3)]
			labels := []string{"tier=canary", "team=a=b", "empty="}[:random.IntN(4)]
			gap := func() string { return pick(" ", ";", "; ", "  ") }
			cells := map[string]string{
				"id": id, "name": name, "hosts": pick("", " ") + strings.Join(hosts, gap()) + pick("", ";", " "), "labels": strings.Join(labels, gap()),
			}
			var line []string
			for _, c := range columns {
				line = append(line, cells[c])
			}
			_ = w.Write(line)
			for range random.IntN(3) {
				_ = w.Write([]string{"", pick("", " "), "", ""}[:pick("1", "4")[0]-'0'])
			}
			zone := fmt.Sprintf("{id: %s, name: %q, hosts: [%s]", id, name, strings.Join(hosts, ", "))
			if len(labels) > 0 {
				var pairs []string
				for _, l := range labels {
					key, value, _ := strings.Cut(l, "=")
					pairs = append(pairs, fmt.Sprintf("%s: %q", key, value))
				}
				zone += ", labels: {" + strings.Join(pairs, ", ") + "}"
			}
			list = append(list, zone+"}")
		}
		w.Flush()
		want, got := read(t, fleetWith(t, "["+strings.Join(list, ", ")+"]", "")), read(t, fleetWith(t, "{csv: zones.csv}", table.String()))
		if !reflect.DeepEqual(got.Zones, want.Zones) || got.Digest != want.Digest {
			t.Fatalf("%s\nreads as %+v\nwant %+v", table.String(), got.Zones, want.Zones)
		}
	}
}

// A worker needs no zones: it starts without the table.
func TestBareReadsNoTable(t *testing.T) {
	path := fleetWith(t, "{csv: none.csv}", "")
	if _, err := fleet.Read(path); err == nil || !strings.Contains(err.Error(), "none.csv") {
		t.Errorf("read without its table: %v", err)
	}
	f, err := fleet.Bare(path)
	if err != nil || f.Zones != nil || len(f.Hosts) != 4 || f.Digest == "" {
		t.Errorf("%+v, %v", f, err)
	}
}

func FuzzTables(f *testing.F) {
	for _, seed := range []string{"id,hosts\nzone-1,gw-1\n", "id,name,hosts,labels\nzone-1,\"a\n\"\"b\",gw-1;gw-2,a=b\n", "\ufeffid,hosts\r\n", "\"", ",,,\n,,,"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, table string) {
		path := fleetWith(t, "{csv: zones.csv}", table)
		got, err := fleet.Read(path)
		if err == nil {
			for _, z := range got.Zones {
				if z.ID == "" || len(z.Hosts) == 0 {
					t.Errorf("%+v", z)
				}
			}
			return
		}
		mistakes, ok := errors.AsType[fleet.Mistakes](err)
		if !ok {
			t.Fatal(err)
		}
		for _, m := range mistakes {
			in := filepath.Base(m.File)
			if m.Text == "" || in != "zones.csv" && in != "fleet.yaml" || in == "zones.csv" && m.Line > 1+strings.Count(table, "\n")+strings.Count(table, "\r") {
				t.Errorf("%+v", m)
			}
		}
	})
}

func gateways(pairs ...string) []rotation.Gateway {
	var list []rotation.Gateway
	for pair := range slices.Chunk(pairs, 2) {
		list = append(list, rotation.Gateway{ID: "mpgw-" + pair[0], Name: pair[0], IP: pair[1]})
	}
	return list
}

// A table for several accounts has a column for them. From the fleet file alone
// nobody can tell whether each account has zones.
func TestAccountsInATable(t *testing.T) {
	path := fleetWith(t, "{csv: zones.csv}\naccounts: [{name: intl}, {name: cn}]", "account,id,hosts\ncn,zone-1,gw-1\nintl,zone-2,gw-1\n")
	f := read(t, path)
	if f.Zones[0].Account != "cn" || f.Zones[1].Account != "intl" {
		t.Errorf("zones are %+v", f.Zones)
	}
	if _, err := fleet.Bare(path); err != nil {
		t.Errorf("the file alone: %v", err)
	}
	path = fleetWith(t, "{csv: zones.csv}\naccounts: [{name: intl}, {name: cn}]", "account,id,hosts\ncm,zone-1,gw-1\n,zone-2,gw-1\nintl,zone-3,gw-1\n")
	_, err := fleet.Read(path)
	for _, want := range []string{`zones.csv:2:1: zone "zone-1": unknown account "cm"`, `zones.csv:3:1: zone "zone-2": has no account`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("it says %v, want %s", err, want)
		}
	}
}

func TestResolve(t *testing.T) {
	f := read(t, fleetWith(t, "{edgeone: {hosts: [gw-1]}}", ""))
	if !f.Listed() || f.Zones != nil {
		t.Fatalf("%+v", f)
	}
	zones := []rotation.ListedZone{
		{ID: "zone-b", Name: "b.example.com", Tags: map[string]string{"tier": "canary"}, Gateways: gateways("elsewhere", "203.0.113.2", "gw-1", "198.51.100.9")},
		{ID: "zone-a", Locked: "its lock status is disable", Gateways: gateways("gw-3", "2001:db8:0::3", "gw-2", "203.0.113.2")},
		{ID: "zone-c"},
	}
	got, err := f.Resolve(zones)
	if err != nil || got.Listed() {
		t.Fatal(err)
	}
	want := []fleet.Zone{
		{ID: "zone-a", Account: "default", Hosts: []rotation.HostName{"gw-1", "gw-2", "gw-3"}},
		{ID: "zone-b", Name: "b.example.com", Account: "default", Hosts: []rotation.HostName{"gw-1", "gw-2"}, Labels: map[string]string{"tier": "canary"}},
		{ID: "zone-c", Account: "default", Hosts: []rotation.HostName{"gw-1"}},
	}
	if !reflect.DeepEqual(got.Zones, want) {
		t.Errorf("zones are %+v", got.Zones)
	}
	if len(got.Notes) != 1 || got.Notes[0].Zone != "zone-a" {
		t.Errorf("notes are %v", got.Notes)
	}
	list := read(t, fleetWith(t, `[{id: zone-a, hosts: [gw-1, gw-2, gw-3]}, {id: zone-c, hosts: [gw-1]}, {id: zone-b, name: b.example.com, hosts: [gw-2, gw-1], labels: {tier: canary}}]`, ""))
	if got.Digest != list.Digest {
		t.Error("the digest is another than that of a list of the same zones")
	}
	for range 20 {
		rand.Shuffle(len(zones), func(i, j int) { zones[i], zones[j] = zones[j], zones[i] })
		for _, z := range zones {
			rand.Shuffle(len(z.Gateways), func(i, j int) { z.Gateways[i], z.Gateways[j] = z.Gateways[j], z.Gateways[i] })
		}
		again, err := f.Resolve(zones)
		if err != nil || !reflect.DeepEqual(again, got) {
			t.Fatalf("another order gives %+v, %v", again, err)
		}
	}
}

// Nothing is left out silently: everything that does not fit is reported, all
// at once.
func TestUnplaced(t *testing.T) {
	f := read(t, fleetWith(t, "{edgeone: {name: \"*.example.com\"}}", ""))
	_, err := f.Resolve([]rotation.ListedZone{
		{ID: "zone-1", Gateways: gateways("gw-9", "203.0.113.9", "gw-1", "203.0.113.1")},
		{ID: "zone-2"},
		{ID: "zone-3", Gateways: gateways("gw-1", "203.0.113.2")},
		{ID: "zone-4", Gateways: gateways("gw-2", "203.0.113.4")},
		{ID: "../zone-5", Name: "a\x1b[2J", Gateways: gateways("gw-1", "")},
		{ID: "zone-6", Gateways: gateways("lonely", ""), Tags: map[string]string{"a": "\n"}},
		{ID: "zone-7", Gateways: gateways("lonely", "")},
	})
	want := `zone "../zone-5": its ID "../zone-5" is no name; use at most 64 letters, digits and _.- with a letter or digit first
zone "../zone-5": its name "a\x1b[2J" holds a control character; remove it
zone "zone-1": gateway "gw-9" (203.0.113.9) matches no host; name a host so under locations, or give it gateway: with that IP
zone "zone-2": has no private gateway, and so no host; leave it out by zones.edgeone, give it one, or write zones.edgeone.hosts
zone "zone-3": gateway "gw-1" (203.0.113.2) is host "gw-1" by its name and host "gw-2" by its IP; correct one of them under locations
zone "zone-6": a tag "\n" holds a control character; remove it
host "lonely": path "/k/lonely" is one file, but the host serves 2 zones, and each would overwrite the other's key; put {zone} into it`
	if !errors.As(err, new(fleet.Unplaced)) || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
	if _, err := f.Resolve(nil); err == nil || err.Error() != "EdgeOne lists no zone (name *.example.com); see zones.edgeone in the fleet file" {
		t.Errorf("of no zones: %v", err)
	}
}
