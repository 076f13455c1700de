package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"go.temporal.io/sdk/client"

	"keywave/internal/proving/stage"
	"keywave/workflows"
)

// day is what happens to the cluster while the campaign runs.
type day struct {
	*stage.Stack
	cluster *cluster
	sum     *total
	meter   meter
	asked   time.Time // when the campaign's state was asked for
	wrong   []string
}

// goesOnWithin is how long after a kill the campaign may need to get on: a lost workflow
// task costs 10 s, a new owner of history's shards some more. On two busy processors 74 s
// were seen.
const goesOnWithin = 4 * time.Minute

// slowest is what a zone may take besides, on a machine that others use too.
const slowest = time.Second

// upgradeWithin is how long a worker may take to finish or hand back what it holds.
const upgradeWithin = 150 * time.Second

// step is something that is done to the cluster.
type step struct {
	what string
	do   func(context.Context) error
}

// steps kill everything in turn, and replace all workers. Where there is an older build,
// the campaign begins with it and ends with it.
func (d *day) steps() []step {
	all := []step{
		{"kill PostgreSQL", d.killing("postgres")},
		{"kill history", d.killing("history")},
		{"kill matching", d.killing("matching")},
		{"kill the frontend and an orchestrator, which comes back first and waits", d.killFrontend},
		{"kill the active edgeone worker", d.killActive},
		{"kill a location's worker", func(context.Context) error { return d.killWorker(located) }},
	}
	if d.cluster.old == "" {
		return append(all, step{"replace all workers by the same build", d.replacing(d.Programs.Worker)})
	}
	return append([]step{{"replace all workers by this build", d.replacing(d.Programs.Worker)}},
		append(all, step{"replace all workers by the older build", d.replacing(d.cluster.old)})...)
}

// pass takes all steps, and waits each time until the campaign gets on.
func (d *day) pass(ctx context.Context) error {
	steps := d.steps()
	more := max(2, d.Zones/(len(steps)+1))
	for _, s := range steps {
		before, err := d.refreshed(ctx)
		if err != nil {
			return err
		}
		say("%d of %d refreshed: %s", before, d.Zones, s.what)
		if before >= d.Zones {
			d.wrong = append(d.wrong, "the campaign was over before this: "+s.what+"; give it more zones or a lower limit")
		}
		d.look(ctx)
		if err := s.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.what, err)
		}
		if err := d.getOn(ctx, before, more); err != nil {
			return fmt.Errorf("after: %s: %w", s.what, err)
		}
	}
	return nil
}

// writes says what the campaign cost PostgreSQL in Temporal's visibility, for
// docs/operations.md.
func (d *day) writes(ctx context.Context) error {
	said, err := d.cluster.db.ask(ctx, "temporal_visibility", `SELECT 'rows ' || n_tup_ins || ', updates ' || n_tup_upd || ', of which without any index ' || n_tup_hot_upd ||
		', indexes ' || (SELECT count(*) FROM pg_indexes WHERE tablename = 'executions_visibility') ||
		', ' || pg_size_pretty(pg_table_size(relid)) || ' and in indexes ' || pg_size_pretty(pg_indexes_size(relid))
		FROM pg_stat_user_tables WHERE relname = 'executions_visibility'`)
	if err == nil {
		say("visibility: %s", said)
	}
	return err
}

// refreshed is how many refreshes were executed.
func (d *day) refreshed(ctx context.Context) (int, error) {
	calls, err := d.Calls(ctx)
	return calls[stage.RefreshAction].Executed, err
}

// getOn waits until so many zones more are refreshed, or all are: more than what a worker
// had in its hands before the kill, if there are a hundred.
func (d *day) getOn(ctx context.Context, before, more int) error {
	now, begun := before, time.Now()
	var first time.Duration
	within := goesOnWithin + time.Duration(more)*slowest
	if !stage.Until(ctx, within, func() bool {
		d.look(ctx)
		now, _ = d.refreshed(ctx)
		if now > before && first == 0 {
			first = time.Since(begun)
		}
		d.again(ctx)
		return now >= min(before+more, d.Zones)
	}) {
		return errors.Join(fmt.Errorf("the campaign did not get on: %d refreshes before, %d now; %s", before, now, strings.Join(d.diverged(), "; ")), ctx.Err())
	}
	say("the next refresh came after %.1f s, %d after %.1f s", first.Seconds(), now-before, time.Since(begun).Seconds())
	return nil
}

