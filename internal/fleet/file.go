package fleet

import (
	"cmp"
	"errors"
	"fmt"
	"path"
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
	// Mode is four octal digits, such as "0600".
	Mode string
	// Reload runs once the file is in place, Verify after Reload; shell
	// commands, empty for none.
	Reload string
	Verify string
}

func fileTransport() transport {
	return transport{
		name: "file", shared: []string{"path", "mode", "reload", "verify"}, required: []string{"path"},
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
	return File{
		Path:   value(r, in["path"], what+": path", f.Path, keyPath),
		Mode:   value(r, in["mode"], what+": mode", cmp.Or(f.Mode, "0600"), mode),
		Reload: value(r, in["reload"], what+": reload", f.Reload, command),
		Verify: value(r, in["verify"], what+": verify", f.Verify, command),
	}
}

// definition is what of the file decides where and how a key goes.
func (f File) definition() []field {
	return []field{{"path", f.Path}, {"mode", f.Mode}, {"reload", f.Reload}, {"verify", f.Verify}}
}

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

// mode reads permissions in octal; nobody but the owner may write, and nobody
// but owner and group may read.
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

func command(s string) (string, error) {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(c rune) bool { return unicode.IsControl(c) && c != '\n' && c != '\t' }) {
		return "", fmt.Errorf("%q holds a control character; remove it", s)
	}
	if len(s) > 4096 {
		return "", errors.New("is longer than 4096 bytes; put it into a script on the host")
	}
	return s, nil
}
