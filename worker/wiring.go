package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	stdlog "log"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	sdkworker "go.temporal.io/sdk/worker"

	"keywave/activities"
	"keywave/internal/deliver"
	"keywave/internal/deliver/exec"
	"keywave/internal/deliver/file"
	"keywave/internal/deliver/ssh"
	"keywave/internal/edgeone"
	"keywave/internal/fleet"
	"keywave/internal/plan"
	"keywave/internal/planning"
	"keywave/internal/rotation"
	"keywave/internal/seal"
	"keywave/internal/telemetry"
	"keywave/internal/temporalclient"
	"keywave/internal/version"
	"keywave/workflows"
)

// How much one process does at once, and how long it may take to stop: longer
// than the longest thing that must not be cut off, a refresh with its answer.
const (
	stopTimeout      = 2 * time.Minute
	stickyFor        = 2 * time.Second // a workflow task waits so long for the process that has the workflow in memory
	describesAtOnce  = 24
	deliveriesAtOnce = 256
	cachedWorkflows  = 4000
)

// run plays the roles until ctx ends or one of them cannot go on.
func run(ctx context.Context, c *config) error {
	logger, err := telemetry.NewLogger(os.Stderr, c.logLevel, c.logForm)
	if err != nil {
		return err
	}
	// The standard logger is no channel of ours: net/http prints surplus bytes
	// of an answer there, and an answer can hold a key.
	stdlog.SetOutput(io.Discard)
	w := &workers{config: c, log: logger, fatal: make(chan error, 1), release: make(chan struct{})}
	build := version.Of()
	w.telemetry, err = telemetry.Start(ctx, telemetry.Options{Page: c.listen != "", Name: "keywave-worker", Version: build.Version, Instance: c.id, Log: logger})
	if err != nil {
		return err
	}
	defer w.hush()
	if err := w.wire(ctx); err != nil {
		return err
	}
	if c.listen != "" {
		stop, err := listen(c.listen, w.telemetry.Page, w.unready)
		if err != nil {
			return err
		}
		defer stop()
	}
	logger.Info("starting", "version", build.Version, "revision", build.Revision, "modified", build.Modified, "go", build.Go, "sdk", build.SDK)
	if err := w.connect(ctx); err != nil {
		return err
	}
	defer w.temporal.Close()
	if err := w.start(ctx); err != nil {
		w.stop()
		return err
	}
	w.stage.Store(int32(working))
	logger.Info("ready", "roles", strings.Join(c.roles, ","), "temporal", w.temporal.Address, "namespace", w.temporal.Namespace, telemetry.Fleet, w.mark())
	if w.file != nil {
		go w.file.watch(ctx)
		go w.watchFleets(ctx)
	}
	select {
	case <-ctx.Done():
		logger.Info("stopping: finishing or handing back what is under way")
	case err = <-w.fatal:
	}
	w.stage.Store(int32(stopping))
	w.stop()
	return err
}

// hush sends the metrics that are left.
func (w *workers) hush() {
	ctx, cancel := context.WithTimeout(context.Background(), lookWithin)
	defer cancel()
	if err := w.telemetry.Stop(ctx); err != nil {
		w.log.Warn("telemetry: " + err.Error())
	}
}

// workers are the SDK workers of this process.
type workers struct {
	*config
	file     *fleetFile // nil where no role needs it
	log      *slog.Logger
	temporal *temporalclient.Connection
	// telemetry is how machines hear of this process.
	telemetry *telemetry.Telemetry
	ready     readiness
	stage     atomic.Int32
	ssh       *ssh.Shared // nil without the role location
	fatal     chan error
	release   chan struct{}

	callers   []*caller
	locations []*activities.Location
	running   []sdkworker.Worker
	own       []sdkworker.Worker // serve the queues that this worker's proofs name
}

// caller is this process's part in one account: it stands by, and is the one
// that calls EdgeOne while it holds the account's lease. Each account has a
// credential, a pace and a lease of its own.
type caller struct {
	*workers
	account fleet.Account
	edgeOne *activities.EdgeOne
	lease   *edgeone.Lease
	holding sdkworker.Worker
	early   *early // nil where the account's limit is too low for two
	// credentials sign the calls.
	credentials edgeone.Provider
	// keeper has the account's own keyset, if there is one.
	keeper *seal.Keeper
	observed
}

