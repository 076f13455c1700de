package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"

	"keywave/internal/rotation"
	"keywave/internal/temporalclient"
	"keywave/workflows"
)

// zoneView is what zone show prints.
type zoneView struct {
	Zone     rotation.ZoneID `json:"zone"`
	Name     string          `json:"name,omitempty"`
	Verb     rotation.Verb   `json:"verb"`
	Campaign string          `json:"campaign,omitempty"`
	By       string          `json:"by,omitempty"`
	Reason   string          `json:"reason,omitempty"`
	// Former is the key that a rollback puts back; null in any other operation.
	Former  *rotation.Former `json:"former,omitempty"`
	Running bool             `json:"running"`
	// Status is Temporal's: Running, Completed, Terminated, …
	Status  string     `json:"status"`
	Started time.Time  `json:"startedAt"`
	Ended   *time.Time `json:"endedAt"`
	// Trip is where it stands; a worker must answer for it. Record is how it
	// ended.
	Trip   *rotation.Trip   `json:"trip,omitempty"`
	Record *rotation.Record `json:"record,omitempty"`
	Stages []zoneStage      `json:"stages"`
	// Stands is since when and until when it stands so, why, and what to do next;
	// null where no worker says it.
	Stands *standing `json:"stands"`
	// Cancelled is who asked it to stop, and why; null when nobody did.
	Cancelled *zoneCancelled `json:"cancelled,omitempty"`
	// URL is the operation in the Temporal UI, where TEMPORAL_UI_URL says where
	// that is.
	URL string `json:"url,omitempty"`
}

// zoneCancelled is that somebody, or its campaign, asked an operation to stop.
type zoneCancelled struct {
	At     time.Time `json:"at"`
	By     string    `json:"by"`
	Reason string    `json:"reason,omitempty"`
}

func (a *app) zoneShow() *cobra.Command {
	return &cobra.Command{
		Use: "show ZONE", Short: "A zone's latest operation, stage by stage", Args: exactly("ZONE"),
		Long: `Show where a zone's latest operation stands or how it ended, stage by stage:
times, hosts, fingerprints, request IDs. With TEMPORAL_UI_URL set (such as
http://127.0.0.1:8233) it ends with a link.`,
		Example: "  keywave zone show zone-27q0p0bal192",
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer conn.Close()
			view, err := viewOfZone(cmd.Context(), conn, rotation.ZoneID(args[0]))
			if view.Stages == nil {
				return err
			}
			return cmp.Or(a.print(view, func(w io.Writer) { showZone(w, view) }), err)
		},
	}
}

// viewOfZone may fail and still return a view with stages: a worker is needed
// only to say where an operation stands.
func viewOfZone(ctx context.Context, conn *temporalclient.Connection, id rotation.ZoneID) (zoneView, error) {
	view := zoneView{Zone: id}
	described, err := conn.DescribeWorkflowExecution(ctx, workflows.ZoneID(id), "")
	if errors.As(err, new(*serviceerror.NotFound)) {
		return view, refused(fmt.Errorf("zone %s has no operation in Temporal", id))
	}
	if err != nil {
		return view, fmt.Errorf("zone %s cannot be read: %w", id, err)
	}
	info := described.GetWorkflowExecutionInfo()
	run := info.GetExecution().GetRunId()
	view.Status, view.Started = info.GetStatus().String(), info.GetStartTime().AsTime()
	if view.Running = info.GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_RUNNING; !view.Running {
		ended := info.GetCloseTime().AsTime()
		view.Ended = &ended
	}
	view.URL = inUI(conn.Namespace, workflows.ZoneID(id), run)
	if err := view.tell(conn.GetWorkflowHistory(ctx, workflows.ZoneID(id), run, false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)); err != nil {
		return zoneView{}, fmt.Errorf("the history of zone %s cannot be read: %w", id, err)
	}
	if info.GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_COMPLETED {
		view.Record = &rotation.Record{}
		err := conn.GetWorkflow(ctx, workflows.ZoneID(id), run).Get(ctx, view.Record)
		*view.Record = seen(*view.Record)
		at := ended(*view.Record, view.Campaign, true)
		view.Stands = &at
		return view, err
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	answer, err := conn.QueryWorkflow(ctx, workflows.ZoneID(id), run, workflows.QueryTrip)
	if err != nil {
		return view, fmt.Errorf("zone %s is %s, but no worker says where it stands (%w); start one: bin/worker --fleet fleet.yaml", id, view.Status, err)
	}
	view.Trip = &rotation.Trip{}
	err = answer.Get(view.Trip)
	at := standingOf(view.Trip, view.Started, time.Now())
	view.Stands = &at
	return view, err
}

// uiAddress is where the Temporal UI is, "" when nobody said so.
func uiAddress() string { return strings.TrimRight(os.Getenv("TEMPORAL_UI_URL"), "/") }

// inUI is a workflow's address in the Temporal UI, or "" when nobody said where
// the UI is.
func inUI(namespace, id, run string) string {
	ui := uiAddress()
	if ui == "" {
		return ""
	}
	return fmt.Sprintf("%s/namespaces/%s/workflows/%s/%s/history", ui, url.PathEscape(namespace), url.PathEscape(id), run)
}

// stands is where a trip stands, since when and until when.
func stands(t *rotation.Trip, s *standing) string {
	if text := tripText(t); text != "" || s == nil {
		return text
	}
	text := s.Outcome + ": " + s.Why
	if s.Until != nil {
		text += "; it goes on at " + s.Until.Local().Format(time.TimeOnly)
	}
	return text
}

func showZone(w io.Writer, v zoneView) {
	line := func(name, text string) {
		if text != "" {
			put(w, "%-9s %s\n", name, text)
		}
	}
	line("campaign", v.Campaign)
	line("by", v.By)
	line("reason", v.Reason)
	if f := v.Former; f != nil {
		line("puts back", fmt.Sprintf("%s, which %s had replaced", f.Key, f.For))
	}
	switch t := v.Trip; {
	case v.Record != nil:
		showRecord(w, *v.Record)
	case t == nil:
		line("zone", string(v.Zone))
		line("status", v.Status+" since "+v.Started.Local().Format(time.DateTime))
	default:
		line("zone", string(v.Zone))
		line("status", v.Status+" since "+v.Started.Local().Format(time.DateTime))
		line("phase", string(t.Phase))
		line("key", orDash(string(t.Baseline))+" → "+orDash(string(t.Live)))
		line("stands", stands(t, v.Stands))
		line("hosts", fmt.Sprintf("%d of %d acknowledged", len(t.Acks), len(t.Hosts)))
		for _, met := range t.Met {
			line("met", met)
		}
		for _, last := range t.Last {
			line("host", string(last.Host)+": "+last.Problem)
		}
	}
	if c := v.Cancelled; c != nil {
		line("cancelled", strings.TrimSuffix(fmt.Sprintf("at %s by %s: %s", c.At.Local().Format(time.DateTime), orDash(c.By), c.Reason), ": "))
	}
	if v.Stands != nil {
		line("next", v.Stands.Next)
	}
	showStages(w, v.Stages)
	line("look", v.URL)
}
