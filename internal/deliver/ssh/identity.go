package ssh

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"keywave/internal/rotation"
)

// identity is how one host proves that it is the one that is meant.
type identity struct {
	host       rotation.HostName
	address    string
	pinned     ssh.PublicKey
	known      ssh.HostKeyCallback
	knownErr   error
	algorithms []string
}

// identify settles before the connection which key types count, so that a host
// with several keys presents the one that is pinned or known.
func (h *Host) identify(c credentials) (*identity, error) {
	id := &identity{host: h.cfg.Name, address: h.address, pinned: h.pinned, known: c.known, knownErr: c.knownErr}
	if id.pinned != nil {
		id.algorithms = algorithmsOf(id.pinned)
		return id, nil
	}
	if id.knownErr != nil {
		return nil, id.wrong(fmt.Sprintf("no hostKey is pinned and known_hosts cannot be read: %v", id.knownErr))
	}
	if id.known == nil {
		return nil, id.wrong("no hostKey is pinned in the fleet file and there is no known_hosts file; " + id.remedy())
	}
	var unknown *knownhosts.KeyError
	if err := id.known(h.address, unspecified{}, noKey{}); !errors.As(err, &unknown) || len(unknown.Want) == 0 {
		return nil, id.wrong("the host is in no known_hosts file and no hostKey is pinned in the fleet file; " + id.remedy())
	}
	id.algorithms = knownAlgorithms(unknown.Want)
	return id, nil
}

func knownAlgorithms(want []knownhosts.KnownKey) []string {
	var all []string
	for _, known := range want {
		if isAuthority(known) {
			all = append(all, certificateAlgorithms()...)
			continue
		}
		all = append(all, algorithmsOf(known.Key)...)
	}
	return all
}

// isAuthority says that a known_hosts line names a certificate authority,
// which package knownhosts does not tell.
func isAuthority(known knownhosts.KnownKey) bool {
	text, err := os.ReadFile(known.Filename)
	if err != nil {
		return false
	}
	lines := strings.Split(string(text), "\n")
	return known.Line <= len(lines) && strings.HasPrefix(strings.TrimSpace(lines[known.Line-1]), "@cert-authority")
}

func certificateAlgorithms() []string {
	return []string{
		ssh.CertAlgoED25519v01, ssh.CertAlgoECDSA256v01, ssh.CertAlgoECDSA384v01, ssh.CertAlgoECDSA521v01,
		ssh.CertAlgoRSASHA512v01, ssh.CertAlgoRSASHA256v01,
	}
}

// algorithmsOf are the signature algorithms of a key's type; SHA-1 is left out.
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
	err := id.known(address, remote, presented)
	if err == nil {
		return nil
	}
	var mismatch *knownhosts.KeyError
	if errors.As(err, &mismatch) && len(mismatch.Want) > 0 {
		var want []string
		for _, known := range mismatch.Want {
			want = append(want, fmt.Sprintf("%s (%s:%d)", ssh.FingerprintSHA256(known.Key), known.Filename, known.Line))
		}
		return id.mismatch(strings.Join(want, " or "), presented)
	}
	return id.wrong(fmt.Sprintf("the key %s that the host presents is refused: %v; %s", ssh.FingerprintSHA256(presented), err, id.remedy()))
}

func (id *identity) mismatch(expected string, presented ssh.PublicKey) error {
	return id.wrong(fmt.Sprintf("expected host key %s, but the host presents %s %s; nothing was sent. Find out whether the host was reinstalled or somebody is in between; %s",
		expected, presented.Type(), ssh.FingerprintSHA256(presented), id.remedy()))
}

func (id *identity) remedy() string {
	return "compare with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the host's own console, then put its public key into the fleet file as hostKey"
}

func (id *identity) wrong(why string) error {
	return &rotation.HostError{Step: rotation.StepIdentity, Why: fmt.Sprintf("%s (%s): %s", id.host, id.address, why)}
}

// noKey asks a known_hosts file what it knows of a host.
type noKey struct{}

func (noKey) Type() string                        { return "none" }
func (noKey) Marshal() []byte                     { return []byte("none") }
func (noKey) Verify([]byte, *ssh.Signature) error { return errors.New("no key") }

type unspecified struct{}

func (unspecified) Network() string { return "tcp" }
func (unspecified) String() string  { return "0.0.0.0:0" }
