// Package metrics is the list of what Keywave counts and measures: names, units,
// labels and what each says. Workflows, activities and workers emit by these names,
// internal/telemetry lets nothing else through, and docs/observing.md has the same
// table. No zone, host or campaign is a label: there can be 100,000 of them.
package metrics

import (
	"slices"
	"strings"

	"keywave/internal/rotation"
)

// Kind is how values of a metric are put together.
type Kind string

// The kinds.
const (
	Counter   Kind = "counter"
	Gauge     Kind = "gauge"
	Histogram Kind = "histogram"
)

// The metrics.
const (
	Zones            = "keywave.zones"
	ZonesExposed     = "keywave.zones.exposed"
	Exposure         = "keywave.exposure"
	ExposurePhase    = "keywave.exposure.phase"
	EdgeOneCalls     = "keywave.edgeone.calls"
	PaceWait         = "keywave.pace.wait"
	LeaseHeld        = "keywave.lease.held"
	CredentialExpiry = "keywave.credential.expiry"
	HostFailures     = "keywave.host.failures"
	CampaignPaused   = "keywave.campaign.paused"
	FleetDigest      = "keywave.fleet.digest"
	BuildInfo        = "keywave.build.info"
)

// The labels.
const (
	Account  = "account"
	Action   = "action"
	Class    = "class"
	Digest   = "digest"
	Go       = "go"
	Location = "location"
	Of       = "of"
	Outcome  = "outcome"
	Phase    = "phase"
	Reason   = "reason"
	Revision = "revision"
	SDK      = "sdk"
	Step     = "step"
	Strategy = "strategy"
	Version  = "version"
)

// NoStrategy is that of an operation which makes no key.
const NoStrategy = "none"

// Event names what a value tells of. It is no label: a process counts each event once,
// because a workflow task that failed, or took too long, is carried out again.
const Event = "event"

// Other stands for a value that is not among those of its label.
const Other = "other"

// Answered is the class of a call that EdgeOne answered without an error.
const Answered = "ok"

// What CredentialExpiry is of.
const (
	OfEdgeOne  = "edgeone"  // the credential that calls are signed with
	OfSSH      = "ssh"      // a certificate of the SSH identity
	OfTemporal = "temporal" // the client certificate towards Temporal
)

// Label is a dimension of a metric.
type Label struct {
	Name string
	// Values are all that it can have; nil where they are names of the fleet file, or
	// say which build it is.
	Values []string
}

// Metric is a row of the table.
type Metric struct {
	Name   string
	Kind   Kind
	Unit   string // "s", or "{zone}" for a count of zones
	Labels []Label
	// Doc is one sentence for people.
	Doc string
	// Buckets are the upper bounds of a histogram's.
	Buckets []float64
}

// Table is every metric of Keywave.
func Table() []Metric {
	account, location := Label{Name: Account}, Label{Name: Location}
	strategy := Label{Strategy, append(rotation.Strategies(), NoStrategy)}
	return []Metric{
		{Name: Zones, Kind: Counter, Unit: "{zone}", Labels: []Label{{Outcome, words(rotation.Outcomes())}, strategy}, Doc: "operations on a zone that ended, by how they ended"},
		{Name: ZonesExposed, Kind: Gauge, Unit: "{zone}", Labels: []Label{account}, Doc: "zones that are exposed now, or ended so; only the account's active process says it, and nobody when there is none"},
		{Name: Exposure, Kind: Histogram, Unit: "s", Labels: []Label{strategy}, Doc: "how long a zone was exposed, once its last host has the live key", Buckets: seconds()},
		{Name: ExposurePhase, Kind: Histogram, Unit: "s", Labels: []Label{{Phase, words(Phases())}}, Doc: "the part of an exposure that a zone spent in a phase", Buckets: seconds()},
		{Name: EdgeOneCalls, Kind: Counter, Unit: "{call}", Labels: []Label{account, {Action, Actions()}, {Class, classes()}}, Doc: "calls of EdgeOne's API, by what came of them"},
		{Name: PaceWait, Kind: Histogram, Unit: "s", Labels: []Label{account}, Doc: "how long a call waited for its turn at the account's pace", Buckets: []float64{0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300}},
		{Name: LeaseHeld, Kind: Gauge, Unit: "{lease}", Labels: []Label{account}, Doc: "1 in the process that calls EdgeOne for the account, 0 in one that stands by"},
		{Name: CredentialExpiry, Kind: Gauge, Unit: "s", Labels: []Label{account, {Of, []string{OfEdgeOne, OfSSH, OfTemporal}}}, Doc: "when a credential or a certificate ends, in seconds since 1970; absent where it does not end, or is renewed by itself"},
		{Name: HostFailures, Kind: Counter, Unit: "{failure}", Labels: []Label{location, {Step, steps()}}, Doc: "proofs and deliveries that failed at a host, by the step"},
		{Name: CampaignPaused, Kind: Counter, Unit: "{pause}", Labels: []Label{{Reason, words(rotation.PauseKinds())}}, Doc: "how often a campaign got a reason to be paused"},
		{Name: FleetDigest, Kind: Gauge, Unit: "{worker}", Labels: []Label{{Name: Digest}}, Doc: "1, with the mark of the fleet file that the worker has"},
		{Name: BuildInfo, Kind: Gauge, Unit: "{worker}", Labels: []Label{{Name: Version}, {Name: Revision}, {Name: Go}, {Name: SDK}}, Doc: "1, with the build that the worker is"},
	}
}

