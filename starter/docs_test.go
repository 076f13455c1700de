package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The docs name only commands and flags that there are.
func TestDocsNameCommandsThatExist(t *testing.T) {
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("../docs/how-to/*.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, page := range append(append(pages, more...), "../README.md") {
		body, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range commandsIn(string(body)) {
			found++
			if err := parses(line); err != nil {
				t.Errorf("%s: %s: %v", page, line, err)
			}
		}
	}
	if found < 60 {
		t.Errorf("only %d commands were found in the docs", found)
	}
}

var (
	inline = regexp.MustCompile("`(?:bin/)?keywave ([^`\n]+)`")
	block  = regexp.MustCompile(`(?m)^ *(?:\$ )?(?:bin/)?keywave ([^\n]+)$`)
)

// commandsIn are the arguments of each command of keywave in a page.
func commandsIn(page string) []string {
	var all []string
	for _, pattern := range []*regexp.Regexp{inline, block} {
		for _, m := range pattern.FindAllStringSubmatch(page, -1) {
			line, _, _ := strings.Cut(m[1], " #")
			line, _, _ = strings.Cut(line, ";")
			if strings.Contains(line, "──") { // a drawing
				continue
			}
			all = append(all, strings.TrimSpace(line))
		}
	}
	return all
}

// A table of the docs writes a|b for two commands, […] for what may be left out
// and an ellipsis for what goes on.
var decoration = strings.NewReplacer(`\|`, "|", "[", "", "]", "", "…", "")

func parses(line string) error {
	args := words(decoration.Replace(line))
	for i, word := range args {
		if word == "N" {
			args[i] = "1"
		}
	}
	root := (&app{out: io.Discard, err: io.Discard}).root()
	for i, word := range args {
		if first, rest, several := strings.Cut(word, "|"); several && i < 3 {
			for other := range strings.SplitSeq(rest, "|") {
				again := append([]string{}, args...)
				again[i] = other
				if err := parses(strings.Join(quoted(again), " ")); err != nil {
					return err
				}
			}
			args[i] = first
		}
	}
	cmd, rest, err := root.Find(args)
	if err != nil {
		return err
	}
	if cmd.HasSubCommands() && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
		return oneBelow(cmd, rest)
	}
	// A flag that is named alone, without its value, is given one.
	err = cmd.ParseFlags(rest)
	if err != nil && strings.Contains(err.Error(), "needs an argument") {
		return nil
	}
	return err
}

func quoted(args []string) []string {
	all := make([]string, len(args))
	for i, a := range args {
		all[i] = `"` + a + `"`
	}
	return all
}

// words splits at spaces outside of quotes.
func words(line string) []string {
	var all []string
	for _, m := range regexp.MustCompile(`'([^']*)'|"([^"]*)"|(\S+)`).FindAllStringSubmatch(line, -1) {
		all = append(all, m[1]+m[2]+m[3])
	}
	return all
}
