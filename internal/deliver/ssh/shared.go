package ssh

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"keywave/internal/private"
)

// Options is what all hosts of a process share. With the zero value it does
// what ssh(1) would do.
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
	// DialTimeout bounds the making of a TCP connection and the wait for the
	// server's first word together, and the opening of a session on a warm one;
	// default 5 s.
	DialTimeout time.Duration
	// LoginTimeout bounds the login to a host or a bastion, each by itself; default
	// 15 s.
	LoginTimeout time.Duration
	// CommandTimeout bounds one command from its start to its end; default 15 s.
	CommandTimeout time.Duration
	// Warn is called once each time that files are read, with what was skipped.
	// If it is nil, nobody is told.
	Warn func(string)
	// ProofFor is how long a proof counts. A proof names certificates that end
	// before. Default 1 min.
	ProofFor time.Duration
	// ReloadLife is how old a reload may get before a later delivery ends it;
	// default deliver.DefaultLife.
	ReloadLife time.Duration
	// KeepAlive is the time between two questions whether a warm connection still
	// lives. A connection that leaves two of them unanswered is dropped. Default
	// 15 s.
	KeepAlive time.Duration
	// IdleTimeout closes a connection that nobody has used for so long;
	// default 5 min.
	IdleTimeout time.Duration
}

const noAgent = "none"

// Shared is the part of an SSH client that serves all hosts: identities and
// known hosts. They are read again when their files change. It may be used by
// many goroutines at once.
type Shared struct {
	options Options
	user    string

	mu sync.Mutex
	// last is what was read when the files were in the state that last.seen
	// describes.
	last credentials
	seen string
	// bastions are all bastions through which hosts are reached, by the way to
	// each.
	bastions map[string]*bastion
}

// credentials are what a login is made with at one moment.
type credentials struct {
	signers []ssh.Signer
	// known is nil when there is no known_hosts file.
	known    *knownHosts
	knownErr error
	// skipped says why an identity is not used.
	skipped []string
	// seen is the state of the files when they were read.
	seen string
}

// NewShared reads identities and known hosts. It fails when a file that
// options name cannot be used; the remedy is in the error.
func NewShared(options Options) (*Shared, error) {
	s := &Shared{options: withDefaults(options)}
	if me, err := user.Current(); err == nil {
		s.user = me.Username
	}
	seen := s.look()
	var err error
	s.last, err = s.read(seen)
	s.seen = seen
	return s, err
}

// credentials are the present ones. If changed files cannot be used, those that
// were read before are kept, and the files are tried again the next time.
func (s *Shared) credentials() credentials {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.look()
	if seen == s.seen {
		return s.last
	}
	now, err := s.read(seen)
	if err != nil {
		kept := s.last
		kept.skipped = append(slices.Clone(kept.skipped), err.Error())
		return kept
	}
	s.last, s.seen = now, seen
	return now
}

// Ends is when the first certificate of the identities ends; zero where there is none
// that does.
func (s *Shared) Ends() time.Time {
	var first time.Time
	for _, signer := range s.credentials().signers {
		cert, is := signer.PublicKey().(*ssh.Certificate)
		if !is || cert.ValidBefore > math.MaxInt64 {
			continue
		}
		if ends := time.Unix(int64(cert.ValidBefore), 0); first.IsZero() || ends.Before(first) {
			first = ends
		}
	}
	return first
}

// look describes the state of all files that logins depend on.
func (s *Shared) look() string {
	files := slices.Clone(s.options.Keys)
	if len(files) == 0 {
		files = defaultKeys()
	}
	for _, file := range files {
		files = append(files, file+certificateSuffix)
	}
	known := s.options.KnownHosts
	if len(known) == 0 {
		known = defaultKnownHosts()
	}
	var b strings.Builder
	for _, file := range append(files, known...) {
		fmt.Fprintf(&b, "%s ", file)
		if info, err := os.Stat(file); err == nil {
			fmt.Fprintf(&b, "%d %d %o ", info.Size(), info.ModTime().UnixNano(), info.Mode())
			if s, ok := info.Sys().(*syscall.Stat_t); ok {
				fmt.Fprintf(&b, "%d ", s.Ino)
			}
		}
	}
	return b.String()
}

