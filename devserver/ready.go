package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// awaitReady returns once the server really serves: the frontend knows the
// namespace, history owns its shard, and the UI answers.
func awaitReady(ctx context.Context, cfg config) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()

	conn, err := grpc.NewClient(cfg.frontend(),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy())
	if err != nil {
		return err
	}
	defer conn.Close()
	client := workflowservice.NewWorkflowServiceClient(conn)

	for {
		err := errors.Join(temporalAnswers(ctx, client, cfg.Namespace), uiAnswers(ctx, cfg))
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready after %s: %w", startWithin, err)
		case <-time.After(25 * time.Millisecond):
		}
	}
}

func temporalAnswers(ctx context.Context, client workflowservice.WorkflowServiceClient, namespace string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if _, err := client.DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: namespace}); err != nil {
		return err
	}
	// Only history can say that there is no such workflow.
	_, err := client.DescribeWorkflowExecution(ctx, &workflowservice.DescribeWorkflowExecutionRequest{
		Namespace: namespace,
		Execution: &commonpb.WorkflowExecution{WorkflowId: "devserver-ready"},
	})
	var absent *serviceerror.NotFound // and not *NamespaceNotFound, which has the same code
	if errors.As(serviceerror.FromStatus(status.Convert(err)), &absent) {
		return nil
	}
	return err
}

func uiAnswers(ctx context.Context, cfg config) error {
	if cfg.UIPort == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, cfg.ui()+"/healthz", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the UI answers %s", resp.Status)
	}
	return nil
}
