package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"google.golang.org/protobuf/types/known/durationpb"
)

// standIn is the name of Temporal's command line, which deploy/temporal/init.sh calls.
// It cannot be built from the module proxy (v1.9.1 needs a module that is not there), so
// that under this name the command does what init.sh asks for.
const standIn = "temporal"

// temporal is Temporal's command line, as far as init.sh uses it.
func temporal(ctx context.Context, args []string) error {
	options, err := envconfig.LoadDefaultClientOptions()
	if err != nil {
		return err
	}
	options.Logger = silent{}
	c, err := client.DialContext(ctx, options)
	if err != nil {
		return err
	}
	defer c.Close()
	flags := map[string]string{}
	words := args
	for i, a := range args {
		if strings.HasPrefix(a, "--") {
			words = args[:i]
			break
		}
	}
	for rest := args[len(words):]; len(rest) > 1; rest = rest[2:] {
		flags[strings.TrimPrefix(rest[0], "--")] = rest[1]
	}
	return ask(ctx, c, strings.Join(words, " "), flags)
}

func ask(ctx context.Context, c client.Client, what string, flags map[string]string) error {
	namespace := os.Getenv("TEMPORAL_NAMESPACE")
	switch what {
	case "operator cluster health":
		_, err := c.CheckHealth(ctx, nil)
		return err
	case "operator namespace describe":
		_, err := c.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: flags["namespace"]})
		return err
	case "operator namespace create":
		retention, err := time.ParseDuration(flags["retention"])
		if err != nil {
			return err
		}
		_, err = c.WorkflowService().RegisterNamespace(ctx, &workflowservice.RegisterNamespaceRequest{
			Namespace: flags["namespace"], WorkflowExecutionRetentionPeriod: durationpb.New(retention),
		})
		return err
	case "operator search-attribute list":
		known, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
		for name, kind := range known.GetCustomAttributes() {
			fmt.Println(name, kind)
		}
		return err
	case "operator search-attribute create":
		_, err := c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
			Namespace: namespace, SearchAttributes: map[string]enums.IndexedValueType{flags["name"]: enums.INDEXED_VALUE_TYPE_KEYWORD},
		})
		return err
	case "workflow count":
		_, err := c.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Namespace: namespace, Query: flags["query"]})
		return err
	}
	return fmt.Errorf("the stand-in of temporal knows no %q", what)
}

// silent is a logger that says nothing.
type silent struct{}

func (silent) Debug(string, ...any) {}
func (silent) Info(string, ...any)  {}
func (silent) Warn(string, ...any)  {}
func (silent) Error(string, ...any) {}
