package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// module has a package for each way to fail, and a last one that passes.
func module() map[string]string {
	return map[string]string{
		"go.mod":             "module planted\n\ngo 1.26\n",
		"a/a_test.go":        "package a\nimport \"testing\"\nfunc TestGood(t *testing.T) {}\nfunc TestBad(t *testing.T) {\n\tt.Run(\"row 1/it's $HOME (odd)\", func(t *testing.T) { t.Error(\"said by a\") })\n\tt.Run(\"row 2\", func(t *testing.T) {})\n}\nfunc TestAlsoBad(t *testing.T) { t.Error(\"said too\") }\n",
		"builds/b_test.go":   "package builds\nfunc not() { undefined() }\n",
		"dies/d_test.go":     "package dies\nimport (\"os\"; \"testing\")\nfunc TestMain(m *testing.M) { println(\"said by dies\"); os.Exit(7) }\nfunc TestNone(t *testing.T) {}\n",
		"zpasses/z_test.go":  "package zpasses\nimport \"testing\"\nfunc TestGood(t *testing.T) {}\n",
		"panics/p_test.go":   "package panics\nimport \"testing\"\nfunc TestFirst(t *testing.T) {}\nfunc TestPanics(t *testing.T) { panic(\"said by panics\") }\n",
		"nothing/nothing.go": "package nothing\n",
		"skips/s_test.go":    "package skips\nimport \"testing\"\nfunc TestLacks(t *testing.T) { t.Run(\"a part\", func(t *testing.T) { t.Skip(\"it lacks something\") }) }\n",
	}
}

func plant(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// After a line that fails, the next ones are still run, and beside a package
// that fails the others are. The last lines name what failed, and their
// commands run exactly that.
func TestFailuresHideNothing(t *testing.T) {
	dir := plant(t, module())
	code, said := inTurnSays(t, "echo first; exit 3", "cd "+dir+" && go test -timeout 1m ./...", "echo last")
	if code != 3 {
		t.Errorf("exit %d, want the worst, 3", code)
	}
	for _, words := range []string{"first\n", "said by a", "said too", "undefined: undefined", "said by dies", "said by panics", "PASS  planted/zpasses", "FAIL  planted/a ", "last\n"} {
		if !strings.Contains(said, words) {
			t.Errorf("it does not say %q", words)
		}
	}
	if n := strings.Count(said, "\nskipped: "); n != 1 || !strings.Contains(said, "\nskipped: planted/skips TestLacks/a_part\n") {
		t.Errorf("%d skipped tests are named:\n%s", n, said)
	}
	alone := commands(t, said)
	for what, want := range map[string]string{
		"echo first; exit 3":                       "",
		"planted/a TestBad/row_1/it's_$HOME_(odd)": "said by a",
		"planted/a TestAlsoBad":                    "said too",
		"planted/builds":                           "undefined: undefined",
		"planted/dies":                             "said by dies",
		"planted/panics TestPanics":                "said by panics",
	} {
		command, named := alone[what]
		delete(alone, what)
		again, err := exec.Command("sh", "-c", command).CombinedOutput()
		if !named || err == nil || !strings.Contains(string(again), want) {
			t.Errorf("%q is named: %v; %s\nended with %v: %s", what, named, command, err, again)
		}
		if strings.Count(string(again), "said ") > 1 && what != "planted/panics TestPanics" {
			t.Errorf("%s runs others, too:\n%s", command, again)
		}
	}
	if len(alone) > 0 || t.Failed() {
		t.Errorf("these are named, and did not fail: %v\n%s", alone, said)
	}
}

func inTurnSays(t *testing.T, lines ...string) (code int, said string) {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	code = inTurn(lines, out)
	all, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return code, string(all)
}

// commands reads the last lines: what failed, and how to run it alone.
func commands(t *testing.T, said string) map[string]string {
	t.Helper()
	_, last, _ := strings.Cut(said, "\nfailed: ")
	found := map[string]string{}
	for entry := range strings.SplitSeq(last, "\nfailed: ") {
		what, command, ok := strings.Cut(strings.TrimSpace(entry), "\nalone:  ")
		if !ok {
			t.Fatalf("the last lines are not to be read:\n%s", entry)
		}
		found[what] = command
	}
	return found
}

func TestAllPassed(t *testing.T) {
	dir := plant(t, map[string]string{"go.mod": module()["go.mod"], "zpasses/z_test.go": module()["zpasses/z_test.go"]})
	if code, said := inTurnSays(t, "cd "+dir+" && go test ./...", "true"); code != 0 || !strings.HasSuffix(said, "\nall passed\n") {
		t.Errorf("exit %d: %s", code, said)
	}
}
