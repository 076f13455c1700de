// Package main is devserver: a whole Temporal, server and web UI, in one
// process on one SQLite file, for a laptop, a demo or a test.
//
// It promises that what it acknowledged is still there after any death of the
// process, kill -9 included; that it listens on loopback and calls nobody; and
// that it says exactly one line on standard output, once Temporal really
// answers:
//
//	ready temporal=127.0.0.1:7233 ui=http://127.0.0.1:8233 namespace=default db=/path/file.db
//
// It is not for production: one file, one process, no authentication.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	tune()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	// Libraries may print to "standard output", but it belongs to us alone.
	stdout := os.Stdout
	os.Stdout = os.Stderr

	cfg, err := parse(os.Args[1:], os.Stderr)
	if err == nil {
		err = run(ctx, cfg, stdout)
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "devserver:", err)
		os.Exit(1)
	}
}
