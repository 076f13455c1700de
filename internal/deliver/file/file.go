// Package file delivers keys to the machine that the location's worker runs on.
// It uses the same script that package ssh uses on other machines: at every
// moment the file holds either the old key or the new one, whole, and the key
// reaches no other file, no argument and no environment.
package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"syscall"
	"time"

	"keywave/internal/deliver"
	"keywave/internal/rotation"
)

// Config is one host of the fleet file.
type Config struct {
	Name rotation.HostName
	// Settings are of the files. Commands run in sh as this process's user,
	// without its environment: see Host.
	deliver.Settings
	// CommandTimeout bounds one delivery or proof; default 15 s.
	CommandTimeout time.Duration
	// ReloadLife is how old a reload may get before a later delivery ends it;
	// default deliver.DefaultLife.
	ReloadLife time.Duration
}

// Host is a rotation.Host that is this machine. Its commands get PATH, HOME,
// the user's name and what systemctl --user needs, and nothing else of this
// process's environment, which may hold credentials.
type Host struct {
	cfg     Config
	courier deliver.Courier
	slots   chan struct{}
}

var (
	_ rotation.Host      = (*Host)(nil)
	_ rotation.Rehearser = (*Host)(nil)
	_ rotation.Reprover  = (*Host)(nil)
	_ rotation.Stager    = (*Host)(nil)
)

const (
	defaultTimeout = 15 * time.Second
	maxAtOnce      = 8
	// endGrace is how long output is read after the script's end: a daemon that a
	// reload started may hold it open for ever.
	endGrace = time.Second
)

// New makes a host and touches nothing. The error names every mistake in cfg.
func New(cfg Config) (*Host, error) {
	if cfg.CommandTimeout <= 0 {
		cfg.CommandTimeout = defaultTimeout
	}
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("host %s: %w", cfg.Name, err)
	}
	h := &Host{cfg: cfg, slots: make(chan struct{}, maxAtOnce)}
	h.courier.Host, h.courier.Settings, h.courier.Life, h.courier.Channel = cfg.Name, cfg.Settings, cfg.ReloadLife, h
	h.courier.User = fmt.Sprint(os.Getuid())
	if me, err := user.Current(); err == nil {
		h.courier.User = me.Username
	}
	return h, nil
}

// Prove implements rotation.Host.
func (h *Host) Prove(ctx context.Context, zones []rotation.ZoneID) (rotation.Shown, error) {
	return h.courier.Prove(ctx, zones)
}

// ProveAgain implements rotation.Reprover.
func (h *Host) ProveAgain(ctx context.Context, zones []rotation.ZoneID, recent time.Duration) (rotation.Shown, error) {
	return h.courier.ProveAgain(ctx, zones, recent)
}

// Locate implements rotation.Locator.
func (h *Host) Locate(ctx context.Context, zones []rotation.ZoneID) (rotation.Whereabouts, error) {
	located, err := h.courier.Locate(ctx, zones)
	located.Machine = "the worker's own"
	return located, err
}

// Held implements rotation.Host.
func (h *Host) Held(ctx context.Context, zones []rotation.ZoneID) (rotation.Shown, error) {
	return h.courier.Held(ctx, zones)
}

// Put implements rotation.Host.
func (h *Host) Put(ctx context.Context, zone rotation.ZoneID, key rotation.Secret, expect []rotation.Fingerprint) (rotation.Fingerprint, error) {
	return h.courier.Put(ctx, zone, key, expect)
}

// Rehearse implements rotation.Rehearser.
func (h *Host) Rehearse(ctx context.Context, zone rotation.ZoneID) (rotation.Fingerprint, error) {
	return h.courier.Rehearse(ctx, zone)
}

// Stages implements rotation.Stager.
func (h *Host) Stages() bool { return h.courier.Stages() }

// Stage implements rotation.Stager.
func (h *Host) Stage(ctx context.Context, zone rotation.ZoneID, key rotation.Secret) (rotation.Fingerprint, error) {
	return h.courier.Stage(ctx, zone, key)
}

// Activate implements rotation.Stager.
func (h *Host) Activate(ctx context.Context, zone rotation.ZoneID, key rotation.Fingerprint, expect []rotation.Fingerprint) (rotation.Fingerprint, error) {
	return h.courier.Activate(ctx, zone, key, expect)
}

