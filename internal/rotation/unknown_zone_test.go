package rotation

import (
	"strings"
	"testing"
	"time"
)

// Of a deleted zone's key, no text says that it is alive.
func TestADeletedZonesKeyIsNotKnown(t *testing.T) {
	now := time.Date(2026, 11, 27, 6, 0, 0, 0, time.UTC)
	for code, gone := range map[string]bool{
		"InvalidParameter": true, "InvalidParameter.ZoneNotFound": true, "ResourceNotFound": true,
		"OperationDenied": false, "InvalidParameterX": false, "": false,
	} {
		refused := NewTrip(Rotate, "zone-1", []HostName{"gw-1"}, Timing{}, "0123456789abcdef", true)
		refused.RefusedBy(now, "EdgeOne: "+code, code, false)
		unread := NewTrip(Rotate, "zone-1", []HostName{"gw-1"}, Timing{}, "", true)
		unread.Unreadable(now, "EdgeOne: "+code, code, false)
		for _, trip := range []*Trip{refused, unread} {
			if trip.Ended != Unchanged || strings.Contains(trip.Why, "not known") != gone || gone && strings.Contains(trip.Why, "alive") {
				t.Errorf("%q: %s: %s", code, trip.Ended, trip.Why)
			}
		}
	}
}
