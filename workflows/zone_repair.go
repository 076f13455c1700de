package workflows

import (
	"fmt"
	"slices"
	"strings"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"keywave/internal/rotation"
)

// RepairOrder joins a running zone: its live key is delivered at once, and, where
// changes are accepted, to Hosts as they are defined at present.
type RepairOrder struct {
	Hosts         []rotation.HostRef `json:"hosts"`
	AcceptChanges bool               `json:"acceptChanges,omitempty"`
	By            string             `json:"by,omitempty"`
	Reason        string             `json:"reason,omitempty"`
}

// RepairAnswer says what becomes of it.
type RepairAnswer struct {
	// Text is for people.
	Text string `json:"text"`
	// Differences are between the hosts that the zone runs with and those of the
	// order; none where it names no host.
	Differences []string `json:"differences,omitempty"`
	// Record is what is known of the zone now. It has no outcome yet.
	Record *rotation.Record `json:"record,omitempty"`
}

// mayRepair refuses an order that would change nothing, or that nobody answers
// for.
func (z *zone) mayRepair(o RepairOrder) error {
	refuse := func(text string) error {
		return temporal.NewNonRetryableApplicationError(text, "Refused", nil)
	}
	switch {
	case z.trip.Ended != "":
		return refuse("its operation has just ended; run the command again")
	case !z.goesOn():
		return refuse(fmt.Sprintf("zone %s needs no repair: no refresh was sent, the old key is alive", z.in.Zone))
	case o.AcceptChanges && (o.By == "" || o.Reason == ""):
		return refuse("to accept changed definitions, give a reason: --reason")
	case o.AcceptChanges && len(o.Hosts) == 0:
		return refuse("the order names no host")
	}
	return nil
}

func (z *zone) repair(_ workflow.Context, o RepairOrder) (RepairAnswer, error) {
	var differences []string
	if len(o.Hosts) > 0 {
		differences = z.differences(slices.DeleteFunc(slices.Clone(o.Hosts), z.retired))
	}
	answer := RepairAnswer{Differences: differences}
	switch {
	case len(differences) == 0:
		answer.Text = "it delivers the live key again at once"
	case !o.AcceptChanges:
		answer.Text = "it delivers the live key again at once, by the definitions it began with; to deliver by the present ones: --accept-changes --reason"
	default:
		z.rehost(o, differences)
		answer.Text = "it delivers the live key by the present definitions"
	}
	z.trip.Wakes(z.now())
	z.wake()
	record := z.trip.Record(z.now(), z.requestID, z.api)
	answer.Record = &record
	return answer, nil
}

// rehost lets the zone go on with the hosts of an order. The key is sealed again,
// because a seal names the hosts.
func (z *zone) rehost(o RepairOrder, differences []string) {
	hosts := slices.DeleteFunc(slices.Clone(o.Hosts), z.retired)
	var asBefore []rotation.HostName
	for _, h := range hosts {
		if slices.ContainsFunc(z.in.Hosts, func(b rotation.HostRef) bool { return same(h, b) }) {
			asBefore = append(asBefore, h.Name)
		}
	}
	z.mintedFor(hosts)
	z.in.Hosts, z.sealed, z.withheld, z.proofs = hosts, nil, "", nil
	z.trip.Rehost(z.now(), namesOf(hosts), asBefore, fmt.Sprintf("%s accepted other definitions (%s): %s", o.By, strings.Join(differences, "; "), o.Reason))
}

func (z *zone) retired(h rotation.HostRef) bool {
	return slices.ContainsFunc(z.in.Retired, func(r rotation.RetiredHost) bool { return r.Host == h.Name })
}

func same(a, b rotation.HostRef) bool {
	return a.Name == b.Name && a.Location == b.Location && a.Digest == b.Digest
}

// differences says how hosts differ from those that the zone runs with.
func (z *zone) differences(hosts []rotation.HostRef) []string {
	var all []string
	for _, h := range hosts {
		i := slices.IndexFunc(z.in.Hosts, func(b rotation.HostRef) bool { return b.Name == h.Name })
		switch {
		case i < 0:
			all = append(all, fmt.Sprintf("host %s (%s) is new", h.Name, h.Location))
		case z.in.Hosts[i].Location != h.Location:
			all = append(all, fmt.Sprintf("host %s is in location %s, was in %s", h.Name, h.Location, z.in.Hosts[i].Location))
		case z.in.Hosts[i].Digest != h.Digest:
			all = append(all, fmt.Sprintf("host %s is defined otherwise (digest %.8s, was %.8s)", h.Name, h.Digest, z.in.Hosts[i].Digest))
		}
	}
	for _, b := range z.hosts() {
		if !slices.ContainsFunc(hosts, func(h rotation.HostRef) bool { return h.Name == b.Name }) {
			all = append(all, fmt.Sprintf("host %s is not a host of the zone any more", b.Name))
		}
	}
	return all
}
