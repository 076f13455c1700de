package ssh_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"keywave/internal/deliver/ssh"
	"keywave/internal/proving/delivertest"
	"keywave/internal/rotation"
)

// chain is a host behind bastions, each of them a real sshd.
type chain struct {
	*sshd
	bastions []*sshd
}

// newChain starts a host, and one bastion for each of the settings. The first
// bastion is dialled from here.
func newChain(t *testing.T, bastions ...[]string) *chain {
	t.Helper()
	c := &chain{sshd: startSSHD(t)}
	c.cfg.Name, c.cfg.Path = "gw-1", t.TempDir()+"/{zone}.key"
	for i, settings := range bastions {
		b := startSSHD(t, settings...)
		c.bastions = append(c.bastions, b)
		c.cfg.Jump = append(c.cfg.Jump, ssh.Hop{Name: fmt.Sprintf("jump-%d", i+1), Address: b.cfg.Address, HostKey: b.cfg.HostKey, User: b.cfg.User})
		c.options.Keys = append(c.options.Keys, b.options.Keys...)
	}
	return c
}

func (c *chain) host(t *testing.T) *ssh.Host { return newHost(t, c.cfg, c.options) }

// lost fails unless err is a failure of the n-th bastion and has the words
// says.
func (c *chain) lost(t *testing.T, err error, n int, step rotation.HostStep, says ...string) {
	t.Helper()
	b := c.cfg.Jump[n-1]
	failsAt(t, err, step, append(says, fmt.Sprintf("bastion %s (%s): ", b.Name, b.Address), "; hosts behind it cannot be reached")...)
	if failure, _ := errors.AsType[*rotation.HostError](err); failure.Bastion != b.Name || strings.Contains(failure.Why, "gw-1") {
		t.Errorf("it is told as a failure of %q: %s", failure.Bastion, failure.Why)
	}
}

// cut ends the connections of a server that are open now; the server goes on.
func (s *sshd) cut(t *testing.T) {
	t.Helper()
	killed := 0
	for _, pid := range below(s.process.Pid) {
		if syscall.Kill(pid, syscall.SIGKILL) == nil {
			killed++
		}
	}
	if killed == 0 {
		t.Fatal("the server has no connection that could be cut")
	}
}

// below are the processes that descend from pid.
func below(pid int) []int {
	var all []int
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		_, after, _ := strings.Cut(string(text), ") ")
		if fields := strings.Fields(after); fields[1] == strconv.Itoa(pid) {
			child, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			all = append(append(all, child), below(child)...)
		}
	}
	return all
}

// forward serves a channel to another address, as a bastion does that allows so
// many on one connection.
func forward(c xssh.NewChannel, now *atomic.Int32, most int) {
	var to struct {
		Host   string
		Port   uint32
		From   string
		Origin uint32
	}
	if most != 0 && int(now.Load()) >= most {
		_ = c.Reject(xssh.ResourceShortage, "too many channels")
		return
	}
	if err := xssh.Unmarshal(c.ExtraData(), &to); err != nil {
		_ = c.Reject(xssh.ConnectionFailed, err.Error())
		return
	}
	target, err := net.Dial("tcp", net.JoinHostPort(to.Host, fmt.Sprint(to.Port)))
	if err != nil {
		_ = c.Reject(xssh.ConnectionFailed, err.Error())
		return
	}
	channel, requests, err := c.Accept()
	if err != nil {
		_ = target.Close()
		return
	}
	now.Add(1)
	go xssh.DiscardRequests(requests)
	go func() { _, _ = io.Copy(target, channel); _ = target.Close() }()
	go func() { _, _ = io.Copy(channel, target); _ = channel.Close(); now.Add(-1) }()
}

func TestContractThroughBastions(t *testing.T) {
	c := newChain(t, nil, nil)
	start := func(t *testing.T, cfg delivertest.Config) rotation.Host {
		return (&rig{cfg: c.cfg, options: c.options}).contractHost(t, cfg)
	}
	delivertest.Run(t, start)
	delivertest.RunShared(t, start)
}

