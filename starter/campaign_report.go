package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
	"go.temporal.io/api/serviceerror"
	"golang.org/x/sync/errgroup"

	"keywave/internal/plan"
	"keywave/internal/report"
	"keywave/internal/rotation"
	"keywave/internal/temporalclient"
	"keywave/workflows"
)

func (a *app) campaignReport() *cobra.Command {
	var format, out string
	cmd := &cobra.Command{
		Use: "report NAME", Short: "What was planned, what happened, every zone's outcome and exposure", Args: exactly("NAME"),
		Long: `Gather the report of a campaign: what was planned, what people and budgets did, and
each zone's one outcome, keys (as fingerprints), exposure and hosts. html is one
file that loads nothing and holds the whole json; csv has a row for each zone and
host. The report's digest goes to standard error: note it elsewhere, and
keywave report verify FILE compares.`,
		Example: "  keywave campaign report spring-rotation --format html --out spring.html",
		RunE: func(cmd *cobra.Command, args []string) error {
			if a.output == "json" && !cmd.Flags().Changed("format") {
				format = "json"
			}
			write, ok := reportWriters()[format]
			if !ok {
				return fmt.Errorf("--format %q: use html, json, csv or md", format)
			}
			conn, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer conn.Close()
			r, err := gatherReport(cmd.Context(), conn, args[0])
			if err != nil {
				return err
			}
			if out == "" {
				err = write(r, a.out)
			} else {
				err = writeFile(out, func(w io.Writer) error { return write(r, w) })
			}
			if err == nil {
				put(a.err, "Digest of the report: %s\n", r.Digest)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&format, "format", "md", "html, json, csv or md; with --output json it is json")
	cmd.Flags().StringVar(&out, "out", "", "write to this file")
	return cmd
}

func reportWriters() map[string]func(report.Report, io.Writer) error {
	return map[string]func(report.Report, io.Writer) error{
		"json": func(r report.Report, w io.Writer) error { return r.WriteJSON(w) },
		"html": func(r report.Report, w io.Writer) error { return r.WriteHTML(w) },
		"csv":  func(r report.Report, w io.Writer) error { return r.WriteCSV(w) },
		"md":   func(r report.Report, w io.Writer) error { return r.WriteMarkdown(w) },
	}
}

// gatherReport asks the plan, its pages and the shards.
func gatherReport(ctx context.Context, conn *temporalclient.Connection, name string) (report.Report, error) {
	status, err := statusOf(ctx, conn, name)
	if err != nil {
		return report.Report{}, err
	}
	ran, err := planOf(ctx, conn, status)
	if err != nil {
		return report.Report{}, err
	}
	pages, recorded, err := pagesOf(ctx, conn, ran, name)
	if err != nil {
		return report.Report{}, err
	}
	past, err := pastOf(ctx, conn, name, status, pages)
	if err != nil {
		return report.Report{}, err
	}
	return report.Build(ran, pages, status, slices.Concat(recorded...), past)
}

// pagesAtOnce is how many pages are loaded side by side.
const pagesAtOnce = 4

// pagesOf are a campaign's pages in their order, and the records of each.
func pagesOf(ctx context.Context, conn *temporalclient.Connection, ran plan.Plan, name string) ([]plan.Page, [][]rotation.Record, error) {
	pages, records := make([]plan.Page, len(ran.Pages)), make([][]rotation.Record, len(ran.Pages))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(pagesAtOnce)
	for n := range ran.Pages {
		group.Go(func() (err error) {
			if pages[n], err = pageOf(ctx, conn, ran.Name, n+1); err != nil {
				return err
			}
			records[n], err = recordsOf(ctx, conn, ran.Name, name, pages[n])
			return err
		})
	}
	return pages, records, group.Wait()
}

// recordsOf are the records of a page's latest shard, or, where Temporal has
// forgotten that, what it left with the page. One that never ran has none, and its
// zones are pending.
func recordsOf(ctx context.Context, conn *temporalclient.Connection, planName, name string, page plan.Page) ([]rotation.Record, error) {
	var records []rotation.Record
	answer, err := conn.QueryWorkflow(ctx, workflows.ShardID(name, page.Number), "", workflows.QueryRecords)
	if errors.As(err, new(*serviceerror.NotFound)) {
		answer, err = conn.QueryWorkflow(ctx, workflows.PageID(planName, page.Number), "", workflows.QueryRecords, name)
	}
	if err != nil {
		return nil, fmt.Errorf("shard %d of campaign %s cannot be asked (%w); is a worker running?", page.Number, name, err)
	}
	return records, answer.Get(&records)
}

// writeFile writes beside the target and renames, so that no half report is
// ever found.
func writeFile(path string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".report-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	if err := write(f); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
