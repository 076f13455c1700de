package edgeone

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"keywave/internal/rotation"
)

// A refresh holds its slot until the read behind it, whose pace is a little lower. So the
// slots of a process keep refreshes from running ahead of their reads, and no read waits for
// a second, after which the zone would have to ask anew.
func TestSlotsKeepReadsUpWithRefreshes(t *testing.T) {
	for _, limit := range []float64{2, 3, 5, 8, 10, 20, 40, 100} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				active, _ := NewPaces(limit)
				zones := int64(60 * limit)
				var begun, late atomic.Int64
				var all sync.WaitGroup
				start := time.Now()
				for range rotation.RefreshesAtOnce(limit) {
					all.Go(func() {
						for begun.Add(1) <= zones {
							if err := active.wait(t.Context(), ActionRefresh); err != nil {
								t.Error(err)
							}
							time.Sleep(150 * time.Millisecond) // the answer, and the hosts
							soon, cancel := context.WithTimeout(t.Context(), time.Second)
							if active.wait(soon, ActionDescribe) != nil {
								late.Add(1)
							}
							cancel()
						}
					})
				}
				all.Wait()
				if late.Load() > 0 {
					t.Errorf("%d of %d reads waited for a second", late.Load(), zones)
				}
				pace := float64(zones) / time.Since(start).Seconds()
				if least := 0.95 * active.lane(ActionDescribe).limit; pace < least {
					t.Errorf("%.2f zones a second, want %.2f", pace, least)
				}
			})
		})
	}
}
