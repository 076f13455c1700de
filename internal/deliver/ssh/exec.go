package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"keywave/internal/deliver"
	"keywave/internal/rotation"
)

// command is one run of a script on a host.
type command struct {
	script string
	// attempt is random; the script opens its own lines with it.
	attempt string
	args    []string
	stdin   []byte
	// then writes the rest of the input, while the script runs.
	then func(context.Context, *transcript, io.Writer)
	// changes says that the script may leave the host changed.
	changes bool
	// acknowledged waits for the host's word that it runs commands at all,
	// which costs a round trip.
	acknowledged bool
}

// line is the command for the host's login shell: it starts an sh for the script,
// unless the login shell is one. The key is never in it.
func (c command) line(isSh bool) string {
	words := []string{"sh", "-c", quote(c.script), "keywave", c.attempt}
	if isSh {
		words = []string{"set", "--", c.attempt}
	}
	for _, arg := range c.args {
		words = append(words, quote(arg))
	}
	line := strings.Join(words, " ")
	if isSh {
		line += "\n" + c.script
	}
	return line
}

// shells are the login shells that run our scripts as they are. One shell fewer
// is a sixth of what a delivery costs a host; others, bash among them, start an sh.
var shells = []string{"sh", "dash", "ash"}

// quote makes one word of s for a POSIX shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// answer is what a script said. Its verdict is empty when it said nothing final.
type answer struct {
	begun   bool
	shell   string // the login shell, as look.sh sees it
	stage   string
	verdict string
	rest    string
	held    []string
	// noise is the last line of whatever ran, to be scrubbed before it is shown.
	noise string
	// status is how the login shell ended; empty when that is not known.
	status string
}

// transcript reads a script's output: lines that begin with the attempt are the
// script's own, whatever a login shell or a reload command prints.
type transcript struct {
	attempt string
	// begun is closed when the script begins, placed when the file is in place,
	// reloaded when the reload command has succeeded, final at the verdict.
	begun, placed, reloaded, final chan struct{}

	mu     sync.Mutex
	line   []byte
	noise  deliver.LastLine
	stderr deliver.LastLine
	answer answer
}

// complaints takes the login shell's stderr, where no line is the script's.
type complaints struct{ t *transcript }

// Write never fails.
func (c complaints) Write(p []byte) (int, error) {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	return c.t.stderr.Write(p)
}

// maxOwnLine is longer than any line of ours: a word, a zone ID and a path.
const maxOwnLine = 8 << 10

// Write never fails.
func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, b := range p {
		switch {
		case b == '\n':
			t.endLine()
		case len(t.line) < maxOwnLine:
			t.line = append(t.line, b)
		}
	}
	return len(p), nil
}

func (t *transcript) endLine() {
	defer func() { t.line = t.line[:0] }()
	own, isOwn := strings.CutPrefix(string(t.line), t.attempt+" ")
	if !isOwn {
		_, _ = t.noise.Write(append(t.line, '\n'))
		return
	}
	a := &t.answer
	word, rest, _ := strings.Cut(own, " ")
	switch word {
	case "begun":
		a.begun, a.shell, t.noise = true, rest, deliver.LastLine{}
		reached(t.begun)
	case "stage":
		a.stage, t.noise = rest, deliver.LastLine{}
		switch rest {
		case stageReload:
			reached(t.placed)
		case stageVerify:
			reached(t.reloaded)
		}
	case "held":
		a.held = append(a.held, rest)
	default:
		if a.verdict == "" {
			a.verdict, a.rest = word, rest
			close(t.final)
		}
	}
}

// reached closes a channel, however often a host says so.
func reached(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
}

func (t *transcript) ended(status string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.answer.status = status
}

func (t *transcript) soFar() answer {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.answer
	a.noise = t.noise.String()
	if !a.begun && t.stderr.String() != "" {
		a.noise = t.stderr.String()
	}
	return a
}

// run runs a command. The error is nil only when its script came to a verdict.
// A session that was opened beforehand may be one of a connection that has died
// meanwhile: a script that gives no sign of life there runs once more, as another
// attempt, on a new one. That is safe even where it did run: look changes nothing,
// and put takes only the place of what is expected, its own key among that.
func (h *Host) run(ctx context.Context, build func(attempt string) command) (answer, error) {
	var c command
	var a answer
	for range 2 {
		var err error
		c = build(deliver.NewAttempt())
		a, err = h.try(ctx, c)
		if h.isSh.Load() && !a.begun && a.status != "" { // the login shell is another one now
			h.isSh.Store(false)
			continue
		}
		if !errors.Is(err, errNoSign) {
			return a, err
		}
	}
	return a, h.silent(c, a)
}

var errNoSign = errors.New("no sign of life on a session that was opened beforehand")

