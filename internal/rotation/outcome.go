package rotation

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Outcome is how a rotation ended (design §2). Every zone of a campaign has
// exactly one.
type Outcome string

// The outcomes, in the order in which they are shown.
const (
	Done      Outcome = "done"      // every host acknowledged the key EdgeOne holds, read back after the last acknowledgement
	Unchanged Outcome = "unchanged" // failed before any refresh took effect; the zone is as the campaign found it
	Exposed   Outcome = "exposed"   // the key changed, or may have, and some host is not known to hold it: an outage
	Unknown   Outcome = "unknown"   // nobody can tell yet whether the key changed
	Skipped   Outcome = "skipped"   // excluded by an operator, with a reason
	Pending   Outcome = "pending"   // not started, or handed back before its refresh
)

// Outcomes lists all of them in the order in which they are shown.
func Outcomes() []Outcome {
	return []Outcome{Done, Unchanged, Exposed, Unknown, Skipped, Pending}
}

// Failed says that the budget maxFailed counts a zone that ended so.
func (o Outcome) Failed() bool { return o == Unchanged || o == Exposed || o == Unknown }

// Counts is how many zones have each outcome. Total is fixed by the plan, and
// the six others always add up to it.
type Counts struct {
	Total     int `json:"total"`
	Done      int `json:"done"`
	Unchanged int `json:"unchanged"`
	Exposed   int `json:"exposed"`
	Unknown   int `json:"unknown"`
	Skipped   int `json:"skipped"`
	Pending   int `json:"pending"`
}

// NewCounts has every zone pending.
func NewCounts(total int) Counts { return Counts{Total: total, Pending: total} }

// Of is the number of zones with an outcome.
func (c *Counts) Of(o Outcome) int {
	if p := c.slot(o); p != nil {
		return *p
	}
	return 0
}

func (c *Counts) slot(o Outcome) *int {
	switch o {
	case Done:
		return &c.Done
	case Unchanged:
		return &c.Unchanged
	case Exposed:
		return &c.Exposed
	case Unknown:
		return &c.Unknown
	case Skipped:
		return &c.Skipped
	case Pending:
		return &c.Pending
	}
	return nil
}

// Move takes one zone from an outcome to another.
func (c *Counts) Move(from, to Outcome) {
	*c.slot(from)--
	*c.slot(to)++
}

// Count adds one zone with an outcome.
func (c *Counts) Count(o Outcome) {
	c.Total++
	*c.slot(o)++
}

// Plus adds two disjoint sets of zones.
func (c Counts) Plus(d Counts) Counts {
	c.Total += d.Total
	for _, o := range Outcomes() {
		*c.slot(o) += d.Of(o)
	}
	return c
}

// Minus takes a set of zones away that is part of this one.
func (c Counts) Minus(d Counts) Counts {
	c.Total -= d.Total
	for _, o := range Outcomes() {
		*c.slot(o) -= d.Of(o)
	}
	return c
}

// Failed is what the budget maxFailed counts.
func (c Counts) Failed() int { return c.Unchanged + c.Exposed + c.Unknown }

// Settled says that nothing is left for resume to do.
func (c Counts) Settled() bool { return c.Done+c.Skipped == c.Total }

// Balanced says that the outcomes add up to the total and none is negative.
func (c Counts) Balanced() bool {
	sum := 0
	for _, o := range Outcomes() {
		if c.Of(o) < 0 {
			return false
		}
		sum += c.Of(o)
	}
	return sum == c.Total
}

// API counts calls made for zones, by API action, retries and throttled ones
// included: what may have been sent, so that a refresh that had begun when its
// worker was lost counts as one.
type API struct {
	Refresh   int `json:"refresh"`
	Modify    int `json:"modify,omitempty"`
	Describe  int `json:"describe"`
	Throttled int `json:"throttled"`
}

// Plus adds.
func (a API) Plus(b API) API {
	return API{a.Refresh + b.Refresh, a.Modify + b.Modify, a.Describe + b.Describe, a.Throttled + b.Throttled}
}

// Changes counts the calls that change a key.
func (a API) Changes() int { return a.Refresh + a.Modify }

// Changing names them, for people.
func (a API) Changing() string {
	switch {
	case a.Modify == 0:
		return "refresh"
	case a.Refresh == 0:
		return "modify"
	}
	return "refresh and modify"
}

// HostTime is when one host acknowledged the live key, in milliseconds after
// exposure began.
type HostTime struct {
	Host HostName `json:"host"`
	Ms   int64    `json:"ms"`
}

// Record is what is kept of one zone's rotation: about 400 bytes.
type Record struct {
	Zone    ZoneID  `json:"zone"`
	Outcome Outcome `json:"outcome"`
	// Why says in one sentence why the outcome is not done, or what was met on
	// the way there.
	Why string `json:"why,omitempty"`
	// From and To are the fingerprints of the live key before and after.
	From Fingerprint `json:"from,omitempty"`
	To   Fingerprint `json:"to,omitempty"`
	// RequestID is EdgeOne's ID of the refresh that was answered.
	RequestID string `json:"requestId,omitempty"`
	// Since is when the old key may have died, on Temporal's clock.
	Since time.Time `json:"since,omitzero"`
	// ExposureMs runs from Since to the last host's acknowledgement.
	ExposureMs int64 `json:"exposureMs,omitempty"`
	// Acks are the acknowledgements of To that came, also of a repair.
	Acks []HostTime `json:"acks,omitempty"`
	// Missing are the hosts that did not acknowledge the live key.
	Missing []HostName `json:"missing,omitempty"`
	API     API        `json:"api"`
	EndedAt time.Time  `json:"endedAt,omitzero"`
	// Halt says that every zone would fail alike, so that a campaign must stop.
	Halt bool `json:"halt,omitempty"`
	// Forgotten says that of an earlier run only the outcome is remembered.
	Forgotten bool `json:"forgotten,omitempty"`
	// Cause is the kind of the failure: several in a row stop a campaign.
	Cause string `json:"cause,omitempty"`
	// Back is why a pending zone was handed back.
	Back Handback `json:"back,omitempty"`
	// Retired are the hosts that people retired.
	Retired []HostHeld `json:"retired,omitempty"`
	// Former is the key that was replaced, where it was kept and may be put back.
	Former *Former `json:"former,omitempty"`
	// Gone are the queues of workers that gave proofs and take no delivery any more. A
	// shard learns it, and does not keep it.
	Gone []string `json:"gone,omitempty"`
}

