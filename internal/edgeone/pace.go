package edgeone

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"keywave/internal/rotation"
)

const (
	// share of the account's limit that is used.
	share = rotation.PaceShare
	// jitter is added to every window, for the grain of clocks.
	jitter = 2 * time.Millisecond
	// underway is how long a request whose answer does not come may at most
	// travel before EdgeOne counts it.
	underway = 2 * time.Second
	// slowdown is what a throttled answer leaves of the pace; recovery is how
	// much of the full pace comes back each second; floor is where it ends.
	slowdown = 0.8
	recovery = 0.02
	floor    = 1.0
)

// Pace keeps one account's calls below its limit, for each API action on its
// own. A call passes it twice. First it waits, in the order of arrival, for a
// turn: turns come evenly, at 97 % of the limit. It is then signed, and perhaps
// a connection is dialled. When its bytes are ready to leave, it is written:
// one request of an action at a time, and never so that a sliding second could
// see more than the limit, however late the call woke up in between, and
// however long requests travel: EdgeOne counts a request at some time between
// its writing and its answer, so the second counts from the answer.
type Pace struct {
	mu    sync.Mutex
	limit float64            // per second and action; +Inf when there is none
	apart map[string]float64 // the limits of actions that have another one
	whole float64            // the limit while nobody else calls; see Alone
	alone time.Time          // and until when
	burst int                // turns that come at once after a rest; 0 is one
	heard chan struct{}      // closed, and replaced, when a request is answered
	freed chan struct{}      // the same, when calls may go at the whole pace
	lanes map[string]*lane
}

// lane is one API action's.
type lane struct {
	of     *Pace
	limit  float64       // per second; +Inf when there is none
	head   chan struct{} // held by the caller whose turn is next
	pen    chan struct{} // held by the caller that is writing
	bucket *rate.Limiter
	writes []*mark   // those that may still count
	cut    time.Time // when the pace was last lowered
	base   float64   // and to what
}

// mark is one written request.
type mark struct {
	written time.Time
	counted time.Time // the latest time at which EdgeOne counted it; zero while it is out
}

// release is when the request does not count any more.
func (m *mark) release(window time.Duration) time.Time {
	latest := m.written.Add(underway)
	if !m.counted.IsZero() && m.counted.Before(latest) {
		latest = m.counted
	}
	return latest.Add(window)
}

// NewPace is the pace of an account that may make perSecond calls of each
// action in a second; 0 or +Inf is an account without a limit. A negative limit,
// or none at all (NaN), is the caller's mistake and panics.
func NewPace(perSecond float64) *Pace {
	if perSecond == 0 {
		perSecond = math.Inf(1)
	}
	if !(perSecond > 0) {
		panic("edgeone: a limit must not be negative")
	}
	return &Pace{limit: perSecond, heard: make(chan struct{}), freed: make(chan struct{}), lanes: map[string]*lane{}}
}

// NewPaces shares an account's limit between the process that is active and the one that
// reads early: together they never exceed it. early is for ActionDescribe alone, and nil
// where the limit is too low to be shared.
func NewPaces(perSecond float64) (active, early *Pace) {
	active, early = NewPace(perSecond), NewPace(perSecond)
	if math.IsInf(active.limit, 1) {
		return active, early
	}
	slice := rotation.EarlyShare(active.limit)
	if slice == 0 {
		return active, nil
	}
	active.apart = map[string]float64{ActionDescribe: active.limit - slice}
	early = NewPace(slice)
	early.whole = active.limit
	early.burst = int(slice) // it reads rarely, and then several zones wait
	return active, early
}

// Shared says that a process that reads early has a part of a limit. p may be nil.
func (p *Pace) Shared() bool { return p != nil && p.whole > 0 }

// Alone lets calls go at the account's whole pace until then, those that wait at once: the
// one with whom the limit is shared makes none. It is said again and again, so that a
// process that is frozen wakes up with its own share.
func (p *Pace) Alone(until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	already := time.Now().Before(p.alone)
	p.alone = until
	if already || p.whole == 0 {
		return
	}
	for _, l := range p.lanes {
		if l.cut.IsZero() {
			l.bucket = p.bucket(l.limit)
		}
	}
	close(p.freed)
	close(p.heard)
	p.freed, p.heard = make(chan struct{}), make(chan struct{})
}

// most is the lane's limit at now. p.mu is held.
func (l *lane) most(now time.Time) float64 {
	if l.of.whole > 0 && now.Before(l.of.alone) {
		return l.of.whole
	}
	return l.limit
}

// wait blocks until it is the caller's turn, first come first served; its only
// error is the context's, and then the turn is the next caller's. It says by the context
// that no other turn comes before.
func (p *Pace) wait(ctx context.Context, action string) error {
	l := p.lane(action)
	if err := acquire(ctx, l.head); err != nil {
		return err
	}
	defer func() { <-l.head }()
	rotation.SayNext(ctx)
	for {
		turn, after, freed := p.reserve(l, time.Now())
		if after == 0 {
			return nil
		}
		came, err := sleep(ctx, after, freed)
		if came {
			return nil
		}
		turn.Cancel()
		if err != nil {
			return err
		}
	}
}

