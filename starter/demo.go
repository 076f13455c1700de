package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"keywave/internal/fleet"
	"keywave/internal/proving/sim"
	"keywave/internal/proving/sim/hosts"
	"keywave/internal/proving/stage"
	"keywave/internal/report"
	"keywave/internal/rotation"
	"keywave/internal/seal"
	"keywave/workflows"
)

type demoOptions struct {
	zones, hosts int
	dir          string
	keep         bool
	histories    string
	strategy     string
}

func (a *app) demo() *cobra.Command {
	o := &demoOptions{}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Everything on this machine: Temporal, a simulated EdgeOne, hosts, a campaign",
		Long: `Start a Temporal server with its UI, a simulated EdgeOne and simulated hosts (real
SSH servers), all on loopback, and rotate a fleet's keys in one campaign. Three
things go wrong meanwhile: an answer is lost, a call is throttled, and a host drops
out during a delivery.`,
		Example: "  keywave demo\n  keywave demo --zones 300 --keep",
		Args:    exactly(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.runDemo(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.IntVar(&o.zones, "zones", 60, "number of zones")
	f.IntVar(&o.hosts, "hosts", 12, "number of hosts, over 2 locations")
	f.StringVar(&o.strategy, "strategy", rotation.RefreshWord, "who makes the new keys: "+strings.Join(rotation.Strategies(), " or "))
	f.StringVar(&o.dir, "dir", "demo", "where everything is kept; each run has its own folder in it")
	f.StringVar(&o.histories, "histories", "", "write the workflows' histories to this directory")
	_ = f.MarkHidden("histories")
	f.BoolVar(&o.keep, "keep", false, "stay up for looking around until Ctrl-C")
	return cmd
}

const demoCampaign = `{waves: [1, 5%, 25%, 100%], bake: 1s, window: 40, maxFailed: 1%, maxExposed: 0}`

// settingsOf has the zone whose answer is lost held for seconds: with staged its key does not
// tell that the request was executed.
func settingsOf(strategy rotation.Strategy) string {
	if strategy != rotation.Staged {
		return demoCampaign
	}
	return strings.Replace(demoCampaign, "{", "{strategy: staged, signatureLife: 10s, ", 1)
}

// set is everything that the demo starts.
type set struct {
	dir      string
	programs stage.Programs
	world    *sim.World
	temporal *stage.Temporal
	worker   *stage.Process
}

func (a *app) runDemo(ctx context.Context, o *demoOptions) error {
	if o.zones < 4 || o.hosts < 2 {
		return errors.New("the demo needs at least 4 zones and 2 hosts")
	}
	strategy, err := rotation.ParseStrategy(o.strategy)
	if err != nil {
		return err
	}
	s, err := a.raise(ctx, o, strategy)
	defer s.strike()
	if err != nil {
		return err
	}
	status, r, err := a.perform(ctx, s, strategy, o.histories)
	if err != nil {
		return fmt.Errorf("%w; the logs are in %s", err, s.dir)
	}
	a.applaud(s, status, r)
	if o.keep {
		a.say("\nStill up. Look around:\n  export TEMPORAL_ADDRESS=%s\n  bin/keywave campaign status %s\n  %s\nCtrl-C ends it.", s.temporal.Address, status.Campaign, s.temporal.UI)
		<-ctx.Done()
	}
	if a.output == "json" {
		if err := a.print(status, nil); err != nil {
			return err
		}
	}
	if status.State != workflows.StateDone {
		return notDone(fmt.Errorf("the demo's campaign is %s", status.State))
	}
	return nil
}

// raise starts the world, Temporal and a worker, each as an operator would.
func (a *app) raise(ctx context.Context, o *demoOptions, strategy rotation.Strategy) (*set, error) {
	s := &set{}
	dir, err := filepath.Abs(filepath.Join(o.dir, time.Now().Format("20060102-150405")))
	if err != nil {
		return s, err
	}
	s.dir = dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return s, err
	}
	a.say("Everything is kept in %s", dir)
	s.world, err = sim.NewWorld(sim.WorldConfig{Dir: filepath.Join(dir, "world"), Zones: o.zones, Hosts: o.hosts, Campaign: settingsOf(strategy)})
	if err != nil {
		return s, err
	}
	a.say("EdgeOne, simulated   %s  (%d zones, %d hosts over SSH)", s.world.Endpoint(), o.zones, o.hosts)
	if err := s.startTemporal(ctx); err != nil {
		return s, err
	}
	a.say("Temporal             %s  UI %s", s.temporal.Address, s.temporal.UI)
	f, err := fleet.Read(s.world.FleetPath())
	if err != nil {
		return s, err
	}
	for _, l := range f.Locations {
		if err := seal.Create(s.keyring(), l); err != nil {
			return s, err
		}
	}
	for _, account := range f.Accounts {
		if err := seal.CreateAccount(s.keyring(), account.Name); err != nil {
			return s, err
		}
	}
	return s, s.startWorker()
}

func (s *set) keyring() string { return filepath.Join(s.dir, "keyring") }

func (s *set) startTemporal(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	s.programs = stage.ProgramsIn(filepath.Dir(self))
	s.temporal, err = stage.StartTemporal(ctx, s.programs, filepath.Join(s.dir, "temporal.db"), filepath.Join(s.dir, "devserver.log"), 0, 0)
	if err != nil {
		return err
	}
	// Of this process too: the demo is a client like any other.
	for _, v := range []string{"TEMPORAL_NAMESPACE", "TEMPORAL_PROFILE", "TEMPORAL_API_KEY", "TEMPORAL_CONFIG_FILE"} {
		_ = os.Unsetenv(v)
	}
	return os.Setenv("TEMPORAL_ADDRESS", s.temporal.Address)
}

func (s *set) startWorker() error {
	var err error
	s.worker, err = stage.Start("worker", s.programs.Worker, filepath.Join(s.dir, "worker.log"),
		stage.Environment("TEMPORAL_ADDRESS="+s.temporal.Address, "TENCENTCLOUD_CREDENTIALS_FILE="+s.world.CredentialsPath()),
		"--fleet", s.world.FleetPath(), "--keyring", s.keyring(), "--ssh-identity", s.world.ClientKeyPath(), "--ssh-agent", "none")
	return err
}

// perform sets the bad days and runs plan, campaign and report.
func (a *app) perform(ctx context.Context, s *set, strategy rotation.Strategy, histories string) (workflows.Status, report.Report, error) {
	var status workflows.Status
	var r report.Report
	f, err := readFleet(s.world.FleetPath())
	if err != nil {
		return status, r, err
	}
	conn, err := a.connect(ctx)
	if err != nil {
		return status, r, err
	}
	defer conn.Close()
	plan, err := makePlan(ctx, conn, f, "demo")
	if err != nil {
		return status, r, err
	}
	a.say("Plan                 %s  %d zones in %d waves, %d deliveries, %d findings\n", plan.Digest, plan.Zones, len(plan.Waves), plan.Pairs, plan.Found)
	if err := badDays(s.world, strategy); err != nil {
		return status, r, err
	}
	in := workflows.CampaignIn{Name: "demo", Plan: plan.Name, Digest: plan.Digest, By: operator(), Reason: "keywave demo"}
	if err := launch(ctx, conn, in, plan, false); err != nil {
		return status, r, err
	}
	if status, err = a.follow(ctx, conn, "demo"); err != nil {
		return status, r, err
	}
	if r, err = gatherReport(ctx, conn, "demo"); err != nil {
		return status, r, err
	}
	if histories != "" {
		if err := recordHistories(ctx, conn, histories, byID); err != nil {
			return status, r, err
		}
	}
	for name, write := range reportWriters() {
		if err := writeFile(filepath.Join(s.dir, "report."+name), func(w io.Writer) error { return write(r, w) }); err != nil {
			return status, r, err
		}
	}
	return status, r, nil
}

// putMark is in the input of a command that puts a key on a host, and in no other.
const putMark = "\nput\n"

// activateMark is the same for one that puts a staged key in place.
const activateMark = "\nactivate\n"

// badDays are the three that the demo shows, each on a zone of its own.
func badDays(w *sim.World, strategy rotation.Strategy) error {
	action, match := stage.RefreshAction, putMark
	if strategy == rotation.Staged {
		action, match = stage.ModifyAction, activateMark
	}
	zones := w.ZoneIDs()
	host := hostOfItsOwn(w, zones)
	if err := w.EdgeOne.AddFaults(
		sim.Fault{Action: action, Zone: zones[1], Nth: 1, Kind: "resetAfter"},
		sim.Fault{Action: action, Zone: zones[2], Nth: 1, Kind: "throttle"},
	); err != nil {
		return err
	}
	return w.Hosts.Host(host).Begin(hosts.Bad{Kind: hosts.DropMidTransfer, Count: 2, Match: match})
}

// hostOfItsOwn is a host that the zones with other bad days do not have.
func hostOfItsOwn(w *sim.World, zones []string) string {
	of := w.ZoneHosts()
	others := slices.Concat(of[zones[0]], of[zones[1]], of[zones[2]])
	for _, zone := range zones[3:] {
		for _, host := range of[zone] {
			if !slices.Contains(others, host) {
				return host
			}
		}
	}
	return of[zones[3]][0]
}

// applaud says how it ended.
func (a *app) applaud(s *set, status workflows.Status, r report.Report) {
	z, e := status.Zones, status.ExposureMs
	a.say("\n%d zones: %d done, %d unchanged, %d exposed, %d unknown, %d skipped, %d pending.", z.Total, z.Done, z.Unchanged, z.Exposed, z.Unknown, z.Skipped, z.Pending)
	a.say("Hosts acknowledged %d of %d. Exposure p50 %d ms, p99 %d ms, max %d ms.", status.Hosts.Acknowledged, status.Hosts.Total, e.P50, e.P99, e.Max)
	a.say("Calls: %d %s, %d describe, %d throttled.", status.API.Changes(), status.API.Changing(), status.API.Describe, status.API.Throttled)
	a.say("\nWhat the bad days did:")
	for _, zone := range r.Zones {
		if zone.Why != "" {
			a.say("  %s %s after %d ms: %s", zone.ID, zone.Outcome, zone.ExposureMs, zone.Why)
		}
	}
	a.say("\nReport               %s and .json", filepath.Join(s.dir, "report.md"))
	a.say("Temporal UI          %s  (up while the demo is: make demo KEEP=1)", s.temporal.UI)
}

const stopGrace = 20 * time.Second

// strike ends everything, the worker first.
func (s *set) strike() {
	if s.worker != nil {
		s.worker.Stop(stopGrace)
	}
	if s.temporal != nil {
		s.temporal.Stop(stopGrace)
	}
	if s.world != nil {
		_ = s.world.Close()
	}
}
