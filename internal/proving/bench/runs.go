package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"keywave/internal/proving/bench/baseline"
	"keywave/internal/proving/stage"
	"keywave/workflows"
)

// floor runs the floor, with and without a distance to the hosts.
func (b *bench) floor(ctx context.Context) error {
	return b.nearAndFar(ctx, "floor", baseline.Floor)
}

// good runs the good script, with and without a distance to the hosts.
func (b *bench) good(ctx context.Context) error {
	return b.nearAndFar(ctx, "good script", baseline.GoodScript)
}

// script runs the loop, with few zones because it takes long.
func (b *bench) script(ctx context.Context) error {
	return b.plain(ctx, setup{name: "script", zones: b.few, hostsEach: hostsEach, delayMs: roundTrip, limit: limit}, baseline.Script)
}

func (b *bench) nearAndFar(ctx context.Context, name string, rotate rotate) error {
	err := b.plain(ctx, setup{name: name, zones: b.main, hostsEach: hostsEach, delayMs: roundTrip, limit: limit}, rotate)
	for _, run := range b.elsewhere(name) {
		err = errors.Join(err, b.plain(ctx, run, rotate))
	}
	return err
}

// elsewhere are the runs with other distances to the hosts, and with twice the
// limit. The last has one host for each zone, because the machine has no CPU for
// more.
func (b *bench) elsewhere(name string) []setup {
	if b.near == 0 {
		return nil
	}
	return []setup{
		{name: name + " 0 ms", zones: b.near, hostsEach: hostsEach, limit: limit},
		{name: fmt.Sprintf("%s %d ms", name, farAway), zones: b.near, hostsEach: hostsEach, delayMs: farAway, limit: limit},
		{name: fmt.Sprintf("%s limit %d", name, 2*limit), zones: 2 * b.near, hostsEach: hostsAlone, delayMs: roundTrip, limit: 2 * limit},
	}
}

// rotate runs a baseline.
type rotate func(context.Context, baseline.World) (baseline.Result, error)

// plain measures one run of a baseline.
func (b *bench) plain(ctx context.Context, run setup, rotate rotate) error {
	s, err := b.raise(ctx, run)
	defer s.strike()
	if err != nil {
		return err
	}
	before, err := s.usages()
	if err != nil {
		return err
	}
	r, err := rotate(ctx, s.world())
	if err != nil {
		return err
	}
	f := s.newFigure()
	f.Seconds, f.Exposure = rounded(r.Took.Seconds()), spreadOf(r.Exposures)
	if err := errors.Join(s.used(before, &f), s.seenFromOutside(ctx, &f, len(r.Exposures))); err != nil {
		return err
	}
	b.add(f)
	return nil
}

// keywave runs the campaign with one worker, with several, and without a
// distance to the hosts.
func (b *bench) keywave(ctx context.Context) error {
	for _, n := range b.workers {
		run := setup{name: fmt.Sprintf("keywave %d", n), zones: b.more, hostsEach: hostsEach, delayMs: roundTrip, limit: limit, workers: n}
		if n == 1 {
			run.zones = b.main
		}
		if err := b.durable(ctx, run, nil); err != nil {
			return err
		}
	}
	for _, run := range b.elsewhere("keywave 1") {
		run.workers = 1
		if err := b.durable(ctx, run, nil); err != nil {
			return err
		}
	}
	if b.near == 0 {
		return nil
	}
	return b.durable(ctx, setup{name: rolesApart, zones: b.near, hostsEach: hostsEach, delayMs: roundTrip, limit: limit, roles: [][]string{
		{"--roles", "orchestrator"}, {"--roles", "edgeone"}, {"--roles", "location"},
	}}, nil)
}

// rolesApart is the run with a process for each role.
const rolesApart = "keywave apart"

// shortWaits are settings with which zones in doubt take seconds and not
// minutes. They change nothing for zones that are exposed.
const shortWaits = "settle: 1s, signatureLife: 10s"

// joinKill runs a campaign in which a worker joins at a quarter, and the one
// that calls EdgeOne is killed half-way. Its settings are short, so zones that
// are in doubt after the kill take seconds and not minutes.
func (b *bench) joinKill(ctx context.Context) error {
	run := setup{
		name: "joinkill", zones: b.more, hostsEach: hostsEach, delayMs: roundTrip, limit: limit, workers: 2,
		settings: shortWaits,
	}
	return b.durable(ctx, run, func(ctx context.Context, s *stand) error {
		if err := s.journal.awaitRefreshes(ctx, run.zones/4); err != nil {
			return err
		}
		if err := s.addWorker(ctx); err != nil {
			return err
		}
		if err := s.journal.awaitRefreshes(ctx, run.zones/2); err != nil {
			return err
		}
		victim, err := s.active()
		if err != nil {
			return err
		}
		b.say("joinkill: %s joined, %s is killed after %d refreshes", s.Workers[len(s.Workers)-1].Name, s.Workers[victim].Name, s.journal.refreshed.Load())
		s.Workers[victim].Kill()
		return nil
	})
}

