package temporalclient

import (
	"context"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"
)

// Named has each poll say who polls now: a worker's identity tells which fleet file it
// has, and the SDK knows the one that it had at the start alone.
func Named(identity func() string) func(*client.Options) {
	name := func(ctx context.Context, method string, in, out any, conn *grpc.ClientConn, call grpc.UnaryInvoker, options ...grpc.CallOption) error {
		switch poll := in.(type) {
		case *workflowservice.PollActivityTaskQueueRequest:
			poll.Identity = identity()
		case *workflowservice.PollWorkflowTaskQueueRequest:
			poll.Identity = identity()
		}
		return call(ctx, method, in, out, conn, options...)
	}
	return func(o *client.Options) {
		o.ConnectionOptions.DialOptions = append(o.ConnectionOptions.DialOptions, grpc.WithChainUnaryInterceptor(name))
	}
}
