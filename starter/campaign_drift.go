package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/client"

	"keywave/internal/harmless"
	"keywave/internal/plan"
	"keywave/internal/planning"
	"keywave/internal/rotation"
	"keywave/internal/temporalclient"
	"keywave/workflows"
)

const (
	// rereadMost is how many live keys are read again before a plan is run: a
	// minute's worth of the account's pace.
	rereadMost = 1200
	driftNamed = 20
	// rereadSilently is how many are read without a word: they take some seconds.
	rereadSilently = 100
	// clockWithin bounds the look at one account's clock: it holds up no resume.
	clockWithin = 3 * time.Second
)

// reread reads the live keys of a plan's zones again, before anything is
// changed; of a large plan, those of an even sample. It also counts the keys that
// it read of each account.
func (a *app) reread(ctx context.Context, conn *temporalclient.Connection, approved plan.Plan, whole plan.Whole) (workflows.RereadOut, map[rotation.Account]int, error) {
	for _, account := range approved.Owners() {
		if err := awaitAccount(ctx, conn, account); err != nil {
			return workflows.RereadOut{}, nil, err
		}
	}
	zones := spread(zonesOf(whole), rereadMost)
	switch {
	case len(zones) < approved.Zones:
		a.say("Reading the live keys of an even sample of %d of %s again, to see whether the plan is still right.", len(zones), many(approved.Zones, "zone"))
	case len(zones) > rereadSilently:
		a.say("Reading the live keys of %s again, to see whether the plan is still right.", many(len(zones), "zone"))
	}
	return a.rereadZones(ctx, conn, approved, zones)
}

// warnOfClocks says before a campaign goes on which accounts' workers have a clock that
// is off, by the date of EdgeOne's answer about one zone of each. Where nobody answers
// it says nothing: the campaign will, and it is not held up.
func (a *app) warnOfClocks(ctx context.Context, conn *temporalclient.Connection, p plan.Plan) {
	for _, account := range p.Owners() {
		asked, cancel := context.WithTimeout(ctx, clockWithin)
		if page, err := pageOf(asked, conn, p.Name, p.FirstPage(account)); err == nil && len(page.Zones) > 0 {
			_, _, _ = a.rereadZones(asked, conn, p, []planned{{account, page.Zones[0]}})
		}
		cancel()
	}
}

// rereadZones reads the live keys of some zones of a plan, and warns of clocks.
func (a *app) rereadZones(ctx context.Context, conn *temporalclient.Connection, approved plan.Plan, zones []planned) (workflows.RereadOut, map[rotation.Account]int, error) {
	var out workflows.RereadOut
	name := approved.Name + "/" + planning.Unique(time.Now())
	var runs []client.WorkflowRun
	var whose []rotation.Account
	for _, part := range inPages(zones) {
		run, err := conn.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
			ID: workflows.RereadID(name, len(runs)+1), TaskQueue: workflows.Queue, WorkflowExecutionErrorWhenAlreadyStarted: true,
			StaticSummary: harmless.Summary(fmt.Sprintf("are %d live keys still those of plan %s? asked by %s", len(part), approved.Name, operator())),
		}, workflows.TypeReread, workflows.RereadIn{Page: plan.Page{Account: part[0].account, Number: len(runs) + 1, Zones: bare(part)}})
		if err != nil {
			return out, nil, refused(fmt.Errorf("the live keys cannot be read again (%w); nothing was changed", err))
		}
		runs, whose = append(runs, run), append(whose, part[0].account)
	}
	by, warned := map[rotation.Account]int{}, map[rotation.Account]bool{}
	for i, run := range runs {
		var part workflows.RereadOut
		if err := waitForWorker(ctx, conn, run, &part); err != nil {
			return out, nil, refused(fmt.Errorf("the live keys could not be read again, so nobody knows whether plan %s is still right: %w; nothing was changed; see: keywave doctor -f fleet.yaml", approved.Digest, err))
		}
		out = out.Plus(part)
		by[whose[i]] += part.Describes
		if text := workflows.ClockWarning(whose[i], part.AheadMs); text != "" && !warned[whose[i]] {
			warned[whose[i]] = true
			a.say("Warning: %s.", text)
		}
	}
	return out, by, nil
}

// planned is a zone of a plan with its account, without its hosts.
type planned struct {
	account rotation.Account
	zone    plan.PageZone
}

func zonesOf(whole plan.Whole) []planned {
	var all []planned
	for _, p := range whole.Pages {
		for _, z := range p.Zones {
			all = append(all, planned{p.Account, plan.PageZone{ID: z.ID, Baseline: z.Baseline}})
		}
	}
	return all
}

// inPages cuts zones into what one workflow reads: zones of one account.
func inPages(zones []planned) [][]planned {
	own := map[rotation.Account][]planned{}
	var order []rotation.Account
	for _, z := range zones {
		if own[z.account] == nil {
			order = append(order, z.account)
		}
		own[z.account] = append(own[z.account], z)
	}
	var pages [][]planned
	for _, account := range order {
		pages = slices.AppendSeq(pages, slices.Chunk(own[account], plan.MaxPageZones))
	}
	return pages
}

func bare(zones []planned) []plan.PageZone {
	all := make([]plan.PageZone, len(zones))
	for i, z := range zones {
		all[i] = z.zone
	}
	return all
}

// spread is at most so many of all, evenly over them.
func spread[T any](all []T, most int) []T {
	if len(all) <= most {
		return all
	}
	some := make([]T, most)
	for i := range some {
		some[i] = all[i*len(all)/most]
	}
	return some
}

// drifted refuses a plan whose live keys are others by now, unless a person
// accepts that.
func drifted(plan plan.Plan, out workflows.RereadOut, o *startOptions) (*workflows.AcceptedDrift, error) {
	if len(out.Differ) == 0 {
		return nil, nil
	}
	named := out.Differ[:min(len(out.Differ), driftNamed)]
	if o.acceptDrift {
		return &workflows.AcceptedDrift{Zones: len(out.Differ), Read: out.Zones, Named: named, Reason: o.reason}, nil
	}
	text := ""
	for _, d := range named {
		text += "\n  " + harmless.Terminal(d.String())
	}
	if more := len(out.Differ) - len(named); more > 0 {
		text += fmt.Sprintf("\n  … and %d more", more)
	}
	return nil, refused(fmt.Errorf("%d of %s changed after plan %s was made; nothing was started:%s\nFind out who changed them. Then plan again: keywave plan -f fleet.yaml, or run this plan anyway: keywave campaign start --plan %s --accept-drift --reason \"…\"",
		len(out.Differ), many(out.Zones, "live key"), plan.Digest, text, plan.Digest))
}

var errAcceptDrift = errors.New("--accept-drift runs a plan (--plan DIGEST) although live keys changed since; say why with --reason")
