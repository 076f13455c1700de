package fleet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"

	"keywave/internal/rotation"
)

// reader walks the YAML of one fleet file and collects its mistakes. For a
// value with a mistake it goes on with the fallback.
type reader struct {
	file  string
	bare  bool // other files that the file names are not read
	found Mistakes
	// gateways are the hosts by the IP by which EdgeOne knows them.
	gateways map[string]rotation.HostName
	// through are the bastions, by name.
	through map[string]Bastion
	// elsewhere are the mistakes in the table of zones.
	elsewhere Mistakes
}

// say records a mistake at n. what names the thing that n belongs to, and may
// be empty.
func (r *reader) say(n *yaml.Node, what, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if what != "" {
		text = what + ": " + text
	}
	r.found = append(r.found, Mistake{r.file, n.Line, n.Column, text})
}

// document is the one document of data, without anchors, aliases and tags. It
// is nil after a mistake.
func (r *reader) document(data []byte) *yaml.Node {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var first, second yaml.Node
	if err := decoder.Decode(&first); err != nil {
		r.notYAML(err)
		return nil
	}
	switch err := decoder.Decode(&second); {
	case err == nil:
		r.say(&second, "", "a second document begins here; a fleet file is one document, remove the --- line")
		return nil
	case !errors.Is(err, io.EOF):
		r.notYAML(err)
		return nil
	}
	r.plain(&first)
	if len(r.found) > 0 || len(first.Content) != 1 {
		return nil
	}
	return first.Content[0]
}

func (r *reader) notYAML(err error) {
	if errors.Is(err, io.EOF) {
		r.found = append(r.found, Mistake{File: r.file, Text: "the file is empty; a fleet file has version, account, locations and zones"})
		return
	}
	line, text := 0, err.Error()
	if m := regexp.MustCompile(`(?s)^yaml: (?:line (\d+): )?(.*)$`).FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = m[2]
	}
	r.found = append(r.found, Mistake{File: r.file, Line: line, Text: "not YAML: " + text + "; check indentation, quotes and brackets here and just above"})
}

// plain refuses everything by which a value could be something else than what
// is written in its place.
func (r *reader) plain(n *yaml.Node) {
	switch {
	case n.Kind == yaml.AliasNode:
		r.say(n, "", "alias *%s; aliases are not read here, write the value out or use defaults", n.Value)
	case n.Anchor != "":
		r.say(n, "", "anchor &%s; anchors are not read here, write the value out or use defaults", n.Anchor)
	case n.Tag == "!!merge":
		r.say(n, "", "merge key <<; it is not read here, write the values out or use defaults")
	case n.Style&yaml.TaggedStyle != 0:
		r.say(n, "", "tag %s; tags are not read here, remove it", n.Tag)
	}
	for _, child := range n.Content {
		r.plain(child)
	}
}

// entry is one key of a mapping and its value.
type entry struct {
	key   string
	at    *yaml.Node
	value *yaml.Node
}

// entries is a mapping's content, each key once. A nil n has none.
func (r *reader) entries(n *yaml.Node, what string) []entry {
	if n == nil {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		r.say(n, what, "is %s; write fields, {name: value}", kindOf(n))
		return nil
	}
	list := make([]entry, 0, len(n.Content)/2)
	lines := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		at, value := n.Content[i], n.Content[i+1]
		if at.Kind != yaml.ScalarNode {
			r.say(at, what, "a name was expected here, not %s", kindOf(at))
			continue
		}
		if line, twice := lines[at.Value]; twice {
			r.say(at, what, "%q is here twice, first in line %d; remove one", at.Value, line)
			continue
		}
		lines[at.Value] = at.Line
		list = append(list, entry{at.Value, at, value})
	}
	return list
}

// fields is a mapping whose keys are all among known. A nil n has none.
func (r *reader) fields(n *yaml.Node, what string, known ...string) map[string]*yaml.Node {
	list := r.entries(n, what)
	found := make(map[string]*yaml.Node, len(list))
	for _, e := range list {
		if !slices.Contains(known, e.key) {
			r.say(e.at, what, "unknown field %q%s; fields here: %s", e.key, meant(e.key, known), listed(known))
			continue
		}
		found[e.key] = e.value
	}
	return found
}

func meant(word string, known []string) string {
	if near := nearest(word, known); near != "" {
		return fmt.Sprintf(" (did you mean %q?)", near)
	}
	return ""
}

// items is a list's content. A nil n has none.
func (r *reader) items(n *yaml.Node, what string) []*yaml.Node {
	if n == nil {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		r.say(n, what, "is %s; write a list, [a, b]", kindOf(n))
		return nil
	}
	return n.Content
}

// value reads a scalar as it is written, with or without quotes. For a nil n,
// and after a mistake, it returns fallback.
func value[T any](r *reader, n *yaml.Node, what string, fallback T, parse func(string) (T, error)) T {
	if n == nil {
		return fallback
	}
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		r.say(n, what, "is %s; write one value, or remove the field", kindOf(n))
		return fallback
	}
	v, err := parse(n.Value)
	if err != nil {
		r.say(n, what, "%s", err)
		return fallback
	}
	return v
}

func kindOf(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Tag == "!!null":
		return "empty"
	}
	return "a single value"
}
