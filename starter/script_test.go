package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"keywave/internal/proving/sim"
	"keywave/internal/proving/stage"
	"keywave/workflows"
)

var histories = flag.String("histories", "", "a directory for the histories of what some scripts run")

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"keywave": main})
}

// TestScript runs testdata/script: what an operator types, what is said and
// which exit code follows, with the real programs. Besides the commands of
// testscript a script has these:
//
//	exits CODE[<15s] PROGRAM ARG…   run it; it ends with CODE, in time
//	eventually PROGRAM ARG…         run it again and again until it succeeds
//	built                           bin holds the programs, as after make build
//	temporal [FILE]                 start the embedded server, on a file of its own or
//	                                this one; sets TEMPORAL_ADDRESS
//	port NAME                       sets NAME to a port that is free
//	world ARG…                      start keywave sim ARG…; sets FLEET, ENDPOINT, IDENTITY,
//	                                ROLE, WEB_IDENTITY and TENCENTCLOUD_CREDENTIALS_FILE, and
//	                                with two accounts the second's TENCENTCLOUD_SECRET_ID and
//	                                _KEY
//	work NAME ARG…                  start a worker, and wait until it is ready
//	rest NAME                       stop that worker
//	control METHOD PATH [BODY]      ask the simulator; its answer is stdout
//	calls                           stdout: how often each API action was called
//	                                since the last calls
//	limits                          stdout: each account's calls of each API action; none
//	                                made more in a second than its own limit
//	say WORDS…, types CODE PROGRAM ARG…, recorded FILE
//	                                keep what a person types and sees, and compare it
//	                                with the console block of a page of the docs
//	hook                            start a receiver of notices: HOOK, hook.txt
//	held FILE                       write down what hosts hold
//	[!] changed FILE                what hosts hold is another than when FILE was written
//	open                            stdout: the open workflows, without the lease
//	json [FIELD VALUE]…             stdout is exactly one JSON document with these
//	                                fields; a.b is a field of a field
//	field NAME FIELD                sets NAME to a field of stdout's JSON document
//	dated DURATION                  put a clock that is off before the simulator;
//	                                sets DATED to its address
//	retention NAMESPACE DURATION    set how long closed workflows are kept
//	stranger HOST                   an SSH peer with hostile words in HOST's place, and
//	                                zones named so; sets FLEET, WORD and BAD
//	harmless FILE…                  nothing in stdout, stderr or a file acts on a terminal
//	remember NAME TYPE…             with -histories, write the first history of each of
//	                                these workflow types as TYPE-NAME
//	shows URL PATTERN…              stdout: that page, once it has a line of each pattern
//	clock NAME DURATION             sets NAME to the time of day then, in UTC
func TestScript(t *testing.T) {
	p := programs(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", UpdateScripts: *update, RequireUniqueNames: true, RequireExplicitExec: true,
		Setup: own,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "eventually": eventually, "screen": screen, "control": control, "calls": calls, "limits": limits, "held": held, "hook": hook, "say": say, "types": types, "recorded": recorded, "changed": changed,
			"open": open, "json": document, "field": field, "rest": rest, "dated": dated, "retention": retention, "clock": timeOfDay, "port": port,
			"shows": shows, "stranger": stranger, "remember": remember, "harmless": harmlessFiles,
			"built": func(ts *testscript.TestScript, _ bool, _ []string) { inBin(ts, p) },
			"temporal": func(ts *testscript.TestScript, _ bool, args []string) {
				startTemporal(ts, p, append(args, "temporal.db")[0])
			},
			"world": func(ts *testscript.TestScript, _ bool, args []string) { startWorld(ts, args) },
			"work":  func(ts *testscript.TestScript, _ bool, args []string) { startWorker(ts, p, args) },
		},
	})
}

// programs are the real programs: the worker is built as it is now, and the
// embedded server where it is missing.
func programs(t *testing.T) stage.Programs {
	if err := stage.Notice(".."); err != nil {
		t.Fatal(err)
	}
	p := stage.Programs{Worker: filepath.Join(t.TempDir(), "worker")}
	if out, err := exec.Command("go", "build", "-o", p.Worker, "../worker").CombinedOutput(); err != nil {
		t.Fatalf("the worker cannot be built: %v\n%s", err, out)
	}
	var err error
	if p.DevServer, err = stage.DevServer(".."); err != nil {
		t.Fatal(err)
	}
	return p
}

