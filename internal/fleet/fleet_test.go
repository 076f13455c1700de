package fleet_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"keywave/internal/fleet"
	"keywave/internal/plan"
	"keywave/internal/rotation"
)

var update = flag.Bool("update", false, "write the golden files")

func good(t testing.TB) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/good.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func parse(t testing.TB, data []byte) *fleet.Fleet {
	t.Helper()
	f, err := fleet.Parse("fleet.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// Every testdata/bad/*.yaml is refused with exactly the mistakes in the .txt
// beside it.
func TestMistakes(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no bad fleet files (%v)", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			f, err := fleet.Parse("fleet.yaml", data)
			var mistakes fleet.Mistakes
			if f != nil || !errors.As(err, &mistakes) || len(mistakes) == 0 {
				t.Fatalf("got %v and %v, want no fleet and Mistakes", f, err)
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".txt", err.Error()+"\n")
		})
	}
}

// golden compares with a file, or writes it again.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
}

func TestRead(t *testing.T) {
	f, err := fleet.Read("testdata/good.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if want := (fleet.Account{Name: "default", Endpoint: "teo.intl.tencentcloudapi.com", Credentials: fleet.Credentials{Kind: "profile"}, RequestsPerSecond: 20}); len(f.Accounts) != 1 || f.Accounts[0] != want {
		t.Errorf("accounts are %+v, want %+v", f.Accounts, want)
	}
	if want := []rotation.Location{"hk", "eu-west"}; !slices.Equal(f.Locations, want) {
		t.Errorf("locations are %v, want %v", f.Locations, want)
	}
	const reload = "systemctl reload edge-gateway"
	for _, want := range []fleet.Host{
		{Name: "gw-hk-1", Location: "hk", SSH: &fleet.SSH{
			Address: "10.1.0.11:22", User: "edge",
			HostKey: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICt8r0jh7U6AfqUFCsLMxFjV7KcVcjY00SBVzeMng7uX",
			File:    fleet.File{Path: "/etc/edgeone/{zone}.key", Reload: reload},
		}},
		{Name: "gw-hk-2", Location: "hk", SSH: &fleet.SSH{
			Address: "10.1.0.12:2222", User: "root",
			File: fleet.File{Path: "/srv/keys/{zone}", Mode: "0400"},
		}},
		{Name: "gw-eu-1", Location: "eu-west", SSH: &fleet.SSH{
			Address: "10.1.0.11:22", User: "edge",
			File: fleet.File{Path: "/etc/edgeone/{zone}.key", Reload: reload},
		}},
		{Name: "signer", Location: "eu-west", File: &fleet.File{
			Path: "/var/lib/signer/{zone}/key", Mode: "0640", Reload: "kill -HUP 1", Verify: "true",
		}},
	} {
		got := f.Hosts[want.Name]
		want.Digest = got.Digest
		if !reflect.DeepEqual(got, want) {
			t.Errorf("host is %+v, want %+v", got, want)
		}
	}
	if want := (fleet.Zone{
		ID: "zone-27q0p0bal192", Name: "shop.example.com", Account: "default",
		Hosts:  []rotation.HostName{"gw-hk-1", "gw-hk-2", "signer"},
		Labels: map[string]string{"tier": "canary", "team": "shop"},
	}); len(f.Zones) != 3 || !reflect.DeepEqual(f.Zones[1], want) {
		t.Errorf("zones are %+v, the second should be %+v", f.Zones, want)
	}
	want := plan.Settings{
		Waves: []string{"1", "10", "5%", "25.5%", "100%"}, Bake: span(time.Minute), Window: 20, Approve: []int{2, 3},
		MaxFailed: "3", MaxExposed: 1, StallAfter: span(90 * time.Second),
		Windows: []string{"Sat 02:00-06:00 Asia/Hong_Kong", "22:00-04:00 Asia/Hong_Kong"}, Freeze: []string{"2026-12-20..2027-01-05"},
		Timing: rotation.Timing{ProofFor: span(time.Minute), Settle: span(10 * time.Second), SignatureLife: span(5 * time.Minute), ExposedAfter: span(30 * time.Second), DeliverFor: span(2 * time.Hour)},
	}
	if !reflect.DeepEqual(f.Campaign, want) {
		t.Errorf("campaign is %+v, want %+v", f.Campaign, want)
	}
}

