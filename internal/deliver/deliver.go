// Package deliver holds what every transport agrees on: what a host holds, the
// one script that proves it and changes it, and how a failure is told without
// telling the key. A host holds, per zone, one file at the path of the fleet
// file, with the key in it, replaced atomically with what hangs on it kept; then
// reload runs, then verify. A transport, in the folders below, only carries the
// script to a host, and package delivertest has the contract that all of them
// pass.
package deliver

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode"

	"keywave/internal/rotation"
)

// EmptyFile is the hash that the fingerprint's recipe gives for a file without
// a key. A host that shows it holds rotation.Absent.
func EmptyFile(zone rotation.ZoneID) rotation.Fingerprint {
	sum := sha256.Sum256([]byte(rotation.FingerprintPrefix + "\x00" + string(zone) + "\x00"))
	return rotation.Fingerprint(hex.EncodeToString(sum[:])[:16])
}

// CheckKey refuses a key that does not fit into one line of a file.
func CheckKey(key rotation.Secret) error {
	switch value := key.Expose(); {
	case value == "":
		return &rotation.HostError{Step: rotation.StepWrite, Why: "the key to deliver is empty; nothing was sent to the host"}
	case strings.ContainsFunc(value, unicode.IsControl):
		return &rotation.HostError{Step: rotation.StepWrite, Why: "the key to deliver holds a newline or another control character; nothing was sent to the host"}
	}
	return nil
}

// Stopped is a HostError that also says, to errors.Is, that ctx ended.
func Stopped(ctx context.Context, step rotation.HostStep, why string) error {
	cause := context.Cause(ctx)
	return &stopped{&rotation.HostError{Step: step, Why: why + ": " + cause.Error()}, cause}
}

type stopped struct {
	*rotation.HostError
	cause error
}

// Unwrap gives the HostError and the context's error.
func (s *stopped) Unwrap() []error { return []error{s.HostError, s.cause} }

// CommandFailed is the end of a sentence about a reload or verify command:
// how it ended, and the last line that it printed, scrubbed of key.
func CommandFailed(how, lastLine string, key rotation.Secret) string {
	if said := Scrub(lastLine, key); said != "" {
		return how + `, saying "` + said + `"`
	}
	return how + ", saying nothing"
}

// NewAttempt names one attempt at a delivery; no two are alike.
func NewAttempt() string {
	random := make([]byte, 8)
	_, _ = rand.Read(random)
	return hex.EncodeToString(random)
}
