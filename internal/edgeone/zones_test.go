package edgeone

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"reflect"
	"slices"
	"sync/atomic"
	"testing"

	"keywave/internal/rotation"
)

// listing answers a page of as many zones as total says there are by then.
func listing(total func(offset int) int) answer {
	return func(conn net.Conn, r seen) bool {
		offset, limit := int(r.body["Offset"].(float64)), int(r.body["Limit"].(float64))
		n := total(offset)
		zones := []map[string]any{}
		for i := offset; i < min(offset+limit, n); i++ {
			zones = append(zones, map[string]any{"ZoneId": fmt.Sprintf("zone-%d", i)})
		}
		b, _ := json.Marshal(map[string]any{"Response": map[string]any{"TotalCount": n, "Zones": zones, "RequestId": requestID}})
		return respond(200, string(b))(conn, r)
	}
}

func TestZonesReadsAllPages(t *testing.T) {
	for _, n := range []int{0, 1, 99, 100, 101, 250} {
		s := serve(t, listing(func(int) int { return n }))
		zones, err := connect(t, s.endpoint()).Zones(t.Context(), ZoneFilter{})
		if err != nil || len(zones) != n {
			t.Errorf("%d zones of %d: %v", len(zones), n, err)
		}
		for _, r := range s.executed() {
			if r.action != ActionZones || r.body["Order"] != "create-time" || r.body["Direction"] != "asc" || r.body["Limit"] != 100.0 {
				t.Errorf("asked %s %v", r.action, r.body)
			}
		}
		if got, want := len(s.executed()), max(1, (n+99)/100); got != want {
			t.Errorf("%d pages of %d zones, want %d", got, n, want)
		}
	}
}

func TestZonesKeepsWhatMatters(t *testing.T) {
	s := serve(t, respond(200, `{"Response":{"TotalCount":2,"RequestId":"`+requestID+`","Zones":[
		{"ZoneId":"zone-a","ZoneName":"a.example","Status":"active","LockStatus":"plan_migrate","Paused":true,
		 "Tags":[{"TagKey":"tier","TagValue":"canary"},null,{"TagKey":"empty"}]},
		{"ZoneId":"zone-b"}]}}`))
	zones, err := connect(t, s.endpoint()).Zones(t.Context(), ZoneFilter{})
	want := []ZoneInfo{
		{ID: "zone-a", Name: "a.example", Status: "active", LockStatus: "plan_migrate", Paused: true, Tags: map[string]string{"tier": "canary", "empty": ""}},
		{ID: "zone-b"},
	}
	if err != nil || !reflect.DeepEqual(zones, want) {
		t.Errorf("%+v, %v", zones, err)
	}
}

func TestZonesFilters(t *testing.T) {
	s := serve(t, listing(func(int) int { return 1 }))
	c := connect(t, s.endpoint())
	ids := make([]rotation.ZoneID, 41)
	for i := range ids {
		ids[i] = rotation.ZoneID(fmt.Sprintf("zone-%d", i))
	}
	if _, err := c.Zones(t.Context(), ZoneFilter{Name: "shop", Status: "active", TagKey: "tier", TagValue: "canary"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Zones(t.Context(), ZoneFilter{IDs: ids}); err != nil {
		t.Fatal(err)
	}
	executed := s.executed()
	want := `[{"Fuzzy":true,"Name":"zone-name","Values":["shop"]},{"Name":"status","Values":["active"]},{"Name":"tag-key","Values":["tier"]},{"Name":"tag-value","Values":["canary"]}]`
	if b, _ := json.Marshal(executed[0].body["Filters"]); string(b) != want {
		t.Errorf("asked %s", b)
	}
	var asked []any
	for _, r := range executed[1:] {
		f := r.body["Filters"].([]any)[0].(map[string]any)
		values := f["Values"].([]any)
		if f["Name"] != "zone-id" || len(values) > 20 {
			t.Errorf("asked %v", f)
		}
		asked = append(asked, values...)
	}
	if len(asked) != len(ids) {
		t.Errorf("asked for %d of %d", len(asked), len(ids))
	}
}

// A zone deleted between two pages moves another one past the reader.
func TestZonesBeginsAnewWhenZonesVanish(t *testing.T) {
	var pages atomic.Int32
	s := serve(t, listing(func(int) int {
		if pages.Add(1) == 1 {
			return 250
		}
		return 249
	}))
	zones, err := connect(t, s.endpoint()).Zones(t.Context(), ZoneFilter{})
	if err != nil || len(zones) != 249 {
		t.Errorf("%d zones, %v", len(zones), err)
	}
	if n := len(s.executed()); n != 5 {
		t.Errorf("%d pages", n)
	}
}

func TestZonesThatNeverHoldStill(t *testing.T) {
	var total atomic.Int32
	total.Store(1000)
	s := serve(t, listing(func(int) int { return int(total.Add(-1)) }))
	if _, err := connect(t, s.endpoint()).Zones(t.Context(), ZoneFilter{}); err != errZonesMoved {
		t.Errorf("got %v", err)
	}
}

func TestZonesAsksAgainWhenThatMayHelp(t *testing.T) {
	var n atomic.Int32
	s := serve(t, func(conn net.Conn, r seen) bool {
		switch n.Add(1) {
		case 1:
			return failing("RequestLimitExceeded")(conn, r)
		case 2:
			return false
		}
		return listing(func(int) int { return 3 })(conn, r)
	})
	zones, err := connect(t, s.endpoint()).Zones(t.Context(), ZoneFilter{})
	if err != nil || len(zones) != 3 {
		t.Errorf("%d zones, %v", len(zones), err)
	}
}

func TestZonesRefusesWhatHidesAZone(t *testing.T) {
	for name, body := range map[string]string{
		"no total":       `{"Response":{"Zones":[],"RequestId":"` + requestID + `"}}`,
		"no zones":       `{"Response":{"TotalCount":5,"Zones":[],"RequestId":"` + requestID + `"}}`,
		"null zone":      `{"Response":{"TotalCount":1,"Zones":[null],"RequestId":"` + requestID + `"}}`,
		"zone sans ID":   `{"Response":{"TotalCount":1,"Zones":[{"ZoneName":"x"}],"RequestId":"` + requestID + `"}}`,
		"empty":          `{}`,
		"denied at once": `{"Response":{"Error":{"Code":"UnauthorizedOperation"},"RequestId":"` + requestID + `"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, respond(200, body))
			zones, err := connect(t, s.endpoint()).Zones(t.Context(), ZoneFilter{})
			api, ok := errors.AsType[*rotation.APIError](err)
			if !ok || zones != nil {
				t.Fatalf("%v, %v", zones, err)
			}
			tries, want := len(s.executed()), pageTries
			if api.Class == rotation.Denied {
				want = 1
			}
			if tries != want || !slices.Contains([]rotation.Class{rotation.Ambiguous, rotation.Denied}, api.Class) {
				t.Errorf("%v after %d tries, want %d", err, tries, want)
			}
		})
	}
}
