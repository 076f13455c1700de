package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"keywave/internal/proving/sim"
	"keywave/internal/proving/stage"
	"keywave/internal/rotation"
	"keywave/workflows"
)

// row is one way in which EdgeOne can fail, and what must happen to the zone. A
// fault without an action strikes the zone's first refresh.
type row struct {
	name   string
	faults []sim.Fault
	want   fate
}

// fate is how a zone's rotation went, as seen from outside and in its record.
type fate struct {
	outcome  rotation.Outcome
	sent     int // refreshes that arrived
	executed int // refreshes that took effect
	reads    int // reads of the live key, with those of the plan and of the campaign's start, but without those on the way of a held zone; 0 means any number
	keys     int // keys that were put in place on each host, one after the other; -1 means any number
	// locked is how long after its first refresh the zone is read once more, and
	// only then let go: the life of a signature.
	locked time.Duration
	why    string // part of the record's reason
	// lost says that a worker was lost during a refresh. The record then counts
	// what may have been sent.
	lost bool
}

// The usual fates, and what the record says about how they came about.
func done() fate { return fate{outcome: rotation.Done, sent: 1, executed: 1, reads: 3, keys: 1} }

func adopted() fate {
	return fate{outcome: rotation.Done, sent: 1, executed: 1, reads: 4, keys: 1, why: "adopted by read-back, no second refresh"}
}

func sentAgain(why string) fate {
	return fate{outcome: rotation.Done, sent: 2, executed: 1, reads: 5, keys: 1, locked: signatures, why: why} // 6, unless the signature's life is over by the time of the last
}

func rejected(times int, why string) fate {
	return fate{outcome: rotation.Done, sent: 1 + times, executed: 1, reads: 3, keys: 1, why: why}
}

func refused(why string) fate {
	return fate{outcome: rotation.Unchanged, sent: 1, reads: 2, why: why + " (refused"}
}

const (
	landsAfter = 40 * time.Second // the second refresh must have been sent by then
	signatures = 47 * time.Second // how long a signature lives in this test
	// rowSettings let only the errors themselves stop a campaign.
	rowSettings = `{waves: [100%], bake: 0s, window: 60, maxFailed: 100%, exposedAfter: 3m, deliverFor: 5m, proofFor: 1m, settle: 1s, signatureLife: 47s}`
)

