package rotation

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Steering is the control of a campaign: what people ordered, what stopped it,
// and whether refreshes may be sent now. It is a value machine: an Order or an
// event goes in, the state moves along SteeringTable, and a Change says what the
// campaign has to do about it.
//
// A campaign is paused by a set of reasons and goes on when the set is empty.
// Each reason has rules of its own by which it goes away; no other rule takes it
// away.
type Steering struct {
	Accounts []Account `json:"accounts"`
	Waves    int       `json:"waves"`
	// Gated are the waves, 1-based, that wait for a person's approval.
	Gated []int `json:"gated,omitempty"`
	// Emergency waives the calendar and every gate.
	Emergency bool `json:"emergency,omitempty"`

	Stage Stage `json:"stage"`
	// Wave is the present wave, 1-based; 0 before the first.
	Wave     int           `json:"wave"`
	Reasons  []PauseReason `json:"reasons,omitempty"`
	Approved []int         `json:"approved,omitempty"`
	// Waived is the wave after which health checks do not matter.
	Waived int `json:"waived,omitempty"`
	// Outside says that a person lets the campaign run through the present
	// closed hours.
	Outside   bool `json:"outside,omitempty"`
	Cancelled bool `json:"cancelled,omitempty"`
}

// Stage is what a campaign is at.
type Stage string

// The stages.
const (
	StageBetween  Stage = "between waves"
	StageMending  Stage = "mending" // delivers what an earlier run left exposed or unknown
	StageWave     Stage = "in a wave"
	StageBaking   Stage = "baking"
	StageHealth   Stage = "asks the health checks"
	StageApproval Stage = "waits for an approval"
	StageEnded    Stage = "ended"
)

// PauseKind is a kind of reason for which a campaign is paused.
type PauseKind string

// The kinds. Brake is of one account and pauses that account alone; every other
// kind pauses the whole campaign.
const (
	PausePerson   PauseKind = "person"   // a person paused it
	PauseBudget   PauseKind = "budget"   // maxFailed or maxExposed is exhausted
	PauseBrake    PauseKind = "brake"    // the brake of an account is on
	PauseCalendar PauseKind = "calendar" // a window is closed or a date is frozen
	PauseGate     PauseKind = "gate"     // nobody approved a wave in time
	PauseHealth   PauseKind = "health"   // a health check is not content
	PauseStalled  PauseKind = "stalled"  // no refresh was executed and no zone ended for too long
	PauseHalt     PauseKind = "halt"     // every zone would fail alike
	PausePast     PauseKind = "past"     // Temporal's past is not the world's
	PauseShard    PauseKind = "shard"    // a shard ended without a result
)

// PauseKinds lists all kinds.
func PauseKinds() []PauseKind {
	return []PauseKind{PausePerson, PauseBudget, PauseBrake, PauseCalendar, PauseGate, PauseHealth, PauseStalled, PauseHalt, PausePast, PauseShard}
}

// PauseReason is one reason for which a campaign is paused.
type PauseReason struct {
	Kind PauseKind `json:"kind"`
	// Account is the one that is paused; empty is all of them.
	Account Account   `json:"account,omitempty"`
	Since   time.Time `json:"since,omitzero"`
	By      string    `json:"by,omitempty"` // empty when nobody did
	Why     string    `json:"why"`
}

// String is the reason as a clause.
func (r PauseReason) String() string {
	if r.Kind == PauseBrake {
		return fmt.Sprintf("the brake of account %s is on: %s", r.Account, r.Why)
	}
	return r.Why
}

// Input is an order of a person or an event.
type Input string

