package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/singleflight"

	"keywave/internal/deliver"
	"keywave/internal/harmless"
	"keywave/internal/rotation"
)

// peer is a machine that we log in to: a host, or a bastion on the way to it. One
// connection to it is kept warm and shared.
type peer struct {
	name    string
	address string
	user    string
	pinned  ssh.PublicKey
	shared  *Shared
	// before is the bastion through which it is dialled. It is nil where the peer
	// is dialled from here.
	before *bastion
	// isBastion says that others are reached through it.
	isBastion bool
	flight    singleflight.Group

	mu   sync.Mutex
	link *link
}

// set reads what the fleet file says of a peer; the error names every mistake.
func (p *peer) set(hop Hop, before *bastion, shared *Shared) error {
	p.name, p.user, p.before, p.shared = hop.Name, hop.User, before, shared
	if p.user == "" {
		p.user = shared.user
	}
	var noUser error
	if p.user == "" {
		noUser = errors.New("user is missing")
	}
	return errors.Join(p.parseAddress(hop.Address), p.parseHostKey(hop.HostKey), noUser)
}

func (p *peer) parseAddress(address string) error {
	name, port, err := net.SplitHostPort(address)
	if err != nil {
		name, port = strings.Trim(address, "[]"), "22"
	}
	if name == "" || port == "" || strings.ContainsAny(name, " /@") {
		return fmt.Errorf("address %q is not host:port", address)
	}
	p.address = net.JoinHostPort(name, port)
	return nil
}

func (p *peer) parseHostKey(hostKey string) error {
	if hostKey == "" {
		return nil
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(hostKey))
	if err != nil {
		return fmt.Errorf("hostKey is not a public key such as \"ssh-ed25519 AAAA…\" (%w)", err)
	}
	p.pinned = key
	return nil
}

// Says puts the peer's name and address before a reason.
func (p *peer) Says(why string) string {
	kind := ""
	if p.isBastion {
		kind = "bastion "
	}
	return fmt.Sprintf("%s%s (%s): %s", kind, p.name, p.address, why)
}

// failed is a failure of this peer. All hosts behind a bastion share the
// bastion's failure.
func (p *peer) failed(step rotation.HostStep, why string) error {
	failure := &rotation.HostError{Step: step, Why: p.Says(why)}
	if p.isBastion {
		failure.Bastion = p.name
		failure.Why += "; hosts behind it cannot be reached"
	}
	return failure
}

// Close drops the warm connection; the next call makes a new one.
func (p *peer) Close() error {
	p.mu.Lock()
	l := p.link
	p.link = nil
	p.mu.Unlock()
	if l == nil {
		return nil
	}
	_ = l.conn.Close()
	<-l.dead
	return nil
}

// connect returns the warm link, or makes one. Callers that come at the same
// time share one dial, which goes on when a caller gives up. fresh says that
// the link was made during this call.
func (p *peer) connect(ctx context.Context) (l *link, fresh bool, err error) {
	if l := p.warm(); l != nil {
		return l, false, nil
	}
	dialled := p.flight.DoChan("", func() (any, error) {
		if l := p.warm(); l != nil {
			return l, nil
		}
		l, err := p.dial()
		if err != nil {
			return nil, err
		}
		p.mu.Lock()
		p.link = l
		p.mu.Unlock()
		return l, nil
	})
	select {
	case r := <-dialled:
		if r.Err != nil {
			return nil, true, r.Err
		}
		return r.Val.(*link), true, nil
	case <-ctx.Done():
		return nil, true, deliver.Stopped(ctx, rotation.StepConnect, p.Says("given up while connecting; nothing was sent"))
	}
}

func (p *peer) warm() *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.link == nil || !p.link.alive() {
		return nil
	}
	p.link.mu.Lock()
	defer p.link.mu.Unlock()
	if p.link.retired {
		return nil
	}
	return p.link
}

// sshd breaks off handshakes while MaxStartups others are at theirs. Such a
// bastion is asked again, after a wait that doubles each time.
const (
	startupWait  = 200 * time.Millisecond
	startupTries = 3
)

// dial connects and logs in.
func (p *peer) dial() (*link, error) {
	now := p.shared.credentials()
	id, err := p.identify(now)
	if err != nil {
		return nil, err
	}
	for wait := startupWait; ; wait *= 2 {
		l, brokenOff, err := p.try(id, now)
		switch {
		case !brokenOff || !p.isBastion:
			return l, err
		case wait > startupWait<<startupTries:
			return nil, p.failed(rotation.StepConnect, fmt.Sprintf("took the connection %d times but broke it off before we were logged in; see MaxStartups in its sshd_config, and its log", startupTries+2))
		}
		time.Sleep(spread(wait))
	}
}

// spread returns a time between half of d and one and a half of d, so that
// those who were refused together do not come back together.
func spread(d time.Duration) time.Duration { return d/2 + rand.N(d) }

