package sim

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"keywave/internal/proving/sim/hosts"
	"keywave/internal/proving/sim/journal"
)

// WorldConfig describes a simulated EdgeOne and its hosts. If Dir has a world
// already, that world is used again, with its zones, hosts, keys and ports.
type WorldConfig struct {
	// Dir is where everything is kept.
	Dir string
	// Zones and Hosts are how many there are; 0 takes those of Dir, or 60 and 12.
	Zones, Hosts int
	// HostsEach is how many hosts each zone has, in all locations in turn; 0 is a mixture
	// of 1 to 3.
	HostsEach int
	// Locations share the hosts. None means hk and eu-west.
	Locations []string
	// Limit is as in Config.
	Limit int
	// Accounts share the zones. Each has its own SecretId, and its own limit
	// where there are two. There are 1 or 2; the credential of the second is for
	// the environment. 0 takes those of Dir, or 1.
	Accounts int
	Limits   []int
	// APIPort and ControlPort are the ports on 127.0.0.1; 0 takes those of Dir,
	// or free ones.
	APIPort, ControlPort int
	// DelayMs is the round trip to every host.
	DelayMs int
	// Faults and Bad are the bad days at the start; Bad is by host name.
	Faults []Fault
	Bad    map[string][]hosts.Bad
	// EmptyHosts leaves the hosts without their first keys.
	EmptyHosts bool
	// Campaign is the campaign section of the fleet file, a YAML flow mapping
	// such as "{bake: 1s}". Empty means no section.
	Campaign string
}

// World is a running EdgeOne and its hosts.
type World struct {
	EdgeOne *EdgeOne
	Hosts   *hosts.Hosts

	cfg     WorldConfig
	plan    worldPlan
	api     *Server
	control *Server
}

// worldPlan is what a Dir remembers of its world.
type worldPlan struct {
	APIPort     int        `json:"apiPort"`
	ControlPort int        `json:"controlPort"`
	Accounts    []string   `json:"accounts,omitempty"` // where there are two
	Hosts       []planHost `json:"hosts"`
	Zones       []planZone `json:"zones"`
}

type planHost struct {
	Name     string `json:"name"`
	Location string `json:"location"`
	Port     int    `json:"port"`
}

type planZone struct {
	ID      string   `json:"id"`
	Name    string   `json:"name"`
	Account string   `json:"account,omitempty"`
	Hosts   []string `json:"hosts"`
}

const (
	defaultZones = 60
	defaultHosts = 12
	planFile     = "world.json"
	stateFile    = "edgeone.jsonl"
)

// NewWorld starts a world, and writes into its Dir what a client needs: the
// fleet file, the credentials and the SSH key.
func NewWorld(cfg WorldConfig) (*World, error) {
	w := &World{cfg: cfg}
	if err := w.start(); err != nil {
		return nil, errors.Join(fmt.Errorf("the simulator in %s did not start: %w", cfg.Dir, err), w.Close())
	}
	return w, nil
}

func (w *World) start() error {
	dir, err := filepath.Abs(w.cfg.Dir)
	if err != nil {
		return err
	}
	w.cfg.Dir = dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	resumed, err := w.makePlan()
	if err != nil {
		return err
	}
	log := journal.New(journalSize)
	if err := w.startHosts(log); err != nil {
		return err
	}
	if err := w.startEdgeOne(log); err != nil {
		return err
	}
	if !resumed && !w.cfg.EmptyHosts {
		if err := w.spreadKeys(); err != nil {
			return err
		}
	}
	return errors.Join(w.savePlan(), os.WriteFile(w.FleetPath(), []byte(w.FleetFile()), 0o644))
}

