package activities_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"keywave/activities"
	"keywave/internal/rotation"
)

// beside is an EdgeOne in a process that serves hk with these machines, and what
// asks it to go straight to them.
func beside(t *testing.T, e *edgeOne, machines ...*machine) (*activities.EdgeOne, activities.RefreshIn) {
	t.Helper()
	boxes := newSeals(t, hk, eu)
	l, refs := place(boxes, machines...)
	l.Queue = "keywave-location-hk-me"
	in := refreshIn()
	in.Hosts, in.Expect = refs, []rotation.Fingerprint{print(oldKey)}
	for range refs {
		in.Straight = append(in.Straight, l.Queue)
	}
	return &activities.EdgeOne{API: e, Sealer: boxes, Holders: gives(refs), Beside: []*activities.Location{l}}, in
}

func TestRefreshGoesStraight(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(*activities.EdgeOne, *activities.RefreshIn, []*machine)
		acks int  // with or without a problem
		good bool // all acknowledged
	}{
		{"to every host", func(*activities.EdgeOne, *activities.RefreshIn, []*machine) {}, 2, true},
		{"a host holds what nobody expects", func(_ *activities.EdgeOne, _ *activities.RefreshIn, m []*machine) {
			m[1].files[zone] = "somebody else's"
		}, 2, false},
		{"a host that hangs", func(_ *activities.EdgeOne, _ *activities.RefreshIn, m []*machine) { m[1].hangs = true }, 2, false},
		{"a host that another worker proved", func(_ *activities.EdgeOne, in *activities.RefreshIn, _ []*machine) {
			in.Straight[1] = "keywave-location-hk-other"
		}, 0, false},
		{"nobody asks for it", func(_ *activities.EdgeOne, in *activities.RefreshIn, _ []*machine) { in.Straight = nil }, 0, false},
		{"a process without locations", func(e *activities.EdgeOne, _ *activities.RefreshIn, _ []*machine) { e.Beside = nil }, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				machines := []*machine{holding(oldKey), holding(oldKey)}
				e, in := beside(t, &edgeOne{refreshes: []call{answers(theKey, 0)}, describes: []call{answers(theKey, 0)}}, machines...)
				c.set(e, &in, machines)
				out, err := run(t, t.Context(), e.Refresh, in)
				if err != nil || out.Sending != activities.Answered || out.Key != print(theKey) {
					t.Fatalf("%+v, %v", out, err)
				}
				if len(out.Acks) != c.acks {
					t.Errorf("%d acknowledgements, want %d: %+v", len(out.Acks), c.acks, out.Acks)
				}
				if sealed := len(out.Sealed) > 0; sealed == c.good {
					t.Errorf("the key is in the result sealed: %t, all hosts hold it: %t", sealed, c.good)
				}
				if read := out.After != nil; read != c.good {
					t.Errorf("the live key was read behind it: %t, all hosts hold it: %t", read, c.good)
				}
				if c.acks > 0 && machines[0].files[zone] != theKey {
					t.Error("the first host does not hold the key")
				}
				if c.acks == 0 && machines[0].files[zone] != oldKey {
					t.Error("a host was touched")
				}
			})
		})
	}
}

// The read behind the short way is one call of a second at most, by a count of its own:
// a throttled read is no throttled refresh.
func TestRefreshReadsAfterwards(t *testing.T) {
	for _, c := range []struct {
		name   string
		read   call
		key    rotation.Fingerprint
		counts rotation.API
	}{
		{"the same key", answers(theKey, 900*time.Millisecond), print(theKey), rotation.API{Describe: 1}},
		{"another key", answers("another", 0), print("another"), rotation.API{Describe: 1}},
		{"no answer in time", answers(theKey, 1100*time.Millisecond), "", rotation.API{Describe: 1}},
		{"no turn in time", limited(1100*time.Millisecond, answers(theKey, 0)), "", rotation.API{}},
		{"throttled", fails(rotation.Throttled, "RequestLimitExceeded"), "", rotation.API{Describe: 1, Throttled: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				machines := []*machine{holding(oldKey)}
				read := func(ctx context.Context, ready func() error) (rotation.Secret, rotation.Receipt, error) {
					if machines[0].files[zone] != theKey {
						t.Error("it is read before the host holds the key")
					}
					return c.read(ctx, ready)
				}
				e, in := beside(t, &edgeOne{refreshes: []call{answers(theKey, 0)}, describes: []call{read}}, machines...)
				began := time.Now()
				out, err := run(t, t.Context(), e.Refresh, in)
				if err != nil || out.After == nil || out.API != (rotation.API{Refresh: 1}) || !acknowledged(out.Acks) {
					t.Fatalf("%+v, %v", out, err)
				}
				if after := out.After; after.Key != c.key || (after.Problem == "") != (c.key != "") || after.API != c.counts || len(after.Sealed) > 0 {
					t.Errorf("the read: %+v", *after)
				}
				if took := time.Since(began); took > time.Second {
					t.Errorf("it took %s", took)
				}
			})
		})
	}
}

