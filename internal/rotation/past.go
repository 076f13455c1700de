package rotation

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

// Memory is what a campaign itself remembers of a zone, whatever became of the
// zone's own workflow. It takes three bits.
type Memory string

// The memories.
const (
	memoryUnsure    Memory = "unsure"    // its shard was lost: it had not started when last heard of
	memoryNever     Memory = "never"     // it never started, or was handed back before anything was sent
	memoryStarted   Memory = "started"   // it started, and its end was not heard of
	memoryDone      Memory = "done"      // it ended so, as in the next four
	memorySkipped   Memory = "skipped"   //
	memoryUnchanged Memory = "unchanged" //
	memoryExposed   Memory = "exposed"   // or it was exposed in flight
	memoryUnknown   Memory = "unknown"   //
)

// Memories lists them in the order of their bits.
func Memories() []Memory {
	return []Memory{memoryUnsure, memoryNever, memoryStarted, memoryDone, memorySkipped, memoryUnchanged, memoryExposed, memoryUnknown}
}

// Remember is the memory of a zone with this outcome; inFlight says that its
// workflow is under way.
func Remember(o Outcome, inFlight bool) Memory {
	switch o {
	case Done:
		return memoryDone
	case Skipped:
		return memorySkipped
	case Unchanged:
		return memoryUnchanged
	case Exposed:
		return memoryExposed
	case Unknown:
		return memoryUnknown
	case Pending:
	}
	if inFlight {
		return memoryStarted
	}
	return memoryNever
}

// History is what Temporal's histories say of a zone's latest run for a
// campaign.
type History string

// The histories. All but the last four are the outcome of a record.
const (
	historyDone      History = "done"
	historySkipped   History = "skipped"
	historyUnchanged History = "unchanged"
	HistoryExposed   History = "exposed"
	historyUnknown   History = "unknown"
	historyPending   History = "pending"   // handed back: nothing was sent
	historyRunning   History = "running"   // it runs now
	HistoryLost      History = "lost"      // it ended without a record
	HistoryNone      History = "none"      // not found, and whatever ran would not be forgotten yet
	HistoryForgotten History = "forgotten" // not found, and it may have been forgotten
)

// Histories lists them.
func Histories() []History {
	return []History{historyDone, historySkipped, historyUnchanged, HistoryExposed, historyUnknown, historyPending, historyRunning, HistoryLost, HistoryNone, HistoryForgotten}
}

// Live is how the live key compares with those that are known.
type Live string

// The live keys.
const (
	liveUnread Live = "not read"
	// liveBefore is the plan's baseline, the key that the record began with, or
	// none at all: seen once.
	liveBefore Live = "the old one"
	// liveSurely is liveBefore, read twice with the settle time between, and the
	// second time after the last signature that may have been made was dead.
	liveSurely Live = "surely the old one"
	liveOurs   Live = "the record's"                 // the one that this campaign made
	liveHeld   Live = "an unknown one, on all hosts" // a key that neither plan nor history knows, on all of the zone's hosts
	liveOther  Live = "an unknown one"               // such a key, and some host lacks it
)

// Lives lists them.
func Lives() []Live {
	return []Live{liveUnread, liveBefore, liveSurely, liveOurs, liveHeld, liveOther}
}

// Sight is what was seen of a zone's keys.
type Sight struct {
	Live Fingerprint // EdgeOne's; empty while it is not read
	// Baseline is the plan's, From and To are the record's.
	Baseline, From, To Fingerprint
	Held               []Fingerprint // of each host
	Surely             bool          // see liveSurely
}

// Compare says how the live key compares.
func (s Sight) Compare() Live {
	switch {
	case s.Live == "":
		return liveUnread
	case s.Live == s.To:
		return liveOurs
	case s.Live == Absent || s.Live == s.Baseline || s.Live == s.From:
		if s.Surely {
			return liveSurely
		}
		return liveBefore
	case len(s.Held) > 0 && !slices.ContainsFunc(s.Held, func(held Fingerprint) bool { return held != s.Live }):
		return liveHeld
	}
	return liveOther
}

// Crowd says how many zones of a run were found with liveHeld although nothing
// is known to have touched them.
type Crowd string

// The crowds. Somebody rotates a zone by hand; a crowd of them means that
// Temporal's database is older than the world: a backup was restored.
const (
	crowdFew  Crowd = "few"
	CrowdMany Crowd = "many" // the campaign pauses
	crowdTold Crowd = "told" // many, and a person let the campaign go on
)

