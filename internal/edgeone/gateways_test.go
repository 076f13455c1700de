package edgeone

import (
	"encoding/json"
	"errors"
	"reflect"
	"sync/atomic"
	"testing"

	"keywave/internal/rotation"
)

func TestGatewaysReadsAllPages(t *testing.T) {
	for _, n := range []int{0, 1, 1000, 1001} {
		s := serve(t, gatewaysOf(always(n)))
		gateways, err := connect(t, s.endpoint()).Gateways(t.Context(), zone)
		if err != nil || len(gateways) != n {
			t.Errorf("%d gateways of %d: %v", len(gateways), n, err)
		}
		for _, r := range s.executed() {
			filters, _ := json.Marshal(r.body["Filters"])
			if r.action != ActionGateways || r.body["ZoneId"] != string(zone) || r.body["Limit"] != 1000.0 || string(filters) != `[{"Name":"gateway-type","Values":["private"]}]` {
				t.Errorf("asked %s %v", r.action, r.body)
			}
		}
		if got, want := len(s.executed()), max(1, (n+999)/1000); got != want {
			t.Errorf("%d pages of %d gateways, want %d", got, n, want)
		}
	}
}

func TestGatewaysKeepsWhatMatters(t *testing.T) {
	s := serve(t, respond(200, `{"Response":{"TotalCount":2,"RequestId":"`+requestID+`","Gateways":[
		{"GatewayId":"mpgw-a","GatewayName":"gw-hk-1","GatewayType":"private","GatewayIP":"203.0.113.7","GatewayPort":443,"Status":"online"},
		{"GatewayId":"mpgw-b","GatewayType":"private"}]}}`))
	gateways, err := connect(t, s.endpoint()).Gateways(t.Context(), zone)
	want := []rotation.Gateway{{ID: "mpgw-a", Name: "gw-hk-1", IP: "203.0.113.7"}, {ID: "mpgw-b"}}
	if err != nil || !reflect.DeepEqual(gateways, want) {
		t.Errorf("%+v, %v", gateways, err)
	}
}

// If a gateway is deleted between two pages, another one moves to a page that
// was already read.
func TestGatewaysBeginsAnewWhenGatewaysVanish(t *testing.T) {
	var pages atomic.Int32
	s := serve(t, gatewaysOf(func(int) int {
		if pages.Add(1) == 1 {
			return 1500
		}
		return 1499
	}))
	gateways, err := connect(t, s.endpoint()).Gateways(t.Context(), zone)
	if err != nil || len(gateways) != 1499 {
		t.Errorf("%d gateways, %v", len(gateways), err)
	}
}

func TestGatewaysThatNeverHoldStill(t *testing.T) {
	var total atomic.Int32
	total.Store(5000)
	s := serve(t, gatewaysOf(func(int) int { return int(total.Add(-1)) }))
	_, err := connect(t, s.endpoint()).Gateways(t.Context(), zone)
	if api, ok := errors.AsType[*rotation.APIError](err); !ok || api.Code != codeMoved {
		t.Errorf("got %v", err)
	}
}
