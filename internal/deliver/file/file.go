// Package file delivers keys to the machine that the location's worker runs
// on, as package ssh does to others: the file holds at every moment either the
// old key or the new one, whole, and the key reaches no other file, no argument
// and no environment.
package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"keywave/internal/deliver"
	"keywave/internal/rotation"
)

// Config is one host of the fleet file.
type Config struct {
	Name rotation.HostName
	// Path, Mode, Reload and Verify are those of deliver.Settings. Commands run
	// in sh as this process's user, without its environment: see Host.
	Path, Mode, Reload, Verify string
	// CommandTimeout bounds the reload and the verify command each; default 15 s.
	CommandTimeout time.Duration
}

// Host is a rotation.Host that is this machine. Its commands see PATH, HOME,
// the user's name and what systemctl --user needs of the process's environment,
// and nothing else: this process's may hold credentials.
type Host struct {
	cfg      Config
	settings deliver.Settings
	mode     fs.FileMode
	slots    chan struct{}
	reloads  deliver.Reloads
}

var _ rotation.Host = (*Host)(nil)

const (
	defaultTimeout = 15 * time.Second
	maxAtOnce      = 8
	// pipeGrace is how long a command's children may hold its output open.
	pipeGrace = time.Second
)

// New makes a host and touches nothing. The error names every mistake in cfg.
func New(cfg Config) (*Host, error) {
	h := &Host{
		cfg:      cfg,
		settings: deliver.Settings{Path: cfg.Path, Mode: cfg.Mode, Reload: cfg.Reload, Verify: cfg.Verify},
		slots:    make(chan struct{}, maxAtOnce),
	}
	if h.cfg.CommandTimeout <= 0 {
		h.cfg.CommandTimeout = defaultTimeout
	}
	if err := h.settings.Validate(); err != nil {
		return nil, fmt.Errorf("host %s: %w", cfg.Name, err)
	}
	h.mode = h.settings.FileMode()
	return h, nil
}

// Prove implements rotation.Host.
func (h *Host) Prove(ctx context.Context, zones []rotation.ZoneID) (map[rotation.ZoneID]rotation.Fingerprint, error) {
	if err := h.acquire(ctx); err != nil {
		return nil, err
	}
	defer h.free()
	if err := h.programsFound(); err != nil {
		return nil, err
	}
	proven := map[string]bool{}
	for _, zone := range zones {
		file, err := h.fileOf(zone)
		if err != nil {
			return nil, err
		}
		dir := filepath.Dir(file)
		if proven[dir] {
			continue
		}
		proven[dir] = true
		if err := h.writable(dir); err != nil {
			return nil, err
		}
	}
	return h.held(ctx, zones)
}

// Held implements rotation.Host.
func (h *Host) Held(ctx context.Context, zones []rotation.ZoneID) (map[rotation.ZoneID]rotation.Fingerprint, error) {
	if err := h.acquire(ctx); err != nil {
		return nil, err
	}
	defer h.free()
	return h.held(ctx, zones)
}

// Put implements rotation.Host.
func (h *Host) Put(ctx context.Context, zone rotation.ZoneID, key rotation.Secret, expect []rotation.Fingerprint) (rotation.Fingerprint, error) {
	if err := h.acquire(ctx); err != nil {
		return "", err
	}
	defer h.free()
	file, err := h.fileOf(zone)
	if err != nil {
		return "", err
	}
	if err := deliver.CheckKey(key); err != nil {
		return "", err
	}
	if err := h.place(zone, file, key, expect); err != nil {
		return "", err
	}
	if err := h.reload(ctx, key); err != nil {
		return "", err
	}
	if err := h.command(ctx, rotation.StepVerify, h.cfg.Verify, key); err != nil {
		return "", err
	}
	return h.fingerprint(zone, file)
}

// reload shares the command with other deliveries that come meanwhile.
func (h *Host) reload(ctx context.Context, key rotation.Secret) error {
	if h.cfg.Reload == "" {
		return nil
	}
	var failure error
	ran := false
	served := h.reloads.Share(ctx, func() bool {
		ran = true
		failure = h.command(ctx, rotation.StepReload, h.cfg.Reload, key)
		return failure == nil
	})
	if !served && !ran {
		return deliver.Stopped(ctx, rotation.StepReload, h.says("given up while another delivery's reload command ran; the file holds the new key"))
	}
	return failure
}

