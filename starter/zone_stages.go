package main

import (
	"io"
	"strings"
	"time"

	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"keywave/activities"
	"keywave/internal/harmless"
	"keywave/internal/rotation"
	"keywave/workflows"
)

// zoneStage is one thing that was done for a zone, by one worker.
type zoneStage struct {
	// Stage is prove, probe, refresh, deliver or read; or mint, stage, switch or unstage.
	Stage   string     `json:"stage"`
	What    string     `json:"what,omitempty"`
	At      time.Time  `json:"at"`
	EndedAt *time.Time `json:"endedAt"`
	Worker  string     `json:"worker,omitempty"`
	// Key is the fingerprint that EdgeOne answered with, or that was delivered.
	Key       rotation.Fingerprint `json:"key,omitempty"`
	RequestID string               `json:"requestId,omitempty"`
	Hosts     []stageHost          `json:"hosts,omitempty"`
	Problem   string               `json:"problem,omitempty"`
}

// stageHost is what a host said, and when.
type stageHost struct {
	Host    rotation.HostName `json:"host"`
	At      time.Time         `json:"at,omitzero"`
	Problem string            `json:"problem,omitempty"`
}

// tell reads an operation's history: what was asked for, and its stages.
func (v *zoneView) tell(events client.HistoryEventIterator) error {
	v.Stages = []zoneStage{}
	scheduled := map[int64]int{}
	for events.HasNext() {
		e, err := events.Next()
		if err != nil {
			return err
		}
		at := e.GetEventTime().AsTime()
		ended := func(id int64) *zoneStage {
			s := &v.Stages[scheduled[id]]
			s.EndedAt = &at
			return s
		}
		switch e.GetEventType() {
		case enums.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
			v.ask(e.GetWorkflowExecutionStartedEventAttributes())
		case enums.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED:
			asked := e.GetWorkflowExecutionCancelRequestedEventAttributes()
			v.Cancelled = &zoneCancelled{at, asked.GetIdentity(), asked.GetCause()}
		case enums.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
			scheduled[e.GetEventId()] = len(v.Stages)
			s := zoneStage{Stage: strings.ToLower(e.GetActivityTaskScheduledEventAttributes().GetActivityType().GetName()), At: at}
			decode(e.GetUserMetadata().GetSummary(), &s.What)
			v.Stages = append(v.Stages, s)
		case enums.EVENT_TYPE_ACTIVITY_TASK_STARTED:
			started := e.GetActivityTaskStartedEventAttributes()
			v.Stages[scheduled[started.GetScheduledEventId()]].Worker = started.GetIdentity()
		case enums.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
			done := e.GetActivityTaskCompletedEventAttributes()
			s := ended(done.GetScheduledEventId())
			if after := s.read(done.GetResult()); after != nil {
				v.Stages = append(v.Stages, *after)
			}
		case enums.EVENT_TYPE_ACTIVITY_TASK_FAILED:
			failed := e.GetActivityTaskFailedEventAttributes()
			ended(failed.GetScheduledEventId()).Problem = failed.GetFailure().GetMessage()
		case enums.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT:
			late := e.GetActivityTaskTimedOutEventAttributes()
			ended(late.GetScheduledEventId()).Problem = "no answer in time (" + late.GetFailure().GetTimeoutFailureInfo().GetTimeoutType().String() + ")"
		case enums.EVENT_TYPE_ACTIVITY_TASK_CANCELED:
			ended(e.GetActivityTaskCanceledEventAttributes().GetScheduledEventId()).Problem = "cancelled before it began"
		}
	}
	return nil
}

// ask is what was asked for; proofs that were given with it are its first stage.
func (v *zoneView) ask(started *history.WorkflowExecutionStartedEventAttributes) {
	var in workflows.ZoneIn
	for _, p := range started.GetInput().GetPayloads() {
		decode(p, &in)
	}
	v.Name, v.Verb, v.Campaign, v.By, v.Reason, v.Former = in.Name, in.Verb, in.Campaign, in.By, in.Reason, unsealed(in.Former)
	if len(in.Proofs) == 0 {
		return
	}
	s := zoneStage{Stage: "prove", What: "by the shard, for all zones of these hosts", At: in.Proofs[0].At}
	s.proved(in.Proofs)
	for _, p := range in.Proofs {
		if p.At.Before(s.At) {
			s.At = p.At
		}
		if s.EndedAt == nil || p.At.After(*s.EndedAt) {
			s.EndedAt = &p.At
		}
	}
	v.Stages = append(v.Stages, s)
}

