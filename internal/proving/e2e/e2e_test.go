// Package e2e runs the real programs against each other: the embedded Temporal
// server, workers, the CLI, the simulator over the real wire format, real SSH.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/encoding/protojson"

	"keywave/internal/proving/sim"
	"keywave/internal/proving/stage"
	"keywave/internal/rotation"
	"keywave/workflows"
)

// bin holds the programs, which are built once for each run of the tests.
var bin string

const root = "../../.."

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
	for name, pkg := range map[string]string{"keywave": "./starter", "worker": "./worker"} {
		cmd := exec.Command("go", "build", "-o", filepath.Join(dir, name), pkg)
		cmd.Dir = root
		if said, err := cmd.CombinedOutput(); err != nil {
			return 1, fmt.Errorf("go build %s: %w\n%s", pkg, err, said)
		}
	}
	server, err := stage.DevServer(root)
	if err != nil {
		return 1, err
	}
	if err := os.Symlink(server, filepath.Join(dir, "devserver")); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// The times are short. exposedAfter is long enough that a busy machine alone
// makes no zone exposed.
const (
	quick = `{waves: [1, 50%, 100%], bake: 100ms, window: 20, maxFailed: 50%, exposedAfter: 30s, deliverFor: 2m, proofFor: 30s, settle: 1s, signatureLife: 5s}`
	// touchy is for outages that are meant to happen. deliverFor is longer than
	// any command of a test waits.
	touchy = `{waves: [1, 50%, 100%], bake: 100ms, window: 20, maxFailed: 50%, exposedAfter: 30s, deliverFor: 10m, proofFor: 30s, settle: 1s, signatureLife: 5s}`
)

func raise(t *testing.T, zones, hosts, workers int) *stage.Stack {
	t.Helper()
	return raiseWith(t, quick, zones, hosts, workers)
}

func raiseWith(t *testing.T, settings string, zones, hosts, workers int) *stage.Stack {
	t.Helper()
	return raiseAs(t, stage.Config{Zones: zones, Hosts: hosts, Limit: 20, Settings: settings, Workers: workers})
}

