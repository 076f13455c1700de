package main

import (
	"context"
	"testing"
	"time"

	"go.temporal.io/sdk/client"

	"keywave/activities"
	"keywave/internal/rotation"
	"keywave/internal/temporalclient"
)

// A process counts as silent when the server has not heard it for a while, told by how long
// its last word has been the last one: the server's clock may be hours off.
func TestSilence(t *testing.T) {
	began := time.Now()
	words := began.Add(-7 * time.Hour) // on the server's clock
	type look struct {
		at     time.Duration
		worker string
		beat   time.Duration
	}
	for name, c := range map[string]struct {
		looks []look
		falls []int // the looks at which it falls silent
	}{
		"it is heard twice a second": {looks: []look{{0, "a", 0}, {600e6, "a", 5e8}, {1400e6, "a", 1e9}, {2300e6, "a", 15e8}}},
		"it is heard no more":        {looks: []look{{0, "a", 0}, {900e6, "a", 0}, {1000e6, "a", 0}, {5e9, "a", 0}}, falls: []int{2}},
		"twice":                      {looks: []look{{0, "a", 0}, {1100e6, "a", 0}, {1200e6, "a", 1e9}, {2100e6, "a", 1e9}, {2300e6, "a", 1e9}}, falls: []int{1, 4}},
		"another one took over":      {looks: []look{{0, "a", 0}, {900e6, "b", 0}, {1100e6, "b", 0}, {1800e6, "b", 0}, {1900e6, "b", 0}}, falls: []int{4}},
		"nobody is there":            {looks: []look{{0, "", 0}, {2e9, "", 0}, {4e9, "", 0}}},
	} {
		t.Run(name, func(t *testing.T) {
			var s silence
			var falls []int
			for i, l := range c.looks {
				if s.falls(began.Add(l.at), l.worker, words.Add(l.beat)) {
					falls = append(falls, i)
				}
			}
			if len(falls) != len(c.falls) {
				t.Fatalf("it falls silent at looks %v, want %v", falls, c.falls)
			}
			for i := range falls {
				if falls[i] != c.falls[i] {
					t.Errorf("it falls silent at looks %v, want %v", falls, c.falls)
				}
			}
		})
	}
}

// signalled is a Temporal that keeps what zones are told.
type signalled struct {
	client.Client
	told map[string]rotation.ZoneOrder
}

func (s signalled) SignalWorkflow(_ context.Context, id, _, _ string, order any) error {
	s.told[id] = order.(rotation.ZoneOrder)
	return nil
}

// Of a process that is not heard any more, whatever it worked at may have been sent, also
// where it said with its last heartbeat that it waits. What is queued, or what another
// process works at, has not.
func TestLostProcessMayHaveSentWhatWaited(t *testing.T) {
	const lost, other = "keywave-worker-7@a/fleet", "keywave-worker-8@b/fleet"
	began := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := signalled{told: map[string]rotation.ZoneOrder{}}
	e := &early{caller: &caller{workers: &workers{temporal: &temporalclient.Connection{Client: s}}}}
	e.tellZones(t.Context(), []activities.Refreshing{
		{Workflow: "waits", State: activities.RefreshStarted, Since: began, Worker: lost, Says: "it waits for its turn at the account's pace"},
		{Workflow: "silent", State: activities.RefreshStarted, Since: began, Worker: lost},
		{Workflow: "queued", State: activities.RefreshQueued},
		{Workflow: "elsewhere", State: activities.RefreshStarted, Since: began, Worker: other},
	}, lost)
	for id, may := range map[string]bool{"waits": true, "silent": true, "queued": false, "elsewhere": false} {
		if order, told := s.told[id]; !told || order.Begun.Equal(began) != may {
			t.Errorf("%s is told %+v (told: %v), want begun: %v", id, order, told, may)
		}
	}
}
