package workflows

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"keywave/activities"
	"keywave/internal/plan"
	"keywave/internal/rotation"
)

// PlanIn is a plan without its baselines; its draft pages are workflows of
// their own that report to it.
type PlanIn struct {
	Plan  plan.Plan `json:"plan"` // Pages empty
	Pages int       `json:"pages"`
	// Within is how long the pages may take.
	Within rotation.Span `json:"within"`
}

// PagePlanned is a page's report to its plan.
type PagePlanned struct {
	Page      int            `json:"page"`
	Digest    string         `json:"digest"`
	Describes int            `json:"describes"`
	Findings  []plan.Finding `json:"findings,omitempty"`
	Found     int            `json:"found"`
	// Unready counts the zones that would not be rotated now: their key
	// cannot be read, or a host of theirs cannot take one, or their former key may not
	// replace the live one.
	Unready int `json:"unready,omitempty"`
	// AheadMs is how far the clock of the account's worker is ahead of EdgeOne's;
	// nil where that is not known.
	AheadMs *int64 `json:"aheadMs,omitempty"`
	// Refused says why there can be no plan.
	Refused string `json:"refused,omitempty"`

	unread map[rotation.ZoneID]bool
	unfit  map[rotation.HostName]bool
}

// unready notes a zone or a host with which a rotation could not start now.
func (p *PagePlanned) unready(zone rotation.ZoneID, host rotation.HostName) {
	if p.unread == nil {
		p.unread, p.unfit = map[rotation.ZoneID]bool{}, map[rotation.HostName]bool{}
	}
	if zone != "" {
		p.unread[zone] = true
	}
	if host != "" {
		p.unfit[host] = true
	}
}

// count says how many zones of the page are not ready, and how many pairs of zone
// and host were compared: both sides were read.
func (p *PagePlanned) count(page plan.Page) (compared int) {
	for _, z := range page.Zones {
		read := 0
		for _, h := range z.Hosts {
			if !p.unfit[page.Hosts[h].Name] {
				read++
			}
		}
		if p.unread[z.ID] || read < len(z.Hosts) {
			p.Unready++
		}
		if !p.unread[z.ID] {
			compared += read
		}
	}
	return compared
}

// PageIn is one page: a draft at first, frozen once its baselines are read.
type PageIn struct {
	Plan   string    `json:"plan"`
	Undoes string    `json:"undoes,omitempty"` // as the plan's
	Page   plan.Page `json:"page"`
	Frozen bool      `json:"frozen"`
	// Keep is how long it stays open at least.
	Keep rotation.Span `json:"keep"`
	// Records are what the latest shard of each campaign left.
	Records map[string][]rotation.Record `json:"records,omitempty"`
}

// MaxFindings is how many findings a plan names; the others are counted.
const MaxFindings = 50

const baselineBatch = 100

// Plan collects its pages' digests and is then the frozen list of what a
// campaign will do. It changes nothing.
func Plan(ctx workflow.Context, in PlanIn) (plan.Plan, error) {
	plan := in.Plan
	plan.Pages = make([]string, in.Pages)
	show(ctx, mark("Plan **%s**: reading the baselines of %d zones on %d pages.", plan.Name, plan.Zones, in.Pages))
	reports := workflow.GetSignalChannel(ctx, SignalPagePlanned)
	ahead := map[rotation.Account]*int64{}
	for missing := in.Pages; missing > 0; {
		var r PagePlanned
		if ok, _ := reports.ReceiveWithTimeout(ctx, in.Within.D(), &r); !ok {
			return plan, temporal.NewNonRetryableApplicationError(fmt.Sprintf("%d of %d pages did not report within %s (is a worker with the edgeone role active? keywave doctor); nothing was changed", missing, in.Pages, in.Within), "PlanTimeout", nil)
		}
		if r.Page < 1 || r.Page > in.Pages {
			continue // no page of ours says so
		}
		if r.Refused != "" {
			return plan, temporal.NewNonRetryableApplicationError(r.Refused+"; nothing was changed", "PlanRefused", nil)
		}
		if plan.Pages[r.Page-1] != "" {
			continue
		}
		missing--
		plan.Pages[r.Page-1] = r.Digest
		plan.Describes += r.Describes
		for i := range plan.Accounts {
			if plan.Accounts[i].Account == plan.AccountOf(r.Page) {
				plan.Accounts[i].Describes += r.Describes
			}
		}
		plan.Unready += r.Unready
		ahead[plan.AccountOf(r.Page)] = further(ahead[plan.AccountOf(r.Page)], r.AheadMs)
		gather(&plan, r)
	}
	for i, f := range plan.Findings {
		plan.Findings[i] = f.Settled()
	}
	for _, a := range plan.Owners() {
		if ms := ahead[a]; ms != nil && clockIsOff(*ms) {
			plan.Found++
			plan.Findings = slices.Insert(plan.Findings, 0, clockFinding(a, *ms))
			plan.Findings = plan.Findings[:min(len(plan.Findings), MaxFindings)]
		}
	}
	plan.Made = workflow.Now(ctx).UTC()
	plan.Digest = plan.DigestOf()
	_ = workflow.UpsertTypedSearchAttributes(ctx, keyword(AttrPlan, plan.Digest))
	show(ctx, planDetails(plan))
	return plan, nil
}