// makePlan uses the plan in Dir, or makes one. It says whether there was one.
func (w *World) makePlan() (bool, error) {
	data, err := os.ReadFile(filepath.Join(w.cfg.Dir, planFile))
	if errors.Is(err, fs.ErrNotExist) {
		if w.cfg.Zones < 0 || w.cfg.Hosts < 0 {
			return false, errors.New("there cannot be fewer than 0 zones or hosts")
		}
		if n, all := w.cfg.HostsEach, orDefault(w.cfg.Hosts, defaultHosts); n < 0 || n > all {
			return false, fmt.Errorf("each zone can have 1 to %d hosts", all)
		}
		if a := w.cfg.Accounts; a < 0 || a > 2 {
			return false, errors.New("there can be 1 or 2 accounts")
		}
		w.plan = newPlan(w.cfg)
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(data, &w.plan); err != nil {
		return false, fmt.Errorf("%s is damaged; remove the directory to begin anew: %w", planFile, err)
	}
	if z, h := w.cfg.Zones, w.cfg.Hosts; z != 0 && z != len(w.plan.Zones) || h != 0 && h != len(w.plan.Hosts) {
		return false, fmt.Errorf("it holds a world of %d zones and %d hosts; ask for these numbers, or use another directory", len(w.plan.Zones), len(w.plan.Hosts))
	}
	if a := w.cfg.Accounts; a != 0 && a != max(1, len(w.plan.Accounts)) {
		return false, fmt.Errorf("it holds a world of %d accounts; ask for as many, or use another directory", max(1, len(w.plan.Accounts)))
	}
	return true, nil
}

// newPlan lays out zones and hosts. The same numbers always give the same
// layout.
func newPlan(cfg WorldConfig) worldPlan {
	locations := cfg.Locations
	if len(locations) == 0 {
		locations = []string{"hk", "eu-west"}
	}
	var p worldPlan
	for i := range orDefault(cfg.Hosts, defaultHosts) {
		location := locations[i%len(locations)]
		p.Hosts = append(p.Hosts, planHost{Name: fmt.Sprintf("gw-%s-%d", location, i/len(locations)+1), Location: location})
	}
	if cfg.Accounts == 2 {
		p.Accounts = []string{"intl", "cn"}
	}
	for i := range orDefault(cfg.Zones, defaultZones) {
		z := planZone{ID: zoneID(i), Name: fmt.Sprintf("shop-%04d.example.com", i+1), Hosts: p.hostsOf(i, len(locations), cfg.HostsEach)}
		if len(p.Accounts) > 0 {
			z.Account = p.Accounts[i%len(p.Accounts)]
		}
		p.Zones = append(p.Zones, z)
	}
	return p
}

// hostsOf gives a zone so many hosts. 0 gives it one host, two in one location, two in
// two locations, or three. Neighbours in the list of hosts are in different locations.
func (p worldPlan) hostsOf(i, locations, each int) []string {
	if each > 0 {
		var names []string
		for step := range each {
			names = append(names, p.Hosts[(i+step)%len(p.Hosts)].Name)
		}
		return names
	}
	shapes := [][]int{{0}, {0, locations}, {0, 1}, {0, 1, locations}}
	var names []string
	for _, step := range shapes[(i+i/len(p.Hosts))%len(shapes)] {
		name := p.Hosts[(i+step)%len(p.Hosts)].Name
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// zoneID looks like EdgeOne's. It is always the same for the same number.
func zoneID(i int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "zone %d", i))
	return "zone-" + strings.ToLower(base32.HexEncoding.EncodeToString(sum[:]))[:12]
}

func orDefault(n, fallback int) int {
	if n == 0 {
		return fallback
	}
	return n
}

func (w *World) startHosts(log *journal.Journal) error {
	client, err := hosts.LoadOrMakeKey(w.ClientKeyPath())
	if err != nil {
		return err
	}
	ports, names := map[string]int{}, []string{}
	for _, h := range w.plan.Hosts {
		names = append(names, h.Name)
		ports[h.Name] = h.Port
	}
	w.Hosts, err = hosts.Start(hosts.Config{
		Dir: filepath.Join(w.cfg.Dir, "hosts"), Names: names, Ports: ports, Journal: log,
		ClientKeys: []ssh.PublicKey{client.PublicKey()},
		DelayMs:    map[string]int{"": w.cfg.DelayMs}, Bad: w.cfg.Bad,
	})
	return err
}

func (w *World) startEdgeOne(log *journal.Journal) error {
	credentials, err := w.credentials()
	if err != nil {
		return err
	}
	role, err := w.role()
	if err != nil {
		return err
	}
	w.EdgeOne, err = NewEdgeOne(Config{
		Credentials: credentials, Roles: []Role{role}, Zones: w.zones(), Limit: w.cfg.Limit, Faults: w.cfg.Faults,
		StateFile: filepath.Join(w.cfg.Dir, stateFile), Journal: log,
	})
	if err != nil {
		return err
	}
	if w.api, err = Listen(localhost(orDefault(w.cfg.APIPort, w.plan.APIPort)), w.EdgeOne); err != nil {
		return err
	}
	w.control, err = Listen(localhost(orDefault(w.cfg.ControlPort, w.plan.ControlPort)), w.Control())
	return err
}

func localhost(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// zones are the plan's zones, with a private gateway for each host.
func (w *World) zones() []Zone {
	zones := make([]Zone, 0, len(w.plan.Zones))
	for i, p := range w.plan.Zones {
		z := Zone{ID: p.ID, Name: p.Name, Account: p.Account}
		if i == 0 {
			z.Tags = map[string]string{"tier": "canary"}
		}
		for _, name := range p.Hosts {
			z.Gateways = append(z.Gateways, Gateway{ID: "mpgw-" + name, Name: name, Type: "private", IP: "127.0.0.1", Port: w.Hosts.Host(name).Port()})
		}
		zones = append(zones, z)
	}
	return zones
}

// credentials reads the SecretId and SecretKey of each account from Dir, or
// makes new ones.
func (w *World) credentials() (map[string]Credential, error) {
	all := map[string]Credential{}
	files := []struct{ path, form string }{
		{w.CredentialsPath(), "[default]\nsecret_id = %s\nsecret_key = %s\n"},
		{w.EnvironmentPath(), "TENCENTCLOUD_SECRET_ID=%s\nTENCENTCLOUD_SECRET_KEY=%s\n"},
	}
	for i, file := range files[:max(1, len(w.plan.Accounts))] {
		data, err := os.ReadFile(file.path)
		if errors.Is(err, fs.ErrNotExist) {
			data = fmt.Appendf(nil, file.form, "AKIDSIMULATOR"+randomHex(10), randomHex(16))
			err = os.WriteFile(file.path, data, 0o600)
		}
		if err != nil {
			return nil, err
		}
		var id string
		c := Credential{Limit: w.limitOf(i)}
		if _, err := fmt.Sscanf(string(data), file.form, &id, &c.SecretKey); err != nil {
			return nil, fmt.Errorf("%s is damaged; remove it to get new credentials", file.path)
		}
		if len(w.plan.Accounts) > 0 {
			c.Account = w.plan.Accounts[i]
		}
		all[id] = c
	}
	return all, nil
}

// limitOf is the i-th account's own limit. 0 means the common one.
func (w *World) limitOf(i int) int {
	if i < len(w.cfg.Limits) {
		return w.cfg.Limits[i]
	}
	return 0
}

// role can be assumed with the credentials, or got with the web identity token
// in Dir, which is made if it is missing.
func (w *World) role() (Role, error) {
	token, err := os.ReadFile(w.WebIdentityPath())
	if errors.Is(err, fs.ErrNotExist) {
		token = []byte(randomHex(32))
		err = os.WriteFile(w.WebIdentityPath(), token, 0o600)
	}
	return Role{ARN: RoleARN, ProviderID: ProviderID, Identity: string(token), Instance: true}, err
}

func randomHex(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

// spreadKeys puts each zone's first key on its hosts.
func (w *World) spreadKeys() error {
	keys := w.EdgeOne.Keys()
	var errs []error
	for _, z := range w.plan.Zones {
		for _, name := range z.Hosts {
			errs = append(errs, w.Hosts.Host(name).WriteKey(z.ID, keys[z.ID].Live))
		}
	}
	return errors.Join(errs...)
}

// savePlan writes the plan again, with the present ports.
func (w *World) savePlan() error {
	w.plan.APIPort, w.plan.ControlPort = w.api.Port(), w.control.Port()
	for i := range w.plan.Hosts {
		w.plan.Hosts[i].Port = w.Hosts.Host(w.plan.Hosts[i].Name).Port()
	}
	data, err := json.MarshalIndent(w.plan, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(w.cfg.Dir, planFile)
	return errors.Join(os.WriteFile(path+".new", data, 0o644), os.Rename(path+".new", path))
}

// Control is the whole control API; see the package's table.
func (w *World) Control() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/hosts", w.Hosts.Control())
	mux.Handle("/hosts/", w.Hosts.Control())
	mux.Handle("/", w.EdgeOne.Control())
	return mux
}

// Endpoint is the fleet file's endpoint, "http://127.0.0.1:PORT".
func (w *World) Endpoint() string { return w.api.URL() }

// ControlURL is where the control API is, "http://127.0.0.1:PORT".
func (w *World) ControlURL() string { return w.control.URL() }

// FleetPath is the path of the fleet file.
func (w *World) FleetPath() string { return filepath.Join(w.cfg.Dir, "fleet.yaml") }

// CredentialsPath is the credentials file (INI, as ~/.tencentcloud/credentials;
// mode 0600), for TENCENTCLOUD_CREDENTIALS_FILE.
func (w *World) CredentialsPath() string { return filepath.Join(w.cfg.Dir, "credentials") }

// The world's role, and the OIDC provider that the role trusts.
const (
	RoleARN    = "qcs::cam::uin/100000000001:roleName/keywave"
	ProviderID = "simulator"
)

// WebIdentityPath is the file with a token of ProviderID (mode 0600), for
// TKE_WEB_IDENTITY_TOKEN_FILE.
func (w *World) WebIdentityPath() string { return filepath.Join(w.cfg.Dir, "web-identity-token") }

// EnvironmentPath is the file with the second account's credential (lines
// NAME=VALUE; mode 0600), for the environment of a worker.
func (w *World) EnvironmentPath() string { return filepath.Join(w.cfg.Dir, "second.env") }

// Accounts are the names of the accounts, where there are two.
func (w *World) Accounts() []string { return slices.Clone(w.plan.Accounts) }

// ClientKeyPath is the SSH private key that can log in to the hosts (OpenSSH;
// mode 0600).
func (w *World) ClientKeyPath() string { return filepath.Join(w.cfg.Dir, "client_ed25519") }

// ZoneHosts are the names of a zone's hosts by zone ID.
func (w *World) ZoneHosts() map[string][]string {
	names := make(map[string][]string, len(w.plan.Zones))
	for _, z := range w.plan.Zones {
		names[z.ID] = slices.Clone(z.Hosts)
	}
	return names
}

// ZoneIDs are the zones in the fleet file's order.
func (w *World) ZoneIDs() []string {
	ids := make([]string, 0, len(w.plan.Zones))
	for _, z := range w.plan.Zones {
		ids = append(ids, z.ID)
	}
	return ids
}

// Close stops everything. What is in Dir stays.
func (w *World) Close() error {
	var errs []error
	for _, s := range []*Server{w.api, w.control} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	if w.EdgeOne != nil {
		errs = append(errs, w.EdgeOne.Close())
	}
	if w.Hosts != nil {
		errs = append(errs, w.Hosts.Close())
	}
	return errors.Join(errs...)
}
