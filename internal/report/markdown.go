package report

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"keywave/internal/harmless"
	"keywave/internal/plan"
	"keywave/internal/rotation"
)

// maxRows is how long a Markdown table gets; the JSON has them all.
const maxRows = 1000

// WriteMarkdown writes the report for people (GitHub's Markdown): a summary,
// the waves, what is not done with its next command, what was met on the way,
// who did what, and a table of the zones, of which it shows the first 1,000.
// Texts from outside cannot leave their cell.
func (r Report) WriteMarkdown(w io.Writer) error {
	d := document{bufio.NewWriter(w)}
	d.summary(r)
	d.waves(r)
	d.accounts(r)
	d.notDone(r)
	d.metOnTheWay(r)
	d.runs(r)
	d.people(r)
	d.repairs(r)
	d.findings(r)
	d.allZones(r)
	return d.Flush()
}

// document keeps the first error of its writer until Flush.
type document struct{ *bufio.Writer }

func (d document) say(format string, args ...any) { _, _ = fmt.Fprintf(d, format, args...) }

func (d document) row(cells ...string) { d.say("| %s |\n", strings.Join(cells, " | ")) }

// table writes a heading row and n rows at most maxRows long. A title that ends
// in ">" is of a column of numbers.
func (d document) table(n int, row func(i int) []string, titles ...string) {
	rule := "|"
	for i, t := range titles {
		if name, numbers := strings.CutSuffix(t, ">"); numbers {
			titles[i] = name
			rule += "--:|"
			continue
		}
		rule += "---|"
	}
	d.row(titles...)
	d.say("%s\n", rule)
	for i := range min(n, maxRows) {
		d.row(row(i)...)
	}
	if n > maxRows {
		d.say("\nThe first %d of %d; the JSON report has them all.\n", maxRows, n)
	}
}

func (d document) summary(r Report) {
	d.say("# Campaign %s: %s\n\n", cell(r.Campaign), cell(string(r.State)))
	d.say("%s. %s.", words(r.Counts), strings.Replace(pairs(r.Hosts), "acknowledged", "acknowledged the live key", 1))
	if e := r.ExposureMs; e.Max > 0 {
		d.say(" Exposure p50 %d ms, p90 %d ms, p99 %d ms, max %d ms.", e.P50, e.P90, e.P99, e.Max)
	}
	facts := [][2]string{
		{"plan", fmt.Sprintf("%s, digest %s, %s, made %s", cell(r.Plan.Name), code(r.Plan.Digest), cell(r.owners()), clock(r.Plan.Made))},
		{"ran", r.ran()},
		{"calls", fmt.Sprintf("%d %s, %d describe, %d throttled", r.API.Changes(), r.API.Changing(), r.API.Describe, r.API.Throttled)},
		{"settings", settings(r.Settings)},
	}
	for _, f := range [][2]string{
		{"rollback", cell(plan.PutsBack(r.Plan.Undoes))}, {"former keys", r.kept()}, {"**emergency**", cell(r.Emergency)}, {"**drift accepted**", cell(r.drift())}, {"**also rotated, accepted**", cell(r.also())}, {"**forgotten**", cell(r.Forgotten)}, {"reason", cell(r.Reason)}, {"next", command(r.Next)}, {"digest of the JSON", code(r.Digest)},
	} {
		if f[1] != "" {
			facts = append(facts, f)
		}
	}
	d.say("\n\n")
	d.table(len(facts), func(i int) []string { return facts[i][:] }, "", "")
}

// kept says how many former keys are kept, and until when.
func (r Report) kept() string {
	zones := r.pick(func(z Zone) bool { return !z.FormerUntil.IsZero() })
	if len(zones) == 0 {
		return ""
	}
	last := slices.MaxFunc(zones, func(a, b Zone) int { return a.FormerUntil.Compare(b.FormerUntil) })
	return fmt.Sprintf("those of %s are kept, and may be put back until %s at the latest", plural(len(zones), "zone"), clock(last.FormerUntil))
}

func (r Report) drift() string {
	if r.Drift == nil {
		return ""
	}
	return r.Drift.Reason + ": " + r.Drift.String()
}

func (r Report) also() string {
	if r.Also == nil {
		return ""
	}
	return r.Also.Reason + ": " + r.Also.String()
}

// owners is "accounts a and b".
func (r Report) owners() string {
	var names []rotation.Account
	for _, a := range r.Accounts {
		names = append(names, a.Account)
	}
	return rotation.AccountsText(names)
}

func (r Report) ran() string {
	if r.EndedAt == nil {
		return clock(r.StartedAt) + ", not ended"
	}
	return fmt.Sprintf("%s to %s: %s", clock(r.StartedAt), clock(*r.EndedAt), r.EndedAt.Sub(r.StartedAt).Round(time.Second))
}

