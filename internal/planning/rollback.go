package planning

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/client"

	"keywave/internal/fleet"
	"keywave/internal/plan"
	"keywave/internal/rotation"
	"keywave/workflows"
)

// Ran is a campaign whose former keys are to be put back.
type Ran struct {
	Plan      plan.Plan
	Emergency bool
	Pages     []plan.Page
	Records   []rotation.Record
	// Running are its zones whose operation still runs, and Since are the rotations
	// of its zones by others after it began.
	Running map[rotation.ZoneID]bool
	Since   map[rotation.ZoneID]Rotated
}

// WayBack is what of a campaign can be rolled back.
type WayBack struct {
	Formers map[rotation.ZoneID]rotation.Former
	// Left are the other zones, by why they keep the key that they have.
	Left []Left
}

// Left are zones that are not rolled back.
type Left struct {
	Why   string
	Zones []rotation.ZoneID
}

// String is "2 zones: why: zone-a, zone-b".
func (l Left) String() string {
	count := "1 zone"
	if len(l.Zones) != 1 {
		count = fmt.Sprintf("%d zones", len(l.Zones))
	}
	return fmt.Sprintf("%s: %s: %s", count, l.Why, named(l.Zones))
}

// WayBack says which of the campaign's zones have a former key that may be put back
// now, in this fleet. Zones that nobody chose are not spoken of.
func (r Ran) WayBack(f *fleet.Fleet, chosen func(rotation.ZoneID) bool, now time.Time) WayBack {
	out := WayBack{Formers: map[rotation.ZoneID]rotation.Former{}}
	has := map[rotation.ZoneID]bool{}
	for _, z := range f.Zones {
		has[z.ID] = true
	}
	records := map[rotation.ZoneID]rotation.Record{}
	for _, rec := range r.Records {
		records[rec.Zone] = rec
	}
	for _, id := range PlannedZones(r.Pages) {
		rec := records[id]
		why := r.stays(id, rec, f.Campaign, now)
		switch {
		case !chosen(id):
		case why == "" && has[id]:
			out.Formers[id] = *rec.Former
		case why == "":
			out.leave(id, "the fleet file does not have them any more")
		default:
			out.leave(id, why)
		}
	}
	return out
}

func (w *WayBack) leave(id rotation.ZoneID, why string) {
	at := slices.IndexFunc(w.Left, func(l Left) bool { return l.Why == why })
	if at < 0 {
		at, w.Left = len(w.Left), append(w.Left, Left{Why: why})
	}
	w.Left[at].Zones = append(w.Left[at].Zones, id)
}

// stays says why a zone keeps the key that it has; empty when it can be rolled back.
func (r Ran) stays(id rotation.ZoneID, rec rotation.Record, settings plan.Settings, now time.Time) string {
	since, again := r.Since[id]
	switch {
	case r.Running[id]:
		return "their operation still runs"
	case rec.Forgotten:
		return "Temporal has forgotten their records, and the former keys with them"
	case rec.Outcome == rotation.Skipped:
		return "a person left them out"
	case !MayHaveChanged(rec.Outcome):
		return "their keys were not changed"
	case again && since.At.After(rec.EndedAt):
		return since.String()
	case rec.Former == nil:
		return r.unkept()
	case rec.Outcome != rotation.Done && now.Before(rec.EndedAt.Add(LandsFor(settings.Timing))):
		return fmt.Sprintf("a request of theirs may still be executed: wait until %s after their end", LandsFor(settings.Timing))
	}
	return TooOld(*rec.Former, settings.RollbackFor.D(), now)
}

// LandsFor is how long after an operation that ended without being done a request of it may
// still be executed, and not be seen by a read. What is put back before could be undone.
func LandsFor(t rotation.Timing) time.Duration { return t.SignatureLife.D() + t.Settle.D() }

