package activities

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"keywave/internal/plan"
	"keywave/internal/rotation"
)

// EdgeOne is what the edgeone role does for one account.
type EdgeOne struct {
	API       rotation.EdgeOne
	Inventory rotation.Inventory
	Sealer    rotation.Sealer
	// Switcher and Keeper are for the strategy staged: the same API, and the account's own
	// keyset.
	Switcher rotation.Switcher
	Keeper   rotation.Keeper
	// Holders says to which hosts the fleet file gives a zone's key; to none when
	// it does not have the zone. With an error come those of its last answer.
	Holders func(context.Context, rotation.ZoneID) (rotation.Holders, error)
	// DeliverFor is how long delivery keeps trying, by the fleet file; nil is not at all.
	DeliverFor func() time.Duration
	// RollbackFor is how long former keys are kept and may be put back, by the fleet file;
	// nil is not at all.
	RollbackFor func() time.Duration
	// Checks are the fleet file's health checks, by name; each returns what is
	// wrong.
	Checks func() map[string]func(context.Context) error
	// Plan makes a plan of the fleet file. refused says why there can be none;
	// an error is worth another try.
	Plan func(context.Context, PlanFleetIn) (plan plan.Plan, refused string, err error)
	// Signing is what requests are signed with; nil where that is not known.
	Signing func(context.Context) Signing
	// Keyset is the fingerprint of what Keeper has, and what is wrong with it; nil
	// where nobody looks.
	Keyset func() (fingerprint, problem string)
	// Clock is how far this machine's clock is ahead of EdgeOne's, by its latest
	// answer; nil where nobody compares them.
	Clock func() (ahead time.Duration, known bool)
	// PerSecond is how many calls of each action the account allows in a second; 0 is any
	// number.
	PerSecond float64
	// Beside are the locations that this process serves too.
	Beside []*Location

	// Spans trace refreshes and reads; nil traces nothing.
	Spans Spans

	delivering atomic.Int32 // zones on the short way
}

// RefreshIn asks for a new key of one zone.
type RefreshIn struct {
	Zone rotation.ZoneID `json:"zone"`
	// Hosts are all that are to be given the new key: those to which the fleet
	// file gives it, without the retired.
	Hosts   []rotation.HostRef     `json:"hosts"`
	Retired []rotation.RetiredHost `json:"retired,omitempty"`
	// ProvedAt is the age of the oldest proof of the zone's hosts, on
	// Temporal's clock; zero when proofs are waived.
	ProvedAt time.Time     `json:"provedAt,omitzero"`
	ProofFor rotation.Span `json:"proofFor"`
	// ClosesAt is the instant, on Temporal's clock, from which on nothing may be
	// signed; zero when there is none.
	ClosesAt time.Time `json:"closesAt,omitzero"`
	// Straight names the queue of the worker that proved each of Hosts, in their
	// order; empty where the new key may not go to them the short way. Expect is
	// what they may hold at present.
	Straight []string               `json:"straight,omitempty"`
	Expect   []rotation.Fingerprint `json:"expect,omitempty"`
}

// Sending says whether a refresh was sent.
type Sending string

// The answers.
const (
	NotSent  Sending = "not-sent" // nothing left this process, or EdgeOne rejected it before execution
	Refused  Sending = "refused"  // EdgeOne will not execute it
	MaySent  Sending = "may-have" // it may have been executed
	Answered Sending = "answered" // EdgeOne answered with the new key
)

// RefreshOut is what became of it. Sealed holds the new key, sealed to each
// location; it is absent where Acks say that every host has acknowledged it. Then
// After is a read of the live key that was signed after the last of them.
type RefreshOut struct {
	Sending   Sending                      `json:"sending"`
	SentAt    time.Time                    `json:"sentAt,omitzero"` // Temporal's clock
	Key       rotation.Fingerprint         `json:"key,omitempty"`
	Sealed    map[rotation.Location][]byte `json:"sealed,omitempty"`
	Acks      []rotation.Ack               `json:"acks,omitempty"`
	After     *ReadOut                     `json:"after,omitempty"`
	RequestID string                       `json:"requestId,omitempty"`
	Why       string                       `json:"why,omitempty"`
	Code      string                       `json:"code,omitempty"` // EdgeOne's error code
	// Again says that fresh proofs would help; Back is the kind of what was not
	// sent.
	Again bool              `json:"again,omitempty"`
	Back  rotation.Handback `json:"back,omitempty"`
	// Halt says that every zone would fail alike.
	Halt bool         `json:"halt,omitempty"`
	API  rotation.API `json:"api"`
}

// mostBackOff is the longest pause between two calls that EdgeOne rejected.
const mostBackOff = 5 * time.Second

// lockedTries is how often a temporarily locked zone is asked again.
const lockedTries = 3

var (
	errUnheard      = errors.New("Temporal took no heartbeat in time, so that another process may go on with the zone")
	errCancelled    = errors.New("cancelled before it was sent")
	errProofExpired = errors.New("a host's proof expired before the request could be signed")
	errClosed       = errors.New("the campaign's window closed before the request could be signed")
)

