package deliver

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keywave/internal/rotation"
)

// here runs the script on this machine.
type here struct {
	env  []string
	edit func(stdin string) string
	said string // by the last job
}

func (h *here) Says(why string) string { return why }
func (h *here) Limit() time.Duration   { return time.Minute }

func (h *here) Run(ctx context.Context, build func(string) Job) (Answer, error) {
	j := build(NewAttempt())
	in := string(j.Stdin)
	if h.edit != nil {
		in = h.edit(in)
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, "sh", "-c", script)
	cmd.Env = append(os.Environ(), h.env...)
	cmd.Stdin, cmd.Stdout = strings.NewReader(in), &out
	err := cmd.Run()
	h.said = out.String()
	t := NewTranscript(j.Attempt)
	_, _ = t.Write(out.Bytes())
	if a := t.SoFar(); a.Verdict != "" {
		return a, nil
	}
	return t.SoFar(), err
}

const held = rotation.ZoneID("zone-1")

// courier has one zone, whose file holds a first key.
func courier(t *testing.T, h *here) (c *Courier, dir string, key rotation.Secret) {
	t.Helper()
	dir, key = t.TempDir(), rotation.NewSecret("first")
	if err := os.WriteFile(filepath.Join(dir, string(held)+".key"), []byte("first\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return &Courier{Host: "gw-1", Settings: Settings{Path: dir + "/{zone}.key", Reload: "true"}, Channel: h}, dir, key
}

// A key that a disk does not take is not acknowledged, however late the disk says so.
func TestADiskThatFailsIsHeard(t *testing.T) {
	tools := t.TempDir()
	fails := "#!/bin/sh\n[ $# = 0 ] || { echo \"sync: error syncing '$1': No space left on device\" >&2; exit 1; }\n"
	if err := os.WriteFile(filepath.Join(tools, "sync"), []byte(fails), 0o700); err != nil {
		t.Fatal(err)
	}
	h := &here{env: []string{"PATH=" + tools + ":" + os.Getenv("PATH")}}
	c, _, first := courier(t, h)
	before := []rotation.Fingerprint{rotation.FingerprintOf(held, first)}
	next := rotation.NewSecret("next")
	if _, err := c.Prove(t.Context(), []rotation.ZoneID{held}); err == nil {
		t.Error("a proof passes")
	}
	if _, err := c.Put(t.Context(), held, next, before); err == nil {
		t.Error("a key is acknowledged")
	}
	if _, err := c.Stage(t.Context(), held, next); err == nil {
		t.Error("a key that waits is acknowledged")
	}
	if _, err := c.Put(t.Context(), held, first, before); err == nil {
		t.Error("the key that is held is acknowledged")
	}
	// A sync that takes no names is only an old one.
	old := "#!/bin/sh\n[ $# = 0 ] || { echo 'sync: extra operand' >&2; exit 1; }\n"
	if err := os.WriteFile(filepath.Join(tools, "sync"), []byte(old), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Put(t.Context(), held, next, before); err != nil {
		t.Errorf("with an old sync: %v", err)
	}
}

// What a login's environment makes of ls is not what the script reads.
func TestListsAreReadWhateverTheirStyle(t *testing.T) {
	h := &here{env: []string{"TIME_STYLE=long-iso"}}
	c, dir, _ := courier(t, h)
	if _, err := c.Prove(t.Context(), []rotation.ZoneID{held}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(h.said, " kind old "+dir+" ") {
		t.Errorf("it did not rehearse in %s: %s", dir, h.said)
	}
}

// A run of the reload that was begun for a key serves the same key once more, but not the
// other keys that wait behind it.
func TestAnOlderReloadServesNobodyElse(t *testing.T) {
	for word, want := range map[string]int{"reload\n": 1, "anew\n": 2} {
		h := &here{}
		c, dir, first := courier(t, h)
		log := filepath.Join(dir, "log")
		c.Settings.Reload = "echo begins >>" + log + "; sleep 2"
		begun := func() int {
			text, _ := os.ReadFile(log)
			return strings.Count(string(text), "begins")
		}
		next := rotation.NewSecret("next")
		before := []rotation.Fingerprint{rotation.FingerprintOf(held, first)}
		ended := make(chan error, 1)
		go func() {
			_, err := (&Courier{Host: c.Host, Settings: c.Settings, Channel: &here{}}).Put(t.Context(), held, next, before)
			ended <- err
		}()
		for begun() == 0 {
			time.Sleep(5 * time.Millisecond)
		}
		h.edit = func(in string) string { return strings.TrimSuffix(in, "reload\n") + word }
		if _, err := c.Put(t.Context(), held, next, before); err != nil {
			t.Errorf("%q: %v", word, err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if begun() != want {
			t.Errorf("%q: %d reloads began, want %d", word, begun(), want)
		}
	}
}
