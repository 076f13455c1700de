// Package layers is the test of which packages may import which. It reads the
// sources themselves, every file whatever its build tags are, so that the test
// cache notices every change.
package layers

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

const (
	house         = "keywave"
	tencentSDK    = "github.com/tencentcloud/tencentcloud-sdk-go"
	server        = "go.temporal.io/server"
	openTelemetry = "go.opentelemetry.io"
	sdkWorker     = "go.temporal.io/sdk/worker"
	workerName    = "sdkworker"
)

// layer says what the packages that match a pattern may import. A pattern is a
// path in this module; if it ends in /..., it matches that path and everything
// below it.
type layer struct {
	packages string
	// house lists patterns of packages of this module.
	house []string
	// outside lists patterns of other modules; anywhere allows all of them. The
	// standard library is always allowed.
	outside []string
	// tests says that house is the rule for test files too. They may also import
	// the package that they test and the testing aids.
	tests bool
}

const anywhere = "..."

// testingAids are the packages that the tests of any layer may import.
func testingAids() []string {
	return []string{"internal/proving/delivertest", "internal/proving/hostile", "internal/proving/sim/..."}
}

// layers has a rule for every package of the tree. A new package needs a rule
// first.
func layers() []layer {
	rotation := []string{"internal/rotation"}
	plan := []string{"internal/plan", "internal/rotation"}
	transport := []string{"internal/rotation", "internal/deliver", "internal/harmless"}
	world := []string{anywhere}
	temporal := []string{"go.temporal.io/..."}
	harmless := "internal/harmless"
	return []layer{
		// Packages that decide, from values alone.
		{packages: "internal/rotation", tests: true},
		{packages: "internal/plan", house: rotation, tests: true},
		{packages: "internal/calendar", tests: true},
		{packages: "internal/charset", outside: []string{"golang.org/x/text/..."}, tests: true},
		{packages: harmless},

		// Packages that Temporal runs.
		{packages: "activities", house: append(plan, "internal/metrics", "internal/temporalclient"), outside: []string{"go.temporal.io/...", "golang.org/x/sync/..."}, tests: true},
		{packages: "workflows", house: append(plan, "activities", "internal/calendar", "internal/metrics", harmless), outside: temporal},

		// Adapters: each knows one thing of the world, and none knows another
		// adapter.
		{packages: "internal/edgeone", house: append(rotation, "internal/charset", "internal/unchanged"), outside: world, tests: true},
		{packages: "internal/private", tests: true},
		{packages: "internal/unchanged", tests: true},
		{packages: "internal/seal", house: append(rotation, "internal/private", "internal/unchanged"), outside: world, tests: true},
		{packages: "internal/deliver", house: append(rotation, harmless), outside: world, tests: true},
		{packages: "internal/deliver/ssh", house: append(transport, "internal/private"), outside: world, tests: true},
		{packages: "internal/deliver/file", house: transport, outside: world, tests: true},
		{packages: "internal/deliver/exec", house: transport, tests: true},
		{packages: "internal/notify", house: append(rotation, harmless), tests: true},
		{packages: "internal/health", tests: true},
		{packages: "internal/metrics", house: rotation, tests: true},
		{packages: "internal/telemetry", house: append(rotation, "internal/metrics", harmless), outside: world, tests: true},
		{packages: "internal/version", tests: true},
		{packages: "internal/temporalclient", outside: world, tests: true},
		{packages: "internal/fleet", house: append(plan, "internal/calendar", "internal/charset", "internal/unchanged"), outside: world, tests: true},

		// What people see, and the two programs.
		{packages: "internal/planning", house: append(plan, harmless, "activities", "internal/fleet", "internal/temporalclient", "workflows"), outside: temporal, tests: true},
		{packages: "internal/progress", house: append(plan, "workflows", harmless), tests: true},
		{packages: "internal/report", house: append(plan, "workflows", harmless), tests: true},
		{packages: "internal/watch", house: append(plan, "internal/progress", "workflows", harmless), outside: world, tests: true},
		{packages: "worker", house: world, outside: world, tests: true},
		{packages: "starter", house: world, outside: world, tests: true},

		// What tests the product may import all of it, except the two things that
		// the product is tested against: the simulator and the suite of transports.
		{packages: "internal/proving/bench/...", house: world, outside: world},
		{packages: "internal/proving/chaos", house: world, outside: world},
		{packages: "internal/proving/cluster", house: world, outside: world},
		{packages: "internal/proving/e2e", house: world, outside: world},
		{packages: "internal/proving/stage", house: world, outside: world},
		{packages: "internal/proving/layers", tests: true},
		{packages: "internal/proving/hostile", outside: world, tests: true},
		{packages: "internal/proving/delivertest", house: transport, outside: world, tests: true},
		{packages: "internal/proving/delivertest/bring", house: append(transport, "internal/deliver/file", "internal/proving/delivertest")},
		{packages: "internal/proving/sim/...", house: []string{"internal/rotation", "internal/proving/sim/..."}, outside: world, tests: true},

		// Modules of their own.
		{packages: "internal/tools/...", outside: world, tests: true},
		{packages: "devserver", outside: world, tests: true},
	}
}

