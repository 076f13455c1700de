package stage

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// whoIsKilled is set in a process that starts a program and is killed.
const whoIsKilled = "KEYWAVE_STARTS_A_PROGRAM"

// A test that is killed, by a timeout or by a person, leaves no program
// running.
func TestProgramsDieWithWhoStartedThem(t *testing.T) {
	if log := os.Getenv(whoIsKilled); log != "" {
		if _, err := Start("sh", "/bin/sh", log, os.Environ(), "-c", "echo $$; exec sleep 600"); err != nil {
			t.Fatal(err)
		}
		select {}
	}
	log := filepath.Join(t.TempDir(), "log")
	starter := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
	starter.Env = append(os.Environ(), whoIsKilled+"="+log)
	if err := starter.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	soon(t, "the program runs", func() bool {
		said, _ := os.ReadFile(log)
		n, err := strconv.Atoi(string(trimLine(said)))
		pid = n
		return err == nil
	})
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatalf("the program does not run: %v", err)
	}
	_ = starter.Process.Kill()
	_ = starter.Wait()
	soon(t, "the program is gone", func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) || isZombie(pid) })
}

func trimLine(said []byte) []byte {
	if n := len(said); n > 0 && said[n-1] == '\n' {
		return said[:n-1]
	}
	return nil
}

// isZombie says that a process has ended, but nobody has waited for it.
func isZombie(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	return err == nil && zombie.Match(stat)
}

func soon(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for !ok() {
		if Pause(ctx, 20*time.Millisecond) != nil {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

var zombie = regexp.MustCompile(`(?m)^State:\s+Z`)
