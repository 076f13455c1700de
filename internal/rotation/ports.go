package rotation

import (
	"context"
	"fmt"
	"time"
)

// EdgeOne is one account's API. Implementations keep the account's pace: a call
// waits until it may be made. Every error is an *APIError or, before anything
// was sent, the context's or ready's own error.
type EdgeOne interface {
	// Refresh makes EdgeOne make a new key for zone and kill the old one at once
	// (RefreshMultiPathGatewaySecretKey). It sends at most one request. It calls
	// ready after the limiter and immediately before the request is signed. If
	// ready fails, nothing is sent and its error is returned unchanged.
	Refresh(ctx context.Context, zone ZoneID, ready func() error) (Secret, Receipt, error)
	// Describe reads the live key (DescribeMultiPathGatewaySecretKey). A zone
	// without a key gives the zero Secret and no error.
	Describe(ctx context.Context, zone ZoneID) (Secret, Receipt, error)
}

type nextKey struct{}

// WithNext has a call that waits for its turn say, once, that no other call's comes before.
// Like net/http/httptrace it goes with the context.
func WithNext(ctx context.Context, next func()) context.Context {
	return context.WithValue(ctx, nextKey{}, next)
}

// SayNext is said by who keeps the account's pace.
func SayNext(ctx context.Context) {
	if next, is := ctx.Value(nextKey{}).(func()); is {
		next()
	}
}

// Switcher is the part of an account's API that takes a key which we chose. It
// keeps the account's pace, and its errors are those of EdgeOne.
type Switcher interface {
	// Modify makes key the only key of zone and kills the old one at once
	// (ModifyMultiPathGatewaySecretKey). It sends at most one request. ready is
	// called as in Refresh. A second call with the same key changes nothing more. A
	// key that is not base64 of 32 to 48 bytes is refused before anything is sent.
	Modify(ctx context.Context, zone ZoneID, key Secret, ready func() error) (Receipt, error)
}

// Receipt is what is kept of a call.
type Receipt struct {
	RequestID string
	// Signed is when the request was signed, on this process's clock with its
	// monotonic reading; zero when nothing was sent.
	Signed time.Time
	// Dated is EdgeOne's clock when it answered, in whole seconds; zero when
	// there was no answer, or one without a date.
	Dated time.Time
}

// Ahead is how far this process's clock is ahead of EdgeOne's, by an answer
// that was heard at that time. It is negative if the clock is behind.
// Differences that can be explained by the time between signing and hearing, or
// by the date's whole seconds, count as none. known is false if there was no
// date.
func (r Receipt) Ahead(heard time.Time) (ahead time.Duration, known bool) {
	if r.Dated.IsZero() {
		return 0, false
	}
	signed := r.Signed
	if signed.IsZero() {
		signed = heard
	}
	// Round drops the monotonic readings, because clocks are compared as people
	// set them.
	least, most := signed.Round(0).Sub(r.Dated)-time.Second, heard.Round(0).Sub(r.Dated)
	switch {
	case least > 0:
		return least, true
	case most < 0:
		return most, true
	}
	return 0, true
}

// ClockOff is how far a clock may be from EdgeOne's before people are warned. A
// signature is refused when it is 300 s off.
const ClockOff = 30 * time.Second

// ClockText is how far a clock is off, such as "1m40s behind EdgeOne's".
func ClockText(ahead time.Duration) string {
	side := "ahead of"
	if ahead < 0 {
		side = "behind"
	}
	return ahead.Abs().Round(time.Second).String() + " " + side + " EdgeOne's"
}

// Class is what an API error says about the request (API reference §3).
type Class string

// The classes. Only Ambiguous may have been executed.
const (
	Throttled Class = "throttled" // rejected before execution; try again later
	Unsent    Class = "unsent"    // never reached EdgeOne (dial, DNS, TLS, clock); try again later
	Refused   Class = "refused"   // not executed, and would be refused again
	Locked    Class = "locked"    // not executed; a temporary lock, worth a few slow retries
	Denied    Class = "denied"    // credentials or permission: every zone would fail alike
	Ambiguous Class = "ambiguous" // may have been executed
)

// APIError is all that is kept of an SDK error. It never holds the error's
// text, which can contain the whole response body.
type APIError struct {
	Class     Class
	Code      string
	RequestID string
}