func TestCredentials(t *testing.T) {
	const arn = "qcs::cam::uin/100000000001:roleName/keywave"
	for text, want := range map[string]struct {
		fleet.Credentials
		said string
	}{
		`env`:                                 {fleet.Credentials{Kind: "env"}, "env"},
		`{env: EU_}`:                          {fleet.Credentials{Kind: "env", Name: "EU_"}, "env EU_"},
		`tccli`:                               {fleet.Credentials{Kind: "tccli"}, "tccli"},
		`{tccli: eu}`:                         {fleet.Credentials{Kind: "tccli", Name: "eu"}, "tccli eu"},
		`{profile: eu}`:                       {fleet.Credentials{Kind: "profile", Name: "eu"}, "profile eu"},
		`cvm-role`:                            {fleet.Credentials{Kind: "cvm-role"}, "cvm-role"},
		`{cvm-role: edge}`:                    {fleet.Credentials{Kind: "cvm-role", Name: "edge"}, "cvm-role edge"},
		`tke-oidc`:                            {fleet.Credentials{Kind: "tke-oidc"}, "tke-oidc"},
		`{assume-role: {arn: "` + arn + `"}}`: {fleet.Credentials{Kind: "env", Role: arn}, "assume-role " + arn + " with env"},
		`{assume-role: {arn: "` + arn + `", session: ops, duration: 1h, externalId: "fleet-7", source: {profile: eu}}}`: {
			fleet.Credentials{Kind: "profile", Name: "eu", Role: arn, Session: "ops", ExternalID: "fleet-7", Duration: time.Hour},
			"assume-role " + arn + " with profile eu",
		},
	} {
		f := parse(t, []byte(`{version: 1, account: {credentials: `+text+`}, locations: {hk: {hosts: {gw: {file: {path: /k}}}}}, zones: [{id: zone-1, hosts: [gw]}]}`))
		if got := f.Accounts[0].Credentials; got != want.Credentials || got.String() != want.said {
			t.Errorf("%s is %+v, said as %q; want %+v, %q", text, got, got, want.Credentials, want.said)
		}
	}
}

func TestReadAccounts(t *testing.T) {
	f, err := fleet.Read("testdata/accounts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := []fleet.Account{
		{Name: "intl", Endpoint: "teo.intl.tencentcloudapi.com", Credentials: fleet.Credentials{Kind: "env"}, RequestsPerSecond: 20},
		{Name: "cn", Endpoint: "teo.tencentcloudapi.com", Credentials: fleet.Credentials{Kind: "profile"}, RequestsPerSecond: 5},
	}
	if !slices.Equal(f.Accounts, want) {
		t.Errorf("accounts are %+v, want %+v", f.Accounts, want)
	}
	for _, target := range f.Targets() {
		if want := map[rotation.ZoneID]rotation.Account{"zone-1": "intl", "zone-2": "cn", "zone-3": "intl"}[target.ID]; target.Account != want {
			t.Errorf("%s is of account %s, want %s", target.ID, target.Account, want)
		}
	}
	if cn := f.ZonesOf("cn"); len(cn) != 1 || cn[0].ID != "zone-2" || len(f.Zones) != 3 {
		t.Errorf("account cn has %+v", cn)
	}
}

// A list with one account is the same fleet as that account alone. With several
// accounts, the digest says which zone belongs to which.
func TestDigestOfAccounts(t *testing.T) {
	data, err := os.ReadFile("testdata/accounts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	accounts := string(data)
	digest := parse(t, data).Digest
	for what, changed := range map[string]string{
		"a zone of the other account": strings.Replace(accounts, "{id: zone-3, account: intl", "{id: zone-3, account: cn", 1),
		"another endpoint":            strings.Replace(accounts, "endpoint: teo.tencentcloudapi.com", "endpoint: teo.example.com", 1),
		"another name":                strings.ReplaceAll(strings.Replace(accounts, "name: cn", "name: main", 1), "account: cn", "account: main"),
	} {
		if parse(t, []byte(changed)).Digest == digest {
			t.Errorf("%s: the digest is the same", what)
		}
	}
	lower := strings.Replace(accounts, "requestsPerSecond: 5", "requestsPerSecond: 7", 1)
	if parse(t, []byte(lower)).Digest != digest {
		t.Error("the limit is in the digest")
	}
	one := strings.Replace(string(good(t)), "account:\n  name: default\n", "accounts:\n- name: default\n", 1)
	if got, want := parse(t, []byte(one)).Digest, parse(t, good(t)).Digest; got != want {
		t.Errorf("a list of one account has digest %s, the account alone %s", got, want)
	}
}

func span(d time.Duration) rotation.Span { return rotation.Span(d) }

func TestReadOfNoFile(t *testing.T) {
	_, err := fleet.Read(filepath.Join(t.TempDir(), "fleet.yaml"))
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "fleet.yaml") {
		t.Errorf("got %v, want fs.ErrNotExist and the file's name", err)
	}
}

