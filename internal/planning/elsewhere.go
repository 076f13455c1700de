package planning

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"keywave/internal/fleet"
	"keywave/internal/plan"
	"keywave/internal/rotation"
	"keywave/internal/temporalclient"
	"keywave/workflows"
)

// JustRotated is how long ago a rotation must be for nobody to mind another one.
const JustRotated = time.Hour

// elsewhereNamed is how many zones are named of each that has them.
const elsewhereNamed = 5

// Elsewhere is what is done to zones by others, or was done just now: a plan of
// them would give those clients a second new key within an hour, or meet another
// campaign at each zone.
type Elsewhere struct {
	// Zones counts the zones, each once.
	Zones int
	// Texts say who has which, such as "campaign spring is open and has 3 of them: …".
	Texts []string
}

// String is all of it on one line.
func (e Elsewhere) String() string { return strings.Join(e.Texts, "; ") }

// look collects zones of one plan.
type look struct {
	ctx    context.Context
	client client.Client
	wanted map[rotation.ZoneID]bool
	found  map[rotation.ZoneID]bool
	out    Elsewhere
	mine   func(campaign string, open bool) bool
}

// LookElsewhere looks for open campaigns and running operations that have one of
// the zones, and for zones that were rotated within JustRotated before now. What,
// by mine, is the asker's own does not count. It needs no worker.
func LookElsewhere(ctx context.Context, c client.Client, zones []rotation.ZoneID, mine func(campaign string, open bool) bool, now time.Time) (Elsewhere, error) {
	l := newLook(ctx, c, zones, mine)
	return l.at(l.openCampaigns, l.running, func() error { return l.justRotated(now) })
}

// LookBusy is LookElsewhere without the zones that were rotated just now.
func LookBusy(ctx context.Context, c client.Client, zones []rotation.ZoneID, mine func(campaign string, open bool) bool) (Elsewhere, error) {
	l := newLook(ctx, c, zones, mine)
	return l.at(l.openCampaigns, l.running)
}

func newLook(ctx context.Context, c client.Client, zones []rotation.ZoneID, mine func(campaign string, open bool) bool) *look {
	l := &look{ctx: ctx, client: c, wanted: map[rotation.ZoneID]bool{}, found: map[rotation.ZoneID]bool{}, mine: mine}
	for _, z := range zones {
		l.wanted[z] = true
	}
	return l
}

func (l *look) at(parts ...func() error) (Elsewhere, error) {
	for _, part := range parts {
		if err := part(); err != nil {
			return Elsewhere{}, fmt.Errorf("nobody knows whether others have zones of the plan: %w", err)
		}
	}
	l.out.Zones = len(l.found)
	return l.out, nil
}

// ZonesOf are the zones of a fleet.
func ZonesOf(f *fleet.Fleet) []rotation.ZoneID {
	ids := make([]rotation.ZoneID, len(f.Zones))
	for i, z := range f.Zones {
		ids[i] = z.ID
	}
	return ids
}

// PlannedZones are the zones of a plan's pages.
func PlannedZones(pages []plan.Page) []rotation.ZoneID {
	var ids []rotation.ZoneID
	for _, p := range pages {
		for _, z := range p.Zones {
			ids = append(ids, z.ID)
		}
	}
	return ids
}

// say notes zones, if there are any.
func (l *look) say(format string, zones []rotation.ZoneID) {
	if len(zones) == 0 {
		return
	}
	slices.Sort(zones)
	zones = slices.Compact(zones)
	for _, z := range zones {
		l.found[z] = true
	}
	l.out.Texts = append(l.out.Texts, fmt.Sprintf(format, len(zones))+": "+named(zones))
}

// list calls do for each workflow that a query finds.
func (l *look) list(query string, do func(*workflow.WorkflowExecutionInfo) error) error {
	for e, err := range temporalclient.Found(l.ctx, l.client, query) {
		if err != nil {
			return err
		}
		if err := do(e); err != nil {
			return err
		}
	}
	return nil
}

