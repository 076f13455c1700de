package fleet

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// File is what a host holds for a zone and what makes its consumer use it. As a
// transport of its own, it is a file on the machine of the location's worker.
type File struct {
	// Path is absolute; each "{zone}" in it stands for the zone's ID.
	Path string
	// StageDir is where a key waits before it is the live one; empty is a directory
	// beside the file.
	StageDir string
	// Owner and Group are the file's; empty keeps those of the file that is there.
	Owner string
	Group string
	// Mode is four octal digits, such as "0600". Empty means: that of the file
	// that is there, without the permissions of others.
	Mode string
	// Write is InPlace, or empty: then a new file replaces the old one.
	Write string
	// Format is what the file holds, with {key} for the key; empty is the key and
	// a newline.
	Format string
	// Reload runs when the file is in place, Verify after Reload. Both are shell
	// commands; empty means none.
	Reload string
	Verify string
}

// InPlace writes into the file that is there, instead of replacing it.
const InPlace = "in-place"

// fileFields are the fields of a file, for every transport.
func fileFields() section {
	return section{
		{"path", schema{"type": "string", "pattern": "^/", "maxLength": 1024}, "Absolute; {zone} stands for the zone's ID."},
		{"stageDir", schema{"type": "string", "maxLength": 1024}, "Absolute, on the file system of path: where a staged key waits; default: .keywave beside the file."},
		{"owner", accountSchema(), "Name or number; left out, that of the file that is there."},
		{"group", accountSchema(), "Name or number; left out, that of the file that is there."},
		{"mode", schema{"type": []string{"string", "integer"}, "pattern": "^(0o)?0*(400|440|600|640)$"}, "0600, 0640, 0440 or 0400; left out, that of the file that is there."},
		{"format", schema{"type": "string", "pattern": `[{]key[}]`, "maxLength": 1024}, "What the file holds, with one {key}; default: the key and a newline."},
		{"write", choice(writes()...), "in-place for a file that is a mount of its own; default: replace."},
		{"reload", words(4096), "A shell command, once the file is in place."},
		{"verify", words(4096), "A shell command, after reload."},
	}
}

func accountSchema() schema { return like(accountForm.String()) }

func fileTransport() transport {
	return transport{
		name: "file", about: "A file on the machine of the location's worker.",
		shared: fileFields(), required: []string{"path"},
		read: func(r *reader, in map[string]*yaml.Node, what string, from Host, h *Host) {
			var f File
			if from.File != nil {
				f = *from.File
			}
			f = f.read(r, in, what)
			h.File = &f
		},
	}
}

func (f File) read(r *reader, in map[string]*yaml.Node, what string) File {
	f = File{
		Path:     value(r, in["path"], what+": path", f.Path, keyPath),
		StageDir: value(r, in["stageDir"], what+": stageDir", f.StageDir, stageDir),
		Owner:    value(r, in["owner"], what+": owner", f.Owner, account("owner")),
		Group:    value(r, in["group"], what+": group", f.Group, account("group")),
		Mode:     value(r, in["mode"], what+": mode", f.Mode, mode),
		Write:    value(r, in["write"], what+": write", f.Write, write),
		Format:   value(r, in["format"], what+": format", f.Format, format),
		Reload:   value(r, in["reload"], what+": reload", f.Reload, command),
		Verify:   value(r, in["verify"], what+": verify", f.Verify, command),
	}
	if n := in["stageDir"]; n != nil && f.StageDir != "" && f.StageDir == path.Dir(f.Path) {
		r.say(n, what+": stageDir", "is the directory of the file; a consumer may read every file there, so write another, or remove the field")
	}
	if f.Write != InPlace {
		return f
	}
	for _, name := range []string{"write", "stageDir"} {
		if n := in[name]; n != nil && f.StageDir != "" {
			r.say(n, what+": "+name, "a file that is written in place has no key that waits beside it; remove stageDir (an empty text undoes that of the defaults), or write replace")
			break
		}
	}
	for _, name := range []string{"write", "owner", "group", "mode"} {
		if n := in[name]; n != nil && f.Owner+f.Group+f.Mode != "" {
			r.say(n, what+": "+name, "in-place keeps the file's owner, group and mode; remove those fields, or write replace")
			break
		}
	}
	return f
}

