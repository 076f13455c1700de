package activities_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.temporal.io/sdk/temporal"

	"keywave/activities"
	"keywave/internal/rotation"
)

const differs = "the fleet file of this worker gives " + string(zone) + " to h1 and h2; asked for: "

// other is a host of the fleet to which the fleet does not give the zone.
var other = rotation.HostRef{Name: "h9", Location: hk}

// unknown is a fleet whose zones cannot be read now. last is the last answer,
// if there was one.
func unknown(last rotation.Holders) func(context.Context, rotation.ZoneID) (rotation.Holders, error) {
	return func(context.Context, rotation.ZoneID) (rotation.Holders, error) {
		return last, errors.New("the table of zones cannot be read")
	}
}

// Nothing is signed for other hosts than those to which the fleet file of this
// very process gives the zone, or for a workflow that is not the zone's.
func TestRefreshIsForTheFleetsHostsAlone(t *testing.T) {
	own := asker{activities.ZoneWorkflow(zone), activities.ZoneType}
	for _, c := range []struct {
		name string
		set  func(*activities.EdgeOne, *activities.RefreshIn)
		from asker
		says string
		want activities.Sending // empty means Refused
	}{
		{name: "another host", set: func(_ *activities.EdgeOne, in *activities.RefreshIn) { in.Hosts = []rotation.HostRef{other} }, says: differs + "h9; not of the zone: h9 in hk; missing: h1 and h2"},
		{name: "one host more", set: func(_ *activities.EdgeOne, in *activities.RefreshIn) { in.Hosts = append(in.Hosts[:2:2], other) }, says: differs + "h1, h2 and h9; not of the zone: h9 in hk"},
		{name: "one host less", set: func(_ *activities.EdgeOne, in *activities.RefreshIn) { in.Hosts = in.Hosts[:1] }, says: differs + "h1; missing: h2"},
		{name: "no host", set: func(_ *activities.EdgeOne, in *activities.RefreshIn) { in.Hosts = nil }, says: differs + "nobody; missing: h1 and h2"},
		{name: "another place", set: func(_ *activities.EdgeOne, in *activities.RefreshIn) {
			in.Hosts = []rotation.HostRef{in.Hosts[0], {Name: "h2", Location: hk}}
		}, says: differs + "h1 and h2; not of the zone: h2 in hk; missing: h2"},
		{name: "a zone that the fleet file does not have", set: func(_ *activities.EdgeOne, in *activities.RefreshIn) { in.Zone = "zone-b" }, from: asker{"zone/zone-b", "Zone"}, says: "has no zone zone-b; asked for: h1 and h2"},
		{name: "the source cannot be read", set: func(e *activities.EdgeOne, _ *activities.RefreshIn) { e.Holders = unknown(hosts) }, says: "is not known: the table of zones cannot be read", want: activities.NotSent},
		{name: "another workflow", from: asker{"zone/zone-b", "Zone"}, says: `is for workflow zone/` + string(zone) + ` alone, and was asked for by workflow "zone/zone-b"`},
		{name: "another kind of workflow", from: asker{own.id, "Plan"}, says: `of type "Plan"`},
		{name: "no workflow", from: asker{id: own.id}, says: "asked for by nobody's workflow"},
		{name: "a retired host", set: func(_ *activities.EdgeOne, in *activities.RefreshIn) {
			in.Hosts, in.Retired = in.Hosts[:1], []rotation.RetiredHost{{Host: "h2", Reason: "scrapped"}}
		}, want: activities.Answered},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &edgeOne{refreshes: []call{answers(theKey, 0)}}
				act := &activities.EdgeOne{API: e, Sealer: newSeals(t, hk, eu), Holders: gives(hosts)}
				in, from, want := refreshIn(), own, activities.Refused
				if c.set != nil {
					c.set(act, &in)
				}
				if c.from != (asker{}) {
					from = c.from
				}
				if c.want != "" {
					want = c.want
				}
				out, err := runFrom(t, t.Context(), from, act.Refresh, in)
				if err != nil || out.Sending != want || !strings.Contains(out.Why, c.says) || out.Halt || out.Again != (want == activities.NotSent) {
					t.Errorf("%+v, %v", out, err)
				}
				if sent := e.refreshed > 0; sent != (want == activities.Answered) || sent != (out.Sealed != nil) {
					t.Errorf("%d refreshes, sealed to %d places", e.refreshed, len(out.Sealed))
				}
			})
		})
	}
}

