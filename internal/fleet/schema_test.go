package fleet_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"keywave/internal/fleet"
)

// schemaOf is the schema as an editor reads it.
func schemaOf(t testing.TB) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(fleet.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("fleet.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("fleet.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// values are what an editor makes of YAML: maps, lists, texts, numbers, booleans
// and null.
func values(n *yaml.Node) any {
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			m[n.Content[i].Value] = values(n.Content[i+1])
		}
		return m
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, c := range n.Content {
			list[i] = values(c)
		}
		return list
	case yaml.ScalarNode, yaml.DocumentNode, yaml.AliasNode:
	}
	var v any
	if err := n.Decode(&v); err != nil {
		return n.Value
	}
	switch v := v.(type) {
	case nil, bool, int, int64, uint64:
		return v
	case float64:
		if !math.IsInf(v, 0) && !math.IsNaN(v) {
			return v
		}
	}
	return n.Value
}

// document is the first document of a YAML text. It is nil when there is none.
func document(data []byte) *yaml.Node {
	var doc yaml.Node
	if yaml.Unmarshal(data, &doc) != nil || len(doc.Content) != 1 {
		return nil
	}
	return doc.Content[0]
}

// agree fails when the schema refuses something that the reader accepts.
func agree(t *testing.T, s *jsonschema.Schema, what string, data []byte) {
	t.Helper()
	_, err := fleet.Parse("testdata/fleet.yaml", data)
	if err != nil {
		return
	}
	if err := s.Validate(values(document(data))); err != nil {
		t.Errorf("%s: the reader takes it, and the schema does not: %v\n%s", what, err, data)
	}
}

// goodFiles are fleet files without a mistake. Together they have every field
// that there is.
func goodFiles(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all[file] = data
	}
	return all
}

// The schema accepts every fleet file of the tests, scripts and docs, unless
// the file is there to be refused.
func TestSchemaTakesEveryFleetFile(t *testing.T) {
	s := schemaOf(t)
	for file, data := range goodFiles(t) {
		if _, err := fleet.Parse(file, data); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		agree(t, s, file, data)
	}
	inScript := regexp.MustCompile(`(?ms)^-- [^ \n]+\.yaml --\n(.*?)(?:\n-- |\z)`)
	inDocs := regexp.MustCompile("(?ms)^```yaml\n(version: 1\n.*?)^```$")
	found := 0
	for pattern, each := range map[string]*regexp.Regexp{
		"../../starter/testdata/script/*.txtar": inScript, "../../worker/testdata/script/*.txtar": inScript,
		"../../docs/*.md": inDocs, "../../docs/how-to/*.md": inDocs, "../../README.md": inDocs,
	} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range each.FindAllSubmatch(data, -1) {
				found++
				if agree(t, s, file, m[1]); each == inDocs { // these keys are cut short
					if err := s.Validate(values(document(m[1]))); err != nil {
						t.Errorf("%s: %v\n%s", file, err, m[1])
					}
				}
			}
		}
	}
	if found < 8 {
		t.Errorf("only %d fleet files were found in scripts and docs", found)
	}
}

// The schema has the same fields as the reader. The files without a mistake
// have each field; where a field that does not exist is added, both the reader
// and the schema refuse it.
func TestSchemaHasTheFieldsOfTheReader(t *testing.T) {
	s := schemaOf(t)
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(fleet.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]bool{}
	fieldsOfSchema("", doc.(map[string]any), said)
	used := map[string]bool{}
	for _, data := range goodFiles(t) {
		used = union(used, fieldsOfFile(document(data), doc.(map[string]any)))
	}
	for _, path := range slices.Sorted(maps.Keys(said)) {
		if path = strings.Replace(path, ".account.", ".accounts.", 1); !used[path] { // one function reads both
			t.Errorf("no file of testdata has %s: add it to one, so that the reader is seen to take it", path)
		}
	}
	if len(said) < 70 {
		t.Errorf("the schema has only %d fields", len(said))
	}
	for file, data := range goodFiles(t) {
		for i := range mappings(document(data)) {
			root := document(data)
			at := mappings(root)[i]
			if free(doc.(map[string]any), root, at) {
				continue
			}
			at.Content = append(at.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: "nonsense"}, &yaml.Node{Kind: yaml.ScalarNode, Value: "1"})
			changed := written(t, root)
			if _, err := fleet.Parse("testdata/fleet.yaml", changed); err == nil {
				t.Errorf("%s: the reader takes an unknown field:\n%s", file, changed)
			}
			if s.Validate(values(root)) == nil {
				t.Errorf("%s: the schema takes an unknown field:\n%s", file, changed)
			}
		}
	}
}

