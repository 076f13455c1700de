// Command cluster runs Keywave as an installation runs it that has outgrown one machine:
// PostgreSQL, Temporal as four services in processes of their own, set up by the scripts
// of deploy/temporal, and two workers of each role, each with only the files that its
// role needs. In the middle of a campaign it kills PostgreSQL, each service and a worker
// of each role, and replaces all workers. Then it checks from outside that nothing was
// lost: see stage.Stack.Check. It prints what a zone cost, for docs/operations.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	if filepath.Base(os.Args[0]) == standIn {
		exit(temporal(ctx, os.Args[1:]))
	}
	c := config{}
	flag.IntVar(&c.zones, "zones", 100, "zones of the campaign")
	flag.IntVar(&c.hosts, "hosts", 12, "hosts of the fleet")
	flag.IntVar(&c.limit, "limit", 0, "calls a second and action that EdgeOne allows (default: as many as keep the campaign busy while all is killed in turn, 20 at most)")
	flag.StringVar(&c.bin, "bin", "bin", "where keywave, worker, temporal-server and temporal-sql-tool are")
	flag.StringVar(&c.deploy, "deploy", "deploy/temporal", "where the scripts and the server's configuration are")
	flag.StringVar(&c.schema, "schema", "", "the directory schema of Temporal's sources")
	flag.StringVar(&c.old, "old", "", "the worker of an older build: the campaign begins and ends with it")
	flag.StringVar(&c.dir, "dir", "", "where to keep logs and the database (default: a temporary directory, removed when nothing failed)")
	flag.Parse()
	begun := time.Now()
	sum, err := run(ctx, c)
	stop()
	fmt.Printf("%s seconds=%.0f\n", sum, time.Since(begun).Seconds())
	if err == nil && sum.violations > 0 {
		err = fmt.Errorf("%d violations", sum.violations)
	}
	exit(err)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster: "+err.Error())
		os.Exit(1)
	}
	os.Exit(0)
}
