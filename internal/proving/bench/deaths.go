package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"golang.org/x/sync/errgroup"

	"keywave/internal/proving/stage"
	"keywave/workflows"
)

// death is one end of a worker in the middle of a campaign.
type death struct {
	at time.Time
	// held is, by zone, what its delivery had to do with the worker.
	held map[string]hold
}

// hold is what Temporal has, right after a worker's death, of a delivery that
// waits for it.
type hold string

const (
	inProgress hold = "in progress" // the worker had begun it
	queued     hold = "queued"      // it waits in the worker's own queue
)

// How many zones go by, so that a death meets a campaign in full swing, and how
// many a campaign has for each death.
const (
	beforeFirst = 100
	beforeDeath = 50
	afterDeath  = 30
	perDeath    = 200
	// aCampaign is the number of deaths in one campaign.
	aCampaign = 5
	// answerMs is how far away EdgeOne is when its caller is killed, so that there
	// are refreshes of which nobody hears the answer.
	answerMs = 100
	// halfPace is a pace at which this machine has CPU to spare.
	halfPace = limit / 2
)

// The workers, where the roles are apart: those that call EdgeOne first, then
// the location's.
func apart(callers, locations int) [][]string {
	var all [][]string
	for range callers {
		all = append(all, []string{"--roles", "orchestrator,edgeone"})
	}
	for range locations {
		all = append(all, []string{"--roles", "location"})
	}
	return all
}

// failover kills the worker that calls EdgeOne, again and again. Two workers play
// every role. Settings are as those of joinkill.
func (b *bench) failover(ctx context.Context) error {
	run := setup{hostsEach: hostsEach, delayMs: roundTrip, limit: limit, workers: 2, answerMs: answerMs, settings: shortWaits}
	return b.pooled(ctx, "failover", run, b.kills, func(ctx context.Context, s *stand, _ int) error {
		victim, err := s.active()
		if err != nil {
			return err
		}
		return s.die(ctx, victim, (*stage.Process).Kill)
	})
}

// handover kills one of the two workers of the location, in turn. It does so at the
// account's whole pace, at which the CPU is full, and fewer times at half of it.
func (b *bench) handover(ctx context.Context) error {
	next := func(ctx context.Context, s *stand, n int) error { return s.die(ctx, 1+n%2, (*stage.Process).Kill) }
	run := setup{hostsEach: hostsEach, delayMs: roundTrip, limit: limit, roles: apart(1, 2), settings: shortWaits}
	err := b.pooled(ctx, "handover", run, b.kills, next)
	run.limit = halfPace
	return errors.Join(err, b.pooled(ctx, fmt.Sprintf("handover at %d a second", halfPace), run, max(1, b.kills/4), next))
}

// upgrade stops every worker in turn, as a rolling upgrade does, and starts it
// again.
func (b *bench) upgrade(ctx context.Context) error {
	const patient = time.Minute
	roles := apart(2, 2)
	run := setup{
		name: "upgrade", zones: beforeFirst + len(roles)*perDeath, hostsEach: hostsEach, delayMs: roundTrip, limit: limit,
		roles: roles, settings: shortWaits,
	}
	return b.durable(ctx, run, func(ctx context.Context, s *stand) error {
		if err := s.swing(ctx, beforeFirst-beforeDeath); err != nil {
			return err
		}
		for i := range roles {
			if err := s.swing(ctx, beforeDeath); err != nil {
				return err
			}
			if err := s.die(ctx, i, func(p *stage.Process) { p.Stop(patient) }); err != nil {
				return err
			}
		}
		return nil
	})
}

// pooled runs campaigns until there were as many deaths as are wanted. If one
// fails, the others still count.
func (b *bench) pooled(ctx context.Context, name string, run setup, kills int, next func(context.Context, *stand, int) error) error {
	var wrong error
	for left, i := kills, 1; left > 0; i++ {
		wanted := min(left, aCampaign)
		run.name, run.zones = fmt.Sprintf("%s %d", name, i), beforeFirst+perDeath*wanted
		died := 0
		err := b.durable(ctx, run, func(ctx context.Context, s *stand) error {
			if err := s.swing(ctx, beforeFirst-beforeDeath); err != nil {
				return err
			}
			for died < wanted && int(s.journal.refreshed.Load())+beforeDeath+afterDeath < run.zones {
				if err := s.swing(ctx, beforeDeath); err != nil {
					return err
				}
				if err := next(ctx, s, died); err != nil {
					return err
				}
				died++
			}
			return nil
		})
		if died == 0 {
			return errors.Join(err, errors.New("nothing was killed"))
		}
		wrong = errors.Join(wrong, err)
		left -= died
	}
	return wrong
}

