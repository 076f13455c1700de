// Package progress draws a campaign for the person who watches it. View and
// Line are pure: a status and an instant in, text out. Painter puts them on a
// terminal, or into a log. Every text of a status is made harmless first, so that
// nothing a host or a name says can steer a terminal.
package progress

import (
	"fmt"
	"math"
	"strings"
	"time"

	"keywave/internal/harmless"
	"keywave/internal/plan"
	"keywave/internal/rotation"
	"keywave/workflows"
)

// Limits of a view.
const (
	defaultWidth = 80
	labelCells   = 10 // "exposure", and room
	maxBar       = 100
	maxNeeds     = 10 // lines under "needs a person"
	maxReason    = 6
	maxWho       = 28 // cells of a zone or host in that list
)

// View draws s as several lines, each ending in "\n" and at most width display
// cells wide (80 when width is not positive; made for 40 and more). Everything
// that colour says, a glyph or a word says too. now is when s was true.
func View(s workflows.Status, width int, color bool, now time.Time) harmless.Drawn {
	return harmless.Drawn(strings.Join(view(s, width, math.MaxInt, color, now), "\n") + "\n")
}

// Fit is View in at most rows lines.
func Fit(s workflows.Status, width, rows int, color bool, now time.Time) harmless.Drawn {
	return harmless.Drawn(strings.Join(view(s, width, max(1, rows), color, now), "\n") + "\n")
}

// Clip is a line without control characters, cut to width display cells.
func Clip(s string, width int) string { return truncate(harmless.Terminal(s), width) }

// view draws at most rows lines; the list of what needs a person shrinks first.
func view(s workflows.Status, width, rows int, color bool, now time.Time) []string {
	if width <= 0 {
		width = defaultWidth
	}
	head, foot := head(s, width, now), foot(s, width)
	lines := append(head, needs(s, width, min(maxNeeds, rows-len(head)-len(foot)-2))...)
	lines = append(lines[:min(len(lines), max(1, rows-len(foot)))], foot...)
	lines = lines[:min(len(lines), rows)]
	drawn := make([]string, len(lines))
	for i, l := range lines {
		drawn[i] = l.render(width, color)
	}
	return drawn
}

func head(s workflows.Status, width int, now time.Time) []line {
	lines := flow(width, 2, title(s, now)...)
	lines = append(lines, bars(s, width)...)
	lines = append(lines, labelled(width, "", counts(s)...)...)
	lines = append(lines, labelled(width, "exposure", exposure(s.ExposureMs)...)...)
	lines = append(lines, labelled(width, "calls", calls(s)...)...)
	for i, a := range s.Accounts {
		label := ""
		if i == 0 {
			label = "accounts"
		}
		lines = append(lines, labelled(width, label, account(s, a)...)...)
	}
	return lines
}

// account is one account's part: how far, and how fast against its own limit.
func account(s workflows.Status, a workflows.AccountStatus) []line {
	throttled := plain
	if a.API.Throttled > 0 {
		throttled = yellow
	}
	pieces := []line{
		{{bold, truncate(harmless.Terminal(string(a.Account)), maxWho)}},
		{{plain, fmt.Sprintf("%d/%d done", a.Zones.Done, a.Zones.Total)}},
		{{plain, fmt.Sprintf("%s %d, %g/s of %g", a.API.Changing(), a.API.Changes(), a.RefreshesPerSecond, a.Limit)}},
		{{throttled, fmt.Sprintf("throttled %d", a.API.Throttled)}},
	}
	if s.EndedAt == nil {
		pieces = append(pieces, line{{plain, fmt.Sprintf("slots %d of window %d", a.InFlight, s.Window)}})
	}
	if a.Rate != "" {
		pieces = append(pieces, line{{yellow, "limited to " + harmless.Terminal(a.Rate)}})
	}
	if a.Brake != "" {
		pieces = append(pieces, line{{red, "its brake is on"}})
	}
	return pieces
}

