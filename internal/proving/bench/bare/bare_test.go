package bare

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"
)

// A yardstick that does less than it says would flatter nobody: every child runs,
// and at most so many of them at once.
func TestEveryChildRunsAndNoMoreAtOnceThanSaid(t *testing.T) {
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	env.RegisterWorkflow(Parent)
	running, most, ended := 0, 0, 0
	env.RegisterWorkflowWithOptions(func(ctx workflow.Context, _ int) error {
		running++
		most = max(most, running)
		err := workflow.Sleep(ctx, time.Second)
		running--
		ended++
		return err
	}, workflow.RegisterOptions{Name: "Child"})
	env.ExecuteWorkflow(Parent, 100, 7)
	if err := env.GetWorkflowError(); err != nil {
		t.Fatal(err)
	}
	if ended != 100 || most != 7 {
		t.Errorf("%d children ended, want 100; at most %d at once, want 7", ended, most)
	}
}

func TestAChildHasTwoActivities(t *testing.T) {
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	var calls atomic.Int32
	env.RegisterActivityWithOptions(func(context.Context, int) error {
		calls.Add(1)
		return nil
	}, activity.RegisterOptions{Name: "Nothing"})
	env.ExecuteWorkflow(Child, 1)
	if err := env.GetWorkflowError(); err != nil || calls.Load() != 2 {
		t.Errorf("the child ended with %v after %d activities, want 2", err, calls.Load())
	}
}