// errorTable is how EdgeOne can fail. What a row says was measured with the
// real SDK. Whether a refresh was executed is known from the simulator.
func errorTable() []row {
	table := []row{
		{"executed/RST before answer", one("resetAfter"), adopted()},
		{"executed/clean close before answer", one("closeAfter"), adopted()},
		{"executed/slow, ReqTimeout hit", []sim.Fault{{Kind: "delayAfter", DelayMs: 11_000}}, adopted()},
		{"executed/ctx cancelled", []sim.Fault{{Kind: "delayAfter", DelayMs: 8_000}}, done()}, // an operator cancels it, see below
		{"executed/connection cut in the middle of the body", one("truncatedBody"), adopted()},
		{"executed/body stalls, timeout", one("stalledBody"), adopted()},
		{"executed/truncated JSON, right length", one("truncatedJSON"), adopted()},
		{"executed/HTTP 5xx + success JSON", one("error5xxBody"), adopted()},
		{"executed/HTTP 502 HTML or empty", one("html502After"), adopted()},
		{"executed/HTTP any + API error JSON", one("errorAfter:ServiceUnavailable"), adopted()},
		{"executed/200 {} or no SecretKey", one("emptyObject"), adopted()},

		{"not executed, retry later/RequestLimitExceeded, again and again", []sim.Fault{{Kind: "throttle", Count: 3}}, rejected(3, "throttled the refresh before executing it")},
		{"not executed, retry later/AuthFailure.SignatureExpire", one("error:AuthFailure.SignatureExpire"), rejected(1, "")},

		{"business refusal/OperationDenied.ConfigLocked, for a moment", one("error:OperationDenied.ConfigLocked"), rejected(1, "")},
		{"business refusal/OperationDenied.ConfigLocked, for ever", []sim.Fault{{Kind: "error:OperationDenied.ConfigLocked", Count: 100}}, fate{outcome: rotation.Unchanged, sent: 4, reads: 2, why: "OperationDenied.ConfigLocked (locked"}},
		{"business refusal/FailedOperation, not executed", one("error:FailedOperation"), sentAgain("FailedOperation (ambiguous")},
		{"business refusal/FailedOperation, executed", one("errorAfter:FailedOperation"), adopted()},

		{"ambiguous/NetworkError, reset before execution", one("resetBefore"), sentAgain("ClientError.NetworkError.Reset (ambiguous")},
		{"ambiguous/ParseJsonError, 502 before execution", one("html502Before"), sentAgain("ClientError")},
		{"ambiguous/InternalError before execution", one("internalErrorBefore"), sentAgain("InternalError (ambiguous")},
		{"ambiguous/InternalError after execution", one("internalErrorAfter"), adopted()},
		{"ambiguous/ResponseSizeLimitExceeded", one("errorAfter:ResponseSizeLimitExceeded"), adopted()},
		{"ambiguous/any unknown code, not executed", one("error:Weather.Stormy"), sentAgain("Weather.Stormy (ambiguous")},
		{"ambiguous/any unknown code, executed", one("errorAfter:Weather.Stormy"), adopted()},

		{"late landing/between the two reads", []sim.Fault{{Kind: "lateLanding", DelayMs: 300}}, fate{outcome: rotation.Done, sent: 1, executed: 1, keys: 1, why: "adopted by read-back"}},
		{
			"late landing/after the second refresh",
			[]sim.Fault{{Kind: "lateLanding", DelayMs: int(landsAfter.Milliseconds())}},
			// A read on the way finds it, and its key proves that the attempt was
			// executed.
			fate{outcome: rotation.Done, sent: 2, executed: 2, keys: 2, why: "yet another key after delivery"},
		},
		{
			"stale Describe/when verifying",
			[]sim.Fault{{Action: stage.DescribeAction, Kind: "staleDescribe", Count: 2}},
			fate{outcome: rotation.Done, sent: 1, executed: 1, reads: 5, keys: 1},
		},
		{
			"stale Describe/when reading back", append(one("resetAfter"), sim.Fault{Action: stage.DescribeAction, Kind: "staleDescribe"}),
			fate{outcome: rotation.Done, sent: 1, executed: 1, reads: 5, keys: 1, why: "adopted by read-back"},
		},
	}
	for _, code := range []string{
		"RequestLimitExceeded.UinLimitExceeded", "RequestLimitExceeded.IPLimitExceeded", "RequestLimitExceeded.GlobalRegionUinLimitExceeded",
		"AuthFailure.RequestLimitExceeded", "LimitExceeded.RateLimitExceeded",
	} {
		table = append(table, row{"not executed, retry later/" + code, one("error:" + code), rejected(1, "throttled")})
	}
	for _, code := range []string{
		"MissingParameter", "InvalidParameter", "InvalidParameterValue.Zone", "UnknownParameter", "InvalidAction", "NoSuchVersion", "UnsupportedOperation",
		"ActionOffline", "IpInBlacklist", "RequestSizeLimitExceeded", "ResourceNotFound", "LimitExceeded", "DryRunOperation",
	} {
		table = append(table, row{"not executed, do not retry/" + code, one("error:" + code), refused(code)})
	}
	for _, code := range []string{"OperationDenied", "ResourceInUse"} {
		table = append(table, row{"business refusal/" + code, one("error:" + code), refused(code)})
	}
	for _, code := range []string{"ServiceUnavailable", "ResourceUnavailable"} {
		table = append(table, row{"ambiguous/" + code, one("error:" + code), sentAgain(code + " (ambiguous")})
	}
	return table
}

// one is a fault that strikes once.
func one(kind string) []sim.Fault { return []sim.Fault{{Kind: kind}} }