// raiseAs starts a stack for one test. The tests mostly wait, so they run side
// by side.
func raiseAs(t *testing.T, c stage.Config) *stage.Stack {
	t.Helper()
	t.Parallel()
	if err := stage.Notice(root); err != nil {
		t.Fatal(err)
	}
	c.Bin, c.Dir, c.Campaign = bin, t.TempDir(), "c"
	s, err := stage.Raise(t.Context(), c)
	t.Cleanup(s.Strike)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// must runs a command that must succeed.
func must(t *testing.T, s *stage.Stack, args ...string) string {
	t.Helper()
	out, err := s.CLI(t.Context(), args...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return out
}

// exits runs a command that must end with a code and say something.
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

// truth reports everything that is wrong as seen from outside.
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
	if !stage.Until(t.Context(), within, ok) {
		t.Fatalf("not within %s: %s", within, what)
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

// A campaign in which answers are lost in every way is done, with one executed
// refresh per zone. Every host's file holds the live key, and no key is
// anywhere else.
func TestCampaignWithFaults(t *testing.T) {
	hook, told := receiver(t)
	watched := fmt.Sprintf("127.0.0.1:%d", stage.FreePort())
	s := raiseAs(t, stage.Config{
		Zones: 60, Hosts: 12, Limit: 20, Workers: 1, WorkerEnv: append(traced(), "KEYWAVE_WEBHOOK_URL="+hook),
		WorkerFlags: [][]string{{"--listen", watched}},
		Settings:    strings.Replace(quick, "{", "{notify: [start, gate, exposed, stop, end], ", 1),
	})
	zones := zonesOf(t, s)
	for i, kind := range []string{"resetAfter", "throttle", "truncatedJSON", "error5xxBody", "internalErrorAfter", "emptyObject", "truncatedBody", "html502After", "closeAfter", "resetBefore", "internalErrorBefore", "html502Before"} {
		fault(t, s, zones[i+1], kind)
	}
	post(t, s, "/hosts/gw-hk-2/bad", map[string]any{"kind": "dropMidTransfer", "count": 2, "match": "\nput\n"})
	out := must(t, s, "campaign", "start", "-f", s.Places.Fleet, "--name", "c", "--watch", "--output", "json")
	st := statusHasItsShape(t, out)
	statusIsTrue(t, s, st)
	truth(t, s)
	onceEach(t, s)
	reportIsTrue(t, s, st)
	md := must(t, s, "campaign", "report", "c", "--format", "md", "--out", filepath.Join(s.Dir, "report.md"))
	if body, err := os.ReadFile(filepath.Join(s.Dir, "report.md")); err != nil || !strings.Contains(string(body), "adopted by read-back") {
		t.Errorf("the report does not say what the lost answers led to (%v):\n%s%s", err, md, body)
	}
	for _, format := range []string{"html", "csv", "json"} {
		must(t, s, "campaign", "report", "c", "--format", format, "--out", filepath.Join(s.Dir, "report."+format))
	}
	eventually(t, "the end is told", 3*time.Minute, func() bool { return bytes.Contains(told(), []byte(`"event":"end"`)) })
	s.Said = append(s.Said, string(told()))
	must(t, s, "campaign", "status", "c")
	must(t, s, "campaign", "list")
	must(t, s, "zone", "show", zones[1])
	must(t, s, "audit", "-f", s.Places.Fleet)
	nothingIsLeftOnHosts(t, s)
	exportHistories(t, s)
	exportMetrics(t, s, watched)
	spansAreTrue(t, s, without(t, s, zones[20:], "gw-hk-2"))
	noKeyAnywhere(t, s)
}

// exportMetrics writes what a worker tells machines where the leak test looks.
func exportMetrics(t *testing.T, s *stage.Stack, at string) {
	t.Helper()
	for path, says := range map[string]string{"metrics": fmt.Sprintf(`keywave_zones_total{outcome="done",strategy="refresh"} %d`, s.Config.Zones), "readyz": "ready", "healthz": "works"} {
		resp, err := http.Get("http://" + at + "/" + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || !strings.Contains(string(body), says) {
			t.Errorf("/%s does not say %q (%v):\n%s", path, says, err, body)
		}
		if err := os.WriteFile(filepath.Join(s.Dir, path+".txt"), body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// receiver accepts the notices of workers that are given its address.
func receiver(t *testing.T) (address string, told func() []byte) {
	t.Helper()
	var mu sync.Mutex
	var all []byte
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		all = append(append(all, body...), '\n')
	}))
	t.Cleanup(server.Close)
	return server.URL, func() []byte {
		mu.Lock()
		defer mu.Unlock()
		return bytes.Clone(all)
	}
}

// status is a campaign's status, as the CLI documents it.
type status struct {
	Campaign   *string        `json:"campaign"`
	PlanDigest *string        `json:"planDigest"`
	State      *string        `json:"state"`
	Zones      map[string]int `json:"zones"`
	Hosts      map[string]int `json:"hosts"`
	ExposureMs map[string]int `json:"exposureMs"`
	API        map[string]int `json:"api"`
	StartedAt  *time.Time     `json:"startedAt"`
	EndedAt    *time.Time     `json:"endedAt"`
}

// statusHasItsShape fails unless standard output is one JSON document with the
// fields that the CLI documents.
func statusHasItsShape(t *testing.T, out string) status {
	t.Helper()
	var st status
	if err := json.Unmarshal([]byte(out), &st); err != nil {
		t.Fatalf("standard output is not one JSON document: %v: %s", err, out)
	}
	if st.Campaign == nil || *st.Campaign != "c" || st.PlanDigest == nil || len(*st.PlanDigest) != 32 || st.State == nil || *st.State != "done" || st.StartedAt == nil || st.EndedAt == nil || !st.EndedAt.After(*st.StartedAt) {
		t.Fatalf("status: %s", out)
	}
	for _, group := range []struct {
		is    map[string]int
		names []string
	}{
		{st.Zones, []string{"total", "done", "unchanged", "exposed", "unknown", "skipped", "pending"}},
		{st.Hosts, []string{"total", "acknowledged"}},
		{st.ExposureMs, []string{"p50", "p90", "p99", "max"}},
		{st.API, []string{"refresh", "describe", "throttled"}},
	} {
		for _, name := range group.names {
			if _, ok := group.is[name]; !ok {
				t.Errorf("status has no %s: %s", name, out)
			}
		}
	}
	return st
}

// statusIsTrue compares the numbers with what the simulator counted. Nobody
// else has called it since.
func statusIsTrue(t *testing.T, s *stage.Stack, st status) {
	t.Helper()
	calls, err := s.Calls(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pairs, err := s.Pairs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	refresh, describe := calls[stage.RefreshAction], calls[stage.DescribeAction]
	for what, is := range map[string][2]int{
		"zones total":        {st.Zones["total"], s.Config.Zones},
		"zones done":         {st.Zones["done"], s.Config.Zones},
		"hosts total":        {st.Hosts["total"], len(pairs)},
		"hosts acknowledged": {st.Hosts["acknowledged"], len(pairs)},
		"refresh calls":      {st.API["refresh"], refresh.Calls},
		"describe calls":     {st.API["describe"], describe.Calls},
		"throttled calls":    {st.API["throttled"], 1}, // by a fault; the limit itself was never reached
		"refreshes executed": {refresh.Executed, s.Config.Zones},
		"beyond the limit":   {refresh.Throttled + describe.Throttled, 1},
	} {
		if is[0] != is[1] {
			t.Errorf("%s: status says %d, and it is %d", what, is[0], is[1])
		}
	}
	if e := st.ExposureMs; e["p50"] < 1 || e["p50"] > e["p90"] || e["p90"] > e["p99"] || e["p99"] > e["max"] {
		t.Errorf("exposure: %v", e)
	}
}

// reportIsTrue compares the report with the simulator, zone by zone.
func reportIsTrue(t *testing.T, s *stage.Stack, st status) {
	t.Helper()
	var report struct {
		Campaign string `json:"campaign"`
		Plan     struct {
			Digest string `json:"digest"`
		} `json:"plan"`
		Counts map[string]int `json:"counts"`
		Zones  []struct {
			ID         string `json:"id"`
			Outcome    string `json:"outcome"`
			From       string `json:"from"`
			To         string `json:"to"`
			ExposureMs int    `json:"exposureMs"`
		} `json:"zones"`
	}
	if err := json.Unmarshal([]byte(must(t, s, "campaign", "report", "c", "--format", "json")), &report); err != nil {
		t.Fatal(err)
	}
	if report.Campaign != "c" || report.Plan.Digest != *st.PlanDigest || !maps.Equal(report.Counts, st.Zones) || len(report.Zones) != s.Config.Zones {
		t.Errorf("report of %s, plan %s, %v, %d zones; status: plan %s, %v", report.Campaign, report.Plan.Digest, report.Counts, len(report.Zones), *st.PlanDigest, st.Zones)
	}
	var world struct {
		Zones map[string]struct {
			Ever []string `json:"ever"` // fingerprints
		} `json:"zones"`
	}
	if err := s.Control(t.Context(), http.MethodGet, "/state", nil, &world); err != nil {
		t.Fatal(err)
	}
	for _, z := range report.Zones {
		if ever := world.Zones[z.ID].Ever; !slices.Equal(ever, []string{z.From, z.To}) || z.ExposureMs < 1 || z.ExposureMs > st.ExposureMs["max"] {
			t.Errorf("%s: report says %s → %s, exposed for %d ms; its keys were %v", z.ID, z.From, z.To, z.ExposureMs, ever)
		}
	}
}

// nothingIsLeftOnHosts: hosts have no temporary file, no copy, and no key that waits.
func nothingIsLeftOnHosts(t *testing.T, s *stage.Stack) {
	t.Helper()
	pairs, err := s.Pairs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	expected := map[string]bool{}
	for _, p := range pairs {
		expected[p.File] = true
	}
	for _, p := range pairs {
		there, err := os.ReadDir(filepath.Dir(p.File))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range there {
			// The directory in which keys waited stays; it must be empty.
			if waiting, err := os.ReadDir(filepath.Join(filepath.Dir(p.File), f.Name())); f.Name() == ".keywave" && err == nil && len(waiting) == 0 {
				continue
			}
			if path := filepath.Join(filepath.Dir(p.File), f.Name()); !expected[path] {
				expected[path] = true // so that it is reported only once
				t.Errorf("%s was left on %s", path, p.Host)
			}
		}
	}
}

// histories is where exportHistories writes.
func histories(s *stage.Stack) string { return filepath.Join(s.Dir, "histories.json") }

// exportHistories writes every history as JSON into the stack's directory, where
// the leak test looks.
func exportHistories(t *testing.T, s *stage.Stack) {
	t.Helper()
	c := temporal(t, s)
	f, err := os.Create(histories(s))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	kinds := map[string]int{}
	request := &workflowservice.ListWorkflowExecutionsRequest{}
	for {
		found, err := c.ListWorkflow(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range found.GetExecutions() {
			kinds[e.GetType().GetName()]++
			exportHistory(t, c, e.GetExecution(), f)
		}
		if request.NextPageToken = found.GetNextPageToken(); len(request.NextPageToken) == 0 {
			break
		}
	}
	for kind, least := range map[string]int{
		workflows.TypePlan: 1, workflows.TypePage: 1, workflows.TypeCampaign: 1, workflows.TypeShard: 3,
		workflows.TypeZone: s.Config.Zones, workflows.TypeLease: 1, workflows.TypeAudit: 1,
	} {
		if kinds[kind] < least {
			t.Errorf("%d workflows of type %s were found, there must be %d", kinds[kind], kind, least)
		}
	}
}

func exportHistory(t *testing.T, c client.Client, e *common.WorkflowExecution, to io.Writer) {
	t.Helper()
	events := c.GetWorkflowHistory(t.Context(), e.GetWorkflowId(), e.GetRunId(), false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		if err != nil {
			t.Fatal(err)
		}
		body, err := protojson.Marshal(event)
		if err != nil {
			t.Fatal(err)
		}
		// Payloads are base64 in JSON, so search their content too.
		for _, p := range [][]byte{body, plainPayloads(body)} {
			if _, err := to.Write(append(p, '\n')); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// noKey searches for keys everywhere.
func noKey(t *testing.T, s *stage.Stack) {
	t.Helper()
	if found, err := s.NoKeyAnywhere(t.Context()); err != nil || len(found) > 0 {
		t.Fatal(err, found)
	}
}

// noKeyAnywhere searches for keys, and shows that the search is able to find
// them.
func noKeyAnywhere(t *testing.T, s *stage.Stack) {
	t.Helper()
	noKey(t, s)
	keys, err := s.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	zone := zonesOf(t, s)[1]
	if len(keys[zone].Ever) != 2 {
		t.Fatalf("%s had %d keys", zone, len(keys[zone].Ever))
	}
	// What was written to the database and the histories can be found there as
	// plain text. So nothing is hidden in them by compression or encryption.
	inDatabase := slices.ContainsFunc([]string{s.Temporal.DB, s.Temporal.DB + "-wal"}, func(path string) bool { return holds(path, workflows.ZoneID(rotation.ZoneID(zone))) })
	if !inDatabase || !holds(histories(s), `"zone":"`+zone+`"`) {
		t.Errorf("the database or the histories cannot be searched: they do not hold %s", zone)
	}
	planted := map[string]string{}
	for i, key := range keys[zone].Ever {
		for j, form := range stage.FormsOf(key) {
			into := []string{s.Workers[0].Log, s.Temporal.DB, histories(s), s.Places.Fleet}[j%4]
			content, err := os.ReadFile(into)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(s.Dir, "home", "worker-0", "tmp", fmt.Sprintf("planted-%d-%d", i, j))
			half := len(content) / 2
			if err := os.WriteFile(path, slices.Concat(content[:half], []byte(form), content[half:]), 0o600); err != nil {
				t.Fatal(err)
			}
			planted[path] = fmt.Sprintf("a key of %s is in %s", zone, path)
		}
	}
	found, err := s.NoKeyAnywhere(t.Context())
	if err != nil || len(found) != len(planted) {
		t.Errorf("%d planted keys, %d found (%v)", len(planted), len(found), err)
	}
	for path, says := range planted {
		if !slices.Contains(found, says) {
			t.Errorf("the key planted in %s was not found", path)
		}
	}
}

func holds(path, text string) bool {
	content, err := os.ReadFile(path)
	return err == nil && strings.Contains(string(content), text)
}

// People pause, cancel and terminate. Zones that are not done go on after a
// resume, and zones that are done are never refreshed again.
func TestStopsAndResumes(t *testing.T) {
	s := raiseWith(t, strings.Replace(quick, "window: 20", "window: 2", 1), 90, 12, 2)
	ctx := t.Context()
	// Answers that come late, until the last stop: none may find the campaign at its end.
	post(t, s, "/faults", sim.Fault{Action: stage.RefreshAction, Kind: "delayAfter", DelayMs: 3000})
	if err := s.StartCampaign(ctx); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a few zones are refreshed", 3*time.Minute, func() bool { return len(refreshes(t, s)) >= 5 })
	must(t, s, "campaign", "pause", "c", "--reason", "lunch")
	st, err := s.Status(ctx)
	if err != nil || st.State != "paused" {
		t.Fatal(err, st)
	}
	eventually(t, "what had begun has ended", 3*time.Minute, func() bool { st, err := s.Status(ctx); return err == nil && st.InFlight == 0 })
	before := len(refreshes(t, s))
	exits(t, s, 3, "paused already", "campaign", "pause", "c")
	must(t, s, "campaign", "set", "c", "--window", "3")
	if after := len(refreshes(t, s)); after != before {
		t.Errorf("%d zones were refreshed while paused", after-before)
	}
	must(t, s, "campaign", "resume", "c", "--reason", "after lunch")
	eventually(t, "more zones are refreshed", 3*time.Minute, func() bool { return len(refreshes(t, s)) >= before+5 })
	c := temporal(t, s)
	if err := c.TerminateWorkflow(ctx, workflows.CampaignID("c"), "", "test"); err != nil {
		t.Fatal(err)
	}
	must(t, s, "campaign", "resume", "c")
	eventually(t, "it runs again", 3*time.Minute, func() bool { st, err := s.Status(ctx); return err == nil && st.State == "running" })
	must(t, s, "campaign", "cancel", "c", "--reason", "enough")
	exits(t, s, 2, "", "campaign", "watch", "c")
	if err := s.Heal(ctx); err != nil {
		t.Fatal(err)
	}
	exits(t, s, 0, "", "campaign", "resume", "c", "--watch")
	truth(t, s)
	onceEach(t, s)
	exits(t, s, 0, "nothing is left", "campaign", "resume", "c")
}

// A host goes away during a campaign. Its zones are exposed, the budget stops
// the campaign, and status says which zone, which host and what to do next.
// When the host is back, its zones get their key before anything else, without
// a refresh.
func TestExposedAndBudget(t *testing.T) {
	s := raiseWith(t, touchy, 40, 8, 1)
	post(t, s, "/hosts/gw-hk-2/bad", map[string]any{"kind": "dropAtExec", "match": "\nput\n"})
	exits(t, s, 2, "resume", "campaign", "start", "-f", s.Places.Fleet, "--name", "c", "--watch")
	zone := exposedZone(t, s)
	out := must(t, s, "campaign", "status", "c")
	for _, word := range []string{"exposed", zone, "gw-hk-2", "maxExposed", "campaign resume c"} {
		if !strings.Contains(out, word) {
			t.Errorf("status does not say %q:\n%s", word, out)
		}
	}
	exits(t, s, 0, "gw-hk-2", "zone", "show", zone)
	exits(t, s, 3, "maxExposed", "campaign", "resume", "c")
	exits(t, s, 2, "gw-hk-2", "audit", "-f", s.Places.Fleet)
	before := refreshes(t, s)
	// The worker dies while zones are exposed; another one takes over.
	s.Workers[0].Kill()
	if err := s.StartWorker(0); err != nil {
		t.Fatal(err)
	}
	if err := s.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "exposed zones are delivered by themselves", 5*time.Minute, func() bool {
		st, err := s.Status(t.Context())
		return err == nil && st.State == "paused" && st.Zones["exposed"] == 0
	})
	if after := refreshes(t, s); !maps.Equal(before, after) {
		t.Errorf("refreshes while paused: %v, then %v", before, after)
	}
	exits(t, s, 0, "", "campaign", "resume", "c", "--watch", "--reason", "gw-hk-2 is back")
	truth(t, s)
	onceEach(t, s)
}

// A host is away for longer than deliverFor. Its zones end exposed. When it is
// back, a resume delivers the live key to them without a refresh.
func TestDeliveryGivenUp(t *testing.T) {
	s := raiseWith(t, strings.Replace(touchy, "deliverFor: 10m", "deliverFor: 40s", 1), 12, 4, 1)
	post(t, s, "/hosts/gw-hk-2/bad", map[string]any{"kind": "dropAtExec", "match": "\nput\n"})
	exits(t, s, 2, "resume", "campaign", "start", "-f", s.Places.Fleet, "--name", "c", "--watch")
	zone := exposedZone(t, s)
	eventually(t, "delivery is given up", 3*time.Minute, func() bool {
		out, err := s.CLI(t.Context(), "zone", "show", zone)
		return err == nil && strings.Contains(out, "outcome   exposed") && strings.Contains(out, "gw-hk-2")
	})
	if err := s.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st, err := s.Finish(t.Context(), 5*time.Minute); err != nil {
		t.Fatal(err, st)
	}
	truth(t, s)
	onceEach(t, s)
}

// exposedZone is the first exposed zone of gw-hk-2 that status names.
func exposedZone(t *testing.T, s *stage.Stack) (zone string) {
	t.Helper()
	pairs, err := s.Pairs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "status names an exposed zone of gw-hk-2", 3*time.Minute, func() bool {
		var st struct {
			Attention []struct{ Zone, Outcome string }
		}
		out, err := s.CLI(t.Context(), "campaign", "status", "c", "--output", "json")
		if err != nil || json.Unmarshal([]byte(out), &st) != nil {
			return false
		}
		for _, a := range st.Attention {
			if a.Outcome == "exposed" && slices.ContainsFunc(pairs, func(p stage.Pair) bool { return p.Zone == a.Zone && p.Host == "gw-hk-2" }) {
				zone = a.Zone
				return true
			}
		}
		return false
	})
	return zone
}

// onceEach: every zone was refreshed once, whatever happened on the way.
func onceEach(t *testing.T, s *stage.Stack) {
	t.Helper()
	counts := refreshes(t, s)
	for _, zone := range zonesOf(t, s) {
		if counts[zone] != 1 {
			t.Errorf("%s: %d refreshes were executed", zone, counts[zone])
		}
	}
}

// The verbs for single zones, and a key that somebody changed by hand.
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
	// Even after a terminate, a repair ends the exposure without a refresh.
	post(t, s, "/hosts/"+p.Host+"/bad", map[string]any{"kind": "dropAtExec", "match": "\nput\n"})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { _, _ = s.Detached(ctx, "zone", "rotate", p.Zone, "-f", s.Places.Fleet) }()
	eventually(t, "it is refreshed", 3*time.Minute, func() bool { return refreshes(t, s)[p.Zone] == 2 })
	exits(t, s, 3, "busy", "zone", "rotate", p.Zone, "-f", s.Places.Fleet)
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

// Of two workers one is active. It is killed during the campaign, and the other
// takes over. The pace is kept.
func TestFailover(t *testing.T) {
	s := raiseAs(t, stage.Config{Zones: 150, Hosts: 12, Limit: 10, Settings: quick, Workers: 2}) // slow enough that the campaign is not over before
	if err := s.StartCampaign(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a third is refreshed", 3*time.Minute, func() bool { return len(refreshes(t, s)) > 50 })
	active := held(t, s, workflows.LeaseID("default"))
	before := len(activations(t, s))
	s.Workers[active].Kill()
	if n := len(refreshes(t, s)); n == s.Config.Zones {
		t.Fatal("the campaign was over before the active worker was killed")
	}
	if err := s.StartWorker(active); err != nil {
		t.Fatal(err)
	}
	must(t, s, "campaign", "watch", "c")
	// A busy machine can take the lease from a worker that lives.
	if after := len(activations(t, s)); after <= before {
		t.Errorf("workers became active %d times before one was killed, and %d times in all", before, after)
	}
	truth(t, s)
	onceEach(t, s)
}

// activations are the workers that became active, once for each time that they
// did.
func activations(t *testing.T, s *stage.Stack) []int {
	t.Helper()
	var workers []int
	for i, w := range s.Workers {
		log, err := os.ReadFile(w.Log)
		if err != nil {
			t.Fatal(err)
		}
		for range strings.Count(string(log), "active: this process calls EdgeOne") {
			workers = append(workers, i)
		}
	}
	return workers
}
