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
}

// total is what the last line prints.
type total struct {
	zones, kills, upgrades, connections, violations int
	// judged says that the run came to its end, and violations were looked for.
	judged bool
}

func (t total) String() string {
	violations := "unknown"
	if t.judged {
		violations = fmt.Sprint(t.violations)
	}
	return fmt.Sprintf("cluster: zones=%d kills=%d upgrades=%d connections=%d violations=%s", t.zones, t.kills, t.upgrades, t.connections, violations)
}

// The campaign's settings: budgets are wide, so that bad days do not end the campaign.
const settings = `{waves: [2, 30%, 100%], bake: 1s, window: 40, maxFailed: 100%, maxExposed: 100000, exposedAfter: 5s, deliverFor: 90s, proofFor: 30s, settle: 1s, signatureLife: 8s}`

const (
	campaign = "cluster"
	// busyFor is how long the campaign is to take, so that all is killed in its middle.
	busyFor = 50
	healing = 5 * time.Minute
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
	for _, path := range []*string{&c.bin, &c.deploy, &c.dir, &c.schema} {
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
	writer, err := k.security.bearer(mayWrite)
	if err != nil {
		return err
	}
	s, err := stage.Raise(ctx, stage.Config{
		Bin: c.bin, Dir: c.dir, Zones: c.zones, Hosts: c.hosts, Limit: c.limit, Settings: settings, Roles: roles, TemporalPort: k.port, Namespace: namespace, ClientEnv: writer, Campaign: campaign,
	})
	defer s.Strike()
	if err != nil {
		return err
	}
	if err := s.StartCampaign(ctx); err != nil {
		return err
	}
	d := &day{Stack: s, cluster: k, sum: sum}
	if err := d.pass(ctx); err != nil {
		return err
	}
	status, ended := s.Finish(ctx, healing)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := errors.Join(d.permissions(ctx), d.writes(ctx)); err != nil {
		return err
	}
	wrong := append(d.wrong, s.Check(ctx, status, ended)...)
	wrong = append(wrong, k.dead()...)
	for _, w := range wrong {
		fmt.Println("VIOLATION: " + w)
	}
	sum.violations, sum.judged = len(wrong), true
	return nil
}

func say(format string, args ...any) {
	fmt.Printf(time.Now().Format("15:04:05 ")+format+"\n", args...)
}
