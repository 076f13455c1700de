package rotation

import (
	"context"
	"maps"
	"slices"
	"strings"
)

// Inventory is what EdgeOne knows of an account's zones. Its errors are like
// those of EdgeOne. It changes nothing.
type Inventory interface {
	// Zones lists the zones that a query chooses (DescribeZones), oldest first:
	// one page of them, from offset on. It tries again where that may help.
	Zones(ctx context.Context, q ZoneQuery, offset int) (ZonePage, error)
	// Gateways lists the private gateways of a zone (DescribeMultiPathGateways).
	// Cloud gateways hold no key of ours.
	Gateways(ctx context.Context, zone ZoneID) ([]Gateway, error)
}

// ZoneQuery chooses zones. A zone must match every field that is not empty.
type ZoneQuery struct {
	// ID is the one zone that is asked for.
	ID ZoneID `json:"id,omitempty"`
	// Name is a zone's name, in which each * stands for anything.
	Name string `json:"name,omitempty"`
	// Status is active or pending.
	Status string            `json:"status,omitempty"`
	Tags   map[string]string `json:"tags,omitempty"`
}

// Chooses says whether the zone has the name and all of the tags. EdgeOne
// cannot be asked for that, because its filters know neither * nor two tags at
// once. Only EdgeOne's answer says which zones have the status.
func (q ZoneQuery) Chooses(z ListedZone) bool {
	for key, value := range q.Tags {
		if have, ok := z.Tags[key]; !ok || have != value {
			return false
		}
	}
	return (q.ID == "" || q.ID == z.ID) && (q.Name == "" || glob(q.Name, z.Name))
}

// glob matches with * for any text.
func glob(pattern, s string) bool {
	first, rest, stars := strings.Cut(pattern, "*")
	if !stars {
		return pattern == s
	}
	s, ok := strings.CutPrefix(s, first)
	if !ok {
		return false
	}
	parts := strings.Split(rest, "*")
	last := parts[len(parts)-1]
	for _, part := range parts[:len(parts)-1] {
		_, after, found := strings.Cut(s, part)
		if !found {
			return false
		}
		s = after
	}
	return strings.HasSuffix(s, last)
}

// String describes the query for people. It is "all zones" when it leaves none
// out.
func (q ZoneQuery) String() string {
	var parts []string
	if q.ID != "" {
		parts = append(parts, "zone "+string(q.ID))
	}
	if q.Name != "" {
		parts = append(parts, "name "+q.Name)
	}
	if q.Status != "" {
		parts = append(parts, "status "+q.Status)
	}
	for _, key := range slices.Sorted(maps.Keys(q.Tags)) {
		parts = append(parts, "tag "+key+"="+q.Tags[key])
	}
	if len(parts) == 0 {
		return "all zones"
	}
	return strings.Join(parts, ", ")
}

// ZonePage is a part of a listing.
type ZonePage struct {
	Zones []ListedZone
	// Total is how many zones EdgeOne has for its filters. If it gets smaller
	// from page to page, zones were deleted, and others may have been missed.
	// Next is the offset of the next page; the listing ends where Next reaches
	// Total.
	Total int
	Next  int
}

// TierLabel is the label, and the tag at EdgeOne, that lets a zone go first if
// its value is "canary".
const TierLabel = "tier"

// ListedZone is a zone as EdgeOne lists it.
type ListedZone struct {
	ID   ZoneID `json:"id"`
	Name string `json:"name,omitempty"`
	// Locked says in EdgeOne's words why the zone may not be changed now. It is
	// empty when it may.
	Locked string            `json:"locked,omitempty"`
	Tags   map[string]string `json:"tags,omitempty"`
	// Gateways are its private gateways, if they were asked for.
	Gateways []Gateway `json:"gateways,omitempty"`
}

// Gateway is a private gateway of a zone.
type Gateway struct {
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
	IP   string `json:"ip,omitempty"`
}
