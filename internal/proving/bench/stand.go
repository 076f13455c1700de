package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"keywave/internal/fleet"
	"keywave/internal/proving/bench/baseline"
	"keywave/internal/proving/stage"
	"keywave/internal/rotation"
)

// setup describes the world of one run.
type setup struct {
	name             string
	zones, hostsEach int
	delayMs, limit   int
	// workers is how many of Keywave's run; 0 is a run without Keywave.
	workers int
	// roles, where it is set, are the flags of each worker, instead of workers that
	// play every role and tell nobody how they do.
	roles [][]string
	// hosts is the number of all hosts, if it is not the usual one. One of slowEach
	// reloads slowly.
	hosts, slowEach int
	// slowWrites makes whatever writes a key slow on every host.
	slowWrites bool
	// bin is where the programs are, if they are not the usual ones.
	bin string
	// answerMs is by how much EdgeOne's answers to refreshes are late.
	answerMs int
	// settings are added to the campaign section of the fleet file.
	settings string
	// serverFlags are additional flags of the Temporal server, workerEnv additional
	// variables of the workers.
	serverFlags, workerEnv []string
}

// stand is a simulated world whose hosts all hold live keys, and Keywave's
// processes if the run needs them.
type stand struct {
	*stage.Stack
	setup
	fleet   *fleet.Fleet
	journal *journal
	deaths  []death
	// heard is, for each worker that was started again, how much its log had by
	// then.
	heard map[int]int64
}

const (
	location   = "hk"
	campaign   = "bench"
	readyFor   = time.Minute
	strikeFor  = 15 * time.Second
	goodEnough = "waves: [100%], bake: 0s, maxFailed: 100%, maxExposed: 100000"
)

// bareStand is a stand in a directory of its own. Nothing runs there yet.
func (b *bench) bareStand(run setup) (*stand, error) {
	dir := filepath.Join(b.dir, strings.ReplaceAll(run.name, " ", "-"))
	if run.roles != nil {
		run.workers = len(run.roles)
	}
	programs := b.programs
	if run.bin != "" {
		programs = stage.ProgramsIn(run.bin)
	}
	s := &stand{setup: run, heard: map[int]int64{}, Stack: &stage.Stack{
		Config:   stage.Config{Dir: dir, Campaign: campaign, ServerFlags: run.serverFlags, WorkerFlags: run.roles, WorkerEnv: run.workerEnv},
		Programs: programs, Port: stage.FreePort(), UIPort: stage.FreePort(),
	}}
	return s, os.MkdirAll(dir, 0o700)
}

// raise starts the world, writes its fleet file and its hosts' key files, and
// begins to follow its journal. The stand must be struck even if raise failed.
func (b *bench) raise(ctx context.Context, run setup) (*stand, error) {
	b.say("%s: %d zones, %d hosts each, %d ms away", run.name, run.zones, run.hostsEach, run.delayMs)
	s, err := b.bareStand(run)
	if err != nil {
		return s, err
	}
	if err := s.startSim(ctx); err != nil {
		return s, err
	}
	if err := s.writeFleet(); err != nil {
		return s, err
	}
	if err := s.writeKeys(ctx); err != nil {
		return s, err
	}
	if err := errors.Join(s.delayAnswers(ctx), s.slowDown(ctx), s.slowDownWrites(ctx)); err != nil {
		return s, err
	}
	s.journal = follow(ctx, s.Stack)
	if s.workers == 0 {
		return s, nil
	}
	return s, s.startKeywave(ctx)
}

func (s *stand) startSim(ctx context.Context) error {
	var err error
	s.Sim, err = stage.Start("sim", s.Programs.Keywave, s.Log("sim"), stage.Environment(), "sim", "--output", "json",
		"--dir", filepath.Join(s.Dir, "world"), "--zones", strconv.Itoa(s.zones), "--hosts", strconv.Itoa(cmp.Or(s.hosts, hosts)),
		"--locations", location, "--empty-hosts", "--limit", strconv.Itoa(s.limit), "--delay-ms", strconv.Itoa(s.delayMs))
	if err != nil {
		return err
	}
	line, err := s.Sim.FirstLine(ctx, readyFor)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(line), &s.Places); err != nil {
		return fmt.Errorf("the simulator said %q: %w", line, err)
	}
	return nil
}

