package rotation

import "time"

// Control is what a campaign tells its shards.
type Control struct {
	Seq    int  `json:"seq"`
	Stop   bool `json:"stop"`
	Window int  `json:"window"`
	// Retry lets zones that ended without being done try again.
	Retry bool `json:"retry,omitempty"`
	// Close lets a stopped shard return instead of waiting for Retry.
	Close bool `json:"close,omitempty"`
	// Decided replaces what was decided before; nil keeps it.
	Decided *Decided `json:"decided,omitempty"`
	// ClosesAt is the instant from which on no refresh may be signed.
	ClosesAt time.Time `json:"closesAt,omitzero"`
	// Stale is Setup's, with Retry.
	Stale bool `json:"stale,omitempty"`
	// Surprised counts zones of other pages that have keys that nobody knows.
	// Told says that a person let the campaign go on since.
	Surprised int  `json:"surprised,omitempty"`
	Told      bool `json:"told,omitempty"`
}

// Decided is what people decided about single zones and hosts of a campaign.
type Decided struct {
	Skipped []SkippedZone `json:"skipped,omitempty"`
	Retired []RetiredHost `json:"retired,omitempty"`
}

// SkippedZone is a zone that an operator excluded.
type SkippedZone struct {
	Zone   ZoneID `json:"zone"`
	By     string `json:"by,omitempty"`
	Reason string `json:"reason"`
}

// RetiredHost is a host that will never answer. It is retired from one zone, or
// from all.
type RetiredHost struct {
	Host   HostName `json:"host"`
	Zone   ZoneID   `json:"zone,omitempty"`
	By     string   `json:"by,omitempty"`
	Reason string   `json:"reason"`
}

// ShardOut is a shard's end.
type ShardOut struct {
	Tally Tally     `json:"tally"`
	Note  ShardNote `json:"note"`
	// Past is what the campaign has to remember of each zone.
	Past Past `json:"past,omitempty"`
}

// ShardNote is the part of a shard's story that concerns people.
type ShardNote struct {
	// Attention names the first zones that need a person.
	Attention []Attention `json:"attention,omitempty"`
	// SetAside are hosts that failed their proof twice. A bastion stands for all
	// hosts behind it.
	SetAside []Attention `json:"setAside,omitempty"`
	// Halt says that every zone would fail alike, and why.
	Halt string `json:"halt,omitempty"`
	// Surprised is the number of zones for which EdgeOne and all hosts have the
	// same key, and neither plan nor history knows it.
	Surprised int `json:"surprised,omitempty"`
}

// ShardNews is what a shard tells its campaign while it runs.
type ShardNews struct {
	Page  int       `json:"page"`
	Seq   int       `json:"seq"` // of the last Control it followed
	Tally Tally     `json:"tally"`
	Note  ShardNote `json:"note"`
	// Started says that the last zone has started; InFlight zones are under way
	// in the window, of which the shard takes up Slots.
	Started  bool `json:"started"`
	InFlight int  `json:"inFlight"`
	Slots    int  `json:"slots"`
	// Running zones have an operation under way, in the window or beside it.
	Running int `json:"running"`
	// Quiet says that no refresh can start any more; Kept zones may have
	// refreshed and go on.
	Quiet bool `json:"quiet"`
	Kept  int  `json:"kept"`
	// Exposed zones are under way: a resume would change nothing for them.
	Exposed int `json:"exposed"`
	// Mending are zones that an earlier run left exposed or unknown and that are
	// being delivered. They do not count against a budget again.
	Mending Counts `json:"mending"`
	// Standing divides the pending zones of Tally; Waits says what groups of
	// zones wait for.
	Standing Standings `json:"standing"`
	Waits    []Wait    `json:"waits,omitempty"`
	// Idle is since when a zone could have made progress and none did, if that
	// has lasted for StallAfter. Otherwise it is zero. Causes counts why, as far
	// as it is known.
	Idle   time.Time `json:"idle,omitzero"`
	Causes []Cause   `json:"causes,omitempty"`
	// Past is ShardOut's.
	Past Past `json:"past,omitempty"`
}

// ZoneNews is what a zone tells its shard before it ends: everything, each time.
type ZoneNews struct {
	Zone     ZoneID   `json:"zone"`
	Standing Standing `json:"standing"` // Alive, Dark, Dead or Held
	// Why is one clause for people, without a full stop.
	Why string `json:"why,omitempty"`
	// Since is since when it stands so (for Dark and Dead: since the exposure
	// began). Until is when the present wait ends at the latest. Zero means not
	// known.
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
	// Exposed: it is Dark or Dead for longer than ExposedAfter. A read that shows
	// the hosts' key takes that back.
	Exposed bool `json:"exposed,omitempty"`
	// Kept: it was asked to stop, but a refresh may have been sent, so it goes
	// on.
	Kept bool `json:"kept,omitempty"`
	// Loose: it gives its slot in the window back.
	Loose bool `json:"loose,omitempty"`
	// Gone is the queue of a worker that gave a proof and takes no delivery any more.
	// With it nothing else is told.
	Gone string `json:"gone,omitempty"`
}

// ZoneOrder is what a shard tells a zone.
type ZoneOrder struct {
	// Retire takes a host out; Skip ends the zone's operation.
	Retire HostName `json:"retire,omitempty"`
	Skip   bool     `json:"skip,omitempty"`
	Reason string   `json:"reason,omitempty"`
	// Begun is when Temporal says that the zone's refresh began: its clock of
	// exposure runs from here.
	Begun time.Time `json:"begun,omitzero"`
	// Lost names a process that may be lost, or a queue of its own: no such queue is waited
	// at.
	Lost string `json:"lost,omitempty"`
	// Tell asks for its news again, because this shard did not start it.
	Tell bool `json:"tell,omitempty"`
}