// Crowds lists them.
func Crowds() []Crowd { return []Crowd{crowdFew, CrowdMany, crowdTold} }

// manySurprises in one run are no accident.
const manySurprises = 3

// CrowdOf judges a number of surprising zones. So many were accepted when the
// campaign started; told says that a person let it go on since.
func CrowdOf(surprised, accepted int, told bool) Crowd {
	switch {
	case surprised < accepted+manySurprises:
		return crowdFew
	case told:
		return crowdTold
	}
	return CrowdMany
}

// Do is what becomes of a zone whose past was looked up.
type Do string

// What can be done.
const (
	doRotate  Do = "rotate"       // its live key is its new baseline
	doDeliver Do = "deliver only" // the live key, without a refresh
	doLeave   Do = "leave"
	doAwait   Do = "await"        // its own workflow is under way
	doRead    Do = "read first"   // the live key, and once more unless it changed
	doAsk     Do = "ask a person" // the campaign pauses
)

// Known is a set of pasts: each of these memories with each of these histories.
// Nil stands for all of them.
type Known struct {
	Memory  []Memory
	History []History
}

// Precedent is one row of the table of pasts: it holds in any of the cases of
// When. A nil column holds for every value.
type Precedent struct {
	When  []Known
	Live  []Live
	Crowd []Crowd
	Do    Do
	Why   string // for people
}

// Pasts is the whole judgement over what an earlier run left: every combination
// of the columns is in exactly one row. What cannot be found never means
// "nothing happened", unless the namespace's retention proves it.
func Pasts() []Precedent {
	unended := []History{historyPending, HistoryNone, HistoryForgotten}
	failed := []History{historyUnchanged, HistoryExposed, historyUnknown, HistoryLost}
	notDone := slices.Concat(unended, failed)
	excluded := []Known{{nil, []History{historySkipped}}, {[]Memory{memorySkipped}, notDone}}
	exposed := []Known{{[]Memory{memoryExposed}, notDone}, {others(memorySkipped, memoryDone, memoryExposed), []History{HistoryExposed}}}
	rotate, everywhere := []Live{liveUnread, liveBefore, liveSurely, liveOther}, []Live{liveHeld}
	return []Precedent{
		{[]Known{{nil, []History{historyRunning}}}, nil, nil, doAwait, "its workflow runs, and its end is awaited"},
		{[]Known{{nil, []History{historyDone}}}, nil, nil, doLeave, "it is done"},
		{excluded, nil, nil, doLeave, "a person excluded it"},
		{[]Known{{[]Memory{memoryDone}, unended}}, nil, nil, doLeave, "it was done; Temporal has forgotten the details"},
		{[]Known{{[]Memory{memoryDone}, failed}}, nil, nil, doDeliver, "it was done, and its history says otherwise: the live key is delivered, without a refresh"},
		{exposed, nil, nil, doDeliver, "it was exposed: the live key is delivered, without a refresh"},

		{doubtful(), []Live{liveUnread}, nil, doRead, "nobody knows whether its key changed: the live key is read"},
		{doubtful(), []Live{liveBefore}, nil, doRead, "a lost request may still replace the old key: it is read again when that is dead"},
		{doubtful(), []Live{liveSurely}, nil, doRotate, "no refresh was executed, and none can be any more"},
		{doubtful(), []Live{liveOurs, liveHeld, liveOther}, nil, doDeliver, "its key had changed: that one is delivered, without another refresh"},

		{untouched(), rotate, nil, doRotate, "nothing was sent for it; its live key is its baseline"},
		{untouched(), []Live{liveOurs}, nil, doDeliver, "the live key is this campaign's: it is delivered, without another refresh"},
		{untouched(), everywhere, []Crowd{crowdFew}, doRotate, "somebody rotated it; its live key is its baseline"},
		{untouched(), everywhere, []Crowd{CrowdMany}, doAsk, "Temporal's past is not the world's"},
		{untouched(), everywhere, []Crowd{crowdTold}, doDeliver, "it was rotated in a past that Temporal does not have: the live key is delivered, without another refresh"},
	}
}

// doubtful is where a refresh may have been sent, and nobody knows whether it
// was executed.
func doubtful() []Known {
	return []Known{
		{others(memorySkipped, memoryDone, memoryExposed), []History{historyUnknown, HistoryLost}},
		{[]Memory{memoryUnknown}, []History{historyUnchanged, historyPending, HistoryNone, HistoryForgotten}},
		{[]Memory{memoryStarted}, []History{HistoryNone, HistoryForgotten}},
		{[]Memory{memoryUnsure}, []History{HistoryForgotten}},
	}
}

