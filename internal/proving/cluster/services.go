package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"keywave/internal/proving/stage"
)

// services are Temporal's, each a process of its own.
var services = []string{"frontend", "history", "matching", "worker"}

const (
	namespace   = "keys" // not the default one: what is deployed follows the name that is set
	scriptsTake = 3 * time.Minute
)

// cluster is PostgreSQL and Temporal's four services.
type cluster struct {
	config
	security *security
	db       *postgres
	running  map[string]*stage.Process
	env      []string
	port     int // the frontend's
}

// raise starts PostgreSQL, runs schema.sh, starts the services and runs init.sh, in the
// order of docker-compose.yml.
func raise(ctx context.Context, c config) (*cluster, error) {
	k := &cluster{config: c, running: map[string]*stage.Process{}, port: stage.FreePort()}
	var err error
	if k.db, err = newPostgres(ctx, c.dir); err != nil {
		return k, err
	}
	if k.security, err = newSecurity(filepath.Join(c.dir, "tls")); err != nil {
		return k, err
	}
	if err := k.setEnvironment(); err != nil {
		return k, err
	}
	if err := k.script(ctx, "schema.sh"); err != nil {
		return k, err
	}
	// Of services that find a new database at the same time, all but one end: they write
	// the same row of it.
	if err := k.start(services[0]); err != nil {
		return k, err
	}
	if !stage.Until(ctx, listensWithin, k.listens) {
		return k, errors.New("the frontend does not listen; see " + k.running[services[0]].Log)
	}
	for _, s := range services[1:] {
		if err := k.start(s); err != nil {
			return k, err
		}
	}
	admin, err := k.security.bearer(mayAll)
	if err != nil {
		return k, err
	}
	return k, k.script(ctx, "init.sh", admin...)
}

// setEnvironment is what docker-compose.yml gives the server and its tools, with ports of
// this machine.
func (k *cluster) setEnvironment() error {
	tools := filepath.Join(k.dir, "tools")
	if err := os.MkdirAll(tools, 0o700); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := errors.Join(
		os.Symlink(self, filepath.Join(tools, standIn)),
		os.Symlink(filepath.Join(k.bin, "temporal-sql-tool"), filepath.Join(tools, "temporal-sql-tool")),
	); err != nil {
		return err
	}
	database := strconv.Itoa(k.db.port)
	k.env = stage.Environment(
		"PATH="+tools+":"+os.Getenv("PATH"), "HOME="+k.dir,
		"SQL_PLUGIN=postgres12", "SQL_HOST=127.0.0.1", "SQL_PORT="+database, "SQL_USER=temporal", "SQL_PASSWORD="+password, "SCHEMA_ROOT="+k.schema,
		"POSTGRES_SEEDS=127.0.0.1", "DB_PORT="+database, "POSTGRES_USER=temporal", "POSTGRES_PWD="+password,
		"TEMPORAL_SERVER_CONFIG_FILE_PATH="+filepath.Join(k.deploy, "server.yaml"),
		"DYNAMIC_CONFIG_FILE_PATH="+filepath.Join(k.deploy, "dynamicconfig.yaml"),
		"NUM_HISTORY_SHARDS=128", "LOG_LEVEL=warn", "TEMPORAL_BROADCAST_ADDRESS=127.0.0.1",
		"FRONTEND_GRPC_PORT="+strconv.Itoa(k.port),
		"TEMPORAL_ADDRESS="+k.address(), "TEMPORAL_NAMESPACE="+namespace,
	)
	k.env = append(k.env, k.security.server()...)
	for _, name := range []string{
		"INTERNAL_FRONTEND_GRPC", "INTERNAL_FRONTEND_MEMBERSHIP", "FRONTEND_MEMBERSHIP", "FRONTEND_HTTP", "HISTORY_GRPC", "HISTORY_MEMBERSHIP", "MATCHING_GRPC", "MATCHING_MEMBERSHIP", "WORKER_GRPC", "WORKER_MEMBERSHIP",
	} {
		k.env = append(k.env, fmt.Sprintf("%s_PORT=%d", name, stage.FreePort()))
	}
	return nil
}

const listensWithin = time.Minute

// listens says that somebody listens at the frontend's port.
func (k *cluster) listens() bool {
	c, err := net.DialTimeout("tcp", k.address(), time.Second)
	if err == nil {
		_ = c.Close()
	}
	return err == nil
}

func (k *cluster) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(k.port)) }

// script runs one of the scripts that docker-compose.yml runs.
func (k *cluster) script(ctx context.Context, name string, env ...string) error {
	ctx, cancel := context.WithTimeout(ctx, scriptsTake)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", filepath.Join(k.deploy, name))
	cmd.Env = append(slices.Clone(k.env), env...)
	said, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", name, err, said[max(0, len(said)-2000):])
	}
	return err
}

// start starts a service, or starts it again. The frontend's process has the one for the
// server itself, too.
func (k *cluster) start(service string) (err error) {
	played := service
	if service == "frontend" {
		played += ",internal-frontend"
	}
	k.running[service], err = stage.Start(service, filepath.Join(k.bin, "temporal-server"), filepath.Join(k.dir, service+".log"),
		append(slices.Clone(k.env), "TEMPORAL_SERVICES="+played), "start")
	return err
}

// kill kills a service or PostgreSQL, and starts it again. In between it calls meanwhile.
func (k *cluster) kill(ctx context.Context, name string, meanwhile func() error) error {
	victim := k.running[name]
	if name == "postgres" {
		victim = k.db.Process
	}
	victim.Kill()
	if meanwhile != nil {
		if err := meanwhile(); err != nil {
			return err
		}
	}
	if name == "postgres" {
		return k.db.start(ctx)
	}
	return k.start(name)
}

// dead names what ended although nobody killed it.
func (k *cluster) dead() []string {
	var found []string
	for name, p := range k.running {
		if !p.Running() {
			found = append(found, name+" ended by itself; see "+p.Log)
		}
	}
	return found
}

// strike ends everything.
func (k *cluster) strike() {
	for _, p := range k.running {
		if p.Running() {
			p.Kill()
		}
	}
	if k.db != nil && k.db.Process != nil && k.db.Running() {
		k.db.Stop(10 * time.Second)
	}
}