// own gives a script a home of its own, and no settings of this machine.
func own(env *testscript.Env) error {
	for name, dir := range map[string]string{
		"HOME": "", "XDG_CONFIG_HOME": ".config", "XDG_DATA_HOME": ".local/share", "XDG_STATE_HOME": ".local/state", "XDG_CACHE_HOME": ".cache",
	} {
		path := filepath.Join(env.WorkDir, "home", dir)
		if err := os.MkdirAll(path, 0o700); err != nil {
			return err
		}
		env.Setenv(name, path)
	}
	env.Setenv("TZ", "UTC")
	docs, err := filepath.Abs("../docs")
	if err != nil {
		return err
	}
	env.Setenv("DOCS", docs)
	env.Values[transcript{}] = &bytes.Buffer{}
	env.Values[calledBefore{}] = map[string]int{}
	env.Values[atWork{}] = map[string]*stage.Process{}
	return nil
}

// environment is the script's environment, for programs in the background.
func environment(ts *testscript.TestScript) []string {
	var env []string
	for _, name := range []string{
		"PATH", "HOME", "TMPDIR", "TZ", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "GOCOVERDIR",
		"TEMPORAL_ADDRESS", "TENCENTCLOUD_CREDENTIALS_FILE", "TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY",
		"TKE_REGION", "TKE_PROVIDER_ID", "TKE_ROLE_ARN", "TKE_WEB_IDENTITY_TOKEN_FILE",
		"KEYWAVE_WEBHOOK_URL", "KEYWAVE_WEBHOOK_FORMAT", "KEYWAVE_WEBHOOK_SECRET",
	} {
		if value := ts.Getenv(name); value != "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}

const (
	readyWithin = 3 * time.Minute
	patience    = 2 * time.Minute // for a machine that is busy with other work
	grace       = 10 * time.Second
	// whenBusy is how much longer than a script says a program may take: on a machine that is
	// busy with other work, to start one may take many seconds. One that hangs is still found.
	whenBusy = time.Minute
)

// begin starts a program that is stopped when the script ends. What it printed
// is shown when the script fails.
func begin(ts *testscript.TestScript, name, path string, args ...string) *stage.Process {
	p, err := stage.Start(name, path, ts.MkAbs(name+".log"), environment(ts), args...)
	ts.Check(err)
	ts.Defer(func() {
		p.Stop(grace)
		said, _ := os.ReadFile(p.Log)
		ts.Logf("[%s]\n%s", name, said[max(0, len(said)-4000):])
	})
	return p
}

func startTemporal(ts *testscript.TestScript, programs stage.Programs, db string) {
	p := begin(ts, "devserver", programs.DevServer, devserverArgs(ts.MkAbs(db))...)
	line, err := p.FirstLine(context.Background(), readyWithin)
	ts.Check(err)
	for word := range strings.FieldsSeq(line) {
		if address, ok := strings.CutPrefix(word, "temporal="); ok {
			ts.Setenv("TEMPORAL_ADDRESS", address)
			return
		}
	}
	ts.Fatalf("devserver said %q instead of being ready", line)
}

// keywave is the program of which this test is a part.
func keywave(ts *testscript.TestScript) string {
	path, _, _ := strings.Cut(ts.Getenv("PATH"), string(os.PathListSeparator))
	return filepath.Join(path, "keywave")
}

// inBin puts keywave itself there, because it looks for the other programs
// beside it.
func inBin(ts *testscript.TestScript, programs stage.Programs) {
	bin := ts.MkAbs("bin")
	ts.Check(os.Mkdir(bin, 0o700))
	ts.Check(os.Link(keywave(ts), filepath.Join(bin, "keywave")))
	ts.Check(os.Symlink(programs.Worker, filepath.Join(bin, "worker")))
	ts.Check(os.Symlink(programs.DevServer, filepath.Join(bin, "devserver")))
}

func devserverArgs(db string) []string {
	return []string{"--db", db, "--port", "0", "--ui-port", "0"}
}

func startWorld(ts *testscript.TestScript, args []string) {
	p := begin(ts, "sim", keywave(ts), simArgs(ts.MkAbs("world"), args)...)
	line, err := p.FirstLine(context.Background(), readyWithin)
	ts.Check(err)
	var places simPlaces
	ts.Check(json.Unmarshal([]byte(line), &places))
	for name, value := range map[string]string{
		"FLEET": places.Fleet, "ENDPOINT": places.Endpoint, "CONTROL": places.Control,
		"IDENTITY": places.Identity, "TENCENTCLOUD_CREDENTIALS_FILE": places.Credentials,
		"ROLE": places.Role, "WEB_IDENTITY": places.WebIdentity,
	} {
		ts.Setenv(name, value)
	}
	if places.Environment != "" {
		for line := range strings.Lines(ts.ReadFile(places.Environment)) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			ts.Setenv(name, value)
		}
	}
}

func simArgs(dir string, args []string) []string {
	return append([]string{"sim", "--output", "json", "--dir", dir}, args...)
}

type atWork struct{}

func startWorker(ts *testscript.TestScript, programs stage.Programs, args []string) {
	name := args[0]
	p := begin(ts, name, programs.Worker, workerArgs(ts.Getenv("IDENTITY"), args[1:])...)
	ts.Value(atWork{}).(map[string]*stage.Process)[name] = p
	within(ts, readyWithin, func() error {
		if !p.Running() {
			ts.Fatalf("worker %s ended", name)
		}
		said, err := os.ReadFile(p.Log)
		if err == nil && !ready.Match(said) {
			err = fmt.Errorf("worker %s is not ready", name)
		}
		return err
	})
}

var ready = regexp.MustCompile(`msg=ready|"msg":"ready"`)

func workerArgs(identity string, args []string) []string {
	return append(slices.Clone(args), "--ssh-identity", identity, "--ssh-agent", "none")
}

func rest(ts *testscript.TestScript, _ bool, args []string) {
	ts.Value(atWork{}).(map[string]*stage.Process)[args[0]].Stop(grace)
}

// within tries until it succeeds.
func within(ts *testscript.TestScript, limit time.Duration, try func() error) {
	var err error
	if !stage.Until(context.Background(), limit, func() bool { err = try(); return err == nil }) {
		ts.Fatalf("not within %s: %v", limit, err)
	}
}

func exits(ts *testscript.TestScript, _ bool, args []string) {
	code, in, limited := strings.Cut(args[0], "<")
	want, err := strconv.Atoi(code)
	ts.Check(err)
	began := time.Now()
	err = ts.Exec(args[1], args[2:]...)
	took, got := time.Since(began), 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
	if !limited {
		return
	}
	limit, err := time.ParseDuration(in)
	ts.Check(err)
	if took > limit+whenBusy {
		ts.Fatalf("it took %s", took)
	}
}

func eventually(ts *testscript.TestScript, _ bool, args []string) {
	within(ts, patience, func() error { return ts.Exec(args[0], args[1:]...) })
}

// shows asks a worker until it says what is expected, whatever the status is.
func shows(ts *testscript.TestScript, _ bool, args []string) {
	var page []byte
	within(ts, patience, func() error {
		resp, err := http.Get(args[0])
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		if page, err = io.ReadAll(resp.Body); err != nil {
			return err
		}
		for _, pattern := range args[1:] {
			if !regexp.MustCompile("(?m)" + pattern).Match(page) {
				return fmt.Errorf("%s has no line %q:\n%s", args[0], pattern, page)
			}
		}
		return nil
	})
	_, err := ts.Stdout().Write(page)
	ts.Check(err)
}

// screen waits until a line of the terminal SCREEN matches a pattern.
func screen(ts *testscript.TestScript, _ bool, args []string) {
	pattern := regexp.MustCompile("(?m)" + args[0])
	within(ts, patience, func() error {
		shows, err := exec.Command("sh", "-c", ts.Getenv("SCREEN")+" capture-pane -p").CombinedOutput()
		if err == nil && !pattern.Match(shows) {
			err = fmt.Errorf("the screen shows no %q:\n%s", args[0], shows)
		}
		return err
	})
}

func control(ts *testscript.TestScript, _ bool, args []string) {
	_, err := ts.Stdout().Write(ask(ts, args[0], args[1], strings.Join(args[2:], " ")))
	ts.Check(err)
}

func ask(ts *testscript.TestScript, method, path, body string) []byte {
	req, err := http.NewRequest(method, ts.Getenv("CONTROL")+path, strings.NewReader(body))
	ts.Check(err)
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	ts.Check(err)
	if resp.StatusCode != http.StatusOK {
		ts.Fatalf("%s %s: %s: %s", method, path, resp.Status, answer)
	}
	return answer
}

type calledBefore struct{}

func calls(ts *testscript.TestScript, _ bool, _ []string) {
	var state sim.State
	ts.Check(json.Unmarshal(ask(ts, http.MethodGet, "/state", ""), &state))
	now := map[string]int{}
	for _, z := range state.Zones {
		now["refreshes"] += z.Refreshes
	}
	for _, action := range sim.Actions() {
		now[action] = state.Actions[action].Calls
	}
	before := ts.Value(calledBefore{}).(map[string]int)
	for _, what := range slices.Sorted(maps.Keys(now)) {
		fmt.Fprintf(ts.Stdout(), "%s=%d\n", what, now[what]-before[what])
	}
	maps.Copy(before, now)
}

func limits(ts *testscript.TestScript, _ bool, _ []string) {
	var state sim.State
	ts.Check(json.Unmarshal(ask(ts, http.MethodGet, "/state", ""), &state))
	for _, account := range slices.Sorted(maps.Keys(state.Accounts)) {
		a := state.Accounts[account]
		for _, action := range slices.Sorted(maps.Keys(a.Actions)) {
			c := a.Actions[action]
			fmt.Fprintf(ts.Stdout(), "%s %s=%d\n", account, action, c.Calls)
			if c.MaxPerSecond > a.Limit {
				ts.Fatalf("account %s called %s %d times in one second, and may %d", account, action, c.MaxPerSecond, a.Limit)
			}
		}
	}
}

func held(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(holdings(ts)), 0o600))
}

