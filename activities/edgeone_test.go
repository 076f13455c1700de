package activities_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.temporal.io/sdk/temporal"

	"keywave/activities"
	"keywave/internal/rotation"
)

// refresh runs one activity in a synctest bubble, where time passes by itself.
func refresh(t *testing.T, ctx context.Context, e *edgeOne, in activities.RefreshIn) activities.RefreshOut {
	t.Helper()
	act := &activities.EdgeOne{API: e, Sealer: newSeals(t, hk, eu), Holders: gives(hosts)}
	out, err := run(t, ctx, act.Refresh, in)
	if err != nil {
		t.Fatalf("a refresh never fails, for what is known would be lost: %v", err)
	}
	return out
}

// hosts are the hosts of the zone.
var hosts = []rotation.HostRef{{Name: "h1", Location: hk}, {Name: "h2", Location: eu}}

// gives is a fleet file that gives these hosts to the zone.
func gives(hosts []rotation.HostRef) func(context.Context, rotation.ZoneID) (rotation.Holders, error) {
	return func(_ context.Context, id rotation.ZoneID) (rotation.Holders, error) {
		if id != zone {
			return nil, nil
		}
		return hosts, nil
	}
}

func refreshIn() activities.RefreshIn {
	return activities.RefreshIn{Zone: zone, Hosts: hosts, ProvedAt: time.Now(), ProofFor: rotation.Span(time.Minute)}
}

func TestRefreshAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boxes := newSeals(t, hk, eu)
		e := &edgeOne{refreshes: []call{limited(3*time.Second, answers(theKey, time.Second))}}
		began := time.Now()
		out, err := run(t, t.Context(), (&activities.EdgeOne{API: e, Sealer: boxes, DeliverFor: func() time.Duration { return 2 * time.Hour }, Holders: gives(hosts)}).Refresh, refreshIn())
		if err != nil || out.Sending != activities.Answered || out.Key != print(theKey) || out.RequestID != "request-1" || out.API != (rotation.API{Refresh: 1}) {
			t.Fatalf("%+v, %v", out, err)
		}
		if at := out.SentAt.Sub(began); at != 3*time.Second {
			t.Errorf("sent after %s, and the limiter took 3 s", at)
		}
		for _, l := range []rotation.Location{hk, eu} {
			key, grant, err := boxes.Open(l, zone, out.Sealed[l])
			if err != nil || key.Expose() != theKey {
				t.Errorf("%s cannot open it: %v", l, err)
			}
			if grant.Gives("h1") != (l == hk) || grant.Gives("h2") != (l == eu) || grant.Gives("h3") || grant.At.Sub(began) != 4*time.Second || grant.Until.Sub(grant.At) != 3*time.Hour {
				t.Errorf("%s may use it so: %+v", l, grant)
			}
		}
	})
}

func TestRefreshProofExpiredAtTheLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &edgeOne{refreshes: []call{limited(61*time.Second, answers(theKey, 0))}}
		out := refresh(t, t.Context(), e, refreshIn())
		if out.Sending != activities.NotSent || !out.Again || !out.SentAt.IsZero() || out.API.Refresh != 0 {
			t.Errorf("%+v", out)
		}
	})
}

func TestRefreshEmergencyWaivesTheProofs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := refreshIn()
		in.ProvedAt = time.Time{}
		e := &edgeOne{refreshes: []call{limited(61*time.Second, answers(theKey, 0))}}
		if out := refresh(t, t.Context(), e, in); out.Sending != activities.Answered {
			t.Errorf("%+v", out)
		}
	})
}

