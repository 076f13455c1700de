package temporalclient

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/converter"
)

// For queryAgainFor after an orchestrator was lost, Temporal may ask it and nobody else
// about the workflows that it had in memory, and refuses a query within askedFor, "no
// poller seen", although others poll. After that it asks any of them. Where none polls it
// refuses too, but only after most of the query's time.
const (
	queryAgainFor   = 12 * time.Second
	queryAgainAfter = 500 * time.Millisecond
	askedFor        = 3 * time.Second
)

// QueryWorkflow queries a workflow. It asks again where Temporal asked only a process that
// is gone. The errors are Temporal's.
func (c *Connection) QueryWorkflow(ctx context.Context, workflow, run, query string, args ...any) (converter.EncodedValue, error) {
	began := time.Now()
	for {
		asked := time.Now()
		answer, err := c.Client.QueryWorkflow(ctx, workflow, run, query, args...)
		quick := errors.As(err, new(*serviceerror.FailedPrecondition)) && time.Since(asked) < askedFor
		if !quick || time.Since(began) > queryAgainFor {
			return answer, err
		}
		select {
		case <-ctx.Done():
			return answer, err
		case <-time.After(queryAgainAfter):
		}
	}
}
