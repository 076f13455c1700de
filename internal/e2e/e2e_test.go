// Package e2e runs the real programs against each other: the embedded Temporal
// server, workers, the CLI, the simulator over the real wire format, real SSH.
package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/encoding/protojson"

	"keywave/internal/stage"
	"keywave/workflows"
)

// bin holds the programs, built anew once.
var bin string

func TestMain(m *testing.M) {
	code, err := build(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func build(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "keywave-e2e-")
	if err != nil {
		return 1, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	bin = dir
	root, err := filepath.Abs("../..")
	if err != nil {
		return 1, err
	}
	for _, b := range []struct{ dir, pkg, out string }{
		{root, "./starter", "keywave"}, {root, "./worker", "worker"},
	} {
		if err := goBuild(b.dir, b.pkg, filepath.Join(dir, b.out)); err != nil {
			return 1, err
		}
	}
	server := filepath.Join(root, "bin", "devserver")
	if _, err := os.Stat(server); err != nil {
		if err := goBuild(filepath.Join(root, "devserver"), ".", server); err != nil {
			return 1, err
		}
	}
	if err := os.Symlink(server, filepath.Join(dir, "devserver")); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

func goBuild(dir, pkg, out string) error {
	cmd := exec.Command("go", "build", "-o", out, pkg)
	cmd.Dir = dir
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", pkg, err, said)
	}
	return nil
}

const quick = `{waves: [1, 50%, 100%], bake: 100ms, window: 20, maxFailed: 50%, exposedAfter: 2s, deliverFor: 60s, proofFor: 30s, settle: 1s, signatureLife: 5s}`

func raise(t *testing.T, zones, hosts, workers int) *stage.Stack {
	t.Helper()
	s, err := stage.Raise(t.Context(), stage.Config{
		Bin: bin, Dir: t.TempDir(), Zones: zones, Hosts: hosts, Limit: 20, Settings: quick, Workers: workers, Campaign: "c",
	})
	t.Cleanup(s.Strike)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// must runs a command that succeeds.
func must(t *testing.T, s *stage.Stack, args ...string) string {
	t.Helper()
	out, err := s.CLI(t.Context(), args...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return out
}

// exits runs a command that ends with a code and says something.
func exits(t *testing.T, s *stage.Stack, code int, says string, args ...string) string {
	t.Helper()
	out, err := s.CLI(t.Context(), args...)
	var exit *exec.ExitError
	got := 0
	if err != nil {
		var ok bool
		if exit, ok = asExit(err); !ok {
			t.Fatal(err)
		}
		got = exit.ExitCode()
	}
	if got != code || !strings.Contains(fmt.Sprint(out, err), says) {
		t.Fatalf("keywave %s: exit %d, want %d and %q\n%s\n%v", strings.Join(args, " "), got, code, says, out, err)
	}
	return out
}

func post(t *testing.T, s *stage.Stack, path string, in any) {
	t.Helper()
	if err := s.Control(t.Context(), http.MethodPost, path, in, nil); err != nil {
		t.Fatal(err)
	}
}

func fault(t *testing.T, s *stage.Stack, zone, kind string) {
	t.Helper()
	post(t, s, "/faults", map[string]any{"action": stage.RefreshAction, "zone": zone, "nth": 1, "fault": kind, "delayMs": 300})
}

// truth fails the test for everything that is wrong as seen from outside.
func truth(t *testing.T, s *stage.Stack) {
	t.Helper()
	for _, wrong := range s.Check(t.Context(), stage.Status{}, nil) {
		t.Error(wrong)
	}
}

// refreshes counts executed refreshes by zone.
func refreshes(t *testing.T, s *stage.Stack) map[string]int {
	t.Helper()
	edges, err := s.Edges(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for _, e := range edges {
		if e.Kind == "executed" && e.Action == stage.RefreshAction {
			counts[e.Zone]++
		}
	}
	return counts
}

func eventually(t *testing.T, what string, within time.Duration, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", within, what)
		}
		if stage.Pause(t.Context(), 100*time.Millisecond) != nil {
			t.FailNow()
		}
	}
}

func zonesOf(t *testing.T, s *stage.Stack) []string {
	t.Helper()
	pairs, err := s.Pairs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var zones []string
	for _, p := range pairs {
		if len(zones) == 0 || zones[len(zones)-1] != p.Zone {
			zones = append(zones, p.Zone)
		}
	}
	return zones
}

// A campaign with answers lost in every way: done, one executed refresh per
// zone, every host's file is the live key; and no key anywhere else.
func TestCampaignWithFaults(t *testing.T) {
	s := raise(t, 60, 12, 1)
	zones := zonesOf(t, s)
	for i, kind := range []string{"resetAfter", "throttle", "truncatedJSON", "error5xxBody", "internalErrorAfter", "emptyObject", "truncatedBody", "html502After", "closeAfter", "resetBefore", "internalErrorBefore", "html502Before"} {
		fault(t, s, zones[i+1], kind)
	}
	post(t, s, "/hosts/gw-hk-2/bad", map[string]any{"kind": "dropMidTransfer", "count": 2, "match": "Replaces one key file"})
	out := must(t, s, "campaign", "start", "-f", s.Places.Fleet, "--name", "c", "--watch", "--output", "json")
	line := out[strings.LastIndex(strings.TrimSpace(out), "\n")+1:]
	statusHasItsShape(t, line)
	if n := strings.Count(strings.TrimSpace(out), "\n"); n != 0 {
		t.Errorf("standard output has %d more lines than one JSON document:\n%s", n, out)
	}
	truth(t, s)
	for zone, n := range refreshes(t, s) {
		if n != 1 {
			t.Errorf("%s: %d refreshes were executed", zone, n)
		}
	}
	md := must(t, s, "campaign", "report", "c", "--format", "md")
	if !strings.Contains(md, "adopted by read-back") {
		t.Errorf("the report does not say what the lost answers led to:\n%s", md)
	}
	must(t, s, "campaign", "status", "c")
	must(t, s, "campaign", "list")
	must(t, s, "zone", "show", zones[1])
	must(t, s, "audit", "-f", s.Places.Fleet)
	exportHistories(t, s)
	noKeyAnywhere(t, s)
}

// statusHasItsShape checks the fields that the CLI documents.
func statusHasItsShape(t *testing.T, line string) {
	t.Helper()
	var status struct {
		Campaign   *string         `json:"campaign"`
		PlanDigest *string         `json:"planDigest"`
		State      *string         `json:"state"`
		Zones      map[string]int  `json:"zones"`
		Hosts      map[string]int  `json:"hosts"`
		ExposureMs map[string]int  `json:"exposureMs"`
		API        map[string]int  `json:"api"`
		StartedAt  *time.Time      `json:"startedAt"`
		EndedAt    *time.Time      `json:"endedAt"`
		Other      json.RawMessage `json:"-"`
	}
	if err := json.Unmarshal([]byte(line), &status); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	if status.Campaign == nil || *status.Campaign != "c" || status.PlanDigest == nil || len(*status.PlanDigest) != 32 || status.State == nil || *status.State != "done" || status.StartedAt == nil || status.EndedAt == nil {
		t.Errorf("status: %s", line)
	}
	want := map[string][]string{
		"zones": {"total", "done", "unchanged", "exposed", "unknown", "skipped", "pending"}, "hosts": {"total", "acknowledged"},
		"exposureMs": {"p50", "p90", "p99", "max"}, "api": {"refresh", "describe", "throttled"},
	}
	got := map[string]map[string]int{"zones": status.Zones, "hosts": status.Hosts, "exposureMs": status.ExposureMs, "api": status.API}
	for group, names := range want {
		for _, name := range names {
			if _, ok := got[group][name]; !ok {
				t.Errorf("status has no %s.%s: %s", group, name, line)
			}
		}
	}
	if status.Zones["done"] != 60 || status.Zones["total"] != 60 || status.Hosts["total"] != status.Hosts["acknowledged"] || status.API["throttled"] != 1 {
		t.Errorf("status: %s", line)
	}
}

// exportHistories writes every history as JSON into the stack's directory, where
// the leak test looks.
func exportHistories(t *testing.T, s *stage.Stack) {
	t.Helper()
	c := temporal(t, s)
	found, err := c.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{PageSize: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if len(found.GetExecutions()) < 60 {
		t.Fatalf("only %d workflows", len(found.GetExecutions()))
	}
	f, err := os.Create(filepath.Join(s.Dir, "histories.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for _, e := range found.GetExecutions() {
		events := c.GetWorkflowHistory(t.Context(), e.GetExecution().GetWorkflowId(), e.GetExecution().GetRunId(), false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for events.HasNext() {
			event, err := events.Next()
			if err != nil {
				t.Fatal(err)
			}
			body, err := protojson.Marshal(event)
			if err != nil {
				t.Fatal(err)
			}
			// Payloads are base64 in JSON: look inside, too.
			for _, p := range [][]byte{body, plainPayloads(body)} {
				if _, err := f.Write(append(p, '\n')); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

func temporal(t *testing.T, s *stage.Stack) client.Client {
	t.Helper()
	c, err := client.Dial(client.Options{HostPort: s.Temporal.Address})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// noKeyAnywhere searches, and shows that the search can fail: a key that is
// planted in a copy is found.
func noKeyAnywhere(t *testing.T, s *stage.Stack) {
	t.Helper()
	for _, p := range append(s.Workers, s.Temporal.Process) {
		for _, name := range []string{"cmdline", "environ"} {
			body, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.PID(), name))
			if err == nil {
				s.Said = append(s.Said, string(body))
			}
		}
	}
	found, err := s.NoKeyAnywhere(t.Context())
	if err != nil || len(found) > 0 {
		t.Fatal(err, found)
	}
	keys, err := s.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, z := range keys {
		for _, form := range stage.FormsOf(z.Live) {
			planted := filepath.Join(s.Dir, "planted")
			if err := os.WriteFile(planted, []byte("…"+form+"…"), 0o600); err != nil {
				t.Fatal(err)
			}
			if found, err := s.NoKeyAnywhere(t.Context()); err != nil || len(found) == 0 {
				t.Errorf("a planted key was not found (%v)", err)
			}
			if err := os.Remove(planted); err != nil {
				t.Fatal(err)
			}
		}
		break
	}
}

// Pauses, cancels and terminations by people: whatever is not done is gone on
// with, and what is done is never refreshed again.
func TestStopsAndResumes(t *testing.T) {
	s := raise(t, 90, 12, 2)
	ctx := t.Context()
	if err := s.StartCampaign(ctx); err != nil {
		t.Fatal(err)
	}
	done := func() int {
		st, err := s.Status(ctx)
		if err != nil {
			return 0
		}
		return st.Zones["done"]
	}
	eventually(t, "a few zones are done", time.Minute, func() bool { return done() >= 5 })
	must(t, s, "campaign", "pause", "c", "--reason", "lunch")
	st, err := s.Status(ctx)
	if err != nil || st.State != "paused" {
		t.Fatal(err, st)
	}
	before := len(refreshes(t, s))
	exits(t, s, 3, "paused already", "campaign", "pause", "c")
	must(t, s, "campaign", "set", "c", "--window", "10")
	if after := len(refreshes(t, s)); after != before {
		t.Errorf("%d zones were refreshed while paused", after-before)
	}
	must(t, s, "campaign", "resume", "c", "--reason", "after lunch")
	eventually(t, "more zones are done", time.Minute, func() bool { return done() >= before+5 })
	c := temporal(t, s)
	if err := c.TerminateWorkflow(ctx, workflows.CampaignID("c"), "", "test"); err != nil {
		t.Fatal(err)
	}
	must(t, s, "campaign", "resume", "c")
	eventually(t, "it runs again", time.Minute, func() bool { st, err := s.Status(ctx); return err == nil && st.State == "running" })
	must(t, s, "campaign", "cancel", "c", "--reason", "enough")
	exits(t, s, 2, "", "campaign", "watch", "c")
	exits(t, s, 0, "", "campaign", "resume", "c", "--watch")
	truth(t, s)
	for zone, n := range refreshes(t, s) {
		if n != 1 {
			t.Errorf("%s: %d refreshes were executed", zone, n)
		}
	}
	exits(t, s, 0, "nothing is left", "campaign", "resume", "c")
}

// A host that goes away in mid-campaign: its zones are exposed, the budget stops
// the campaign, status says which zone, which host and what next; when the host
// is back, its zones are delivered, before anything else and without a refresh.
func TestExposedAndBudget(t *testing.T) {
	s := raise(t, 40, 8, 1)
	post(t, s, "/hosts/gw-hk-2/bad", map[string]any{"kind": "dropAtExec", "match": "Replaces one key file"})
	exits(t, s, 2, "resume", "campaign", "start", "-f", s.Places.Fleet, "--name", "c", "--watch")
	out := must(t, s, "campaign", "status", "c")
	for _, word := range []string{"exposed", "gw-hk-2", "maxExposed", "campaign resume c"} {
		if !strings.Contains(out, word) {
			t.Errorf("status does not say %q:\n%s", word, out)
		}
	}
	exits(t, s, 3, "maxExposed", "campaign", "resume", "c")
	exits(t, s, 2, "gw-hk-2", "audit", "-f", s.Places.Fleet)
	// The worker dies while zones are exposed; another one takes over.
	s.Workers[0].Kill()
	if err := s.StartWorker(0); err != nil {
		t.Fatal(err)
	}
	if err := s.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st, err := s.Finish(t.Context(), 2*time.Minute); err != nil {
		t.Fatal(err, st)
	}
	truth(t, s)
}

// The zone's own verbs, and drift that somebody made.
func TestZoneVerbs(t *testing.T) {
	s := raise(t, 4, 4, 1)
	pairs, err := s.Pairs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p := pairs[0]
	must(t, s, "zone", "rotate", p.Zone, "-f", s.Places.Fleet, "--reason", "test")
	if n := refreshes(t, s)[p.Zone]; n != 1 {
		t.Errorf("%d refreshes", n)
	}
	must(t, s, "zone", "audit", p.Zone, "-f", s.Places.Fleet)
	if err := os.WriteFile(p.File, []byte("somebody else's\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	exits(t, s, 2, p.Host, "zone", "audit", p.Zone, "-f", s.Places.Fleet)
	must(t, s, "zone", "repair", p.Zone, "-f", s.Places.Fleet, "--reason", "drift")
	exits(t, s, 0, "0 differences", "zone", "audit", p.Zone, "-f", s.Places.Fleet)
	if n := refreshes(t, s)[p.Zone]; n != 1 {
		t.Errorf("repair refreshed: %d", n)
	}
	// Even after a terminate, repair ends the exposure without a refresh.
	post(t, s, "/hosts/"+p.Host+"/bad", map[string]any{"kind": "dropAtExec", "match": "Replaces one key file"})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { _, _ = s.Detached(ctx, "zone", "rotate", p.Zone, "-f", s.Places.Fleet) }()
	eventually(t, "it is refreshed", time.Minute, func() bool { return refreshes(t, s)[p.Zone] == 2 })
	exits(t, s, 3, "busy", "zone", "repair", p.Zone, "-f", s.Places.Fleet)
	if err := temporal(t, s).TerminateWorkflow(t.Context(), "zone/"+p.Zone, "", "test"); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := s.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	must(t, s, "zone", "repair", p.Zone, "-f", s.Places.Fleet)
	exits(t, s, 0, "0 differences", "zone", "audit", p.Zone, "-f", s.Places.Fleet)
	if n := refreshes(t, s)[p.Zone]; n != 2 {
		t.Errorf("repair refreshed: %d", n)
	}
}

// Two workers, the active one killed in the middle: the pace holds.
func TestFailover(t *testing.T) {
	s := raise(t, 150, 12, 2)
	if err := s.StartCampaign(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a third is refreshed", time.Minute, func() bool { return len(refreshes(t, s)) > 50 })
	for i, w := range s.Workers {
		log, err := os.ReadFile(w.Log)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(log), "active: this process calls EdgeOne") {
			w.Kill()
			if err := s.StartWorker(i); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	if st, err := s.Finish(t.Context(), 2*time.Minute); err != nil {
		t.Fatal(err, st)
	}
	truth(t, s)
}
