package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.temporal.io/api/namespace/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"google.golang.org/protobuf/types/known/durationpb"

	"keywave/internal/temporalclient"
)

// dated puts a proxy before the simulator's endpoint whose answers show a clock
// that is off by the argument. It sets DATED to the proxy's address.
func dated(ts *testscript.TestScript, _ bool, args []string) {
	off, err := time.ParseDuration(args[0])
	ts.Check(err)
	endpoint, err := url.Parse(ts.Getenv("ENDPOINT"))
	ts.Check(err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	server := &http.Server{Handler: &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(endpoint)
			r.Out.Host = r.In.Host // the host is part of what is signed
		},
		ModifyResponse: func(r *http.Response) error {
			r.Header.Set("Date", time.Now().Add(off).UTC().Format(http.TimeFormat))
			return nil
		},
	}}
	go func() { _ = server.Serve(listener) }()
	ts.Defer(func() { _ = server.Close() })
	ts.Setenv("DATED", "http://"+listener.Addr().String())
}

// retention sets how long a namespace keeps closed workflows.
func retention(ts *testscript.TestScript, _ bool, args []string) {
	kept, err := time.ParseDuration(args[1])
	ts.Check(err)
	c := dial(ts)
	defer c.Close()
	_, err = c.WorkflowService().UpdateNamespace(context.Background(), &workflowservice.UpdateNamespaceRequest{
		Namespace: args[0], Config: &namespace.NamespaceConfig{WorkflowExecutionRetentionTtl: durationpb.New(kept)},
	})
	ts.Check(err)
}

func dial(ts *testscript.TestScript) client.Client {
	c, err := client.Dial(client.Options{HostPort: ts.Getenv("TEMPORAL_ADDRESS"), Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler))})
	ts.Check(err)
	return c
}

// remember keeps histories for the replay test of the workflows.
func remember(ts *testscript.TestScript, _ bool, args []string) {
	if *histories == "" {
		return
	}
	c := dial(ts)
	defer c.Close()
	kinds := args[1:]
	ts.Check(recordHistories(context.Background(), &temporalclient.Connection{Client: c, Namespace: client.DefaultNamespace}, *histories, func(kind, _ string) string {
		i := slices.Index(kinds, kind)
		if i < 0 {
			return ""
		}
		kinds = slices.Delete(slices.Clone(kinds), i, i+1)
		return args[0]
	}))
}

// The servers that other tests start have one partition each. So the check of
// more is tested by itself.
func TestPartitions(t *testing.T) {
	for _, c := range []struct {
		n    int
		err  error
		want level
	}{
		{1, nil, levelOK},
		{4, nil, levelWarn},
		{0, errors.New("unimplemented"), levelNote},
	} {
		got := judgePartitions("default", "keywave-location-hk", c.n, c.err)
		if got.Level != c.want || (got.Remedy == "") != (c.want == levelOK) {
			t.Errorf("%d partitions, %v: %+v", c.n, c.err, got)
		}
	}
}

// The servers that other tests start hand polls back. So the check is tested by
// itself.
func TestPolls(t *testing.T) {
	for _, c := range []struct {
		handedBack bool
		err        error
		want       level
	}{
		{true, nil, levelOK},
		{false, nil, levelWarn},
		{false, errors.New("not permitted"), levelFail},
	} {
		got := checkPolls("default", c.handedBack, c.err)
		if got.Level != c.want || (got.Remedy == "") != (c.want == levelOK) {
			t.Errorf("%t, %v: %+v", c.handedBack, c.err, got)
		}
	}
}

// What --fix cannot repair keeps its level and its remedy, and says why it was
// not repaired.
func TestMend(t *testing.T) {
	checks := []check{
		{What: "well", Level: levelOK, fix: func(context.Context) (string, error) { panic("nothing to mend") }},
		{What: "ours", Level: levelWarn, Remedy: "mend it", fix: func(context.Context) (string, error) { return "mended it", nil }},
		{What: "refused", Level: levelFail, Saw: "short", Remedy: "mend it", fix: func(context.Context) (string, error) { return "mended it", errors.New("not permitted") }},
		{What: "not ours", Level: levelFail, Remedy: "mend it"},
	}
	mend(t.Context(), checks)
	for i, want := range []struct {
		level       level
		saw, remedy string
	}{
		{levelOK, "", ""},
		{levelFixed, "", "mended it"},
		{levelFail, "short; it could not be mended: not permitted", "mend it"},
		{levelFail, "", "mend it"},
	} {
		if c := checks[i]; c.Level != want.level || c.Saw != want.saw || c.Remedy != want.remedy {
			t.Errorf("%s: %+v", c.What, c)
		}
	}
}
