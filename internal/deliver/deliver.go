// Package deliver holds what every transport agrees on: what a host holds, and
// how a failure is told without telling the key. A host holds, per zone, one
// file at the path of the fleet file, with the key and a newline in it,
// replaced atomically; then reload runs, then verify. The transports are in the
// folders below, and package delivertest has the contract that all of them pass.
package deliver

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"keywave/internal/rotation"
)

// Settings is what a host does with a key.
type Settings struct {
	// Path is the absolute path of a zone's file; {zone} stands for the zone ID.
	Path string
	// Mode is the file's mode in octal; empty means DefaultMode.
	Mode string
	// Reload makes the consumer use the new file; empty means nothing to do.
	Reload string
	// Verify fails unless the consumer uses the new file; empty means no check.
	Verify string
}

// DefaultMode is a file's mode when the fleet file names none.
const DefaultMode fs.FileMode = 0o600

const zonePlaceholder = "{zone}"

var (
	zoneForm = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)
	modeForm = regexp.MustCompile(`^0?[4-7][0-7][0-7]$`)
)

// Validate names every mistake in the settings at once.
func (s Settings) Validate() error {
	var wrong []error
	if s.Path == "" {
		wrong = append(wrong, errors.New(`path is missing; write for example "/etc/edgeone/{zone}.key"`))
	} else if _, err := s.File("zone-0"); err != nil {
		wrong = append(wrong, err)
	}
	if s.Mode != "" && !modeForm.MatchString(s.Mode) {
		wrong = append(wrong, fmt.Errorf(`mode %q is not three octal digits that let the owner read, such as "0600"`, s.Mode))
	}
	for name, command := range map[string]string{"reload": s.Reload, "verify": s.Verify} {
		if strings.ContainsRune(command, 0) {
			wrong = append(wrong, fmt.Errorf("%s holds a NUL byte", name))
		}
	}
	return errors.Join(wrong...)
}

// FileMode is the mode with the default filled in; 0 when it is not valid.
func (s Settings) FileMode() fs.FileMode {
	if s.Mode == "" {
		return DefaultMode
	}
	mode, err := strconv.ParseUint(s.Mode, 8, 32)
	if err != nil {
		return 0
	}
	return fs.FileMode(mode)
}

// File is the absolute path of zone's file. A zone ID that could leave the
// directory, and a path that a line of text cannot carry, are refused.
func (s Settings) File(zone rotation.ZoneID) (string, error) {
	if !zoneForm.MatchString(string(zone)) || zone == "." || zone == ".." {
		return "", fmt.Errorf("zone ID %q is not made of letters, digits, '_', '.' and '-'", string(zone))
	}
	file := strings.ReplaceAll(s.Path, zonePlaceholder, string(zone))
	switch {
	case !path.IsAbs(file) || path.Clean(file) != file || file == "/":
		return "", fmt.Errorf("path %q is not a clean absolute path of a file", s.Path)
	case strings.TrimSpace(file) != file || strings.ContainsFunc(file, unicode.IsControl):
		return "", fmt.Errorf("path %q ends with a space or holds a control character", s.Path)
	case strings.ContainsAny(file, "{}"):
		return "", fmt.Errorf("path %q has a placeholder other than %s", s.Path, zonePlaceholder)
	case len(path.Base(file)) > maxBase:
		return "", fmt.Errorf("path %q has a file name longer than %d bytes", s.Path, maxBase)
	}
	return file, nil
}

// maxBase leaves room for TempName in the 255 bytes of a file name.
const maxBase = 200

// TempName is the name, in the file's own directory, under which attempt writes
// the file before it replaces base. Its prefix up to the attempt marks
// temporary files of any attempt.
func TempName(base, attempt string) string { return TempPrefix(base) + attempt }

// TempPrefix opens the names of all temporary files for base.
func TempPrefix(base string) string { return "." + base + ".keywave." }

// EmptyFile is the hash that a file without a key has under the fingerprint's
// recipe. A host that shows it holds rotation.Absent.
func EmptyFile(zone rotation.ZoneID) rotation.Fingerprint {
	sum := sha256.Sum256([]byte(rotation.FingerprintPrefix + "\x00" + string(zone) + "\x00"))
	return rotation.Fingerprint(hex.EncodeToString(sum[:])[:16])
}

// CheckKey refuses a key that one line of a file cannot hold.
func CheckKey(key rotation.Secret) error {
	switch value := key.Expose(); {
	case value == "":
		return &rotation.HostError{Step: rotation.StepWrite, Why: "the key to deliver is empty; nothing was sent to the host"}
	case strings.ContainsFunc(value, unicode.IsControl):
		return &rotation.HostError{Step: rotation.StepWrite, Why: "the key to deliver holds a newline or another control character; nothing was sent to the host"}
	}
	return nil
}

// Stopped is a HostError that also says, to errors.Is, that ctx ended.
func Stopped(ctx context.Context, step rotation.HostStep, why string) error {
	cause := context.Cause(ctx)
	return &stopped{&rotation.HostError{Step: step, Why: why + ": " + cause.Error()}, cause}
}

type stopped struct {
	*rotation.HostError
	cause error
}

// Unwrap gives the HostError and the context's error.
func (s *stopped) Unwrap() []error { return []error{s.HostError, s.cause} }

// Program is one that a command needs before it can run.
type Program struct {
	Name string
	// Root says that sudo looks it up, in directories that the user's own PATH
	// may lack.
	Root bool
}

var (
	assignment  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`)
	programForm = regexp.MustCompile(`^[A-Za-z0-9_./+-]+$`)
)

// sudoWithValue are sudo's short options that take a value in the next word.
const sudoWithValue = "CDghpRrTtUu"

// Programs are the programs that a shell command starts with: its first word
// after environment assignments and, when that is sudo, the word after sudo's
// options. A word that only a shell can resolve is left out.
func Programs(command string) []Program {
	words := dropAssignments(strings.Fields(command))
	if len(words) == 0 || !programForm.MatchString(words[0]) {
		return nil
	}
	found := []Program{{Name: words[0]}}
	if path.Base(words[0]) != "sudo" {
		return found
	}
	words = words[1:]
	for len(words) > 0 && strings.HasPrefix(words[0], "-") {
		option := words[0]
		words = words[1:]
		if len(option) == 2 && strings.Contains(sudoWithValue, option[1:]) && len(words) > 0 {
			words = words[1:]
		}
	}
	words = dropAssignments(words)
	if len(words) > 0 && programForm.MatchString(words[0]) {
		found = append(found, Program{Name: words[0], Root: true})
	}
	return found
}

func dropAssignments(words []string) []string {
	for len(words) > 0 && assignment.MatchString(words[0]) {
		words = words[1:]
	}
	return words
}

// CommandFailed is the end of a sentence about a reload or verify command:
// how it ended, and the last line that it printed, scrubbed of key.
func CommandFailed(how, lastLine string, key rotation.Secret) string {
	if said := Scrub(lastLine, key); said != "" {
		return how + `, saying "` + said + `"`
	}
	return how + ", saying nothing"
}

// NewAttempt names one attempt at a delivery; no two are alike.
func NewAttempt() string {
	random := make([]byte, 8)
	_, _ = rand.Read(random)
	return hex.EncodeToString(random)
}
