package hosts

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"keywave/internal/proving/sim/journal"
)

const (
	keysDir        = "keys"
	reloadScript   = "reload"
	reloadLog      = "reloads"
	failureLog     = "failed-reloads"
	reloadFails    = ".reload-fails" // all reloads fail; in the directory "….d", each file makes one fail
	reloadLate     = ".reload-late"  // how many seconds reloads take
	keyExt         = ".key"
	hostKeyFile    = "ssh_host_ed25519_key"
	reopenAttempts = 100
	reopenPause    = 20 * time.Millisecond
)

// reloadText stands in for the gateway's reload command. Removing a file is
// atomic, so each counted failure strikes one reload.
const reloadText = `#!/bin/sh
# Stands in for the gateway's reload command: it writes one line to "reloads" for
# each success, and one to "failed-reloads" for each failure. It starts no process,
# so that simulated hosts add little to the cost of a campaign.
dir=${0%/*}
note() { echo one >>"$dir/$1"; }
fail() {
	echo "reload: the gateway did not take the new configuration" >&2
	note ` + failureLog + `
	exit 1
}
for token in "$dir"/` + reloadFails + `.d/*; do
	rm "$token" 2>/dev/null && fail
done
[ -e "$dir/` + reloadFails + `" ] && fail
[ -e "$dir/` + reloadLate + `" ] && sleep "$(cat "$dir/` + reloadLate + `")"
note ` + reloadLog + `
`

// Host is one simulated host.
type Host struct {
	name       string
	dir        string
	clientKeys []ssh.PublicKey
	delay      time.Duration
	journal    *journal.Journal
	renames    *renames
	signer     ssh.Signer
	other      ssh.Signer
	port       int
	sessions   atomic.Int64
	running    *sync.WaitGroup

	days sync.Mutex // only one bad day begins or ends at a time

	mu       sync.Mutex
	closed   bool
	listener net.Listener
	reserved *reservation // keeps the port while the host is down
	conns    map[*conn]struct{}
	bad      map[Kind]*badDay
	modes    map[string]fs.FileMode // of directories, before they were made read-only
	procs    map[int]struct{}       // process groups
	stats    Stats
}

// Stats are a host's counters.
type Stats struct {
	// Connections is how many TCP connections were accepted.
	Connections int `json:"connections"`
	// Authenticated is how many of them logged in.
	Authenticated int `json:"authenticated"`
	// Open is how many are open now.
	Open int `json:"open"`
	// Sessions is how many commands were run.
	Sessions int `json:"sessions"`
	// Running is how many are running now, MaxRunning the most that ran at once.
	Running    int `json:"running"`
	MaxRunning int `json:"maxRunning"`
	// Struck counts the occasions that bad days struck, by kind.
	Struck map[Kind]int `json:"struck"`
}

// State is what GET /hosts shows of a host.
type State struct {
	// Address is "127.0.0.1:PORT".
	Address string `json:"address"`
	// HostKey is "ssh-ed25519 AAAA…".
	HostKey string `json:"hostKey"`
	// Dir is the host's own directory, which is the home and the working
	// directory of commands.
	Dir string `json:"dir"`
	// Reloads is how often the reload script succeeded.
	Reloads int   `json:"reloads"`
	Bad     []Bad `json:"bad"`
	Stats
}

// prepare makes the host's directory, reload script and key, or uses those that
// exist. It does not listen yet.
func (h *Host) prepare() error {
	if err := h.thawAll(); err != nil {
		return err
	}
	keys := filepath.Join(h.dir, keysDir)
	if err := os.MkdirAll(keys, 0o700); err != nil {
		return err
	}
	if err := h.renames.add(h.name, keys); err != nil {
		return err
	}
	script := filepath.Join(h.dir, reloadScript)
	if present, _ := os.ReadFile(script); !bytes.Equal(present, []byte(reloadText)) {
		if err := os.WriteFile(script, []byte(reloadText), 0o755); err != nil {
			return err
		}
	}
	var err error
	if h.signer, err = LoadOrMakeKey(filepath.Join(h.dir, hostKeyFile)); err != nil {
		return err
	}
	_, other, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	h.other, err = ssh.NewSignerFromSigner(other)
	return errors.Join(err, h.mendReload(), h.hastenReload())
}