// HostHeld is what a host held when it was last seen; empty is not known.
type HostHeld struct {
	Host HostName    `json:"host"`
	Held Fingerprint `json:"held,omitempty"`
}

// Handback is why a zone came back without having sent a refresh.
type Handback string

// The kinds. Only BackUnreached counts for the circuit breaker.
const (
	BackStopped   Handback = "stopped"   // by people, a calendar or a brake
	backBusy      Handback = "busy"      // another operation has the zone
	backAside     Handback = "aside"     // one of its hosts is set aside
	BackProof     Handback = "proof"     // a proof expired or was refused
	BackStage     Handback = "stage"     // a host whose proof is good did not take the staged key
	BackUnreached Handback = "unreached" // EdgeOne was never reached while the proofs lived
	BackNoWorker  Handback = "noworker"  // nobody took the task
	backPast      Handback = "past"      // its key is one that neither plan nor history knows
)

// Exposures is a histogram of exposures in milliseconds, three significant
// digits wide, sorted.
type Exposures struct {
	Bins []ExposureBin `json:"bins,omitempty"`
	Max  int64         `json:"max"`
}

// ExposureBin counts N zones whose exposure rounds up to Ms.
type ExposureBin struct {
	Ms int64 `json:"ms"`
	N  int   `json:"n"`
}

// Add counts one zone.
func (e *Exposures) Add(ms int64) {
	e.Max = max(e.Max, ms)
	e.add(ExposureBin{threeDigits(ms), 1})
}

func (e *Exposures) add(b ExposureBin) {
	i, found := slices.BinarySearchFunc(e.Bins, b.Ms, func(x ExposureBin, ms int64) int {
		return int(min(1, max(-1, x.Ms-ms)))
	})
	if found {
		e.Bins[i].N += b.N
		return
	}
	e.Bins = slices.Insert(e.Bins, i, b)
}

// Plus merges two histograms.
func (e Exposures) Plus(f Exposures) Exposures {
	sum := Exposures{Bins: slices.Clone(e.Bins), Max: max(e.Max, f.Max)}
	for _, b := range f.Bins {
		sum.add(b)
	}
	return sum
}

func threeDigits(ms int64) int64 {
	unit := int64(1)
	for ms > 999 {
		ms = (ms + 9) / 10
		unit *= 10
	}
	return ms * unit
}

// ExposureSummary is what status shows, in milliseconds.
type ExposureSummary struct {
	P50 int64 `json:"p50"`
	P90 int64 `json:"p90"`
	P99 int64 `json:"p99"`
	Max int64 `json:"max"`
}

// Summary computes percentiles by nearest rank.
func (e Exposures) Summary() ExposureSummary {
	return ExposureSummary{e.rank(0.50), e.rank(0.90), e.rank(0.99), e.Max}
}

func (e Exposures) rank(q float64) int64 {
	total := 0
	for _, b := range e.Bins {
		total += b.N
	}
	need := int(math.Ceil(q * float64(total)))
	for _, b := range e.Bins {
		if need -= b.N; need <= 0 {
			return min(b.Ms, e.Max)
		}
	}
	return 0
}

// HostCounts counts (zone, host) pairs.
type HostCounts struct {
	Total int `json:"total"`
	// Acknowledged counts acknowledgements that came, of the live key. Retired
	// pairs are of hosts that people retired and that had not acknowledged it.
	// The rest is missing or not begun.
	Acknowledged int `json:"acknowledged"`
	Retired      int `json:"retired"`
}

// Plus adds.
func (h HostCounts) Plus(g HostCounts) HostCounts {
	return HostCounts{h.Total + g.Total, h.Acknowledged + g.Acknowledged, h.Retired + g.Retired}
}

// Tally is what a shard reports of its zones; the campaign adds tallies up and
// never holds lists of zones.
type Tally struct {
	Zones     Counts     `json:"zones"`
	Hosts     HostCounts `json:"hosts"`
	Exposures Exposures  `json:"exposures"`
	API       API        `json:"api"`
}

// Plus adds two disjoint sets of zones.
func (t Tally) Plus(u Tally) Tally {
	return Tally{t.Zones.Plus(u.Zones), t.Hosts.Plus(u.Hosts), t.Exposures.Plus(u.Exposures), t.API.Plus(u.API)}
}

// Budget is how much may go wrong before a campaign pauses itself.
type Budget struct {
	MaxFailed  int `json:"maxFailed"`  // over unchanged, exposed and unknown
	MaxExposed int `json:"maxExposed"` // over exposed
}

// Breach says why the budget is exhausted, or "" while it is not.
func (b Budget) Breach(c Counts) string {
	if c.Exposed > b.MaxExposed {
		return fmt.Sprintf("exposed zones: %d, and the budget maxExposed is %d", c.Exposed, b.MaxExposed)
	}
	if c.Failed() > b.MaxFailed {
		return fmt.Sprintf("failed zones (unchanged, exposed or unknown): %d, and the budget maxFailed is %d", c.Failed(), b.MaxFailed)
	}
	return ""
}
