package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"keywave/internal/proving/bench/bare"
	"keywave/internal/proving/stage"
	"keywave/workflows"
)

// The part huge runs a fleet of the largest size once. The campaign is
// terminated in Temporal in its middle, and a person resumes it. A small bare
// pattern runs beside it, on a server of its own, every minute: by its CPU, the
// campaign's CPU of that minute is normalised.

// huge is what the part found.
type huge struct {
	// ResumeSeconds is what the command took, GoesOnSeconds the time from the
	// terminate to the next refresh.
	ResumeSeconds float64 `json:"resumeSeconds"`
	GoesOnSeconds float64 `json:"goesOnSeconds"`
	// StatusSeconds and WatchSeconds are the longest of those asked in the course
	// of the campaign; that of watch is to its first line.
	StatusSeconds float64  `json:"statusSeconds"`
	WatchSeconds  float64  `json:"watchSeconds"`
	ReportSeconds float64  `json:"reportSeconds"`
	Minutes       []minute `json:"minutes"`
}

// minute is a part of the campaign's time.
type minute struct {
	Zones           int     `json:"zones"` // refreshed until its end
	ZonesPerSecond  float64 `json:"zonesPerSecond"`
	TemporalMs      float64 `json:"temporalCpuMsPerZone"`
	WorkerMs        float64 `json:"workerCpuMsPerZone"`
	BareMs          float64 `json:"bareCpuMsPerChild"`
	VsBare          float64 `json:"cpuVsBare"`
	ServerMB        float64 `json:"serverMB"`
	WorkerMB        float64 `json:"workerMB"`
	DatabaseMB      float64 `json:"databaseMB"`
	commandsSeconds [2]float64
}

// bareChildren are enough to read a process's CPU, which is counted in
// hundredths of a second, and few enough to disturb nothing.
const bareChildren = 60

// hugeRun watches one campaign.
type hugeRun struct {
	*bench
	s, beside *stand
	began     time.Time
	found     huge
	stop      chan struct{}
	done      sync.WaitGroup
	wrong     error
}

func (b *bench) huge(ctx context.Context) error {
	beside, err := b.bareStand(setup{name: "beside", zones: bareChildren, workers: 1})
	defer beside.strike()
	if err != nil {
		return err
	}
	if err := beside.startBare(ctx); err != nil {
		return err
	}
	r := &hugeRun{bench: b, beside: beside, stop: make(chan struct{})}
	run := setup{name: "huge", zones: b.most, hostsEach: hostsAlone, delayMs: roundTrip, limit: lifted, workers: 1, settings: shortWaits}
	return b.durableThen(ctx, run, r.meanwhile, r.then)
}

// meanwhile ends the campaign in Temporal when half of the zones were refreshed,
// and resumes it. The minutes are counted from its beginning to its end.
func (r *hugeRun) meanwhile(ctx context.Context, s *stand) error {
	r.s, r.began = s, time.Now()
	r.done.Go(func() { r.wrong = r.watch(ctx) })
	if err := s.journal.awaitRefreshes(ctx, s.zones/2); err != nil {
		return err
	}
	c, err := s.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	terminated := time.Now()
	if err := c.TerminateWorkflow(ctx, workflows.CampaignID(campaign), "", "the benchmark"); err != nil {
		return err
	}
	// Zones that have begun go on by themselves: wait until none does.
	before := int64(-1)
	for before != s.journal.refreshed.Load() {
		before = s.journal.refreshed.Load()
		if err := stage.Pause(ctx, 4*collectEvery); err != nil {
			return err
		}
	}
	resumed := time.Now()
	if _, err := s.Detached(ctx, "campaign", "resume", campaign, "--reason", "the benchmark"); err != nil {
		return err
	}
	r.found.ResumeSeconds = rounded(time.Since(resumed).Seconds())
	if err := s.journal.awaitRefreshes(ctx, int(before)+1); err != nil {
		return err
	}
	r.found.GoesOnSeconds = rounded(time.Since(resumed).Seconds())
	r.say("huge: terminated after %d refreshes; quiet after %.1f s; goes on %.1f s after the resume", before, resumed.Sub(terminated).Seconds(), r.found.GoesOnSeconds)
	return nil
}

// then asks for the report, and adds everything to the figure.
func (r *hugeRun) then(ctx context.Context, s *stand, f *figure) error {
	f.Seconds = rounded(time.Since(r.began).Seconds()) // the status counts from the resume
	close(r.stop)
	r.done.Wait()
	began := time.Now()
	_, err := s.Detached(ctx, "campaign", "report", campaign, "--format", "json")
	r.found.ReportSeconds = rounded(time.Since(began).Seconds())
	for _, m := range r.found.Minutes {
		r.found.StatusSeconds = max(r.found.StatusSeconds, m.commandsSeconds[0])
		r.found.WatchSeconds = max(r.found.WatchSeconds, m.commandsSeconds[1])
	}
	f.Huge = &r.found
	return errors.Join(err, r.wrong)
}

// aMinute is shorter for fleets that do not take an hour.
func (r *hugeRun) aMinute() time.Duration {
	return min(time.Minute, max(10*time.Second, time.Duration(r.s.zones)*time.Millisecond))
}

// watch adds a minute after the other until the campaign has ended. The time in
// which the yardstick is measured and commands are asked belongs to none.
func (r *hugeRun) watch(ctx context.Context) error {
	for {
		at, zones := time.Now(), r.s.journal.refreshed.Load()
		before, err := r.s.usages()
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.stop:
			return nil
		case <-time.After(r.aMinute()):
		}
		m, err := r.minute(ctx, before, int(zones), time.Since(at))
		if err != nil {
			return err
		}
		r.found.Minutes = append(r.found.Minutes, m)
		r.say("huge: %d zones, %.1f/s, %.1f + %.1f ms of CPU a zone, bare %.1f; server %.0f MB, worker %.0f MB, database %.0f MB",
			m.Zones, m.ZonesPerSecond, m.TemporalMs, m.WorkerMs, m.BareMs, m.ServerMB, m.WorkerMB, m.DatabaseMB)
	}
}