// Unstage implements rotation.Stager.
func (h *Host) Unstage(ctx context.Context, zone rotation.ZoneID) error {
	return h.courier.Unstage(ctx, zone)
}

// Close has nothing to drop.
func (h *Host) Close() error { return nil }

// Says puts the host's name before a reason.
func (h *Host) Says(why string) string { return fmt.Sprintf("%s: %s", h.cfg.Name, why) }

// Limit is how long Run waits for a verdict.
func (h *Host) Limit() time.Duration { return h.cfg.CommandTimeout }

// Run implements deliver.Channel by a process of this machine.
func (h *Host) Run(ctx context.Context, build func(attempt string) deliver.Job) (deliver.Answer, error) {
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return deliver.Answer{}, deliver.Stopped(ctx, rotation.StepSession, h.Says("given up before anything was changed"))
	}
	j := build(deliver.NewAttempt())
	t := deliver.NewTranscript(j.Attempt)
	p, err := start(t)
	if err != nil {
		return deliver.Answer{}, &rotation.HostError{Step: rotation.StepSession, Why: h.Says("no sh can be started here; install one: " + err.Error())}
	}
	timed, cancel := t.Within(ctx, h.Limit(), j)
	defer cancel()
	p.feed(timed, j, t)
	p.wait(timed, t)
	a := t.SoFar()
	switch {
	case a.Verdict != "":
		return a, nil
	case ctx.Err() != nil:
		return a, deliver.Stopped(ctx, rotation.StepSession, h.Says("given up during the delivery; "+j.Remains(a)))
	case timed.Err() != nil:
		return a, h.courier.Stalled(j, a, h.Limit())
	}
	return a, h.courier.Silent(j, a)
}

// process is the script at work.
type process struct {
	cmd    *exec.Cmd
	stdin  *os.File
	stdout *os.File
	// ended is closed when the script has ended, read when all of its output has
	// been read.
	ended, read chan struct{}
}

func start(t *deliver.Transcript) (*process, error) {
	in, stdin, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	stdout, out, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, in.Close(), stdin.Close())
	}
	args := deliver.Arguments()
	p := &process{cmd: exec.Command(args[0], args[1:]...), stdin: stdin, stdout: stdout, ended: make(chan struct{}), read: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env = "/", environment()
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = in, out, out
	// A reload that hangs is ended with its process group. That must not be ours.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = p.cmd.Start()
	_, _ = in.Close(), out.Close()
	if err != nil {
		return nil, errors.Join(err, stdin.Close(), stdout.Close())
	}
	go func() {
		defer close(p.read)
		_, _ = io.Copy(t, stdout)
	}()
	go func() {
		_ = p.cmd.Wait()
		t.Ended(how(p.cmd.ProcessState))
		close(p.ended)
	}()
	return p, nil
}

func (p *process) feed(ctx context.Context, j deliver.Job, t *deliver.Transcript) {
	go func() {
		defer p.stdin.Close()
		_, _ = p.stdin.Write(j.Stdin)
		if j.Then != nil {
			j.Then(ctx, t, p.stdin)
		}
	}()
}

// wait returns when the script has ended, or when ctx has: then a script that
// has not yet put the key in place is told to end, and one that has put it in
// place goes on.
func (p *process) wait(ctx context.Context, t *deliver.Transcript) {
	select {
	case <-p.ended:
	case <-t.Final:
	case <-ctx.Done():
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
	}
	// After its verdict the script tidies up; after its end there may still be
	// output to read.
	soon, cancel := context.WithTimeout(context.WithoutCancel(ctx), endGrace)
	defer cancel()
	select {
	case <-p.ended:
	case <-soon.Done():
	}
	select {
	case <-p.read:
	case <-t.Final:
	case <-soon.Done():
	}
	_, _ = p.stdin.Close(), p.stdout.Close()
}

func how(state *os.ProcessState) string {
	if code := state.ExitCode(); code >= 0 {
		return fmt.Sprintf("status %d", code)
	}
	return "a signal"
}

func environment() []string {
	var env []string
	for _, name := range []string{"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}
