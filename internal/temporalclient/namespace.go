package temporalclient

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/types/known/durationpb"
)

// NoNamespace says that Temporal answers, but has not this namespace.
type NoNamespace struct {
	Address   string
	Namespace string
	options   client.Options
}

// Error says how to create it.
func (e *NoNamespace) Error() string {
	return fmt.Sprintf("the Temporal at %s has no namespace %q; create it (keywave doctor --fix, or temporal operator namespace create --retention 720h -n %s) or set TEMPORAL_NAMESPACE", e.Address, e.Namespace, e.Namespace)
}

const (
	usableWithin = 30 * time.Second // the server looks for new namespaces every 10 s
	lookEvery    = 250 * time.Millisecond
)

// RegisterNamespace makes the namespace that was missing and waits until it can
// be used.
func RegisterNamespace(ctx context.Context, missing *NoNamespace, retention time.Duration) error {
	c, err := client.NewLazyClient(missing.options)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.WorkflowService().RegisterNamespace(ctx, &workflowservice.RegisterNamespaceRequest{
		Namespace: missing.Namespace, WorkflowExecutionRetentionPeriod: durationpb.New(retention),
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, usableWithin)
	defer cancel()
	for {
		_, err = c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: missing.Namespace})
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("namespace %s was created, but cannot be used yet: %w", missing.Namespace, err)
		case <-time.After(lookEvery):
		}
	}
}

func describeNamespace(name string) *workflowservice.DescribeNamespaceRequest {
	return &workflowservice.DescribeNamespaceRequest{Namespace: name}
}

// Retention is how long a namespace keeps workflows that are closed; 0 where
// that may not be asked.
func Retention(ctx context.Context, c client.Client, namespace string) (time.Duration, error) {
	described, err := c.WorkflowService().DescribeNamespace(ctx, describeNamespace(namespace))
	if errors.As(err, new(*serviceerror.PermissionDenied)) {
		return 0, nil
	}
	return described.GetConfig().GetWorkflowExecutionRetentionTtl().AsDuration(), err
}
