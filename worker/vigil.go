package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflowservice/v1"
	"golang.org/x/sync/errgroup"

	"keywave/activities"
	"keywave/internal/edgeone"
	"keywave/internal/rotation"
	"keywave/internal/telemetry"
	"keywave/internal/temporalclient"
	"keywave/workflows"
)

// The process that stands by to read early keeps vigil: it looks whether Temporal still
// hears the active one, whose lease says so four times a second.
const (
	lookAtActive = 150 * time.Millisecond
	silentAfter  = time.Second
	tellFor      = 10 * time.Second // to tell everybody once
	tellAtOnce   = 16
)

// silence notices that a process is not heard any more. Times are of this process's
// clock: when the server hears somebody is on another one, and only compared with itself.
type silence struct {
	worker string
	beat   time.Time // when the server heard it last, on the server's clock
	since  time.Time // when that was new
	told   bool
}

// falls takes a look, and says that the worker has now been silent for silentAfter. It
// says so once, until the worker is heard again.
func (s *silence) falls(now time.Time, worker string, beat time.Time) bool {
	if worker != s.worker || !beat.Equal(s.beat) {
		*s = silence{worker: worker, beat: beat, since: now}
	}
	if worker == "" || s.told || now.Sub(s.since) < silentAfter {
		return false
	}
	s.told = true
	return true
}

// lasts says that the worker has been silent for so long.
func (s *silence) lasts(now time.Time, long time.Duration) bool {
	return s.worker != "" && now.Sub(s.since) >= long
}

// keepVigil tells who waits for the active process that it may be lost, seconds before its
// lease is over. Nothing is taken from it: should it live, its refreshes go on.
func (e *early) keepVigil(ctx context.Context) {
	var s silence
	tick := time.NewTicker(lookAtActive)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		asked := time.Now() // the answer may be long on its way
		worker, beat, err := e.temporal.Heard(ctx, workflows.LeaseID(e.account.Name), workflows.ActLease)
		if err != nil { // of whom Temporal hears is not known
			s = silence{}
			continue
		}
		now := time.Now()
		if s.falls(now, worker, beat) {
			go e.tellLost(ctx, worker)
		}
		if s.lasts(now, edgeone.SilentFor) { // it reads no more
			e.pace.Alone(asked.Add(2 * lookAtActive))
		}
	}
}

// tellLost tells every workflow that may wait for a process that it may be lost. Its
// orchestrator may be lost, too: Temporal is told to wait for it with no workflow's task.
func (e *early) tellLost(ctx context.Context, worker string) {
	ctx, cancel := context.WithTimeout(ctx, tellFor)
	defer cancel()
	e.log.Info("the active process is not heard: what waits for it is told", telemetry.Account, e.account.Name, "worker", worker)
	query := fmt.Sprintf("ExecutionStatus = 'Running' AND WorkflowType IN ('%s', '%s', '%s')", workflows.TypeZone, workflows.TypeShard, workflows.TypeCampaign)
	var mu sync.Mutex
	var waiting []activities.Refreshing
	var group errgroup.Group
	group.SetLimit(tellAtOnce)
	for run, err := range temporalclient.Found(ctx, e.temporal.Client, query) {
		if err != nil {
			e.log.Warn("who waits for it cannot be listed: " + err.Error())
			break
		}
		group.Go(func() error {
			e.unbind(ctx, run.GetExecution())
			if run.GetType().GetName() != workflows.TypeZone {
				return nil
			}
			if r := e.refreshing(ctx, run.GetExecution()); r.State == activities.RefreshStarted || r.State == activities.RefreshQueued {
				mu.Lock()
				defer mu.Unlock()
				waiting = append(waiting, r)
			}
			return nil
		})
	}
	_ = group.Wait()
	e.tellZones(ctx, waiting, worker)
}

// unbind has the workflow's next task go to any orchestrator. Another one than the one that
// has it in memory reads its history, and that is all it costs.
func (e *early) unbind(ctx context.Context, w *commonpb.WorkflowExecution) {
	_, _ = e.temporal.WorkflowService().ResetStickyTaskQueue(ctx, &workflowservice.ResetStickyTaskQueueRequest{Namespace: e.temporal.Namespace, Execution: w})
}

func (e *early) refreshing(ctx context.Context, w *commonpb.WorkflowExecution) activities.Refreshing {
	t := activities.Temporal{Client: e.temporal}
	return t.Refreshing(ctx, w.GetWorkflowId(), workflows.ActRefresh, workflows.ActSwitch)
}

// tellZones tells the zones that wait for a refresh, the oldest first: of those that the
// silent process has, it was sent first, and few keys can be read early at once. One that
// cannot be told learns it later, from the times that Temporal keeps.
func (e *early) tellZones(ctx context.Context, waiting []activities.Refreshing, worker string) {
	slices.SortFunc(waiting, func(a, b activities.Refreshing) int {
		if a.Since.IsZero() != b.Since.IsZero() { // the queued are last
			return cmp.Compare(b.Since.Unix(), a.Since.Unix())
		}
		return a.Since.Compare(b.Since)
	})
	for _, r := range waiting {
		order := rotation.ZoneOrder{Lost: temporalclient.WorkerID(worker)}
		// What it said last may be a heartbeat old.
		if r.State == activities.RefreshStarted && temporalclient.SameWorker(r.Worker, worker) {
			order.Begun = r.Since
		}
		_ = e.temporal.SignalWorkflow(ctx, r.Workflow, "", workflows.SignalZoneOrder, order)
	}
}
