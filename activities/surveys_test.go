package activities_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"keywave/activities"
	"keywave/internal/rotation"
)

// crowd counts the hosts that are asked at the same time. Each of them answers when the
// crowd is let go, or when its context ends.
type crowd struct {
	mu        sync.Mutex
	now, most int
	letGo     chan struct{}
}

func (c *crowd) add(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now += n
	c.most = max(c.most, c.now)
}

// member is a host of a crowd.
type member struct {
	*machine
	crowd *crowd
}

func (m *member) Prove(ctx context.Context, zones []rotation.ZoneID) (rotation.Shown, error) {
	return m.Held(ctx, zones)
}

func (m *member) Held(ctx context.Context, zones []rotation.ZoneID) (rotation.Shown, error) {
	if ctx.Err() == nil {
		m.crowd.add(1)
		defer m.crowd.add(-1)
	}
	select {
	case <-m.crowd.letGo:
	case <-ctx.Done():
	}
	return m.machine.Held(ctx, zones)
}

// crowded is a location worker with that many hosts, and a question about all of them.
func crowded(t *testing.T, hosts int) (*crowd, *activities.Location, activities.ProveIn) {
	t.Helper()
	machines := make([]*machine, hosts)
	for i := range machines {
		machines[i] = holding(oldKey)
	}
	boxes, c := newSeals(t, hk), &crowd{letGo: make(chan struct{})}
	l, refs := place(boxes, machines...)
	for i, r := range refs {
		l.Hosts()[r.Name] = activities.Machine{Host: &member{machines[i], c}, Digest: r.Digest}
	}
	return c, l, proveIn(t, boxes, refs)
}

// ask runs Prove beside others. after is when Temporal ends it.
func ask(t *testing.T, l *activities.Location, in activities.ProveIn, after time.Duration) <-chan activities.ProveOut {
	t.Helper()
	told := make(chan activities.ProveOut, 1)
	go func() {
		out, err := runWithin(t, after, l.Prove, in)
		if err != nil {
			t.Errorf("a survey failed: %v", err)
		}
		told <- out
	}()
	synctest.Wait()
	return told
}

func hostsOf(in activities.ProveIn, from, to int) activities.ProveIn {
	in.Hosts = in.Hosts[from:to]
	return in
}

// However many pages of a plan, or of an audit, ask a worker, it asks so many hosts at a
// time, and no more. Proofs of a campaign wait for none of them.
func TestSurveysTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, l, all := crowded(t, 110)
		look, twins := all, all
		look.Look, twins.Twins = true, true
		told := []<-chan activities.ProveOut{
			ask(t, l, hostsOf(look, 0, 50), time.Hour), ask(t, l, hostsOf(twins, 20, 70), time.Hour), ask(t, l, hostsOf(look, 40, 90), time.Hour),
		}
		if c.now != 32 {
			t.Errorf("%d hosts are asked at a time in three surveys of 50", c.now)
		}
		told = append(told, ask(t, l, hostsOf(all, 90, 110), time.Hour))
		if c.now != 52 {
			t.Errorf("%d hosts are asked at a time, with the 20 of a campaign's proofs", c.now)
		}
		close(c.letGo)
		for i, one := range told {
			for _, p := range (<-one).Proofs {
				if p.Problem != "" {
					t.Errorf("survey %d: %s: %s", i, p.Host, p.Problem)
				}
			}
		}
		if c.most != 52 || c.now != 0 {
			t.Errorf("%d hosts were asked at a time, %d still are", c.most, c.now)
		}
	})
}

// A survey that gets no turn ends in its time, and gives back no turn that it did not have.
func TestATurnEndsWithItsSurvey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, l, all := crowded(t, 100)
		all.Look = true
		first := ask(t, l, hostsOf(all, 0, 32), time.Hour)
		began := time.Now()
		for range 2 {
			out := <-ask(t, l, hostsOf(all, 32, 100), 30*time.Second)
			for _, p := range out.Proofs {
				if !strings.Contains(p.Problem, "no answer") {
					t.Errorf("%s: %q", p.Host, p.Problem)
				}
			}
		}
		if took := time.Since(began); took != 58*time.Second {
			t.Errorf("two surveys that got no turn took %s", took)
		}
		if c.most != 32 {
			t.Errorf("%d hosts were asked at a time", c.most)
		}
		close(c.letGo)
		<-first
		for _, p := range (<-ask(t, l, hostsOf(all, 32, 100), 30*time.Second)).Proofs {
			if p.Problem != "" {
				t.Errorf("after the first survey: %s: %s", p.Host, p.Problem)
			}
		}
	})
}