// gather adds a page's findings to a plan's. A bastion that several pages miss is one
// finding.
func gather(p *plan.Plan, r PagePlanned) {
	all, less := plan.Together(append(p.Findings, r.Findings...))
	p.Found += r.Found - less
	p.Findings = all[:min(len(all), MaxFindings)]
}

// Page reads the baselines of a draft and becomes the frozen page, whose start
// event is the only copy; it stays open while the plan is valid, and while a
// campaign of the plan is.
func Page(ctx workflow.Context, in PageIn) error {
	if !in.Frozen {
		return draft(ctx, in)
	}
	if err := workflow.SetQueryHandlerWithOptions(ctx, QueryPage, func() (plan.Page, error) { return in.Page, nil },
		workflow.QueryHandlerOptions{Description: "The page: zones, hosts, baseline fingerprints."}); err != nil {
		return err
	}
	if err := in.keepRecords(ctx); err != nil {
		return err
	}
	_ = workflow.UpsertTypedSearchAttributes(ctx, keyword(AttrOutcome, OutcomeKept))
	show(ctx, pageDetails(in))
	return keep(ctx, &in)
}

// PageRecords are what a shard left of the page's zones when it ended.
type PageRecords struct {
	Campaign string            `json:"campaign"`
	Records  []rotation.Record `json:"records"`
}

// keptBytes is how much the records of one campaign may take: a page passes
// through Temporal with those of several.
const keptBytes = 700 << 10

// keepable are the records as a page keeps them: without the acknowledgements of
// single hosts, should they take too much.
func keepable(records []rotation.Record) []rotation.Record {
	body, err := json.Marshal(records)
	if err == nil && len(body) <= keptBytes {
		return records
	}
	light := slices.Clone(records)
	for i := range light {
		light[i].Acks, light[i].Missing, light[i].Retired = nil, nil, nil
	}
	return light
}

// keepRecords takes what shards left, the latest of each campaign: a page lives
// as long as a campaign of its plan, and a closed shard only as long as the
// namespace's retention.
func (in *PageIn) keepRecords(ctx workflow.Context) error {
	if in.Records == nil {
		in.Records = map[string][]rotation.Record{}
	}
	left := workflow.GetSignalChannel(ctx, SignalPageRecords)
	workflow.Go(ctx, func(ctx workflow.Context) {
		for {
			var r PageRecords
			left.Receive(ctx, &r)
			in.Records[r.Campaign] = r.Records
		}
	})
	return workflow.SetQueryHandlerWithOptions(ctx, QueryRecords, func(campaign string) ([]rotation.Record, error) { return in.Records[campaign], nil },
		workflow.QueryHandlerOptions{Description: "One record per zone of this page, as the last shard of a campaign left it. Input: \"the campaign's name\""})
}

// keepOn is how often a page whose plan is not valid any more asks whether a
// campaign of it is still open.
const keepOn = 6 * time.Hour

// keep waits until nobody needs the page any more.
func keep(ctx workflow.Context, in *PageIn) error {
	for wait := in.Keep.D(); ; wait = min(wait, keepOn) {
		timer := within(wait, "until plan "+in.Plan+" is not valid any more, and no campaign of it is open")
		if err := workflow.NewTimerWithOptions(ctx, timer.Timeout, timer.TimerOptions).Get(ctx, nil); err != nil {
			return err
		}
		open, err := openRunAct().do(ctx, storedOptions("is a campaign of plan "+in.Plan+" open?"), activities.OpenRunIn{Type: TypeCampaign, Plan: in.Plan})
		if err != nil || open.Workflow == "" {
			return err
		}
		show(ctx, pageDetails(*in)+mark("\nIt stays open for %s.", open.Workflow))
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			in.Keep = rotation.Span(min(wait, keepOn))
			return workflow.NewContinueAsNewError(ctx, TypePage, *in)
		}
	}
}