// try makes one connection. brokenOff says that the peer accepted it and ended
// it before we were logged in.
func (p *peer) try(id *identity, now credentials) (l *link, brokenOff bool, err error) {
	options := p.shared.options
	dialer := net.Dialer{Timeout: options.DialTimeout}
	if p.before != nil {
		p.before.dials <- struct{}{}
		defer func() { <-p.before.dials }()
	}
	wire, by, err := p.reach(&dialer)
	if err != nil {
		return nil, false, err
	}
	made := login{seen: now.seen}
	clock := time.AfterFunc(options.LoginTimeout, func() { _ = wire.Close() })
	conn, brokenOff, err := p.login(wire, id, &dialer, now, &made)
	inTime := clock.Stop()
	if err != nil {
		_ = wire.Close()
		return nil, brokenOff && inTime, err
	}
	l = &link{conn: conn, login: made, by: by, dead: make(chan struct{}), used: time.Now()}
	go func() {
		_ = conn.Wait()
		_ = wire.Close()
		close(l.dead)
	}()
	go l.keep(options.KeepAlive, options.IdleTimeout)
	return l, false, nil
}

// reach connects to the peer: from here, or through the bastion before it. The
// connection and the peer's first word share one DialTimeout.
func (p *peer) reach(dialer *net.Dialer) (*wire, *link, error) {
	if p.before != nil {
		c, err := p.before.carry(p)
		if err != nil {
			return nil, nil, err
		}
		return &wire{Conn: c, patience: dialer.Timeout - c.took}, c.by, nil
	}
	asked := time.Now()
	tcp, err := dialer.Dial("tcp", p.address)
	if err != nil {
		return nil, nil, p.failed(rotation.StepConnect, "cannot be reached: "+dialReason(err, dialer.Timeout))
	}
	return &wire{Conn: tcp, patience: dialer.Timeout - time.Since(asked)}, nil, nil
}

// wire is a connection on which the peer speaks first, as an SSH server does.
type wire struct {
	net.Conn
	patience      time.Duration // what is left of the DialTimeout
	heard, silent atomic.Bool
}

// await closes the wire when its peer has not said a word in time.
func (w *wire) await() *time.Timer {
	return time.AfterFunc(w.patience, func() {
		if !w.heard.Load() {
			w.silent.Store(true)
			_ = w.Close()
		}
	})
}

// Read notes that the peer speaks.
func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if n > 0 {
		w.heard.Store(true)
	}
	return n, err
}

// login logs in over a connection. It tells failures apart by how far the
// handshake came, not by the error's text: the identity is checked before the
// first of our keys is offered.
func (p *peer) login(wire *wire, id *identity, dialer *net.Dialer, now credentials, made *login) (conn *ssh.Client, brokenOff bool, err error) {
	signers, notes, done := p.shared.identities(dialer, now)
	defer done()
	var identified bool
	var refused error
	config := &ssh.ClientConfig{
		User:              p.user,
		Auth:              made.methods(signers),
		HostKeyAlgorithms: id.algorithms,
		HostKeyCallback: func(address string, remote net.Addr, key ssh.PublicKey) error {
			refused = id.check(address, remote, key)
			identified, made.machine = refused == nil, key
			return refused
		},
	}
	late := wire.await()
	c, channels, requests, err := ssh.NewClientConn(wire, p.address, config)
	late.Stop()
	if err == nil {
		return ssh.NewClient(c, channels, requests), false, nil
	}
	var negotiation *ssh.AlgorithmNegotiationError
	switch {
	case refused != nil:
		return nil, false, refused
	case wire.silent.Load():
		return nil, false, p.failed(rotation.StepConnect, fmt.Sprintf("took the connection and said nothing within %s; see its sshd log, and whether the machine is well", dialer.Timeout))
	case broken(err):
		return nil, true, p.failed(rotation.StepConnect, "took the connection but broke it off or stalled before we were logged in; see its sshd log, and MaxStartups")
	case errors.As(err, &negotiation) && slices.Equal(negotiation.SupportedAlgorithms, id.algorithms):
		return nil, false, id.wrong(fmt.Sprintf("the host has no host key of the type that is pinned or known (%s), only %s; %s",
			strings.Join(id.algorithms, " or "), harmless.Terminal(strings.Join(negotiation.RequestedAlgorithms, ", ")), id.remedy())) // words of a peer that nobody has authenticated
	case identified:
		return nil, false, p.failed(rotation.StepAuth, made.refused(p.user, signers, notes, err))
	}
	return nil, false, p.failed(rotation.StepConnect, "does not complete the SSH handshake: "+deliver.Scrub(err.Error()))
}

// broken says that the connection failed, and not that the two sides did not
// agree.
func broken(err error) bool {
	var timeout net.Error
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.As(err, &timeout) && timeout.Timeout()
}

// dialReason leaves out the addresses, because the operator already reads them.
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
