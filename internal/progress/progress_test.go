package progress

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"keywave/internal/rotation"
	"keywave/workflows"
)

var update = flag.Bool("update", false, "write the golden files")

var began = time.Date(2026, 3, 14, 16, 41, 25, 0, time.UTC)

func statusOf(state workflows.State, z rotation.Counts) workflows.Status {
	api := rotation.API{Refresh: z.Done + z.Exposed + 1, Describe: z.Total + z.Done + z.Exposed, Throttled: 1}
	return workflows.Status{
		Campaign: "spring-rotation", Plan: "spring", PlanDigest: "9f2c51d07ab34e6688d1c0a4b7e2f913", State: state,
		Zones: z, Hosts: rotation.HostCounts{Total: 2 * z.Total, Acknowledged: 2*z.Done + z.Exposed},
		ExposureMs: rotation.ExposureSummary{P50: 41, P90: 63, P99: 95, Max: 1250},
		API:        api, Accounts: []workflows.AccountStatus{{Account: "default", Zones: z, API: api, RefreshesPerSecond: 0.33, Limit: 20, InFlight: 12}},
		StartedAt: began, Wave: 2, Waves: 4, Pages: 4, InFlight: 12, Window: 40,
		Standing: rotation.Standings{NotBegun: z.Pending - min(12, z.Pending), Alive: min(12, z.Pending)},
	}
}

// take makes n slots of the window taken.
func take(s *workflows.Status, n int) { s.InFlight, s.Accounts[0].InFlight = n, n }

func running() workflows.Status {
	return statusOf(workflows.StateRunning, rotation.Counts{Total: 60, Done: 14, Pending: 46})
}

// held is a status in which zones wait, for each possible reason.
func held() workflows.Status {
	s := statusOf(workflows.StateRunning, rotation.Counts{Total: 60, Done: 40, Exposed: 1, Pending: 19})
	s.Standing = rotation.Standings{NotBegun: 5, Alive: 2, Dead: 2, Held: 10}
	s.Waits = []rotation.Wait{
		{Standing: rotation.Held, Zones: 10, Until: began.Add(5 * time.Minute), Why: "a lost request may still land; their hosts hold the live key"},
		{Standing: rotation.Dead, Zones: 1, Since: began.Add(30 * time.Second), Why: "the old key is dead, gw-1 lacks the new one: connection refused"},
		{Standing: rotation.Dark, Zones: 1, Since: began.Add(35 * time.Second), Why: "EdgeOne does not say which key is live: the old one may be dead"},
		{Standing: rotation.NotBegun, Zones: 5, Why: "host gw-eu-7 is set aside\x1b[2J"},
	}
	return s
}

func starting() workflows.Status {
	s := statusOf(workflows.StateRunning, rotation.NewCounts(100000))
	s.ExposureMs, s.API, s.Wave = rotation.ExposureSummary{}, rotation.API{Describe: 100000}, 1
	s.Accounts[0].API = s.API
	take(&s, 1)
	s.Hosts.Acknowledged = 0
	return s
}

func paused() workflows.Status {
	s := statusOf(workflows.StatePaused, rotation.Counts{Total: 6000, Done: 1402, Unchanged: 9, Exposed: 2, Unknown: 1, Skipped: 3, Pending: 4583})
	s.Reason = "2 zones exposed, budget maxExposed is 0"
	s.Paused = []rotation.PauseReason{
		{Kind: rotation.PauseBudget, Since: began.Add(40 * time.Second), Why: "2 zones exposed, budget maxExposed is 0"},
		{Kind: rotation.PausePerson, Since: began.Add(time.Minute), By: "ann\x1b[2J", Why: "lunch"},
	}
	s.Next = "mend the zones that need a person, then: keywave campaign resume spring-rotation"
	take(&s, 2)
	for i := range 2 {
		s.Attention = append(s.Attention, workflows.Attention{
			Zone: rotation.ZoneID(fmt.Sprintf("zone-27q0p0bal1%02d", i)), Outcome: rotation.Exposed,
			Why: "the old key is dead and 1 of 2 hosts do not hold the live key; gw-hk-1: dial tcp 10.1.0.11:22: connection refused",
		})
	}
	for i := range 7 {
		s.Attention = append(s.Attention, workflows.Attention{
			Zone: rotation.ZoneID(fmt.Sprintf("zone-3aj88fmb0k%02d", i)), Outcome: rotation.Unchanged,
			Why: "OperationDenied: the zone is locked; not executed, the old key is alive",
		})
	}
	s.SetAside = []workflows.Attention{
		{Bastion: "edge-jump", Hosts: 200, More: true, Why: "connect: bastion edge-jump (203.0.113.9:22): cannot be reached: connection refused"},
		{Host: "gw-eu-7", Why: "disk full on /etc/edgeone"},
		{Host: "gw-eu-8", Why: "host key is SHA256:…, the fleet file pins another\nWARNING\x1b[2J: remote host identification has changed"},
	}
	return s
}

