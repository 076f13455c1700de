package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"sync"
	"time"

	"keywave/activities"
	"keywave/internal/fleet"
	"keywave/internal/health"
	"keywave/internal/rotation"
	"keywave/internal/telemetry"
	"keywave/internal/temporalclient"
	"keywave/internal/unchanged"
	"keywave/internal/version"
)

// given is what this worker takes from its fleet file. One that is made is not changed
// any more: a file that changes gives another.
type given struct {
	fleet   *fleet.Fleet
	holders map[rotation.Account]*fleet.Holders
	checks  map[string]func(context.Context) error
	hosts   map[rotation.Location]activities.Machines
	// restart says what of the file this process cannot take without a restart.
	restart error
}

// fleetFile reads the fleet file again when it changes. A good one holds at once. A bad
// one leaves the last good one in use, and the worker is not ready.
type fleetFile struct {
	path string
	// take makes of a file what the worker needs; last is what holds so far.
	take func(f *fleet.Fleet, last *given) (*given, error)
	log  *slog.Logger

	mu    sync.Mutex
	last  *given
	seen  os.FileInfo // the file that was read last, whatever came of it
	tried time.Time
	wrong error
	since time.Time // when what holds began to hold; zero for the start
}

// A bad file is tried again now and then: what it names (a table) may be mended.
const tryAgain = 2 * time.Second

// now is what the fleet file says now, or what it said when it was last in order.
func (f *fleetFile) now() *given {
	f.mu.Lock()
	defer f.mu.Unlock()
	seen, err := os.Stat(f.path) // before it is read: a change in between is seen the next time
	changed := err != nil || !unchanged.Since(f.seen, seen)
	if !changed && f.wrong == nil || f.wrong != nil && time.Since(f.tried) < tryAgain {
		return f.last
	}
	f.seen, f.tried = seen, time.Now()
	next, err := fleet.Bare(f.path)
	var taken *given
	if err == nil {
		taken, err = f.take(next, f.last)
	}
	if err != nil {
		if f.wrong == nil || f.wrong.Error() != err.Error() {
			f.log.Warn("the fleet file is not in order; what it said before still holds", "error", err.Error())
		}
		f.wrong = err
		return f.last
	}
	f.last, f.wrong, f.since = taken, nil, f.tried
	f.log.Info("the fleet file changed, and holds from now on", telemetry.Fleet, next.Mark())
	if taken.restart != nil {
		f.log.Warn(taken.restart.Error())
	}
	return f.last
}

// problem says why the file is not in order, or does not hold in full.
func (f *fleetFile) problem() error {
	g := f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.wrong != nil || g == nil {
		return f.wrong
	}
	return g.restart
}

// young says that others may not have heard of the file yet: a worker says at its next
// poll which it has.
func (f *fleetFile) young() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Since(f.since) < temporalclient.PollerIsRecent
}

// watch looks at the file until ctx ends, whether or not anybody needs it.
func (f *fleetFile) watch(ctx context.Context) {
	tick := time.NewTicker(tryAgain)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f.now()
		}
	}
}

// give takes what the worker was started with.
func (w *workers) give() error {
	if w.fleet == nil {
		return nil
	}
	first, err := w.take(w.fleet, nil)
	if err != nil {
		return err
	}
	for account, h := range first.holders {
		if err := h.Ready(); err != nil {
			w.log.Warn("nothing is refreshed until this is mended", telemetry.Account, account, "error", err.Error())
		}
	}
	w.file = &fleetFile{path: w.fleetFile, take: w.take, log: w.log, last: first, seen: w.seen}
	return nil
}

// mark names the fleet file that holds now; empty where no role needs one.
func (w *workers) mark() string {
	if w.file == nil {
		return ""
	}
	return w.file.now().fleet.Mark()
}

// identity is how this process names itself to Temporal.
func (w *workers) identity() string {
	return temporalclient.WorkerIdentity(w.id, version.Of().Version, w.mark())
}

// take makes of a fleet file what this worker's roles need. A host whose definition did
// not change stays as it is, with its connection.
func (w *workers) take(f *fleet.Fleet, last *given) (*given, error) {
	g := &given{
		fleet: f, holders: map[rotation.Account]*fleet.Holders{}, checks: map[string]func(context.Context) error{},
		hosts: map[rotation.Location]activities.Machines{},
	}
	for _, c := range w.callers {
		h := f.Holders(c.account.Name, c.edgeOne.Inventory)
		if err := h.Ready(); err != nil && last != nil {
			return nil, err
		}
		g.holders[c.account.Name] = h
	}
	for name, c := range f.Health {
		g.checks[name] = health.New(health.Config{HTTP: c.HTTP, Command: c.Command, Within: c.Within})
	}
	for _, l := range w.locations {
		machines, err := w.machines(f, l.Name, last)
		if err != nil {
			return nil, err
		}
		g.hosts[l.Name] = machines
	}
	g.restart = w.startedWith(f)
	return g, nil
}

// startedWith says that the file has other accounts or locations than this process was
// started with: their credentials, paces, leases, queues and keysets are chosen at the
// start. All else of it holds.
func (w *workers) startedWith(f *fleet.Fleet) error {
	byName := func(a, b fleet.Account) int { return cmp.Compare(a.Name, b.Name) }
	accounts := func(f *fleet.Fleet) []fleet.Account { return slices.SortedFunc(slices.Values(f.Accounts), byName) }
	switch {
	case w.plays(roleEdgeOne) && !reflect.DeepEqual(accounts(f), accounts(w.fleet)):
		return fmt.Errorf("%s has other accounts than this worker was started with; restart it", w.fleetFile)
	case !slices.Equal(slices.Sorted(slices.Values(f.Locations)), slices.Sorted(slices.Values(w.fleet.Locations))):
		return fmt.Errorf("%s has other locations than this worker was started with; restart it", w.fleetFile)
	}
	return nil
}

func (w *workers) machines(f *fleet.Fleet, location rotation.Location, last *given) (activities.Machines, error) {
	all := activities.Machines{}
	for _, h := range f.Hosts {
		if h.Location != location {
			continue
		}
		if last != nil && reflect.DeepEqual(last.fleet.Hosts[h.Name], h) {
			all[h.Name] = last.hosts[location][h.Name]
			continue
		}
		host, err := machine(h, w.ssh)
		if err != nil {
			return nil, fmt.Errorf("host %s: %w", h.Name, err)
		}
		all[h.Name] = activities.Machine{Host: host, Digest: h.Digest, Differs: h.Differs}
	}
	return all, nil
}