// writeFleet gives every zone the same number of hosts, which the simulator's
// own fleet file does not, and raises the limit where the simulator has none.
func (s *stand) writeFleet() error {
	written, err := fleet.Read(s.Places.Fleet)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(s.Places.Fleet)
	if err != nil {
		return err
	}
	head, _, found := strings.Cut(string(text), "\nzones:\n")
	if !found {
		return fmt.Errorf("%s has no zones", s.Places.Fleet)
	}
	if s.limit <= 0 {
		const most = 1000 // the largest number that a fleet file may have
		head = strings.Replace(head, fmt.Sprintf("requestsPerSecond: %d\n", limit), fmt.Sprintf("requestsPerSecond: %d\n", most), 1)
	}
	names := make([]string, 0, len(written.Hosts))
	for name := range written.Hosts {
		names = append(names, string(name))
	}
	slices.Sort(names)
	var b strings.Builder
	b.WriteString(head + "\nzones:\n")
	for i, z := range written.Zones {
		var mine []string
		for j := range s.hostsEach {
			mine = append(mine, names[(i*s.hostsEach+j)%len(names)])
		}
		fmt.Fprintf(&b, "  - {id: %s, name: %s, hosts: [%s]}\n", z.ID, z.Name, strings.Join(mine, ", "))
	}
	settings := fmt.Sprintf("%s, window: %d", goodEnough, window)
	if s.settings != "" {
		settings += ", " + s.settings
	}
	fmt.Fprintf(&b, "campaign: {%s}\n", settings)
	s.Places.Fleet = filepath.Join(s.Dir, "fleet.yaml")
	if err := os.WriteFile(s.Places.Fleet, []byte(b.String()), 0o644); err != nil {
		return err
	}
	s.fleet, err = fleet.Read(s.Places.Fleet)
	return err
}

// writeKeys puts each zone's live key on its hosts, as it is in a fleet without
// drift.
func (s *stand) writeKeys(ctx context.Context) error {
	keys, err := s.Keys(ctx)
	if err != nil {
		return err
	}
	var wrong []error
	for _, z := range s.fleet.Zones {
		for _, h := range z.Hosts {
			wrong = append(wrong, os.WriteFile(s.keyFile(z.ID, h), []byte(keys[string(z.ID)].Live+"\n"), 0o600))
		}
	}
	return errors.Join(wrong...)
}

func (s *stand) keyFile(zone rotation.ZoneID, host rotation.HostName) string {
	return strings.ReplaceAll(s.fleet.Hosts[host].SSH.Path, "{zone}", string(zone))
}

func (s *stand) startKeywave(ctx context.Context) error {
	if err := s.FirstTemporal(ctx); err != nil {
		return err
	}
	for _, of := range [][]string{{location}, {"--account", "default"}} {
		if _, err := s.CLI(ctx, append([]string{"keyring", "create", "--keyring", s.Keyring()}, of...)...); err != nil {
			return err
		}
	}
	for range s.workers {
		if err := s.addWorker(ctx); err != nil {
			return err
		}
	}
	return nil
}

// addWorker starts one more worker and waits until it is ready.
func (s *stand) addWorker(ctx context.Context) error {
	s.Workers = append(s.Workers, nil)
	i := len(s.Workers) - 1
	if err := s.StartWorker(i); err != nil {
		return err
	}
	return s.awaitSaid(ctx, i, "msg=ready")
}

// awaitSaid waits until worker i's log contains a text.
func (s *stand) awaitSaid(ctx context.Context, i int, text string) error {
	deadline := time.Now().Add(readyFor)
	for time.Now().Before(deadline) {
		if said, err := s.said(i); err == nil && strings.Contains(said, text) {
			return nil
		}
		if !s.Workers[i].Running() {
			return fmt.Errorf("%s ended; see %s", s.Workers[i].Name, s.Workers[i].Log)
		}
		if err := stage.Pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s did not say %q within %s; see %s", s.Workers[i].Name, text, readyFor, s.Workers[i].Log)
}

// said is worker i's log since it was started.
func (s *stand) said(i int) (string, error) {
	text, err := os.ReadFile(s.Workers[i].Log)
	return string(text[min(int64(len(text)), s.heard[i]):]), err
}

// active is the worker that calls EdgeOne: the one whose log says so.
func (s *stand) active() (int, error) {
	const begins, ends = "active: this process calls EdgeOne", "not active any more"
	for i, w := range s.Workers {
		said, err := s.said(i)
		if err != nil {
			return 0, err
		}
		if w.Running() && strings.LastIndex(said, begins) > strings.LastIndex(said, ends) {
			return i, nil
		}
	}
	return 0, errors.New("no worker's log says that it is active")
}

// world is what a baseline needs to know of the stand.
func (s *stand) world() baseline.World {
	return baseline.World{Fleet: s.fleet, Credentials: s.Places.Credentials, Identity: s.Places.Identity, Window: window}
}

// calls is what the simulator counted of one action.
type calls struct {
	Calls        int `json:"calls"`
	Throttled    int `json:"throttled"`
	MaxPerSecond int `json:"maxPerSecond"`
}

// called asks the simulator what it counted, by action.
func (s *stand) called(ctx context.Context) (map[string]calls, error) {
	var state struct {
		Actions map[string]calls `json:"actions"`
	}
	return state.Actions, s.Control(ctx, http.MethodGet, "/state", nil, &state)
}

// strike ends everything. After that the database is complete on disk.
func (s *stand) strike() {
	if s.journal != nil {
		_, _ = s.journal.end()
	}
	for _, p := range append(slices.Clone(s.Workers), s.server(), s.Sim) {
		if p != nil && p.Running() {
			p.Stop(strikeFor)
		}
	}
}

// server is the Temporal server's process, if there is one.
func (s *stand) server() *stage.Process {
	if s.Temporal == nil {
		return nil
	}
	return s.Temporal.Process
}
