package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"keywave/internal/planning"
	"keywave/internal/rotation"
	"keywave/internal/temporalclient"
	"keywave/workflows"
)

// elsewhere are the zones that others have, or that were rotated just now.
func elsewhere(ctx context.Context, conn *temporalclient.Connection, zones []rotation.ZoneID) (planning.Elsewhere, error) {
	also, err := planning.LookElsewhere(ctx, conn, zones, func(string, bool) bool { return false }, time.Now())
	if err != nil {
		return also, refused(fmt.Errorf("%w; nothing was changed", err))
	}
	return also, nil
}

// alone refuses to rotate zones that others have, or that were rotated just now,
// unless a person accepts that.
func alone(ctx context.Context, conn *temporalclient.Connection, zones []rotation.ZoneID, o *startOptions) (*workflows.AlsoRotated, error) {
	also, err := elsewhere(ctx, conn, zones)
	if err != nil || also.Zones == 0 {
		return nil, err
	}
	if o.alsoRotated {
		return &workflows.AlsoRotated{Zones: also.Zones, Texts: also.Texts, Reason: o.reason}, nil
	}
	return nil, refused(fmt.Errorf("%d of %s belong to other campaigns too, or were rotated just now; nothing was started:\n  %s\nSee: keywave campaign list. Wait for the others, or rotate these zones as well: --also-rotated --reason \"…\"",
		also.Zones, many(len(zones), "zone"), strings.Join(also.Texts, "\n  ")))
}
