package sim

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"
)

// Server is an HTTP listener on loopback.
type Server struct {
	listener net.Listener
	http     *http.Server
}

// Listen serves handler on addr, "127.0.0.1:PORT"; port 0 takes a free one. An
// address that others can reach is refused.
func Listen(addr string, handler http.Handler) (*Server, error) {
	if err := loopback(addr); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("the simulator cannot listen on %s; is another one running? %w", addr, err)
	}
	s := &Server{listener, &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          log.New(io.Discard, "", 0),
	}}
	go func() { _ = s.http.Serve(listener) }()
	return s, nil
}

func loopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%q is not HOST:PORT: %w", addr, err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return errors.New("the simulator shows keys in clear and listens on loopback only: use 127.0.0.1, not " + host)
	}
	return nil
}

// Addr is "127.0.0.1:PORT".
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Port is the port alone.
func (s *Server) Port() int { return s.listener.Addr().(*net.TCPAddr).Port }

// URL is "http://127.0.0.1:PORT", the endpoint for the fleet file.
func (s *Server) URL() string { return "http://" + s.Addr() }

// Close closes the listener and every connection.
func (s *Server) Close() error { return s.http.Close() }