// reserved is what only some packages or files may import.
type reserved struct {
	imports string
	by      []string
	// tests lists whose test files may import it too.
	tests []string
}

func reservations() []reserved {
	return []reserved{
		{imports: tencentSDK + "/...", by: []string{"internal/edgeone"}, tests: []string{"internal/edgeone", "internal/proving/sim/..."}},
		{imports: server + "/..."},
		{imports: openTelemetry + "/...", by: []string{"internal/telemetry"}, tests: []string{"internal/telemetry", "internal/proving/..."}},
		// The product does not import what tests it, except for the commands that
		// show it on one machine.
		{imports: house + "/internal/proving/...", by: []string{"starter/demo.go", "starter/sim.go", "internal/proving/..."}, tests: []string{anywhere}},
	}
}

// unreachable names a package that a program must not link, by any chain of
// imports.
type unreachable struct{ program, never string }

func unreachables() []unreachable {
	return []unreachable{
		{"starter", house + "/internal/edgeone"},
		{"starter", tencentSDK + "/..."},
		{"starter", house + "/internal/telemetry"},
	}
}

func TestImportsPointInwards(t *testing.T) {
	found, err := check(os.DirFS("../../.."))
	if err != nil {
		t.Fatal(err)
	}
	for _, violation := range found {
		t.Error(violation)
	}
}

