// Command inturn runs shell command lines one after the other, whatever became of
// those before, and ends with the worst of their exit codes. Its last lines name
// each test that failed, and the command that runs it alone.
package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"gotest.tools/gotestsum/testjson"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: inturn COMMAND-LINE…")
		os.Exit(2)
	}
	os.Exit(inTurn(os.Args[1:], os.Stdout))
}

// failure is something that failed, and the command line that runs it alone.
type failure struct{ what, alone string }

func inTurn(lines []string, out *os.File) int {
	worst := 0
	var failed []failure
	for _, line := range lines {
		fmt.Fprintf(out, "\n== %s\n", line)
		began := time.Now()
		code, found := run(line, out)
		fmt.Fprintf(out, "== exit %d after %s\n", code, time.Since(began).Round(time.Second))
		worst = max(worst, code)
		failed = append(failed, found...)
	}
	for _, f := range failed {
		fmt.Fprintf(out, "\nfailed: %s\nalone:  %s\n", f.what, f.alone)
	}
	if worst == 0 {
		fmt.Fprintln(out, "\nall passed")
	}
	return worst
}

// goTest is a word of a line whose tests are told apart.
const goTest = "go test "

func run(line string, out *os.File) (int, []failure) {
	if !strings.Contains(line, goTest) {
		return passed(line, command(line, out).Run(), nil)
	}
	cmd := command(strings.Replace(line, goTest, goTest+"-json ", 1), out)
	cmd.Stdout = nil
	events, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return passed(line, err, nil)
	}
	tests, err := testjson.ScanTestOutput(testjson.ScanConfig{Stdout: events, Handler: told(out), IgnoreNonJSONOutputLines: true})
	return passed(line, cmp.Or(cmd.Wait(), err), tests)
}

func command(line string, out *os.File) *exec.Cmd {
	cmd := exec.Command("sh", "-c", line)
	cmd.Stdout, cmd.Stderr = out, out
	return cmd
}

// passed is the exit code, and what failed: tests, or else the whole line.
func passed(line string, err error, tests *testjson.Execution) (int, []failure) {
	if err == nil {
		return 0, nil
	}
	var failed []failure
	for _, test := range testjson.FilterFailedUnique(tests.Failed()) {
		what := strings.TrimSpace(test.Package + " " + test.Test.Name())
		failed = append(failed, failure{what, alone(line, test)})
	}
	if len(failed) == 0 {
		failed = []failure{{line, line}}
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() > 0 {
		return exit.ExitCode(), failed
	}
	return 1, append(failed, failure{err.Error(), line})
}

// alone is the line with one test in the place of all. A package that failed
// without a test, such as one that does not build, is run whole.
func alone(line string, test testjson.TestCase) string {
	name := test.Test.Name()
	if name == "" {
		return strings.Replace(line, "./...", test.Package, 1)
	}
	var levels []string
	for level := range strings.SplitSeq(name, "/") {
		levels = append(levels, "^"+regexp.QuoteMeta(level)+"$")
	}
	quoted := "'" + strings.ReplaceAll(strings.Join(levels, "/"), "'", `'\''`) + "'"
	return strings.Replace(line, "./...", "-run "+quoted+" "+test.Package, 1)
}

// teller says how each package ended, and what its failing tests, a build that
// failed or a package that died had to say.
type teller struct {
	testjson.EventFormatter
	out *os.File
}

func told(out *os.File) teller {
	return teller{testjson.NewEventFormatter(out, "pkgname-and-test-fails", testjson.FormatOptions{Icons: "text"}), out}
}

func (t teller) Event(event testjson.TestEvent, tests *testjson.Execution) error {
	if event.Action == testjson.ActionBuild {
		return t.Err(strings.TrimSuffix(event.Output, "\n"))
	}
	died := event.PackageEvent() && event.Action == testjson.ActionFail && tests.Package(event.Package).TestMainFailed()
	if died {
		if err := tests.Package(event.Package).WriteOutputTo(t.out, 0); err != nil {
			return err
		}
	}
	return t.Format(event, tests)
}

func (t teller) Err(text string) error {
	_, err := t.out.WriteString(text + "\n")
	return err
}
