// Package delivertest is the contract of rotation.Host, as tests. A transport
// that passes Run can be trusted with a key. The tests need a transport whose
// host keeps its files on the machine that the tests run on.
package delivertest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"keywave/internal/deliver"
	"keywave/internal/rotation"
)

// Config is what a test asks of the host.
type Config struct {
	Name rotation.HostName
	deliver.Settings
	// CommandTimeout is the time after which a command that hangs is given up.
	CommandTimeout time.Duration
	// ReloadLife is how old a reload gets before the next delivery ends it.
	ReloadLife time.Duration
}

// New makes a host from cfg, and closes it at the end of the test.
type New func(t *testing.T, cfg Config) rotation.Host

// Run runs the contract.
func Run(t *testing.T, start New) {
	for name, test := range map[string]func(*testing.T, *fixture){
		"Put on a host without the file":                        putOnEmpty,
		"Put over an expected key":                              putOverExpected,
		"Put over a file without a key counts as absent":        putOverBlank,
		"Put refuses what nobody expects":                       putRefuses,
		"Put again reloads again and writes nothing":            putAgain,
		"the mode of the fleet file is kept":                    mode,
		"a missing directory is StepWrite":                      directoryMissing,
		"a read-only directory is StepWrite":                    directoryReadOnly,
		"a full disk is StepWrite":                              diskFull,
		"a file that is a directory is StepWrite":               fileIsDirectory,
		"a failing reload is StepReload":                        reloadFails,
		"a hanging reload is given up":                          reloadHangs,
		"a reload that leaves a daemon behind ends":             reloadStartsDaemon,
		"a reload that hangs is waited for, not repeated":       reloadNotRepeated,
		"a verify that hangs is waited for, not repeated":       verifyNotRepeated,
		"a reload that is too old is ended with its group":      reloadEnded,
		"one reload at a time, whoever delivers":                oneReloadAtATime,
		"a failing verify is StepVerify":                        verifyFails,
		"reload comes before verify":                            reloadThenVerify,
		"Puts of many zones at once":                            manyAtOnce,
		"Puts at once with a reload that fails":                 reloadsFail,
		"of two keys for a zone at once one wins":               rivals,
		"temporary files of other attempts go away":             staleTemporaries,
		"Prove and Held say what is held":                       proveAndHeld,
		"Prove leaves nothing behind":                           proveLeavesNothing,
		"Prove finds a missing reload command":                  proveMissingReload,
		"Prove finds a missing verify command":                  proveMissingVerify,
		"a zone ID that leaves the directory is refused":        zoneForm,
		"a key with a newline is refused":                       keyForm,
		"a path with spaces and quotes works":                   oddPath,
		"a context that has ended changes nothing":              endedContext,
		"a context that ends stops the wait":                    endingContext,
		"no key in argv and environment":                        keyInNoProcess,
		"no key in any error, whatever the host's command says": keyInNoError,
	} {
		run(t, name, start, test)
	}
}

// RunShared runs the part of the contract for transports that run the host's
// commands themselves: deliveries share these.
func RunShared(t *testing.T, start New) {
	run(t, "Puts at once share reloads that began after each", start, reloadsShared)
}

// RunFiles runs the part of the contract about files, besides their content:
// owners, modes, links, mounts, formats.
func RunFiles(t *testing.T, start New) {
	for name, test := range fileTests {
		run(t, name, start, test)
	}
}

func run(t *testing.T, name string, start New, test func(*testing.T, *fixture)) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		test(t, newFixture(t, start))
	})
}

const zone = rotation.ZoneID("zone-27q0p0bal192")

// fixture is one host with a directory of its own.
type fixture struct {
	start New
	cfg   Config
	dir   string
	// log has a line for each reload and each verify.
	log string
}

func newFixture(t *testing.T, start New) *fixture {
	dir := filepath.Join(t.TempDir(), "keys")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(filepath.Dir(dir), "log")
	return &fixture{start: start, dir: dir, log: log, cfg: Config{Name: "gw-1", CommandTimeout: time.Minute, Settings: deliver.Settings{
		Path:   dir + "/{zone}.key",
		Mode:   "0600",
		Reload: "echo reload >>" + log,
	}}}
}