// A read tells everybody which key is live. It gives the key only to hosts of
// the zone, and only for the zone's own workflow.
func TestReadIsForTheFleetsHostsAlone(t *testing.T) {
	own := asker{activities.ZoneWorkflow(zone), activities.ZoneType}
	for _, c := range []struct {
		name    string
		hosts   []rotation.HostRef
		holders func(context.Context, rotation.ZoneID) (rotation.Holders, error)
		from    asker
		says    string // empty: the key is given
	}{
		{name: "all", hosts: hosts, holders: gives(hosts), from: own},
		{name: "some", hosts: hosts[1:], holders: gives(hosts), from: own},
		{name: "one more", hosts: append(hosts[:2:2], other), holders: gives(hosts), from: own, says: differs + "h1, h2 and h9; not of the zone: h9 in hk"},
		{name: "another", hosts: []rotation.HostRef{other}, holders: gives(hosts), from: own, says: differs + "h9; not of the zone: h9 in hk"},
		{name: "by the last answer", hosts: hosts, holders: unknown(hosts), from: own},
		{name: "another by the last answer", hosts: []rotation.HostRef{other}, holders: unknown(hosts), from: own, says: differs + "h9"},
		{name: "without an answer", hosts: hosts, holders: unknown(nil), from: own, says: "is not known: the table of zones cannot be read"},
		{name: "another workflow", hosts: hosts, holders: gives(hosts), from: asker{"zone/zone-b", "Zone"}, says: "alone, and was asked for by"},
		{name: "no workflow", hosts: hosts, holders: gives(hosts), says: "asked for by nobody's workflow"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				act := &activities.EdgeOne{API: &edgeOne{describes: []call{answers(theKey, 0)}}, Sealer: newSeals(t, hk, eu), Holders: c.holders}
				out, err := runFrom(t, t.Context(), c.from, act.Read, activities.ReadIn{Zone: zone, Hosts: c.hosts})
				if err != nil || out.Key != print(theKey) || out.Problem != "" || !strings.Contains(out.Withheld, c.says) {
					t.Errorf("%+v, %v", out, err)
				}
				if given := out.Sealed != nil; given != (c.says == "") || given != (out.Withheld == "") {
					t.Errorf("sealed to %d places, withheld because %q", len(out.Sealed), out.Withheld)
				}
			})
		})
	}
}

// A key is put on a host only for its zone's own workflow.
func TestDeliverIsForTheZonesWorkflowAlone(t *testing.T) {
	for name, from := range map[string]asker{
		"another zone's": {"zone/zone-b", "Zone"}, "another kind of": {activities.ZoneWorkflow(zone), "Page"}, "no": {id: activities.ZoneWorkflow(zone)},
	} {
		t.Run(name+" workflow", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				boxes := newSeals(t, hk)
				m := holding(oldKey)
				l, refs := place(boxes, m)
				out, err := runFrom(t, t.Context(), from, l.Deliver, deliverIn(t, boxes, refs))
				if err != nil || !strings.Contains(out.Acks[0].Problem, "is for workflow zone/"+string(zone)+" alone") || m.wrote != 0 {
					t.Errorf("%+v, %v", out, err)
				}
			})
		})
	}
}

// A second workflow that asks for the lease would make a second process active.
func TestLeaseIsForItsWorkflowAlone(t *testing.T) {
	for name, from := range map[string]asker{
		"another account's": {"edgeone/other", "Lease"}, "another kind of": {leaseWorkflow, "Zone"}, "no": {id: leaseWorkflow},
	} {
		t.Run(name+" workflow", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHolder(func(time.Duration) error { return nil })
				_, err := runFrom(t, t.Context(), from, func(ctx context.Context, in activities.LeaseIn) (string, error) { return "", h.Serve(ctx, in) }, activities.LeaseIn{Account: "acme"})
				var app *temporal.ApplicationError
				if !errors.As(err, &app) || app.Type() != string(activities.KindStray) || !app.NonRetryable() || len(h.told) > 0 {
					t.Errorf("%v, %v", err, h.told)
				}
			})
		})
	}
}

// A source of zones that does not answer takes no more than a read's own time: what became
// of it is told before Temporal ends it.
func TestReadEndsInTimeWithoutItsHolders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		act := &activities.EdgeOne{API: &edgeOne{describes: []call{answers(theKey, 0)}}, Sealer: newSeals(t, hk, eu)}
		act.Holders = func(ctx context.Context, _ rotation.ZoneID) (rotation.Holders, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		out, err := run(t, t.Context(), act.Read, activities.ReadIn{Zone: zone, Hosts: hosts})
		if err != nil || out.Key != print(theKey) || !strings.Contains(out.Withheld, "is not known") {
			t.Errorf("%+v, %v", out, err)
		}
	})
}
