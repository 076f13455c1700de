package workflows

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/workflow"

	"keywave/activities"
	"keywave/internal/harmless"
	"keywave/internal/plan"
	"keywave/internal/rotation"
)

// What the Temporal UI shows of a workflow, in Markdown, and the summaries of
// its children. Pure: values in, text out. Formats are ours; what stands in them
// are words of others, each escaped.

// marked is Markdown: what is of this type is escaped already, or ours.
type marked = harmless.Own

// mark is fmt.Sprintf for Markdown.
func mark(format string, args ...any) marked {
	return marked(harmless.Sprintf(harmless.Markdown, format, args...))
}

// markdown is a page under way.
type markdown struct{ b strings.Builder }

func (m *markdown) say(format string, args ...any) { m.add(mark(format, args...)) }

func (m *markdown) add(text marked) { m.b.WriteString(string(text)) }

func (m *markdown) text() marked { return marked(m.b.String()) }

// show is the one way to what people read on a workflow's page.
func show(ctx workflow.Context, page marked) { workflow.SetCurrentDetails(ctx, string(page)) }

func fmtHosts(n int) string { return plural(n, "host") }

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func zoneSummary(in ZoneIn) string {
	name := cmp.Or(in.Name, string(in.Zone))
	return fmt.Sprintf("%s %s on %s in %s", in.does(), name, fmtHosts(len(in.Hosts)), rotation.Listed(locationsOf(in.Hosts)))
}

// does says what the operation does to the zone, asked what somebody asks for.
func (in ZoneIn) does() string {
	if in.Former != nil {
		return "rolls back"
	}
	return string(in.Verb) + "s"
}

func (in ZoneIn) asked() string {
	if in.Former != nil {
		return "roll back"
	}
	return string(in.Verb)
}

func locationsOf(hosts []rotation.HostRef) []rotation.Location {
	var all []rotation.Location
	for _, h := range hosts {
		if !slices.Contains(all, h.Location) {
			all = append(all, h.Location)
		}
	}
	return all
}

func shardSummary(in ShardIn, undoes string, pages, wave, waves int) string {
	if in.Mend {
		return fmt.Sprintf("delivers what an earlier run left exposed or unknown on page %d of %d", in.Page, pages)
	}
	does := "rotates"
	if undoes != "" {
		does = "rolls back"
	}
	return fmt.Sprintf("%s page %d of %d, in wave %d of %d", does, in.Page, pages, wave, waves)
}

// refreshSummary names the hosts too, where the new key may go straight to them.
func refreshSummary(in activities.RefreshIn) string {
	text := "new key for " + string(in.Zone)
	if len(in.Straight) == 0 {
		return text
	}
	return text + ", straight to " + rotation.Listed(namesOf(in.Hosts)) + ", then read back"
}

func mintSummary(in activities.MintIn) string {
	switch {
	case in.Former != nil:
		return fmt.Sprintf("the former key of %s again, in place of %s", in.Zone, in.Baseline)
	case in.RollbackFor > 0:
		return fmt.Sprintf("a new key for %s; the former one is kept for %s", in.Zone, in.RollbackFor)
	}
	return "a new key for " + string(in.Zone)
}

// switchSummary names the hosts too, where the switch may activate their keys itself.
func switchSummary(in activities.SwitchIn) string {
	text := "switch " + string(in.Zone)
	if in.Former != nil {
		text += " back"
	}
	if len(in.Straight) == 0 {
		return text
	}
	return text + ", activate on " + rotation.Listed(namesOf(in.Hosts)) + ", then read back"
}

func stageSummary(l rotation.Location, hosts []rotation.HostRef) string {
	return fmt.Sprintf("stage to %s in %s", rotation.Listed(namesOf(hosts)), l)
}

func sweepSummary(l rotation.Location, hosts []rotation.HostRef) string {
	return fmt.Sprintf("remove what is staged on %s in %s", rotation.Listed(namesOf(hosts)), l)
}

// deliverySummary names the hosts of one round, in one location.
func deliverySummary(l rotation.Location, hosts []rotation.HostRef, round int) string {
	text := fmt.Sprintf("to %s in %s", rotation.Listed(namesOf(hosts)), l)
	if round > 0 {
		text = fmt.Sprintf("try %d, %s", round+1, text)
	}
	return text
}

