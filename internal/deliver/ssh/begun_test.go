package ssh_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"keywave/internal/deliver/ssh"
	"keywave/internal/proving/delivertest"
	"keywave/internal/rotation"
)

// begins is a host whose every put begins before it has its key.
type begins struct{ *ssh.Host }

func (b begins) Put(ctx context.Context, zone rotation.ZoneID, key rotation.Secret, expect []rotation.Fingerprint) (rotation.Fingerprint, error) {
	return b.Begin(ctx, zone, expect).Put(ctx, key)
}

// waiting is how many scripts of the field's user wait for input. The user has no other
// processes in these tests.
func (f *field) waiting(t *testing.T) int {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, dir := range all {
		line, _ := os.ReadFile(dir + "/cmdline")
		in, _ := os.Readlink(dir + "/fd/0")
		call, _ := os.ReadFile(dir + "/syscall")
		status, _ := os.ReadFile(dir + "/status")
		ours := strings.Contains(string(line), "keywave/v1") || strings.Contains(string(line), "#begin") // of csh's kind, which reads the script
		if ours && strings.HasPrefix(in, "pipe:") && strings.HasPrefix(string(call), "0 0x0 ") &&
			strings.Contains(string(status), "\nUid:\t"+strconv.Itoa(f.uid)+"\t") {
			n++
		}
	}
	return n
}

// wait waits until so many scripts of the field's user wait.
func (f *field) wait(t *testing.T, n int) {
	t.Helper()
	for began := time.Now(); f.waiting(t) != n; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatalf("%d scripts wait, want %d", f.waiting(t), n)
		}
	}
}

// alone is a field whose user nobody else has, with a key in its file.
func alone(t *testing.T) (f *field, held rotation.Fingerprint) {
	t.Helper()
	f = somebody(t, lodge(t), "sh", nil)
	f.uid = number(t, "-u", f.cfg.User)
	f.cfg.Reload = ""
	return f, rotation.FingerprintOf(zone, f.laid(t, f.uid, number(t, "-g", f.cfg.User), 0o600))
}

// fileHolds fails unless the zone's file holds a key.
func (f *field) fileHolds(t *testing.T, want rotation.Fingerprint) {
	t.Helper()
	text, err := os.ReadFile(f.file())
	if got := rotation.FingerprintOf(zone, rotation.NewSecret(strings.TrimSuffix(string(text), "\n"))); err != nil || got != want {
		t.Errorf("the file holds %s, want %s (%v)", got, want, err)
	}
}

// holds fails unless the zone's file holds a key, and nothing else is beside it.
func (f *field) holds(t *testing.T, want rotation.Fingerprint) {
	t.Helper()
	f.fileHolds(t, want)
	if entries, err := os.ReadDir(f.dir); err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v, %v", entries, err)
	}
}

// counted is a field alone, whose host was proved and whose round trips are counted.
func counted(t *testing.T) (f *field, held rotation.Fingerprint, p *proxy, host *ssh.Host) {
	t.Helper()
	f, held = alone(t)
	p = newProxy(t, f.cfg.Address)
	f.cfg.Address = p.addr
	host = f.host(t)
	prove(t, host)
	return f, held, p, host
}

// A put that has begun needs one round trip after its key is there, with OpenSSH too.
func TestBegunRoundTrips(t *testing.T) {
	t.Parallel()
	f, held, p, host := counted(t)
	least := func(put func(rotation.Secret) error) int {
		n := 99
		for range 7 {
			key := delivertest.NewKey()
			if err := put(key); err != nil {
				t.Fatal(err)
			}
			held = rotation.FingerprintOf(zone, key)
			n = min(n, p.roundTrips())
		}
		return n
	}
	begun := least(func(key rotation.Secret) error {
		b := host.Begin(t.Context(), zone, []rotation.Fingerprint{held})
		f.wait(t, 1)
		p.reset()
		_, err := b.Put(t.Context(), key)
		return err
	})
	whole := least(func(key rotation.Secret) error {
		p.reset()
		_, err := host.Put(t.Context(), zone, key, []rotation.Fingerprint{held})
		return err
	})
	if begun != 1 || whole != 2 {
		t.Errorf("after its key a put takes %d round trips if it has begun, and %d if not; want 1 and 2", begun, whole)
	}
	f.holds(t, held)
}

