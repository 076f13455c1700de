package ssh_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/crypto/ssh/knownhosts"

	"keywave/internal/deliver"
	"keywave/internal/deliver/ssh"
	"keywave/internal/proving/delivertest"
	"keywave/internal/rotation"
)

func TestWrongHostKey(t *testing.T) {
	t.Parallel()
	s := newRig(t)
	pinned := newSigner(t).PublicKey()
	s.cfg.HostKey = authorizedLine(pinned)
	key := delivertest.NewKey()
	_, err := s.host(t).Put(t.Context(), zone, key, []rotation.Fingerprint{rotation.Absent})
	failsAt(t, err, rotation.StepIdentity, "gw-1", s.addr,
		xssh.FingerprintSHA256(pinned), xssh.FingerprintSHA256(s.hostKeys[0].PublicKey()), "fleet file", "ssh-keygen -lf")
	if len(s.sent()) > 0 {
		t.Fatal("a command was sent to a host that is not the one")
	}
}

// A host with several keys must present the one that is pinned, whatever order
// of types both sides prefer.
func TestPinnedTypeIsNegotiated(t *testing.T) {
	t.Parallel()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecdsaKey, err := xssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	s := newRig(t)
	both := newServer(t, s.hostKeys[0], ecdsaKey)
	s.cfg.Address = both.addr
	for _, key := range both.hostKeys {
		s.cfg.HostKey = authorizedLine(key.PublicKey())
		prove(t, s.host(t))
	}
	s.cfg.Address, s.cfg.HostKey = s.addr, authorizedLine(ecdsaKey.PublicKey())
	_, err = s.host(t).Prove(t.Context(), nil)
	failsAt(t, err, rotation.StepIdentity, "no host key of the type", "ecdsa-sha2-nistp256", "ssh-ed25519")
}

