package workflows

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"keywave/activities"
	"keywave/internal/plan"
	"keywave/internal/rotation"
)

// What the Temporal UI shows of a workflow, in Markdown, and the summaries of
// its children. Pure: values in, text out.

func fmtHosts(n int) string { return plural(n, "host") }

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func zoneSummary(verb rotation.Verb, name string, id rotation.ZoneID, hosts []rotation.HostRef) string {
	if name == "" {
		name = string(id)
	}
	return fmt.Sprintf("%ss %s on %s in %s", verb, name, fmtHosts(len(hosts)), listed(locationsOf(hosts)))
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

func shardSummary(in ShardIn, pages, wave, waves int) string {
	if in.Mend {
		return fmt.Sprintf("delivers what an earlier run left exposed or unknown on page %d of %d of campaign %s", in.Page, pages, in.Campaign)
	}
	return fmt.Sprintf("rotates page %d of %d, in wave %d of %d, of campaign %s", in.Page, pages, wave, waves, in.Campaign)
}

// refreshSummary names the hosts too, where the new key may go straight to them.
func refreshSummary(in activities.RefreshIn) string {
	text := "new key for " + string(in.Zone)
	if len(in.Straight) == 0 {
		return text
	}
	return text + ", straight to " + listed(namesOf(in.Hosts))
}

// deliverySummary names the hosts of one round, in one location.
func deliverySummary(l rotation.Location, hosts []rotation.HostRef, round int) string {
	text := fmt.Sprintf("to %s in %s", listed(namesOf(hosts)), l)
	if round > 0 {
		text = fmt.Sprintf("try %d, %s", round+1, text)
	}
	return text
}

// waitSummary says what a zone waits for.
func waitSummary(t *rotation.Trip) string {
	switch {
	case t.Phase == rotation.PhaseHold:
		return "until no request given up can still be executed"
	case t.Phase == rotation.PhaseSettle:
		return "before it reads again which key is live"
	case t.Phase == rotation.PhaseDeliver && len(t.Last) > 0:
		return fmt.Sprintf("before the next try, because %s: %s", t.Last[0].Host, t.Last[0].Problem)
	case t.Phase == rotation.PhaseDeliver:
		return "before the next try"
	}
	return "before it asks EdgeOne again"
}

// listed is "a", "a and b", "a, b and c".
func listed[S ~string](all []S) string {
	words := make([]string, len(all))
	for i, s := range all {
		words[i] = string(s)
	}
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}

var phaseWords = map[rotation.Phase]string{
	rotation.PhaseBaseline: "reads which key is live",
	rotation.PhaseProve:    "asks each host to prove that it can take a key",
	rotation.PhaseRefresh:  "asks EdgeOne for a new key (the old key is alive until then)",
	rotation.PhaseReadBack: "reads back whether the key changed, because the answer was lost",
	rotation.PhaseSettle:   "waits before it reads again",
	rotation.PhaseDeliver:  "brings the live key to the hosts (the old key is dead)",
	rotation.PhaseVerify:   "reads the live key back after the last acknowledgement",
	rotation.PhaseHold:     "waits until no request given up can still be executed, and reads the live key now and then; it stays locked",
}

// outcomeWords is what each outcome means to somebody who reads it for the first
// time.
var outcomeWords = map[rotation.Outcome]string{
	rotation.Done:      "every host holds the live key",
	rotation.Unchanged: "it failed before the key changed; the old key is alive",
	rotation.Exposed:   "the old key is dead, and some host does not hold the new one: an outage",
	rotation.Unknown:   "nobody can tell yet whether the key changed",
	rotation.Skipped:   "a person excluded it",
	rotation.Pending:   "not begun; the old key is alive",
}

// zoneDetails is for the Temporal UI. now is where the zone stands, says what the
// process that calls EdgeOne says about its refresh.
func zoneDetails(in ZoneIn, t *rotation.Trip, now ZoneNews, says string) string {
	var b strings.Builder
	b.WriteString(emergency(in.Emergency))
	fmt.Fprintf(&b, "**%s %s**", in.Verb, in.Zone)
	if in.Name != "" {
		fmt.Fprintf(&b, " (%s)", plain(in.Name))
	}
	if t.Ended == "" {
		fmt.Fprintf(&b, ": %s.\n", phaseWords[t.Phase])
	} else {
		fmt.Fprintf(&b, " ended **%s**: %s.\n", t.Ended, outcomeWords[t.Ended])
	}
	if t.Why != "" {
		fmt.Fprintf(&b, "%s.\n", plain(t.Why))
	}
	b.WriteString(cmp.Or(zoneHelp(in, t), zoneWait(t, now)))
	if says != "" && t.Phase == rotation.PhaseRefresh {
		fmt.Fprintf(&b, "The process that calls EdgeOne says: %s.\n", plain(says))
	}
	b.WriteString("\n" + row("host", "in", "the live key") + "\n|---|---|---|\n")
	for _, h := range in.Hosts {
		b.WriteString(row(h.Name, h.Location, holds(t, h.Name)) + "\n")
	}
	if t.Baseline != "" || t.Live != "" {
		fmt.Fprintf(&b, "\nThe key before was %s, the live one is %s.\n", code(t.Baseline), code(t.Live))
	}
	if len(t.Met) > 0 {
		b.WriteString("\nMet on the way:\n\n")
	}
	for _, m := range t.Met {
		fmt.Fprintf(&b, "* %s\n", plain(m))
	}
	switch {
	case in.Campaign != "":
		fmt.Fprintf(&b, "\nPart of %s.\n", linked(CampaignID(in.Campaign), CampaignID(in.Campaign)))
	case in.By != "":
		fmt.Fprintf(&b, "\nAsked for by %s. %s\n", plain(in.By), plain(in.Reason))
	}
	return b.String()
}

// zoneHelp is what to do about a zone whose clients may be locked out.
func zoneHelp(in ZoneIn, t *rotation.Trip) string {
	switch {
	case t.Ended == rotation.Exposed || t.Ended == rotation.Unknown:
		return fmt.Sprintf("\nDo next: `keywave zone repair %s -f fleet.yaml`. It delivers the live key and never asks for a new one.\n", in.Zone)
	case t.Ended != "" || t.Live == "" || len(t.Missing()) == 0 || len(t.Last) == 0:
		return ""
	}
	return fmt.Sprintf("\nSince %s clients of %s may be locked out. Bring the host back: the key is brought there again and again, until %s. "+
		"Should it never come back: `keywave host retire %s --zone %s --reason \"…\"`\n",
		clock(t.Since), listed(t.Missing()), clock(t.Until), t.Missing()[0], in.Zone)
}

// zoneWait says where a zone stands that waits, since when and until when.
func zoneWait(t *rotation.Trip, now ZoneNews) string {
	var b strings.Builder
	switch {
	case t.Ended != "":
	case now.Why != "":
		fmt.Fprintf(&b, "\nSince %s: %s", clock(now.Since), plain(now.Why))
		if !now.Until.IsZero() {
			fmt.Fprintf(&b, "; until %s at the latest", clock(now.Until))
		}
		b.WriteString(".\n")
	case !now.Until.IsZero():
		fmt.Fprintf(&b, "\nIt goes on at %s; the old key is alive, or its hosts hold the live one.\n", clock(now.Until))
	}
	if now.Exposed {
		b.WriteString("It counts as **exposed**.\n")
	}
	return b.String()
}

// holds is what is known of a host.
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

func code[S ~string](s S) string {
	if s == "" {
		return "not known"
	}
	return "`" + string(s) + "`"
}

func clock(at time.Time) string { return at.UTC().Format("15:04:05 UTC") }

func emergency(why string) string {
	if why == "" {
		return ""
	}
	return "**EMERGENCY**: proofs, bake times, health checks and approvals are waived: " + plain(why) + "\n\n"
}

// shardDetails is for the Temporal UI; ended says that it is the end.
func shardDetails(in ShardIn, n ShardNews, ended bool) string {
	var b strings.Builder
	b.WriteString(emergency(in.Emergency))
	c := n.Tally.Zones
	fmt.Fprintf(&b, "Page %d of campaign **%s**", in.Page, plain(in.Campaign))
	if ended {
		fmt.Fprintf(&b, " has ended: %d of %s done.\n\n", c.Done, plural(c.Total, "zone"))
	} else {
		fmt.Fprintf(&b, ": %d of %s done, %d in flight.\n\n", c.Done, plural(c.Total, "zone"), n.InFlight)
	}
	b.WriteString(attention(n.Note.Attention, n.Note.SetAside, c))
	if c.Exposed > 0 {
		b.WriteString(exposedLink(in.Campaign))
	}
	b.WriteString(outcomes(c, n.Standing))
	fmt.Fprintf(&b, "\nIt is run by %s, which takes the orders.\n", linked(CampaignID(in.Campaign), CampaignID(in.Campaign)))
	return b.String()
}

func planDetails(p plan.Plan) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Plan **%s**, digest `%s`: %s on %s in %s.", p.Name, p.Digest, plural(p.Zones, "zone"), fmtHosts(p.Hosts), plural(len(p.Waves), "wave"))
	for _, a := range p.Accounts {
		fmt.Fprintf(&b, " Account %s: %s.", a.Account, plural(a.Zones, "zone"))
	}
	if p.Found > 0 {
		fmt.Fprintf(&b, "\n\n%s:\n", plural(p.Found, "finding"))
	}
	for _, f := range p.Findings {
		fmt.Fprintf(&b, "\n* %s %s: %s", f.Zone, f.Host, plain(f.Text))
	}
	return b.String()
}