func (f *fixture) host(t *testing.T) rotation.Host { return f.start(t, f.cfg) }

func (f *fixture) file(zone rotation.ZoneID) string {
	return filepath.Join(f.dir, string(zone)+".key")
}

func (f *fixture) logged(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(f.log)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.Fields(string(text))
}

// holds fails unless the file holds exactly key, and no attempt has left
// anything else in the directory.
func (f *fixture) holds(t *testing.T, zone rotation.ZoneID, key rotation.Secret) {
	t.Helper()
	text, err := os.ReadFile(f.file(zone))
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != key.Expose()+"\n" {
		t.Fatalf("the file holds %d bytes that are not the expected key and a newline", len(text))
	}
	f.clean(t)
}

func (f *fixture) clean(t *testing.T) {
	t.Helper()
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.Name() == deliver.StageName {
			left, _ := filepath.Glob(filepath.Join(f.dir, deliver.StageName, "*"))
			if len(left) > 0 {
				t.Fatalf("%v was left behind", left)
			}
		} else if strings.HasPrefix(entry.Name(), ".") {
			t.Fatalf("%s was left behind", entry.Name())
		}
	}
}

func (f *fixture) write(t *testing.T, zone rotation.ZoneID, text string) {
	t.Helper()
	if err := os.WriteFile(f.file(zone), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// NewKey makes a key as EdgeOne does.
func NewKey() rotation.Secret {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw)
	return rotation.NewSecret(base64.StdEncoding.EncodeToString(raw))
}

func of(key rotation.Secret) rotation.Fingerprint { return rotation.FingerprintOf(zone, key) }

func put(t *testing.T, host rotation.Host, key rotation.Secret, expect ...rotation.Fingerprint) {
	t.Helper()
	fp, err := host.Put(t.Context(), zone, key, expect)
	if err != nil {
		t.Fatalf("Put: %v", err)
	}
	if fp != of(key) {
		t.Fatalf("Put gave fingerprint %s, want %s", fp, of(key))
	}
}

// failsAt fails unless err is a HostError of step, and shows none of the keys.
func failsAt(t *testing.T, err error, step rotation.HostStep, keys ...rotation.Secret) string {
	t.Helper()
	var failure *rotation.HostError
	if !errors.As(err, &failure) {
		t.Fatalf("got %v (%T), want a HostError at %s", err, err, step)
	}
	if failure.Step != step {
		t.Fatalf("failed at %s, want %s: %v", failure.Step, step, err)
	}
	for _, key := range keys {
		if leaks(err.Error(), key) {
			t.Fatal("the error holds the key")
		}
	}
	return failure.Why
}

func leaks(text string, key rotation.Secret) bool {
	raw := []byte(key.Expose())
	for _, form := range []string{key.Expose(), hex.EncodeToString(raw), base64.StdEncoding.EncodeToString(raw)} {
		if strings.Contains(text, form) {
			return true
		}
	}
	return false
}

func putOnEmpty(t *testing.T, f *fixture) {
	key := NewKey()
	put(t, f.host(t), key, rotation.Absent)
	f.holds(t, zone, key)
	if got := f.logged(t); !slices.Equal(got, []string{"reload"}) {
		t.Fatalf("ran %v, want one reload", got)
	}
}

func putOverExpected(t *testing.T, f *fixture) {
	host, first, second := f.host(t), NewKey(), NewKey()
	put(t, host, first, rotation.Absent)
	put(t, host, second, of(NewKey()), of(first))
	f.holds(t, zone, second)
}

func putOverBlank(t *testing.T, f *fixture) {
	host, key := f.host(t), NewKey()
	f.write(t, zone, "\n")
	held, err := Held(host.Held)(t.Context(), []rotation.ZoneID{zone})
	if err != nil || held[zone] != rotation.Absent {
		t.Fatalf("Held gave %v, %v, want absent", held, err)
	}
	var refused *rotation.HeldError
	if _, err := host.Put(t.Context(), zone, key, nil); !errors.As(err, &refused) || refused.Held != rotation.Absent {
		t.Fatalf("got %v, want a HeldError of absent", err)
	}
	put(t, host, key, rotation.Absent)
	f.holds(t, zone, key)
}

func putRefuses(t *testing.T, f *fixture) {
	host, foreign, key := f.host(t), NewKey(), NewKey()
	f.write(t, zone, foreign.Expose()+"\n")
	for _, expect := range [][]rotation.Fingerprint{nil, {rotation.Absent}, {of(NewKey()), rotation.Absent}} {
		_, err := host.Put(t.Context(), zone, key, expect)
		var refused *rotation.HeldError
		if !errors.As(err, &refused) || refused.Held != of(foreign) {
			t.Fatalf("got %v, want a HeldError of %s", err, of(foreign))
		}
	}
	f.holds(t, zone, foreign)
	if got := f.logged(t); len(got) != 0 {
		t.Fatalf("a refused Put ran %v", got)
	}
}

func putAgain(t *testing.T, f *fixture) {
	host, key := f.host(t), NewKey()
	put(t, host, key, rotation.Absent)
	before, err := os.Stat(f.file(zone))
	if err != nil {
		t.Fatal(err)
	}
	put(t, host, key)
	put(t, host, key, rotation.Absent)
	after, err := os.Stat(f.file(zone))
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(before, after) || before.ModTime() != after.ModTime() {
		t.Fatal("a Put of the key that is held wrote the file")
	}
	if got := f.logged(t); len(got) != 3 {
		t.Fatalf("ran %v, want three reloads", got)
	}
	// The key is there, but the file is not as the fleet file says.
	if err := os.Chmod(f.file(zone), 0o640); err != nil {
		t.Fatal(err)
	}
	put(t, host, key)
	if info, err := os.Stat(f.file(zone)); err != nil || info.Mode() != 0o600 {
		t.Errorf("a Put of the key that is held left %v (%v)", info.Mode(), err)
	}
}

func mode(t *testing.T, f *fixture) {
	for _, c := range []struct {
		mode string
		want os.FileMode
	}{{"", 0o600}, {"640", 0o640}, {"0440", 0o440}, {"", 0o440}, {"0600", 0o600}} {
		f.cfg.Mode = c.mode
		put(t, f.host(t), NewKey(), f.heldNow(t))
		info, err := os.Stat(f.file(zone))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != c.want {
			t.Fatalf("mode %q gave %v, want %v", c.mode, info.Mode(), c.want)
		}
	}
}

func (f *fixture) heldNow(t *testing.T) rotation.Fingerprint {
	t.Helper()
	text, err := os.ReadFile(f.file(zone))
	if errors.Is(err, os.ErrNotExist) {
		return rotation.Absent
	}
	if err != nil {
		t.Fatal(err)
	}
	return of(rotation.NewSecret(strings.TrimSuffix(string(text), "\n")))
}

func directoryMissing(t *testing.T, f *fixture) {
	host, key := f.host(t), NewKey()
	if err := os.Remove(f.dir); err != nil {
		t.Fatal(err)
	}
	_, err := host.Put(t.Context(), zone, key, []rotation.Fingerprint{rotation.Absent})
	failsAt(t, err, rotation.StepWrite, key)
	_, err = host.Prove(t.Context(), []rotation.ZoneID{zone})
	if why := failsAt(t, err, rotation.StepWrite); !strings.Contains(why, f.dir) {
		t.Fatalf("%q does not name %s", why, f.dir)
	}
	held, err := Held(host.Held)(t.Context(), []rotation.ZoneID{zone})
	if err != nil || held[zone] != rotation.Absent {
		t.Fatalf("Held gave %v, %v, want absent", held, err)
	}
}

func directoryReadOnly(t *testing.T, f *fixture) {
	host, first, key := f.host(t), NewKey(), NewKey()
	put(t, host, first, rotation.Absent)
	readOnly(t, f.dir)
	f.refusesWrites(t, host, first, key)
}

func diskFull(t *testing.T, f *fixture) {
	host, first, key := f.host(t), NewKey(), NewKey()
	mount(t, f.dir, "-t", "tmpfs", "-o", "size=64k", "tmpfs", f.dir)
	put(t, host, first, rotation.Absent)
	ballast := filepath.Join(f.dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o600); err == nil {
		t.Fatal("the disk is not full")
	}
	f.refusesWrites(t, host, first, key)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	put(t, host, key, of(first))
	f.holds(t, zone, key)
}

func (f *fixture) refusesWrites(t *testing.T, host rotation.Host, held, key rotation.Secret) {
	t.Helper()
	_, err := host.Put(t.Context(), zone, key, []rotation.Fingerprint{of(held)})
	if why := failsAt(t, err, rotation.StepWrite, key, held); !strings.Contains(why, "still holds what it held before") {
		t.Fatalf("%q does not say that the old file is unchanged", why)
	}
	f.holds(t, zone, held)
	_, err = host.Prove(t.Context(), []rotation.ZoneID{zone})
	failsAt(t, err, rotation.StepWrite, held)
	if fps, err := Held(host.Held)(t.Context(), []rotation.ZoneID{zone}); err != nil || fps[zone] != of(held) {
		t.Fatalf("Held gave %v, %v", fps, err)
	}
}

// readOnly makes dir refuse new files. It sets its mode, or, because modes do
// not stop root, mounts it read-only.
func readOnly(t *testing.T, dir string) {
	t.Helper()
	if os.Geteuid() != 0 {
		if err := os.Chmod(dir, 0o555); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(dir, 0o755) })
		return
	}
	mount(t, dir, "--bind", dir, dir)
	if out, err := exec.Command("mount", "-o", "remount,bind,ro", dir).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v: %s", err, out)
	}
}