// untouched is where nothing that was sent changed anything.
func untouched() []Known {
	return []Known{
		{[]Memory{memoryUnsure, memoryNever, memoryStarted, memoryUnchanged}, []History{historyUnchanged, historyPending}},
		{[]Memory{memoryUnsure, memoryNever, memoryUnchanged}, []History{HistoryNone}},
		{[]Memory{memoryNever, memoryUnchanged}, []History{HistoryForgotten}},
	}
}

func others(without ...Memory) []Memory {
	return slices.DeleteFunc(Memories(), func(m Memory) bool { return slices.Contains(without, m) })
}

func (p Precedent) holds(m Memory, h History, l Live, c Crowd) bool {
	known := slices.ContainsFunc(p.When, func(k Known) bool { return in(k.Memory, m) && in(k.History, h) })
	return known && in(p.Live, l) && in(p.Crowd, c)
}

func in[T comparable](column []T, value T) bool {
	return column == nil || slices.Contains(column, value)
}

// Recall is the row of the table of pasts that a zone falls under.
func Recall(m Memory, h History, l Live, c Crowd) Precedent {
	for _, row := range Pasts() {
		if row.holds(m, h, l, c) {
			return row
		}
	}
	panic(fmt.Sprintf("rotation: no past for %s, %s, %s, %s", m, h, l, c))
}

// DrawPasts draws the table of pasts for the docs: memories against histories,
// and below it what also depends on the live key.
func DrawPasts() string {
	var b strings.Builder
	b.WriteString("| remembered \\ found |")
	for _, h := range Histories() {
		fmt.Fprintf(&b, " %s |", h)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(Histories())) + "\n")
	for _, m := range Memories() {
		fmt.Fprintf(&b, "| %s |", m)
		for _, h := range Histories() {
			fmt.Fprintf(&b, " %s |", class(m, h))
		}
		b.WriteString("\n")
	}
	b.WriteString("\n| | the live key is | such zones | then |\n|---|---|---|---|\n")
	for _, row := range Pasts() {
		if row.Live != nil {
			of := row.When[0]
			fmt.Fprintf(&b, "| %s | %s | %s | **%s**: %s |\n", class(of.Memory[0], of.History[0]), words(row.Live), words(row.Crowd), row.Do, row.Why)
		}
	}
	return b.String()
}

// class is what becomes of a zone or, where that depends on the live key, the name of
// such zones in the drawing.
func class(m Memory, h History) string {
	row := Recall(m, h, liveUnread, crowdFew)
	switch {
	case row.Live == nil:
		return string(row.Do)
	case row.Do == doRead:
		return "*in doubt*"
	}
	return "*untouched*"
}

func words[T ~string](column []T) string {
	if column == nil {
		return "any"
	}
	all := make([]string, len(column))
	for i, value := range column {
		all[i] = string(value)
	}
	return strings.Join(all, "; ")
}

// Past is what a campaign remembers of each zone of a page, in the page's order:
// three bits a zone, so that a page of 500 zones takes 250 bytes.
type Past string

const memoryBits = 3

// PastOf packs memories.
func PastOf(memories []Memory) Past {
	packed := make([]byte, (len(memories)*memoryBits+7)/8)
	for i, m := range memories {
		bits := slices.Index(Memories(), m)
		for b := range memoryBits {
			at := i*memoryBits + b
			packed[at/8] |= byte(bits>>b&1) << (at % 8)
		}
	}
	return Past(base64.RawStdEncoding.EncodeToString(packed))
}

// Of is the memory of the i-th zone; unsure where nothing was packed.
func (p Past) Of(i int) Memory {
	packed, err := base64.RawStdEncoding.DecodeString(string(p))
	if err != nil || (i+1)*memoryBits > len(packed)*8 {
		return memoryUnsure
	}
	bits := 0
	for b := range memoryBits {
		at := i*memoryBits + b
		bits |= int(packed[at/8]>>(at%8)&1) << b
	}
	return Memories()[bits]
}

// Lost is what is left of a past whose shard did not tell its end: what had not
// started when last heard of may have started since.
func (p Past) Lost() Past {
	memories := make([]Memory, base64.RawStdEncoding.DecodedLen(len(p))*8/memoryBits)
	for i := range memories {
		if memories[i] = p.Of(i); memories[i] == memoryNever {
			memories[i] = memoryUnsure
		}
	}
	return PastOf(memories)
}