// Refresh calls RefreshMultiPathGatewaySecretKey, at most once past EdgeOne's
// front door. Rejected calls (throttled, never connected) are made again while
// the proofs are fresh. It never fails: an error would lose what is known.
// Cancellation is honoured until the request is signed and ignored afterwards. Its
// heartbeats say why nothing was executed so far.
func (e *EdgeOne) Refresh(ctx context.Context, in RefreshIn) (RefreshOut, error) {
	r := refresh{e: e, in: in, clock: serverClock(ctx)}
	r.send = func(ctx context.Context, ready func() error) (rotation.Secret, rotation.Receipt, error) {
		return e.API.Refresh(ctx, in.Zone, ready)
	}
	return r.run(ctx, r.trySeal)
}

// run makes the call, unless able says what becomes of it instead.
func (r *refresh) run(ctx context.Context, able func(context.Context) *RefreshOut) (RefreshOut, error) {
	r.says.say("it waits for its turn at the account's pace")
	defer beatSaying(ctx, &r.says)()
	if why, again := r.e.mayNot(ctx, r.in.Zone, r.in.Hosts, r.in.Retired); again {
		return r.notSent(why, rotation.BackUnreached, true), nil
	} else if why != "" {
		return RefreshOut{Sending: Refused, Why: why, Code: codeFleet}, nil
	}
	if instead := able(ctx); instead != nil {
		return *instead, nil
	}
	for try := 1; ; try++ {
		if r.attempt(ctx, try) {
			orNone(r.e.Spans).Note(ctx, factZone, string(r.in.Zone), factSending, string(r.out.Sending), factRequestID, r.out.RequestID, factFingerprint, string(r.out.Key))
			return r.out, nil
		}
		if err := pause(ctx, backOff(try)); err != nil {
			return r.stopped(ctx), nil
		}
	}
}

// refresh is one call that changes the key: a refresh, or a switch to a key that lies on
// every host already.
type refresh struct {
	e     *EdgeOne
	in    RefreshIn
	clock clock
	// send makes the call. It calls ready immediately before the request is signed.
	send     func(ctx context.Context, ready func() error) (rotation.Secret, rotation.Receipt, error)
	staged   bool
	key      rotation.Fingerprint // of what is staged
	out      RefreshOut
	says     sayings
	rejected string // why EdgeOne rejected the latest call before execution
	begun    map[rotation.HostName]rotation.Begun
}

// trySeal makes sure that the key can be sealed before it exists.
func (r *refresh) trySeal(context.Context) *RefreshOut {
	if _, err := r.e.sealTo(r.in.Hosts, probeZone, rotation.NewSecret("probe"), r.clock.now()); err != nil {
		return r.refuse(err)
	}
	return nil
}

func (r *refresh) fresh() error {
	now := r.clock.now()
	switch {
	case !r.in.ClosesAt.IsZero() && !now.Before(r.in.ClosesAt):
		return errClosed
	case !r.in.ProvedAt.IsZero() && now.Sub(r.in.ProvedAt) > r.in.ProofFor.D():
		return errProofExpired
	}
	return nil
}

// attempt makes one call and says whether that settled it.
func (r *refresh) attempt(ctx context.Context, try int) bool {
	call, gate := untilSigned(ctx)
	key, receipt, err := r.send(rotation.WithNext(call, func() { r.begin(ctx) }), func() error {
		if err := r.fresh(); err != nil {
			return err
		}
		if err := gate(); err != nil {
			return err
		}
		r.says.say(r.rejected) // nothing, the first time: from here on it may be on its way
		r.begin(ctx)
		return nil
	})
	if err != nil {
		r.unbegin()
	}
	if receipt.Signed.IsZero() {
		return r.unsent(ctx, err)
	}
	if r.staged {
		r.out.API.Modify++
	} else {
		r.out.API.Refresh++
	}
	r.out.SentAt = r.clock.at(receipt.Signed)
	r.out.RequestID = receipt.RequestID
	if err == nil {
		r.answered(ctx, key)
		return true
	}
	var api *rotation.APIError
	if !errors.As(err, &api) {
		api = &rotation.APIError{Class: rotation.Ambiguous, Code: "Unclassified"}
	}
	r.out.Why, r.out.Code = api.Error(), api.Code
	r.out.RequestID = api.RequestID
	switch api.Class {
	case rotation.Throttled, rotation.Unsent:
		r.reject(api, receipt)
		r.out.Sending = ""
		if api.Class == rotation.Throttled {
			r.out.API.Throttled++
		}
		return r.expired()
	case rotation.Locked:
		r.out.Sending = Refused
		return try > lockedTries || r.expired()
	case rotation.Refused, rotation.Denied:
		r.out.Sending, r.out.Halt = Refused, api.Class == rotation.Denied
		return true
	default:
		r.out.Sending = MaySent
		return true
	}
}