// PageSummary says what a page is and why it runs.
func PageSummary(in PageIn) string {
	return fmt.Sprintf("page %d of plan %s, kept for %s for campaigns of the plan: %s, wave %d", in.Page.Number, in.Plan, keptFor(), plural(len(in.Page.Zones), "zone"), in.Page.Wave)
}

func keptFor() string { return plural(int(PlanValidFor/(24*time.Hour)), "day") }

func pageDetails(in PageIn) marked {
	return mark("Page %d of plan **%s**, wave %d: %d zones on %d hosts. Digest %s.\n\nIt changes nothing. It runs so that Temporal keeps the page: while the plan is valid, for %s, and after that while a campaign of the plan is open.",
		in.Page.Number, in.Plan, in.Page.Wave, len(in.Page.Zones), len(in.Page.Hosts), code(in.Page.Digest()), keptFor())
}

func draft(ctx workflow.Context, in PageIn) error {
	report := PagePlanned{Page: in.Page.Number}
	if err := readBaselines(ctx, &in.Page, &report); err != nil {
		report.Refused = why(err)
	} else {
		report.notBack(in.Page, in.Undoes)
		surveyHosts(ctx, &in.Page, &report, false)
		report.Digest = in.Page.Digest()
		report.count(in.Page)
	}
	report.Found = len(report.Findings)
	report.Findings = report.Findings[:min(len(report.Findings), MaxFindings)]
	err := workflow.SignalExternalWorkflow(ctx, PlanID(in.Plan), "", SignalPagePlanned, report).Get(ctx, nil)
	if err != nil || report.Refused != "" {
		return err
	}
	in.Frozen = true
	return workflow.NewContinueAsNewError(ctx, TypePage, in)
}

func readBaselines(ctx workflow.Context, page *plan.Page, report *PagePlanned) error {
	return readAll(ctx, page, report, bulkOptions, false)
}

// readAll is readBaselines, and strict fails it when a key cannot be read.
func readAll(ctx workflow.Context, page *plan.Page, report *PagePlanned, options func(rotation.Account, string) workflow.ActivityOptions, strict bool) error {
	for from := 0; from < len(page.Zones); from += baselineBatch {
		part := page.Zones[from:min(from+baselineBatch, len(page.Zones))]
		in := activities.BaselinesIn{Strict: strict}
		for _, z := range part {
			in.Zones = append(in.Zones, z.ID)
		}
		out, err := baselinesAct().do(ctx, options(page.Account, fmt.Sprintf("baselines of %d zones", len(part))), in)
		if err != nil {
			return err
		}
		report.Describes += out.API.Describe
		report.AheadMs = further(report.AheadMs, out.AheadMs)
		for i := range part {
			part[i].Baseline = out.Baselines[i].Key
			if problem := out.Baselines[i].Problem; problem != "" {
				report.unready(part[i].ID, "")
				report.Findings = append(report.Findings, plan.Finding{Zone: part[i].ID, Text: problem})
			}
			if part[i].Baseline == rotation.Absent {
				report.Findings = append(report.Findings, plan.Finding{Zone: part[i].ID, Text: "EdgeOne has no key for this zone yet"})
			}
		}
	}
	return nil
}

// notBack finds the zones of a rollback that will not be rolled back, because their
// live key is not the one that the former key may replace.
func (p *PagePlanned) notBack(page plan.Page, undoes string) {
	for _, z := range page.Zones {
		if z.Former == nil || z.Baseline == "" || z.Baseline == z.Former.For {
			continue
		}
		p.unready(z.ID, "")
		p.Findings = append(p.Findings, plan.Finding{Zone: z.ID, Text: fmt.Sprintf("EdgeOne holds %s, and not %s, which campaign %s set: it will not be rolled back", z.Baseline, z.Former.For, undoes)})
	}
}

