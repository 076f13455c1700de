package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"keywave/internal/plan"
	"keywave/internal/rotation"
	"keywave/internal/temporalclient"
)

// Temporal is what the orchestrator role asks of Temporal itself: what earlier
// workflows hold.
type Temporal struct {
	Client client.Client
}

// LoadPlanIn names a finished plan by the workflow that made it.
type LoadPlanIn struct {
	Workflow string `json:"workflow"`
	Digest   string `json:"digest"`
}

// LoadPlan returns the plan, and refuses one whose digest is not the expected.
func (t *Temporal) LoadPlan(ctx context.Context, in LoadPlanIn) (plan.Plan, error) {
	defer beat(ctx)()
	var plan plan.Plan
	err := t.Client.GetWorkflow(ctx, in.Workflow, "").Get(ctx, &plan)
	switch {
	case missing(err):
		return plan, fail(KindPage, fmt.Sprintf("no plan %s in Temporal (older than the retention, or another namespace?); make one with keywave plan", in.Workflow))
	case err != nil && ctx.Err() == nil:
		return plan, fail(KindPage, fmt.Sprintf("plan %s did not finish: %v", in.Workflow, err))
	case err != nil:
		return plan, err
	case plan.Digest != in.Digest || plan.DigestOf() != in.Digest:
		return plan, fail(KindPage, fmt.Sprintf("plan %s has digest %s, but %s was approved; nothing was changed", in.Workflow, plan.DigestOf(), in.Digest))
	}
	return plan, nil
}

// LoadPageIn names one page of a plan by the workflow that holds it.
type LoadPageIn struct {
	Workflow string `json:"workflow"`
	Digest   string `json:"digest"`
}

// HeldPage is the part of a page workflow's input that LoadPage reads.
type HeldPage struct {
	Page   plan.Page `json:"page"`
	Frozen bool      `json:"frozen"`
}

// LoadPage reads a page from the start event of the workflow that holds it, and
// refuses one whose digest is not the plan's.
func (t *Temporal) LoadPage(ctx context.Context, in LoadPageIn) (plan.Page, error) {
	defer beat(ctx)()
	var held HeldPage
	err := temporalclient.Input(ctx, t.Client, in.Workflow, "", &held)
	switch {
	case missing(err):
		return held.Page, fail(KindPage, fmt.Sprintf("plan page %s is not in Temporal any more; plan again", in.Workflow))
	case err != nil:
		return held.Page, fail(KindTemporal, err.Error())
	case !held.Frozen || held.Page.Digest() != in.Digest:
		return held.Page, fail(KindPage, fmt.Sprintf("plan page %s has digest %s, but the plan names %s; its zones are refused, nothing was changed", in.Workflow, held.Page.Digest(), in.Digest))
	}
	return held.Page, nil
}

func missing(err error) bool {
	var notFound *serviceerror.NotFound
	return errors.As(err, &notFound)
}

// AwaitIn names a workflow that runs already, and of what type it should be.
type AwaitIn struct {
	Workflow string `json:"workflow"`
	Type     string `json:"type"`
	Campaign string `json:"campaign"`
	Attr     string `json:"attribute"`
}

// AwaitOut is its record, or the campaign it belongs to instead.
type AwaitOut struct {
	Record rotation.Record `json:"record"`
	// Busy says whose it is when it is not this campaign's.
	Busy string `json:"busy,omitempty"`
	// Lost says that it ended without a record.
	Lost bool `json:"lost,omitempty"`
}