// read reads all files.
func (s *Shared) read(seen string) (credentials, error) {
	c := credentials{seen: seen}
	if err := c.readIdentities(s.options.Keys); err != nil {
		return c, err
	}
	err := c.readKnownHosts(s.options.KnownHosts)
	if c.known != nil && len(c.known.unread) > 0 && s.options.Warn != nil {
		s.options.Warn(fmt.Sprintf("%d lines of known_hosts cannot be read and are skipped, the first is %s", len(c.known.unread), c.known.unread[0]))
	}
	return c, err
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
		{&o.LoginTimeout, 15 * time.Second},
		{&o.CommandTimeout, 15 * time.Second},
		{&o.KeepAlive, 15 * time.Second},
		{&o.ProofFor, time.Minute},
		{&o.IdleTimeout, 5 * time.Minute},
	} {
		if *d.value <= 0 {
			*d.value = d.fallback
		}
	}
	return o
}

func (c *credentials) readIdentities(named []string) error {
	var wrong []error
	for _, file := range named {
		if err := c.readIdentity(file); err != nil {
			wrong = append(wrong, err)
		}
	}
	if len(named) > 0 {
		return errors.Join(wrong...)
	}
	for _, file := range defaultKeys() {
		if err := c.readIdentity(file); err != nil {
			c.skipped = append(c.skipped, err.Error())
		}
	}
	return nil
}

func defaultKeys() []string {
	var there []string
	for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
		if file, ok := inHome(".ssh", name); ok {
			there = append(there, file)
		}
	}
	return there
}

// certificateSuffix is the end of the name of a certificate file beside its
// key.
const certificateSuffix = "-cert.pub"

func (c *credentials) readIdentity(file string) error {
	text, err := private.ReadFile(file)
	if err != nil {
		return fmt.Errorf("SSH identity: %w", err)
	}
	signer, err := ssh.ParsePrivateKey(text)
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) {
		return fmt.Errorf("SSH identity %s has a passphrase, for which nobody can be asked here; load it into an agent with: ssh-add %s, and leave it out of --ssh-identity", file, file)
	}
	if err != nil && isSecurityKey(text) {
		return fmt.Errorf("SSH identity %s is that of a security key (sk-), which an agent alone can use; load it into one with: ssh-add %s, and leave it out of --ssh-identity; unless it was made with -O no-touch-required each login waits for a touch", file, file)
	}
	if err != nil {
		return fmt.Errorf("SSH identity %s cannot be read as a private key; make one with: ssh-keygen -t ed25519", file)
	}
	certified, err := withCertificate(signer, file+certificateSuffix)
	if err != nil {
		return err
	}
	c.signers = append(c.signers, certified...)
	return nil
}

// isSecurityKey says that a private key file is only the handle of a key that is in
// some hardware.
func isSecurityKey(text []byte) bool {
	block, _ := pem.Decode(text)
	return block != nil && block.Type == "OPENSSH PRIVATE KEY" && bytes.Contains(block.Bytes, []byte("@openssh.com")) && bytes.Contains(block.Bytes, []byte("sk-"))
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

// readKnownHosts fails only for files that the options name. If a default file
// cannot be read, this is told when a host needs it.
func (c *credentials) readKnownHosts(named []string) error {
	files := named
	if len(files) == 0 {
		files = defaultKnownHosts()
	}
	if len(files) == 0 {
		return nil
	}
	c.known, c.knownErr = readKnownHosts(files)
	if len(named) > 0 && c.knownErr != nil {
		return fmt.Errorf("known_hosts: %w", c.knownErr)
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

// identities are the signers for one login, with notes on those that are
// missing. done releases the agent; after it the signers cannot be used.
func (s *Shared) identities(d *net.Dialer, c credentials) (signers []ssh.Signer, notes []string, done func()) {
	signers, notes, done = append(signers, c.signers...), append(notes, c.skipped...), func() {}
	if s.options.Agent == noAgent {
		return signers, notes, done
	}
	conn, err := d.Dial("unix", s.options.Agent)
	if err != nil {
		return signers, append(notes, "the ssh-agent at "+s.options.Agent+" does not answer"), done
	}
	_ = conn.SetDeadline(time.Now().Add(s.options.LoginTimeout))
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
