package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"keywave/internal/deliver"
	"keywave/internal/rotation"
)

// Hop is a machine on the way: a bastion of the fleet file.
type Hop struct {
	Name    string
	Address string // host:port, as the machine before it reaches it
	HostKey string // as in Config
	User    string
}

// bastion is a machine through which others are reached, by one way to it. All hosts
// behind it share its connection; where it takes no more channels on one, it gets
// another.
type bastion struct {
	peer
	// dials bounds the handshakes that go through it at once.
	dials chan struct{}

	// lost is its last failure, which counts for those who come until then.
	lost  error
	until time.Time
}

const (
	// dialsAtOnce is how many handshakes go through one bastion at once.
	dialsAtOnce = 32
	// lostFor spares the hosts behind a bastion that has just been lost a dial each.
	lostFor = time.Second
)

// through is the last bastion of a way, shared by all that go the same way to it; nil
// for no way. The error names every mistake.
func (s *Shared) through(way []Hop) (*bastion, error) {
	if len(way) == 0 {
		return nil, nil
	}
	before, err := s.through(way[:len(way)-1])
	s.mu.Lock()
	defer s.mu.Unlock()
	key := fmt.Sprintf("%q", way)
	if known := s.bastions[key]; known != nil {
		return known, err
	}
	last := way[len(way)-1]
	b := &bastion{dials: make(chan struct{}, dialsAtOnce)}
	b.isBastion = true
	if wrong := b.peer.set(last, before, s); wrong != nil {
		return nil, errors.Join(err, fmt.Errorf("bastion %s: %w", last.Name, wrong))
	}
	if s.bastions == nil {
		s.bastions = map[string]*bastion{}
	}
	s.bastions[key] = b
	return b, err
}

// carried is a wire through a bastion.
type carried struct {
	net.Conn
	by  *link
	end sync.Once
}

// Close lets the bastion's connection go once.
func (c *carried) Close() error {
	err := c.Conn.Close()
	c.end.Do(c.by.release)
	return err
}

// carry makes a wire to a peer behind the bastion. As long as nothing was sent, a
// connection that turns out dead, stalled or full is replaced by a new one.
func (b *bastion) carry(to *peer) (net.Conn, *link, error) {
	var err error
	// Each new connection takes one of those who wait, however few it takes.
	for range cap(b.dials) + 1 {
		var l *link
		var fresh bool
		if l, fresh, err = b.ready(); err != nil {
			return nil, nil, err
		}
		var wire net.Conn
		if wire, err = b.open(l, to.address); err == nil {
			return wire, l, nil
		}
		switch {
		case errors.Is(err, errRetired), errors.Is(err, net.ErrClosed):
			// Another call has found it wanting.
		case full(err) && !l.empty():
			l.retire()
		case !errors.Is(err, errSilent):
			return nil, nil, b.refused(l, to, err)
		case fresh:
			return nil, nil, b.failed(rotation.StepConnect, "took a connection and does not answer on it; see its sshd log")
		}
	}
	return nil, nil, b.failed(rotation.StepSession, "takes no new channels ("+deliver.Scrub(err.Error())+"); hosts behind it come too fast for it")
}

// ready is the bastion's connection. A loss that was just met is not met again at once.
func (b *bastion) ready() (*link, bool, error) {
	if l := b.warm(); l != nil {
		return l, false, nil
	}
	b.mu.Lock()
	lost, counts := b.lost, time.Now().Before(b.until)
	b.mu.Unlock()
	if counts {
		return nil, false, lost
	}
	l, fresh, err := b.connect(context.Background())
	if err != nil {
		b.mu.Lock()
		b.lost, b.until = err, time.Now().Add(lostFor)
		b.mu.Unlock()
	}
	return l, fresh, err
}

// open asks for a channel to address, and waits for DialTimeout at most. Meanwhile it
// asks all connections of the way whether they live, so that of those that have died
// silently none is waited for after the other.
func (b *bastion) open(l *link, address string) (net.Conn, error) {
	if err := l.take(); err != nil {
		return nil, err
	}
	limit := b.shared.options.DialTimeout
	timed, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	lives := make(chan bool, 1)
	go func() { lives <- l.check(limit) }()
	channel, err := l.conn.DialContext(timed, "tcp", address)
	if err == nil {
		return &carried{Conn: channel, by: l}, nil
	}
	l.release()
	if _, answered := errors.AsType[*ssh.OpenChannelError](err); !answered && !<-lives {
		return nil, errSilent
	}
	return nil, err
}

// errSilent says that a connection on the way has died, or does not answer any more.
var errSilent = errors.New("the way to the bastion is broken")

// full says that a connection carries as many channels as the bastion allows.
func full(err error) bool {
	said, is := errors.AsType[*ssh.OpenChannelError](err)
	return is && said.Reason == ssh.ResourceShortage
}

// refused says why a bastion that answers does not carry us to a peer. What it cannot
// reach is that peer's failure; what it will not do is its own.
func (b *bastion) refused(l *link, to *peer, err error) error {
	said, is := errors.AsType[*ssh.OpenChannelError](err)
	switch {
	case !is:
		return to.failed(rotation.StepConnect, fmt.Sprintf("cannot be reached from bastion %s (%s): no answer within %s; check the address, and the firewall between the two", b.name, b.address, b.shared.options.DialTimeout))
	case said.Reason == ssh.Prohibited && !l.login.mayForward():
		return b.failed(rotation.StepAuth, "lets us in, but does not forward: the certificate that we log in with lacks permit-port-forwarding; have it signed with that extension")
	case said.Reason == ssh.Prohibited:
		return b.failed(rotation.StepAuth, fmt.Sprintf("lets user %s in, but does not forward to %s (%s); see AllowTcpForwarding, PermitOpen and DisableForwarding in its sshd_config, and restrict, permitopen and no-port-forwarding in the user's authorized_keys", b.user, to.address, saying(said)))
	case said.Reason == ssh.ConnectionFailed:
		return to.failed(rotation.StepConnect, fmt.Sprintf("cannot be reached from bastion %s (%s): %s; check the address, the firewall between the two, and that sshd runs", b.name, b.address, saying(said)))
	case said.Reason == ssh.ResourceShortage:
		return b.failed(rotation.StepSession, "takes no channel, even on a new connection ("+saying(said)+"); raise its MaxSessions, or its limit of open files")
	}
	return b.failed(rotation.StepSession, "opens no channel to "+to.address+" ("+saying(said)+"); see whether it forwards at all")
}

// saying is the bastion's own word for a refusal.
func saying(refusal *ssh.OpenChannelError) string {
	words := refusal.Reason.String()
	if said := strings.TrimSpace(deliver.Scrub(refusal.Message)); said != "" {
		words += ": " + said
	}
	return words
}
