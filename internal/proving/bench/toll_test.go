package main

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"go.temporal.io/api/activity/v1"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflow/v1"

	"keywave/internal/proving/stage"
)

func TestZonesAreSortedByWhatADeathHadToDoWithThem(t *testing.T) {
	noon := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	at := func(ms int) time.Time { return noon.Add(time.Duration(ms) * time.Millisecond) }
	deaths := []death{
		{at(1000), map[string]hold{"begun": inProgress, "waits": queued}},
		{at(60_000), map[string]hold{"before": queued}}, // what another death held is no matter
	}
	exposures := []exposure{
		{"before", at(900), at(999)},
		{"begun", at(990), at(3990)},
		{"waits", at(995), at(1995)},
		{"elsewhere", at(980), at(1080)},
		{"landed", at(1005), at(1305)},
		{"after", at(1100), at(1150)},
		{"second", at(59_999), at(60_499)},
	}
	arrived := func(ms int) edge { return edge{Kind: "arrived", Action: stage.RefreshAction, At: at(ms)} }
	edges := []edge{arrived(900), arrived(1005), {Kind: "arrived", Action: stage.DescribeAction, At: at(1100)}, arrived(6500), arrived(60_100)}
	got := tollOf(deaths, exposures, edges)
	for _, is := range []struct {
		name string
		got  group
		want []int
	}{
		{"calm", got.Calm, []int{99}},
		{"in flight", got.InFlight, []int{3000, 1000, 100, 300, 500}},
		{"begun", got.InProgress, []int{3000}},
		{"queued", got.Queued, []int{1000}},
		{"after", got.After, []int{50}},
		{"next refresh", got.Refresh, []int{5500, 100}},
	} {
		var ms []int
		for _, d := range is.got {
			ms = append(ms, int(d.Milliseconds()))
		}
		if !slices.Equal(ms, is.want) {
			t.Errorf("%s: %v ms, want %v", is.name, ms, is.want)
		}
	}
	pool, ok := poolOf([]figure{{}, {Toll: &got}, {Toll: &got}})
	if !ok || pool.Deaths != 4 || len(pool.InFlight) != 10 {
		t.Errorf("two campaigns of two deaths and five zones in flight are %d deaths and %d zones", pool.Deaths, len(pool.InFlight))
	}
}

func TestADeliveryIsHeldByTheProcessThatBeganItOrWhoseQueueItIsIn(t *testing.T) {
	pending := func(kind string, state enums.PendingActivityState, who, queue string) *workflow.PendingActivityInfo {
		return &workflow.PendingActivityInfo{
			ActivityType: &common.ActivityType{Name: kind}, State: state, LastWorkerIdentity: who,
			ActivityOptions: &activity.ActivityOptions{TaskQueue: &taskqueue.TaskQueue{Name: queue}},
		}
	}
	const started, scheduled = enums.PENDING_ACTIVITY_STATE_STARTED, enums.PENDING_ACTIVITY_STATE_SCHEDULED
	for _, c := range []struct {
		a    *workflow.PendingActivityInfo
		want hold
	}{
		{pending("Deliver", started, "keywave-worker@vm-77-abc/v1", "keywave-location-hk"), inProgress},
		{pending("Deliver", started, "keywave-worker@vm-778-abc/v1", "keywave-location-hk-vm-77-abc"), ""},
		{pending("Deliver", scheduled, "", "keywave-location-hk-vm-77-abc"), queued},
		{pending("Deliver", scheduled, "keywave-worker@vm-77-abc/v1", "keywave-location-hk"), ""},
		{pending("Prove", started, "keywave-worker@vm-77-abc/v1", "keywave-location-hk"), ""},
	} {
		if got := holdOf(c.a, 77); got != c.want {
			t.Errorf("%v is %q to process 77, want %q", c.a, got, c.want)
		}
	}
}

func TestAGroupSaysHowManyItHas(t *testing.T) {
	for want, g := range map[string]group{
		`{"count":0}`:                            nil,
		`{"count":2,"p50":10,"p99":30,"max":30}`: {10 * time.Millisecond, 30 * time.Millisecond},
	} {
		if got, err := json.Marshal(g); err != nil || string(got) != want {
			t.Errorf("%v became %s (%v), want %s", []time.Duration(g), got, err, want)
		}
	}
}

// A goal for zones of which there was none is not said to be reached.
func TestAGoalOfNoZoneIsNotReached(t *testing.T) {
	var s summary
	s.deaths(nil, []figure{{Limit: limit, Toll: &toll{Deaths: 3, InProgress: group{2 * time.Second}, After: group{time.Second}, Calm: group{time.Second}}}}, nil)
	for text, want := range map[string]string{"queued for it": "", "had begun": "reached"} {
		if verdict, got := verdictOf(t, s, text); verdict != want {
			t.Errorf("%s: %q (%s), want %q", text, verdict, got, want)
		}
	}
	var none summary
	none.deaths([]figure{{Toll: &toll{Deaths: 1}}}, nil, nil)
	if none.headline.FailoverP99 != nil {
		t.Error("the exposure of no zone is a figure")
	}
}
