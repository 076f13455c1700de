// Package workflows is the story: a Plan is frozen into Pages, a Campaign runs
// it in waves of Shards, and each Zone is a workflow whose ID is the zone's
// lock. What is decided from values is decided in rotation; what touches the
// world is done by activities; what is left here is the order of things and
// the waiting.
package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"keywave/activities"
	"keywave/internal/rotation"
)

// Everything in this file stands in histories: add, never rename.

// Workflow types.
const (
	TypePlan     = "Plan"
	TypePage     = "StoredPlanPage"
	TypeCampaign = "Campaign"
	TypeShard    = "Shard"
	TypeZone     = activities.ZoneType
	TypeLease    = activities.LeaseType
	TypeAudit    = "Audit"
	TypeCheckup  = "Checkup"
	TypeNotice   = "Notice"
	// TypeScheduled is one run of a schedule.
	TypeScheduled = "Scheduled"
	// TypeDiscover lists a part of the zones that EdgeOne has.
	TypeDiscover = "Discover"
	// TypeReread compares live keys with their plan.
	TypeReread = "Reread"
)

// versionUntouched is the change by which a resumed campaign asks nobody about pages that
// never had a shard.
const versionUntouched = "untouched-pages"

// versionSealedAnew is the change by which a zone does not use a seal for hosts that it has no
// more.
const versionSealedAnew = "sealed-anew"

// versionStartOrders is the change by which a shard is told what was ordered while it started.
const versionStartOrders = "orders-while-starting"

// versionResumeWindow is the change by which a resume gives shards its window.
const versionResumeWindow = "window-of-a-resume"

// versionHealthCancelled is the change by which a cancelled campaign waits for no health check.
const versionHealthCancelled = "health-cancelled"

// versionSpared is the change by which a zone takes back that its refresh has begun.
const versionSpared = "spared"

// versionSlowStarts is the change by which a shard waits longer for zones to start.
const versionSlowStarts = "slow-starts"

// has says that the workflow goes the way of a change from here on: it does unless an older
// version was here before.
func has(ctx workflow.Context, change string) bool {
	return workflow.GetVersion(ctx, change, workflow.DefaultVersion, 1) > workflow.DefaultVersion
}

// CheckName is rotation's rule for every name below.
func CheckName(name string) error { return rotation.CheckName(name) }

// CheckScheduleName is CheckName for a schedule, whose runs add their time.
func CheckScheduleName(name string) error {
	return rotation.CheckNameUpTo(longestSchedule, name)
}

const longestSchedule = 64 - len("-20060102-150405")

// PlanID is the workflow ID of a plan.
func PlanID(name string) string { return "plan/" + name }

// PageID is the workflow ID of a plan's page; n is 1-based.
func PageID(plan string, n int) string { return fmt.Sprintf("plan/%s/page/%d", plan, n) }

// CampaignID is the workflow ID of a campaign.
func CampaignID(name string) string { return "campaign/" + name }

// ShardID is the workflow ID of a campaign's shard, which runs page n.
func ShardID(campaign string, n int) string { return fmt.Sprintf("campaign/%s/shard/%d", campaign, n) }

// ZoneID is the workflow ID of a zone, and so its lock (promise 5).
func ZoneID(zone rotation.ZoneID) string { return activities.ZoneWorkflow(zone) }

// AuditID is the workflow ID of one page of an audit; n is 1-based.
func AuditID(name string, n int) string { return fmt.Sprintf("audit/%s/page/%d", name, n) }

// CheckupID is the workflow ID of one part of a checkup; n is 1-based.
func CheckupID(name string, n int) string { return fmt.Sprintf("checkup/%s/part/%d", name, n) }

// DiscoverID is the workflow ID of one part of a listing of zones; n is 1-based.
func DiscoverID(name string, n int) string { return fmt.Sprintf("discover/%s/part/%d", name, n) }

// RereadID is the workflow ID of one part of a comparison of live keys with
// their plan; n is 1-based.
func RereadID(name string, n int) string { return fmt.Sprintf("reread/%s/part/%d", name, n) }

// NoticeID is the workflow ID of the n-th notice of a campaign's run.
func NoticeID(campaign, run string, n int) string {
	return fmt.Sprintf("campaign/%s/notice/%.8s-%d", campaign, run, n)
}

// ScheduleID is the ID of a Temporal schedule.
func ScheduleID(name string) string { return "schedule/" + name }

// ScheduledID is the workflow ID of a schedule's runs, to which Temporal appends
// the time.
func ScheduledID(name string) string { return "schedule/" + name + "/run" }

// ScheduledName is the name of the plan and the campaign of a schedule's run
// that started then.
func ScheduledName(schedule string, started time.Time) string {
	return schedule + "-" + started.UTC().Format("20060102-150405")
}

// LeaseID is the workflow ID of the lease of an account's active process.
func LeaseID(account rotation.Account) string { return "edgeone/" + string(account) }

// EarlyID is the workflow ID of the lease of the process that reads early.
func EarlyID(account rotation.Account) string { return "early/" + string(account) }

// ChangeLoadedFirst marks the histories of campaigns that got an order before
// their plan was loaded, and had it wait for that.
const ChangeLoadedFirst = "loaded-first"

// Queue is the orchestrator's task queue.
const Queue = "keywave"

