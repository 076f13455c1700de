package main

import (
	"cmp"
	"context"
	"sync/atomic"
	"time"

	"keywave/internal/edgeone"
	"keywave/internal/metrics"
	"keywave/internal/rotation"
	"keywave/internal/telemetry"
	"keywave/internal/temporalclient"
	"keywave/internal/version"
	"keywave/workflows"
)

// How often the active process counts exposed zones, and how old a count is still told.
const (
	countEvery  = 10 * time.Second
	countWithin = 8 * time.Second
	countTold   = time.Minute
)

// counted is how many zones were exposed then.
type counted struct {
	zones int
	at    time.Time
}

// observe has everything measured that this process knows by itself.
func (w *workers) observe() error {
	build := version.Of()
	gauges := map[string]func(say func(float64, ...string)){
		metrics.BuildInfo: func(say func(float64, ...string)) {
			say(1, metrics.Version, build.Version, metrics.Revision, cmp.Or(build.Revision, "unknown"), metrics.Go, build.Go, metrics.SDK, build.SDK)
		},
		metrics.FleetDigest: func(say func(float64, ...string)) {
			if w.file != nil {
				say(1, metrics.Digest, w.mark())
			}
		},
		metrics.CredentialExpiry: w.sayEnds,
		metrics.LeaseHeld: func(say func(float64, ...string)) {
			for _, c := range w.callers {
				say(c.holds(), metrics.Account, string(c.account.Name))
			}
		},
		metrics.ZonesExposed: func(say func(float64, ...string)) {
			for _, c := range w.callers {
				if n := c.exposed.Load(); n != nil && c.holds() == 1 && time.Since(n.at) < countTold {
					say(float64(n.zones), metrics.Account, string(c.account.Name))
				}
			}
		},
	}
	for name, read := range gauges {
		if err := w.telemetry.Gauge(name, read); err != nil {
			return err
		}
	}
	w.know()
	return nil
}

// know shows the counters of this process's roles before anything was counted.
func (w *workers) know() {
	if w.plays(roleOrchestrator) {
		w.telemetry.Known(metrics.Zones)
		w.telemetry.Known(metrics.CampaignPaused)
	}
	for _, c := range w.callers {
		w.telemetry.Known(metrics.EdgeOneCalls, metrics.Account, string(c.account.Name))
	}
	for _, l := range w.locations {
		w.telemetry.Known(metrics.HostFailures, metrics.Location, string(l.Name))
	}
}

// sayEnds says when what this process shows to others ends.
func (w *workers) sayEnds(say func(float64, ...string)) {
	tell := func(ends time.Time, of, account string) {
		if !ends.IsZero() {
			say(float64(ends.Unix()), metrics.Of, of, metrics.Account, account)
		}
	}
	for _, c := range w.callers {
		if ends := c.ends.Load(); ends != nil {
			tell(*ends, metrics.OfEdgeOne, string(c.account.Name))
		}
	}
	if w.ssh != nil {
		tell(w.ssh.Ends(), metrics.OfSSH, "")
	}
	if stage(w.stage.Load()) != starting {
		tell(w.temporal.CertificateEnds(), metrics.OfTemporal, "")
	}
}

// holds is 1 while this process is the account's active one.
func (w *caller) holds() float64 {
	if w.active.Load() && w.lease.Valid() == nil {
		return 1
	}
	return 0
}

// countCall counts a call of EdgeOne, countWait how long it waited for its turn.
func (w *caller) countCall(action string, class rotation.Class) {
	w.telemetry.Count(metrics.EdgeOneCalls, metrics.Account, string(w.account.Name), metrics.Action, action, metrics.Class, cmp.Or(string(class), metrics.Answered))
}

func (w *caller) countWait(d time.Duration) {
	w.telemetry.Time(metrics.PaceWait, d, metrics.Account, string(w.account.Name))
}

// watch counts the account's exposed zones while this process is the active one. Zones
// have one count, whatever orchestrators run them.
func (w *caller) watch(ctx context.Context) {
	for {
		w.count(ctx)
		select {
		case <-ctx.Done():
			return
		case <-time.After(countEvery):
		}
	}
}

func (w *caller) count(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, countWithin)
	defer cancel()
	n, err := temporalclient.Standing(ctx, w.temporal.Client, workflows.ExposedZones(w.account.Name), workflows.DoneZones)
	switch {
	case err == nil:
		w.exposed.Store(&counted{n, time.Now()})
	case ctx.Err() == nil:
		w.log.Warn("the exposed zones cannot be counted", telemetry.Account, w.account.Name, "error", err.Error())
	}
}

// watchCredential notes when the credential ends, now and then: to ask for one can
// take long. One that Keywave renews ends only where that fails.
func (w *caller) watchCredential(ctx context.Context, from edgeone.Provider) {
	for {
		if c, err := from.Credential(ctx); err == nil {
			ends := c.Until()
			if c.Renew() == "" && edgeone.Readable(from) == nil {
				ends = time.Time{}
			}
			w.ends.Store(&ends)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(countEvery):
		}
	}
}

// observed is what a caller knows for others to ask.
type observed struct {
	active  atomic.Bool
	exposed atomic.Pointer[counted]
	ends    atomic.Pointer[time.Time]
}
