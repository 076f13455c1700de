package temporalclient

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
)

const (
	workerIs = "keywave-worker@"
	fleetIs  = "/fleet-"
)

// WorkerIdentity is how a worker of a version names itself to Temporal, with the
// mark of the fleet file that it uses now, where it has one, so
// that others can see it.
func WorkerIdentity(id, version, mark string) string {
	name := workerIs + id + "/" + version
	if mark != "" {
		name += fleetIs + mark
	}
	return name
}

// WorkerID is the id of the worker that names itself so; empty where it is no worker's name.
func WorkerID(identity string) string {
	name, is := strings.CutPrefix(identity, workerIs)
	if !is {
		return ""
	}
	id, _, _ := strings.Cut(name, "/")
	return id
}

// FleetOf is the mark of a worker's fleet file; empty where its identity does not
// say one.
func FleetOf(identity string) string {
	_, mark, has := strings.Cut(identity, fleetIs)
	if !has || !strings.HasPrefix(identity, workerIs) {
		return ""
	}
	return mark
}

// PollerIsRecent is how long after its last poll a worker still counts: polls
// are long, a minute each.
const PollerIsRecent = 90 * time.Second

// Recent are the workers that still poll.
func Recent(all []*taskqueue.PollerInfo) []*taskqueue.PollerInfo {
	var polling []*taskqueue.PollerInfo
	for _, p := range all {
		if time.Since(p.GetLastAccessTime().AsTime()) < PollerIsRecent {
			polling = append(polling, p)
		}
	}
	return polling
}

// Fleets are the marks of the fleet files of the workers that poll a queue for
// activities, by the workers' identities; a worker that does not say one is left
// out.
func (c *Connection) Fleets(ctx context.Context, queue string) (map[string]string, error) {
	d, err := c.WorkflowService().DescribeTaskQueue(ctx, &workflowservice.DescribeTaskQueueRequest{
		Namespace: c.Namespace, TaskQueueType: enums.TASK_QUEUE_TYPE_ACTIVITY, TaskQueue: &taskqueue.TaskQueue{Name: queue},
	})
	if err != nil {
		return nil, fmt.Errorf("queue %s cannot be read: %w", queue, err)
	}
	marks := map[string]string{}
	for _, p := range latest(Recent(d.GetPollers())) {
		if mark := FleetOf(p.GetIdentity()); mark != "" {
			marks[p.GetIdentity()] = mark
		}
	}
	return marks, nil
}

// latest leaves of each worker what it said last: it had another fleet file before.
func latest(all []*taskqueue.PollerInfo) map[string]*taskqueue.PollerInfo {
	last := map[string]*taskqueue.PollerInfo{}
	for _, p := range all {
		who := workerOf(p.GetIdentity())
		if before, known := last[who]; !known || p.GetLastAccessTime().AsTime().After(before.GetLastAccessTime().AsTime()) {
			last[who] = p
		}
	}
	return last
}

// SameWorker says that both are one worker's identities, whatever its fleet file is.
func SameWorker(a, b string) bool { return workerOf(a) == workerOf(b) }

// workerOf is a worker's identity without its fleet file, which may change.
func workerOf(identity string) string {
	who, _, _ := strings.Cut(identity, fleetIs)
	return who
}
