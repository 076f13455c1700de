package activities

import (
	"context"

	"keywave/internal/rotation"
)

// Spans add to a trace what only an activity knows: request IDs, fingerprints, and how
// each host did. Facts are a name and a value in turn; none is a key.
type Spans interface {
	Note(ctx context.Context, facts ...string)
	Begin(ctx context.Context, name string, facts ...string) (end func(problem string, facts ...string))
}

// spanDeliver is the delivery to one host, spanStage makes a key wait there, spanReadAfter the read behind the short way.
const (
	spanDeliver   = "DeliverToHost"
	spanStage     = "StageOnHost"
	spanReadAfter = "ReadAfter"
)

// Facts of spans.
const (
	factZone        = "keywave.zone"
	factHost        = "keywave.host"
	factFingerprint = "keywave.fingerprint"
	factRequestID   = "keywave.request_id"
	factSending     = "keywave.sending"
)

// noSpans is for workers that trace nothing.
type noSpans struct{}

func (noSpans) Note(context.Context, ...string) {}

func (noSpans) Begin(context.Context, string, ...string) func(string, ...string) {
	return func(string, ...string) {}
}

func orNone(s Spans) Spans {
	if s == nil {
		return noSpans{}
	}
	return s
}

// put gives the key to a host, within a span of its own.
func (l *Location) put(ctx context.Context, clock clock, ref rotation.HostRef, p parcel) rotation.Ack {
	end := orNone(l.Spans).Begin(ctx, spanDeliver, factHost, string(ref.Name), factZone, string(p.zone))
	ack := l.give(ctx, clock, ref, p)
	end(ack.Problem, factFingerprint, string(ack.Held))
	return ack
}
