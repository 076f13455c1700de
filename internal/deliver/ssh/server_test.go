package ssh_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"keywave/internal/deliver"
	"keywave/internal/deliver/ssh"
	"keywave/internal/proving/delivertest"
	"keywave/internal/rotation"
)

// server is a small sshd on loopback that runs commands on this machine. Its
// faults are set before the connection that they are meant for.
type server struct {
	addr     string
	hostKeys []xssh.Signer

	mu sync.Mutex
	// shell is the login shell, run as "shell -c command".
	shell []string
	path  string
	// authorized decides who may log in.
	authorized func(xssh.PublicKey) bool
	// cutAfter drops the connection after so many bytes of input. -1 means never.
	cutAfter int
	// hangs accepts commands and runs none.
	hangs bool
	// refuses accepts no commands.
	refuses bool
	// maxSessions refuses more channels on one connection. 0 means no limit.
	maxSessions int
	// maxForwards refuses more forwarded channels on one connection. 0 means no
	// limit, -1 refuses all.
	maxForwards int
	// onExec is called for each command before it runs.
	onExec func()

	commands    []string
	environment []string
	connections int
	active      int
	mostActive  int
	conns       map[net.Conn]bool

	// ended is signalled when active falls.
	ended  *sync.Cond
	groups map[int]bool
}

// quiet waits until no command runs.
func (s *server) quiet() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.active > 0 {
		s.ended.Wait()
	}
}

// counts returns how many connections there were, and how many commands ran at
// the same time at most.
func (s *server) counts() (connections, mostActive int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.connections, s.mostActive
}

// sent is everything that came in other ways than by standard input.
func (s *server) sent() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Concat(s.commands, s.environment)
}

// setUp changes a server that is already listening.
func (s *server) setUp(change func(*server)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func newServer(t testing.TB, hostKeys ...xssh.Signer) *server {
	t.Helper()
	if len(hostKeys) == 0 {
		hostKeys = []xssh.Signer{newSigner(t)}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{
		addr: listener.Addr().String(), hostKeys: hostKeys, cutAfter: -1,
		shell: []string{"sh"}, path: os.Getenv("PATH"), conns: map[net.Conn]bool{}, groups: map[int]bool{},
		authorized: func(xssh.PublicKey) bool { return true },
	}
	s.ended = sync.NewCond(&s.mu)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		s.dropAll()
		s.killAll()
		serving.Wait()
	})
	return s
}

func newSigner(t testing.TB) xssh.Signer {
	t.Helper()
	signer, _ := newIdentity(t)
	return signer
}

// newIdentity is a key pair and a file that holds it.
func newIdentity(t testing.TB) (xssh.Signer, string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := xssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block, err := xssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "id")
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return signer, file
}

func authorizedLine(key xssh.PublicKey) string {
	return strings.TrimSpace(string(xssh.MarshalAuthorizedKey(key)))
}

func (s *server) dropAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.conns {
		_ = conn.Close()
	}
}

// killAll ends what the test makes hang.
func (s *server) killAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for group := range s.groups {
		_ = syscall.Kill(-group, syscall.SIGKILL)
	}
}

func (s *server) serve(tcp net.Conn) {
	s.mu.Lock()
	s.connections++
	s.conns[tcp] = true
	config := &xssh.ServerConfig{PublicKeyCallback: func(_ xssh.ConnMetadata, key xssh.PublicKey) (*xssh.Permissions, error) {
		if s.authorized(key) {
			return nil, nil
		}
		return nil, errors.New("not authorized")
	}}
	for _, key := range s.hostKeys {
		config.AddHostKey(key)
	}
	maxSessions := s.maxSessions
	s.mu.Unlock()
	defer func() {
		_ = tcp.Close()
		s.mu.Lock()
		delete(s.conns, tcp)
		s.mu.Unlock()
	}()
	conn, channels, requests, err := xssh.NewServerConn(tcp, config)
	if err != nil {
		return
	}
	defer conn.Close()
	go xssh.DiscardRequests(requests)
	var sessions sync.WaitGroup
	open := make(chan struct{}, 1<<10)
	var forwarded atomic.Int32
	for c := range channels {
		if c.ChannelType() == "direct-tcpip" {
			s.mu.Lock()
			most := s.maxForwards
			s.mu.Unlock()
			forward(c, &forwarded, most)
			continue
		}
		if maxSessions > 0 && len(open) >= maxSessions {
			_ = c.Reject(xssh.ConnectionFailed, "open failed")
			continue
		}
		open <- struct{}{}
		channel, requests, err := c.Accept()
		if err != nil {
			return
		}
		sessions.Go(func() {
			s.session(tcp, channel, requests)
			<-open
		})
	}
	sessions.Wait()
}