// try runs a command in one session.
func (h *Host) try(ctx context.Context, c command) (answer, error) {
	s, err := h.session(ctx)
	if err != nil {
		return answer{}, err
	}
	defer s.end()
	limit := h.shared.options.CommandTimeout
	timed, cancel := context.WithTimeout(ctx, limit)
	defer cancel()

	t := &transcript{attempt: c.attempt, begun: make(chan struct{}), placed: make(chan struct{}), reloaded: make(chan struct{}), final: make(chan struct{})}
	talked := make(chan error, 1)
	isSh := h.isSh.Load()
	go func() { talked <- s.talk(timed, c, isSh, t) }()
	err = s.listen(timed, t, talked, h.shared.options.DialTimeout)
	a := t.soFar()
	if a.shell != "" {
		h.isSh.Store(slices.Contains(shells, a.shell))
	}
	switch {
	case a.verdict != "":
		return a, nil
	case s.early && !a.begun && a.status == "" && timed.Err() == nil:
		s.link.retire()
		return a, errNoSign
	case err != nil:
		return a, h.failed(rotation.StepAuth, err.Error())
	case ctx.Err() != nil:
		return a, deliver.Stopped(ctx, rotation.StepSession, h.says("given up while the host was at work; "+c.remains(a)))
	case timed.Err() != nil:
		return a, h.stalled(s, c, a, limit)
	}
	return a, h.silent(c, a)
}

// listen waits until the talk is over or ctx ends. On a session that was opened
// beforehand it does not wait for longer than patience until the script begins.
func (s *session) listen(ctx context.Context, t *transcript, talked <-chan error, patience time.Duration) error {
	var silence <-chan time.Time
	if s.early {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		silence = timer.C
	}
	begun := t.begun
	for {
		select {
		case err := <-talked:
			return err
		case <-ctx.Done():
			return nil
		case <-begun:
			silence, begun = nil, nil
		case <-silence:
			return errNoSign
		}
	}
}

// talk sends the command with its input at once, without waiting for replies,
// and reads until the verdict and the status, or the end of the channel.
func (s *session) talk(ctx context.Context, c command, isSh bool, t *transcript) error {
	status := make(chan struct{})
	go func() {
		defer close(status)
		s.readStatus(t)
	}()
	output := make(chan struct{})
	var streams sync.WaitGroup
	streams.Go(func() { _, _ = io.Copy(t, s) })
	// It shares the channel's window: unread, it would stop the output.
	streams.Go(func() { _, _ = io.Copy(complaints{t}, s.Stderr()) })
	go func() {
		defer close(output)
		streams.Wait()
	}()

	runs, err := s.SendRequest("exec", c.acknowledged, ssh.Marshal(struct{ Command string }{c.line(isSh)}))
	if c.acknowledged && err == nil && !runs {
		return errors.New("lets us in but does not run commands for this user; see ForceCommand and restrictions in its authorized_keys and sshd_config")
	}
	if err == nil {
		writing, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() {
			_, _ = s.Write(c.stdin)
			if c.then != nil {
				c.then(writing, t, s)
			}
			_ = s.CloseWrite()
		}()
	}
	select {
	case <-t.final:
	case <-output:
	case <-status:
	case <-ctx.Done():
		return nil
	}
	// Verdict and status come in any order, and one may be missing: a daemon
	// that the reload started may hold the output open for ever.
	soon, cancel := context.WithTimeout(ctx, endGrace)
	defer cancel()
	select {
	case <-status:
	case <-soon.Done():
	}
	select {
	case <-t.final:
	case <-output:
	case <-soon.Done():
	}
	return nil
}

// endGrace is how long the other half of a command's end may take.
const endGrace = 2 * time.Second

func (s *session) readStatus(t *transcript) {
	for r := range s.requests {
		switch r.Type {
		case "exit-status":
			var exit struct{ Status uint32 }
			if ssh.Unmarshal(r.Payload, &exit) == nil {
				t.ended(fmt.Sprintf("status %d", exit.Status))
			}
		case "exit-signal":
			t.ended("a signal")
		default:
			// sshd asks so whether we live.
			_ = r.Reply(false, nil)
			continue
		}
		go ssh.DiscardRequests(s.requests)
		return
	}
}

// remains is what is still true when a command gave no verdict.
func (c command) remains(a answer) string {
	switch {
	case !c.changes:
		return "nothing was changed"
	case a.stage == stageReload:
		return "the file holds the new key; whether the consumer has reloaded it is not known"
	case a.stage == stageVerify:
		return "the file holds the new key and the reload command ran; whether the consumer uses it is not known"
	}
	return "what the host holds is not known until it is asked again"
}

// The stages that put.sh names as it comes to them.
const (
	stageReload = string(rotation.StepReload)
	stageVerify = string(rotation.StepVerify)
)

func (h *Host) stalled(s *session, c command, a answer, limit time.Duration) error {
	switch {
	case a.stage == stageReload || a.stage == stageVerify:
		return h.failed(rotation.HostStep(a.stage), fmt.Sprintf("the %s command did not end within %s; %s", a.stage, limit, c.remains(a)))
	case !a.begun:
		// The next one shall not wait for the same dead wire.
		s.link.retire()
	}
	return h.failed(rotation.StepSession, fmt.Sprintf("stalled: no answer within %s; %s", limit, c.remains(a)))
}

func (h *Host) silent(c command, a answer) error {
	if !a.begun && a.status != "" {
		return h.failed(rotation.StepAuth, deliver.CommandFailed("lets us in, but the login shell ended with "+a.status+" before our script began", a.noise, rotation.Secret{})+"; nothing was changed")
	}
	how := "the connection broke"
	if a.status != "" {
		how = "our script was ended by " + a.status
	}
	return h.failed(rotation.StepSession, how+"; "+c.remains(a))
}
