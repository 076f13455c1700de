package main

import (
	"os"
	"path/filepath"
	"testing"

	serverconfig "go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/primitives"
)

// The files of deploy/temporal are read here as the server of docker-compose.yml reads
// them, by the server's own code.
const deployed = "../deploy/temporal"

func load(t *testing.T, env map[string]string) *serverconfig.Config {
	t.Helper()
	for name, value := range env {
		t.Setenv(name, value)
	}
	c, err := serverconfig.Load(serverconfig.WithConfigFile(filepath.Join(deployed, "server.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Whatever a password holds, it reaches the server as it is, and nothing but the password
// changes.
func TestHostilePasswords(t *testing.T) {
	for _, password := range []string{
		`a"b`, `a'b`, `$HOME ${x} $$`, `back\slash\`, "new\nline", `# no comment`, `{{ env "HOME" }}`, `: {a: b}`, "tab\t", `<&>`, "ü\u2028", `"}` + "\nuser: mallory",
	} {
		c := load(t, map[string]string{"POSTGRES_SEEDS": "postgres", "POSTGRES_USER": "temporal", "POSTGRES_PWD": password})
		for name, store := range c.Persistence.DataStores {
			if store.SQL.Password != password || store.SQL.User != "temporal" || store.SQL.ConnectAddr != "postgres:5432" {
				t.Errorf("%q came to %s as %q, for %s at %s", password, name, store.SQL.Password, store.SQL.User, store.SQL.ConnectAddr)
			}
		}
	}
}

// All pools together fit into what PostgreSQL allows, and leave room for its superuser,
// the schema's tool, a backup and people.
func TestPoolsFitIntoPostgreSQL(t *testing.T) {
	const allowed, superuser, others = 100, 3, 10 // the first two are PostgreSQL's own
	pools, services := 0, []primitives.ServiceName{primitives.FrontendService, primitives.HistoryService, primitives.MatchingService, primitives.WorkerService}
	for name, store := range load(t, nil).Persistence.DataStores {
		if store.SQL.MaxConns == 0 || store.SQL.MaxIdleConns != store.SQL.MaxConns {
			t.Errorf("the pool of %s has no bound, or gives connections away: %d, %d idle", name, store.SQL.MaxConns, store.SQL.MaxIdleConns)
		}
		pools += len(services) * store.SQL.MaxConns
	}
	if pools != 80 || pools > allowed-superuser-others {
		t.Errorf("the pools add up to %d; server.yaml says 80", pools)
	}
}

// The variables by which docs/operations.md turns on TLS and the authorizer are read.
func TestServerTakesCertificatesAndAuthorizer(t *testing.T) {
	c := load(t, map[string]string{
		"TEMPORAL_TLS_FRONTEND_CERT": "/tls/frontend.pem", "TEMPORAL_TLS_FRONTEND_KEY": "/tls/frontend.key", "TEMPORAL_TLS_CLIENT1_CA_CERT": "/tls/ca.pem",
		"TEMPORAL_TLS_SERVER_CERT": "/tls/node.pem", "TEMPORAL_TLS_SERVER_KEY": "/tls/node.key", "TEMPORAL_TLS_SERVER_CA_CERT": "/tls/ca.pem",
		"TEMPORAL_TLS_REQUIRE_CLIENT_AUTH": "true", "TEMPORAL_TLS_INTERNODE_SERVER_NAME": "node", "TEMPORAL_TLS_FRONTEND_SERVER_NAME": "temporal",
		"TEMPORAL_AUTH_AUTHORIZER": "default", "TEMPORAL_AUTH_CLAIM_MAPPER": "default", "TEMPORAL_JWT_KEY_SOURCE1": "file:///tls/keys.json",
		"USE_INTERNAL_FRONTEND": "true",
	})
	front, node, auth := c.Global.TLS.Frontend, c.Global.TLS.Internode, c.Global.Authorization
	if front.Server.CertFile != "/tls/frontend.pem" || !front.Server.RequireClientAuth || len(front.Server.ClientCAFiles) != 1 || front.Client.ServerName != "temporal" {
		t.Errorf("the frontend's TLS is %+v", front)
	}
	if node.Server.KeyFile != "/tls/node.key" || !node.Server.RequireClientAuth || len(node.Client.RootCAFiles) != 1 || node.Client.ServerName != "node" {
		t.Errorf("TLS between the services is %+v", node)
	}
	if auth.Authorizer != "default" || auth.ClaimMapper != "default" || len(auth.JWTKeyProvider.KeySourceURIs) != 1 {
		t.Errorf("the authorizer is %+v", auth)
	}
	if _, has := c.Services[string(primitives.InternalFrontendService)]; !has || c.PublicClient.HostPort != "" {
		t.Error("the server's own worker has no frontend of its own")
	}
}

// The dynamic configuration has only settings that the server knows.
func TestDynamicConfigIsKnown(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(deployed, "dynamicconfig.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if r := dynamicconfig.LoadYamlFile(text); len(r.Errors)+len(r.Warnings) > 0 {
		t.Errorf("%v %v", r.Errors, r.Warnings)
	}
}
