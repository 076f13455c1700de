package telemetry

import (
	"context"
	"fmt"

	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.temporal.io/sdk/contrib/opentelemetry"

	"keywave/internal/harmless"
)

// startTraces makes spans of workflows and activities, by the SDK's own interceptor,
// if OTEL_* names an exporter for them.
func (t *Telemetry) startTraces(ctx context.Context, about *resource.Resource) error {
	if !exports("TRACES") {
		return nil
	}
	exporter, err := autoexport.NewSpanExporter(ctx)
	if err != nil {
		return fmt.Errorf("OTEL_TRACES_EXPORTER: %w", err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithResource(about), sdktrace.WithBatcher(harmlessExporter{exporter}))
	t.shutdown = append(t.shutdown, provider.Shutdown)
	tracer := provider.Tracer("keywave")
	t.Spans = &Spans{tracer}
	// Queries come from people who watch, and signals are counts.
	t.Interceptor, err = opentelemetry.NewTracingInterceptor(opentelemetry.TracerOptions{
		Tracer: tracer, DisableBaggage: true, DisableQueryTracing: true, DisableSignalTracing: true, AllowInvalidParentSpans: true,
	})
	return err
}

// Spans adds to the spans of activities what only they know. nil adds nothing.
type Spans struct{ tracer trace.Tracer }

// Note adds facts, each a name and a value in turn, to the present span.
func (s *Spans) Note(ctx context.Context, facts ...string) {
	if s != nil {
		trace.SpanFromContext(ctx).SetAttributes(attributes(pairs(facts))...)
	}
}

// Begin begins a span within the present one. end ends it with what came of it;
// problem is empty when all went well.
func (s *Spans) Begin(ctx context.Context, name string, facts ...string) (end func(problem string, facts ...string)) {
	if s == nil {
		return func(string, ...string) {}
	}
	_, span := s.tracer.Start(ctx, name, trace.WithAttributes(attributes(pairs(facts))...))
	return func(problem string, facts ...string) {
		span.SetAttributes(attributes(pairs(facts))...)
		if problem != "" {
			span.SetStatus(codes.Error, problem)
		}
		span.End()
	}
}

// harmlessExporter passes spans on with the words of others made harmless.
type harmlessExporter struct{ sdktrace.SpanExporter }

// ExportSpans implements sdktrace.SpanExporter.
func (e harmlessExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	made := make([]sdktrace.ReadOnlySpan, len(spans))
	for i, s := range spans {
		made[i] = harmlessSpan{s}
	}
	return e.SpanExporter.ExportSpans(ctx, made)
}

type harmlessSpan struct{ sdktrace.ReadOnlySpan }

// Status is the span's, for people.
func (s harmlessSpan) Status() sdktrace.Status {
	status := s.ReadOnlySpan.Status()
	status.Description = harmless.Log(status.Description)
	return status
}

// Attributes are the span's, for people.
func (s harmlessSpan) Attributes() []attribute.KeyValue {
	return harmlessAttributes(s.ReadOnlySpan.Attributes())
}

// Events are the span's, for people.
func (s harmlessSpan) Events() []sdktrace.Event {
	events := s.ReadOnlySpan.Events()
	made := make([]sdktrace.Event, len(events))
	for i, e := range events {
		e.Attributes = harmlessAttributes(e.Attributes)
		made[i] = e
	}
	return made
}

func harmlessAttributes(all []attribute.KeyValue) []attribute.KeyValue {
	made := make([]attribute.KeyValue, len(all))
	for i, a := range all {
		if a.Value.Type() == attribute.STRING {
			a.Value = attribute.StringValue(harmless.Log(a.Value.AsString()))
		}
		made[i] = a
	}
	return made
}
