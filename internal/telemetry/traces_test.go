package telemetry

import (
	"errors"
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// Spans hold words of others, in facts, problems and errors: they are exported
// harmless.
func TestSpansAreHarmless(t *testing.T) {
	const word = "no such file\x1b[2J\u202e"
	kept := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(harmlessExporter{kept}))
	spans := &Spans{provider.Tracer("test")}
	ctx, outer := provider.Tracer("test").Start(t.Context(), "outer")
	spans.Note(ctx, "keywave.request_id", word)
	spans.Begin(ctx, "inner", "keywave.host", word)(word, "keywave.fingerprint", "abcd")
	outer.RecordError(errors.New(word))
	outer.End()
	got := kept.GetSpans()
	if len(got) != 2 || got[0].Name != "inner" || got[0].Parent.SpanID() != got[1].SpanContext.SpanID() {
		t.Fatalf("%+v", got)
	}
	var said []string
	for _, s := range got {
		said = append(said, s.Status.Description)
		for _, a := range s.Attributes {
			said = append(said, a.Value.AsString())
		}
		for _, e := range s.Events {
			for _, a := range e.Attributes {
				said = append(said, a.Value.AsString())
			}
		}
	}
	all := strings.Join(said, "\n")
	if strings.Count(all, "no such file") != 4 || strings.ContainsAny(all, "\x1b\u202e") {
		t.Errorf("exported: %q", all)
	}
}

func TestNobodyTraces(t *testing.T) {
	quiet := started(t, false)
	if quiet.Interceptor != nil || quiet.Spans != nil {
		t.Error("spans are made although nobody asked for them")
	}
	quiet.Spans.Note(t.Context(), "keywave.zone", "zone-1")
	quiet.Spans.Begin(t.Context(), "inner")("")
	if trace.SpanContextFromContext(t.Context()).IsValid() {
		t.Error("a span came from nowhere")
	}
}
