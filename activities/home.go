package activities

import (
	"context"
	"fmt"

	"go.temporal.io/sdk/activity"

	"keywave/internal/rotation"
)

// The workflows in which alone some activities do their work. Their names stand
// in histories: workflows/names.go has the others.
const (
	ZoneType  = "Zone"
	LeaseType = "Lease"
)

// ZoneWorkflow is the workflow ID of a zone, and so its lock (promise 5).
func ZoneWorkflow(zone rotation.ZoneID) string { return "zone/" + string(zone) }

// stray says that an activity was not asked for by the workflow of that ID and
// type, but by another, or by nobody's; empty when all is well. Whoever can write to
// Temporal can ask for any activity.
func stray(ctx context.Context, id, kind string) string {
	info := activity.GetInfo(ctx)
	by := "nobody's workflow"
	if info.WorkflowType != nil {
		by = fmt.Sprintf("workflow %.100q of type %.50q", info.WorkflowExecution.ID, info.WorkflowType.Name)
		if info.WorkflowExecution.ID == id && info.WorkflowType.Name == kind {
			return ""
		}
	}
	return fmt.Sprintf("%s is for workflow %s alone, and was asked for by %s", info.ActivityType.Name, id, by)
}
