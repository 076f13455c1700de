package watch

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"

	"keywave/internal/rotation"
	"keywave/workflows"
)

var update = flag.Bool("update", false, "write the golden files anew")

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func status(state workflows.State, done int) workflows.Status {
	z := rotation.Counts{Total: 400, Done: done, Exposed: 1, Pending: 399 - done}
	api := rotation.API{Refresh: done + 1, Describe: done + 400}
	return workflows.Status{
		Campaign: "spring", State: state, Zones: z, Hosts: rotation.HostCounts{Total: 1200, Acknowledged: 3 * done},
		ExposureMs: rotation.ExposureSummary{P50: 61, P90: 88, P99: 141, Max: 230}, API: api,
		Accounts:  []workflows.AccountStatus{{Account: "default", Zones: z, API: api, RefreshesPerSecond: 3.2, Limit: 20, InFlight: 12}},
		StartedAt: noon.Add(-time.Minute), Wave: 2, Waves: 3, InFlight: 12, Window: 40,
		Attention: []workflows.Attention{{Zone: "zone-27q0p0bal192", Outcome: rotation.Exposed, Why: "gw-hk-2: connect: connection refused"}},
	}
}

// screen is a model that a test sends messages to.
type screen struct {
	model
	sent []workflows.Order
}

func newScreen() *screen {
	s := &screen{}
	s.model = newModel(context.Background(), Config{
		Order: func(_ context.Context, update string, o workflows.Order) (workflows.Answer, error) {
			s.sent = append(s.sent, o)
			if o.Reason == "no" {
				return workflows.Answer{}, errors.New("the campaign is not paused")
			}
			return workflows.Answer{Text: update + " it is"}, nil
		},
		Lost: func(err error) bool { return err.Error() == "no such campaign" },
	})
	return s
}

func (s *screen) gets(msg tea.Msg) tea.Cmd {
	next, cmd := s.Update(msg)
	s.model = next.(model)
	return cmd
}

func (s *screen) types(text string) (last tea.Cmd) {
	for _, r := range text {
		key := tea.KeyPressMsg{Code: r, Text: string(r)}
		switch r {
		case '\n':
			key = tea.KeyPressMsg{Code: tea.KeyEnter}
		case '\b':
			key = tea.KeyPressMsg{Code: tea.KeyBackspace}
		case '\x1b':
			key = tea.KeyPressMsg{Code: tea.KeyEscape}
		}
		last = s.gets(key)
	}
	return last
}

func TestGolden(t *testing.T) {
	for name, prepare := range map[string]func(*screen){
		"first": func(*screen) {},
		"running": func(s *screen) {
			s.gets(asked{status: status(workflows.StateRunning, 190), at: noon.Add(2 * time.Second)})
		},
		"waiting": func(s *screen) { s.gets(asked{status: status(workflows.StateWaiting, 190), at: noon}) },
		"prompt":  func(s *screen) { s.types("plunx\bch") },
		"help":    func(s *screen) { s.types("?") },
		"away":    func(s *screen) { s.gets(asked{err: errors.New("no worker answers"), at: noon}) },
	} {
		for _, size := range [][2]int{{80, 24}, {120, 40}, {40, 10}} {
			t.Run(fmt.Sprintf("%s %dx%d", name, size[0], size[1]), func(t *testing.T) {
				s := newScreen()
				s.gets(tea.WindowSizeMsg{Width: size[0], Height: size[1]})
				if name != "first" {
					s.gets(asked{status: status(workflows.StateRunning, 150), at: noon})
				}
				prepare(s)
				golden(t, fmt.Sprintf("%s-%dx%d.txt", name, size[0], size[1]), s.View().Content)
				for line := range strings.SplitSeq(s.View().Content, "\n") {
					if utf8.RuneCountInString(line) > size[0] {
						t.Errorf("a line is wider than %d: %q", size[0], line)
					}
				}
				if n := strings.Count(s.View().Content, "\n") + 1; n > size[1] {
					t.Errorf("%d lines on a screen of %d", n, size[1])
				}
			})
		}
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got+"\n" != string(want) {
		t.Errorf("%s differs (go test -update writes it anew); got:\n%s", path, got)
	}
}

func TestOrders(t *testing.T) {
	s := newScreen()
	s.gets(asked{status: status(workflows.StateWaiting, 10), at: noon})
	cmd := s.types("acanary is welll\b\n")
	if len(s.sent) != 0 || cmd == nil {
		t.Fatal("sent before the command ran, or nothing to run")
	}
	s.gets(cmd())
	if len(s.sent) != 1 || s.sent[0] != (workflows.Order{Wave: 2, Reason: "canary is well"}) {
		t.Fatalf("sent %+v", s.sent)
	}
	if !strings.Contains(s.draw(), "approve wave 2: approve it is") {
		t.Errorf("the answer is not shown:\n%s", s.draw())
	}
	s.gets(s.types("rno\n")())
	if !strings.Contains(s.draw(), "resume was refused: the campaign is not paused") {
		t.Errorf("the refusal is not shown:\n%s", s.draw())
	}
	if s.types("cq\x1b"); len(s.sent) != 2 || s.prompt != nil {
		t.Errorf("esc sent %+v", s.sent)
	}
	s.gets(asked{status: status(workflows.StateRunning, 10), at: noon})
	if s.types("a"); s.prompt != nil || !strings.Contains(s.draw(), "no wave waits") {
		t.Error("approves while nothing waits")
	}
}

func TestItEnds(t *testing.T) {
	for _, state := range []workflows.State{workflows.StateDone, workflows.StateEnded, workflows.StateCancelled} {
		if cmd := newScreen().gets(asked{status: status(state, 10), at: noon}); cmd == nil || cmd() != tea.Quit() {
			t.Errorf("it stays when the campaign is %s", state)
		}
	}
	for _, state := range []workflows.State{workflows.StateWaiting, workflows.StatePaused} {
		s := newScreen()
		s.gets(asked{status: status(state, 10), at: noon})
		if s.failure != nil {
			t.Errorf("%s: %v", state, s.failure)
		}
	}
	s := newScreen()
	if cmd := s.gets(asked{err: errors.New("no such campaign"), at: noon}); cmd == nil || cmd() != tea.Quit() || s.failure == nil {
		t.Error("it stays where there is no campaign")
	}
	if cmd := newScreen().types("q"); cmd == nil || cmd() != tea.Quit() {
		t.Error("q does not leave")
	}
}

func TestItWaitsForTemporal(t *testing.T) {
	s := newScreen()
	s.gets(asked{status: status(workflows.StateRunning, 10), at: noon})
	if cmd := s.gets(asked{err: errors.New("connection refused"), at: noon.Add(time.Second)}); cmd == nil {
		t.Fatal("it does not ask again")
	}
	if text := s.draw(); !strings.Contains(text, "nobody answers since 12:00:01: connection refused") || !strings.Contains(text, "10/400") {
		t.Errorf("the last view is gone, or the reason:\n%s", text)
	}
	s.gets(asked{status: status(workflows.StateRunning, 20), at: noon.Add(2 * time.Second)})
	if strings.Contains(s.draw(), "nobody answers") {
		t.Error("it still says that nobody answers")
	}
}
