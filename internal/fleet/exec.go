package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"keywave/internal/rotation"
)

// Exec is a host to which a program on the machine of the location's worker brings
// keys.
type Exec struct {
	// Command is the program's absolute path and its arguments.
	Command []string
	// Timeout ends one call; 0 means the transport's own. It does not decide
	// where a key goes or how, so it is no part of the host's definition.
	Timeout rotation.Span
}

// The bounds of a call: a delivery that takes longer than a minute is cut off
// anyway.
const (
	leastTimeout = time.Second
	mostTimeout  = time.Minute
)

func execTransport() transport {
	return transport{
		name: "exec", about: "A host to which a program on the machine of the location's worker brings keys.",
		shared: section{
			{"command", listOf(words(4096), 1), "The program's absolute path and its arguments; prove, put or held follows."},
			{"timeout", aSpan(), "When a call is ended, 1s to 1m; default: 15s."},
		},
		required: []string{"command"},
		read: func(r *reader, in map[string]*yaml.Node, what string, from Host, h *Host) {
			var e Exec
			if from.Exec != nil {
				e = *from.Exec
			}
			h.Exec = &Exec{
				Command: r.program(in["command"], what+": command", e.Command),
				Timeout: value(r, in["timeout"], what+": timeout", e.Timeout, span(leastTimeout, mostTimeout)),
			}
		},
	}
}

// program reads the words of a command. No shell reads them.
func (r *reader) program(n *yaml.Node, what string, fallback []string) []string {
	if n == nil {
		return fallback
	}
	words := []string{}
	items := r.items(n, what)
	if n.Kind == yaml.SequenceNode && len(items) == 0 {
		r.say(n, what, `is empty; write the program and its arguments, ["/usr/local/lib/keywave/to-secret", "edge"]`)
	}
	for i, item := range items {
		read := argument
		if i == 0 {
			read = executable
		}
		words = append(words, value(r, item, what, "", read))
	}
	return words
}

func executable(s string) (string, error) {
	if !path.IsAbs(s) || path.Clean(s) != s || s == "/" {
		return "", fmt.Errorf("%q is not the absolute path of a program; write for example /usr/local/lib/keywave/to-secret, and each argument as an item of its own", s)
	}
	return argument(s)
}

func argument(s string) (string, error) {
	switch {
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		return "", fmt.Errorf("%q holds a control character; remove it", s)
	case len(s) > 4096:
		return "", errors.New("is longer than 4096 bytes")
	case strings.Contains(s, keyMark), strings.Contains(s, zoneMark):
		return "", fmt.Errorf("%q has a mark in braces; the program reads zones and the key from its standard input, and nobody may see a key in an argument", s)
	}
	return s, nil
}

// definition is the part of the transport that decides where a key goes.
func (e Exec) definition() []field {
	var command []byte
	if len(e.Command) > 0 {
		command, _ = json.Marshal(e.Command) // a list of texts can always be written
	}
	return []field{{"command", string(command), true}}
}
