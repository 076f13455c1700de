package report

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"keywave/internal/plan"
	"keywave/internal/rotation"
	"keywave/workflows"
)

var update = flag.Bool("update", false, "write the golden files")

var began = time.Date(2026, 3, 14, 16, 41, 25, 0, time.UTC)

// campaign is everything that Build is given.
type campaign struct {
	plan    plan.Plan
	pages   []plan.Page
	status  workflows.Status
	records []rotation.Record
	past    Past
}

func (c campaign) build(t testing.TB) Report {
	t.Helper()
	r, err := Build(c.plan, c.pages, c.status, c.records, c.past)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// newCampaign plans n zones on two hosts each, all done.
func newCampaign(t testing.TB, n int, name func(i int) string) campaign {
	t.Helper()
	return newCampaignOf(t, n, name, func(int) rotation.Account { return "default" })
}

// twoAccounts has every third zone in a second account.
func twoAccounts(t testing.TB) campaign {
	name := func(i int) string { return fmt.Sprintf("shop-%d.example.com", i) }
	c := newCampaignOf(t, 7, name, func(i int) rotation.Account { return []rotation.Account{"intl", "intl", "cn"}[i%3] })
	c.set(5, func(r *rotation.Record) {
		*r = rotation.Record{Zone: r.Zone, Outcome: rotation.Unchanged, Why: "refused", API: rotation.API{Refresh: 1}}
	})
	c.plan.Accounts = []plan.Share{{Account: "intl", Zones: 5, Limit: 20, Describes: 5}, {Account: "cn", Zones: 2, Limit: 5, Describes: 2}}
	c.status.State, c.plan.Limit = workflows.StateEnded, 25
	c.status.Accounts = []workflows.AccountStatus{
		{Account: "intl", Zones: rotation.Counts{Total: 5, Done: 5}, API: rotation.API{Refresh: 5, Describe: 10}},
		{Account: "cn", Zones: rotation.Counts{Total: 2, Done: 1, Unchanged: 1}, API: rotation.API{Refresh: 2, Describe: 3}},
	}
	return c
}

func newCampaignOf(t testing.TB, n int, name func(i int) string, owner func(i int) rotation.Account) campaign {
	t.Helper()
	ref := func(i int) rotation.HostRef {
		return rotation.HostRef{Name: rotation.HostName(fmt.Sprintf("gw-%d", i%7)), Location: "hk", Digest: fmt.Sprintf("%032x", i%7)}
	}
	var targets []plan.Target
	for i := range n {
		targets = append(targets, plan.Target{
			ID: rotation.ZoneID(fmt.Sprintf("zone-27q0p0%06d", i)), Name: name(i), Account: owner(i), Hosts: []rotation.HostRef{ref(i), ref(i + 1)},
		})
	}
	sizes := []string{"1", "25%", "100%"}
	var c campaign
	var waves []plan.Wave
	var err error
	if c.pages, waves, err = plan.Cut(targets, sizes); err != nil {
		t.Fatal(err)
	}
	c.plan = plan.Plan{
		Name: "spring", Made: began.Add(-time.Hour), Zones: n, Hosts: 7, Pairs: 2 * n, Waves: waves, Describes: n,
		Settings: plan.Settings{
			Waves: sizes, Bake: rotation.Span(30 * time.Second), Window: 40, Approve: []int{2, 3}, MaxFailed: "1%",
			Timing: rotation.Timing{ProofFor: rotation.Span(time.Minute), DeliverFor: rotation.Span(time.Hour)},
		},
	}
	for p := range c.pages {
		for z := range c.pages[p].Zones {
			c.pages[p].Zones[z].Baseline = rotation.Fingerprint(fmt.Sprintf("%016x", z))
		}
		c.plan.Pages = append(c.plan.Pages, c.pages[p].Digest())
	}
	c.plan.Digest = c.plan.DigestOf()
	ended := began.Add(185 * time.Second)
	c.status = workflows.Status{
		Campaign: "spring-rotation", Plan: "spring", PlanDigest: c.plan.Digest, State: workflows.StateDone,
		Hosts: rotation.HostCounts{Total: 2 * n}, API: rotation.API{Describe: n}, StartedAt: began, EndedAt: &ended,
		Next: "keywave campaign report spring-rotation",
		Log:  []workflows.Entry{{At: began, What: "started", By: "mei", Reason: "quarterly"}, {At: ended, What: "done"}},
	}
	for i := range n {
		at := slices.IndexFunc(c.plan.Accounts, func(s plan.Share) bool { return s.Account == owner(i) })
		if at < 0 {
			at = len(c.plan.Accounts)
			c.plan.Accounts = append(c.plan.Accounts, plan.Share{Account: owner(i), Limit: 20})
			c.status.Accounts = append(c.status.Accounts, workflows.AccountStatus{Account: owner(i), Limit: 20})
		}
		c.plan.Accounts[at].Zones++
		c.status.Accounts[at].Zones = c.status.Accounts[at].Zones.Plus(rotation.NewCounts(1))
	}
	c.status.Zones = rotation.NewCounts(n)
	for i, target := range targets {
		c.records = append(c.records, rotation.Record{
			Zone: target.ID, Outcome: rotation.Done, From: rotation.Fingerprint(fmt.Sprintf("%016x", i)), To: rotation.Fingerprint(fmt.Sprintf("%016x", i+1000000)),
			RequestID: fmt.Sprintf("0ce6e1f3-%012d", i), Since: began.Add(time.Duration(i) * time.Second), ExposureMs: 40 + int64(i),
			Acks:    []rotation.HostTime{{Host: target.Hosts[0].Name, Ms: 38}, {Host: target.Hosts[1].Name, Ms: 40 + int64(i)}},
			EndedAt: began.Add(time.Duration(i)*time.Second + 90*time.Millisecond), API: rotation.API{Refresh: 1, Describe: 1},
		})
		c.count(c.records[i], 1)
	}
	return c
}

// count moves a pending zone to a record's outcome, or with -1 back.
func (c *campaign) count(rec rotation.Record, sign int) {
	from, to := rotation.Pending, rec.Outcome
	if sign < 0 {
		from, to = to, from
	}
	c.status.Zones.Move(from, to)
	for i := range c.status.Accounts {
		if a := &c.status.Accounts[i]; a.Account == c.owner(rec.Zone) {
			a.Zones.Move(from, to)
			a.API.Refresh += rec.API.Refresh
			a.API.Describe += rec.API.Describe
		}
	}
	if rec.To != "" {
		c.status.Hosts.Acknowledged += sign * len(rec.Acks)
	}
	c.status.Hosts.Retired += sign * len(rec.Retired)
	c.status.API.Refresh += rec.API.Refresh
	c.status.API.Describe += rec.API.Describe
}

func (c *campaign) owner(id rotation.ZoneID) rotation.Account {
	for _, p := range c.pages {
		if slices.ContainsFunc(p.Zones, func(z plan.PageZone) bool { return z.ID == id }) {
			return p.Account
		}
	}
	return ""
}

// set replaces a zone's record.
func (c *campaign) set(i int, change func(*rotation.Record)) {
	c.count(c.records[i], -1)
	change(&c.records[i])
	c.count(c.records[i], 1)
}

const nasty = "a|b\n<script>alert(1)</script> `x` *y* [z](http://example.com) \\| & \u202e$1$ ~~s~~ \x1b[2J"

// badDay has every outcome, and names and reasons that try to break out of
// their place.
func badDay(t testing.TB) campaign {
	c := newCampaign(t, 12, func(i int) string {
		return map[int]string{0: "shop.example.com", 1: nasty, 3: "商店.example.cn"}[i]
	})
	c.status.State = workflows.StateCancelled
	c.status.Reason = "2 zones exposed, budget maxExposed is 0"
	c.status.Next = "keywave campaign resume spring-rotation"
	c.status.Emergency = "keys leaked, INC-7781"
	c.status.Drift = &workflows.AcceptedDrift{Zones: 3, Read: 12, Reason: nasty, Named: []plan.Difference{{Zone: "zone-27q0p0000003", Text: "has the live key b, had a"}}}
	c.status.Log = slices.Insert(c.status.Log, 1,
		workflows.Entry{At: began.Add(time.Minute), What: "paused", Reason: "2 zones exposed, budget maxExposed is 0"},
		workflows.Entry{At: began.Add(2 * time.Minute), What: "cancelled", By: "o|leg", Reason: nasty})
	c.status.SetAside = []workflows.Attention{{Host: "gw-5", Why: "disk full | 100%\non /etc/edgeone"}}
	c.plan.Findings = []plan.Finding{{Zone: "zone-27q0p0000003", Host: "gw-3", Text: "holds another key than EdgeOne"}}
	c.plan.Found = 4
	nothing := func(outcome rotation.Outcome, why string) func(*rotation.Record) {
		return func(rec *rotation.Record) {
			*rec = rotation.Record{Zone: rec.Zone, Outcome: outcome, Why: why, From: rec.From, API: rotation.API{Refresh: 1}}
		}
	}
	for i := range 2 {
		c.set(1+i, func(rec *rotation.Record) {
			rec.Outcome, rec.ExposureMs, rec.Missing, rec.Acks = rotation.Exposed, 3600000, []rotation.HostName{rec.Acks[1].Host}, rec.Acks[:1]
			rec.Why = "the old key is dead and 1 of 2 hosts do not hold the live key; " + nasty
		})
	}
	c.set(4, nothing(rotation.Unknown, "InternalError; whether the old key is alive cannot be read"))
	c.set(5, nothing(rotation.Unchanged, "OperationDenied; not executed, the old key is alive"))
	c.set(6, nothing(rotation.Skipped, "excluded by mei: decommissioned"))
	c.set(7, func(rec *rotation.Record) {
		rec.Why = "the answer was lost; the key had changed: adopted by read-back, no second refresh"
		rec.RequestID = ""
	})
	c.set(8, func(rec *rotation.Record) {
		rec.Retired = []rotation.HostHeld{{Host: rec.Acks[1].Host, Held: rec.From}}
		rec.Acks, rec.Why = rec.Acks[:1], "host "+string(rec.Acks[1].Host)+" retired: burnt down"
	})
	for i := 9; i < 12; i++ {
		c.set(i, func(rec *rotation.Record) {
			*rec = rotation.Record{Zone: rec.Zone, Outcome: rotation.Pending, Why: "host gw-5 is set aside: disk full"}
		})
	}
	c.records[11].Why = ""
	c.records = c.records[:11] // it never started, so its shard has no record of it
	slices.Reverse(c.records)
	before := len(c.status.Log)
	c.past = pastOf(&c)
	if len(c.status.Log) != before+2 {
		t.Fatal("the log was not taken over")
	}
	return c
}

// pastOf is an earlier run of the campaign, and a repair.
func pastOf(c *campaign) Past {
	before, ended := c.status, began.Add(-time.Hour)
	before.StartedAt, before.EndedAt, before.Emergency = began.Add(-2*time.Hour), &ended, "first leak, INC-7780"
	before.Drift, before.Also = nil, &workflows.AlsoRotated{Zones: 2, Texts: []string{"campaign winter is open and has 2 of them: " + nasty}, Reason: "known"}
	before.Zones = rotation.NewCounts(12)
	before.Log = []workflows.Entry{{At: before.StartedAt, What: "started", By: "ann", Reason: "INC-7780"}, {At: ended, What: "cancelled", By: "ann", Reason: nasty}}
	c.status.Log = append(slices.Clone(before.Log), c.status.Log...) // the latest run took this log over
	return Past{
		Runs: []workflows.Status{before}, Forgotten: "runs before that are forgotten",
		Repairs: []Repair{{Zone: "zone-27q0p0000001", Verb: rotation.Repair, By: "bob", Reason: nasty, StartedAt: ended, EndedAt: &began, Outcome: rotation.Done}},
	}
}

// A report says which former keys are kept and until when, and whose a rollback put
// back. It never has the sealed copies.
func TestReportOfFormerKeys(t *testing.T) {
	c := newCampaign(t, 3, func(int) string { return "" })
	c.plan.Undoes = "winter"
	sealed := []byte("sealed under the account's keyset")
	for i := range 2 {
		c.records[i].Former = &rotation.Former{Key: c.records[i].From, For: c.records[i].To, At: began, Until: began.Add(time.Duration(i+1) * time.Hour), Kept: sealed}
	}
	r := c.build(t)
	if !r.Zones[0].FormerUntil.Equal(began.Add(time.Hour)) || !r.Zones[2].FormerUntil.IsZero() || r.Plan.Undoes != "winter" {
		t.Errorf("%+v of %+v", r.Zones, r.Plan)
	}
	kept := "those of 2 zones are kept, and may be put back until " + clock(began.Add(2*time.Hour)) + " at the latest"
	for name, want := range map[string]struct {
		write func(io.Writer) error
		texts []string
	}{
		"md":   {r.WriteMarkdown, []string{"puts back the keys that campaign winter replaced", kept}},
		"html": {r.WriteHTML, []string{"It puts back the keys that campaign winter replaced.", kept, "all 3 zones hold their former key again"}},
		"json": {r.WriteJSON, []string{`"undoes": "winter"`, `"formerUntil": "` + began.Add(time.Hour).Format(time.RFC3339)}},
		"csv":  {r.WriteCSV, []string{"former_until\n", "," + began.Add(2*time.Hour).Format(time.RFC3339) + "\n"}},
	} {
		var b bytes.Buffer
		if err := want.write(&b); err != nil {
			t.Fatal(err)
		}
		for _, text := range want.texts {
			if !strings.Contains(b.String(), text) {
				t.Errorf("%s says nothing of %q", name, text)
			}
		}
		for _, form := range []string{string(sealed), base64.StdEncoding.EncodeToString(sealed), hex.EncodeToString(sealed)} {
			if strings.Contains(b.String(), form) {
				t.Errorf("%s has the sealed copy", name)
			}
		}
	}
}

// A report has every run, starter, waiver, order and time, whichever run is the
// latest.
func TestReportHasTheWholePast(t *testing.T) {
	c := badDay(t)
	r := c.build(t)
	if !r.StartedAt.Equal(began.Add(-2*time.Hour)) || r.Emergency != "first leak, INC-7780; keys leaked, INC-7781" || r.Also == nil || r.Drift == nil {
		t.Errorf("started %s, emergency %q, also %v, drift %v", r.StartedAt, r.Emergency, r.Also, r.Drift)
	}
	if len(r.Runs) != 2 || r.Runs[0].By != "ann" || r.Runs[0].Reason != "INC-7780" || r.Runs[1].By != "mei" {
		t.Errorf("runs %+v", r.Runs)
	}
	if len(r.Log) != len(c.status.Log) || r.Log[0].By != "ann" {
		t.Errorf("log %+v", r.Log)
	}
	for name, write := range map[string]func(io.Writer) error{"md": r.WriteMarkdown, "html": r.WriteHTML, "json": r.WriteJSON} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"INC-7780", "INC-7781", "2026-03-14", "bob", "forgotten"} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s says nothing of %q", name, want)
			}
		}
	}
}

