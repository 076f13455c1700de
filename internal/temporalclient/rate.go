package temporalclient

import (
	"context"
	"time"

	"go.temporal.io/api/enums/v1"
	taskqueue "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
)

// Rate limits how many activities a second Temporal hands out of a task queue.
type Rate struct {
	// PerSecond of 0 freezes the queue; nil is no limit.
	PerSecond *float32
	// By and Reason are kept by Temporal with the limit, as is At, when it was
	// set.
	By     string
	Reason string
	At     time.Time
}

// RateOf reads the limit that Temporal holds for a task queue.
func RateOf(ctx context.Context, c client.Client, namespace, queue string) (Rate, error) {
	d, err := c.WorkflowService().DescribeTaskQueue(ctx, &workflowservice.DescribeTaskQueueRequest{
		Namespace: namespace, TaskQueue: &taskqueue.TaskQueue{Name: queue},
		TaskQueueType: enums.TASK_QUEUE_TYPE_ACTIVITY, ReportConfig: true,
	})
	limit := d.GetConfig().GetQueueRateLimit()
	if err != nil || limit.GetRateLimit() == nil {
		return Rate{}, err
	}
	perSecond, set := limit.GetRateLimit().GetRequestsPerSecond(), limit.GetMetadata()
	return Rate{&perSecond, set.GetUpdateIdentity(), set.GetReason(), set.GetUpdateTime().AsTime()}, nil
}

// A queue follows within milliseconds; one that somebody else sets meanwhile never
// does.
const (
	followWithin = 2 * time.Second
	followEvery  = 20 * time.Millisecond
)

// SetRate limits a queue, through Temporal's UpdateTaskQueueConfig, and waits
// until the queue has the limit: Temporal stores it first, and for a moment whoever
// looks still sees the one before.
func SetRate(ctx context.Context, c client.Client, namespace, queue string, r Rate) error {
	update := &workflowservice.UpdateTaskQueueConfigRequest_RateLimitUpdate{Reason: r.Reason}
	if r.PerSecond != nil {
		update.RateLimit = &taskqueue.RateLimit{RequestsPerSecond: *r.PerSecond}
	}
	_, err := c.WorkflowService().UpdateTaskQueueConfig(ctx, &workflowservice.UpdateTaskQueueConfigRequest{
		Namespace: namespace, Identity: r.By, TaskQueue: queue,
		TaskQueueType: enums.TASK_QUEUE_TYPE_ACTIVITY, UpdateQueueRateLimit: update,
	})
	if err != nil {
		return err
	}
	for end := time.Now().Add(followWithin); time.Now().Before(end); {
		now, unseen := RateOf(ctx, c, namespace, queue)
		if unseen != nil || sameRate(now.PerSecond, r.PerSecond) {
			break // it is set all the same
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(followEvery):
		}
	}
	return nil
}

func sameRate(a, b *float32) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}