// engine measures what the machine can do when the API sets no limit.
func (b *bench) engine(ctx context.Context) error {
	return b.durable(ctx, setup{name: "engine", zones: b.free, hostsEach: hostsAlone, delayMs: roundTrip, limit: lifted, workers: 1}, nil)
}

// scaleUp does the same with more and more zones, and at last with few again, so
// that a machine that got slower or faster meanwhile is seen.
func (b *bench) scaleUp(ctx context.Context) error {
	for i, n := range append(slices.Clone(b.scale), b.scale[0]) {
		run := setup{name: fmt.Sprintf("scale %d", n), zones: n, hostsEach: hostsAlone, delayMs: roundTrip, limit: lifted, workers: 1}
		if i == len(b.scale) {
			run.name += " again"
		}
		if err := b.durable(ctx, run, nil); err != nil {
			return err
		}
	}
	return nil
}

// patience is how much longer than by the account's limit a campaign may take.
const patience = 5 * time.Minute

// durable measures one run of Keywave: a plan, then its campaign, as operators
// run them. meanwhile, if it is not nil, runs during the campaign.
func (b *bench) durable(ctx context.Context, run setup, meanwhile func(context.Context, *stand) error) error {
	return b.durableThen(ctx, run, meanwhile, nil)
}

// durableThen is durable. then, if it is not nil, runs after the campaign's end,
// and adds to its figure.
func (b *bench) durableThen(ctx context.Context, run setup, meanwhile func(context.Context, *stand) error, then func(context.Context, *stand, *figure) error) error {
	s, err := b.raise(ctx, run)
	defer s.strike()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience+2*time.Duration(run.zones)*time.Second/time.Duration(cmp.Or(max(run.limit, 0), limit)))
	defer cancel()
	began := time.Now()
	digest, err := s.plan(ctx)
	if err != nil {
		return err
	}
	planned := time.Since(began)
	before, err := s.usages()
	if err != nil {
		return err
	}
	status, err := s.rotate(ctx, digest, meanwhile)
	if err != nil {
		return err
	}
	f := s.newFigure()
	f.PlanSeconds = rounded(planned.Seconds())
	f.Seconds = rounded(status.EndedAt.Sub(status.StartedAt).Seconds())
	f.Exposure = &spread{float64(status.ExposureMs.P50), float64(status.ExposureMs.P99), float64(status.ExposureMs.Max)}
	if err := errors.Join(s.used(before, &f), s.histories(ctx, &f), s.seenFromOutside(ctx, &f, status.Zones.Done)); err != nil {
		return err
	}
	if then != nil {
		if err := then(ctx, s, &f); err != nil {
			return err
		}
	}
	return b.addWithDatabase(ctx, s, f)
}

// addWithDatabase ends the stand, and adds the figure with the size of its
// database.
func (b *bench) addWithDatabase(ctx context.Context, s *stand, f figure) error {
	s.strike()
	empty, err := b.emptyDatabase(ctx)
	if err != nil {
		return err
	}
	full, err := databaseBytes(s.Temporal.DB)
	f.DatabaseBytesPerZone = (full - empty) / int64(s.zones)
	b.add(f)
	return err
}

// emptyDatabase is the size of a database before anything was done with it.
func (b *bench) emptyDatabase(ctx context.Context) (int64, error) {
	if b.empty > 0 {
		return b.empty, nil
	}
	db := filepath.Join(b.dir, "empty.db")
	t, err := stage.StartTemporal(ctx, b.programs, db, filepath.Join(b.dir, "empty.log"), 0, 0)
	if err != nil {
		return 0, err
	}
	t.Stop(strikeFor)
	b.empty, err = databaseBytes(db)
	return b.empty, err
}

// plan makes a plan of the stand's fleet.
func (s *stand) plan(ctx context.Context) (digest string, err error) {
	out, err := s.Detached(ctx, "plan", "-f", s.Places.Fleet, "--name", campaign, "--output", "json")
	if err != nil {
		return "", err
	}
	var plan struct {
		Digest string `json:"digest"`
		Found  int    `json:"found"`
	}
	if err := json.Unmarshal([]byte(out), &plan); err != nil {
		return "", err
	}
	return plan.Digest, nil
}

