package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Every command in the docs is run by a script, together with each flag that
// the docs show for it. A run counts when it ends with 0 or 2: a command that
// is refused, or used wrongly, has done nothing.
func TestCommandsOfDocsAreRun(t *testing.T) {
	ran := map[use]bool{}
	for _, script := range append(glob(t, "testdata/script/*.txtar"), glob(t, "../worker/testdata/script/*.txtar")...) {
		for _, args := range runsIn(read(t, script)) {
			uses, err := usesOf(args)
			if err != nil {
				t.Errorf("%s: %q: %v", script, args, err)
			}
			for _, u := range uses {
				ran[u] = true
			}
		}
	}
	found := 0
	for _, file := range pages(t) {
		p := page{text: read(t, file)}
		p.read()
		found += len(p.commands)
		for _, problem := range p.problems {
			t.Errorf("%s: %s", file, problem)
		}
		for _, args := range p.commands {
			uses, err := usesOf(args)
			if err != nil {
				t.Errorf("%s: %q: %v", file, args, err)
			}
			for _, u := range uses {
				if !ran[u] {
					t.Errorf("%s: %q: no script runs %s", file, args, u)
				}
			}
		}
	}
	if found < 200 {
		t.Errorf("only %d commands were found in the docs", found)
	}
}

// Each target that the docs name exists in the Makefile.
func TestDocsNameTargetsThatExist(t *testing.T) {
	makefile := read(t, "../Makefile")
	named := regexp.MustCompile("(?m)(?:`|^ *)(?:[A-Z_]+=\\S+ )?make ([a-z][a-z0-9-]*)")
	found := 0
	for _, file := range pages(t) {
		for _, m := range named.FindAllStringSubmatch(read(t, file), -1) {
			found++
			if !strings.Contains(makefile, "\n"+m[1]+":") {
				t.Errorf("%s: the Makefile cannot make %s", file, m[1])
			}
		}
	}
	if found < 15 {
		t.Errorf("only %d targets were found in the docs", found)
	}
}

func pages(t *testing.T) []string {
	all := []string{"../README.md"}
	err := filepath.WalkDir("../docs", func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".md" {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func glob(t *testing.T, pattern string) []string {
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %v", pattern, err)
	}
	return files
}

func read(t *testing.T, file string) string {
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// use is a command with one of its flags, or with "". A flag that chooses an
// output form includes its value.
type use struct{ command, flag string }

func (u use) String() string { return strings.TrimSpace(u.command + " " + u.flag) }

func withValue(flag string) bool { return flag == "output" || flag == "format" }

// usesOf takes a command line apart: a program and its arguments.
func usesOf(args []string) ([]use, error) {
	if args[0] != "keywave" {
		return usesOfOther(args), nil
	}
	args = slices.Clone(args[1:])
	for i, word := range args {
		if word == "N" || strings.HasPrefix(word, "$") { // a number fits whatever it stands for
			args[i] = "1"
		}
	}
	root := newRoot()
	cmd, rest, err := root.Find(args)
	if err != nil {
		return nil, err
	}
	if cmd.HasSubCommands() && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
		if err := oneBelow(cmd, rest); err != nil {
			return nil, err
		}
	}
	var uses []use
	if cmd.HasParent() {
		uses = append(uses, use{command: cmd.CommandPath()})
	}
	err = cmd.ParseFlags(rest)
	for _, value := range []string{"1", "1h"} { // a flag that is named without its value
		if err != nil {
			err = cmd.ParseFlags(append(rest, value))
		}
	}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		u := use{cmd.CommandPath(), "--" + f.Name}
		if withValue(f.Name) {
			u.flag += " " + f.Value.String()
		}
		uses = append(uses, u)
		if root.PersistentFlags().Lookup(f.Name) != nil { // a flag that all commands have in common
			uses = append(uses, use{root.CommandPath(), u.flag})
		}
	})
	return uses, err
}

// usesOfOther are the uses of a program whose flags this package does not know.
// If they do not exist, no script can run them.
func usesOfOther(args []string) []use {
	uses := []use{{command: args[0]}}
	for _, word := range args[1:] {
		if flag, _, _ := strings.Cut(word, "="); aFlag.MatchString(flag) {
			uses = append(uses, use{args[0], flag})
		}
	}
	return uses
}

// page is a page of the docs, and the commands in it.
type page struct {
	text     string
	commands [][]string
	problems []string
	section  [][]string // the commands of this section so far
}

var (
	program = regexp.MustCompile(`(?:^|<\()(?:bin/)?(keywave|worker|devserver) (.*)`)
	inBlock = regexp.MustCompile(`^(?: *(?:\$ )?|.*: )(?:bin/)?(keywave|worker|devserver) ([a-z-].*)`)
	span    = regexp.MustCompile("`([^`]+)`")
	aFlag   = regexp.MustCompile(`^(?:-[a-z]|--[a-z-]+)(?: |$)`)
	// These programs have flags too.
	foreign = regexp.MustCompile(`^(?:[A-Z_]+=\S+ )?(?:go|jq|ssh-keygen) `)
)

