package workflows_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/client"

	"keywave/internal/metrics"
	"keywave/internal/rotation"
	"keywave/workflows"
)

// recorder keeps what workflows count, by the metric's name and its labels, and
// whatever they measure.
type recorder struct {
	tags    []string
	counted map[string]int64
	spans   map[string][]time.Duration
}

func newRecorder() recorder {
	return recorder{counted: map[string]int64{}, spans: map[string][]time.Duration{}}
}

func (r recorder) WithTags(tags map[string]string) client.MetricsHandler {
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		if !strings.HasSuffix(name, "_type") && name != metrics.Event && name != "namespace" && name != "task_queue" {
			r.tags = append(slices.Clone(r.tags), name+"="+tags[name])
		}
	}
	return r
}

func (r recorder) key(name string) string {
	return strings.Join(append([]string{name}, r.tags...), " ")
}

type counterFunc func(int64)

func (f counterFunc) Inc(d int64) { f(d) }

type timerFunc func(time.Duration)

func (f timerFunc) Record(d time.Duration) { f(d) }

func (r recorder) Counter(name string) client.MetricsCounter {
	return counterFunc(func(d int64) { r.counted[r.key(name)] += d })
}

func (r recorder) Gauge(name string) client.MetricsGauge {
	return client.MetricsNopHandler.Gauge(name)
}

func (r recorder) Timer(name string) client.MetricsTimer {
	return timerFunc(func(d time.Duration) { r.spans[r.key(name)] = append(r.spans[r.key(name)], d) })
}

// total is the sum of all values of a metric, whatever its labels.
func (r recorder) total(name string) time.Duration {
	var sum time.Duration
	for key, spans := range r.spans {
		if first, _, _ := strings.Cut(key, " "); first == name {
			for _, d := range spans {
				sum += d
			}
		}
	}
	return sum
}

// Whatever happens to a zone, it is counted once, by its outcome; its exposure is that of
// its record, and the phases of the exposure add up to it.
func TestZonesAreCountedAsTheyEnd(t *testing.T) {
	staged := len(zoneStories())
	for i, s := range append(zoneStories(), stagedStories()...) {
		t.Run(s.name, func(t *testing.T) {
			w := newWorld(t, 1, 2, 2)
			in := w.zoneIn(theZone)
			if i >= staged {
				in.Strategy = rotation.Staged
			}
			if s.set != nil {
				s.set(w, w.zones[theZone], &in)
			}
			r := w.rotate(in)
			if got := w.metrics.counted; got[metrics.Zones+" outcome="+string(r.Outcome)+" strategy="+strategyOf(in)] != 1 {
				t.Errorf("%s was counted as %v", r.Outcome, got)
			}
			exposure := time.Duration(r.ExposureMs) * time.Millisecond
			if r.Outcome != rotation.Done || exposure == 0 {
				return
			}
			told, phases := w.metrics.total(metrics.Exposure), w.metrics.total(metrics.ExposurePhase)
			if (told - exposure).Abs() > 2*time.Millisecond {
				t.Errorf("exposed for %s by its record, for %s by the metric\n%s", exposure, told, w.story())
			}
			if before := noon.Sub(r.Since); (phases - told + max(0, before)).Abs() > 2*time.Millisecond { // a repair begins late
				t.Errorf("the phases add up to %s, and the exposure was %s: %v\n%s", phases, told, w.metrics.spans, w.story())
			}
		})
	}
}

func strategyOf(in workflows.ZoneIn) string {
	switch {
	case in.Verb == rotation.Repair:
		return metrics.NoStrategy
	case in.Emergency != "":
		return rotation.RefreshWord
	}
	return in.Strategy.String()
}

// A reason to pause is counted when it begins, and not while it stands.
func TestPausesAreCountedAsTheyBegin(t *testing.T) {
	w := newWorld(t, 20, 4, 2)
	p := w.plan(usualSettings(), 6)
	for _, z := range w.zones {
		z.refresh = []refreshing{slow(5 * time.Second)}
	}
	w.say(3*time.Second, workflows.UpdatePause, workflows.Order{By: "ann", Reason: "lunch"})
	w.say(time.Hour, workflows.UpdateResume, workflows.Order{By: "ann"})
	w.say(time.Hour+3*time.Second, workflows.UpdatePause, workflows.Order{By: "ann", Reason: "tea"})
	w.say(2*time.Hour, workflows.UpdateCancel, workflows.Order{By: "ann"}) // while that reason stands
	s := w.campaign(w.campaignIn(p))
	if got := w.metrics.counted; got[metrics.CampaignPaused+" reason=person"] != 2 || s.State != workflows.StateCancelled {
		t.Errorf("%s; two pauses were counted as %v\n%s", s.State, got, w.story())
	}
}
