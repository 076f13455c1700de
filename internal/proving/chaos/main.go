// Command chaos runs campaigns while it makes bad days from a seed: faults of
// the API and of hosts, kill -9 and freezes of workers and of the Temporal
// server, operators who pause, cancel and resume. Then it ends the faults,
// resumes, and checks from outside that nothing was lost: see
// stage.Stack.Check. Every part is a real process. When a seed fails, it prints
// how to run that seed again.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	c := config{}
	flag.IntVar(&c.seeds, "seeds", 2, "number of campaigns with random bad days")
	flag.IntVar(&c.atOnce, "at-once", 1, "how many of them run at the same time")
	flag.Int64Var(&c.first, "seed", 1, "the first seed")
	flag.IntVar(&c.zones, "zones", 40, "zones of each campaign")
	flag.IntVar(&c.matrix, "matrix", 0, "edges of the crash matrix to try; -1 tries all")
	flag.StringVar(&c.only, "only", "", "only the matrix cells whose name contains this")
	flag.StringVar(&c.bin, "bin", "bin", "where keywave, worker and devserver are")
	flag.StringVar(&c.dir, "dir", "", "where to keep logs (default: a temporary directory, removed when nothing failed)")
	flag.Parse()
	total, err := run(ctx, c)
	fmt.Println(total)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos: "+err.Error())
	}
	if err != nil || total.violations > 0 {
		os.Exit(1)
	}
}
