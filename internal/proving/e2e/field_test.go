package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"keywave/internal/proving/stage"
)

// A campaign over hosts as companies have them. Some are behind two bastions,
// of which one dies during the campaign. On some sudo does the work, with the
// rule that doctor prints. Some accept only a certificate that lives for a
// minute and is renewed beside the worker. On some a file is written in place,
// and to one a program brings the key. Every file is right at the end, with the
// owner, group and access list that it had. No key is in the arguments or the
// environment of any process, or in sudo's log.
func TestFieldCampaign(t *testing.T) {
	f := newField(t)
	authorized := "AuthorizedKeysFile " + f.identity + ".pub"
	plain, outer, inner := f.sshd("plain", authorized), f.sshd("outer", authorized), f.sshd("inner", authorized)
	f.renewCertificate()
	certified := f.sshd("certified", "AuthorizedKeysFile none", "TrustedUserCAKeys "+f.authority+".pub")
	zones := zonesOf(t, f.Stack)
	deep, root, place := f.dirOf("deep", f.edge), f.dirOf("root", "root"), f.dirOf("place", f.edge)
	certificate, brought := f.dirOf("certificate", f.edge), filepath.Join(f.dir, "brought")
	for _, zone := range zones {
		f.held(deep, zone, f.edge)
		f.held(root, zone, "root")
		f.held(place, zone, f.edge)
	}
	inode := inodeOf(t, filepath.Join(place, zones[0]))
	fleet := filepath.Join(f.dir, "fleet.yaml")
	write(t, fleet, fmt.Sprintf(`version: 1
account: {name: mine, endpoint: "%s", credentials: env}
bastions:
  outer: {address: "127.0.0.1:%d", user: root, hostKey: "%s"}
  inner: {address: "127.0.0.1:%d", user: %s, hostKey: "%s"}
defaults:
  ssh: {user: %s, reload: "sleep 1"}
locations:
  lab:
    hosts:
      deep: {ssh: {address: "127.0.0.1:%d", hostKey: "%s", path: "%s/{zone}", jump: [outer, inner]}}
      root: {ssh: {address: "127.0.0.1:%d", hostKey: "%s", path: "%s/{zone}", become: sudo}}
      place: {ssh: {address: "127.0.0.1:%d", hostKey: "%s", path: "%s/{zone}", write: in-place}}
      certified: {ssh: {address: "127.0.0.1:%d", hostKey: "%s", path: "%s/{zone}", group: %s, mode: "0640"}}
      brought: {exec: {command: ["%s", '{"Path":"%s"}'], timeout: 10s}}
zones:
`, f.Places.Endpoint, outer.port, outer.hostKey, inner.port, f.edge, inner.hostKey, f.edge,
		plain.port, plain.hostKey, deep, plain.port, plain.hostKey, root, plain.port, plain.hostKey, place,
		certified.port, certified.hostKey, certificate, f.gateway, bringProgram(t, f.dir), brought)+f.zones(zones)+
		"campaign: {bake: 32s, waves: [1, 50%, 100%], window: 2, maxExposed: 6, proofFor: 30s}\n")
	f.sudoers(must(t, f.Stack, "doctor", "--policy", "hosts", "-f", fleet))
	workByHand(t, f.Stack, fleet, f.Keyring(), f.identity)

	seen := f.watchProcesses()
	must(t, f.Stack, "campaign", "start", "-f", fleet, "--name", f.Campaign)
	eventually(t, "the second wave delivers", 4*time.Minute, func() bool {
		counts := refreshes(t, f.Stack)
		return len(counts) > 1
	})
	inner.kill()
	eventually(t, "the lost bastion is told, while its host is delivered to", 2*time.Minute, func() bool {
		said, err := f.CLI(t.Context(), "campaign", "status", f.Campaign)
		return err == nil && strings.Contains(said, "inner")
	})
	inner.start(t)
	st, err := f.Finish(t.Context(), 6*time.Minute)
	if err != nil || st.Zones["done"] != len(zones) {
		t.Fatalf("%v: %+v\n%s", err, st, must(t, f.Stack, "campaign", "status", f.Campaign))
	}

	keys, err := f.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, zone := range zones {
		f.holds(deep, zone, keys[zone].Live, f.edge, true)
		f.holds(root, zone, keys[zone].Live, "root", true)
		f.holds(place, zone, keys[zone].Live, f.edge, true)
		f.holds(certificate, zone, keys[zone].Live, f.edge, false)
	}
	if text, err := os.ReadFile(brought); err != nil || string(text) != keys[zones[0]].Live+"\n" {
		t.Errorf("the program brought another key (%v)", err)
	}
	if now := inodeOf(t, filepath.Join(place, zones[0])); now != inode {
		t.Errorf("what is to be written in place has another inode: %d, was %d", now, inode)
	}
	exits(t, f.Stack, 0, "0 differences", "audit", "-f", fleet)
	f.noKeyIn(keys, seen())
}

