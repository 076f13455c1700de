package main

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// transcript is the key under which a script keeps what it has recorded.
type transcript struct{}

// say adds a line of comment to the transcript.
func say(ts *testscript.TestScript, _ bool, args []string) {
	b := ts.Value(transcript{}).(*bytes.Buffer)
	if b.Len() > 0 {
		b.WriteString("\n")
	}
	b.WriteString("# " + strings.Join(args, " ") + "\n")
}

// types runs a command as exits does, and adds the command and its output to
// the transcript, as a person would have seen them.
func types(ts *testscript.TestScript, neg bool, args []string) {
	exits(ts, neg, args)
	b := ts.Value(transcript{}).(*bytes.Buffer)
	b.WriteString("$ " + shown(args[1:]) + "\n")
	b.WriteString(alike.Replace(ts.ReadFile("stdout") + ts.ReadFile("stderr")))
}

func shown(args []string) string {
	words := make([]string, len(args))
	for i, a := range args {
		if words[i] = a; strings.ContainsAny(a, " ") {
			words[i] = `"` + a + `"`
		}
	}
	return alike.Replace(strings.Join(words, " "))
}

// replacer replaces the times and names of one run by fixed words.
type replacer []struct {
	from *regexp.Regexp
	to   string
}

var alike = replacer{
	{regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d running .*\n`), ""}, // how many there are depends on the machine
	{regexp.MustCompile(`\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b`), "661624b0-255f-4396-84fc-d5b3f9fa73b3"},
	{regexp.MustCompile(`(clock of the worker of \w+): .*`), "$1: 0s ahead of EdgeOne's"},
	{regexp.MustCompile(`\b[0-9a-f]{64}\b`), "9f2c…"},
	{regexp.MustCompile(`\b[0-9a-f]{32}\b`), "353794fe0444d3b4c770ca25956e45d5"},
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\b`), "2026-11-24 03:12:09"},
	{regexp.MustCompile(`\b\d\d:\d\d:\d\d\b`), "03:12:09"},
	{regexp.MustCompile(`\b\d+ ?ms\b`), "90ms"},
	{regexp.MustCompile(`\b(p50|p90|p99|max) \d(\.\d+)?s\b`), "$1 90ms"}, // on a busy machine
	{regexp.MustCompile(`\b(refresh [12] +describe) [12]\d\b`), "$1 18"}, // a read that is late within the refresh is made once more
	{regexp.MustCompile(`\b(refresh 8 +describe) [23]\d\b`), "$1 24"},    // likewise
	{regexp.MustCompile(`\b\d+(\.\d+)? zones/s`), "2.4 zones/s"},
	{regexp.MustCompile(`\b\d+(\.\d+)?/s of `), "0.1/s of "},
	{regexp.MustCompile(`\b(\d+m)?\d+(\.\d+)?s\b`), "9s"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "10.1.0.11:22"},
	{regexp.MustCompile(`\b[\w-]+@[\w.-]+(/\S+/fleet-[0-9a-f]+)?`), "ann@bastion"}, // with its version and its fleet file
	{regexp.MustCompile(`(fleet files of the workers): [0-9a-f]+`), "$1: 3f9a04c1d2e7"},
	{regexp.MustCompile(`/\S*/fleet\.yaml`), "fleet.yaml"},
}

func (r replacer) Replace(s string) string {
	for _, x := range r {
		s = x.from.ReplaceAllString(s, x.to)
	}
	return s
}

// recorded compares the transcript with the code block of a page of the docs.
// With -update it writes it there.
func recorded(ts *testscript.TestScript, _ bool, args []string) {
	body, err := os.ReadFile(args[0])
	ts.Check(err)
	before, rest, found := strings.Cut(string(body), "```console\n")
	was, after, closed := strings.Cut(rest, "```\n")
	if !found || !closed {
		ts.Fatalf("%s has no block of console", args[0])
	}
	now := ts.Value(transcript{}).(*bytes.Buffer).String()
	if now == was {
		return
	}
	if !*update {
		ts.Fatalf("%s shows something else (go test ./starter -run TestScript/^day$ -update writes it anew); now it is:\n%s", args[0], now)
	}
	ts.Check(os.WriteFile(args[0], []byte(before+"```console\n"+now+"```\n"+after), 0o644))
}

func TestAlike(t *testing.T) {
	const in = "plan 0123456789abcdef0123456789abcdef at 2026-01-02 03:04:05 by root@vm-1, p50 12 ms p99 1.2s max 31s"
	if got, want := alike.Replace(in), "plan 353794fe0444d3b4c770ca25956e45d5 at 2026-11-24 03:12:09 by ann@bastion, p50 90ms p99 90ms max 9s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