func title(s workflows.Status, now time.Time) []line {
	pieces := []line{
		{{bold, harmless.Terminal(s.Campaign)}},
		{{stateStyle(s.State), harmless.Terminal(string(s.State))}},
		{{plain, fmt.Sprintf("wave %d of %d", s.Wave, s.Waves)}},
	}
	took := elapsed(s, now)
	if took <= 0 {
		return pieces
	}
	pieces = append(pieces, line{{plain, span(took) + " elapsed"}})
	if s.Zones.Done == 0 {
		return pieces
	}
	rate := float64(s.Zones.Done) / took.Seconds()
	pieces = append(pieces, line{{plain, fmt.Sprintf("%.1f zones/s", rate)}})
	if left := s.Left(now); left > 0 {
		pieces = append(pieces, line{{plain, "ETA " + span(max(left, time.Second))}})
	}
	return pieces
}

// elapsed is zero while nothing has started, and when clocks disagree.
func elapsed(s workflows.Status, now time.Time) time.Duration {
	if s.EndedAt != nil {
		now = *s.EndedAt
	}
	if s.StartedAt.IsZero() {
		return 0
	}
	return max(0, now.Sub(s.StartedAt))
}

func bars(s workflows.Status, width int) []line {
	zones := fmt.Sprintf("%d/%d", s.Zones.Done, s.Zones.Total)
	hosts := fmt.Sprintf("%d/%d", s.Hosts.Acknowledged, s.Hosts.Total)
	suffix := max(len(zones), len(hosts))
	room := min(maxBar, max(0, width-labelCells-1-suffix))
	var parts []part
	for _, o := range rotation.Outcomes() {
		parts = append(parts, part{look(o), s.Zones.Of(o)})
	}
	acks := []part{
		{look(rotation.Done), s.Hosts.Acknowledged},
		{look(rotation.Pending), s.Hosts.Total - s.Hosts.Acknowledged},
	}
	return []line{
		barLine("zones", parts, room, pad(zones, -suffix)),
		barLine("hosts", acks, room, pad(hosts, -suffix)),
	}
}

func barLine(label string, parts []part, room int, suffix string) line {
	l := line{{dim, pad(label, labelCells)}}
	return append(append(l, bar(parts, room)...), word{plain, " " + suffix})
}

// counts doubles as the bar's legend. The pending zones are told by where they
// stand.
func counts(s workflows.Status) []line {
	var pieces []line
	for _, o := range rotation.Outcomes() {
		k, n := look(o), s.Zones.Of(o)
		if o == rotation.Pending {
			return append(pieces, standings(s.Standing, k)...)
		}
		style := plain
		if n == 0 {
			style = dim
		}
		pieces = append(pieces, line{{k.style, k.glyph}, {style, fmt.Sprintf(" %s %d", o, n)}})
	}
	return pieces
}

// standings has not begun always, and the others where there are any.
func standings(all rotation.Standings, k looks) []line {
	var pieces []line
	for i, row := range all.Rows() {
		style := plain
		switch {
		case row.Zones == 0 && i > 0:
			continue
		case row.Zones == 0:
			style = dim
		case row.Zones == all.Dead && row.Name == "old key dead":
			style = red
		}
		pieces = append(pieces, line{{k.style, k.glyph}, {style, fmt.Sprintf(" %s %d", row.Name, row.Zones)}})
	}
	return pieces
}

func exposure(e rotation.ExposureSummary) []line {
	if e == (rotation.ExposureSummary{}) {
		return []line{{{dim, "none measured yet"}}}
	}
	return []line{
		{{plain, "p50 " + millis(e.P50)}},
		{{plain, "p90 " + millis(e.P90)}},
		{{plain, "p99 " + millis(e.P99)}},
		{{plain, "max " + millis(e.Max)}},
	}
}

func calls(s workflows.Status) []line {
	throttled := plain
	if s.API.Throttled > 0 {
		throttled = yellow
	}
	return []line{
		{{plain, fmt.Sprintf("%s %d", s.API.Changing(), s.API.Changes())}},
		{{plain, fmt.Sprintf("describe %d", s.API.Describe)}},
		{{throttled, fmt.Sprintf("throttled %d", s.API.Throttled)}},
	}
}

// need is one line of the list of what needs a person.
type need struct {
	who, what, why string
	style          style
}