// field is a stack's API and Temporal, with users and servers of this machine.
type field struct {
	*stage.Stack
	*testing.T
	dir, identity, authority string
	edge, gateway, consumer  string // the user who logs in; a group; the user who reads the keys
	binary, log              string
}

func newField(t *testing.T) *field {
	t.Helper()
	binary := findSSHD(t)
	if os.Geteuid() != 0 {
		t.Skip("only root can make the people of this test")
	}
	f := &field{T: t, Stack: raise(t, 4, 1, 0), dir: t.TempDir(), binary: binary}
	for d := f.dir; d != "/" && d != os.TempDir(); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	name := fmt.Sprintf("kwf%d-", os.Getpid())
	f.edge, f.gateway, f.consumer = name+"edge", name+"gw", name+"svc"
	t.Cleanup(func() {
		for _, command := range [][]string{{"userdel", "-r", "-f", f.edge}, {"userdel", "-f", f.consumer}, {"groupdel", f.gateway}} {
			_ = exec.Command("flock", append([]string{os.TempDir()}, command...)...).Run()
		}
	})
	f.runs("groupadd", f.gateway)
	f.runs("useradd", "-M", "-s", "/usr/sbin/nologin", f.consumer)
	f.runs("useradd", "-m", "-s", "/bin/bash", "-p", "*", "-G", f.gateway, f.edge)
	f.identity, f.authority, f.log = filepath.Join(f.dir, "id"), filepath.Join(f.dir, "ca"), filepath.Join(f.dir, "sudo.log")
	keygen(t, f.identity)
	keygen(t, f.authority)
	return f
}

// runs runs a program. One test at a time may do so, because the machine has
// one list of users.
func (f *field) runs(command ...string) {
	f.Helper()
	if out, err := exec.Command("flock", append([]string{os.TempDir()}, command...)...).CombinedOutput(); err != nil {
		f.Fatalf("%s: %v: %s", strings.Join(command, " "), err, out)
	}
}

func (f *field) sshd(name string, settings ...string) *server {
	f.Helper()
	return startSSHD(f.T, f.binary, filepath.Join(f.dir, name), settings...)
}

