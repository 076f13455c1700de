package workflows

import (
	"errors"
	"fmt"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"

	"keywave/internal/rotation"
)

// why is what an activity's error says to people: our own text, without
// Temporal's wrapping.
func why(err error) string {
	var app *temporal.ApplicationError
	if errors.As(err, &app) {
		return app.Message()
	}
	var timeout *temporal.TimeoutError
	if errors.As(err, &timeout) {
		return "timed out: " + timeout.TimeoutType().String()
	}
	return err.Error()
}

// neverStarted says that an activity provably did not run.
func neverStarted(err error) bool {
	var timeout *temporal.TimeoutError
	return errors.As(err, &timeout) && timeout.TimeoutType() == enums.TIMEOUT_TYPE_SCHEDULE_TO_START
}

// unread says why a zone's live key could not be read, and whether asking again is
// useless.
func unread(account rotation.Account, err error) (problem string, final bool) {
	var app *temporal.ApplicationError
	switch {
	case neverStarted(err):
		return fmt.Sprintf("no process of account %s reads live keys now (is one active? keywave doctor)", account), false
	case errors.As(err, &app):
		return why(err), app.NonRetryable()
	case temporal.IsCanceledError(err):
		return "cancelled", false
	}
	return "the process that asked which key is live was lost", false
}

// unprobed says why there is no probe.
func unprobed(account rotation.Account, err error) string {
	if neverStarted(err) {
		return fmt.Sprintf("no process of account %s seals a probe (is one active? keywave doctor)", account)
	}
	return why(err)
}

// untaken says why the account's worker gave no answer.
func untaken(account rotation.Account, kind string, err error) error {
	switch {
	case err == nil:
		return nil
	case neverStarted(err):
		return temporal.NewNonRetryableApplicationError(fmt.Sprintf("no worker of account %s took it up within %s (is one active, or busy? keywave doctor)", account, unhurried), kind, nil)
	}
	return temporal.NewNonRetryableApplicationError(why(err), kind, nil)
}