// waitSummary says what a zone waits for.
func waitSummary(t *rotation.Trip) string {
	switch {
	case t.Phase == rotation.PhaseHold:
		return "until no lost request can still be executed"
	case t.Phase == rotation.PhaseSettle:
		return "before it reads again which key is live"
	case t.Phase == rotation.PhaseDeliver && len(t.Last) > 0:
		return fmt.Sprintf("before the next try, because %s: %s", t.Last[0].Host, t.Last[0].Problem)
	case t.Phase == rotation.PhaseDeliver:
		return "before the next try"
	}
	return "before it asks EdgeOne again"
}

var phaseWords = map[rotation.Phase]string{
	rotation.PhaseBaseline: "reads which key is live",
	rotation.PhaseProve:    "asks each host to prove that it can take a key",
	rotation.PhaseRefresh:  "asks EdgeOne for a new key (the old key is alive until then)",
	rotation.PhaseMint:     "has a new key made",
	rotation.PhaseStage:    "brings the new key to the hosts, beside the file that is in use (the old key is alive)",
	rotation.PhaseSwitch:   "asks EdgeOne to take the new key, which lies on every host (the old key is alive until then)",
	rotation.PhaseSweep:    "removes what is still staged on hosts",
	rotation.PhaseReadBack: "reads back whether the key changed, because the answer was lost",
	rotation.PhaseSettle:   "waits before it reads again",
	rotation.PhaseDeliver:  "brings the live key to the hosts (the old key is dead)",
	rotation.PhaseVerify:   "reads the live key back after the last acknowledgement",
	rotation.PhaseAnswer:   "waits for the end of its refresh, whose key was read before it answered",
	rotation.PhaseHold:     "waits until no lost request can still be executed, and reads the live key now and then; it stays locked",
}

// outcomeWords is what each outcome means to somebody who reads it for the first
// time.
var outcomeWords = map[rotation.Outcome]string{
	rotation.Done:      "every host holds the live key",
	rotation.Unchanged: "it failed before the key changed; the old key is alive",
	rotation.Exposed:   "the old key is dead or may be, and some host is not known to hold the live one: an outage",
	rotation.Unknown:   "nobody can tell yet whether the key changed",
	rotation.Skipped:   "a person excluded it",
	rotation.Pending:   "not begun; the old key is alive",
}

// zoneDetails is for the Temporal UI. now is where the zone stands, says what the
// process that calls EdgeOne says about its refresh.
func zoneDetails(in ZoneIn, t *rotation.Trip, now ZoneNews, says string) marked {
	var b markdown
	b.add(emergency(in.Emergency))
	b.say("**%s %s**", in.asked(), in.Zone)
	if in.Name != "" {
		b.say(" (%s)", in.Name)
	}
	if t.Ended == "" {
		b.say(": %s.\n", phaseWords[t.Phase])
	} else {
		b.say(" ended **%s**: %s.\n", t.Ended, outcomeWords[t.Ended])
	}
	if t.Why != "" {
		b.say("%s.\n", t.Why)
	}
	b.add(cmp.Or(zoneHelp(in, t), zoneWait(t, now)))
	if says != "" && (t.Phase == rotation.PhaseRefresh || t.Phase == rotation.PhaseSwitch) {
		b.say("The process that calls EdgeOne says: %s.\n", says)
	}
	b.add("\n" + row("host", "in", "the live key") + "\n|---|---|---|\n")
	for _, h := range in.Hosts {
		b.add(row(h.Name, h.Location, holds(t, h.Name)) + "\n")
	}
	if t.Baseline != "" || t.Live != "" {
		b.say("\nThe key before was %s, the live one is %s.\n", code(t.Baseline), code(t.Live))
	}
	if len(t.Met) > 0 {
		b.add("\nMet on the way:\n\n")
	}
	for _, m := range t.Met {
		b.say("* %s\n", m)
	}
	switch {
	case in.Campaign != "":
		b.say("\nPart of %s.\n", linked(CampaignID(in.Campaign), CampaignID(in.Campaign)))
	case in.By != "":
		b.say("\nAsked for by %s. %s\n", in.By, in.Reason)
	}
	return b.text()
}

