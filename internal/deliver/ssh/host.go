// Package ssh delivers keys over SSH. It promises that a key travels only on a
// command's standard input, only to a host whose host key is pinned in the
// fleet file or known in known_hosts, and that the host's file holds at every
// moment either the old key or the new one, whole. A host needs sh, and
// coreutils or busybox; one connection to it is kept warm and shared.
package ssh

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/singleflight"

	"keywave/internal/deliver"
	"keywave/internal/rotation"
)

//go:embed put.sh
var putScript string

//go:embed look.sh
var lookScript string

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
	// Path, Mode, Reload and Verify are those of deliver.Settings. Commands run
	// in sh, as User.
	Path, Mode, Reload, Verify string
}

// Host is a rotation.Host behind SSH.
type Host struct {
	cfg      Config
	settings deliver.Settings
	address  string
	user     string
	pinned   ssh.PublicKey
	shared   *Shared
	slots    chan struct{}
	flight   singleflight.Group
	puts     atomic.Int32 // under way
	reloads  deliver.Reloads
	isSh     atomic.Bool // the user's login shell, as the last look found

	mu   sync.Mutex
	link *link
}

var _ rotation.Host = (*Host)(nil)

// New makes a host and connects to nothing. The error names every mistake in
// cfg.
func New(cfg Config, shared *Shared) (*Host, error) {
	h := &Host{
		cfg:      cfg,
		settings: deliver.Settings{Path: cfg.Path, Mode: cfg.Mode, Reload: cfg.Reload, Verify: cfg.Verify},
		user:     cfg.User,
		shared:   shared,
		slots:    make(chan struct{}, shared.options.MaxSessionsPerHost),
	}
	if h.user == "" {
		h.user = shared.user
	}
	var noUser error
	if h.user == "" {
		noUser = errors.New("user is missing")
	}
	if err := errors.Join(h.parseAddress(), h.parseHostKey(), noUser, h.settings.Validate()); err != nil {
		return nil, fmt.Errorf("host %s: %w", cfg.Name, err)
	}
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
	file, err := h.settings.File(zone)
	if err != nil {
		return "", h.failed(rotation.StepWrite, err.Error())
	}
	if err := deliver.CheckKey(key); err != nil {
		return "", err
	}
	order, then, done := h.reload()
	defer done()
	a, err := h.run(ctx, func(attempt string) command {
		return command{
			script:  putScript,
			attempt: attempt,
			args: []string{
				string(zone), path.Dir(file), path.Base(file), fmt.Sprintf("%04o", h.settings.FileMode()),
				string(rotation.FingerprintOf(zone, key)), expectation(zone, expect), h.cfg.Reload, h.cfg.Verify,
			},
			stdin:   []byte(key.Expose() + "\n" + attempt + "\n" + order),
			then:    then,
			changes: true,
		}
	})
	if err != nil {
		return "", err
	}
	switch a.verdict {
	case "ack":
		return parse(zone, a.rest)
	case "refused":
		held, err := parse(zone, a.rest)
		if err != nil {
			return "", err
		}
		return "", &rotation.HeldError{Held: held}
	}
	return "", h.verdict(a, key)
}

// reload decides when the host's consumer is reloaded. A delivery that is alone
// says so at once, which costs no round trip; those that meet on the host share
// reloads.
func (h *Host) reload() (order string, then func(context.Context, *transcript, io.Writer), done func()) {
	done = func() { h.puts.Add(-1) }
	if h.puts.Add(1) == 1 || h.cfg.Reload == "" {
		return "reload\n", nil, done
	}
	return "", h.shareReload, done
}

func (h *Host) shareReload(ctx context.Context, t *transcript, stdin io.Writer) {
	select {
	case <-t.placed:
	case <-t.final:
		return
	case <-ctx.Done():
		return
	}
	served := h.reloads.Share(ctx, func() bool {
		_, _ = io.WriteString(stdin, "reload\n")
		select {
		case <-t.reloaded:
			return true
		case <-t.final:
		case <-ctx.Done():
		}
		return false
	})
	if served {
		_, _ = io.WriteString(stdin, "skip\n")
	}
}

// expectation is what a host may hold: a file without a key counts as absent.
func expectation(zone rotation.ZoneID, expect []rotation.Fingerprint) string {
	var words []string
	for _, fp := range expect {
		words = append(words, string(fp))
	}
	if slices.Contains(expect, rotation.Absent) {
		words = append(words, string(deliver.EmptyFile(zone)))
	}
	return strings.Join(words, " ")
}

