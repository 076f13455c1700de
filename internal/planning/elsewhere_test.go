package planning

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"keywave/internal/plan"
	"keywave/internal/rotation"
	"keywave/workflows"
)

// past is a Temporal in which these workflows ran.
type past struct {
	client.Client
	all []ran
}

// ran is a workflow: its input, its campaign, and when it closed. That is zero
// while it runs.
type ran struct {
	id, kind, campaign string
	closed             time.Time
	outcome            rotation.Outcome
	in                 any
}

var wanted = regexp.MustCompile(`^WorkflowType = '(\w+)' AND ExecutionStatus = '(Running|Completed)'(?: AND CloseTime > '(\S+)' AND KeywaveOutcome IN \(([^)]*)\))?$`)

func (p past) ListWorkflow(_ context.Context, r *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error) {
	m := wanted.FindStringSubmatch(r.GetQuery())
	if m == nil {
		return nil, fmt.Errorf("nobody answers %q", r.GetQuery())
	}
	since, _ := time.Parse(time.RFC3339, m[3])
	out := &workflowservice.ListWorkflowExecutionsResponse{}
	for _, w := range p.all {
		found := w.closed.IsZero()
		if m[2] == "Completed" {
			found = w.closed.After(since) && strings.Contains(m[4], "'"+string(w.outcome)+"'")
		}
		if w.kind == m[1] && found {
			e := &workflow.WorkflowExecutionInfo{Execution: &common.WorkflowExecution{WorkflowId: w.id, RunId: "1"}}
			if err := closed(e, w.closed); err != nil {
				return nil, err
			}
			if w.campaign != "" {
				text, err := converter.GetDefaultDataConverter().ToPayload(w.campaign)
				if err != nil {
					return nil, err
				}
				e.SearchAttributes = &common.SearchAttributes{IndexedFields: map[string]*common.Payload{workflows.AttrCampaign: text}}
			}
			out.Executions = append(out.Executions, e)
		}
	}
	return out, nil
}

// closed sets when an execution closed.
func closed(e *workflow.WorkflowExecutionInfo, at time.Time) error {
	if at.IsZero() {
		return nil
	}
	id := e.GetExecution()
	body := fmt.Sprintf(`{"closeTime": %q}`, at.Format(time.RFC3339Nano))
	err := converter.NewProtoJSONPayloadConverter().FromPayload(&common.Payload{Metadata: map[string][]byte{converter.MetadataEncoding: []byte("json/protobuf")}, Data: []byte(body)}, e)
	e.Execution = id
	return err
}

func (p past) GetWorkflowHistory(_ context.Context, id, _ string, _ bool, _ enums.HistoryEventFilterType) client.HistoryEventIterator {
	for _, w := range p.all {
		if w.id == id {
			return &began{in: w.in}
		}
	}
	return &began{}
}

// began is a history with its first event. It has none if there is no workflow.
type began struct{ in any }

func (*began) HasNext() bool { return true }

func (b *began) Next() (*history.HistoryEvent, error) {
	if b.in == nil {
		return nil, serviceerror.NewNotFound("no such workflow")
	}
	in, err := converter.GetDefaultDataConverter().ToPayloads(b.in)
	started := &history.WorkflowExecutionStartedEventAttributes{Input: in}
	return &history.HistoryEvent{Attributes: &history.HistoryEvent_WorkflowExecutionStartedEventAttributes{WorkflowExecutionStartedEventAttributes: started}}, err
}

// LookElsewhere names zones that another open campaign has, on whichever page,
// that a person works on, or that were rotated within the last hour. It says
// who has them. It does not name the asker's own zones, repairs, and zones that
// were never refreshed.
func TestLookElsewhere(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	page := func(zones ...rotation.ZoneID) workflows.PageIn {
		var in workflows.PageIn
		for _, z := range zones {
			in.Page.Zones = append(in.Page.Zones, plan.PageZone{ID: z})
		}
		return in
	}
	zone := func(id rotation.ZoneID, campaign string, ago time.Duration, outcome rotation.Outcome, verb rotation.Verb) ran {
		w := ran{id: workflows.ZoneID(id), kind: workflows.TypeZone, campaign: campaign, outcome: outcome, in: workflows.ZoneIn{Verb: verb}}
		if ago > 0 {
			w.closed = now.Add(-ago)
		}
		return w
	}
	p := past{all: []ran{
		{id: workflows.CampaignID("spring"), kind: workflows.TypeCampaign, in: workflows.CampaignIn{Plan: "spring"}},
		{id: workflows.PageID("spring", 1), kind: workflows.TypePage, in: page("a", "other")},
		{id: workflows.PageID("spring", 2), kind: workflows.TypePage, in: page("b")},
		{id: workflows.CampaignID("mine"), kind: workflows.TypeCampaign, in: workflows.CampaignIn{Plan: "mine"}},
		{id: workflows.PageID("mine", 1), kind: workflows.TypePage, in: page("a", "b", "c", "d", "e", "f", "g")},
		{id: workflows.CampaignID("over"), kind: workflows.TypeCampaign, closed: now, in: workflows.CampaignIn{Plan: "mine"}},
		zone("b", "spring", 0, "", rotation.Rotate), // the campaign's
		zone("c", "", 0, "", rotation.Repair),
		zone("d", "winter", 59*time.Minute, rotation.Done, rotation.Rotate),
		zone("e", "winter", 61*time.Minute, rotation.Done, rotation.Rotate),
		zone("f", "mine", time.Minute, rotation.Done, rotation.Rotate),
		zone("g", "", time.Minute, rotation.Done, rotation.Repair),
		zone("h", "", time.Minute, rotation.Unknown, rotation.Rotate),
		zone("i", "winter", time.Minute, rotation.Unchanged, rotation.Rotate),
		zone("elsewhere", "winter", time.Minute, rotation.Done, rotation.Rotate),
	}}
	mine := func(campaign string, _ bool) bool { return campaign == "mine" }
	got, err := LookElsewhere(t.Context(), p, []rotation.ZoneID{"a", "b", "c", "d", "e", "f", "g", "h", "i"}, mine, now)
	want := []string{
		"campaign spring is open and has 2 of them: a, b",
		"1 of them have an operation that a person began: c",
		"2 of them were rotated within the last hour: d, h",
	}
	if err != nil || got.Zones != 5 || !slices.Equal(got.Texts, want) {
		t.Errorf("%d zones: %q (%v), want %q", got.Zones, got.Texts, err, want)
	}
}
