// Package temporalclient connects to Temporal the way the ecosystem does: by
// the profiles of temporal.toml and TEMPORAL_* (contrib/envconfig). It says
// what is wrong in an operator's words, registers the search attributes that
// Keywave needs, and holds what both activities and commands ask of a client.
package temporalclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
)

const dialTimeout = 10 * time.Second

// Connection is a client and where it leads.
type Connection struct {
	client.Client
	Address   string
	Namespace string
	// Identity is how this process names itself there.
	Identity string
	tls      *tls.Config
}

// Dial connects and makes sure that the namespace exists. Besides what the ecosystem
// says, with changes the options.
func Dial(ctx context.Context, logger *slog.Logger, identity string, with ...func(*client.Options)) (*Connection, error) {
	options, err := options()
	if err != nil {
		return nil, err
	}
	options.Logger = log.NewStructuredLogger(logger)
	options.Identity = identity
	if onThisMachine(options.HostPort) {
		options.ConnectionOptions.GrpcCompression = &client.GrpcCompressionNone{} // it costs both ends more than it saves
	}
	for _, change := range with {
		change(&options)
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	c, err := client.DialContext(ctx, options)
	if err != nil {
		return nil, unreachable(options.HostPort, options.ConnectionOptions.TLS, err)
	}
	conn := &Connection{c, options.HostPort, options.Namespace, identity, options.ConnectionOptions.TLS}
	if _, err := c.WorkflowService().DescribeNamespace(ctx, describeNamespace(options.Namespace)); err != nil {
		c.Close()
		var notFound *serviceerror.NamespaceNotFound
		if errors.As(err, &notFound) {
			return nil, &NoNamespace{options.HostPort, options.Namespace, options}
		}
		return nil, fmt.Errorf("the Temporal at %s does not show namespace %q: %w", options.HostPort, options.Namespace, err)
	}
	return conn, nil
}

// CertificateEnds is when the client certificate towards Temporal ends; zero where there
// is none.
func (c *Connection) CertificateEnds() time.Time {
	if c.tls == nil {
		return time.Time{}
	}
	shown := &tls.Certificate{}
	if c.tls.GetClientCertificate != nil {
		if now, err := c.tls.GetClientCertificate(&tls.CertificateRequestInfo{}); err == nil {
			shown = now
		}
	} else if len(c.tls.Certificates) > 0 {
		shown = &c.tls.Certificates[0]
	}
	if len(shown.Certificate) == 0 {
		return time.Time{}
	}
	leaf, err := x509.ParseCertificate(shown.Certificate[0])
	if err != nil {
		return time.Time{}
	}
	return leaf.NotAfter
}

func onThisMachine(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && (host == "localhost" || net.ParseIP(host).IsLoopback())
}

// EnsureSearchAttributes registers the Keyword attributes that are missing. Where Temporal
// takes a query that names them all, nobody is asked to list or register them: Temporal
// Cloud has other ways for that than the operator service.
func (c *Connection) EnsureSearchAttributes(ctx context.Context, names []string) error {
	if c.knows(ctx, names) {
		return nil
	}
	missing, err := c.MissingSearchAttributes(ctx, names)
	if err != nil || len(missing) == 0 {
		return err
	}
	add := map[string]enums.IndexedValueType{}
	for _, name := range missing {
		add[name] = enums.INDEXED_VALUE_TYPE_KEYWORD
	}
	_, err = c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{Namespace: c.Namespace, SearchAttributes: add})
	var exists *serviceerror.AlreadyExists
	if err != nil && !errors.As(err, &exists) {
		return fmt.Errorf("search attributes %v cannot be registered in namespace %q: %w", missing, c.Namespace, err)
	}
	return nil
}

// knows says that a query may name these attributes.
func (c *Connection) knows(ctx context.Context, names []string) bool {
	query := strings.Join(names, " = 'known' or ") + " = 'known'"
	_, err := c.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Namespace: c.Namespace, Query: query})
	return err == nil
}

// MissingSearchAttributes are those not registered as Keyword yet.
func (c *Connection) MissingSearchAttributes(ctx context.Context, names []string) ([]string, error) {
	have, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: c.Namespace})
	if err != nil {
		return nil, fmt.Errorf("search attributes of namespace %q cannot be listed: %w", c.Namespace, err)
	}
	var missing []string
	for _, name := range names {
		if have.GetCustomAttributes()[name] != enums.INDEXED_VALUE_TYPE_KEYWORD {
			missing = append(missing, name)
		}
	}
	return missing, nil
}