func changed(ts *testscript.TestScript, neg bool, args []string) {
	if same := ts.ReadFile(args[0]) == holdings(ts); same != neg {
		ts.Fatalf("what hosts hold is the same as in %s: %v", args[0], same)
	}
}

// holdings has one line for each key file of each host.
func holdings(ts *testscript.TestScript) string {
	var lines []string
	err := filepath.WalkDir(ts.MkAbs("world/hosts"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".key" || d.IsDir() {
			return err
		}
		key, err := os.ReadFile(path)
		lines = append(lines, fmt.Sprintf("%s %x\n", path, sha256.Sum256(key)))
		return err
	})
	ts.Check(err)
	if len(lines) == 0 {
		ts.Fatalf("no host holds a key")
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

func open(ts *testscript.TestScript, _ bool, _ []string) {
	c, err := client.Dial(client.Options{HostPort: ts.Getenv("TEMPORAL_ADDRESS"), Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler))})
	ts.Check(err)
	defer c.Close()
	found, err := c.ListOpenWorkflow(context.Background(), &workflowservice.ListOpenWorkflowExecutionsRequest{})
	ts.Check(err)
	for _, e := range found.GetExecutions() {
		if e.GetType().GetName() != workflows.TypeLease {
			fmt.Fprintln(ts.Stdout(), e.GetExecution().GetWorkflowId())
		}
	}
}

