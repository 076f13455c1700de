package activities

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	taskqueue "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
)

// RateIn sets how many activities a second Temporal hands out of a task queue.
type RateIn struct {
	Namespace string `json:"namespace"`
	Queue     string `json:"queue"`
	// PerSecond of 0 freezes the queue; nil lifts the limit.
	PerSecond *float32 `json:"perSecond,omitempty"`
	// By and Reason are kept by Temporal with the limit.
	By     string `json:"by"`
	Reason string `json:"reason"`
}

// RateNow is the limit that Temporal holds for a task queue.
type RateNow struct {
	PerSecond *float32 // nil is none
	By        string
	Reason    string
	At        time.Time
}

// RateOf reads it.
func RateOf(ctx context.Context, c client.Client, namespace, queue string) (RateNow, error) {
	d, err := c.WorkflowService().DescribeTaskQueue(ctx, &workflowservice.DescribeTaskQueueRequest{
		Namespace: namespace, TaskQueue: &taskqueue.TaskQueue{Name: queue},
		TaskQueueType: enums.TASK_QUEUE_TYPE_ACTIVITY, ReportConfig: true,
	})
	limit := d.GetConfig().GetQueueRateLimit()
	if err != nil || limit.GetRateLimit() == nil {
		return RateNow{}, err
	}
	perSecond, set := limit.GetRateLimit().GetRequestsPerSecond(), limit.GetMetadata()
	return RateNow{&perSecond, set.GetUpdateIdentity(), set.GetReason(), set.GetUpdateTime().AsTime()}, nil
}

// RateOut is empty.
type RateOut struct{}

// Rate is SetRate as an activity.
func (t *Temporal) Rate(ctx context.Context, in RateIn) (RateOut, error) {
	err := SetRate(ctx, t.Client, in)
	if errors.As(err, new(*serviceerror.InvalidArgument)) || errors.As(err, new(*serviceerror.PermissionDenied)) {
		return RateOut{}, fail(KindTemporal, "the rate of "+in.Queue+" cannot be set: "+err.Error())
	}
	return RateOut{}, err
}

// SetRate limits a queue, through Temporal's UpdateTaskQueueConfig, and waits
// until the queue has the limit: Temporal stores it first, and for a moment whoever
// looks still sees the one before.
func SetRate(ctx context.Context, c client.Client, in RateIn) error {
	update := &workflowservice.UpdateTaskQueueConfigRequest_RateLimitUpdate{Reason: in.Reason}
	if in.PerSecond != nil {
		update.RateLimit = &taskqueue.RateLimit{RequestsPerSecond: *in.PerSecond}
	}
	_, err := c.WorkflowService().UpdateTaskQueueConfig(ctx, &workflowservice.UpdateTaskQueueConfigRequest{
		Namespace: in.Namespace, Identity: in.By, TaskQueue: in.Queue,
		TaskQueueType: enums.TASK_QUEUE_TYPE_ACTIVITY, UpdateQueueRateLimit: update,
	})
	for end := time.Now().Add(followWithin); err == nil && time.Now().Before(end); err = pause(ctx, followEvery) {
		now, unseen := RateOf(ctx, c, in.Namespace, in.Queue)
		if unseen != nil || in.is(now.PerSecond) {
			break // it is set all the same
		}
	}
	return err
}

// A queue follows within milliseconds; one that somebody else sets meanwhile never
// does.
const (
	followWithin = 2 * time.Second
	followEvery  = 20 * time.Millisecond
)

func (in RateIn) is(perSecond *float32) bool {
	if in.PerSecond == nil || perSecond == nil {
		return in.PerSecond == perSecond
	}
	return *in.PerSecond == *perSecond
}