// Every row of the error table is tried on one stage, each on a zone of its
// own. At the same time other campaigns meet the errors that concern every zone
// alike.
func TestErrorTable(t *testing.T) {
	table := errorTable()
	const revoked, cam = 6, 2
	s := raiseWith(t, rowSettings, len(table)+revoked+cam+1, 12, 1)
	zones := zonesOf(t, s)
	take := func(n int) []string {
		taken := zones[:n]
		zones = zones[n:]
		return taken
	}
	rows := planned(t, s, "rows", rowSettings, take(len(table)))
	for i, r := range table {
		strike(t, s, rows.zones[i], r.faults...)
	}
	rows.start(t)
	for i, r := range table {
		if strings.HasSuffix(r.name, "ctx cancelled") {
			cancelZone(t, s, rows.zones[i])
		}
	}
	t.Run("AuthFailure stops the run", func(t *testing.T) { authStops(t, s, take(revoked)) })
	t.Run("read-back denied by policy", func(t *testing.T) {
		t.Run("executed", func(t *testing.T) {
			denied(t, s, "cam-executed", take(1), "resetAfter", fate{outcome: rotation.Done, sent: 1, executed: 1, reads: 8, keys: 1, why: "adopted by read-back"})
		})
		t.Run("not executed", func(t *testing.T) {
			denied(t, s, "cam-unexecuted", take(1), "resetBefore", fate{outcome: rotation.Done, sent: 2, executed: 1, reads: 9, keys: 1, locked: 4 * time.Second})
		})
	})
	rows.watch(t)
	seen := rows.look(t)
	for i, r := range table {
		t.Run(r.name, func(t *testing.T) { seen.met(t, rows.zones[i], r.want) })
	}
	t.Run("not executed, retry later/dial refused", func(t *testing.T) { dialRefused(t, s, take(1)) })

	exits(t, s, 0, "0 differences", "audit", "-f", s.Places.Fleet)
	calls, err := s.Calls(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for action, c := range calls {
		if c.MaxPerSecond > s.Limit {
			t.Errorf("%s was called %d times in one second", action, c.MaxPerSecond)
		}
	}
	noKey(t, s)
}

// authStops: one refresh is refused because of the credentials. No other zone
// is touched until a person resumes.
func authStops(t *testing.T, s *stage.Stack, zones []string) {
	const code = "AuthFailure.SecretIdNotFound"
	c := planned(t, s, "revoked", strings.Replace(rowSettings, "window: 60", "window: 1", 1), zones)
	struck := zones[2]
	strike(t, s, struck, one("error:"+code)...)
	c.start(t)
	exits(t, s, 2, "", "campaign", "watch", c.name)
	out := must(t, s, "campaign", "status", c.name)
	for _, word := range []string{"paused", "every zone would fail alike", code, struck, "campaign resume " + c.name} {
		if !strings.Contains(out, word) {
			t.Errorf("status does not say %q:\n%s", word, out)
		}
	}
	seen := c.look(t)
	for i, zone := range zones {
		want := fate{outcome: rotation.Pending, reads: 2} // the reads of the plan and of its start
		switch {
		case i < 2:
			want = done()
		case zone == struck:
			want = refused(code)
			want.why = code + " (denied"
		}
		seen.met(t, zone, want)
	}
	must(t, s, "campaign", "resume", c.name, "--watch", "--reason", "new credentials")
	seen = c.look(t)
	for _, zone := range zones {
		want := done()
		if zone == struck {
			want.sent = 2
		}
		seen.met(t, zone, want)
	}
}

// denied: the answer to the refresh is lost, and policy (CAM) forbids to read
// the key. Nobody can tell whether it changed until the policy is corrected. A
// resume before that learns nothing and sends nothing. Each resume reads a key to see
// how late the worker's clock is, and the campaign reads it back.
func denied(t *testing.T, s *stage.Stack, name string, zones []string, lost string, want fate) {
	const code = "UnauthorizedOperation.CamNoAuth"
	c := planned(t, s, name, strings.Replace(rowSettings, "signatureLife: 47s", "signatureLife: 4s", 1), zones)
	strike(t, s, zones[0], append(one(lost), sim.Fault{Action: stage.DescribeAction, Kind: "error:" + code, Count: 3})...)
	c.start(t)
	unknown := want
	unknown.outcome, unknown.why, unknown.keys = rotation.Unknown, code, 0
	unknown.sent, unknown.reads, unknown.locked = 1, 3, 0
	for range 2 {
		exits(t, s, 2, "", "campaign", "watch", name)
		out := must(t, s, "campaign", "status", name)
		for _, word := range []string{"paused", "unknown", zones[0], code, "campaign resume " + name} {
			if !strings.Contains(out, word) {
				t.Errorf("status does not say %q:\n%s", word, out)
			}
		}
		unknown.executed = refreshes(t, s)[zones[0]]
		c.look(t).met(t, zones[0], unknown)
		must(t, s, "campaign", "resume", name, "--reason", "has the policy been put right?")
		unknown.reads += 2
	}
	must(t, s, "campaign", "watch", name)
	c.look(t).met(t, zones[0], want)
}

// dialRefused: nobody listens at the endpoint. The zone waits, and nothing is
// read back, because nothing was sent.
func dialRefused(t *testing.T, s *stage.Stack, zones []string) {
	c := planned(t, s, "dial", strings.Replace(rowSettings, "bake: 0s", "bake: 0s, approve: [1]", 1), zones)
	port := stage.FreePort()
	fleet, err := os.ReadFile(s.Places.Fleet)
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.Places.Fleet, strings.Replace(string(fleet), s.Places.Endpoint, fmt.Sprintf("http://127.0.0.1:%d", port), 1))
	s.Workers[0].Stop(time.Minute)
	endpoint, real := fmt.Sprintf("127.0.0.1:%d", port), strings.TrimPrefix(s.Places.Endpoint, "http://")
	cut := forward(t, endpoint, real)
	if err := s.StartWorker(0); err != nil {
		t.Fatal(err)
	}
	c.start(t) // it reads the live keys again
	cut()
	must(t, s, "campaign", "approve", c.name, "--wave", "1", "--reason", "nobody listens now")
	eventually(t, "the refresh is tried", 3*time.Minute, func() bool { return refreshing(t, s, zones[0]) })
	if err := stage.Pause(t.Context(), time.Second); err != nil {
		t.Fatal(err)
	}
	if !refreshing(t, s, zones[0]) {
		t.Error("a dial that is refused is not tried again")
	}
	forward(t, endpoint, real)
	c.watch(t)
	c.look(t).met(t, zones[0], done())
}

