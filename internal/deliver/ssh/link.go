package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"keywave/internal/deliver"
	"keywave/internal/harmless"
	"keywave/internal/rotation"
)

// link is one connection to a host, and what is needed to know when to drop it.
type link struct {
	conn ssh.Conn
	dead chan struct{}
	// login is how it was made.
	login login

	mu      sync.Mutex
	busy    int
	retired bool
	used    time.Time
	// next is a channel opened beforehand, which spares the next command a
	// round trip; it does not count as busy.
	next *opening
}

// opening is a channel that is asked for, and ready once it is there or refused.
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

// errRetired says that another call has found the link wanting.
var errRetired = errors.New("the connection takes no new sessions")

// take counts a session in; it fails on a link that takes no more.
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

// open gives the channel that was opened beforehand, or opens one; it gives up
// waiting when ctx ends, and then lets go of whatever is opened later.
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

// connect gives the warm link, or makes one; callers that come at once share
// one dial, which goes on when a caller gives up. fresh says that it was made
// during this call.
func (h *Host) connect(ctx context.Context) (l *link, fresh bool, err error) {
	if l := h.warm(); l != nil {
		return l, false, nil
	}
	dialled := h.flight.DoChan("", func() (any, error) {
		if l := h.warm(); l != nil {
			return l, nil
		}
		l, err := h.dial()
		if err != nil {
			return nil, err
		}
		h.mu.Lock()
		h.link = l
		h.mu.Unlock()
		return l, nil
	})
	select {
	case r := <-dialled:
		if r.Err != nil {
			return nil, true, r.Err
		}
		return r.Val.(*link), true, nil
	case <-ctx.Done():
		return nil, true, deliver.Stopped(ctx, rotation.StepConnect, h.Says("given up while connecting; nothing was sent"))
	}
}

func (h *Host) warm() *link {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.link == nil || !h.link.alive() {
		return nil
	}
	h.link.mu.Lock()
	defer h.link.mu.Unlock()
	if h.link.retired {
		return nil
	}
	return h.link
}

func (h *Host) dial() (*link, error) {
	now := h.shared.credentials()
	id, err := h.identify(now)
	if err != nil {
		return nil, err
	}
	options := h.shared.options
	dialer := net.Dialer{Timeout: options.DialTimeout}
	tcp, err := dialer.Dial("tcp", h.address)
	if err != nil {
		return nil, h.failed(rotation.StepConnect, "cannot be reached: "+dialReason(err, options.DialTimeout))
	}
	_ = tcp.SetDeadline(time.Now().Add(options.CommandTimeout))
	made := login{seen: now.seen}
	conn, err := h.login(tcp, id, &dialer, now, &made)
	if err != nil {
		_ = tcp.Close()
		return nil, err
	}
	_ = tcp.SetDeadline(time.Time{})
	l := &link{conn: conn, login: made, dead: make(chan struct{}), used: time.Now()}
	go func() {
		_ = conn.Wait()
		close(l.dead)
	}()
	go l.keep(options.KeepAlive, options.IdleTimeout)
	return l, nil
}

// login tells a failure by how far the handshake came, not by what its error
// says: the identity is checked before the first of our keys is offered.
func (h *Host) login(tcp net.Conn, id *identity, dialer *net.Dialer, now credentials, made *login) (ssh.Conn, error) {
	signers, notes, done := h.shared.identities(dialer, now)
	defer done()
	var identified bool
	var refused error
	config := &ssh.ClientConfig{
		User:              h.user,
		Auth:              made.methods(signers),
		HostKeyAlgorithms: id.algorithms,
		HostKeyCallback: func(address string, remote net.Addr, key ssh.PublicKey) error {
			refused = id.check(address, remote, key)
			identified, made.machine = refused == nil, key
			return refused
		},
	}
	conn, channels, requests, err := ssh.NewClientConn(tcp, h.address, config)
	if err == nil {
		go rejectChannels(channels)
		go ssh.DiscardRequests(requests)
		return conn, nil
	}
	var negotiation *ssh.AlgorithmNegotiationError
	switch {
	case refused != nil:
		return nil, refused
	case broken(err):
		return nil, h.failed(rotation.StepConnect, "took the connection but broke it off or stalled before we were logged in; see its sshd log, and MaxStartups")
	case errors.As(err, &negotiation) && slices.Equal(negotiation.SupportedAlgorithms, id.algorithms):
		return nil, id.wrong(fmt.Sprintf("the host has no host key of the type that is pinned or known (%s), only %s; %s",
			strings.Join(id.algorithms, " or "), harmless.Terminal(strings.Join(negotiation.RequestedAlgorithms, ", ")), id.remedy())) // words of a peer that nobody has authenticated
	case identified:
		return nil, h.failed(rotation.StepAuth, made.refused(h.user, signers, notes, err))
	}
	return nil, h.failed(rotation.StepConnect, "does not complete the SSH handshake: "+deliver.Scrub(err.Error()))
}

func rejectChannels(channels <-chan ssh.NewChannel) {
	for c := range channels {
		_ = c.Reject(ssh.Prohibited, "not served")
	}
}

// broken says that the wire failed, not the peers' agreement.
func broken(err error) bool {
	var timeout net.Error
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.As(err, &timeout) && timeout.Timeout()
}

// dialReason leaves out the addresses, which the operator already reads.
func dialReason(err error, limit time.Duration) string {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return fmt.Sprintf("no answer within %s; check the address and the firewall", limit)
	}
	var unresolved *net.DNSError
	if errors.As(err, &unresolved) {
		return fmt.Sprintf("the name %s does not resolve", unresolved.Name)
	}
	var call *os.SyscallError
	if errors.As(err, &call) {
		return call.Err.Error() + "; check the address and that sshd runs"
	}
	return err.Error()
}