// Orders, and events. Set, skip and retire change what a campaign does, and
// nothing of whether it runs.
const (
	OrderPause   Input = "pause"
	OrderResume  Input = "resume"
	OrderOutside Input = "resume --outside-window"
	OrderWaive   Input = "resume --waive-health"
	OrderApprove Input = "approve"
	OrderCancel  Input = "cancel"
	OrderSet     Input = "set"
	OrderSkip    Input = "skip"
	OrderRetire  Input = "retire"

	EventBreach      Input = "the budget is exhausted"
	EventBrakeOn     Input = "the brake goes on"
	EventBrakeOff    Input = "the brake goes off"
	EventCloses      Input = "the calendar closes"
	EventOpens       Input = "the calendar opens"
	EventStalled     Input = "there is no progress"
	EventHalted      Input = "every zone would fail alike"
	EventPast        Input = "Temporal's past is not the world's"
	EventShardLost   Input = "a shard ends without a result"
	EventMend        Input = "a resumed run begins"
	EventMended      Input = "what was exposed is delivered"
	EventWave        Input = "a wave begins"
	EventWaveEnds    Input = "a wave ends"
	EventBakes       Input = "a bake time begins"
	EventBaked       Input = "a bake time is over"
	EventAsksHealth  Input = "health is asked"
	EventHealthy     Input = "health is content"
	EventUnhealthy   Input = "health is not content"
	EventAsksPerson  Input = "an approval is asked"
	EventNotApproved Input = "nobody approves in time"
	EventEnds        Input = "nothing is left"
)

// Rule is a row of the table of a campaign's control.
type Rule struct {
	On Input
	// From are the stages in which it can come; none is every stage but the end.
	From []Stage
	// To is the stage that follows; empty stays.
	To    Stage
	Adds  PauseKind
	Lifts []PauseKind
}

// lifted are the reasons that a person's resume takes away: those after which
// somebody has to look. A brake goes off by its own order alone, and a calendar
// opens. An approval that comes too late does not start its wave: what it was
// based on may have changed.
var lifted = []PauseKind{PausePerson, PauseBudget, PauseGate, PauseHealth, PauseStalled, PauseHalt, PausePast, PauseShard}

// SteeringTable is the whole control of a campaign; docs draw from it.
func SteeringTable() []Rule {
	return []Rule{
		{On: OrderPause, Adds: PausePerson},
		{On: OrderResume, Lifts: lifted},
		{On: OrderOutside, Lifts: append(slices.Clone(lifted), PauseCalendar)},
		{On: OrderWaive, Lifts: lifted},
		{On: OrderApprove},
		{On: OrderCancel},
		{On: OrderSet},
		{On: OrderSkip},
		{On: OrderRetire},
		{On: EventBreach, Adds: PauseBudget},
		{On: EventBrakeOn, Adds: PauseBrake},
		{On: EventBrakeOff, Lifts: []PauseKind{PauseBrake}},
		{On: EventCloses, Adds: PauseCalendar},
		{On: EventOpens, Lifts: []PauseKind{PauseCalendar}},
		{On: EventStalled, Adds: PauseStalled},
		{On: EventHalted, Adds: PauseHalt},
		{On: EventPast, Adds: PausePast},
		{On: EventShardLost, Adds: PauseShard},
		{On: EventMend, From: []Stage{StageBetween}, To: StageMending},
		{On: EventMended, From: []Stage{StageMending}, To: StageBetween},
		{On: EventWave, From: []Stage{StageBetween}, To: StageWave},
		{On: EventWaveEnds, From: []Stage{StageWave}, To: StageBetween},
		{On: EventBakes, From: []Stage{StageBetween}, To: StageBaking},
		{On: EventBaked, From: []Stage{StageBaking}, To: StageBetween},
		{On: EventAsksHealth, From: []Stage{StageBetween}, To: StageHealth},
		{On: EventHealthy, From: []Stage{StageHealth}, To: StageBetween},
		{On: EventUnhealthy, From: []Stage{StageHealth}, To: StageBetween, Adds: PauseHealth},
		{On: EventAsksPerson, From: []Stage{StageBetween}, To: StageApproval},
		{On: EventNotApproved, From: []Stage{StageApproval}, To: StageBetween, Adds: PauseGate},
		{On: EventEnds, To: StageEnded},
	}
}

// Happening is an Input with what is known of it.
type Happening struct {
	On      Input
	At      time.Time
	Account Account // of a brake
	Wave    int     // of an approval, 1-based
	By      string
	Why     string
}

// Change is what a campaign has to do after an input: accounts whose refreshes
// stop, accounts that go on, and whether its shards are to end.
type Change struct {
	Stop  []Account
	Go    []Account
	Close bool
}

// NewSteering has nothing begun.
func NewSteering(accounts []Account, waves int, gated []int, emergency bool) Steering {
	return Steering{Accounts: accounts, Waves: waves, Gated: gated, Emergency: emergency, Stage: StageBetween}
}