// wire makes the adapters: whatever is missing is said before anything starts.
func (w *workers) wire(ctx context.Context) error {
	if w.plays(roleEdgeOne) {
		for _, account := range w.called() {
			c := &caller{workers: w, account: account, lease: &edgeone.Lease{}}
			if err := c.wire(ctx); err != nil {
				return err
			}
			w.callers = append(w.callers, c)
		}
	}
	if w.plays(roleLocation) {
		if err := w.wireLocations(); err != nil {
			return err
		}
	}
	for _, c := range w.callers {
		c.edgeOne.Beside = w.locations
	}
	if err := w.give(); err != nil {
		return err
	}
	w.ready.checks = w.readyChecks()
	return w.observe()
}

func (w *caller) wire(ctx context.Context) error {
	credentials, err := edgeone.Credentials(ctx, edgeone.Source(w.account.Credentials), edgeone.Services{
		Endpoint: w.account.Endpoint,
		Warn:     func(err error) { w.log.Warn(err.Error(), telemetry.Account, w.account.Name) },
	})
	if err != nil {
		return fmt.Errorf("account %s: %w", w.account.Name, err)
	}
	w.credentials = credentials
	go w.watchCredential(ctx, credentials)
	sealer, err := seal.OpenSealer(w.keyring, w.fleet.Locations)
	if err != nil {
		return err
	}
	active, reads := edgeone.NewPaces(w.account.RequestsPerSecond)
	var after func() time.Duration
	if reads.Shared() {
		after = w.lease.ReadsAfter
	}
	api, err := w.api(active, w.lease, after)
	if err != nil {
		return err
	}
	w.keeper = seal.NewKeeper(w.keyring, w.account.Name)
	w.edgeOne = w.answers(api, sealer)
	w.edgeOne.Inventory = api
	w.edgeOne.Checks = func() map[string]func(context.Context) error { return w.file.now().checks }
	w.edgeOne.Switcher, w.edgeOne.Keeper, w.edgeOne.Keyset = api, w.keeper, w.keyset
	w.edgeOne.Clock = api.Clock
	if err := w.wireEarly(reads, sealer); err != nil {
		return err
	}
	w.edgeOne.Signing = func(ctx context.Context) activities.Signing {
		c, _ := credentials.Credential(ctx)
		which := w.account.Credentials.String()
		if role := c.Role(); role != "" {
			which += ", whose file names " + role
		}
		return activities.Signing{Credential: which, Until: c.Until(), Renew: c.Renew()}
	}
	w.edgeOne.Plan = func(ctx context.Context, in activities.PlanFleetIn) (plan.Plan, string, error) {
		return planning.Planner{File: w.fleetFile, Loaded: w.file.now().fleet, Client: w.temporal.Client, Namespace: w.temporal.Namespace}.Plan(ctx, in)
	}
	return nil
}

// api calls EdgeOne at a pace, while a lease is held, and reads after what readsAfter says.
func (w *caller) api(pace *edgeone.Pace, lease *edgeone.Lease, readsAfter func() time.Duration) (*edgeone.Client, error) {
	return edgeone.New(edgeone.Config{
		Endpoint: w.account.Endpoint, Credentials: w.credentials, Pace: pace, Gate: lease.Valid, ReadsAfter: readsAfter, Clock: w.warnOfClock,
		Timeout: activities.EdgeOneCall, Called: w.countCall, Waited: w.countWait,
	})
}

// answers is what is needed to read a key, and to seal it.
func (w *caller) answers(api *edgeone.Client, sealer rotation.Sealer) *activities.EdgeOne {
	return &activities.EdgeOne{
		API: api, Sealer: sealer, Spans: w.telemetry.Spans, PerSecond: w.account.RequestsPerSecond,
		Holders: func(ctx context.Context, zone rotation.ZoneID) (rotation.Holders, error) {
			return w.file.now().holders[w.account.Name].Of(ctx, zone)
		},
		DeliverFor:  func() time.Duration { return w.file.now().fleet.Campaign.Timing.DeliverFor.D() },
		RollbackFor: func() time.Duration { return w.file.now().fleet.Campaign.RollbackFor.D() },
	}
}

// warnOfClock says that this machine's clock is not EdgeOne's, and when it is again.
func (w *caller) warnOfClock(ahead time.Duration) {
	if ahead.Abs() > rotation.ClockOff {
		w.log.Warn("this machine's clock is "+rotation.ClockText(ahead)+"; EdgeOne refuses a signature that is 300 s off: let NTP set the clock", telemetry.Account, w.account.Name)
		return
	}
	w.log.Info("this machine's clock is EdgeOne's again", telemetry.Account, w.account.Name)
}