// LoadOrMakeKey reads the OpenSSH private key at path, or makes an ed25519 one
// there, mode 0600.
func LoadOrMakeKey(path string) (ssh.Signer, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		data, err = makeKey(path)
	}
	if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return signer, nil
}

func makeKey(path string) ([]byte, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		return nil, err
	}
	data := pem.EncodeToMemory(block)
	return data, os.WriteFile(path, data, 0o600)
}

// Name is the host's name.
func (h *Host) Name() string { return h.name }

// Addr is "127.0.0.1:PORT"; it stays the same while the host is down.
func (h *Host) Addr() string { return fmt.Sprintf("127.0.0.1:%d", h.port) }

// Port is only the port.
func (h *Host) Port() int { return h.port }

// HostKey is "ssh-ed25519 AAAA…", as the fleet file pins it.
func (h *Host) HostKey() string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(h.signer.PublicKey())))
}

// Dir is the host's own directory.
func (h *Host) Dir() string { return h.dir }

// KeyFile is where the host holds a zone's key. With "{zone}" it is the path
// for the fleet file.
func (h *Host) KeyFile(zone string) string { return filepath.Join(h.dir, keysDir, zone+keyExt) }

// ReloadCommand is the path of the host's reload script.
func (h *Host) ReloadCommand() string { return filepath.Join(h.dir, reloadScript) }

// Reloads is how often the reload script succeeded.
func (h *Host) Reloads() int { return h.lines(reloadLog) }

func (h *Host) lines(name string) int {
	data, _ := os.ReadFile(filepath.Join(h.dir, name))
	return bytes.Count(data, []byte("\n"))
}

// Begin starts a bad day. It replaces one of the same kind.
func (h *Host) Begin(b Bad) error {
	if err := h.begin(b); err != nil {
		return fmt.Errorf("host %s: %w", h.name, err)
	}
	return nil
}

// Heal ends the bad days of these kinds. Without kinds it ends all.
func (h *Host) Heal(kinds ...Kind) error {
	if len(kinds) == 0 {
		kinds = Kinds()
	}
	h.days.Lock()
	defer h.days.Unlock()
	var errs []error
	for _, kind := range kinds {
		if err := h.end(kind); err != nil {
			errs = append(errs, fmt.Errorf("host %s: %s did not end: %w", h.name, kind, err))
		}
	}
	return errors.Join(errs...)
}

// State is what the control API shows.
func (h *Host) State() State {
	reloads, failed, mended := h.Reloads(), h.lines(failureLog), h.reloadsMended()
	h.mu.Lock()
	defer h.mu.Unlock()
	s := State{Address: h.Addr(), HostKey: h.HostKey(), Dir: h.dir, Reloads: reloads, Bad: []Bad{}, Stats: h.stats}
	s.Open = len(h.conns)
	s.Struck = maps.Clone(h.stats.Struck)
	if failed > 0 {
		s.Struck[ReloadFails] = failed
	}
	for _, kind := range Kinds() {
		if kind == ReloadFails && mended {
			continue
		}
		if day := h.bad[kind]; day != nil {
			s.Bad = append(s.Bad, day.Bad)
		}
	}
	return s
}

