package watch

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"keywave/internal/proving/hostile"
	"keywave/workflows"
)

// Whatever a campaign, an answer or an error says, the screen shows it as text
// in its place.
func TestScreenStandsHostileWords(t *testing.T) {
	colours := regexp.MustCompile(`\x1b\[[0-9;]*m`)
	for _, w := range hostile.Words() {
		s := newScreen()
		s.Color = true
		said := workflows.Status{StartedAt: noon}
		hostile.Fill(&said, w.Text)
		s.gets(asked{status: said, at: noon})
		s.gets(asked{err: errors.New(w.Text), at: noon.Add(time.Second)})
		for _, end := range []answered{{what: "pause", answer: workflows.Answer{Text: w.Text}}, {what: "pause", err: errors.New(w.Text)}} {
			s.gets(end)
			shown := strings.ReplaceAll(colours.ReplaceAllString(s.View().Content, ""), "\n", "")
			if bad := hostile.Seen(shown); bad != "" {
				t.Errorf("what hopes for %s: %s", w.Hope, bad)
			}
			if n := strings.Count(s.View().Content, "\n"); n >= 24 {
				t.Errorf("what hopes for %s: %d lines", w.Hope, n)
			}
		}
	}
}
