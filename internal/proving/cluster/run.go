package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"keywave/internal/proving/stage"
)

type config struct {
	zones, hosts, limit      int
	bin, deploy, schema, dir string
	old                      string
}

// total is what the last line prints.
type total struct {
	zones, kills, upgrades, connections, violations int
	// bytesEach is by how much a zone's part of the databases grew, cpuEach what a zone cost
	// in milliseconds of CPU, both with everything that was killed.
	bytesEach int64
	cpuEach   float64
	// judged says that the run came to its end, and violations were looked for.
	judged bool
}

func (t total) String() string {
	violations := "unknown"
	if t.judged {
		violations = fmt.Sprint(t.violations)
	}
	return fmt.Sprintf("cluster: zones=%d hosts-each=%d kills=%d upgrades=%d connections=%d cpu-ms-each=%.0f bytes-each=%d violations=%s",
		t.zones, hostsEach, t.kills, t.upgrades, t.connections, t.cpuEach, t.bytesEach, violations)
}

// The campaign's settings: budgets are wide, so that bad days do not end the campaign.
const settings = `{waves: [2, 30%, 100%], bake: 1s, window: 40, maxFailed: 100%, maxExposed: 100000, exposedAfter: 5s, deliverFor: 90s, proofFor: 2m, settle: 1s, signatureLife: 8s}`

const (
	campaign = "cluster"
	// busyFor is how long the campaign is to take, so that all is killed in its middle.
	busyFor = 50
	healing = 5 * time.Minute
	// hostsEach is how many hosts a zone has.
	hostsEach = 3
	// mostConnections is what deploy/temporal/server.yaml adds up to.
	mostConnections = 80
)

func run(ctx context.Context, c config) (total, error) {
	sum := total{zones: c.zones}
	remove := c.dir == ""
	if remove {
		dir, err := os.MkdirTemp("", "keywave-cluster-")
		if err != nil {
			return sum, err
		}
		c.dir = dir
	}
	for _, path := range []*string{&c.bin, &c.deploy, &c.dir, &c.schema, &c.old} {
		if *path == "" {
			continue
		}
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return sum, err
		}
		*path = absolute
	}
	c.limit = cmp.Or(c.limit, max(2, min(20, c.zones/busyFor)))
	if err := played(ctx, c, &sum); err != nil {
		fmt.Println("logs and database: " + c.dir)
		return sum, err
	}
	if sum.violations == 0 && remove {
		return sum, os.RemoveAll(c.dir)
	}
	fmt.Println("logs and database: " + c.dir)
	return sum, nil
}

// played runs the campaign and counts what was done and what was wrong.
func played(ctx context.Context, c config, sum *total) error {
	say("PostgreSQL, schema, %v, namespace %s", services, namespace)
	k, err := raise(ctx, c)
	defer k.strike()
	if err != nil {
		return err
	}
	say("Keywave's workers by roles")
	writer, errWriter := k.security.bearer(mayWrite)
	admin, errAdmin := k.security.bearer(mayAll)
	if err := errors.Join(errWriter, errAdmin); err != nil {
		return err
	}
	s, err := stage.Raise(ctx, stage.Config{
		Bin: c.bin, Dir: c.dir, Zones: c.zones, Hosts: c.hosts, HostsEach: hostsEach, Limit: c.limit, Settings: settings, Roles: roles, TemporalPort: k.port, Namespace: namespace, ClientEnv: writer, Campaign: campaign, FirstWorker: c.old,
	})
	defer s.Strike()
	if err != nil {
		return err
	}
	d := &day{Stack: s, cluster: k, sum: sum}
	if err := d.begin(ctx); err != nil {
		return err
	}
	if err := s.StartCampaign(ctx); err != nil {
		return err
	}
	if err := d.pass(ctx); err != nil {
		return err
	}
	status, ended := s.Finish(ctx, healing+time.Duration(c.zones)*slowest)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	// As an upgrade of Temporal does, which brings nothing new here.
	if err := errors.Join(k.script(ctx, "schema.sh"), k.script(ctx, "init.sh", admin...)); err != nil {
		return err
	}
	if err := errors.Join(d.tell(ctx), d.actions(ctx), d.permissions(ctx), d.writes(ctx)); err != nil {
		return err
	}
	wrong := append(d.wrong, s.Check(ctx, status, ended)...)
	wrong = append(append(wrong, k.dead()...), d.diverged()...)
	if sum.connections > mostConnections {
		wrong = append(wrong, fmt.Sprintf("the services held %d connections to PostgreSQL, and may hold %d", sum.connections, mostConnections))
	}
	for _, w := range wrong {
		fmt.Println("VIOLATION: " + w)
	}
	sum.violations, sum.judged = len(wrong), true
	return nil
}

func say(format string, args ...any) {
	fmt.Printf(time.Now().Format("15:04:05 ")+format+"\n", args...)
}
