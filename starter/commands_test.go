package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// Every command there is, the generated ones too, explains itself and has an
// example that is about it.
func TestEveryCommandHelps(t *testing.T) {
	for _, words := range everyCommand(t) {
		t.Run(strings.Join(words, " "), func(t *testing.T) {
			code, out, said := speak(append(words[1:], "--help")...)
			if code != exitOK || said != "" {
				t.Errorf("--help: exit code %d, standard error %q", code, said)
			}
			_, examples, found := strings.Cut(out, "\nExamples:\n")
			if example, _, _ := strings.Cut(examples, "\n\n"); !found || !strings.Contains(example, strings.Join(words, " ")) {
				t.Errorf("--help has no example of %v:\n%s", words, out)
			}
			if strings.Contains(out, "\n\n\n") || strings.HasPrefix(out, "\n") {
				t.Errorf("--help has holes:\n%s", out)
			}
			code, again, said := speak(append([]string{"help"}, words[1:]...)...)
			if code != exitOK || said != "" || again == "" {
				t.Errorf("help %v: exit code %d, standard error %q", words[1:], code, said)
			}
		})
	}
}

// Wrong use is one line on standard error, nothing on standard output, and exit
// code 1, with every command.
func TestEveryCommandRefusesWrongUse(t *testing.T) {
	t.Setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
	for _, words := range everyCommand(t) {
		for _, wrong := range [][]string{
			{"--nonsense"},
			{"--output"},
			{"--output", "xml"},
			{"one", "two", "three"},
		} {
			args := append(words[1:len(words):len(words)], wrong...)
			t.Run(strings.Join(args, " "), func(t *testing.T) {
				code, out, said := speak(args...)
				if code != exitError {
					t.Errorf("exit code %d, want %d", code, exitError)
				}
				if out != "" {
					t.Errorf("on standard output: %q", out)
				}
				if strings.Count(said, "\n") != 1 || !strings.HasPrefix(said, "keywave: ") || !strings.HasSuffix(said, "--help\n") {
					t.Errorf("not one line with the way to --help: %q", said)
				}
			})
		}
	}
}

// speak runs keywave in this process.
func speak(args ...string) (code int, out, said string) {
	var o, e bytes.Buffer
	code = run(context.Background(), args, &o, &e)
	return code, o.String(), e.String()
}

// everyCommand is each command's path, word by word.
func everyCommand(t *testing.T) [][]string {
	a := &app{out: io.Discard, err: io.Discard}
	var all [][]string
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Short == "" {
			t.Errorf("%s has no short description", cmd.CommandPath())
		}
		all = append(all, strings.Fields(cmd.CommandPath()))
		for _, below := range cmd.Commands() {
			walk(below)
		}
	}
	root := a.root()
	root.InitDefaultHelpCmd()
	walk(root)
	if len(all) < 30 {
		t.Fatalf("there are only %d commands", len(all))
	}
	return all
}