func TestDefaults(t *testing.T) {
	f := parse(t, []byte(`{version: 1, locations: {hk: {hosts: {gw: {file: {path: /k}}}}}, zones: [{id: zone-1, hosts: [gw]}]}`))
	if want := (fleet.Account{Name: "default", Endpoint: "teo.intl.tencentcloudapi.com", Credentials: fleet.Credentials{Kind: "env"}, RequestsPerSecond: 20}); len(f.Accounts) != 1 || f.Accounts[0] != want {
		t.Errorf("accounts are %+v, want %+v", f.Accounts, want)
	}
	c := f.Campaign
	if got, want := strings.Join(c.Waves, " "), "1 5% 25% 100%"; got != want || c.Bake != span(30*time.Second) || c.Window != 40 || c.Approve != nil || c.MaxFailed != "1%" || c.MaxExposed != 0 {
		t.Errorf("campaign is %+v", c)
	}
}

// A simulator on this machine need not keep the limits that EdgeOne demands.
func TestEndpointsOfThisMachine(t *testing.T) {
	for in, want := range map[string]string{
		"http://127.0.0.1:8080":  "http://127.0.0.1:8080",
		"http://[::1]:8080":      "http://[::1]:8080",
		"http://localhost:8080/": "http://localhost:8080",
		"127.0.0.1:8443":         "127.0.0.1:8443",
		"https://127.0.0.1:443":  "127.0.0.1",
	} {
		data := fmt.Sprintf(`{version: 1, account: {endpoint: %q}, locations: {hk: {hosts: {gw: {file: {path: /k}}}}}, zones: [{id: zone-1, hosts: [gw]}], campaign: {settle: 200ms, signatureLife: 2s}}`, in)
		f := parse(t, []byte(data))
		if f.Accounts[0].Endpoint != want || f.Campaign.Timing.Settle != span(200*time.Millisecond) {
			t.Errorf("%s: endpoint %q, settle %s", in, f.Accounts[0].Endpoint, f.Campaign.Timing.Settle)
		}
	}
}

func TestAddresses(t *testing.T) {
	for in, want := range map[string]string{
		"gw.example.com":     "gw.example.com:22",
		"gw.example.com:222": "gw.example.com:222",
		"2001:db8::1":        "[2001:db8::1]:22",
		"[2001:db8::1]":      "[2001:db8::1]:22",
		"[2001:db8::1]:222":  "[2001:db8::1]:222",
	} {
		data := fmt.Sprintf(`{version: 1, locations: {hk: {hosts: {gw: {ssh: {address: %q, user: u, path: /k}}}}}, zones: [{id: zone-1, hosts: [gw]}]}`, in)
		if got := parse(t, []byte(data)).Hosts["gw"].SSH.Address; got != want {
			t.Errorf("%s reads as %s, want %s", in, got, want)
		}
	}
}

func TestCanariesGoFirst(t *testing.T) {
	f := parse(t, good(t))
	var got []string
	for _, z := range f.Ordered() {
		got = append(got, string(z.ID))
	}
	if want := "zone-27q0p0bal192 zone-2 zone-3"; strings.Join(got, " ") != want {
		t.Errorf("order is %v, want %s", got, want)
	}
	if f.Zones[0].ID != "zone-2" {
		t.Error("Ordered changed the fleet's own order")
	}
	first := f.Targets()[0]
	if first.ID != "zone-27q0p0bal192" || len(first.Hosts) != 3 || first.Hosts[2] != f.Hosts["signer"].Ref() {
		t.Errorf("the first target is %+v", first)
	}
}

// Digests must not change, because they stand in plans that outlive an upgrade.
func TestDigestsStayAsTheyAre(t *testing.T) {
	f := parse(t, good(t))
	got := "fleet " + f.Digest + "\n"
	for _, name := range slices.Sorted(maps.Keys(f.Hosts)) {
		got += string(name) + " " + f.Hosts[name].Digest + "\n"
	}
	golden(t, "testdata/good.digests", got)
}