func TestKnownHosts(t *testing.T) {
	t.Parallel()
	s := newRig(t)
	s.cfg.HostKey = ""
	file := filepath.Join(t.TempDir(), "known_hosts")
	s.options.KnownHosts = []string{file}
	write := func(lines ...string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	own, other := s.hostKeys[0].PublicKey(), newSigner(t).PublicKey()

	write("# nobody")
	_, err := s.host(t).Prove(t.Context(), nil)
	failsAt(t, err, rotation.StepIdentity, "in no known_hosts file")

	write(knownhosts.Line([]string{s.addr}, other))
	_, err = s.host(t).Prove(t.Context(), nil)
	failsAt(t, err, rotation.StepIdentity, xssh.FingerprintSHA256(other), file+":1", xssh.FingerprintSHA256(own))

	write("@revoked * "+authorizedLine(own), knownhosts.Line([]string{s.addr}, own))
	_, err = s.host(t).Prove(t.Context(), nil)
	failsAt(t, err, rotation.StepIdentity, "revoked")

	write(knownhosts.Line([]string{s.addr}, own))
	prove(t, s.host(t))

	// Like OpenSSH, we skip what cannot be read, and say so once.
	var warned []string
	s.options.Warn = func(said string) { warned = append(warned, said) }
	write("not a known_hosts line", "oldbox 1024 35 143272250049166269737933547513", ed448, dss2048, knownhosts.Line([]string{s.addr}, own))
	prove(t, s.host(t))
	if len(warned) != 1 || !strings.Contains(warned[0], "lines of known_hosts cannot be read") || !strings.Contains(warned[0], file+":1") {
		t.Errorf("warned of %q", warned)
	}
	write("not a known_hosts line")
	_, err = s.host(t).Prove(t.Context(), nil)
	failsAt(t, err, rotation.StepIdentity, "1 lines cannot be read", file+":1")

	host, port, _ := net.SplitHostPort(s.addr)
	for name, line := range map[string]string{
		"without the port":   host + " " + authorizedLine(own),
		"hashed":             knownhosts.HashHostname(knownhosts.Normalize(s.addr)) + " " + authorizedLine(own),
		"a pattern":          "[127.*]:" + port + " " + authorizedLine(own),
		"of two, the port's": host + " " + authorizedLine(other) + "\n[" + host + "]:" + port + " " + authorizedLine(own),
	} {
		write(line)
		if _, err := s.host(t).Prove(t.Context(), []rotation.ZoneID{zone}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	write("*,![" + host + "]:" + port + ",!" + host + " " + authorizedLine(own))
	_, err = s.host(t).Prove(t.Context(), nil)
	failsAt(t, err, rotation.StepIdentity, "in no known_hosts file")
	s.cfg.Address = "LOCALHOST:" + port
	write("[localhost]:" + port + " " + authorizedLine(own))
	prove(t, s.host(t))
}

// Keys of types that are not known here, or not known any more.
const (
	ed448   = "router.example.net ssh-ed448 AAAACXNzaC1lZDQ0OAAAADkBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
	dss2048 = "archive.example.net ssh-dss AAAAB3NzaC1kc3MAAAEBAK1F8j07GhHfWH/SgDurbDmNiDSKfu2NFPBtP+9wGWagw4HojzjAyP2HEri8B283h7nReeBsD9T1+BMMQjdzDt+vvWf5YZaZz+GYitnwbBRKAltBP4qaAh6mSKfdBoOeuQW25uMH1L7cUUMRk+bD8zkaK48f8f1CopdV1ME6kCkxzUR+Nbi22P5ELj1DcgTlLbIiGlgAigWmxGRxWcMkyYWbgQ52bsnShmPKgo3V9LOy5LBs5gdBx6h85CyCGAcujDW/mS3J6cYWYS52lqbOzBt45RBhcxHYo8LOb0R+1NV7Hi/riUFMNDwQJ8TRw4a7xM1hPjDY8WrfkbdYSiJlsfUAAAAhAOqKxLoFgFl17S+J2UovIKrzxkr3daiSlMLNeJo4AgipAAAAAQMAAAABBQ=="
)

func TestHostCertificate(t *testing.T) {
	t.Parallel()
	authority, hostKey := newSigner(t), newSigner(t)
	certificate := sign(t, authority, hostKey, xssh.HostCert, "127.0.0.1")
	s := newRig(t)
	certified := newServer(t, certificate, hostKey)
	file := filepath.Join(t.TempDir(), "known_hosts")
	s.cfg.Address, s.cfg.HostKey, s.options.KnownHosts = certified.addr, "", []string{file}
	bare := newServer(t, hostKey)
	line := fmt.Sprintf("@cert-authority %s,%s %s\n",
		knownhosts.Normalize(certified.addr), knownhosts.Normalize(bare.addr), authorizedLine(authority.PublicKey()))
	if err := os.WriteFile(file, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	prove(t, s.host(t))
	if err := os.WriteFile(file, []byte("@cert-authority * "+authorizedLine(authority.PublicKey())+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	prove(t, s.host(t))

	s.cfg.Address = bare.addr
	_, err := s.host(t).Prove(t.Context(), nil)
	failsAt(t, err, rotation.StepIdentity)
}

func sign(t *testing.T, authority, key xssh.Signer, kind uint32, principal string) xssh.Signer {
	t.Helper()
	certificate := &xssh.Certificate{
		Key: key.PublicKey(), CertType: kind, ValidPrincipals: []string{principal},
		ValidBefore: xssh.CertTimeInfinity,
	}
	if err := certificate.SignCert(rand.Reader, authority); err != nil {
		t.Fatal(err)
	}
	signer, err := xssh.NewCertSigner(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func TestUserCertificate(t *testing.T) {
	t.Parallel()
	s := newRig(t)
	signer, identity := newIdentity(t)
	certificate := sign(t, newSigner(t), signer, xssh.UserCert, "edge")
	if err := os.WriteFile(identity+"-cert.pub", xssh.MarshalAuthorizedKey(certificate.PublicKey()), 0o600); err != nil {
		t.Fatal(err)
	}
	s.setUp(func(s *server) {
		s.authorized = func(key xssh.PublicKey) bool { _, ok := key.(*xssh.Certificate); return ok }
	})
	s.options.Keys = []string{identity}
	prove(t, s.host(t))
}

// The first certificate that ends is the one that is told; one without an end is none.
func TestEnds(t *testing.T) {
	t.Parallel()
	soon := time.Now().Add(time.Hour).Truncate(time.Second)
	var options ssh.Options
	for _, until := range []uint64{xssh.CertTimeInfinity, uint64(soon.Add(time.Hour).Unix()), uint64(soon.Unix())} {
		signer, identity := newIdentity(t)
		certificate := &xssh.Certificate{Key: signer.PublicKey(), CertType: xssh.UserCert, ValidBefore: until}
		if err := certificate.SignCert(rand.Reader, newSigner(t)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(identity+"-cert.pub", xssh.MarshalAuthorizedKey(certificate), 0o600); err != nil {
			t.Fatal(err)
		}
		options.Keys = append(options.Keys, identity)
	}
	for n, want := range []time.Time{{}, {}, soon.Add(time.Hour), soon} {
		keys := ssh.Options{Keys: options.Keys[:n], Agent: "none", KnownHosts: []string{os.DevNull}}
		if n == 0 {
			_, bare := newIdentity(t)
			keys.Keys = []string{bare}
		}
		shared, err := ssh.NewShared(keys)
		if err != nil {
			t.Fatal(err)
		}
		if got := shared.Ends(); !got.Equal(want) {
			t.Errorf("with %d certificates the first ends at %s, want %s", n, got, want)
		}
	}
}

func TestAgent(t *testing.T) {
	t.Parallel()
	s := newRig(t)
	_, private, line := newAgentKey(t)
	s.setUp(func(s *server) {
		s.authorized = func(key xssh.PublicKey) bool { return authorizedLine(key) == line }
	})

	_, err := s.host(t).Prove(t.Context(), nil)
	failsAt(t, err, rotation.StepAuth, "user edge", "authorized_keys", "SHA256:")

	keyring := agent.NewKeyring()
	if err := keyring.Add(agent.AddedKey{PrivateKey: private}); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "agent")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s.options.Agent = filepath.Join(dir, "sock")
	listener, err := net.Listen("unix", s.options.Agent)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(keyring, conn); _ = conn.Close() }()
		}
	}()
	host := s.host(t)
	prove(t, host)
	put(t, host, delivertest.NewKey(), rotation.Absent)

	_ = listener.Close()
	_, err = s.host(t).Prove(t.Context(), nil)
	failsAt(t, err, rotation.StepAuth, "the ssh-agent at "+s.options.Agent+" does not answer")
}

func newAgentKey(t *testing.T) (xssh.PublicKey, any, string) {
	t.Helper()
	_, file := newIdentity(t)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	private, err := xssh.ParseRawPrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := xssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer.PublicKey(), private, authorizedLine(signer.PublicKey())
}

func TestIdentityFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := ssh.NewShared(ssh.Options{Keys: []string{dir + "/none"}}); err == nil {
		t.Error("a missing file was accepted")
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	locked, err := xssh.MarshalPrivateKeyWithPassphrase(private, "", []byte("word"))
	if err != nil {
		t.Fatal(err)
	}
	file := dir + "/locked"
	if err := os.WriteFile(file, pem.EncodeToMemory(locked), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ssh.NewShared(ssh.Options{Keys: []string{file}}); err == nil || !strings.Contains(err.Error(), "ssh-add "+file) {
		t.Errorf("got %v, want the remedy", err)
	}
	der, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	file = dir + "/ec"
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ssh.NewShared(ssh.Options{Keys: []string{file}}); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := ssh.NewShared(ssh.Options{Keys: []string{file}}); err == nil || !strings.Contains(err.Error(), "chmod 600 "+file) {
		t.Errorf("a key that others may read: %v, want the remedy", err)
	}
}

func TestConfigNamesEveryMistake(t *testing.T) {
	t.Parallel()
	shared, err := ssh.NewShared(ssh.Options{Agent: "none"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = ssh.New(ssh.Config{Name: "gw-1", Address: "", HostKey: "ssh-ed25519 nonsense", User: "edge", Settings: deliver.Settings{Path: "keys/{zone}", Mode: "9"}}, shared)
	for _, want := range []string{"gw-1", "address", "hostKey", "path", "mode"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}

func TestNotThere(t *testing.T) {
	t.Parallel()
	s := newRig(t)
	s.cfg.Address = freeAddress(t)
	_, err := s.host(t).Prove(t.Context(), nil)
	failsAt(t, err, rotation.StepConnect, "connection refused")

	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	s.cfg.Address, s.options.LoginTimeout = mute.Addr().String(), 50*time.Millisecond
	_, err = s.host(t).Prove(t.Context(), nil)
	failsAt(t, err, rotation.StepConnect, "before we were logged in")
}

// The connection drops after every possible number of bytes of the key. The
// file must not change until the whole key has come.
func TestDroppedInMidTransfer(t *testing.T) {
	t.Parallel()
	s := newRig(t)
	host, first, key := s.host(t), delivertest.NewKey(), delivertest.NewKey()
	put(t, host, first, rotation.Absent)
	before, err := os.ReadFile(s.file())
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(key.Expose()) {
		s.setUp(func(s *server) { s.cutAfter = cut })
		_, err := host.Put(t.Context(), zone, key, []rotation.Fingerprint{rotation.FingerprintOf(zone, first)})
		failsAt(t, err, rotation.StepSession)
		if strings.Contains(err.Error(), key.Expose()[:8]) {
			t.Fatal("the error holds a part of the key")
		}
		s.quiet()
		after, err := os.ReadFile(s.file())
		if err != nil || string(after) != string(before) {
			t.Fatalf("after a cut at %d bytes the file has changed (%v)", cut, err)
		}
		if entries, _ := os.ReadDir(s.dir); len(entries) != 1 {
			t.Fatalf("after a cut at %d bytes the directory holds %v", cut, entries)
		}
	}
	s.setUp(func(s *server) { s.cutAfter = -1 })
	put(t, host, key, rotation.FingerprintOf(zone, first))
}

// A connection that drops after the key is in place must not stop the reload.
func TestDroppedAfterLanding(t *testing.T) {
	t.Parallel()
	s := newRig(t)
	gate, log := filepath.Join(t.TempDir(), "gate"), filepath.Join(t.TempDir(), "log")
	s.cfg.Reload = fmt.Sprintf("while [ ! -e %s ]; do sleep 0.01; done; echo reload >>%s", gate, log)
	s.cfg.Verify = "echo verify >>" + log
	host, key := s.host(t), delivertest.NewKey()
	go func() {
		for t.Context().Err() == nil {
			if _, err := os.Stat(s.file()); err == nil {
				break
			}
			time.Sleep(time.Millisecond)
		}
		s.dropAll()
	}()
	_, err := host.Put(t.Context(), zone, key, []rotation.Fingerprint{rotation.Absent})
	failsAt(t, err, rotation.StepSession)
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.quiet()
	if text, _ := os.ReadFile(log); string(text) != "reload\nverify\n" {
		t.Fatalf("the commands that ran are %q", text)
	}
	put(t, host, key)
}

// tools puts programs before those of the host in PATH. Each runs text, and
// then the real program.
func tools(t *testing.T, s *rig, text string, names ...string) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		real, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := delivertest.WriteProgram(filepath.Join(dir, name), "#!/bin/sh\n"+text+"\nexec "+real+" \"$@\"\n"); err != nil {
			t.Fatal(err)
		}
	}
	s.setUp(func(s *server) { s.path = dir + ":" + s.path })
}

// A rehearsal that is slower than a delivery must not put the old key over the
// new one.
func TestRehearsalOfARival(t *testing.T) {
	t.Parallel()
	s := newRig(t)
	begun, gate := filepath.Join(t.TempDir(), "begun"), filepath.Join(t.TempDir(), "gate")
	tools(t, s, "[ ! -e "+gate+" ] || touch "+begun+"; while [ -e "+gate+" ]; do sleep 0.01; done", "cp") // a delivery after a proof does not need cp
	slow, old, key := s.host(t), delivertest.NewKey(), delivertest.NewKey()
	put(t, slow, old, rotation.Absent)
	s.cfg.Name = "gw-2" // another host name, because an attempt of the same host would remove the other's temporary file
	rival := s.host(t)
	prove(t, rival)
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	told := make(chan error, 1)
	go func() { _, err := slow.Rehearse(t.Context(), zone); told <- err }()
	for t.Context().Err() == nil {
		if _, err := os.Stat(begun); err == nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	put(t, rival, key, rotation.FingerprintOf(zone, old))
	if err := os.Remove(gate); err != nil {
		t.Fatal(err)
	}
	var refused *rotation.HeldError
	if err := <-told; !errors.As(err, &refused) || refused.Held != rotation.FingerprintOf(zone, key) {
		t.Errorf("got %v, want a HeldError", err)
	}
	if text, err := os.ReadFile(s.file()); err != nil || string(text) != key.Expose()+"\n" {
		t.Errorf("the file does not hold the new key (%v)", err)
	}
}

// A key is never in a file that somebody can read who may not read the file
// that it replaces: the temporary file gets its mode while it is empty.
func TestTemporaryFileIsPrivate(t *testing.T) {
	t.Parallel()
	s := newRig(t)
	s.cfg.Mode = "0640"
	mode := filepath.Join(t.TempDir(), "mode")
	tools(t, s, `stat -c "%a %s" "$2" >`+mode, "chmod")
	put(t, s.host(t), delivertest.NewKey(), rotation.Absent)
	if was, err := os.ReadFile(mode); err != nil || string(was) != "600 0\n" {
		t.Errorf("the temporary file had mode and size %q (%v)", was, err)
	}
	if info, err := os.Stat(s.file()); err != nil || info.Mode() != 0o640 {
		t.Errorf("the file has %v, %v", info.Mode(), err)
	}
}

// No program that the script runs gets a key as an argument or in its
// environment, neither the new nor the old one.
func TestNoProgramGetsAKey(t *testing.T) {
	t.Parallel()
	s := newRig(t)
	seen := filepath.Join(t.TempDir(), "seen")
	tools(t, s, `{ echo "$0 $*"; env; } >>`+seen, "sha256sum", "sync", "mv", "rm", "sh", "head", "cat", "chmod")
	s.cfg.Mode, s.cfg.Reload = "0640", "echo reload"
	host, old, key := s.host(t), delivertest.NewKey(), delivertest.NewKey()
	put(t, host, old, rotation.Absent)
	prove(t, host)
	put(t, host, key, rotation.FingerprintOf(zone, old))
	text, err := os.ReadFile(seen)
	if err != nil || !strings.Contains(string(text), "/sha256sum ") || !strings.Contains(string(text), "/mv ") {
		t.Fatalf("the programs that ran are not known: %v", err)
	}
	if strings.Contains(string(text), key.Expose()) || strings.Contains(string(text), old.Expose()) {
		t.Error("a program got a key as an argument or in its environment")
	}
}

// A shell without a printf of its own would hand the key to a program.
func TestShellWithoutPrintf(t *testing.T) {
	t.Parallel()
	s := newRig(t)
	dir := t.TempDir()
	shell := "#!/bin/bash\nenable -n printf\nscript=$2\nshift 2\neval \"$script\"\n"
	if err := delivertest.WriteProgram(filepath.Join(dir, "sh"), shell); err != nil {
		t.Fatal(err)
	}
	s.setUp(func(s *server) { s.path = dir + ":" + s.path })
	host := s.host(t)
	_, err := host.Put(t.Context(), zone, delivertest.NewKey(), []rotation.Fingerprint{rotation.Absent})
	failsAt(t, err, rotation.StepWrite, "no printf of its own")
	_, err = s.host(t).Prove(t.Context(), []rotation.ZoneID{zone})
	failsAt(t, err, rotation.StepWrite, "no printf of its own")
	if _, err := os.Stat(s.file()); err == nil {
		t.Error("the file was written")
	}
}

func TestHang(t *testing.T) {
	t.Parallel()
	s := newRig(t)
	s.setUp(func(s *server) { s.hangs = true })
	s.options.CommandTimeout = 2 * time.Second
	host, key := s.host(t), delivertest.NewKey()
	_, err := host.Put(t.Context(), zone, key, []rotation.Fingerprint{rotation.Absent})
	failsAt(t, err, rotation.StepSession, "stalled", "for 2s", "not known until it is asked again")
	_, err = host.Held(t.Context(), []rotation.ZoneID{zone})
	failsAt(t, err, rotation.StepSession, "stalled", "nothing was changed")
	s.setUp(func(s *server) { s.hangs = false })
	s.untouched(t)
	// A busy machine may need more than the 2 s, and a put that was given up may be repeated.
	for deadline := time.Now().Add(time.Minute); ; {
		if _, err = host.Put(t.Context(), zone, key, []rotation.Fingerprint{rotation.Absent}); err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("Put: %v", err)
		}
	}
}

// A warm connection whose peer vanished silently costs one DialTimeout, and the
// delivery succeeds.
func TestWarmConnectionThatDiedSilently(t *testing.T) {
	t.Parallel()
	s := newRig(t)
	p := newProxy(t, s.addr)
	s.cfg.Address, s.options.DialTimeout = p.addr, 10*time.Second
	host := s.host(t)
	prove(t, host)
	p.freeze()
	put(t, host, delivertest.NewKey(), rotation.Absent)
	if connections, _ := s.counts(); connections != 2 {
		t.Fatalf("%d connections, want a second one", connections)
	}
}

func TestReconnects(t *testing.T) {
	t.Parallel()
	s := newRig(t)
	host, key := s.host(t), delivertest.NewKey()
	prove(t, host)
	s.dropAll()
	put(t, host, key, rotation.Absent)
	if err := host.Close(); err != nil {
		t.Fatal(err)
	}
	put(t, host, key)
	if connections, _ := s.counts(); connections != 3 {
		t.Fatalf("%d connections, want 3", connections)
	}
}

func TestKeepAliveDropsADeadPeer(t *testing.T) {
	t.Parallel()
	s := newRig(t)
	p := newProxy(t, s.addr)
	s.cfg.Address, s.options.KeepAlive = p.addr, 3*time.Second
	host := s.host(t)
	prove(t, host)
	p.freeze()
	select {
	case <-p.clientEnded:
	case <-time.After(2 * time.Minute):
		t.Fatal("the connection to a dead peer was kept")
	}
	prove(t, host)
}

func TestKeepAliveKeepsALivingPeer(t *testing.T) {
	t.Parallel()
	s := newRig(t)
	p := newProxy(t, s.addr)
	s.cfg.Address, s.options.KeepAlive = p.addr, 4*time.Second
	host := s.host(t)
	prove(t, host)
	asked := p.roundTrips() + 3
	for p.roundTrips() < asked {
		select {
		case <-p.clientEnded:
			t.Fatal("the connection to a living peer was dropped")
		case <-time.After(time.Millisecond):
		}
	}
	prove(t, host)
	if connections, _ := s.counts(); connections != 1 {
		t.Fatalf("%d connections, want 1", connections)
	}
}

func TestIdleConnectionIsClosed(t *testing.T) {
	t.Parallel()
	s := newRig(t)
	p := newProxy(t, s.addr)
	s.cfg.Address, s.options.KeepAlive, s.options.IdleTimeout = p.addr, 3*time.Second, 100*time.Millisecond
	host := s.host(t)
	prove(t, host)
	select {
	case <-p.clientEnded:
	case <-time.After(2 * time.Minute):
		t.Fatal("an idle connection was kept")
	}
	prove(t, host)
}

func TestSessionLimit(t *testing.T) {
	t.Parallel()
	s := newRig(t)
	s.options.MaxSessionsPerHost = 3
	host := s.host(t)
	putMany(t, host, 12)
	if s.mostActive != 3 {
		t.Errorf("up to %d sessions at once, want 3", s.mostActive)
	}
	if connections, _ := s.counts(); connections != 1 {
		t.Errorf("%d connections, want all to share one", s.connections)
	}
}

func TestSessionLimitHonoursContext(t *testing.T) {
	t.Parallel()
	s := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	busy := make(chan struct{})
	var once sync.Once
	s.setUp(func(s *server) { s.hangs = false; s.onExec = func() { once.Do(func() { close(busy) }); <-ctx.Done() } })
	s.options.MaxSessionsPerHost = 1
	host := s.host(t)
	first := make(chan error, 1)
	go func() { _, err := host.Held(t.Context(), nil); first <- err }()
	<-busy
	waiting, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer stop()
	_, err := host.Held(waiting, nil)
	failsAt(t, err, rotation.StepSession, "waiting for one of the host's 1 sessions")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("%v is not the context's error", err)
	}
	cancel()
	if err := <-first; err != nil {
		t.Fatal(err)
	}
}

// A server that allows fewer sessions than we use gets more connections.
func TestServerWithFewerSessions(t *testing.T) {
	t.Parallel()
	s := newRig(t)
	s.setUp(func(s *server) { s.maxSessions = 1 })
	putMany(t, s.host(t), 12)
}

func putMany(t *testing.T, host rotation.Host, n int) {
	t.Helper()
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() {
			id := rotation.ZoneID(fmt.Sprintf("zone-%d", i))
			if _, err := host.Put(t.Context(), id, delivertest.NewKey(), []rotation.Fingerprint{rotation.Absent}); err != nil {
				t.Errorf("%s: %v", id, err)
			}
		})
	}
	wait.Wait()
}

func TestRefusedCommands(t *testing.T) {
	t.Parallel()
	s := newRig(t)
	s.setUp(func(s *server) { s.refuses = true })
	_, err := s.host(t).Prove(t.Context(), nil)
	failsAt(t, err, rotation.StepAuth, "does not run commands")
}

func TestLoginShells(t *testing.T) {
	t.Parallel()
	s := newRig(t)
	s.cfg.Reload = "exit 9"
	shell := func(text string) {
		file := filepath.Join(t.TempDir(), "shell")
		if err := delivertest.WriteProgram(file, "#!/bin/sh\n"+text+"\n"); err != nil {
			t.Fatal(err)
		}
		s.setUp(func(s *server) { s.shell = []string{file} })
	}
	host := s.host(t)
	for _, stream := range []string{"1", "2"} {
		shell("echo This account is not available. >&" + stream + "; exit 1")
		_, err := host.Put(t.Context(), zone, delivertest.NewKey(), []rotation.Fingerprint{rotation.Absent})
		failsAt(t, err, rotation.StepAuth, "status 1", "This account is not available.", "nothing was changed")
	}
	shell(`echo Welcome; echo "to gw-1" >&2; exec sh "$@"`)
	first := delivertest.NewKey()
	_, err := host.Put(t.Context(), zone, first, []rotation.Fingerprint{rotation.Absent})
	failsAt(t, err, rotation.StepReload, "status 9, saying nothing")
	prove(t, host)

	// The login shell was an sh when the host was last asked, and is another one
	// by now.
	s.setUp(func(s *server) { s.shell = []string{"sh"} })
	prove(t, host)
	shell(`case $2 in "sh -c "*) exec sh "$@" ;; *) exit 2 ;; esac`)
	_, err = host.Put(t.Context(), zone, delivertest.NewKey(), []rotation.Fingerprint{rotation.FingerprintOf(zone, first)})
	failsAt(t, err, rotation.StepReload, "status 9, saying nothing")
}

// A Put takes one round trip, on a session that was opened beforehand. The
// round trip that opens the next session at the same time may be counted too.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	s := newRig(t)
	p := newProxy(t, s.addr)
	s.cfg.Address = p.addr
	host := s.host(t)
	prove(t, host)
	held := rotation.Absent
	least := 99
	for range 5 {
		key := delivertest.NewKey()
		before := p.roundTrips()
		put(t, host, key, held)
		n := p.roundTrips() - before
		if n > 3 {
			t.Errorf("a Put took %d round trips, want at most 3", n)
		}
		least = min(least, n)
		held = rotation.FingerprintOf(zone, key)
	}
	if least != 1 {
		t.Errorf("no Put took fewer than %d round trips, want 1", least)
	}
}

// If the host has closed a session that was opened beforehand, or its
// connection has broken, a new one is made and nothing else happens.
func TestSessionClosedBeforehand(t *testing.T) {
	t.Parallel()
	s := newRig(t)
	host := s.host(t)
	prove(t, host)
	held := rotation.Absent
	for range 3 {
		s.dropAll()
		key := delivertest.NewKey()
		put(t, host, key, held)
		held = rotation.FingerprintOf(zone, key)
	}
	if connections, _ := s.counts(); connections != 4 {
		t.Fatalf("%d connections, want one more for each that broke", connections)
	}
}

// A host's process list and environment can show only what we send outside of
// standard input.
func TestKeyOnlyOnStdin(t *testing.T) {
	t.Parallel()
	s := newRig(t)
	host, key := s.host(t), delivertest.NewKey()
	put(t, host, key, rotation.Absent)
	sent := strings.Join(s.sent(), "\n")
	if !strings.Contains(sent, "sha256sum") {
		t.Fatal("the commands were not recorded")
	}
	if strings.Contains(sent, key.Expose()) {
		t.Fatal("the key was sent in a command or an environment variable")
	}
}

func TestConcurrentFirstCallsShareOneDial(t *testing.T) {
	t.Parallel()
	d := startSSHD(t)
	p := newProxy(t, d.cfg.Address)
	d.cfg.Address, d.cfg.Path = p.addr, t.TempDir()+"/{zone}.key"
	putMany(t, newHost(t, d.cfg, d.options), 24)
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.open) != 1 {
		t.Fatalf("%d connections, want 1", len(p.open))
	}
}

func BenchmarkPut(b *testing.B)   { benchmark(b, 1) }
func BenchmarkProve(b *testing.B) { benchmark(b, 500) }

// benchmark times one Put, or the Prove of many zones, against a real sshd.
func benchmark(b *testing.B, zones int) {
	d := startSSHD(b)
	dir := b.TempDir()
	d.cfg.Path = dir + "/{zone}.key"
	host := newHost(b, d.cfg, d.options)
	var ids []rotation.ZoneID
	for i := range zones {
		id := rotation.ZoneID(fmt.Sprintf("zone-%d", i))
		ids = append(ids, id)
		if err := os.WriteFile(filepath.Join(dir, string(id)+".key"), []byte("old\n"), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	shown, err := host.Prove(b.Context(), ids)
	if err != nil {
		b.Fatal(err)
	}
	now := shown.Held[ids[0]]
	for b.Loop() {
		if zones > 1 {
			_, err = host.Prove(b.Context(), ids)
		} else {
			now, err = host.Put(b.Context(), ids[0], delivertest.NewKey(), []rotation.Fingerprint{now})
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
