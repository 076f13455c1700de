package planning

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/client"

	"keywave/activities"
	"keywave/internal/fleet"
	"keywave/internal/harmless"
	"keywave/internal/rotation"
	"keywave/workflows"
)

// ErrMoved says that zones vanished each time that they were listed.
var ErrMoved = errors.New("zones were deleted at EdgeOne while they were being listed, each time; nothing was changed; try again later")

const listTries = 3

// Executor starts workflows, as a client does.
type Executor interface {
	ExecuteWorkflow(ctx context.Context, options client.StartWorkflowOptions, workflow any, args ...any) (client.WorkflowRun, error)
}

// Resolve gives a fleet the zones that it leaves to EdgeOne: the account's
// worker lists them, a workflow for each part, and get waits for one of them. A
// fleet that has its zones is itself. Nothing is changed. Its error is
// fleet.Unplaced, ErrMoved, or get's.
func Resolve(ctx context.Context, c Executor, f *fleet.Fleet, get func(ctx context.Context, run client.WorkflowRun, result any) error) (*fleet.Fleet, error) {
	if !f.Listed() {
		return f, nil
	}
	name := Unique(time.Now())
	part := 0
	for range listTries {
		zones := map[rotation.ZoneID]rotation.ListedZone{}
		still, next, total := true, 0, 1
		for still && next < total {
			part++
			out, err := discover(ctx, c, f, workflows.DiscoverID(name, part), next, get)
			if err != nil {
				return nil, err
			}
			still = !out.Moved && (next == 0 || out.Total >= total)
			for _, z := range out.Zones {
				zones[z.ID] = z
			}
			next, total = out.Next, out.Total
		}
		if still {
			return f.Resolve(slices.Collect(maps.Values(zones)))
		}
	}
	return nil, ErrMoved
}

func discover(ctx context.Context, c Executor, f *fleet.Fleet, id string, from int, get func(context.Context, client.WorkflowRun, any) error) (activities.DiscoverOut, error) {
	var out activities.DiscoverOut
	l := f.Source.EdgeOne
	run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: id, TaskQueue: workflows.Queue, WorkflowExecutionErrorWhenAlreadyStarted: true,
		StaticSummary: harmless.Summary("zones of account " + string(f.Accounts[0].Name) + ", as EdgeOne lists them"),
		StaticDetails: harmless.Markdown(l.Query.String()),
	}, workflows.TypeDiscover, workflows.DiscoverIn{
		Account: f.Accounts[0].Name, DiscoverIn: activities.DiscoverIn{Query: l.Query, Gateways: l.Gateways, From: from},
	})
	if err == nil {
		err = get(ctx, run, &out)
	}
	return out, err
}

// Unique names one query.
func Unique(at time.Time) string {
	return at.UTC().Format("20060102-150405") + "-" + strings.ToLower(rand.Text()[:6])
}
