package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"time"

	uiserver "github.com/temporalio/ui-server/v2/server"
	uiconfig "github.com/temporalio/ui-server/v2/server/config"
	uioptions "github.com/temporalio/ui-server/v2/server/server_options"
	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/cluster"
	serverconfig "go.temporal.io/server/common/config"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/metrics"
	"go.temporal.io/server/common/primitives"
	"go.temporal.io/server/temporal"
	"go.uber.org/zap"
)

const (
	// clusterName and historyShards are written into a file when it is made, and
	// cannot be changed in it later. All shards share one connection to SQLite,
	// so more shards would only cost more polling.
	clusterName   = "active"
	historyShards = 1

	startWithin = 60 * time.Second
	stopWithin  = 4 * time.Second // after that the process ends anyway, and nothing is lost
)

// innerServices talk only to each other, each on a free loopback port.
var innerServices = []primitives.ServiceName{
	primitives.HistoryService, primitives.MatchingService, primitives.WorkerService,
}

// run serves until ctx ends. It writes the ready line to stdout once Temporal
// and the UI answer.
func run(ctx context.Context, cfg config, stdout io.Writer) (err error) {
	db, err := openDatabase(ctx, cfg.DB)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, db.close(context.WithoutCancel(ctx)))
	}()
	if err := db.createNamespace(cfg.Namespace, cfg.Retention); err != nil {
		return err
	}
	inner, err := claimPorts(&cfg)
	if err != nil {
		return err
	}
	server, err := newServer(cfg, inner, db.store())
	if err != nil {
		return err
	}
	if err := server.Start(); err != nil {
		return err
	}
	defer stopSoon(server)
	if cfg.UIPort != 0 {
		ui := newUI(cfg)
		go ui.Start() // if the UI cannot serve, it ends the process by itself
		defer ui.Stop()
	}
	if err := awaitReady(ctx, cfg); err != nil {
		if ctx.Err() != nil {
			return nil // it was told to stop while it was starting
		}
		return err
	}
	fmt.Fprintf(stdout, "ready temporal=%s ui=%s namespace=%s db=%s\n", cfg.frontend(), cfg.ui(), cfg.Namespace, cfg.DB)
	<-ctx.Done()
	return nil
}

func stopSoon(server temporal.Server) {
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		_ = server.Stop() // it logs what it could not stop
	}()
	select {
	case <-stopped:
	case <-time.After(stopWithin):
	}
}

// claimPorts finds a port for each inner service, and for the frontend when
// none was asked for. It makes sure that requested ports are free, so that a
// port in use is a plain error here, and not a crash in the server.
func claimPorts(cfg *config) (inner map[primitives.ServiceName]int, err error) {
	var held []net.Listener
	defer func() {
		for _, l := range held {
			err = errors.Join(err, l.Close())
		}
	}()
	claim := func(ip string, port int) error {
		l, err := net.Listen("tcp", net.JoinHostPort(ip, strconv.Itoa(port)))
		if err == nil {
			held = append(held, l)
		}
		return err
	}
	// This is below the range from which kernels give out ports, so nobody gets
	// one of these before the server listens on it.
	claimAny := func(ip string) (int, error) {
		var err error
		for range 100 {
			port := 20_000 + rand.IntN(10_000)
			if err = claim(ip, port); err == nil {
				return port, nil
			}
		}
		return 0, err
	}

	if cfg.Port == 0 {
		if cfg.Port, err = claimAny(cfg.IP); err != nil {
			return nil, err
		}
	} else if err := claim(cfg.IP, cfg.Port); err != nil {
		return nil, fmt.Errorf("--port: %w", err)
	}
	for _, asked := range []struct {
		flag, ip string
		port     int
	}{{"--ui-port", loopback, cfg.UIPort}, {"--http-port", cfg.IP, cfg.HTTPPort}, {"--metrics-port", loopback, cfg.MetricsPort}, {"--profile-port", loopback, cfg.ProfilePort}} {
		if asked.port == 0 {
			continue
		}
		if err := claim(asked.ip, asked.port); err != nil {
			return nil, fmt.Errorf("%s: %w", asked.flag, err)
		}
	}
	inner = map[primitives.ServiceName]int{}
	for _, service := range innerServices {
		if inner[service], err = claimAny(loopback); err != nil {
			return nil, fmt.Errorf("no free port for %s: %w", service, err)
		}
	}
	return inner, nil
}

