// Package report is what is handed to the auditor when a campaign is over: what
// was planned, who did what, and of every zone its one outcome, its
// fingerprints, its exposure and who holds its key. A report exists only if it
// adds up: each zone of the plan once, in exactly one outcome, the sums equal
// to the campaign's own (promise 9). It holds fingerprints and never a key.
package report

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"keywave/internal/plan"
	"keywave/internal/rotation"
	"keywave/workflows"
)

// Format is the version of the JSON's shape.
const Format = "keywave/report/v1"

// Report is a campaign's report. Times are UTC in RFC 3339, exposures whole
// milliseconds, fingerprints as in design §2.
type Report struct {
	Format   string          `json:"format"` // Format
	Campaign string          `json:"campaign"`
	Plan     Plan            `json:"plan"`
	State    workflows.State `json:"state"`
	// StartedAt is the start of the campaign's first run that is known; EndedAt is
	// null while it runs.
	StartedAt time.Time  `json:"startedAt"`
	EndedAt   *time.Time `json:"endedAt"`
	// Reason is why the campaign is in its state, Next the operator's next step.
	Reason string `json:"reason,omitempty"`
	Next   string `json:"next,omitempty"`
	// Emergency is why proofs, bake times and approvals were waived, in whichever
	// run; empty when they were not.
	Emergency string `json:"emergency,omitempty"`
	// Runs are the campaign's runs in order, the present one last: a campaign that
	// was closed and resumed has several.
	Runs []Run `json:"runs"`
	// Forgotten says what Temporal's retention has forgotten of the campaign, and
	// this report therefore lacks; empty when nothing is known to be.
	Forgotten string `json:"forgotten,omitempty"`
	// Repairs are operations that people began on zones of the plan since the
	// campaign started, in order. Zones has what the campaign itself did.
	Repairs []Repair `json:"repairs,omitempty"`
	// Drift is what a person accepted of live keys that had changed before the
	// campaign started; null when nothing was.
	Drift *workflows.AcceptedDrift `json:"drift,omitempty"`
	// Also is what was accepted of zones that others had, or that were rotated just
	// before; null when nothing was.
	Also *workflows.AlsoRotated `json:"also,omitempty"`
	// Log is what people and budgets did, in all runs, in order.
	Log      workflows.Log `json:"log"`
	Settings plan.Settings `json:"settings"`
	// Counts are zones by outcome, Hosts (zone, host) pairs, ExposureMs nearest
	// ranks over the zones that are done; all three are summed from Zones.
	Counts     rotation.Counts          `json:"counts"`
	Hosts      rotation.HostCounts      `json:"hosts"`
	ExposureMs rotation.ExposureSummary `json:"exposureMs"`
	// API counts all calls by action, those for the plan's baselines included.
	API   rotation.API `json:"api"`
	Waves []Wave       `json:"waves"`
	// Accounts are each account's part.
	Accounts []Account `json:"accounts"`
	// SetAside are hosts that failed their proof twice, as the campaign last
	// named them: the first few.
	SetAside []SetAside `json:"setAside,omitempty"`
	// Zones are all zones of the plan, in its order.
	Zones []Zone `json:"zones"`
	// Digest is the SHA-256, in hex, of everything else: see Verify.
	Digest string `json:"digest"`
}

// Run is one run of a campaign, from its start or a resume to its close.
type Run struct {
	StartedAt time.Time       `json:"startedAt"`
	EndedAt   *time.Time      `json:"endedAt"`
	State     workflows.State `json:"state"`
	// By and Reason are of who started or resumed it.
	By        string `json:"by,omitempty"`
	Reason    string `json:"reason,omitempty"`
	Emergency string `json:"emergency,omitempty"`
	// Counts are the whole campaign's when the run closed, or now.
	Counts rotation.Counts `json:"counts"`
}

// Repair is an operation that a person began on one zone.
type Repair struct {
	Zone      rotation.ZoneID  `json:"zone"`
	Verb      rotation.Verb    `json:"verb"`
	Rollback  bool             `json:"rollback,omitempty"` // it put a former key back
	By        string           `json:"by,omitempty"`
	Reason    string           `json:"reason,omitempty"`
	StartedAt time.Time        `json:"startedAt"`
	EndedAt   *time.Time       `json:"endedAt"`
	Outcome   rotation.Outcome `json:"outcome,omitempty"` // empty while it runs, or where Temporal lost it
	Why       string           `json:"why,omitempty"`
}

