package exec_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"keywave/internal/deliver/exec"
	"keywave/internal/proving/delivertest"
	"keywave/internal/proving/hostile"
	"keywave/internal/rotation"
)

const zone = rotation.ZoneID("zone-27q0p0bal192")

// TestContract runs the suite of all transports with a program that puts keys
// into files. The program waits for less time than our script does; what it
// answers is what counts.
func TestContract(t *testing.T) {
	bring := filepath.Join(t.TempDir(), "bring")
	if out, err := osexec.Command("go", "build", "-o", bring, "keywave/internal/proving/delivertest/bring").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	delivertest.Run(t, func(t *testing.T, cfg delivertest.Config) rotation.Host {
		settings, err := json.Marshal(cfg)
		if err != nil {
			t.Fatal(err)
		}
		return host(t, exec.Config{Name: cfg.Name, Command: []string{bring, string(settings)}, Timeout: cfg.CommandTimeout + time.Minute})
	})
}

func host(t *testing.T, cfg exec.Config) rotation.Host {
	t.Helper()
	if cfg.Name == "" {
		cfg.Name = "gw-1"
	}
	h, err := exec.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// script is a program in sh.
func script(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "program")
	if err := delivertest.WriteProgram(file, "#!/bin/sh\n"+text+"\n"); err != nil {
		t.Fatal(err)
	}
	return file
}

func of(key rotation.Secret) rotation.Fingerprint { return rotation.FingerprintOf(zone, key) }

// failure is the step at which a call failed, and why.
func failure(t *testing.T, err error) *rotation.HostError {
	t.Helper()
	var failed *rotation.HostError
	if !errors.As(err, &failed) {
		t.Fatalf("got %v, want a HostError", err)
	}
	return failed
}

// Programs that do what they should not. Each gives a true message, shows no
// key and does not hang.
func TestBadPrograms(t *testing.T) {
	t.Parallel()
	key := delivertest.NewKey()
	for name, c := range map[string]struct {
		does string
		step rotation.HostStep
		says string
	}{
		"says nothing":                {`true`, "session", "answered for 0 of 1 zones, not for zone-27q0p0bal192; what the host holds is not known until it is asked again"},
		"fails":                       {`echo the cluster is away >&2; exit 3`, "session", `ended with exit status 3, saying "the cluster is away"; what the host holds is not known`},
		"fails without a word":        {`exit 3`, "session", "ended with exit status 3, saying nothing"},
		"is killed":                   {`kill -9 $$`, "session", "ended with signal: killed"},
		"answers, and fails":          {`read -r o; read -r k; echo '{"zone":"zone-27q0p0bal192","held":"absent"}'; exit 1`, "session", "ended with exit status 1"},
		"says a problem":              {`echo '{"step":"write","problem":"no room; the old key stands"}'; exit 1`, "write", "gw-1: no room; the old key stands"},
		"says a problem and a word":   {`echo 'quota exceeded' >&2; echo '{"step":"write","problem":"no room"}'; exit 1`, "write", `gw-1: no room (its program's last words: "quota exceeded")`},
		"says a problem, ends well":   {`echo '{"step":"verify","problem":"old key in use"}'`, "verify", "old key in use"},
		"says a step that is none":    {`echo '{"step":"lunch","problem":"gone"}'; exit 1`, "session", "gone"},
		"says a step and no problem":  {`echo '{"step":"write"}'; exit 1`, "write", "its program says that there is a problem, and not which"},
		"says no JSON":                {`echo hello`, "session", "printed as line 1 what is no answer: no JSON object of the form"},
		"says a list":                 {`echo '[1]'`, "session", "printed as line 1 what is no answer: no JSON object of the form"},
		"says something else":         {`echo '{"ok":true}'`, "session", "it has neither zone and held, nor step and problem"},
		"says another zone":           {`echo '{"zone":"zone-2","held":"absent"}'`, "session", "it names a zone that was not asked for"},
		"says no fingerprint":         {`echo '{"zone":"zone-27q0p0bal192","held":"yes"}'`, "session", `is neither a fingerprint of 16 hex digits nor "absent"`},
		"contradicts itself":          {`echo '{"zone":"zone-27q0p0bal192","held":"absent"}'; echo '{"zone":"zone-27q0p0bal192","held":"0123456789abcdef"}'`, "session", "line 2 what is no answer: it says of zone-27q0p0bal192 what another line denies"},
		"puts nothing":                {`echo '{"zone":"zone-27q0p0bal192","held":"absent"}'`, "write", "ended with status 0, and says that the host still holds absent instead of the key"},
		"prints the key":              {`read -r o; read -r k; echo "$k"; echo "$k" >&2; exit 1`, "session", `saying "[…]"`},
		"prints the key in a problem": {`read -r o; read -r k; echo "{\"step\":\"write\",\"problem\":\"cannot put $k anywhere\"}"; exit 1`, "write", "cannot put […] anywhere"},
		"prints the key as an answer": {`read -r o; read -r k; echo "{\"zone\":\"$k\",\"held\":\"$k\"}"`, "session", "it names a zone that was not asked for"},
		"prints 100 MB":               {`trap '' PIPE; head -c 100000000 /dev/zero`, "session", "printed more than 66048 bytes, and was ended"},
		"prints 100 MB of complaints": {`head -c 100000000 /dev/zero >&2; exit 1`, "session", "ended with exit status 1"},
		"prints one long line":        {`head -c 5000 /dev/zero; echo; exit 0`, "session", "it is longer than 4096 bytes"},
		"closes its input":            {`exec <&-; echo '{"step":"connect","problem":"no network"}'; exit 1`, "connect", "no network"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := host(t, exec.Config{Command: []string{script(t, c.does)}}).Put(t.Context(), zone, key, []rotation.Fingerprint{rotation.Absent})
			failed := failure(t, err)
			if failed.Step != c.step || !strings.Contains(failed.Why, c.says) || !strings.HasPrefix(failed.Why, "gw-1: ") {
				t.Errorf("got %v\nwant %s: … %s", err, c.step, c.says)
			}
			if strings.Contains(err.Error(), key.Expose()) {
				t.Error("the error holds the key")
			}
		})
	}
}

