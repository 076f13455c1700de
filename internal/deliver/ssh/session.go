package ssh

import (
	"context"
	"errors"
	"fmt"
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
	early    bool // opened beforehand: nobody knows whether the peer still lives
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