func (s *server) session(tcp net.Conn, channel xssh.Channel, requests <-chan *xssh.Request) {
	defer channel.Close()
	for r := range requests {
		s.mu.Lock()
		hangs, refuses := s.hangs, s.refuses
		s.mu.Unlock()
		switch {
		case r.Type == "env":
			s.mu.Lock()
			s.environment = append(s.environment, string(r.Payload))
			s.mu.Unlock()
		case r.Type != "exec" || refuses:
			_ = r.Reply(false, nil)
		default:
			_ = r.Reply(true, nil)
			var command struct{ Line string }
			if xssh.Unmarshal(r.Payload, &command) != nil {
				return
			}
			if hangs {
				continue
			}
			closed := make(chan struct{})
			go func() {
				xssh.DiscardRequests(requests)
				close(closed)
			}()
			s.exec(tcp, channel, command.Line, closed)
			return
		}
	}
}

func (s *server) exec(tcp net.Conn, channel xssh.Channel, line string, closed <-chan struct{}) {
	s.mu.Lock()
	s.commands = append(s.commands, line)
	s.active++
	s.mostActive = max(s.mostActive, s.active)
	shell, cutAfter, onExec := append(slices.Clone(s.shell), "-c", line), s.cutAfter, s.onExec
	path := s.path
	s.mu.Unlock()
	var once sync.Once
	over := func() {
		once.Do(func() { s.setUp(func(s *server) { s.active--; s.ended.Broadcast() }) })
	}
	defer over()
	if onExec != nil {
		onExec()
	}

	cmd := exec.Command(shell[0], shell[1:]...)
	cmd.Env = []string{"PATH=" + path, "HOME=/", "SHELL=" + shell[0]}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return
	}
	stdout, stdoutChild, err := os.Pipe()
	if err != nil {
		return
	}
	stderr, stderrChild, err := os.Pipe()
	if err != nil {
		return
	}
	cmd.Stdout, cmd.Stderr = stdoutChild, stderrChild
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = cmd.Start()
	_, _ = stdoutChild.Close(), stderrChild.Close()
	if err != nil {
		return
	}
	s.setUp(func(s *server) { s.groups[cmd.Process.Pid] = true })
	defer s.setUp(func(s *server) { delete(s.groups, cmd.Process.Pid) })
	go func() {
		defer stdin.Close()
		if cutAfter < 0 {
			_, _ = io.Copy(stdin, channel)
			return
		}
		_, _ = io.CopyN(stdin, channel, int64(cutAfter))
		_ = tcp.Close()
	}()
	var copied sync.WaitGroup
	copied.Go(func() { _, _ = io.Copy(channel, stdout); _ = stdout.Close() })
	copied.Go(func() { _, _ = io.Copy(channel.Stderr(), stderr); _ = stderr.Close() })
	// As in sshd, a command whose client is gone writes to a closed pipe.
	go func() { <-closed; _, _ = stdout.Close(), stderr.Close() }()
	_ = cmd.Wait()
	over()
	_, _ = channel.SendRequest("exit-status", false, xssh.Marshal(struct{ Status uint32 }{uint32(cmd.ProcessState.ExitCode())}))
	// As with sshd, a daemon that holds the output keeps the channel open
	// until the client closes it.
	written := make(chan struct{})
	go func() { copied.Wait(); close(written) }()
	select {
	case <-written:
	case <-closed:
	}
}

// proxy stands between a host and its server: it counts, freezes and watches.
type proxy struct {
	addr string

	mu          sync.Mutex
	taken       int
	flips       int
	fromClient  bool
	frozen      map[net.Conn]bool
	open        map[net.Conn]bool
	clientEnded chan struct{}
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: listener.Addr().String(), open: map[net.Conn]bool{}, frozen: map[net.Conn]bool{}, clientEnded: make(chan struct{}, 100)}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { p.serve(client, target) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		p.mu.Lock()
		for conn := range p.open {
			_ = conn.Close()
		}
		p.mu.Unlock()
		serving.Wait()
	})
	return p
}

func (p *proxy) serve(client net.Conn, target string) {
	upstream, err := net.Dial("tcp", target)
	if err != nil {
		_ = client.Close()
		return
	}
	p.mu.Lock()
	p.open[client] = true
	p.taken++
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() {
		p.copy(upstream, client, client, true)
		_ = upstream.Close()
		p.clientEnded <- struct{}{}
	})
	both.Go(func() { p.copy(client, upstream, client, false); _ = client.Close() })
	both.Wait()
	p.mu.Lock()
	delete(p.open, client)
	p.mu.Unlock()
}