// Has says whether a reason of a kind stands.
func (s *Steering) Has(kind PauseKind) bool {
	return slices.ContainsFunc(s.Reasons, func(r PauseReason) bool { return r.Kind == kind })
}

// Braked is why an account is paused; empty when it is not.
func (s *Steering) Braked(a Account) string {
	for _, r := range s.Reasons {
		if r.Kind == PauseBrake && r.Account == a {
			return r.Why
		}
	}
	return ""
}

// Held says that a reason pauses the whole campaign.
func (s *Steering) Held() bool {
	return slices.ContainsFunc(s.Reasons, func(r PauseReason) bool { return r.Account == "" })
}

// ByItself says that the campaign is paused and goes on without anybody: only its
// calendar is closed.
func (s *Steering) ByItself() bool {
	return s.Held() && !slices.ContainsFunc(s.Reasons, func(r PauseReason) bool { return r.Kind != PauseCalendar })
}

// Runs says that refreshes of an account may be sent.
func (s *Steering) Runs(a Account) bool {
	return s.Stage != StageEnded && !s.Cancelled && !s.Held() && s.Braked(a) == ""
}

// IsApproved says that no approval of a wave is missing.
func (s *Steering) IsApproved(wave int) bool {
	return s.Emergency || !slices.Contains(s.Gated, wave) || slices.Contains(s.Approved, wave)
}

// Refuses says why an input cannot come now; empty when it can.
func (s *Steering) Refuses(h Happening) string {
	rule, known := ruleOf(h.On)
	switch {
	case !known:
		return fmt.Sprintf("nobody knows the order %q", h.On)
	case s.Stage == StageEnded:
		return "the campaign has ended"
	case len(rule.From) > 0 && !slices.Contains(rule.From, s.Stage):
		return fmt.Sprintf("the campaign is %s", s.Stage)
	}
	switch h.On {
	case OrderPause, OrderSet, OrderSkip, OrderRetire, OrderCancel:
		return s.refusesChange(h.On)
	case OrderResume, OrderOutside, OrderWaive:
		return s.refusesResume(h.On)
	case OrderApprove:
		return s.refusesApproval(h.Wave)
	case EventWave:
		return s.refusesWave()
	case EventAsksPerson:
		if s.IsApproved(s.Wave + 1) {
			return fmt.Sprintf("wave %d needs no approval", s.Wave+1)
		}
	}
	return ""
}

func (s *Steering) refusesWave() string {
	switch {
	case s.Cancelled:
		return "the campaign is being cancelled"
	case s.Wave >= s.Waves:
		return "no wave is left"
	case !s.IsApproved(s.Wave + 1):
		return fmt.Sprintf("wave %d is not approved", s.Wave+1)
	}
	return ""
}

func (s *Steering) refusesChange(on Input) string {
	if s.Cancelled {
		return "the campaign is being cancelled"
	}
	for _, r := range s.Reasons {
		if on == OrderPause && r.Kind == PausePerson {
			return "the campaign is paused already: " + r.Why
		}
	}
	return ""
}

func (s *Steering) refusesResume(on Input) string {
	liftable := slices.ContainsFunc(s.Reasons, func(r PauseReason) bool { return slices.Contains(lifted, r.Kind) })
	switch {
	case s.Cancelled:
		return "the campaign is being cancelled"
	case on == OrderOutside && !s.Has(PauseCalendar):
		return "no window is closed and no date frozen; resume without --outside-window"
	case on == OrderOutside || liftable || s.Stage == StageApproval:
		return ""
	}
	if len(s.Reasons) == 0 {
		return "the campaign is not paused"
	}
	r := s.Reasons[0] // a brake or the calendar
	if r.Kind == PauseBrake {
		return fmt.Sprintf("%s; release it: keywave brake off --account %s --reason \"…\"", r, r.Account)
	}
	return r.Why + ", and the campaign goes on by itself then; at once: --outside-window --reason \"…\""
}

func (s *Steering) refusesApproval(wave int) string {
	switch {
	case s.Cancelled:
		return "the campaign is being cancelled"
	case !slices.Contains(s.Gated, wave):
		return fmt.Sprintf("wave %d needs no approval; those that do: %v", wave, s.Gated)
	case slices.Contains(s.Approved, wave):
		return fmt.Sprintf("wave %d is approved already", wave)
	}
	return ""
}

