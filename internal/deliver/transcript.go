package deliver

import (
	"context"
	"io"
	"strings"
	"sync"
	"time"
)

// Answer is what the script said. Its verdict is empty when it said nothing final.
type Answer struct {
	Begun   bool
	Shell   string // the login shell
	Stage   string
	Verdict string
	Rest    string
	// Noise is the last line that was printed by anything but the script. It must
	// be scrubbed before it is shown.
	Noise string
	// Status is how the shell ended; empty when that is not known.
	Status string

	held  []string          // "zone hash", the hash absent where there is no file
	other map[string]bool   // zones whose file is in another format
	waits map[string]bool   // zones for which a key waits
	at    map[string]string // where a zone's file is, as the host sees it
	asked map[string]*reply
	kinds []string // of files, that were rehearsed
	// unseen says that the host's tools do not show what hangs on a file (lists,
	// attributes).
	unseen bool
	// plain says that nothing hangs on the files that a new file would not have
	// too.
	plain bool
	// foreign is a directory of another user, into which root writes.
	foreign string
}

// reply is the host's answer to a question.
type reply struct {
	status string
	lines  []string
}

// Transcript reads a script's output. Lines that begin with the attempt are the
// script's own; other lines come from a login shell or a reload command.
type Transcript struct {
	attempt string
	// Begun is closed when the script begins, Placed when the file is in place,
	// Final at the verdict.
	Begun, Placed, Final chan struct{}

	mu     sync.Mutex
	heard  time.Time
	line   []byte
	noise  LastLine
	stderr LastLine
	answer Answer
}

// NewTranscript makes the transcript of one attempt.
func NewTranscript(attempt string) *Transcript {
	return &Transcript{
		attempt: attempt, heard: time.Now(), Begun: make(chan struct{}), Placed: make(chan struct{}), Final: make(chan struct{}),
		answer: Answer{other: map[string]bool{}, waits: map[string]bool{}, at: map[string]string{}, asked: map[string]*reply{}},
	}
}

// Within bounds how long the script of job j may take. A change has limit from
// its start to its end, and what it may wait for its key. A proof or a look may be about many zones: it has limit
// from each of its own lines to the next.
func (t *Transcript) Within(ctx context.Context, limit time.Duration, j Job) (context.Context, context.CancelFunc) {
	if j.Waits {
		limit += waitsFor
	}
	if j.Changes {
		return context.WithTimeout(ctx, limit)
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		for left := limit; left > 0; left = time.Until(t.last().Add(limit)) {
			silence := time.NewTimer(left)
			select {
			case <-silence.C:
			case <-ctx.Done():
				silence.Stop()
				return
			}
		}
		cancel()
	}()
	return ctx, cancel
}

// last is when the script was last heard of.
func (t *Transcript) last() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.heard
}

// Complaints takes the login shell's stderr. None of its lines is the script's.
func (t *Transcript) Complaints() io.Writer { return complaints{t} }

type complaints struct{ t *Transcript }

// Write never fails.
func (c complaints) Write(p []byte) (int, error) {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	return c.t.stderr.Write(p)
}

// maxOwnLine is longer than any line of our script: a few words, a zone ID and
// a path.
const maxOwnLine = 8 << 10

// Write never fails.
func (t *Transcript) Write(p []byte) (int, error) {
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

func (t *Transcript) endLine() {
	defer func() { t.line = t.line[:0] }()
	own, isOwn := strings.CutPrefix(string(t.line), t.attempt+" ")
	if !isOwn {
		_, _ = t.noise.Write(append(t.line, '\n'))
		return
	}
	word, rest, _ := strings.Cut(own, " ")
	t.say(word, rest)
}

func (t *Transcript) say(word, rest string) {
	t.heard = time.Now()
	a := &t.answer
	if a.Verdict != "" {
		return
	}
	subject, more, _ := strings.Cut(rest, " ")
	switch word {
	case "begun":
		a.Begun, a.Shell, t.noise = true, rest, LastLine{}
		reached(t.Begun)
	case "stage":
		a.Stage, t.noise = rest, LastLine{}
		reached(t.Placed)
	case "held", "other":
		a.held, a.other[subject] = append(a.held, rest), word == "other"
	case "waits":
		a.waits[rest] = true
	case "at":
		a.at[subject] = more
	case "asked":
		a.asked[subject] = &reply{status: more}
	case "said":
		if r := a.asked[subject]; r != nil {
			r.lines = append(r.lines, more)
		}
	case "kind":
		a.kinds = append(a.kinds, rest)
	case "unseen":
		a.unseen = true
	case "foreign":
		a.foreign = rest
	case "plain":
		a.plain = true
	default:
		a.Verdict, a.Rest = word, rest
		close(t.Final)
	}
}

// reached closes a channel once, however often a host says so.
func reached(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
}

// Ended says how the shell ended.
func (t *Transcript) Ended(status string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.answer.Status = status
}

// SoFar is what was said so far.
func (t *Transcript) SoFar() Answer {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.answer
	a.Noise = t.noise.String()
	if !a.Begun && t.stderr.String() != "" {
		a.Noise = t.stderr.String()
	}
	return a
}
