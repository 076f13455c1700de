package temporalclient

import (
	"context"
	"iter"

	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
)

// foundAtOnce is how many workflows one call of Temporal lists.
const foundAtOnce = 1000

// Found goes through the workflows that a query finds in visibility, call by call, and
// ends with the error of the first call that fails. Errors are Temporal's.
func Found(ctx context.Context, c client.Client, query string) iter.Seq2[*workflow.WorkflowExecutionInfo, error] {
	return func(yield func(*workflow.WorkflowExecutionInfo, error) bool) {
		request := &workflowservice.ListWorkflowExecutionsRequest{Query: query, PageSize: foundAtOnce}
		for {
			page, err := c.ListWorkflow(ctx, request)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, run := range page.GetExecutions() {
				if !yield(run, nil) {
					return
				}
			}
			if request.NextPageToken = page.GetNextPageToken(); len(request.NextPageToken) == 0 {
				return
			}
		}
	}
}