// A host that holds an unexpected key is reported as such.
func TestUnexpected(t *testing.T) {
	t.Parallel()
	h := host(t, exec.Config{Command: []string{script(t, `echo '{"zone":"zone-27q0p0bal192","held":"0123456789abcdef"}'`)}})
	var refused *rotation.HeldError
	if _, err := h.Put(t.Context(), zone, delivertest.NewKey(), []rotation.Fingerprint{rotation.Absent}); !errors.As(err, &refused) || refused.Held != "0123456789abcdef" {
		t.Fatalf("got %v, want a HeldError", err)
	}
}

// When a call has ended, a program that ignores SIGTERM has ended too, and its
// children.
func TestTimeout(t *testing.T) {
	t.Parallel()
	pids := filepath.Join(t.TempDir(), "pids")
	h := host(t, exec.Config{Timeout: 2 * time.Second, Command: []string{script(t, `trap '' TERM; sleep 1000 & echo waiting >&2; echo $! $$ >`+pids+`; wait; sleep 1000`)}})
	for { // until even a busy machine has started the program
		_, err := h.Put(t.Context(), zone, delivertest.NewKey(), nil)
		failed := failure(t, err)
		if failed.Step != rotation.StepSession || !strings.Contains(failed.Why, "did not end within 2s, and was ended with its process group, saying ") ||
			!strings.HasSuffix(failed.Why, "; what the host holds is not known until it is asked again") {
			t.Fatalf("got %v", err)
		}
		if text, _ := os.ReadFile(pids); strings.HasSuffix(string(text), "\n") {
			break
		}
	}
	gone(t, pids)
}

// No key is shown: not the new one in a form that does not look like a key, and
// not one that the host held and that we do not know.
func TestKeysOfPrograms(t *testing.T) {
	t.Parallel()
	short, held := rotation.NewSecret("hunter2"), delivertest.NewKey()
	_, err := host(t, exec.Config{Command: []string{script(t, `read -r o; read -r k; echo "{\"step\":\"write\",\"problem\":\"no place for $k here\"}"`)}}).Put(t.Context(), zone, short, nil)
	if failed := failure(t, err); failed.Why != "gw-1: no place for […] here" {
		t.Errorf("got %v", failed)
	}
	_, err = host(t, exec.Config{Command: []string{script(t, `echo '{"step":"write","problem":"it holds `+held.Expose()+` now"}'`)}}).Held(t.Context(), []rotation.ZoneID{zone})
	if failed := failure(t, err); failed.Why != "gw-1: it holds […] now" {
		t.Errorf("got %v", failed)
	}
}

