package ssh

import (
	"fmt"
	"net"
	"strings"

	"golang.org/x/crypto/ssh"

	"keywave/internal/rotation"
)

// identity is how a peer proves that it is the right one.
type identity struct {
	*peer
	known      *knownHosts
	algorithms []string
}

// identify decides before the connection which key types are accepted, so that
// a host with several keys presents the one that is pinned or known.
func (p *peer) identify(c credentials) (*identity, error) {
	id := &identity{peer: p, known: c.known}
	if id.pinned != nil {
		id.algorithms = algorithmsOf(id.pinned)
		return id, nil
	}
	if c.knownErr != nil {
		return nil, id.wrong(fmt.Sprintf("no hostKey is pinned and known_hosts cannot be read: %v", c.knownErr))
	}
	if id.known == nil {
		return nil, id.wrong("no hostKey is pinned in the fleet file and there is no known_hosts file; " + id.remedy())
	}
	lines := id.known.of(p.address)
	if len(lines) == 0 {
		skipped := ""
		if n := len(id.known.unread); n > 0 {
			skipped = fmt.Sprintf(" (%d lines cannot be read and were skipped, the first is %s)", n, id.known.unread[0])
		}
		return nil, id.wrong("the host is in no known_hosts file" + skipped + " and no hostKey is pinned in the fleet file; " + id.remedy())
	}
	for _, l := range lines {
		if l.authority {
			id.algorithms = append(id.algorithms, certificateAlgorithms()...)
		} else {
			id.algorithms = append(id.algorithms, algorithmsOf(l.key)...)
		}
	}
	return id, nil
}

func certificateAlgorithms() []string {
	return []string{
		ssh.CertAlgoED25519v01, ssh.CertAlgoECDSA256v01, ssh.CertAlgoECDSA384v01, ssh.CertAlgoECDSA521v01,
		ssh.CertAlgoRSASHA512v01, ssh.CertAlgoRSASHA256v01,
	}
}

// algorithmsOf are the signature algorithms of a key's type, without those that
// use SHA-1.
func algorithmsOf(key ssh.PublicKey) []string {
	if key.Type() == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{key.Type()}
}

// check is a ssh.HostKeyCallback whose errors are *rotation.HostError.
func (id *identity) check(address string, remote net.Addr, presented ssh.PublicKey) error {
	if id.pinned != nil {
		if string(presented.Marshal()) == string(id.pinned.Marshal()) {
			return nil
		}
		return id.mismatch(ssh.FingerprintSHA256(id.pinned)+" (the fleet file's hostKey)", presented)
	}
	lines := id.known.of(address)
	signed, isSigned := presented.(*ssh.Certificate)
	if id.known.revokes(address, presented) || isSigned && id.known.revokes(address, signed.SignatureKey) {
		return id.wrong(fmt.Sprintf("the key %s that the host presents is revoked in known_hosts; %s", ssh.FingerprintSHA256(presented), id.remedy()))
	}
	if isSigned {
		if err := certified(lines, address, remote, signed); err != nil {
			return id.wrong(fmt.Sprintf("the certificate %s that the host presents is refused: %v; have it signed anew, or see the authority in known_hosts", ssh.FingerprintSHA256(presented), err))
		}
		return nil
	}
	var want []string
	for _, l := range lines {
		if !l.authority && sameKey(l.key, presented) {
			return nil
		}
		want = append(want, fmt.Sprintf("%s (%s)", ssh.FingerprintSHA256(l.key), l.where))
	}
	return id.mismatch(strings.Join(want, " or "), presented)
}

func (id *identity) mismatch(expected string, presented ssh.PublicKey) error {
	return id.wrong(fmt.Sprintf("expected host key %s, but the host presents %s %s; nothing was sent. Find out whether the host was reinstalled or somebody is in between; %s",
		expected, presented.Type(), ssh.FingerprintSHA256(presented), id.remedy()))
}

func (id *identity) remedy() string {
	return "compare with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the host's own console, then put its public key into the fleet file as hostKey"
}

func (id *identity) wrong(why string) error {
	return id.failed(rotation.StepIdentity, why)
}
