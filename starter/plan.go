package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"keywave/internal/plan"
	"keywave/internal/planning"
	"keywave/workflows"
)

type planOptions struct {
	fleetFile string
	name      string
	out       string
	selectors
}

func (a *app) plan() *cobra.Command {
	o := &planOptions{}
	cmd := &cobra.Command{
		Use:   "plan -f fleet.yaml",
		Short: "Say what a campaign would do: zones, hosts, waves, time, problems; changes nothing",
		Long: `Read the fleet file, read the live key's fingerprint of every zone, let every
host prove that it can take a key, and freeze the result as a plan with a digest.
Nothing is changed. A plan is valid for 7 days. Exit code 2 says that some of its
zones would not be rotated as things are: their key cannot be read, or a host of
theirs cannot take one.`,
		Example: "  keywave plan -f fleet.yaml\n  keywave plan -f fleet.yaml --out plan.json",
		Args:    exactly(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.planFleet(cmd.Context(), o) },
	}
	cmd.AddCommand(a.planDiff(), a.planList())
	cmd.Flags().StringVarP(&o.fleetFile, "fleet", "f", "", "the fleet file")
	cmd.Flags().StringVar(&o.name, "name", "", "the plan's name (default: from the time)")
	o.flags(cmd)
	cmd.Flags().StringVar(&o.out, "out", "", "write the plan as JSON to this file")
	return cmd
}

// planFleet makes the plan, keeps it as a file where that is asked for, and shows it.
func (a *app) planFleet(ctx context.Context, o *planOptions) error {
	if _, err := os.Stat(filepath.Dir(o.out)); err != nil {
		return fmt.Errorf("--out %s cannot be written: %w", o.out, err)
	}
	name, err := planName(o.name)
	if err != nil {
		return err
	}
	f, conn, err := a.wholeFleet(ctx, o.fleetFile, "")
	if err != nil {
		return err
	}
	defer conn.Close()
	if f, err = o.of(f); err != nil {
		return err
	}
	plan, err := makePlan(ctx, conn, f, name)
	if err != nil {
		return err
	}
	if o.out != "" {
		if err := writePlan(o.out, plan); err != nil {
			return err
		}
	}
	also, err := elsewhere(ctx, conn, planning.ZonesOf(f))
	if err != nil {
		return err
	}
	if a.output == "json" && also.Zones > 0 {
		a.say("%d of %s belong to other campaigns too, or were rotated just now: %s", also.Zones, many(plan.Zones, "zone"), also)
	}
	if err := a.print(plan, func(w io.Writer) { showPlan(w, plan, also) }); err != nil {
		return err
	}
	return unready(plan)
}

// planName is the name of a plan and its campaign: the given one, or the time to the
// millisecond, for two plans of one second are not one.
func planName(given string) (string, error) {
	if given == "" {
		return strings.Replace(time.Now().UTC().Format("20060102-150405.000"), ".", "-", 1), nil
	}
	return given, workflows.CheckName(given)
}

func writePlan(path string, plan plan.Plan) error {
	body, err := json.MarshalIndent(plan, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(body, '\n'), 0o644)
}
