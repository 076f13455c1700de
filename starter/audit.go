package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"

	"keywave/internal/fleet"
	"keywave/internal/harmless"
	"keywave/internal/plan"
	"keywave/internal/planning"
	"keywave/internal/rotation"
	"keywave/internal/temporalclient"
	"keywave/workflows"
)

func (a *app) audit() *cobra.Command {
	var fleetFile string
	var chosen selectors
	cmd := &cobra.Command{
		Use: "audit -f fleet.yaml", Short: "Compare each live key with what each host holds; changes nothing", Args: exactly(),
		Example: "  keywave audit -f fleet.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.runAudit(cmd.Context(), fleetFile, "", chosen)
		},
	}
	cmd.Flags().StringVarP(&fleetFile, "fleet", "f", "", "the fleet file")
	chosen.flags(cmd)
	return cmd
}

// runAudit audits one zone, or all that are chosen when it is empty.
func (a *app) runAudit(ctx context.Context, path string, only rotation.ZoneID, chosen selectors) error {
	f, conn, err := a.wholeFleet(ctx, path, only)
	if err != nil {
		return err
	}
	defer conn.Close()
	if f, err = chosen.of(f); err != nil {
		return err
	}
	if f.Selected != "" {
		a.say("Compares %s.", f.Selected)
	}
	targets := slices.DeleteFunc(f.Targets(), func(t plan.Target) bool { return only != "" && t.ID != only })
	out, err := audit(ctx, conn, f, targets)
	if err != nil {
		return err
	}
	if err := a.print(out, func(w io.Writer) { showAudit(w, out) }); err != nil {
		return err
	}
	switch unread := out.Found - out.Differences - out.Formats - out.Staged; {
	case out.Differences > 0:
		return notDone(fmt.Errorf("%s; a zone whose hosts do not hold the live key is mended by: keywave zone repair ZONE -f %s", many(out.Differences, "difference"), path))
	case unread == 0 && out.Formats > 0:
		return notDone(fmt.Errorf("no difference in what was compared, and %s in another format than the fleet file says; a zone's files are written anew by: keywave zone repair ZONE -f %s", many(out.Formats, "file"), path))
	case unread == 0 && out.Staged > 0:
		return notDone(fmt.Errorf("no difference in what was compared, and %s beside the live ones; where no rotation runs, they are removed by: keywave zone repair ZONE -f %s", many(out.Staged, "staged key"), path))
	case unread > 0:
		return notDone(fmt.Errorf("no difference in what was compared, and %s: %d of %s were not compared; why: keywave doctor -f %s", many(unread, "finding"), out.Pairs-out.Compared, many(out.Pairs, "pair"), path))
	}
	return nil
}

// audit runs one workflow per page, all at once; the calls of each account wait for
// its pace.
func audit(ctx context.Context, conn *temporalclient.Connection, f *fleet.Fleet, targets []plan.Target) (workflows.AuditOut, error) {
	var out workflows.AuditOut
	pages, _, err := plan.Cut(targets, []string{"100%"})
	if err != nil {
		return out, err
	}
	if err := awaitWorker(ctx, conn); err != nil {
		return out, err
	}
	name := planning.Unique(time.Now())
	runs := make([]client.WorkflowRun, len(pages))
	for i, page := range pages {
		runs[i], err = conn.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
			ID: workflows.AuditID(name, page.Number), TaskQueue: workflows.Queue,
			StaticSummary: harmless.Summary(fmt.Sprintf("audit of %d zones by %s", len(page.Zones), operator())),
		}, workflows.TypeAudit, workflows.AuditIn{Page: page})
		if err != nil {
			return out, fmt.Errorf("the audit cannot be started: %w", err)
		}
	}
	described := map[rotation.Account]int{}
	for i, run := range runs {
		var part workflows.AuditOut
		if err := waitForWorker(ctx, conn, run, &part); err != nil {
			return out, err
		}
		out = out.Plus(part)
		described[pages[i].Account] += part.Describes
	}
	for i, f := range out.Findings {
		out.Findings[i] = f.Settled()
	}
	if away := planning.Unreachable(f, described, out.Findings); away != nil {
		return out, refused(away)
	}
	return out, nil
}

func showAudit(w io.Writer, a workflows.AuditOut) {
	for _, f := range a.Findings {
		put(w, "%v\n", finding(f))
	}
	if more := a.Found - len(a.Findings); more > 0 {
		put(w, "… and %d more\n", more)
	}
	formats := ""
	if a.Formats > 0 {
		formats = ", " + many(a.Formats, "file") + " in another format"
	}
	staged := ""
	if a.Staged > 0 {
		staged = ", " + many(a.Staged, "staged key")
	}
	put(w, "%s, %d of %s of zone and host compared, %s%s%s. Nothing was changed.\n", many(a.Zones, "zone"), a.Compared, many(a.Pairs, "pair"), many(a.Differences, "difference"), formats, staged)
}