// keyset is the account's own as its file is now, and what is wrong with it. There
// need not be one.
func (w *caller) keyset() (fingerprint, problem string) {
	fingerprint, err := w.keeper.Fingerprint()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err.Error()
	}
	return fingerprint, ""
}

func (w *workers) wireLocations() error {
	opener, err := seal.OpenOpener(w.keyring, w.served())
	if err != nil {
		return err
	}
	shared, err := ssh.NewShared(w.sshOptions(func(said string) { w.log.Warn(said) }))
	if err != nil {
		return err
	}
	w.ssh = shared
	for _, name := range w.served() {
		w.locations = append(w.locations, &activities.Location{
			Name: name, Opener: opener, Queue: workflows.LocationQueue(name) + "-" + w.id,
			Hosts: func() activities.Machines { return w.file.now().hosts[name] }, Spans: w.telemetry.Spans,
		})
	}
	return nil
}

func (w *workers) sshOptions(warn func(string)) ssh.Options {
	return ssh.Options{Keys: w.identities, Agent: w.agent, KnownHosts: w.knownHosts, Warn: warn}
}

// machine makes the transport that the fleet file names.
func machine(h fleet.Host, shared *ssh.Shared) (rotation.Host, error) {
	switch {
	case h.Exec != nil:
		return exec.New(exec.Config{Name: h.Name, Command: h.Exec.Command, Timeout: h.Exec.Timeout.D()})
	case h.SSH != nil:
		s := h.SSH
		cfg := ssh.Config{Name: h.Name, Address: s.Address, HostKey: s.HostKey, User: s.User, Become: s.Become, Settings: settings(s.File)}
		for _, b := range s.Jump {
			cfg.Jump = append(cfg.Jump, ssh.Hop(b))
		}
		return ssh.New(cfg, shared)
	}
	return file.New(file.Config{Name: h.Name, Settings: settings(*h.File)})
}

func settings(f fleet.File) deliver.Settings {
	return deliver.Settings{
		Path: f.Path, StageDir: f.StageDir, Owner: f.Owner, Group: f.Group, Mode: f.Mode, Write: f.Write, Format: f.Format, Reload: f.Reload, Verify: f.Verify,
	}
}

func (w *workers) start(ctx context.Context) error {
	if w.plays(roleOrchestrator) {
		register := func() error { return w.temporal.EnsureSearchAttributes(ctx, workflows.Attributes()) }
		if err := w.patiently(ctx, register); err != nil {
			return err
		}
		sdkworker.SetStickyWorkflowCacheSize(cachedWorkflows)
		o := w.options()
		o.StickyScheduleToStartTimeout = stickyFor
		if err := w.startWorker(&w.running, workflows.Queue, o, func(r sdkworker.Worker) {
			workflows.RegisterOrchestrator(r, &activities.Temporal{Client: w.temporal}, w.notices)
		}); err != nil {
			return err
		}
	}
	for _, l := range w.locations {
		o := w.activityOptions(deliveriesAtOnce)
		o.MaxHeartbeatThrottleInterval = activities.DeliverBeat // the server is to hear each beat
		register := func(r sdkworker.Worker) { workflows.RegisterLocation(r, l) }
		if err := w.startWorker(&w.running, workflows.LocationQueue(l.Name), o, register); err != nil {
			return err
		}
		if err := w.startWorker(&w.own, l.Queue, o, register); err != nil {
			return err
		}
	}
	for _, c := range w.callers {
		if err := c.standBy(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (w *workers) options() sdkworker.Options {
	return sdkworker.Options{
		WorkerStopTimeout: stopTimeout, DisableRegistrationAliasing: true,
		OnFatalError: func(err error) {
			select {
			case w.fatal <- err:
			default:
			}
		},
	}
}

func (w *workers) activityOptions(atOnce int) sdkworker.Options {
	o := w.options()
	o.DisableWorkflowWorker = true
	o.MaxConcurrentActivityExecutionSize = atOnce
	return o
}

func (w *workers) startWorker(among *[]sdkworker.Worker, queue string, o sdkworker.Options, register func(sdkworker.Worker)) error {
	r := sdkworker.New(w.temporal.Client, queue, o)
	register(r)
	if err := r.Start(); err != nil {
		return err
	}
	*among = append(*among, r)
	return nil
}
