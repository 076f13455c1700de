package temporalclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"go.temporal.io/api/serviceerror"
)

// lookWithin is how long it may take to see what is at an address.
const lookWithin = 3 * time.Second

// Away says that no Temporal works at the address now. It may later, as the
// address and the settings may be right.
type Away struct{ Address, why string }

func (a *Away) Error() string { return a.why }

// IsAway says that an error may pass by itself: Temporal is not there, or it is there
// and what it needs itself is not.
func IsAway(err error) bool {
	return errors.As(err, new(*Away)) || errors.As(err, new(*serviceerror.Unavailable)) ||
		errors.As(err, new(*serviceerror.DeadlineExceeded)) || errors.Is(err, context.DeadlineExceeded)
}

// unreachable says what is at the address instead of a Temporal that this client
// can talk to: nothing, somebody who speaks TLS while this client does not, the
// other way round, or somebody whose certificate does not fit.
func unreachable(address string, config *tls.Config, err error) error {
	conn, refused := net.DialTimeout("tcp", address, lookWithin)
	if refused != nil {
		return &Away{address, fmt.Sprintf("no Temporal at %s (%v); start one (bin/devserver, or docker compose up), or set TEMPORAL_ADDRESS", address, err)}
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
	case hungUp(shaken):
		return &Away{address, fmt.Sprintf("what answers at %s hangs up, as a proxy does that has no Temporal behind it (%v)", address, err)}
	case config == nil && shaken == nil:
		return fmt.Errorf("what answers at %s speaks TLS, and this client does not: set TEMPORAL_TLS=true, and where the server wants them the certificates (TEMPORAL_TLS_*, or tls in temporal.toml)", address)
	case config != nil && errors.As(shaken, &plain):
		return fmt.Errorf("what answers at %s speaks no TLS, and this client does: unset TEMPORAL_TLS and TEMPORAL_API_KEY, or tls in temporal.toml, or correct TEMPORAL_ADDRESS", address)
	case config != nil && shaken != nil:
		return fmt.Errorf("what answers at %s and this client do not agree on TLS (%v): check TEMPORAL_TLS_*, or tls in temporal.toml", address, shaken)
	case starts(err):
		return &Away{address, fmt.Sprintf("the Temporal at %s starts, and takes no calls yet (%v)", address, err)}
	case strings.Contains(err.Error(), "remote error: tls:"):
		return fmt.Errorf("the Temporal at %s does not take this client's certificate (%v): check TEMPORAL_TLS_CLIENT_CERT_PATH and _KEY_PATH, or tls in temporal.toml", address, err)
	}
	return fmt.Errorf("what answers at %s is no Temporal that this client understands (%v); is TEMPORAL_ADDRESS its gRPC address?", address, err)
}

// hungUp says that a handshake ended because the other end went away or said nothing.
func hungUp(shaken error) bool {
	return errors.Is(shaken, io.EOF) || errors.Is(shaken, syscall.ECONNRESET) || errors.Is(shaken, os.ErrDeadlineExceeded)
}

// starts says that a Temporal answered that it is not ready. Its frontend does so from
// when it listens until it knows the other services.
func starts(err error) bool {
	said, is := errors.AsType[*serviceerror.Unavailable](err)
	return is && strings.Contains(said.Message, "not healthy")
}
