package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"keywave/activities"
	"keywave/internal/edgeone"
	"keywave/internal/fleet"
	"keywave/internal/metrics"
	"keywave/internal/rotation"
	"keywave/internal/seal"
	"keywave/internal/temporalclient"
	"keywave/workflows"
)

// server is what Temporal says of queues and of a lease.
type server struct {
	client.Client
	pollers map[string]time.Duration // how long ago this worker polled a queue
	lease   *workflow.PendingActivityInfo
	away    error
}

const me = "keywave-worker@me"

// service is the part of it below the SDK.
type service struct {
	workflowservice.WorkflowServiceClient
	of *server
}

func (s *server) WorkflowService() workflowservice.WorkflowServiceClient {
	return service{of: s}
}

func (s service) DescribeTaskQueue(_ context.Context, in *workflowservice.DescribeTaskQueueRequest, _ ...grpc.CallOption) (*workflowservice.DescribeTaskQueueResponse, error) {
	out := &workflowservice.DescribeTaskQueueResponse{Pollers: []*taskqueue.PollerInfo{{Identity: "somebody else", LastAccessTime: timestamppb.Now()}}}
	if ago, polls := s.of.pollers[in.GetTaskQueue().GetName()]; polls {
		out.Pollers = append(out.Pollers, &taskqueue.PollerInfo{Identity: me, LastAccessTime: timestamppb.New(time.Now().Add(-ago))})
	}
	return out, s.of.away
}

func (s *server) DescribeWorkflowExecution(context.Context, string, string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	out := &workflowservice.DescribeWorkflowExecutionResponse{}
	if s.lease != nil {
		out.PendingActivities = append(out.PendingActivities, s.lease)
	}
	return out, s.away
}

// A worker that calls EdgeOne for one account, or stands by, in a world where all is
// well but for one thing.
func TestWhyAWorkerIsNotReady(t *testing.T) {
	held := func(ago time.Duration) *workflow.PendingActivityInfo {
		return &workflow.PendingActivityInfo{
			ActivityType: &common.ActivityType{Name: workflows.ActLease}, State: enums.PENDING_ACTIVITY_STATE_STARTED,
			LastHeartbeatTime: timestamppb.New(time.Now().Add(-ago)), LastWorkerIdentity: "somebody else",
		}
	}
	waiting := held(0)
	waiting.State = enums.PENDING_ACTIVITY_STATE_SCHEDULED
	lease := workflows.LeaseQueue("acme")
	for name, c := range map[string]struct {
		server server
		active bool
		stage  stage
		want   string
	}{
		"it stands by":              {server: server{lease: held(time.Second), pollers: map[string]time.Duration{lease: time.Second}}},
		"it starts":                 {stage: starting, want: "it starts: it does not poll yet"},
		"it stops":                  {stage: stopping, want: "it stops: it finishes or hands back what it holds"},
		"nobody holds the lease":    {server: server{lease: waiting, pollers: map[string]time.Duration{lease: 0}}, want: "account acme: no process holds its lease, so nobody calls EdgeOne for it"},
		"the holder is not heard":   {server: server{lease: held(9 * time.Second), pollers: map[string]time.Duration{lease: 0}}, want: "account acme: no process holds its lease, so nobody calls EdgeOne for it"},
		"there is no lease":         {server: server{pollers: map[string]time.Duration{lease: 0}}, want: "account acme: no process holds its lease, so nobody calls EdgeOne for it"},
		"it does not poll":          {server: server{lease: held(0)}, want: "Temporal does not see it poll the queue keywave-lease-acme"},
		"it polled long ago":        {server: server{lease: held(0), pollers: map[string]time.Duration{lease: time.Hour}}, want: "Temporal does not see it poll the queue keywave-lease-acme"},
		"it is the active one":      {active: true, server: server{pollers: map[string]time.Duration{workflows.RefreshQueue("acme"): 0, workflows.EdgeOneQueue("acme"): 0}}},
		"the active one stopped":    {active: true, server: server{pollers: map[string]time.Duration{workflows.EdgeOneQueue("acme"): 0}}, want: "Temporal does not see it poll the queue keywave-refresh-acme"},
		"Temporal does not answer":  {server: server{away: errors.New("rpc error: secret words")}, want: "whether it polls is not known: Temporal at 127.0.0.1:7233 does not say\naccount acme: whether a process holds its lease is not known: Temporal at 127.0.0.1:7233 does not say"},
		"and the active one stays?": {active: true, server: server{away: errors.New("rpc error: secret words")}, want: "whether it polls is not known: Temporal at 127.0.0.1:7233 does not say"},
	} {
		t.Run(name, func(t *testing.T) {
			w := &workers{config: &config{roles: []string{roleEdgeOne}}}
			caller := &caller{workers: w, account: fleet.Account{Name: "acme"}, lease: &edgeone.Lease{}}
			if c.active {
				caller.active.Store(true)
				caller.lease.Extend(time.Now(), activities.LeaseLife)
			}
			w.temporal = &temporalclient.Connection{Client: &c.server, Address: "127.0.0.1:7233", Identity: me}
			w.ready.checks = []func(context.Context) []string{w.unpolled, caller.leaseless}
			w.callers = append(w.callers, caller)
			if c.stage = max(c.stage, 0); name != "it starts" && c.stage == starting {
				c.stage = working
			}
			w.stage.Store(int32(c.stage))
			code, body := get(t, answers(http.NotFoundHandler(), w.unready), "/readyz")
			want, wantCode := c.want+"\n", http.StatusServiceUnavailable
			if c.want == "" {
				want, wantCode = "ready\n", http.StatusOK
			}
			if code != wantCode || body != want {
				t.Errorf("%d %q, want %d %q", code, body, wantCode, want)
			}
			if code, body := get(t, answers(http.NotFoundHandler(), w.unready), "/healthz"); code != http.StatusOK {
				t.Errorf("healthz: %d %q", code, body)
			}
		})
	}
}

