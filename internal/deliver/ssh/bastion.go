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

// bastion is a machine through which others are reached, by one way to it. All
// hosts behind it share its connection. When a connection takes no more
// channels, a new one is made.
type bastion struct {
	peer
	// dials bounds how many handshakes go through it at once.
	dials chan struct{}

	// lost is its last failure. It is also the answer to all who come before
	// the time until.
	lost  error
	until time.Time
}

const (
	// dialsAtOnce is how many handshakes go through one bastion at once.
	dialsAtOnce = 32
	// lostFor is how long a lost bastion is not dialled again, so that not each
	// host behind it tries.
	lostFor = time.Second
)

// through is the last bastion of a way. Hosts with the same way share it. It is
// nil where there is no bastion. The error names every mistake.
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

// carried is a connection to a peer that goes through a bastion.
type carried struct {
	net.Conn
	by   *link
	end  sync.Once
	took time.Duration // to make it
}

// Close releases the bastion's connection, once.
func (c *carried) Close() error {
	err := c.Conn.Close()
	c.end.Do(c.by.release)
	return err
}

// carry connects to a peer behind the bastion. As long as nothing was sent, a
// connection that turns out to be dead, stalled or full is replaced by a new
// one.
func (b *bastion) carry(to *peer) (*carried, error) {
	var err error
	// Each new connection serves at least one of those who wait, even if it takes
	// only one channel.
	for range cap(b.dials) + 1 {
		var l *link
		var fresh bool
		if l, fresh, err = b.ready(); err != nil {
			return nil, err
		}
		var wire *carried
		if wire, err = b.open(l, to.address); err == nil {
			return wire, nil
		}
		switch {
		case errors.Is(err, errRetired), errors.Is(err, net.ErrClosed):
			// Another call has retired this connection.
		case full(err) && !l.empty():
			l.retire()
		case !errors.Is(err, errSilent):
			return nil, b.refused(l, to, err)
		case fresh:
			return nil, b.failed(rotation.StepConnect, "took a connection and does not answer on it; see its sshd log")
		}
	}
	return nil, b.failed(rotation.StepSession, "takes no new channels ("+deliver.Scrub(err.Error())+"); hosts behind it come too fast for it")
}

// ready returns the bastion's connection. A bastion that was lost just now is
// not dialled again at once.
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

// open asks for a channel to address, and waits for at most DialTimeout.
// Meanwhile it asks all connections of the way at once whether they live, so
// that several dead ones cost one wait.
func (b *bastion) open(l *link, address string) (*carried, error) {
	if err := l.take(); err != nil {
		return nil, err
	}
	limit, asked := b.shared.options.DialTimeout, time.Now()
	timed, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	lives := make(chan bool, 1)
	go func() { lives <- l.check(limit) }()
	channel, err := l.conn.DialContext(timed, "tcp", address)
	if err == nil {
		return &carried{Conn: channel, by: l, took: time.Since(asked)}, nil
	}
	l.release()
	if _, answered := errors.AsType[*ssh.OpenChannelError](err); !answered && !<-lives {
		return nil, errSilent
	}
	return nil, err
}

// errSilent says that a connection on the way has died, or does not answer any more.
var errSilent = errors.New("the way to the bastion is broken")

// full says that the bastion allows no more channels on this connection.
func full(err error) bool {
	said, is := errors.AsType[*ssh.OpenChannelError](err)
	return is && said.Reason == ssh.ResourceShortage
}

// refused says why a bastion that answers does not connect us to a peer. A peer
// that the bastion cannot reach is the peer's failure. If the bastion does not
// want to forward, it is the bastion's.
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

// saying is the reason for a refusal in the bastion's own words.
func saying(refusal *ssh.OpenChannelError) string {
	words := refusal.Reason.String()
	if said := strings.TrimSpace(deliver.Scrub(refusal.Message)); said != "" {
		words += ": " + said
	}
	return words
}