// read takes from a stage's result what may be seen. Keys are in it sealed; they
// are left where they are. after is a stage that was carried out within this one.
func (s *zoneStage) read(result *common.Payloads) (after *zoneStage) {
	for _, p := range result.GetPayloads() {
		switch s.Stage {
		case strings.ToLower(workflows.ActMint):
			var out activities.MintOut
			decode(p, &out)
			s.Key, s.Problem = out.Key, out.Why
		case strings.ToLower(workflows.ActStage):
			var out activities.StageOut
			decode(p, &out)
			s.Problem = out.Unopened
			for _, a := range out.Acks {
				s.Hosts = append(s.Hosts, stageHost{a.Host, a.At, a.Problem})
			}
		case strings.ToLower(workflows.ActUnstage):
			var out activities.UnstageOut
			decode(p, &out)
			if len(out.Left) > 0 {
				s.Problem = "a staged key was left on " + rotation.Named(out.Left)
			}
		case strings.ToLower(workflows.ActRefresh), strings.ToLower(workflows.ActSwitch):
			var out activities.RefreshOut
			decode(p, &out)
			s.Key, s.RequestID, s.Problem = out.Key, out.RequestID, out.Why
			s.acknowledged(out.Acks)
			after = s.readAfter(out.After)
		case strings.ToLower(workflows.ActRead):
			var out activities.ReadOut
			decode(p, &out)
			s.Key, s.RequestID, s.Problem = out.Key, out.RequestID, out.Problem
		case strings.ToLower(workflows.ActProve):
			var out activities.ProveOut
			decode(p, &out)
			s.proved(out.Proofs)
		case strings.ToLower(workflows.ActDeliver):
			var out activities.DeliverOut
			decode(p, &out)
			s.acknowledged(out.Acks)
		}
	}
	return after
}

// readAfter is the read at the end of a refresh that brought the key to the hosts
// itself: from the last acknowledgement on.
func (s *zoneStage) readAfter(out *activities.ReadOut) *zoneStage {
	if out == nil {
		return nil
	}
	after := zoneStage{
		Stage: strings.ToLower(workflows.ActRead), What: "verify, within the " + s.Stage, At: s.At, EndedAt: s.EndedAt,
		Worker: s.Worker, Key: out.Key, RequestID: out.RequestID, Problem: out.Problem,
	}
	for _, h := range s.Hosts {
		if h.At.After(after.At) {
			after.At = h.At
		}
	}
	return &after
}

func (s *zoneStage) acknowledged(acks []rotation.Ack) {
	for _, a := range acks {
		s.Hosts = append(s.Hosts, stageHost{a.Host, a.At, a.Problem})
		if a.Problem == "" {
			s.Key = a.Held
		}
	}
}

func (s *zoneStage) proved(proofs []rotation.Proof) {
	for _, p := range proofs {
		s.Hosts = append(s.Hosts, stageHost{p.Host, p.At, p.Problem})
	}
}

// decode leaves v as it is when the payload is not one of ours.
func decode(p *common.Payload, v any) {
	if p != nil {
		_ = converter.GetDefaultDataConverter().FromPayload(p, v)
	}
}

// stagesShown bounds what people see; JSON has them all.
const stagesShown = 30

func showStages(w io.Writer, stages []zoneStage) {
	if more := len(stages) - stagesShown; more > 0 {
		put(w, "… %d earlier stages\n", more)
		stages = stages[more:]
	}
	for _, s := range stages {
		took := "under way"
		if s.EndedAt != nil {
			took = s.EndedAt.Sub(s.At).Round(time.Millisecond).String()
		}
		put(w, "%s  %-8s %9s  %s\n", clock(s.At), s.Stage, took, s.story())
		for _, h := range s.Hosts {
			put(w, "%s  %18s  %s %s\n", clock(h.At), "", h.Host, h.said(s.Stage))
		}
	}
}

func (h stageHost) said(stage string) string {
	switch {
	case h.Problem != "":
		return "failed: " + h.Problem
	case stage == "deliver", stage == "refresh", stage == "switch":
		return "acknowledged"
	case stage == "stage":
		return "has the key, beside the file that is in use"
	}
	return "can take a key"
}

func clock(t time.Time) harmless.Own {
	const form = "15:04:05.000"
	if t.IsZero() {
		return harmless.Own(strings.Repeat(" ", len(form)))
	}
	return harmless.Own(t.Local().Format(form))
}

// story is a stage in one line, without its hosts.
func (s zoneStage) story() string {
	parts := []string{s.What}
	if s.Key != "" {
		parts = append(parts, "key "+string(s.Key))
	}
	if s.RequestID != "" {
		parts = append(parts, "request "+s.RequestID)
	}
	if s.Problem != "" {
		parts = append(parts, s.Problem)
	}
	return strings.TrimPrefix(strings.Join(parts, ", "), ", ")
}