// accounts is a campaign of two accounts. One of them has its brake on.
func accounts() workflows.Status {
	s := statusOf(workflows.StateRunning, rotation.Counts{Total: 60, Done: 14, Pending: 46})
	s.Accounts = []workflows.AccountStatus{
		{Account: "intl", Zones: rotation.Counts{Total: 40, Done: 12, Pending: 28}, API: rotation.API{Refresh: 13, Describe: 52}, RefreshesPerSecond: 0.31, Limit: 20, InFlight: 9, Rate: "5 a second since 2026-03-14 16:40:00, by ann: the origin is busy"},
		{Account: "cn", Zones: rotation.Counts{Total: 20, Done: 2, Pending: 18}, API: rotation.API{Refresh: 2, Describe: 22, Throttled: 1}, RefreshesPerSecond: 0.05, Limit: 5, InFlight: 3, Brake: "incident 7"},
	}
	s.Reason = "the brake of account cn is on: incident 7; the zones of the other accounts go on"
	return s
}

func baking() workflows.Status {
	s := statusOf(workflows.StateBaking, rotation.Counts{Total: 60, Done: 3, Pending: 57})
	s.Wave = 1
	take(&s, 0)
	return s
}

func waiting() workflows.Status {
	s := statusOf(workflows.StateWaiting, rotation.Counts{Total: 60, Done: 3, Pending: 57})
	take(&s, 0)
	s.Next = `keywave campaign approve spring-rotation --wave 2 --reason "…"`
	s.Emergency = ""
	return s
}

func done() workflows.Status {
	s := statusOf(workflows.StateDone, rotation.Counts{Total: 60, Done: 58, Skipped: 2})
	ended := began.Add(3*time.Minute + 5*time.Second)
	s.EndedAt, s.Wave = &ended, 4
	take(&s, 0)
	s.Next = "keywave campaign report spring-rotation"
	return s
}

func cancelled() workflows.Status {
	s := statusOf(workflows.StateCancelled, rotation.Counts{Total: 60, Done: 20, Unknown: 1, Pending: 39})
	ended := began.Add(26 * time.Hour)
	s.EndedAt, s.Emergency = &ended, "keys leaked on a build machine, INC-7781"
	s.Attention = []workflows.Attention{{Zone: "zone-商店00000001", Outcome: rotation.Unknown, Why: "无法读取：EdgeOne did not answer; whether the old key is alive cannot be read"}}
	s.Next = "keywave campaign resume spring-rotation"
	return s
}

// rollback puts back the keys of another campaign, whose name came from elsewhere.
func rollback() workflows.Status {
	s := running()
	s.Campaign, s.Undoes = "spring-rollback", "spring\x1b[2J"
	s.API.Modify, s.API.Refresh = s.API.Refresh, 0
	return s
}

func statuses() map[string]workflows.Status {
	return map[string]workflows.Status{
		"running": running(), "rollback": rollback(), "held": held(), "starting": starting(), "paused": paused(), "baking": baking(),
		"accounts": accounts(), "waiting": waiting(), "done": done(), "cancelled": cancelled(), "empty": {},
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test -update writes it anew); got:\n%s", path, got)
	}
}

