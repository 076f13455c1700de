package progress_test

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"time"

	"keywave/internal/harmless"
	"keywave/internal/progress"
	"keywave/internal/proving/hostile"
	"keywave/workflows"
)

// colours match the only control sequences that a view may have.
var colours = regexp.MustCompile(`\x1b\[(0|1|2|1;31|3[2-6])m`)

// Whatever a status says, a view has no control sequences except its own
// colours, and a log entry is one line.
func TestViewsStandHostileWords(t *testing.T) {
	at := time.Date(2026, 3, 14, 16, 41, 25, 0, time.UTC)
	for _, w := range hostile.Words() {
		s := workflows.Status{StartedAt: at.Add(-time.Minute)}
		hostile.Fill(&s, w.Text)
		for _, colour := range []bool{false, true} {
			view := string(progress.View(s, 80, colour, at)) + string(progress.Fit(s, 40, 20, colour, at))
			if colour {
				view = colours.ReplaceAllString(view, "")
			}
			if bad := hostile.Seen(strings.ReplaceAll(view, "\n", "")); bad != "" {
				t.Errorf("what hopes for %s: %s", w.Hope, bad)
			}
		}
		if line := progress.Line(s, at); hostile.Seen(line) != "" || strings.Contains(line, "\n") {
			t.Errorf("what hopes for %s: %q", w.Hope, line)
		}
		var out bytes.Buffer
		if err := progress.NewPainter(harmless.NewWriter(&out), true, nil, true).Show(s); err != nil {
			t.Fatal(err)
		}
		drawn := strings.NewReplacer("\x1b[2K", "", "\x1b[J", "", "\r\n", "").Replace(colours.ReplaceAllString(out.String(), ""))
		if bad := hostile.Seen(drawn); bad != "" {
			t.Errorf("what hopes for %s is drawn: %s", w.Hope, bad)
		}
		if !strings.Contains(out.String(), "\x1b[2K") || !strings.Contains(out.String(), "\x1b[0m") {
			t.Errorf("nothing is drawn: %q", out.String())
		}
	}
}