func TestDigestsIgnoreFormAndOrder(t *testing.T) {
	same := `# the same fleet, told differently
zones:
  - {id: zone-3, hosts: [gw-eu-1]}
  - {hosts: [signer, gw-hk-2, gw-hk-1], id: zone-27q0p0bal192, labels: {team: shop, tier: canary}, name: shop.example.com}
  - {id: "zone-2", name: Zwei, hosts: [gw-eu-1, gw-hk-1]}
locations:
  eu-west:
    hosts:
      signer: {file: {path: "/var/lib/signer/{zone}/key", reload: "kill -HUP 1", verify: "true", mode: "0640"}}
      gw-eu-1: {ssh: {address: "10.1.0.11", user: edge, path: "/etc/edgeone/{zone}.key", reload: "systemctl reload edge-gateway"}}
  hk:
    hosts:
      gw-hk-2: {ssh: {address: "10.1.0.12:2222", path: "/srv/keys/{zone}", mode: 400, user: root}}
      gw-hk-1: {ssh: {address: "10.1.0.11:22", user: edge, path: "/etc/edgeone/{zone}.key", reload: "systemctl reload edge-gateway", hostKey: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICt8r0jh7U6AfqUFCsLMxFjV7KcVcjY00SBVzeMng7uX"}}
campaign: {window: 7}
account: {requestsPerSecond: 10}
version: 1
`
	a, b := parse(t, good(t)), parse(t, []byte(same))
	if a.Digest != b.Digest {
		t.Error("two forms of one fleet have two digests")
	}
	for name, host := range a.Hosts {
		if diff := host.Differs(b.Hosts[name].Ref().Parts); diff != nil || host.Digest != b.Hosts[name].Digest {
			t.Errorf("host %s differs in %v", name, diff)
		}
	}
}

func TestDigestsNoticeEveryChange(t *testing.T) {
	base := parse(t, good(t))
	seen := map[string]string{base.Digest: "the original"}
	for _, tt := range []struct{ old, new, host, field string }{
		{`"10.1.0.12:2222"`, `"10.1.0.13:2222"`, "gw-hk-2", "address"},
		{`root@gw-hk-1"`, `", user: other`, "gw-hk-1", "user"},
		{`user: root`, `user: toor`, "gw-hk-2", "user"},
		{`/srv/keys/{zone}`, `/srv/key/{zone}`, "gw-hk-2", "path"},
		{`"0400"`, `"0440"`, "gw-hk-2", "mode"},
		{`mode: 0640`, `mode: 0600`, "signer", "mode"},
		{`"0400"`, `"0400", owner: root`, "gw-hk-2", "owner"},
		{`"0400"`, `"0400", group: gateway`, "gw-hk-2", "group"},
		{`"0400"`, `"0400", format: "K={key}\n"`, "gw-hk-2", "format"},
		{`"0400"`, `"0400", format: "K={key}"`, "gw-hk-2", "format"},
		{`"0400"`, `"0400", stageDir: /srv/stage`, "gw-hk-2", "stageDir"},
		{`"0400"`, `"0400", become: sudo`, "gw-hk-2", "become"},
		{`"0400"`, `"0400", become: "sudo:svc"`, "gw-hk-2", "become"},
		{`kill -HUP 1`, `kill -HUP 2`, "signer", "reload"},
		{`"true"`, `"false"`, "signer", "verify"},
		{`7uX root`, `7uY root`, "gw-hk-1", "hostKey"},
		{`  eu-west:`, `  eu-east:`, "signer", "location"},
		{`[gw-hk-1, gw-eu-1]`, `[gw-hk-1]`, "", ""},
		{`Zwei`, `Drei`, "", ""},
		{`team: shop`, `team: hops`, "", ""},
		{`zone-3`, `zone-4`, "", ""},
		{`name: default`, `name: other`, "", ""},
		{`https://teo.intl`, `https://teo`, "", ""},
	} {
		if n := bytes.Count(good(t), []byte(tt.old)); n != 1 {
			t.Fatalf("%q is %d times in the good file, want once", tt.old, n)
		}
		f := parse(t, bytes.Replace(good(t), []byte(tt.old), []byte(tt.new), 1))
		if other, is := seen[f.Digest]; is {
			t.Errorf("%s → %s: the fleet's digest is that of %s", tt.old, tt.new, other)
		}
		seen[f.Digest] = tt.old + " → " + tt.new
		if tt.host == "" {
			continue
		}
		was, is := base.Hosts[rotation.HostName(tt.host)], f.Hosts[rotation.HostName(tt.host)]
		if was.Digest == is.Digest || !slices.Equal(is.Differs(was.Ref().Parts), []string{tt.field}) {
			t.Errorf("%s → %s: host %s differs in %v, want %s", tt.old, tt.new, tt.host, is.Differs(was.Ref().Parts), tt.field)
		}
	}
}