// Close has nothing to drop.
func (h *Host) Close() error { return nil }

func (h *Host) acquire(ctx context.Context) error {
	select {
	case h.slots <- struct{}{}:
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return deliver.Stopped(ctx, rotation.StepSession, h.says("given up before anything was changed"))
	}
	return nil
}

func (h *Host) free() { <-h.slots }

func (h *Host) fileOf(zone rotation.ZoneID) (string, error) {
	file, err := h.settings.File(zone)
	if err != nil {
		return "", h.failed(rotation.StepWrite, err.Error())
	}
	return file, nil
}

// place makes file hold key, unless it holds something unexpected.
func (h *Host) place(zone rotation.ZoneID, file string, key rotation.Secret, expect []rotation.Fingerprint) error {
	if info, err := os.Stat(filepath.Dir(file)); err != nil || !info.IsDir() {
		return h.failed(rotation.StepWrite, "the directory "+filepath.Dir(file)+" does not exist")
	}
	wanted := rotation.FingerprintOf(zone, key)
	expect = append(slices.Clone(expect), wanted)
	held, err := h.expected(zone, file, expect)
	if err != nil {
		return err
	}
	temp := filepath.Join(filepath.Dir(file), deliver.TempName(filepath.Base(file), deliver.NewAttempt()))
	if held == wanted {
		dropOthers(file, temp)
		return nil
	}
	if err := h.write(temp, key); err != nil {
		_ = os.Remove(temp)
		return h.notWritten(err)
	}
	// In this order: of two attempts at once, the later to look either has
	// removed the other's temporary file or sees what the other put in place.
	dropOthers(file, temp)
	if _, err := h.expected(zone, file, expect); err != nil {
		_ = os.Remove(temp)
		return err
	}
	if err := os.Rename(temp, file); err != nil {
		_ = os.Remove(temp)
		return h.notWritten(err)
	}
	// The key has landed; a directory that cannot be flushed does not undo it.
	if dir, err := os.Open(filepath.Dir(file)); err == nil {
		_ = dir.Sync()
		_ = dir.Close()
	}
	return nil
}

func (h *Host) write(temp string, key rotation.Secret) error {
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(key.Expose() + "\n")
	return errors.Join(err, f.Chmod(h.mode), f.Sync(), f.Close())
}

// dropOthers removes the temporary files of attempts that ended badly, or that
// are about to find out that they are too late.
func dropOthers(file, own string) {
	entries, _ := os.ReadDir(filepath.Dir(file))
	for _, entry := range entries {
		other := filepath.Join(filepath.Dir(file), entry.Name())
		if strings.HasPrefix(entry.Name(), deliver.TempPrefix(filepath.Base(file))) && other != own {
			_ = os.Remove(other)
		}
	}
}

func (h *Host) expected(zone rotation.ZoneID, file string, expect []rotation.Fingerprint) (rotation.Fingerprint, error) {
	held, err := h.fingerprint(zone, file)
	if err != nil {
		return "", err
	}
	if !slices.Contains(expect, held) {
		return "", &rotation.HeldError{Held: held}
	}
	return held, nil
}

// maxKeyFile is far above any key; a bigger file is not one of ours.
const maxKeyFile = 1 << 20

func (h *Host) fingerprint(zone rotation.ZoneID, file string) (rotation.Fingerprint, error) {
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return rotation.Absent, nil
	}
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxKeyFile) {
		err = errors.New("not a regular file that could hold a key")
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(file)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return rotation.Absent, nil
	}
	if err != nil {
		return "", h.failed(rotation.StepWrite, file+" is not a file that we may read: "+reason(err))
	}
	return rotation.FingerprintOf(zone, rotation.NewSecret(strings.ReplaceAll(string(text), "\n", ""))), nil
}

