package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"

	"keywave/internal/fleet"
	"keywave/internal/seal"
	"keywave/internal/temporalclient"
	"keywave/workflows"
)

// finding of the doctor: what was looked at, whether it is well, and what to do.
type check struct {
	What   string `json:"what"`
	OK     bool   `json:"ok"`
	Saw    string `json:"saw"`
	Remedy string `json:"remedy,omitempty"`
}

func (a *app) doctor() *cobra.Command {
	var fleetFile, keyring string
	cmd := &cobra.Command{
		Use: "doctor", Short: "Temporal, queues, search attributes, keysets: what is wrong and how to mend it",
		Example: "  keywave doctor -f fleet.yaml", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			checks, err := a.examine(cmd.Context(), fleetFile, keyring)
			if err != nil {
				return err
			}
			if err := a.print(checks, func(w io.Writer) { showChecks(w, checks) }); err != nil {
				return err
			}
			ill := 0
			for _, c := range checks {
				if !c.OK {
					ill++
				}
			}
			if ill > 0 {
				return notDone(fmt.Errorf("%d of %d need mending", ill, len(checks)))
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&fleetFile, "fleet", "f", "", "also look at the queues and keysets of this fleet file")
	cmd.Flags().StringVar(&keyring, "keyring", "", "directory of the keysets (default $XDG_DATA_HOME/keywave/keyring)")
	return cmd
}

func (a *app) examine(ctx context.Context, fleetFile, keyring string) ([]check, error) {
	var f *fleet.Fleet
	if fleetFile != "" {
		var err error
		if f, err = readFleet(fleetFile); err != nil {
			return nil, err
		}
	}
	checks := a.examineTemporal(ctx, f)
	if f != nil {
		checks = append(checks, checkKeysets(f, keyring)...)
	}
	return checks, nil
}

func (a *app) examineTemporal(ctx context.Context, f *fleet.Fleet) []check {
	conn, err := a.connect(ctx)
	if err != nil {
		return []check{{What: "Temporal", Saw: err.Error()}}
	}
	defer conn.Close()
	checks := []check{{What: "Temporal", OK: true, Saw: conn.Address + ", namespace " + conn.Namespace}}
	checks = append(checks, checkRetention(ctx, conn), checkAttributes(ctx, conn),
		checkPollers(ctx, conn, workflows.Queue, enums.TASK_QUEUE_TYPE_WORKFLOW, "--roles orchestrator"))
	if f == nil {
		return checks
	}
	account := f.Account.Name
	checks = append(checks,
		checkPollers(ctx, conn, workflows.LeaseQueue(account), enums.TASK_QUEUE_TYPE_ACTIVITY, "--roles edgeone"),
		checkPollers(ctx, conn, workflows.RefreshQueue(account), enums.TASK_QUEUE_TYPE_ACTIVITY, "--roles edgeone"),
		checkPollers(ctx, conn, workflows.EdgeOneQueue(account), enums.TASK_QUEUE_TYPE_ACTIVITY, "--roles edgeone"))
	for _, l := range f.Locations {
		checks = append(checks, checkPollers(ctx, conn, workflows.LocationQueue(l), enums.TASK_QUEUE_TYPE_ACTIVITY, "--roles location --locations "+string(l)))
	}
	return checks
}

const wantedRetention = 30 * 24 * time.Hour

func checkRetention(ctx context.Context, conn *temporalclient.Connection) check {
	c := check{What: "retention"}
	d, err := conn.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: conn.Namespace})
	if err != nil {
		c.Saw = err.Error()
		return c
	}
	kept := d.GetConfig().GetWorkflowExecutionRetentionTtl().AsDuration()
	c.Saw, c.OK = kept.String(), kept >= wantedRetention
	if !c.OK {
		c.Remedy = "resume and report need closed workflows: temporal operator namespace update --retention 720h -n " + conn.Namespace
	}
	return c
}

func checkAttributes(ctx context.Context, conn *temporalclient.Connection) check {
	c := check{What: "search attributes"}
	missing, err := conn.MissingSearchAttributes(ctx, workflows.Attributes())
	switch {
	case err != nil:
		c.Saw = err.Error()
	case len(missing) > 0:
		c.Saw, c.Remedy = fmt.Sprintf("missing %v", missing), "a worker with the orchestrator role registers them at its start"
	default:
		c.OK, c.Saw = true, "registered"
	}
	return c
}

func checkPollers(ctx context.Context, conn *temporalclient.Connection, queue string, kind enums.TaskQueueType, roles string) check {
	c := check{What: "queue " + queue}
	ok, err := hasPollers(ctx, conn, queue, kind)
	switch {
	case err != nil:
		c.Saw = err.Error()
	case ok:
		c.OK, c.Saw = true, "polled"
	default:
		c.Saw, c.Remedy = "nobody polls it", "start one: bin/worker --fleet fleet.yaml "+roles
	}
	return c
}

// pollerIsRecent is how long after its last poll a worker still counts: polls
// are long, a minute each.
const pollerIsRecent = 90 * time.Second

func hasPollers(ctx context.Context, conn *temporalclient.Connection, queue string, kind enums.TaskQueueType) (bool, error) {
	d, err := conn.WorkflowService().DescribeTaskQueue(ctx, &workflowservice.DescribeTaskQueueRequest{
		Namespace: conn.Namespace, TaskQueueType: kind, TaskQueue: &taskqueue.TaskQueue{Name: queue},
	})
	if err != nil {
		return false, fmt.Errorf("queue %s cannot be looked at: %w", queue, err)
	}
	for _, p := range d.GetPollers() {
		if time.Since(p.GetLastAccessTime().AsTime()) < pollerIsRecent {
			return true, nil
		}
	}
	return false, nil
}

func checkKeysets(f *fleet.Fleet, dir string) []check {
	if dir == "" {
		var err error
		if dir, err = seal.DefaultDir(); err != nil {
			return []check{{What: "keysets", Saw: err.Error()}}
		}
	}
	infos, err := seal.Show(dir)
	if err != nil {
		return []check{{What: "keysets", Saw: err.Error()}}
	}
	var checks []check
	for _, l := range f.Locations {
		c := check{What: "keyset " + string(l), Saw: "not in " + dir, Remedy: "keywave keyring create " + string(l)}
		for _, i := range infos {
			if i.Location == l {
				c.OK, c.Saw, c.Remedy = i.Problem == "", i.Fingerprint, i.Problem
			}
		}
		checks = append(checks, c)
	}
	return checks
}

func showChecks(w io.Writer, checks []check) {
	for _, c := range checks {
		mark := "ok     "
		if !c.OK {
			mark = "MEND   "
		}
		fmt.Fprintf(w, "%s%s: %s\n", mark, c.What, c.Saw)
		if c.Remedy != "" {
			fmt.Fprintf(w, "       → %s\n", c.Remedy)
		}
	}
}