// Only acknowledgements that came are counted as acknowledged. A list of
// missing hosts does not change the number, and retired hosts are counted by
// themselves.
func TestAcknowledgedIsCountedFromAcknowledgements(t *testing.T) {
	c := badDay(t)
	was := c.build(t)
	for i := range c.records {
		c.records[i].Missing = nil
	}
	if now := c.build(t); now.Hosts != was.Hosts || now.Hosts.Retired != 1 {
		t.Errorf("%+v without the missing, %+v with them", now.Hosts, was.Hosts)
	}
	z := was.Zones[8]
	if n := z.pairs(); n != (rotation.HostCounts{Total: 2, Acknowledged: 1, Retired: 1}) || !z.Hosts[1].Retired || z.Hosts[1].Held != z.From {
		t.Errorf("%+v: %+v", n, z.Hosts)
	}
}

func golden(t *testing.T, name string, write func(io.Writer) error) {
	t.Helper()
	var got bytes.Buffer
	if err := write(&got); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%s differs (go test -update writes it anew); got:\n%s", path, got.String())
	}
}

func TestGolden(t *testing.T) {
	for name, c := range map[string]campaign{
		"badday":   badDay(t),
		"done":     newCampaign(t, 4, func(i int) string { return fmt.Sprintf("shop-%d.example.com", i) }),
		"empty":    newCampaign(t, 0, nil),
		"accounts": twoAccounts(t),
	} {
		t.Run(name, func(t *testing.T) {
			r := c.build(t)
			golden(t, name+".json", r.WriteJSON)
			golden(t, name+".md", r.WriteMarkdown)
			golden(t, name+".csv", r.WriteCSV)
			golden(t, name+".html", r.WriteHTML)
		})
	}
}

