package rotation

import "time"

// Purpose is what a key under an account's keyset is kept for.
type Purpose string

// The purposes.
const (
	ForSwitch   Purpose = "switch"   // a new key that EdgeOne is to be given
	ForRollback Purpose = "rollback" // a former key that EdgeOne may be given again
)

// Bound is what a key under an account's keyset is bound to. It opens only when
// every part is said again as it was.
type Bound struct {
	Zone    ZoneID  `json:"zone"`
	Purpose Purpose `json:"purpose"`
	// Minted is when the key was made, on Temporal's clock; of a former key it is when
	// it was kept, and Until when it may be used the last time.
	Minted time.Time `json:"minted"`
	Until  time.Time `json:"until,omitzero"`
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
	case b.Purpose == ForRollback && b.Until.IsZero():
		return "an end"
	}
	return ""
}
