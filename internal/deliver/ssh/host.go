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
	"sync/atomic"

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
	// Jump are the bastions on the way; the first is dialled first.
	Jump []Hop
	// Become is the user as whom sudo runs the script. Empty means as User.
	Become string
	// Settings are of the files; commands run in sh, as Become or User.
	deliver.Settings
}

// Host is a rotation.Host behind SSH.
type Host struct {
	peer
	courier deliver.Courier
	slots   chan struct{}
	form    atomic.Int32 // the form in which the user's login shell takes the script
}

var (
	_ rotation.Host      = (*Host)(nil)
	_ rotation.Beginner  = (*Host)(nil)
	_ rotation.Rehearser = (*Host)(nil)
	_ rotation.Reprover  = (*Host)(nil)
	_ rotation.Stager    = (*Host)(nil)
)

// New makes a host and connects to nothing. The error names every mistake in
// cfg.
func New(cfg Config, shared *Shared) (*Host, error) {
	h := &Host{slots: make(chan struct{}, shared.options.MaxSessionsPerHost)}
	before, noWay := shared.through(cfg.Jump)
	err := h.peer.set(Hop{Name: string(cfg.Name), Address: cfg.Address, HostKey: cfg.HostKey, User: cfg.User}, before, shared)
	if err := errors.Join(err, noWay, deliver.CheckBecome(cfg.Become), cfg.Settings.Validate()); err != nil {
		return nil, fmt.Errorf("host %s: %w", cfg.Name, err)
	}
	h.courier.Host, h.courier.User, h.courier.Settings = cfg.Name, h.user, cfg.Settings
	if cfg.Become != "" {
		h.courier.User, h.courier.Become, h.courier.Login = cfg.Become, cfg.Become, h.user
	}
	h.courier.Life, h.courier.Channel = shared.options.ReloadLife, h
	return h, nil
}

// Put implements rotation.Host in one session.
func (h *Host) Put(ctx context.Context, zone rotation.ZoneID, key rotation.Secret, expect []rotation.Fingerprint) (rotation.Fingerprint, error) {
	return h.courier.Put(ctx, zone, key, expect)
}

// Begin implements rotation.Beginner in one session.
func (h *Host) Begin(ctx context.Context, zone rotation.ZoneID, expect []rotation.Fingerprint) rotation.Begun {
	return h.courier.Begin(ctx, zone, expect)
}

// BeginActivate implements rotation.StagedBeginner in one session.
func (h *Host) BeginActivate(ctx context.Context, zone rotation.ZoneID, key rotation.Fingerprint, expect []rotation.Fingerprint) rotation.Begun {
	return h.courier.BeginActivate(ctx, zone, key, expect)
}

// Rehearse implements rotation.Rehearser in one session.
func (h *Host) Rehearse(ctx context.Context, zone rotation.ZoneID) (rotation.Fingerprint, error) {
	return h.courier.Rehearse(ctx, zone)
}

// Stages implements rotation.Stager.
func (h *Host) Stages() bool { return h.courier.Stages() }

// Stage implements rotation.Stager in one session.
func (h *Host) Stage(ctx context.Context, zone rotation.ZoneID, key rotation.Secret) (rotation.Fingerprint, error) {
	return h.courier.Stage(ctx, zone, key)
}

// Activate implements rotation.Stager in one session.
func (h *Host) Activate(ctx context.Context, zone rotation.ZoneID, key rotation.Fingerprint, expect []rotation.Fingerprint) (rotation.Fingerprint, error) {
	return h.courier.Activate(ctx, zone, key, expect)
}

// Unstage implements rotation.Stager in one session.
func (h *Host) Unstage(ctx context.Context, zone rotation.ZoneID) error {
	return h.courier.Unstage(ctx, zone)
}

// Held implements rotation.Host in one session, whatever the number of zones.
func (h *Host) Held(ctx context.Context, zones []rotation.ZoneID) (rotation.Shown, error) {
	return h.courier.Held(ctx, zones)
}
