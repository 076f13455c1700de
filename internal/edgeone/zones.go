package edgeone

import (
	"context"
	"errors"
	"slices"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	teo "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/teo/v20220901"

	"keywave/internal/rotation"
)

// ZoneFilter chooses zones; an empty field does not choose. All that are given
// must hold.
type ZoneFilter struct {
	Name     string // a part of the zone's name
	Status   string // active, pending or deleted
	TagKey   string
	TagValue string
	IDs      []rotation.ZoneID
}

// ZoneInfo is a zone as EdgeOne lists it (DescribeZones).
type ZoneInfo struct {
	ID     rotation.ZoneID
	Name   string
	Status string // active, pending, moved, deactivated or initializing
	// LockStatus is enable when the zone may be changed; disable or
	// plan_migrate when it may not.
	LockStatus string
	Paused     bool
	Tags       map[string]string
}

const (
	zonesPage = 100 // the most that EdgeOne gives at once
	filterMax = 20  // the most values that a filter takes
	pageTries = 5
	listTries = 3
)

var errZonesMoved = errors.New("EdgeOne: zones were deleted while they were being listed, each time; nothing was changed, list them again later")

// Zones lists the account's zones, oldest first. It asks a page again when
// that may help, and begins anew when zones vanish between two pages, since
// others could have slipped past. Nothing is changed by it.
func (c *Client) Zones(ctx context.Context, filter ZoneFilter) ([]ZoneInfo, error) {
	if len(filter.IDs) == 0 {
		return c.list(ctx, filter)
	}
	var all []ZoneInfo
	for ids := range slices.Chunk(filter.IDs, filterMax) {
		part := filter
		part.IDs = ids
		zones, err := c.list(ctx, part)
		if err != nil {
			return nil, err
		}
		all = append(all, zones...)
	}
	return all, nil
}

func (c *Client) list(ctx context.Context, filter ZoneFilter) ([]ZoneInfo, error) {
	for range listTries {
		zones, still, err := c.listOnce(ctx, filter)
		if err != nil {
			return nil, err
		}
		if still {
			return zones, nil
		}
	}
	return nil, errZonesMoved
}

// listOnce goes through the pages; still says that no zone vanished meanwhile.
func (c *Client) listOnce(ctx context.Context, filter ZoneFilter) (zones []ZoneInfo, still bool, err error) {
	seen := map[rotation.ZoneID]bool{}
	total := int64(0)
	for offset := int64(0); offset == 0 || offset < total; {
		page, err := c.pagePatiently(ctx, filter, offset)
		if err != nil {
			return nil, false, err
		}
		if page.total < total {
			return nil, false, nil
		}
		total = page.total
		for _, z := range page.zones {
			if !seen[z.ID] {
				seen[z.ID] = true
				zones = append(zones, z)
			}
		}
		if len(page.zones) == 0 {
			break
		}
		offset += int64(len(page.zones))
	}
	return zones, true, nil
}

type zonePage struct {
	total int64
	zones []ZoneInfo
}

func (c *Client) pagePatiently(ctx context.Context, filter ZoneFilter, offset int64) (zonePage, error) {
	for try := 0; ; try++ {
		page, err := c.page(ctx, filter, offset)
		api, ok := errors.AsType[*rotation.APIError](err)
		if !ok || try+1 == pageTries || !slices.Contains([]rotation.Class{rotation.Throttled, rotation.Unsent, rotation.Ambiguous}, api.Class) {
			return page, err
		}
		if _, err := sleep(ctx, c.patience<<try, nil); err != nil {
			return zonePage{}, err
		}
	}
}

func (c *Client) page(ctx context.Context, filter ZoneFilter, offset int64) (zonePage, error) {
	var answer *teo.DescribeZonesResponseParams
	receipt, err := c.call(ctx, ActionZones, nil, func(ctx context.Context) (*string, error) {
		var err error
		if answer, err = c.sdk.zones(ctx, zonesRequest(filter, offset)); answer == nil {
			return nil, err
		}
		return answer.RequestId, err
	})
	if err != nil {
		return zonePage{}, err
	}
	page, ok := readPage(answer, offset)
	if !ok {
		return zonePage{}, &rotation.APIError{Class: rotation.Ambiguous, Code: codeBadPage, RequestID: receipt.RequestID}
	}
	return page, nil
}

// zonesRequest asks for the oldest zones first: with the default order, a zone
// made meanwhile would shift the pages.
func zonesRequest(filter ZoneFilter, offset int64) *teo.DescribeZonesRequest {
	req := teo.NewDescribeZonesRequest()
	req.Offset = common.Int64Ptr(offset)
	req.Limit = common.Int64Ptr(zonesPage)
	req.Order = common.StringPtr("create-time")
	req.Direction = common.StringPtr("asc")
	choose := func(name string, fuzzy bool, values ...string) {
		if len(values) == 0 || values[0] == "" {
			return
		}
		f := &teo.AdvancedFilter{Name: &name, Values: common.StringPtrs(values)}
		if fuzzy {
			f.Fuzzy = &fuzzy
		}
		req.Filters = append(req.Filters, f)
	}
	choose("zone-name", true, filter.Name)
	choose("status", false, filter.Status)
	choose("tag-key", false, filter.TagKey)
	choose("tag-value", false, filter.TagValue)
	ids := make([]string, len(filter.IDs))
	for i, id := range filter.IDs {
		ids[i] = string(id)
	}
	choose("zone-id", false, ids...)
	return req
}

// readPage refuses a page from which a zone could be missing unnoticed.
func readPage(answer *teo.DescribeZonesResponseParams, offset int64) (zonePage, bool) {
	if answer.TotalCount == nil || *answer.TotalCount > offset && len(answer.Zones) == 0 {
		return zonePage{}, false
	}
	page := zonePage{total: *answer.TotalCount}
	for _, z := range answer.Zones {
		if z == nil || z.ZoneId == nil || *z.ZoneId == "" {
			return zonePage{}, false
		}
		page.zones = append(page.zones, ZoneInfo{
			ID:         rotation.ZoneID(*z.ZoneId),
			Name:       deref(z.ZoneName),
			Status:     deref(z.Status),
			LockStatus: deref(z.LockStatus),
			Paused:     deref(z.Paused),
			Tags:       tags(z.Tags),
		})
	}
	return page, true
}

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
