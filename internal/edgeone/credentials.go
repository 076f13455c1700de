package edgeone

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"keywave/internal/rotation"
)

// Provider gives the credential that the next request is signed with; it is
// asked before each. Its errors are *CredentialError.
type Provider interface {
	Credential() (Credential, error)
}

// Credential is a SecretId with its SecretKey and, when it is a temporary one,
// its token. It does not print.
type Credential struct {
	id         string
	key, token rotation.Secret
}

// NewCredential takes a credential into custody; token is "" for a permanent
// one.
func NewCredential(id, key, token string) Credential {
	return Credential{id, rotation.NewSecret(key), rotation.NewSecret(token)}
}

// Credential makes a Credential a Provider of itself.
func (c Credential) Credential() (Credential, error) { return c, nil }

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

// Credentials finds the credential that a fleet file names, and reads it once,
// so that a missing one is found at the start.
//
//	env      TENCENTCLOUD_SECRET_ID, TENCENTCLOUD_SECRET_KEY, and for a temporary
//	         one TENCENTCLOUD_TOKEN or else TENCENTCLOUD_SESSION_TOKEN
//	profile  [default] secret_id and secret_key in TENCENTCLOUD_CREDENTIALS_FILE,
//	         or in ~/.tencentcloud/credentials
//	tccli    ~/.tccli/PROFILE.credential, as "tccli configure" and "tccli auth
//	         login" write it; PROFILE is TCCLI_PROFILE or "default"
//
// "" is env. Files are read again when they change; one that cannot be read any
// more leaves the last good credential in use.
func Credentials(kind string) (Provider, error) {
	switch kind {
	case "", "env":
		return fromEnv()
	case "profile":
		path, err := profilePath()
		if err != nil {
			return nil, err
		}
		return fromFile(path, parseProfile)
	case "tccli":
		path, err := tccliPath()
		if err != nil {
			return nil, err
		}
		return fromFile(path, parseTCCLI)
	case "cvm-role", "tke-oidc", "assume-role":
		return nil, complain("%q is not supported yet; use env, profile or tccli", kind)
	}
	return nil, complain("%q is not known; use env, profile or tccli", kind)
}

func fromEnv() (Provider, error) {
	const idVar, keyVar = "TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY"
	var missing []string
	for _, name := range []string{idVar, keyVar} {
		if os.Getenv(name) == "" {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return nil, complain("%s not set; export %s and %s (and TENCENTCLOUD_TOKEN for a temporary one) in the environment of the edgeone worker, or set credentials: profile or tccli in the fleet file",
			strings.Join(missing, " and "), idVar, keyVar)
	}
	token := os.Getenv("TENCENTCLOUD_TOKEN")
	if token == "" {
		token = os.Getenv("TENCENTCLOUD_SESSION_TOKEN")
	}
	return usable(NewCredential(os.Getenv(idVar), os.Getenv(keyVar), token), "the TENCENTCLOUD_* variables")
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

func profilePath() (string, error) {
	const variable = "TENCENTCLOUD_CREDENTIALS_FILE"
	if path := os.Getenv(variable); path != "" {
		return path, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", complain("neither %s nor HOME is set; set %s to the credentials file", variable, variable)
	}
	return filepath.Join(home, ".tencentcloud", "credentials"), nil
}

func tccliPath() (string, error) {
	profile := os.Getenv("TCCLI_PROFILE")
	if profile == "" {
		profile = "default"
	}
	if strings.ContainsAny(profile, `/\`) {
		return "", complain("TCCLI_PROFILE is a profile's name, not a path")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", complain("HOME is not set, so ~/.tccli/%s.credential cannot be found", profile)
	}
	return filepath.Join(home, ".tccli", profile+".credential"), nil
}

// parseProfile reads the section [default] of Tencent's INI file.
func parseProfile(text []byte) (id, key, token string, why string) {
	values, section := map[string]string{}, ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]") {
			section = strings.TrimSpace(line[1 : len(line)-1])
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if ok && section == "default" && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, ";") {
			values[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	if values["secret_id"] == "" || values["secret_key"] == "" {
		return "", "", "", "has no secret_id and secret_key under [default]; add them"
	}
	return values["secret_id"], values["secret_key"], values["token"], ""
}

// parseTCCLI reads tccli's JSON file.
func parseTCCLI(text []byte) (id, key, token string, why string) {
	var c struct{ SecretID, SecretKey, Token string }
	if json.Unmarshal(text, &c) != nil || c.SecretID == "" || c.SecretKey == "" {
		return "", "", "", `is not JSON with "secretId" and "secretKey"; run "tccli configure" or "tccli auth login" again`
	}
	return c.SecretID, c.SecretKey, c.Token, ""
}

// file is a credential in a file.
type file struct {
	path  string
	parse func([]byte) (id, key, token string, why string)

	mu    sync.Mutex
	stamp fs.FileInfo // of what was read
	last  Credential
}

func fromFile(path string, parse func([]byte) (id, key, token string, why string)) (Provider, error) {
	f := &file{path: path, parse: parse}
	if _, err := f.Credential(); err != nil {
		return nil, err
	}
	return f, nil
}

// Credential reads the file if it changed.
func (f *file) Credential() (Credential, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	stamp, err := os.Stat(f.path)
	if err == nil && f.stamp != nil && stamp.ModTime().Equal(f.stamp.ModTime()) && stamp.Size() == f.stamp.Size() && os.SameFile(stamp, f.stamp) {
		return f.last, nil
	}
	if err == nil {
		var fresh Credential
		if fresh, err = f.read(); err == nil {
			f.stamp, f.last = stamp, fresh
			return fresh, nil
		}
	}
	if f.stamp != nil {
		return f.last, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return Credential{}, complain("%s does not exist; create it, or set credentials: env in the fleet file", f.path)
	}
	if c, ok := errors.AsType[*CredentialError](err); ok {
		return Credential{}, c
	}
	return Credential{}, complain("%s cannot be read (%v); let this user read it", f.path, errors.Unwrap(err))
}

func (f *file) read() (Credential, error) {
	text, err := os.ReadFile(f.path)
	if err != nil {
		return Credential{}, err
	}
	id, key, token, why := f.parse(text)
	if why != "" {
		return Credential{}, complain("%s %s", f.path, why)
	}
	return usable(NewCredential(id, key, token), f.path)
}
