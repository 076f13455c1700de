package workflows_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	sdkworker "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"keywave/workflows"
)

// Promise 10: an upgrade does not break a running campaign. The histories were
// recorded from real runs with faults (make histories); old ones are kept when
// new ones are added.
func TestRecordedHistoriesReplay(t *testing.T) {
	files, err := filepath.Glob("testdata/histories/*.json")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, file := range files {
		kind, _, _ := strings.Cut(filepath.Base(file), "-")
		seen[kind]++
		t.Run(filepath.Base(file), func(t *testing.T) {
			replayer := sdkworker.NewWorkflowReplayer()
			workflows.RegisterWorkflows(replayer)
			logger := log.NewStructuredLogger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})))
			history := recorded(t, file)
			// A workflow checks its own ID, which the replayer would invent.
			ran := workflow.Execution{ID: history.GetEvents()[0].GetWorkflowExecutionStartedEventAttributes().GetWorkflowId()}
			if ran.ID == "" {
				t.Fatal("its first event does not say its workflow's ID; make histories")
			}
			err := replayer.ReplayWorkflowHistoryWithOptions(logger, history, sdkworker.ReplayWorkflowHistoryOptions{OriginalExecution: ran})
			if err != nil {
				t.Errorf("this code cannot go on with a workflow that ran before: %v", err)
			}
		})
	}
	for _, kind := range []string{workflows.TypePlan, workflows.TypePage, workflows.TypeCampaign, workflows.TypeShard, workflows.TypeZone, workflows.TypeLease, workflows.TypeScheduled} {
		if seen[strings.ToLower(kind)] == 0 {
			t.Errorf("no recorded history of a %s workflow; make histories", kind)
		}
	}
}

func recorded(t *testing.T, file string) *historypb.History {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	history, err := client.HistoryFromJSON(f, client.HistoryJSONOptions{})
	if err != nil || len(history.GetEvents()) == 0 {
		t.Fatalf("no history: %v", err)
	}
	return history
}
