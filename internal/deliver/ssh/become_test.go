package ssh_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"keywave/internal/proving/delivertest"
	"keywave/internal/rotation"
)

// The tests of this file do not run in parallel, because there is only one
// sudo.

// becoming is a field whose directory belongs to root. edge becomes root there.
func becoming(t *testing.T, settings ...string) *field {
	t.Helper()
	f := newField(t, settings...)
	f.cfg.Become = "root"
	if err := errors.Join(os.Chown(f.dir, 0, 0), os.Chmod(f.dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	return f
}

func mayBecome(user string) string { return edge + " ALL=(" + user + ") NOPASSWD: /bin/sh" }

func TestContractAsRoot(t *testing.T) {
	f := becoming(t)
	rules(t, mayBecome("root"))
	start := func(t *testing.T, cfg delivertest.Config) rotation.Host {
		return (&rig{cfg: f.cfg, options: f.options}).contractHost(t, cfg)
	}
	delivertest.Run(t, start)
	delivertest.RunShared(t, start)
	delivertest.RunFiles(t, start)
	delivertest.RunStaged(t, start)
}

// Owner, mode and attributes of a file that belongs to another user are kept,
// and sudo does not log the key.
func TestBecomeKeeps(t *testing.T) {
	f := becoming(t)
	log := filepath.Join(t.TempDir(), "sudo.log")
	rules(t, "Defaults:"+edge+" logfile="+log+", log_allowed, log_output", mayBecome("root"))
	held := f.laid(t, number(t, "-u", service), f.gid, 0o640)
	if out, err := exec.Command("setfacl", "-m", "u:"+edge+":r", f.file()).CombinedOutput(); err != nil {
		t.Skipf("setfacl: %s", out)
	}
	list := func() string {
		out, err := exec.Command("getfacl", "-cn", f.file()).Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	before := list()
	key := f.stages(t, f.host(t), rotation.FingerprintOf(zone, held))
	key = f.delivers(t, f.host(t), rotation.FingerprintOf(zone, key))
	key = f.stages(t, f.host(t), rotation.FingerprintOf(zone, key))
	info, err := os.Stat(f.file())
	if err != nil {
		t.Fatal(err)
	}
	if s := info.Sys().(*syscall.Stat_t); int(s.Uid) != number(t, "-u", service) || int(s.Gid) != f.gid || list() != before {
		t.Errorf("the file is %d:%d with %s, was %s", s.Uid, s.Gid, list(), before)
	}
	text, err := os.ReadFile(log)
	if err != nil || !strings.Contains(string(text), "COMMAND=") {
		t.Fatalf("sudo did not write its log: %v", err)
	}
	out, _ := exec.Command("grep", "-rla", "-e", key.Expose(), "-e", held.Expose(), log, "/var/log").Output()
	if len(out) > 0 {
		t.Errorf("a key is in %s", out)
	}
}

// sudo may be used to become a user other than root.
func TestBecomeSomebody(t *testing.T) {
	f := becoming(t)
	f.cfg.Become = service
	rules(t, mayBecome(service))
	refuses(t, f.host(t), rotation.StepWrite, "is not open to user "+service)
	if err := os.Chown(f.dir, number(t, "-u", service), f.gid); err != nil {
		t.Fatal(err)
	}
	held := f.delivers(t, f.host(t), rotation.Absent)
	f.uid = number(t, "-u", service)
	begunArrives(t, f, rotation.FingerprintOf(zone, held))
	info, err := os.Stat(f.file())
	if err != nil {
		t.Fatal(err)
	}
	if s := info.Sys().(*syscall.Stat_t); int(s.Uid) != number(t, "-u", service) {
		t.Errorf("the file is of user %d", s.Uid)
	}
}

// If sudo refuses, the proof says why and what to write into sudoers. A
// delivery asks nothing beforehand; it says that sudo did not run the script.
func TestBecomeIsRefused(t *testing.T) {
	f := becoming(t)
	for _, c := range []struct {
		name  string
		rules []string
		says  []string
	}{
		{"no rule", []string{"# none"}, []string{"sudo wants a password", edge + " ALL=(root) NOPASSWD: /bin/sh"}},
		{"a password", []string{edge + " ALL=(root) /bin/sh"}, []string{"wants a password", "write " + edge + " ALL=(root) NOPASSWD: /bin/sh into sudoers, or correct become"}},
		{"a password, while another command needs none", []string{edge + " ALL=(root) NOPASSWD: /usr/bin/true, PASSWD: /bin/sh"}, []string{"wants a password", "NOPASSWD: /bin/sh"}},
		{"a terminal", []string{"Defaults:" + edge + " requiretty", mayBecome("root")}, []string{"wants a terminal", "write Defaults:" + edge + " !requiretty"}},
		{"somebody else", []string{mayBecome(service)}, []string{"does not permit", edge + " ALL=(root) NOPASSWD: /bin/sh"}},
		{"another command", []string{edge + " ALL=(root) NOPASSWD: /usr/bin/true"}, []string{"does not permit"}},
		{"no sh in secure_path", []string{"Defaults:" + edge + " secure_path=/nowhere", mayBecome("root")}, []string{"command not found", "secure_path"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			rules(t, c.rules...)
			refuses(t, f.host(t), rotation.StepAuth, append(c.says, "as user "+edge)...)
			_, err := f.host(t).Put(t.Context(), zone, delivertest.NewKey(), []rotation.Fingerprint{rotation.Absent})
			failsAt(t, err, rotation.StepAuth, "sudo did not run our script as user root", "nothing was changed", "keywave doctor --policy hosts")
		})
	}
	rules(t, mayBecome("root"))
	f.cfg.Become = "kwt-nobody"
	refuses(t, f.host(t), rotation.StepAuth, "unknown user", "make it")
}

func TestBecomeWithoutSudo(t *testing.T) {
	f := becoming(t, "SetEnv PATH="+onlyBusybox(t))
	refuses(t, f.host(t), rotation.StepAuth, "sudo is not found, as user "+edge, "or correct become")
}

// A sudo that stores its input gets no key. A sudo that stores only that of
// others, or was told not to store it, is accepted.
func TestSudoThatKeepsInput(t *testing.T) {
	f := becoming(t)
	const kept = "/var/log/sudo-io-kwtest"
	t.Cleanup(func() { _ = os.RemoveAll(kept) })
	dir := "Defaults iolog_dir=" + kept
	for name, c := range map[string]struct {
		rules []string
		keeps bool
	}{
		"for all":               {[]string{"Defaults log_input", mayBecome("root")}, true},
		"stdin alone":           {[]string{"Defaults:" + edge + " log_stdin", mayBecome("root")}, true},
		"for the user":          {[]string{"Defaults>root,daemon log_output, log_input", mayBecome("root")}, true},
		"for the command":       {[]string{"Defaults!/bin/true,/bin/sh log_input", mayBecome("root")}, true},
		"by a tag":              {[]string{edge + " ALL=(ALL) NOPASSWD: LOG_INPUT: ALL"}, true},
		"a tag over a default":  {[]string{"Defaults:" + edge + " !log_input", edge + " ALL=(root) NOPASSWD: LOG_INPUT: /bin/sh"}, true},
		"of another user":       {[]string{"Defaults>daemon log_input", mayBecome("root")}, false},
		"of another command":    {[]string{"Defaults!/bin/true log_input", mayBecome("root")}, false},
		"its output":            {[]string{"Defaults log_output", mayBecome("root")}, false},
		"not for this login":    {[]string{"Defaults log_input", "Defaults:" + edge + " !log_input", mayBecome("root")}, false},
		"not for the tagged":    {[]string{"Defaults log_input", edge + " ALL=(root) NOPASSWD: NOLOG_INPUT: /bin/sh"}, false},
		"of another rule alone": {[]string{edge + " ALL=(root) NOPASSWD: LOG_INPUT: /bin/true, NOLOG_INPUT: /bin/sh"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			rules(t, append([]string{dir}, c.rules...)...)
			_ = os.Remove(f.file())
			if c.keeps {
				refuses(t, f.host(t), rotation.StepAuth, "sudo logs the input of what it runs (log_input)", "!log_input")
				return
			}
			key := f.delivers(t, f.host(t), rotation.Absent)
			if inputs, _ := filepath.Glob(kept + "/*/*/*/stdin"); len(inputs) > 0 {
				t.Errorf("sudo kept the input in %v, with the key %s", inputs, rotation.FingerprintOf(zone, key))
			}
		})
	}
}

// A proof warns of a sudo that does not list its rules.
func TestSudoThatTellsNothing(t *testing.T) {
	f := becoming(t)
	rules(t, "Defaults:"+edge+" listpw=always", mayBecome("root"))
	shown, err := f.host(t).Prove(t.Context(), []rotation.ZoneID{zone})
	if notes := strings.Join(shown.Notes, "\n"); err != nil || !strings.Contains(notes, "whether sudo logs the input of what it runs (log_input), which would store the key, cannot be seen") {
		t.Errorf("got %q, %v", notes, err)
	}
}

// If the connection drops after the key is in place, the reload goes on under
// sudo.
func TestBecomeDroppedAfterLanding(t *testing.T) {
	f := becoming(t)
	rules(t, mayBecome("root"))
	gate, log := filepath.Join(t.TempDir(), "gate"), filepath.Join(t.TempDir(), "log")
	f.cfg.Reload = fmt.Sprintf("while [ ! -e %s ]; do sleep 0.01; done; echo reload >>%s", gate, log)
	host, key := f.host(t), delivertest.NewKey()
	go func() {
		for t.Context().Err() == nil {
			if _, err := os.Stat(f.file()); err == nil {
				break
			}
			time.Sleep(time.Millisecond)
		}
		_ = host.Close()
	}()
	_, err := host.Put(t.Context(), zone, key, []rotation.Fingerprint{rotation.Absent})
	failsAt(t, err, rotation.StepSession)
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if text, _ := os.ReadFile(log); string(text) == "reload\n" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the reload was stopped")
		}
	}
	put(t, host, key)
}

// The narrow way of docs/hosts.md: the login writes keys into a directory of
// its own. By sudo it may run only one program of root's, which puts them in
// place.
func TestProgramOfRoot(t *testing.T) {
	f := newField(t)
	text, err := os.ReadFile("../../../deploy/hosts/keywave-install")
	if err != nil {
		t.Fatal(err)
	}
	place := open(t, t.TempDir())
	program, keys, log := filepath.Join(place, "keywave-install"), filepath.Join(place, "keys"), filepath.Join(place, "log")
	mine := strings.NewReplacer(
		"login=edge\n", "login="+edge+"\n", "staged=/var/lib/keywave/staged\n", "staged="+f.dir+"\n", "keys=/etc/edgeone\n", "keys="+keys+"\n",
		"group=gateway\n", "group="+gateway+"\n", "{ systemctl reload edge-gateway; }", "{ echo reload >>"+log+"; }",
	).Replace(string(text))
	if err := errors.Join(os.WriteFile(program, []byte(mine), 0o755), os.Mkdir(keys, 0o700)); err != nil {
		t.Fatal(err)
	}
	rules(t, edge+" ALL=(root) NOPASSWD: "+program+` ""`)
	f.cfg.Reload = "sudo -n " + program
	secret := filepath.Join(keys, "secret.key")
	if err := errors.Join(os.WriteFile(secret, []byte("root's\n"), 0o600), os.Symlink(secret, filepath.Join(f.dir, "zone-link.key"))); err != nil {
		t.Fatal(err)
	}
	host := f.host(t)
	first := f.delivers(t, host, rotation.Absent)
	key := f.delivers(t, host, rotation.FingerprintOf(zone, first))
	installed := filepath.Join(keys, string(zone)+".key")
	held, err := os.ReadFile(installed)
	if err != nil || string(held) != key.Expose()+"\n" {
		t.Fatalf("the key is not in place (%v)", err)
	}
	info, err := os.Stat(installed)
	if err != nil {
		t.Fatal(err)
	}
	if s := info.Sys().(*syscall.Stat_t); s.Uid != 0 || int(s.Gid) != f.gid || info.Mode() != 0o640 {
		t.Errorf("the file is %v %d:%d", info.Mode(), s.Uid, s.Gid)
	}
	if ran, _ := os.ReadFile(log); string(ran) != "reload\nreload\n" {
		t.Errorf("the gateway was reloaded: %q", ran)
	}
	entries, _ := os.ReadDir(keys)
	if len(entries) != 2 {
		t.Errorf("root's directory holds %v, want the key and what was there", entries)
	}
	for _, command := range []string{"sh -c id", program + " --help", "cat " + secret} {
		if out, err := exec.Command("runuser", "-u", edge, "--", "sh", "-c", "sudo -n "+command).CombinedOutput(); err == nil {
			t.Errorf("%s may run as root: %s", command, out)
		}
	}
}