func TestAccountsThatDoNotAddUpAreNoReport(t *testing.T) {
	for name, harm := range map[string]func(*campaign){
		"another count": func(c *campaign) { c.status.Accounts[1].Zones.Move(rotation.Unchanged, rotation.Done) },
		"none":          func(c *campaign) { c.status.Accounts = nil },
	} {
		c := twoAccounts(t)
		harm(&c)
		if _, err := Build(c.plan, c.pages, c.status, c.records, c.past); err == nil || !strings.Contains(err.Error(), "the campaign counts otherwise") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOrderOfRecordsDoesNotMatter(t *testing.T) {
	c := badDay(t)
	one := c.build(t)
	slices.Reverse(c.records)
	if two := c.build(t); !reflect.DeepEqual(one, two) {
		t.Error("another order, another report")
	}
}

// Promise 9: if the numbers do not add up, there is no report.
func TestBuildRefusesWhatDoesNotAddUp(t *testing.T) {
	const key = "b8sfnemqzF5TNCwwtshVmG/gyCJVi/rP+7A+jsBwqGY=" // the public example
	for name, c := range map[string]struct {
		harm func(*campaign)
		want string
	}{
		"a zone more in the counts":  {func(c *campaign) { c.status.Zones.Total++; c.status.Zones.Done++ }, "it counts 13 zones: 5 done"},
		"an outcome moved":           {func(c *campaign) { c.status.Zones.Move(rotation.Exposed, rotation.Done) }, "its records add up to 12 zones: 4 done, 1 unchanged, 2 exposed"},
		"counts out of balance":      {func(c *campaign) { c.status.Zones.Done++ }, "do not add up to their total"},
		"a lost record":              {func(c *campaign) { c.records = c.records[:len(c.records)-1] }, "its records add up to"},
		"a record twice":             {func(c *campaign) { c.records = append(c.records, c.records[0]) }, "more than one record"},
		"a zone not planned":         {func(c *campaign) { c.records = append(c.records, rotation.Record{Zone: "zone-x"}) }, "zone zone-x has a record, and the plan does not have it"},
		"hosts miscounted":           {func(c *campaign) { c.status.Hosts.Acknowledged-- }, "pairs acknowledged, 1 retired; its records add up to"},
		"a retired host not counted": {func(c *campaign) { c.status.Hosts.Retired-- }, "pairs acknowledged; its records add up to"},
		"done with an ack too few":   {func(c *campaign) { c.record(0).Acks = c.record(0).Acks[:1] }, "of its 2 hosts 1 acknowledged the live key and 0 were retired"},
		"an ack of what is missing":  {func(c *campaign) { c.record(1).Missing[0] = c.record(1).Acks[0].Host }, "its acknowledgement is on record"},
		"done with a host missing": {func(c *campaign) {
			c.record(0).Missing, c.record(0).Acks = []rotation.HostName{"gw-0"}, c.record(0).Acks[1:]
		}, "recorded as done, with 1 of 2 hosts missing"},
		"done without a key":              {func(c *campaign) { c.record(0).To = "" }, "recorded as done"},
		"an outcome nobody knows":         {func(c *campaign) { c.record(0).Outcome = "fine" }, `"fine" is no outcome`},
		"an ack of a host not planned":    {func(c *campaign) { c.record(0).Acks[0].Host = "gw-x" }, "host gw-x acknowledged"},
		"a host missing that is not its":  {func(c *campaign) { c.record(1).Missing[0] = "gw-x" }, "host gw-x is missing"},
		"a key in a fingerprint's place":  {func(c *campaign) { c.record(0).To = key }, "something that is no fingerprint"},
		"another plan":                    {func(c *campaign) { c.status.PlanDigest = "0123" }, "it ran plan 0123"},
		"a plan changed after its digest": {func(c *campaign) { c.plan.Settings.Window++ }, "but its digest is"},
		"a page lost":                     {func(c *campaign) { c.pages = c.pages[1:] }, "has 3 pages, 2 were found"},
		"a page changed":                  {func(c *campaign) { c.pages[0].Zones[0].Name = "other" }, "was approved"},
		"pages in another order":          {func(c *campaign) { slices.Reverse(c.pages) }, "stands where page 1"},
		"a plan with a zone more":         {func(c *campaign) { c.plan.Zones++ }, "promises 13 zones"},
	} {
		t.Run(name, func(t *testing.T) {
			day := badDay(t)
			c.harm(&day)
			r, err := Build(day.plan, day.pages, day.status, day.records, day.past)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "campaign spring-rotation") {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), key) {
				t.Error("the error shows the key")
			}
			if !reflect.DeepEqual(r, Report{}) {
				t.Error("half a report")
			}
		})
	}
}

