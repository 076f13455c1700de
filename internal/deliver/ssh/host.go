// Package ssh delivers keys over SSH. It promises that a key travels only on a
// command's standard input, only to a host whose host key is pinned in the
// fleet file or known in known_hosts, and that the host's file holds at every
// moment either the old key or the new one, whole. A host needs sh, and
// coreutils or busybox; one connection to it is kept warm and shared.
package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/singleflight"

	"keywave/internal/deliver"
	"keywave/internal/rotation"
)

// Config is one host of the fleet file.
type Config struct {
	Name rotation.HostName
	// Address is host:port; port 22 when there is none.
	Address string
	// HostKey is the host's public key in authorized_keys form, for example
	// "ssh-ed25519 AAAA…"; empty means that known_hosts must know the host.
	HostKey string
	// User logs in; empty means the user that this process runs as.
	User string
	// Settings are of the files; commands run in sh, as User.
	deliver.Settings
}

// Host is a rotation.Host behind SSH.
type Host struct {
	cfg     Config
	courier deliver.Courier
	address string
	user    string
	pinned  ssh.PublicKey
	shared  *Shared
	slots   chan struct{}
	flight  singleflight.Group
	form    atomic.Int32 // of the script, as the user's login shell takes it

	mu   sync.Mutex
	link *link
}

var (
	_ rotation.Host      = (*Host)(nil)
	_ rotation.Rehearser = (*Host)(nil)
)

// New makes a host and connects to nothing. The error names every mistake in
// cfg.
func New(cfg Config, shared *Shared) (*Host, error) {
	h := &Host{
		cfg:    cfg,
		user:   cfg.User,
		shared: shared,
		slots:  make(chan struct{}, shared.options.MaxSessionsPerHost),
	}
	if h.user == "" {
		h.user = shared.user
	}
	var noUser error
	if h.user == "" {
		noUser = errors.New("user is missing")
	}
	if err := errors.Join(h.parseAddress(), h.parseHostKey(), noUser, cfg.Settings.Validate()); err != nil {
		return nil, fmt.Errorf("host %s: %w", cfg.Name, err)
	}
	h.courier.Host, h.courier.User, h.courier.Settings = cfg.Name, h.user, cfg.Settings
	h.courier.Life, h.courier.Channel = shared.options.ReloadLife, h
	return h, nil
}

func (h *Host) parseAddress() error {
	name, port, err := net.SplitHostPort(h.cfg.Address)
	if err != nil {
		name, port = strings.Trim(h.cfg.Address, "[]"), "22"
	}
	if name == "" || port == "" || strings.ContainsAny(name, " /@") {
		return fmt.Errorf("address %q is not host:port", h.cfg.Address)
	}
	h.address = net.JoinHostPort(name, port)
	return nil
}

func (h *Host) parseHostKey() error {
	if h.cfg.HostKey == "" {
		return nil
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(h.cfg.HostKey))
	if err != nil {
		return fmt.Errorf("hostKey is not a public key such as \"ssh-ed25519 AAAA…\" (%w)", err)
	}
	h.pinned = key
	return nil
}

// Put implements rotation.Host in one session.
func (h *Host) Put(ctx context.Context, zone rotation.ZoneID, key rotation.Secret, expect []rotation.Fingerprint) (rotation.Fingerprint, error) {
	return h.courier.Put(ctx, zone, key, expect)
}

// Rehearse implements rotation.Rehearser in one session.
func (h *Host) Rehearse(ctx context.Context, zone rotation.ZoneID) (rotation.Fingerprint, error) {
	return h.courier.Rehearse(ctx, zone)
}

// Held implements rotation.Host in one session, whatever the number of zones.
func (h *Host) Held(ctx context.Context, zones []rotation.ZoneID) (map[rotation.ZoneID]rotation.Fingerprint, error) {
	return h.courier.Held(ctx, zones)
}

// Close drops the warm connection; the next call makes a new one.
func (h *Host) Close() error {
	h.mu.Lock()
	l := h.link
	h.link = nil
	h.mu.Unlock()
	if l == nil {
		return nil
	}
	_ = l.conn.Close()
	<-l.dead
	return nil
}

func (h *Host) failed(step rotation.HostStep, why string) error {
	return &rotation.HostError{Step: step, Why: h.Says(why)}
}

// Says puts the host's name and address before a reason.
func (h *Host) Says(why string) string {
	return fmt.Sprintf("%s (%s): %s", h.cfg.Name, h.address, why)
}
