package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/user"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"keywave/internal/harmless"
	"keywave/internal/progress"
	"keywave/internal/temporalclient"
	"keywave/workflows"
)

// Exit codes.
const (
	exitOK      = 0
	exitError   = 1 // usage or internal error
	exitNotDone = 2 // ended with zones not done
	exitRefused = 3 // refused before any change
)

// codedError is a failure that ends the program with an exit code of its own.
type codedError struct {
	code int
	err  error
}

func (e *codedError) Error() string { return e.err.Error() }
func (e *codedError) Unwrap() error { return e.err }

func refused(err error) error { return &codedError{exitRefused, err} }
func notDone(err error) error { return &codedError{exitNotDone, err} }

// app is what all commands share.
type app struct {
	out    io.Writer
	err    io.Writer
	output string // text or json
	saying sync.Mutex
}

// run is the whole program: arguments in, exit code out. Everything that is printed,
// by cobra too, passes the filter for what acts on a terminal.
func run(ctx context.Context, args []string, out, err io.Writer) int {
	a := &app{out: harmless.NewWriter(out), err: harmless.NewWriter(err)}
	root := a.root()
	root.SetArgs(args)
	failure := root.ExecuteContext(ctx)
	if failure == nil {
		return exitOK
	}
	if ctx.Err() == nil { // who pressed Ctrl-C knows why it ended
		complain(a.err, failure)
	}
	var coded *codedError
	if errors.As(failure, &coded) {
		return coded.code
	}
	return exitError
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "keywave",
		Short: "Rotate the access keys of a fleet of EdgeOne zones",
		Long: `Keywave rotates the access keys of a fleet of Tencent EdgeOne zones, in
campaigns, on Temporal. Temporal is found by temporal.toml profiles and
TEMPORAL_*.

Exit codes: 0 all done, 1 usage or internal error, 2 ended with zones not done,
3 refused before any change.`,
		Example: "  keywave demo\n  keywave plan -f fleet.yaml\n  keywave campaign start -f fleet.yaml --watch",
		Args:    oneBelow, RunE: showHelp,
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if a.output != "text" && a.output != "json" {
				return wrongUse(cmd, "--output %q: use text or json", a.output)
			}
			if reason := cmd.Flags().Lookup("reason"); reason != nil {
				if err := workflows.CheckReason(reason.Value.String()); err != nil {
					return wrongUse(cmd, "%v", err)
				}
			}
			return nil
		},
	}
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.PersistentFlags().StringVarP(&a.output, "output", "o", "text", "text or json")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return wrongUse(cmd, "%v", err) })
	root.SetHelpCommand(helpCommand())
	root.AddCommand(a.demo(), a.sim(), a.plan(), a.campaign(), a.schedule(), a.zone(), a.host(), a.fleet(), a.audit(), a.report(), a.brake(), a.keyring(), a.doctor(), a.manual(), a.version())
	completions(root)
	a.complete(root)
	return root
}

// connect dials Temporal. The SDK's own log lines stay out of the CLI's speech.
func (a *app) connect(ctx context.Context) (*temporalclient.Connection, error) {
	c, err := temporalclient.Dial(ctx, slog.New(slog.DiscardHandler), "keywave@"+operator())
	if err != nil {
		return nil, refused(err)
	}
	return c, nil
}

// operator is who is asking: as KEYWAVE_AS claims, and as this machine knows it.
func operator() string {
	if claimed := os.Getenv("KEYWAVE_AS"); claimed != "" {
		return claimed + " (" + osUser() + ")"
	}
	return osUser()
}

func osUser() string {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		return name
	}
	return name + "@" + host
}

// print writes v as one line of JSON, or what text writes: on a terminal in lines
// that fit.
func (a *app) print(v any, text func(io.Writer)) error {
	if a.output == "json" {
		return putJSON(a.out, v, "")
	}
	if tty, width, _ := terminal(a.out); tty {
		var wide strings.Builder
		text(&wide)
		put(a.out, "%s", harmless.Own(progress.Fold(wide.String(), width())))
		return nil
	}
	text(a.out)
	return nil
}

// say writes a line for people; in JSON mode it goes to standard error, so that
// standard output stays JSON.
func (a *app) say(format string, args ...any) {
	a.saying.Lock() // zones that are repaired side by side
	defer a.saying.Unlock()
	w := a.out
	if a.output == "json" {
		w = a.err
	}
	put(w, format+"\n", args...)
}

// terminal says whether live views can be drawn on w, and how wide.
func terminal(w io.Writer) (tty bool, width func() int, color bool) {
	f, ok := fileOf(w)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return false, func() int { return 160 }, false
	}
	width = func() int {
		n, _, err := term.GetSize(int(f.Fd()))
		if err != nil || n < 40 {
			return 80
		}
		return n
	}
	return true, width, os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// fileOf is the file behind w, if it is one.
func fileOf(w io.Writer) (*os.File, bool) {
	if door, ok := w.(*harmless.Writer); ok {
		w = door.Under()
	}
	f, ok := w.(*os.File)
	return f, ok
}

// rows is the height of the terminal w is, or nil.
func rows(w io.Writer) func() int {
	f, ok := fileOf(w)
	if !ok {
		return nil
	}
	return func() int {
		_, n, err := term.GetSize(int(f.Fd()))
		if err != nil {
			return 24
		}
		return n
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// many is "1 zone" or "2 zones".
func many(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
