package workflows_test

import (
	"reflect"
	"slices"
	"testing"

	"go.temporal.io/sdk/activity"
	sdkworker "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"keywave/activities"
	"keywave/workflows"
)

// names are the names of the registered activities.
type names struct {
	sdkworker.Registry
	all []string
}

func (n *names) RegisterActivityWithOptions(_ any, o activity.RegisterOptions) {
	n.all = append(n.all, o.Name)
}

func (n *names) RegisterWorkflowWithOptions(any, workflow.RegisterOptions) {}

// Every activity has a limit, and every limit has an activity.
func TestEveryActivityHasALimit(t *testing.T) {
	var n names
	workflows.RegisterOrchestrator(&n, &activities.Temporal{}, &activities.Notices{})
	workflows.RegisterRefresh(&n, &activities.EdgeOne{})
	workflows.RegisterEdgeOne(&n, &activities.EdgeOne{})
	workflows.RegisterLocation(&n, &activities.Location{})
	workflows.RegisterLease(&n, &activities.Lease{})
	limits := reflect.TypeFor[activities.Limits]()
	for i := range limits.NumField() {
		if !slices.Contains(n.all, limits.Field(i).Name) {
			t.Errorf("%s is limited, and nobody knows it", limits.Field(i).Name)
		}
	}
	for _, name := range n.all {
		if _, has := limits.FieldByName(name); !has {
			t.Errorf("%s has no limit", name)
		}
	}
}
