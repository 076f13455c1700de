package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"keywave/internal/rotation"
)

// DiscoverIn asks for a part of an account's zones.
type DiscoverIn struct {
	Query rotation.ZoneQuery `json:"query"`
	// Gateways asks for the private gateways of each zone: a call for each.
	Gateways bool `json:"gateways,omitempty"`
	// From is the offset to begin at.
	From int `json:"from"`
}

// DiscoverOut is the part: at most so many zones that it stays far below
// Temporal's 2 MB.
type DiscoverOut struct {
	Zones []rotation.ListedZone `json:"zones,omitempty"`
	// Total and Next are as those of a rotation.ZonePage.
	Total int `json:"total"`
	Next  int `json:"next"`
	// Moved says that zones were deleted meanwhile: begin again.
	Moved bool `json:"moved,omitempty"`
}

const (
	discoverMost   = 500       // zones asked for in one part
	discoverBytes  = 512 << 10 // of JSON, after which a part ends
	gatewaysAtOnce = 4         // enough for the account's pace over a slow line
)

// Discover lists zones, and changes nothing.
func (e *EdgeOne) Discover(ctx context.Context, in DiscoverIn) (DiscoverOut, error) {
	defer beat(ctx)()
	whole := ctx
	ctx, cancel := inTime(ctx)
	defer cancel()
	out := DiscoverOut{Next: in.From}
	// What was listed in time is not lost.
	late := func() bool { return ctx.Err() != nil && whole.Err() == nil && out.Next > in.From }
	for size := 0; out.Next-in.From < discoverMost && size < discoverBytes; {
		page, err := e.Inventory.Zones(ctx, in.Query, out.Next)
		if err != nil {
			err = unlisted(ctx, "the zones cannot be listed", err)
		} else if in.Gateways {
			err = e.gateways(ctx, page.Zones)
		}
		if err != nil && late() {
			return out, nil
		} else if err != nil {
			return out, err
		}
		for i := range page.Zones {
			page.Zones[i].Tags = kept(page.Zones[i].Tags)
		}
		body, _ := json.Marshal(page.Zones)
		size += len(body)
		out.Zones = append(out.Zones, page.Zones...)
		out.Moved = out.Moved || page.Total < out.Total
		out.Total, out.Next = page.Total, page.Next
		if out.Moved || out.Next >= out.Total {
			break
		}
	}
	return out, nil
}

// gateways fills in the gateways of zones, a few calls at a time.
func (e *EdgeOne) gateways(ctx context.Context, zones []rotation.ListedZone) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(gatewaysAtOnce)
	for i := range zones {
		group.Go(func() error {
			var err error
			if zones[i].Gateways, err = e.Inventory.Gateways(ctx, zones[i].ID); err != nil {
				return unlisted(ctx, fmt.Sprintf("the gateways of zone %.64q cannot be listed", zones[i].ID), err)
			}
			return nil
		})
	}
	return group.Wait()
}

// kept is the tag that says something to Keywave; the others are EdgeOne's.
func kept(tags map[string]string) map[string]string {
	tier, has := tags[rotation.TierLabel]
	if !has {
		return nil
	}
	return map[string]string{rotation.TierLabel: tier}
}

func unlisted(ctx context.Context, what string, err error) error {
	api, ok := errors.AsType[*rotation.APIError](err)
	switch {
	case ok && api.Class == rotation.Denied:
		return fail(KindDenied, fmt.Sprintf("%s: %s; which permissions the account's credentials need: keywave doctor --policy", what, api))
	case ok:
		return fail(KindListing, fmt.Sprintf("%s: %s", what, api))
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return fail(KindLease, err.Error())
}