// These test the checker itself: sound is a tree without violations, and each
// case adds one.
func TestViolationsAreFound(t *testing.T) {
	sound := fstest.MapFS{}
	put := func(tree fstest.MapFS, file, source string) {
		tree[file] = &fstest.MapFile{Data: []byte(source)}
	}
	for file, imports := range map[string]string{
		"internal/rotation/r.go":                  `import "time"`,
		"internal/rotation/r_test.go":             `import "keywave/internal/rotation"`,
		"internal/plan/p.go":                      `import "keywave/internal/rotation"`,
		"internal/calendar/c.go":                  `import "time"`,
		"internal/charset/c.go":                   `import "golang.org/x/text/encoding"`,
		"internal/harmless/h.go":                  `import "strings"`,
		"internal/harmless/h_test.go":             `import "keywave/internal/proving/hostile"`,
		"internal/proving/hostile/h.go":           ``,
		"internal/planning/p.go":                  `import ("go.temporal.io/sdk/client"; "keywave/internal/fleet"; "keywave/workflows")`,
		"activities/a.go":                         `import ("go.temporal.io/sdk/activity"; "golang.org/x/sync/errgroup"; "keywave/internal/rotation")`,
		"workflows/w.go":                          `import (sdkworker "go.temporal.io/sdk/worker"; "keywave/activities"; "keywave/internal/rotation")`,
		"workflows/w_test.go":                     `import ("github.com/x/y"; "keywave/workflows")`,
		"internal/fleet/f.go":                     `import ("go.yaml.in/yaml/v3"; "keywave/internal/rotation")`,
		"internal/edgeone/e.go":                   `import "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"`,
		"internal/private/p.go":                   `import "io/fs"`,
		"internal/unchanged/u.go":                 ``,
		"internal/seal/s.go":                      `import "keywave/internal/rotation"`,
		"internal/deliver/d.go":                   `import "keywave/internal/rotation"`,
		"internal/deliver/ssh/s.go":               `import "keywave/internal/deliver"`,
		"internal/deliver/ssh/s_test.go":          `import ("keywave/internal/proving/delivertest"; "keywave/internal/proving/sim/hosts")`,
		"internal/deliver/file/f.go":              `import "keywave/internal/deliver"`,
		"internal/deliver/exec/e.go":              `import "keywave/internal/deliver"`,
		"internal/notify/n.go":                    `import "keywave/internal/rotation"`,
		"internal/health/h.go":                    ``,
		"internal/metrics/m.go":                   `import "keywave/internal/rotation"`,
		"internal/telemetry/l.go":                 `import ("go.opentelemetry.io/otel"; "keywave/internal/metrics")`,
		"internal/version/v.go":                   `import "runtime/debug"`,
		"internal/temporalclient/t.go":            `import "go.temporal.io/sdk/client"`,
		"internal/progress/p.go":                  `import "keywave/workflows"`,
		"internal/watch/w.go":                     `import "keywave/internal/progress"`,
		"internal/proving/bench/b.go":             `import "keywave/internal/proving/bench/baseline"`,
		"internal/proving/bench/baseline/b.go":    `import "keywave/internal/deliver/ssh"`,
		"internal/proving/chaos/c.go":             `import "keywave/internal/proving/stage"`,
		"internal/proving/cluster/main.go":        `import "keywave/internal/proving/stage"`,
		"internal/proving/e2e/e_test.go":          `import ("keywave/internal/proving/stage"; "keywave/workflows")`,
		"internal/proving/stage/s.go":             ``,
		"internal/proving/layers/l_test.go":       `import "testing"`,
		"internal/tools/t_test.go":                `import "testing"`,
		"internal/proving/delivertest/suite.go":   `import "keywave/internal/rotation"`,
		"internal/proving/delivertest/bring/b.go": `import "keywave/internal/deliver/file"`,
		"internal/proving/sim/s.go":               `import ("keywave/internal/rotation"; "keywave/internal/proving/sim/hosts")`,
		"internal/proving/sim/s_test.go":          `import "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"`,
		"internal/proving/sim/hosts/h.go":         ``,
		"internal/report/r.go":                    `import "keywave/internal/rotation"`,
		"worker/main.go":                          `import ("keywave/internal/edgeone"; "keywave/internal/deliver/ssh"; "keywave/workflows")`,
		"starter/main.go":                         `import "keywave/internal/report"`,
		"starter/demo.go":                         `import "keywave/internal/proving/stage"`,
		"starter/sim.go":                          `import "keywave/internal/proving/sim"`,
		"starter/x_test.go":                       `import "keywave/internal/proving/stage"`,
		"devserver/main.go":                       `import "go.temporal.io/server/temporal"`,
		"workflows/testdata/broken.go":            `import (`,
	} {
		put(sound, file, "package p\n"+imports)
	}
	if found, err := check(sound); err != nil || len(found) > 0 {
		t.Fatalf("a house in order: %q, %v", found, err)
	}

	for _, broken := range []struct{ file, imports, want string }{
		{"internal/rotation/x.go", `import "golang.org/x/sync/errgroup"`, "internal/rotation/x.go:2: internal/rotation must not import golang.org/x/sync/errgroup"},
		{"internal/rotation/x_test.go", `import "keywave/internal/fleet"`, "internal/rotation must not import keywave/internal/fleet"},
		{"internal/rotation/x.go", `import "keywave/internal/plan"`, "internal/rotation must not import keywave/internal/plan"},
		{"activities/x.go", `import "keywave/internal/seal"`, "activities must not import keywave/internal/seal"},
		{"activities/x.go", `import "github.com/spf13/cobra"`, "activities must not import github.com/spf13/cobra"},
		{"workflows/x_linux.go", `import "keywave/internal/deliver"`, "workflows must not import keywave/internal/deliver"},
		{"internal/edgeone/x.go", `import "go.opentelemetry.io/otel/metric"`, "only internal/telemetry may import go.opentelemetry.io/..."},
		{"starter/x.go", `import "keywave/internal/telemetry"`, "starter must not link keywave/internal/telemetry"},
		{"workflows/x.go", "//go:build never\n\nimport _ `golang.org/x/time/rate`", "workflows must not import golang.org/x/time/rate"},
		{"internal/seal/x.go", `import "keywave/internal/fleet"`, "internal/seal must not import keywave/internal/fleet"},
		{"internal/seal/x_test.go", `import "keywave/internal/edgeone"`, "internal/seal must not import keywave/internal/edgeone"},
		{"internal/deliver/file/x.go", `import "keywave/internal/deliver/ssh"`, "internal/deliver/file must not import keywave/internal/deliver/ssh"},
		{"internal/deliver/ssh/x.go", `import "keywave/internal/proving/delivertest"`, "internal/deliver/ssh must not import keywave/internal/proving/delivertest"},
		{"internal/proving/sim/hosts/x.go", `import "keywave/internal/deliver/ssh"`, "internal/proving/sim/hosts must not import keywave/internal/deliver/ssh"},
		{"worker/x.go", `import t "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/teo/v20220901"`, "worker/x.go:2: only internal/edgeone may import github.com/tencentcloud/tencentcloud-sdk-go/..."},
		{"worker/x_test.go", `import "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"`, "only internal/edgeone may import"},
		{"worker/x.go", `import "keywave/internal/proving/sim"`, "only starter/demo.go, starter/sim.go and internal/proving/... may import keywave/internal/proving/..."},
		{"starter/x.go", `import "keywave/internal/proving/stage"`, "starter/x.go:2: only starter/demo.go, starter/sim.go and internal/proving/... may import"},
		{"worker/demo.go", `import "keywave/internal/proving/sim"`, "worker/demo.go:2: only starter/demo.go, starter/sim.go and"},
		{"internal/proving/sim/x.go", `import "keywave/internal/proving/stage"`, "internal/proving/sim must not import keywave/internal/proving/stage"},
		{"internal/notify/x.go", `import "keywave/workflows"`, "internal/notify must not import keywave/workflows"},
		{"internal/novel/x.go", ``, "internal/novel: no rule says what it may import"},
		{"internal/novel/x_test.go", `import "time"`, "internal/novel: no rule says what it may import"},
		{"internal/report/deeper/x.go", ``, "internal/report/deeper: no rule says what it may import"},
		{"worker/x_test.go", `import "go.temporal.io/server/temporal"`, "nobody but devserver may import go.temporal.io/server/..."},
		{"internal/tools/x.go", `import "go.temporal.io/server"`, "nobody but devserver may import go.temporal.io/server/..."},
		{"starter/x.go", `import "keywave/internal/edgeone"`, "starter must not link keywave/internal/edgeone: starter → keywave/internal/edgeone"},
		{"internal/report/x.go", `import "keywave/internal/edgeone"`, "starter must not link keywave/internal/edgeone: starter → keywave/internal/report → keywave/internal/edgeone"},
		{"worker/x.go", `import "go.temporal.io/sdk/worker"`, "worker/x.go:2: import go.temporal.io/sdk/worker as sdkworker"},
		{"worker/x_test.go", `import w "go.temporal.io/sdk/worker"`, "worker/x_test.go:2: import go.temporal.io/sdk/worker as sdkworker"},
		{"devserver/x.go", `import "go.temporal.io/sdk/worker"`, "devserver/x.go:2: import go.temporal.io/sdk/worker as sdkworker"},
	} {
		t.Run(broken.file+" "+broken.imports, func(t *testing.T) {
			tree := fstest.MapFS{}
			for file, content := range sound {
				tree[file] = content
			}
			put(tree, broken.file, "package p\n"+broken.imports)
			found, err := check(tree)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(found, func(s string) bool { return strings.Contains(s, broken.want) }) {
				t.Errorf("found %q, want one with %q", found, broken.want)
			}
		})
	}

	t.Run("a rule about nothing", func(t *testing.T) {
		tree := fstest.MapFS{}
		for file, content := range sound {
			if !strings.HasPrefix(file, "internal/seal/") {
				tree[file] = content
			}
		}
		found, err := check(tree)
		if err != nil || !slices.Contains(found, "internal/seal: there is a rule but no such package") {
			t.Errorf("found %q, %v", found, err)
		}
	})
	t.Run("a file that cannot be read as Go", func(t *testing.T) {
		if _, err := check(fstest.MapFS{"worker/x.go": {Data: []byte("package p\nimport (")}}); err == nil {
			t.Error("no error")
		}
	})
}