func settings(s plan.Settings) string {
	text := fmt.Sprintf("waves %s; bake %s; window %d; maxFailed %s; maxExposed %d",
		cell(strings.Join(s.Waves, ", ")), s.Bake, s.Window, cell(s.MaxFailed), s.MaxExposed)
	if s.Strategy != "" {
		text += "; strategy " + s.Strategy.String()
	}
	if s.RollbackFor > 0 {
		text += fmt.Sprintf("; rollbackFor %s", s.RollbackFor)
	}
	if len(s.Approve) > 0 {
		text += "; waves that need approval: " + strings.Trim(strings.ReplaceAll(fmt.Sprint(s.Approve), " ", ", "), "[]")
	}
	return text
}

func (d document) waves(r Report) {
	d.say("\n## Waves\n\nExposure in milliseconds, over the zones that are done.\n\n")
	rows := append(append([]Wave{}, r.Waves...), Wave{0, r.Counts, r.Hosts, r.ExposureMs})
	d.table(len(rows), func(i int) []string {
		w := rows[i]
		name := fmt.Sprint(w.Number)
		if w.Number == 0 {
			name = "**all**"
		}
		row := []string{name, fmt.Sprint(w.Counts.Total)}
		for _, o := range rotation.Outcomes() {
			row = append(row, fmt.Sprint(w.Counts.Of(o)))
		}
		row = append(row, fmt.Sprintf("%d/%d", w.Hosts.Acknowledged, w.Hosts.Total), fmt.Sprint(w.Hosts.Retired))
		for _, ms := range []int64{w.ExposureMs.P50, w.ExposureMs.P90, w.ExposureMs.P99, w.ExposureMs.Max} {
			row = append(row, millis(ms))
		}
		return row
	}, "wave>", "zones>", "done>", "unchanged>", "exposed>", "unknown>", "skipped>", "pending>", "acknowledged>", "retired>", "p50>", "p90>", "p99>", "max>")
}

func (d document) accounts(r Report) {
	d.say("\n## Accounts\n\n")
	d.table(len(r.Accounts), func(i int) []string {
		a := r.Accounts[i]
		return []string{
			cell(string(a.Account)), words(a.Counts), fmt.Sprintf("%d/%d", a.Hosts.Acknowledged, a.Hosts.Total),
			fmt.Sprint(a.API.Changes()), fmt.Sprint(a.API.Describe), fmt.Sprint(a.API.Throttled), fmt.Sprintf("%g", a.Limit),
		}
	}, "account", "zones", "acknowledged>", "refresh>", "describe>", "throttled>", "limit a second>")
}

// named is a zone's name, with its account.
func (z Zone) named() string {
	return strings.TrimSpace(z.Name + " (" + string(z.Account) + ")")
}

// meaning is what is true of a zone that is not done, and what resume does
// with it (design §2), most urgent first.
type meaning struct {
	outcome    rotation.Outcome
	holds, act string
}

func meanings() []meaning {
	return []meaning{
		{rotation.Exposed, "The key changed, or may have, and some host is not known to hold the live one: an outage.", "delivers the live key and never refreshes"},
		{rotation.Unknown, "Nobody can tell yet whether the key changed.", "reads the live key back, then rotates or delivers"},
		{rotation.Unchanged, "It failed before any refresh took effect; the zone is as the campaign found it.", "rotates"},
		{rotation.Pending, "Not started, or handed back before its refresh.", "rotates"},
		{rotation.Skipped, "Excluded by an operator.", ""},
	}
}

func (d document) notDone(r Report) {
	d.say("\n## Not done\n")
	if r.Counts.Done == r.Counts.Total {
		d.say("\nNothing: every zone is done.\n")
	}
	for _, m := range meanings() {
		zones := r.pick(func(z Zone) bool { return z.Outcome == m.outcome })
		if len(zones) == 0 {
			continue
		}
		d.say("\n### %s: %s\n\n%s", m.outcome, plural(len(zones), "zone"), m.holds)
		if m.act != "" {
			d.say(" Next: %s %s.", code("keywave campaign resume "+r.Campaign), m.act)
		}
		d.say("\n\n")
		d.table(len(zones), func(i int) []string {
			z := zones[i]
			return []string{cell(string(z.ID)), cell(z.named()), fmt.Sprint(z.Wave), cell(z.Why), cell(hosts(z.Missing))}
		}, "zone", "name", "wave>", "why", "hosts missing")
	}
	if len(r.SetAside) > 0 {
		hosts := 0
		for _, s := range r.SetAside {
			hosts += max(1, s.Hosts)
		}
		d.say("\n### Hosts set aside: %d\n\nThey failed their proof twice: their zones stay pending until they can take a key.\n\n", hosts)
		d.table(len(r.SetAside), func(i int) []string {
			return []string{cell(r.SetAside[i].who()), cell(r.SetAside[i].Why)}
		}, "host", "why")
	}
}

