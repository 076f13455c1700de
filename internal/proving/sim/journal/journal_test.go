package journal_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"keywave/internal/proving/sim/journal"
)

func TestTheRingKeepsTheLastOnes(t *testing.T) {
	j := journal.New(3)
	for range 5 {
		j.Add(journal.Edge{Edge: journal.Arrived})
	}
	edges, last := j.Since(0, 0)
	if len(edges) != 3 || edges[0].Seq != 3 || last != 5 {
		t.Errorf("kept %+v, last %d", edges, last)
	}
	if edges, _ := j.Since(3, 1); len(edges) != 1 || edges[0].Seq != 4 {
		t.Errorf("after 3 comes %+v", edges)
	}
	if edges, _ := j.Since(5, 0); len(edges) != 0 {
		t.Errorf("after the last comes %+v", edges)
	}
}

func TestWaitHoldsUntilThereIsNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := journal.New(3)
		go func() {
			time.Sleep(5 * time.Second)
			j.Add(journal.Edge{Edge: journal.Executed})
		}()
		began := time.Now()
		edges, _ := j.Wait(t.Context(), 0, 0)
		if len(edges) != 1 || time.Since(began) != 5*time.Second || edges[0].MonoUs != 5_000_000 {
			t.Errorf("after %v: %+v", time.Since(began), edges)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if edges, last := j.Wait(short, 1, 0); len(edges) != 0 || last != 1 {
			t.Errorf("without news it gave %+v", edges)
		}
	})
}
