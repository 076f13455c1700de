package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"keywave/internal/harmless"
	"keywave/internal/progress"
	"keywave/workflows"
)

func (a *app) campaignStatus() *cobra.Command {
	return &cobra.Command{
		Use: "status NAME", Short: "Counts, exposure, calls, what needs a person and the next command",
		Long: `Show a campaign: counts, exposure, calls, what needs a person and the next command;
and where Temporal lists its exposed, held, running and failed zones. With
TEMPORAL_UI_URL set (such as http://127.0.0.1:8233) those are links to the Temporal
UI; without it they are commands of Temporal's own command line.`,
		Example: "  keywave campaign status spring-rotation --output json",
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer conn.Close()
			status, err := statusOf(cmd.Context(), conn, args[0])
			if err != nil {
				return err
			}
			a.limited(cmd.Context(), conn, &status)
			view := statusView{status, zoneLists(conn.Namespace, status)}
			return a.print(view, func(w io.Writer) {
				_, width, color := terminal(a.out)
				_ = harmless.Draw(a.out, progress.View(status, width(), color, time.Now()))
				showLists(w, conn.Namespace, view.Lists)
			})
		},
	}
}

// statusView is a campaign's status, and where Temporal lists its zones.
type statusView struct {
	workflows.Status
	Lists []workflows.ZoneList `json:"lists,omitempty"`
}

func zoneLists(namespace string, s workflows.Status) []workflows.ZoneList {
	lists := s.ZoneLists()
	for i := range lists {
		if ui := uiAddress(); ui != "" {
			lists[i].URL = workflows.ListURL(ui, namespace, lists[i].Query)
		}
	}
	return lists
}

// showLists prints where to look: a link to the Temporal UI or, where nobody said
// where that is, the command that lists the same.
func showLists(w io.Writer, namespace string, lists []workflows.ZoneList) {
	if len(lists) == 0 {
		return
	}
	put(w, "\nits zones in Temporal\n")
	for _, l := range lists {
		where := l.URL
		if where == "" {
			where = fmt.Sprintf("temporal workflow list --namespace %s --query \"%s\"", namespace, l.Query)
		}
		put(w, "  %-8s %d  %s\n", l.Name, l.Zones, where)
	}
}
