package sim_test

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	"go.yaml.in/yaml/v3"
	"golang.org/x/crypto/ssh"

	"keywave/internal/proving/sim"
	"keywave/internal/proving/sim/hosts"
)

func newWorld(t *testing.T, cfg sim.WorldConfig) *sim.World {
	t.Helper()
	w, err := sim.NewWorld(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

// worldAPI is the SDK with the world's own credentials file.
func worldAPI(t *testing.T, w *sim.World) *api {
	t.Helper()
	t.Setenv("TENCENTCLOUD_CREDENTIALS_FILE", w.CredentialsPath())
	credential, err := common.DefaultProfileProvider().GetCredential()
	if err != nil {
		t.Fatal(err)
	}
	return &api{EdgeOne: w.EdgeOne, Client: sdk(t, strings.TrimPrefix(w.Endpoint(), "http://"), credential)}
}

// fleetFile has what these tests need of the fleet file.
type fleetFile struct {
	Version int
	Account struct {
		Name, Endpoint, Credentials string
		RequestsPerSecond           int `yaml:"requestsPerSecond"`
	}
	Defaults  struct{ SSH map[string]string }
	Locations map[string]struct {
		Hosts map[string]struct {
			SSH struct {
				Address, Path, Reload string
				HostKey               string `yaml:"hostKey"`
			}
		}
	}
	Zones []struct {
		ID, Name string
		Hosts    []string
		Labels   map[string]string
	}
	Campaign map[string]any
}

func TestTheFleetFileDescribesTheWorld(t *testing.T) {
	w := newWorld(t, sim.WorldConfig{Dir: t.TempDir() + "/with space", Zones: 60, Hosts: 12, Limit: 15, Campaign: "{bake: 1s}"})
	data, err := os.ReadFile(w.FleetPath())
	if err != nil {
		t.Fatal(err)
	}
	var f fleetFile
	decoder := yaml.NewDecoder(strings.NewReader(string(data)))
	decoder.KnownFields(true)
	if err := decoder.Decode(&f); err != nil {
		t.Fatalf("%v in:\n%s", err, data)
	}
	if f.Version != 1 || f.Account.Endpoint != w.Endpoint() || f.Account.RequestsPerSecond != 15 || f.Defaults.SSH["mode"] != "0600" || f.Campaign["bake"] != "1s" {
		t.Errorf("the head is %+v", f)
	}
	where := map[string]string{}
	for location, l := range f.Locations {
		for name, h := range l.Hosts {
			where[name] = location
			if s := w.Hosts.State()[name]; h.SSH.Address != s.Address || h.SSH.HostKey != s.HostKey || !strings.HasPrefix(h.SSH.Path, s.Dir+"/") {
				t.Errorf("host %s is %+v", name, h)
			}
			if reload := w.Hosts.Host(name).ReloadCommand(); h.SSH.Reload != "'"+reload+"'" {
				t.Errorf("reload is %s; with a space in it, it must be quoted for sh", h.SSH.Reload)
			}
		}
	}
	if len(where) != 12 || len(f.Locations) != 2 || len(f.Zones) != 60 || f.Zones[0].Labels["tier"] != "canary" {
		t.Errorf("%d hosts in %d locations, %d zones", len(where), len(f.Locations), len(f.Zones))
	}
	shapes, used := map[[2]int]int{}, map[string]bool{}
	for _, z := range f.Zones {
		in := map[string]bool{}
		for _, h := range z.Hosts {
			in[where[h]], used[h] = true, true
		}
		shapes[[2]int{len(z.Hosts), len(in)}]++
		if !slices.Equal(z.Hosts, w.ZoneHosts()[z.ID]) {
			t.Errorf("zone %s has hosts %v", z.ID, z.Hosts)
		}
	}
	for _, shape := range [][2]int{{1, 1}, {2, 1}, {2, 2}, {3, 2}} {
		if shapes[shape] == 0 {
			t.Errorf("no zone has %d hosts in %d locations", shape[0], shape[1])
		}
	}
	if len(used) != 12 {
		t.Errorf("only %d hosts are used", len(used))
	}
}

func TestEachZoneHasSoManyHosts(t *testing.T) {
	w := newWorld(t, sim.WorldConfig{Dir: t.TempDir(), Zones: 5, Hosts: 4, HostsEach: 3})
	for zone, names := range w.ZoneHosts() {
		if slices.Sort(names); len(slices.Compact(names)) != 3 {
			t.Errorf("zone %s has not 3 hosts", zone)
		}
	}
	for _, n := range []int{-1, 5} {
		if _, err := sim.NewWorld(sim.WorldConfig{Dir: t.TempDir(), Hosts: 4, HostsEach: n}); err == nil || !strings.Contains(err.Error(), "1 to 4 hosts") {
			t.Errorf("%d hosts of each zone, of 4 in all: %v", n, err)
		}
	}
}

func TestAWorldBeginsWithoutDrift(t *testing.T) {
	w := newWorld(t, sim.WorldConfig{Dir: t.TempDir(), Zones: 6, Hosts: 4})
	a := worldAPI(t, w)
	for zone, names := range w.ZoneHosts() {
		key := a.describe(t, zone)
		for _, name := range names {
			path := w.Hosts.Host(name).KeyFile(zone)
			data, err := os.ReadFile(path)
			if err != nil || string(data) != key+"\n" {
				t.Errorf("host %s does not hold the key of %s (%v)", name, zone, err)
			}
			if info, err := os.Stat(path); err == nil && info.Mode().Perm() != 0o600 {
				t.Errorf("%s has mode %v", path, info.Mode())
			}
		}
	}
	for _, path := range []string{w.CredentialsPath(), w.ClientKeyPath()} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
	client := sshTo(t, w, w.Hosts.Names()[0])
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Run("test -x ./reload && ./reload"); err != nil {
		t.Error(err)
	}
}

func sshTo(t *testing.T, w *sim.World, name string) *ssh.Client {
	t.Helper()
	data, err := os.ReadFile(w.ClientKeyPath())
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey(data)
	if err != nil {
		t.Fatal(err)
	}
	h := w.Hosts.Host(name)
	pinned, _, _, _, err := ssh.ParseAuthorizedKey([]byte(h.HostKey()))
	if err != nil {
		t.Fatal(err)
	}
	client, err := ssh.Dial("tcp", h.Addr(), &ssh.ClientConfig{User: "edge", Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.FixedHostKey(pinned)})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestAWorldComesBackTheSame(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, sim.WorldConfig{Dir: dir, Zones: 3, Hosts: 2})
	zone := w.ZoneIDs()[0]
	key, err := worldAPI(t, w).refresh(zone)
	if err != nil {
		t.Fatal(err)
	}
	fleet := w.FleetFile()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := sim.NewWorld(sim.WorldConfig{Dir: dir, Zones: 4}); err == nil || !strings.Contains(err.Error(), "3 zones and 2 hosts") {
		t.Errorf("other numbers give %v", err)
	}
	w = newWorld(t, sim.WorldConfig{Dir: dir})
	if w.FleetFile() != fleet {
		t.Errorf("the fleet file was\n%s\nand is\n%s", fleet, w.FleetFile())
	}
	if got := worldAPI(t, w).describe(t, zone); got != key {
		t.Error("the key is another")
	}
	held, _ := os.ReadFile(w.Hosts.Host(w.ZoneHosts()[zone][0]).KeyFile(zone))
	if string(held) == key+"\n" {
		t.Error("coming back delivered the key; nobody may do that but Keywave")
	}
}

func TestOneControlAPIForAll(t *testing.T) {
	w := newWorld(t, sim.WorldConfig{Dir: t.TempDir(), Zones: 2, Hosts: 2, Bad: map[string][]hosts.Bad{"gw-hk-1": {{Kind: hosts.Down, Seconds: 60}}}})
	for path, want := range map[string]string{"/hosts": `"down"`, "/state": `"live"`, "/edges": `"edges"`, "/keys": `"ever"`} {
		response, err := http.Get(w.ControlURL() + path)
		if err != nil {
			t.Fatal(err)
		}
		var body json.RawMessage
		err = json.NewDecoder(response.Body).Decode(&body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != 200 || !strings.Contains(string(body), want) {
			t.Errorf("%s: %d %s %v", path, response.StatusCode, body, err)
		}
	}
	if conn, err := net.Dial("tcp", w.Hosts.Host("gw-hk-1").Addr()); err == nil {
		_ = conn.Close()
		t.Error("a host that is down takes connections")
	}
	if !strings.HasPrefix(w.ControlURL(), "http://127.0.0.1:") || w.ControlURL() == w.Endpoint() {
		t.Errorf("control is at %s, the API at %s", w.ControlURL(), w.Endpoint())
	}
}
