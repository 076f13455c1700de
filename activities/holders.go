package activities

import (
	"context"

	"keywave/internal/rotation"
)

// codeFleet stands where EdgeOne's error code would: it is the same for all zones
// that the fleet file gives to others than are asked for.
const codeFleet = "FleetDiffers"

// mayNot says why nothing may be signed or minted: who gets a zone's key is decided here, by
// this process's own fleet file, and not by whoever writes to Temporal. again says
// that another try may be worth it.
func (e *EdgeOne) mayNot(ctx context.Context, zone rotation.ZoneID, hosts []rotation.HostRef, retired []rotation.RetiredHost) (why string, again bool) {
	if why := stray(ctx, ZoneWorkflow(zone), ZoneType); why != "" {
		return why, false
	}
	given, err := e.Holders(ctx, zone)
	if err != nil {
		return "who may get the key of " + string(zone) + " is not known: " + err.Error(), true
	}
	return given.Match(zone, hosts, retired), false
}

// withholds says why the hosts may not be given the live key. Where the fleet
// cannot be asked, its last answer counts: a zone that is exposed needs the key
// more than the newest answer.
func (e *EdgeOne) withholds(ctx context.Context, in ReadIn) string {
	if why := stray(ctx, ZoneWorkflow(in.Zone), ZoneType); why != "" {
		return why
	}
	given, err := e.Holders(ctx, in.Zone)
	if err != nil && len(given) == 0 {
		return "who may get the key of " + string(in.Zone) + " is not known: " + err.Error()
	}
	return given.Allow(in.Zone, in.Hosts)
}
