package ssh_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"keywave/internal/deliver"
	"keywave/internal/deliver/ssh"
	"keywave/internal/proving/delivertest"
	"keywave/internal/rotation"
)

// edge logs in to the servers of this file. It is a member of the group
// gateway. service is the user that a consumer runs as. They are made for this
// run of the tests.
var (
	edge    = fmt.Sprintf("kwt%d-edge", os.Getpid())
	service = fmt.Sprintf("kwt%d-svc", os.Getpid())
	gateway = fmt.Sprintf("kwt%d-gw", os.Getpid())
)

var people = sync.OnceValue(func() error {
	for _, command := range [][]string{
		{"groupadd", gateway},
		{"useradd", "-M", "-s", "/usr/sbin/nologin", service},
		{"useradd", "-m", "-s", "/bin/bash", "-p", "*", "-G", gateway, edge},
	} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", command[0], err, out)
		}
	}
	return nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if _, err := user.Lookup(edge); err == nil {
		for _, name := range []string{edge, service} {
			_ = exec.Command("userdel", "-r", "-f", name).Run()
		}
		_ = exec.Command("groupdel", gateway).Run()
	}
	os.Exit(code)
}

// field is a real server to which edge logs in, and a directory that belongs to
// edge.
type field struct {
	*sshd
	dir      string
	uid, gid int // edge's user, and the group gateway
}

func newField(t *testing.T, settings ...string) *field {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can start a server for others")
	}
	if err := people(); err != nil {
		t.Skip(err)
	}
	f := &field{sshd: startSSHD(t, settings...)}
	f.cfg.User = edge
	f.dir = filepath.Join(open(t, t.TempDir()), "keys")
	f.uid, f.gid = number(t, "-u", edge), number(t, "-g", edge)
	if err := errors.Join(os.Mkdir(f.dir, 0o755), os.Chown(f.dir, f.uid, f.gid)); err != nil {
		t.Fatal(err)
	}
	group, err := user.LookupGroup(gateway)
	if err != nil {
		t.Fatal(err)
	}
	f.gid, _ = strconv.Atoi(group.Gid)
	f.cfg.Settings = deliver.Settings{Path: f.dir + "/{zone}.key"}
	return f
}