// askEvery is how often the campaign is asked whether it still runs.
const askEvery = 15 * time.Second

// again resumes a campaign that has ended without some zones, or has paused itself: on a
// busy machine proofs come too late, and a kill costs more of them.
func (d *day) again(ctx context.Context) {
	if time.Since(d.asked) < askEvery {
		return
	}
	status, err := d.Status(ctx)
	if d.asked = time.Now(); err == nil && (status.State == "ended" || status.State == "paused") {
		say("the campaign is %s, and is resumed: %v", status.State, status.Zones)
		_, _ = d.CLI(ctx, "campaign", "resume", d.Campaign, "--reason", "it goes on") // or the next time
	}
}

func (d *day) killing(name string) func(context.Context) error {
	return func(ctx context.Context) error {
		d.sum.kills++
		return d.cluster.kill(ctx, name, nil)
	}
}

// killFrontend starts a killed orchestrator while no frontend is there: it waits for it.
func (d *day) killFrontend(ctx context.Context) error {
	d.sum.kills++
	return d.cluster.kill(ctx, "frontend", func() error {
		if err := d.killWorker(orchestrator); err != nil {
			return err
		}
		if !stage.Until(ctx, time.Minute, func() bool {
			log, err := os.ReadFile(d.Workers[orchestrator].Log)
			return err == nil && strings.Contains(string(log), "waiting for Temporal")
		}) {
			return errors.New("the orchestrator does not say that it waits for Temporal")
		}
		return nil
	})
}

func (d *day) killWorker(i int) error {
	d.sum.kills++
	d.Workers[i].Kill()
	return d.StartWorker(i)
}

// killActive kills the worker that holds the account's lease.
func (d *day) killActive(ctx context.Context) error {
	active, err := d.active(ctx)
	if err != nil {
		return err
	}
	return d.killWorker(active)
}

// dial makes a client that may look.
func (d *day) dial(ctx context.Context) (client.Client, error) {
	options, err := d.cluster.security.options(d.cluster.address())
	if err != nil {
		return nil, err
	}
	return client.DialContext(ctx, options)
}

// active is the index of the worker that runs the lease's activity.
func (d *day) active(ctx context.Context) (int, error) {
	c, err := d.dial(ctx)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	at := -1
	if !stage.Until(ctx, time.Minute, func() bool {
		lease, err := c.DescribeWorkflowExecution(ctx, workflows.LeaseID("default"), "")
		if err != nil {
			return false
		}
		for _, a := range lease.GetPendingActivities() {
			for i := edgeone; i < located; i++ {
				if strings.Contains(a.GetLastWorkerIdentity(), "-"+strconv.Itoa(d.Workers[i].PID())+"-") {
					at = i
				}
			}
		}
		return at >= 0
	}) {
		return 0, errors.New("nobody holds the lease")
	}
	return at, nil
}

// replacing stops one worker after the other as an upgrade does, the active edgeone
// worker too, and starts a build in its place.
func (d *day) replacing(build string) func(context.Context) error {
	return func(ctx context.Context) error {
		d.Programs.Worker = build
		for i, w := range d.Workers {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			begun := time.Now()
			w.Stop(upgradeWithin)
			if took := time.Since(begun); took >= upgradeWithin {
				d.wrong = append(d.wrong, fmt.Sprintf("%s did not end within %s", w.Name, upgradeWithin))
			}
			if err := d.StartWorker(i); err != nil {
				return err
			}
			d.sum.upgrades++
		}
		return nil
	}
}

// diverged names the workers that could not go on with a workflow that another build had
// begun: its history was not theirs.
func (d *day) diverged() []string {
	var found []string
	for _, w := range d.Workers {
		log, err := os.ReadFile(w.Log)
		if err != nil || strings.Contains(string(log), "TMPRL1100") {
			found = append(found, fmt.Sprintf("%s met a history that its code does not make (%v); see %s", w.Name, err, w.Log))
		}
	}
	return found
}