func (c *campaign) record(i int) *rotation.Record {
	for j := range c.records {
		if c.records[j].Zone == rotation.ZoneID(fmt.Sprintf("zone-27q0p0%06d", i)) {
			return &c.records[j]
		}
	}
	return nil
}

func TestARunningCampaignIsAskedAgainLater(t *testing.T) {
	c := badDay(t)
	c.status.EndedAt, c.status.State = nil, workflows.StateRunning
	r := c.build(t)
	var md, js bytes.Buffer
	if err := r.WriteMarkdown(&md); err != nil || !strings.Contains(md.String(), "not ended") {
		t.Error(err, md.String())
	}
	if err := r.WriteJSON(&js); err != nil || !strings.Contains(js.String(), `"endedAt": null`) {
		t.Error(err)
	}
	c.status.Zones.Move(rotation.Pending, rotation.Done)
	if _, err := Build(c.plan, c.pages, c.status, c.records, c.past); err == nil || !strings.Contains(err.Error(), "still running") {
		t.Error(err)
	}
}

// Promise 7: a report has exactly the known fields. None has a type that could
// hold anything, and none is a secret.
func TestReportHoldsNothingButItsFields(t *testing.T) {
	var noted func(at string, typ reflect.Type) []string
	noted = func(at string, typ reflect.Type) []string {
		switch typ.Kind() {
		case reflect.Pointer:
			return noted(at, typ.Elem())
		case reflect.Slice:
			return noted(at+"[]", typ.Elem())
		case reflect.Struct:
			if typ == reflect.TypeFor[time.Time]() {
				return []string{at + " time"}
			}
			var all []string
			for i := range typ.NumField() {
				f := typ.Field(i)
				if !f.IsExported() {
					t.Errorf("%s has the hidden field %s", at, f.Name)
				}
				key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
				all = append(all, noted(at+"."+key, f.Type)...)
			}
			return all
		case reflect.String, reflect.Int, reflect.Int64, reflect.Float64, reflect.Bool:
			return []string{at + " " + typ.Kind().String()}
		}
		t.Errorf("%s is of %s, which could hold anything", at, typ)
		return nil
	}
	fields := noted("", reflect.TypeFor[Report]())
	golden(t, "fields.golden", func(w io.Writer) error {
		_, err := io.WriteString(w, strings.Join(fields, "\n")+"\n")
		return err
	})

	var js bytes.Buffer
	if err := badDay(t).build(t).WriteJSON(&js); err != nil {
		t.Fatal(err)
	}
	var content any
	if err := json.Unmarshal(js.Bytes(), &content); err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, f := range fields {
		known[strings.Fields(f)[0]] = true
	}
	for at := range paths("", content) {
		if !known[at] {
			t.Errorf("%s is written, and no known field", at)
		}
	}
}