// What is not readable now is told even while the last good one is in use.
func TestWhatCannotBeReadIsTold(t *testing.T) {
	w := &workers{config: &config{fleetFile: filepath.Join(t.TempDir(), "fleet.yaml"), fleet: &fleet.Fleet{Locations: []rotation.Location{"hk"}}, keyring: t.TempDir(), identities: []string{"nowhere"}, agent: "none"}}
	w.file = &fleetFile{path: w.fleetFile, log: slog.New(slog.DiscardHandler)}
	w.callers = []*caller{{workers: w, account: fleet.Account{Name: "acme"}, lease: &edgeone.Lease{}, keeper: seal.NewKeeper(w.keyring, "acme")}}
	if err := os.WriteFile(filepath.Join(w.keyring, "acme.account.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.locations = []*activities.Location{{Name: "hk"}}
	var said []string
	for _, check := range w.readyChecks()[1:] {
		if c := w.callers[0]; c.temporal == nil {
			w.temporal = &temporalclient.Connection{Client: &server{}, Identity: me}
		}
		said = append(said, check(t.Context())...)
	}
	all := strings.Join(said, "\n")
	for _, want := range []string{"cannot read the fleet file: open ", "keyset of account \"acme\": ", `location "hk" has no keyset in `, "SSH identity: open nowhere"} {
		if !strings.Contains(all, want) {
			t.Errorf("it does not say %q:\n%s", want, all)
		}
	}
}

// A reason holds words of others, and stands on one line.
func TestReasonsAreHarmless(t *testing.T) {
	unready := func(context.Context) []string { return []string{"one\ntwo\x1b[2J\u202e"} }
	code, body := get(t, answers(http.NotFoundHandler(), unready), "/readyz")
	if code != http.StatusServiceUnavailable || strings.Count(body, "\n") != 1 || strings.ContainsAny(body, "\x1b\u202e") {
		t.Errorf("%d %q", code, body)
	}
}

func TestReasonsAreNotAskedForEachReader(t *testing.T) {
	asked := 0
	r := readiness{checks: []func(context.Context) []string{func(context.Context) []string { asked++; return nil }}}
	for range 5 {
		r.unready(t.Context())
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}

// The closed set of the table is what the adapter calls.
func TestActionsAreThoseOfEdgeOne(t *testing.T) {
	m, _ := metrics.Find(metrics.EdgeOneCalls)
	for _, action := range []string{edgeone.ActionRefresh, edgeone.ActionModify, edgeone.ActionDescribe, edgeone.ActionZones, edgeone.ActionGateways} {
		if m.Labels[1].Closed(action) != action {
			t.Errorf("%s is missing", action)
		}
	}
}

func TestNobodyListensUnlessAsked(t *testing.T) {
	if _, err := listen("256.0.0.1:1", http.NotFoundHandler(), nil); err == nil || !strings.HasPrefix(err.Error(), "--listen: ") {
		t.Errorf("a bad address: %v", err)
	}
}

func get(t *testing.T, h http.Handler, path string) (int, string) {
	t.Helper()
	to := httptest.NewRecorder()
	h.ServeHTTP(to, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	body, err := io.ReadAll(to.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return to.Code, string(body)
}
