package temporalclient

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// lookWithin is how long it may take to see what is at an address.
const lookWithin = 3 * time.Second

// unreachable says what is at the address instead of a Temporal that this client
// can talk to: nothing, somebody who speaks TLS while this client does not, the
// other way round, or somebody whose certificate does not fit.
func unreachable(address string, config *tls.Config, err error) error {
	conn, refused := net.DialTimeout("tcp", address, lookWithin)
	if refused != nil {
		return fmt.Errorf("no Temporal at %s (%w); start one (bin/devserver, or docker compose up), or set TEMPORAL_ADDRESS", address, err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(lookWithin))
	wants := config
	if wants == nil {
		wants = &tls.Config{InsecureSkipVerify: true} // nothing is sent: only whether it speaks TLS is seen
	}
	if wants.ServerName == "" && !wants.InsecureSkipVerify {
		wants = wants.Clone()
		wants.ServerName, _, _ = net.SplitHostPort(address)
	}
	shaken := tls.Client(conn, wants).Handshake()
	var plain tls.RecordHeaderError
	switch {
	case config == nil && shaken == nil:
		return fmt.Errorf("what answers at %s speaks TLS, and this client does not: set TEMPORAL_TLS=true, and where the server wants them the certificates (TEMPORAL_TLS_*, or tls in temporal.toml)", address)
	case config != nil && errors.As(shaken, &plain):
		return fmt.Errorf("what answers at %s speaks no TLS, and this client does: unset TEMPORAL_TLS and TEMPORAL_API_KEY, or tls in temporal.toml, or correct TEMPORAL_ADDRESS", address)
	case config != nil && shaken != nil:
		return fmt.Errorf("what answers at %s and this client do not agree on TLS (%w): check TEMPORAL_TLS_*, or tls in temporal.toml", address, shaken)
	case strings.Contains(err.Error(), "remote error: tls:"):
		return fmt.Errorf("the Temporal at %s does not take this client's certificate (%w): check TEMPORAL_TLS_CLIENT_CERT_PATH and _KEY_PATH, or tls in temporal.toml", address, err)
	}
	return fmt.Errorf("what answers at %s is no Temporal that this client understands (%w); is TEMPORAL_ADDRESS its gRPC address?", address, err)
}
