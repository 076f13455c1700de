// Command bench measures Keywave against the simulator, beside the floor that
// nobody can beat and the scripts that people use instead. Every part is a real
// process. It checks nothing: it prints tables and one JSON line for each part,
// and writes the page that docs/ shows.
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
	defer stop()
	c := config{}
	flag.BoolVar(&c.quick, "quick", false, "few zones everywhere, in about ten minutes; writes no page unless -out says where")
	flag.StringVar(&c.parts, "parts", "", "the parts to run, separated by commas: "+partNames()+" (default: all)")
	flag.StringVar(&c.out, "out", "", "where the page is written (default "+page+", after a full run)")
	flag.StringVar(&c.bin, "bin", "bin", "where keywave, worker and devserver are")
	flag.StringVar(&c.dir, "dir", "", "where to keep logs and databases (default: a temporary directory, removed)")
	flag.IntVar(&c.scale, "scale", 0, "one more size for the part scale, such as 10000")
	flag.StringVar(&c.profile, "profile", "", "run the part engine and write the Temporal server's CPU profile to this file")
	flag.IntVar(&c.zones, "zones", 0, "the number of zones in every part, to try the benchmark itself")
	flag.IntVar(&c.pairs, "pairs", 0, "how many pairs the part bare takes (default 3, or 2 with -quick)")
	flag.StringVar(&c.before, "before", "", "where the programs of the commit before are, for the part before")
	flag.IntVar(&c.kills, "kills", 0, "how many kills failover and handover pool (default 20, or 3 with -quick)")
	flag.StringVar(&c.bareWorker, "bare-worker", "", "be the worker of the part bare, for the server at this address; the benchmark starts it itself")
	flag.Parse()
	if err := run(ctx, c, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench: "+err.Error())
		stop()
		os.Exit(1)
	}
}