// A staged key that was begun to be put in place needs one round trip from the moment at
// which it may be, and no key is sent. Where it is gone, the whole key is brought; and what
// has begun compares the file at the last, as ever.
func TestBegunActivate(t *testing.T) {
	t.Parallel()
	f, held, p, host := counted(t)
	begin := func() (rotation.Secret, rotation.Begun) {
		t.Helper()
		key := delivertest.NewKey()
		if _, err := host.Stage(t.Context(), zone, key); err != nil {
			t.Fatal(err)
		}
		b := host.BeginActivate(t.Context(), zone, rotation.FingerprintOf(zone, key), []rotation.Fingerprint{held})
		f.wait(t, 1)
		return key, b
	}
	least := 99
	for range 7 {
		key, b := begin()
		f.fileHolds(t, held)
		p.reset()
		got, err := b.Put(t.Context(), key)
		held = rotation.FingerprintOf(zone, key)
		if err != nil || got != held {
			t.Fatalf("%s, %v", got, err)
		}
		least = min(least, p.roundTrips())
		f.fileHolds(t, held)
	}
	if least != 1 {
		t.Errorf("it takes %d round trips", least)
	}

	for what, change := range map[string]func(staged string) error{
		"gone": os.Remove,
		"another": func(staged string) error {
			return os.WriteFile(staged, []byte(delivertest.NewKey().Expose()+"\n"), 0o600)
		},
		"cut off": func(staged string) error { return os.Truncate(staged, 20) },
	} {
		key, b := begin()
		shelves, err := filepath.Glob(filepath.Join(f.dir, ".keywave", "*"))
		if err != nil || len(shelves) != 1 {
			t.Fatalf("staged are %v, %v", shelves, err)
		}
		if err := change(shelves[0]); err != nil {
			t.Fatal(err)
		}
		if got, err := b.Put(t.Context(), key); err != nil || got != rotation.FingerprintOf(zone, key) {
			t.Errorf("a key that is %s when its time comes: %s, %v", what, got, err)
		}
		held = rotation.FingerprintOf(zone, key)
		f.fileHolds(t, held)
	}

	key, b := begin()
	stranger := rotation.FingerprintOf(zone, f.laid(t, f.uid, number(t, "-g", f.cfg.User), 0o600))
	_, err := b.Put(t.Context(), key)
	if is, ok := errors.AsType[*rotation.HeldError](err); !ok || is.Held != stranger {
		t.Errorf("got %v, want the stranger's key to be named", err)
	}
	f.fileHolds(t, stranger)
	held = stranger

	_, b = begin()
	b.Close()
	f.wait(t, 0)
	f.fileHolds(t, stranger)
}