// What is what it did, in a word.
func (r Repair) What() string {
	if r.Rollback {
		return "rollback"
	}
	return string(r.Verb)
}

// Past is what is known of a campaign besides its present run.
type Past struct {
	// Runs are the statuses of the runs before the present one, oldest first.
	Runs []workflows.Status
	// Forgotten is what Temporal does not know any more.
	Forgotten string
	Repairs   []Repair
}

// Plan is what was approved.
type Plan struct {
	Name   string    `json:"name"`
	Digest string    `json:"digest"`
	Made   time.Time `json:"made"`
	// Findings are the first of the Found problems met while planning.
	Findings []plan.Finding `json:"findings,omitempty"`
	Found    int            `json:"found"`
	// Limit is the sum of the accounts' limits of calls a second when the plan was
	// made; 0 where the plan does not say.
	Limit float64 `json:"limit,omitempty"`
	// Undoes is the campaign whose former keys were put back; empty when zones were
	// rotated.
	Undoes string `json:"undoes,omitempty"`
}

// Wave sums up the zones of one wave.
type Wave struct {
	Number     int                      `json:"number"` // 1-based
	Counts     rotation.Counts          `json:"counts"`
	Hosts      rotation.HostCounts      `json:"hosts"`
	ExposureMs rotation.ExposureSummary `json:"exposureMs"`
}

// Account sums up the zones of one account.
type Account struct {
	Account rotation.Account    `json:"account"`
	Counts  rotation.Counts     `json:"counts"`
	Hosts   rotation.HostCounts `json:"hosts"`
	API     rotation.API        `json:"api"`
	// Limit is the account's of calls a second when the plan was made.
	Limit float64 `json:"limit"`
}

// SetAside is a host that could not take keys, or a bastion in place of the hosts behind
// it.
type SetAside struct {
	Host    rotation.HostName `json:"host,omitempty"`
	Bastion string            `json:"bastion,omitempty"`
	Hosts   int               `json:"hosts,omitempty"`
	Why     string            `json:"why"`
}

func (s SetAside) who() string {
	return rotation.Attention{Host: s.Host, Bastion: s.Bastion, Hosts: s.Hosts}.Who()
}

// Zone is one zone's rotation.
type Zone struct {
	ID      rotation.ZoneID  `json:"id"`
	Name    string           `json:"name,omitempty"`
	Account rotation.Account `json:"account"` // whose it is
	Wave    int              `json:"wave"`    // 1-based
	Page    int              `json:"page"`    // of the plan, 1-based: the shard's number
	Outcome rotation.Outcome `json:"outcome"`
	// Why says why the outcome is not done, or what was met on the way there.
	Why string `json:"why,omitempty"`
	// Forgotten says that Temporal has lost the zone's record: only its outcome is
	// remembered, and none of its hosts counts as acknowledged.
	Forgotten bool `json:"forgotten,omitempty"`
	// From and To are the live key before and after; empty when not known.
	From rotation.Fingerprint `json:"from,omitempty"`
	To   rotation.Fingerprint `json:"to,omitempty"`
	// RequestID is EdgeOne's ID of the refresh that was answered.
	RequestID string `json:"requestId,omitempty"`
	// FormerUntil is until when From is kept, sealed, and may be put back; zero when it
	// is not kept.
	FormerUntil time.Time `json:"formerUntil,omitzero"`
	// Since is when the old key may have died, EndedAt when the rotation ended.
	Since   time.Time `json:"since,omitzero"`
	EndedAt time.Time `json:"endedAt,omitzero"`
	// ExposureMs runs from Since to the last acknowledgement.
	ExposureMs int64 `json:"exposureMs,omitempty"`
	// Hosts are the zone's hosts in the plan, Missing the hosts that did not
	// acknowledge To, Added those that acknowledged it and are not in the plan: a
	// person let the key be delivered by changed definitions.
	Hosts   []Host              `json:"hosts"`
	Added   []rotation.HostName `json:"added,omitempty"`
	Missing []rotation.HostName `json:"missing,omitempty"`
	API     rotation.API        `json:"api"`
}

// Host is one host of a zone. Ms is when it acknowledged To, after Since; null
// when it did not, or when no time was kept.
type Host struct {
	Host     rotation.HostName `json:"host"`
	Location rotation.Location `json:"location"`
	Ms       *int64            `json:"ms"`
	// Retired says that a person retired it before it acknowledged To, Held what it
	// held when it was last seen; empty is not known.
	Retired bool                 `json:"retired,omitempty"`
	Held    rotation.Fingerprint `json:"held,omitempty"`
}