// rotate runs the plan, and waits for the campaign's end without asking it
// anything before.
func (s *stand) rotate(ctx context.Context, digest string, meanwhile func(context.Context, *stand) error) (workflows.Status, error) {
	var status workflows.Status
	c, err := s.dial(ctx)
	if err != nil {
		return status, err
	}
	defer c.Close()
	if _, err := s.Detached(ctx, "campaign", "start", "--plan", digest, "--name", campaign); err != nil {
		return status, err
	}
	if meanwhile != nil {
		if err := meanwhile(ctx, s); err != nil {
			return status, err
		}
	}
	if status, err = workflows.StatusOf(ctx, c, campaign, ""); err != nil {
		return status, fmt.Errorf("the campaign did not end: %w; %s", err, s.lastWords())
	}
	done := status.State == workflows.StateDone && status.Zones.Done == s.zones
	if status.EndedAt == nil || !done && len(s.deaths) == 0 {
		return status, fmt.Errorf("the campaign is %s with %d of %d zones done (%+v): %s", status.State, status.Zones.Done, s.zones, status.Zones, status.Reason)
	}
	return status, nil
}

// lastWords is what the campaign says about itself when its end did not come in
// time.
func (s *stand) lastWords() string {
	ctx, cancel := context.WithTimeout(context.Background(), readyFor)
	defer cancel()
	out, err := s.Detached(ctx, "campaign", "status", campaign, "--output", "json")
	if err != nil {
		return err.Error()
	}
	return out
}

func (s *stand) dial(ctx context.Context) (client.Client, error) {
	return client.DialContext(ctx, client.Options{HostPort: s.Temporal.Address, Logger: silent{}})
}

// silent is a Temporal logger that drops everything: the client's retries are
// of no interest.
type silent struct{}

var _ log.Logger = silent{}

func (silent) Debug(string, ...any) {}
func (silent) Info(string, ...any)  {}
func (silent) Warn(string, ...any)  {}
func (silent) Error(string, ...any) {}

// seenFromOutside adds what the simulator saw to a figure of a run in which so
// many zones were done.
func (s *stand) seenFromOutside(ctx context.Context, f *figure, done int) error {
	edges, err := s.journal.end()
	if err != nil {
		return err
	}
	counted, err := s.called(ctx)
	if err != nil {
		return err
	}
	f.MaxPerSecond = map[string]int{}
	for action, c := range counted {
		if c.Calls > 0 {
			f.MaxPerSecond[action] = c.MaxPerSecond
		}
		f.Throttled += c.Throttled
	}
	f.Refreshes = counted[stage.RefreshAction].Calls
	perSecond, gap := pace(edges)
	f.RefreshesPerSecond, f.LongestGapMs = rounded(perSecond), ms(gap)
	exposures, err := outside(s, edges)
	f.Outside, f.exposures = spreadOf(lasted(exposures)), exposures
	if len(s.deaths) > 0 {
		t := tollOf(s.deaths, exposures, edges)
		t.NotDone = s.zones - done
		f.Toll = &t
	}
	return err
}

// The processes whose usage is counted. Those that rotate are Keywave's workers
// or, in a baseline's run, this process.
const (
	whoRotates  = "rotating"
	ofTemporal  = "temporal"
	ofSimulator = "simulator"
	ofHosts     = "hosts"
)

// counted are the processes that are still running, by their ID.
func (s *stand) counted() map[int]string {
	pids := map[int]string{}
	if s.Sim != nil {
		pids[s.Sim.PID()] = ofSimulator
	}
	if t := s.server(); t != nil {
		pids[t.PID()] = ofTemporal
	}
	for _, w := range s.Workers {
		if w.Running() {
			pids[w.PID()] = whoRotates
		}
	}
	if len(s.Workers) == 0 {
		pids[os.Getpid()] = whoRotates
	}
	return pids
}

// usages is what each process has used up, by its ID.
func (s *stand) usages() (map[int]stage.Usage, error) {
	used := map[int]stage.Usage{}
	for pid := range s.counted() {
		u, err := stage.UsageOf(pid)
		if err != nil {
			return nil, err
		}
		used[pid] = u
	}
	return used, nil
}

// cpuSince is the CPU time that was used since before was taken, by who used it.
func (s *stand) cpuSince(before map[int]stage.Usage) (map[string]time.Duration, error) {
	after, err := s.usages()
	if err != nil {
		return nil, err
	}
	cpu := map[string]time.Duration{}
	for pid, name := range s.counted() {
		cpu[name] += after[pid].Own - before[pid].Own
		if name == ofSimulator {
			cpu[ofHosts] = after[pid].Children - before[pid].Children
		}
	}
	return cpu, nil
}

// used adds what the processes have used since before was taken. The hosts'
// shells are the simulator's children.
func (s *stand) used(before map[int]stage.Usage, f *figure) error {
	after, err := s.usages()
	if err != nil {
		return err
	}
	f.PeakRSSMB = map[string]float64{}
	for pid, name := range s.counted() {
		f.PeakRSSMB[name] = max(f.PeakRSSMB[name], rounded(megabytes(after[pid].PeakRSS)))
	}
	cpu, err := s.cpuSince(before)
	if err != nil {
		return err
	}
	f.CPUMsPerZone = map[string]float64{}
	for name, d := range cpu {
		f.CPUMsPerZone[name] = rounded(float64(d.Milliseconds()) / float64(s.zones))
	}
	return nil
}