// Error is the class, code and request ID.
func (e *APIError) Error() string {
	if e.RequestID == "" {
		return fmt.Sprintf("EdgeOne: %s (%s)", e.Code, e.Class)
	}
	return fmt.Sprintf("EdgeOne: %s (%s, request %s)", e.Code, e.Class, e.RequestID)
}

// Host is a machine that holds keys, reached over one transport. A Host may be
// used by many goroutines at once; it bounds its own sessions. Its errors hold
// no key.
type Host interface {
	// Prove shows, without changing a file of the host, that it can take a key for
	// each zone: reachable by the login that would be made now, identity verified,
	// each file replaceable with what hangs on it, disk not full, reload and verify
	// permitted. It keeps the connection warm.
	Prove(ctx context.Context, zones []ZoneID) (Shown, error)
	// Put makes the host hold key for zone and its consumer use it: replace
	// the file atomically, reload, verify; it returns the fingerprint that the
	// file has afterwards. If the file's present fingerprint is neither the
	// key's own nor in expect, nothing changes and the error is a *HeldError.
	// Put of the key the host already holds writes nothing and reloads again.
	Put(ctx context.Context, zone ZoneID, key Secret, expect []Fingerprint) (Fingerprint, error)
	// Held reads what the host holds for each zone and changes nothing; it shows
	// Held, Other and Staged alone.
	Held(ctx context.Context, zones []ZoneID) (Shown, error)
	// Close drops warm connections.
	Close() error
}

// Beginner is a Host on which a Put can begin before its key is there.
type Beginner interface {
	// Begin has the host do what a Put of zone does before it needs the key, and
	// wait. It returns at once, and changes nothing on the host. A host that has no
	// room for this, or no warm connection, does nothing yet.
	Begin(ctx context.Context, zone ZoneID, expect []Fingerprint) Begun
}

// Begun is a Put that has begun. Put or Close ends it; Close may follow Put.
type Begun interface {
	// Put is Host.Put. Where the host has not begun, or has broken off without a
	// word about the key, it is Host.Put anew.
	Put(ctx context.Context, key Secret) (Fingerprint, error)
	// Close ends it without a key. Nothing has been changed.
	Close()
}

// Rehearser is a Host that can do everything that a Put does, with the key that
// it holds.
type Rehearser interface {
	// Rehearse writes the zone's key that the host holds again, and makes its
	// consumer use it. It returns the fingerprint. If a host holds no key, it
	// returns Absent and changes nothing. Errors are those of Put.
	Rehearse(ctx context.Context, zone ZoneID) (Fingerprint, error)
}

// Reprover is a Host that remembers for a while what it did in a proof.
type Reprover interface {
	// ProveAgain is Prove, but what was tried within recent is not tried again:
	// writing beside the files, and the questions about commands. Each file is
	// looked at all the same. Shown.Age says how old the proof is by that.
	ProveAgain(ctx context.Context, zones []ZoneID, recent time.Duration) (Shown, error)
}

// Stager is a Host on which a key can lie before it is the live one.
type Stager interface {
	// Stages says whether this host does: a file that is written in place has none
	// that could be renamed over it. Where it does not, a proof has to do.
	Stages() bool
	// Stage writes key into a file of its own for zone, with the owner, group and
	// mode that the live file will have, and makes it last. It returns what the live
	// file holds. Where the key is staged already it does the same again. Other keys that
	// were staged for zone go away. Errors are HostErrors; none has changed the live
	// file.
	Stage(ctx context.Context, zone ZoneID, key Secret) (held Fingerprint, err error)
	// Activate renames the staged file of that fingerprint over the live one, reloads and
	// verifies; what it returns, and its errors, are those of Put. A *GoneError says
	// that no such staged file is there, or none that can be used: nothing was
	// changed, and Put brings the whole key. A host that already holds that key
	// reloads again, as with Put.
	Activate(ctx context.Context, zone ZoneID, key Fingerprint, expect []Fingerprint) (Fingerprint, error)
	// Unstage removes what this host has staged for zone.
	Unstage(ctx context.Context, zone ZoneID) error
}

