package plan

import "time"

// Approval is what a person approved for campaigns to come: a fleet, and how
// campaigns of it run.
type Approval struct {
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
	// Digest is the fleet's; Zones and Hosts are how many it had.
	Digest string `json:"digest"`
	Zones  int    `json:"zones"`
	Hosts  int    `json:"hosts"`
	// Whole holds the settings and, of a fleet that is not large, all zones and
	// hosts, so that it can be said what differs later.
	Whole Whole `json:"whole"`
}

// Differs says what is not as it was approved; nil when everything is. fields
// is as for Diff.
func (a Approval) Differs(now Approval, fields func(old, now string) []string) []Difference {
	was, is := a.Whole, now.Whole
	if was.Pages == nil || is.Pages == nil {
		was, is = Whole{Settings: was.Settings}, Whole{Settings: is.Settings}
	}
	found := Diff(was, is, fields)
	if a.Digest != now.Digest && len(found) == 0 {
		found = append(found, Difference{Text: "zones, hosts, labels or the endpoint are others"})
	}
	return found
}
