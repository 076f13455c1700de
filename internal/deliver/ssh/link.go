package ssh

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// link is one connection to a host, and what is needed to know when to drop it.
type link struct {
	conn *ssh.Client
	dead chan struct{}
	// login is how it was made.
	login login
	// by is the bastion's connection that it goes through. It is nil where there
	// is no bastion.
	by *link
	// begins says that a script has begun on it.
	begins atomic.Bool

	mu      sync.Mutex
	busy    int
	retired bool
	used    time.Time
	// next is a channel that was opened beforehand, which saves the next command
	// a round trip. It does not count as busy.
	next *opening
}

// opening is a channel that was asked for. ready is closed when the channel is
// there or was refused.
type opening struct {
	ready   chan struct{}
	session *session
	err     error
}

func (l *link) alive() bool {
	select {
	case <-l.dead:
		return false
	default:
		return true
	}
}

// errRetired says that another call has retired the link.
var errRetired = errors.New("the connection takes no new sessions")

// take counts a session in. It fails on a link that takes no more.
func (l *link) take() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.retired:
		return errRetired
	case !l.alive():
		return net.ErrClosed
	}
	l.busy++
	return nil
}

func (l *link) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy--
	l.used = time.Now()
	l.closeIfDone()
}

// retire lets the sessions that run end, and then closes.
func (l *link) retire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.retired = true
	l.closeIfDone()
}

func (l *link) closeIfDone() {
	if l.retired && l.busy == 0 {
		go func() { _ = l.conn.Close() }()
	}
}

// empty says that no session uses the link.
func (l *link) empty() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.busy == 0
}

func (l *link) idle(limit time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.busy == 0 && time.Since(l.used) >= limit
}

// keep asks every interval whether the peer lives, and closes the link when two
// intervals pass without an answer or nobody has used it for the idle time.
func (l *link) keep(interval, idle time.Duration) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-l.dead:
			return
		case <-tick.C:
		}
		if l.idle(idle) {
			l.retire()
			continue
		}
		if !l.answers(2 * interval) {
			_ = l.conn.Close()
			return
		}
	}
}

// check asks each connection of l's way, all at once, whether its peer lives,
// and drops those that do not answer.
func (l *link) check(within time.Duration) bool {
	var asked sync.WaitGroup
	var silent atomic.Bool
	for at := l; at != nil; at = at.by {
		asked.Go(func() {
			if !at.answers(within) {
				silent.Store(true)
				at.retire()
				_ = at.conn.Close()
			}
		})
	}
	asked.Wait()
	return !silent.Load()
}

// watchWay asks, should nothing be heard for a fifth of patience, whether the connections
// by which l goes live: of a way that has gone silent, all that has died is found while l
// is waited for, and not one after the other. heard ends it.
func (l *link) watchWay(patience time.Duration) (heard func()) {
	if l.by == nil {
		return func() {}
	}
	ask := time.AfterFunc(patience/5, func() { l.by.check(patience - patience/5) })
	return func() { ask.Stop() }
}

func (l *link) answers(within time.Duration) bool {
	answered := make(chan error, 1)
	go func() {
		_, _, err := l.conn.SendRequest("keepalive@openssh.com", true, nil)
		answered <- err
	}()
	late := time.NewTimer(within)
	defer late.Stop()
	select {
	case err := <-answered:
		return err == nil
	case <-late.C:
		return false
	}
}

// open returns the channel that was opened beforehand, or opens one. It gives
// up when ctx ends; a channel that opens later is then closed.
func (l *link) open(ctx context.Context) (*session, error) {
	if err := l.take(); err != nil {
		return nil, err
	}
	l.mu.Lock()
	next := l.next
	l.next = nil
	l.mu.Unlock()
	if next != nil {
		if s, err := l.await(ctx, next); err == nil && !s.gone() {
			s.early = true
			return s, nil
		}
	}
	s, err := l.await(ctx, l.begin())
	if err != nil {
		l.release()
	}
	return s, err
}

// begin asks for a channel.
func (l *link) begin() *opening {
	o := &opening{ready: make(chan struct{})}
	go func() {
		defer close(o.ready)
		channel, requests, err := l.conn.OpenChannel("session", nil)
		o.session, o.err = &session{Channel: channel, requests: requests, link: l}, err
	}()
	return o
}

func (l *link) await(ctx context.Context, o *opening) (*session, error) {
	select {
	case <-o.ready:
		return o.session, o.err
	case <-ctx.Done():
		go func() {
			if <-o.ready; o.err == nil {
				go ssh.DiscardRequests(o.session.requests)
				_ = o.session.Close()
			}
		}()
		return nil, context.Cause(ctx)
	}
}

// stock opens a channel beforehand, unless there is one.
func (l *link) stock() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next == nil && !l.retired && l.alive() {
		l.next = l.begin()
	}
}
