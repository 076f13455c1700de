package main

import (
	"context"
	"time"

	"go.temporal.io/sdk/client"

	"keywave/internal/temporalclient"
)

const (
	askAgain = time.Second
	sayAgain = 30 * time.Second
)

// connect dials Temporal, for as long as it takes.
func (w *workers) connect(ctx context.Context) error {
	return w.patiently(ctx, func() (err error) {
		w.temporal, err = temporalclient.Dial(ctx, w.log, w.identity(), func(o *client.Options) {
			o.MetricsHandler = w.telemetry.Handler
			if w.telemetry.Interceptor != nil {
				o.Interceptors = append(o.Interceptors, w.telemetry.Interceptor)
			}
		}, temporalclient.Named(w.identity))
		return err
	})
}

// patiently tries until Temporal is there. Whoever starts a machine, or a cluster, does
// not have to start its parts in order, and a worker that ended instead would be given
// up by systemd after a few starts. It says at once what it waits for, and again every
// 30 s. What cannot pass by itself is returned: a mistake in TLS, no such namespace.
func (w *workers) patiently(ctx context.Context, try func() error) error {
	var said time.Time
	for {
		err := try()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !temporalclient.IsAway(err) {
			if err == nil && !said.IsZero() {
				w.log.Info("Temporal is there")
			}
			return err
		}
		if time.Since(said) >= sayAgain {
			said = time.Now()
			w.log.Warn("waiting for Temporal: nothing is done until it is there", "temporal", w.where(), "error", err.Error())
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(askAgain):
		}
	}
}

// where is the address of Temporal, once a connection stood; before, the errors say it.
func (w *workers) where() string {
	if w.temporal == nil {
		return ""
	}
	return w.temporal.Address
}