// unkept is why a zone has no former key.
func (r Ran) unkept() string {
	switch {
	case r.Plan.Undoes != "":
		return "they were rolled back, and a rollback keeps no former key"
	case r.Emergency:
		return "in an emergency EdgeOne makes the keys, and the former ones are dead"
	case r.Plan.Settings.Strategy != rotation.Staged:
		return "EdgeOne made their keys (strategy refresh), and the former ones are dead"
	case r.Plan.Settings.RollbackFor == 0:
		return "their former keys were not kept: rollbackFor was not set"
	}
	return "no former key of theirs is on record"
}

// MayHaveChanged says that an operation that ended so changed the key, or may have.
func MayHaveChanged(o rotation.Outcome) bool {
	return o == rotation.Done || o == rotation.Exposed || o == rotation.Unknown
}

// TooOld says why a former key may not be put back any more; empty when it may. within
// is what the fleet file allows now.
func TooOld(f rotation.Former, within time.Duration, now time.Time) string {
	switch {
	case !now.Before(f.Until):
		return "their former keys were kept until a time that is over"
	case !now.Before(f.Ends(within)):
		return fmt.Sprintf("their former keys are older than the fleet file allows (rollbackFor %s)", rotation.Span(within))
	}
	return ""
}

// Rotated is a rotation of a zone after the one that is looked at.
type Rotated struct {
	At time.Time
	By string
	// Back says that it put a former key back.
	Back bool
}

// String is "campaign spring-rollback rolled them back since".
func (r Rotated) String() string {
	if r.Back {
		return r.By + " rolled them back since"
	}
	return r.By + " rotated them since"
}

// RotatedSince finds the latest rotation of each of these zones that ended after then
// and is not the campaign's own.
func RotatedSince(ctx context.Context, c client.Client, zones []rotation.ZoneID, after time.Time, campaign string) (map[rotation.ZoneID]Rotated, error) {
	l := newLook(ctx, c, zones, func(other string, _ bool) bool { return other == campaign })
	latest, rollbacks := map[rotation.ZoneID]Rotated{}, map[string]bool{}
	err := l.rotated(after, func(e *workflow.WorkflowExecutionInfo, other string, in workflows.ZoneIn) error {
		one := Rotated{At: e.GetCloseTime().AsTime(), By: in.By, Back: in.Former != nil}
		if other != "" {
			if _, known := rollbacks[other]; !known {
				asked, err := l.asked(e)
				if err != nil {
					return err
				}
				rollbacks[other] = asked.Former != nil
			}
			one.By, one.Back = "campaign "+other, rollbacks[other]
		}
		if one.At.After(latest[zoneOf(e)].At) {
			latest[zoneOf(e)] = one
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("nobody knows whether others rotated the zones since: %w", err)
	}
	return latest, nil
}

// NewRollback is the draft of a plan that puts back former keys, in the waves of the
// fleet file: of its zones those that have one.
func NewRollback(f *fleet.Fleet, name, undoes string, formers map[rotation.ZoneID]rotation.Former) (Draft, *fleet.Fleet, error) {
	f = f.Only(func(z fleet.Zone) bool { _, has := formers[z.ID]; return has }, "whose former keys campaign "+undoes+" kept")
	targets := f.Targets()
	for i := range targets {
		former := formers[targets[i].ID]
		targets[i].Former = &former
	}
	settings := f.Campaign
	settings.Strategy, settings.RollbackFor = rotation.Staged, 0
	d, err := newDraft(f, plan.Plan{Name: name, Undoes: undoes, Settings: settings}, targets)
	return d, f, err
}

// named are the first of some zones.
func named(zones []rotation.ZoneID) string {
	names := make([]string, 0, elsewhereNamed)
	for _, z := range zones[:min(len(zones), elsewhereNamed)] {
		names = append(names, string(z))
	}
	list := strings.Join(names, ", ")
	if more := len(zones) - len(names); more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return list
}

// Zones are those that can be rolled back, in order of name.
func (w WayBack) Zones() []rotation.ZoneID { return slices.Sorted(maps.Keys(w.Formers)) }
