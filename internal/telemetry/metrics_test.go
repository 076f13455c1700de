package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"keywave/internal/metrics"
)

func started(t *testing.T, page bool) *Telemetry {
	t.Helper()
	for _, name := range []string{"OTEL_METRICS_EXPORTER", "OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_RESOURCE_ATTRIBUTES"} {
		t.Setenv(name, "")
	}
	all, err := Start(t.Context(), Options{Page: page, Name: "keywave-test", Version: "v1", Instance: "me-1", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = all.Stop(context.Background()) })
	return all
}

func page(t *testing.T, of *Telemetry) string {
	t.Helper()
	to := httptest.NewRecorder()
	of.Page.ServeHTTP(to, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	return to.Body.String()
}

func TestNothingIsToldUnlessAsked(t *testing.T) {
	quiet := started(t, false)
	if quiet.Handler != nil || quiet.Page != nil {
		t.Error("something listens to metrics although nobody asked for it")
	}
	quiet.Count(metrics.Zones, metrics.Outcome, "done")
	quiet.Known(metrics.Zones)
	if err := quiet.Gauge(metrics.LeaseHeld, func(func(float64, ...string)) { t.Error("asked") }); err != nil {
		t.Error(err)
	}
}

// Whatever is emitted, by workflows, activities or the SDK: the page has the metrics
// and the labels of the table, with values that they can have.
func TestLabelsAreThoseOfTheTable(t *testing.T) {
	all := started(t, true)
	emit := all.Handler.WithTags(map[string]string{"namespace": "default", "workflow_type": "Zone", "task_queue": "keywave-location-hk-me-1", "zone": "zone-1"})
	emit.WithTags(map[string]string{metrics.Outcome: "done", metrics.Strategy: "staged"}).Counter(metrics.Zones).Inc(1)
	emit.WithTags(map[string]string{metrics.Outcome: "zone-1\n"}).Counter(metrics.Zones).Inc(2)
	emit.WithTags(map[string]string{metrics.Location: "hk\x1b[2J", metrics.Step: "connect"}).Counter(metrics.HostFailures).Inc(1)
	emit.Counter("keywave.invented").Inc(1)
	emit.Counter("temporal_request").Inc(3)
	all.Time(metrics.Exposure, 700*time.Millisecond, "zone", "zone-1")
	all.Known(metrics.EdgeOneCalls, metrics.Account, "acme")
	all.Count(metrics.EdgeOneCalls, metrics.Account, "acme", metrics.Action, "DescribeZones", metrics.Class, "throttled")
	if err := all.Gauge(metrics.ZonesExposed, func(say func(float64, ...string)) { say(4, metrics.Account, "acme", "zone", "zone-1") }); err != nil {
		t.Fatal(err)
	}
	if err := all.Gauge(metrics.LeaseHeld, func(func(float64, ...string)) {}); err != nil {
		t.Fatal(err)
	}
	got := page(t, all)
	for _, line := range []string{
		"# HELP keywave_zones_total operations on a zone that ended, by how they ended",
		`keywave_zones_total{outcome="done",strategy="staged"} 1`,
		`keywave_zones_total{outcome="other",strategy="other"} 2`,
		`keywave_exposure_seconds_bucket{strategy="other",le="0.5"} 0`,
		`keywave_exposure_seconds_bucket{strategy="other",le="0.75"} 1`,
		`keywave_edgeone_calls_total{account="acme",action="DescribeZones",class="throttled"} 1`,
		`keywave_edgeone_calls_total{account="acme",action="DescribeZones",class="ok"} 0`,
		`keywave_zones_exposed{account="acme"} 4`,
	} {
		if !strings.Contains(got, line+"\n") {
			t.Errorf("it does not say %s", line)
		}
	}
	if !strings.Contains(got, `task_queue="keywave-location-hk-own"`) {
		t.Error("a queue of this process alone is a value of its own")
	}
	for _, never := range []string{"zone-1\\n", "invented", "\x1b", "me-1\",w", "keywave_lease_held"} {
		if strings.Contains(got, never) {
			t.Errorf("it says %q", never)
		}
	}
	for line := range strings.Lines(got) {
		if strings.HasPrefix(line, "keywave_") && strings.Contains(line, "zone-1") {
			t.Errorf("a zone is a label: %s", line)
		}
	}
}

// Traces and metrics can go by OTLP or to the console, and a wrong name is a mistake
// that is told.
// A workflow task that failed is carried out again: what it tells of is counted once.
func TestAnEventIsCountedOnce(t *testing.T) {
	all := started(t, true)
	emit := func(event string) {
		of := all.Handler.WithTags(map[string]string{metrics.Event: event, metrics.Outcome: "done"})
		of.Counter(metrics.Zones) // as the SDK does while it replays
		of.Counter(metrics.Zones).Inc(1)
		of.Timer(metrics.Exposure).Record(time.Second)
	}
	emit("a/end")
	emit("a/end")
	emit("b/end")
	for i := range mostEvents {
		emit(fmt.Sprint(i))
	}
	emit("b/end") // forgotten: the memory has an end
	said := page(t, all)
	for _, want := range []string{fmt.Sprintf(`keywave_zones_total{outcome="done",strategy="other"} %d`, mostEvents+3), fmt.Sprintf(`keywave_exposure_seconds_count{strategy="other"} %d`, mostEvents+3)} {
		if !strings.Contains(said, want) {
			t.Errorf("the page does not say %q:\n%s", want, said)
		}
	}
	if strings.Contains(said, "a/end") || strings.Contains(said, metrics.Event+"=") {
		t.Error("the event is a label")
	}
}

func TestExportersAreThoseOfOpenTelemetry(t *testing.T) {
	for name, c := range map[string]struct {
		set  map[string]string
		want bool
	}{
		"nothing is set":      {nil, false},
		"an exporter":         {map[string]string{"OTEL_METRICS_EXPORTER": "console"}, true},
		"none":                {map[string]string{"OTEL_METRICS_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, false},
		"a receiver":          {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, true},
		"one of the metrics":  {map[string]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://127.0.0.1:1"}, true},
		"one of the traces":   {map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1"}, false},
		"the SDK is disabled": {map[string]string{"OTEL_METRICS_EXPORTER": "console", "OTEL_SDK_DISABLED": "true"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			for _, v := range []string{"OTEL_METRICS_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SDK_DISABLED"} {
				t.Setenv(v, c.set[v])
			}
			if got := exports("METRICS"); got != c.want {
				t.Errorf("%v", got)
			}
		})
	}
	t.Setenv("OTEL_METRICS_EXPORTER", "nowhere")
	if _, err := Start(t.Context(), Options{Log: slog.New(slog.DiscardHandler)}); err == nil || !strings.HasPrefix(err.Error(), "OTEL_METRICS_EXPORTER: ") {
		t.Errorf("an exporter that is none: %v", err)
	}
}
