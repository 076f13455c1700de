package rotation

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Grant is sealed together with a key: to whom the key may be given, and until
// when.
type Grant struct {
	// Hosts may be given the key, and no other; a probe has none.
	Hosts []HostName
	// At is when it was sealed. From Until on it is not used any more: the live
	// key is read back and sealed anew. Both are on Temporal's clock.
	At, Until time.Time
}

// GrantFor is a grant to hosts from now on, for life.
func GrantFor(hosts []HostName, now time.Time, life time.Duration) Grant {
	return Grant{Hosts: hosts, At: now, Until: now.Add(life)}
}

// Gives says whether the host may be given the key.
func (g Grant) Gives(h HostName) bool { return slices.Contains(g.Hosts, h) }

// Over says that the key is not to be used any more.
func (g Grant) Over(now time.Time) bool { return !now.Before(g.Until) }

// Named says hosts to people: "gw-1, gw-2 and gw-3", the first of many, or
// "nobody".
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

func commas(hosts []HostName) string {
	all := make([]string, len(hosts))
	for i, h := range hosts {
		all[i] = string(h)
	}
	return strings.Join(all, ", ")
}