// large is a fleet of n zones on n/20 hosts.
func large(n int) []byte {
	var b bytes.Buffer
	b.WriteString("version: 1\ndefaults: {ssh: {user: edge, path: \"/etc/edgeone/{zone}.key\"}}\nlocations:\n  hk:\n    hosts:\n")
	hosts := max(2, n/20)
	for i := range hosts {
		fmt.Fprintf(&b, "      gw-%d: {ssh: {address: \"10.%d.%d.%d:22\"}}\n", i, i>>16, i>>8&255, i&255)
	}
	b.WriteString("zones:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - {id: zone-%d, name: shop-%d.example.com, hosts: [gw-%d, gw-%d], labels: {tier: standard}}\n", i, i, i%hosts, (i+1)%hosts)
	}
	return b.Bytes()
}

func BenchmarkParse100000Zones(b *testing.B) {
	data := large(100_000)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		parse(b, data)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(good(f))
	f.Add(large(3))
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		fl, err := fleet.Parse("fleet.yaml", data)
		if err != nil {
			var mistakes fleet.Mistakes
			if fl != nil || !errors.As(err, &mistakes) || len(mistakes) == 0 || strings.Count(err.Error(), "\n") > 20 {
				t.Fatalf("got %v and %q", fl, err)
			}
			return
		}
		holds(t, fl)
	})
}

// holds checks what Fleet promises.
func holds(t *testing.T, f *fleet.Fleet) {
	t.Helper()
	if f.Version != 1 || len(f.Digest) != 32 || len(f.Locations) == 0 || len(f.Zones) == 0 {
		t.Errorf("not complete: %+v", f)
	}
	if a := f.Accounts[0]; a.Name == "" || a.Endpoint == "" || !(a.RequestsPerSecond > 0) {
		t.Errorf("account %+v", a)
	}
	if _, err := f.Campaign.Budget(len(f.Zones)); err != nil {
		t.Error(err)
	}
	waves, err := plan.CutWaves(len(f.Zones), f.Campaign.Waves)
	if err != nil {
		t.Error(err)
	}
	all := 0
	for _, n := range waves {
		all += n
	}
	if all != len(f.Zones) {
		t.Errorf("waves %v of %d zones", waves, len(f.Zones))
	}
	serves := map[rotation.HostName]int{}
	ids := map[rotation.ZoneID]bool{}
	for _, z := range f.Zones {
		if ids[z.ID] || z.ID == "" || strings.ContainsAny(string(z.ID), "/\\ \n") || len(z.Hosts) == 0 {
			t.Errorf("zone %+v", z)
		}
		ids[z.ID] = true
		for i, h := range z.Hosts {
			if _, is := f.Hosts[h]; !is || slices.Contains(z.Hosts[:i], h) {
				t.Errorf("zone %s: host %q", z.ID, h)
			}
			serves[h]++
		}
	}
	for name, h := range f.Hosts {
		if h.Name != name || !slices.Contains(f.Locations, h.Location) || len(h.Digest) != 32 || transports(h) != 1 {
			t.Errorf("host %+v", h)
			continue
		}
		if h.Exec != nil {
			if len(h.Exec.Command) == 0 || !path.IsAbs(h.Exec.Command[0]) || h.Exec.Timeout < 0 {
				t.Errorf("host %s: %+v", name, h.Exec)
			}
			continue
		}
		file := h.File
		if h.SSH != nil {
			file = &h.SSH.File
			if h.SSH.Address == "" || h.SSH.User == "" {
				t.Errorf("host %+v", h.SSH)
			}
		}
		if !path.IsAbs(file.Path) || len(file.Mode)%4 != 0 || serves[name] > 1 && !strings.Contains(file.Path, "{zone}") {
			t.Errorf("host %s serves %d zones: %+v", name, serves[name], file)
		}
	}
}

func transports(h fleet.Host) (n int) {
	for _, has := range []bool{h.SSH != nil, h.File != nil, h.Exec != nil} {
		if has {
			n++
		}
	}
	return n
}
