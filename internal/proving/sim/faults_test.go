package sim_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	teo "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/teo/v20220901"

	"keywave/internal/proving/sim"
)

// What the real SDK makes of each fault, and whether the key had changed: of a
// call that answers with the new key, and of one that brings it.
func TestFaultsAsTheSDKSeesThem(t *testing.T) {
	const network, parse, status = "ClientError.NetworkError", "ClientError.ParseJsonError", "ClientError.HttpStatusCodeError"
	for _, row := range []struct {
		fault    string
		executed int
		code     string
		leaks    bool // the SDK's error text holds the key that was answered
		silent   bool // no error and no answer
	}{
		{fault: "resetBefore", executed: 0, code: network},
		{fault: "resetAfter", executed: 1, code: network},
		{fault: "closeAfter", executed: 1, code: network},
		{fault: "truncatedBody", executed: 1, code: parse},
		{fault: "truncatedJSON", executed: 1, code: parse, leaks: true},
		{fault: "html502Before", executed: 0, code: parse},
		{fault: "html502After", executed: 1, code: parse},
		{fault: "error5xxBody", executed: 1, code: status, leaks: true},
		{fault: "internalErrorBefore", executed: 0, code: "InternalError"},
		{fault: "internalErrorAfter", executed: 1, code: "InternalError"},
		{fault: "emptyObject", executed: 1, silent: true},
		{fault: "errorAfter:ResponseSizeLimitExceeded", executed: 1, code: "ResponseSizeLimitExceeded"},
		{fault: "throttle", executed: 0, code: "RequestLimitExceeded"},
		{fault: "noKey", executed: 0, code: "OperationDenied"},
		{fault: "error:UnauthorizedOperation.CamUnauthorized", executed: 0, code: "UnauthorizedOperation.CamUnauthorized"},
		{fault: "error:AuthFailure.SecretIdNotFound", executed: 0, code: "AuthFailure.SecretIdNotFound"},
	} {
		for _, action := range []string{refresh, modify} {
			t.Run(row.fault+"/"+action, func(t *testing.T) {
				a := start(t, sim.Config{Faults: []sim.Fault{{Action: action, Zone: "zone-a", Nth: 1, Kind: row.fault}}})
				answered, err := a.change(action, "zone-a")
				if (err == nil && !answered) != row.silent {
					t.Errorf("answered %t, error %v", answered, err)
				}
				wantCode(t, err, row.code)
				s := a.State()
				if got := len(s.Zones["zone-a"].Ever) - 1; got != row.executed || s.Actions[action].Executed != row.executed {
					t.Errorf("executed %d times, want %d", got, row.executed)
				}
				if s.Faults[row.fault] != 1 {
					t.Errorf("faults are %v", s.Faults)
				}
				live := a.Keys()["zone-a"].Live
				if leaks := err != nil && strings.Contains(err.Error(), live); leaks != (row.leaks && action == refresh) {
					t.Errorf("the SDK's text holds the key: %t", leaks)
				}
				if _, err := a.change(action, "zone-a"); err != nil {
					t.Errorf("the next call: %v", err)
				}
			})
		}
	}
}

func TestDelaysExecuteWhoeverStillListens(t *testing.T) {
	for kind, edges := range map[string]uint64{"delayBefore": 1, "delayAfter": 2} { // arrived; executed
		t.Run(kind, func(t *testing.T) {
			a := start(t, sim.Config{Faults: []sim.Fault{{Action: refresh, Nth: 1, Kind: kind, DelayMs: 5000}}})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() { // the client gives up once the delay has begun
				a.Journal().Wait(ctx, edges-1, 0)
				cancel()
			}()
			err := a.refreshWithin(ctx, "zone-a")
			wantCode(t, err, "ClientError.NetworkError")
			if !errors.Is(err, context.Canceled) {
				t.Errorf("the cause is %v", err)
			}
			if early := a.State().Zones["zone-a"].Refreshes; (early == 1) != (kind == "delayAfter") {
				t.Errorf("executed %d times when the client gave up", early)
			}
			awaitRefreshes(t, a, "zone-a", 1)
		})
	}
}

func TestStalledBodyHoldsTheAnswer(t *testing.T) {
	for wait := 200 * time.Millisecond; ; wait *= 5 { // on a busy machine the half may need longer
		a := start(t, sim.Config{Faults: []sim.Fault{{Action: refresh, Nth: 1, Kind: "stalledBody"}}})
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		defer cancel()
		err := a.refreshWithin(ctx, "zone-a")
		if wait < 20*time.Second && errors.Is(err, context.DeadlineExceeded) {
			continue
		}
		wantCode(t, err, "ClientError.ParseJsonError") // half of an answer: the SDK does not say that it timed out
		if ctx.Err() == nil {
			t.Error("it did not stall")
		}
		awaitRefreshes(t, a, "zone-a", 1)
		return
	}
}