func campaignDetails(s Status, now time.Time) string {
	var b strings.Builder
	b.WriteString(emergency(s.Emergency))
	if s.Drift != nil {
		fmt.Fprintf(&b, "**Drift accepted**, %s: %s\n\n", plain(s.Drift.Reason), plain(s.Drift.String()))
	}
	fmt.Fprintf(&b, "Campaign **%s** gives each of %s a new key and brings it to the hosts of the zone.\nIt is **%s**", plain(s.Campaign), plural(s.Zones.Total, "zone"), s.State)
	if why := reasonWords(s); why != "" {
		fmt.Fprintf(&b, ": %s", plain(why))
	}
	b.WriteString(".\n\n")
	b.WriteString(attention(s.Attention, s.SetAside, s.Zones))
	if s.Zones.Exposed > 0 {
		b.WriteString(exposedLink(s.Campaign))
	}
	b.WriteString(toDo(s))
	b.WriteString(outcomes(s.Zones, s.Standing))
	for _, w := range s.Waits {
		fmt.Fprintf(&b, "\n* %s\n", plain(w.Text(clock)))
	}
	each := ""
	if len(s.Accounts) > 0 {
		each = " for each account"
		b.WriteString(accounts(s.Accounts))
	}
	fmt.Fprintf(&b, "\nWave %d of %d, %d slots of the window of %d%s are taken. Acknowledged: %d of %d pairs of zone and host%s.\n", s.Wave, s.Waves, s.InFlight, s.Window, each, s.Hosts.Acknowledged, s.Hosts.Total, retired(s.Hosts))
	if e := s.ExposureMs; e.Max > 0 {
		fmt.Fprintf(&b, "Exposure of a zone that is done: half within %d ms, 99 %% within %d ms, at most %d ms. %s\n", e.P50, e.P99, e.Max, pace(s, now))
	}
	if len(s.Log) > 0 {
		b.WriteString("\nWhat people and budgets did:\n\n")
	}
	for _, e := range s.Log[max(0, len(s.Log)-latest):] {
		b.WriteString(entry(e))
	}
	return b.String()
}

