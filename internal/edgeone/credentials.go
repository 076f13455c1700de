package edgeone

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"keywave/internal/rotation"
)

// Provider gives the credential that the next request is signed with; it is
// asked before each. Its errors are *CredentialError or the context's.
type Provider interface {
	Credential(ctx context.Context) (Credential, error)
}

// Readable says why what gives the credential cannot be read now, or was not renewed
// the last time, although the last good one may still be in use; nil where it can.
func Readable(from Provider) error {
	if r, can := from.(interface{ readable() error }); can {
		return r.readable()
	}
	return nil
}

// Credential is a SecretId with its SecretKey and, when it is a temporary one,
// its token and its end. It does not print.
type Credential struct {
	id         string
	key, token rotation.Secret
	until      time.Time
	// renew is the command by which a person renews it; empty where it needs none
	// or Keywave does it.
	renew string
	loan  loan // that of tccli's file; zero for none
}

// NewCredential takes a credential into custody; token is "" for a permanent
// one.
func NewCredential(id, key, token string) Credential {
	return Credential{id: id, key: rotation.NewSecret(key), token: rotation.NewSecret(token)}
}

// Credential makes a Credential a Provider of itself.
func (c Credential) Credential(context.Context) (Credential, error) { return c, nil }

// Until is when the credential ends; zero where that is not known, or never.
func (c Credential) Until() time.Time { return c.until }

// Renew is the command by which a person has to renew the credential before
// Until; empty where nobody has to.
func (c Credential) Renew() string { return c.renew }

// Role is the role that tccli's file names, for people; empty where it names none.
func (c Credential) Role() string {
	if c.loan.instance {
		return "the role of the instance"
	}
	return c.loan.role
}

// String never shows the credential.
func (Credential) String() string { return "[credential]" }

// Format never shows the credential, whatever the verb.
func (Credential) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[credential]")) }

// CredentialError says why there is no credential to sign with, and the remedy.
// It is also an *rotation.APIError of class Denied: every zone would fail alike.
type CredentialError struct{ Why string }

// Error is the reason and the remedy.
func (e *CredentialError) Error() string { return "EdgeOne credentials: " + e.Why }

// Unwrap is the class.
func (*CredentialError) Unwrap() error {
	return &rotation.APIError{Class: rotation.Denied, Code: "ClientError.CredentialError"}
}

func complain(format string, args ...any) error {
	return &CredentialError{fmt.Sprintf(format, args...)}
}

// Source says where an account's credential comes from, in the fleet file's
// words. Kind "" is env.
//
//	env       [Name]TENCENTCLOUD_SECRET_ID, [Name]TENCENTCLOUD_SECRET_KEY, and for a
//	          temporary one [Name]TENCENTCLOUD_TOKEN or else
//	          [Name]TENCENTCLOUD_SESSION_TOKEN
//	profile   secret_id and secret_key of section Name, or [default], in
//	          TENCENTCLOUD_CREDENTIALS_FILE, or in ~/.tencentcloud/credentials
//	tccli     ~/.tccli/PROFILE.credential, as "tccli configure", "tccli auth login"
//	          and "tccli sso login" write it; PROFILE is Name, or TCCLI_PROFILE, or
//	          "default". A role-arn in it is assumed, and its type cvm-role is the
//	          role of the instance
//	cvm-role  the role of the instance, from its metadata service; Name is the
//	          role's, or "" for whichever it has
//	tke-oidc  the role of the pod, from STS, by the TKE_* variables and the token
//	          that TKE gives it
//
// Files are read again when they change; one that cannot be read any more leaves
// the last good credential in use.
type Source struct {
	Kind, Name string
	// Role, a resource description, is assumed with that credential; "" for
	// none. The others are "" and 0 for STS's own defaults.
	Role, Session, ExternalID string
	Duration                  time.Duration
}

// Services is where temporary credentials come from, and who hears of it.
type Services struct {
	// Endpoint is the account's, as in Config. STS is at the same place: at
	// sts.… where it is teo.…, and at the very same endpoint otherwise.
	Endpoint string
	// Metadata is the instance's metadata service; "" means Tencent's.
	Metadata string
	// Warn hears why a credential could not be renewed, while the old one may
	// still be good; nil is nobody.
	Warn func(error)
}

// Credentials finds the credential that a fleet file names, and reads it once,
// so that a missing one is found at the start. A temporary one is renewed ahead
// of its end until ctx ends.
func Credentials(ctx context.Context, from Source, at Services) (Provider, error) {
	provider, err := base(ctx, from, at)
	if err == nil && from.Role != "" {
		provider, err = assumeRole(ctx, provider, from, at)
	}
	if err != nil {
		return nil, err
	}
	if _, err := provider.Credential(ctx); err != nil {
		return nil, err
	}
	return provider, nil
}

// base is the source's own credential, without a role assumed with it.
func base(ctx context.Context, from Source, at Services) (Provider, error) {
	switch from.Kind {
	case "", "env":
		return fromEnv(from.Name)
	case "profile":
		return fromProfile(cmp.Or(from.Name, "default"))
	case "tccli":
		return fromTCCLI(ctx, cmp.Or(from.Name, os.Getenv("TCCLI_PROFILE"), "default"), at)
	case "cvm-role":
		return instanceRole(ctx, from.Name, at)
	case "tke-oidc":
		return podRole(ctx, at)
	}
	return nil, complain("%q is not known; use env, profile, tccli, cvm-role, tke-oidc or assume-role", from.Kind)
}

func fromEnv(prefix string) (Provider, error) {
	idVar, keyVar, tokenVar := prefix+"TENCENTCLOUD_SECRET_ID", prefix+"TENCENTCLOUD_SECRET_KEY", prefix+"TENCENTCLOUD_TOKEN"
	if missing := unset(idVar, keyVar); missing != "" {
		return nil, complain("%s not set; export %s and %s (and %s for a temporary one) in the environment of the edgeone worker, or set credentials: profile or tccli in the fleet file",
			missing, idVar, keyVar, tokenVar)
	}
	token := cmp.Or(os.Getenv(tokenVar), os.Getenv(prefix+"TENCENTCLOUD_SESSION_TOKEN"))
	return usable(NewCredential(os.Getenv(idVar), os.Getenv(keyVar), token), "the "+prefix+"TENCENTCLOUD_* variables")
}

// unset lists the variables that are not set, or empty.
func unset(names ...string) string {
	return strings.Join(slices.DeleteFunc(names, func(name string) bool { return os.Getenv(name) != "" }), " and ")
}

// usable refuses what could not stand in a request's headers.
func usable(c Credential, where string) (Credential, error) {
	switch {
	case c.id == "" || c.key.IsZero():
		return Credential{}, complain("%s: the secret ID or the secret key is empty", where)
	case !graphic(c.id) || !graphic(c.key.Expose()) || !graphic(c.token.Expose()):
		return Credential{}, complain("%s: a space, a line break or another unprintable character in a value; copy the values again", where)
	}
	return c, nil
}
