package temporalclient

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.temporal.io/api/enums/v1"
	taskqueue "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
)

// Rate limits how many activities a second Temporal hands out of a task queue.
type Rate struct {
	// PerSecond of 0 is the brake, which freezes the queue; nil is no limit.
	PerSecond *float32
	// By and Reason are kept by Temporal with the limit, as is At, when it was
	// set.
	By     string
	Reason string
	At     time.Time
	// Under is the limit that stands again once the brake is released.
	Under *Rate
}

// Braked says that the queue is frozen.
func (r Rate) Braked() bool { return r.PerSecond != nil && *r.PerSecond == 0 }

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
	return Rate{PerSecond: &perSecond, By: set.GetUpdateIdentity(), Reason: set.GetReason(), At: set.GetUpdateTime().AsTime()}.read(), nil
}

// A queue follows within milliseconds; one that somebody else sets meanwhile never
// does.
const (
	followWithin = 2 * time.Second
	followEvery  = 20 * time.Millisecond
)

// SetRate limits a queue and says what stands then. A brake keeps the limit that
// was set before, and while it is on no other rate is set: a Braked says whose it
// is.
func SetRate(ctx context.Context, c client.Client, namespace, queue string, r Rate) (Rate, error) {
	now, err := RateOf(ctx, c, namespace, queue)
	if err != nil {
		return now, err
	}
	next, err := r.over(now)
	if err != nil {
		return now, err
	}
	return next.read(), store(ctx, c, namespace, queue, next)
}

// ReleaseBrake takes the brake of a queue off, and says what stands then: the limit
// that was set before, as whoever set it said. Without a brake it changes nothing.
func ReleaseBrake(ctx context.Context, c client.Client, namespace, queue, by, reason string) (Rate, error) {
	now, err := RateOf(ctx, c, namespace, queue)
	if err != nil || !now.Braked() {
		return now, err
	}
	next := now.released(by, reason)
	return next.read(), store(ctx, c, namespace, queue, next)
}

// store sets a limit, through Temporal's UpdateTaskQueueConfig, and waits until the
// queue has it: Temporal stores it first, and for a moment whoever asks still gets
// the one before.
func store(ctx context.Context, c client.Client, namespace, queue string, r Rate) error {
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

// Braked refuses to set a rate under a brake that somebody holds.
type Braked struct{ By, Reason string }

func (b Braked) Error() string {
	return fmt.Sprintf("the brake is on, by %s: %s; no rate is set while it is", b.By, b.Reason)
}

// over is r as it is stored where now stands.
func (r Rate) over(now Rate) (Rate, error) {
	r.Reason = clipped(r.Reason)
	switch {
	case !r.Braked() && now.Braked():
		return now, Braked{now.By, now.Reason}
	case !r.Braked():
		return r, nil
	}
	under := now.Under
	if now.PerSecond != nil && !now.Braked() {
		under = &now
	}
	if under != nil {
		r.Reason += fmt.Sprintf(" [under it: %g a second, by %q at %s: %q]", *under.PerSecond, clipped(under.By), under.At.UTC().Format(time.RFC3339), clipped(under.Reason))
	}
	return r, nil
}

// released is what is stored in the place of a brake.
func (r Rate) released(by, reason string) Rate {
	if r.Under == nil {
		return Rate{By: by, Reason: clipped(reason)}
	}
	u := *r.Under
	u.Reason = clipped(u.Reason) + " [set at " + u.At.UTC().Format(time.RFC3339) + "]"
	return u
}

// What is kept stands at the end of the reason, so that Temporal's own tools show it.
var (
	keptUnder = regexp.MustCompile(`^(.*) \[under it: ([0-9.e+-]+) a second, by ("(?:[^"\\]|\\.)*") at (\S+): ("(?:[^"\\]|\\.)*")\]$`)
	keptSince = regexp.MustCompile(`^(.*) \[set at (\S+)\]$`)
)

// read takes what over and released put into the reason out of it.
func (r Rate) read() Rate {
	if m := keptSince.FindStringSubmatch(r.Reason); m != nil && !r.Braked() {
		if at, err := time.Parse(time.RFC3339, m[2]); err == nil {
			r.Reason, r.At = m[1], at
		}
		return r
	}
	m := keptUnder.FindStringSubmatch(r.Reason)
	if m == nil || !r.Braked() {
		return r
	}
	perSecond, bad := strconv.ParseFloat(m[2], 32)
	by, badBy := strconv.Unquote(m[3])
	at, badAt := time.Parse(time.RFC3339, m[4])
	reason, badReason := strconv.Unquote(m[5])
	if errors.Join(bad, badBy, badAt, badReason) == nil {
		limit := float32(perSecond)
		r.Reason, r.Under = m[1], &Rate{PerSecond: &limit, By: by, Reason: reason, At: at}
	}
	return r
}

// maxKept keeps two reasons and a name, quoted, below Temporal's 1,000 bytes.
const maxKept = 200

// clipped is one line of at most maxKept bytes.
func clipped(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	for len(s) > maxKept {
		runes := []rune(s)
		s = string(runes[:len(runes)-1])
	}
	return s
}

func sameRate(a, b *float32) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}
