package activities

import (
	"context"
	"errors"

	"keywave/internal/rotation"
)

// NotifyOut is empty.
type NotifyOut struct{}

// Notices is what the orchestrator role does to tell people elsewhere.
type Notices struct {
	// Notifier is nil where none is configured.
	Notifier rotation.Notifier
}

// Notify sends one notice.
func (n *Notices) Notify(ctx context.Context, notice rotation.Notice) (NotifyOut, error) {
	if n.Notifier == nil {
		return NotifyOut{}, fail(KindNotice, "this worker has no webhook; set KEYWAVE_WEBHOOK_URL for every worker of the orchestrator role, or take notify out of the fleet file")
	}
	err := n.Notifier.Notify(ctx, notice)
	if refused, ok := errors.AsType[*rotation.RefusedError](err); ok {
		return NotifyOut{}, fail(KindNotice, refused.Why)
	}
	return NotifyOut{}, err
}
