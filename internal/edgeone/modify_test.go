package edgeone

import (
	"context"
	"encoding/base64"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"keywave/internal/proving/sim"
	"keywave/internal/rotation"
)

// modify sends the planted key.
func modify(ctx context.Context, c *Client, ready func() error) (rotation.Receipt, error) {
	return c.Modify(ctx, zone, rotation.NewSecret(planted), ready)
}

func TestModifySendsTheKeyOnce(t *testing.T) {
	s := serve(t, respond(200, noKey))
	before := time.Now()
	receipt, err := modify(t.Context(), connect(t, s.endpoint()), nil)
	if err != nil {
		t.Fatal(err)
	}
	executed := s.executed()
	if len(executed) != 1 || executed[0].action != ActionModify {
		t.Fatalf("%d requests", len(executed))
	}
	if body := executed[0].body; len(body) != 2 || body["ZoneId"] != string(zone) || body["SecretKey"] != planted {
		t.Error("the body is not the zone and the key")
	}
	if executed[0].header.Get("X-Idempotency-Key") != "" {
		t.Error("net/http may send it again")
	}
	if receipt.RequestID != requestID || receipt.Signed.Before(before) || receipt.Signed.After(executed[0].at) {
		t.Errorf("receipt %+v", receipt)
	}
}

// Modify takes each bad day as Refresh does, except that its answer has no key.
func TestModifyOnBadDays(t *testing.T) {
	for _, day := range badDays() {
		t.Run(day.name, func(t *testing.T) {
			t.Parallel()
			if day.code == codeNoKey || day.code == codeBadKey {
				day.class = ""
			}
			s := serve(t, day.answer)
			receipt, err := modify(t.Context(), connect(t, s.endpoint(), day.bound), nil)
			betrays(t, err)
			if n := len(s.executed()); n != 1 {
				t.Errorf("executed %d times", n)
			}
			if receipt.Signed.IsZero() || receipt.RequestID != day.id {
				t.Errorf("receipt %+v, want request ID %q", receipt, day.id)
			}
			if day.class == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			wantAPI(t, err, day.class, day.code)
		})
	}
}

// A key of another form than the documented one is never sent, also not a
// forged one that came with line breaks.
func TestModifyRefusesKeysOfAnotherForm(t *testing.T) {
	encode := base64.StdEncoding.EncodeToString
	s := serve(t, respond(200, noKey))
	c := connect(t, s.endpoint())
	for name, bad := range map[string]string{
		"nothing":        "",
		"no base64":      strings.Repeat("!", 44),
		"31 bytes":       encode(make([]byte, 31)),
		"49 bytes":       encode(make([]byte, 49)),
		"no padding":     strings.TrimRight(planted, "="),
		"URL characters": base64.URLEncoding.EncodeToString(slices.Repeat([]byte{0xff}, 32)),
		"two lines":      planted + "\n",
		"a break inside": planted[:20] + "\r\n" + planted[20:],
		"loose bits":     strings.Repeat("A", 42) + "B=",
	} {
		receipt, err := c.Modify(t.Context(), zone, rotation.NewSecret(bad), func() error { t.Error("it asks whether it may be sent"); return nil })
		betrays(t, err)
		api, ok := errors.AsType[*rotation.APIError](err)
		if !ok || api.Class != rotation.Refused || api.Code != codeBadKey || receipt != (rotation.Receipt{}) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(s.executed()); n != 0 {
		t.Errorf("%d requests", n)
	}
	for _, size := range []int{32, 48} {
		if _, err := c.Modify(t.Context(), zone, rotation.NewSecret(encode(make([]byte, size))), nil); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

func TestModifyAsksReadyAndGateBeforeSigning(t *testing.T) {
	s := serve(t, respond(200, noKey))
	no := errors.New("no")
	var order []string
	gate := error(nil)
	c := connect(t, s.endpoint(), func(c *Config) {
		c.Gate = func() error { order = append(order, "gate"); return gate }
	})
	if receipt, err := modify(t.Context(), c, func() error { order = append(order, "ready"); return no }); err != no || receipt != (rotation.Receipt{}) {
		t.Errorf("got %v, want ready's own error", err)
	}
	if want := []string{"gate", "ready"}; !slices.Equal(order, want) {
		t.Errorf("asked %v, want %v", order, want)
	}
	gate = &NotHeldError{}
	if _, err := modify(t.Context(), c, nil); err != gate {
		t.Errorf("got %v, want the gate's own error", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	gate = nil
	if _, err := modify(ctx, c, func() error { cancel(); return nil }); err != context.Canceled {
		t.Errorf("got %v, want the context's own error", err)
	}
	if n := len(s.executed()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestModifyThatDiesOnAnOldConnectionIsNotSentAgain(t *testing.T) {
	s := serve(t, nil)
	s.answer = func(conn net.Conn, r seen) bool {
		if len(s.executed()) == 1 {
			return respond(200, noKey)(conn, r)
		}
		return reset(conn, r)
	}
	c := connect(t, s.endpoint())
	if _, err := modify(t.Context(), c, nil); err != nil {
		t.Fatal(err)
	}
	_, err := modify(t.Context(), c, nil)
	wantAPI(t, err, rotation.Ambiguous, "ClientError.NetworkError.Reset")
	if n := len(s.executed()); n != 2 {
		t.Errorf("two calls, %d requests", n)
	}
}

func TestModifyHasAPaceOfItsOwn(t *testing.T) {
	s := serve(t, failing("RequestLimitExceeded"))
	var told []string
	c := connect(t, s.endpoint(), func(c *Config) {
		c.Pace = NewPace(1000)
		c.Called = func(action string, class rotation.Class) { told = append(told, action+" "+string(class)) }
	})
	_, err := modify(t.Context(), c, nil)
	wantAPI(t, err, rotation.Throttled, "RequestLimitExceeded")
	l := c.pace.lane(ActionModify)
	if speed := l.speed(l.cut); speed != 0.8*0.97*1000 {
		t.Errorf("goes on at %v/s", speed)
	}
	if other := c.pace.lane(ActionRefresh); !other.cut.IsZero() {
		t.Error("a throttled switch slows refreshes down")
	}
	if !slices.Equal(told, []string{ActionModify + " throttled"}) {
		t.Errorf("told %q", told)
	}
}

// Against the simulator: the key is EdgeOne's, and the same key again is
// answered in the same way.
func TestModifyTwiceHasTheEffectOfOne(t *testing.T) {
	e, err := sim.NewEdgeOne(sim.Config{
		Credentials: map[string]sim.Credential{testID: {SecretKey: testKey, Token: testToken}},
		Zones:       []sim.Zone{{ID: string(zone)}},
		Faults:      []sim.Fault{{Action: ActionModify, Nth: 1, Kind: "closeAfter"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	server, err := sim.Listen("127.0.0.1:0", e)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	c := connect(t, server.URL())
	_, err = modify(t.Context(), c, nil)
	wantAPI(t, err, rotation.Ambiguous, "ClientError.NetworkError.Closed")
	if _, err := modify(t.Context(), c, nil); err != nil {
		t.Fatal(err)
	}
	if key, _, err := c.Describe(t.Context(), zone); err != nil || key.Expose() != planted {
		t.Errorf("EdgeOne does not hold the key (%v)", err)
	}
	if z := e.State().Zones[string(zone)]; z.Modifies != 2 || len(z.Ever) != 2 {
		t.Errorf("the zone is %+v", z)
	}
}