// StagedBeginner is a Stager on which an Activate can begin before EdgeOne has taken the key.
type StagedBeginner interface {
	// BeginActivate is Beginner.Begin for a staged key. What it gives puts that key in
	// place, or brings it whole where none is staged that could be used.
	BeginActivate(ctx context.Context, zone ZoneID, key Fingerprint, expect []Fingerprint) Begun
}

// GoneError says that a host has no staged file that could be put in place.
type GoneError struct{ Why string }

// Error is why.
func (e *GoneError) Error() string { return e.Why }

// Locator is a Host that can tell where its files are.
type Locator interface {
	// Locate tells where the zones' files are, and changes nothing.
	Locate(ctx context.Context, zones []ZoneID) (Whereabouts, error)
}

// Shown is what a host showed in a proof or a look.
type Shown struct {
	// Held is the fingerprint that each zone's file has.
	Held map[ZoneID]Fingerprint
	// Other are the zones whose file is in another format than it should be: what
	// is Held there is the whole text, and which key is in it cannot be seen.
	Other []ZoneID
	// Staged are the zones for which a staged key lies on the host; a proof does not
	// tell.
	Staged []ZoneID
	// Notes are what people should know although the host can take a key.
	Notes []string
	// Age is how long ago the oldest was tried that a proof relies on.
	Age time.Duration
}

// Whereabouts is a machine and the places of files on it.
type Whereabouts struct {
	// Machine is a digest of the machine's identity: two hosts that have the same
	// seem to be one machine. Empty where that is not known.
	Machine string
	Places  map[ZoneID]Place
}

// Place names a file. Two hosts with an equal File have one and the same file, if
// they are one machine or the directory is Shared between machines.
type Place struct {
	File   string `json:"file"`
	Shared bool   `json:"shared,omitempty"`
}

// HeldError says that a host holds a key nobody expected there.
type HeldError struct{ Held Fingerprint }

// Error names what is held.
func (e *HeldError) Error() string {
	return fmt.Sprintf("host holds %s, which is not a key this rotation expects there; nothing was changed", e.Held)
}

// HostError is a host's failure at one step, in words for the operator.
type HostError struct {
	// Step is where it failed.
	Step HostStep
	// Why says what happened, without any key, so that a person can act.
	Why string
	// Bastion is the name of the bastion that failed, together with every host
	// behind it. It is empty if the host itself failed.
	Bastion string
}

// HostStep is a step of a delivery or a proof.
type HostStep string

// The steps at which a host can fail.
const (
	StepConnect  HostStep = "connect"  // not reachable
	StepIdentity HostStep = "identity" // the host key is not the pinned one
	StepAuth     HostStep = "auth"     // we were not let in
	StepWrite    HostStep = "write"    // directory missing, not writable or disk full; the old file stands
	StepReload   HostStep = "reload"   // the file holds the new key, but the reload command failed
	StepVerify   HostStep = "verify"   // the file holds the new key, reload ran, but verify failed
	StepSession  HostStep = "session"  // the connection broke or stalled; what the host holds is not known
)

// Error is the step and the reason.
func (e *HostError) Error() string { return string(e.Step) + ": " + e.Why }

// Sealer seals keys to locations; it cannot open them.
type Sealer interface {
	// Seal encrypts key and grant so that only location's workers can open
	// them, and only as the key of zone.
	Seal(location Location, zone ZoneID, key Secret, grant Grant) ([]byte, error)
}

// Opener opens what was sealed to the locations whose private keysets it holds.
// Its caller must obey the grant.
type Opener interface {
	Open(location Location, zone ZoneID, sealed []byte) (Secret, Grant, error)
}

// Keeper seals keys to the edgeone workers of one account, and opens them there.
// Its keyset is symmetric: nobody but these workers can make what Open opens.
type Keeper interface {
	Seal(bound Bound, key Secret) ([]byte, error)
	Open(bound Bound, sealed []byte) (Secret, error)
}

// Notifier tells people elsewhere. An error is a *RefusedError if trying again
// will not help.
type Notifier interface {
	Notify(ctx context.Context, n Notice) error
}

// RefusedError says that a notice was refused, in words without the receiver's
// address: that is often a secret.
type RefusedError struct{ Why string }

// Error is why.
func (e *RefusedError) Error() string { return e.Why }
