package e2e

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"keywave/internal/proving/stage"
	"keywave/internal/rotation"
	"keywave/internal/temporalclient"
	"keywave/workflows"
)

func asExit(err error) (*exec.ExitError, bool) {
	var exit *exec.ExitError
	ok := errors.As(err, &exit)
	return exit, ok
}

// dialled are the clients of tests that run. A test has one for each server: what lasts
// for seconds only is over when each look at it dials anew.
var dialled sync.Map

type dialledBy struct {
	t      *testing.T
	server string
}

func temporal(t *testing.T, s *stage.Stack) client.Client {
	t.Helper()
	by := dialledBy{t, s.Temporal.Address}
	if c, ok := dialled.Load(by); ok {
		return c.(client.Client)
	}
	c, err := client.Dial(client.Options{HostPort: by.server})
	if err != nil {
		t.Fatal(err)
	}
	dialled.Store(by, c)
	t.Cleanup(func() {
		dialled.Delete(by)
		c.Close()
	})
	return c
}

// named says that an identity that Temporal knows is that of a worker's process.
func named(worker *stage.Process, identity string) bool {
	return strings.Contains(temporalclient.WorkerID(identity), fmt.Sprintf("-%d-", worker.PID()))
}

// holder is which worker holds a lease now, by the ID of the lease's workflow; -1 where
// none does.
func holder(t *testing.T, s *stage.Stack, lease string) int {
	t.Helper()
	seen, err := temporal(t, s).DescribeWorkflowExecution(t.Context(), lease, "")
	if err != nil {
		return -1 // it has not begun
	}
	for _, a := range seen.GetPendingActivities() {
		if a.GetState() == enums.PENDING_ACTIVITY_STATE_STARTED {
			return slices.IndexFunc(s.Workers, func(w *stage.Process) bool { return w.Running() && named(w, a.GetLastWorkerIdentity()) })
		}
	}
	return -1
}

// held waits until a worker holds a lease, and says which.
func held(t *testing.T, s *stage.Stack, lease string) (worker int) {
	t.Helper()
	eventually(t, "a worker holds "+lease, 3*time.Minute, func() bool {
		worker = holder(t, s, lease)
		return worker >= 0
	})
	return worker
}

var payload = regexp.MustCompile(`"data":\s*"([A-Za-z0-9+/=]+)"`)

// plainPayloads are the payloads of an event, decoded.
func plainPayloads(event []byte) []byte {
	var all []byte
	for _, m := range payload.FindAllSubmatch(event, -1) {
		if plain, err := base64.StdEncoding.DecodeString(string(m[1])); err == nil {
			all = append(all, plain...)
		}
	}
	return all
}

// refreshing says that a worker has begun the zone's refresh and has not ended
// it.
func refreshing(t *testing.T, s *stage.Stack, zone string) bool {
	t.Helper()
	return isAt(t, s, zone, workflows.ActRefresh)
}

// isAt says that a worker has begun an activity of the zone and has not ended
// it.
func isAt(t *testing.T, s *stage.Stack, zone, activity string) bool {
	t.Helper()
	seen, err := temporal(t, s).DescribeWorkflowExecution(t.Context(), workflows.ZoneID(rotation.ZoneID(zone)), "")
	if err != nil {
		return false // it has not begun
	}
	for _, a := range seen.GetPendingActivities() {
		if a.GetActivityType().GetName() == activity && a.GetState() == enums.PENDING_ACTIVITY_STATE_STARTED {
			return true
		}
	}
	return false
}

// reads is how many reads of the live key the zone's workflow has asked for.
func reads(t *testing.T, s *stage.Stack, zone string) int {
	t.Helper()
	n := 0
	history := temporal(t, s).GetWorkflowHistory(t.Context(), workflows.ZoneID(rotation.ZoneID(zone)), "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for history.HasNext() {
		e, err := history.Next()
		if err != nil {
			t.Fatal(err)
		}
		if e.GetActivityTaskScheduledEventAttributes().GetActivityType().GetName() == workflows.ActRead {
			n++
		}
	}
	return n
}

// forward listens at one address and passes connections on to another, until
// the test ends. cut ends those that are open.
func forward(t *testing.T, from, to string) (cut func()) {
	t.Helper()
	var mu sync.Mutex
	var open []net.Conn
	keep := func(c net.Conn) {
		mu.Lock()
		defer mu.Unlock()
		open = append(open, c)
	}
	l, err := net.Listen("tcp", from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = in.Close() }()
				keep(in)
				out, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				defer func() { _ = out.Close() }()
				go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
				_, _ = io.Copy(in, out)
			}()
		}
	}()
	return func() {
		_ = l.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, c := range open {
			_ = c.Close()
		}
	}
}
