package temporalclient_test

import (
	"context"
	"testing"
	"time"

	"go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"keywave/internal/temporalclient"
)

func TestFleetOf(t *testing.T) {
	for _, mark := range []string{"", "0123456789ab"} {
		if got := temporalclient.FleetOf(temporalclient.WorkerIdentity("fleet-less-1-abc", "v1.0.0", mark)); got != mark {
			t.Errorf("%q, want %q", got, mark)
		}
	}
	if got := temporalclient.FleetOf("somebody@elsewhere/fleet-0123"); got != "" {
		t.Errorf("who is no worker has fleet %q", got)
	}
}

// A worker that took another fleet file says so at its next poll; what it said before
// is forgotten, and it is the same worker.
func TestAWorkerHasTheFleetFileThatItSaidLast(t *testing.T) {
	before, now := temporalclient.WorkerIdentity("vm-1-abc", "v1", "0123456789ab"), temporalclient.WorkerIdentity("vm-1-abc", "v1", "ba9876543210")
	other := temporalclient.WorkerIdentity("vm-2-abc", "v1", "0123456789ab")
	if !temporalclient.SameWorker(before, now) || temporalclient.SameWorker(before, other) {
		t.Error("it is another worker with another file")
	}
	conn := &temporalclient.Connection{Client: pollers{all: []poller{{now, 2}, {before, 30}, {other, 5}, {temporalclient.WorkerIdentity("vm-3-abc", "v1", "x"), 300}}}}
	marks, err := conn.Fleets(t.Context(), "queue")
	if err != nil || len(marks) != 2 || marks[now] != "ba9876543210" || marks[other] != "0123456789ab" {
		t.Errorf("%v, %v", marks, err)
	}
}

// pollers are those that Temporal saw poll, so many seconds ago.
type pollers struct {
	client.Client
	all []poller
}

type poller struct {
	identity string
	ago      int
}

func (p pollers) WorkflowService() workflowservice.WorkflowServiceClient { return described{of: p} }

type described struct {
	workflowservice.WorkflowServiceClient
	of pollers
}

func (d described) DescribeTaskQueue(context.Context, *workflowservice.DescribeTaskQueueRequest, ...grpc.CallOption) (*workflowservice.DescribeTaskQueueResponse, error) {
	out := &workflowservice.DescribeTaskQueueResponse{}
	for _, p := range d.of.all {
		out.Pollers = append(out.Pollers, &taskqueue.PollerInfo{Identity: p.identity, LastAccessTime: timestamppb.New(time.Now().Add(-time.Duration(p.ago) * time.Second))})
	}
	return out, nil
}