// reserve books the next turn and says how far off it is, and what is closed when it may
// come sooner.
func (p *Pace) reserve(l *lane, now time.Time) (turn *rate.Reservation, after time.Duration, freed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.bucket.SetLimitAt(now, asLimit(l.speed(now)))
	turn = l.bucket.ReserveN(now, 1)
	return turn, turn.DelayFrom(now), p.freed
}

// write runs do when the request may be written. do reports whether anything
// was; callers of one action come one at a time. It returns what answered
// wants to be told with: nil when nothing was written. The error is do's or the
// context's.
func (p *Pace) write(ctx context.Context, action string, do func() (written bool, err error)) (*mark, error) {
	l := p.lane(action)
	if err := acquire(ctx, l.pen); err != nil {
		return nil, err
	}
	defer func() { <-l.pen }()
	for {
		after, heard := p.room(l, time.Now())
		if after <= 0 {
			break
		}
		if _, err := sleep(ctx, after, heard); err != nil {
			return nil, err
		}
	}
	written, err := do()
	if !written {
		return nil, err
	}
	return p.wrote(l, time.Now()), err
}

// room says how long it is until one more write fits into the sliding window.
func (p *Pace) room(l *lane, now time.Time) (time.Duration, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, window := windowOf(l.most(now))
	l.writes = slices.DeleteFunc(l.writes, func(m *mark) bool { return !m.release(window).After(now) })
	if len(l.writes) < n {
		return 0, p.heard
	}
	releases := make([]time.Time, len(l.writes))
	for i, m := range l.writes {
		releases[i] = m.release(window)
	}
	slices.SortFunc(releases, time.Time.Compare)
	return releases[len(releases)-n].Sub(now), p.heard
}

// windowOf is how many writes there may be in how long a time. Limits below one
// a second are kept over a longer one.
func windowOf(limit float64) (n int, d time.Duration) {
	if math.IsInf(limit, 1) || limit > math.MaxInt32 {
		return math.MaxInt32, time.Second + jitter
	}
	if limit < 1 {
		return 1, time.Duration(float64(time.Second)/limit) + jitter
	}
	return int(limit), time.Second + jitter
}

func (p *Pace) wrote(l *lane, at time.Time) *mark {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := &mark{written: at}
	l.writes = append(l.writes, m)
	return m
}

// answered ends a request's time under way: it was answered, or given up.
func (p *Pace) answered(m *mark) {
	if m == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	m.counted = time.Now()
	close(p.heard)
	p.heard = make(chan struct{})
}

// throttled lowers the pace of an action at once; it then creeps back. Answers
// to requests signed before the last lowering are old news.
func (p *Pace) throttled(action string, signed time.Time) {
	l, now := p.lane(action), time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if math.IsInf(l.limit, 1) || signed.Before(l.cut) {
		return
	}
	l.base = max(slowdown*l.speed(now), min(floor, share*l.limit))
	l.cut = now
	l.bucket.SetLimitAt(now, asLimit(l.base))
}

// speed is the lane's pace at now, in calls a second.
func (l *lane) speed(now time.Time) float64 {
	full := share * l.most(now)
	if l.cut.IsZero() || math.IsInf(full, 1) {
		return full
	}
	return min(full, l.base+recovery*full*now.Sub(l.cut).Seconds())
}

func asLimit(perSecond float64) rate.Limit {
	if math.IsInf(perSecond, 1) {
		return rate.Inf
	}
	return rate.Limit(perSecond)
}

func (p *Pace) lane(action string) *lane {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.lanes[action]
	if l == nil {
		limit := p.limit
		if other, is := p.apart[action]; is {
			limit = other
		}
		l = &lane{
			of: p, limit: limit,
			head:   make(chan struct{}, 1),
			pen:    make(chan struct{}, 1),
			bucket: p.bucket(limit),
		}
		p.lanes[action] = l
	}
	return l
}

// bucket is full of a lane's turns. p.mu is held.
func (p *Pace) bucket(limit float64) *rate.Limiter {
	burst := max(p.burst, 1)
	if p.whole > 0 && time.Now().Before(p.alone) {
		limit, burst = p.whole, int(p.whole)
	}
	return rate.NewLimiter(asLimit(share*limit), burst)
}

// acquire takes a lock that is a channel of one place; waiters get it in the
// order in which they came.
func acquire(ctx context.Context, lock chan<- struct{}) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sleep waits for d, or until something was heard; came says that d is over.
func sleep(ctx context.Context, d time.Duration, heard <-chan struct{}) (came bool, err error) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true, nil
	case <-heard:
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}