func (r *refresh) answered(ctx context.Context, key rotation.Secret) {
	r.out.Sending, r.out.Why, r.out.Code = Answered, "", ""
	r.out.Key = rotation.FingerprintOf(r.in.Zone, key)
	if r.out.Acks = r.straight(ctx, key); acknowledged(r.out.Acks) {
		r.out.After = r.readAfter(ctx)
		return
	}
	if r.staged {
		return // it was sealed when it was minted
	}
	sealed, err := r.e.sealTo(r.in.Hosts, r.in.Zone, key, r.clock.now())
	if err != nil {
		r.out.Why = "the new key could not be sealed: " + err.Error()
		return
	}
	r.out.Sealed = sealed
}

// unsent handles an error from before the signature.
func (r *refresh) unsent(ctx context.Context, err error) bool {
	var api *rotation.APIError
	switch {
	case errors.Is(err, errClosed):
		r.notSent(errClosed.Error(), rotation.BackStopped, false)
	case errors.Is(err, errProofExpired) && r.rejected != "":
		r.unreached()
	case errors.Is(err, errProofExpired):
		r.notSent(errProofExpired.Error(), rotation.BackProof, true)
	case ctx.Err() != nil:
		r.stopped(ctx)
	case errors.As(err, &api) && api.Class == rotation.Denied:
		r.out = RefreshOut{Sending: Refused, Why: api.Error(), Code: api.Code, Halt: true, API: r.out.API}
	case errors.As(err, &api):
		r.out.Why, r.out.Code = api.Error(), api.Code
		r.reject(api, rotation.Receipt{})
		return r.expired()
	default:
		r.notSent(err.Error(), rotation.BackNoWorker, true)
	}
	return true
}

// reject notes why EdgeOne executed nothing.
func (r *refresh) reject(api *rotation.APIError, receipt rotation.Receipt) {
	r.rejected = rejection(api, receipt, time.Now())
	r.says.say(r.rejected)
}

// rejection says it alike for every zone, so that they can be counted.
func rejection(api *rotation.APIError, receipt rotation.Receipt, now time.Time) string {
	switch {
	case strings.HasPrefix(api.Code, "AuthFailure.SignatureExpire"):
		return "EdgeOne rejects the time of the signature" + skew(receipt.Dated, now)
	case api.Class == rotation.Throttled:
		return "EdgeOne throttles the call (" + api.Code + ")"
	}
	return "EdgeOne cannot be reached (" + api.Code + ")"
}

// skew is how far this worker's clock is off, by the date of EdgeOne's answer, in
// tens of seconds; nothing where that is not known, or little.
func skew(dated, now time.Time) string {
	ahead := now.Sub(dated).Round(10 * time.Second)
	switch {
	case dated.IsZero() || ahead.Abs() < 10*time.Second:
		return ""
	case ahead > 0:
		return fmt.Sprintf("; this worker's clock is %.0f s ahead of EdgeOne's", ahead.Seconds())
	}
	return fmt.Sprintf("; this worker's clock is %.0f s behind EdgeOne's", -ahead.Seconds())
}

// expired ends the tries when the proofs did; proofs that are waived last for
// one proof's life from the start.
func (r *refresh) expired() bool {
	deadline := r.in.ProvedAt
	if deadline.IsZero() {
		deadline = r.clock.started
	}
	if r.clock.now().Sub(deadline) <= r.in.ProofFor.D() {
		return false
	}
	if r.out.Sending != Refused {
		r.unreached()
	}
	return true
}

// unreached ends a refresh when EdgeOne executed none of its tries.
func (r *refresh) unreached() {
	r.notSent("nothing was executed while the proofs lasted: "+r.rejected, rotation.BackUnreached, true)
}

// stopped is a refresh that was ended before it was signed. One that Temporal does not hear
// of may count as lost there, so it sends nothing, either.
func (r *refresh) stopped(ctx context.Context) RefreshOut {
	if unheard(ctx) {
		return r.notSent(errUnheard.Error(), rotation.BackNoWorker, true)
	}
	return r.notSent(errCancelled.Error(), rotation.BackStopped, false)
}

func (r *refresh) notSent(why string, back rotation.Handback, again bool) RefreshOut {
	r.out.Sending, r.out.Why, r.out.Back, r.out.Again, r.out.SentAt = NotSent, why, back, again, time.Time{}
	return r.out
}

// untilSigned gives a context that ends with ctx only until the returned gate
// has been passed: a request that may be on its way is waited for.
func untilSigned(ctx context.Context) (context.Context, func() error) {
	call, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	var mu sync.Mutex
	signed := false
	context.AfterFunc(ctx, func() {
		mu.Lock()
		defer mu.Unlock()
		if !signed {
			cancel(ctx.Err())
		}
	})
	return call, func() error {
		mu.Lock()
		defer mu.Unlock()
		if err := ctx.Err(); err != nil {
			return err
		}
		signed = true
		return nil
	}
}

// backOff is for calls that EdgeOne rejected: 200 ms doubling to mostBackOff, with full
// jitter above the half.
func backOff(try int) time.Duration {
	d := min(200*time.Millisecond<<min(try-1, 5), mostBackOff)
	return d/2 + rand.N(d/2)
}
