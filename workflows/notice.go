package workflows

import (
	"fmt"
	"slices"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/workflow"

	"keywave/internal/harmless"
	"keywave/internal/rotation"
)

// Notice tells people elsewhere one thing about a campaign. It is a workflow of
// its own, so that a webhook that is away holds up nothing and is tried again
// after the campaign has closed.
func Notice(ctx workflow.Context, n rotation.Notice) error {
	_, err := notifyAct().do(ctx, noticeOptions(n), n)
	return err
}

func noticeOptions(n rotation.Notice) workflow.ActivityOptions {
	return limited(limits().Notify, Queue, string(n.Event), priorityNormal)
}

// announce has people told, if the fleet file says so, and waits for nothing but
// the notice's start.
func (c *campaign) announce(event rotation.Occasion, text string) {
	if !slices.Contains(c.plan.Settings.Notify, string(event)) {
		return
	}
	s := c.status()
	c.st.Notices++
	o := workflow.ChildWorkflowOptions{
		WorkflowID: NoticeID(c.in.Name, workflow.GetInfo(c.work).WorkflowExecution.RunID, c.st.Notices), TaskQueue: Queue,
		StaticSummary:     harmless.Summary(fmt.Sprintf("tells: %s", text)),
		ParentClosePolicy: enums.PARENT_CLOSE_POLICY_ABANDON, TypedSearchAttributes: Searchable(c.in.Name, "", ""),
	}
	child := workflow.ExecuteChildWorkflow(workflow.WithChildOptions(c.work, o), TypeNotice, rotation.Notice{
		Event: event, Campaign: c.in.Name, State: string(s.State), At: workflow.Now(c.work).UTC(), Text: text, Next: s.Next,
		Zones: s.Zones, Hosts: s.Hosts, Exp: s.ExposureMs,
	})
	c.telling++
	workflow.Go(c.work, func(ctx workflow.Context) {
		_ = child.GetChildWorkflowExecution().Get(ctx, nil) // it must have started before the campaign may close
		c.telling--
	})
}

// announceExposed tells people about exposed zones that they were not told of yet.
func (c *campaign) announceExposed() {
	s := c.status()
	if s.Zones.Exposed <= c.st.Told {
		c.st.Told = s.Zones.Exposed
		return
	}
	c.st.Told = s.Zones.Exposed
	text := fmt.Sprintf("exposed zones: %d; their clients are locked out", s.Zones.Exposed)
	for _, a := range s.Attention {
		if a.Outcome == rotation.Exposed {
			text += fmt.Sprintf("; %s: %s", a.Zone, a.Why)
			break
		}
	}
	c.announce(rotation.OnExposed, text)
}
