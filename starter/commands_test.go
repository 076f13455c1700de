package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Every command, the generated ones too, has a help text and an example of its
// own.
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

// A wrong use of any command gives one line on standard error, nothing on
// standard output, and exit code 1.
func TestEveryCommandRefusesWrongUse(t *testing.T) {
	t.Setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
	for _, words := range everyCommand(t) {
		for _, wrong := range wrongUses(words) {
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

// wrongUses are wrong uses of a command: flags and values that do not exist,
// too many arguments, too few, and nonsense for each flag that takes a number,
// a duration or a yes.
func wrongUses(words []string) [][]string {
	wrong := [][]string{
		{"--nonsense"},
		{"--output"},
		{"--output", "xml"},
		{"one", "two", "three", "four"},
	}
	cmd, _, _ := (&app{out: io.Discard, err: io.Discard}).root().Find(words[1:])
	for missing := range argumentsOf(cmd) {
		wrong = append(wrong, slices.Repeat([]string{"one"}, missing))
	}
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if kind := f.Value.Type(); kind != "string" && kind != "stringSlice" && kind != "stringArray" {
			wrong = append(wrong, []string{"--" + f.Name + "=nonsense"})
		}
	})
	return wrong
}

// A misspelt command is answered with the command that was probably meant.
func TestEveryCommandIsSuggested(t *testing.T) {
	for _, words := range everyCommand(t)[1:] {
		last := words[len(words)-1]
		if last == "help" { // cobra suggests it nowhere
			continue
		}
		slip := last[:len(last)-1] + "~"
		t.Run(strings.Join(words, " "), func(t *testing.T) {
			code, out, said := speak(append(words[1:len(words)-1:len(words)-1], slip)...)
			if code != exitError || out != "" || strings.Count(said, "\n") != 1 || !regexp.MustCompile(`did you mean .*\b`+last+`\b`).MatchString(said) {
				t.Errorf("exit code %d, standard output %q, standard error %q", code, out, said)
			}
		})
	}
}

// Completion prints no error, and gives up on a Temporal that accepts the
// connection and says nothing. Connecting alone would wait for 10 s.
func TestCompletionWithoutTemporal(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, address := range []string{silent.Addr().String(), "127.0.0.1:1"} {
		t.Setenv("TEMPORAL_ADDRESS", address)
		for _, words := range [][]string{{"campaign", "status"}, {"zone", "show"}, {"host", "retire"}, {"campaign", "start", "--plan"}} {
			best := time.Hour // of some tries: a machine that is busy with other work is slow at times
			for tries := 0; tries < 5 && best > 5*time.Second; tries++ {
				var out, said bytes.Buffer
				began := time.Now()
				code := run(t.Context(), slices.Concat([]string{"__complete"}, words, []string{""}), &out, &said)
				best = min(best, time.Since(began))
				if code != exitOK || out.String() != ":4\n" {
					t.Errorf("%v at %s: exit code %d, standard output %q", words, address, code, out.String())
				}
			}
			if best > 5*time.Second {
				t.Errorf("%v at %s: it took %s", words, address, best)
			}
		}
	}
}

// Names of a fleet file are completed without Temporal.
func TestCompletionFromAFleetFile(t *testing.T) {
	t.Setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
	file := filepath.Join(t.TempDir(), "fleet.yaml")
	err := os.WriteFile(file, []byte(`version: 1
locations:
  hk: {hosts: {gw-1: {ssh: {address: "10.0.0.1", user: edge, path: "/etc/edgeone/{zone}.key"}}}}
zones:
  - {id: zone-2, hosts: [gw-1]}
  - {id: zone-1, hosts: [gw-1]}
  - {id: other-1, hosts: [gw-1]}
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	code, out, _ := speak("__complete", "zone", "repair", "-f", file, "zone-")
	if want := "zone-1\nzone-2\n:4\n"; code != exitOK || out != want {
		t.Errorf("exit code %d, %q, want %q", code, out, want)
	}
}

// Every command has a man page with its example. The page does not name the
// tool that made it.
func TestManPages(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man1")
	code, out, said := speak("man", dir)
	if code != exitOK || said != "" {
		t.Fatalf("exit code %d, %q, %q", code, out, said)
	}
	for _, words := range everyCommand(t) {
		if words[len(words)-1] == "help" {
			continue
		}
		page, err := os.ReadFile(filepath.Join(dir, strings.Join(words, "-")+".1"))
		if err != nil {
			t.Error(err)
			continue
		}
		for _, want := range []string{".TH ", ".SH SYNOPSIS", ".SH EXAMPLE"} {
			if !strings.Contains(string(page), want) {
				t.Errorf("%v: no %s", words, want)
			}
		}
		if strings.Contains(string(page), "cobra") {
			t.Errorf("%v: names the tool", words)
		}
	}
}

// speak runs keywave in this process.
func speak(args ...string) (code int, out, said string) {
	var o, e bytes.Buffer
	code = run(context.Background(), args, &o, &e)
	return code, o.String(), e.String()
}

// everyCommand is the path of each command, word by word.
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
