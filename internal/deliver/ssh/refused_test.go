package ssh_test

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"keywave/internal/deliver/ssh"
	"keywave/internal/rotation"
)

// trusting is a real server that lets edge in only with certificates of an
// authority.
func trusting(t *testing.T) (*field, xssh.Signer) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can start a server for others")
	}
	authority := newSigner(t)
	trusted := filepath.Join(open(t, t.TempDir()), "ca.pub")
	if err := os.WriteFile(trusted, xssh.MarshalAuthorizedKey(authority.PublicKey()), 0o644); err != nil {
		t.Fatal(err)
	}
	return newField(t, "TrustedUserCAKeys "+trusted, "AuthorizedKeysFile none"), authority
}

// A real sshd refuses a certificate. The message says what is wrong with it.
func TestCertificatesThatAreRefused(t *testing.T) {
	t.Parallel()
	f, authority := trusting(t)
	f.options.DialTimeout, f.options.CommandTimeout = time.Minute, 2*time.Minute // so that a busy machine is not taken for a dead one
	at := func(d time.Duration) uint64 { return uint64(time.Now().Add(d).Unix()) }
	for name, c := range map[string]struct {
		certificate xssh.Certificate
		says        []string
	}{
		"fit":              {xssh.Certificate{CertType: xssh.UserCert, ValidPrincipals: []string{edge}, ValidBefore: at(time.Hour)}, nil},
		"ended":            {xssh.Certificate{CertType: xssh.UserCert, ValidPrincipals: []string{edge}, ValidBefore: at(-time.Hour)}, []string{"ended at ", "renew it"}},
		"not begun":        {xssh.Certificate{CertType: xssh.UserCert, ValidPrincipals: []string{edge}, ValidAfter: at(time.Hour), ValidBefore: at(2 * time.Hour)}, []string{"begins at ", "compare the clocks"}},
		"another's":        {xssh.Certificate{CertType: xssh.UserCert, ValidPrincipals: []string{"ops", "root"}, ValidBefore: at(time.Hour)}, []string{"is for ops, root and not for " + edge, "AuthorizedPrincipalsFile"}},
		"nobody's":         {xssh.Certificate{CertType: xssh.UserCert, ValidBefore: at(time.Hour)}, []string{"names no principal", "-n " + edge}},
		"one of a machine": {xssh.Certificate{CertType: xssh.HostCert, ValidPrincipals: []string{edge}, ValidBefore: at(time.Hour)}, []string{"is one for hosts"}},
	} {
		t.Run(name, func(t *testing.T) {
			signer, identity := newIdentity(t)
			certificate := c.certificate
			certificate.Key = signer.PublicKey()
			if err := errors.Join(certificate.SignCert(rand.Reader, authority), os.WriteFile(identity+"-cert.pub", xssh.MarshalAuthorizedKey(&certificate), 0o600)); err != nil {
				t.Fatal(err)
			}
			options := f.options
			options.Keys = []string{identity}
			host := newHost(t, f.cfg, options)
			if len(c.says) == 0 {
				prove(t, host)
				return
			}
			refuses(t, host, rotation.StepAuth, append(c.says, "the certificate "+xssh.FingerprintSHA256(&certificate), "user "+edge+" is not let in")...)
		})
	}
}

// realAgent is OpenSSH's agent, with keys.
func realAgent(t *testing.T, options []string, keys ...string) string {
	t.Helper()
	for _, program := range []string{"ssh-agent", "ssh-add"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed", program)
		}
	}
	dir, err := os.MkdirTemp("", "agent")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	agent := exec.Command("ssh-agent", "-D", "-a", socket)
	agent.Env = []string{"PATH=" + os.Getenv("PATH"), "SSH_ASKPASS=/bin/false", "SSH_ASKPASS_REQUIRE=force", "DISPLAY=none"}
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = agent.Process.Kill(); _ = agent.Wait() })
	for {
		if conn, err := net.Dial("unix", socket); err == nil {
			_ = conn.Close()
			break
		}
		time.Sleep(time.Millisecond)
	}
	add := exec.Command("ssh-add", append(options, keys...)...)
	add.Env = []string{"PATH=" + os.Getenv("PATH"), "SSH_AUTH_SOCK=" + socket}
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return socket
}

