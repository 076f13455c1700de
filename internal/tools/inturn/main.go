// Command inturn runs shell command lines one after the other, even if an
// earlier one failed, and ends with the worst of their exit codes. Its last
// lines name each test that was skipped, and each that failed, with the command
// that runs it alone.
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

// ended are the tests and lines that did not pass.
type ended struct {
	failed  []failure
	skipped []string
}

func inTurn(lines []string, out *os.File) int {
	worst := 0
	var all ended
	for _, line := range lines {
		fmt.Fprintf(out, "\n== %s\n", line)
		began := time.Now()
		code, found := run(line, out)
		fmt.Fprintf(out, "== exit %d after %s\n", code, time.Since(began).Round(time.Second))
		worst = max(worst, code)
		all.failed, all.skipped = append(all.failed, found.failed...), append(all.skipped, found.skipped...)
	}
	for _, what := range all.skipped {
		fmt.Fprintf(out, "\nskipped: %s\n", what)
	}
	for _, f := range all.failed {
		fmt.Fprintf(out, "\nfailed: %s\nalone:  %s\n", f.what, f.alone)
	}
	if worst == 0 {
		fmt.Fprintln(out, "\nall passed")
	}
	return worst
}

// goTest is the beginning of a line whose tests are reported one by one.
const goTest = "go test "

func run(line string, out *os.File) (int, ended) {
	if !strings.Contains(line, goTest) {
		return passed(line, command(line, out).Run(), &testjson.Execution{})
	}
	cmd := command(strings.Replace(line, goTest, goTest+"-json ", 1), out)
	cmd.Stdout = nil
	events, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return passed(line, err, &testjson.Execution{})
	}
	tests, err := testjson.ScanTestOutput(testjson.ScanConfig{Stdout: events, Handler: told(out), IgnoreNonJSONOutputLines: true})
	return passed(line, cmp.Or(cmd.Wait(), err), tests)
}

func command(line string, out *os.File) *exec.Cmd {
	cmd := exec.Command("sh", "-c", line)
	cmd.Stdout, cmd.Stderr = out, out
	return cmd
}

// passed returns the exit code, and what did not pass: tests, or else the whole
// line.
func passed(line string, err error, tests *testjson.Execution) (int, ended) {
	var e ended
	for _, test := range tests.Skipped() {
		if test.Test.Name() != "" { // a package without tests skips none
			e.skipped = append(e.skipped, nameOf(test))
		}
	}
	if err == nil {
		return 0, e
	}
	for _, test := range testjson.FilterFailedUnique(tests.Failed()) {
		e.failed = append(e.failed, failure{nameOf(test), alone(line, test)})
	}
	if len(e.failed) == 0 {
		e.failed = []failure{{line, line}}
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() > 0 {
		return exit.ExitCode(), e
	}
	e.failed = append(e.failed, failure{err.Error(), line})
	return 1, e
}

func nameOf(test testjson.TestCase) string {
	return strings.TrimSpace(test.Package + " " + test.Test.Name())
}

// alone is the line with one test in place of all. A package that failed
// without a test, for example because it does not build, is run whole.
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

// teller prints how each package ended, and the output of its failing tests, of
// a build that failed or of a package that crashed.
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