// Build makes the report of a campaign from the plan that it ran, all of the
// plan's pages in order, its status, the records of its shards, in any order, and
// its past. A zone without a record has not started and is pending. It is an error
// if anything does not add up: another plan's pages, a zone recorded twice or
// not planned, a zone done without proof, sums that are not the campaign's. The
// status of a campaign that is still running may be older than its records, and
// then does not add up either.
func Build(plan plan.Plan, pages []plan.Page, status workflows.Status, records []rotation.Record, past Past) (Report, error) {
	if err := samePlan(plan, pages, status); err != nil {
		return Report{}, refused(status, err)
	}
	r := Report{
		Format: Format, Campaign: status.Campaign, State: status.State,
		Plan: Plan{
			Name: plan.Name, Digest: plan.Digest, Made: plan.Made.UTC(),
			Findings: plan.Findings, Found: plan.Found, Limit: plan.Limit, Undoes: plan.Undoes,
		},
		EndedAt: status.EndedAt, Reason: status.Reason, Next: status.Next, Settings: plan.Settings, API: status.API,
		Forgotten: past.Forgotten, Repairs: past.Repairs, Log: []workflows.Entry{},
	}
	r.remember(append(slices.Clone(past.Runs), status))
	for _, a := range status.SetAside {
		r.SetAside = append(r.SetAside, SetAside{Host: a.Host, Bastion: a.Bastion, Hosts: a.Hosts, Why: a.Why})
	}
	var err error
	if r.Zones, err = zones(pages, records); err != nil {
		return Report{}, refused(status, err)
	}
	r.sum(len(plan.Waves))
	r.sumAccounts(plan, status)
	if err := r.addsUp(plan, status); err != nil {
		return Report{}, refused(status, err)
	}
	r.Digest, err = r.digest()
	return r, err
}

// remember takes over what each run of the campaign knows, oldest first.
func (r *Report) remember(runs []workflows.Status) {
	var emergencies []string
	for i, s := range runs {
		run := Run{StartedAt: s.StartedAt.UTC(), EndedAt: s.EndedAt, State: s.State, Emergency: s.Emergency, Counts: s.Zones}
		own := r.record(s.Log)
		if len(own) > 0 {
			run.By, run.Reason = own[0].By, own[0].Reason
		}
		r.Runs = append(r.Runs, run)
		if s.Emergency != "" && !slices.Contains(emergencies, s.Emergency) {
			emergencies = append(emergencies, s.Emergency)
		}
		if r.Drift == nil {
			r.Drift = s.Drift
		}
		if r.Also == nil {
			r.Also = s.Also
		}
		if i == 0 {
			r.StartedAt = run.StartedAt
		}
	}
	r.Emergency = strings.Join(emergencies, "; ")
}

// record adds a run's log, and gives what is its own: a run takes over the log of the
// one before, whose entries may have been folded further since.
func (r *Report) record(log []workflows.Entry) (own []workflows.Entry) {
	for _, e := range log {
		known := slices.IndexFunc(r.Log, func(k workflows.Entry) bool { return k.At.Equal(e.At) && k.What == e.What && k.By == e.By })
		if known >= 0 {
			r.Log[known] = e
			continue
		}
		own = append(own, e)
	}
	r.Log = append(r.Log, own...)
	return own
}

func refused(s workflows.Status, err error) error {
	what := "nothing was changed; if shards were terminated, keywave campaign resume " + s.Campaign + " looks every zone up again"
	if s.EndedAt == nil {
		what = "it is still " + string(s.State) + ", so ask again when it has ended"
	}
	return fmt.Errorf("no report of campaign %s: %w; %s", s.Campaign, err, what)
}

// samePlan says whether the pages are those that were approved (promise 8).
func samePlan(plan plan.Plan, pages []plan.Page, status workflows.Status) error {
	switch {
	case plan.DigestOf() != plan.Digest:
		return fmt.Errorf("plan %s is called %s but its digest is %s", plan.Name, plan.Digest, plan.DigestOf())
	case status.PlanDigest != plan.Digest:
		return fmt.Errorf("it ran plan %s, not %s", status.PlanDigest, plan.Digest)
	case len(pages) != len(plan.Pages):
		return fmt.Errorf("plan %s has %d pages, %d were found", plan.Name, len(plan.Pages), len(pages))
	}
	for i, page := range pages {
		if page.Number != i+1 || page.Wave < 1 || page.Wave > len(plan.Waves) {
			return fmt.Errorf("page %d of wave %d stands where page %d of plan %s belongs", page.Number, page.Wave, i+1, plan.Name)
		}
		if page.Digest() != plan.Pages[i] {
			return fmt.Errorf("page %d of plan %s has digest %s, %s was approved", i+1, plan.Name, page.Digest(), plan.Pages[i])
		}
	}
	return nil
}