// refreshWithin refreshes until ctx ends.
func (a *api) refreshWithin(ctx context.Context, zone string) error {
	in := teo.NewRefreshMultiPathGatewaySecretKeyRequest()
	in.ZoneId = &zone
	_, err := a.RefreshMultiPathGatewaySecretKeyWithContext(ctx, in)
	return err
}

func TestLateLanding(t *testing.T) {
	a := start(t, sim.Config{Faults: []sim.Fault{{Action: refresh, Nth: 1, Kind: "lateLanding", DelayMs: 300}}})
	before := a.describe(t, "zone-a")
	began := time.Now()
	_, err := a.refresh("zone-a")
	wantCode(t, err, "ClientError.NetworkError")
	if a.describe(t, "zone-a") != before && time.Since(began) < 300*time.Millisecond {
		t.Error("it was executed at once")
	}
	awaitRefreshes(t, a, "zone-a", 1)
	if time.Since(began) < 300*time.Millisecond {
		t.Error("it landed early")
	}
}

// awaitRefreshes waits until the zone has n executed refreshes.
func awaitRefreshes(t *testing.T, a *api, zone string, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for after := uint64(0); a.State().Zones[zone].Refreshes != n; {
		edges, last := a.Journal().Wait(ctx, after, 0)
		if len(edges) == 0 {
			t.Fatalf("zone %s has %d refreshes, want %d", zone, a.State().Zones[zone].Refreshes, n)
		}
		after = last
	}
}

func TestStaleDescribe(t *testing.T) {
	t.Run("counted", func(t *testing.T) {
		a := start(t, sim.Config{Faults: []sim.Fault{{Kind: "staleDescribe", Count: 2}}})
		first := a.describe(t, "zone-a") // there is no earlier key yet
		second, err := a.refresh("zone-a")
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{first, first, second} {
			if a.describe(t, "zone-a") != want {
				t.Errorf("answer %d is not the expected key", i+1)
			}
		}
	})
	t.Run("timed", func(t *testing.T) {
		began := time.Now()
		var later atomic.Int64
		a := start(t, sim.Config{Clock: func() time.Time { return began.Add(time.Duration(later.Load())) }, Faults: []sim.Fault{{Kind: "staleDescribe", DelayMs: 5000}}})
		first := a.describe(t, "zone-a")
		second, err := a.refresh("zone-a")
		if err != nil {
			t.Fatal(err)
		}
		later.Store(int64(4999 * time.Millisecond))
		if a.describe(t, "zone-a") != first {
			t.Error("it is not stale in its time")
		}
		later.Store(int64(5 * time.Second))
		if a.describe(t, "zone-a") != second {
			t.Error("it is stale after its time")
		}
	})
}

func TestWhichCallsARuleStrikes(t *testing.T) {
	const boom = "error:FailedOperation"
	for name, row := range map[string]struct {
		fault sim.Fault
		want  string // for the calls a a a b b b: x is struck
	}{
		"second of each zone":   {sim.Fault{Nth: 2, Kind: boom}, ".x..x."},
		"two from the second":   {sim.Fault{Nth: 2, Count: 2, Kind: boom}, ".xx.xx"},
		"of one zone":           {sim.Fault{Zone: "zone-b", Nth: 1, Kind: boom}, "...x.."},
		"every call":            {sim.Fault{Zone: "*", Action: "*", Kind: boom}, "xxxxxx"},
		"four calls, any zone":  {sim.Fault{Count: 4, Kind: boom}, "xxxx.."},
		"another action's":      {sim.Fault{Action: describe, Kind: boom}, "......"},
		"a zone that is not us": {sim.Fault{Zone: "zone-c", Kind: boom}, "......"},
	} {
		t.Run(name, func(t *testing.T) {
			a := start(t, sim.Config{Faults: []sim.Fault{row.fault}})
			got := ""
			for _, zone := range []string{"zone-a", "zone-a", "zone-a", "zone-b", "zone-b", "zone-b"} {
				_, err := a.refresh(zone)
				got += map[bool]string{true: ".", false: "x"}[err == nil]
			}
			if got != row.want {
				t.Errorf("struck %s, want %s", got, row.want)
			}
		})
	}
}

func TestNoKeyHidesTheKey(t *testing.T) {
	a := start(t, sim.Config{Faults: []sim.Fault{{Action: describe, Nth: 1, Kind: "noKey"}}})
	if a.describe(t, "zone-a") != "" || a.describe(t, "zone-a") == "" {
		t.Error("the key was not hidden exactly once")
	}
}

func TestEveryFaultIsKnownToValidate(t *testing.T) {
	for _, kind := range sim.FaultKinds() {
		if err := (sim.Fault{Kind: kind}).Validate(); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if _, err := sim.NewEdgeOne(sim.Config{Faults: []sim.Fault{{Kind: "resetAfter"}, {Kind: "none", Nth: -1}}}); err == nil || !strings.Contains(err.Error(), "fault 2") {
		t.Errorf("a wrong rule gives %v", err)
	}
}