func number(t *testing.T, args ...string) int {
	t.Helper()
	out, err := exec.Command("id", args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	n, _ := strconv.Atoi(strings.TrimSpace(string(out)))
	return n
}

// open lets others into a test's directory.
func open(t *testing.T, dir string) string {
	t.Helper()
	for d := dir; d != "/" && d != os.TempDir(); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func (f *field) host(t *testing.T) *ssh.Host { return newHost(t, f.cfg, f.options) }

func (f *field) file() string { return filepath.Join(f.dir, string(zone)+".key") }

// laid writes a first key into a file of this user and group.
func (f *field) laid(t *testing.T, uid, gid int, mode os.FileMode) rotation.Secret {
	t.Helper()
	key := delivertest.NewKey()
	if err := errors.Join(os.WriteFile(f.file(), []byte(key.Expose()+"\n"), 0o600), os.Chown(f.file(), uid, gid), os.Chmod(f.file(), mode)); err != nil {
		t.Fatal(err)
	}
	return key
}

func refuses(t *testing.T, host rotation.Host, step rotation.HostStep, says ...string) {
	t.Helper()
	_, err := host.Prove(t.Context(), []rotation.ZoneID{zone})
	failsAt(t, err, step, says...)
}

// delivers proves the host, puts a key over the one it held, and returns the
// new key.
func (f *field) delivers(t *testing.T, host rotation.Host, held rotation.Fingerprint) rotation.Secret {
	t.Helper()
	prove(t, host)
	key := delivertest.NewKey()
	put(t, host, key, held)
	if text, err := os.ReadFile(f.file()); err != nil || string(text) != key.Expose()+"\n" {
		t.Fatalf("the file does not hold the key (%v)", err)
	}
	return key
}

func TestGroupIsKept(t *testing.T) {
	t.Parallel()
	f := newField(t)
	held := f.laid(t, f.uid, f.gid, 0o640)
	f.delivers(t, f.host(t), rotation.FingerprintOf(zone, held))
	is := func(mode os.FileMode, uid, gid int) {
		t.Helper()
		info, err := os.Stat(f.file())
		if err != nil {
			t.Fatal(err)
		}
		if s := info.Sys().(*syscall.Stat_t); info.Mode() != mode || int(s.Uid) != uid || int(s.Gid) != gid {
			t.Errorf("the file is %v %d:%d, want %v %d:%d", info.Mode(), s.Uid, s.Gid, mode, uid, gid)
		}
	}
	is(0o640, f.uid, f.gid)
	// A new file gets the group of the fleet file.
	f.cfg.Group, f.cfg.Mode = gateway, "0640"
	_ = os.Remove(f.file())
	f.delivers(t, f.host(t), rotation.Absent)
	is(0o640, f.uid, f.gid)
	// The proof finds out that edge may not give this.
	f.cfg.Group, f.cfg.Mode = "", ""
	f.laid(t, 0, f.gid, 0o640)
	refuses(t, f.host(t), rotation.StepWrite, "has the owner 0", "user "+edge+" may not give", "owner: "+edge)
	f.cfg.Owner = "root"
	refuses(t, f.host(t), rotation.StepWrite, "owner root of the fleet file", "log in as root")
	f.cfg.Owner = edge
	f.laid(t, 0, 0, 0o644)
	refuses(t, f.host(t), rotation.StepWrite, "has the group 0", "may not give", "or write group: ")
}

func TestStickyAndLocked(t *testing.T) {
	t.Parallel()
	f := newField(t)
	if err := errors.Join(os.Chown(f.dir, 0, 0), os.Chmod(f.dir, os.ModeSticky|0o777)); err != nil {
		t.Fatal(err)
	}
	f.cfg.Owner, f.cfg.Group, f.cfg.Mode = edge, gateway, "0640"
	f.laid(t, 0, f.gid, 0o640)
	refuses(t, f.host(t), rotation.StepWrite, "another user's in a directory with the sticky bit", "chown it")
	if err := os.Chown(f.file(), f.uid, f.gid); err != nil {
		t.Fatal(err)
	}
	prove(t, f.host(t))
	for attribute, says := range map[string]string{"i": "is immutable; run chattr -i", "a": "only be appended to; run chattr -a"} {
		if out, err := exec.Command("chattr", "+"+attribute, f.file()).CombinedOutput(); err != nil {
			t.Logf("not tried on this file system, or without the right to: chattr: %s", out)
			continue
		}
		_, err := f.host(t).Prove(t.Context(), []rotation.ZoneID{zone})
		_ = exec.Command("chattr", "-"+attribute, f.file()).Run()
		failsAt(t, err, rotation.StepWrite, says)
	}
	if err := os.Chmod(f.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	refuses(t, f.host(t), rotation.StepWrite, "cannot be replaced by user "+edge, "permission denied", "let it write to the directory")
}

// rules makes sudo obey the lines as long as the test runs.
func rules(t *testing.T, lines ...string) {
	t.Helper()
	if _, err := exec.LookPath("sudo"); err != nil {
		t.Skip("sudo is not installed")
	}
	file := filepath.Join("/etc/sudoers.d", "kwtest-"+strconv.Itoa(os.Getpid()))
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o440); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(file) })
	if out, err := exec.Command("visudo", "-cf", file).CombinedOutput(); err != nil {
		t.Fatalf("%s", out)
	}
}

