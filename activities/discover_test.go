package activities_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"go.temporal.io/sdk/temporal"

	"keywave/activities"
	"keywave/internal/rotation"
)

// inventory has a number of zones, in pages of 100, with a number of gateways
// each.
type inventory struct {
	zones, gateways int
	shrinks         bool
	fail            error
	failGateways    error
	asked           atomic.Int32
}

func (i *inventory) Zones(_ context.Context, _ rotation.ZoneQuery, offset int) (rotation.ZonePage, error) {
	if i.fail != nil {
		return rotation.ZonePage{}, i.fail
	}
	page := rotation.ZonePage{Total: i.zones, Next: min(offset+100, i.zones)}
	for n := offset; n < page.Next; n++ {
		page.Zones = append(page.Zones, rotation.ListedZone{ID: rotation.ZoneID(fmt.Sprintf("zone-%d", n)), Tags: map[string]string{"tier": "canary", "cost-center": strings.Repeat("x", 5000)}})
	}
	if i.shrinks {
		i.zones--
	}
	return page, nil
}

func (i *inventory) Gateways(_ context.Context, zone rotation.ZoneID) ([]rotation.Gateway, error) {
	i.asked.Add(1)
	if i.failGateways != nil && zone == "zone-42" {
		return nil, i.failGateways
	}
	list := make([]rotation.Gateway, i.gateways)
	for n := range list {
		list[n] = rotation.Gateway{ID: fmt.Sprintf("mpgw-%d", n), Name: fmt.Sprintf("gw-%d", n), IP: "203.0.113.200"}
	}
	return list, nil
}

func discover(t *testing.T, i *inventory, in activities.DiscoverIn) (activities.DiscoverOut, error) {
	return run(t, t.Context(), (&activities.EdgeOne{Inventory: i}).Discover, in)
}

func TestDiscover(t *testing.T) {
	i := &inventory{zones: 1234, gateways: 2}
	out, err := discover(t, i, activities.DiscoverIn{From: 700, Gateways: true})
	if err != nil || len(out.Zones) != 500 || out.Next != 1200 || out.Total != 1234 || out.Moved || i.asked.Load() != 500 {
		t.Fatalf("%d zones, next %d, total %d, %d asked for gateways: %v", len(out.Zones), out.Next, out.Total, i.asked.Load(), err)
	}
	z := out.Zones[0]
	if z.ID != "zone-700" || len(z.Gateways) != 2 || len(z.Tags) != 1 || z.Tags["tier"] != "canary" {
		t.Errorf("the first is %+v", z)
	}
	i = &inventory{zones: 34}
	if out, err := discover(t, i, activities.DiscoverIn{}); err != nil || len(out.Zones) != 34 || out.Next != out.Total || i.asked.Load() != 0 {
		t.Errorf("%d zones, %v", len(out.Zones), err)
	}
}

// A result stays far below Temporal's 2 MB, however many gateways zones have.
func TestDiscoverStaysSmall(t *testing.T) {
	out, err := discover(t, &inventory{zones: 1000, gateways: 80}, activities.DiscoverIn{Gateways: true})
	body, _ := json.Marshal(out)
	if err != nil || len(out.Zones) != 200 || out.Next != 200 || len(body) > 1_200_000 {
		t.Errorf("%d zones, %d bytes: %v", len(out.Zones), len(body), err)
	}
}

func TestDiscoverSaysWhenZonesVanish(t *testing.T) {
	if out, err := discover(t, &inventory{zones: 250, shrinks: true}, activities.DiscoverIn{}); err != nil || !out.Moved {
		t.Errorf("%+v, %v", out.Moved, err)
	}
}

func TestDiscoverFails(t *testing.T) {
	refused := &rotation.APIError{Class: rotation.Refused, Code: "OperationDenied", RequestID: "r-1"}
	denied := &rotation.APIError{Class: rotation.Denied, Code: "UnauthorizedOperation.CamUnauthorized", RequestID: "r-1"}
	for _, c := range []struct {
		i     *inventory
		kind  activities.Kind
		text  string
		retry bool
	}{
		{&inventory{fail: denied}, activities.KindDenied, "the zones cannot be listed: EdgeOne: UnauthorizedOperation.CamUnauthorized (denied, request r-1); which permissions the account's credentials need: keywave doctor --policy", false},
		{&inventory{fail: refused}, activities.KindListing, "the zones cannot be listed: EdgeOne: OperationDenied (refused, request r-1)", false},
		{&inventory{zones: 50, failGateways: refused}, activities.KindListing, `the gateways of zone "zone-42" cannot be listed: EdgeOne: OperationDenied (refused, request r-1)`, false},
		{&inventory{fail: errors.New("not the active one")}, activities.KindLease, "not the active one", true},
	} {
		_, err := discover(t, c.i, activities.DiscoverIn{Gateways: true})
		var app *temporal.ApplicationError
		if !errors.As(err, &app) || app.Type() != string(c.kind) || app.Message() != c.text || app.NonRetryable() == c.retry {
			t.Errorf("%v, want %s: %s", err, c.kind, c.text)
		}
	}
}

// Where all keys have to be read, one that cannot be read fails the whole
// reading. If EdgeOne refuses to show one, that is an answer.
func TestStrictBaselines(t *testing.T) {
	in := activities.BaselinesIn{Zones: []rotation.ZoneID{zone}, Strict: true}
	act := &activities.EdgeOne{API: &edgeOne{describes: []call{fails(rotation.Refused, "InvalidParameter.ZoneNotFound")}}, Sealer: newSeals(t)}
	out, err := run(t, t.Context(), act.Baselines, in)
	if err != nil || out.Baselines[0].Key != "" || !strings.Contains(out.Baselines[0].Problem, "InvalidParameter.ZoneNotFound") {
		t.Errorf("%+v, %v", out, err)
	}
	act.API = &edgeOne{describes: []call{fails(rotation.Ambiguous, "InternalError")}}
	_, err = run(t, t.Context(), act.Baselines, in)
	var app *temporal.ApplicationError
	if !errors.As(err, &app) || app.Type() != string(activities.KindUnread) || !app.NonRetryable() || !strings.HasPrefix(app.Message(), "zone "+string(zone)+": the live key could not be read: EdgeOne: InternalError") {
		t.Errorf("got %v", err)
	}
}
