package activities

import (
	"context"
	"fmt"

	"keywave/internal/rotation"
)

// BaselinesIn asks for the live keys' fingerprints of many zones.
type BaselinesIn struct {
	Zones []rotation.ZoneID `json:"zones"`
	// Strict fails it when a key cannot be read; EdgeOne's refusal to show one
	// is an answer.
	Strict bool `json:"strict,omitempty"`
}

// BaselinesOut has one Baseline per zone, in the same order.
type BaselinesOut struct {
	Baselines []Baseline   `json:"baselines"`
	API       rotation.API `json:"api"`
	// AheadMs is how far the clock of this worker is ahead of EdgeOne's; nil where
	// that is not known.
	AheadMs *int64 `json:"aheadMs,omitempty"`
}

// Baseline is a live key's fingerprint, or why it could not be read.
type Baseline struct {
	Key     rotation.Fingerprint `json:"key,omitempty"`
	Problem string               `json:"problem,omitempty"`
}

// Baselines reads them at the account's pace. What is left when its time is over counts
// as unreadable. Credentials that EdgeOne refuses fail it as a whole.
func (e *EdgeOne) Baselines(ctx context.Context, in BaselinesIn) (BaselinesOut, error) {
	defer beat(ctx)()
	until := readUntil(ctx)
	out := BaselinesOut{Baselines: make([]Baseline, len(in.Zones))}
	for i, zone := range in.Zones {
		read, err := e.read(ctx, ReadIn{Zone: zone}, until)
		if err != nil {
			return out, err
		}
		if read.Halt {
			return out, fail(KindDenied, read.Problem)
		}
		if in.Strict && read.Problem != "" && !read.Final {
			return out, fail(KindUnread, fmt.Sprintf("zone %s: %s", zone, read.Problem))
		}
		out.Baselines[i] = Baseline{read.Key, read.Problem}
		out.API = out.API.Plus(read.API)
	}
	if e.Clock != nil {
		out.AheadMs = millis(e.Clock())
	}
	return out, nil
}