func zones(pages []plan.Page, records []rotation.Record) ([]Zone, error) {
	byID := make(map[rotation.ZoneID]rotation.Record, len(records))
	for _, rec := range records {
		if _, twice := byID[rec.Zone]; twice {
			return nil, fmt.Errorf("zone %s has more than one record", rec.Zone)
		}
		byID[rec.Zone] = rec
	}
	all := []Zone{}
	for _, page := range pages {
		for _, planned := range page.Zones {
			rec, ok := byID[planned.ID]
			if !ok {
				rec = rotation.Record{Zone: planned.ID, Outcome: rotation.Pending}
			}
			delete(byID, planned.ID)
			z, err := newZone(page, planned, rec)
			if err != nil {
				return nil, fmt.Errorf("zone %s: %w", planned.ID, err)
			}
			all = append(all, z)
		}
	}
	for id := range byID {
		return nil, fmt.Errorf("zone %s has a record, and the plan does not have it", id)
	}
	return all, nil
}

func newZone(page plan.Page, planned plan.PageZone, rec rotation.Record) (Zone, error) {
	z := Zone{
		ID: planned.ID, Name: planned.Name, Wave: page.Wave, Page: page.Number, Outcome: rec.Outcome, Why: rec.Why, Forgotten: rec.Forgotten,
		From: rec.From, To: rec.To, RequestID: rec.RequestID, Since: rec.Since.UTC(), EndedAt: rec.EndedAt.UTC(),
		ExposureMs: rec.ExposureMs, Missing: rec.Missing, API: rec.API, Hosts: []Host{},
	}
	if rec.Former != nil {
		z.FormerUntil = rec.Former.Until.UTC()
	}
	for _, ref := range page.HostsOf(planned) {
		z.Hosts = append(z.Hosts, Host{Host: ref.Name, Location: ref.Location})
	}
	for _, ack := range rec.Acks {
		switch h := z.host(ack.Host); {
		case h != nil:
			h.Ms = &ack.Ms
		case rehosted(rec):
			z.Added = append(z.Added, ack.Host)
		default:
			return z, fmt.Errorf("host %s acknowledged its key, and the plan does not give it to that host", ack.Host)
		}
	}
	for _, gone := range rec.Retired {
		if h := z.host(gone.Host); h != nil && h.Ms == nil {
			h.Retired, h.Held = true, gone.Held
		}
	}
	return z, z.check(rec)
}

func (z *Zone) host(name rotation.HostName) *Host {
	for i := range z.Hosts {
		if z.Hosts[i].Host == name {
			return &z.Hosts[i]
		}
	}
	return nil
}

// check finds what cannot be true of a zone. It never shows what stands where a
// fingerprint should.
func (z *Zone) check(rec rotation.Record) error {
	if !slices.Contains(rotation.Outcomes(), z.Outcome) {
		return fmt.Errorf("%q is no outcome", z.Outcome)
	}
	for _, f := range []rotation.Fingerprint{z.From, z.To} {
		if _, ok := rotation.ParseFingerprint(string(f)); f != "" && !ok {
			return errors.New("its record holds something that is no fingerprint")
		}
	}
	for _, name := range z.Missing {
		switch h := z.host(name); {
		case h == nil && !rehosted(rec):
			return fmt.Errorf("host %s is missing, and the plan does not have it", name)
		case h != nil && h.Ms != nil && z.To != "":
			return fmt.Errorf("host %s is missing, and its acknowledgement is on record", name)
		}
	}
	if z.Outcome != rotation.Done || z.Forgotten {
		return nil
	}
	n := z.pairs()
	if z.To == "" || z.To == rotation.Absent || len(z.Missing) > 0 {
		return fmt.Errorf("it is recorded as done, with %d of %d hosts missing and the live key %q", len(z.Missing), len(z.Hosts), z.To)
	}
	if n.Acknowledged+n.Retired < n.Total && !rehosted(rec) {
		return fmt.Errorf("it is recorded as done, and of its %d hosts %d acknowledged the live key and %d were retired", n.Total, n.Acknowledged, n.Retired)
	}
	return nil
}