// zoneHelp is what to do about a zone whose clients may be locked out.
func zoneHelp(in ZoneIn, t *rotation.Trip) marked {
	switch {
	case t.Ended == rotation.Exposed || t.Ended == rotation.Unknown:
		return mark("\nDo next: %s. It delivers the live key and never asks for a new one.\n", code("keywave zone repair "+in.Zone+" -f fleet.yaml"))
	case t.Ended != "" || t.Live == "" || len(t.Missing()) == 0 || len(t.Last) == 0:
		return ""
	}
	return mark("\nSince %s clients of %s may be locked out. Bring the host back: Keywave tries to deliver the key again and again, until %s. "+
		"If it never comes back: %s\n",
		clock(t.Since), rotation.Listed(t.Missing()), clock(t.Until), code(fmt.Sprintf("keywave host retire %s --zone %s --reason \"…\"", t.Missing()[0], in.Zone)))
}

// zoneWait says where a zone stands that waits, since when and until when.
func zoneWait(t *rotation.Trip, now ZoneNews) marked {
	var b markdown
	switch {
	case t.Ended != "":
	case now.Why != "":
		b.say("\nSince %s: %s", clock(now.Since), now.Why)
		if !now.Until.IsZero() {
			b.say("; until %s at the latest", clock(now.Until))
		}
		b.add(".\n")
	case !now.Until.IsZero():
		b.say("\nIt goes on at %s; the old key is alive, or its hosts hold the live one.\n", clock(now.Until))
	}
	if now.Exposed {
		b.add("It counts as **exposed**.\n")
	}
	return b.text()
}

// holds says what is known of a host's key.
func holds(t *rotation.Trip, h rotation.HostName) string {
	for _, a := range t.Last {
		if a.Host == h {
			return a.Problem
		}
	}
	switch {
	case !slices.Contains(t.Hosts, h):
		return "retired by a person"
	case t.Live != "" && !slices.Contains(t.Missing(), h):
		return "acknowledged"
	}
	return "not yet"
}

func code[S ~string](s S) marked {
	if s == "" {
		return "not known"
	}
	return marked(harmless.Code(string(s)))
}

func clock(at time.Time) string { return at.UTC().Format("15:04:05 UTC") }

func emergency(why string) marked {
	if why == "" {
		return ""
	}
	return mark("**EMERGENCY**: proofs, bake times, health checks and approvals are waived: %s\n\n", why)
}

// shardDetails is for the Temporal UI; ended says that it is the end.
func shardDetails(in ShardIn, n ShardNews, ended bool) marked {
	var b markdown
	b.add(emergency(in.Emergency))
	c := n.Tally.Zones
	b.say("Page %d of campaign **%s**", in.Page, in.Campaign)
	if ended {
		b.say(" has ended: %d of %s done.\n\n", c.Done, plural(c.Total, "zone"))
	} else {
		b.say(": %d of %s done, %d in flight.\n\n", c.Done, plural(c.Total, "zone"), n.InFlight)
	}
	b.add(attention(n.Note.Attention, n.Note.SetAside, c))
	b.add(outcomes(c, n.Standing))
	b.say("\nIt is run by %s, which takes the orders.\n", linked(CampaignID(in.Campaign), CampaignID(in.Campaign)))
	return b.text()
}

func planDetails(p plan.Plan) marked {
	var b markdown
	b.say("Plan **%s**, digest %s: %s on %s in %s.", p.Name, code(p.Digest), plural(p.Zones, "zone"), fmtHosts(p.Hosts), plural(len(p.Waves), "wave"))
	if p.Undoes != "" {
		b.say(" It %s.", plan.PutsBack(p.Undoes))
	}
	if p.Settings.RollbackFor > 0 {
		b.say(" Each former key is kept for %s, and can be put back until then.", p.Settings.RollbackFor)
	}
	for _, a := range p.Accounts {
		b.say(" Account %s: %s.", a.Account, plural(a.Zones, "zone"))
	}
	if p.Found > 0 {
		b.say("\n\n%s:\n", plural(p.Found, "finding"))
	}
	for _, f := range p.Findings {
		b.say("\n* %s %s: %s", f.Zone, f.Host, f.Text)
	}
	return b.text()
}

