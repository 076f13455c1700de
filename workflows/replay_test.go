package workflows_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.temporal.io/sdk/log"
	sdkworker "go.temporal.io/sdk/worker"

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
			if err := replayer.ReplayWorkflowHistoryFromJSONFile(logger, file); err != nil {
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
