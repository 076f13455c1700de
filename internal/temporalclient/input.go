package temporalclient

import (
	"context"
	"errors"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
)

// Input decodes the first input of a workflow's run, of its latest one when run
// is empty. It reads the start event, for which no worker is needed.
func Input(ctx context.Context, c client.Client, id, run string, into any) error {
	events := c.GetWorkflowHistory(ctx, id, run, false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	if !events.HasNext() {
		return errors.New("the workflow has no history")
	}
	first, err := events.Next()
	if err != nil {
		return err
	}
	return converter.GetDefaultDataConverter().FromPayloads(first.GetWorkflowExecutionStartedEventAttributes().GetInput(), into)
}
