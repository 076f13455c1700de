package activities

import (
	"context"
	"errors"
	"fmt"

	"go.temporal.io/api/serviceerror"

	"keywave/internal/rotation"
	"keywave/internal/temporalclient"
)

// RateIn sets how many activities a second Temporal hands out of a task queue.
type RateIn struct {
	Namespace string           `json:"namespace"`
	Queue     string           `json:"queue"`
	Account   rotation.Account `json:"account"` // whose refreshes wait in it
	// PerSecond of 0 is the brake, which keeps the limit that was set before; nil
	// lifts the limit.
	PerSecond *float32 `json:"perSecond,omitempty"`
	// Release takes the brake off instead.
	Release bool `json:"release,omitempty"`
	// By and Reason are kept by Temporal with the limit.
	By     string `json:"by"`
	Reason string `json:"reason"`
}

// RateOut is the limit that stands now; nil is none.
type RateOut struct {
	PerSecond *float32 `json:"perSecond,omitempty"`
}

// Rate sets it, and waits until the queue has it.
func (t *Temporal) Rate(ctx context.Context, in RateIn) (RateOut, error) {
	defer beat(ctx)()
	var now temporalclient.Rate
	var err error
	if in.Release {
		now, err = temporalclient.ReleaseBrake(ctx, t.Client, in.Namespace, in.Queue, in.By, in.Reason)
	} else {
		now, err = temporalclient.SetRate(ctx, t.Client, in.Namespace, in.Queue, temporalclient.Rate{PerSecond: in.PerSecond, By: in.By, Reason: in.Reason})
	}
	switch {
	case errors.As(err, new(temporalclient.Braked)):
		err = fail(KindRate, fmt.Sprintf("account %s: %v; release it first: keywave brake off --account %s --reason \"…\"", in.Account, err, in.Account))
	case errors.As(err, new(*serviceerror.InvalidArgument)), errors.As(err, new(*serviceerror.PermissionDenied)):
		err = fail(KindRate, "the rate of "+in.Queue+" cannot be set: "+err.Error())
	}
	return RateOut{now.PerSecond}, err
}
