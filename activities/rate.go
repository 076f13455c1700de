package activities

import (
	"context"
	"errors"

	"go.temporal.io/api/serviceerror"

	"keywave/internal/temporalclient"
)

// RateIn sets how many activities a second Temporal hands out of a task queue.
type RateIn struct {
	Namespace string `json:"namespace"`
	Queue     string `json:"queue"`
	// PerSecond of 0 freezes the queue; nil lifts the limit.
	PerSecond *float32 `json:"perSecond,omitempty"`
	// By and Reason are kept by Temporal with the limit.
	By     string `json:"by"`
	Reason string `json:"reason"`
}

// RateOut is empty.
type RateOut struct{}

// Rate sets it, and waits until the queue has it.
func (t *Temporal) Rate(ctx context.Context, in RateIn) (RateOut, error) {
	err := temporalclient.SetRate(ctx, t.Client, in.Namespace, in.Queue, temporalclient.Rate{PerSecond: in.PerSecond, By: in.By, Reason: in.Reason})
	if errors.As(err, new(*serviceerror.InvalidArgument)) || errors.As(err, new(*serviceerror.PermissionDenied)) {
		return RateOut{}, fail(KindTemporal, "the rate of "+in.Queue+" cannot be set: "+err.Error())
	}
	return RateOut{}, err
}
