package temporalclient

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"

	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// cloud is a Temporal without the operator service. It knows some search attributes.
type cloud struct {
	workflowservice.UnimplementedWorkflowServiceServer
	attributes []string
}

func (*cloud) GetSystemInfo(context.Context, *workflowservice.GetSystemInfoRequest) (*workflowservice.GetSystemInfoResponse, error) {
	return &workflowservice.GetSystemInfoResponse{}, nil
}

func (*cloud) DescribeNamespace(context.Context, *workflowservice.DescribeNamespaceRequest) (*workflowservice.DescribeNamespaceResponse, error) {
	return &workflowservice.DescribeNamespaceResponse{}, nil
}

func (c *cloud) CountWorkflowExecutions(_ context.Context, r *workflowservice.CountWorkflowExecutionsRequest) (*workflowservice.CountWorkflowExecutionsResponse, error) {
	rest := r.GetQuery()
	for _, a := range c.attributes {
		rest = strings.ReplaceAll(rest, a+" = 'known'", "")
	}
	if strings.ContainsAny(rest, "='") {
		return nil, status.Error(codes.InvalidArgument, "invalid search attribute: "+rest)
	}
	return &workflowservice.CountWorkflowExecutionsResponse{}, nil
}

// Where the attributes are there, a worker starts without the operator service.
func TestAttributesWithoutTheOperatorService(t *testing.T) {
	c := &cloud{attributes: []string{"KeywaveA", "KeywaveB"}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	frontend := grpc.NewServer()
	workflowservice.RegisterWorkflowServiceServer(frontend, c)
	defer frontend.Stop()
	go func() { _ = frontend.Serve(l) }()
	t.Setenv("TEMPORAL_CONFIG_FILE", "/dev/null")
	t.Setenv("TEMPORAL_ADDRESS", l.Addr().String())
	conn, err := Dial(t.Context(), slog.New(slog.DiscardHandler), "test")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.EnsureSearchAttributes(t.Context(), c.attributes); err != nil {
		t.Errorf("attributes that are there: %v", err)
	}
	if err := conn.EnsureSearchAttributes(t.Context(), []string{"KeywaveA", "KeywaveC"}); err == nil || !strings.Contains(err.Error(), "cannot be listed") {
		t.Errorf("an attribute that is missing, and nobody can register: %v", err)
	}
}