// RefreshQueue is where an account's refreshes wait; rate 0 on it is the brake.
func RefreshQueue(a rotation.Account) string { return "keywave-refresh-" + string(a) }

// EdgeOneQueue is where everything else that asks EdgeOne waits; it is never
// frozen.
func EdgeOneQueue(a rotation.Account) string { return "keywave-edgeone-" + string(a) }

// EarlyQueue is where reads wait that a process which is not the active one may make.
func EarlyQueue(a rotation.Account) string { return "keywave-early-" + string(a) }

// LeaseQueue is where the processes of an account wait to become active.
func LeaseQueue(a rotation.Account) string { return "keywave-lease-" + string(a) }

// EarlyLeaseQueue is where those that stand by wait to be the one that reads early.
func EarlyLeaseQueue(a rotation.Account) string { return "keywave-early-lease-" + string(a) }

// LocationQueue is polled by all workers of a location; each of them polls one
// of its own besides, named by its proofs.
func LocationQueue(l rotation.Location) string { return "keywave-location-" + string(l) }

// Signals. The Temporal UI draws a line for each, with its name.
const (
	SignalPagePlanned = "page is planned"       // page → plan: PagePlanned
	SignalPageRecords = "records of a campaign" // shard → page: PageRecords
	SignalZoneNews    = "how a zone stands"     // zone → shard: ZoneNews
	SignalShardNews   = "counts of a shard"     // shard → campaign: ShardNews
	SignalControl     = "order to a shard"      // campaign → shard: Control
	SignalZoneOrder   = "order to a zone"       // shard → zone: ZoneOrder
)

// Updates, from people to the campaign.
const (
	UpdatePause   = "pause"
	UpdateResume  = "resume"
	UpdateApprove = "approve"
	UpdateCancel  = "cancel"
	UpdateSet     = "set"
	UpdateSkip    = "skip-zone"
	UpdateRetire  = "retire-host"
)

// UpdateRepair is from people to a zone: RepairOrder, answered by RepairAnswer.
const UpdateRepair = "repair"

// Queries.
const (
	QueryStatus  = "status"  // campaign: Status
	QueryState   = "state"   // campaign: Legacy
	QueryRecords = "records" // shard, and page (of a campaign): []rotation.Record
	QueryTrip    = "trip"    // zone: rotation.Trip
	QueryPage    = "page"    // page: plan.Page
)

// Search attributes, all of type Keyword. The product registers them itself.
const (
	AttrCampaign = "KeywaveCampaign"
	AttrZone     = "KeywaveZone"
	AttrOutcome  = "KeywaveOutcome"
	AttrPlan     = "KeywavePlan"
	// AttrAccount stands at zones that are or were exposed.
	AttrAccount = "KeywaveAccount"
)

// Attributes lists the search attributes.
func Attributes() []string {
	return []string{AttrCampaign, AttrZone, AttrOutcome, AttrPlan, AttrAccount}
}

// Activities.
const (
	ActRefresh   = "Refresh"
	ActRead      = "Read"
	ActBaselines = "Baselines"
	ActProbe     = "Probe"
	ActProve     = "Prove"
	ActDeliver   = "Deliver"
	ActLoadPlan  = "LoadPlan"
	ActLoadPage  = "LoadPage"
	ActPrior     = "Prior"
	ActAwait     = "Await"
	ActLastRun   = "LastRun"
	ActOpenRun   = "OpenRun"
	ActAskRun    = "AskRun"
	ActLease     = "Lease"
	ActHealth    = "Health"
	ActRate      = "Rate"
	ActNotify    = "Notify"
	ActExamine   = "Examine"
	ActPlanFleet = "PlanFleet"
	ActDiscover  = "Discover"
	ActBegun     = "Begun"
	ActMint      = "Mint"
	ActStage     = "Stage"
	ActSwitch    = "Switch"
	ActUnstage   = "Unstage"
)

// OutcomeHeld and OutcomeRunning are what AttrOutcome says besides an outcome:
// that a zone is held, and that a campaign's shard has not ended; OutcomeKept says
// that a plan's page waits for campaigns of its plan.
const (
	OutcomeHeld    = "held"
	OutcomeRunning = string(StateRunning)
	OutcomeKept    = "kept"
)

func keyword(name, value string) temporal.SearchAttributeUpdate {
	return temporal.NewSearchAttributeKeyKeyword(name).ValueSet(value)
}

// noKeyword takes a search attribute away.
func noKeyword(name string) temporal.SearchAttributeUpdate {
	return temporal.NewSearchAttributeKeyKeyword(name).ValueUnset()
}

// listedAs adds what the list of workflows says of a workflow from its start on.
func listedAs(s temporal.SearchAttributes, outcome string) temporal.SearchAttributes {
	return temporal.NewSearchAttributes(s.Copy(), keyword(AttrOutcome, outcome))
}

// Searchable is a set of search attributes for a start option; empty values
// are left out.
func Searchable(campaign string, zone rotation.ZoneID, plan string) temporal.SearchAttributes {
	var set []temporal.SearchAttributeUpdate
	for _, a := range []struct{ name, value string }{
		{AttrCampaign, campaign}, {AttrZone, string(zone)}, {AttrPlan, plan},
	} {
		if a.value != "" {
			set = append(set, keyword(a.name, a.value))
		}
	}
	return temporal.NewSearchAttributes(set...)
}