// needs lists zones, then hosts, in at most room lines under a heading.
func needs(s workflows.Status, width, room int) []line {
	var zones, hosts []need
	for _, a := range s.Attention {
		zones = append(zones, need{harmless.Terminal(string(a.Zone)), harmless.Terminal(string(a.Outcome)), harmless.Terminal(a.Why), look(a.Outcome).style})
	}
	for _, a := range s.SetAside {
		who, why := string(a.Host), a.Why
		if a.Bastion != "" {
			who, why = "bastion "+a.Bastion, a.Many()+": "+a.Why
		}
		hosts = append(hosts, need{harmless.Terminal(who), "set aside", harmless.Terminal(why), yellow})
	}
	if len(zones)+len(hosts) == 0 || room < 1 {
		return nil
	}
	failed := max(len(zones), s.Zones.Failed())
	if len(zones) == 0 {
		failed = 0
	}
	forHosts := min(len(hosts), max(room/3, room-min(failed, len(zones)+1)))
	lines := []line{{}, {{bold, "needs a person"}}}
	who := whoCells(width, zones, hosts)
	lines = append(lines, list(zones, failed, room-forHosts, who, "zones")...)
	return append(lines, list(hosts, len(hosts), forHosts, who, "hosts")...)
}

func whoCells(width int, lists ...[]need) int {
	widest := 0
	for _, l := range lists {
		for _, n := range l {
			widest = max(widest, cells(n.who))
		}
	}
	return min(widest, maxWho, max(8, width/2))
}

// list shows what fits of total things; only the first of them are named.
func list(named []need, total, room, who int, things string) []line {
	shown := min(len(named), room)
	if total > shown && shown == room {
		shown = max(0, room-1)
	}
	var lines []line
	for _, n := range named[:shown] {
		lines = append(lines, line{
			{plain, "  " + pad(truncate(n.who, who), who) + "  "},
			{n.style, pad(n.what, len("unchanged"))},
			{plain, "  " + n.why},
		})
	}
	if rest := total - shown; rest > 0 && room > 0 {
		lines = append(lines, line{{dim, fmt.Sprintf("  and %d more %s", rest, things)}})
	}
	return lines
}

func foot(s workflows.Status, width int) []line {
	var lines []line
	for _, p := range []struct {
		label, text string
		style       style
		most        int
	}{
		{"emergency", emergency(s), red, maxReason},
		{"rollback", harmless.Terminal(plan.PutsBack(s.Undoes)), plain, maxReason},
		{"drift", drift(s), red, maxReason},
		{"reason", reason(s), stateStyle(s.State), maxReason},
		{"since", heldSince(s), plain, maxReason},
	} {
		lines = append(lines, paragraph(width, p.label, wrap(p.text, width-labelCells), p.style, p.most)...)
	}
	for i, w := range s.Waits {
		label := ""
		if i == 0 {
			label = "waits"
		}
		lines = append(lines, paragraph(width, label, wrap(waitText(w), width-labelCells), plain, maxReason)...)
	}
	lines = append(lines, paragraph(width, "next", wrapCommand(harmless.Terminal(s.Next), width-labelCells), bold, math.MaxInt)...)
	if len(lines) > 0 {
		lines = append([]line{{}}, lines...)
	}
	return lines
}

// heldSince is since when each reason holds an open campaign, and who gave it.
func heldSince(s workflows.Status) string {
	var words []string
	for _, r := range s.Paused {
		if s.EndedAt != nil || r.Since.IsZero() {
			continue
		}
		text := clock(r.Since)
		if r.By != "" {
			text += " by " + harmless.Terminal(r.By)
		}
		words = append(words, text)
	}
	return strings.Join(words, "; ")
}

func clock(at time.Time) string { return at.UTC().Format("15:04:05 UTC") }

func waitText(w rotation.Wait) string {
	return harmless.Terminal(w.Text(clock))
}

func emergency(s workflows.Status) string {
	if s.Emergency == "" {
		return ""
	}
	return "proofs, bake times and approvals are waived: " + harmless.Terminal(s.Emergency)
}

