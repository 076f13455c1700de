package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"keywave/internal/deliver"
	"keywave/internal/rotation"
)

// Run runs a job. One that waits for its input is tried once. The error is nil only when its script came to a verdict.
//
// A session that was opened beforehand may belong to a connection that has died
// meanwhile. If the script gives no sign of life there, it runs once more on a
// new session, as another attempt. That is safe even if it did run: a proof
// changes nothing, and a put replaces only what it expects, which includes its
// own key.
//
// If the login shell ends without beginning the script, it may take the script
// only in another form; that form is tried.
func (h *Host) Run(ctx context.Context, build func(attempt string) deliver.Job) (deliver.Answer, error) {
	silent, form := false, deliver.Form(h.form.Load())
	for {
		j := build(deliver.NewAttempt())
		a, err := h.try(ctx, j, form)
		switch {
		case j.Waits:
			return a, err
		case errors.Is(err, errNoSign) && silent:
			return a, h.courier.Silent(j, a)
		case errors.Is(err, errNoSign):
			silent = true
		case a.Begun, a.Status == "", a.Swallowed():
			return a, err
		case form == deliver.Bare: // the login shell has been changed since
			form = deliver.Quoted
		case form == deliver.Quoted:
			form = deliver.Piped
		default:
			return a, err
		}
	}
}

// becomes is the user as whom sudo is to run a job. It is empty for the login
// itself.
func (h *Host) becomes(j deliver.Job) string {
	if j.AsLogin {
		return ""
	}
	return h.courier.Become
}

// Limit is how long Run waits, in the sense of Transcript.Within.
func (h *Host) Limit() time.Duration { return h.shared.options.CommandTimeout }

var errNoSign = errors.New("no sign of life on a session that was opened beforehand")

// try runs a job in one session, in a form of the script.
func (h *Host) try(ctx context.Context, j deliver.Job, form deliver.Form) (deliver.Answer, error) {
	open := h.session
	if j.Waits {
		open = h.spare
	}
	s, err := open(ctx)
	if err != nil {
		return deliver.Answer{}, err
	}
	defer s.end()
	t := deliver.NewTranscript(j.Attempt)
	timed, cancel := t.Within(ctx, h.Limit(), j)
	defer cancel()
	talked := make(chan error, 1)
	go func() { talked <- s.talk(timed, j, form, h.becomes(j), t) }()
	err = s.listen(timed, t, talked, h.shared.options.DialTimeout)
	a := t.SoFar()
	if a.Begun {
		s.link.begins.Store(true)
	}
	switch {
	case a.Shell == "":
	case h.becomes(j) != "": // the shell that is told is the other user's, not the login's
		h.form.Store(int32(form))
	default:
		h.form.Store(int32(deliver.FormFor(a.Shell, form)))
	}
	switch {
	case a.Verdict != "":
		return a, nil
	case s.early && !a.Begun && a.Status == "" && timed.Err() == nil:
		s.link.retire()
		return a, errNoSign
	case err != nil:
		return a, h.failed(rotation.StepAuth, err.Error())
	case ctx.Err() != nil:
		return a, deliver.Stopped(ctx, rotation.StepSession, h.Says("given up while the host was at work; "+j.Remains(a)))
	case timed.Err() != nil:
		if !a.Begun { // the next job must not wait for the same dead connection
			s.link.retire()
		}
		return a, h.courier.Stalled(j, a, h.Limit())
	}
	return a, h.courier.Silent(j, a)
}

// listen waits until the talk is over or ctx ends. On a session that was opened
// beforehand it waits for at most patience until the script begins.
func (s *session) listen(ctx context.Context, t *deliver.Transcript, talked <-chan error, patience time.Duration) error {
	var silence <-chan time.Time
	heard := func() {}
	if s.early {
		heard = s.link.watchWay(patience)
		defer heard()
		timer := time.NewTimer(patience)
		defer timer.Stop()
		silence = timer.C
	}
	begun := t.Begun
	for {
		select {
		case err := <-talked:
			return err
		case <-ctx.Done():
			return nil
		case <-begun:
			heard()
			silence, begun = nil, nil
		case <-silence:
			return errNoSign
		}
	}
}

// talk sends the command and its input at once, without waiting for replies. It
// reads until it has the verdict and the status, or until the channel ends.
func (s *session) talk(ctx context.Context, j deliver.Job, form deliver.Form, become string, t *deliver.Transcript) error {
	status := make(chan struct{})
	go func() {
		defer close(status)
		s.readStatus(t)
	}()
	output := make(chan struct{})
	var streams sync.WaitGroup
	streams.Go(func() { _, _ = io.Copy(t, s) })
	// stderr shares the channel's window: if nobody read it, it would stop the
	// output.
	streams.Go(func() { _, _ = io.Copy(t.Complaints(), s.Stderr()) })
	go func() {
		defer close(output)
		streams.Wait()
	}()

	runs, err := s.SendRequest("exec", j.Acknowledged, ssh.Marshal(struct{ Command string }{form.Command(become)}))
	if j.Acknowledged && err == nil && !runs {
		return errors.New("lets us in but does not run commands for this user; see ForceCommand and restrictions in its authorized_keys and sshd_config")
	}
	if err == nil {
		writing, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() {
			_, _ = s.Write(form.Input(j.Stdin))
			if j.Then != nil {
				j.Then(writing, t, s.input(writing, j))
			}
			_ = s.CloseWrite()
		}()
	}
	select {
	case <-t.Final:
	case <-output:
	case <-status:
	case <-ctx.Done():
		return nil
	}
	// Verdict and status come in any order, and one may be missing: a daemon that
	// the reload started may hold the output open for ever.
	soon, cancel := context.WithTimeout(ctx, endGrace)
	defer cancel()
	select {
	case <-status:
	case <-soon.Done():
	}
	select {
	case <-t.Final:
	case <-output:
	case <-soon.Done():
	}
	return nil
}

// endGrace is how long we wait for the status after the verdict, or for the
// verdict after the status.
const endGrace = 2 * time.Second

func (s *session) readStatus(t *deliver.Transcript) {
	for r := range s.requests {
		switch r.Type {
		case "exit-status":
			var exit struct{ Status uint32 }
			if ssh.Unmarshal(r.Payload, &exit) == nil {
				t.Ended(fmt.Sprintf("status %d", exit.Status))
			}
		case "exit-signal":
			t.Ended("a signal")
		default:
			// sshd asks this way whether we live.
			_ = r.Reply(false, nil)
			continue
		}
		go ssh.DiscardRequests(s.requests)
		return
	}
}
