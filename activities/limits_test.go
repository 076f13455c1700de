package activities_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"keywave/activities"
	"keywave/internal/rotation"
)

// margin is the time that an activity must have left when it has done
// everything that it may do.
const margin = 4 * time.Second

// Everything that an activity does inside fits into the time that Temporal
// gives it. Otherwise the activity ends in time by itself, or nothing is lost
// when Temporal ends it.
func TestEveryActivityEndsInsideItsTime(t *testing.T) {
	for _, proofs := range []time.Duration{time.Second, time.Minute, time.Hour} {
		all := reflect.ValueOf(activities.LimitsFor(proofs))
		for i := range all.NumField() {
			name, l := all.Type().Field(i).Name, all.Field(i).Interface().(activities.Limit)
			inside := time.Duration(l.Tries) * (l.Call + l.BackOff)
			if name == "Refresh" || name == "Switch" {
				inside += proofs // it may be rejected until then
			}
			switch {
			case l.Close == 0:
				t.Errorf("%s: an attempt has no end", name)
			case l.Tries == 0 && !l.InTime && !l.Repeats:
				t.Errorf("%s: nothing says how long it takes", name)
			case l.Tries > 0 && inside+margin > l.Close:
				t.Errorf("%s: its %d calls take up to %s, and it is ended after %s", name, l.Tries, inside, l.Close)
			}
			if l.Heartbeat > 0 && (l.Beat == 0 || 2*l.Beat >= l.Heartbeat) || l.Heartbeat == 0 && l.Beat > 0 {
				t.Errorf("%s: it is to be heard of every %s, and lost after %s", name, l.Beat, l.Heartbeat)
			}
			if l.Total > 0 && l.Total < l.Close {
				t.Errorf("%s: its attempts have %s together, and one %s", name, l.Total, l.Close)
			}
		}
	}
}

// A queue may have nobody who polls it. Whoever waits there is told.
func TestNobodyWaitsForeverInAQueueThatNobodyPolls(t *testing.T) {
	l := activities.LimitsFor(time.Minute)
	for name, one := range map[string]activities.Limit{
		"Refresh": l.Refresh, "Switch": l.Switch, "Read": l.Read, "Mint": l.Mint, "Baselines": l.Baselines, "Probe": l.Probe, "Health": l.Health,
		"Examine": l.Examine, "Discover": l.Discover, "PlanFleet": l.PlanFleet, "Prove": l.Prove, "Deliver": l.Deliver, "Stage": l.Stage, "Unstage": l.Unstage,
	} {
		if one.Start == 0 {
			t.Errorf("%s waits for a worker without an end", name)
		}
	}
}

// Promise 4: when a refresh counts as lost, its worker's lease is over. The
// server last heard of the refresh no earlier than one beat before the worker
// was cut off. The lease lasts from a heartbeat that was sent before that.
func TestALostRefreshHasNoLease(t *testing.T) {
	l := activities.LimitsFor(time.Minute)
	if sure := l.Refresh.Heartbeat - activities.RefreshBeat; sure < activities.LeaseLife+time.Second || l.Refresh.Beat != activities.RefreshBeat {
		t.Errorf("a refresh may be lost %s after its worker was cut off, and that worker's lease lasts for %s", sure, activities.LeaseLife)
	}
	if l.Lease.Heartbeat <= activities.LeaseLife {
		t.Errorf("the lease is given away after %s, and lasts for %s", l.Lease.Heartbeat, activities.LeaseLife)
	}
}

// silent is a call that is never answered.
func silent(ctx context.Context, _ func() error) (rotation.Secret, rotation.Receipt, error) {
	signed := time.Now()
	ctx, cancel := context.WithTimeout(ctx, activities.EdgeOneCall)
	defer cancel()
	<-ctx.Done()
	return rotation.Secret{}, rotation.Receipt{Signed: signed}, &rotation.APIError{Class: rotation.Ambiguous, Code: "ClientError.NetworkError.Timeout"}
}

// stuck is a call whose turn never comes.
func stuck(ctx context.Context, _ func() error) (rotation.Secret, rotation.Receipt, error) {
	<-ctx.Done()
	return rotation.Secret{}, rotation.Receipt{}, ctx.Err()
}

// A read returns its problem within its time, whatever EdgeOne does.
func TestReadEndsInTime(t *testing.T) {
	for name, c := range map[string]struct {
		call call
		why  string
	}{
		"no answer": {silent, "Timeout"},
		"no turn":   {stuck, "did not answer in time"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began, limit := time.Now(), activities.LimitsFor(0).Read
				out, err := runWithin(t, limit.Close, (&activities.EdgeOne{API: &edgeOne{describes: []call{c.call}}, Sealer: newSeals(t, hk)}).Read, activities.ReadIn{Zone: zone})
				if err != nil || !strings.Contains(out.Problem, c.why) {
					t.Errorf("%+v, %v", out, err)
				}
				if took := time.Since(began); took > limit.Close-margin {
					t.Errorf("it took %s of %s", took, limit.Close)
				}
			})
		})
	}
}

// A batch of baselines does so too. What could not be read in time has a
// problem, and what was read is kept.
func TestBaselinesEndInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, limit := time.Now(), activities.LimitsFor(0).Baselines
		act := &activities.EdgeOne{API: &edgeOne{describes: []call{answers(theKey, 0), silent}}, Sealer: newSeals(t, hk)}
		zones := slices.Repeat([]rotation.ZoneID{zone}, 100)
		out, err := runWithin(t, limit.Close, act.Baselines, activities.BaselinesIn{Zones: zones})
		if err != nil || out.Baselines[0].Key != print(theKey) || out.Baselines[1].Problem == "" || out.Baselines[99].Problem == "" {
			t.Errorf("%+v, %v", out, err)
		}
		if took := time.Since(began); took > limit.Close-margin {
			t.Errorf("it took %s of %s", took, limit.Close)
		}
	})
}

// Zones that were listed in time are kept, although the rest could not be
// listed.
func TestDiscoverEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, limit := time.Now(), activities.LimitsFor(0).Discover
		out, err := runWithin(t, limit.Close, (&activities.EdgeOne{Inventory: slowList{}}).Discover, activities.DiscoverIn{})
		if err != nil || out.Next != 100 || len(out.Zones) != 1 {
			t.Errorf("%+v, %v", out, err)
		}
		if took := time.Since(began); took > limit.Close {
			t.Errorf("it took %s of %s", took, limit.Close)
		}
	})
}

// slowList answers with one page, and then not any more.
type slowList struct{ rotation.Inventory }

func (slowList) Zones(ctx context.Context, _ rotation.ZoneQuery, from int) (rotation.ZonePage, error) {
	if from > 0 {
		<-ctx.Done()
		return rotation.ZonePage{}, errors.Join(ctx.Err())
	}
	return rotation.ZonePage{Zones: []rotation.ListedZone{{ID: zone}}, Total: 300, Next: 100}, nil
}