func acknowledged(acks []rotation.Ack) bool {
	return !slices.ContainsFunc(acks, func(a rotation.Ack) bool { return a.Problem != "" })
}

// The puts of the short way begin when the refresh's turn is the next one or, where nobody
// says so, when it is signed. Whatever becomes of it, none of them is left open.
func TestRefreshBeginsItsPuts(t *testing.T) {
	for _, c := range []struct {
		name  string
		calls []call
		set   func(*activities.EdgeOne, *activities.RefreshIn)
		began []time.Duration
		want  activities.Sending
	}{
		{"answered", []call{limited(3*time.Second, answers(theKey, time.Second))}, nil, []time.Duration{3 * time.Second}, activities.Answered},
		{"its turn is the next one", []call{limited(3*time.Second, upcoming(200*time.Millisecond, answers(theKey, time.Second)))}, nil, []time.Duration{3 * time.Second}, activities.Answered},
		{"its turn is the next one, and does not come", []call{upcoming(time.Second, unsigned(errors.New("lease lost")))}, nil, []time.Duration{0}, activities.NotSent},
		{"refused", []call{fails(rotation.Refused, "InvalidParameter")}, nil, []time.Duration{0}, activities.Refused},
		{"no answer", []call{fails(rotation.Ambiguous, "ClientError.NetworkError")}, nil, []time.Duration{0}, activities.MaySent},
		{"never its turn", []call{unsigned(errors.New("lease lost"))}, nil, nil, activities.NotSent},
		{"the proof is too old", []call{limited(2*time.Minute, answers(theKey, 0))}, nil, nil, activities.NotSent},
		{"by way of Temporal", []call{answers(theKey, 0)}, func(_ *activities.EdgeOne, in *activities.RefreshIn) { in.Straight = nil }, nil, activities.Answered},
		{"a host that cannot", []call{answers(theKey, 0)}, func(e *activities.EdgeOne, _ *activities.RefreshIn) {
			for name, m := range e.Beside[0].Hosts() {
				m.Host = struct{ rotation.Host }{m.Host}
				all := activities.Machines{name: m}
				e.Beside[0].Hosts = func() activities.Machines { return all }
			}
		}, nil, activities.Answered},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := holding(oldKey)
				e, in := beside(t, &edgeOne{refreshes: c.calls, describes: []call{answers(theKey, 0)}}, m)
				if c.set != nil {
					c.set(e, &in)
				}
				asked := time.Now()
				out, err := run(t, t.Context(), e.Refresh, in)
				if err != nil || out.Sending != c.want {
					t.Fatalf("%+v, %v", out, err)
				}
				var began []time.Duration
				for _, at := range m.began {
					began = append(began, at.Sub(asked))
				}
				if !slices.Equal(began, c.began) {
					t.Errorf("puts began after %s, want %s", began, c.began)
				}
				if m.closed != len(m.began) {
					t.Errorf("%d puts began, and %d are over", len(m.began), m.closed)
				}
				if arrived := m.files[zone] == theKey; arrived != (out.Sending == activities.Answered && in.Straight != nil) {
					t.Errorf("the host holds the key: %t", arrived)
				}
			})
		})
	}
}

// A call that EdgeOne throttled is made again, and the puts begin again with it.
func TestRefreshThatIsThrottledBeginsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := holding(oldKey)
		e, in := beside(t, &edgeOne{refreshes: []call{fails(rotation.Throttled, "RequestLimitExceeded"), answers(theKey, 0)}, describes: []call{answers(theKey, 0)}}, m)
		out, err := run(t, t.Context(), e.Refresh, in)
		if err != nil || !acknowledged(out.Acks) || len(m.began) != 2 || m.closed != 2 || m.wrote != 1 {
			t.Errorf("%+v, %v; %d puts began, %d are over", out, err, len(m.began), m.closed)
		}
	})
}

// Once the key exists, a cancel keeps it from no host.
func TestRefreshCancelledGoesStraightAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		machines := []*machine{holding(oldKey)}
		e, in := beside(t, &edgeOne{refreshes: []call{answers(theKey, time.Second)}, describes: []call{answers(theKey, 0)}}, machines...)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(500*time.Millisecond, cancel)
		out, err := run(t, ctx, e.Refresh, in)
		if err != nil || len(out.Acks) != 1 || out.Acks[0].Problem != "" || machines[0].files[zone] != theKey {
			t.Fatalf("%+v, %v", out, err)
		}
	})
}

// The probe names the queues of this process, of the locations that are asked for.
func TestProbeNamesItsQueues(t *testing.T) {
	e, in := beside(t, &edgeOne{}, holding(oldKey))
	for _, c := range []struct {
		asked []rotation.Location
		want  int
	}{{[]rotation.Location{hk, eu}, 1}, {[]rotation.Location{eu}, 0}} {
		probe, err := run(t, t.Context(), e.Probe, activities.ProbeIn{Locations: c.asked})
		if err != nil || len(probe.Queues) != c.want || c.want == 1 && probe.Queues[hk] != in.Straight[0] {
			t.Errorf("%v: %+v, %v", c.asked, probe.Queues, err)
		}
	}
}
