package hosts_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"keywave/internal/proving/sim/hosts"
	"keywave/internal/proving/sim/journal"
)

// fixture is a set of hosts, and a client that can log in to them.
type fixture struct {
	*hosts.Hosts
	client ssh.Signer
	log    *journal.Journal
}

func start(t *testing.T, change func(*hosts.Config), names ...string) *fixture {
	t.Helper()
	cfg := hosts.Config{Dir: t.TempDir(), Names: names, Journal: journal.New(1000)}
	client := newSigner(t)
	cfg.ClientKeys = []ssh.PublicKey{newSigner(t).PublicKey(), client.PublicKey()}
	if change != nil {
		change(&cfg)
	}
	hs, err := hosts.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := hs.Close(); err != nil {
			t.Error(err)
		}
	})
	return &fixture{hs, client, cfg.Journal}
}

func newSigner(t *testing.T) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// dial connects as a careful client does: the host key is pinned.
func (f *fixture) dial(name string) (*ssh.Client, error) {
	h := f.Host(name)
	pinned, _, _, _, err := ssh.ParseAuthorizedKey([]byte(h.HostKey()))
	if err != nil {
		return nil, err
	}
	tcp, err := net.DialTimeout("tcp", h.Addr(), time.Minute)
	if err != nil {
		return nil, err
	}
	_ = tcp.SetDeadline(time.Now().Add(time.Minute))
	conn, channels, requests, err := ssh.NewClientConn(tcp, h.Addr(), &ssh.ClientConfig{
		User: "edge", Auth: []ssh.AuthMethod{ssh.PublicKeys(f.client)}, HostKeyCallback: ssh.FixedHostKey(pinned),
	})
	if err != nil {
		_ = tcp.Close()
		return nil, err
	}
	return ssh.NewClient(conn, channels, requests), nil
}

