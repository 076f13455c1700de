package rotation

import "time"

// Purpose is what a key under an account's keyset is kept for.
type Purpose string

// ForSwitch is a key that EdgeOne is to be given.
const ForSwitch Purpose = "switch"

// Bound is what a key under an account's keyset is bound to. It opens only when
// every part is said again as it was.
type Bound struct {
	Zone    ZoneID  `json:"zone"`
	Purpose Purpose `json:"purpose"`
	// Minted is when the key was made, on Temporal's clock.
	Minted time.Time `json:"minted"`
	// Baseline is the key that EdgeOne held then. The key may replace this one,
	// and no other.
	Baseline Fingerprint `json:"baseline"`
}

// Lacks names what is missing; empty if nothing is.
func (b Bound) Lacks() string {
	switch {
	case b.Zone == "":
		return "a zone"
	case b.Purpose == "":
		return "a purpose"
	case b.Minted.IsZero():
		return "a time"
	case b.Baseline == "":
		return "a baseline"
	}
	return ""
}
