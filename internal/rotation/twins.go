package rotation

import (
	"fmt"
	"maps"
	"slices"
)

// Twins are two hosts that seem to have one and the same file for a zone.
type Twins struct {
	Hosts [2]HostName `json:"hosts"`
	// Shared says that the file is in a directory that several machines share;
	// otherwise the hosts seem to be one machine.
	Shared bool `json:"shared,omitempty"`
}

// String says what was found, and what to do.
func (t Twins) String() string {
	why := "they seem to be one machine"
	if t.Shared {
		why = "its directory is shared between machines"
	}
	return fmt.Sprintf("%s and %s have one and the same file: %s; take one of them out of the fleet file, or give it a path of its own", t.Hosts[0], t.Hosts[1], why)
}

// FindTwins compares where hosts have their files. Each host is paired with the
// first host, by name, that has one of its files.
func FindTwins(located map[HostName]Whereabouts) []Twins {
	type file struct {
		zone          ZoneID
		file, machine string // machine is empty where the directory is shared
	}
	first := map[file]HostName{}
	var all []Twins
	for _, host := range slices.Sorted(maps.Keys(located)) {
		s := located[host]
		for zone, place := range s.Places {
			key := file{zone, place.File, s.Machine}
			if place.Shared {
				key.machine = ""
			}
			if place.File == "" || key.machine == "" && !place.Shared {
				continue
			}
			if one, there := first[key]; !there {
				first[key] = host
			} else if t := (Twins{[2]HostName{one, host}, place.Shared}); !slices.Contains(all, t) {
				all = append(all, t)
			}
		}
	}
	slices.SortFunc(all, func(a, b Twins) int { return slices.Compare(a.Hosts[:], b.Hosts[:]) })
	return all
}