// gone fails unless the processes named in a file have ended, or are about to
// end.
func gone(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil || len(strings.Fields(string(text))) == 0 {
		t.Fatalf("the program did not come so far: %v", err)
	}
	for _, word := range strings.Fields(string(text)) {
		pid, _ := strconv.Atoi(word)
		for deadline := time.Now().Add(time.Minute); syscall.Kill(pid, 0) == nil && !zombie(pid); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("process %d goes on", pid)
			}
		}
	}
}

func zombie(pid int) bool {
	text, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return strings.Contains(string(text), ") Z ")
}

// Children that a program leaves behind do not delay a call, and end with it.
func TestChildrenLeftBehind(t *testing.T) {
	t.Parallel()
	pids := filepath.Join(t.TempDir(), "pids")
	h := host(t, exec.Config{Timeout: time.Minute, Command: []string{script(t, `sleep 1000 & echo $! >`+pids+`; echo '{"zone":"zone-27q0p0bal192","held":"absent"}'`)}})
	shown, err := h.Held(t.Context(), []rotation.ZoneID{zone})
	if err != nil || shown.Held[zone] != rotation.Absent {
		t.Fatalf("got %v, %v", shown, err)
	}
	gone(t, pids)
}

// A call that is given up ends the program, and errors.Is finds the context's
// error.
func TestGivenUp(t *testing.T) {
	t.Parallel()
	pids := filepath.Join(t.TempDir(), "pids")
	h := host(t, exec.Config{Timeout: time.Minute, Command: []string{script(t, `echo $$ >`+pids+`.new; mv `+pids+`.new `+pids+`; sleep 1000`)}})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		for ctx.Err() == nil {
			if _, err := os.Stat(pids); err == nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	_, err := h.Prove(ctx, []rotation.ZoneID{zone})
	if failed := failure(t, err); !errors.Is(err, context.Canceled) || !strings.Contains(failed.Why, "the program was given no key") {
		t.Errorf("got %v", err)
	}
	gone(t, pids)
}

// A program gets its arguments with the verb, the order, the key (for put
// only), and those variables of our environment that are no secrets.
func TestWhatAProgramGets(t *testing.T) {
	for name, value := range map[string]string{
		"PATH": os.Getenv("PATH"), "HOME": "/home/edge", "LANG": "C.UTF-8", "KEYWAVE_KUBECONFIG": "/etc/kube",
		"TENCENTCLOUD_SECRET_KEY": "planted", "KEYWAVE_WEBHOOK_URL": "planted", "KEYWAVE_KEYRING": "planted", "KEYWAVE_Db_Password": "planted",
		"TEMPORAL_API_KEY": "planted", "SSH_AUTH_SOCK": "planted",
	} {
		t.Setenv(name, value)
	}
	seen := filepath.Join(t.TempDir(), "seen")
	program := script(t, `{ printf '%s|' "$@"; echo; env; cat; } >`+seen+`; echo '{"step":"write","problem":"enough"}'`)
	h := host(t, exec.Config{Name: "gw-3", Command: []string{program, "two words", ""}})
	key := delivertest.NewKey()
	for verb, call := range map[string]func(){
		"prove": func() { _, _ = h.Prove(t.Context(), []rotation.ZoneID{zone, "zone-2"}) },
		"held":  func() { _, _ = h.Held(t.Context(), []rotation.ZoneID{zone}) },
		"put": func() {
			_, _ = h.Put(t.Context(), zone, key, []rotation.Fingerprint{"0123456789abcdef", rotation.Absent})
		},
	} {
		call()
		text, err := os.ReadFile(seen)
		if err != nil {
			t.Fatal(err)
		}
		wants := []string{"two words||" + verb + "|\n", "HOME=/home/edge\n", "LANG=C.UTF-8\n", "KEYWAVE_KUBECONFIG=/etc/kube\n", map[string]string{
			"prove": "\n" + `{"zones":["zone-27q0p0bal192","zone-2"],"host":"gw-3"}` + "\n",
			"held":  "\n" + `{"zones":["zone-27q0p0bal192"],"host":"gw-3"}` + "\n",
			"put":   "\n" + `{"zones":["zone-27q0p0bal192"],"host":"gw-3","expect":["0123456789abcdef","absent"]}` + "\n" + key.Expose() + "\n",
		}[verb]}
		for _, want := range wants {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s: the program does not see %q", verb, want)
			}
		}
		if strings.Contains(string(text), "planted") || verb != "put" && strings.Contains(string(text), key.Expose()) {
			t.Errorf("%s: the program sees what it must not:\n%s", verb, text)
		}
	}
}

