package edgeone

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	teo "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/teo/v20220901"

	"keywave/internal/rotation"
)

const (
	zonesPage = 100 // the most that EdgeOne gives at once
	pageTries = 5
)

var _ rotation.Inventory = (*Client)(nil)

// Zones implements rotation.Inventory.
func (c *Client) Zones(ctx context.Context, q rotation.ZoneQuery, offset int) (rotation.ZonePage, error) {
	page, err := patiently(ctx, c, func() (listed[rotation.ListedZone], error) { return c.zonesAt(ctx, q, offset) })
	if err != nil {
		return rotation.ZonePage{}, err
	}
	chosen := slices.DeleteFunc(slices.Clone(page.rows), func(z rotation.ListedZone) bool { return !q.Chooses(z) })
	return rotation.ZonePage{Zones: chosen, Total: page.total, Next: offset + len(page.rows)}, nil
}

// listed is one answer of a listing, checked so that nothing can be missing
// from it unnoticed.
type listed[T any] struct {
	total int
	rows  []T
}

// patiently asks for a page again when that may help.
func patiently[T any](ctx context.Context, c *Client, ask func() (listed[T], error)) (listed[T], error) {
	for try := 0; ; try++ {
		page, err := ask()
		api, ok := errors.AsType[*rotation.APIError](err)
		if !ok || try+1 == pageTries || !slices.Contains([]rotation.Class{rotation.Throttled, rotation.Unsent, rotation.Ambiguous}, api.Class) {
			return page, err
		}
		if _, err := sleep(ctx, c.patience<<try, nil); err != nil {
			return listed[T]{}, err
		}
	}
}

func (c *Client) zonesAt(ctx context.Context, q rotation.ZoneQuery, offset int) (listed[rotation.ListedZone], error) {
	var answer *teo.DescribeZonesResponseParams
	receipt, err := c.call(ctx, ActionZones, nil, func(ctx context.Context) (*string, error) {
		var err error
		if answer, err = c.sdk.zones(ctx, zonesRequest(q, offset)); answer == nil {
			return nil, err
		}
		return answer.RequestId, err
	})
	if err != nil {
		return listed[rotation.ListedZone]{}, err
	}
	return checked(answer.TotalCount, answer.Zones, offset, receipt, readZone)
}

// checked refuses a page from which a row could be missing unnoticed.
func checked[A, T any](total *int64, rows []*A, offset int, receipt rotation.Receipt, read func(A) (T, bool)) (listed[T], error) {
	bad := &rotation.APIError{Class: rotation.Ambiguous, Code: codeBadPage, RequestID: receipt.RequestID}
	if total == nil || *total < 0 || int(*total) > offset && len(rows) == 0 {
		return listed[T]{}, bad
	}
	page := listed[T]{total: int(*total)}
	for _, row := range rows {
		if row == nil {
			return listed[T]{}, bad
		}
		one, ok := read(*row)
		if !ok {
			return listed[T]{}, bad
		}
		page.rows = append(page.rows, one)
	}
	return page, nil
}

// zonesRequest asks for the oldest zones first: with the default order, a zone
// made meanwhile would shift the pages.
func zonesRequest(q rotation.ZoneQuery, offset int) *teo.DescribeZonesRequest {
	req := teo.NewDescribeZonesRequest()
	req.Offset = common.Int64Ptr(int64(offset))
	req.Limit = common.Int64Ptr(zonesPage)
	req.Order = common.StringPtr("create-time")
	req.Direction = common.StringPtr("asc")
	choose := func(name, value string, fuzzy bool) {
		if value == "" {
			return
		}
		f := &teo.AdvancedFilter{Name: &name, Values: common.StringPtrs([]string{value})}
		if fuzzy {
			f.Fuzzy = &fuzzy
		}
		req.Filters = append(req.Filters, f)
	}
	choose("zone-id", string(q.ID), false)
	choose("zone-name", longestPart(q.Name), strings.Contains(q.Name, "*"))
	choose("status", q.Status, false)
	// One tag at most: of several, EdgeOne would compare keys and values apart.
	for _, key := range slices.Sorted(maps.Keys(q.Tags))[:min(1, len(q.Tags))] {
		choose("tag-key", key, false)
		choose("tag-value", q.Tags[key], false)
	}
	return req
}

// longestPart is the longest text of a name between its *.
func longestPart(name string) string {
	longest := ""
	for part := range strings.SplitSeq(name, "*") {
		if len(part) > len(longest) {
			longest = part
		}
	}
	return longest
}

func readZone(z teo.Zone) (rotation.ListedZone, bool) {
	out := rotation.ListedZone{ID: rotation.ZoneID(deref(z.ZoneId)), Name: deref(z.ZoneName), Tags: tags(z.Tags)}
	switch lock := deref(z.LockStatus); {
	case lock != "" && lock != "enable":
		out.Locked = "its lock status is " + clipped(lock)
	case deref(z.Paused):
		out.Locked = "it is paused"
	}
	return out, out.ID != ""
}

// clipped keeps what is only shown to people short.
func clipped(s string) string { return s[:min(len(s), 64)] }

func tags(list []*teo.Tag) map[string]string {
	if len(list) == 0 {
		return nil
	}
	m := make(map[string]string, len(list))
	for _, t := range list {
		if t != nil && t.TagKey != nil {
			m[*t.TagKey] = deref(t.TagValue)
		}
	}
	return m
}

func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