func TestRefreshOutcomes(t *testing.T) {
	throttled := fails(rotation.Throttled, "RequestLimitExceeded")
	locked := fails(rotation.Locked, "OperationDenied.ConfigLocked")
	for _, c := range []struct {
		name    string
		calls   []call
		want    activities.Sending
		again   bool
		halt    bool
		code    string
		api     rotation.API
		most    time.Duration // how long it takes at most
		because string
	}{
		{
			name: "throttled, then answered", calls: []call{throttled, throttled, answers(theKey, 0)},
			want: activities.Answered, api: rotation.API{Refresh: 3, Throttled: 2}, most: 2 * time.Second,
		},
		{
			name: "throttled until the proofs expire", calls: []call{throttled},
			want: activities.NotSent, again: true, code: "RequestLimitExceeded", most: 70 * time.Second,
		},
		{
			name: "never connected, then answered", calls: []call{unsigned(&rotation.APIError{Class: rotation.Unsent, Code: "dial"}), fails(rotation.Unsent, "dial"), answers(theKey, 0)},
			want: activities.Answered, api: rotation.API{Refresh: 2}, most: 2 * time.Second,
		},
		{
			name: "never connects", calls: []call{unsigned(&rotation.APIError{Class: rotation.Unsent, Code: "dial"})},
			want: activities.NotSent, again: true, because: "dial", most: 70 * time.Second,
		},
		{
			name: "locked for a moment", calls: []call{locked, locked, answers(theKey, 0)},
			want: activities.Answered, api: rotation.API{Refresh: 3}, most: 5 * time.Second,
		},
		{
			name: "stays locked", calls: []call{locked},
			want: activities.Refused, code: "OperationDenied.ConfigLocked", api: rotation.API{Refresh: 4}, most: 5 * time.Second,
		},
		{
			name: "refused", calls: []call{fails(rotation.Refused, "OperationDenied")},
			want: activities.Refused, code: "OperationDenied", api: rotation.API{Refresh: 1},
		},
		{
			name: "denied", calls: []call{fails(rotation.Denied, "AuthFailure.SignatureFailure")},
			want: activities.Refused, halt: true, code: "AuthFailure.SignatureFailure", api: rotation.API{Refresh: 1},
		},
		{
			name: "no credentials", calls: []call{unsigned(&rotation.APIError{Class: rotation.Denied, Code: "ClientError.CredentialError"})},
			want: activities.Refused, halt: true, code: "ClientError.CredentialError",
		},
		{
			name: "ambiguous", calls: []call{fails(rotation.Ambiguous, "InternalError")},
			want: activities.MaySent, code: "InternalError", api: rotation.API{Refresh: 1},
		},
		{
			name: "an error of no class may have been executed", calls: []call{func(_ context.Context, ready func() error) (rotation.Secret, rotation.Receipt, error) {
				return rotation.Secret{}, rotation.Receipt{Signed: time.Now()}, errors.Join(ready(), errors.New("body: "+theKey))
			}},
			want: activities.MaySent, code: "Unclassified", api: rotation.API{Refresh: 1},
		},
		{
			name: "throttled, then ambiguous", calls: []call{throttled, fails(rotation.Ambiguous, "InternalError")},
			want: activities.MaySent, code: "InternalError", api: rotation.API{Refresh: 2, Throttled: 1}, most: time.Second,
		},
		{
			name: "locked, then throttled until the proofs expire", calls: []call{locked, throttled},
			want: activities.NotSent, again: true, code: "RequestLimitExceeded", most: 70 * time.Second,
		},
		{
			name: "the process may not call", calls: []call{unsigned(errors.New("this process is not the active one"))},
			want: activities.NotSent, again: true, because: "not the active one",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &edgeOne{refreshes: slices.Clone(c.calls)}
				began := time.Now()
				out := refresh(t, t.Context(), e, refreshIn())
				if out.Sending != c.want || out.Again != c.again || out.Halt != c.halt || !strings.Contains(out.Why, c.because) {
					t.Errorf("%+v", out)
				}
				if c.code != "" && out.Code != c.code || c.api.Refresh > 0 && out.API != c.api {
					t.Errorf("code %q, calls %+v", out.Code, out.API)
				}
				if took := time.Since(began); took > c.most {
					t.Errorf("it took %s", took)
				}
				if may := out.Sending == activities.MaySent || out.Sending == activities.Answered; may == out.SentAt.IsZero() && out.Sending != activities.Refused {
					t.Errorf("%s, sent at %v", out.Sending, out.SentAt)
				}
				if out.Sending != activities.Answered && (out.Key != "" || out.Sealed != nil) {
					t.Errorf("%+v", out)
				}
			})
		})
	}
}

