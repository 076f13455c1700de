// Package watch is the screen of an operator who watches a campaign on a
// terminal. It shows the campaign's state live, and has keys to pause, resume,
// approve and cancel it. The model is pure, except for the two functions that
// it is given. Leaving the screen never stops a campaign.
package watch

import (
	"context"
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"keywave/internal/progress"
	"keywave/workflows"
)

// Config is what the screen needs.
type Config struct {
	// Status asks for the campaign's status.
	Status func(context.Context) (workflows.Status, error)
	// Order sends an update of the campaign.
	Order func(context.Context, string, workflows.Order) (workflows.Answer, error)
	// Color says that colours are wanted.
	Color bool
	// Lost says that an error of Status is final: there is no such campaign.
	Lost func(error) bool
}

// Run shows the campaign until it is closed, the person leaves, or ctx ends. It
// returns the last status.
func Run(ctx context.Context, c Config, options ...tea.ProgramOption) (workflows.Status, error) {
	end, err := tea.NewProgram(newModel(ctx, c), append(options, tea.WithContext(ctx))...).Run()
	m, ok := end.(model)
	if !ok {
		return workflows.Status{}, err
	}
	if m.failure != nil {
		err = m.failure
	}
	return m.status, err
}

const (
	askEvery = 500 * time.Millisecond
	// recent is the time over which the mean of zones a second is taken.
	recent = 10 * time.Second
)

type model struct {
	Config
	ctx           context.Context
	width, height int

	status  workflows.Status
	now     time.Time // when the status was received
	known   bool
	failing time.Time // since when nobody answers
	why     string
	samples []sample
	failure error

	prompt *prompt
	said   string // the answer to the last order
	help   bool
}

type sample struct {
	at   time.Time
	done int
}

// prompt asks for the reason for an order.
type prompt struct {
	what, update string
	order        workflows.Order
	sent         bool
}

type (
	asked struct {
		status workflows.Status
		err    error
		at     time.Time
		once   bool // this question is besides the regular ones
	}
	answered struct {
		what   string
		answer workflows.Answer
		err    error
	}
	tick struct{}
)

func newModel(ctx context.Context, c Config) model {
	return model{Config: c, ctx: ctx, width: 80, height: 24}
}

// Init asks for the first status.
func (m model) Init() tea.Cmd { return m.ask }

func (m model) ask() tea.Msg {
	s, err := m.Status(m.ctx)
	return asked{status: s, err: err, at: time.Now()}
}

// askNow asks besides the regular questions.
func (m model) askNow() tea.Msg {
	a := m.ask().(asked)
	a.once = true
	return a
}

// Update takes one message.
func (m model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
		return m, tea.ClearScreen
	case asked:
		next, again := m.take(msg)
		return next, tea.Batch(again, m.anew(msg.at))
	case answered:
		m.prompt = nil
		m.said = msg.what + ": " + msg.answer.Text
		if msg.err != nil {
			m.said = msg.what + " was refused: " + msg.err.Error()
		}
		return m, m.askNow
	case tick:
		return m, m.ask
	case tea.KeyPressMsg:
		next, then := m.press(msg)
		if then == nil {
			then = tea.ClearScreen
		}
		return next, then
	}
	return m, nil
}

// drawAnew is how often the whole screen is drawn, and not only what has
// changed: a terminal multiplexer that resizes its window to and fro may move
// what is on the screen, and tells no program. A key draws it at once.
const drawAnew = 5 * time.Second

// anew draws the whole screen when a status comes after that time.
func (m model) anew(at time.Time) tea.Cmd {
	if m.now.IsZero() || m.now.Truncate(drawAnew).Equal(at.Truncate(drawAnew)) {
		return nil
	}
	return tea.ClearScreen
}

func (m model) take(a asked) (tea.Model, tea.Cmd) {
	again := tea.Tick(askEvery, func(time.Time) tea.Msg { return tick{} })
	if a.once {
		again = nil
	}
	if a.err != nil {
		if m.Lost(a.err) {
			m.failure = a.err
			return m, tea.Quit
		}
		if m.failing.IsZero() {
			m.failing = a.at
		}
		m.why = a.err.Error()
		return m, again
	}
	m.status, m.now, m.known, m.failing = a.status, a.at, true, time.Time{}
	m.samples = append(m.samples, sample{a.at, a.status.Zones.Done})
	for len(m.samples) > 2 && a.at.Sub(m.samples[1].at) > recent {
		m.samples = m.samples[1:]
	}
	if closed(a.status.State) {
		return m, tea.Quit
	}
	return m, again
}