// Where no key comes, nothing has changed, and nothing is left: closed in order, or with
// the connection of a worker that was killed.
func TestBegunWithoutAKey(t *testing.T) {
	t.Parallel()
	f, held, p, host := counted(t)
	for _, end := range []struct {
		name string
		do   func(rotation.Begun)
	}{
		{"closed", rotation.Begun.Close},
		{"killed", func(rotation.Begun) { p.drop() }},
	} {
		b := host.Begin(t.Context(), zone, []rotation.Fingerprint{held})
		f.wait(t, 1)
		end.do(b)
		f.wait(t, 0)
		f.holds(t, held)
		if end.name == "closed" {
			continue
		}
		// The key comes all the same.
		key := delivertest.NewKey()
		if _, err := b.Put(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		held = rotation.FingerprintOf(zone, key)
		f.holds(t, held)
	}
}

// What begins leaves half of a host's sessions to others, and holds nothing on the host for
// which they would wait.
func TestBegunIsInNobodysWay(t *testing.T) {
	t.Parallel()
	f, held := alone(t)
	f.cfg.Reload, f.cfg.Verify = "true", "true"
	f.options.MaxSessionsPerHost = 4
	host := f.host(t)
	prove(t, host)
	expect := []rotation.Fingerprint{held}
	var all []rotation.Begun
	for range 2 {
		all = append(all, host.Begin(t.Context(), zone, expect))
		f.wait(t, len(all))
	}
	more := host.Begin(t.Context(), zone, expect)
	other := rotation.ZoneID("zone-other")
	for range 3 {
		if _, err := host.Put(t.Context(), other, delivertest.NewKey(), []rotation.Fingerprint{rotation.Absent}); err != nil {
			t.Fatal(err)
		}
		_ = os.Remove(filepath.Join(f.dir, string(other)+".key"))
	}
	if n := f.waiting(t); n != 2 {
		t.Errorf("%d scripts wait for their key, want 2", n)
	}
	key := delivertest.NewKey()
	for _, b := range append(all, more) { // all with one key, as it is one zone
		if _, err := b.Put(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	f.holds(t, rotation.FingerprintOf(zone, key))
	f.wait(t, 0)
}

// The file is compared when the key is there, not only when the put began.
func TestBegunComparesAtTheLast(t *testing.T) {
	t.Parallel()
	f, held := alone(t)
	host := f.host(t)
	prove(t, host)
	b := host.Begin(t.Context(), zone, []rotation.Fingerprint{held})
	f.wait(t, 1)
	stranger := rotation.FingerprintOf(zone, f.laid(t, f.uid, number(t, "-g", f.cfg.User), 0o600))
	_, err := b.Put(t.Context(), delivertest.NewKey())
	var is *rotation.HeldError
	if !errors.As(err, &is) || is.Held != stranger {
		t.Errorf("got %v, want the stranger's key to be named", err)
	}
	f.holds(t, stranger)
}

// A connection that dies without a word between begin and key costs no more than any
// other, and the key arrives by a new one.
func TestBegunOnAConnectionThatDied(t *testing.T) {
	t.Parallel()
	f, held := alone(t)
	p := newProxy(t, f.cfg.Address)
	f.cfg.Address, f.options.DialTimeout, f.options.CommandTimeout = p.addr, 10*time.Second, 5*time.Minute
	f.options.KeepAlive = time.Hour // which would find it out too, and later
	host := f.host(t)
	prove(t, host)
	b := host.Begin(t.Context(), zone, []rotation.Fingerprint{held})
	f.wait(t, 1)
	p.freeze()
	key := delivertest.NewKey()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if _, err := b.Put(ctx, key); err != nil {
		t.Fatal(err)
	}
	if p.accepted() != 2 {
		t.Errorf("%d connections, want a second one", p.accepted())
	}
	if text, err := os.ReadFile(f.file()); err != nil || string(text) != key.Expose()+"\n" {
		t.Errorf("the file does not hold the key (%v)", err)
	}
}

// On a connection on which our script has never begun, nothing begins before its key: the
// login shell might take what follows for commands.
func TestBeginsOnlyWhereTheScriptIsKnownToBegin(t *testing.T) {
	t.Parallel()
	s := newRig(t)
	read := filepath.Join(t.TempDir(), "read")
	shell := filepath.Join(t.TempDir(), "shell") // it reads its commands from its input
	if err := os.WriteFile(shell, fmt.Appendf(nil, "#!/bin/sh\ncat >>%s\n", read), 0o755); err != nil {
		t.Fatal(err)
	}
	s.setUp(func(s *server) { s.shell = []string{shell} })
	host := s.host(t)
	if _, err := host.Prove(t.Context(), []rotation.ZoneID{zone}); err == nil {
		t.Fatal("the script has begun")
	}
	before := len(s.sent())
	key, expect := delivertest.NewKey(), []rotation.Fingerprint{rotation.Absent}
	_, err := host.Put(t.Context(), zone, key, expect)
	failsAt(t, err, rotation.StepAuth)
	whole := len(s.sent()) - before
	before = len(s.sent())
	b := host.Begin(t.Context(), zone, expect)
	_, err = b.Put(t.Context(), key)
	failsAt(t, err, rotation.StepAuth)
	if n := len(s.sent()) - before; n != whole {
		t.Errorf("%d commands, want %d as by a put that has not begun", n, whole)
	}
}

// With login shells of each form a put begins, and arrives.
func TestBegunInEachShell(t *testing.T) {
	t.Parallel()
	d := lodge(t)
	for _, shell := range []string{"sh", "bash", "tcsh"} {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			f := somebody(t, d, shell, nil)
			f.uid = number(t, "-u", f.cfg.User)
			begunArrives(t, f, rotation.Absent)
		})
	}
}

// begunArrives proves the host, begins, waits until the script does, and gives the key.
func begunArrives(t *testing.T, f *field, held rotation.Fingerprint) {
	t.Helper()
	host := f.host(t)
	prove(t, host)
	b := host.Begin(t.Context(), zone, []rotation.Fingerprint{held})
	f.wait(t, 1)
	key := delivertest.NewKey()
	if _, err := b.Put(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(f.file()); err != nil || string(text) != key.Expose()+"\n" {
		t.Fatalf("the file does not hold the key (%v)", err)
	}
}