// swing waits until n more zones were refreshed, and a moment, so that deaths
// meet every part of what a zone does.
func (s *stand) swing(ctx context.Context, n int) error {
	if err := s.journal.awaitRefreshes(ctx, min(s.zones, int(s.journal.refreshed.Load())+n)); err != nil {
		return err
	}
	return stage.Pause(ctx, time.Duration(rand.Int64N(int64(collectEvery/5))))
}

// die ends worker i, starts it again once the campaign has gone on without it,
// and waits until both have happened.
func (s *stand) die(ctx context.Context, i int, end func(*stage.Process)) error {
	w := s.Workers[i]
	at := time.Now()
	end(w)
	held, err := s.heldBy(ctx, w.PID())
	if err != nil {
		return err
	}
	s.deaths = append(s.deaths, death{at, held})
	if err := s.swing(ctx, afterDeath); err != nil {
		return err
	}
	return s.startAgain(ctx, i)
}

// heldBy asks Temporal which deliveries wait for the process.
func (s *stand) heldBy(ctx context.Context, pid int) (map[string]hold, error) {
	c, err := s.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	open := fmt.Sprintf("WorkflowType = '%s' AND ExecutionStatus = 'Running'", workflows.TypeZone)
	found, err := c.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Query: open, PageSize: 1000})
	if err != nil {
		return nil, err
	}
	holds := make([]hold, len(found.GetExecutions()))
	var group errgroup.Group
	group.SetLimit(8)
	for i, e := range found.GetExecutions() {
		group.Go(func() (err error) {
			holds[i], err = heldOf(ctx, c, e.GetExecution().GetWorkflowId(), pid)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	held := map[string]hold{}
	for i, e := range found.GetExecutions() {
		if holds[i] != "" {
			held[strings.TrimPrefix(e.GetExecution().GetWorkflowId(), workflows.ZoneID(""))] = holds[i]
		}
	}
	return held, nil
}

func heldOf(ctx context.Context, c client.Client, id string, pid int) (hold, error) {
	described, err := c.DescribeWorkflowExecution(ctx, id, "")
	if err != nil {
		return "", err
	}
	var is hold
	for _, a := range described.GetPendingActivities() {
		if now := holdOf(a, pid); now != "" && is != inProgress {
			is = now
		}
	}
	return is, nil
}

// holdOf says what a pending activity has to do with the process. A worker's
// identity and the name of its own queue contain its process ID.
func holdOf(a *workflow.PendingActivityInfo, pid int) hold {
	mark := fmt.Sprintf("-%d-", pid)
	switch {
	case a.GetActivityType().GetName() != workflows.ActDeliver:
		return ""
	case a.GetState() == enums.PENDING_ACTIVITY_STATE_STARTED && strings.Contains(a.GetLastWorkerIdentity(), mark):
		return inProgress
	case a.GetState() == enums.PENDING_ACTIVITY_STATE_SCHEDULED && strings.Contains(a.GetActivityOptions().GetTaskQueue().GetName(), mark):
		return queued
	}
	return ""
}

// startAgain starts worker i again and waits until it is ready. What it said in
// its former life does not count any more.
func (s *stand) startAgain(ctx context.Context, i int) error {
	if said, err := os.Stat(s.Workers[i].Log); err == nil {
		s.heard[i] = said.Size()
	}
	if err := s.StartWorker(i); err != nil {
		return err
	}
	return s.awaitSaid(ctx, i, "msg=ready")
}

// delayAnswers makes EdgeOne answer each refresh late.
func (s *stand) delayAnswers(ctx context.Context) error {
	if s.answerMs == 0 {
		return nil
	}
	late := map[string]any{"action": stage.RefreshAction, "fault": "delayAfter", "delayMs": s.answerMs}
	return s.Control(ctx, http.MethodPost, "/faults", late, nil)
}
