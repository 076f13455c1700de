package deliver

import (
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
	// StageDir is the absolute path of the directory in which a key waits before it is
	// the live one. Empty means the directory StageName beside the file.
	StageDir string
	// Owner and Group are the file's, by name or number. Empty keeps those of
	// the file that is there; a new file is the login's.
	Owner, Group string
	// Mode is the file's mode in octal. Empty keeps that of the file that is
	// there, without what it lets others do; a new file has 0600.
	Mode string
	// Write is Replace or InPlace; empty means Replace.
	Write string
	// Format is what the file holds, with {key} for the key; empty means
	// DefaultFormat.
	Format string
	// Reload makes the consumer use the new file; empty means nothing to do.
	Reload string
	// Verify fails unless the consumer uses the new file; empty means no check.
	Verify string
}

// The ways to write a file.
const (
	// Replace renames a new file over the old one.
	Replace = "replace"
	// InPlace writes into the file that is there, which is not atomic: for a file
	// that is a mount of its own.
	InPlace = "in-place"
)

// StageName is the directory in which a key waits, in the file's own directory: a
// consumer may read every file there.
const StageName = ".keywave"

// DefaultFormat is the key and a newline.
const DefaultFormat = keyMark + "\n"

const (
	zoneMark = "{zone}"
	keyMark  = "{key}"
)

var (
	zoneForm = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)
	modeForm = regexp.MustCompile(`^0?[4-7][0-7]0$`)
	nameForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.@\\-]*\$?$`)
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
		wrong = append(wrong, fmt.Errorf(`mode %q is not three octal digits that let the owner read and others nothing, such as "0600"`, s.Mode))
	}
	for _, f := range []struct{ name, value string }{{"owner", s.Owner}, {"group", s.Group}} {
		if f.value != "" && !nameForm.MatchString(f.value) {
			wrong = append(wrong, fmt.Errorf("%s %q is no name and no number", f.name, f.value))
		}
	}
	wrong = append(wrong, s.checkStage(), s.checkWrite(), s.checkFormat())
	for _, c := range []struct{ name, command string }{{"reload", s.Reload}, {"verify", s.Verify}} {
		if strings.ContainsRune(c.command, 0) {
			wrong = append(wrong, fmt.Errorf("%s holds a NUL byte", c.name))
		}
	}
	return errors.Join(wrong...)
}

func (s Settings) checkStage() error {
	switch dir := s.StageDir; {
	case dir == "":
	case dir == path.Dir(s.Path):
		return fmt.Errorf("stageDir %q is the directory of the file; a consumer may read every file there", dir)
	case !path.IsAbs(dir) || path.Clean(dir) != dir || dir == "/" || strings.ContainsAny(dir, "{}") || strings.TrimSpace(dir) != dir || strings.ContainsFunc(dir, unicode.IsControl):
		return fmt.Errorf("stageDir %q is not a clean absolute path of a directory; it takes no placeholder", dir)
	case s.Write == InPlace:
		return errors.New("write in-place has no key that waits; remove stageDir")
	}
	return nil
}

func (s Settings) checkWrite() error {
	switch {
	case s.Write != "" && s.Write != Replace && s.Write != InPlace:
		return fmt.Errorf("write %q is neither %q nor %q", s.Write, Replace, InPlace)
	case s.Write == InPlace && s.Owner+s.Group+s.Mode != "":
		return errors.New("write in-place keeps the file's owner, group and mode; remove those fields")
	}
	return nil
}

func (s Settings) checkFormat() error {
	switch {
	case s.Format == "":
	case strings.Count(s.Format, keyMark) != 1:
		return fmt.Errorf("format %q does not have exactly one %s", s.Format, keyMark)
	case strings.ContainsAny(s.Format, "\x00\r"):
		return errors.New("format holds a NUL byte or a carriage return")
	}
	return nil
}

// around is what stands before and after the key.
func (s Settings) around() (before, after string) {
	format := s.Format
	if format == "" {
		format = DefaultFormat
	}
	before, after, _ = strings.Cut(format, keyMark)
	return before, after
}

// Text is the content of a file that holds key.
func (s Settings) Text(key rotation.Secret) string {
	before, after := s.around()
	return before + key.Expose() + after
}

// permissions are the mode as ls shows it. They are empty when no mode is set.
func (s Settings) permissions() string {
	bits, err := strconv.ParseUint(s.Mode, 8, 32)
	if err != nil {
		return ""
	}
	return fs.FileMode(bits).String()
}

// File is the absolute path of zone's file. It refuses a zone ID that could
// leave the directory, and a path that does not fit into one line of text.
func (s Settings) File(zone rotation.ZoneID) (string, error) {
	if !zoneForm.MatchString(string(zone)) || zone == "." || zone == ".." {
		return "", fmt.Errorf("zone ID %q is not made of letters, digits, '_', '.' and '-'", string(zone))
	}
	file := strings.ReplaceAll(s.Path, zoneMark, string(zone))
	switch {
	case !path.IsAbs(file) || path.Clean(file) != file || file == "/":
		return "", fmt.Errorf("path %q is not a clean absolute path of a file", s.Path)
	case strings.TrimSpace(file) != file || strings.ContainsFunc(file, unicode.IsControl):
		return "", fmt.Errorf("path %q ends with a space or holds a control character", s.Path)
	case strings.ContainsAny(file, "{}"):
		return "", fmt.Errorf("path %q has a placeholder other than %s", s.Path, zoneMark)
	case len(path.Base(file)) > maxBase:
		return "", fmt.Errorf("path %q has a file name longer than %d bytes", s.Path, maxBase)
	}
	return file, nil
}

// maxBase leaves room for TempName in the 255 bytes of a file name.
const maxBase = 200

// TempName is the name under which an attempt writes the file before it
// replaces base. It is in the file's own directory. host is the name in the
// fleet file; what another attempt of the same host has left there is removed.
func TempName(base string, host rotation.HostName, attempt string) string {
	return "." + base + ".keywave." + tag(host) + "." + attempt
}

// tag tells apart the temporary files of hosts that share a directory.
func tag(host rotation.HostName) string { return digest("host", string(host))[:8] }

func digest(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:])
}