// latest is how much of a campaign's log is shown.
const latest = 6

func entry(e Entry) string {
	text := clock(e.At) + " " + plain(e.Text())
	if e.By != "" {
		text += " by " + plain(e.By)
	}
	if e.Reason != "" {
		text += ": " + plain(e.Reason)
	}
	return "* " + text + "\n"
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
func toDo(s Status) string {
	var b strings.Builder
	if s.Next != "" {
		prose, command, _ := strings.Cut(s.Next, "keywave ")
		fmt.Fprintf(&b, "\nDo next: %s`keywave %s`\n", plain(prose), command)
	}
	order := map[State]string{
		StateRunning: `pause: {"reason": "…"}`, StateBaking: `pause: {"reason": "…"}`, StatePaused: `resume: {"reason": "…"}`,
		StateWaiting: fmt.Sprintf(`approve: {"wave": %d, "by": "your name", "reason": "…"}`, s.Wave),
	}[s.State]
	if name, input, ok := strings.Cut(order, ": "); ok {
		fmt.Fprintf(&b, "Or from here: *More Actions*, *Send an Update*, `%s`, with the data `%s`\n", name, input)
		b.WriteString("*Request Cancellation* ends it kindly. *Terminate* leaves its zones as they are at that moment.\n")
	}
	return b.String() + "\n"
}

func retired(h rotation.HostCounts) string {
	if h.Retired == 0 {
		return ""
	}
	return fmt.Sprintf(", %d retired by people", h.Retired)
}

// outcomes is a table of those that there are; pending zones stand in it by
// where they stand.
func outcomes(c rotation.Counts, at rotation.Standings) string {
	var b strings.Builder
	b.WriteString(row("zones", "outcome", "which means") + "\n|--:|---|---|\n")
	for _, o := range rotation.Outcomes() {
		if n := c.Of(o); n > 0 && o != rotation.Pending {
			b.WriteString(row(n, o, outcomeWords[o]) + "\n")
		}
	}
	for _, r := range at.Rows() {
		if r.Zones > 0 {
			b.WriteString(row(r.Zones, r.Name, r.Means) + "\n")
		}
	}
	return b.String()
}

// accounts is a table of each account's part.
func accounts(all []AccountStatus) string {
	var b strings.Builder
	b.WriteString("\n" + row("account", "zones done", "refreshes", "a second", "") + "\n|---|--:|--:|--:|---|\n")
	for _, a := range all {
		note := ""
		if a.Brake != "" {
			note = "its brake is on: " + a.Brake
		}
		b.WriteString(row(a.Account, fmt.Sprintf("%d of %d", a.Zones.Done, a.Zones.Total), a.API.Refresh, fmt.Sprintf("%g of %g", a.RefreshesPerSecond, a.Limit), note) + "\n")
	}
	return b.String()
}

// pace is zones per second so far and what that leaves, while it runs.
func pace(s Status, now time.Time) string {
	took := now.Sub(s.StartedAt).Seconds()
	if s.State != StateRunning || s.Zones.Done == 0 || took <= 0 {
		return ""
	}
	text := fmt.Sprintf("%.1f zones/s.", float64(s.Zones.Done)/took)
	if left := s.Left(now); left > 0 {
		text += fmt.Sprintf(" About %s to go.", left.Round(time.Second))
	}
	return text
}

// attention lists what needs a person, what has the same reason together.
func attention(zones, hosts []Attention, c rotation.Counts) string {
	if len(zones)+len(hosts) == 0 {
		return ""
	}
	type alike struct {
		what string
		who  []string
	}
	groups := map[string]*alike{}
	var whys []string
	add := func(a Attention, what, who string) {
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
		add(a, "set aside", "host "+plain(string(a.Host)))
	}
	var b strings.Builder
	b.WriteString("\n**Needs a person**\n\n")
	for _, key := range whys {
		_, why, _ := strings.Cut(key, "\x00")
		fmt.Fprintf(&b, "* **%s** %s: %s\n", groups[key].what, listed(groups[key].who), plain(why))
	}
	if more := c.Failed() - len(zones); len(zones) > 0 && more > 0 {
		fmt.Fprintf(&b, "* and %s more\n", plural(more, "zone"))
	}
	return b.String() + "\n"
}

func exposedLink(campaign string) string {
	query := ExposedQuery(campaign)
	return fmt.Sprintf("\n[All exposed zones of this campaign](%s), in the list of workflows: `%s`\n", listPath(currentNamespace, query), query)
}

func linked(text, id string) string {
	return fmt.Sprintf("[%s](%s)", plain(text), workflowPath(currentNamespace, id))
}

// plain has text of others stand in Markdown as it is.
func plain(s string) string {
	return strings.NewReplacer("\n", " ", `\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "<", `\<`, ">", `\>`, "~", `\~`, "|", "/").Replace(s)
}

// row is a table's row. The Temporal UI draws cells without any room between
// them, so each has its own.
func row(cells ...any) string {
	const room = "\u00a0"
	var b strings.Builder
	b.WriteString("|")
	for _, c := range cells {
		b.WriteString(room + plain(fmt.Sprint(c)) + room + "|")
	}
	return b.String()
}

func namesOf(hosts []rotation.HostRef) []rotation.HostName {
	names := make([]rotation.HostName, len(hosts))
	for i, h := range hosts {
		names[i] = h.Name
	}
	return names
}