// fleetOf makes n hosts that share a way. They are one machine, with a
// directory for each host.
func (c *chain) fleetOf(t *testing.T, n int) []*ssh.Host {
	t.Helper()
	shared, err := ssh.NewShared(c.options)
	if err != nil {
		t.Fatal(err)
	}
	hosts := make([]*ssh.Host, n)
	for i := range hosts {
		cfg := c.cfg
		cfg.Name, cfg.Path = rotation.HostName(fmt.Sprintf("gw-%d", i+1)), t.TempDir()+"/{zone}.key"
		if hosts[i], err = ssh.New(cfg, shared); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = hosts[i].Close() })
	}
	return hosts
}

// atOnce proves all hosts at once, and then puts a key on each.
func atOnce(t *testing.T, hosts []*ssh.Host) {
	t.Helper()
	for _, do := range []func(*ssh.Host) error{
		func(h *ssh.Host) error { _, err := h.Prove(t.Context(), []rotation.ZoneID{zone}); return err },
		func(h *ssh.Host) error {
			_, err := h.Put(t.Context(), zone, delivertest.NewKey(), []rotation.Fingerprint{rotation.Absent})
			return err
		},
	} {
		var wait sync.WaitGroup
		for _, h := range hosts {
			wait.Go(func() {
				if err := do(h); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
	}
}

// Twenty hosts share one connection to each bastion. OpenSSH's MaxSessions does
// not count forwarded channels.
func TestBastionsAreShared(t *testing.T) {
	t.Parallel()
	c := newChain(t, []string{"MaxSessions 2"}, []string{"MaxSessions 2"})
	first, second := newProxy(t, c.cfg.Jump[0].Address), newProxy(t, c.cfg.Jump[1].Address)
	c.cfg.Jump[0].Address, c.cfg.Jump[1].Address = first.addr, second.addr
	atOnce(t, c.fleetOf(t, 20))
	for i, p := range []*proxy{first, second} {
		if n := p.accepted(); n != 1 {
			t.Errorf("bastion %d got %d connections, want 1", i+1, n)
		}
	}
}

// A bastion that counts forwarded channels gets as many connections as twenty hosts
// need.
func TestBastionWithFewChannels(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	b := newServer(t)
	b.setUp(func(s *server) { s.maxForwards = 2 })
	c.cfg.Jump = []ssh.Hop{{Name: "jump-1", Address: b.addr, HostKey: authorizedLine(b.hostKeys[0].PublicKey()), User: "jump"}}
	hosts := c.fleetOf(t, 20)
	atOnce(t, hosts)
	if n, _ := b.counts(); n < 10 || n > 20 {
		t.Errorf("%d connections, want 10 and hardly more", n)
	}
	b.setUp(func(s *server) { s.maxForwards = -1 })
	b.dropAll()
	_, err := hosts[0].Prove(t.Context(), []rotation.ZoneID{zone})
	c.lost(t, err, 1, rotation.StepSession, "takes no channel, even on a new connection", "too many channels", "MaxSessions")
}

// sshd breaks our handshake off while others are at theirs. It is tried again
// until there is room.
func TestBastionWithFewStartups(t *testing.T) {
	t.Parallel()
	c := newChain(t, []string{"MaxStartups 1"})
	p := newProxy(t, c.cfg.Jump[0].Address)
	occupied := atHandshake(t, c.cfg.Jump[0].Address)
	_, err := c.host(t).Prove(t.Context(), []rotation.ZoneID{zone})
	c.lost(t, err, 1, rotation.StepConnect, "took the connection 5 times", "MaxStartups")
	c.cfg.Jump[0].Address = p.addr
	host := c.host(t)
	proved := make(chan error, 1)
	go func() { _, err := host.Prove(t.Context(), []rotation.ZoneID{zone}); proved <- err }()
	for p.accepted() < 2 {
		select {
		case err := <-proved:
			t.Fatalf("it was not tried again: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	_ = occupied.Close()
	if err := <-proved; err != nil {
		t.Errorf("with room again: %v", err)
	}
}

// atHandshake is a connection that sshd keeps and waits for, not one that it
// drops.
func atHandshake(t *testing.T, address string) net.Conn {
	t.Helper()
	for {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		said := make([]byte, 4)
		if _, err := io.ReadFull(conn, said); err == nil && string(said) == "SSH-" {
			return conn
		}
	}
}

// A bastion that is lost between proof and delivery is connected to again, and
// the delivery goes on. This holds for each bastion, and for each way to lose
// it.
func TestBastionIsLost(t *testing.T) {
	t.Parallel()
	c := newChain(t, nil, nil)
	p := newProxy(t, c.cfg.Jump[0].Address)
	c.cfg.Jump[0].Address, c.options.DialTimeout = p.addr, 10*time.Second
	host := c.host(t)
	held := rotation.Absent
	for what, lose := range map[string]func(){
		"the first": func() { c.bastions[0].cut(t) }, "the second": func() { c.bastions[1].cut(t) }, "the first, without a word": p.freeze,
	} {
		prove(t, host)
		lose()
		key := delivertest.NewKey()
		if _, err := host.Put(t.Context(), zone, key, []rotation.Fingerprint{held}); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		held = rotation.FingerprintOf(zone, key)
	}
}

// What is wrong at a bastion is told as the bastion's failure, in words that
// help.
func TestBastionRefuses(t *testing.T) {
	t.Parallel()
	other := authorizedLine(newSigner(t).PublicKey())
	for _, tt := range []struct {
		name     string
		settings []string
		change   func(*chain)
		step     rotation.HostStep
		says     []string // empty: the host is proved
	}{
		{name: "forwarding is off", settings: []string{"AllowTcpForwarding no"}, step: rotation.StepAuth, says: []string{"does not forward to 127.0.0.1:", "administratively prohibited", "see AllowTcpForwarding"}},
		{name: "to others only", settings: []string{"PermitOpen 127.0.0.1:1"}, step: rotation.StepAuth, says: []string{"does not forward", "PermitOpen"}},
		{name: "a command is forced, which is for sessions", settings: []string{"ForceCommand /bin/false"}},
		{name: "another key", change: func(c *chain) { c.cfg.Jump[1].HostKey = other }, step: rotation.StepIdentity, says: []string{"expected host key SHA256:", "nothing was sent", "compare with"}},
		{name: "an unknown key", change: func(c *chain) { c.cfg.Jump[1].HostKey, c.options.KnownHosts = "", []string{os.DevNull} }, step: rotation.StepIdentity, says: []string{"in no known_hosts file"}},
		{name: "not let in", settings: []string{"AllowUsers nobody"}, step: rotation.StepAuth, says: []string{"is not let in with any of our keys"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newChain(t, nil, tt.settings)
			if tt.change != nil {
				tt.change(c)
			}
			_, err := c.host(t).Prove(t.Context(), []rotation.ZoneID{zone})
			if len(tt.says) > 0 {
				c.lost(t, err, 2, tt.step, tt.says...)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

// A machine that a bastion does not reach is told as that machine's failure,
// with the bastion's name.
func TestNotReachedFromBastion(t *testing.T) {
	t.Parallel()
	c := newChain(t, nil, nil)
	c.cfg.Address = freeAddress(t)
	_, err := c.host(t).Prove(t.Context(), []rotation.ZoneID{zone})
	failsAt(t, err, rotation.StepConnect, "gw-1 ("+c.cfg.Address+"): cannot be reached from bastion jump-2 (", "Connection refused")
	if failure, _ := errors.AsType[*rotation.HostError](err); failure.Bastion != "" {
		t.Errorf("it is told as a failure of bastion %s", failure.Bastion)
	}
	c.cfg.Jump[1].Address = freeAddress(t)
	_, err = c.host(t).Prove(t.Context(), []rotation.ZoneID{zone})
	c.lost(t, err, 2, rotation.StepConnect, "cannot be reached from bastion jump-1 (", "Connection refused")
	c.cfg.Jump[0].Address = freeAddress(t)
	_, err = c.host(t).Prove(t.Context(), []rotation.ZoneID{zone})
	c.lost(t, err, 1, rotation.StepConnect, "cannot be reached: connection refused")
}

// A bastion that takes certificates: it is told when one has ended. A renewed
// one is used, although earlier connections are still open.
func TestCertificateAtBastion(t *testing.T) {
	t.Parallel()
	authority := newSigner(t)
	trusted := filepath.Join(open(t, t.TempDir()), "ca.pub")
	if err := os.WriteFile(trusted, xssh.MarshalAuthorizedKey(authority.PublicKey()), 0o644); err != nil {
		t.Fatal(err)
	}
	c := newChain(t, []string{"TrustedUserCAKeys " + trusted, "AuthorizedKeysFile none"})
	identity := c.options.Keys[0] // the host's
	text, err := os.ReadFile(identity)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := xssh.ParsePrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	var extensions map[string]string
	renew := func(life time.Duration) {
		t.Helper()
		certificate := &xssh.Certificate{
			Key: signer.PublicKey(), CertType: xssh.UserCert, ValidPrincipals: []string{c.cfg.User},
			Permissions: xssh.Permissions{Extensions: extensions},
			ValidAfter:  uint64(time.Now().Add(-time.Hour).Unix()), ValidBefore: uint64(time.Now().Add(life).Unix()),
		}
		file := identity + "-cert.pub"
		if err := errors.Join(certificate.SignCert(rand.Reader, authority), os.WriteFile(file+".new", xssh.MarshalAuthorizedKey(certificate), 0o600), os.Rename(file+".new", file)); err != nil {
			t.Fatal(err)
		}
	}
	renew(time.Hour)
	_, err = c.host(t).Prove(t.Context(), []rotation.ZoneID{zone})
	c.lost(t, err, 1, rotation.StepAuth, "the certificate that we log in with lacks permit-port-forwarding")
	extensions = map[string]string{"permit-port-forwarding": ""}

	renew(-time.Minute)
	_, err = c.host(t).Prove(t.Context(), []rotation.ZoneID{zone})
	c.lost(t, err, 1, rotation.StepAuth, "the certificate SHA256:", "ended at", "renew it")

	renew(50 * time.Second)
	p := newProxy(t, c.cfg.Jump[0].Address)
	c.cfg.Jump[0].Address = p.addr
	host := c.host(t)
	shown, err := host.Prove(t.Context(), []rotation.ZoneID{zone})
	if notes := strings.Join(shown.Notes, "\n"); err != nil || !strings.Contains(notes, "bastion jump-1 (") || !strings.Contains(notes, "the certificate that we log in with ends at") {
		t.Fatalf("got %q, %v, want a note that the certificate for the bastion ends", notes, err)
	}
	renew(time.Hour)
	if shown, err := host.Prove(t.Context(), []rotation.ZoneID{zone}); err != nil || len(shown.Notes) > 0 || p.accepted() != 2 {
		t.Errorf("with a new certificate: %q, %v after %d connections, want a second one", shown.Notes, err, p.accepted())
	}
}

// Bastions add no round trip to a delivery over warm connections.
func TestRoundTripsThroughBastions(t *testing.T) {
	t.Parallel()
	c := newChain(t, nil, nil)
	jump := c.cfg.Jump
	direct, through := newProxy(t, c.cfg.Address), newProxy(t, jump[0].Address)
	jump[0].Address = through.addr
	least := func(p *proxy) int {
		host := c.host(t)
		prove(t, host)
		held, n := c.heldNow(t, host), 99
		for range 7 {
			key := delivertest.NewKey()
			before := p.roundTrips()
			put(t, host, key, held)
			n = min(n, p.roundTrips()-before)
			held = rotation.FingerprintOf(zone, key)
		}
		return n
	}
	far := least(through)
	c.cfg.Jump, c.cfg.Address = nil, direct.addr
	if near := least(direct); far > near {
		t.Errorf("a Put takes %d round trips through bastions, and %d without", far, near)
	}
}

func (c *chain) heldNow(t *testing.T, host *ssh.Host) rotation.Fingerprint {
	t.Helper()
	shown, err := host.Held(t.Context(), []rotation.ZoneID{zone})
	if err != nil {
		t.Fatal(err)
	}
	return shown.Held[zone]
}

// A bastion's connection is closed when nobody has gone through it for a while.
func TestIdleBastionIsClosed(t *testing.T) {
	t.Parallel()
	c := newChain(t, nil)
	p := newProxy(t, c.cfg.Jump[0].Address)
	c.cfg.Jump[0].Address, c.options.KeepAlive, c.options.IdleTimeout = p.addr, 3*time.Second, 100*time.Millisecond
	host := c.host(t)
	prove(t, host)
	select {
	case <-p.clientEnded:
	case <-time.After(time.Minute):
		t.Fatal("the connection to a bastion through which nobody goes was kept")
	}
	prove(t, host)
}

// silentWay is a host behind a bastion, both of which answer at once.
func silentWay(t *testing.T) (*rig, *proxy) {
	t.Helper()
	s, b := newRig(t), newServer(t)
	p := newProxy(t, b.addr)
	s.cfg.Jump = []ssh.Hop{{Name: "jump-1", Address: p.addr, HostKey: authorizedLine(b.hostKeys[0].PublicKey()), User: "jump"}}
	return s, p
}

// mute takes connections and says nothing on them.
func mute(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener.Addr().String()
}

// A machine that takes the connection and says nothing costs one DialTimeout, wherever
// it is on the way; how long a login may take does not matter.
func TestSilentMachine(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		silence func(*rig, string)
		says    string
		bastion string
	}{
		"a host":                  {func(s *rig, mute string) { s.cfg.Jump, s.cfg.Address = nil, mute }, "gw-1 (", ""},
		"a bastion":               {func(s *rig, mute string) { s.cfg.Jump[0].Address = mute }, "bastion jump-1 (", "jump-1"},
		"a host behind a bastion": {func(s *rig, mute string) { s.cfg.Address = mute }, "gw-1 (", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := silentWay(t)
			s.cfg.Name, s.options.DialTimeout, s.options.LoginTimeout = "gw-1", 10*time.Second, time.Hour
			c.silence(s, mute(t))
			_, err := s.host(t).Prove(t.Context(), []rotation.ZoneID{zone})
			failsAt(t, err, rotation.StepConnect, c.says, "took the connection and said nothing within 10s")
			if failure, _ := errors.AsType[*rotation.HostError](err); failure.Bastion != c.bastion {
				t.Errorf("it is told as a failure of bastion %q", failure.Bastion)
			}
		})
	}
}

// A way that has gone silent under a warm connection costs one DialTimeout: that the
// bastion does not answer either is found meanwhile.
func TestWarmWayThatDiedSilently(t *testing.T) {
	t.Parallel()
	s, p := silentWay(t)
	s.options.DialTimeout = 12 * time.Second
	host := s.host(t)
	prove(t, host)
	p.freeze()
	began := time.Now()
	put(t, host, delivertest.NewKey(), rotation.Absent)
	if took := time.Since(began); took >= 2*s.options.DialTimeout {
		t.Errorf("it took %s, want hardly more than %s", took, s.options.DialTimeout)
	}
	if n := p.accepted(); n != 2 {
		t.Errorf("the bastion got %d connections, want a second one", n)
	}
}
