package activities

import (
	"context"
	"errors"
	"time"

	"keywave/internal/rotation"
)

// ExamineIn names a zone to try the account's credentials on.
type ExamineIn struct {
	Zone rotation.ZoneID `json:"zone"`
}

// ExamineOut is what EdgeOne answered.
type ExamineOut struct {
	// RequestID is of the read of the zone's live key.
	RequestID string `json:"requestId,omitempty"`
	// Problem is why it failed, Code EdgeOne's code for it, and Class what that
	// says; empty when the key could be read.
	Problem string         `json:"problem,omitempty"`
	Code    string         `json:"code,omitempty"`
	Class   rotation.Class `json:"class,omitempty"`
	// AheadMs is how far the clock of this worker is ahead of EdgeOne's, by the
	// date of the answer; nil when there was none.
	AheadMs *int64 `json:"aheadMs,omitempty"`
	Signing
	// Keyset is the fingerprint of the account's own keyset, and KeysetProblem what
	// is wrong with it; both are empty where the account has none.
	Keyset        string `json:"keyset,omitempty"`
	KeysetProblem string `json:"keysetProblem,omitempty"`
}

// Signing is what requests are signed with.
type Signing struct {
	// Credential is which one, in the fleet file's words; empty where that is not
	// known.
	Credential string `json:"credential,omitempty"`
	// Until is when it ends; zero where that is not known, or never.
	Until time.Time `json:"until,omitzero"`
	// Renew is the command by which a person has to renew it before that; empty
	// where the worker does it.
	Renew string `json:"renew,omitempty"`
}

// Examine reads a zone's live key and keeps only that it could: it is the one
// action of a rotation that can be tried without changing anything.
func (e *EdgeOne) Examine(ctx context.Context, in ExamineIn) (ExamineOut, error) {
	defer beat(ctx)()
	_, receipt, err := e.API.Describe(ctx, in.Zone)
	now := time.Now()
	out := ExamineOut{RequestID: receipt.RequestID}
	if e.Signing != nil {
		out.Signing = e.Signing(ctx)
	}
	if e.Keyset != nil {
		out.Keyset, out.KeysetProblem = e.Keyset()
	}
	out.AheadMs = millis(receipt.Ahead(now))
	var api *rotation.APIError
	switch {
	case errors.As(err, &api):
		out.Problem, out.Code, out.Class = err.Error(), api.Code, api.Class
	case ctx.Err() != nil:
		return out, ctx.Err()
	case err != nil:
		return out, fail(KindLease, err.Error())
	}
	return out, nil
}

// millis is a duration that may not be known.
func millis(d time.Duration, known bool) *int64 {
	if !known {
		return nil
	}
	ms := d.Milliseconds()
	return &ms
}