// Await waits for a workflow that runs already: an orphan of a shard that was
// terminated is this campaign's own, anything else is busy elsewhere. So is what
// somebody started as another type of workflow, because that may never end.
func (t *Temporal) Await(ctx context.Context, in AwaitIn) (AwaitOut, error) {
	defer beat(ctx)()
	described, err := t.Client.DescribeWorkflowExecution(ctx, in.Workflow, "")
	if missing(err) {
		return AwaitOut{Lost: true}, nil
	}
	if err != nil {
		return AwaitOut{}, fail(KindTemporal, err.Error())
	}
	info := described.GetWorkflowExecutionInfo()
	var campaign string
	if p := info.GetSearchAttributes().GetIndexedFields()[in.Attr]; p != nil {
		_ = converter.GetDefaultDataConverter().FromPayload(p, &campaign)
	}
	running := info.GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_RUNNING
	kind := info.GetType().GetName()
	switch {
	case campaign == in.Campaign && kind == in.Type:
	case !running:
		return AwaitOut{Lost: true}, nil
	case kind != in.Type:
		return AwaitOut{Busy: fmt.Sprintf("a workflow of type %.50q holds the ID %s", kind, in.Workflow)}, nil
	case campaign == "":
		return AwaitOut{Busy: "a person (zone rotate or repair)"}, nil
	default:
		return AwaitOut{Busy: campaign}, nil
	}
	var out AwaitOut
	ctx, cancel := untilStopped(ctx)
	defer cancel()
	err = t.Client.GetWorkflow(ctx, in.Workflow, info.GetExecution().GetRunId()).Get(ctx, &out.Record)
	if err != nil && ctx.Err() != nil {
		return out, fail(KindTemporal, "this worker stops; another one waits on")
	}
	out.Lost = err != nil
	return out, nil
}

// LastRunIn names a workflow.
type LastRunIn struct {
	Workflow string `json:"workflow"`
}

// LastRunOut is the run ID of its latest run; empty when there is none.
type LastRunOut struct {
	Run string `json:"run,omitempty"`
}

// LastRun finds the latest run of a workflow ID.
func (t *Temporal) LastRun(ctx context.Context, in LastRunIn) (LastRunOut, error) {
	defer beat(ctx)()
	described, err := t.Client.DescribeWorkflowExecution(ctx, in.Workflow, "")
	if missing(err) {
		return LastRunOut{}, nil
	}
	if err != nil {
		return LastRunOut{}, fail(KindTemporal, err.Error())
	}
	return LastRunOut{described.GetWorkflowExecutionInfo().GetExecution().GetRunId()}, nil
}

// OpenRunIn asks for an open workflow of a type that runs a plan.
type OpenRunIn struct {
	Type string `json:"type"`
	Plan string `json:"plan"` // the plan's name
}

// OpenRunOut is the ID of one; empty when there is none.
type OpenRunOut struct {
	Workflow string `json:"workflow,omitempty"`
}

// OpenRun finds an open workflow whose input names the plan.
func (t *Temporal) OpenRun(ctx context.Context, in OpenRunIn) (OpenRunOut, error) {
	defer beat(ctx)()
	for run, err := range temporalclient.Found(ctx, t.Client, fmt.Sprintf("WorkflowType = '%s' AND ExecutionStatus = 'Running'", in.Type)) {
		if err != nil {
			return OpenRunOut{}, fail(KindTemporal, err.Error())
		}
		var input struct {
			Plan string `json:"plan"`
		}
		id := run.GetExecution().GetWorkflowId()
		if err := temporalclient.Input(ctx, t.Client, id, "", &input); err != nil && !missing(err) {
			return OpenRunOut{}, fail(KindTemporal, err.Error())
		}
		if input.Plan == in.Plan {
			return OpenRunOut{id}, nil
		}
	}
	return OpenRunOut{}, nil
}

// AskRunIn asks a workflow's run something; a closed one answers too.
type AskRunIn struct {
	Workflow string `json:"workflow"`
	Run      string `json:"run"`
	Query    string `json:"query"`
}

// AskRunOut is its answer; Found is false when Temporal has it no more.
type AskRunOut struct {
	Found  bool            `json:"found"`
	Answer json.RawMessage `json:"answer,omitempty"`
}

// AskRun queries a run.
func (t *Temporal) AskRun(ctx context.Context, in AskRunIn) (AskRunOut, error) {
	defer beat(ctx)()
	answer, err := t.Client.QueryWorkflow(ctx, in.Workflow, in.Run, in.Query)
	if missing(err) {
		return AskRunOut{}, nil
	}
	out := AskRunOut{Found: true}
	if err == nil {
		err = answer.Get(&out.Answer)
	}
	if err != nil {
		return AskRunOut{}, fail(KindTemporal, fmt.Sprintf("%s cannot be asked: %v", in.Workflow, err))
	}
	return out, nil
}