// renewCertificate puts a certificate that lives for a minute beside the
// identity, and a new one every 20 s, until the test ends.
func (f *field) renewCertificate() {
	f.Helper()
	anew := filepath.Join(f.dir, "anew")
	if err := os.Mkdir(anew, 0o700); err != nil {
		f.Fatal(err)
	}
	f.runs("cp", f.identity+".pub", filepath.Join(anew, "id.pub"))
	sign := func() error {
		out, err := exec.Command("ssh-keygen", "-q", "-s", f.authority, "-I", "keywave", "-n", f.edge, "-V", "-1m:+60s", filepath.Join(anew, "id.pub")).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return os.Rename(filepath.Join(anew, "id-cert.pub"), f.identity+"-cert.pub")
	}
	if err := sign(); err != nil {
		f.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() {
		for stage.Pause(ctx, 20*time.Second) == nil {
			if err := sign(); err != nil {
				stopped <- err
				return
			}
		}
		stopped <- nil
	}()
	f.Cleanup(func() {
		stop()
		if err := <-stopped; err != nil {
			f.Error(err)
		}
	})
}

// dirOf makes a directory for keys that belongs to a user.
func (f *field) dirOf(name, owner string) string {
	f.Helper()
	dir := filepath.Join(f.dir, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		f.Fatal(err)
	}
	f.runs("chown", owner, dir)
	return dir
}

// held writes the live key of a zone into a file that a consumer in the group
// can read, and one more user who is named in an access list.
func (f *field) held(dir, zone, owner string) {
	f.Helper()
	keys, err := f.Keys(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	file := filepath.Join(dir, zone)
	write(f.T, file, keys[zone].Live+"\n")
	f.runs("chown", owner+":"+f.gateway, file)
	f.runs("chmod", "0640", file)
	f.runs("setfacl", "-m", "u:"+f.consumer+":r", file)
}

// holds says what is wrong with a file.
func (f *field) holds(dir, zone, key, owner string, listed bool) {
	f.Helper()
	file := filepath.Join(dir, zone)
	text, err := os.ReadFile(file)
	if err != nil || string(text) != key+"\n" {
		f.Errorf("%s does not hold the live key (%v)", file, err)
	}
	list, err := exec.Command("getfacl", "-cp", file).CombinedOutput()
	want := []string{"user::rw-", "group::r--", "other::---"}
	if listed {
		want = append(want, "user:"+f.consumer+":r--")
	}
	for _, entry := range want {
		if err != nil || !strings.Contains(string(list), entry) {
			f.Errorf("%s has no %s: %v\n%s", file, entry, err, list)
		}
	}
	info, err := os.Stat(file)
	if err != nil {
		f.Fatal(err)
	}
	has := info.Sys().(*syscall.Stat_t)
	if u, err := user.Lookup(owner); err != nil || u.Uid != strconv.Itoa(int(has.Uid)) {
		f.Errorf("%s is user %d's, want %s (%v)", file, has.Uid, owner, err)
	}
	if g, err := user.LookupGroup(f.gateway); err != nil || g.Gid != strconv.Itoa(int(has.Gid)) {
		f.Errorf("%s is group %d's, want %s (%v)", file, has.Gid, f.gateway, err)
	}
}

func inodeOf(t *testing.T, file string) uint64 {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Ino
}

func (f *field) zones(zones []string) string {
	var b strings.Builder
	for i, zone := range zones {
		hosts := "deep, root, place, certified"
		if i == 0 {
			hosts += ", brought" // that host has one file, so it can hold the key of one zone
		}
		fmt.Fprintf(&b, "  - {id: %s, hosts: [%s]}\n", zone, hosts)
	}
	return b.String()
}

// sudoers makes sudo obey what doctor printed, and log its input.
func (f *field) sudoers(lines string) {
	f.Helper()
	file := "/etc/sudoers.d/" + f.edge
	if err := os.WriteFile(file, []byte(lines+"Defaults:"+f.edge+" logfile="+f.log+"\n"), 0o440); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = os.Remove(file) })
	f.runs("visudo", "-cf", file)
}

// watchProcesses reads the arguments and the environment of every process of
// this machine, until it is asked what it saw.
func (f *field) watchProcesses() (seen func() map[string]bool) {
	ctx, stop := context.WithCancel(context.Background())
	all := make(chan map[string]bool)
	go func() {
		texts := map[string]bool{}
		for stage.Pause(ctx, 50*time.Millisecond) == nil {
			for _, pattern := range []string{"/proc/[0-9]*/cmdline", "/proc/[0-9]*/environ"} {
				files, _ := filepath.Glob(pattern)
				for _, file := range files {
					if text, err := os.ReadFile(file); err == nil {
						texts[string(text)] = true
					}
				}
			}
		}
		all <- texts
	}()
	return func() map[string]bool { stop(); return <-all }
}

// noKeyIn searches for every key that ever existed, and shows that the search
// is able to find them.
func (f *field) noKeyIn(keys map[string]stage.ZoneKeys, processes map[string]bool) {
	f.Helper()
	log, err := os.ReadFile(f.log)
	if err != nil || !strings.Contains(string(log), "COMMAND=") {
		f.Errorf("sudo logged nothing: %v", err)
	}
	processes[string(log)] = true
	scripts := false
	for text := range processes {
		scripts = scripts || strings.Contains(text, "sudo\x00-n\x00-u\x00root\x00")
		for zone, k := range keys {
			for _, key := range k.Ever {
				if strings.Contains(text, key) {
					f.Errorf("a key of %s is in a process's arguments or environment, or in sudo's log: %.60q", zone, text)
				}
			}
		}
	}
	if !scripts {
		f.Error("no process of a delivery was seen: this look proves nothing")
	}
}