func TestViewGolden(t *testing.T) {
	for name, s := range statuses() {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			for _, width := range []int{40, 80, 120} {
				fmt.Fprintf(&b, "== %d columns ==\n%s", width, string(View(s, width, false, began.Add(42*time.Second))))
			}
			painted := string(View(s, 80, true, began.Add(42*time.Second)))
			fmt.Fprintf(&b, "== 80 columns, colour, ESC as ␛ ==\n%s", strings.ReplaceAll(painted, "\x1b", "␛"))
			golden(t, name, b.String())
		})
	}
}

func TestColourSaysNothingThatGlyphsDoNot(t *testing.T) {
	for name, s := range statuses() {
		for _, width := range []int{1, 17, 40, 61, 80, 200} {
			bare, painted := string(View(s, width, false, began)), string(View(s, width, true, began))
			if strings.Contains(bare, "\x1b") {
				t.Errorf("%s at %d: an escape sequence without colour", name, width)
			}
			if unpainted(painted) != bare {
				t.Errorf("%s at %d: painted and bare view differ:\n%s\n%s", name, width, unpainted(painted), bare)
			}
		}
	}
	seen := map[string]rotation.Outcome{}
	for _, o := range rotation.Outcomes() {
		if other, twice := seen[look(o).glyph]; twice {
			t.Errorf("%s and %s look alike", o, other)
		}
		seen[look(o).glyph] = o
	}
}

