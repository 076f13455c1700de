// Package rotation is the language of the house: zones, hosts, locations,
// fingerprints, proofs, outcomes and budgets, and every decision about one zone
// that can be made from values alone. Nothing here sleeps, dials, logs or
// knows what Temporal, Tencent or SSH is; it imports the standard library only.
package rotation

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"
)

// ZoneID is EdgeOne's ID of a zone, for example "zone-27q0p0bal192".
type ZoneID string

// HostName is the name the fleet file gives to a machine that must hold keys.
type HostName string

// Location names a network place from which hosts can be reached; it has its
// own workers, task queue and keyset.
type Location string

// Account names the Tencent account of a fleet file.
type Account string

// Fingerprint is the first 16 hex digits of
// SHA-256("keywave/v1" ‖ 0x00 ‖ zone ID ‖ 0x00 ‖ key): the only form in which a
// key is ever shown. The empty Fingerprint means "not known".
type Fingerprint string

// Absent is the fingerprint of no key at all: a host without the file, or a
// zone for which EdgeOne has no key yet.
const Absent Fingerprint = "absent"

// FingerprintOf is the fingerprint of a zone's key; an empty key is Absent.
func FingerprintOf(zone ZoneID, key Secret) Fingerprint {
	if key.Expose() == "" {
		return Absent
	}
	h := sha256.New()
	h.Write([]byte(FingerprintPrefix))
	h.Write([]byte{0})
	h.Write([]byte(zone))
	h.Write([]byte{0})
	h.Write([]byte(key.Expose()))
	return Fingerprint(hex.EncodeToString(h.Sum(nil))[:16])
}

// FingerprintPrefix opens every fingerprint's input.
const FingerprintPrefix = "keywave/v1"

// ParseFingerprint accepts 16 lower-case hex digits or "absent"; anything else
// is not a fingerprint.
func ParseFingerprint(s string) (Fingerprint, bool) {
	if s == string(Absent) {
		return Absent, true
	}
	if len(s) != 16 || strings.Trim(s, "0123456789abcdef") != "" {
		return "", false
	}
	return Fingerprint(s), true
}

// HostRef names a host in a plan without addressing it: Digest is the digest of
// the host's definition when the plan was made (promise 8).
type HostRef struct {
	Name     HostName `json:"name"`
	Location Location `json:"location"`
	Digest   string   `json:"digest"`
	// Parts are short digests of the definition's fields, one after the other,
	// by which a worker whose definition differs can say where. Only pages
	// carry them.
	Parts string `json:"parts,omitempty"`
}

// Proof is a location worker's dated statement that a host can take a key
// (promise 2). At is on Temporal's clock.
type Proof struct {
	Host HostName  `json:"host"`
	At   time.Time `json:"at"`
	// Queue is the task queue of the one worker that gave the proof and holds
	// the warm connection.
	Queue string `json:"queue,omitempty"`
	// Drift is what the host holds for each zone where that is not the
	// baseline it was asked about; Absent where it holds nothing.
	Drift map[ZoneID]Fingerprint `json:"drift,omitempty"`
	// Other are the zones whose file is in another format than it should be: of
	// them Drift says nothing about the key.
	Other []ZoneID `json:"other,omitempty"`
	// Staged are the zones for which a staged key lies on the host, if it was only
	// looked at.
	Staged []ZoneID `json:"staged,omitempty"`
	// Problem is why the host cannot take a key; empty when it can.
	Problem string `json:"problem,omitempty"`
	// Bastion is the bastion whose Problem it is; empty where it is the host's own.
	Bastion string `json:"bastion,omitempty"`
	// Notes are what people should know although it can.
	Notes []string `json:"notes,omitempty"`
	// Rehearsed is what was put over itself, where that was asked for: Absent where
	// the host holds nothing, and empty where its transport cannot do that.
	Rehearsed Fingerprint `json:"rehearsed,omitempty"`
}

// Fresh says whether the proof still counts at now, for a lease of life.
func (p Proof) Fresh(now time.Time, life time.Duration) bool {
	return p.Problem == "" && !p.At.IsZero() && now.Sub(p.At) <= life
}

// Ack is a host's acknowledgement of one delivery. At is on Temporal's clock.
type Ack struct {
	Host HostName    `json:"host"`
	Held Fingerprint `json:"held,omitempty"`
	At   time.Time   `json:"at,omitzero"`
	// Problem is why the host did not acknowledge; empty when it did.
	Problem string `json:"problem,omitempty"`
	// Refused says that the host holds a key that nobody expected there: the
	// compare-and-swap refused to overwrite Held.
	Refused bool `json:"refused,omitempty"`
}

// Verb is what an operator asks for.
type Verb string

// The verbs over the same pipeline.
const (
	Rotate Verb = "rotate" // refresh, deliver, verify
	Repair Verb = "repair" // read the live key, deliver, verify; never a refresh
)
