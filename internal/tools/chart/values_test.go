package chart

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	yamlv3 "go.yaml.in/yaml/v3"
	"helm.sh/helm/v4/pkg/chart/common/util"
)

func clone(t *testing.T, values map[string]any) map[string]any {
	t.Helper()
	text, err := json.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	copied := map[string]any{}
	if err := json.Unmarshal(text, &copied); err != nil {
		t.Fatal(err)
	}
	return copied
}

// free are values whose keys are the user's, or Kubernetes' to check.
var free = []string{"env", "zones.volume", "labels", "annotations", "podAnnotations", "nodeSelector", "affinity", "tolerations", "egress", "metricsFrom", "volumes", "volumeMounts", "requests", "limits"}

// places are the mappings in values whose keys the chart knows, as paths.
func places(values map[string]any, at []string) [][]string {
	if slices.ContainsFunc(free, func(f string) bool { return strings.HasSuffix("."+strings.Join(at, "."), "."+f) }) {
		return nil
	}
	found := [][]string{at}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if inner, is := values[key].(map[string]any); is {
			found = append(found, places(inner, append(slices.Clone(at), key))...)
		}
	}
	return found
}

// Every value, spelt wrong where it stands, is refused by its name.
func TestMisspeltValuesAreRefused(t *testing.T) {
	c := load(t)
	refused := func(name string, values map[string]any) {
		t.Helper()
		if err := util.ValidateAgainstSchema(c, values); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not refused by name: %v", name, err)
			return
		}
		figures.refused.Add(1)
	}
	for _, at := range places(c.Values, nil) {
		inner := find(c.Values, at)
		for key := range inner {
			values := clone(t, c.Values)
			place := find(values, at)
			place[key+"x"] = place[key]
			delete(place, key)
			refused(key+"x", values)
		}
	}
	for key := range c.Values["locationDefaults"].(map[string]any) {
		refused(key+"x", map[string]any{"locations": []any{map[string]any{"name": "hk", key + "x": ""}}})
	}
	for _, name := range []string{"TENCENTCLOUD_SECRET_KEY", "KEYWAVE_WEBHOOK_URL", "TEMPORAL_API_KEY", "OTEL_EXPORTER_OTLP_HEADERS"} {
		refused(name, map[string]any{"env": map[string]any{name: "x"}})
	}
	refused("terminationGracePeriodSeconds", map[string]any{"terminationGracePeriodSeconds": 30})
	refused("replicas", map[string]any{"edgeone": map[string]any{"replicas": 0}})
}

func find(values map[string]any, at []string) map[string]any {
	for _, key := range at {
		values = values[key].(map[string]any)
	}
	return values
}

// values.yaml says what each value is for, and has all that the schema knows.
func TestEveryValueIsTold(t *testing.T) {
	text, err := os.ReadFile(dir + "/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var document yamlv3.Node
	if err := yamlv3.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	var walk func(n *yamlv3.Node, at string)
	walk = func(n *yamlv3.Node, at string) {
		for i := 0; i+1 < len(n.Content) && n.Kind == yamlv3.MappingNode && !slices.Contains(free, at[strings.LastIndexByte(at, '.')+1:]); i += 2 {
			key := n.Content[i]
			path := strings.TrimPrefix(at+"."+key.Value, ".")
			told[path] = true
			if key.HeadComment == "" && !strings.HasSuffix(at, "resources") {
				t.Errorf("line %d: %s has no comment", key.Line, path)
			}
			walk(n.Content[i+1], path)
		}
	}
	walk(document.Content[0], "")
	for _, path := range schemaPaths(t) {
		if !told[path] {
			t.Errorf("values.yaml does not have %s", path)
		}
	}
}

// schemaPaths are all values that the schema knows.
func schemaPaths(t *testing.T) []string {
	text, err := os.ReadFile(dir + "/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	var paths []string
	var walk func(s map[string]any, at string)
	walk = func(s map[string]any, at string) {
		properties, _ := s["properties"].(map[string]any)
		for key, inner := range properties {
			if path := strings.TrimPrefix(at+"."+key, "."); path != "global" {
				paths = append(paths, path)
				walk(inner.(map[string]any), path)
			}
		}
	}
	walk(schema, "")
	return paths
}

// The README's table has every file of examples, and no others.
func TestReadmeShowsEveryExample(t *testing.T) {
	text, err := os.ReadFile(dir + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	all := examples(t)
	for name := range all {
		if line := fmt.Sprintf("| [%s.yaml](examples/%s.yaml) |", name, name); !strings.Contains(string(text), line) {
			t.Errorf("README.md does not have %s", line)
		}
	}
	if n := strings.Count(string(text), "](examples/"); n != len(all) {
		t.Errorf("README.md has %d examples, there are %d", n, len(all))
	}
}
