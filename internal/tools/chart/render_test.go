package chart

import (
	"bufio"
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"k8s.io/apimachinery/pkg/runtime"
	k8syaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

const (
	root = "../../.."
	dir  = root + "/deploy/helm/keywave"
)

func load(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loader.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// examples are the values that the README shows, by name.
func examples(t *testing.T) map[string]map[string]any {
	t.Helper()
	files, err := filepath.Glob(dir + "/examples/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]map[string]any{}
	for _, file := range files {
		all[strings.TrimSuffix(filepath.Base(file), ".yaml")] = read(t, file)
	}
	return all
}

func read(t *testing.T, file string) map[string]any {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]any{}
	if err := yaml.UnmarshalStrict(text, &values); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return values
}

// combination is base.yaml with some of the others on top.
type combination struct {
	names  []string
	values map[string]any
}

// combinations are all of them, in the order of -f that the README's table has.
func combinations(t *testing.T) []combination {
	t.Helper()
	all := examples(t)
	over := slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(name string) bool { return name == "base" })
	var found []combination
	for bits := range 1 << len(over) {
		c := combination{[]string{"base"}, all["base"]}
		for i, name := range over {
			if bits>>i&1 == 1 {
				c.names = append(c.names, name)
				c.values = loader.MergeMaps(c.values, all[name])
			}
		}
		found = append(found, c)
	}
	return found
}

// render is what Helm would give to Kubernetes.
func render(c *chart.Chart, values map[string]any) ([]runtime.Object, error) {
	options := common.ReleaseOptions{Name: "edge", Namespace: "keywave", Revision: 1, IsInstall: true}
	top, err := util.ToRenderValues(c, values, options, common.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	files, err := engine.Engine{Strict: true}.Render(c, top)
	if err != nil {
		return nil, err
	}
	var objects []runtime.Object
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !strings.HasSuffix(name, ".yaml") {
			continue
		}
		for part := range documents(files[name]) {
			o, err := decode(part)
			if err != nil {
				return nil, fmt.Errorf("%s: %w\n%s", name, err, part)
			}
			objects = append(objects, o)
		}
	}
	return objects, nil
}

// documents are the parts of a file that hold something.
func documents(file string) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		reader := k8syaml.NewYAMLReader(bufio.NewReader(strings.NewReader(file)))
		for {
			part, err := reader.Read()
			if err != nil {
				return
			}
			if len(bytes.TrimSpace(part)) > 0 && !yield(part) {
				return
			}
		}
	}
}
