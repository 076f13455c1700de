package ssh

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/crypto/ssh/knownhosts"
)

// Options is what all hosts of a process share. The zero value works: it is
// what ssh(1) would use.
type Options struct {
	// Keys are private key files, each used together with the certificate next
	// to it ("<file>-cert.pub") if there is one. Empty means those of
	// ~/.ssh/id_ed25519, id_ecdsa and id_rsa that exist and have no passphrase.
	Keys []string
	// Agent is the path of an ssh-agent's socket, asked at each connection
	// after Keys. Empty means SSH_AUTH_SOCK; "none" means no agent.
	Agent string
	// KnownHosts are the files that identify hosts without a pinned key. Empty
	// means those of ~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts that exist.
	KnownHosts []string
	// MaxSessionsPerHost bounds the commands that run on one host at once;
	// default 8, below the 10 of sshd's MaxSessions.
	MaxSessionsPerHost int
	// DialTimeout bounds the making of a TCP connection, and the opening of a
	// session on one that was warm; default 5 s.
	DialTimeout time.Duration
	// CommandTimeout bounds one command from its start to its end, and the
	// login before it; default 15 s.
	CommandTimeout time.Duration
	// ReloadLife is how old a reload may get before a later delivery ends it;
	// default deliver.DefaultLife.
	ReloadLife time.Duration
	// KeepAlive is the time between two questions whether a warm connection
	// still lives; one that leaves two of them unanswered is dropped.
	// Default 15 s.
	KeepAlive time.Duration
	// IdleTimeout closes a connection that nobody has used for so long;
	// default 5 min.
	IdleTimeout time.Duration
}

const noAgent = "none"

// Shared is the part of an SSH client that is read once and serves all hosts:
// identities and known hosts. It may be used by many goroutines at once.
type Shared struct {
	options Options
	signers []ssh.Signer
	// known is nil when there is no known_hosts file.
	known    ssh.HostKeyCallback
	knownErr error
	// skipped says why a default identity is not used.
	skipped []string
	user    string
}

// NewShared reads identities and known hosts. It fails when a file that
// options name cannot be used; the remedy is in the error.
func NewShared(options Options) (*Shared, error) {
	s := &Shared{options: withDefaults(options)}
	if me, err := user.Current(); err == nil {
		s.user = me.Username
	}
	if err := s.readIdentities(); err != nil {
		return nil, err
	}
	return s, s.readKnownHosts()
}

func withDefaults(o Options) Options {
	if o.Agent == "" {
		o.Agent = os.Getenv("SSH_AUTH_SOCK")
	}
	if o.Agent == "" {
		o.Agent = noAgent
	}
	if o.MaxSessionsPerHost <= 0 {
		o.MaxSessionsPerHost = 8
	}
	for _, d := range []struct {
		value    *time.Duration
		fallback time.Duration
	}{
		{&o.DialTimeout, 5 * time.Second},
		{&o.CommandTimeout, 15 * time.Second},
		{&o.KeepAlive, 15 * time.Second},
		{&o.IdleTimeout, 5 * time.Minute},
	} {
		if *d.value <= 0 {
			*d.value = d.fallback
		}
	}
	return o
}

func (s *Shared) readIdentities() error {
	var wrong []error
	for _, file := range s.options.Keys {
		if err := s.readIdentity(file); err != nil {
			wrong = append(wrong, err)
		}
	}
	if len(s.options.Keys) > 0 {
		return errors.Join(wrong...)
	}
	for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
		file, ok := inHome(".ssh", name)
		if !ok {
			continue
		}
		if err := s.readIdentity(file); err != nil {
			s.skipped = append(s.skipped, err.Error())
		}
	}
	return nil
}

func (s *Shared) readIdentity(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("SSH identity: %w", err)
	}
	signer, err := ssh.ParsePrivateKey(text)
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) {
		return fmt.Errorf("SSH identity %s has a passphrase; load it into an agent with: ssh-add %s", file, file)
	}
	if err != nil {
		return fmt.Errorf("SSH identity %s cannot be read as a private key; make one with: ssh-keygen -t ed25519", file)
	}
	certified, err := withCertificate(signer, file+"-cert.pub")
	if err != nil {
		return err
	}
	s.signers = append(s.signers, certified...)
	return nil
}

// withCertificate puts the certificate in file, if there is one, before the
// bare key.
func withCertificate(signer ssh.Signer, file string) ([]ssh.Signer, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return []ssh.Signer{signer}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("SSH certificate: %w", err)
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(text)
	if err != nil {
		return nil, fmt.Errorf("SSH certificate %s: %w", file, err)
	}
	cert, ok := key.(*ssh.Certificate)
	if !ok {
		return nil, fmt.Errorf("SSH certificate %s is a bare key", file)
	}
	certified, err := ssh.NewCertSigner(cert, signer)
	if err != nil {
		return nil, fmt.Errorf("SSH certificate %s: %w", file, err)
	}
	return []ssh.Signer{certified, signer}, nil
}

// readKnownHosts fails only for files that options name; a default file that
// cannot be read is told when a host needs it.
func (s *Shared) readKnownHosts() error {
	files := s.options.KnownHosts
	if len(files) == 0 {
		files = defaultKnownHosts()
	}
	if len(files) == 0 {
		return nil
	}
	s.known, s.knownErr = knownhosts.New(files...)
	if len(s.options.KnownHosts) > 0 && s.knownErr != nil {
		return fmt.Errorf("known_hosts: %w", s.knownErr)
	}
	return nil
}

func defaultKnownHosts() []string {
	files := []string{"/etc/ssh/ssh_known_hosts"}
	if file, ok := inHome(".ssh", "known_hosts"); ok {
		files = append(files, file)
	}
	var there []string
	for _, file := range files {
		if _, err := os.Stat(file); err == nil {
			there = append(there, file)
		}
	}
	return there
}

func inHome(elements ...string) (file string, exists bool) {
	home, err := os.UserHomeDir()
	if err != nil {
		return "", false
	}
	file = filepath.Join(append([]string{home}, elements...)...)
	_, err = os.Stat(file)
	return file, err == nil
}

// identities are the signers for one login, with notes on those that are not
// there. done releases the agent; the signers are dead after it.
func (s *Shared) identities(d *net.Dialer) (signers []ssh.Signer, notes []string, done func()) {
	signers, notes, done = append(signers, s.signers...), append(notes, s.skipped...), func() {}
	if s.options.Agent == noAgent {
		return signers, notes, done
	}
	conn, err := d.Dial("unix", s.options.Agent)
	if err != nil {
		return signers, append(notes, "the ssh-agent at "+s.options.Agent+" does not answer"), done
	}
	_ = conn.SetDeadline(time.Now().Add(s.options.CommandTimeout))
	offered, err := agent.NewClient(conn).Signers()
	if err != nil {
		notes = append(notes, "the ssh-agent at "+s.options.Agent+" gives no keys")
	}
	return append(signers, offered...), notes, func() { _ = conn.Close() }
}

func fingerprints(signers []ssh.Signer) string {
	var all []string
	for _, signer := range signers {
		all = append(all, ssh.FingerprintSHA256(signer.PublicKey()))
	}
	return strings.Join(all, ", ")
}
