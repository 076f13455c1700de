package edgeone

import (
	"context"
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

// listing answers with pages. total says for each offset how many rows there
// are at that time.
func listing(field string, row func(i int) map[string]any, total func(offset int) int) answer {
	return func(conn net.Conn, r seen) bool {
		offset, limit := int(r.body["Offset"].(float64)), int(r.body["Limit"].(float64))
		n := total(offset)
		rows := []map[string]any{}
		for i := offset; i < min(offset+limit, n); i++ {
			rows = append(rows, row(i))
		}
		b, _ := json.Marshal(map[string]any{"Response": map[string]any{"TotalCount": n, field: rows, "RequestId": requestID}})
		return respond(200, string(b))(conn, r)
	}
}

func zonesOf(total func(offset int) int) answer {
	return listing("Zones", func(i int) map[string]any { return map[string]any{"ZoneId": fmt.Sprintf("zone-%d", i)} }, total)
}

func gatewaysOf(total func(offset int) int) answer {
	return listing("Gateways", func(i int) map[string]any {
		return map[string]any{"GatewayId": fmt.Sprintf("gw-%d", i), "GatewayType": "private"}
	}, total)
}

func always(n int) func(int) int { return func(int) int { return n } }

// everyZone reads all pages.
func everyZone(ctx context.Context, c *Client) ([]rotation.ListedZone, error) {
	var all []rotation.ListedZone
	for next, total := 0, 1; next < total; {
		page, err := c.Zones(ctx, rotation.ZoneQuery{}, next)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Zones...)
		next, total = page.Next, page.Total
	}
	return all, nil
}

