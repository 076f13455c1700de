package workflows

import (
	"fmt"
	"strings"
	"time"

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
	var places []string
	seen := map[rotation.Location]bool{}
	for _, h := range hosts {
		if !seen[h.Location] {
			seen[h.Location] = true
			places = append(places, string(h.Location))
		}
	}
	return fmt.Sprintf("%s %s: %s in %s", verb, name, fmtHosts(len(hosts)), strings.Join(places, ", "))
}

var phaseWords = map[rotation.Phase]string{
	rotation.PhaseBaseline: "reads which key is live",
	rotation.PhaseProve:    "asks each host to prove that it can take a key",
	rotation.PhaseRefresh:  "asks EdgeOne for a new key (the old key is alive until then)",
	rotation.PhaseReadBack: "the answer was lost: reads back whether the key changed",
	rotation.PhaseSettle:   "waits before it reads again",
	rotation.PhaseDeliver:  "brings the live key to the hosts (the old key is dead)",
	rotation.PhaseVerify:   "reads the live key back after the last acknowledgement",
	rotation.PhaseHold:     "waits until no request given up can still be executed; the zone is served, and stays locked",
	rotation.PhaseEnded:    "ended",
}

func zoneDetails(in ZoneIn, t *rotation.Trip) string {
	var b strings.Builder
	fmt.Fprintf(&b, "**%s** %s: %s", in.Verb, in.Zone, phaseWords[t.Phase])
	if t.Ended != "" {
		fmt.Fprintf(&b, " **%s**", t.Ended)
	}
	fmt.Fprintf(&b, "\n\n%d of %d hosts acknowledged", len(t.Acks), len(t.Hosts))
	if t.Live != "" {
		fmt.Fprintf(&b, " `%s`", t.Live)
	}
	if t.Baseline != "" {
		fmt.Fprintf(&b, "; the key before was `%s`", t.Baseline)
	}
	b.WriteString(".\n")
	if t.Why != "" {
		fmt.Fprintf(&b, "\n%s\n", t.Why)
	}
	for _, m := range t.Met {
		fmt.Fprintf(&b, "\n* %s", m)
	}
	for _, a := range t.Last {
		fmt.Fprintf(&b, "\n* %s: %s", a.Host, a.Problem)
	}
	return b.String()
}

func shardDetails(in ShardIn, n ShardNews) string {
	c := n.Tally.Zones
	return fmt.Sprintf("Page %d of campaign **%s**: %d of %d zones done, %d in flight, %d unchanged, %d exposed, %d unknown, %d pending.%s",
		in.Page, in.Campaign, c.Done, c.Total, n.InFlight, c.Unchanged, c.Exposed, c.Unknown, c.Pending, attentionTable(n.Note.Attention, n.Note.SetAside))
}

func planDetails(p rotation.Plan) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Plan **%s**, digest `%s`: %s on %s in %s.", p.Name, p.Digest, plural(p.Zones, "zone"), fmtHosts(p.Hosts), plural(len(p.Waves), "wave"))
	if p.Found > 0 {
		fmt.Fprintf(&b, "\n\n%s:\n", plural(p.Found, "finding"))
	}
	for _, f := range p.Findings {
		fmt.Fprintf(&b, "\n* %s %s: %s", f.Zone, f.Host, f.Text)
	}
	return b.String()
}

func campaignDetails(s Status, now time.Time) string {
	var b strings.Builder
	if s.Emergency != "" {
		fmt.Fprintf(&b, "**EMERGENCY**: proofs, bake times, health checks and approvals are waived. %s\n\n", s.Emergency)
	}
	b.WriteString("A campaign gives each zone of a plan a new key and brings it to the zone's hosts.\n\n")
	fmt.Fprintf(&b, "Campaign **%s** is **%s**", s.Campaign, s.State)
	if s.Reason != "" {
		fmt.Fprintf(&b, ": %s", s.Reason)
	}
	b.WriteString(".\n\n")
	b.WriteString(row("zones", s.Zones.Total) + "\n|---|--:|\n")
	for _, o := range rotation.Outcomes() {
		b.WriteString(row(o, s.Zones.Of(o)) + "\n")
	}
	fmt.Fprintf(&b, "\nWave %d of %d, %d in flight (window %d). Hosts acknowledged: %d of %d.\n", s.Wave, s.Waves, s.InFlight, s.Window, s.Hosts.Acknowledged, s.Hosts.Total)
	e := s.ExposureMs
	fmt.Fprintf(&b, "\nExposure: p50 %d ms, p90 %d ms, p99 %d ms, max %d ms. %s\n", e.P50, e.P90, e.P99, e.Max, pace(s, now))
	b.WriteString(attentionTable(s.Attention, s.SetAside))
	if s.Next != "" {
		fmt.Fprintf(&b, "\nNext: `%s`\n", s.Next)
	}
	if s.Zones.Exposed > 0 {
		fmt.Fprintf(&b, "\nIts exposed zones, in the list of workflows: `%s`\n", ExposedQuery(s.Campaign))
	}
	if s.EndedAt == nil {
		b.WriteString("\nFrom here: *More Actions*, *Send an Update*: `pause`, `resume`, `approve`. *Cancel* ends it kindly; *Terminate* leaves zones to `keywave campaign resume`.\n")
	}
	return b.String()
}

// pace is zones per second so far and what that leaves.
func pace(s Status, now time.Time) string {
	if s.EndedAt != nil {
		now = *s.EndedAt
	}
	took := now.Sub(s.StartedAt).Seconds()
	if s.Zones.Done == 0 || took <= 0 {
		return ""
	}
	rate := float64(s.Zones.Done) / took
	text := fmt.Sprintf("%.1f zones/s.", rate)
	if left := s.Zones.Pending; left > 0 && s.EndedAt == nil {
		text += fmt.Sprintf(" About %s to go.", (time.Duration(float64(left)/rate) * time.Second).Round(time.Second))
	}
	return text
}

func attentionTable(zones, hosts []Attention) string {
	if len(zones)+len(hosts) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("\n\n" + row("needs a person", "outcome", "why") + "\n|---|---|---|\n")
	for _, a := range zones {
		b.WriteString(row(a.Zone, a.Outcome, a.Why) + "\n")
	}
	for _, a := range hosts {
		b.WriteString(row("host "+a.Host, "set aside", a.Why) + "\n")
	}
	return b.String()
}

// row is a table's row. The Temporal UI draws cells without any room between
// them, so each has its own.
func row(cells ...any) string {
	const room = "\u00a0"
	clean := strings.NewReplacer("|", "/", "\n", " ", "<", "‹", ">", "›", "`", "'")
	var b strings.Builder
	b.WriteString("|")
	for _, c := range cells {
		b.WriteString(room + clean.Replace(fmt.Sprint(c)) + room + "|")
	}
	return b.String()
}