func TestLine(t *testing.T) {
	now := began.Add(42 * time.Second)
	for _, c := range []struct {
		status workflows.Status
		want   string
	}{
		{running(), "16:42:07 running wave 2/4 done 14/60 exposed 0 unchanged 0 pending 46 (in flight 12) exposure p50 41ms p99 95ms refresh 15 describe 74 throttled 1 account default 14/60"},
		{starting(), "16:42:07 running wave 1/4 done 0/100000 exposed 0 unchanged 0 pending 100000 (in flight 12) exposure p50 - p99 - refresh 0 describe 100000 account default 0/100000"},
		{paused(), "16:42:07 paused wave 2/4 done 1402/6000 exposed 2 unchanged 9 unknown 1 skipped 3 pending 4583 (in flight 12) exposure p50 41ms p99 95ms refresh 1405 describe 7404 throttled 1 account default 1402/6000 reason: 2 zones exposed, budget maxExposed is 0 next: mend the zones that need a person, then: keywave campaign resume spring-rotation"},
	} {
		if got := Line(c.status, now); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func TestOneFailedZoneInAHundredThousandIsSeen(t *testing.T) {
	s := statusOf(workflows.StateRunning, rotation.Counts{Total: 100000, Done: 99997, Exposed: 1, Unknown: 1, Pending: 1})
	bar := strings.Split(string(View(s, 80, false, began)), "\n")[1]
	for _, glyph := range []string{"█", "!", "?", "░"} {
		if !strings.Contains(bar, glyph) {
			t.Errorf("no %s in %s", glyph, bar)
		}
	}
}

func TestWhatNeedsAPersonTakesTenLinesAtMost(t *testing.T) {
	s := paused()
	for i := range 30 {
		s.Attention = append(s.Attention, workflows.Attention{Zone: rotation.ZoneID(fmt.Sprintf("zone-%d", i)), Outcome: rotation.Unknown})
		s.SetAside = append(s.SetAside, workflows.Attention{Host: rotation.HostName(fmt.Sprintf("gw-%d", i))})
		s.Zones.Unknown++
		lines := needs(s, 80, maxNeeds)[2:] // a blank line and the heading
		if len(lines) > maxNeeds {
			t.Fatalf("%d lines", len(lines))
		}
		text := ""
		for _, l := range lines {
			text += l.render(80, false) + "\n"
		}
		more := fmt.Sprintf("and %d more zones", s.Zones.Failed()-strings.Count(text, "zone-"))
		if !strings.Contains(text, more) || !strings.Contains(text, "gw-eu-7") {
			t.Fatalf("want %q and gw-eu-7 in\n%s", more, text)
		}
	}
}

func TestViewFitsTheRowsThereAre(t *testing.T) {
	for name, s := range statuses() {
		for _, width := range []int{40, 80, 120} {
			whole := view(s, width, 1000, false, began)
			for rows := range 40 {
				lines := view(s, width, rows, false, began)
				if len(lines) > rows || rows >= len(whole) && len(lines) != len(whole) {
					t.Errorf("%s: %d lines where %d of %d fit", name, len(lines), rows, len(whole))
				}
				if next := "resume spring-rotation"; name == "paused" && width == 80 && rows >= 8 && !strings.Contains(strings.Join(lines, "\n"), next) {
					t.Errorf("%d rows: the next command is cut off:\n%s", rows, strings.Join(lines, "\n"))
				}
			}
		}
	}
}

func TestRuneCells(t *testing.T) {
	for text, want := range map[string]int{
		"zone": 4, "█x!?-░…": 7, "商店": 4, "한글": 4, "ｆｕｌｌ": 8, "e\u0301": 1, "🔑": 2, "é": 1, "": 0,
	} {
		if got := cells(text); got != want {
			t.Errorf("cells(%q) = %d, want %d", text, got, want)
		}
	}
}

func FuzzView(f *testing.F) {
	f.Add("nightly", "zone-1", "the old key is dead", 80, 24, 3, 1, 5)
	f.Add("a\x1b]0;title\x07b", "商店\u202e", "bad \xff\xfe utf8\r\n\u2028|\u009b2J", 1, 3, 0, 0, 0)
	f.Add(strings.Repeat("🔑", 50), "e\u0301\u0301", strings.Repeat("word ", 90), 41, 9, 1, 100000, 2)
	f.Fuzz(func(t *testing.T, name, who, why string, width, rows, done, exposed, pending int) {
		z := rotation.Counts{Done: done & 0xFFFFF, Exposed: exposed & 0xFFFFF, Pending: pending & 0xFFFFF}
		z.Total = z.Done + z.Exposed + z.Pending
		s := statusOf(workflows.StatePaused, z)
		s.Campaign, s.Reason, s.Next, s.Emergency = name, why, who, why
		s.Drift = &workflows.AcceptedDrift{Zones: 1, Read: 1, Reason: why}
		s.Attention = []workflows.Attention{{Zone: rotation.ZoneID(who), Outcome: rotation.Outcome(name), Why: why}}
		s.SetAside = []workflows.Attention{{Host: rotation.HostName(why), Why: who}}
		width = 1 + (width&0xFF)%200
		rows &= 0x3F
		lines := view(s, width, rows, true, began)
		if len(lines) > rows {
			t.Fatalf("%d lines, %d rows", len(lines), rows)
		}
		for _, l := range append(lines, Line(s, began)) {
			bare := unpainted(l)
			if l != Line(s, began) && cells(bare) > width {
				t.Fatalf("%d cells, width %d: %q", cells(bare), width, bare)
			}
			if !utf8.ValidString(l) || strings.ContainsFunc(bare, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }) {
				t.Fatalf("unfit for a terminal: %q", l)
			}
		}
	})
}

func FuzzShares(f *testing.F) {
	f.Add(1, 99999, 0, 3, 60)
	f.Fuzz(func(t *testing.T, a, b, c, d, room int) {
		ns := []int{a & 0xFFFFF, b & 0xFFFFF, c & 0xFFFFF, d & 0xFFFFF}
		room &= 0xFF
		total, kinds, sum := 0, 0, 0
		for _, n := range ns {
			total += n
			if n > 0 {
				kinds++
			}
		}
		for i, n := range shares(ns, room) {
			sum += n
			if n < 0 || n > 0 && ns[i] == 0 || n == 0 && ns[i] > 0 && kinds <= room {
				t.Fatalf("shares(%v, %d) = %v", ns, room, shares(ns, room))
			}
		}
		if total > 0 && sum != room {
			t.Fatalf("shares(%v, %d) = %v", ns, room, shares(ns, room))
		}
	})
}