func TestZonesReadsAllPages(t *testing.T) {
	for _, n := range []int{0, 1, 99, 100, 101, 250} {
		s := serve(t, zonesOf(always(n)))
		zones, err := everyZone(t.Context(), connect(t, s.endpoint()))
		if err != nil || len(zones) != n || len(idsOf(zones)) != n {
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

func idsOf(zones []rotation.ListedZone) map[rotation.ZoneID]bool {
	ids := map[rotation.ZoneID]bool{}
	for _, z := range zones {
		ids[z.ID] = true
	}
	return ids
}

func TestZonesKeepsWhatMatters(t *testing.T) {
	s := serve(t, respond(200, `{"Response":{"TotalCount":3,"RequestId":"`+requestID+`","Zones":[
		{"ZoneId":"zone-a","ZoneName":"a.example","Status":"active","LockStatus":"plan_migrate","Paused":true,
		 "Tags":[{"TagKey":"tier","TagValue":"canary"},null,{"TagKey":"empty"}]},
		{"ZoneId":"zone-b","LockStatus":"enable"},{"ZoneId":"zone-c","Paused":true}]}}`))
	page, err := connect(t, s.endpoint()).Zones(t.Context(), rotation.ZoneQuery{}, 0)
	want := []rotation.ListedZone{
		{ID: "zone-a", Name: "a.example", Locked: "its lock status is plan_migrate", Tags: map[string]string{"tier": "canary", "empty": ""}},
		{ID: "zone-b"},
		{ID: "zone-c", Locked: "it is paused"},
	}
	if err != nil || !reflect.DeepEqual(page.Zones, want) {
		t.Errorf("%+v, %v", page.Zones, err)
	}
}

func TestZonesFilters(t *testing.T) {
	for _, c := range []struct {
		q    rotation.ZoneQuery
		want string
	}{
		{rotation.ZoneQuery{}, "null"},
		{rotation.ZoneQuery{Name: "shop.example"}, `[{"Name":"zone-name","Values":["shop.example"]}]`},
		{rotation.ZoneQuery{Name: "*"}, "null"},
		{rotation.ZoneQuery{ID: "zone-a", Status: "active"}, `[{"Name":"zone-id","Values":["zone-a"]},{"Name":"status","Values":["active"]}]`},
		{rotation.ZoneQuery{Name: "a*.example.com", Status: "active"}, `[{"Fuzzy":true,"Name":"zone-name","Values":[".example.com"]},{"Name":"status","Values":["active"]}]`},
		{rotation.ZoneQuery{Tags: map[string]string{"tier": "canary", "env": "prod"}}, `[{"Name":"tag-key","Values":["env"]},{"Name":"tag-value","Values":["prod"]}]`},
	} {
		s := serve(t, zonesOf(always(0)))
		if _, err := connect(t, s.endpoint()).Zones(t.Context(), c.q, 0); err != nil {
			t.Fatal(err)
		}
		if b, _ := json.Marshal(s.executed()[0].body["Filters"]); string(b) != c.want {
			t.Errorf("%s: asked %s, want %s", c.q, b, c.want)
		}
	}
}

// Zones that EdgeOne's filters let through by mistake are left out here. They
// still count as rows of their page.
func TestZonesChoosesExactly(t *testing.T) {
	s := serve(t, respond(200, `{"Response":{"TotalCount":4,"RequestId":"`+requestID+`","Zones":[
		{"ZoneId":"zone-a","ZoneName":"a.example.com","Tags":[{"TagKey":"env","TagValue":"prod"},{"TagKey":"tier","TagValue":"1"}]},
		{"ZoneId":"zone-b","ZoneName":"b.example.com","Tags":[{"TagKey":"env","TagValue":"prod"}]},
		{"ZoneId":"zone-c","ZoneName":"c.example.com","Tags":[{"TagKey":"env","TagValue":"1"},{"TagKey":"tier","TagValue":"prod"}]},
		{"ZoneId":"zone-d","ZoneName":"d.example.com.org","Tags":[{"TagKey":"env","TagValue":"prod"},{"TagKey":"tier","TagValue":"1"}]}]}}`))
	page, err := connect(t, s.endpoint()).Zones(t.Context(), rotation.ZoneQuery{Name: "*.example.com", Tags: map[string]string{"env": "prod", "tier": "1"}}, 0)
	if err != nil || len(page.Zones) != 1 || page.Zones[0].ID != "zone-a" || page.Next != 4 {
		t.Errorf("%+v, %v", page, err)
	}
}

type listingOf struct {
	field string
	rows  func(total func(offset int) int) answer
	list  func(ctx context.Context, c *Client) (int, error)
	noID  string // a row without an ID
}

// listings are the two listings, which fail in the same ways.
func listings() map[string]listingOf {
	return map[string]listingOf{
		ActionZones: {"Zones", zonesOf, func(ctx context.Context, c *Client) (int, error) {
			zones, err := everyZone(ctx, c)
			return len(zones), err
		}, `{"ZoneName":"x"}`},
		ActionGateways: {"Gateways", gatewaysOf, func(ctx context.Context, c *Client) (int, error) {
			gateways, err := c.Gateways(ctx, zone)
			return len(gateways), err
		}, `{"GatewayName":"x","GatewayType":"private"}`},
	}
}

func TestListingsAskAgainWhenThatMayHelp(t *testing.T) {
	for action, l := range listings() {
		var n atomic.Int32
		s := serve(t, func(conn net.Conn, r seen) bool {
			switch n.Add(1) {
			case 1:
				return failing("RequestLimitExceeded")(conn, r)
			case 2:
				return false
			}
			return l.rows(always(3))(conn, r)
		})
		if got, err := l.list(t.Context(), connect(t, s.endpoint())); err != nil || got != 3 {
			t.Errorf("%s: %d, %v", action, got, err)
		}
	}
}

func TestListingsRefuseWhatHidesARow(t *testing.T) {
	for action, l := range listings() {
		for name, body := range map[string]string{
			"no total":       `{"Response":{"` + l.field + `":[],"RequestId":"` + requestID + `"}}`,
			"negative total": `{"Response":{"TotalCount":-1,"` + l.field + `":[],"RequestId":"` + requestID + `"}}`,
			"no rows":        `{"Response":{"TotalCount":5,"` + l.field + `":[],"RequestId":"` + requestID + `"}}`,
			"null row":       `{"Response":{"TotalCount":1,"` + l.field + `":[null],"RequestId":"` + requestID + `"}}`,
			"row sans ID":    `{"Response":{"TotalCount":1,"` + l.field + `":[` + l.noID + `],"RequestId":"` + requestID + `"}}`,
			"cloud gateway":  `{"Response":{"TotalCount":1,"` + l.field + `":[{"GatewayId":"gw-1","GatewayType":"cloud"}],"RequestId":"` + requestID + `"}}`,
			"empty":          `{}`,
			"denied at once": `{"Response":{"Error":{"Code":"UnauthorizedOperation"},"RequestId":"` + requestID + `"}}`,
		} {
			t.Run(action+" "+name, func(t *testing.T) {
				t.Parallel()
				s := serve(t, respond(200, body))
				got, err := l.list(t.Context(), connect(t, s.endpoint()))
				api, ok := errors.AsType[*rotation.APIError](err)
				if !ok || got != 0 {
					t.Fatalf("%v, %v", got, err)
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
}
