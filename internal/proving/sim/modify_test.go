package sim_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	teo "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/teo/v20220901"

	"keywave/internal/proving/sim"
)

// newKey is a key that a caller chooses.
func newKey() string {
	var b [32]byte
	_, _ = rand.Read(b[:])
	return base64.StdEncoding.EncodeToString(b[:])
}

func TestModifyReplacesTheKeyAtOnce(t *testing.T) {
	cfg := sim.Config{StateFile: filepath.Join(t.TempDir(), "state")}
	a := start(t, cfg)
	before, other, mine := a.describe(t, "zone-a"), a.describe(t, "zone-b"), newKey()
	if err := a.modify("zone-a", mine); err != nil {
		t.Fatal(err)
	}
	if a.describe(t, "zone-a") != mine || a.describe(t, "zone-b") != other {
		t.Error("the key of this zone, and of no other, is not the one that was sent")
	}
	if a.LetsIn("zone-a", "nonce", sim.MAC(before, "nonce")) || !a.LetsIn("zone-a", "nonce", sim.MAC(mine, "nonce")) {
		t.Error("the data plane does not accept exactly the live key")
	}
	if err := a.modify("zone-a", before); err != nil {
		t.Fatal(err)
	}
	if !a.LetsIn("zone-a", "nonce", sim.MAC(before, "nonce")) {
		t.Error("a former key that was put back is not live")
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	b := start(t, cfg)
	z := b.State().Zones["zone-a"]
	if keys := b.Keys()["zone-a"].Ever; !slices.Equal(keys, []string{before, mine, before}) || z.Modifies != 2 || z.Refreshes != 0 {
		t.Errorf("a later process remembers %d keys, %+v", len(keys), z)
	}
	if c := a.State().Actions[modify]; c.Calls != 2 || c.Executed != 2 {
		t.Errorf("counter is %+v", c)
	}
}

// The same key again has the same effect: none, and the answer is as before.
func TestModifyWithTheSameKeyChangesNothing(t *testing.T) {
	a := start(t, sim.Config{})
	before, mine := a.describe(t, "zone-a"), newKey()
	for range 2 {
		if err := a.modify("zone-a", mine); err != nil {
			t.Fatal(err)
		}
	}
	if z := a.State().Zones["zone-a"]; len(z.Ever) != 2 || z.Modifies != 2 {
		t.Errorf("the zone is %+v, want two keys and two calls", z)
	}
	if err := a.AddFaults(sim.Fault{Kind: "staleDescribe", Count: 1}); err != nil {
		t.Fatal(err)
	}
	if a.describe(t, "zone-a") != before {
		t.Error("a stale read shows another key than the one before")
	}
}

func TestModifyTakesDocumentedKeysOnly(t *testing.T) {
	encode := base64.StdEncoding.EncodeToString
	a := start(t, sim.Config{Zones: []sim.Zone{{ID: "zone-a"}, {ID: "zone-new", Keyless: true}}})
	for _, size := range []int{32, 48} {
		if err := a.modify("zone-a", encode(make([]byte, size))); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	live := a.describe(t, "zone-a")
	for name, bad := range map[string]string{
		"nothing":        "",
		"no base64":      "not base64!",
		"31 bytes":       encode(make([]byte, 31)),
		"49 bytes":       encode(make([]byte, 49)),
		"no padding":     base64.RawStdEncoding.EncodeToString(make([]byte, 32)),
		"URL characters": base64.URLEncoding.EncodeToString(slices.Repeat([]byte{0xff}, 32)),
		"two lines":      encode(make([]byte, 32)) + "\n",
		"loose bits":     "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=",
	} {
		if got := code(a.modify("zone-a", bad)); got != "InvalidParameterValue" {
			t.Errorf("%s: code is %q", name, got)
		}
	}
	in := teo.NewModifyMultiPathGatewaySecretKeyRequest()
	in.ZoneId = common.StringPtr("zone-a")
	_, err := a.ModifyMultiPathGatewaySecretKey(in)
	wantCode(t, err, "MissingParameter")
	wantCode(t, a.modify("zone-new", newKey()), "OperationDenied")
	wantCode(t, a.modify("zone-x", newKey()), "InvalidParameter")
	if a.describe(t, "zone-a") != live || a.describe(t, "zone-new") != "" {
		t.Error("a refused call changed a key")
	}
}

func TestModifyHasALimitOfItsOwn(t *testing.T) {
	now := time.Now()
	a := start(t, sim.Config{Limit: 3, Clock: func() time.Time { return now }})
	for range 3 {
		if _, err := a.refresh("zone-a"); err != nil {
			t.Fatal(err)
		}
	}
	mine := newKey()
	for range 3 {
		if err := a.modify("zone-a", mine); err != nil {
			t.Fatalf("refreshes count against it: %v", err)
		}
	}
	wantCode(t, a.modify("zone-a", newKey()), "RequestLimitExceeded")
	if c := a.State().Actions[modify]; c.Executed != 3 || c.Throttled != 1 || a.Keys()["zone-a"].Live != mine {
		t.Errorf("counter is %+v", c)
	}
}

// A request that lands late brings its own key, also over a later one.
func TestModifyThatLandsLate(t *testing.T) {
	a := start(t, sim.Config{Faults: []sim.Fault{{Action: modify, Nth: 1, Kind: "lateLanding", DelayMs: 3000}}})
	late, next := newKey(), newKey()
	wantCode(t, a.modify("zone-a", late), "ClientError.NetworkError")
	if err := a.modify("zone-a", next); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for after := uint64(0); a.State().Zones["zone-a"].Modifies < 2; {
		edges, last := a.Journal().Wait(ctx, after, 0)
		if len(edges) == 0 {
			t.Fatal("it did not land")
		}
		after = last
	}
	if keys := a.Keys()["zone-a"]; keys.Live != late || len(keys.Ever) != 3 || keys.Ever[1] != next {
		t.Error("the late key did not land over the later one")
	}
}

// What the real EdgeOne does with a key that it knows is not documented, so that
// both must be bearable.
func TestKeysThatAreKnownCanBeRefused(t *testing.T) {
	a := start(t, sim.Config{Faults: []sim.Fault{{Kind: "refuseSameKey"}, {Kind: "refuseFormerKey", Zone: "zone-a"}}})
	first, mine := a.describe(t, "zone-a"), newKey()
	if err := a.modify("zone-a", mine); err != nil {
		t.Fatalf("a new key is refused: %v", err)
	}
	wantCode(t, a.modify("zone-a", mine), "OperationDenied")
	wantCode(t, a.modify("zone-a", first), "OperationDenied")
	if a.describe(t, "zone-a") != mine {
		t.Error("a refused call changed the key")
	}
	if s := a.State(); s.Faults["refuseSameKey"] != 1 || s.Faults["refuseFormerKey"] != 1 {
		t.Errorf("faults are %v", s.Faults)
	}
}