var rules = sync.OnceValue(func() map[Input]Rule {
	byInput := map[Input]Rule{}
	for _, r := range SteeringTable() {
		byInput[r.On] = r
	}
	return byInput
})

func ruleOf(on Input) (Rule, bool) {
	r, known := rules()[on]
	return r, known
}

// Take moves along the table. An input that Refuses would refuse changes nothing.
func (s *Steering) Take(h Happening) Change {
	if s.Refuses(h) != "" {
		return Change{}
	}
	before := s.running()
	rule, _ := ruleOf(h.On)
	s.lift(rule.Lifts, h.Account)
	if rule.Adds != "" && !s.waives(rule.Adds) {
		s.add(PauseReason{rule.Adds, accountOf(rule.Adds, h.Account), h.At, h.By, h.Why})
	}
	if rule.To != "" {
		s.Stage = rule.To
	}
	s.remember(h)
	return s.change(before, h.On)
}

// waives says that a kind does not pause this campaign now.
func (s *Steering) waives(kind PauseKind) bool {
	switch kind {
	case PauseCalendar:
		// Exposed zones get their key at any hour.
		return s.Emergency || s.Outside || s.Stage == StageMending
	case PauseGate, PauseHealth:
		return s.Emergency
	}
	return false
}

func accountOf(kind PauseKind, a Account) Account {
	if kind == PauseBrake {
		return a
	}
	return ""
}

func (s *Steering) lift(kinds []PauseKind, account Account) {
	s.Reasons = slices.DeleteFunc(slices.Clone(s.Reasons), func(r PauseReason) bool {
		return slices.Contains(kinds, r.Kind) && (r.Account == "" || r.Account == account)
	})
}

// add keeps the first reason of a kind and an account: it says since when.
func (s *Steering) add(r PauseReason) {
	known := func(k PauseReason) bool { return k.Kind == r.Kind && k.Account == r.Account }
	if !slices.ContainsFunc(s.Reasons, known) {
		s.Reasons = append(slices.Clone(s.Reasons), r)
	}
}

func (s *Steering) remember(h Happening) {
	switch h.On {
	case OrderApprove:
		s.Approved = append(slices.Clone(s.Approved), h.Wave)
		if s.Stage == StageApproval && s.IsApproved(s.Wave+1) {
			s.Stage = StageBetween
		}
	case OrderWaive:
		s.Waived = s.Wave
	case OrderOutside:
		s.Outside = true
	case EventOpens:
		s.Outside = false
	case EventWave:
		s.Wave++
	case OrderCancel:
		s.Cancelled = true
	}
}

func (s *Steering) running() map[Account]bool {
	runs := map[Account]bool{}
	for _, a := range s.Accounts {
		runs[a] = s.Runs(a)
	}
	return runs
}

// change compares which accounts ran before with those that run now. A resume
// in the wait for an approval has the unsettled pages of earlier waves run.
func (s *Steering) change(before map[Account]bool, on Input) Change {
	c := Change{Close: on == OrderCancel}
	resumed := slices.Contains([]Input{OrderResume, OrderOutside, OrderWaive}, on)
	for _, a := range s.Accounts {
		switch runs := s.Runs(a); {
		case before[a] && !runs:
			c.Stop = append(c.Stop, a)
		case runs && (!before[a] || resumed):
			c.Go = append(c.Go, a)
		}
	}
	return c
}

// Way is how a paused campaign goes on.
type Way struct {
	// Order is what a person does; empty where nobody has to do anything.
	Order   Input
	Account Account
	Wave    int
}

// Next is the next step out of a pause: a brake goes off first, then a person resumes,
// then a wave is approved; a calendar opens by itself. ok is false without a pause.
func (s *Steering) Next() (way Way, ok bool) {
	for _, r := range s.Reasons {
		if r.Kind == PauseBrake {
			return Way{Order: EventBrakeOff, Account: r.Account}, true
		}
	}
	switch {
	case s.Held() && !s.ByItself():
		return Way{Order: OrderResume}, true
	case s.Stage == StageApproval:
		return Way{Order: OrderApprove, Wave: s.Wave + 1}, true
	case s.ByItself():
		return Way{}, true
	}
	return Way{}, false
}
