package ssh

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// methods are our ways to log in: keys only. A host that wants a password gets
// none, but it is remembered that it wants one.
func (l *login) methods(signers []ssh.Signer) []ssh.AuthMethod {
	return []ssh.AuthMethod{ssh.PublicKeys(l.noted(signers)...), ssh.PasswordCallback(func() (string, error) {
		l.asked = true
		return "", errors.New("there is no password")
	})}
}

// refused says why a host with a verified identity did not let us in, and what
// to do.
func (l *login) refused(user string, signers []ssh.Signer, notes []string, err error) string {
	for _, signer := range signers {
		if certificate, is := signer.PublicKey().(*ssh.Certificate); is {
			notes = append(notes, unfit(certificate, user, time.Now())...)
		}
	}
	why := l.because(user, signers, err)
	if len(notes) > 0 {
		why += " (" + strings.Join(notes, "; ") + ")"
	}
	return why
}

func (l *login) because(user string, signers []ssh.Signer, err error) string {
	switch {
	case len(signers) == 0:
		return "we have no key to log in with; name a key file, or load one into an ssh-agent and set SSH_AUTH_SOCK"
	case strings.Contains(err.Error(), "Too many authentication failures"): // as OpenSSH says it
		return fmt.Sprintf("user %s is not let in: the host broke off after %d of our %d keys, before the one that it may know; name that one with --ssh-identity and leave out the agent (--ssh-agent none), take the others out of the agent, or raise MaxAuthTries in its sshd_config", user, min(l.tried, len(signers)), len(signers))
	case l.unsigned != nil:
		return fmt.Sprintf("the host would let user %s in with our key %s, but the ssh-agent did not sign with it: a security key (sk-) waits for a touch, a key that was added with ssh-add -c for a confirmation, and nobody is there; take a key that needs neither, such as one made with -O no-touch-required", user, named(l.with))
	case l.with != nil && l.asked:
		return fmt.Sprintf("the host takes our key %s for user %s, and wants a password besides (AuthenticationMethods in its sshd_config), for which nobody can be asked here; let publickey alone be enough for this user", named(l.with), user)
	case l.with != nil:
		return fmt.Sprintf("the host takes our key %s for user %s, and still does not let us in: it may want a second step (AuthenticationMethods in its sshd_config), which nobody can do here; see its sshd log", named(l.with), user)
	}
	return fmt.Sprintf("user %s is not let in with any of our keys (%s); add one of them to the user's authorized_keys, or give us a certificate of an authority that the host trusts", user, fingerprints(signers))
}

func named(key ssh.PublicKey) string { return ssh.FingerprintSHA256(key) }

// unfit says why a host may refuse our certificate.
func unfit(certificate *ssh.Certificate, user string, now time.Time) []string {
	var notes []string
	note := func(format string, args ...any) {
		notes = append(notes, "the certificate "+named(certificate)+" "+fmt.Sprintf(format, args...))
	}
	begins := time.Unix(int64(certificate.ValidAfter), 0)
	if until, ends := ending(certificate); ends && until.Before(now) {
		note("ended at %s; renew it", stamp(until))
	}
	if certificate.ValidAfter != 0 && begins.After(now) {
		note("begins at %s only; compare the clocks of this machine and of who signed it", stamp(begins))
	}
	switch principals := certificate.ValidPrincipals; {
	case certificate.CertType != ssh.UserCert:
		note("is one for hosts; have it signed for users")
	case len(principals) == 0:
		note("names no principal, which OpenSSH takes for nobody; have it signed with -n %s", user)
	case !slices.Contains(principals, user):
		note("is for %s and not for %s; have it signed with -n %s, or list one of these in the host's AuthorizedPrincipalsFile", strings.Join(principals, ", "), user, user)
	}
	return notes
}