// run is a campaign over some of the stage's zones.
type run struct {
	*stage.Stack
	name, digest string
	zones        []string
}

// planned makes a campaign's plan. So faults that are set from now on strike
// only the campaign.
func planned(t *testing.T, s *stage.Stack, name, settings string, zones []string) *run {
	t.Helper()
	whole, err := os.ReadFile(s.Places.Fleet)
	if err != nil {
		t.Fatal(err)
	}
	var fleet strings.Builder
	for line := range strings.Lines(string(whole)) {
		id := zoneLine.FindStringSubmatch(line)
		switch {
		case id != nil && !slices.Contains(zones, id[1]):
		case strings.HasPrefix(line, "campaign:"):
			fmt.Fprintf(&fleet, "campaign: %s\n", settings)
		default:
			fleet.WriteString(line)
		}
	}
	path := filepath.Join(s.Dir, name+".yaml")
	write(t, path, fleet.String())
	var plan struct {
		Digest string `json:"digest"`
		Zones  int    `json:"zones"`
	}
	if err := json.Unmarshal([]byte(must(t, s, "plan", "-f", path, "--name", name, "--output", "json")), &plan); err != nil {
		t.Fatal(err)
	}
	if plan.Zones != len(zones) {
		t.Fatalf("plan %s has %d zones of %d", name, plan.Zones, len(zones))
	}
	return &run{s, name, plan.Digest, zones}
}

var zoneLine = regexp.MustCompile(`^  - \{id: ([^,]+),`)

func (r *run) start(t *testing.T) {
	t.Helper()
	must(t, r.Stack, "campaign", "start", "--plan", r.digest, "--name", r.name)
}

// watch waits until the campaign has ended or needs a person. Zones that are
// not done are no failure here.
func (r *run) watch(t *testing.T) {
	t.Helper()
	if out, err := r.CLI(t.Context(), "campaign", "watch", r.name); err != nil {
		if exit, ok := asExit(err); !ok || exit.ExitCode() != 2 {
			t.Fatal(err, out)
		}
	}
}

// sight is what can be seen of a campaign's zones, from outside and in its
// report.
type sight struct {
	records map[string]record
	edges   map[string][]stage.Edge // by zone, in their order
	keys    map[string]stage.ZoneKeys
	pairs   []stage.Pair
}

type record struct {
	ID      string           `json:"id"`
	Outcome rotation.Outcome `json:"outcome"`
	Why     string           `json:"why"`
	API     rotation.API     `json:"api"`
}

func (r *run) look(t *testing.T) *sight {
	t.Helper()
	var report struct {
		Zones []record `json:"zones"`
	}
	if err := json.Unmarshal([]byte(must(t, r.Stack, "campaign", "report", r.name, "--format", "json")), &report); err != nil {
		t.Fatal(err)
	}
	seen := &sight{records: map[string]record{}, edges: map[string][]stage.Edge{}}
	for _, z := range report.Zones {
		seen.records[z.ID] = z
	}
	edges, err1 := r.Edges(t.Context(), 0)
	for _, e := range edges {
		seen.edges[e.Zone] = append(seen.edges[e.Zone], e)
	}
	var err2, err3 error
	seen.keys, err2 = r.Keys(t.Context())
	seen.pairs, err3 = r.Pairs(t.Context())
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	return seen
}

