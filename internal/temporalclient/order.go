package temporalclient

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
)

// orderAgainAfter is the pause before an order is sent again.
const orderAgainAfter = 100 * time.Millisecond

// Order sends an update to the open run of a workflow and waits until ctx ends for the
// answer. A workflow task that fails takes along the orders that it was given: a
// workflow that ends in the moment in which a signal comes, for example. Temporal then
// answers WorkflowNotReady, runs the task again without the order, and keeps nothing of
// it. So it is sent again, under the same ID: Temporal accepts an ID once.
//
// The errors are Temporal's: an ApplicationError is the workflow's own refusal, NotFound
// says that no such run is open.
func (c *Connection) Order(ctx context.Context, workflow, update string, order, answer any) error {
	id := rand.Text()
	for {
		handle, err := c.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
			WorkflowID: workflow, UpdateID: id, UpdateName: update, Args: []any{order},
			WaitForStage: client.WorkflowUpdateStageCompleted,
		})
		if err == nil {
			err = handle.Get(ctx, answer)
		}
		if !errors.As(err, new(*serviceerror.WorkflowNotReady)) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(orderAgainAfter):
		}
	}
}