// minute says what was used since before, and then measures the yardstick and
// asks the commands.
func (r *hugeRun) minute(ctx context.Context, before map[int]stage.Usage, zones int, lasted time.Duration) (minute, error) {
	used, err := r.s.cpuSince(before)
	if err != nil {
		return minute{}, err
	}
	m := minute{Zones: int(r.s.journal.refreshed.Load())}
	if n := float64(m.Zones - zones); n > 0 {
		m.ZonesPerSecond = rounded(n / lasted.Seconds())
		m.TemporalMs, m.WorkerMs = rounded(used[ofTemporal].Seconds()*1000/n), rounded(used[whoRotates].Seconds()*1000/n)
	}
	if m.BareMs, err = r.bareMs(ctx); err != nil {
		return m, err
	}
	m.VsBare = rounded((m.TemporalMs + m.WorkerMs) / m.BareMs)
	for pid, mb := range map[int]*float64{r.s.Temporal.PID(): &m.ServerMB, r.s.Workers[0].PID(): &m.WorkerMB} {
		resident, err := stage.Kilobytes(fmt.Sprintf("/proc/%d/status", pid), "VmRSS:")
		if err != nil {
			return m, err
		}
		*mb = rounded(megabytes(resident))
	}
	size, err := databaseBytes(r.s.Temporal.DB)
	m.DatabaseMB = rounded(megabytes(size))
	m.commandsSeconds = r.commands(ctx)
	return m, err
}

// bareMs is the CPU of a child of the bare pattern now.
func (r *hugeRun) bareMs(ctx context.Context) (float64, error) {
	c, err := r.beside.dial(ctx)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	before, err := r.beside.usages()
	if err != nil {
		return 0, err
	}
	if err := bare.Run(ctx, c, bareChildren, window); err != nil {
		return 0, err
	}
	used, err := r.beside.cpuSince(before)
	return rounded((used[ofTemporal] + used[whoRotates]).Seconds() * 1000 / bareChildren), err
}

// commands are the seconds that status takes, and watch until its first line. A
// command that fails, as the campaign is terminated just then, takes 0.
func (r *hugeRun) commands(ctx context.Context) (took [2]float64) {
	began := time.Now()
	if _, err := r.s.Detached(ctx, "campaign", "status", campaign); err == nil {
		took[0] = rounded(time.Since(began).Seconds())
	}
	home, env, err := r.s.Home("watcher")
	if err != nil {
		return took
	}
	began = time.Now()
	w, err := stage.Start("watch", r.s.Programs.Keywave, os.DevNull, append(env, "TEMPORAL_ADDRESS="+r.s.Temporal.Address, "PWD="+home), "campaign", "watch", campaign)
	if err != nil {
		return took
	}
	defer w.Kill()
	if _, err := w.FirstLine(ctx, readyFor); err == nil {
		took[1] = rounded(time.Since(began).Seconds())
	}
	return took
}

// huge says what was found about the largest fleet.
func (s *summary) huge(runs []figure) {
	for _, f := range runs {
		h := f.Huge
		if h == nil {
			continue
		}
		s.state(fmt.Sprintf("%d zones", f.Zones), "done in %.0f s, planned in %.0f s; %d refreshes", f.Seconds, f.PlanSeconds, f.Refreshes)
		s.goal(h.StatusSeconds <= 1 && h.WatchSeconds <= 1 && h.ReportSeconds <= 60, "status, watch, report", "≤ 1 s, ≤ 1 s, ≤ 60 s",
			"%.2f s, %.2f s, %.1f s", h.StatusSeconds, h.WatchSeconds, h.ReportSeconds)
		s.state("resume after a terminate in the middle", "the command took %.1f s; %.1f s until the next refresh", h.ResumeSeconds, h.GoesOnSeconds)
		long, large := largest(f.Histories)
		s.state("largest history; database; server's and worker's memory, peak", "%d events (%s), %.2f MB (%s); %.0f MB; %.0f MB, %.0f MB",
			f.kind(long).MaxEvents, long, megabytes(f.kind(large).MaxBytes), large, megabytes(f.DatabaseBytesPerZone)*float64(f.Zones), f.PeakRSSMB[ofTemporal], f.PeakRSSMB[whoRotates])
	}
}

// minutesShown is how many rows the table of minutes has at most.
const minutesShown = 20

// minutesTable has a row for some of the minutes, the first and the last among
// them.
func minutesTable(results []result) table {
	t := table{title: "Minute by minute", head: []string{
		"zones refreshed", "zones/s", "CPU ms a zone: temporal", "worker", "bare, ms a child", "against bare", "server MB", "worker MB", "database MB",
	}}
	for _, r := range results {
		for _, f := range r.Figures {
			if f.Huge == nil {
				continue
			}
			every := max(1, len(f.Huge.Minutes)/minutesShown)
			for i, m := range f.Huge.Minutes {
				if i%every == 0 || i == len(f.Huge.Minutes)-1 {
					t.add(fmt.Sprint(m.Zones), num(m.ZonesPerSecond, 1), num(m.TemporalMs, 1), num(m.WorkerMs, 1), num(m.BareMs, 1),
						num(m.VsBare, 2)+" ×", num(m.ServerMB, 0), num(m.WorkerMB, 0), num(m.DatabaseMB, 0))
				}
			}
		}
	}
	return t
}