func parse(zone rotation.ZoneID, said string) (rotation.Fingerprint, error) {
	fp, ok := rotation.ParseFingerprint(said)
	if !ok {
		return "", &rotation.HostError{Step: rotation.StepSession, Why: "the host answered with no fingerprint; what it holds is not known until it is asked again"}
	}
	if fp == deliver.EmptyFile(zone) {
		return rotation.Absent, nil
	}
	return fp, nil
}

// verdict turns a script's bad end into the operator's words.
func (h *Host) verdict(a answer, key rotation.Secret) error {
	switch a.verdict {
	case stageReload, stageVerify:
		how := fmt.Sprintf("the %s command ended with status %s", a.verdict, a.rest)
		after := map[string]string{
			stageReload: "; the file holds the new key, but its consumer may use the old one",
			stageVerify: "; the file holds the new key and the reload command ran",
		}
		return h.failed(rotation.HostStep(a.verdict), deliver.CommandFailed(how, a.noise, key)+after[a.verdict])
	case "missing-" + stageReload, "missing-" + stageVerify, "missing-" + string(rotation.StepWrite):
		step, _ := strings.CutPrefix(a.verdict, "missing-")
		return h.failed(rotation.HostStep(step), fmt.Sprintf("%s is not found on the host, as user %s; install it or correct the %s command", a.rest, h.user, step))
	case string(rotation.StepWrite):
		why := a.rest
		if said := deliver.Scrub(a.noise, key); said != "" {
			why += " (" + said + ")"
		}
		return h.failed(rotation.StepWrite, why+"; what the host held before stands")
	case "cut":
		return h.failed(rotation.StepSession, "the connection broke: "+a.rest+"; what the host held before stands")
	}
	return h.failed(rotation.StepSession, "the host answered with something else than a verdict; what it holds is not known until it is asked again")
}

// Prove implements rotation.Host in one session, whatever the number of zones.
func (h *Host) Prove(ctx context.Context, zones []rotation.ZoneID) (map[rotation.ZoneID]rotation.Fingerprint, error) {
	var q question
	for _, tool := range []string{"sha256sum", "mv", "chmod", "rm", "sync"} {
		q.ask("write", "-", tool)
	}
	for step, shell := range map[string]string{stageReload: h.cfg.Reload, stageVerify: h.cfg.Verify} {
		for _, program := range deliver.Programs(shell) {
			if program.Root {
				q.ask("root-"+step, "-", program.Name)
			} else {
				q.ask(step, "-", program.Name)
			}
		}
	}
	return h.look(ctx, &q, zones, true)
}

// Held implements rotation.Host in one session, whatever the number of zones.
func (h *Host) Held(ctx context.Context, zones []rotation.ZoneID) (map[rotation.ZoneID]rotation.Fingerprint, error) {
	return h.look(ctx, &question{}, zones, false)
}

// question is the input of look.sh.
type question struct{ strings.Builder }

func (q *question) ask(what, name, subject string) {
	fmt.Fprintf(q, "%s %s %s\n", what, name, subject)
}

func (h *Host) look(ctx context.Context, q *question, zones []rotation.ZoneID, prove bool) (map[rotation.ZoneID]rotation.Fingerprint, error) {
	proven := map[string]bool{}
	for _, zone := range zones {
		file, err := h.settings.File(zone)
		if err != nil {
			return nil, h.failed(rotation.StepWrite, err.Error())
		}
		if dir := path.Dir(file); prove && !proven[dir] {
			proven[dir] = true
			q.ask("dir", "-", dir)
		}
		q.ask("file", string(zone), file)
	}
	q.ask("end", "-", "-")
	a, err := h.run(ctx, func(attempt string) command {
		return command{script: lookScript, attempt: attempt, stdin: []byte(q.String()), acknowledged: prove}
	})
	if err != nil {
		return nil, err
	}
	if a.verdict != "ack" {
		return nil, h.verdict(a, rotation.Secret{})
	}
	return h.holdings(a.held, zones)
}

func (h *Host) holdings(lines []string, zones []rotation.ZoneID) (map[rotation.ZoneID]rotation.Fingerprint, error) {
	held := make(map[rotation.ZoneID]rotation.Fingerprint, len(zones))
	for _, line := range lines {
		name, sum, _ := strings.Cut(line, " ")
		zone := rotation.ZoneID(name)
		fp, err := parse(zone, sum[:min(len(sum), 16)])
		if err != nil {
			return nil, err
		}
		held[zone] = fp
	}
	for _, zone := range zones {
		if _, ok := held[zone]; !ok {
			return nil, h.failed(rotation.StepSession, "the host did not answer for every zone; nothing was changed")
		}
	}
	return held, nil
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
	return &rotation.HostError{Step: step, Why: h.says(why)}
}

func (h *Host) says(why string) string {
	return fmt.Sprintf("%s (%s): %s", h.cfg.Name, h.address, why)
}
