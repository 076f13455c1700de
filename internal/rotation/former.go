package rotation

import "time"

// Former is a key that a staged rotation has replaced. Its sealed copy is kept for a
// while, so that people can put it back.
type Former struct {
	// Key is its fingerprint, and For that of the key that took its place. It may
	// replace that one, and no other.
	Key Fingerprint `json:"key"`
	For Fingerprint `json:"for"`
	// At is when it was kept, and Until when it may be used the last time, both by the
	// clock of the process that kept it.
	At    time.Time `json:"at"`
	Until time.Time `json:"until"`
	// Kept is the key under the account's keyset, bound to all of this and to its zone.
	Kept []byte `json:"kept,omitempty"`
}

// Bound is what the sealed copy of a zone's former key is bound to.
func (f Former) Bound(zone ZoneID) Bound {
	return Bound{Zone: zone, Purpose: ForRollback, Minted: f.At, Until: f.Until, Baseline: f.For}
}

// Ends is when the copy may be used the last time, where a key is kept for within at most.
func (f Former) Ends(within time.Duration) time.Time {
	if by := f.At.Add(within); by.Before(f.Until) {
		return by
	}
	return f.Until
}
