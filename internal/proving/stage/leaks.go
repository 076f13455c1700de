package stage

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// NoKeyAnywhere searches for every key that ever existed, in every form. It
// searches the database, the logs, the output of the CLI, the argv and
// environment of every running process, and every other file below Dir, except
// the key files of the hosts and the simulator's own memory.
func (s *Stack) NoKeyAnywhere(ctx context.Context) ([]string, error) {
	keys, err := s.Keys(ctx)
	if err != nil {
		return nil, err
	}
	hosts, err := s.Hosts(ctx)
	if err != nil {
		return nil, err
	}
	search := newSearch(keys)
	var wrong []string
	look := func(where string, content []byte) {
		for _, zone := range search.in(content) {
			wrong = append(wrong, fmt.Sprintf("a key of %s is in %s", zone, where))
		}
	}
	look("what the CLI said", []byte(strings.Join(s.Said, "\n")))
	for where, content := range s.proc() {
		look(where, content)
	}
	roots := []string{s.Dir}
	for _, h := range hosts {
		roots = append(roots, h.Dir)
	}
	for _, root := range roots {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return nil // the file has vanished since it was listed
			case err != nil:
				return err
			case path == filepath.Join(s.Dir, worldDir):
				return fs.SkipDir
			case !d.Type().IsRegular() || root != s.Dir && isKeyFile(path, keys):
				return nil
			}
			content, err := os.ReadFile(path)
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			look(path, content)
			return err
		})
		if err != nil {
			return wrong, err
		}
	}
	return wrong, nil
}

// worldDir is the simulator's part of a stack's directory.
const worldDir = "world"

// isKeyFile says that a host's file is a zone's key file, the temporary file from
// which that is made, or one in which a key waits.
func isKeyFile(path string, keys map[string]ZoneKeys) bool {
	name := filepath.Base(path)
	if filepath.Base(filepath.Dir(path)) == waitsIn {
		waits := waitsAs.FindStringSubmatch(name)
		return waits != nil && keys[waits[1]].Live != ""
	}
	if hidden, ok := strings.CutPrefix(name, "."); ok {
		name, _, ok = strings.Cut(hidden, ".keywave.")
		if !ok {
			return false
		}
	}
	zone, ok := strings.CutSuffix(name, ".key")
	return ok && keys[zone].Live != ""
}

// waitsIn is the directory, beside a key file, in which a key waits. A name there is that of the
// zone, the host's entry and the fingerprint, and an attempt's while the file is written.
const waitsIn = ".keywave"

var waitsAs = regexp.MustCompile(`^(.+)\.[0-9a-f]{8}\.[0-9a-f]{16}(\.[0-9a-f]{16})?$`)

// proc is what everybody on this machine can see of the running processes. It
// is empty where there is no /proc.
func (s *Stack) proc() map[string][]byte {
	seen := map[string][]byte{}
	for _, p := range s.processes() {
		for _, name := range []string{"cmdline", "environ"} {
			if content, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.PID(), name)); err == nil {
				seen[p.Name+"'s "+name] = content
			}
		}
	}
	return seen
}

func (s *Stack) processes() []*Process {
	all := slices.Clone(s.Workers)
	if s.Temporal != nil {
		all = append(all, s.Temporal.Process)
	}
	all = append(all, s.Sim)
	return slices.DeleteFunc(all, func(p *Process) bool { return p == nil || !p.Running() })
}

// search finds any of many keys in one pass.
type search struct {
	second [1 << 16]bool         // by a form's first two bytes
	forms  map[[stem]byte][]form // by its first bytes
}

type form struct{ text, zone string }

const stem = 8

func newSearch(keys map[string]ZoneKeys) *search {
	s := &search{forms: map[[stem]byte][]form{}}
	for zone, z := range keys {
		for _, key := range append(slices.Clone(z.Ever), z.Live) {
			for _, text := range FormsOf(key) {
				first := [stem]byte([]byte(text))
				s.forms[first] = append(s.forms[first], form{text, zone})
				s.second[int(first[0])<<8|int(first[1])] = true
			}
		}
	}
	return s
}

// in lists the zones whose keys are in content, sorted.
func (s *search) in(content []byte) []string {
	zones := map[string]bool{}
	for i := 0; i+stem <= len(content); i++ {
		if !s.second[int(content[i])<<8|int(content[i+1])] {
			continue
		}
		for _, f := range s.forms[[stem]byte(content[i:])] {
			if len(content)-i >= len(f.text) && string(content[i:i+len(f.text)]) == f.text {
				zones[f.zone] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(zones))
}

// part is how much of a key is enough to give it away: 120 bits.
const part = 20

// FormsOf are the ways in which a key, which is base64 of random bytes, could
// be written down, whole or in part. They are: as it is; its bytes; both in
// hex; both in base64, wherever they stand in what was encoded, and that
// encoded once more; escaped for a URL, JSON or HTML.
func FormsOf(key string) []string {
	forms := []string{key, key[:part], key[len(key)-part:]}
	for _, escape := range [][3]string{{"%2B", "%2F", "%3D"}, {"%2b", "%2f", "%3d"}, {`\u002b`, `\u002f`, `\u003d`}, {"+", `\/`, "="}, {"&#43;", "/", "="}} {
		forms = append(forms, strings.NewReplacer("+", escape[0], "/", escape[1], "=", escape[2]).Replace(key))
	}
	forms = append(forms, url.PathEscape(key), strings.NewReplacer("+", "-", "/", "_").Replace(key))
	plain := []string{key}
	if raw, err := base64.StdEncoding.DecodeString(key); err == nil {
		plain = append(plain, string(raw))
		forms = append(forms, string(raw))
	}
	for _, p := range plain {
		inHex := hex.EncodeToString([]byte(p))
		forms = append(forms, inHex, strings.ToUpper(inHex))
	}
	twice := base64.StdEncoding.EncodeToString([]byte(key))
	for _, p := range append(plain, twice) {
		forms = append(forms, insideBase64(base64.RawStdEncoding, p)...)
		forms = append(forms, insideBase64(base64.RawURLEncoding, p)...)
	}
	slices.Sort(forms)
	return slices.Compact(forms)
}

// insideBase64 is what can be seen of p when something that contains it is
// encoded: the digits that hold only bits of p, for each place at which p can
// begin.
func insideBase64(encoding *base64.Encoding, p string) []string {
	var inside []string
	for before := range 3 {
		encoded := encoding.EncodeToString([]byte(strings.Repeat("\x00", before) + p))
		if (before+len(p))%3 != 0 {
			encoded = encoded[:len(encoded)-1]
		}
		inside = append(inside, encoded[(before*8+5)/6:])
	}
	return inside
}