// If a refresh may have been executed, the time of its own attempt is given on
// Temporal's clock.
func TestRefreshSentAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &edgeOne{refreshes: []call{fails(rotation.Throttled, "RequestLimitExceeded"), limited(7*time.Second, fails(rotation.Ambiguous, "InternalError"))}}
		began := time.Now()
		out := refresh(t, t.Context(), e, refreshIn())
		if at := out.SentAt.Sub(began); at < 7*time.Second || at > 8*time.Second {
			t.Errorf("sent after %s", at)
		}
	})
}

func TestRefreshCancelled(t *testing.T) {
	for _, c := range []struct {
		name string
		call call
		at   time.Duration
		want activities.Sending
		ends time.Duration
	}{
		{"at the limiter", limited(20*time.Second, answers(theKey, time.Second)), 5 * time.Second, activities.NotSent, 5 * time.Second},
		{"while it waits after a throttle", fails(rotation.Throttled, "RequestLimitExceeded"), 5050 * time.Millisecond, activities.NotSent, 5050 * time.Millisecond},
		{"after the signature it is waited for", answers(theKey, 8*time.Second), 5 * time.Second, activities.Answered, 8 * time.Second},
		{"after the signature, then ambiguous", limited(0, func(ctx context.Context, ready func() error) (rotation.Secret, rotation.Receipt, error) {
			_, receipt, _ := answers(theKey, 8*time.Second)(ctx, ready)
			return rotation.Secret{}, receipt, &rotation.APIError{Class: rotation.Ambiguous, Code: "InternalError"}
		}), 5 * time.Second, activities.MaySent, 8 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(c.at, cancel)
				began := time.Now()
				out := refresh(t, ctx, &edgeOne{refreshes: []call{c.call}}, refreshIn())
				if out.Sending != c.want || time.Since(began) != c.ends {
					t.Errorf("%+v after %s", out, time.Since(began))
				}
				if out.Sending == activities.NotSent && (out.Again || !strings.Contains(out.Why, "cancelled")) {
					t.Errorf("%+v", out)
				}
			})
		})
	}
}

func TestRefreshThatCannotBeSealedIsNotMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &edgeOne{refreshes: []call{answers(theKey, 0)}}
		out, err := run(t, t.Context(), (&activities.EdgeOne{API: e, Sealer: newSeals(t, hk), Holders: gives(hosts)}).Refresh, refreshIn())
		if err != nil || out.Sending != activities.Refused || !out.Halt || !strings.Contains(out.Why, "no keyset for location eu") || e.refreshed != 0 {
			t.Errorf("%+v, %v, %d calls", out, err, e.refreshed)
		}
	})
}

func read(t *testing.T, e *edgeOne, in activities.ReadIn) (activities.ReadOut, error) {
	t.Helper()
	return run(t, t.Context(), (&activities.EdgeOne{API: e, Sealer: newSeals(t, hk, eu), Holders: gives(in.Hosts)}).Read, in)
}