func mount(t *testing.T, dir string, args ...string) {
	t.Helper()
	if out, err := exec.Command("mount", args...).CombinedOutput(); err != nil {
		t.Skipf("mount is not allowed here: %s", bytes.TrimSpace(out))
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
}

func fileIsDirectory(t *testing.T, f *fixture) {
	host, key := f.host(t), NewKey()
	if err := os.Mkdir(f.file(zone), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := host.Put(t.Context(), zone, key, []rotation.Fingerprint{rotation.Absent})
	failsAt(t, err, rotation.StepWrite, key)
	_, err = host.Prove(t.Context(), []rotation.ZoneID{zone})
	failsAt(t, err, rotation.StepWrite)
}

func reloadFails(t *testing.T, f *fixture) {
	flag := filepath.Join(filepath.Dir(f.dir), "broken")
	f.cfg.Reload = fmt.Sprintf("if [ -e %s ]; then echo gateway is sick; exit 7; fi; echo reload >>%s", flag, f.log)
	if err := os.WriteFile(flag, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	host, key := f.host(t), NewKey()
	_, err := host.Put(t.Context(), zone, key, []rotation.Fingerprint{rotation.Absent})
	why := failsAt(t, err, rotation.StepReload, key)
	for _, want := range []string{"status 7", "gateway is sick", "the file holds the new key"} {
		if !strings.Contains(why, want) {
			t.Errorf("%q does not say %q", why, want)
		}
	}
	f.holds(t, zone, key)
	if err := os.Remove(flag); err != nil {
		t.Fatal(err)
	}
	put(t, host, key, rotation.Absent)
	if got := f.logged(t); len(got) != 1 {
		t.Fatalf("ran %v, want the reload that had failed", got)
	}
}

func reloadHangs(t *testing.T, f *fixture) {
	f.cfg.Reload, f.cfg.CommandTimeout = "exec sleep 30", 3*time.Second
	host, key := f.host(t), NewKey()
	_, err := host.Put(t.Context(), zone, key, []rotation.Fingerprint{rotation.Absent})
	if why := failsAt(t, err, rotation.StepReload, key); !strings.Contains(why, "did not end within 3s") {
		t.Fatalf("%q does not say what hangs", why)
	}
	f.holds(t, zone, key)
}

func reloadStartsDaemon(t *testing.T, f *fixture) {
	pid := filepath.Join(filepath.Dir(f.dir), "pid")
	f.cfg.Reload = "sleep 3600 & echo $! >" + pid
	t.Cleanup(func() {
		text, _ := os.ReadFile(pid)
		_ = exec.Command("kill", strings.TrimSpace(string(text))).Run()
	})
	key := NewKey()
	put(t, f.host(t), key, rotation.Absent)
	f.holds(t, zone, key)
}

func verifyFails(t *testing.T, f *fixture) {
	f.cfg.Verify = "echo old key in use >&2; false"
	host, key := f.host(t), NewKey()
	_, err := host.Put(t.Context(), zone, key, []rotation.Fingerprint{rotation.Absent})
	if why := failsAt(t, err, rotation.StepVerify, key); !strings.Contains(why, "old key in use") {
		t.Fatalf("%q does not say what verify said", why)
	}
	f.holds(t, zone, key)
	if got := f.logged(t); !slices.Equal(got, []string{"reload"}) {
		t.Fatalf("ran %v, want one reload", got)
	}
}

func reloadThenVerify(t *testing.T, f *fixture) {
	f.cfg.Verify = fmt.Sprintf("echo verify >>%s; grep -q . %s", f.log, f.file(zone))
	put(t, f.host(t), NewKey(), rotation.Absent)
	if got := f.logged(t); !slices.Equal(got, []string{"reload", "verify"}) {
		t.Fatalf("ran %v", got)
	}
}

func manyAtOnce(t *testing.T, f *fixture) {
	host := f.host(t)
	keys := map[rotation.ZoneID]rotation.Secret{}
	for i := range 24 {
		keys[rotation.ZoneID(fmt.Sprintf("zone-%d", i))] = NewKey()
	}
	var wait sync.WaitGroup
	for zone, key := range keys {
		wait.Go(func() {
			fp, err := host.Put(t.Context(), zone, key, []rotation.Fingerprint{rotation.Absent})
			if err != nil || fp != rotation.FingerprintOf(zone, key) {
				t.Errorf("%s: %s, %v", zone, fp, err)
			}
		})
	}
	wait.Wait()
	for zone, key := range keys {
		f.holds(t, zone, key)
	}
}

// reloadsShared has a consumer that reads every file when it is reloaded, and
// is slow. When a zone's delivery is acknowledged, it must have read that
// zone's new key.
func reloadsShared(t *testing.T, f *fixture) {
	read := t.TempDir()
	// At least this many files must be in place when the first reload ends.
	const atOnce = 4
	f.cfg.Reload = fmt.Sprintf("f=$(mktemp %s/XXXXXX) && cat %s/*.key >$f; until set -- %s/*.key && [ $# -ge %d ]; do sleep 0.02; done; mv $f $f.used", read, f.dir, f.dir, atOnce)
	f.cfg.CommandTimeout = time.Minute
	host := f.host(t)
	const zones = 16
	var wait sync.WaitGroup
	for i := range zones {
		wait.Go(func() {
			zone, key := rotation.ZoneID(fmt.Sprintf("zone-%d", i)), NewKey()
			fp, err := host.Put(t.Context(), zone, key, []rotation.Fingerprint{rotation.Absent})
			if err != nil || fp != rotation.FingerprintOf(zone, key) {
				t.Errorf("%s: %s, %v", zone, fp, err)
			}
			if !anyHolds(t, read+"/*.used", key.Expose()) {
				t.Errorf("%s was acknowledged, and no reload that ended had read its key", zone)
			}
		})
	}
	wait.Wait()
	used, err := filepath.Glob(read + "/*.used")
	if err != nil || len(used) == 0 || len(used) >= zones {
		t.Errorf("%d reloads for %d zones that came at once, %v", len(used), zones, err)
	}
}

func anyHolds(t *testing.T, pattern, text string) bool {
	t.Helper()
	files, _ := filepath.Glob(pattern)
	return slices.ContainsFunc(files, func(file string) bool {
		body, err := os.ReadFile(file)
		return err == nil && strings.Contains(string(body), text)
	})
}

// reloadsFail has a reload that fails whenever it sees one zone's file. No
// delivery may be acknowledged by such a reload.
func reloadsFail(t *testing.T, f *fixture) {
	f.cfg.Reload = "sleep 0.1; test ! -e " + f.file("zone-bad")
	host := f.host(t)
	var wait sync.WaitGroup
	for _, zone := range []rotation.ZoneID{"zone-1", "zone-bad", "zone-2", "zone-3"} {
		wait.Go(func() {
			_, err := host.Put(t.Context(), zone, NewKey(), []rotation.Fingerprint{rotation.Absent})
			if err == nil && zone == "zone-bad" {
				t.Errorf("%s was acknowledged, and its reload fails", zone)
			}
			if err != nil {
				failsAt(t, err, rotation.StepReload)
			}
		})
	}
	wait.Wait()
	_, err := host.Put(t.Context(), "zone-4", NewKey(), []rotation.Fingerprint{rotation.Absent})
	failsAt(t, err, rotation.StepReload)
}

// rivals runs attempts that all expect the same old key at the same time. At
// most one may win each round, and the file must hold the winner's key.
func rivals(t *testing.T, f *fixture) {
	host, held := f.host(t), NewKey()
	put(t, host, held, rotation.Absent)
	for range 5 {
		keys := []rotation.Secret{NewKey(), NewKey(), NewKey()}
		won := make([]bool, len(keys))
		var wait sync.WaitGroup
		for i, key := range keys {
			wait.Go(func() {
				_, err := host.Put(t.Context(), zone, key, []rotation.Fingerprint{of(held)})
				won[i] = err == nil
			})
		}
		wait.Wait()
		winner := held
		for i, key := range keys {
			if !won[i] {
				continue
			}
			if winner != held {
				t.Fatal("two rivals were acknowledged")
			}
			winner = key
		}
		f.holds(t, zone, winner)
		held = winner
	}
}

func staleTemporaries(t *testing.T, f *fixture) {
	host, key := f.host(t), NewKey()
	stale := filepath.Join(f.dir, deliver.TempName(string(zone)+".key", f.cfg.Name, "0123456789abcdef"))
	other := filepath.Join(f.dir, deliver.TempName(string(zone)+".key2", f.cfg.Name, "0123456789abcdef"))
	leave := func() {
		for _, file := range []string{stale, other} {
			if err := os.WriteFile(file, []byte("half a k"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, what := range []string{"a first Put", "a Put of the same key"} {
		leave()
		put(t, host, key, rotation.Absent)
		if _, err := os.Stat(stale); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("%s left the temporary file of another attempt", what)
		}
		if _, err := os.Stat(other); err != nil {
			t.Fatalf("%s removed another file's temporary file", what)
		}
	}
}

func proveAndHeld(t *testing.T, f *fixture) {
	host, key := f.host(t), NewKey()
	put(t, host, key, rotation.Absent)
	f.write(t, "zone-foreign", "not ours, and no newline")
	want := map[rotation.ZoneID]rotation.Fingerprint{
		zone:           of(key),
		"zone-foreign": rotation.FingerprintOf("zone-foreign", rotation.NewSecret("not ours, and no newline")),
		"zone-absent":  rotation.Absent,
	}
	zones := []rotation.ZoneID{zone, "zone-foreign", "zone-absent"}
	for i, length := range []int{1, 44, 998, 999, 4_096, 70_000, 44, 44} { // more files than one look of a process, and longer than a pipe
		id, text := rotation.ZoneID(fmt.Sprintf("zone-of-%d", i)), strings.Repeat(string(rune('a'+i)), length)
		f.write(t, id, text)
		zones, want[id] = append(zones, id), rotation.FingerprintOf(id, rotation.NewSecret(text))
	}
	for name, ask := range map[string]func(context.Context, []rotation.ZoneID) (map[rotation.ZoneID]rotation.Fingerprint, error){
		"Prove": Held(host.Prove), "Held": Held(host.Held),
	} {
		got, err := ask(t.Context(), zones)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s gave %v, want %v", name, got, want)
		}
	}
	for i := range 497 {
		zones = append(zones, rotation.ZoneID(fmt.Sprintf("zone-more-%d", i)))
	}
	got, err := Held(host.Prove)(t.Context(), zones)
	if err != nil || len(got) != len(zones) {
		t.Fatalf("Prove of %d zones gave %d, %v", len(zones), len(got), err)
	}
}

// Held is what a proof or a look says that a host holds.
func Held(show func(context.Context, []rotation.ZoneID) (rotation.Shown, error)) func(context.Context, []rotation.ZoneID) (map[rotation.ZoneID]rotation.Fingerprint, error) {
	return func(ctx context.Context, zones []rotation.ZoneID) (map[rotation.ZoneID]rotation.Fingerprint, error) {
		shown, err := show(ctx, zones)
		return shown.Held, err
	}
}

func proveLeavesNothing(t *testing.T, f *fixture) {
	host := f.host(t)
	if _, err := host.Prove(t.Context(), []rotation.ZoneID{zone}); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(f.dir)
	if err != nil || len(entries) != 0 {
		t.Fatalf("Prove left %v, %v", entries, err)
	}
	if got := f.logged(t); len(got) != 0 {
		t.Fatalf("Prove ran %v", got)
	}
}

func proveMissingReload(t *testing.T, f *fixture) {
	f.cfg.Reload = "LANG=C keywave-no-such-program --now"
	_, err := f.host(t).Prove(t.Context(), []rotation.ZoneID{zone})
	if why := failsAt(t, err, rotation.StepReload); !strings.Contains(why, "keywave-no-such-program") {
		t.Fatalf("%q does not name the program", why)
	}
}

func proveMissingVerify(t *testing.T, f *fixture) {
	f.cfg.Verify = "./keywave-no-such-program --now"
	_, err := f.host(t).Prove(t.Context(), []rotation.ZoneID{zone})
	if why := failsAt(t, err, rotation.StepVerify); !strings.Contains(why, "keywave-no-such-program") {
		t.Fatalf("%q does not name the program", why)
	}
}

func zoneForm(t *testing.T, f *fixture) {
	host := f.host(t)
	for _, bad := range []rotation.ZoneID{"", "..", "../etc", "a b", "zone;id", "zone\n"} {
		_, err := host.Put(t.Context(), bad, NewKey(), []rotation.Fingerprint{rotation.Absent})
		failsAt(t, err, rotation.StepWrite)
		_, err = host.Prove(t.Context(), []rotation.ZoneID{bad})
		failsAt(t, err, rotation.StepWrite)
	}
	f.clean(t)
}

func keyForm(t *testing.T, f *fixture) {
	host := f.host(t)
	for _, bad := range []string{"", "two\nlines", "nul\x00"} {
		_, err := host.Put(t.Context(), zone, rotation.NewSecret(bad), []rotation.Fingerprint{rotation.Absent})
		failsAt(t, err, rotation.StepWrite)
	}
}

func oddPath(t *testing.T, f *fixture) {
	dir := filepath.Join(f.dir, `it's  $(touch gone) "x" *`)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	f.cfg.Path, f.dir = dir+"/{zone}.key", dir
	host, first, second := f.host(t), NewKey(), NewKey()
	if _, err := host.Prove(t.Context(), []rotation.ZoneID{zone}); err != nil {
		t.Fatal(err)
	}
	put(t, host, first, rotation.Absent)
	put(t, host, second, of(first))
	f.holds(t, zone, second)
}

func endedContext(t *testing.T, f *fixture) {
	host := f.host(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := host.Put(ctx, zone, NewKey(), []rotation.Fingerprint{rotation.Absent}); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want the context's error", err)
	}
	if _, err := os.Stat(f.file(zone)); !errors.Is(err, os.ErrNotExist) {
		t.Fatal("the file was written")
	}
}

func endingContext(t *testing.T, f *fixture) {
	f.cfg.Reload = fmt.Sprintf("echo reload >>%s; exec sleep 30", f.log)
	host, key := f.host(t), NewKey()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		for t.Context().Err() == nil {
			if _, err := os.Stat(f.log); err == nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	_, err := host.Put(ctx, zone, key, []rotation.Fingerprint{rotation.Absent})
	var failure *rotation.HostError
	if !errors.Is(err, context.Canceled) || !errors.As(err, &failure) || leaks(err.Error(), key) {
		t.Fatalf("got %v, want a HostError with the context's error", err)
	}
}

// keyInNoProcess checks all processes of the machine while keys are put:
// thoroughly in the reload, and all the time from outside.
func keyInNoProcess(t *testing.T, f *fixture) {
	f.keyInNoProcess(t, func(t *testing.T, host rotation.Host, key rotation.Secret, held rotation.Fingerprint) {
		put(t, host, key, held)
	})
}

func (f *fixture) keyInNoProcess(t *testing.T, brings func(*testing.T, rotation.Host, rotation.Secret, rotation.Fingerprint)) {
	if _, err := os.Stat("/proc/self/cmdline"); err != nil {
		t.Skip("there is no /proc here")
	}
	dump := filepath.Join(filepath.Dir(f.dir), "dump")
	f.cfg.Reload = fmt.Sprintf("cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ >>%s 2>/dev/null; true", dump)
	host := f.host(t)

	marker := hex.EncodeToString([]byte(NewKey().Expose()))
	witness := exec.Command("sh", "-c", "read -r line", marker)
	until, err := witness.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := witness.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = until.Close(); _ = witness.Wait() })

	stop, seen := make(chan struct{}), make(chan []byte)
	go func() {
		var all bytes.Buffer
		for {
			scan(&all)
			select {
			case <-stop:
				seen <- all.Bytes()
				return
			default:
			}
		}
	}()
	var keys []rotation.Secret
	held := rotation.Absent
	for range 5 {
		key := NewKey()
		brings(t, host, key, held)
		keys, held = append(keys, key), of(key)
	}
	close(stop)
	outside := <-seen
	inside, err := os.ReadFile(dump)
	if err != nil {
		t.Fatal(err)
	}
	for where, text := range map[string][]byte{"reload": inside, "outside": outside} {
		if !bytes.Contains(text, []byte(marker)) {
			t.Fatalf("the look from %s sees nothing", where)
		}
		for _, key := range keys {
			if leaks(string(text), key) {
				t.Fatalf("the key was seen from %s", where)
			}
		}
	}
}

func scan(into *bytes.Buffer) {
	for _, kind := range []string{"cmdline", "environ"} {
		files, _ := filepath.Glob("/proc/[0-9]*/" + kind)
		for _, file := range files {
			text, _ := os.ReadFile(file)
			into.Write(text)
		}
	}
}

func keyInNoError(t *testing.T, f *fixture) {
	for name, shell := range map[string]string{
		"raw":       "cat FILE",
		"bare":      "tr -d '\\n' <FILE",
		"base64":    "base64 <FILE",
		"decorated": "printf '\\033[31mkey=%s;\\007\\n' \"$(cat FILE)\"",
	} {
		f.cfg.Reload = strings.ReplaceAll(shell, "FILE", f.file(zone)) + "; exit 1"
		key := NewKey()
		_, err := f.host(t).Put(t.Context(), zone, key, []rotation.Fingerprint{f.heldNow(t)})
		why := failsAt(t, err, rotation.StepReload, key)
		if !strings.Contains(why, "[…]") || strings.ContainsAny(why, "\x1b\x07\n") {
			t.Errorf("%s: %q is not scrubbed", name, why)
		}
	}
}
