package activities

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"golang.org/x/sync/errgroup"
)

// BegunIn names workflows of zones, by ID.
type BegunIn struct {
	Workflows []string `json:"workflows"`
	// Refresh is the name of the activity that is asked about.
	Refresh string `json:"refresh"`
	// Switch is the name of another one that is asked about; empty where there is none.
	Switch string `json:"switch,omitempty"`
	// Taken has RefreshTaken told: a workflow of an older version does not know it.
	Taken bool `json:"taken,omitempty"`
}

// BegunOut has one Refreshing per workflow, in the same order.
type BegunOut struct {
	Refreshes []Refreshing `json:"refreshes"`
}

// Refreshing is what Temporal knows of a zone's refresh that it has no result of.
type Refreshing struct {
	Workflow string          `json:"workflow"`
	State    RefreshingState `json:"state"`
	// Since is when it was started, and Worker which process works at it, as that names
	// itself; zero and empty while it is queued.
	Since  time.Time `json:"since,omitzero"`
	Worker string    `json:"worker,omitempty"`
	// Heard is when that process was heard last; zero if it was not yet.
	Heard time.Time `json:"heard,omitzero"`
	// Says is why EdgeOne has executed nothing so far, by the process that calls
	// it: one clause for people. It is empty while a request may be on its way, but
	// for one that follows a rejected one: that is answered, or given up, within
	// EdgeOneCall.
	Says string `json:"says,omitempty"`
}

// RefreshingState is where a refresh stands.
type RefreshingState string

// The states.
const (
	RefreshNone    RefreshingState = "none"    // the workflow waits for no refresh
	RefreshQueued  RefreshingState = "queued"  // nothing was sent
	RefreshTaken   RefreshingState = "taken"   // a process has it, and had no time yet to say that it waits
	RefreshStarted RefreshingState = "started" // a process works at it
	RefreshGone    RefreshingState = "gone"    // the workflow does not run
	RefreshUnknown RefreshingState = "unknown" // Temporal did not say
)

// MayHaveSent says that a request may be on its way, or be executed already.
func (r Refreshing) MayHaveSent() bool { return r.State == RefreshStarted && r.Says == "" }

// SaysWithin is the time within which a process says that a refresh waits for its turn: with
// the first heartbeat.
const SaysWithin = RefreshBeat + 250*time.Millisecond

// describesOfZones are made at a time.
const describesOfZones = 8

// Begun asks Temporal which refreshes have begun: a workflow cannot tell whether
// its activity is queued or started. One that cannot be asked about is unknown,
// and no error. Of one that was taken just now nobody can tell yet whether it waits.
func (t *Temporal) Begun(ctx context.Context, in BegunIn) (BegunOut, error) {
	defer beat(ctx)()
	clock := serverClock(ctx)
	ctx, cancel := inTime(ctx)
	defer cancel()
	out := BegunOut{Refreshes: make([]Refreshing, len(in.Workflows))}
	var group errgroup.Group
	group.SetLimit(describesOfZones)
	for i, id := range in.Workflows {
		group.Go(func() error {
			r := t.Refreshing(ctx, id, in.Refresh, in.Switch)
			if in.Taken && r.MayHaveSent() && clock.now().Sub(r.Since) < SaysWithin {
				r.State = RefreshTaken
			}
			out.Refreshes[i] = r
			return nil
		})
	}
	return out, group.Wait()
}

// Refreshing asks Temporal about one workflow's refresh or switch, by the names of the
// activities.
func (t *Temporal) Refreshing(ctx context.Context, id string, names ...string) Refreshing {
	r := Refreshing{Workflow: id, State: RefreshUnknown}
	described, err := t.Client.DescribeWorkflowExecution(ctx, id, "")
	switch {
	case missing(err):
		r.State = RefreshGone
		return r
	case err != nil:
		return r
	case described.GetWorkflowExecutionInfo().GetStatus() != enums.WORKFLOW_EXECUTION_STATUS_RUNNING:
		r.State = RefreshGone
		return r
	}
	r.State = RefreshNone
	for _, a := range described.GetPendingActivities() {
		if slices.Contains(names, a.GetActivityType().GetName()) {
			r.take(a)
		}
	}
	return r
}

func (r *Refreshing) take(a *workflowpb.PendingActivityInfo) {
	r.State = RefreshQueued
	if a.GetState() == enums.PENDING_ACTIVITY_STATE_SCHEDULED {
		return
	}
	r.State, r.Since, r.Worker = RefreshStarted, a.GetLastStartedTime().AsTime(), a.GetLastWorkerIdentity()
	if at := a.GetLastHeartbeatTime(); at != nil {
		r.Heard = at.AsTime()
	}
	var says string
	if converter.GetDefaultDataConverter().FromPayloads(a.GetHeartbeatDetails(), &says) == nil {
		r.Says = says
	}
}

// beatSaying is beat, with what is said at the moment.
func beatSaying(ctx context.Context, s *sayings) (stop func()) {
	return beatEach(ctx, RefreshBeat, func(ctx context.Context) { activity.RecordHeartbeat(ctx, s.last()) })
}

// sayings is what a running refresh reports with its heartbeats.
type sayings struct {
	mu  sync.Mutex
	now string
}

func (s *sayings) say(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = what
}

func (s *sayings) last() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}