// A real sshd and a real agent refuse for different reasons. Each is told as
// what it is.
func TestLoginsThatAreRefused(t *testing.T) {
	t.Parallel()
	var strangers []string
	for range 8 {
		_, file := newIdentity(t)
		strangers = append(strangers, file)
	}
	for name, c := range map[string]struct {
		settings []string
		options  func(t *testing.T, known string) ssh.Options
		says     []string // empty: it is let in
	}{
		"too many keys in the agent": {[]string{"MaxAuthTries 6"}, func(t *testing.T, known string) ssh.Options {
			return ssh.Options{Keys: strangers[:1], Agent: realAgent(t, nil, append(strangers[1:], known)...)}
		}, []string{"the host broke off after 6 of our 9 keys", "--ssh-agent none", "MaxAuthTries"}},
		"files before the agent": {[]string{"MaxAuthTries 6"}, func(t *testing.T, known string) ssh.Options {
			return ssh.Options{Keys: []string{known}, Agent: realAgent(t, nil, strangers...)}
		}, nil},
		"a password besides": {[]string{"PasswordAuthentication yes", "AuthenticationMethods publickey,password"}, func(_ *testing.T, known string) ssh.Options {
			return ssh.Options{Keys: []string{known}, Agent: "none"}
		}, []string{"the host takes our key SHA256:", "wants a password besides (AuthenticationMethods", "let publickey alone be enough"}},
		"a question besides": {[]string{"KbdInteractiveAuthentication yes", "AuthenticationMethods publickey,keyboard-interactive"}, func(_ *testing.T, known string) ssh.Options {
			return ssh.Options{Keys: []string{known}, Agent: "none"}
		}, []string{"the host takes our key SHA256:", "it may want a second step (AuthenticationMethods"}},
		"a password instead": {[]string{"PasswordAuthentication yes"}, func(*testing.T, string) ssh.Options {
			return ssh.Options{Keys: strangers[:1], Agent: "none"}
		}, []string{"is not let in with any of our keys (SHA256:", "authorized_keys"}},
		"nobody confirms": {nil, func(t *testing.T, known string) ssh.Options {
			return ssh.Options{Keys: strangers[:1], Agent: realAgent(t, []string{"-c"}, known)}
		}, []string{"but the ssh-agent did not sign with it", "a security key (sk-) waits for a touch", "ssh-add -c"}},
		"the agent has it": {nil, func(t *testing.T, known string) ssh.Options {
			return ssh.Options{Keys: strangers[:1], Agent: realAgent(t, nil, known)}
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newField(t, c.settings...)
			options := c.options(t, f.options.Keys[0])
			options.DialTimeout, options.CommandTimeout = time.Minute, 2*time.Minute // so that a busy machine is not taken for a dead one
			host := newHost(t, f.cfg, options)
			if len(c.says) == 0 {
				prove(t, host)
				return
			}
			refuses(t, host, rotation.StepAuth, append(c.says, "user "+edge)...)
		})
	}
}

// A real sshd with a host certificate. It is known only by its authority.
func TestHostCertificateOfSSHD(t *testing.T) {
	t.Parallel()
	authority, stranger := newSigner(t), newSigner(t)
	key, file := newIdentity(t)
	certificate := sign(t, authority, key, xssh.HostCert, "127.0.0.1")
	if err := os.WriteFile(file+"-cert.pub", xssh.MarshalAuthorizedKey(certificate.PublicKey()), 0o644); err != nil {
		t.Fatal(err)
	}
	f := newField(t, "HostKey "+file, "HostCertificate "+file+"-cert.pub")
	known := filepath.Join(t.TempDir(), "known_hosts")
	f.cfg.HostKey, f.options.KnownHosts = "", []string{known}
	for _, c := range []struct {
		line string
		says []string
	}{
		{"@cert-authority * " + authorizedLine(authority.PublicKey()), nil},
		{"@cert-authority 127.* " + authorizedLine(authority.PublicKey()), nil},
		{"@cert-authority * " + authorizedLine(stranger.PublicKey()), []string{"the certificate SHA256:", "is refused", "see the authority in known_hosts"}},
		{"@cert-authority *.example.com " + authorizedLine(authority.PublicKey()), []string{"in no known_hosts file"}},
	} {
		if err := os.WriteFile(known, []byte(c.line+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if host := f.host(t); len(c.says) == 0 {
			prove(t, host)
		} else {
			refuses(t, host, rotation.StepIdentity, c.says...)
		}
	}
}

// The private key file of a security key holds no key that we could sign with.
func TestSecurityKeyFile(t *testing.T) {
	t.Parallel()
	text := func(s string) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(s))), s...) }
	kind := "sk-ssh-ed25519@openssh.com"
	public := bytes.Join([][]byte{text(kind), text(strings.Repeat("k", 32)), text("ssh:")}, nil)
	blob := bytes.Join([][]byte{
		[]byte("openssh-key-v1\x00"), text("none"), text("none"), text(""), binary.BigEndian.AppendUint32(nil, 1), text(string(public)),
		text(string(bytes.Join([][]byte{[]byte("abcdabcd"), public, {1}, text("handle"), text(""), text("me"), {1, 2, 3}}, nil))),
	}, nil)
	file := filepath.Join(t.TempDir(), "id_ed25519_sk")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: blob}), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := ssh.NewShared(ssh.Options{Keys: []string{file}})
	for _, want := range []string{"security key (sk-)", "ssh-add " + file, "leave it out of --ssh-identity", "no-touch-required"} {
		if err == nil || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}
