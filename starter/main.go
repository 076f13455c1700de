// Command keywave is what an operator holds: plan, run, watch and mend
// campaigns that rotate the keys of a fleet of EdgeOne zones. It speaks and
// does not log; it never holds a key.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // time zones of calendars, on machines that have none
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
