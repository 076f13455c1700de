package e2e

import (
	"errors"
	"fmt"
	"net"
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

// A fleet file written by hand. Its hosts are real OpenSSH servers, one of them
// behind a bastion and one on which sudo does the work, and a host to which a
// program brings keys. The endpoint belongs to somebody else. Temporal and a
// worker are started as the README shows. So nothing works only for the
// simulator's own fleet.
func TestHandWrittenFleet(t *testing.T) {
	sshd := findSSHD(t)
	s := raise(t, 3, 2, 0) // only its API is used; no worker knows its fleet
	dir := t.TempDir()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	identity := filepath.Join(dir, "id_ed25519")
	keygen(t, identity)
	authorized := "AuthorizedKeysFile " + identity + ".pub"
	pinned, known := startSSHD(t, sshd, filepath.Join(dir, "a"), authorized), startSSHD(t, sshd, filepath.Join(dir, "b"), authorized)
	knownHosts := filepath.Join(dir, "known_hosts")
	write(t, knownHosts, fmt.Sprintf("[127.0.0.1]:%d %s\n", known.port, known.hostKey))
	zones := zonesOf(t, s)
	program, brought := bringProgram(t, dir), filepath.Join(dir, "brought")
	becomes := ""
	if _, err := exec.LookPath("sudo"); err == nil && me.Uid == "0" {
		becomes = "sudo"
	}
	fleet := filepath.Join(dir, "fleet.yaml")
	write(t, fleet, fmt.Sprintf(`version: 1
account: {name: mine, endpoint: "%s", credentials: env}
bastions:
  edge-jump: {address: "127.0.0.1:%d", user: %s}
defaults:
  ssh: {user: %s, path: "%s/{zone}.key", reload: "date >> %s/reloads"}
locations:
  lab:
    hosts:
      gw-1: {ssh: {address: "127.0.0.1:%d", hostKey: "%s", jump: [edge-jump]}}
      gw-2: {ssh: {address: "127.0.0.1:%d", path: "%s/{zone}", become: "%s"}}
      gw-3: {exec: {command: ["%s", '{"Path":"%s"}'], timeout: 10s}}
zones:
  - {id: %s, name: one.example.com, hosts: [gw-1, gw-2], labels: {tier: canary}}
  - {id: %s, name: two.example.com, hosts: [gw-2, gw-3]}
campaign: {bake: 0s, waves: [1, 100%%]}
`, s.Places.Endpoint, known.port, me.Username, me.Username, pinned.keys, dir, pinned.port, pinned.hostKey, known.port, known.keys, becomes, program, brought, zones[0], zones[1]))

	keyring := filepath.Join(dir, "keyring")
	workByHand(t, s, fleet, keyring, identity, "--ssh-known-hosts", knownHosts)

	plan := must(t, s, "plan", "-f", fleet)
	if !strings.Contains(plan, "2 on 3 hosts") || !strings.Contains(plan, "Nothing was changed") {
		t.Errorf("plan:\n%s", plan)
	}
	must(t, s, "campaign", "start", "-f", fleet, "--watch", "--name", "hand")
	keys, err := s.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for file, zone := range map[string]string{
		filepath.Join(pinned.keys, zones[0]+".key"): zones[0],
		filepath.Join(known.keys, zones[0]):         zones[0],
		filepath.Join(known.keys, zones[1]):         zones[1],
		brought:                                     zones[1],
	} {
		content, err := os.ReadFile(file)
		if err != nil || string(content) != keys[zone].Live+"\n" {
			t.Errorf("%s does not hold the live key of %s (%v)", file, zone, err)
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", file, info, err)
		}
	}
	if n := refreshes(t, s); n[zones[0]] != 1 || n[zones[1]] != 1 || n[zones[2]] != 0 {
		t.Errorf("refreshes: %v", n)
	}
	exits(t, s, 0, "0 differences", "audit", "-f", fleet)
}

// server is a real sshd on a loopback port. It can be killed and started again.
type server struct {
	binary, dir string
	port        int
	hostKey     string
	keys        string // a directory for keys
	process     *stage.Process
}

func findSSHD(t *testing.T) string {
	t.Helper()
	for _, path := range []string{"/usr/sbin/sshd", "/usr/local/sbin/sshd", "/sbin/sshd"} {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	t.Skip("there is no sshd on this machine: install openssh-server to run TestHandWrittenFleet")
	return ""
}

func startSSHD(t *testing.T, binary, dir string, settings ...string) *server {
	t.Helper()
	s := &server{binary: binary, dir: dir, port: stage.FreePort(), keys: filepath.Join(dir, "keys")}
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.Mkdir(s.keys, 0o700)); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	hostKey := filepath.Join(dir, "host")
	keygen(t, hostKey)
	public, err := os.ReadFile(hostKey + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	s.hostKey = strings.Join(strings.Fields(string(public))[:2], " ")
	write(t, s.config(), fmt.Sprintf("Port %d\nListenAddress 127.0.0.1\nHostKey %s\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\nPidFile none\nSetEnv HOME=%s\n%s\n",
		s.port, hostKey, dir, strings.Join(settings, "\n")))
	s.start(t)
	t.Cleanup(s.kill)
	return s
}

func (s *server) config() string { return filepath.Join(s.dir, "sshd_config") }

func (s *server) start(t *testing.T) {
	t.Helper()
	var err error
	if s.process, err = stage.Start("sshd", s.binary, filepath.Join(s.dir, "log"), os.Environ(), "-D", "-e", "-f", s.config()); err != nil {
		t.Fatal(err)
	}
	listens(t, s.port)
}

// kill ends the server and everything that it started, as the loss of a machine
// does.
func (s *server) kill() {
	below := descendants(s.process.PID())
	s.process.Kill()
	for _, pid := range below {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// descendants are the processes that a process started, those that these
// started, and so on.
func descendants(pid int) []int {
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	var all []int
	for field := range strings.FieldsSeq(string(children)) {
		if child, err := strconv.Atoi(field); err == nil {
			all = append(append(all, child), descendants(child)...)
		}
	}
	return all
}

// workByHand starts a worker of every role as the README shows.
func workByHand(t *testing.T, s *stage.Stack, fleet, keyring, identity string, flags ...string) {
	t.Helper()
	must(t, s, "keyring", "create", "lab", "--keyring", keyring)
	id, key := credentials(t, s.Places.Credentials)
	worker, err := stage.Start("worker", s.Programs.Worker, filepath.Join(s.Dir, "hand.log"),
		stage.Environment("TEMPORAL_ADDRESS="+s.Temporal.Address, "TENCENTCLOUD_SECRET_ID="+id, "TENCENTCLOUD_SECRET_KEY="+key),
		append([]string{"--fleet", fleet, "--keyring", keyring, "--ssh-identity", identity, "--ssh-agent", "none"}, flags...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { worker.Stop(30 * time.Second) })
	eventually(t, "the doctor finds nothing to mend", 3*time.Minute, func() bool {
		_, err := s.CLI(t.Context(), "doctor", "-f", fleet, "--keyring", keyring)
		return err == nil
	})
}

// bringProgram builds the program that brings keys into files of this machine.
func bringProgram(t *testing.T, dir string) string {
	t.Helper()
	program := filepath.Join(dir, "bring")
	if out, err := exec.Command("go", "build", "-o", program, "keywave/internal/proving/delivertest/bring").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return program
}

func listens(t *testing.T, port int) {
	t.Helper()
	eventually(t, "sshd listens", 3*time.Minute, func() bool {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}

func keygen(t *testing.T, path string) {
	t.Helper()
	if said, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v: %s", err, said)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// credentials reads the simulator's INI file.
func credentials(t *testing.T, path string) (id, key string) {
	t.Helper()
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(body)) {
		name, value, _ := strings.Cut(line, "=")
		switch strings.TrimSpace(name) {
		case "secret_id":
			id = strings.TrimSpace(value)
		case "secret_key":
			key = strings.TrimSpace(value)
		}
	}
	return id, key
}
