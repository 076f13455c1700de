package main

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"keywave/internal/telemetry"
	"keywave/internal/temporalclient"
)

// A worker that finds no Temporal waits, and says for which address. SIGTERM ends it
// at once. When something answers there, it goes on: here to say that this is no Temporal.
func TestWaitsForTemporal(t *testing.T) {
	for name, c := range map[string]struct {
		then func(w *waiting)
		code int
		last string
	}{
		"until it is told to stop": {func(w *waiting) { _ = w.cmd.Process.Signal(syscall.SIGTERM) }, 0, `"msg":"waiting for Temporal`},
		"until something answers":  {(*waiting).answer, 1, "is no Temporal that this client understands"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := wait(t)
			c.then(w)
			last := w.last
			for line := range w.lines {
				last = line
			}
			_ = w.cmd.Wait()
			if code := w.cmd.ProcessState.ExitCode(); code != c.code || !strings.Contains(last, c.last) {
				t.Errorf("it ended with %d: %s", code, last)
			}
		})
	}
}

// waiting is a worker without Temporal.
type waiting struct {
	*testing.T
	cmd   *exec.Cmd
	lines chan string
	last  string // the line that says that it waits
	at    string // where it looks for Temporal
}

// wait starts a worker and returns when it says that it waits.
func wait(t *testing.T) *waiting {
	at, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := at.Addr().String()
	_ = at.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	w := &waiting{T: t, lines: make(chan string, 100), at: address}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	w.cmd = exec.CommandContext(ctx, self, "--roles", "orchestrator", "--log-format", "json")
	w.cmd.Args[0] = "worker"
	w.cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "TEMPORAL_CONFIG_FILE=/dev/null", "TEMPORAL_ADDRESS="+address)
	said, err := w.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(w.lines)
		for s := bufio.NewScanner(said); s.Scan(); {
			w.lines <- s.Text()
		}
	}()
	for w.last = range w.lines {
		if strings.Contains(w.last, "waiting for Temporal") && strings.Contains(w.last, address) {
			return w
		}
	}
	t.Fatalf("it ended instead of waiting: %s", w.last)
	return nil
}

// answer lets something answer at the address, that is no Temporal.
func (w *waiting) answer() {
	at, err := net.Listen("tcp", w.at)
	if err != nil {
		w.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	_ = s.Listener.Close()
	s.Listener = at
	s.Start()
	w.Cleanup(s.Close)
}

// It says at once what it waits for, and again every 30 s, not at each attempt. What no
// waiting mends ends it at once.
func TestWaitingIsSaidNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		logger, err := telemetry.NewLogger(&said, "info", "text")
		if err != nil {
			t.Fatal(err)
		}
		w, begun := &workers{log: logger}, time.Now()
		err = w.patiently(t.Context(), func() error {
			if time.Since(begun) < 65*time.Second {
				return &temporalclient.Away{Address: "temporal:7233"}
			}
			return nil
		})
		if n := strings.Count(said.String(), "waiting for Temporal"); err != nil || n != 3 || !strings.Contains(said.String(), "Temporal is there") {
			t.Errorf("in 65 s it says %d times that it waits (%v):\n%s", n, err, &said)
		}
		begun = time.Now()
		bad := &temporalclient.NoNamespace{}
		if err := w.patiently(t.Context(), func() error { return bad }); err != bad || time.Since(begun) > 0 {
			t.Errorf("without a namespace it ends after %s with %v", time.Since(begun), err)
		}
	})
}
