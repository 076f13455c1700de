package workflows

import (
	"go.temporal.io/sdk/workflow"

	"keywave/activities"
	"keywave/internal/rotation"
)

// CheckupIn names what is tried: an account, on one of its zones, and hosts.
type CheckupIn struct {
	Account rotation.Account       `json:"account"`
	Zone    rotation.ZoneID        `json:"zone"`
	Hosts   []activities.ProveHost `json:"hosts"`
	// Rehearse has each host put the key that it holds for its first zone over itself.
	Rehearse bool `json:"rehearse,omitempty"`
}

// CheckupOut is what was found. Nothing was changed, except by a rehearsal.
type CheckupOut struct {
	EdgeOne activities.ExamineOut `json:"edgeOne"`
	// Unasked is why the account's worker could not be asked, Unsealed why it
	// can seal no key.
	Unasked  string `json:"unasked,omitempty"`
	Unsealed string `json:"unsealed,omitempty"`
	// Locations are those of the hosts, in their order.
	Locations []LocationChecked `json:"locations,omitempty"`
}

// LocationChecked is what a worker of a location says.
type LocationChecked struct {
	Location rotation.Location `json:"location"`
	// Unasked is why no worker of it could be asked, Unopened why it cannot open
	// what the account's worker seals.
	Unasked  string           `json:"unasked,omitempty"`
	Unopened string           `json:"unopened,omitempty"`
	Proofs   []rotation.Proof `json:"proofs,omitempty"`
	// Twins are hosts that seem to have one and the same file.
	Twins []rotation.Twins `json:"twins,omitempty"`
}

// Checkup tries, without changing anything that it was not asked to rehearse, what a
// rotation needs and only workers can try: the account's credentials and clock, the
// keysets, the hosts.
func Checkup(ctx workflow.Context, in CheckupIn) (CheckupOut, error) {
	if in.Rehearse {
		show(ctx, mark("Tries the credentials of account **%s**, the keysets and %s, each of which puts a key that it holds over itself.", in.Account, fmtHosts(len(in.Hosts))))
	} else {
		show(ctx, mark("Tries the credentials of account **%s**, the keysets and %s. Changes nothing.", in.Account, fmtHosts(len(in.Hosts))))
	}
	var out CheckupOut
	var q question
	for _, h := range in.Hosts {
		q.add(h.Host, h.Zones, false)
	}
	examined := examineAct().start(ctx, checkupOptions(in.Account, "can "+string(in.Zone)+" be read?"), activities.ExamineIn{Zone: in.Zone})
	probe, err := probeAct().do(ctx, checkupOptions(in.Account, "a probe, sealed as keys will be"), activities.ProbeIn{Locations: q.locations})
	if err != nil {
		out.Unsealed = why(err)
	}
	if err := examined.Get(ctx, &out.EdgeOne); err != nil {
		out.Unasked = unasked("the active worker of account "+string(in.Account), err)
	}
	if out.Unsealed != "" {
		return out, nil
	}
	q.sealed(probe)
	for _, l := range q.locations {
		q.asked[l].Rehearse = in.Rehearse
	}
	q.survey(ctx, func(in activities.ProveIn, proved activities.ProveOut, err error) {
		checked := LocationChecked{Location: in.Location, Unopened: proved.Unopened, Proofs: proved.Proofs, Twins: proved.Twins}
		if err != nil {
			checked.Unasked = unasked("a worker of location "+string(in.Location), err)
		}
		out.Locations = append(out.Locations, checked)
	})
	return out, nil
}

func unasked(whom string, err error) string {
	if neverStarted(err) {
		return whom + " did not answer"
	}
	return whom + " failed: " + why(err)
}
