package hosts

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"keywave/internal/proving/sim/journal"
)

// Config is a set of hosts.
type Config struct {
	// Dir holds a directory for each host, which has the host's name. A later
	// Start uses them again, with their host keys.
	Dir string
	// Names are the hosts' names, each a directory name.
	Names []string
	// ClientKeys can log in, as any user.
	ClientKeys []ssh.PublicKey
	// Ports asks for a port by host name. A host without one takes a free one.
	Ports map[string]int
	// DelayMs is the round trip of the network, by host name. "" means all other
	// hosts.
	DelayMs map[string]int
	// Bad are the hosts' bad days at the start.
	Bad map[string][]Bad
	// Journal receives the edges; nil makes a new one.
	Journal *journal.Journal
}

// Hosts are simulated hosts that run until Close.
type Hosts struct {
	names   []string
	byName  map[string]*Host
	renames *renames
	running sync.WaitGroup
}

// Start makes the hosts and opens their ports on 127.0.0.1.
func Start(cfg Config) (*Hosts, error) {
	if cfg.Journal == nil {
		cfg.Journal = journal.New(1 << 16)
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, err
	}
	hs := &Hosts{names: slices.Clone(cfg.Names), byName: map[string]*Host{}, renames: watchRenames(cfg.Journal)}
	for _, name := range cfg.Names {
		if hs.byName[name] != nil || name == "" || strings.ContainsAny(name, "/\x00") || strings.HasPrefix(name, ".") {
			return nil, fmt.Errorf("host %q: names must be different, and directory names", name)
		}
		hs.byName[name] = hs.newHost(cfg, name, filepath.Join(dir, name))
		if err := hs.byName[name].prepare(); err != nil {
			return nil, fmt.Errorf("host %s cannot be made: %w", name, err)
		}
	}
	go hs.renames.serve()
	for _, name := range cfg.Names {
		if err := hs.byName[name].open(); err != nil {
			return nil, errors.Join(err, hs.Close())
		}
	}
	for name, days := range cfg.Bad {
		if err := hs.beginAll(name, days); err != nil {
			return nil, errors.Join(err, hs.Close())
		}
	}
	return hs, nil
}

func (hs *Hosts) newHost(cfg Config, name, dir string) *Host {
	delay, ok := cfg.DelayMs[name]
	if !ok {
		delay = cfg.DelayMs[""]
	}
	return &Host{
		name: name, dir: dir, clientKeys: cfg.ClientKeys, journal: cfg.Journal, renames: hs.renames, running: &hs.running,
		delay: time.Duration(delay) * time.Millisecond,
		port:  cfg.Ports[name],
		conns: map[*conn]struct{}{}, bad: map[Kind]*badDay{}, procs: map[int]struct{}{},
		stats: Stats{Struck: map[Kind]int{}},
	}
}

func (hs *Hosts) beginAll(name string, days []Bad) error {
	h := hs.byName[name]
	if h == nil {
		return fmt.Errorf("there is no host %q to have a bad day", name)
	}
	for _, b := range days {
		if err := h.Begin(b); err != nil {
			return err
		}
	}
	return nil
}

// Names are the hosts' names, in the order of Config.
func (hs *Hosts) Names() []string { return slices.Clone(hs.names) }

// Host is the host of that name, or nil.
func (hs *Hosts) Host(name string) *Host { return hs.byName[name] }

// State is the state of every host, by name.
func (hs *Hosts) State() map[string]State {
	states := make(map[string]State, len(hs.byName))
	for name, h := range hs.byName {
		states[name] = h.State()
	}
	return states
}

// Close ends every host, and kills what is left of their commands.
func (hs *Hosts) Close() error {
	var errs []error
	for _, h := range hs.byName {
		errs = append(errs, h.close())
	}
	hs.running.Wait()
	hs.renames.close()
	return errors.Join(errs...)
}

// Control is the hosts' part of the control API: GET /hosts, POST and DELETE
// /hosts/{name}/bad.
func (hs *Hosts) Control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hosts", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(hs.State())
	})
	mux.HandleFunc("POST /hosts/{name}/bad", hs.named(func(h *Host, r *http.Request) error {
		var b Bad
		decoder := json.NewDecoder(r.Body)
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&b); err != nil {
			return fmt.Errorf("cannot read the bad day: %w", err)
		}
		return h.Begin(b)
	}))
	mux.HandleFunc("DELETE /hosts/{name}/bad", hs.named(func(h *Host, r *http.Request) error {
		if kind := r.URL.Query().Get("kind"); kind != "" {
			return h.Heal(Kind(kind))
		}
		return h.Heal()
	}))
	return mux
}

func (hs *Hosts) named(do func(*Host, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h := hs.byName[r.PathValue("name")]
		if h == nil {
			http.Error(w, "there is no such host", http.StatusNotFound)
			return
		}
		if err := do(h, r); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("{}\n"))
	}
}

// WriteKey puts a zone's key on the host, as a delivery would.
func (h *Host) WriteKey(zone, key string) error {
	return os.WriteFile(h.KeyFile(zone), []byte(key+"\n"), 0o600)
}