func document(ts *testscript.TestScript, _ bool, args []string) {
	doc := one(ts)
	for pair := range slices.Chunk(args, 2) {
		if got := at(ts, doc, pair[0]); got != pair[1] {
			ts.Fatalf("%s is %s, want %s", pair[0], got, pair[1])
		}
	}
}

func timeOfDay(ts *testscript.TestScript, _ bool, args []string) {
	in, err := time.ParseDuration(args[1])
	ts.Check(err)
	at := time.Now().Add(in).UTC()
	if at.Second() == 0 { // a whole minute is written without its seconds
		at = at.Add(time.Second)
	}
	ts.Setenv(args[0], at.Format(time.TimeOnly))
}

func port(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv(args[0], strconv.Itoa(stage.FreePort()))
}

func field(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv(args[0], at(ts, one(ts), args[1]))
}

func one(ts *testscript.TestScript) any {
	var doc any
	text := ts.ReadFile("stdout")
	ts.Check(json.Unmarshal([]byte(text), &doc))
	return doc
}

// at is a field of a document as text, without quotes around strings.
func at(ts *testscript.TestScript, doc any, path string) string {
	for name := range strings.SplitSeq(path, ".") {
		switch in := doc.(type) {
		case map[string]any:
			doc = in[name]
		case []any:
			n, err := strconv.Atoi(name)
			ts.Check(err)
			doc = in[n]
		}
	}
	if text, ok := doc.(string); ok {
		return text
	}
	text, err := json.Marshal(doc)
	ts.Check(err)
	return string(text)
}