// If sudo would ask for a password, or refuses a command, the proof refuses it,
// and says what to write into sudoers. Not parallel, because there is only one
// sudo.
func TestSudo(t *testing.T) {
	f := newField(t)
	private := filepath.Join(open(t, t.TempDir()), "private")
	secure := filepath.Join(open(t, t.TempDir()), "secure")
	for _, dir := range []string{private, secure} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "gwreload"), []byte("#!/bin/sh\nexit 0\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	reload := filepath.Join(private, "gwreload")
	for _, c := range []struct {
		name    string
		rules   []string
		reloads []string
		says    []string // empty: it is proved, and runs
	}{
		{
			name: "permitted", rules: []string{edge + " ALL=(" + service + ") NOPASSWD: /usr/bin/true", edge + " ALL=(root) NOPASSWD: /usr/bin/true, " + reload},
			reloads: []string{
				"sudo -Hu " + service + " true", "sudo -nu root true", "sudo --user " + service + " true", "sudo --user=" + service + " true",
				"sudo -n " + reload, "PATH=/nowhere:$PATH sudo -n -- true", "true && sudo -n true > /dev/null",
			},
		},
		{
			name: "only in secure_path", rules: []string{"Defaults:" + edge + " secure_path=" + secure, edge + " ALL=(root) NOPASSWD: " + secure + "/gwreload"},
			reloads: []string{"sudo -n gwreload"},
		},
		{
			name: "a password, while another command needs none", rules: []string{edge + " ALL=(" + service + ") NOPASSWD: /usr/bin/true", edge + " ALL=(root) PASSWD: " + reload},
			reloads: []string{"sudo " + reload, "sudo -n " + reload},
			says:    []string{"wants a password", edge + " ALL=(root) NOPASSWD: ", "into sudoers"},
		},
		{
			name: "a password for all", rules: []string{edge + " ALL=(root) " + reload},
			reloads: []string{"sudo " + reload}, says: []string{"wants a password", "NOPASSWD"},
		},
		{
			name: "a terminal for the command", rules: []string{"Defaults!" + reload + " requiretty", edge + " ALL=(root) NOPASSWD: " + reload},
			reloads: []string{"sudo " + reload}, says: []string{"wants a terminal", "!requiretty"},
		},
		{
			name: "a terminal for the user", rules: []string{"Defaults:" + edge + " requiretty", edge + " ALL=(root) NOPASSWD: " + reload},
			reloads: []string{"sudo -n " + reload}, says: []string{"wants a terminal", "!requiretty"},
		},
		{
			name: "as somebody else", rules: []string{edge + " ALL=(" + service + ") NOPASSWD: /usr/bin/true"},
			reloads: []string{"sudo -n true"}, says: []string{"does not permit", edge + " ALL=(root) NOPASSWD"},
		},
		{
			name: "not there", rules: []string{edge + " ALL=(root) NOPASSWD: ALL"},
			reloads: []string{"sudo kwtest-nothing"}, says: []string{"command not found", "install it"},
		},
		{
			name: "no rule at all", rules: []string{"# none"},
			reloads: []string{"sudo -n true"}, says: []string{"sudo", "NOPASSWD"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			rules(t, c.rules...)
			for _, command := range c.reloads {
				f.cfg.Reload = command
				_ = os.Remove(f.file())
				if len(c.says) > 0 {
					refuses(t, f.host(t), rotation.StepReload, c.says...)
					_, err := f.host(t).Put(t.Context(), zone, delivertest.NewKey(), []rotation.Fingerprint{rotation.Absent})
					failsAt(t, err, rotation.StepReload) // so the proof was right
					continue
				}
				host := f.host(t)
				shown, err := host.Prove(t.Context(), []rotation.ZoneID{zone})
				if err != nil || len(shown.Notes) > 0 {
					t.Errorf("%s: %v, %v", command, shown.Notes, err)
				}
				put(t, host, delivertest.NewKey(), rotation.Absent)
			}
		})
	}
}

// The user that logs in cannot end a reload that runs as root: this is told,
// and no second reload is started.
func TestReloadOfRoot(t *testing.T) {
	f := newField(t)
	rules(t, edge+" ALL=(root) NOPASSWD: /usr/bin/sleep 987654")
	f.cfg.Reload = "sudo -n sleep 987654"
	f.options.CommandTimeout, f.options.ReloadLife = 6*time.Second, 2*time.Second
	host, key := f.host(t), delivertest.NewKey()
	_, err := host.Put(t.Context(), zone, key, []rotation.Fingerprint{rotation.Absent})
	failsAt(t, err, rotation.StepReload, "did not end within 6s")
	const reload = "sleep\x00987654\x00"
	defer func() {
		for _, pid := range running(reload) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}()
	for deadline := time.Now().Add(2 * time.Minute); ; {
		_, err = host.Put(t.Context(), zone, key, nil)
		if err == nil || time.Now().After(deadline) || strings.Contains(err.Error(), "may not end its process") {
			break
		}
	}
	failsAt(t, err, rotation.StepReload, "user "+edge+" may not end its process", "no other is started")
	if pids := running(reload); len(pids) != 1 {
		t.Errorf("%d reloads run, want 1", len(pids))
	}
}

