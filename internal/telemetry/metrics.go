package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	prometheusexporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/opentelemetry"
	"go.temporal.io/sdk/interceptor"

	"keywave/internal/metrics"
)

// Options say what a process tells about itself.
type Options struct {
	// Page asks for the metrics as a page for Prometheus.
	Page bool
	// Name and Version are the program's; Instance is this process of it.
	Name, Version, Instance string
	Log                     *slog.Logger
}

// Telemetry is what a process tells machines. Nothing leaves it unless OTEL_* says so,
// or somebody reads the page.
type Telemetry struct {
	// Handler is for the options of Temporal's client: the SDK's metrics, and those
	// of workflows and activities, go through it. nil where nobody hears them.
	Handler client.MetricsHandler
	// Page shows the metrics to Prometheus; nil unless it was asked for.
	Page http.Handler

	// Interceptor is for the options of Temporal's client, and Spans for activities;
	// nil where nothing is traced.
	Interceptor interceptor.Interceptor
	Spans       *Spans

	meter    metric.Meter
	shutdown []func(context.Context) error
}

// Start sets OpenTelemetry up, by its own conventions.
func Start(ctx context.Context, o Options) (*Telemetry, error) {
	t := &Telemetry{}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { o.Log.Warn("telemetry: " + err.Error()) }))
	about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(
		attribute.String("service.name", o.Name), attribute.String("service.version", o.Version), attribute.String("service.instance.id", o.Instance),
	), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	if err := t.startMetrics(ctx, o, about); err != nil {
		return nil, err
	}
	return t, t.startTraces(ctx, about)
}

// Stop sends what is left.
func (t *Telemetry) Stop(ctx context.Context) error {
	var failed error
	for _, stop := range t.shutdown {
		failed = errors.Join(failed, stop(ctx))
	}
	return failed
}

func (t *Telemetry) startMetrics(ctx context.Context, o Options, about *resource.Resource) error {
	options := []sdkmetric.Option{sdkmetric.WithResource(about), sdkmetric.WithView(views()...)}
	if o.Page {
		registry := prometheus.NewRegistry()
		reader, err := prometheusexporter.New(prometheusexporter.WithRegisterer(registry), prometheusexporter.WithoutScopeInfo())
		if err != nil {
			return fmt.Errorf("metrics for Prometheus: %w", err)
		}
		t.Page = promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
		options = append(options, sdkmetric.WithReader(reader))
	}
	if exports("METRICS") {
		reader, err := autoexport.NewMetricReader(ctx)
		if err != nil {
			return fmt.Errorf("OTEL_METRICS_EXPORTER: %w", err)
		}
		options = append(options, sdkmetric.WithReader(reader))
	}
	if len(options) == 2 {
		return nil
	}
	provider := sdkmetric.NewMeterProvider(options...)
	t.shutdown = append(t.shutdown, provider.Shutdown)
	t.meter = provider.Meter("keywave")
	table := map[string]metrics.Metric{}
	for _, m := range metrics.Table() {
		table[m.Name] = m
	}
	t.Handler = handler{table: table, own: o.Instance, known: &events{}, to: opentelemetry.NewMetricsHandler(opentelemetry.MetricsHandlerOptions{
		Meter: t.meter, UseMonotonicCounters: true, OnError: otel.Handle,
	})}
	return nil
}

// exports says that OTEL_* names an exporter, or where to export to, of METRICS or
// TRACES.
func exports(signal string) bool {
	if os.Getenv("OTEL_SDK_DISABLED") == "true" {
		return false
	}
	if exporter := os.Getenv("OTEL_" + signal + "_EXPORTER"); exporter != "" {
		return exporter != "none"
	}
	return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_"+signal+"_ENDPOINT") != ""
}

// views give each metric the words, the unit and the buckets of the table.
func views() []sdkmetric.View {
	all := []sdkmetric.View{sdkmetric.NewView(
		// Temporal's are in seconds, and the usual buckets begin at five of them.
		sdkmetric.Instrument{Name: "temporal_*", Kind: sdkmetric.InstrumentKindHistogram},
		sdkmetric.Stream{Aggregation: sdkmetric.AggregationExplicitBucketHistogram{Boundaries: []float64{0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 60, 600}}},
	)}
	for _, m := range metrics.Table() {
		stream := sdkmetric.Stream{Description: m.Doc, Unit: m.Unit}
		if m.Buckets != nil {
			stream.Aggregation = sdkmetric.AggregationExplicitBucketHistogram{Boundaries: m.Buckets}
		}
		all = append(all, sdkmetric.NewView(sdkmetric.Instrument{Name: m.Name}, stream))
	}
	return all
}

// Gauge has read asked whenever somebody wants to know; it says each value with its
// labels, a name and a value in turn, or nothing.
func (t *Telemetry) Gauge(name string, read func(say func(value float64, labels ...string))) error {
	m, known := metrics.Find(name)
	if !known {
		return fmt.Errorf("no metric %s", name)
	}
	if t.meter == nil {
		return nil
	}
	_, err := t.meter.Float64ObservableGauge(name, metric.WithFloat64Callback(func(_ context.Context, to metric.Float64Observer) error {
		read(func(value float64, labels ...string) {
			to.Observe(value, metric.WithAttributes(attributes(allowed(m, pairs(labels)))...))
		})
		return nil
	}))
	return err
}

// Known shows a counter as 0 for every combination of its closed labels with the given
// ones, before anything was counted: Prometheus sees no increase in a series that
// begins with 1.
func (t *Telemetry) Known(name string, labels ...string) {
	m, known := metrics.Find(name)
	if !known || t.Handler == nil {
		return
	}
	all := []map[string]string{pairs(labels)}
	for _, l := range m.Labels {
		var more []map[string]string
		for _, tags := range all {
			for _, value := range l.Values {
				more = append(more, with(tags, map[string]string{l.Name: value}))
			}
		}
		if l.Values != nil {
			all = more
		}
	}
	for _, tags := range all {
		t.Handler.WithTags(tags).Counter(name).Inc(0)
	}
}

// Count adds one to a counter.
func (t *Telemetry) Count(name string, labels ...string) {
	if t.Handler != nil {
		t.Handler.WithTags(pairs(labels)).Counter(name).Inc(1)
	}
}

// Time adds a span of time to a histogram.
func (t *Telemetry) Time(name string, span time.Duration, labels ...string) {
	if t.Handler != nil {
		t.Handler.WithTags(pairs(labels)).Timer(name).Record(span)
	}
}

func pairs(labels []string) map[string]string {
	tags := map[string]string{}
	for pair := range slices.Chunk(labels, 2) {
		tags[pair[0]] = pair[1]
	}
	return tags
}