// open listens on the host's port, which is any free one the first time, and
// serves it.
func (h *Host) open() error {
	listener, err := net.Listen("tcp", h.Addr())
	for range reopenAttempts {
		if err == nil || h.reserved == nil {
			break
		}
		time.Sleep(reopenPause)
		listener, err = net.Listen("tcp", h.Addr())
	}
	if err != nil {
		return fmt.Errorf("host %s cannot listen: %w", h.name, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reserved.release()
	h.reserved = nil
	if h.closed {
		return listener.Close()
	}
	h.listener = listener
	if h.port == 0 {
		h.port = listener.Addr().(*net.TCPAddr).Port
	}
	h.running.Go(func() { h.serve(listener) })
	return nil
}

// shut stops listening, keeps the port, and resets all connections.
func (h *Host) shut() error {
	h.mu.Lock()
	listener := h.listener
	h.listener = nil
	h.mu.Unlock()
	if listener != nil {
		_ = listener.Close()
	}
	reserved, err := reserve(h.port)
	h.mu.Lock()
	h.reserved = reserved
	h.mu.Unlock()
	h.cutAll()
	return err
}

func (h *Host) serve(listener net.Listener) {
	for {
		tcp, err := listener.Accept()
		switch {
		case err == nil:
			h.running.Go(func() { h.handle(tcp) })
		case errors.Is(err, net.ErrClosed):
			return
		default:
			time.Sleep(reopenPause) // out of descriptors: others must be closed first
		}
	}
}

func (h *Host) cutAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.conns {
		c.cut()
	}
}

// close ends the host and kills what is left of its commands.
func (h *Host) close() error {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	err := h.Heal()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.listener != nil {
		_ = h.listener.Close()
	}
	for c := range h.conns {
		_ = c.Close()
	}
	for group := range h.procs {
		killGroup(group)
	}
	return err
}

// breakReload makes the next count reloads fail. With 0 it makes all fail.
func (h *Host) breakReload(count int) error {
	if count == 0 {
		return os.WriteFile(filepath.Join(h.dir, reloadFails), nil, 0o600)
	}
	tokens := filepath.Join(h.dir, reloadFails+".d")
	if err := os.MkdirAll(tokens, 0o700); err != nil {
		return err
	}
	for i := range count {
		if err := os.WriteFile(filepath.Join(tokens, fmt.Sprint(i)), nil, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// reloadsMended says whether the next reload will succeed.
func (h *Host) reloadsMended() bool {
	_, err := os.Lstat(filepath.Join(h.dir, reloadFails))
	tokens, _ := os.ReadDir(filepath.Join(h.dir, reloadFails+".d"))
	return err != nil && len(tokens) == 0
}

func (h *Host) mendReload() error {
	path := filepath.Join(h.dir, reloadFails)
	return errors.Join(os.RemoveAll(path), os.RemoveAll(path+".d"))
}

// delayReload makes every reload take d.
func (h *Host) delayReload(d time.Duration) error {
	return os.WriteFile(filepath.Join(h.dir, reloadLate), fmt.Appendf(nil, "%.3f", d.Seconds()), 0o600)
}

func (h *Host) hastenReload() error { return os.RemoveAll(filepath.Join(h.dir, reloadLate)) }

// freezeDirs removes the write permission from every directory of the host.
func (h *Host) freezeDirs() error {
	modes := map[string]fs.FileMode{}
	err := h.eachDir(func(path string, mode fs.FileMode) error {
		modes[path] = mode
		return os.Chmod(path, mode&^0o222)
	})
	h.mu.Lock()
	h.modes = modes
	h.mu.Unlock()
	return err
}

func (h *Host) thawDirs() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var errs []error
	for path, mode := range h.modes {
		errs = append(errs, os.Chmod(path, mode))
	}
	h.modes = nil
	return errors.Join(errs...)
}

// thawAll gives the write permission back, for a simulator that was killed on a
// read-only day.
func (h *Host) thawAll() error {
	return h.eachDir(func(path string, mode fs.FileMode) error { return os.Chmod(path, mode|0o200) })
}

func (h *Host) eachDir(do func(path string, mode fs.FileMode) error) error {
	err := filepath.WalkDir(h.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		return do(path, info.Mode().Perm())
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