func (f *fixture) mustDial(t *testing.T, name string) *ssh.Client {
	t.Helper()
	client, err := f.dial(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// run returns a command's output, and after it its stderr.
func run(client *ssh.Client, command, input string) (string, error) {
	session, err := client.NewSession()
	if err != nil {
		return "", err
	}
	defer session.Close()
	var out, complaints bytes.Buffer
	session.Stdin, session.Stdout, session.Stderr = strings.NewReader(input), &out, &complaints
	err = session.Run(command)
	return out.String() + complaints.String(), err
}

func status(err error) int {
	var exit *ssh.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitStatus()
	}
	return -1
}

const put = "umask 077 && cat >keys/.new && mv keys/.new keys/zone-a.key"

func (f *fixture) held(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(f.Host(name).KeyFile("zone-a"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(data)
}

func begin(t *testing.T, h *hosts.Host, b hosts.Bad) {
	t.Helper()
	if err := h.Begin(b); err != nil {
		t.Fatal(err)
	}
}

func heal(t *testing.T, h *hosts.Host) {
	t.Helper()
	if err := h.Heal(); err != nil {
		t.Fatal(err)
	}
}

// await waits for the n-th edge of a kind.
func (f *fixture) await(t *testing.T, kind journal.Kind, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for after := uint64(0); n > 0; after++ {
		edges, _ := f.log.Wait(ctx, after, 1)
		if len(edges) == 0 {
			t.Fatalf("%d edges of kind %s are missing", n, kind)
		}
		if edges[0].Edge == kind {
			n--
		}
	}
}

func TestACommandIsReallyRun(t *testing.T) {
	f := start(t, nil, "gw-1")
	client := f.mustDial(t, "gw-1")
	dir := f.Host("gw-1").Dir()
	got, err := run(client, "pwd; echo $HOME; cat; echo oops >&2; exit 7", "from stdin\n")
	if want := dir + "\n" + dir + "\nfrom stdin\noops\n"; got != want || status(err) != 7 {
		t.Errorf("output %q, status %d; want %q and 7", got, status(err), want)
	}
	if _, err := run(client, put, "the key\n"); err != nil || f.held(t, "gw-1") != "the key\n" {
		t.Errorf("the file was not written: %v", err)
	}
	got, _ = run(client, "env | cut -d= -f1 | sort | tr '\\n' ' '", "")
	if strings.Contains(got, "TENCENT") || !strings.HasPrefix(got, "HOME LOGNAME ") {
		t.Errorf("the environment has %s", got)
	}
	_, err = run(client, "kill -TERM $$", "")
	var exit *ssh.ExitError
	if !errors.As(err, &exit) || exit.Signal() != "TERM" {
		t.Errorf("a death by signal is reported as %v", err)
	}
	if s := f.State()["gw-1"]; s.Sessions != 4 || s.Connections != 1 || s.Authenticated != 1 || s.Open != 1 || s.HostKey != f.Host("gw-1").HostKey() {
		t.Errorf("state is %+v", s)
	}
}

// sshd closes a session when its command has ended, even if the client still
// wants to send.
func TestACommandMayEndBeforeItsInput(t *testing.T) {
	f := start(t, nil, "gw-1")
	session, err := f.mustDial(t, "gw-1").NewSession()
	if err != nil {
		t.Fatal(err)
	}
	stdin, err := session.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.Start("head -n 1 >keys/zone-a.key"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(stdin, "the key\n"); err != nil {
		t.Fatal(err)
	}
	if err := session.Wait(); err != nil || f.held(t, "gw-1") != "the key\n" {
		t.Errorf("it ended with %v", err)
	}
}

func TestACommandOutlivesItsConnection(t *testing.T) {
	f := start(t, nil, "gw-1")
	client := f.mustDial(t, "gw-1")
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	stdin, _ := session.StdinPipe()
	if err := session.Start("cat >keys/zone-a.key; echo ended >>keys/zone-a.key"); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(stdin, "half")
	f.await(t, journal.Stdin, 1)
	_ = client.Close()
	f.await(t, journal.Exited, 1)
	if got := f.held(t, "gw-1"); got != "halfended\n" {
		t.Errorf("it wrote %q", got)
	}
}

// sshd reports the status of a command whose daemon still holds the output, and
// leaves the channel open.
func TestADaemonDoesNotHoldBackTheStatus(t *testing.T) {
	f := start(t, nil, "gw-1")
	channel, requests, err := f.mustDial(t, "gw-1").OpenChannel("session", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer channel.Close()
	if ok, err := channel.SendRequest("exec", true, ssh.Marshal(struct{ Command string }{"sleep 30 & echo $!; exit 3"})); !ok || err != nil {
		t.Fatal(ok, err)
	}
	request := <-requests
	if request == nil || request.Type != "exit-status" || !bytes.Equal(request.Payload, []byte{0, 0, 0, 3}) {
		t.Fatalf("got %+v", request)
	}
	line := make([]byte, 20)
	n, err := channel.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	if pid, err := strconv.Atoi(strings.TrimSpace(string(line[:n]))); err != nil || syscall.Kill(pid, syscall.SIGTERM) != nil {
		t.Fatalf("the daemon %q is gone: %v", line[:n], err)
	}
	if n, err := channel.Read(line); n != 0 || err != io.EOF {
		t.Errorf("the daemon's end gave %d bytes and %v", n, err)
	}
}

func TestManySessionsAtOnceButNoMoreThanSshdHas(t *testing.T) {
	f := start(t, nil, "gw-1")
	client := f.mustDial(t, "gw-1")
	var open []*ssh.Session
	for range 10 {
		session, err := client.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := session.StdinPipe(); err != nil {
			t.Fatal(err)
		}
		if err := session.Start("cat"); err != nil {
			t.Fatal(err)
		}
		open = append(open, session)
	}
	var refused *ssh.OpenChannelError
	if _, err := client.NewSession(); !errors.As(err, &refused) {
		t.Errorf("the 11th session gave %v", err)
	}
	if _, _, err := client.SendRequest("keepalive@openssh.com", true, nil); err != nil {
		t.Errorf("keepalive: %v", err)
	}
	// The reply to exec comes before the command runs.
	for deadline := time.Now().Add(time.Minute); f.State()["gw-1"].Running < 10 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	for _, session := range open {
		_ = session.Close()
	}
	f.await(t, journal.Exited, 10)
	if s := f.State()["gw-1"]; s.MaxRunning != 10 || s.Running > 10 {
		t.Errorf("state is %+v", s)
	}
}

func TestOnlyKnownClientsGetIn(t *testing.T) {
	f := start(t, nil, "gw-1")
	f.client = newSigner(t)
	if _, err := f.dial("gw-1"); err == nil || !strings.Contains(err.Error(), "unable to authenticate") {
		t.Errorf("a stranger got %v", err)
	}
}

func TestAHostKeepsItsIdentityAndPort(t *testing.T) {
	dir, port, key := t.TempDir(), 0, ""
	for range 2 {
		hs, err := hosts.Start(hosts.Config{Dir: dir, Names: []string{"gw-1"}, Ports: map[string]int{"gw-1": port}})
		if err != nil {
			t.Fatal(err)
		}
		h := hs.Host("gw-1")
		if port != 0 && (h.Port() != port || h.HostKey() != key) {
			t.Error("it came back as another")
		}
		port, key = h.Port(), h.HostKey()
		if err := hs.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDownRefusesAndCutsAndComesBack(t *testing.T) {
	f := start(t, nil, "gw-1")
	h := f.Host("gw-1")
	client := f.mustDial(t, "gw-1")
	addr := h.Addr()
	begin(t, h, hosts.Bad{Kind: hosts.Down})
	if err := client.Wait(); err == nil {
		t.Error("the connection was not cut")
	}
	if _, err := f.dial("gw-1"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a dial gives %v, want connection refused", err)
	}
	heal(t, h)
	if h.Addr() != addr {
		t.Error("it came back elsewhere")
	}
	if _, err := run(f.mustDial(t, "gw-1"), "true", ""); err != nil {
		t.Errorf("it is not back: %v", err)
	}
}

func TestABadDayEndsByItself(t *testing.T) {
	f := start(t, nil, "gw-1")
	h := f.Host("gw-1")
	began := time.Now()
	begin(t, h, hosts.Bad{Kind: hosts.Down, Seconds: 0.2})
	for {
		if _, err := f.dial("gw-1"); err == nil {
			break
		} else if time.Since(began) > time.Minute {
			t.Fatal(err)
		}
	}
	if time.Since(began) < 200*time.Millisecond {
		t.Error("it was over early")
	}
}

func TestAuthRefusedIsCountedByConnection(t *testing.T) {
	f := start(t, nil, "gw-1")
	begin(t, f.Host("gw-1"), hosts.Bad{Kind: hosts.AuthRefused, Count: 2})
	for range 2 {
		if _, err := f.dial("gw-1"); err == nil || !strings.Contains(err.Error(), "unable to authenticate") {
			t.Errorf("got %v", err)
		}
	}
	f.mustDial(t, "gw-1")
	if n := f.State()["gw-1"].Struck[hosts.AuthRefused]; n != 2 {
		t.Errorf("struck %d times", n)
	}
}

func TestOtherHostKeyIsSeenByTheClient(t *testing.T) {
	f := start(t, nil, "gw-1")
	begin(t, f.Host("gw-1"), hosts.Bad{Kind: hosts.OtherHostKey})
	if _, err := f.dial("gw-1"); err == nil || !strings.Contains(err.Error(), "host key mismatch") {
		t.Errorf("got %v", err)
	}
	heal(t, f.Host("gw-1"))
	f.mustDial(t, "gw-1")
}

func TestHangFreezesAndThaws(t *testing.T) {
	f := start(t, nil, "gw-1")
	h := f.Host("gw-1")
	client := f.mustDial(t, "gw-1")
	begin(t, h, hosts.Bad{Kind: hosts.Hang})
	answered := make(chan error, 1)
	go func() { _, err := run(client, "true", ""); answered <- err }()
	select {
	case err := <-answered:
		t.Fatalf("a frozen host answered: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	heal(t, h)
	if err := <-answered; err != nil {
		t.Errorf("after the thaw: %v", err)
	}
}

func TestACountedHangSwallowsConnections(t *testing.T) {
	f := start(t, nil, "gw-1")
	begin(t, f.Host("gw-1"), hosts.Bad{Kind: hosts.Hang, Count: 1})
	silent, err := net.Dial("tcp", f.Host("gw-1").Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	_ = silent.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	if n, err := silent.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read %d bytes (%v) from a host that hangs", n, err)
	}
	f.mustDial(t, "gw-1")
}

func TestDiskFull(t *testing.T) {
	f := start(t, nil, "gw-1")
	h, client := f.Host("gw-1"), f.mustDial(t, "gw-1")
	if err := h.WriteKey("zone-a", "old"); err != nil {
		t.Fatal(err)
	}
	begin(t, h, hosts.Bad{Kind: hosts.DiskFull})
	if out, err := run(client, put, "new\n"); status(err) <= 0 || f.held(t, "gw-1") != "old\n" {
		t.Errorf("a full disk took it: status %d, %s", status(err), out)
	}
	if out, err := run(client, "cat keys/zone-a.key; cat | tr a-z A-Z", "pipes work"); err != nil || out != "old\nPIPES WORK" {
		t.Errorf("reading and pipes are broken: %q %v", out, err)
	}
	heal(t, h)
	if _, err := run(client, put, "new\n"); err != nil || f.held(t, "gw-1") != "new\n" {
		t.Errorf("it did not heal: %v", err)
	}
}

func TestReadOnlyDirBindsRootToo(t *testing.T) {
	f := start(t, nil, "gw-1")
	h, client := f.Host("gw-1"), f.mustDial(t, "gw-1")
	if err := h.WriteKey("zone-a", "old"); err != nil {
		t.Fatal(err)
	}
	begin(t, h, hosts.Bad{Kind: hosts.ReadOnlyDir})
	if out, err := run(client, put, "new\n"); status(err) <= 0 || !strings.Contains(out, "ermission denied") {
		t.Errorf("a read-only directory took it: status %d, %s", status(err), out)
	}
	if out, err := run(client, "cat keys/zone-a.key", ""); err != nil || out != "old\n" {
		t.Errorf("the old key cannot be read: %q %v", out, err)
	}
	heal(t, h)
	if _, err := run(client, put, "new\n"); err != nil || f.held(t, "gw-1") != "new\n" {
		t.Errorf("it did not heal: %v", err)
	}
	info, err := os.Stat(filepath.Dir(h.KeyFile("zone-a")))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory's mode is %v (%v)", info.Mode(), err)
	}
}

func TestReloadFailsAndIsCounted(t *testing.T) {
	f := start(t, nil, "gw-1")
	h, client := f.Host("gw-1"), f.mustDial(t, "gw-1")
	reload := func() int { _, err := run(client, h.ReloadCommand(), ""); return status(err) }
	begin(t, h, hosts.Bad{Kind: hosts.ReloadFails, Count: 2})
	if got := []int{reload(), reload(), reload()}; !slices.Equal(got, []int{1, 1, 0}) {
		t.Errorf("reloads ended with %v", got)
	}
	if s := h.State(); len(s.Bad) != 0 || s.Struck[hosts.ReloadFails] != 2 {
		t.Errorf("state is %+v", s)
	}
	begin(t, h, hosts.Bad{Kind: hosts.ReloadFails})
	if got := []int{reload(), reload()}; !slices.Equal(got, []int{1, 1}) {
		t.Errorf("reloads ended with %v", got)
	}
	heal(t, h)
	if reload() != 0 || h.Reloads() != 2 {
		t.Errorf("%d reloads were counted, want 2", h.Reloads())
	}
}

func TestDroppedConnections(t *testing.T) {
	for kind, want := range map[hosts.Kind]string{
		hosts.DropAtExec:      "old\n", // the command was not run
		hosts.DropMidTransfer: "",      // the script found an empty input, and this one does not check it
		hosts.DropBeforeAck:   "new\n", // everything was done, but the client was not told
	} {
		t.Run(string(kind), func(t *testing.T) {
			f := start(t, nil, "gw-1")
			h := f.Host("gw-1")
			if err := h.WriteKey("zone-a", "old"); err != nil {
				t.Fatal(err)
			}
			begin(t, h, hosts.Bad{Kind: kind, Nth: 2, Count: 1, Match: "keys/.new"})
			client := f.mustDial(t, "gw-1")
			if _, err := run(client, put, "old\n"); err != nil {
				t.Fatalf("the first was struck: %v", err)
			}
			if _, err := run(client, "true", ""); err != nil {
				t.Fatalf("one that does not match was struck: %v", err)
			}
			out, err := run(client, put+"; echo done", "new\n")
			if status(err) != -1 || out != "" {
				t.Errorf("the client learned %q, %v", out, err)
			}
			if kind != hosts.DropAtExec {
				f.await(t, journal.Exited, 3)
			}
			f.await(t, journal.Cut, 1)
			if got := f.held(t, "gw-1"); got != want {
				t.Errorf("the host holds %q, want %q", got, want)
			}
			if _, err := run(f.mustDial(t, "gw-1"), put, "newer\n"); err != nil || f.held(t, "gw-1") != "newer\n" {
				t.Errorf("the next one: %v", err)
			}
		})
	}
}

func TestLateStartAndLateAckPlaceTheEdges(t *testing.T) {
	f := start(t, nil, "gw-1")
	h, client := f.Host("gw-1"), f.mustDial(t, "gw-1")
	begin(t, h, hosts.Bad{Kind: hosts.LateAck, Count: 1, DelayMs: 300})
	answered := make(chan error, 1)
	go func() { _, err := run(client, put, "new\n"); answered <- err }()
	f.await(t, journal.Exited, 1)
	if f.held(t, "gw-1") != "new\n" {
		t.Error("exited was reported before the file was there")
	}
	select {
	case err := <-answered:
		t.Errorf("it was acknowledged at once: %v", err)
	default:
	}
	if err := <-answered; err != nil {
		t.Error(err)
	}
	edges, _ := f.log.Since(0, 0)
	var kinds []journal.Kind
	for _, e := range edges {
		kinds = append(kinds, e.Edge)
	}
	want := []journal.Kind{journal.Connected, journal.Exec, journal.Stdin, journal.Renamed, journal.Exited, journal.Acknowledged}
	if runtime.GOOS != "linux" {
		want = slices.Delete(want, 3, 4)
	}
	if !slices.Equal(kinds, want) {
		t.Fatalf("edges are %v, want %v", kinds, want)
	}
	exited, acknowledged := edges[len(edges)-2], edges[len(edges)-1]
	if took := acknowledged.MonoUs - exited.MonoUs; took < 300_000 {
		t.Errorf("it was acknowledged %d µs after its end", took)
	}
	if exited.Fault != string(hosts.LateAck) {
		t.Errorf("its end does not name the bad day: %+v", exited)
	}
	begin(t, h, hosts.Bad{Kind: hosts.LateStart, Count: 1, DelayMs: 200})
	began := time.Now()
	if _, err := run(client, "true", ""); err != nil || time.Since(began) < 200*time.Millisecond {
		t.Errorf("it started after %v (%v)", time.Since(began), err)
	}
	more, _ := f.log.Since(acknowledged.Seq, 0)
	if len(more) != 4 || more[1].Edge != journal.Late || more[1].Fault != string(hosts.LateStart) || more[2].Fault != "" {
		t.Errorf("edges of the late start: %+v", more)
	}
}

// Every key file that a command renames into place is reported before the
// command's end, with host and zone, however many there are. Other files are
// not reported. A slow reload keeps the two edges apart.
func TestRenamedIsPlacedBeforeTheEnd(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("renames are seen on Linux only")
	}
	f := start(t, nil, "gw-1", "gw-2")
	client := f.mustDial(t, "gw-2")
	if _, err := run(client, "true", ""); err != nil { // after this it is connected
		t.Fatal(err)
	}
	for range 20 {
		_, before := f.log.Since(0, 0)
		if _, err := run(client, "cd keys; for n in .zone-x.key zone-y zone-a.key zone-b.key; do echo k >.new; mv .new $n; done; echo k >zone-c.key", ""); err != nil {
			t.Fatal(err)
		}
		edges, _ := f.log.Since(before, 0)
		var told []string
		for _, e := range edges {
			told = append(told, strings.TrimSpace(strings.Join([]string{string(e.Edge), e.Host, e.Zone}, " ")))
		}
		want := []string{"exec gw-2", "renamed gw-2 zone-a", "renamed gw-2 zone-b", "exited gw-2", "acknowledged gw-2"}
		if !slices.Equal(told, want) {
			t.Fatalf("edges are %q, want %q", told, want)
		}
	}
	begin(t, f.Host("gw-2"), hosts.Bad{Kind: hosts.LateReload, DelayMs: 60_000})
	_, before := f.log.Since(0, 0)
	ended := make(chan error, 1)
	go func() { _, err := run(client, put+"; "+f.Host("gw-2").ReloadCommand(), "new\n"); ended <- err }()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for after, seen := before, false; !seen; {
		edges, last := f.log.Wait(ctx, after, 0)
		if len(edges) == 0 {
			t.Fatal("no rename was reported while the command runs")
		}
		after, seen = last, edges[len(edges)-1].Edge == journal.Renamed
	}
	select {
	case err := <-ended:
		t.Errorf("the reload was not late (%v)", err)
	default:
	}
}

func TestNetworkDelayDoesNotBreakPipelining(t *testing.T) {
	const rtt = 100 * time.Millisecond
	f := start(t, func(c *hosts.Config) { c.DelayMs = map[string]int{"gw-1": 100} }, "gw-1", "gw-2")
	client := f.mustDial(t, "gw-1")
	keepAlive := func(client *ssh.Client) {
		if _, _, err := client.SendRequest("keepalive@openssh.com", true, nil); err != nil {
			t.Fatal(err)
		}
	}
	if took := quickest(3*rtt, func() { keepAlive(client) }); took < rtt || took > 3*rtt {
		t.Errorf("a round trip took %v, want %v", took, rtt)
	}
	took := quickest(12*rtt, func() {
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				out, err := run(client, "cat", fmt.Sprint(i))
				if err != nil || out != fmt.Sprint(i) {
					t.Errorf("session %d: %q %v", i, out, err)
				}
			})
		}
		all.Wait()
	})
	if took < 2*rtt || took > 12*rtt {
		t.Errorf("eight sessions at once took %v; one takes about %v", took, 3*rtt)
	}
	big := strings.Repeat("0123456789abcdef", 1<<14)
	if out, err := run(client, "cat", big); err != nil || out != big {
		t.Errorf("256 KiB came back as %d bytes, %v", len(out), err)
	}
	if took := quickest(rtt, func() { keepAlive(f.mustDial(t, "gw-2")) }); took > rtt {
		t.Errorf("the near host took %v", took)
	}
}

// quickest is the shortest time of some tries, which end with one that takes no longer
// than enough: a machine that is busy with other work is slow at times.
func quickest(enough time.Duration, try func()) time.Duration {
	best := time.Hour
	for tries := 0; tries < 20 && best > enough; tries++ {
		began := time.Now()
		try()
		best = min(best, time.Since(began))
	}
	return best
}

func TestWrongBadDaysAreRefused(t *testing.T) {
	f := start(t, nil, "gw-1")
	for _, b := range []hosts.Bad{{Kind: "grumpy"}, {Kind: hosts.Down, Count: 1}, {Kind: hosts.Hang, Seconds: -1}, {Kind: hosts.ReloadFails, Nth: 2}, {Kind: hosts.LateReload, Count: 1}} {
		if err := f.Host("gw-1").Begin(b); err == nil || !strings.Contains(err.Error(), "gw-1") {
			t.Errorf("%+v gives %v", b, err)
		}
	}
	for _, names := range [][]string{{"a", "a"}, {""}, {"../a"}, {".."}} {
		if hs, err := hosts.Start(hosts.Config{Dir: t.TempDir(), Names: names}); err == nil {
			_ = hs.Close()
			t.Errorf("names %q were taken", names)
		}
	}
}

func TestControl(t *testing.T) {
	f := start(t, nil, "gw-1")
	control := httptest.NewServer(f.Control())
	defer control.Close()
	do := func(method, path, body string) (int, string) {
		r, _ := http.NewRequest(method, control.URL+path, strings.NewReader(body))
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		out, _ := io.ReadAll(response.Body)
		return response.StatusCode, string(out)
	}
	for _, row := range []struct {
		method, path, body string
		want               int
	}{
		{"POST", "/hosts/gw-1/bad", `{"kind":"diskFull","seconds":60}`, 200},
		{"POST", "/hosts/gw-1/bad", `{"kind":"hang","count":3}`, 200},
		{"POST", "/hosts/gw-1/bad", `{"kind":"grumpy"}`, 400},
		{"POST", "/hosts/gw-1/bad", `{"kind":"hang","mood":1}`, 400},
		{"POST", "/hosts/gw-9/bad", `{"kind":"hang"}`, 404},
		{"DELETE", "/hosts/gw-1/bad?kind=hang", "", 200},
	} {
		if status, body := do(row.method, row.path, row.body); status != row.want {
			t.Errorf("%s %s %s: %d %s", row.method, row.path, row.body, status, body)
		}
	}
	_, body := do("GET", "/hosts", "")
	var states map[string]hosts.State
	if err := json.Unmarshal([]byte(body), &states); err != nil {
		t.Fatal(err)
	}
	s := states["gw-1"]
	if want := []hosts.Bad{{Kind: hosts.DiskFull, Seconds: 60}}; !slices.Equal(s.Bad, want) || s.Address != f.Host("gw-1").Addr() || s.Dir != f.Host("gw-1").Dir() {
		t.Errorf("state is %s", body)
	}
	do("DELETE", "/hosts/gw-1/bad", "")
	if s := f.State()["gw-1"]; len(s.Bad) != 0 {
		t.Errorf("bad days are left: %v", s.Bad)
	}
}