// running are the processes that have this command line.
func running(line string) []int {
	var pids []int
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil && string(text) == line {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// Dropbear ends a connection when a command has more than 9,000 bytes.
func TestDropbear(t *testing.T) {
	t.Parallel()
	f := newField(t)
	binary, err := exec.LookPath("dropbear")
	if err != nil {
		t.Skip("dropbear is not installed")
	}
	home := filepath.Join("/home", edge, ".ssh")
	identity, err := os.ReadFile(f.options.Keys[0])
	if err != nil {
		t.Fatal(err)
	}
	signer, err := xssh.ParsePrivateKey(identity)
	if err := errors.Join(err, os.MkdirAll(home, 0o700), os.WriteFile(filepath.Join(home, "authorized_keys"), xssh.MarshalAuthorizedKey(signer.PublicKey()), 0o600),
		exec.Command("chown", "-R", edge+":", home).Run()); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(t.TempDir(), "key")
	if out, err := exec.Command("dropbearkey", "-t", "ed25519", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("%s", out)
	}
	public, err := exec.Command("dropbearkey", "-y", "-f", key).Output()
	if err != nil {
		t.Fatal(err)
	}
	f.cfg.Address, f.cfg.HostKey = freeAddress(t), strings.Split(string(public), "\n")[1]
	cmd := exec.Command(binary, "-F", "-E", "-p", f.cfg.Address, "-r", key, "-P", key+".pid")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for {
		if conn, err := net.Dial("tcp", f.cfg.Address); err == nil {
			_ = conn.Close()
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	f.cfg.Reload, f.cfg.Verify = "true "+strings.Repeat("x", 4000), "true "+strings.Repeat("y", 4000)
	held := f.delivers(t, f.host(t), rotation.Absent)
	held = f.stages(t, f.host(t), rotation.FingerprintOf(zone, held))
	begunArrives(t, f, rotation.FingerprintOf(zone, held))
}

// stages makes a key wait, puts it in place, and returns it.
func (f *field) stages(t *testing.T, host *ssh.Host, held rotation.Fingerprint) rotation.Secret {
	t.Helper()
	key := delivertest.NewKey()
	if fp, err := host.Stage(t.Context(), zone, key); err != nil || fp != held {
		t.Fatalf("Stage: the live file holds %s, %v, want %s", fp, err, held)
	}
	print := rotation.FingerprintOf(zone, key)
	if fp, err := host.Activate(t.Context(), zone, print, []rotation.Fingerprint{held}); err != nil || fp != print {
		t.Fatalf("Activate: %s, %v", fp, err)
	}
	if text, err := os.ReadFile(f.file()); err != nil || string(text) != key.Expose()+"\n" {
		t.Fatalf("the file does not hold the key (%v)", err)
	}
	return key
}

// A login that is no root: whose stage directory it must be, and what the consumer's group
// may read.
func TestStageAsLogin(t *testing.T) {
	t.Parallel()
	f := newField(t)
	f.cfg.Group, f.cfg.Mode = gateway, "0640"
	held := f.laid(t, f.uid, f.gid, 0o640)
	held = f.stages(t, f.host(t), rotation.FingerprintOf(zone, held))
	info, err := os.Stat(f.file())
	if err != nil || info.Mode() != 0o640 || int(info.Sys().(*syscall.Stat_t).Gid) != f.gid {
		t.Errorf("the file is %v, %v", info.Mode(), err)
	}
	shelf := filepath.Join(f.dir, deliver.StageName)
	if info, err := os.Stat(shelf); err != nil || info.Mode() != os.ModeDir|0o700 || int(info.Sys().(*syscall.Stat_t).Uid) != f.uid {
		t.Errorf("the stage directory is %v, %v", info.Mode(), err)
	}
	refused := func(says ...string) {
		t.Helper()
		key := delivertest.NewKey()
		_, err := f.host(t).Stage(t.Context(), zone, key)
		failsAt(t, err, rotation.StepWrite, append(says, "the host still holds what it held before")...)
	}
	if err := os.Chown(shelf, 0, 0); err != nil {
		t.Fatal(err)
	}
	refused(shelf, "must be a directory of user "+edge)
	// What cannot be seen there cannot be put in place: the whole key is.
	_, err = f.host(t).Activate(t.Context(), zone, rotation.FingerprintOf(zone, delivertest.NewKey()), []rotation.Fingerprint{rotation.FingerprintOf(zone, held)})
	if gone := new(rotation.GoneError); !errors.As(err, &gone) {
		t.Errorf("got %v, want that nothing waits", err)
	}
	if err := errors.Join(os.Chown(shelf, f.uid, f.gid), os.Chmod(shelf, 0o500)); err != nil {
		t.Fatal(err)
	}
	refused(shelf, "takes no new file of user "+edge)
	f.cfg.StageDir = filepath.Join(f.dir, "no", "such")
	refused("takes no new file of user " + edge)
	f.cfg.StageDir = ""
	if err := errors.Join(os.Chmod(shelf, 0o700), os.Chown(f.dir, 0, 0)); err != nil {
		t.Fatal(err)
	}
	refused(f.file(), "cannot be replaced by user "+edge) // the live directory, into which nothing can be renamed
}

// A certificate is renewed by somebody else while a connection is open: the
// next proof logs in with the new one. A connection whose certificate has ended
// is no proof.
func TestCertificateIsRenewed(t *testing.T) {
	t.Parallel()
	f, authority := trusting(t)
	signer, identity := newIdentity(t)
	renew := func(life time.Duration) {
		t.Helper()
		certificate := &xssh.Certificate{
			Key: signer.PublicKey(), CertType: xssh.UserCert, ValidPrincipals: []string{edge},
			ValidAfter: uint64(time.Now().Add(-time.Minute).Unix()), ValidBefore: uint64(time.Now().Add(life).Unix()),
		}
		file := identity + "-cert.pub"
		if err := errors.Join(certificate.SignCert(rand.Reader, authority), os.WriteFile(file+".new", xssh.MarshalAuthorizedKey(certificate), 0o600), os.Rename(file+".new", file)); err != nil {
			t.Fatal(err)
		}
	}
	f.options.Keys = []string{identity}
	renew(30 * time.Second)
	host := f.host(t)
	shown, err := host.Prove(t.Context(), []rotation.ZoneID{zone})
	if err != nil || !strings.Contains(strings.Join(shown.Notes, "\n"), "the certificate that we log in with ends at") {
		t.Fatalf("got %v, %v, want a note that the certificate ends", shown.Notes, err)
	}
	for deadline := time.Now().Add(90 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if _, err = host.Prove(t.Context(), []rotation.ZoneID{zone}); err != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a connection whose certificate has ended was a proof")
		}
	}
	failsAt(t, err, rotation.StepAuth, "the certificate", "ended at", "renew it")
	renew(time.Hour)
	if shown, err = host.Prove(t.Context(), []rotation.ZoneID{zone}); err != nil || len(shown.Notes) > 0 {
		t.Fatalf("with the new certificate: %v, %v", shown.Notes, err)
	}
	f.delivers(t, host, rotation.Absent)
}

// Two entries that are one machine have the same machine, by whatever address.
func TestOneMachineTwice(t *testing.T) {
	t.Parallel()
	f := newField(t)
	one := f.host(t)
	_, port, _ := net.SplitHostPort(f.cfg.Address)
	f.cfg.Name, f.cfg.Address = "gw-2", "localhost:"+port
	two := f.host(t)
	var at [2]rotation.Whereabouts
	for i, host := range []rotation.Host{one, two} {
		var err error
		if at[i], err = host.(rotation.Locator).Locate(t.Context(), []rotation.ZoneID{zone}); err != nil {
			t.Fatal(err)
		}
	}
	if at[0].Machine == "" || at[0].Machine != at[1].Machine || at[0].Places[zone] != at[1].Places[zone] {
		t.Errorf("they are at %+v and %+v", at[0], at[1])
	}
}