func (d document) metOnTheWay(r Report) {
	zones := r.pick(func(z Zone) bool { return z.Outcome == rotation.Done && z.Why != "" })
	if len(zones) == 0 {
		return
	}
	d.say("\n## Met on the way\n\n%s done nevertheless.\n\n", plural(len(zones), "zone"))
	d.table(len(zones), func(i int) []string {
		z := zones[i]
		return []string{cell(string(z.ID)), cell(z.named()), cell(z.Why), millis(z.ExposureMs)}
	}, "zone", "name", "what was met", "exposure ms>")
}

func (d document) runs(r Report) {
	if len(r.Runs) < 2 {
		return
	}
	d.say("\n## Runs\n\nThe campaign was closed and resumed. Zones are the whole campaign's when a run closed.\n\n")
	d.table(len(r.Runs), func(i int) []string {
		run := r.Runs[i]
		return []string{clock(run.StartedAt), maybe(run.EndedAt), cell(string(run.State)), words(run.Counts), cell(run.By), cell(run.Reason), cell(run.Emergency)}
	}, "from", "to", "state", "zones", "by", "reason", "emergency")
}

func (d document) repairs(r Report) {
	if len(r.Repairs) == 0 {
		return
	}
	d.say("\n## Zones that people rotated or repaired since\n\nNot by this campaign: its own outcomes stand in the other tables.\n\n")
	d.table(len(r.Repairs), func(i int) []string {
		p := r.Repairs[i]
		return []string{cell(string(p.Zone)), cell(p.What()), cell(string(p.Outcome)), clock(p.StartedAt), maybe(p.EndedAt), cell(p.By), cell(p.Reason), cell(p.Why)}
	}, "zone", "what", "outcome", "from", "to", "by", "reason", "why")
}

// maybe is a time that may not have come yet.
func maybe(t *time.Time) string {
	if t == nil {
		return ""
	}
	return clock(*t)
}

func (d document) people(r Report) {
	if len(r.Log) == 0 {
		return
	}
	d.say("\n## Who did what\n\n")
	d.table(len(r.Log), func(i int) []string {
		e := r.Log[i]
		return []string{clock(e.At), cell(e.Text()), cell(e.By), cell(e.Reason)}
	}, "at", "what", "by", "reason")
}

func (d document) findings(r Report) {
	if r.Plan.Found == 0 {
		return
	}
	d.say("\n## Met while planning: %s\n\n", plural(r.Plan.Found, "finding"))
	d.table(len(r.Plan.Findings), func(i int) []string {
		f := r.Plan.Findings[i]
		return []string{cell(string(f.Zone)), cell(string(f.Host)), cell(f.Text)}
	}, "zone", "host", "what")
	if n := len(r.Plan.Findings); n < r.Plan.Found {
		d.say("\nThe plan kept the first %d.\n", n)
	}
}

func (d document) allZones(r Report) {
	d.say("\n## All zones\n\n")
	d.table(len(r.Zones), func(i int) []string {
		z := r.Zones[i]
		return []string{
			cell(string(z.ID)), cell(z.named()), fmt.Sprint(z.Wave), string(z.Outcome), millis(z.ExposureMs),
			fmt.Sprintf("%d/%d", z.pairs().Acknowledged, len(z.Hosts)), code(string(z.From)), code(string(z.To)), cell(z.RequestID),
		}
	}, "zone", "name", "wave>", "outcome", "exposure ms>", "acknowledged>", "from", "to", "request")
}

func (r Report) pick(which func(Zone) bool) []Zone {
	var some []Zone
	for _, z := range r.Zones {
		if which(z) {
			some = append(some, z)
		}
	}
	return some
}

// hosts names the first three.
func hosts(names []rotation.HostName) string {
	var some []string
	for i, n := range names {
		if i == 3 {
			return fmt.Sprintf("%s and %d more", strings.Join(some, ", "), len(names)-i)
		}
		some = append(some, string(n))
	}
	return strings.Join(some, ", ")
}

func millis(ms int64) string {
	if ms == 0 {
		return ""
	}
	return fmt.Sprint(ms)
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// cell is text that stays in its table cell, on its line, and means nothing to
// a Markdown or HTML reader.
func cell(s string) string { return harmless.Markdown(s) }

// code is a code span, or text where a span cannot hold it.
func code(s string) string { return harmless.Code(s) }

// command sets the command at the end of a next step as code.
func command(next string) string {
	at := strings.Index(next, "keywave ")
	if at < 0 {
		return cell(next)
	}
	return strings.TrimSpace(cell(next[:at]) + " " + code(next[at:]))
}