// Markdown is the metric's row in docs/observing.md.
func (m Metric) Markdown() string {
	labels := make([]string, len(m.Labels))
	for i, l := range m.Labels {
		labels[i] = "`" + l.Name + "`"
		if l.Values != nil {
			labels[i] += ": " + strings.Join(l.Values, ", ")
		}
	}
	return "| `" + m.Name + "` | `" + m.Prometheus() + "` | " + string(m.Kind) + " | " + strings.Join(labels, "; ") + " | " + m.Doc + " |"
}

// Find is the row of a name.
func Find(name string) (Metric, bool) {
	for _, m := range Table() {
		if m.Name == name {
			return m, true
		}
	}
	return Metric{}, false
}

// Closed is a value of the label, or Other.
func (l Label) Closed(value string) string {
	if l.Values == nil || slices.Contains(l.Values, value) {
		return value
	}
	return Other
}

// Prometheus is the name under which Prometheus shows the metric; of a histogram it is
// that before _bucket, _sum and _count.
func (m Metric) Prometheus() string {
	name := strings.ReplaceAll(m.Name, ".", "_")
	if m.Unit == "s" {
		name += "_seconds"
	}
	if m.Kind == Counter {
		name += "_total"
	}
	return name
}

// Actions are the API actions that are called.
func Actions() []string {
	return []string{"RefreshMultiPathGatewaySecretKey", "ModifyMultiPathGatewaySecretKey", "DescribeMultiPathGatewaySecretKey", "DescribeZones", "DescribeMultiPathGateways"}
}

func classes() []string {
	return append([]string{Answered}, words([]rotation.Class{
		rotation.Throttled, rotation.Unsent, rotation.Refused, rotation.Locked, rotation.Denied, rotation.Ambiguous,
	})...)
}

func steps() []string {
	return words([]rotation.HostStep{
		rotation.StepConnect, rotation.StepIdentity, rotation.StepAuth, rotation.StepWrite, rotation.StepReload, rotation.StepVerify, rotation.StepSession,
	})
}

// Phases are those of a zone until it ends.
func Phases() []rotation.Phase {
	return []rotation.Phase{
		rotation.PhaseBaseline, rotation.PhaseProve, rotation.PhaseRefresh, rotation.PhaseMint, rotation.PhaseStage, rotation.PhaseSwitch, rotation.PhaseSweep, rotation.PhaseReadBack, rotation.PhaseSettle, rotation.PhaseDeliver, rotation.PhaseVerify, rotation.PhaseAnswer, rotation.PhaseHold,
	}
}

// seconds fit what takes a moment when all is well and an hour when it is not.
func seconds() []float64 {
	return []float64{0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 20, 30, 60, 120, 300, 900, 3600}
}

func words[S ~string](all []S) []string {
	texts := make([]string, len(all))
	for i, s := range all {
		texts[i] = string(s)
	}
	return texts
}
