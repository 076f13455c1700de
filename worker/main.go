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
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	_ "time/tzdata" // time zones of calendars, on machines that have none

	"keywave/internal/harmless"
)

// gcPercent lets the small heap grow: memory is cheap here, and time is exposure.
const gcPercent = 300

func main() {
	debug.SetGCPercent(gcPercent)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := command().ExecuteContext(ctx)
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(harmless.NewWriter(os.Stderr), "worker: "+err.Error())
		stop()
		os.Exit(1)
	}
}
