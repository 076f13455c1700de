package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"keywave/internal/proving/stage"
)

// edge is one thing that happened in the simulator.
type edge struct {
	Seq     uint64    `json:"seq"`
	At      time.Time `json:"at"`
	Kind    string    `json:"edge"`
	Action  string    `json:"action"`
	Zone    string    `json:"zone"`
	Host    string    `json:"host"`
	Session int64     `json:"session"`
}

// refresh says that the zone's former key died then.
func (e edge) refresh() bool {
	return e.Kind == "executed" && (e.Action == stage.RefreshAction || e.Action == stage.ModifyAction)
}

// journal collects the simulator's edges during a run, because the simulator
// itself keeps only a limited number.
type journal struct {
	stack     *stage.Stack
	refreshed atomic.Int64

	once  sync.Once
	stop  chan struct{}
	done  chan struct{}
	edges []edge
	err   error
}

const collectEvery = 500 * time.Millisecond

func follow(ctx context.Context, s *stage.Stack) *journal {
	j := &journal{stack: s, stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(j.done)
		tick := time.NewTicker(collectEvery)
		defer tick.Stop()
		for j.err == nil {
			select {
			case <-tick.C:
				j.err = j.collect(ctx)
			case <-j.stop:
				j.err = j.collect(ctx)
				return
			}
		}
	}()
	return j
}

// end returns all edges so far. Nothing is collected after it.
func (j *journal) end() ([]edge, error) {
	j.once.Do(func() { close(j.stop) })
	<-j.done
	return j.edges, j.err
}

func (j *journal) collect(ctx context.Context) error {
	for {
		var page struct {
			Edges []edge `json:"edges"`
			Last  uint64 `json:"last"`
			Lost  uint64 `json:"lost"`
		}
		after := uint64(0)
		if n := len(j.edges); n > 0 {
			after = j.edges[n-1].Seq
		}
		if err := j.stack.Control(ctx, http.MethodGet, fmt.Sprintf("/edges?after=%d&max=5000", after), nil, &page); err != nil {
			return err
		}
		if page.Lost > 0 {
			return fmt.Errorf("the simulator's journal lost %d edges before they were collected", page.Lost)
		}
		j.edges = append(j.edges, page.Edges...)
		for _, e := range page.Edges {
			if e.refresh() {
				j.refreshed.Add(1)
			}
		}
		if len(j.edges) == 0 || j.edges[len(j.edges)-1].Seq == page.Last {
			return nil
		}
	}
}

// awaitRefreshes waits until n zones were refreshed.
func (j *journal) awaitRefreshes(ctx context.Context, n int) error {
	for j.refreshed.Load() < int64(n) {
		select {
		case <-j.done:
			return j.err
		default:
		}
		if err := stage.Pause(ctx, collectEvery/5); err != nil {
			return err
		}
	}
	return nil
}

// pace is the refreshes per second between the first and the last of them, and
// the longest time without one.
func pace(edges []edge) (perSecond float64, gap time.Duration) {
	var times []time.Time
	for _, e := range edges {
		if e.refresh() {
			times = append(times, e.At)
		}
	}
	if len(times) < 2 {
		return 0, 0
	}
	for i := 1; i < len(times); i++ {
		gap = max(gap, times[i].Sub(times[i-1]))
	}
	return float64(len(times)-1) / times[len(times)-1].Sub(times[0]).Seconds(), gap
}

// command is one command on a host, as the journal saw it.
type command struct{ fed, exited time.Time }

// exposure is the time in which a zone's hosts did not hold the live key.
type exposure struct {
	zone     string
	from, to time.Time
}

func (e exposure) lasted() time.Duration { return e.to.Sub(e.from) }

func lasted(all []exposure) []time.Duration {
	times := make([]time.Duration, 0, len(all))
	for _, e := range all {
		times = append(times, e.lasted())
	}
	return times
}

// outside is each zone's exposure as the simulator saw it. It goes from the
// execution of the zone's first refresh to the end of the last command that put
// a key file of the zone in place; the acknowledgement is then on its way.
//
// The journal does not know which zone a command was about, but the file was
// written while its command ran. If several commands ran on the host then, the
// one that ended first is taken.
func outside(s *stand, edges []edge) ([]exposure, error) {
	executed := map[string]time.Time{}
	ran := map[string]map[int64]*command{}
	for _, e := range edges {
		switch {
		case e.refresh():
			if executed[e.Zone].IsZero() {
				executed[e.Zone] = e.At
			}
		case e.Host != "" && e.Session > 0:
			of := ran[e.Host]
			if of == nil {
				of = map[int64]*command{}
				ran[e.Host] = of
			}
			if of[e.Session] == nil {
				of[e.Session] = &command{}
			}
			of[e.Session].note(e)
		}
	}
	commands := map[string][]*command{}
	for host, of := range ran {
		for _, c := range of {
			if !c.fed.IsZero() && !c.exited.IsZero() {
				commands[host] = append(commands[host], c)
			}
		}
		slices.SortFunc(commands[host], func(a, b *command) int { return cmp.Compare(a.exited.UnixNano(), b.exited.UnixNano()) })
	}
	var exposures []exposure
	for _, z := range s.fleet.Zones {
		began, refreshed := executed[string(z.ID)]
		if !refreshed {
			continue
		}
		last := began
		for _, h := range z.Hosts {
			info, err := os.Stat(s.keyFile(z.ID, h))
			if err != nil {
				return nil, err
			}
			ended, found := endOf(commands[string(h)], placed(info))
			if !found {
				return nil, fmt.Errorf("%s on %s: no command of the journal wrote the file", z.ID, h)
			}
			if ended.After(last) {
				last = ended
			}
		}
		exposures = append(exposures, exposure{string(z.ID), began, last})
	}
	return exposures, nil
}

// placed is when a file came to where it is: its content may have been written long
// before.
func placed(info os.FileInfo) time.Time {
	at := info.Sys().(*syscall.Stat_t).Ctim
	return time.Unix(at.Sec, at.Nsec)
}

func (c *command) note(e edge) {
	switch e.Kind {
	case "stdin":
		c.fed = e.At
	case "exited":
		c.exited = e.At
	}
}

// grain is how much too old a file's time may be: the kernel's clock for files
// moves in ticks, and a busy machine misses some.
const grain = 100 * time.Millisecond

func endOf(commands []*command, written time.Time) (time.Time, bool) {
	for _, c := range commands {
		if !c.exited.Before(written) && !c.fed.After(written.Add(grain)) {
			return c.exited, true
		}
	}
	return time.Time{}, false
}