func drift(s workflows.Status) string {
	if s.Drift == nil {
		return ""
	}
	return fmt.Sprintf("accepted, %s: %s", harmless.Terminal(s.Drift.Reason), harmless.Terminal(s.Drift.String()))
}

// reason is the campaign's own, or what its state means.
func reason(s workflows.Status) string {
	switch {
	case s.Reason != "":
		return harmless.Terminal(s.Reason)
	case s.State == workflows.StateBaking:
		return fmt.Sprintf("wave %d is done, its bake time runs", s.Wave)
	case s.State == workflows.StateWaiting:
		return fmt.Sprintf("wave %d waits for an approval", s.Wave)
	case s.State == workflows.StateEnded, s.State == workflows.StateCancelled:
		return fmt.Sprintf("closed with %d of %d zones not done", s.Zones.Total-s.Zones.Done-s.Zones.Skipped, s.Zones.Total)
	}
	return ""
}

// Line is s as one plain line without a line break, for logs and pipes: the
// time of day of now (in its own zone), the state, the wave, counts, exposure,
// calls, and the reason and next command where there are any. unknown, skipped
// and throttled are named only when they are not zero.
func Line(s workflows.Status, now time.Time) string {
	return now.Format(time.TimeOnly) + " " + body(s)
}

// body is Line without its time: it changes when the status does.
func body(s workflows.Status) string {
	z := s.Zones
	words := []string{
		harmless.Terminal(string(s.State)), fmt.Sprintf("wave %d/%d done %d/%d", s.Wave, s.Waves, z.Done, z.Total),
		fmt.Sprintf("exposed %d unchanged %d", z.Exposed, z.Unchanged), unlessZero("unknown", z.Unknown),
		unlessZero("skipped", z.Skipped), fmt.Sprintf("pending %d", z.Pending), inFlight(s.Standing), exposureWords(s.ExposureMs),
		fmt.Sprintf("%s %d describe %d", s.API.Changing(), s.API.Changes(), s.API.Describe), unlessZero("throttled", s.API.Throttled),
	}
	for _, a := range s.Accounts {
		words = append(words, fmt.Sprintf("account %s %d/%d", harmless.Terminal(string(a.Account)), a.Zones.Done, a.Zones.Total))
		if a.Brake != "" {
			words = append(words, "(braked)")
		}
	}
	for _, w := range s.Waits {
		words = append(words, "waits: "+waitText(w))
	}
	if r := reason(s); r != "" {
		words = append(words, "reason: "+r)
	}
	if s.Next != "" {
		words = append(words, "next: "+harmless.Terminal(s.Next))
	}
	return strings.Join(strings.Fields(strings.Join(words, " ")), " ")
}

// inFlight parts the pending zones that have begun.
func inFlight(s rotation.Standings) string {
	var words []string
	for _, row := range s.Rows()[1:] {
		if row.Zones > 0 {
			words = append(words, fmt.Sprintf("%s %d", row.Name, row.Zones))
		}
	}
	if len(words) == 0 {
		return ""
	}
	return "(" + strings.Join(words, ", ") + ")"
}

func exposureWords(e rotation.ExposureSummary) string {
	if e == (rotation.ExposureSummary{}) {
		return "exposure p50 - p99 -"
	}
	return fmt.Sprintf("exposure p50 %s p99 %s", millis(e.P50), millis(e.P99))
}

func unlessZero(what string, n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%s %d", what, n)
}

// millis is an exposure: "41ms", "1.25s", "2m05s".
func millis(ms int64) string {
	switch d := time.Duration(ms) * time.Millisecond; {
	case d < time.Second:
		return fmt.Sprintf("%dms", ms)
	case d < time.Minute:
		return fmt.Sprintf("%.2fs", d.Seconds())
	default:
		return span(d)
	}
}

// span is a time to whole seconds: "42s", "3m05s", "2h14m", "1d02h".
func span(d time.Duration) string {
	s := int(d.Round(time.Second).Seconds())
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%dh%02dm", s/3600, s%3600/60)
	default:
		return fmt.Sprintf("%dd%02dh", s/86400, s%86400/3600)
	}
}
