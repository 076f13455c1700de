package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"keywave/internal/proving/stage"
	"keywave/internal/rotation"
	"keywave/workflows"
)

// witness watches the world while the campaign runs. For each zone it checks
// whether its clients are turned away, because a host's file does not hold the
// key that EdgeOne holds, and whether Keywave counts the zone. A zone that is
// turned away for exposedAfter and some seconds must be counted as exposed: in
// the campaign's status, and on its own workflow, where the list of exposed
// zones finds it.
type witness struct {
	*stage.Stack
	pairs []stage.Pair
	dark  map[string]time.Time // since when a zone is turned away

	mu    sync.Mutex
	able  time.Time // since when Temporal and a worker of each role have been running
	found map[string]string
	seen  int // zones that were turned away for that long
}

const (
	exposedAfter = 5 * time.Second
	// countedWithin is how much later than exposedAfter a zone may be counted.
	countedWithin = 5 * time.Second
	// recovers is the time that a new worker needs before it can count: the
	// workflow tasks of a lost worker time out after ten seconds.
	recovers = 12 * time.Second
	lookEach = 500 * time.Millisecond
)

func newWitness(ctx context.Context, s *stage.Stack) (*witness, error) {
	pairs, err := s.Pairs(ctx)
	return &witness{Stack: s, pairs: pairs, dark: map[string]time.Time{}, found: map[string]string{}, able: time.Now()}, err
}

// disturbed says that a process is away or frozen, recovered that all are
// running again.
func (w *witness) disturbed() { w.set(time.Time{}) }
func (w *witness) recovered() { w.set(time.Now()) }

func (w *witness) set(at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.able = at
}

// ableSince is since when nothing keeps Keywave from counting. It is zero while
// something does.
func (w *witness) ableSince() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.able
}

// watch looks until ctx ends.
func (w *witness) watch(ctx context.Context) {
	for stage.Pause(ctx, lookEach) == nil {
		overdue, err := w.look(ctx, time.Now())
		if err == nil && len(overdue) > 0 {
			w.judge(ctx, overdue)
		}
	}
}

// look samples the world, and names the zones that must be counted by now.
func (w *witness) look(ctx context.Context, now time.Time) ([]string, error) {
	keys, err := w.Keys(ctx)
	if err != nil {
		return nil, err
	}
	lacking := map[string]bool{}
	for _, p := range w.pairs {
		content, err := os.ReadFile(p.File)
		if err != nil || strings.TrimSuffix(string(content), "\n") != keys[p.Zone].Live {
			lacking[p.Zone] = true
		}
	}
	maps.DeleteFunc(w.dark, func(zone string, _ time.Time) bool { return !lacking[zone] })
	for zone := range lacking {
		if w.dark[zone].IsZero() {
			w.dark[zone] = now
		}
	}
	able := w.ableSince()
	if able.IsZero() || now.Sub(able) < recovers {
		return nil, nil
	}
	var overdue []string
	for zone, since := range w.dark {
		if now.Sub(since) > exposedAfter+countedWithin {
			overdue = append(overdue, zone)
		}
	}
	slices.Sort(overdue)
	return overdue, nil
}

// judge compares what Keywave says with the zones that are turned away. It
// judges nothing if a process was disturbed meanwhile, and leaves out zones
// that are no longer turned away at the end.
func (w *witness) judge(ctx context.Context, overdue []string) {
	before := w.ableSince()
	counted, state, err := w.counted(ctx)
	if err != nil {
		return
	}
	late, err := w.lateLandings(ctx)
	if err != nil {
		return
	}
	c, err := client.Dial(client.Options{HostPort: fmt.Sprintf("127.0.0.1:%d", w.Port), Logger: silent{}})
	if err != nil {
		return
	}
	defer c.Close()
	var uncounted []string
	for _, zone := range overdue {
		if !late[zone] && !saysExposed(ctx, c, zone) {
			uncounted = append(uncounted, zone)
		}
	}
	if again, err := w.look(ctx, time.Now()); err != nil || !w.ableSince().Equal(before) {
		return
	} else {
		uncounted = slices.DeleteFunc(uncounted, func(z string) bool { return !slices.Contains(again, z) })
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = max(w.seen, len(overdue))
	for _, zone := range uncounted {
		w.found[zone] = fmt.Sprintf("%s was turned away for %s and not counted as exposed: status said %s, exposed and unknown %d", zone, time.Since(w.dark[zone]).Round(time.Second), state, counted)
	}
	if must := len(overdue) - len(late); counted < must && len(uncounted) == 0 {
		w.found["status"] = fmt.Sprintf("%d zones were turned away (%s), and status said %s, exposed and unknown %d", must, strings.Join(overdue, " "), state, counted)
	}
}

// counted asks the campaign how many zones it counts.
func (w *witness) counted(ctx context.Context) (int, string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out, err := w.Detached(ctx, "campaign", "status", w.Campaign, "--output", "json")
	if err != nil {
		return 0, "", err
	}
	var st stage.Status
	err = json.Unmarshal([]byte(out), &st)
	return st.Zones["exposed"] + st.Zones["unknown"], st.State, err
}

// saysExposed says that the zone's workflow has the outcome by which it is
// found, or has ended with an outcome that counts.
func saysExposed(ctx context.Context, c client.Client, zone string) bool {
	described, err := c.DescribeWorkflowExecution(ctx, workflows.ZoneID(rotation.ZoneID(zone)), "")
	if err != nil {
		return false
	}
	info := described.GetWorkflowExecutionInfo()
	var outcome string
	if p := info.GetSearchAttributes().GetIndexedFields()[workflows.AttrOutcome]; p != nil {
		_ = converter.GetDefaultDataConverter().FromPayload(p, &outcome)
	}
	ended := info.GetStatus() != enums.WORKFLOW_EXECUTION_STATUS_RUNNING
	return outcome == string(rotation.Exposed) || ended && (outcome == string(rotation.Unknown) || info.GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_TERMINATED)
}

// lateLandings are the zones whose present key came from a request that landed
// late, if nobody has read the key since. Nobody can know of these yet. A held
// zone is read at gaps of at most exposedAfter.
func (w *witness) lateLandings(ctx context.Context) (map[string]bool, error) {
	edges, err := w.Edges(ctx, 0)
	if err != nil {
		return nil, err
	}
	answered := map[string]bool{} // IDs of requests whose answer was dropped before they were executed
	unread := map[string]bool{}
	for _, e := range edges {
		switch {
		case e.Kind == "dropped" && changesKeys(e.Action):
			answered[e.ID] = true
		case e.Kind == "executed" && changesKeys(e.Action):
			unread[e.Zone] = answered[e.ID]
		case e.Kind == "answered" && e.Action == stage.DescribeAction && e.Code == "" && unread[e.Zone]:
			if time.Since(e.At) > exposedAfter+countedWithin {
				delete(unread, e.Zone)
			}
		}
	}
	maps.DeleteFunc(unread, func(_ string, late bool) bool { return !late })
	return unread, nil
}

func changesKeys(action string) bool {
	return action == stage.RefreshAction || action == stage.ModifyAction
}

// verdict is what was wrong, and the largest number of zones that were turned
// away for that long at the same time.
func (w *witness) verdict() (wrong []string, seen int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Sorted(maps.Values(w.found)), w.seen
}

// silent is a logger that says nothing.
type silent struct{}

func (silent) Debug(string, ...any) {}
func (silent) Info(string, ...any)  {}
func (silent) Warn(string, ...any)  {}
func (silent) Error(string, ...any) {}