// rehosted says that a person let the live key be delivered to other hosts, or by other
// definitions, than the plan's.
func rehosted(rec rotation.Record) bool {
	return strings.Contains(rec.Why, "accepted other definitions")
}

// pairs counts the zone's hosts in the plan: those whose acknowledgement of To is on
// record, and those of the others that were retired.
func (z *Zone) pairs() rotation.HostCounts {
	n := rotation.HostCounts{Total: len(z.Hosts)}
	for _, h := range z.Hosts {
		switch {
		case h.Ms != nil && z.To != "":
			n.Acknowledged++
		case h.Retired:
			n.Retired++
		}
	}
	return n
}

// sum adds the zones up, by wave and in all.
func (r *Report) sum(waves int) {
	all := rotation.Tally{}
	tallies := make([]rotation.Tally, waves)
	for i := range r.Zones {
		z := &r.Zones[i]
		for _, t := range []*rotation.Tally{&all, &tallies[z.Wave-1]} {
			t.Zones.Total++
			t.Zones.Pending++
			t.Zones.Move(rotation.Pending, z.Outcome)
			t.Hosts = t.Hosts.Plus(z.pairs())
			if z.Outcome == rotation.Done && z.ExposureMs > 0 {
				t.Exposures.Add(z.ExposureMs)
			}
		}
	}
	r.Counts, r.Hosts, r.ExposureMs = all.Zones, all.Hosts, all.Exposures.Summary()
	r.Waves = []Wave{}
	for i, t := range tallies {
		r.Waves = append(r.Waves, Wave{i + 1, t.Zones, t.Hosts, t.Exposures.Summary()})
	}
}

// sumAccounts says of each zone whose it is, and adds the accounts up.
func (r *Report) sumAccounts(plan plan.Plan, status workflows.Status) {
	r.Accounts = []Account{}
	for _, share := range plan.Accounts {
		a := Account{Account: share.Account, Limit: share.Limit}
		for i := range r.Zones {
			z := &r.Zones[i]
			if plan.AccountOf(z.Page) != share.Account {
				continue
			}
			z.Account = share.Account
			a.Counts = a.Counts.Plus(rotation.NewCounts(1))
			a.Counts.Move(rotation.Pending, z.Outcome)
			a.Hosts = a.Hosts.Plus(z.pairs())
		}
		for _, s := range status.Accounts {
			if s.Account == share.Account {
				a.API = s.API
			}
		}
		r.Accounts = append(r.Accounts, a)
	}
}

// addsUp is promise 9.
func (r *Report) addsUp(plan plan.Plan, status workflows.Status) error {
	switch {
	case !status.Zones.Balanced():
		return fmt.Errorf("its counts do not add up to their total: %s", words(status.Zones))
	case r.Counts.Total != plan.Zones || r.Hosts.Total != plan.Pairs:
		return fmt.Errorf("its plan promises %d zones with %d deliveries, the pages hold %d with %d", plan.Zones, plan.Pairs, r.Counts.Total, r.Hosts.Total)
	case r.Counts != status.Zones:
		return fmt.Errorf("it counts %s; its records add up to %s", words(status.Zones), words(r.Counts))
	case r.Hosts != status.Hosts:
		return fmt.Errorf("it counts %s; its records add up to %s", pairs(status.Hosts), pairs(r.Hosts))
	}
	for i, a := range r.Accounts {
		if len(status.Accounts) != len(r.Accounts) || status.Accounts[i].Zones != a.Counts {
			return fmt.Errorf("the zones of account %s are %s by its records, and the campaign counts otherwise", a.Account, words(a.Counts))
		}
	}
	return nil
}

// pairs is "23 of 24 pairs acknowledged, 1 retired".
func pairs(h rotation.HostCounts) string {
	text := fmt.Sprintf("%d of %d (zone, host) pairs acknowledged", h.Acknowledged, h.Total)
	if h.Retired > 0 {
		text += fmt.Sprintf(", %d retired", h.Retired)
	}
	return text
}

// words is "60 zones: 58 done, 2 skipped".
func words(c rotation.Counts) string {
	text := plural(c.Total, "zone")
	sep := ": "
	for _, o := range rotation.Outcomes() {
		if n := c.Of(o); n != 0 {
			text += fmt.Sprintf("%s%d %s", sep, n, o)
			sep = ", "
		}
	}
	return text
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