// one is one import in one file.
type one struct {
	// file and in are the paths of the importing file and of its package, such as
	// internal/seal.
	file, in string
	at       string
	// name is the name under which it is imported, if one is given.
	name, path string
	test       bool
}

// check returns every violation in the tree.
func check(tree fs.FS) ([]string, error) {
	packages, all, err := read(tree)
	if err != nil {
		return nil, err
	}
	var found []string
	say := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	for _, p := range packages {
		if !slices.ContainsFunc(layers(), func(l layer) bool { return matches(p, l.packages) }) {
			say("%s: no rule says what it may import; give it one in internal/proving/layers", p)
		}
	}
	for _, i := range all {
		for _, l := range layers() {
			if matches(i.in, l.packages) && !l.allows(i) {
				say("%s: %s must not import %s", i.at, i.in, i.path)
			}
		}
		for _, r := range reservations() {
			if i.in != "devserver" && matches(i.path, r.imports) && !r.allows(i) {
				say("%s: %s may import %s", i.at, r.who(), r.imports)
			}
		}
		if i.path == sdkWorker && i.name != workerName {
			say("%s: import %s as %s", i.at, sdkWorker, workerName)
		}
	}
	for _, u := range unreachables() {
		if way := wayTo(all, u); way != "" {
			say("%s must not link %s: %s", u.program, u.never, way)
		}
	}
	for _, l := range layers() {
		if !slices.ContainsFunc(packages, func(p string) bool { return matches(p, l.packages) }) {
			say("%s: there is a rule but no such package", l.packages)
		}
	}
	return found, nil
}

