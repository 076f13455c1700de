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

// session is an open channel that holds one of the host's slots.
type session struct {
	ssh.Channel
	requests <-chan *ssh.Request
	link     *link
	ended    sync.Once
	slots    chan struct{}
	patience time.Duration // with a connection that may be dead
	early    bool          // opened beforehand: nobody knows whether the peer still lives
}

// gone says that the host closed the channel before we used it.
func (s *session) gone() bool {
	select {
	case r, open := <-s.requests:
		if open {
			_ = r.Reply(false, nil) // sshd asks this way whether we live
		}
		return !open
	default:
		return false
	}
}

// end closes the channel, but not the connection, and frees the slot. It frees
// it even if the connection stalls.
func (s *session) end() {
	s.ended.Do(func() {
		closed := make(chan struct{})
		go func() {
			_ = s.Close()
			s.link.release()
			close(closed)
		}()
		late := time.NewTimer(endGrace)
		defer late.Stop()
		select {
		case <-closed:
		case <-late.C:
		}
		<-s.slots
	})
}

// input is where the rest of a job's input goes. If the job has waited for it, the connection
// may have died meanwhile: if nothing is heard soon after, its way is asked whether it lives.
func (s *session) input(ctx context.Context, j deliver.Job) io.Writer {
	if !j.Waits {
		return s
	}
	return &lateInput{Writer: s, ask: sync.OnceFunc(func() {
		ask := time.AfterFunc(s.patience/5, func() { s.link.check(s.patience - s.patience/5) })
		context.AfterFunc(ctx, func() { ask.Stop() })
	})}
}

type lateInput struct {
	io.Writer
	ask func()
}

// Write notes that the host has something to answer now.
func (l *lateInput) Write(p []byte) (int, error) {
	l.ask()
	return l.Writer.Write(p)
}

// session waits for a slot and opens a channel on the warm connection. As long
// as nothing was sent, a connection that turns out to be dead, stalled or full
// is replaced by a new one.
func (h *Host) session(ctx context.Context) (*session, error) {
	select {
	case h.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, deliver.Stopped(ctx, rotation.StepSession, h.Says(fmt.Sprintf("given up while waiting for one of the host's %d sessions; nothing was sent", cap(h.slots))))
	}
	s, err := h.open(ctx)
	if err != nil {
		<-h.slots
		return nil, err
	}
	s.slots = h.slots
	return s, nil
}

// errNotSpared says that a job that may be left out gets no session.
var errNotSpared = errors.New("no session can be spared")

// spare gives a session to a job that may wait for long: it takes at most half of the
// host's sessions together with all others, so that it is in nobody's way. It uses a warm
// connection on which the script has begun before: so the user's login shell is known to
// give what follows to the script, and a key comes into no other hands.
func (h *Host) spare(ctx context.Context) (*session, error) {
	l := h.warm()
	if l == nil || !l.begins.Load() {
		return nil, errNotSpared
	}
	select {
	case h.slots <- struct{}{}:
	default:
		return nil, errNotSpared
	}
	timed, cancel := context.WithTimeout(ctx, h.shared.options.DialTimeout)
	defer cancel()
	var s *session
	err := errNotSpared
	if len(h.slots) <= cap(h.slots)/2 {
		s, err = l.open(timed)
	}
	if err != nil {
		<-h.slots
		return nil, err
	}
	l.stock()
	s.slots, s.patience = h.slots, h.shared.options.DialTimeout
	return s, nil
}

func (h *Host) open(ctx context.Context) (*session, error) {
	var failure error
	// Each new connection serves at least one of those who wait, whatever its
	// MaxSessions is.
	for range 2 * (cap(h.slots) + 1) {
		l, fresh, err := h.connect(ctx)
		if err != nil {
			return nil, err
		}
		timed, cancel := context.WithTimeout(ctx, h.shared.options.DialTimeout)
		heard := l.watchWay(h.shared.options.DialTimeout)
		s, err := l.open(timed)
		heard()
		cancel()
		if err == nil {
			l.stock()
			return s, nil
		}
		if ctx.Err() != nil {
			return nil, deliver.Stopped(ctx, rotation.StepSession, h.Says("given up while opening a session; nothing was sent"))
		}
		l.retire()
		failure = err
		var full *ssh.OpenChannelError
		if fresh && !errors.Is(err, errRetired) && !errors.As(err, &full) {
			break
		}
	}
	return nil, h.failed(rotation.StepSession, "opens no session on a new connection ("+deliver.Scrub(failure.Error())+"); nothing was sent; check MaxSessions in its sshd_config")
}
