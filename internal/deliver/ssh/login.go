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

// login is how a connection was made: a proof counts only on one that would be made
// in the same way now.
type login struct {
	// seen is how the files of identities and known hosts were.
	seen string
	// with is the key or certificate that let us in.
	with ssh.PublicKey
	// machine is the host's key.
	machine ssh.PublicKey
	// tried is how many of our keys were offered.
	tried int
	// unsigned is why a key that the host would take did not sign.
	unsigned error
	// asked says that the host wanted a password.
	asked bool
}

// noted are signers of which the last that signs is remembered: the one that the
// host lets in.
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

// SignWithAlgorithm notes whose signature it is.
func (n *noted) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	n.login.with = n.PublicKey()
	signature, err := n.AlgorithmSigner.SignWithAlgorithm(rand, data, algorithm)
	if err != nil {
		n.login.unsigned = err
	}
	return signature, err
}

// ending is when a certificate ends; false for a key, and one that never does.
func ending(key ssh.PublicKey) (time.Time, bool) {
	certificate, is := key.(*ssh.Certificate)
	if !is || certificate.ValidBefore == ssh.CertTimeInfinity {
		return time.Time{}, false
	}
	return time.Unix(int64(certificate.ValidBefore), 0), true
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// Prove implements rotation.Host in one session, whatever the number of zones. It is
// the login that would be made now that is proved: a connection that was made with
// what is not valid any more, or not there, gives way to a new one.
func (h *Host) Prove(ctx context.Context, zones []rotation.ZoneID) (rotation.Shown, error) {
	if l := h.warm(); l != nil && h.outdated(l.login) {
		l.retire()
	}
	shown, err := h.courier.Prove(ctx, zones)
	if err != nil {
		return shown, err
	}
	if l := h.warm(); l != nil {
		machine := l.login.machine
		if certificate, is := machine.(*ssh.Certificate); is {
			machine = certificate.Key
		}
		sum := sha256.Sum256(machine.Marshal())
		shown.Machine = hex.EncodeToString(sum[:8])
		shown.Notes = append(shown.Notes, h.soonEnded(l.login)...)
	}
	return shown, nil
}

// outdated says that the login would not be made in this way now.
func (h *Host) outdated(l login) bool {
	now := h.shared.credentials()
	until, ends := ending(l.with)
	if now.seen != l.seen || ends && !time.Now().Before(until) {
		return true
	}
	if l.with == nil || h.shared.options.Agent == noAgent {
		return false
	}
	signers, _, done := h.shared.identities(&net.Dialer{Timeout: h.shared.options.DialTimeout}, now)
	defer done()
	for _, signer := range signers {
		if string(signer.PublicKey().Marshal()) == string(l.with.Marshal()) {
			return false
		}
	}
	return true
}

// soonEnded names a certificate that may end before the proof is used.
func (h *Host) soonEnded(l login) []string {
	until, ends := ending(l.with)
	left := time.Until(until)
	if !ends || left > h.shared.options.ProofFor {
		return nil
	}
	return []string{h.Says(fmt.Sprintf("the certificate that we log in with ends at %s, in %s; renew it", stamp(until), left.Round(time.Second)))}
}
