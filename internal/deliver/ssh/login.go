package ssh

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/crypto/ssh"

	"keywave/internal/rotation"
)

// login is how a connection was made. A proof counts only on a connection that
// would be made in the same way now.
type login struct {
	// seen is the state of the files of identities and known hosts at that time.
	seen string
	// with is the key or certificate that the host accepted.
	with ssh.PublicKey
	// machine is the host's key.
	machine ssh.PublicKey
	// tried is how many of our keys we offered.
	tried int
	// unsigned is why we could not sign with a key that the host would accept.
	unsigned error
	// asked says that the host wanted a password.
	asked bool
}

// noted wraps signers so that the last one that signs is remembered: the host
// lets that one in.
func (l *login) noted(signers []ssh.Signer) []ssh.Signer {
	all := make([]ssh.Signer, len(signers))
	for i, signer := range signers {
		all[i] = signer
		if able, ok := signer.(ssh.AlgorithmSigner); ok {
			all[i] = &noted{AlgorithmSigner: able, login: l}
		}
	}
	return all
}

type noted struct {
	ssh.AlgorithmSigner
	login   *login
	offered bool
}

// PublicKey notes that the key is offered.
func (n *noted) PublicKey() ssh.PublicKey {
	if !n.offered {
		n.offered = true
		n.login.tried++
	}
	return n.AlgorithmSigner.PublicKey()
}

// SignWithAlgorithm notes which key signed.
func (n *noted) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	n.login.with = n.PublicKey()
	signature, err := n.AlgorithmSigner.SignWithAlgorithm(rand, data, algorithm)
	if err != nil {
		n.login.unsigned = err
	}
	return signature, err
}

// mayForward says whether the certificate permits forwarding. A bare key has no
// such limit.
func (l *login) mayForward() bool {
	certificate, is := l.with.(*ssh.Certificate)
	if !is {
		return true
	}
	_, permits := certificate.Extensions["permit-port-forwarding"]
	return permits
}

// ending is when a certificate ends. It is false for a key, and for a
// certificate that never ends.
func ending(key ssh.PublicKey) (time.Time, bool) {
	certificate, is := key.(*ssh.Certificate)
	if !is || certificate.ValidBefore == ssh.CertTimeInfinity {
		return time.Time{}, false
	}
	return time.Unix(int64(certificate.ValidBefore), 0), true
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// Prove implements rotation.Host in one session, whatever the number of zones.
// It proves the login that would be made now. A connection that was made with
// something that is no longer valid, or no longer there, is replaced by a new
// one.
func (h *Host) Prove(ctx context.Context, zones []rotation.ZoneID) (rotation.Shown, error) {
	return h.ProveAgain(ctx, zones, 0)
}

// ProveAgain implements rotation.Reprover as Prove does. The login is always the one that
// would be made now.
func (h *Host) ProveAgain(ctx context.Context, zones []rotation.ZoneID, recent time.Duration) (rotation.Shown, error) {
	if l := h.warm(); l != nil && h.shared.retireOutdated(l) {
		l.retire()
	}
	shown, err := h.courier.ProveAgain(ctx, zones, recent)
	if err != nil {
		return shown, err
	}
	if l := h.warm(); l != nil {
		shown.Notes = append(shown.Notes, h.soonEnded(l)...)
	}
	return shown, nil
}

// Locate implements rotation.Locator in one session. A machine is known by its host key.
func (h *Host) Locate(ctx context.Context, zones []rotation.ZoneID) (rotation.Whereabouts, error) {
	located, err := h.courier.Locate(ctx, zones)
	if l := h.warm(); err == nil && l != nil {
		machine := l.login.machine
		if certificate, is := machine.(*ssh.Certificate); is {
			machine = certificate.Key
		}
		sum := sha256.Sum256(machine.Marshal())
		located.Machine = hex.EncodeToString(sum[:8])
	}
	return located, err
}

// retireOutdated retires each connection of l's way whose login would not be
// made in this way now. It says whether there was one.
func (s *Shared) retireOutdated(l *link) bool {
	found := false
	for ; l != nil; l = l.by {
		if s.outdated(l.login) {
			l.retire()
			found = true
		}
	}
	return found
}

// outdated says that the login would not be made in this way now.
func (s *Shared) outdated(l login) bool {
	now := s.credentials()
	until, ends := ending(l.with)
	if now.seen != l.seen || ends && !time.Now().Before(until) {
		return true
	}
	if l.with == nil || s.options.Agent == noAgent {
		return false
	}
	signers, _, done := s.identities(&net.Dialer{Timeout: s.options.DialTimeout}, now)
	defer done()
	for _, signer := range signers {
		if string(signer.PublicKey().Marshal()) == string(l.with.Marshal()) {
			return false
		}
	}
	return true
}

// soonEnded names the certificates, also those of the bastions on the way, that
// may end before the proof is used.
func (p *peer) soonEnded(l *link) []string {
	var notes []string
	if p.before != nil && l.by != nil {
		notes = p.before.soonEnded(l.by)
	}
	until, ends := ending(l.login.with)
	left := time.Until(until)
	if !ends || left > p.shared.options.ProofFor {
		return notes
	}
	return append(notes, p.Says(fmt.Sprintf("the certificate that we log in with ends at %s, in %s; renew it", stamp(until), left.Round(time.Second))))
}