// surveyHosts lets every host prove that it can take a key, and compares what
// hosts hold with the baselines. What it finds is for people; it stops nothing.
// With look, hosts are only read.
func surveyHosts(ctx workflow.Context, page *plan.Page, report *PagePlanned, look bool) {
	zones := make([][]activities.ProveZone, len(page.Hosts))
	for _, z := range page.Zones {
		for _, h := range z.Hosts {
			zones[h] = append(zones[h], activities.ProveZone{ID: z.ID, Baseline: z.Baseline})
		}
	}
	var q question
	for i, h := range page.Hosts {
		q.add(h, zones[i], look)
	}
	if !look {
		probe, err := probeAct().do(ctx, bulkOptions(page.Account, "a probe, sealed as keys will be"), activities.ProbeIn{Locations: q.locations})
		if err != nil {
			for _, h := range page.Hosts {
				report.unready("", h.Name)
			}
			report.Findings = append(report.Findings, plan.Finding{Text: why(err) + "; no host was asked"})
			return
		}
		q.sealed(probe)
		// A large plan asks each of its hosts once for every page: what it tried since the
		// page began is enough.
		q.recent(workflow.Now(ctx).Sub(workflow.GetInfo(ctx).WorkflowStartTime))
	}
	q.survey(ctx, func(in activities.ProveIn, out activities.ProveOut, err error) {
		if err != nil {
			report.Findings = append(report.Findings, plan.Finding{Text: fmt.Sprintf("the hosts of location %s were not asked: %s", in.Location, noAnswer(in.Location, err))})
			for _, h := range in.Hosts {
				report.unready("", h.Host.Name)
			}
		}
		for i, p := range out.Proofs {
			report.Findings = append(report.Findings, findings(p, in.Hosts[i].Zones, look)...)
			if p.Problem != "" {
				report.unready("", p.Host)
			}
		}
		for _, t := range out.Twins {
			report.Findings = append(report.Findings, plan.Finding{Text: t.String()})
		}
	})
	report.Findings, _ = plan.Together(report.Findings)
}

// otherFormat is what an audit finds of a file, with what to do.
const otherFormat = "the host's file is in another format than the fleet file says, and which key is in it is not seen; write it anew: keywave zone repair "

// stagedLeft is what an audit finds of a key that was staged, with what to do.
const stagedLeft = "a key that was staged lies on the host beside the zone's file; if no rotation of the zone runs, remove it: keywave zone repair "

// findings are what a host shows, for people. A file in another format holds no wrong
// key; a proof's Notes count such files, and a look names each.
func findings(p rotation.Proof, zones []activities.ProveZone, look bool) []plan.Finding {
	switch {
	case p.Problem != "" && p.Bastion != "":
		return []plan.Finding{plan.LostBastion(p)}
	case p.Problem != "":
		return []plan.Finding{{Host: p.Host, Text: p.Problem}}
	}
	var found []plan.Finding
	for _, note := range p.Notes {
		found = append(found, plan.Finding{Host: p.Host, Text: note})
	}
	for _, z := range zones {
		if look && slices.Contains(p.Staged, z.ID) {
			found = append(found, plan.Finding{Zone: z.ID, Host: p.Host, Staged: true, Text: stagedLeft + string(z.ID)})
		}
		held, drifted := p.Drift[z.ID]
		switch {
		case slices.Contains(p.Other, z.ID):
			if look {
				found = append(found, plan.Finding{Zone: z.ID, Host: p.Host, Format: true, Text: otherFormat + string(z.ID)})
			}
		case !drifted || z.Baseline == "":
		case held == rotation.Absent:
			found = append(found, plan.Finding{Zone: z.ID, Host: p.Host, Text: "the host holds no key for this zone"})
		default:
			found = append(found, plan.Finding{Zone: z.ID, Host: p.Host, Text: fmt.Sprintf("the host holds %s, EdgeOne holds %s", held, z.Baseline)})
		}
	}
	return found
}

// further is the clock that is further off.
func further(a, b *int64) *int64 {
	if a == nil || b != nil && max(*b, -*b) > max(*a, -*a) {
		return b
	}
	return a
}

func clockIsOff(aheadMs int64) bool {
	return (time.Duration(aheadMs) * time.Millisecond).Abs() > rotation.ClockOff
}

func clockFinding(a rotation.Account, aheadMs int64) plan.Finding {
	return plan.Finding{Text: fmt.Sprintf("the clock of the worker of account %s is %s; EdgeOne refuses a signature that is 300 s off: let NTP set the clock", a, rotation.ClockText(time.Duration(aheadMs)*time.Millisecond))}
}

// ClockWarning is what a person must know of a worker's clock; empty while it is
// right, or not known.
func ClockWarning(a rotation.Account, aheadMs *int64) string {
	if aheadMs == nil || !clockIsOff(*aheadMs) {
		return ""
	}
	return clockFinding(a, *aheadMs).Text
}
