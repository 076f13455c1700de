package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"keywave/internal/proving/bench/bare"
	"keywave/internal/proving/stage"
)

const page = "docs/benchmarks.md"

type config struct {
	quick         bool
	parts         string
	out, bin, dir string
	profile       string
	scale, zones  int
	pairs, kills  int
	// before is where the programs of the commit before are.
	before string
	// bareWorker is set in the process that the part bare starts.
	bareWorker string
}

// The account's limit, and the network between the workers and the hosts.
const (
	limit      = 20 // calls a second, per action
	lifted     = -1
	roundTrip  = 20 // ms
	farAway    = 100
	hosts      = 30 // unless a setup says otherwise
	window     = 40
	hostsEach  = 3 // hosts of a zone, in runs with the limit
	hostsAlone = 1 // hosts of a zone, in runs without it
)

// sizes are how many zones each part has.
type sizes struct {
	// main is for one worker and the baselines, more for several workers, few for
	// the script, free for the engine. near is for the runs at other distances
	// and with another limit; if it is 0, there are none.
	main, more, few, near, free int
	scale                       []int
	workers                     []int
	// pairs is how often the engine is measured beside the bare pattern, and observed.
	pairs int
	// kills is how many workers are killed, in failover and in handover.
	kills int
	// most is the size of the part huge, which runs only when it is named.
	most int
}

// namedOnly are parts that do not run by themselves.
var namedOnly = []string{"huge", "before"}

func (c config) sizes() sizes {
	s := sizes{main: 1000, more: 500, few: 100, near: 200, free: 500, scale: []int{1000, 5000, 20_000}, workers: []int{1, 2, 4}, pairs: 3, kills: 20}
	if c.quick {
		s = sizes{main: 200, more: 200, few: 20, free: 200, scale: []int{500, 2000}, workers: []int{1, 2}, pairs: 2, kills: 3}
	}
	if n := c.zones; n > 0 {
		s = sizes{main: n, more: n, few: n, near: n, free: n, scale: []int{n, 2 * n}, workers: []int{1, 2}, pairs: s.pairs, kills: s.kills}
	}
	s.most = cmp.Or(c.zones, paperZones)
	s.pairs, s.kills = cmp.Or(c.pairs, s.pairs), cmp.Or(c.kills, s.kills)
	if c.scale > 0 {
		s.scale = append(s.scale, c.scale)
	}
	return s
}

// part is one of the benchmark's parts. run adds a figure for each of its runs.
type part struct {
	name string
	run  func(*bench, context.Context) error
}

func parts() []part {
	return []part{
		{"floor", (*bench).floor},
		{"script", (*bench).script},
		{"good", (*bench).good},
		{"keywave", (*bench).keywave},
		{"joinkill", (*bench).joinKill},
		{"failover", (*bench).failover},
		{"handover", (*bench).handover},
		{"upgrade", (*bench).upgrade},
		{"slow", (*bench).slow},
		{"strategies", (*bench).strategies},
		{"idle", (*bench).idle},
		{"engine", (*bench).engine},
		{"bare", (*bench).bare},
		{"observed", (*bench).observed},
		{"before", (*bench).versusBefore},
		{"scale", (*bench).scaleUp},
		{"huge", (*bench).huge},
	}
}

func partNames() string {
	var names []string
	for _, p := range parts() {
		names = append(names, p.name)
	}
	return strings.Join(names, ",")
}

// chosen are the parts to run, in their order.
func (c config) chosen() ([]part, error) {
	if c.profile != "" {
		return []part{{"profile", func(b *bench, ctx context.Context) error { return b.profileEngine(ctx, c.profile) }}}, nil
	}
	if c.parts == "" {
		return slices.DeleteFunc(parts(), func(p part) bool { return slices.Contains(namedOnly, p.name) }), nil
	}
	wanted := strings.Split(c.parts, ",")
	all := parts()
	for _, name := range wanted {
		if !slices.ContainsFunc(all, func(p part) bool { return p.name == name }) {
			return nil, fmt.Errorf("there is no part %q; there are %s", name, partNames())
		}
	}
	return slices.DeleteFunc(all, func(p part) bool { return !slices.Contains(wanted, p.name) }), nil
}

// bench is one benchmark that is running.
type bench struct {
	sizes
	programs stage.Programs
	// before is where the programs of the commit before are.
	dir, before string
	say         func(format string, args ...any)
	results     []result
	// empty is the size of an empty database. It is 0 until it is known.
	empty int64
}

// result is what one part found.
type result struct {
	Part    string   `json:"part"`
	Figures []figure `json:"runs"`
}

// add keeps a run's figure.
func (b *bench) add(f figure) {
	last := &b.results[len(b.results)-1]
	last.Figures = append(last.Figures, f)
	b.say("%s", f.line())
}

// run runs the chosen parts. If one fails, the others still run.
func run(ctx context.Context, c config, out, progress io.Writer) error {
	if c.bareWorker != "" {
		return bare.Work(ctx, c.bareWorker, out, silent{})
	}
	chosen, err := c.chosen()
	if err != nil {
		return err
	}
	bin, err := filepath.Abs(c.bin)
	if err != nil {
		return err
	}
	dir, remove, err := workDir(c.dir)
	if err != nil {
		return err
	}
	began := time.Now()
	b := &bench{sizes: c.sizes(), programs: stage.ProgramsIn(bin), dir: dir, before: c.before}
	b.say = func(format string, args ...any) {
		fmt.Fprintf(progress, "%5.0fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
	var wrong error
	for _, p := range chosen {
		b.results = append(b.results, result{Part: p.name, Figures: []figure{}})
		if err := p.run(b, ctx); err != nil {
			wrong = errors.Join(wrong, fmt.Errorf("%s: %w", p.name, err))
			b.say("%s failed: %v", p.name, err)
		}
		if ctx.Err() != nil {
			return wrong
		}
	}
	if remove && wrong == nil {
		_ = os.RemoveAll(dir)
	} else {
		b.say("logs and databases: %s", dir)
	}
	return errors.Join(wrong, b.publish(ctx, c, out, time.Since(began)))
}

func workDir(given string) (dir string, remove bool, err error) {
	if given == "" {
		dir, err = os.MkdirTemp("", "keywave-bench-")
		return dir, true, err
	}
	dir, err = filepath.Abs(given)
	return dir, false, err
}

// publish prints the tables, the JSON lines and the last line, and writes the
// page.
func (b *bench) publish(ctx context.Context, c config, out io.Writer, took time.Duration) error {
	s := sum(b.results)
	showTables(out, tables(b.results, s))
	for _, r := range b.results {
		line, err := json.Marshal(r)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s\n", line)
	}
	full := !c.quick && c.zones == 0 && c.parts == "" && c.profile == ""
	if c.out == "" && full {
		c.out = page
	}
	if c.out != "" {
		here, err := look(ctx, b.programs)
		if err != nil {
			return err
		}
		if err := os.WriteFile(c.out, []byte(markdown(here, pageTables(b.results, s), full, took)), 0o644); err != nil {
			return err
		}
	}
	line, err := json.Marshal(s.headline)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "bench: %s\n", line)
	return nil
}
