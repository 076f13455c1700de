// Command worker runs Keywave's roles: the orchestrator (workflows), edgeone
// (calls of each account by at most one active process) and location (proofs
// and deliveries to one location's hosts). It is the only place that links
// every adapter. It is ready when it says so, and stops on SIGTERM by handing
// back or finishing what it holds.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"syscall"
	_ "time/tzdata" // time zones of calendars, on machines that have none

	"keywave/internal/harmless"
	"keywave/internal/telemetry"
)

// gcPercent lets the small heap grow: memory is cheap here, and time is exposure.
const gcPercent = 200

func main() {
	debug.SetGCPercent(gcPercent)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := command().ExecuteContext(ctx)
	if err != nil && !errors.Is(err, context.Canceled) {
		complain(os.Stderr, os.Args[1:], err)
		stop()
		os.Exit(1)
	}
}

// complain says why the worker ends, in the form of its log. The arguments are read
// once more, as the error may be about them.
func complain(to io.Writer, args []string, err error) {
	const flag = "--log-format"
	asked := slices.Index(args, flag)
	if slices.Contains(args, flag+"=json") || asked >= 0 && slices.Contains(args[asked+1:min(asked+2, len(args))], "json") {
		if log, unknown := telemetry.NewLogger(to, "info", "json"); unknown == nil {
			log.Error("the worker ends", "error", err.Error())
			return
		}
	}
	fmt.Fprintln(harmless.NewWriter(to), "worker: "+err.Error())
}
