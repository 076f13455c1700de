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

// names are those of the activities that are registered.
type names struct {
	sdkworker.Registry
	all []string
}

func (n *names) RegisterActivityWithOptions(_ any, o activity.RegisterOptions) {
	n.all = append(n.all, o.Name)
}

func (n *names) RegisterWorkflowWithOptions(any, workflow.RegisterOptions) {}

// Every activity has its limit, and no other has one.
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
