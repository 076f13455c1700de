package delivertest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"keywave/internal/rotation"
)

// until waits for what a test needs.
func until(t *testing.T, what string, ready func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ready(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// deliveries is how often a delivery of a key was written down for the run of
// the reload that serves it.
func deliveries(zone rotation.ZoneID, key rotation.Fingerprint) int {
	n := 0
	files, _ := filepath.Glob("/tmp/keywave-*/1*")
	for _, file := range files {
		text, _ := os.ReadFile(file)
		n += strings.Count(string(text), fmt.Sprintf("for %s %s\n", zone, key))
	}
	return n
}

func reloadNotRepeated(t *testing.T, f *fixture) {
	f.notRepeated(t, rotation.StepReload, &f.cfg.Reload)
}

func verifyNotRepeated(t *testing.T, f *fixture) {
	f.notRepeated(t, rotation.StepVerify, &f.cfg.Verify)
}

// notRepeated has a command that hangs until a gate opens. Deliveries that are
// tried again start no other process, and when the command ends it serves those
// that wait.
func (f *fixture) notRepeated(t *testing.T, step rotation.HostStep, command *string) {
	gate, ran := filepath.Join(filepath.Dir(f.dir), "gate"), filepath.Join(filepath.Dir(f.dir), "ran")
	*command = fmt.Sprintf("echo $$ >>%s; while [ ! -e %s ]; do sleep 0.02; done", ran, gate)
	open := func() { _ = os.WriteFile(gate, nil, 0o600) }
	t.Cleanup(open)
	f.cfg.CommandTimeout, f.cfg.ReloadLife = 3*time.Second, time.Hour // so that a command does not get too old on a busy machine
	host, key := f.host(t), NewKey()
	f.hangs(t, host, key, step, ran)
	for range 3 {
		_, err := host.Put(t.Context(), zone, key, nil)
		if why := failsAt(t, err, rotation.StepReload, key); !strings.Contains(why, "an earlier r") {
			t.Fatalf("%q does not say that it waited", why)
		}
	}
	f.cfg.CommandTimeout = 5 * time.Minute
	before := deliveries(zone, of(key))
	const workers = 3
	var wait sync.WaitGroup
	for range workers {
		patient := f.host(t)
		wait.Go(func() {
			if fp, err := patient.Put(t.Context(), zone, key, nil); err != nil || fp != of(key) {
				t.Errorf("got %s, %v", fp, err)
			}
		})
	}
	until(t, "all of them wait for the run", func() bool { return deliveries(zone, of(key)) == before+workers })
	open()
	wait.Wait()
	text, err := os.ReadFile(ran)
	if n := strings.Count(string(text), "\n"); err != nil || n != 1 {
		t.Errorf("the command ran %d times, want once for all tries (%v)", n, err)
	}
}

// hangs delivers until the command hangs. On a busy machine the first attempt
// may not come that far.
func (f *fixture) hangs(t *testing.T, host rotation.Host, key rotation.Secret, step rotation.HostStep, began string) {
	t.Helper()
	until(t, "the command hangs", func() bool {
		_, err := host.Put(t.Context(), zone, key, []rotation.Fingerprint{rotation.Absent})
		if _, missing := os.Stat(began); missing != nil {
			return false
		}
		if failure := new(rotation.HostError); errors.As(err, &failure) && failure.Step == rotation.StepSession {
			return false
		}
		failsAt(t, err, step, key)
		return true
	})
}

// reloadEnded has a reload that hangs once and has a child process.
func reloadEnded(t *testing.T, f *fixture) {
	pids := filepath.Join(filepath.Dir(f.dir), "pids")
	f.cfg.Reload = fmt.Sprintf("[ ! -e %s ] || exit 0; sleep 1000 & echo $! $$ >%s; wait", pids, pids)
	f.cfg.CommandTimeout, f.cfg.ReloadLife = 3*time.Second, 3*time.Second
	host, key := f.host(t), NewKey()
	f.hangs(t, host, key, rotation.StepReload, pids)
	until(t, "a delivery succeeds", func() bool {
		_, err := host.Put(t.Context(), zone, key, nil)
		return err == nil
	})
	text, err := os.ReadFile(pids)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range strings.Fields(string(text)) {
		pid, _ := strconv.Atoi(word)
		until(t, "the old reload is gone", func() bool { return syscall.Kill(pid, 0) != nil || zombie(pid) })
	}
}

func zombie(pid int) bool {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return strings.Contains(string(text), ") Z ")
}

// oneReloadAtATime delivers from two workers at once.
func oneReloadAtATime(t *testing.T, f *fixture) {
	busy, twice, read := filepath.Join(filepath.Dir(f.dir), "busy"), filepath.Join(filepath.Dir(f.dir), "twice"), t.TempDir()
	f.cfg.Reload = fmt.Sprintf("mkdir %s || echo >%s; f=$(mktemp %s/XXXXXX) && cat %s/*.key >$f; sleep 0.1; mv $f $f.used; rmdir %s", busy, twice, read, f.dir, busy)
	f.cfg.CommandTimeout = 60 * time.Second
	var wait sync.WaitGroup
	for worker := range 2 {
		host := f.host(t)
		for i := range 4 {
			wait.Go(func() {
				zone, key := rotation.ZoneID(fmt.Sprintf("zone-%d-%d", worker, i)), NewKey()
				if _, err := host.Put(t.Context(), zone, key, []rotation.Fingerprint{rotation.Absent}); err != nil {
					t.Errorf("%s: %v", zone, err)
				}
				if !anyHolds(t, read+"/*.used", key.Expose()) {
					t.Errorf("%s was acknowledged, and no reload that ended had read its key", zone)
				}
			})
		}
	}
	wait.Wait()
	if _, err := os.Stat(twice); err == nil {
		t.Error("two reloads ran at once")
	}
}