func campaignDetails(s Status, now time.Time) marked {
	var b markdown
	b.add(emergency(s.Emergency))
	if s.Drift != nil {
		b.say("**Drift accepted**, %s: %s\n\n", s.Drift.Reason, s.Drift.String())
	}
	if s.Undoes != "" {
		b.say("Campaign **%s** %s, %s, and brings them to the hosts of each zone.", s.Campaign, plan.PutsBack(s.Undoes), plural(s.Zones.Total, "zone"))
	} else {
		b.say("Campaign **%s** gives each of %s a new key and brings it to the hosts of the zone.", s.Campaign, plural(s.Zones.Total, "zone"))
	}
	b.say("\nIt is **%s**", s.State)
	if why := reasonWords(s); why != "" {
		b.say(": %s", why)
	}
	b.add(".\n\n")
	b.add(attention(s.Attention, s.SetAside, s.Zones))
	b.add(listLinks(s.ZoneLists()))
	b.add(toDo(s))
	b.add(outcomes(s.Zones, s.Standing))
	for _, w := range s.Waits {
		b.say("\n* %s\n", w.Text(clock))
	}
	b.add(accounts(s.Accounts))
	b.say("\nWave %d of %d, %d slots of each account's window of %d are taken. Acknowledged: %d of %d pairs of zone and host%s.\n", s.Wave, s.Waves, s.InFlight, s.Window, s.Hosts.Acknowledged, s.Hosts.Total, retired(s.Hosts))
	if e := s.ExposureMs; e.Max > 0 {
		b.say("Exposure of a zone that is done: half within %d ms, 99 %% within %d ms, at most %d ms. %s\n", e.P50, e.P99, e.Max, pace(s, now))
	}
	if len(s.Log) > 0 {
		b.add("\nWhat people and budgets did:\n\n")
	}
	for _, e := range s.Log[max(0, len(s.Log)-latest):] {
		b.add(entry(e))
	}
	return b.text()
}

// latest is how much of a campaign's log is shown.
const latest = 6

func entry(e Entry) marked {
	text := mark("* %s %s", clock(e.At), e.Text())
	if e.By != "" {
		text += mark(" by %s", e.By)
	}
	if e.Reason != "" {
		text += mark(": %s", e.Reason)
	}
	return text + "\n"
}

// reasonWords is why the campaign is in its state.
func reasonWords(s Status) string {
	switch {
	case s.Reason != "":
		return s.Reason
	case s.State == StateWaiting:
		return fmt.Sprintf("wave %d of %d begins when a person approves it", s.Wave, s.Waves)
	case s.State == StateBaking:
		return fmt.Sprintf("wave %d of %d is done, and is watched for a while", s.Wave, s.Waves)
	}
	return ""
}

// toDo is the next command, the same from the UI, and what the UI's own buttons
// do.
func toDo(s Status) marked {
	var b markdown
	if s.Next != "" {
		prose, command, _ := strings.Cut(s.Next, "keywave ")
		if b.add("\nDo next: "); prose != "" {
			b.say("%s ", prose)
		}
		b.say("%s\n", code("keywave "+command))
	}
	order := map[State]string{
		StateRunning: `pause: {"reason": "…"}`, StateBaking: `pause: {"reason": "…"}`, StatePaused: `resume: {"reason": "…"}`,
		StateWaiting: fmt.Sprintf(`approve: {"wave": %d, "by": "your name", "reason": "…"}`, s.Wave),
	}[s.State]
	if name, input, ok := strings.Cut(order, ": "); ok {
		b.say("Or from here: *More Actions*, *Send an Update*, `%s`, with the data `%s`\n", name, marked(input))
		b.add("*Request Cancellation* does what `keywave campaign cancel` does: zones whose key may have changed still get it. *Terminate* leaves all zones as they are at that moment.\n")
	}
	b.add("\n")
	return b.text()
}

func retired(h rotation.HostCounts) marked {
	if h.Retired == 0 {
		return ""
	}
	return mark(", %d retired by people", h.Retired)
}

