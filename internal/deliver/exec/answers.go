package exec

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"keywave/internal/rotation"
)

// answers reads what a program prints. Of a line that is no answer it keeps
// only words of its own: a line that we cannot read may hold a key in any form.
type answers struct {
	zones  []rotation.ZoneID
	enough func(error)

	held    map[rotation.ZoneID]rotation.Fingerprint
	problem *problem
	wrong   string
	line    []byte
	long    bool
	number  int
	bytes   int
}

func newAnswers(zones []rotation.ZoneID, enough func(error)) *answers {
	return &answers{zones: zones, enough: enough, held: map[rotation.ZoneID]rotation.Fingerprint{}}
}

// What a program may print: a line is a zone and a fingerprint, or a sentence.
const (
	maxLine  = 4 << 10
	zoneRoom = 512
)

// most is how many bytes the answers for the zones may have.
func (a *answers) most() int { return 16*maxLine + zoneRoom*len(a.zones) }

var errTooMuch = errors.New("too much output")

// Write fails when the program has printed too much, which ends the program.
func (a *answers) Write(p []byte) (int, error) {
	if a.bytes += len(p); a.bytes > a.most() {
		a.enough(errTooMuch)
		return 0, errTooMuch
	}
	for _, b := range p {
		switch {
		case b == '\n':
			a.end()
		case len(a.line) < maxLine:
			a.line = append(a.line, b)
		default:
			a.long = true
		}
	}
	return len(p), nil
}

// end reads the line so far.
func (a *answers) end() {
	line, long := a.line, a.long
	a.line, a.long = a.line[:0], false
	if len(line) == 0 {
		return
	}
	a.number++
	switch why := a.read(line, long); {
	case why != "" && a.wrong == "":
		a.wrong = fmt.Sprintf("printed as line %d what is no answer: %s", a.number, why)
	}
}

// answer is one line that a program printed. It is one of the two kinds.
type answer struct {
	Zone *rotation.ZoneID `json:"zone"`
	Held *string          `json:"held"`
	problem
}

// problem is why a host cannot take a key, or has not taken it.
type problem struct {
	Step    *string `json:"step"`
	Problem *string `json:"problem"`
}

// read takes an answer, or says why it is none.
func (a *answers) read(line []byte, long bool) string {
	var said answer
	switch err := json.Unmarshal(line, &said); {
	case long:
		return fmt.Sprintf("it is longer than %d bytes", maxLine)
	case err != nil:
		return `no JSON object of the form {"zone":…,"held":…} or {"step":…,"problem":…}`
	case said.Step != nil || said.Problem != nil:
		if a.problem == nil {
			a.problem = &said.problem
		}
		return ""
	case said.Zone == nil || said.Held == nil:
		return "it has neither zone and held, nor step and problem"
	case !slices.Contains(a.zones, *said.Zone):
		return "it names a zone that was not asked for"
	}
	return a.holds(*said.Zone, *said.Held)
}

// holds takes a fingerprint.
func (a *answers) holds(zone rotation.ZoneID, said string) string {
	held, ok := rotation.ParseFingerprint(said)
	switch before, twice := a.held[zone]; {
	case !ok:
		return fmt.Sprintf("what it says that %s holds is neither a fingerprint of 16 hex digits nor %q", zone, rotation.Absent)
	case twice && before != held:
		return fmt.Sprintf("it says of %s what another line denies", zone)
	}
	a.held[zone] = held
	return ""
}

// missing are the zones without an answer.
func (a *answers) missing() []rotation.ZoneID {
	return slices.DeleteFunc(slices.Clone(a.zones), func(z rotation.ZoneID) bool { _, ok := a.held[z]; return ok })
}

// step is the host step that the program named, if there is such a step.
func (p problem) step() rotation.HostStep {
	steps := []rotation.HostStep{
		rotation.StepConnect, rotation.StepIdentity, rotation.StepAuth, rotation.StepWrite, rotation.StepReload, rotation.StepVerify,
	}
	if p.Step != nil && slices.Contains(steps, rotation.HostStep(*p.Step)) {
		return rotation.HostStep(*p.Step)
	}
	return rotation.StepSession
}

func (p problem) text() string {
	if p.Problem == nil || *p.Problem == "" {
		return "its program says that there is a problem, and not which"
	}
	return *p.Problem
}