// read collects the commands: line by line from code blocks, and from the words
// in backquotes in the text around them.
func (p *page) read() {
	text := ""
	block, before := false, ""
	for line := range strings.Lines(p.text + "\n") {
		line = strings.TrimRight(line, "\n")
		fence := strings.HasPrefix(strings.TrimSpace(line), "```")
		switch {
		case fence || line == "" || strings.HasPrefix(line, "#") && !block:
			for _, m := range span.FindAllStringSubmatch(text, -1) {
				p.span(strings.Join(strings.Fields(strings.ReplaceAll(m[1], `\|`, "|")), " "))
			}
			text = ""
			if fence {
				block = !block
			} else if line != "" && !block {
				p.section = nil
			}
		case !block:
			text += line + "\n"
		case strings.HasSuffix(line, `\`):
			before += strings.TrimSuffix(line, `\`)
		default:
			if m := inBlock.FindStringSubmatch(before + line); m != nil && !strings.Contains(m[2], "──") { // a drawing
				p.command(m[1], m[2])
			}
			before = ""
		}
	}
}

// span reads a text in backquotes: a command, with or without its program, or
// flags of a command before it.
func (p *page) span(text string) {
	first, _, _ := strings.Cut(text, " ")
	if m := program.FindStringSubmatch(text); m != nil {
		p.command(m[1], strings.TrimSuffix(m[2], ")")) // source <(keywave completion bash)
	} else if cmd, _, err := newRoot().Find([]string{first}); err == nil && cmd.HasParent() {
		if below, _, err := cmd.Find(strings.Fields(text)[1:]); err != nil || !below.HasSubCommands() {
			p.command("keywave", text)
		}
	} else if aFlag.MatchString(text) {
		p.flags(text)
	} else if strings.Contains(text, " --") && !foreign.MatchString(text) {
		p.problems = append(p.problems, fmt.Sprintf("which program's command is %q?", text))
	}
}

func newRoot() *cobra.Command { return (&app{out: io.Discard, err: io.Discard}).root() }

// command notes a command line. In it, a|b stands for two commands.
func (p *page) command(program, line string) {
	line, _, _ = strings.Cut(line, " #")
	line, _, _ = strings.Cut(line, ";")
	lines := [][]string{{program}}
	for _, word := range words(line) {
		var more [][]string
		for each := range strings.SplitSeq(word, "|") {
			for _, l := range lines {
				more = append(more, append(slices.Clone(l), each))
			}
		}
		lines = more
	}
	p.commands = append(p.commands, lines...)
	p.section = append(p.section, lines...)
}

// flags belong to the last command before them that has them. Flags of all
// commands belong to none.
func (p *page) flags(text string) {
	if text == "--help" { // TestEveryCommandHelps checks it
		return
	}
	for _, args := range slices.Backward(append([][]string{{"keywave"}}, p.section...)) {
		line := append([]string{args[0]}, strings.Fields(text)...)
		if cmd, _, err := newRoot().Find(args[1:]); err == nil && args[0] == "keywave" {
			line = append(strings.Fields(cmd.CommandPath()), line[1:]...)
		}
		if _, err := usesOf(line); err == nil {
			p.command(line[0], strings.Join(line[1:], " "))
			return
		}
	}
	p.problems = append(p.problems, fmt.Sprintf("no command of this section has %q", text))
}

// runsIn are the command lines that a script runs and that end with a code that
// counts. A line behind a condition may not be run, so it does not count.
func runsIn(script string) [][]string {
	var all [][]string
	for line := range strings.Lines(script) {
		if strings.HasPrefix(line, "-- ") || strings.HasPrefix(line, "[") && strings.Contains(line, " skip ") {
			break
		}
		args := scriptWords(line)
		if len(args) == 0 {
			continue
		}
		if strings.HasPrefix(args[len(args)-1], "&") { // in the background
			args = args[:len(args)-1]
		}
		switch args[0] {
		case "exits", "types":
			if code, _, _ := strings.Cut(args[1], "<"); code != "0" && code != "2" {
				continue
			}
			args = args[2:]
		case "eventually", "exec":
			args = args[1:]
		case "world":
			args = append([]string{"keywave"}, simArgs("world", args[1:])...)
		case "work":
			args = append([]string{"worker"}, workerArgs("identity", args[2:])...)
		case "temporal":
			args = append([]string{"devserver"}, devserverArgs("temporal.db")...)
		default:
			continue
		}
		if args[0] == "sh" {
			m := inShell.FindStringSubmatch(args[2])
			if m == nil {
				continue
			}
			args = words(m[1])
		}
		args[0] = strings.TrimPrefix(args[0], "bin/")
		if slices.Contains([]string{"keywave", "worker", "devserver"}, args[0]) &&
			!slices.Contains(args, "--help") && (len(args) < 2 || args[1] != "__complete") {
			all = append(all, args)
		}
	}
	return all
}

var inShell = regexp.MustCompile(`^(?:exec )?((?:bin/)?(?:keywave|worker|devserver) [^|;&>]*)`)

// scriptWords splits a line as testscript does.
func scriptWords(line string) []string {
	var all []string
	word, quoted, begun := "", false, false
	for _, r := range line {
		switch {
		case r == '\'':
			quoted, begun = !quoted, true
		case !quoted && r == '#':
			return all
		case !quoted && (r == ' ' || r == '\t' || r == '\n'):
			if begun {
				all = append(all, word)
			}
			word, begun = "", false
		default:
			word += string(r)
			begun = true
		}
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
