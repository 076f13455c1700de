package exec_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"keywave/internal/deliver/exec"
	"keywave/internal/proving/delivertest"
	"keywave/internal/rotation"
)

// The test's program is also the kubectl that deploy/exec/to-secret calls.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "kubectl" {
		if err := kubectl(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// secret is a Secret as the stand-in for the API server keeps it.
type secret struct {
	Metadata  map[string]any    `json:"metadata"`
	Data      map[string]string `json:"data"`
	Immutable bool              `json:"immutable,omitempty"`
}

// kubectl does as much of kubectl as to-secret needs. Objects are files of
// $HOME/api. Each call adds its arguments and its environment to $HOME/calls.
// $HOME/forbidden lists verbs that are forbidden. Before the first patch,
// $HOME/rival becomes the object.
func kubectl(args []string) error {
	home := os.Getenv("HOME")
	calls, err := os.OpenFile(home+"/calls", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	fmt.Fprintf(calls, "%q\n%q\n", args, os.Environ())
	if err := calls.Close(); err != nil {
		return err
	}
	if len(args) < 3 || args[0] != "-n" || args[1] != "edge" {
		return errors.New("error: no namespace")
	}
	verb, dry := args[2], slices.Contains(args, "--dry-run=server")
	if forbidden, _ := os.ReadFile(home + "/forbidden"); slices.Contains(strings.Fields(string(forbidden)), verb) {
		return fmt.Errorf(`Error from server (Forbidden): secrets is forbidden: User "system:serviceaccount:edge:keywave" cannot %s resource "secrets"`, verb)
	}
	switch verb {
	case "get":
		return get(home+"/api/"+args[4], slices.Contains(args, "--ignore-not-found"), args[len(args)-1])
	case "patch":
		return patch(home, args[4], slices.Contains(args, "--patch-file=/dev/stdin") && slices.Contains(args, "--type=merge"), dry)
	case "create":
		return create(home+"/api/", dry)
	}
	return fmt.Errorf("error: unknown command %q", verb)
}

func load(file string) (s secret, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(text, &s)
}

func save(file string, s secret) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}

func get(file string, ignore bool, format string) error {
	s, err := load(file)
	switch {
	case errors.Is(err, os.ErrNotExist) && ignore:
		return nil
	case err != nil:
		return err
	case format != "jsonpath={.metadata.resourceVersion} {.data.key}":
		return errors.New("error: unknown format")
	}
	_, err = fmt.Printf("%s %s", s.Metadata["resourceVersion"], s.Data["key"])
	return err
}

func patch(home, name string, merge, dry bool) error {
	file := home + "/api/" + name
	if !dry {
		_ = os.Rename(home+"/rival", file)
	}
	now, err := load(file)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(os.Stdin)
	if err != nil || !merge {
		return fmt.Errorf("error: no merge patch on stdin: %w", err)
	}
	var change secret
	if err := json.Unmarshal(text, &change); err != nil {
		return err
	}
	switch was := now.Metadata["resourceVersion"]; {
	case change.Metadata["resourceVersion"] != nil && change.Metadata["resourceVersion"] != was:
		return fmt.Errorf(`Error from server (Conflict): Operation cannot be fulfilled on secrets %q: the object has been modified`, name)
	case now.Immutable && change.Data["key"] != now.Data["key"]:
		return fmt.Errorf(`The Secret %q is invalid: data: Forbidden: field is immutable when immutable is set`, name)
	case dry:
		return nil
	default:
		now.Data["key"], now.Metadata["resourceVersion"] = change.Data["key"], fmt.Sprint(was, "1")
	}
	fmt.Printf("secret/%s patched\n", name)
	return save(file, now)
}

func create(api string, dry bool) error {
	var s secret
	if err := json.NewDecoder(os.Stdin).Decode(&s); err != nil {
		return err
	}
	name := s.Metadata["name"].(string)
	if _, err := os.Stat(api + name); err == nil {
		return fmt.Errorf(`Error from server (AlreadyExists): secrets %q already exists`, name)
	}
	if dry {
		return nil
	}
	s.Metadata["resourceVersion"] = "1"
	fmt.Printf("secret/%s created\n", name)
	return save(api+name, s)
}

// cluster is a home directory with the stand-in, and a host that is its namespace.
type cluster struct {
	home string
	rotation.Host
}

// newCluster copies the program, because others may write the folder of the
// sources.
func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{home: t.TempDir()}
	bin := t.TempDir()
	me, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../../../deploy/exec/to-secret")
	if err := errors.Join(err, os.Symlink(me, bin+"/kubectl"), delivertest.WriteProgram(bin+"/to-secret", string(text)), os.Mkdir(c.home+"/api", 0o700)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", c.home)
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	c.Host = host(t, exec.Config{Name: "edge", Command: []string{bin + "/to-secret", "edge"}})
	return c
}

func (c *cluster) write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(c.home, file), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (c *cluster) object(t *testing.T) secret {
	t.Helper()
	s, err := load(c.home + "/api/" + string(zone))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// holds fails unless the Secret holds the key.
func (c *cluster) holds(t *testing.T, key rotation.Secret) {
	t.Helper()
	if c.object(t).Data["key"] != base64.StdEncoding.EncodeToString([]byte(key.Expose())) {
		t.Fatal("the Secret holds something else")
	}
}

func (c *cluster) put(t *testing.T, key rotation.Secret, expect ...rotation.Fingerprint) {
	t.Helper()
	if held, err := c.Put(t.Context(), zone, key, expect); err != nil || held != of(key) {
		t.Fatalf("Put gave %s, %v", held, err)
	}
	c.holds(t, key)
}

// A Secret is made, changed and read. No key is in an argument or an
// environment of kubectl.
func TestSecretOfKubernetes(t *testing.T) {
	c := newCluster(t)
	zones := []rotation.ZoneID{zone, "zone-2"}
	first, second := delivertest.NewKey(), delivertest.NewKey()
	shown, err := c.Prove(t.Context(), zones)
	if err != nil || shown.Held[zone] != rotation.Absent || shown.Held["zone-2"] != rotation.Absent {
		t.Fatalf("Prove gave %v, %v", shown, err)
	}
	if there, err := os.ReadDir(c.home + "/api"); err != nil || len(there) > 0 {
		t.Fatalf("a proof left %v, %v", there, err)
	}
	c.put(t, first, rotation.Absent)
	with := c.object(t)
	with.Data["other"], with.Metadata["labels"] = "c3RheXM=", map[string]any{"app": "gateway"}
	if err := save(c.home+"/api/"+string(zone), with); err != nil {
		t.Fatal(err)
	}
	shown, err = c.Prove(t.Context(), zones)
	if err != nil || shown.Held[zone] != of(first) || shown.Held["zone-2"] != rotation.Absent {
		t.Fatalf("Prove gave %v, %v", shown, err)
	}
	c.holds(t, first)
	c.put(t, second, of(first))
	c.put(t, second, of(first)) // again
	if now := c.object(t); now.Data["other"] != "c3RheXM=" || fmt.Sprint(now.Metadata["labels"]) != "map[app:gateway]" {
		t.Errorf("what else the Secret had is gone: %v", now)
	}
	if shown, err := c.Held(t.Context(), zones); err != nil || shown.Held[zone] != of(second) || shown.Held["zone-2"] != rotation.Absent {
		t.Fatalf("Held gave %v, %v", shown, err)
	}
	c.keptSecret(t, first, second)
}

func (c *cluster) keptSecret(t *testing.T, keys ...rotation.Secret) {
	t.Helper()
	calls, err := os.ReadFile(c.home + "/calls")
	if err != nil || !strings.Contains(string(calls), "patch") || !strings.Contains(string(calls), "HOME="+c.home) {
		t.Fatalf("the stand-in did not see all of it: %v", err)
	}
	for _, key := range keys {
		raw := []byte(key.Expose())
		for _, form := range []string{key.Expose(), base64.StdEncoding.EncodeToString(raw), hex.EncodeToString(raw)} {
			if strings.Contains(string(calls), form) {
				t.Fatal("kubectl got the key as an argument or in its environment")
			}
		}
	}
}

// Compare-and-swap: a key that nobody expects stays, and so does what a rival
// wrote after the Secret was read.
func TestSecretOfARival(t *testing.T) {
	c := newCluster(t)
	first, second, theirs := delivertest.NewKey(), delivertest.NewKey(), delivertest.NewKey()
	c.put(t, theirs, rotation.Absent)
	refused := new(rotation.HeldError)
	if _, err := c.Put(t.Context(), zone, second, []rotation.Fingerprint{of(first), rotation.Absent}); !errors.As(err, &refused) || refused.Held != of(theirs) {
		t.Fatalf("got %v, want a HeldError", err)
	}
	c.holds(t, theirs)

	c.put(t, first, of(theirs))
	rival := c.object(t)
	rival.Metadata["resourceVersion"], rival.Data["key"] = "999", base64.StdEncoding.EncodeToString([]byte(theirs.Expose()))
	if err := save(c.home+"/rival", rival); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Put(t.Context(), zone, second, []rotation.Fingerprint{of(first)}); !errors.As(err, &refused) || refused.Held != of(theirs) {
		t.Fatalf("got %v, want a HeldError", err)
	}
	c.holds(t, theirs)
}

// What Kubernetes refuses is already reported by the proof, in Kubernetes' own
// words.
func TestSecretRefused(t *testing.T) {
	c := newCluster(t)
	key := delivertest.NewKey()
	c.put(t, key, rotation.Absent)
	for name, bad := range map[string]struct {
		forbidden string
		immutable bool
		step      rotation.HostStep
		says      []string
	}{
		"get":       {"get", false, "connect", []string{"kubectl does not read the Secret zone-27q0p0bal192 of namespace edge", "cannot get resource"}},
		"patch":     {"patch", false, "write", []string{"would not let the Secret zone-27q0p0bal192 of namespace edge be written", "cannot patch resource"}},
		"immutable": {"", true, "write", []string{"would not let the Secret", "field is immutable"}},
	} {
		c.write(t, "forbidden", bad.forbidden)
		s := c.object(t)
		s.Immutable = bad.immutable
		if err := save(c.home+"/api/"+string(zone), s); err != nil {
			t.Fatal(err)
		}
		_, err := c.Prove(t.Context(), []rotation.ZoneID{zone})
		failed := failure(t, err)
		for _, want := range bad.says {
			if failed.Step != bad.step || !strings.Contains(failed.Why, want) {
				t.Errorf("%s: got %v, want %s: %q", name, failed, bad.step, want)
			}
		}
		_, err = c.Put(t.Context(), zone, delivertest.NewKey(), []rotation.Fingerprint{of(key)})
		if failed := failure(t, err); failed.Step != bad.step {
			t.Errorf("%s: Put gave %v", name, failed)
		}
		c.holds(t, key)
	}
}

// to-secret runs in the shells that hosts have.
func TestSecretInEveryShell(t *testing.T) {
	c := newCluster(t)
	text, err := os.ReadFile("../../../deploy/exec/to-secret")
	if err != nil {
		t.Fatal(err)
	}
	held := rotation.Absent
	for _, shell := range []string{"/bin/dash", "/bin/bash --posix", "/bin/busybox sh"} {
		name, _, _ := strings.Cut(shell, " ")
		if _, err := os.Stat(name); err != nil {
			continue
		}
		program := filepath.Join(t.TempDir(), "to-secret")
		if err := delivertest.WriteProgram(program, "#!"+shell+"\n"+string(text)); err != nil {
			t.Fatal(err)
		}
		c.Host = host(t, exec.Config{Name: "edge", Command: []string{program, "edge"}})
		key := delivertest.NewKey()
		if _, err := c.Prove(t.Context(), []rotation.ZoneID{zone}); err != nil {
			t.Fatalf("%s: %v", shell, err)
		}
		c.put(t, key, held)
		held = of(key)
	}
}