func (h *Host) held(ctx context.Context, zones []rotation.ZoneID) (map[rotation.ZoneID]rotation.Fingerprint, error) {
	held := make(map[rotation.ZoneID]rotation.Fingerprint, len(zones))
	for _, zone := range zones {
		if ctx.Err() != nil {
			return nil, deliver.Stopped(ctx, rotation.StepSession, h.says("given up; nothing was changed"))
		}
		file, err := h.fileOf(zone)
		if err != nil {
			return nil, err
		}
		if held[zone], err = h.fingerprint(zone, file); err != nil {
			return nil, err
		}
	}
	return held, nil
}

// writable fills one block of a new file in dir and removes it.
func (h *Host) writable(dir string) error {
	probe := filepath.Join(dir, ".keywave."+deliver.NewAttempt())
	f, err := os.OpenFile(probe, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return h.failed(rotation.StepWrite, fmt.Sprintf("the directory %s takes no new file: %s", dir, reason(err)))
	}
	_, err = f.Write(make([]byte, 4<<10))
	if err := errors.Join(err, f.Close(), os.Remove(probe)); err != nil {
		return h.failed(rotation.StepWrite, fmt.Sprintf("the directory %s takes no new file: %s", dir, reason(err)))
	}
	return nil
}

func (h *Host) programsFound() error {
	for _, c := range []struct {
		step  rotation.HostStep
		shell string
	}{{rotation.StepReload, h.cfg.Reload}, {rotation.StepVerify, h.cfg.Verify}} {
		for _, program := range deliver.Programs(c.shell) {
			if !found(program) {
				return h.failed(c.step, fmt.Sprintf("%s is not found; install it or correct the %s command", program.Name, c.step))
			}
		}
	}
	return nil
}

// found asks sh, which knows its builtins.
func found(program deliver.Program) bool {
	cmd := exec.Command("sh", "-c", `case $1 in */*) [ -x "$1" ] ;; *) command -v "$1" >/dev/null ;; esac`, "keywave", program.Name)
	cmd.Env = environment()
	if program.Root {
		cmd.Env = append(cmd.Env, "PATH="+os.Getenv("PATH")+":/usr/local/sbin:/usr/sbin:/sbin")
	}
	return cmd.Run() == nil
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

// command runs the reload or verify command, after the key has landed.
func (h *Host) command(ctx context.Context, step rotation.HostStep, shell string, key rotation.Secret) error {
	if shell == "" {
		return nil
	}
	timed, cancel := context.WithTimeout(ctx, h.cfg.CommandTimeout)
	defer cancel()
	var said deliver.LastLine
	cmd := exec.CommandContext(timed, "sh", "-c", shell)
	cmd.Dir, cmd.Env, cmd.WaitDelay = "/", environment(), pipeGrace
	cmd.Stdout, cmd.Stderr = &said, &said
	err := cmd.Run()
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return nil
	case ctx.Err() != nil:
		return deliver.Stopped(ctx, step, h.says(fmt.Sprintf("given up during the %s command; the file holds the new key", step)))
	case timed.Err() != nil:
		return h.failed(step, fmt.Sprintf("the %s command did not end within %s; the file holds the new key, whether the consumer uses it is not known", step, h.cfg.CommandTimeout))
	}
	return h.failed(step, deliver.CommandFailed(fmt.Sprintf("the %s command ended with %s", step, how(err)), said.String(), key)+"; the file holds the new key, but its consumer may use the old one")
}

func how(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() >= 0 {
		return fmt.Sprintf("status %d", exit.ExitCode())
	}
	if errors.As(err, &exit) {
		return "a signal"
	}
	return "no start (is there a sh?)"
}

func (h *Host) notWritten(err error) error {
	return h.failed(rotation.StepWrite, reason(err)+"; what the file held before stands")
}

// reason is the last error of a chain: the system's, without paths.
func reason(err error) string {
	var call *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &call):
		return fmt.Sprintf("%s %s: %v", call.Op, call.Path, call.Err)
	case errors.As(err, &link):
		return fmt.Sprintf("%s %s: %v", link.Op, link.New, link.Err)
	}
	return err.Error()
}

func (h *Host) failed(step rotation.HostStep, why string) error {
	return &rotation.HostError{Step: step, Why: h.says(why)}
}

func (h *Host) says(why string) string { return fmt.Sprintf("%s: %s", h.cfg.Name, why) }
