package edgeone

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"keywave/internal/charset"
	"keywave/internal/unchanged"
)

// loan is the role that tccli's file names: the instance's, or one that is
// assumed with the file's credential. The zero loan is none.
type loan struct {
	instance      bool
	role, session string
}

// file is a credential in a file.
type file struct {
	path  string
	parse func(text string) (says Credential, wrong string)

	mu    sync.Mutex
	stamp fs.FileInfo // of what was read
	last  Credential
}

// Credential is the file's own, even where the file names a role. A login that
// has ended is none.
func (f *file) Credential(context.Context) (Credential, error) {
	says, err := f.says()
	if until := says.until; err == nil && !until.IsZero() && past(until) >= 0 {
		return Credential{}, complain("the login in %s ended at %s; run %q as the user of this worker. Keywave cannot renew a login: for campaigns that run unattended, name a role or a key that lasts in the fleet file",
			f.path, until.UTC().Format(time.RFC3339), says.renew)
	}
	return says, err
}

// readable says why the file cannot be read now.
func (f *file) readable() error {
	now := &file{path: f.path, parse: f.parse}
	_, err := now.Credential(context.Background())
	return err
}

// says is what the file says; it is read if it changed.
func (f *file) says() (Credential, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.refresh(); err != nil {
		return Credential{}, err
	}
	return f.last, nil
}

// refresh reads the file if it changed; one that cannot be read any more is as it
// was.
func (f *file) refresh() error {
	stamp, err := os.Stat(f.path)
	if err == nil && unchanged.Since(f.stamp, stamp) {
		return nil
	}
	if err == nil {
		var fresh Credential
		if fresh, err = f.read(); err == nil {
			f.stamp, f.last = stamp, fresh
			return nil
		}
	}
	switch {
	case f.stamp != nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return complain("%s does not exist; create it, or set credentials: env in the fleet file", f.path)
	}
	if c, ok := errors.AsType[*CredentialError](err); ok {
		return c
	}
	return complain("%s cannot be read (%v); let this user read it", f.path, errors.Unwrap(err))
}

func (f *file) read() (Credential, error) {
	data, err := os.ReadFile(f.path)
	if err != nil {
		return Credential{}, err
	}
	text, err := charset.UTF8(data)
	if err != nil {
		return Credential{}, complain("%s %v", f.path, err)
	}
	says, wrong := f.parse(text)
	if wrong != "" {
		return Credential{}, complain("%s %s", f.path, wrong)
	}
	if !says.loan.instance {
		_, err = usable(says, f.path)
	}
	return says, err
}

func fromProfile(section string) (Provider, error) {
	const variable = "TENCENTCLOUD_CREDENTIALS_FILE"
	path := os.Getenv(variable)
	if path == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil, complain("neither %s nor HOME is set; set %s to the credentials file", variable, variable)
		}
		path = filepath.Join(home, ".tencentcloud", "credentials")
	}
	return &file{path: path, parse: func(text string) (Credential, string) { return parseProfile(text, section) }}, nil
}

// parseProfile reads a section of Tencent's INI file.
func parseProfile(text, wanted string) (says Credential, wrong string) {
	values, section := map[string]string{}, ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]") {
			section = strings.TrimSpace(line[1 : len(line)-1])
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if ok && section == wanted && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, ";") {
			values[strings.TrimSpace(name)] = unquoted(strings.TrimSpace(value))
		}
	}
	if values["role_arn"] != "" {
		return Credential{}, "has a role_arn under [" + wanted + "], which this kind of file cannot give; remove it, and write assume-role in the fleet file"
	}
	if values["secret_id"] == "" || values["secret_key"] == "" {
		return Credential{}, "has no secret_id and secret_key under [" + wanted + "]; add them"
	}
	return NewCredential(values["secret_id"], values["secret_key"], values["token"]), ""
}

// unquoted takes away a pair of quotes around the whole value.
func unquoted(s string) string {
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}