func newServer(cfg config, inner map[primitives.ServiceName]int, store *serverconfig.SQL) (temporal.Server, error) {
	const storeName = "sqlite"
	c := &serverconfig.Config{
		Persistence: serverconfig.Persistence{
			DefaultStore:     storeName,
			VisibilityStore:  storeName,
			NumHistoryShards: historyShards,
			DataStores:       map[string]serverconfig.DataStore{storeName: {SQL: store}},
		},
		ClusterMetadata: &cluster.Config{
			FailoverVersionIncrement: 10,
			MasterClusterName:        clusterName,
			CurrentClusterName:       clusterName,
			// There is no ClusterID here: a new file gets one, an old one has it.
			ClusterInformation: map[string]cluster.ClusterInformation{
				clusterName: {Enabled: true, InitialFailoverVersion: 1, RPCAddress: cfg.frontend()},
			},
		},
		DCRedirectionPolicy: serverconfig.DCRedirectionPolicy{Policy: "noop"},
		PublicClient:        serverconfig.PublicClient{HostPort: cfg.frontend()},
		Services: map[string]serverconfig.Service{
			string(primitives.FrontendService): {RPC: serverconfig.RPC{
				GRPCPort: cfg.Port, BindOnIP: cfg.IP, HTTPPort: cfg.HTTPPort,
			}},
		},
	}
	c.Global.Membership.MaxJoinDuration = 30 * time.Second
	c.Global.Membership.BroadcastAddress = loopback
	if cfg.MetricsPort != 0 {
		c.Global.Metrics = &metrics.Config{Prometheus: &metrics.PrometheusConfig{
			ListenAddress: net.JoinHostPort(loopback, strconv.Itoa(cfg.MetricsPort)),
			HandlerPath:   "/metrics",
		}}
	}
	if cfg.ProfilePort != 0 {
		c.Global.PProf = serverconfig.PProf{Host: loopback, Port: cfg.ProfilePort}
	}
	const off = "disabled"
	c.Archival.History.State = off
	c.Archival.Visibility.State = off
	c.NamespaceDefaults.Archival.History.State = off
	c.NamespaceDefaults.Archival.Visibility.State = off

	// All services are in this process, so none has to gossip about who is where.
	hosts := map[primitives.ServiceName]static.Hosts{
		primitives.FrontendService: static.SingleLocalHost(cfg.frontend()),
	}
	for service, port := range inner {
		c.Services[string(service)] = serverconfig.Service{RPC: serverconfig.RPC{GRPCPort: port, BindOnIP: loopback}}
		hosts[service] = static.SingleLocalHost(net.JoinHostPort(loopback, strconv.Itoa(port)))
	}
	return temporal.NewServer(
		temporal.WithConfig(c),
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithStaticHosts(hosts),
		temporal.WithDynamicConfigClient(dynamicConfig()),
		temporal.WithLogger(newLogger(cfg.LogLevel)),
		temporal.WithAuthorizer(authorization.NewNoopAuthorizer()),
		temporal.WithClaimMapper(func(*serverconfig.Config) authorization.ClaimMapper {
			return authorization.NewNoopClaimMapper()
		}),
	)
}

// newLogger writes to standard error, and leaves out the stack of every error.
func newLogger(level string) log.Logger {
	zl := log.BuildZapLogger(log.Config{Level: level})
	// Without zap's own With, which encodes the tags of each workflow and task
	// even if nothing is ever logged about it.
	return struct{ log.Logger }{log.NewZapLogger(zl.WithOptions(zap.AddStacktrace(zap.PanicLevel)))}
}

func newUI(cfg config) *uiserver.Server {
	return uiserver.NewServer(uioptions.WithConfigProvider(&uiconfig.Config{
		Host:                loopback,
		Port:                cfg.UIPort,
		TemporalGRPCAddress: cfg.frontend(),
		DefaultNamespace:    cfg.Namespace,
		EnableUI:            true,
		HideLogs:            true,
		DisableNewsFetch:    true,
		CORS:                uiconfig.CORS{CookieInsecure: true}, // plain HTTP; no other origin is allowed
	}))
}