// definition is the part of the file's fields that decides where and how a key
// goes.
func (f File) definition() []field {
	return []field{
		{"path", f.Path, false},
		{"mode", cmp.Or(f.Mode, "0600"), false},
		{"reload", f.Reload, false},
		{"verify", f.Verify, false},
		{"owner", f.Owner, true},
		{"group", f.Group, true},
		{"write", f.Write, true},
		{"format", f.Format, true},
	}
}

// later are fields that were added when hosts already had their digests.
func (f File) later() []field { return []field{{"stageDir", f.StageDir, true}} }

// zoneMark stands for the zone's ID in a path.
const zoneMark = "{zone}"

func keyPath(s string) (string, error) {
	switch {
	case !path.IsAbs(s):
		return "", fmt.Errorf("%q is not absolute; begin it with /", s)
	case s == "/":
		return "", errors.New("is a directory; write the path of a file")
	case path.Clean(s) != s:
		return "", fmt.Errorf("%q is not in its shortest form; write %q, or the file that is meant", s, path.Clean(s))
	case strings.ContainsAny(strings.ReplaceAll(s, zoneMark, ""), "{}"):
		return "", fmt.Errorf("%q has a mark in braces other than %s; write %s where the zone's ID belongs", s, zoneMark, zoneMark)
	}
	return text(1024)(s)
}

// stageDir reads a directory for all zones: the names of the files in it tell the zone.
func stageDir(s string) (string, error) {
	switch {
	case s == "":
		return "", nil
	case !path.IsAbs(s) || s == "/" || path.Clean(s) != s:
		return "", fmt.Errorf("%q is no absolute path of a directory in its shortest form; write for example /srv/keywave-stage", s)
	case strings.ContainsAny(s, "{}"):
		return "", fmt.Errorf("%q has a mark in braces; one directory is for all zones of the host", s)
	case strings.TrimSpace(s) != s:
		return "", fmt.Errorf("%q begins or ends with a space", s)
	}
	return text(1024)(s)
}

// mode reads permissions in octal. Only the owner may write, and only owner and
// group may read.
func mode(s string) (string, error) {
	bits, err := strconv.ParseUint(strings.TrimPrefix(s, "0o"), 8, 32)
	if err != nil {
		return "", fmt.Errorf("%q is not octal; write \"0600\", or \"0640\" when the consumer reads it as a group", s)
	}
	if bits&^0o640 != 0 || bits&0o400 == 0 {
		return "", fmt.Errorf("%q lets others read, somebody else write, or not even the owner read; write \"0600\", or \"0640\" when the consumer reads it as a group", s)
	}
	return fmt.Sprintf("%04o", bits), nil
}

var accountForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)

// account reads the name or the number of a user or a group of the host.
func account(what string) func(string) (string, error) {
	return func(s string) (string, error) {
		if len(s) > 64 || !accountForm.MatchString(s) {
			return "", fmt.Errorf("%q is no %s; write the name or the number of one of the host's, or remove the field to keep the file's", s, what)
		}
		return s, nil
	}
}

func writes() []string { return []string{"replace", InPlace} }

func write(s string) (string, error) {
	if s, err := oneOf("way to write", writes()...)(s); err != nil || s == InPlace {
		return s, err
	}
	return "", nil
}

// keyMark stands for the key in a format.
const keyMark = "{key}"

func format(s string) (string, error) {
	switch n := strings.Count(s, keyMark); {
	case n != 1:
		return "", fmt.Errorf("%q has %d times %s; write it once, where the key belongs, such as \"KEY={key}\\n\"", s, n, keyMark)
	case !utf8.ValidString(s), strings.ContainsFunc(s, func(c rune) bool { return unicode.IsControl(c) && c != '\n' && c != '\t' }):
		return "", fmt.Errorf("%q holds a control character other than a newline or a tab; remove it", s)
	case len(s) > 1024:
		return "", errors.New("is longer than 1024 bytes")
	case s == keyMark+"\n":
		return "", nil
	}
	return s, nil
}

func command(s string) (string, error) {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(c rune) bool { return unicode.IsControl(c) && c != '\n' && c != '\t' }) {
		return "", fmt.Errorf("%q holds a control character; remove it", s)
	}
	if len(s) > 4096 {
		return "", errors.New("is longer than 4096 bytes; put it into a script on the host")
	}
	return s, nil
}