// tccli is the credential that tccli would use by its file.
type tccli struct {
	file
	life context.Context
	at   Services

	lending sync.Mutex
	loan    loan
	lender  Provider
	end     context.CancelFunc // of the lender
}

func fromTCCLI(life context.Context, profile string, at Services) (Provider, error) {
	if strings.ContainsAny(profile, `/\`) {
		return nil, complain("TCCLI_PROFILE is a profile's name, not a path")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, complain("HOME is not set, so ~/.tccli/%s.credential cannot be found", profile)
	}
	path := filepath.Join(home, ".tccli", profile+".credential")
	return &tccli{
		file: file{path: path, parse: func(text string) (Credential, string) { return parseTCCLI(text, profile) }},
		life: life, at: at,
	}, nil
}

// Credential is the file's, or that of the role that the file names.
func (t *tccli) Credential(ctx context.Context) (Credential, error) {
	says, err := t.says()
	if err != nil || says.loan == (loan{}) {
		return t.file.Credential(ctx)
	}
	lender, err := t.from(says.loan)
	if err != nil {
		return Credential{}, err
	}
	c, err := lender.Credential(ctx)
	c.loan = says.loan
	return c, err
}

// readable asks the file and, where it names a role, who lends.
func (t *tccli) readable() error {
	says, err := (&file{path: t.path, parse: t.parse}).says()
	if err != nil || says.loan == (loan{}) {
		return t.file.readable()
	}
	t.lending.Lock()
	defer t.lending.Unlock()
	return Readable(t.lender)
}

// from is who lends; another one after the file named another role.
func (t *tccli) from(l loan) (Provider, error) {
	t.lending.Lock()
	defer t.lending.Unlock()
	if t.lender != nil && t.loan == l {
		return t.lender, nil
	}
	if t.end != nil {
		t.end()
	}
	life, end := context.WithCancel(t.life)
	var err error
	if l.instance {
		t.lender, err = instanceRole(life, "", t.at)
	} else {
		t.lender, err = assumeRole(life, &t.file, Source{Role: l.role, Session: l.session}, t.at)
	}
	t.loan, t.end = l, end
	return t.lender, err
}

// refused passes on that a credential is not accepted any more.
func (t *tccli) refused(id string) {
	t.lending.Lock()
	defer t.lending.Unlock()
	if r, lent := t.lender.(*renewed); lent {
		r.refused(id)
	}
}

// parseTCCLI reads tccli's JSON file. tccli renews a login only while it runs
// itself.
func parseTCCLI(text, profile string) (says Credential, wrong string) {
	var c struct {
		Type                       string
		SecretID, SecretKey, Token string
		Role                       string `json:"role-arn"`
		Session                    string `json:"role-session-name"`
		ExpiresAt                  int64  // seconds since 1970, of a login
	}
	if json.Unmarshal([]byte(text), &c) != nil {
		return Credential{}, `is not JSON; run "tccli configure" or "tccli auth login" again`
	}
	if c.Type == "cvm-role" {
		return Credential{loan: loan{instance: true}}, ""
	}
	if c.SecretID == "" || c.SecretKey == "" {
		return Credential{}, `has no "secretId" and "secretKey"; run "tccli configure" or "tccli auth login" again`
	}
	says = NewCredential(c.SecretID, c.SecretKey, c.Token)
	if c.Role != "" {
		if !strings.HasPrefix(c.Role, "qcs::cam::") || !graphic(c.Role) || !graphic(c.Session) {
			return says, `has a "role-arn" or "role-session-name" that is none; run "tccli configure set role-arn qcs::cam::uin/<uin>:roleName/<name>"`
		}
		says.loan = loan{role: c.Role, session: c.Session}
	}
	if c.ExpiresAt > 0 {
		says.until = time.Unix(c.ExpiresAt, 0)
		says.renew = loginOf(c.Type, profile)
	}
	return says, ""
}

// loginOf is the command that logs in again.
func loginOf(kind, profile string) string {
	command := "tccli auth login"
	if kind == "sso" {
		command = "tccli sso login"
	}
	if profile != "default" {
		command += " --profile " + profile
	}
	return command
}
