package sim

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	defaultPage     = 20
	maxZonesPage    = 100
	maxGatewaysPage = 1000
	maxFilterValues = 20
)

// filter is one condition of a listing: any of Values.
type filter struct {
	Name   string
	Values []string
	Fuzzy  bool
}

// holds says whether one of the texts equals one of Values, or, with Fuzzy,
// contains it.
func (f filter) holds(texts ...string) bool {
	return slices.ContainsFunc(f.Values, func(want string) bool {
		return slices.ContainsFunc(texts, func(have string) bool {
			return have == want || f.Fuzzy && strings.Contains(have, want)
		})
	})
}

// page is Offset and Limit of a listing.
type page struct{ Offset, Limit *int }

// cut returns the rows of the page. A Limit above most, or a negative one, is
// refused.
func cut[T any](rows []T, p page, most int) ([]T, *refusal) {
	offset, limit := 0, defaultPage
	if p.Offset != nil {
		offset = *p.Offset
	}
	if p.Limit != nil {
		limit = *p.Limit
	}
	if offset < 0 || limit < 0 || limit > most {
		return nil, refuse("InvalidParameterValue", fmt.Sprintf("Offset cannot be negative, and Limit must be between 0 and %d.", most))
	}
	rows = rows[min(offset, len(rows)):]
	return rows[:min(limit, len(rows))], nil
}

// matching are the rows for which every filter holds. A filter that is not in
// fields is refused.
func matching[T any](rows []T, filters []filter, fields map[string]func(T) []string) ([]T, *refusal) {
	for _, f := range filters {
		field, ok := fields[f.Name]
		if !ok {
			return nil, refuse("InvalidParameterValue", fmt.Sprintf("The filter `%s` is not supported.", f.Name))
		}
		if len(f.Values) > maxFilterValues {
			return nil, refuse("InvalidParameterValue", fmt.Sprintf("A filter can have at most %d values.", maxFilterValues))
		}
		rows = slices.DeleteFunc(slices.Clone(rows), func(row T) bool { return !f.holds(field(row)...) })
	}
	return rows, nil
}

type tagAnswer struct{ TagKey, TagValue string }

type zoneAnswer struct {
	ZoneId, ZoneName, AliasZoneName, Area, Type, Status, ActiveStatus, LockStatus, CreatedOn, ModifiedOn string
	Tags                                                                                                 []tagAnswer
	Paused                                                                                               bool
}

func (z *zone) answer() zoneAnswer {
	tags := []tagAnswer{}
	for _, key := range sortedKeys(z.Tags) {
		tags = append(tags, tagAnswer{key, z.Tags[key]})
	}
	created := z.created.UTC().Format(time.RFC3339)
	return zoneAnswer{
		ZoneId: z.ID, ZoneName: z.Name, Area: z.Area, Type: z.Type, Status: z.Status,
		ActiveStatus: "active", LockStatus: z.LockStatus, CreatedOn: created, ModifiedOn: created,
		Tags: tags, Paused: z.Paused,
	}
}

func zoneFilters() map[string]func(*zone) []string {
	return map[string]func(*zone) []string{
		"zone-id":         func(z *zone) []string { return []string{z.ID} },
		"zone-name":       func(z *zone) []string { return []string{z.Name} },
		"alias-zone-name": func(*zone) []string { return []string{""} },
		"zone-type":       func(z *zone) []string { return []string{z.Type} },
		"status":          func(z *zone) []string { return []string{z.Status} },
		"tag-key":         func(z *zone) []string { return sortedKeys(z.Tags) },
		"tag-value":       func(z *zone) []string { return sortedValues(z.Tags) },
	}
}

