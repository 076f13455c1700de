package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"time"

	"keywave/internal/proving/stage"
)

// observed measures in turn, as bare does, because the machine's pace changes: the engine
// that tells nobody how it does, one whose metrics are read, and one whose spans are sent,
// too.
func (b *bench) observed(ctx context.Context) error {
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	defer collector.Close()
	spans := []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + collector.URL, "OTEL_METRICS_EXPORTER=none"}
	for i := range b.pairs {
		for _, told := range []struct {
			name string
			read bool
			env  []string
		}{{"unobserved", false, nil}, {"metrics", true, nil}, {"metrics and traces", true, spans}} {
			run := setup{name: fmt.Sprintf("%s %d", told.name, i+1), zones: b.free, hostsEach: hostsAlone, delayMs: roundTrip, limit: lifted, workers: 1, workerEnv: told.env}
			if err := b.read(ctx, run, told.read); err != nil {
				return err
			}
		}
	}
	return nil
}

// scrapeEvery is how often metrics are read, as by a Prometheus.
const scrapeEvery = 5 * time.Second

// read measures a run, whose worker's metrics are read all the time if so is said.
func (b *bench) read(ctx context.Context, run setup, metrics bool) error {
	if !metrics {
		return b.durable(ctx, run, nil)
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(stage.FreePort()))
	run.roles = [][]string{{"--listen", address}}
	reading, stop := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		for stage.Pause(reading, scrapeEvery) == nil {
			if answer, err := http.Get("http://" + address + "/metrics"); err == nil {
				_, _ = io.Copy(io.Discard, answer.Body)
				_ = answer.Body.Close()
			}
		}
	})
	defer done.Wait()
	defer stop()
	return b.durable(ctx, run, nil)
}

// whatIsToldCosts compares the workers of each turn.
func (s *summary) whatIsToldCosts(turns []figure) {
	var metrics, both []float64
	for turn := range slices.Chunk(turns, 3) {
		if plain := turn[0].CPUMsPerZone[whoRotates]; len(turn) == 3 && plain > 0 {
			metrics = append(metrics, turn[1].CPUMsPerZone[whoRotates]/plain)
			both = append(both, turn[2].CPUMsPerZone[whoRotates]/plain)
		}
	}
	if len(metrics) == 0 {
		return
	}
	s.state("the worker's CPU a zone with metrics that are read every 5 s, against without", "%.2f ×, from %.2f to %.2f", mean(metrics), slices.Min(metrics), slices.Max(metrics))
	s.state("the same with metrics and traces", "%.2f ×, from %.2f to %.2f", mean(both), slices.Min(both), slices.Max(both))
}