// outcomes is a table of the outcomes that occur; pending zones are split by what
// they wait for.
func outcomes(c rotation.Counts, at rotation.Standings) marked {
	var b markdown
	b.add(row("zones", "outcome", "which means") + "\n|--:|---|---|\n")
	for _, o := range rotation.Outcomes() {
		if n := c.Of(o); n > 0 && o != rotation.Pending {
			b.add(row(n, o, outcomeWords[o]) + "\n")
		}
	}
	for _, r := range at.Rows() {
		if r.Zones > 0 {
			b.add(row(r.Zones, r.Name, r.Means) + "\n")
		}
	}
	return b.text()
}

// accounts is a table of each account's part.
func accounts(all []AccountStatus) marked {
	var b markdown
	b.add("\n" + row("account", "zones done", "refreshes", "a second", "") + "\n|---|--:|--:|--:|---|\n")
	for _, a := range all {
		note := ""
		if a.Brake != "" {
			note = "its brake is on: " + a.Brake
		}
		b.add(row(a.Account, fmt.Sprintf("%d of %d", a.Zones.Done, a.Zones.Total), a.API.Changes(), fmt.Sprintf("%g of %g", a.RefreshesPerSecond, a.Limit), note) + "\n")
	}
	return b.text()
}

// pace is zones per second so far and what that leaves, while it runs.
func pace(s Status, now time.Time) marked {
	took := now.Sub(s.StartedAt).Seconds()
	if s.State != StateRunning || s.Zones.Done == 0 || took <= 0 {
		return ""
	}
	text := mark("%.1f zones/s.", float64(s.Zones.Done)/took)
	if left := s.Left(now); left > 0 {
		text += mark(" About %s to go.", left.Round(time.Second))
	}
	return text
}

// attention lists what needs a person, grouped by reason.
func attention(zones, hosts []Attention, c rotation.Counts) marked {
	if len(zones)+len(hosts) == 0 {
		return ""
	}
	type alike struct {
		what string
		who  []marked
	}
	groups := map[string]*alike{}
	var whys []string
	add := func(a Attention, what string, who marked) {
		key := what + "\x00" + a.Why
		if groups[key] == nil {
			groups[key] = &alike{what: what}
			whys = append(whys, key)
		}
		groups[key].who = append(groups[key].who, who)
	}
	for _, a := range zones {
		add(a, string(a.Outcome), linked(string(a.Zone), ZoneID(a.Zone)))
	}
	for _, a := range hosts {
		who := mark("host %s", a.Host)
		if a.Bastion != "" {
			who = mark("%s", a.Who())
		}
		add(a, "set aside", who)
	}
	var b markdown
	b.add("\n**Needs a person**\n\n")
	for _, key := range whys {
		_, why, _ := strings.Cut(key, "\x00")
		b.say("* **%s** %s: %s\n", groups[key].what, marked(rotation.Listed(groups[key].who)), why)
	}
	if more := c.Failed() - len(zones); len(zones) > 0 && more > 0 {
		b.say("* and %s more\n", plural(more, "zone"))
	}
	b.add("\n")
	return b.text()
}

// listLinks lead to the list of workflows.
func listLinks(lists []ZoneList) marked {
	if len(lists) == 0 {
		return ""
	}
	var links []marked
	for _, l := range lists {
		links = append(links, mark("%d [%s](%s)", l.Zones, l.Name, marked(listPath(currentNamespace, l.Query))))
	}
	return mark("\nIts zones in the list of workflows: %s.\n", marked(rotation.Listed(links)))
}

func linked(text, id string) marked {
	return mark("[%s](%s)", text, marked(workflowPath(currentNamespace, id)))
}

// row is a table's row. The Temporal UI draws cells without any room between
// them, so each has its own.
func row(cells ...any) marked {
	const room = "\u00a0"
	var b markdown
	b.add("|")
	for _, c := range cells {
		b.say(room+"%v"+room+"|", c)
	}
	return b.text()
}

func namesOf(hosts []rotation.HostRef) []rotation.HostName {
	names := make([]rotation.HostName, len(hosts))
	for i, h := range hosts {
		names[i] = h.Name
	}
	return names
}