func (l *look) openCampaigns() error {
	return l.list(fmt.Sprintf("WorkflowType = '%s' AND ExecutionStatus = 'Running'", workflows.TypeCampaign), func(e *workflow.WorkflowExecutionInfo) error {
		name := strings.TrimPrefix(e.GetExecution().GetWorkflowId(), workflows.CampaignID(""))
		if l.mine(name, true) {
			return nil
		}
		var in workflows.CampaignIn
		if err := temporalclient.Input(l.ctx, l.client, e.GetExecution().GetWorkflowId(), e.GetExecution().GetRunId(), &in); err != nil {
			return err
		}
		zones, err := l.ofPlan(in.Plan)
		l.say("campaign "+name+" is open and has %d of them", zones)
		return err
	})
}

// ofPlan are the wanted zones of a plan, whose pages are numbered without a gap.
func (l *look) ofPlan(name string) ([]rotation.ZoneID, error) {
	var zones []rotation.ZoneID
	for n := 1; ; n++ {
		var page workflows.PageIn
		err := temporalclient.Input(l.ctx, l.client, workflows.PageID(name, n), "", &page)
		if errors.As(err, new(*serviceerror.NotFound)) {
			return zones, nil
		}
		if err != nil {
			return nil, err
		}
		for _, z := range page.Page.Zones {
			if l.wanted[z.ID] {
				zones = append(zones, z.ID)
			}
		}
	}
}

// running finds the operations of people; those of campaigns are the campaigns'.
func (l *look) running() error {
	var zones []rotation.ZoneID
	err := l.list(fmt.Sprintf("WorkflowType = '%s' AND ExecutionStatus = 'Running'", workflows.TypeZone), func(e *workflow.WorkflowExecutionInfo) error {
		if id := zoneOf(e); l.wanted[id] && attribute(e, workflows.AttrCampaign) == "" {
			zones = append(zones, id)
		}
		return nil
	})
	l.say("%d of them have an operation that a person began", zones)
	return err
}

// justRotated finds zones that were refreshed, or may have been, a short time ago.
func (l *look) justRotated(now time.Time) error {
	var zones []rotation.ZoneID
	err := l.rotated(now.Add(-JustRotated), func(e *workflow.WorkflowExecutionInfo, _ string, _ workflows.ZoneIn) error {
		zones = append(zones, zoneOf(e))
		return nil
	})
	l.say("%d of them were rotated within the last hour", zones)
	return err
}

// rotated calls do for each rotation of a wanted zone that ended after then and changed
// its key, or may have. A person's repair is told from a rotation by what was asked
// for; of a campaign's zone that is not read.
func (l *look) rotated(after time.Time, do func(e *workflow.WorkflowExecutionInfo, campaign string, in workflows.ZoneIn) error) error {
	query := fmt.Sprintf("WorkflowType = '%s' AND ExecutionStatus = 'Completed' AND CloseTime > '%s' AND %s IN ('%s', '%s', '%s')",
		workflows.TypeZone, after.UTC().Format(time.RFC3339), workflows.AttrOutcome, rotation.Done, rotation.Exposed, rotation.Unknown)
	return l.list(query, func(e *workflow.WorkflowExecutionInfo) error {
		campaign := attribute(e, workflows.AttrCampaign)
		if !l.wanted[zoneOf(e)] || campaign != "" && l.mine(campaign, false) {
			return nil
		}
		in := workflows.ZoneIn{Verb: rotation.Rotate}
		if campaign == "" {
			var err error
			if in, err = l.asked(e); err != nil {
				return err
			}
		}
		if in.Verb != rotation.Rotate {
			return nil
		}
		return do(e, campaign, in)
	})
}

// asked is what an operation was asked for.
func (l *look) asked(e *workflow.WorkflowExecutionInfo) (in workflows.ZoneIn, err error) {
	err = temporalclient.Input(l.ctx, l.client, e.GetExecution().GetWorkflowId(), e.GetExecution().GetRunId(), &in)
	return in, err
}

func zoneOf(e *workflow.WorkflowExecutionInfo) rotation.ZoneID {
	return rotation.ZoneID(strings.TrimPrefix(e.GetExecution().GetWorkflowId(), workflows.ZoneID("")))
}

func attribute(e *workflow.WorkflowExecutionInfo, name string) string {
	var text string
	if p := e.GetSearchAttributes().GetIndexedFields()[name]; p != nil {
		_ = converter.GetDefaultDataConverter().FromPayload(p, &text)
	}
	return text
}
