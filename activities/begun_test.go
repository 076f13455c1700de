package activities_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"keywave/activities"
	"keywave/internal/rotation"
)

// described is a Temporal that knows of some workflows.
type described struct {
	client.Client
	all map[string]*workflowservice.DescribeWorkflowExecutionResponse
}

func (d described) DescribeWorkflowExecution(_ context.Context, id, _ string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	switch answer := d.all[id]; {
	case answer != nil:
		return answer, nil
	case id == "zone/broken":
		return nil, errors.New("unavailable")
	}
	return nil, serviceerror.NewNotFound("no workflow " + id)
}

func pending(state enums.PendingActivityState, name string, since time.Time, says string) *workflowpb.PendingActivityInfo {
	p := &workflowpb.PendingActivityInfo{ActivityType: &commonpb.ActivityType{Name: name}, State: state}
	if !since.IsZero() {
		made(&p.LastStartedTime)
		p.LastStartedTime.Seconds = since.Unix()
	}
	if says != "" {
		p.HeartbeatDetails, _ = converter.GetDefaultDataConverter().ToPayloads(says)
	}
	return p
}

func made[T any](field **T) { *field = new(T) }

func running(all ...*workflowpb.PendingActivityInfo) *workflowservice.DescribeWorkflowExecutionResponse {
	return &workflowservice.DescribeWorkflowExecutionResponse{
		WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{Status: enums.WORKFLOW_EXECUTION_STATUS_RUNNING}, PendingActivities: all,
	}
}

// A refresh that is only queued has sent nothing. One that a process works at
// may have sent something, unless the process says why EdgeOne has executed
// nothing, or has it only since a moment ago, so that it had no time to say that.
func TestBegun(t *testing.T) {
	since := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	now := time.Now().UTC().Truncate(time.Second).Add(10 * time.Second) // however long this test takes, it was a moment ago
	started := enums.PENDING_ACTIVITY_STATE_STARTED
	ended := running()
	ended.WorkflowExecutionInfo.Status = enums.WORKFLOW_EXECUTION_STATUS_COMPLETED
	temporal := &activities.Temporal{Client: described{all: map[string]*workflowservice.DescribeWorkflowExecutionResponse{
		"zone/queued":    running(pending(enums.PENDING_ACTIVITY_STATE_SCHEDULED, "Refresh", time.Time{}, "")),
		"zone/started":   running(pending(started, "Begun", since.Add(time.Hour), ""), pending(started, "Refresh", since, "")),
		"zone/taken":     running(pending(started, "Refresh", now, "")),
		"zone/cancelled": running(pending(enums.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED, "Refresh", since, "")),
		"zone/rejected":  running(pending(started, "Refresh", since, "EdgeOne rejects the time of the signature")),
		"zone/delivers":  running(pending(started, "Deliver", since, "")),
		"zone/ended":     ended,
	}}}
	want := []activities.Refreshing{
		{Workflow: "zone/queued", State: activities.RefreshQueued},
		{Workflow: "zone/started", State: activities.RefreshStarted, Since: since},
		{Workflow: "zone/taken", State: activities.RefreshTaken, Since: now},
		{Workflow: "zone/cancelled", State: activities.RefreshStarted, Since: since},
		{Workflow: "zone/rejected", State: activities.RefreshStarted, Since: since, Says: "EdgeOne rejects the time of the signature"},
		{Workflow: "zone/delivers", State: activities.RefreshNone},
		{Workflow: "zone/ended", State: activities.RefreshGone},
		{Workflow: "zone/never", State: activities.RefreshGone},
		{Workflow: "zone/broken", State: activities.RefreshUnknown},
	}
	in := activities.BegunIn{Refresh: "Refresh", Taken: true}
	var may []string
	for _, r := range want {
		in.Workflows = append(in.Workflows, r.Workflow)
		if r.MayHaveSent() {
			may = append(may, r.Workflow)
		}
	}
	out, err := run(t, t.Context(), temporal.Begun, in)
	if err != nil || !slices.Equal(out.Refreshes, want) || !slices.Equal(may, []string{"zone/started", "zone/cancelled"}) {
		t.Errorf("%v\n%+v\nwant\n%+v\nwhich may have been sent: %v", err, out.Refreshes, want, may)
	}
	// A workflow of an older version knows no refresh that was just taken.
	in.Taken, want[2].State = false, activities.RefreshStarted
	if out, err := run(t, t.Context(), temporal.Begun, in); err != nil || !slices.Equal(out.Refreshes, want) {
		t.Errorf("%v\n%+v\nwant\n%+v", err, out.Refreshes, want)
	}
}

// The heartbeats of a refresh say why EdgeOne has executed nothing. The words
// are the same for every zone. They say nothing while a request may be on its
// way.
func TestRefreshSaysWhyNothingIsExecuted(t *testing.T) {
	expired := func(behind time.Duration) call {
		return func(ctx context.Context, ready func() error) (rotation.Secret, rotation.Receipt, error) {
			_, receipt, err := fails(rotation.Unsent, "AuthFailure.SignatureExpire")(ctx, ready)
			receipt.Dated = time.Now().Add(behind)
			return rotation.Secret{}, receipt, err
		}
	}
	for _, c := range []struct {
		name string
		call call
		want string
		back rotation.Handback
	}{
		{"its clock is behind", expired(312 * time.Second), "EdgeOne rejects the time of the signature; this worker's clock is 310 s behind EdgeOne's", rotation.BackUnreached},
		{"its clock is ahead", expired(-400 * time.Second), "EdgeOne rejects the time of the signature; this worker's clock is 400 s ahead of EdgeOne's", rotation.BackUnreached},
		{"throttled", fails(rotation.Throttled, "RequestLimitExceeded"), "EdgeOne throttles the call (RequestLimitExceeded)", rotation.BackUnreached},
		{"not reached", unsigned(&rotation.APIError{Class: rotation.Unsent, Code: "ClientError.NetworkError.Dial"}), "EdgeOne cannot be reached (ClientError.NetworkError.Dial)", rotation.BackUnreached},
		{"its turn does not come", limited(61*time.Second, answers(theKey, 0)), "it waits for its turn at the account's pace", rotation.BackProof},
		{"under way", answers(theKey, 9*time.Second), "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				var said []string
				ctx := context.WithValue(t.Context(), heartbeats{}, func(says string) {
					mu.Lock()
					defer mu.Unlock()
					if !slices.Contains(said, says) {
						said = append(said, says)
					}
				})
				out := refresh(t, ctx, &edgeOne{refreshes: []call{c.call}}, refreshIn())
				mu.Lock()
				defer mu.Unlock()
				if !slices.Equal(said, []string{c.want}) || out.Back != c.back {
					t.Errorf("it said %q, and came back as %q: %+v", said, out.Back, out)
				}
				if c.back == rotation.BackUnreached && !strings.Contains(out.Why, c.want) {
					t.Errorf("%q", out.Why)
				}
			})
		})
	}
}