// Each value of a good file is replaced by others. Wherever the schema refuses
// one, the reader refuses it too.
func TestSchemaRefusesNothingThatTheReaderTakes(t *testing.T) {
	s := schemaOf(t)
	refused := 0
	others := []string{"null", "[]", "{}", "[a]", "{a: b}", "0", "-1", "007", "2000", "1.5", "true", "/x", "0s", "1%", `"1"`, `"true"`, "2026-01-01", ".inf", "0x10"}
	for _, file := range []string{"testdata/every.yaml", "testdata/listed.yaml"} {
		root := document(goodFiles(t)[file])
		for _, n := range nodes(root) {
			was := *n
			for _, other := range others {
				*n = *document([]byte(other))
				if err := s.Validate(values(root)); err != nil {
					refused++
					changed := written(t, root)
					if _, taken := fleet.Parse("testdata/fleet.yaml", changed); taken == nil {
						t.Errorf("%s with %q: the reader takes it, and the schema does not: %v\n%s", file, other, err, changed)
					}
				}
			}
			*n = was
		}
	}
	if refused < 1000 {
		t.Errorf("the schema refused only %d of them", refused)
	}
}

// What the schema cannot tell is listed: names that do not exist, values that
// contradict each other, and what YAML itself forbids.
func TestSchemaRefusesMistakes(t *testing.T) {
	s := schemaOf(t)
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var passed strings.Builder
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if doc := document(data); doc == nil || s.Validate(values(doc)) == nil {
			fmt.Fprintln(&passed, strings.TrimSuffix(filepath.Base(file), ".yaml"))
		}
	}
	golden(t, "testdata/schema_cannot_tell.txt", passed.String())
}

func TestSchemaIsGolden(t *testing.T) {
	golden(t, "testdata/schema.json", string(fleet.Schema()))
}

func FuzzSchema(f *testing.F) {
	s := schemaOf(f)
	for _, data := range goodFiles(f) {
		f.Add(data)
	}
	f.Add(large(3))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := fleet.Parse("fleet.yaml", data)
		if errors.As(err, new(fleet.Mistakes)) {
			return
		}
		agree(t, s, "fuzzed", data)
	})
}

// fieldsOfSchema are the paths of a schema's fields. A name that people choose
// is a * in them.
func fieldsOfSchema(path string, s map[string]any, into map[string]bool) {
	for name, below := range asMap(s["properties"]) {
		into[path+"."+name] = true
		fieldsOfSchema(path+"."+name, below.(map[string]any), into)
	}
	if items := asMap(s["items"]); items != nil {
		fieldsOfSchema(path, items, into)
	}
	if own := asMap(s["additionalProperties"]); own != nil {
		fieldsOfSchema(path+".*", own, into)
	}
	for _, one := range asList(s["anyOf"]) {
		fieldsOfSchema(path, one.(map[string]any), into)
	}
}

// fieldsOfFile are the paths of the fields that a file has.
func fieldsOfFile(root *yaml.Node, schema map[string]any) map[string]bool {
	used := map[string]bool{}
	walk(root, "", []map[string]any{schema}, func(_ *yaml.Node, path string, _ bool) { used[path] = true })
	return used
}

// free says that people choose the names in a mapping.
func free(schema map[string]any, root, at *yaml.Node) bool {
	is := false
	walk(root, "", []map[string]any{schema}, func(n *yaml.Node, _ string, own bool) { is = is || n == at && own })
	return is
}

// walk visits each node with its path, and says at which nodes people choose
// the names.
func walk(n *yaml.Node, path string, of []map[string]any, visit func(n *yaml.Node, path string, own bool)) {
	of = spread(of)
	own := slices.ContainsFunc(of, func(s map[string]any) bool { return asMap(s["additionalProperties"]) != nil })
	visit(n, path, own && n.Kind == yaml.MappingNode)
	if n.Kind == yaml.SequenceNode {
		for _, c := range n.Content {
			walk(c, path, under(of, func(s map[string]any) any { return s["items"] }), visit)
		}
	}
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		name := n.Content[i].Value
		below, step := under(of, func(s map[string]any) any { return asMap(s["properties"])[name] }), name
		if len(below) == 0 {
			below, step = under(of, func(s map[string]any) any { return s["additionalProperties"] }), "*"
		}
		walk(n.Content[i+1], path+"."+step, below, visit)
	}
}

func spread(of []map[string]any) []map[string]any {
	all := slices.Clone(of)
	for _, s := range of {
		for _, one := range asList(s["anyOf"]) {
			all = append(all, one.(map[string]any))
		}
	}
	return all
}

func under(of []map[string]any, step func(map[string]any) any) []map[string]any {
	var all []map[string]any
	for _, s := range of {
		if m := asMap(step(s)); m != nil {
			all = append(all, m)
		}
	}
	return all
}

func asMap(v any) map[string]any { m, _ := v.(map[string]any); return m }
func asList(v any) []any         { l, _ := v.([]any); return l }

func union(a, b map[string]bool) map[string]bool {
	maps.Copy(a, b)
	return a
}

// nodes are a node's values and the values below them, without the names of
// fields.
func nodes(n *yaml.Node) []*yaml.Node {
	all := []*yaml.Node{n}
	for i, c := range n.Content {
		if n.Kind != yaml.MappingNode || i%2 == 1 {
			all = append(all, nodes(c)...)
		}
	}
	return all
}

func mappings(n *yaml.Node) []*yaml.Node {
	return slices.DeleteFunc(nodes(n), func(n *yaml.Node) bool { return n.Kind != yaml.MappingNode })
}

func written(t *testing.T, n *yaml.Node) []byte {
	t.Helper()
	data, err := yaml.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