func (p *proxy) copy(to io.Writer, from io.Reader, client net.Conn, fromClient bool) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		p.mu.Lock()
		if p.fromClient != fromClient {
			p.fromClient = fromClient
			p.flips++
		}
		frozen := p.frozen[client]
		p.mu.Unlock()
		if frozen {
			continue
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// freeze makes the connections that are open now read everything and answer
// nothing.
func (p *proxy) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.open {
		p.frozen[conn] = true
	}
}

// reset counts round trips from now on.
func (p *proxy) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flips, p.fromClient = 0, false
}

// drop closes all connections.
func (p *proxy) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.open {
		_ = conn.Close()
	}
}

// accepted is how many connections there were.
func (p *proxy) accepted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.taken
}

// roundTrips is how often an answer came after something had been sent.
func (p *proxy) roundTrips() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.flips / 2
}

// rig is what the tests of this file share: a server, a key that logs in to it,
// and a directory for zones' keys.
type rig struct {
	*server
	identity string
	dir      string
	cfg      ssh.Config
	options  ssh.Options
}

const zone = rotation.ZoneID("zone-27q0p0bal192")

func newRig(t *testing.T) *rig {
	t.Helper()
	server := newServer(t)
	_, identity := newIdentity(t)
	dir := t.TempDir()
	return &rig{
		server: server, identity: identity, dir: dir,
		cfg: ssh.Config{
			Name: "gw-1", Address: server.addr, HostKey: authorizedLine(server.hostKeys[0].PublicKey()),
			User: "edge", Settings: deliver.Settings{Path: dir + "/{zone}.key"},
		},
		options: ssh.Options{Keys: []string{identity}, Agent: "none"},
	}
}

func (s *rig) host(t *testing.T) *ssh.Host {
	t.Helper()
	return newHost(t, s.cfg, s.options)
}

func newHost(t testing.TB, cfg ssh.Config, options ssh.Options) *ssh.Host {
	t.Helper()
	shared, err := ssh.NewShared(options)
	if err != nil {
		t.Fatal(err)
	}
	host, err := ssh.New(cfg, shared)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = host.Close() })
	return host
}

func (s *rig) file() string { return filepath.Join(s.dir, string(zone)+".key") }

// untouched waits until all commands have ended, and fails unless the directory
// is empty.
func (s *rig) untouched(t *testing.T) {
	t.Helper()
	s.quiet()
	entries, err := os.ReadDir(s.dir)
	if err != nil || len(entries) > 0 {
		t.Fatalf("the directory holds %v, %v", entries, err)
	}
}

func put(t *testing.T, host rotation.Host, key rotation.Secret, expect ...rotation.Fingerprint) {
	t.Helper()
	if _, err := host.Put(t.Context(), zone, key, expect); err != nil {
		t.Fatalf("Put: %v", err)
	}
}

func prove(t *testing.T, host rotation.Host) {
	t.Helper()
	if _, err := host.Prove(t.Context(), []rotation.ZoneID{zone}); err != nil {
		t.Fatalf("Prove: %v", err)
	}
}

func failsAt(t *testing.T, err error, step rotation.HostStep, says ...string) {
	t.Helper()
	var failure *rotation.HostError
	if !errors.As(err, &failure) || failure.Step != step {
		t.Fatalf("got %v, want a failure at %s", err, step)
	}
	for _, want := range says {
		if !strings.Contains(failure.Why, want) {
			t.Errorf("%q does not say %q", failure.Why, want)
		}
	}
}

func TestContract(t *testing.T) {
	for _, kind := range []struct {
		name string
		path func(*testing.T) string
		// files says that what is made of files is tried too: once with each shell, and
		// with dash, which is Debian's sh, by sshd.
		files bool
	}{
		{"dash", func(t *testing.T) string { return shellFirst(t, "dash") }, false},
		{"bash", func(t *testing.T) string { return shellFirst(t, "bash") }, true},
		{"nothing but busybox", onlyBusybox, true},
	} {
		t.Run(kind.name, func(t *testing.T) {
			path := kind.path(t)
			var machines sync.Map // one for each test: its workers deliver to the same machine
			start := func(t *testing.T, cfg delivertest.Config) rotation.Host {
				known, there := machines.Load(t.Name())
				if !there {
					known, _ = machines.LoadOrStore(t.Name(), newRig(t))
				}
				s := known.(*rig)
				s.setUp(func(s *server) {
					s.path = path
					s.shell = []string{lookIn(t, path, "sh")}
				})
				return (&rig{cfg: s.cfg, options: s.options}).contractHost(t, cfg)
			}
			delivertest.Run(t, start)
			delivertest.RunShared(t, start)
			if kind.files {
				delivertest.RunFiles(t, start)
				delivertest.RunStaged(t, start)
			}
		})
	}
	t.Run("each put begins before its key", func(t *testing.T) {
		d := startSSHD(t)
		start := func(t *testing.T, cfg delivertest.Config) rotation.Host {
			return begins{(&rig{cfg: d.cfg, options: d.options}).contractHost(t, cfg).(*ssh.Host)}
		}
		delivertest.Run(t, start)
		delivertest.RunShared(t, start)
	})
	t.Run("OpenSSH sshd", func(t *testing.T) {
		d := startSSHD(t)
		start := func(t *testing.T, cfg delivertest.Config) rotation.Host {
			return (&rig{cfg: d.cfg, options: d.options}).contractHost(t, cfg)
		}
		delivertest.Run(t, start)
		delivertest.RunShared(t, start)
		delivertest.RunFiles(t, start)
		delivertest.RunStaged(t, start)
	})
}

