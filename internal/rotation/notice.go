package rotation

import "time"

// Occasion is an event of a campaign that people are told of when it happens.
type Occasion string

// The occasions.
const (
	OnStart   Occasion = "start"   // begun, or gone on with
	OnGate    Occasion = "gate"    // a wave waits for a person
	OnExposed Occasion = "exposed" // more zones are exposed than were told
	OnStop    Occasion = "stop"    // it paused itself
	OnEnd     Occasion = "end"     // closed
)

// Occasions lists them.
func Occasions() []Occasion { return []Occasion{OnStart, OnGate, OnExposed, OnStop, OnEnd} }

// Notice is one message about a campaign, for people elsewhere. It holds
// counts and words, and no key.
type Notice struct {
	Event    Occasion  `json:"event"`
	Campaign string    `json:"campaign"`
	State    string    `json:"state"`
	At       time.Time `json:"at"`
	// Text is one sentence, Next the command that a person would use now.
	Text  string          `json:"text"`
	Next  string          `json:"next,omitempty"`
	Zones Counts          `json:"zones"`
	Hosts HostCounts      `json:"hosts"`
	Exp   ExposureSummary `json:"exposureMs"`
}
