package hosts

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"keywave/internal/proving/sim/journal"
)

const (
	loginGrace  = 2 * time.Minute // OpenSSH's LoginGraceTime
	maxSessions = 10              // OpenSSH's MaxSessions
)

// conn is a TCP connection to a host. A bad day can freeze or cut it.
type conn struct {
	net.Conn
	tcp    *net.TCPConn
	host   *Host
	closed chan struct{}
	once   sync.Once
}

func (c *conn) Read(p []byte) (int, error) {
	c.thaw()
	n, err := c.Conn.Read(p)
	c.thaw()
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	c.thaw()
	return c.Conn.Write(p)
}

func (c *conn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// cut closes the connection with a TCP reset.
func (c *conn) cut() {
	_ = c.tcp.SetLinger(0)
	_ = c.tcp.Close()
	_ = c.Close()
}

// thaw waits while the host hangs.
func (c *conn) thaw() {
	over := c.host.frozen()
	if over == nil {
		return
	}
	select {
	case <-over:
	case <-c.closed:
	}
}

// handle serves one accepted connection to its end.
func (h *Host) handle(accepted net.Conn) {
	c := h.adopt(accepted.(*net.TCPConn))
	if c == nil {
		return
	}
	defer h.forget(c)
	if b, ok := h.struck(Hang, ""); ok && b.counted() {
		_, _ = io.Copy(io.Discard, c.tcp)
		return
	}
	time.Sleep(h.delay) // the round trip of connecting, which costs nothing on loopback
	_ = c.tcp.SetDeadline(time.Now().Add(loginGrace))
	server, channels, requests, err := ssh.NewServerConn(c, h.serverConfig())
	if err != nil {
		return
	}
	_ = c.tcp.SetDeadline(time.Time{})
	defer server.Close()
	h.mu.Lock()
	h.stats.Authenticated++
	h.mu.Unlock()
	h.journal.Add(journal.Edge{Edge: journal.Connected, Host: h.name})
	go ssh.DiscardRequests(requests) // answers as sshd does to keepalive@openssh.com: with a failure
	h.accept(c, channels)
}

func (h *Host) adopt(tcp *net.TCPConn) *conn {
	c := &conn{Conn: delayed(tcp, h.delay/2), tcp: tcp, host: h, closed: make(chan struct{})}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stats.Connections++
	if h.closed || h.bad[Down] != nil {
		c.cut()
		return nil
	}
	h.conns[c] = struct{}{}
	return c
}

func (h *Host) forget(c *conn) {
	_ = c.Close()
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.conns, c)
}

// serverConfig is the configuration for one connection: bad days of
// authentication and identity strike connections, not attempts.
func (h *Host) serverConfig() *ssh.ServerConfig {
	_, refused := h.struck(AuthRefused, "")
	config := &ssh.ServerConfig{
		ServerVersion: "SSH-2.0-OpenSSH_sim",
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if refused || !h.knows(key) {
				return nil, errors.New("key not authorized")
			}
			return &ssh.Permissions{}, nil
		},
	}
	config.AddHostKey(h.signer)
	if _, ok := h.struck(OtherHostKey, ""); ok {
		config.AddHostKey(h.other) // it replaces the key of the same type
	}
	return config
}

func (h *Host) knows(key ssh.PublicKey) bool {
	for _, known := range h.clientKeys {
		if bytes.Equal(known.Marshal(), key.Marshal()) {
			return true
		}
	}
	return false
}

// accept opens the connection's sessions until the connection ends.
func (h *Host) accept(c *conn, channels <-chan ssh.NewChannel) {
	var open atomic.Int32
	for offered := range channels {
		if offered.ChannelType() != "session" {
			_ = offered.Reject(ssh.UnknownChannelType, "unknown channel type")
			continue
		}
		if open.Load() >= maxSessions {
			_ = offered.Reject(ssh.ConnectionFailed, "open failed")
			continue
		}
		channel, requests, err := offered.Accept()
		if err != nil {
			continue
		}
		open.Add(1)
		h.running.Go(func() {
			defer open.Add(-1)
			s := &session{host: h, conn: c, channel: channel}
			s.serve(requests)
		})
	}
}