// Whoever can write the program gets keys. So a program that others can write
// is not started, and gets no key.
func TestGuarded(t *testing.T) {
	t.Parallel()
	ran := filepath.Join(t.TempDir(), "ran")
	does := "touch " + ran
	change := func(change func(program string) error) func(*testing.T) string {
		return func(t *testing.T) string {
			program := script(t, does)
			if err := change(program); err != nil {
				t.Skip(err)
			}
			return program
		}
	}
	link := func(to func(dir, program string) error) func(*testing.T) string {
		return func(t *testing.T) string {
			dir := t.TempDir()
			if err := to(dir, script(t, does)); err != nil {
				t.Skip(err)
			}
			return filepath.Join(dir, "link")
		}
	}
	for name, c := range map[string]struct {
		program func(*testing.T) string
		says    string
	}{
		"missing":        {change(os.Remove), "is not there: no such file or directory; install it, or correct command"},
		"not executable": {change(func(p string) error { return os.Chmod(p, 0o644) }), "cannot be started: permission denied; let the worker's user execute it: chmod +x"},
		"no interpreter": {change(func(p string) error { return delivertest.WriteProgram(p, "#!/no/such/sh\n") }), "its first line names an interpreter that is not there"},
		"no program":     {change(func(p string) error { return delivertest.WriteProgram(p, "touch "+ran+"\n") }), "cannot be started: exec format error; a script begins with the line #!/bin/sh"},
		"written to now": {change(func(p string) error {
			f, err := os.OpenFile(p, os.O_WRONLY, 0)
			t.Cleanup(func() { _ = f.Close() })
			return err
		}), "cannot be started: text file busy; somebody writes to it now; replace a program by a rename"},
		"the group's":         {change(func(p string) error { return os.Chmod(p, 0o775) }), "may be written by others than root and user"},
		"everybody's":         {change(func(p string) error { return os.Chmod(p, 0o757) }), "and who can write it gets keys; run chown root and chmod go-w on it"},
		"another user's":      {change(func(p string) error { return os.Chown(p, 12345, -1) }), "it is user 12345's"},
		"everybody's folder":  {change(func(p string) error { return os.Chmod(filepath.Dir(p), 0o777) }), "may be written by others"},
		"another's folder":    {change(func(p string) error { return os.Chown(filepath.Dir(p), 12345, -1) }), "it is user 12345's"},
		"a link of everybody": {link(func(dir, p string) error { return errors.Join(os.Symlink(p, dir+"/link"), os.Chmod(dir, 0o777)) }), "may be written by others"},
		"a link of another": {link(func(dir, p string) error {
			return errors.Join(os.Symlink(p, dir+"/link"), os.Lchown(dir+"/link", 12345, -1))
		}), "it is user 12345's"},
		"a link to everybody": {link(func(dir, p string) error { return errors.Join(os.Symlink(p, dir+"/link"), os.Chmod(p, 0o757)) }), "may be written by others"},
	} {
		t.Run(name, func(t *testing.T) {
			h := host(t, exec.Config{Command: []string{c.program(t)}})
			for _, call := range []func() error{
				func() error { _, err := h.Prove(t.Context(), []rotation.ZoneID{zone}); return err },
				func() error { _, err := h.Put(t.Context(), zone, delivertest.NewKey(), nil); return err },
			} {
				if failed := failure(t, call()); failed.Step != rotation.StepConnect || !strings.Contains(failed.Why, c.says) {
					t.Errorf("got %v\nwant connect: … %s", failed, c.says)
				}
			}
			if _, err := os.Stat(ran); err == nil {
				t.Error("the program ran")
			}
		})
	}
}

// A program's words are harmless where people read them.
func TestWordsOfAProgram(t *testing.T) {
	t.Parallel()
	for _, w := range hostile.Words() {
		words := filepath.Join(t.TempDir(), "words")
		line, err := json.Marshal(map[string]string{"step": "write", "problem": w.Text})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(words, append(line, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, does := range []string{"cat " + words, "cat " + words + " >&2; exit 1", `echo '{"step":"write","problem":"x"}'; cat ` + words + " >&2"} {
			_, err := host(t, exec.Config{Command: []string{script(t, does)}}).Held(t.Context(), []rotation.ZoneID{zone})
			why := failure(t, err).Why
			if bad := hostile.Seen(why); bad != "" || strings.Contains(why, "\n") || len(why) > 1200 {
				t.Errorf("what hopes for %s: %s, %d bytes: %.300q", w.Hope, bad, len(why), why)
			}
		}
	}
}
