package deliver

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"keywave/internal/rotation"
)

// A proof and a delivery start as many processes on a host as decision 0013 says, whatever
// the number of files: each costs the host a millisecond or two, and a delivery's are in
// the time of exposure.
func TestProcesses(t *testing.T) {
	shell, err := exec.LookPath("dash")
	if err != nil || os.Geteuid() != 0 {
		t.Skip("dash is not installed, or we are not root, who alone can count them")
	}
	dir := t.TempDir()
	counter := &counter{shell: shell}
	c := &Courier{Host: "gw-1", Settings: Settings{Path: dir + "/{zone}.key", Reload: "true"}, Channel: counter}
	var zones []rotation.ZoneID
	for i := range 12 {
		zones = append(zones, rotation.ZoneID(fmt.Sprintf("zone-%d", i)))
		if err := os.WriteFile(filepath.Join(dir, string(zones[i])+".key"), []byte("held\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	held := func(zone rotation.ZoneID) []rotation.Fingerprint {
		return []rotation.Fingerprint{rotation.FingerprintOf(zone, rotation.NewSecret("held"))}
	}
	put := func() error {
		_, err := c.Put(t.Context(), zones[0], rotation.NewSecret("new"), held(zones[0]))
		return err
	}
	stage := func() error { _, err := c.Stage(t.Context(), zones[1], rotation.NewSecret("new")); return err }
	activate := func() error {
		_, err := c.Activate(t.Context(), zones[1], rotation.FingerprintOf(zones[1], rotation.NewSecret("new")), held(zones[1]))
		return err
	}
	unstage := func() error { return c.Unstage(t.Context(), zones[1]) }
	prove := func(files int) func() error {
		return func() error { _, err := c.Prove(t.Context(), zones[:files]); return err }
	}
	again := func() error {
		shown, err := c.ProveAgain(t.Context(), zones, time.Minute)
		if err == nil && (shown.Age <= 0 || shown.Age > time.Minute) {
			return fmt.Errorf("it is %s old", shown.Age)
		}
		return err
	}
	for _, work := range []struct {
		name string
		do   func() error
		want int
	}{
		{"a proof of 1 file", prove(1), 11},
		{"a proof of 6 files", prove(6), 11},
		{"a proof of 12 files", prove(12), 12},
		{"a proof that follows within moments", again, 7},
		{"the first delivery, which makes a directory", put, 6},
		{"a delivery of the key that is held", put, 5},
		{"a key that is made to wait, which makes a directory", stage, 10},
		{"the same again", stage, 9},
		{"the activation of a key that waits", activate, 5},
		{"the activation of the key that is held", activate, 5},
		{"the removal of what waits", unstage, 1},
	} {
		if err := work.do(); err != nil {
			t.Fatalf("%s: %v", work.name, err)
		}
		if counter.last != work.want {
			t.Errorf("%s has %d processes, besides the shell, want %d", work.name, counter.last, work.want)
		}
	}
}

// counter runs the script in a world whose processes have numbers of their own.
type counter struct {
	shell string
	last  int // how many processes the last job started
}

func (c *counter) Says(why string) string { return why }
func (c *counter) Limit() time.Duration   { return time.Minute }

func (c *counter) Run(ctx context.Context, build func(string) Job) (Answer, error) {
	j := build(NewAttempt())
	t := NewTranscript(j.Attempt)
	cmd := exec.CommandContext(ctx, c.shell, "-c", `"$0" -c "$1"; "$0" -c 'echo $$ >&2'; :`, c.shell, script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	var number strings.Builder
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(j.Stdin), t, &number
	err := cmd.Run()
	// Before the last one there were the outer shell, the script's and what it started.
	c.last, _ = strconv.Atoi(strings.TrimSpace(number.String()))
	c.last -= 3
	return t.SoFar(), err
}
