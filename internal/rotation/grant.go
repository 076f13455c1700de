package rotation

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Grant is sealed together with a key. It says to whom the key may be given,
// and until when.
type Grant struct {
	// Hosts may be given the key, and no others. A probe has none.
	Hosts []HostName
	// At is when it was sealed. From Until on it must not be used any more: the
	// live key is read back and sealed again. Both are on Temporal's clock.
	At, Until time.Time
}

// GrantFor is a grant to hosts from now on, for life.
func GrantFor(hosts []HostName, now time.Time, life time.Duration) Grant {
	return Grant{Hosts: hosts, At: now, Until: now.Add(life)}
}

// Gives says whether the host may be given the key.
func (g Grant) Gives(h HostName) bool { return slices.Contains(g.Hosts, h) }

// Over says that the key must not be used any more.
func (g Grant) Over(now time.Time) bool { return !now.Before(g.Until) }

// Named lists hosts for people: "gw-1, gw-2 and gw-3", only the first of many,
// or "nobody".
func Named(hosts []HostName) string {
	const most = 8
	switch n := len(hosts); {
	case n == 0:
		return "nobody"
	case n == 1:
		return string(hosts[0])
	case n > most:
		return commas(hosts[:most]) + fmt.Sprintf(" and %d more", n-most)
	default:
		return commas(hosts[:n-1]) + " and " + string(hosts[n-1])
	}
}

func commas[S ~string](words []S) string {
	all := make([]string, len(words))
	for i, w := range words {
		all[i] = string(w)
	}
	return strings.Join(all, ", ")
}

// Holders are the hosts to which a process's fleet file gives a zone's key.
type Holders []HostRef

// Allow says why a key of the zone may not go to all hosts that are asked for.
// It is empty when it may. They may be fewer than the fleet file has.
func (given Holders) Allow(zone ZoneID, asked []HostRef) string {
	return given.differ(zone, asked, nil)
}

// Match says why the zone may not be refreshed for exactly the hosts that are
// asked for. It is empty when it may. If one of the fleet file's hosts were
// left out, without being retired with a reason, it would be without the new
// key.
func (given Holders) Match(zone ZoneID, asked []HostRef, retired []RetiredHost) string {
	left := slices.DeleteFunc(slices.Clone(given), func(h HostRef) bool {
		return slices.ContainsFunc(retired, func(r RetiredHost) bool {
			return r.Host == h.Name && (r.Zone == "" || r.Zone == zone) && r.Reason != ""
		})
	})
	return given.differ(zone, asked, left)
}

// differ lists hosts that are asked for and not given, and hosts that are
// wanted and not asked for.
func (given Holders) differ(zone ZoneID, asked, wanted []HostRef) string {
	var strange, missing []HostName
	for _, h := range asked {
		if !has(given, h) {
			strange = append(strange, HostName(string(h.Name)+" in "+string(h.Location)))
		}
	}
	for _, h := range wanted {
		if !has(asked, h) {
			missing = append(missing, h.Name)
		}
	}
	if len(strange)+len(missing) == 0 && len(asked) > 0 {
		return ""
	}
	why := fmt.Sprintf("the fleet file of this worker gives %s to %s; asked for: %s", zone, Named(NamesOf(given)), Named(NamesOf(asked)))
	if len(given) == 0 {
		why = fmt.Sprintf("the fleet file of this worker has no zone %s; asked for: %s", zone, Named(NamesOf(asked)))
	}
	if len(strange) > 0 {
		why += "; not of the zone: " + Named(strange)
	}
	if len(missing) > 0 {
		why += "; missing: " + Named(missing)
	}
	return why
}

func has(hosts []HostRef, one HostRef) bool {
	return slices.ContainsFunc(hosts, func(h HostRef) bool { return h.Name == one.Name && h.Location == one.Location })
}

// NamesOf are the names of hosts, in their order.
func NamesOf(hosts []HostRef) []HostName {
	names := make([]HostName, len(hosts))
	for i, h := range hosts {
		names[i] = h.Name
	}
	return names
}
