package activities_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"keywave/activities"
	"keywave/internal/rotation"
)

// dated makes the answer of a call show that our clock is off.
func dated(off time.Duration, c call) call {
	return func(ctx context.Context, ready func() error) (rotation.Secret, rotation.Receipt, error) {
		key, receipt, err := c(ctx, ready)
		receipt.Dated = time.Now().Add(off)
		return key, receipt, err
	}
}

// Examine says what EdgeOne answered, and how far this clock is off from
// EdgeOne's. The key is not in the result (run searches for it).
func TestExamine(t *testing.T) {
	for _, c := range []struct {
		name    string
		answer  call
		code    string
		class   rotation.Class
		ahead   time.Duration
		undated bool
	}{
		{name: "well", answer: dated(0, answers(theKey, 0))},
		{name: "ahead", answer: dated(-100*time.Second, answers(theKey, 0)), ahead: 100 * time.Second},
		{name: "behind", answer: dated(100*time.Second, answers(theKey, 0)), ahead: -100 * time.Second},
		{name: "signature too old", answer: dated(400*time.Second, fails(rotation.Unsent, "AuthFailure.SignatureExpire")), code: "AuthFailure.SignatureExpire", class: rotation.Unsent, ahead: -400 * time.Second},
		{name: "denied", answer: dated(0, fails(rotation.Denied, "UnauthorizedOperation")), code: "UnauthorizedOperation", class: rotation.Denied},
		{name: "no date", answer: answers(theKey, 0), undated: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := &activities.EdgeOne{API: &edgeOne{describes: []call{c.answer}}}
			out, err := run(t, t.Context(), e.Examine, activities.ExamineIn{Zone: zone})
			if err != nil {
				t.Fatal(err)
			}
			if out.Code != c.code || out.Class != c.class || (out.Problem == "") != (c.code == "") {
				t.Errorf("%+v", out)
			}
			if c.undated {
				if out.AheadMs != nil {
					t.Errorf("a clock was compared with no date: %d ms", *out.AheadMs)
				}
				return
			}
			if ahead := time.Duration(*out.AheadMs) * time.Millisecond; (ahead - c.ahead).Abs() > 10*time.Second {
				t.Errorf("ahead by %s, want %s", ahead, c.ahead)
			}
		})
	}
}

// Examine says which credential was used and when it ends. If there is none, it
// passes on the credential's own error.
func TestExamineNamesTheCredential(t *testing.T) {
	until := time.Now().Add(time.Hour).Round(0)
	missing := fmt.Errorf("there is no role: %w", &rotation.APIError{Class: rotation.Denied, Code: "ClientError.CredentialError"})
	for _, c := range []struct {
		answer  call
		problem string
	}{
		{answers(theKey, 0), ""},
		{unsigned(missing), missing.Error()},
	} {
		e := &activities.EdgeOne{
			API: &edgeOne{describes: []call{c.answer}},
			Signing: func(context.Context) activities.Signing {
				return activities.Signing{Credential: "tccli", Until: until, Renew: "tccli auth login"}
			},
		}
		out, err := run(t, t.Context(), e.Examine, activities.ExamineIn{Zone: zone})
		if err != nil || out.Credential != "tccli" || !out.Until.Equal(until) || out.Renew != "tccli auth login" || out.Problem != c.problem {
			t.Errorf("%+v, %v", out, err)
		}
	}
}

// A process that lost its lease passes the question to the active one.
func TestExamineByAProcessThatIsNotActive(t *testing.T) {
	e := &activities.EdgeOne{API: &edgeOne{describes: []call{unsigned(errors.New("the lease is over"))}}}
	if out, err := run(t, t.Context(), e.Examine, activities.ExamineIn{Zone: zone}); err == nil {
		t.Errorf("%+v", out)
	}
}
