package main

import (
	"fmt"

	"keywave/internal/fleet"
	"keywave/internal/rotation"
	"keywave/workflows"
)

// checkRehearsed says of each host which file was put over itself. A host that failed
// is named among the hosts.
func checkRehearsed(f *fleet.Fleet, outs []workflows.CheckupOut) []check {
	zones := map[rotation.HostName]rotation.ZoneID{}
	for _, z := range f.Zones {
		for _, h := range z.Hosts {
			if _, is := zones[h]; !is {
				zones[h] = z.ID
			}
		}
	}
	var checks []check
	for _, out := range outs {
		for _, l := range out.Locations {
			for _, p := range l.Proofs {
				if p.Problem == "" {
					checks = append(checks, checkRehearsal(f.Hosts[p.Host], zones[p.Host], p.Rehearsed))
				}
			}
		}
	}
	return checks
}

func checkRehearsal(h fleet.Host, zone rotation.ZoneID, held rotation.Fingerprint) check {
	c := check{What: "rehearsal on " + string(h.Name), Level: levelOK}
	switch held {
	case "":
		c.Level, c.Saw = levelNote, "not possible: the program that brings its keys cannot be asked for it; nothing was changed"
	case rotation.Absent:
		c.Level, c.Saw = levelNote, fmt.Sprintf("%s is not there yet, and there was nothing to put over it", h.Place(zone))
	default:
		c.Saw = fmt.Sprintf("%s was replaced by its own content, %s of %s, and reload and verify ended well", h.Place(zone), held, zone)
	}
	return c
}