// read returns the packages of the tree and the imports of every Go file.
func read(tree fs.FS) (packages []string, all []one, err error) {
	err = fs.WalkDir(tree, ".", func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && file != "." && (d.Name() == "testdata" || d.Name()[0] == '.' || d.Name() == "bin"):
			return fs.SkipDir
		case d.IsDir() || path.Ext(file) != ".go":
			return nil
		}
		if in := path.Dir(file); !slices.Contains(packages, in) {
			packages = append(packages, in)
		}
		source, err := fs.ReadFile(tree, file)
		if err != nil {
			return err
		}
		files := token.NewFileSet()
		parsed, err := parser.ParseFile(files, file, source, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			i := one{file: file, in: path.Dir(file), path: imported, test: strings.HasSuffix(file, "_test.go")}
			i.at = fmt.Sprintf("%s:%d", file, files.Position(spec.Pos()).Line)
			if spec.Name != nil {
				i.name = spec.Name.Name
			}
			all = append(all, i)
		}
		return nil
	})
	return packages, all, err
}

func (l layer) allows(i one) bool {
	switch inner, inHouse := strings.CutPrefix(i.path, house+"/"); {
	case i.test && !l.tests:
		return true
	case inHouse && i.test:
		return inner == i.in || matchesAny(inner, l.house) || matchesAny(inner, testingAids())
	case inHouse:
		return matchesAny(inner, l.house)
	case isStandard(i.path):
		return true
	default:
		return matchesAny(i.path, l.outside)
	}
}

func (r reserved) allows(i one) bool {
	return matchesAny(i.in, r.by) || slices.Contains(r.by, i.file) || i.test && matchesAny(i.in, r.tests)
}

func (r reserved) who() string {
	if len(r.by) == 0 {
		return "nobody but devserver"
	}
	last := len(r.by) - 1
	if last == 0 {
		return "only " + r.by[0]
	}
	return "only " + strings.Join(r.by[:last], ", ") + " and " + r.by[last]
}

// wayTo is the shortest chain of imports by which a program links what it must
// not. It is "" if there is none.
func wayTo(all []one, u unreachable) string {
	imports := map[string][]string{}
	for _, i := range all {
		if !i.test {
			imports[i.in] = append(imports[i.in], i.path)
		}
	}
	ways := [][]string{{u.program}}
	seen := map[string]bool{}
	for len(ways) > 0 {
		way := ways[0]
		ways = ways[1:]
		last := way[len(way)-1]
		if matches(last, u.never) {
			return strings.Join(way, " → ")
		}
		for _, next := range imports[strings.TrimPrefix(last, house+"/")] {
			if !seen[next] {
				seen[next] = true
				ways = append(ways, append(slices.Clone(way), next))
			}
		}
	}
	return ""
}

// matches says whether a path is at a pattern.
func matches(p, pattern string) bool {
	if pattern == anywhere {
		return true
	}
	if root, below := strings.CutSuffix(pattern, "/..."); below {
		return p == root || strings.HasPrefix(p, root+"/")
	}
	return p == pattern
}

func matchesAny(p string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return matches(p, pattern) })
}

// isStandard says that a path is one of the standard library: its first element
// is no host name.
func isStandard(p string) bool {
	first, _, _ := strings.Cut(p, "/")
	return !strings.Contains(first, ".") && first != house
}
