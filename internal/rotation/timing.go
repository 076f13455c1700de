package rotation

import (
	"math"
	"time"
)

// Span is a time.Duration that reads as "30s" in JSON, because histories are
// read by people.
type Span time.Duration

// D is the duration.
func (s Span) D() time.Duration { return time.Duration(s) }

// String is time.Duration's.
func (s Span) String() string { return time.Duration(s).String() }

// MarshalText is String.
func (s Span) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is time.ParseDuration.
func (s *Span) UnmarshalText(b []byte) error {
	d, err := time.ParseDuration(string(b))
	*s = Span(d)
	return err
}

// Timing is every span that a zone's rotation depends on.
type Timing struct {
	ProofFor      Span `json:"proofFor"`      // how old a host's proof may be when the refresh is signed
	Settle        Span `json:"settle"`        // wait between two reads that say "unchanged"; at least the API's request timeout
	SignatureLife Span `json:"signatureLife"` // how long after signing a request may still be executed: 300 s at Tencent
	ExposedAfter  Span `json:"exposedAfter"`  // an exposure this long is an outage
	DeliverFor    Span `json:"deliverFor"`    // how long delivery keeps trying
}

// PaceShare is the part of an account's limit that calls are made at; the rest is
// for EdgeOne's own measuring, which is not on our clock.
const PaceShare = 0.97

// EarlyShare is what of an account's limit for reads is kept for the process that reads
// early: two a second, or a tenth where the limit is below 20 a second. A limit below
// two cannot be shared; none (+Inf) need not be.
func EarlyShare(limit float64) float64 {
	if limit < 2 || math.IsInf(limit, 1) {
		return 0
	}
	return min(2, limit/10)
}

// ZonesPerSecond is how many zones a campaign rotates at most under that limit: each
// needs a refresh and a read, and reads share theirs with early ones.
func ZonesPerSecond(limit float64) float64 { return PaceShare * (limit - EarlyShare(limit)) }

// A refresh holds a slot until its key is verified, so their number sets how long zones
// wait within: for their turn, and for that of the read, whose pace is a little lower. The
// read must have its turn within a second.
const (
	slotFor   = 600 * time.Millisecond
	slotsFrom = 2
	slotsTo   = 24
	slotsFree = 12 // without a limit
)

// RefreshesAtOnce are the slots of a process for an account that allows so many calls a
// second; 0 is an account without a limit.
func RefreshesAtOnce(limit float64) int {
	if limit == 0 || math.IsInf(limit, 1) {
		return slotsFree
	}
	return int(min(max(math.Ceil(limit*slotFor.Seconds()), slotsFrom), slotsTo))
}
