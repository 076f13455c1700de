package ssh_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keywave/internal/deliver"
	"keywave/internal/proving/delivertest"
	"keywave/internal/rotation"
)

// lodge is a server for everybody who has an account here. It does not change
// HOME.
func lodge(t *testing.T, settings ...string) *sshd {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can make users")
	}
	return startSSHD(t, append(settings, "SetEnv KEYWAVE_TEST=1")...)
}

// somebody is a field on that server whose user has another login shell and rc
// files. The user is made for one test.
func somebody(t *testing.T, d *sshd, shell string, files map[string]string) *field {
	t.Helper()
	path, err := exec.LookPath(shell)
	if err != nil {
		t.Skipf("%s is not installed", shell)
	}
	name := strings.Replace(edge, "-edge", "-"+deliver.NewAttempt()[:8], 1)
	if out, err := exec.Command("useradd", "-m", "-s", path, "-p", "*", name).CombinedOutput(); err != nil {
		t.Skipf("useradd: %s", out)
	}
	t.Cleanup(func() { _ = exec.Command("userdel", "-r", "-f", name).Run() })
	home := filepath.Join("/home", name)
	for file, text := range files {
		if err := os.WriteFile(filepath.Join(home, file), []byte(text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f := &field{sshd: &sshd{cfg: d.cfg, options: d.options}, dir: filepath.Join(home, "keys")}
	if err := errors.Join(os.Mkdir(f.dir, 0o755), os.Chown(f.dir, number(t, "-u", name), number(t, "-g", name))); err != nil {
		t.Fatal(err)
	}
	f.cfg.User, f.cfg.Settings = name, deliver.Settings{Path: f.dir + "/{zone}.key", Reload: "echo reloaded >" + f.dir + "/reloaded"}
	f.options.DialTimeout, f.options.CommandTimeout = time.Minute, 2*time.Minute // so that a busy machine is not taken for a dead one
	return f
}

// To login shells that run commands at all, keys are delivered, whatever the
// shells print.
func TestShellsThatWork(t *testing.T) {
	t.Parallel()
	loud := "echo Welcome to the edge; echo -n 'no newline'; echo trouble >/dev/stderr"
	banner := filepath.Join(open(t, t.TempDir()), "banner")
	if err := os.WriteFile(banner, []byte("Authorized use only\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	plain := lodge(t)
	for name, c := range map[string]struct {
		shell    string
		files    map[string]string
		settings []string
	}{
		"sh":                       {"sh", nil, nil},
		"bash":                     {"bash", nil, nil},
		"bash that prints":         {"bash", map[string]string{".bashrc": loud}, []string{"Banner " + banner, "PrintMotd yes"}},
		"bash that says set -eu":   {"bash", map[string]string{".bashrc": "set -eu; umask 000; alias printf=false; IFS=x; cd /"}, nil},
		"tcsh":                     {"tcsh", map[string]string{".cshrc": "echo run >>~/runs"}, nil},
		"tcsh that prints":         {"tcsh", map[string]string{".cshrc": "echo Welcome; echo -n 'no newline'; set noclobber"}, nil},
		"zsh":                      {"zsh", map[string]string{".zshenv": loud}, nil},
		"fish":                     {"fish", nil, nil},
		"mksh":                     {"mksh", nil, nil},
		"a command that runs ours": {"sh", nil, []string{`ForceCommand echo forced; exec sh -c "$SSH_ORIGINAL_COMMAND"`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := plain
			if len(c.settings) > 0 {
				d = lodge(t, c.settings...)
			}
			f := somebody(t, d, c.shell, c.files)
			host := f.host(t)
			first := f.delivers(t, host, rotation.Absent)
			f.delivers(t, host, rotation.FingerprintOf(zone, first))
			if _, err := os.Stat(f.dir + "/reloaded"); err != nil {
				t.Error("there was no reload")
			}
			// The first proof finds out the form; nothing else is tried twice.
			if runs, err := os.ReadFile(filepath.Dir(f.dir) + "/runs"); err == nil && strings.Count(string(runs), "\n") != 5 {
				t.Errorf("two proofs and two deliveries started the login shell so often: %q", runs)
			}
			// Without a proof before it, the delivery finds out the form.
			held := f.laid(t, number(t, "-u", f.cfg.User), number(t, "-g", f.cfg.User), 0o600)
			put(t, f.host(t), delivertest.NewKey(), rotation.FingerprintOf(zone, held))
		})
	}
}

// With logins that run no commands, the message names the kind, and nothing is
// changed.
func TestShellsThatDoNotWork(t *testing.T) {
	t.Parallel()
	const reads = "reads its standard input: an rc file of the login shell"
	plain := lodge(t)
	for name, c := range map[string]struct {
		shell    string
		files    map[string]string
		settings []string
		step     rotation.HostStep
		says     []string
	}{
		"nologin":                {"nologin", nil, nil, rotation.StepAuth, []string{"This account is currently not available", "has no login shell: give it one, usermod -s /bin/sh kwt"}},
		"false":                  {"false", nil, nil, rotation.StepAuth, []string{"the login shell ended with status 1 before our script began, saying nothing", "ForceCommand"}},
		"sftp alone":             {"bash", nil, []string{"ForceCommand internal-sftp"}, rotation.StepAuth, []string{"sftp connections only", "has ForceCommand internal-sftp for this user: take the user out of it"}},
		"an sftp program":        {"bash", nil, []string{"ForceCommand /usr/lib/openssh/sftp-server"}, rotation.StepAuth, []string{"before our script began", "ForceCommand"}},
		"a menu":                 {"bash", nil, []string{"ForceCommand echo choose one; exit 3"}, rotation.StepAuth, []string{"ended with status 3", `saying "choose one"`, "ForceCommand"}},
		"bash that exits":        {"bash", map[string]string{".bashrc": "echo maintenance; exit 5"}, nil, rotation.StepAuth, []string{"ended with status 5", `saying "maintenance"`, "rc files"}},
		"bash that reads":        {"bash", map[string]string{".bashrc": "echo run >>~/runs; read -r x"}, nil, rotation.StepAuth, []string{reads, "[ -t 0 ] || return"}},
		"bash that reads a part": {"bash", map[string]string{".bashrc": "read -r -n 3 x"}, nil, rotation.StepAuth, []string{reads}},
		"bash that reads much":   {"bash", map[string]string{".bashrc": "for i in 1 2 3 4 5 6 7 8 9; do read -r x; done"}, nil, rotation.StepAuth, []string{reads}},
		"bash that reads all":    {"bash", map[string]string{".bashrc": "cat >/dev/null"}, nil, rotation.StepAuth, []string{reads}},
		"tcsh that reads":        {"tcsh", map[string]string{".cshrc": "set x = \"$<\""}, nil, rotation.StepAuth, []string{reads}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := plain
			if len(c.settings) > 0 {
				d = lodge(t, c.settings...)
			}
			f := somebody(t, d, c.shell, c.files)
			refuses(t, f.host(t), c.step, append(c.says, "nothing was changed")...)
			key := delivertest.NewKey()
			_, err := f.host(t).Put(t.Context(), zone, key, []rotation.Fingerprint{rotation.Absent})
			failsAt(t, err, c.step, c.says...)
			if strings.Contains(err.Error(), key.Expose()) {
				t.Error("the error holds the key")
			}
			// There is no second try: it would give our lines to a shell that takes
			// them for something else.
			if runs, err := os.ReadFile(filepath.Dir(f.dir) + "/runs"); err == nil && strings.Count(string(runs), "\n") != 2 {
				t.Errorf("a proof and a delivery started the login shell so often: %q", runs)
			}
			if there, err := os.ReadDir(f.dir); err != nil || len(there) > 0 {
				t.Errorf("the host has %v, %v", there, err)
			}
		})
	}
}

// An rc file that waits is told as that, once the login itself is over.
func TestShellThatWaits(t *testing.T) {
	t.Parallel()
	f := somebody(t, lodge(t), "bash", map[string]string{".bashrc": "sleep 1000"})
	f.options.CommandTimeout = 3 * time.Second
	host := f.host(t)
	for {
		_, err := host.Prove(t.Context(), []rotation.ZoneID{zone})
		if failure := new(rotation.HostError); errors.As(err, &failure) && failure.Step == rotation.StepConnect {
			continue // a busy machine needs longer for the login alone
		}
		failsAt(t, err, rotation.StepSession, "stalled: the login shell did not begin our script for 3s; see what its rc files wait for", "nothing was changed")
		return
	}
}