// met compares a zone with its fate.
func (s *sight) met(t *testing.T, zone string, want fate) {
	t.Helper()
	record := s.records[zone]
	if record.Outcome != want.outcome || !strings.Contains(record.Why, want.why) {
		t.Errorf("%s is %s (%q), want %s (…%s…)", zone, record.Outcome, record.Why, want.outcome, want.why)
	}
	counts := map[string]int{}
	for _, e := range s.edges[zone] {
		counts[e.Kind+e.Action+e.Host]++
	}
	type number struct{ is, want int }
	numbers := map[string]number{
		"refreshes that were sent":     {counts["arrived"+stage.RefreshAction], want.sent},
		"refreshes that were executed": {counts["executed"+stage.RefreshAction], want.executed},
		"refreshes in the record":      {record.API.Refresh, want.sent},
	}
	if want.lost {
		delete(numbers, "refreshes in the record")
		if record.API.Refresh < want.sent {
			t.Errorf("%s: the record has %d refreshes, and %d were sent", zone, record.API.Refresh, want.sent)
		}
	}
	looks := int(want.locked/time.Second) + 1 // at most, for a held zone: one a second, and one when the lock ends
	if want.locked == 0 {
		looks += 2 // reads that a slow machine had to repeat
	}
	if reads := counts["arrived"+stage.DescribeAction]; want.reads > 0 && (reads < want.reads || reads > want.reads+looks) {
		t.Errorf("%s: %d reads of the live key, want %d and at most %d looks (%s)", zone, reads, want.reads, looks, record.Why)
	}
	for _, p := range s.pairs {
		if p.Zone != zone {
			continue
		}
		content, err := os.ReadFile(p.File)
		// Only a key that nobody has learned yet is not delivered.
		delivered := want.outcome != rotation.Unknown || want.executed == 0
		if holds := string(content) == s.keys[zone].Live+"\n"; err != nil || holds != delivered {
			t.Errorf("%s holds the live key of %s: %t (%v)", p.Host, zone, holds, err)
		}
		if runtime.GOOS == "linux" && want.keys >= 0 { // elsewhere nobody sees renames
			numbers["keys put in place on "+p.Host] = number{counts["renamed"+p.Host], want.keys}
		}
	}
	for what, n := range numbers {
		if n.is != n.want {
			t.Errorf("%s: %d %s, want %d (%s)", zone, n.is, what, n.want, record.Why)
		}
	}
	if first, _ := arrivals(s.edges[zone], stage.RefreshAction); want.locked > 0 {
		s.locked(t, zone, first, want.locked)
	}
}

// locked: the zone is read once more when the request that was sent at since
// can no longer be executed, which is life later.
func (s *sight) locked(t *testing.T, zone string, since, life time.Duration) {
	t.Helper()
	if _, last := arrivals(s.edges[zone], stage.DescribeAction); last < since+life {
		t.Errorf("%s was read for the last time %s after a refresh that could be executed for %s", zone, last-since, life)
	}
}

// arrivals are the times of an action's first and last request, on the journal's
// clock.
func arrivals(edges []stage.Edge, action string) (first, last time.Duration) {
	for _, e := range edges {
		if e.Kind == "arrived" && e.Action == action {
			last = time.Duration(e.MonoUs) * time.Microsecond
			if first == 0 {
				first = last
			}
		}
	}
	return first, last
}

// strike sets faults for one zone.
func strike(t *testing.T, s *stage.Stack, zone string, faults ...sim.Fault) {
	t.Helper()
	set := slices.Clone(faults)
	for i := range set {
		set[i].Zone, set[i].Nth = zone, 1
		switch {
		case set[i].Action == "":
			set[i].Action = stage.RefreshAction
		case strings.HasPrefix(set[i].Kind, "error"):
			set[i].Nth = 2 // the start of a plan reads every key once more; that read is not struck
		}
	}
	post(t, s, "/faults", set)
}

// cancelZone cancels a zone's workflow when its refresh has been executed and
// not answered yet, as an operator can in the Temporal UI.
func cancelZone(t *testing.T, s *stage.Stack, zone string) {
	t.Helper()
	c := temporal(t, s)
	eventually(t, "the refresh is executed", 3*time.Minute, func() bool { return refreshes(t, s)[zone] == 1 })
	if err := c.CancelWorkflow(t.Context(), workflows.ZoneID(rotation.ZoneID(zone)), ""); err != nil {
		t.Error(err)
	}
}