func (s *rig) contractHost(t *testing.T, cfg delivertest.Config) rotation.Host {
	s.cfg.Name, s.cfg.Settings = cfg.Name, cfg.Settings
	s.options.DialTimeout, s.options.LoginTimeout = 30*time.Second, time.Minute // so that a busy machine is not taken for a dead one
	s.options.CommandTimeout, s.options.ReloadLife = cfg.CommandTimeout, cfg.ReloadLife
	return s.host(t)
}

func lookIn(t *testing.T, path, name string) string {
	for _, dir := range filepath.SplitList(path) {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return filepath.Join(dir, name)
		}
	}
	t.Fatalf("no %s in %s", name, path)
	return ""
}

// shellFirst is a PATH whose sh is the shell called name.
func shellFirst(t *testing.T, name string) string {
	shell, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	dir := t.TempDir()
	if err := os.Symlink(shell, filepath.Join(dir, "sh")); err != nil {
		t.Fatal(err)
	}
	return dir + string(os.PathListSeparator) + os.Getenv("PATH")
}

// onlyBusybox is a PATH of busybox applets and nothing else.
func onlyBusybox(t *testing.T) string {
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("busybox is not installed")
	}
	dir := t.TempDir()
	if out, err := exec.Command(busybox, "--install", "-s", dir).CombinedOutput(); err != nil {
		t.Skipf("busybox does not install its applets: %s", out)
	}
	return dir
}

// sshd is a real OpenSSH server on a loopback port of its own.
type sshd struct {
	cfg     ssh.Config
	options ssh.Options
	process *os.Process
}

func startSSHD(t testing.TB, settings ...string) *sshd {
	t.Helper()
	binary, err := exec.LookPath("sshd")
	if err != nil {
		binary = "/usr/sbin/sshd"
	}
	if _, err := os.Stat(binary); err != nil {
		t.Skip("OpenSSH's sshd is not installed; install openssh-server to run this test")
	}
	if os.Geteuid() == 0 {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	hostKey, hostKeyFile := newIdentity(t)
	identity, identityFile := newIdentity(t)
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // whoever logs in reads it
		t.Fatal(err)
	}
	authorizedKeys := filepath.Join(dir, "authorized_keys")
	if err := os.WriteFile(authorizedKeys, xssh.MarshalAuthorizedKey(identity.PublicKey()), 0o644); err != nil {
		t.Fatal(err)
	}
	addr := freeAddress(t)
	_, port, _ := net.SplitHostPort(addr)
	config := filepath.Join(dir, "sshd_config")
	if !slices.ContainsFunc(settings, func(s string) bool { return strings.HasPrefix(s, "MaxStartups ") }) {
		settings = append(settings, "MaxStartups 1000")
	}
	// sshd uses the first of two equal settings, but not for MaxStartups.
	text := strings.Join(append(settings, ""), "\n") + fmt.Sprintf(`ListenAddress 127.0.0.1
Port %s
HostKey %s
AuthorizedKeysFile %s
StrictModes no
UsePAM no
PidFile none
PermitRootLogin prohibit-password
PasswordAuthentication no
LogLevel ERROR
SetEnv HOME=%s
`, port, hostKeyFile, authorizedKeys, dir) // this machine's own ~/.bashrc may take a second
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd := exec.Command(binary, "-D", "-e", "-f", config)
	cmd.Stderr, cmd.WaitDelay = &log, time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("sshd: %s", log.String())
		}
	})
	for {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			_ = conn.Close()
			break
		}
		select {
		case <-ended:
			t.Fatalf("sshd ended: %s", log.String())
		case <-time.After(10 * time.Millisecond):
		}
	}
	return &sshd{
		cfg:     ssh.Config{Name: "gw-sshd", Address: addr, HostKey: authorizedLine(hostKey.PublicKey()), User: me.Username},
		options: ssh.Options{Keys: []string{identityFile}, Agent: "none"},
		process: cmd.Process,
	}
}

func freeAddress(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}