func TestRead(t *testing.T) {
	asked := activities.ReadIn{Zone: zone, Hosts: hosts}
	knowing := asked
	knowing.Known = []rotation.Fingerprint{"0000000000000000", print(theKey)}
	ambiguous := fails(rotation.Ambiguous, "InternalError")
	for _, c := range []struct {
		name   string
		in     activities.ReadIn
		calls  []call
		key    rotation.Fingerprint
		sealed int
		final  bool
		halt   bool
		api    rotation.API
	}{
		{name: "another key than those known is sealed", in: asked, calls: []call{answers(theKey, 0)}, key: print(theKey), sealed: 2, api: rotation.API{Describe: 1}},
		{name: "a known key is not", in: knowing, calls: []call{answers(theKey, 0)}, key: print(theKey), api: rotation.API{Describe: 1}},
		{name: "no key", in: asked, calls: []call{answers("", 0)}, key: rotation.Absent, api: rotation.API{Describe: 1}},
		{
			name: "throttled and broken, then read", in: asked, key: print(theKey), sealed: 2, api: rotation.API{Describe: 3, Throttled: 1},
			calls: []call{fails(rotation.Throttled, "RequestLimitExceeded"), ambiguous, answers(theKey, 0)},
		},
		{name: "broken", in: asked, calls: []call{ambiguous}, api: rotation.API{Describe: 4}},
		{name: "refused", in: asked, calls: []call{fails(rotation.Refused, "ResourceNotFound.ZoneNotFound")}, final: true, api: rotation.API{Describe: 1}},
		{name: "denied", in: asked, calls: []call{fails(rotation.Denied, "UnauthorizedOperation.CamUnauthorized")}, final: true, halt: true, api: rotation.API{Describe: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				out, err := read(t, &edgeOne{describes: slices.Clone(c.calls)}, c.in)
				if err != nil || out.Key != c.key || len(out.Sealed) != c.sealed || out.Final != c.final || out.Halt != c.halt || out.API != c.api {
					t.Errorf("%+v, %v", out, err)
				}
				if (out.Key == "") != (out.Problem != "") {
					t.Errorf("%+v", out)
				}
			})
		})
	}
}

func TestReadByAProcessThatIsNotActiveIsTriedElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, err := read(t, &edgeOne{describes: []call{unsigned(errors.New("not the active one"))}}, activities.ReadIn{Zone: zone})
		var app *temporal.ApplicationError
		if !errors.As(err, &app) || app.Type() != string(activities.KindLease) || app.NonRetryable() {
			t.Errorf("%v", err)
		}
	})
}

func TestReadThatCannotBeSealedFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, err := read(t, &edgeOne{describes: []call{answers(theKey, 0)}}, activities.ReadIn{Zone: zone, Hosts: []rotation.HostRef{{Name: "h1", Location: "mars"}}})
		var app *temporal.ApplicationError
		if !errors.As(err, &app) || app.Type() != string(activities.KindKeyset) {
			t.Errorf("%v", err)
		}
	})
}

func TestBaselines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &edgeOne{describes: []call{answers(theKey, 0), fails(rotation.Refused, "ResourceNotFound"), answers("", 0)}}
		act := &activities.EdgeOne{API: e, Sealer: newSeals(t)}
		out, err := run(t, t.Context(), act.Baselines, activities.BaselinesIn{Zones: []rotation.ZoneID{zone, "zone-b", "zone-c"}})
		if err != nil || len(out.Baselines) != 3 || out.API.Describe != 3 {
			t.Fatalf("%+v, %v", out, err)
		}
		if out.Baselines[0].Key != print(theKey) || !strings.Contains(out.Baselines[1].Problem, "ResourceNotFound") || out.Baselines[2].Key != rotation.Absent {
			t.Errorf("%+v", out.Baselines)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		act := &activities.EdgeOne{API: &edgeOne{describes: []call{fails(rotation.Denied, "AuthFailure")}}, Sealer: newSeals(t)}
		_, err := run(t, t.Context(), act.Baselines, activities.BaselinesIn{Zones: []rotation.ZoneID{zone}})
		var app *temporal.ApplicationError
		if !errors.As(err, &app) || app.Type() != string(activities.KindDenied) || !app.NonRetryable() {
			t.Errorf("%v", err)
		}
	})
}