// zoneOrders are the documented orders. Rows come in the order in which they
// were created.
func zoneOrders() map[string]func(a, b *zone) int {
	byCreation := func(a, b *zone) int { return cmp.Compare(a.number, b.number) }
	return map[string]func(a, b *zone) int{
		"":              byCreation,
		"create-time":   byCreation,
		"use-time":      byCreation,
		"active-status": byCreation,
		"zone-name":     func(a, b *zone) int { return cmp.Compare(a.Name, b.Name) },
		"type":          func(a, b *zone) int { return cmp.Compare(a.Type, b.Type) },
		"area":          func(a, b *zone) int { return cmp.Compare(a.Area, b.Area) },
	}
}

func describeZones(e *EdgeOne, body []byte, how conduct) (any, *refusal) {
	in, no := decode[struct {
		page
		Filters          []filter
		Order, Direction string
	}](body)
	if no != nil {
		return nil, no
	}
	for _, f := range in.Filters {
		if f.Fuzzy && f.Name != "zone-name" && f.Name != "alias-zone-name" {
			return nil, refuse("InvalidParameterValue", fmt.Sprintf("The filter `%s` cannot be fuzzy.", f.Name))
		}
	}
	own := slices.DeleteFunc(slices.Clone(e.order), func(z *zone) bool { return !z.isOf(how.account) })
	rows, no := matching(own, in.Filters, zoneFilters())
	if no != nil {
		return nil, no
	}
	rows, no = ordered(rows, in.Order, in.Direction)
	if no != nil {
		return nil, no
	}
	shown, no := cut(rows, in.page, maxZonesPage)
	if no != nil {
		return nil, no
	}
	zones := []zoneAnswer{}
	for _, z := range shown {
		zones = append(zones, z.answer())
	}
	return struct {
		TotalCount int
		Zones      []zoneAnswer
	}{len(rows), zones}, nil
}

// ordered sorts zones by a documented Order and Direction. The default is
// newest first.
func ordered(rows []*zone, order, direction string) ([]*zone, *refusal) {
	compare, known := zoneOrders()[order]
	if !known || !slices.Contains([]string{"", "asc", "desc"}, direction) {
		return nil, refuse("InvalidParameterValue", "Order or Direction is not a documented one.")
	}
	rows = slices.Clone(rows)
	slices.SortStableFunc(rows, compare)
	if direction != "asc" {
		slices.Reverse(rows)
	}
	return rows, nil
}

// Gateway is a multi-channel security acceleration gateway of a zone.
type Gateway struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Type   string `json:"type"` // cloud or private
	IP     string `json:"ip"`
	Port   int    `json:"port"`
	Region string `json:"region,omitempty"`
}

type gatewayAnswer struct {
	GatewayId, GatewayName, GatewayType string
	GatewayPort                         int
	Status, GatewayIP, RegionId         string
	NeedConfirm                         string
}

func describeGateways(e *EdgeOne, body []byte, how conduct) (any, *refusal) {
	in, no := decode[struct {
		page
		ZoneId  *string
		Filters []filter
	}](body)
	if no != nil {
		return nil, no
	}
	z, no := e.zoneByID(in.ZoneId, how)
	if no != nil {
		return nil, no
	}
	for i := range in.Filters {
		in.Filters[i].Fuzzy = in.Filters[i].Name == "keyword"
	}
	rows, no := matching(z.Gateways, in.Filters, map[string]func(Gateway) []string{
		"gateway-type": func(g Gateway) []string { return []string{g.Type} },
		"keyword":      func(g Gateway) []string { return []string{g.ID, g.Name, g.IP} },
	})
	if no != nil {
		return nil, no
	}
	shown, no := cut(rows, in.page, maxGatewaysPage)
	if no != nil {
		return nil, no
	}
	gateways := []gatewayAnswer{}
	for _, g := range shown {
		gateways = append(gateways, gatewayAnswer{g.ID, g.Name, g.Type, g.Port, "online", g.IP, g.Region, "false"})
	}
	return struct {
		Gateways   []gatewayAnswer
		TotalCount int
	}{gateways, len(rows)}, nil
}