// paths are the places of all scalars.
func paths(at string, v any) map[string]bool {
	all := map[string]bool{}
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			maps.Copy(all, paths(at+"."+k, x))
		}
	case []any:
		for _, x := range v {
			maps.Copy(all, paths(at+"[]", x))
		}
	default:
		all[at] = true
	}
	return all
}

func TestTenThousandZones(t *testing.T) {
	c := newCampaign(t, 10000, func(i int) string { return fmt.Sprintf("shop-%d.example.com", i) })
	start := time.Now()
	r := c.build(t)
	var js, md bytes.Buffer
	if err := r.WriteJSON(&js); err != nil {
		t.Fatal(err)
	}
	t.Logf("Build and WriteJSON: %v, %d bytes", time.Since(start), js.Len())
	if _, err := Verify(bytes.NewReader(js.Bytes())); err != nil {
		t.Error(err)
	}
	if err := r.WriteMarkdown(&md); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(md.String(), "| zone-27q0p0"); n != maxRows {
		t.Errorf("%d rows of zones, want %d", n, maxRows)
	}
	if note := "The first 1000 of 10000; the JSON report has them all."; !strings.Contains(md.String(), note) {
		t.Errorf("the note is missing: %s", note)
	}
	if got := r.Waves[1].Counts.Total; len(r.Zones) != 10000 || got != 2499 {
		t.Errorf("%d zones, %d of them in wave 2", len(r.Zones), got)
	}
}

func BenchmarkBuildAndWrite(b *testing.B) {
	c := newCampaign(b, 10000, func(i int) string { return fmt.Sprintf("shop-%d.example.com", i) })
	for b.Loop() {
		if err := c.build(b).WriteJSON(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestWritersSayThatTheDiskIsFull(t *testing.T) {
	r := badDay(t).build(t)
	if r.WriteJSON(full{}) == nil || r.WriteMarkdown(full{}) == nil || r.WriteCSV(full{}) == nil || r.WriteHTML(full{}) == nil {
		t.Error("no error")
	}
}
