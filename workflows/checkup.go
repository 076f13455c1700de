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
}

// CheckupOut is what was found; nothing was changed.
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
}

// Checkup tries, without changing anything, what a rotation needs and only
// workers can try: the account's credentials and clock, the keysets, the hosts.
func Checkup(ctx workflow.Context, in CheckupIn) (CheckupOut, error) {
	show(ctx, mark("Tries the credentials of account **%s**, the keysets and %s. Changes nothing.", in.Account, fmtHosts(len(in.Hosts))))
	var out CheckupOut
	asked := map[rotation.Location]*activities.ProveIn{}
	var locations []rotation.Location
	for _, h := range in.Hosts {
		l := h.Host.Location
		if asked[l] == nil {
			asked[l] = &activities.ProveIn{Location: l}
			locations = append(locations, l)
		}
		asked[l].Hosts = append(asked[l].Hosts, h)
	}
	examined := examineAct().start(ctx, checkupOptions(in.Account, "can "+string(in.Zone)+" be read?"), activities.ExamineIn{Zone: in.Zone})
	probe, err := probeAct().do(ctx, checkupOptions(in.Account, "a probe, sealed as keys will be"), activities.ProbeIn{Locations: locations})
	if err != nil {
		out.Unsealed = why(err)
	}
	if err := examined.Get(ctx, &out.EdgeOne); err != nil {
		out.Unasked = unasked("the active worker of account "+string(in.Account), err)
	}
	if out.Unsealed != "" {
		return out, nil
	}
	futures := make([]workflow.Future, len(locations))
	for i, l := range locations {
		asked[l].Sealed, asked[l].Fingerprint = probe.Sealed[l], probe.Fingerprint
		futures[i] = proveAct().start(ctx, surveyOptions(l, len(asked[l].Hosts)), *asked[l])
	}
	for i, l := range locations {
		var proved activities.ProveOut
		checked := LocationChecked{Location: l}
		if err := futures[i].Get(ctx, &proved); err != nil {
			checked.Unasked = unasked("a worker of location "+string(l), err)
		}
		checked.Unopened, checked.Proofs = proved.Unopened, proved.Proofs
		out.Locations = append(out.Locations, checked)
	}
	return out, nil
}

func unasked(whom string, err error) string {
	if neverStarted(err) {
		return whom + " did not answer"
	}
	return whom + " failed: " + why(err)
}