func closed(s workflows.State) bool {
	return s == workflows.StateDone || s == workflows.StateEnded || s == workflows.StateCancelled
}

func (m model) press(key tea.KeyPressMsg) (tea.Model, tea.Cmd) {
	if key.Keystroke() == "ctrl+c" {
		return m, tea.Quit
	}
	if m.prompt != nil {
		return m.fill(key)
	}
	m.said, m.help = "", false
	switch key.String() {
	case "q":
		return m, tea.Quit
	case "?":
		m.help = true
	case "p":
		m.prompt = &prompt{what: "pause", update: workflows.UpdatePause}
	case "r":
		m.prompt = &prompt{what: "resume", update: workflows.UpdateResume}
	case "c":
		m.prompt = &prompt{what: "cancel", update: workflows.UpdateCancel}
	case "a":
		if m.status.State != workflows.StateWaiting {
			m.said = "no wave waits for an approval"
			break
		}
		m.prompt = &prompt{what: fmt.Sprintf("approve wave %d", m.status.Wave), update: workflows.UpdateApprove, order: workflows.Order{Wave: m.status.Wave}}
	}
	return m, nil
}

// fill edits the reason, and sends or drops the order.
func (m model) fill(key tea.KeyPressMsg) (tea.Model, tea.Cmd) {
	p := *m.prompt
	if p.sent {
		return m, nil
	}
	switch key.Keystroke() {
	case "esc":
		m.prompt = nil
		return m, nil
	case "enter":
		p.sent = true
		m.prompt = &p
		return m, func() tea.Msg {
			answer, err := m.Order(m.ctx, p.update, p.order)
			return answered{p.what, answer, err}
		}
	case "backspace":
		if r := []rune(p.order.Reason); len(r) > 0 {
			p.order.Reason = string(r[:len(r)-1])
		}
	default:
		p.order.Reason += key.Text
	}
	m.prompt = &p
	return m, nil
}

// View draws the whole screen.
func (m model) View() tea.View {
	v := tea.NewView(m.draw())
	v.AltScreen = true
	return v
}

func (m model) draw() string {
	foot := m.foot()
	if !m.known {
		return "Asking Temporal…\n" + strings.Join(foot, "\n")
	}
	room := max(1, m.height-len(foot)-1)
	return string(progress.Fit(m.status, m.width, room, m.Color, m.now)) + strings.Join(foot, "\n")
}

// foot are the lines at the bottom: the present speed, how long nobody has
// answered, the last answer, and the keys or the reason that is being written.
func (m model) foot() []string {
	var lines []string
	if rate, ok := m.rate(); ok {
		lines = append(lines, fmt.Sprintf("now %.1f zones/s", rate))
	}
	if !m.failing.IsZero() {
		lines = append(lines, fmt.Sprintf("nobody answers since %s: %s", m.failing.Format(time.TimeOnly), m.why))
	}
	if m.said != "" {
		lines = append(lines, m.said)
	}
	switch {
	case m.prompt != nil && m.prompt.sent:
		lines = append(lines, m.prompt.what+"…")
	case m.prompt != nil:
		lines = append(lines, fmt.Sprintf("%s, because: %s_ · enter sends, esc does not", m.prompt.what, m.prompt.order.Reason))
	case m.help:
		lines = append(lines,
			"p pause: no refresh starts any more; zones that may have refreshed go on",
			"r resume · a approve the wave that waits · c cancel: pause, and close",
			"q leave: the campaign goes on")
	default:
		lines = append(lines, "p pause · r resume · a approve · c cancel · q leave · ? help")
	}
	for i, l := range lines {
		lines[i] = progress.Clip(l, m.width)
	}
	return append([]string{""}, lines...)
}

// rate is the mean of zones a second over the last seconds.
func (m model) rate() (float64, bool) {
	if len(m.samples) < 2 || m.status.State != workflows.StateRunning {
		return 0, false
	}
	first, last := m.samples[0], m.samples[len(m.samples)-1]
	if took := last.at.Sub(first.at).Seconds(); took > 0 {
		return float64(last.done-first.done) / took, true
	}
	return 0, false
}
