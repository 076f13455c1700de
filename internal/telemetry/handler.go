package telemetry

import (
	"maps"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/opentelemetry"

	"keywave/internal/harmless"
	"keywave/internal/metrics"
)

// handler lets through what the table of metrics has, with the labels that it has
// there, and what Temporal's SDK says of itself. The labels that the SDK adds to ours
// (queue, workflow type, namespace) are dropped.
type handler struct {
	to   opentelemetry.MetricsHandler
	tags map[string]string
	// table is metrics.Table by name.
	table map[string]metrics.Metric
	// own marks the queues that this process alone polls. Each process would add a
	// value to the SDK's label of queues.
	own string
	// known are the events that this process has counted.
	known *events
}

// sdkPrefix is how the names of the SDK's metrics begin.
const sdkPrefix = "temporal_"

// WithTags implements client.MetricsHandler.
func (h handler) WithTags(tags map[string]string) client.MetricsHandler {
	h.tags = with(h.tags, tags)
	return h
}

// Counter implements client.MetricsHandler.
func (h handler) Counter(name string) client.MetricsCounter {
	return counterOnce{h.of(name).Counter(name), h.once(name)}
}

// Gauge implements client.MetricsHandler.
func (h handler) Gauge(name string) client.MetricsGauge { return h.of(name).Gauge(name) }

// Timer implements client.MetricsHandler.
func (h handler) Timer(name string) client.MetricsTimer {
	return timerOnce{h.of(name).Timer(name), h.once(name)}
}

func (h handler) of(name string) client.MetricsHandler {
	if strings.HasPrefix(name, sdkPrefix) {
		return h.to.WithTags(h.plain())
	}
	m, known := h.table[name]
	if !known {
		return client.MetricsNopHandler
	}
	return h.to.WithTags(allowed(m, h.tags))
}

// plain are the SDK's labels.
func (h handler) plain() map[string]string {
	tags := make(map[string]string, len(h.tags))
	for name, value := range h.tags {
		if name == "task_queue" {
			if shared, own := strings.CutSuffix(value, "-"+h.own); own {
				value = shared + "-own"
			}
		}
		tags[name] = harmless.Log(value)
	}
	return tags
}

// allowed are the metric's own labels, with values that they can have.
func allowed(m metrics.Metric, tags map[string]string) map[string]string {
	closed := make(map[string]string, len(m.Labels))
	for _, l := range m.Labels {
		closed[l.Name] = harmless.Log(l.Closed(tags[l.Name]))
	}
	return closed
}

func with(tags, more map[string]string) map[string]string {
	all := make(map[string]string, len(tags)+len(more))
	maps.Copy(all, tags)
	maps.Copy(all, more)
	return all
}

func attributes(tags map[string]string) []attribute.KeyValue {
	all := make([]attribute.KeyValue, 0, len(tags))
	for name, value := range tags {
		all = append(all, attribute.String(name, value))
	}
	return all
}
