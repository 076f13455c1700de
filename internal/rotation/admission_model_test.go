package rotation

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// A million random events go into Admission: orders, zones that start, fail to
// start, say news and end in every way, hosts that prove or do not, clocks that
// move on. After each event, what Admission says and what it wants done is
// compared with a model of the truth: how many zones are at risk, what may
// start, what each zone has become.

var admissionNoon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// shardWorld is what surrounds a shard: it carries out commands and makes
// events.
type shardWorld struct {
	t    *testing.T
	dice *rand.Rand
	now  time.Time
	m    *Admission
	in   Setup

	hosts   []HostRef
	members []Member
	flights map[ZoneID]*modelFlight
	records map[ZoneID]*modelZone
	batches []AskHosts
	probing bool
	looking []ZoneID
	keys    []ZoneID          // zones whose key EdgeOne is asked for
	strange map[ZoneID]bool   // zones whose hosts and EdgeOne agree on a key that nobody knows
	proofs  map[HostName]bool // whether its latest proof was good

	window          int
	stopped         bool
	closed, refused bool
	halted          bool // it told the campaign that it stands still
	idleSince       time.Time
	retired         []RetiredHost
	skipped, was    map[ZoneID]bool
	last            *ShardNews
	out             *ShardOut
	story           []modelEvent
	n               *admissionCounts
}

type modelEvent struct {
	at     time.Time
	format string
	args   []any
}

type modelFlight struct {
	start                    StartZone
	at                       time.Time
	started, foreign, cancel bool
	news                     ZoneNews
}

type modelZone struct {
	outcome Outcome
	acks    []HostTime // of the last record with a key
	tries   int        // since the last retry
}

type admissionCounts struct {
	events, shards, starts, stops, retries, ends, asks, looks, idles, halts, news, strange, crowds int
}

func newShardWorld(t *testing.T, seed uint64, n *admissionCounts) *shardWorld {
	w := &shardWorld{
		t: t, dice: rand.New(rand.NewPCG(seed, 11)), now: admissionNoon, n: n, flights: map[ZoneID]*modelFlight{},
		records: map[ZoneID]*modelZone{}, proofs: map[HostName]bool{}, skipped: map[ZoneID]bool{}, was: map[ZoneID]bool{}, strange: map[ZoneID]bool{},
	}
	d := w.dice
	for i := range 1 + d.IntN(5) {
		w.hosts = append(w.hosts, HostRef{Name: HostName(fmt.Sprintf("h%d", i)), Location: []Location{"hk", "eu"}[i%2]})
	}
	for i := range 1 + d.IntN(14) {
		m := Member{ID: ZoneID(fmt.Sprintf("z%02d", i)), Baseline: "b"}
		for h := range w.hosts {
			if d.IntN(2) == 0 {
				m.Hosts = append(m.Hosts, h)
			}
		}
		if m.Hosts == nil {
			m.Hosts = []int{d.IntN(len(w.hosts))}
		}
		w.members = append(w.members, m)
		w.records[m.ID] = &modelZone{outcome: Pending}
	}
	w.window = 1 + d.IntN(5)
	w.in = Setup{
		Page: 1, Window: w.window, Again: d.IntN(3) == 0, Emergency: d.IntN(6) == 0, StallAfter: time.Minute, ProofsWithin: time.Minute, StartWithin: time.Minute,
		Timing: Timing{ProofFor: Span(time.Minute), ExposedAfter: Span(30 * time.Second)},
		Before: ShardOut{Tally: Tally{Zones: NewCounts(len(w.members))}},
	}
	w.m = NewAdmission(w.now, w.in)
	w.n.shards++
	return w
}

func (w *shardWorld) bad(format string, args ...any) {
	w.t.Helper()
	var story strings.Builder
	for _, e := range w.story[max(0, len(w.story)-40):] {
		fmt.Fprintf(&story, "%12s %s\n", e.at.Sub(admissionNoon), fmt.Sprintf(e.format, e.args...))
	}
	w.t.Fatalf("%s\n%s", fmt.Sprintf(format, args...), story.String())
}

func (w *shardWorld) tell(format string, args ...any) {
	w.story = append(w.story, modelEvent{w.now, format, args})
}

func (w *shardWorld) chance(n int) bool { return w.dice.IntN(n) == 0 }

func pickOf[T any](d *rand.Rand, all []T) T { return all[d.IntN(len(all))] }

func (w *shardWorld) load() {
	var found []Found
	if w.in.Again {
		for _, m := range w.members {
			f := Found{History: HistoryNone}
			switch w.dice.IntN(8) {
			case 0:
				f.History = HistoryLost
				w.records[m.ID].outcome = Unknown
			case 1, 2, 3:
				r := Record{Zone: m.ID, Outcome: pickOf(w.dice, Outcomes()), Why: "earlier"}
				if r.Outcome == Done || r.Outcome == Exposed {
					r.To = "n"
					r.Acks = w.acks(m)
				}
				f = Found{History(r.Outcome), &r}
				w.records[m.ID].outcome, w.records[m.ID].acks = r.Outcome, r.Acks
			}
			found = append(found, f)
		}
	}
	w.tell("loaded, with %d earlier zones", len(found))
	w.m.Loaded(w.hosts, w.members, found)
	w.linedUp()
}

// linedUp notes that people resumed: what failed before any refresh is pending
// again, and has all its tries again.
func (w *shardWorld) linedUp() {
	for id, z := range w.records {
		if z.tries = 0; w.flights[id] != nil {
			z.tries = 1
		}
		switch {
		case !w.m.loaded || w.flights[id] != nil || z.outcome == Done:
		case w.skippedNow(id):
			z.outcome = Skipped
		case z.outcome == Unchanged || z.outcome == Pending:
			z.outcome, z.acks = Pending, nil
		}
	}
}

// decided notes that a zone that people exclude now is skipped at once, unless
// it is in flight.
func (w *shardWorld) decided() {
	for id, z := range w.records {
		newly := w.skippedNow(id) && !w.was[id]
		w.was[id] = w.skippedNow(id)
		if newly && w.m.loaded && w.flights[id] == nil && z.outcome != Done {
			z.outcome = Skipped
		}
	}
}

func (w *shardWorld) acks(m Member) []HostTime {
	var acks []HostTime
	for _, h := range m.Hosts {
		if !w.chance(4) {
			acks = append(acks, HostTime{Host: w.hosts[h].Name})
		}
	}
	return acks
}

// step makes one event, and carries out what follows from it.
func (w *shardWorld) step() {
	w.n.events++
	switch d := w.dice.IntN(20); {
	case d < 4:
		w.pass()
	case d < 5:
		w.order()
	case d < 8 && len(w.batches) > 0:
		w.answerBatch(3)
	case d < 9 && w.probing:
		w.answerProbe()
	case d < 10 && w.looking != nil:
		w.answerLook()
	case d < 11:
		w.stale()
	case d < 13 && len(w.keys) > 0:
		w.answerKeys()
	default:
		w.zoneEvent()
	}
	w.settle()
}

// settle carries out everything that is wanted now.
func (w *shardWorld) settle() {
	for {
		commands := w.m.Next(w.now)
		for _, c := range commands {
			w.carryOut(c)
		}
		w.giveUp()
		w.judge()
		if len(commands) == 0 {
			return
		}
	}
}

// pass lets time pass. Before the time at which the machine wants to wake, it
// may want nothing new, except to ask hosts.
func (w *shardWorld) pass() {
	wake := w.m.Wake(w.now)
	if !wake.IsZero() && !wake.After(w.now) {
		w.bad("it wants to wake in the past")
	}
	w.now = w.now.Add(time.Duration(w.dice.IntN(20_000)) * time.Millisecond)
	if wake.IsZero() || w.now.Before(wake) {
		for _, c := range w.m.Next(w.now) {
			switch c.(type) {
			case AskHosts, AskProbe:
			default:
				w.bad("%T%+v comes of time alone, before it wanted to wake (%s)", c, c, wake.Sub(admissionNoon))
			}
			w.carryOut(c)
		}
		w.giveUp()
	}
	if !wake.IsZero() && w.chance(2) {
		w.now = wake
		w.tell("wakes")
	}
}

func (w *shardWorld) order() {
	o := Control{Seq: w.m.in.Seq + w.dice.IntN(3), Window: 1 + w.dice.IntN(5), Surprised: w.m.in.Surprised}
	if w.chance(20) {
		o.Surprised++
	}
	switch w.dice.IntN(12) {
	case 0, 1:
		o.Stop = true
	case 2, 3, 4, 5:
		o.Retry, o.Told = true, w.crowd() == CrowdMany && w.chance(2)
	case 6:
		o.Seq = w.m.in.Seq - 1
		o.Stop = true
	case 7, 8:
		o.Decided = w.decide()
	case 9:
		if w.chance(8) {
			o.Stop, o.Close = true, true
		}
	case 10:
		o.ClosesAt = w.now.Add(time.Duration(w.dice.IntN(60)) * time.Second)
	case 11:
		if w.chance(60) {
			w.tell("cancelled")
			w.stopped, w.closed = true, true
			w.m.Cancelled()
			return
		}
	}
	w.follow(o)
}

func (w *shardWorld) follow(o Control) {
	w.tell("order %+v", o)
	if o.Seq >= w.m.in.Seq {
		w.window = o.Window
		if o.Retry && !w.closed {
			w.stopped, w.halted = false, false
			w.n.retries++
		}
		if o.Stop || o.Close {
			w.stopped, w.closed = true, w.closed || o.Close
			w.n.stops++
		}
		if o.Decided != nil {
			w.retired = o.Decided.Retired
			for _, s := range o.Decided.Skipped {
				w.skipped[s.Zone] = true
			}
			w.decided()
		}
		if o.Retry && !w.closed {
			w.linedUp()
		}
	}
	w.m.Follow(o)
}

func (w *shardWorld) decide() *Decided {
	d := Decided{Skipped: slices.Clone(w.m.in.Decided.Skipped), Retired: slices.Clone(w.retired)}
	if w.chance(2) {
		d.Skipped = append(d.Skipped, SkippedZone{Zone: pickOf(w.dice, w.members).ID, Reason: "not now"})
		return &d
	}
	r := RetiredHost{Host: pickOf(w.dice, w.hosts).Name, Reason: "scrapped"}
	if w.chance(2) {
		r.Zone = pickOf(w.dice, w.members).ID
	}
	d.Retired = append(d.Retired, r)
	return &d
}

func (w *shardWorld) answerBatch(failing int) {
	b := w.batches[0]
	w.batches = w.batches[1:]
	var proofs []Proof
	for _, asked := range b.Hosts {
		p := Proof{Host: asked.Host.Name, At: w.now.Add(-time.Duration(w.dice.IntN(2000)) * time.Millisecond)}
		if failing > 0 && w.chance(4*failing) {
			p.Problem = "disk full"
		} else if w.chance(8) {
			p.Drift = map[ZoneID]Fingerprint{}
			for _, z := range asked.Zones {
				if !w.chance(3) {
					p.Drift[z.ID] = "d"
				}
			}
		}
		w.proofs[p.Host] = p.Problem == ""
		proofs = append(proofs, p)
	}
	w.tell("proved %s, %d hosts", b.Location, len(proofs))
	w.m.Proved(w.now, b.Location, proofs, failing > 0 && w.chance(10))
}

func (w *shardWorld) answerProbe() {
	w.probing = false
	if !w.m.probe.have && w.chance(200) {
		w.tell("no probe")
		w.refused = true
		w.m.Refuse("no keyset")
		return
	}
	w.tell("probed")
	w.m.Probed()
}

func (w *shardWorld) answerLook() {
	var seen []RefreshSeen
	for _, id := range w.looking {
		s := RefreshSeen{Zone: id}
		switch w.dice.IntN(6) {
		case 5:
			s.Taken = w.now.Add(time.Duration(w.dice.IntN(1500)) * time.Millisecond)
		case 0:
			s.Begun = w.now.Add(-time.Second)
		case 1:
			s.Queued = true
		case 2:
			s.Text = "EdgeOne rejects the time of the signature"
		case 3:
			continue
		}
		seen = append(seen, s)
	}
	w.looking = nil
	w.tell("looked up %d", len(seen))
	w.m.HeardBegun(seen)
}

// answerKeys answers that EdgeOne has the key that the hosts hold, or another
// one.
func (w *shardWorld) answerKeys() {
	var keys []LiveKey
	slices.Sort(w.keys)
	for _, id := range slices.Compact(w.keys) {
		z := w.m.byID[id]
		asked := z.stranger == strangerAsked
		switch held := z.agreed(w.m); w.dice.IntN(5) {
		case 0:
			keys = append(keys, LiveKey{id, "b"})
			if asked {
				delete(w.strange, id)
			}
		case 1:
			keys = append(keys, LiveKey{Zone: id})
		case 2: // no answer
		default:
			keys = append(keys, LiveKey{id, "d"})
			if asked && held == "d" && !w.strange[id] {
				w.strange[id] = true
				w.n.strange++
			}
		}
	}
	w.tell("keys of %v are %v", w.keys, keys)
	w.keys = nil
	w.m.KeysRead(keys)
	if w.crowd() == CrowdMany && w.m.stopped {
		w.halted = true
		w.n.crowds++
	}
}

// isStrange says that EdgeOne was found to have the key that the hosts hold.
func (w *shardWorld) isStrange(c StartZone) bool {
	return w.strange[c.Zone] && !c.Urgent && w.m.byID[c.Zone].agreed(w.m) == "d"
}

func (w *shardWorld) crowd() Crowd {
	return CrowdOf(w.m.in.Surprised+len(w.strange), w.m.in.Accepted, w.m.in.Told)
}

// stale makes an event that comes too late, or belongs to nobody.
func (w *shardWorld) stale() {
	m := pickOf(w.dice, w.members)
	try := w.m.byID[m.ID]
	if try == nil {
		return
	}
	record := Record{Zone: m.ID, Outcome: Done, To: "n"}
	switch w.dice.IntN(4) {
	case 0:
		w.m.Ended(w.now, m.ID, try.tries-1, Landing{Record: &record})
	case 1:
		w.m.Started(w.now, m.ID, try.tries+1)
	case 2:
		w.m.Heard(w.now, ZoneNews{Zone: "nobody", Standing: Dead, Exposed: true})
	case 3:
		if w.flights[m.ID] == nil {
			w.m.Heard(w.now, ZoneNews{Zone: m.ID, Standing: Dead, Exposed: true, Loose: true})
			w.m.Ended(w.now, m.ID, try.tries, Landing{Record: &record})
		}
	}
}

func (w *shardWorld) inFlight() []ZoneID {
	var all []ZoneID
	for _, m := range w.members {
		if w.flights[m.ID] != nil {
			all = append(all, m.ID)
		}
	}
	return all
}

func (w *shardWorld) zoneEvent() {
	all := w.inFlight()
	if len(all) == 0 {
		return
	}
	id := pickOf(w.dice, all)
	f := w.flights[id]
	switch {
	case !f.started && !f.foreign:
		w.begin(id, f)
	case w.chance(3):
		w.news(id, f)
	case w.chance(2):
		w.land(id, f)
	}
}

func (w *shardWorld) begin(id ZoneID, f *modelFlight) {
	switch w.dice.IntN(12) {
	case 0:
		w.tell("%s runs already", id)
		f.foreign = true
		w.m.Foreign(w.now, id, f.start.Try)
	case 1:
		w.end(id, Landing{Absent: "no such queue"}, Pending)
	default:
		f.started = true
		w.m.Started(w.now, id, f.start.Try)
	}
}

func (w *shardWorld) news(id ZoneID, f *modelFlight) {
	n := ZoneNews{Zone: id, Standing: pickOf(w.dice, []Standing{Alive, Dark, Dead, Held}), Why: pickOf(w.dice, []string{"", "gw-1: refused", "a lost request may still land"})}
	n.Exposed = (n.Standing == Dark || n.Standing == Dead) && w.chance(2)
	n.Kept = f.cancel && (n.Standing != Alive || f.news.Kept)
	n.Loose = f.news.Loose || (n.Standing == Held || n.Exposed) && w.chance(2)
	if n.Standing != f.news.Standing && n.Standing != Alive {
		w.idleSince = w.now
	}
	f.news = n
	w.tell("%s says %+v", id, n)
	w.m.Heard(w.now, n)
}

func (w *shardWorld) land(id ZoneID, f *modelFlight) {
	i := slices.IndexFunc(w.members, func(m Member) bool { return m.ID == id })
	r := Record{Zone: id, Outcome: pickOf(w.dice, Outcomes()), Why: "so", EndedAt: w.now, From: "b"}
	if f.cancel && !f.news.Kept && w.chance(2) {
		r.Outcome, r.Back = Pending, BackStopped
	}
	switch r.Outcome {
	case Done, Exposed:
		r.To, r.Acks, r.ExposureMs = "n", w.acks(w.members[i]), 5
	case Unchanged, Unknown:
		r.Cause = pickOf(w.dice, []string{"", "OperationDenied", "InternalError"})
		r.Halt = w.chance(40)
	case Pending:
		r.Back = pickOf(w.dice, []Handback{BackStopped, backBusy, BackProof, BackUnreached, BackNoWorker})
	case Skipped:
	}
	switch {
	case f.foreign && w.chance(3):
		w.end(id, Landing{Busy: "somebody"}, Pending)
	case w.chance(12):
		w.end(id, Landing{Lost: "terminated"}, Unknown)
	default:
		w.end(id, Landing{Record: &r}, r.Outcome)
	}
}

// end notes a zone's end, and what the zone is from then on.
func (w *shardWorld) end(id ZoneID, l Landing, o Outcome) {
	f, z := w.flights[id], w.records[id]
	delete(w.flights, id)
	if l.Record == nil {
		w.tell("%s ended as %s %+v", id, o, l)
	} else {
		w.tell("%s ended as %s %s %s", id, o, l.Record.Back, l.Record.Cause)
	}
	mended := failed(z.outcome) && f.start.Urgent
	switch {
	case (o == Pending || o == Unchanged) && w.skippedNow(id):
		z.outcome = Skipped
	case o == Pending && mended: // it stays as it was
	default:
		z.outcome = o
	}
	switch {
	case o == Pending && mended, o == Unknown: // earlier acknowledgements did come
	case l.Record != nil:
		z.acks = l.Record.Acks
	default:
		z.acks = nil
	}
	if o != Pending {
		w.idleSince = w.now
	}
	w.n.ends++
	w.m.Ended(w.now, id, f.start.Try, l)
}

// skippedNow says that people excluded the zone, or retired all of its hosts.
func (w *shardWorld) skippedNow(id ZoneID) bool { return w.skipped[id] || w.hostless(id) }

func (w *shardWorld) hostless(id ZoneID) bool {
	for _, m := range w.members {
		if m.ID == id {
			return !slices.ContainsFunc(m.Hosts, func(h int) bool { return !w.isRetired(id, w.hosts[h].Name) })
		}
	}
	return false
}

func (w *shardWorld) isRetired(zone ZoneID, h HostName) bool {
	return slices.ContainsFunc(w.retired, func(r RetiredHost) bool { return r.Host == h && (r.Zone == "" || r.Zone == zone) })
}

func (w *shardWorld) carryOut(c Command) {
	if w.out != nil {
		w.bad("%T after its end", c)
	}
	switch c := c.(type) {
	case StartZone:
		w.start(c)
	case CancelZone:
		f := w.flights[c.Zone]
		if f == nil || f.start.Try != c.Try || f.cancel {
			w.bad("%s is cancelled, and is not in flight, or twice", c.Zone)
		}
		f.cancel = true
	case OrderZone:
		if f := w.flights[c.Zone]; f == nil || !f.started && !f.foreign {
			w.bad("%s gets an order, and does not run: %+v", c.Zone, c.Order)
		}
	case AskProbe:
		if w.probing {
			w.bad("two probes at once")
		}
		w.probing = true
	case AskHosts:
		w.ask(c)
	case AskKeys:
		if w.stopped {
			w.bad("keys are asked for after a stop")
		}
		w.keys = append(w.keys, c.Zones...)
	case AskBegun:
		w.n.looks++
		if w.looking != nil {
			w.bad("two questions about refreshes at once")
		}
		for _, id := range c.Zones {
			if w.flights[id] == nil {
				w.bad("%s is looked up, and is not in flight", id)
			}
		}
		w.looking = c.Zones
	case Tell:
		w.n.news++
		w.last = &c.News
		w.heard(c.News)
	case End:
		w.out = &c.Out
	}
}

// giveUp takes the zones that did not start in time out of flight: all of them
// must have been cancelled.
func (w *shardWorld) giveUp() {
	for id, f := range w.flights {
		if f.started || f.foreign || w.now.Sub(f.at) < w.in.StartWithin {
			continue
		}
		if !f.cancel {
			w.bad("%s did not start in time, and is not cancelled", id)
		}
		w.tell("%s did not start", id)
		delete(w.flights, id)
		z := w.records[id]
		z.tries = handedBack + 1 // no try is left until people resume
		if !f.start.Urgent || !failed(z.outcome) {
			z.outcome, z.acks = Pending, nil
		}
		if w.skippedNow(id) {
			z.outcome = Skipped
		}
	}
}

func (w *shardWorld) start(c StartZone) {
	w.giveUp()
	w.n.starts++
	w.tell("starts %s, try %d, %s", c.Zone, c.Try, c.Verb)
	z, taken := w.records[c.Zone], 0
	for _, f := range w.flights {
		if !f.news.Loose {
			taken++
		}
	}
	switch {
	case w.flights[c.Zone] != nil:
		w.bad("%s is in flight already", c.Zone)
	case w.stopped || w.halted || w.refused || w.closed:
		w.bad("%s starts after a stop", c.Zone)
	case z.outcome == Done || z.outcome == Skipped:
		w.bad("%s starts, and is %s", c.Zone, z.outcome)
	case w.skippedNow(c.Zone):
		w.bad("%s starts, and is skipped", c.Zone)
	case taken >= w.window:
		w.bad("%s starts, and %d of %d slots are taken", c.Zone, taken, w.window)
	case c.Urgent != failed(z.outcome) && z.outcome != Unchanged:
		w.bad("%s is %s, and urgent is %t", c.Zone, z.outcome, c.Urgent)
	case w.isStrange(c) && w.crowd() == CrowdMany:
		w.bad("%s starts, and nobody knows its key, nor those of others", c.Zone)
	case w.isStrange(c) && w.crowd() == crowdTold && c.Verb == Rotate:
		w.bad("%s is refreshed, and was in a past that Temporal does not have", c.Zone)
	case !c.ClosesAt.IsZero() && !c.Urgent && !w.now.Before(c.ClosesAt):
		w.bad("%s starts when the calendar is closed", c.Zone)
	}
	if z.tries++; z.tries > handedBack+1 {
		w.bad("%s is tried for the %d. time", c.Zone, z.tries)
	}
	if !c.Urgent && !w.in.Emergency {
		w.checkProofs(c)
	}
	w.flights[c.Zone] = &modelFlight{start: c, at: w.now}
}

func (w *shardWorld) checkProofs(c StartZone) {
	if len(c.Proofs) != len(c.Hosts) || len(c.Hosts) == 0 {
		w.bad("%s has %d hosts and %d proofs", c.Zone, len(c.Hosts), len(c.Proofs))
	}
	for _, p := range c.Proofs {
		if age := w.now.Sub(p.At); age > w.in.Timing.ProofFor.D() || p.Problem != "" || !w.proofs[p.Host] {
			w.bad("%s starts with a proof of %s that is %s old: %q", c.Zone, p.Host, age, p.Problem)
		}
	}
}

func (w *shardWorld) ask(c AskHosts) {
	w.n.asks++
	if w.stopped {
		w.bad("hosts are asked after a stop")
	}
	if slices.ContainsFunc(w.batches, func(b AskHosts) bool { return b.Location == c.Location }) {
		w.bad("location %s is asked twice at once", c.Location)
	}
	for _, h := range c.Hosts {
		if len(h.Zones) == 0 || h.Host.Location != c.Location {
			w.bad("%s is asked in %s about %d zones", h.Host.Name, c.Location, len(h.Zones))
		}
	}
	w.batches = append(w.batches, c)
}

// heard checks what the campaign is told.
func (w *shardWorld) heard(n ShardNews) {
	if n.Note.Halt != "" && !w.halted {
		w.halted = true
		w.n.halts++
	}
	if !n.Idle.IsZero() {
		w.n.idles++
		if w.stopped || n.Idle.Before(w.idleSince) || w.now.Sub(n.Idle) < w.in.StallAfter {
			w.bad("it says idle since %s, stopped is %t, and something got on at %s", n.Idle.Sub(admissionNoon), w.stopped, w.idleSince.Sub(admissionNoon))
		}
	}
	if len(n.Waits) > maxWaits {
		w.bad("%d groups that wait", len(n.Waits))
	}
}

// judge compares what the machine says with the model, after every event.
func (w *shardWorld) judge() {
	if !w.m.loaded {
		return
	}
	n := w.m.News(w.now)
	var truly Counts
	pairs := HostCounts{}
	kept := true
	for _, m := range w.members {
		z, f := w.records[m.ID], w.flights[m.ID]
		o := z.outcome
		if f != nil && f.news.Exposed {
			o = Exposed
		}
		truly.Count(o)
		kept = kept && (f == nil || f.news.Kept || f.start.Verb == Repair)
		pairs = pairs.Plus(w.pairsOf(m, z))
	}
	w.compare(n, truly, pairs, kept)
}

func (w *shardWorld) pairsOf(m Member, z *modelZone) HostCounts {
	n := HostCounts{Total: len(m.Hosts)}
	for _, h := range m.Hosts {
		name := w.hosts[h].Name
		switch {
		case slices.ContainsFunc(z.acks, func(a HostTime) bool { return a.Host == name }):
			n.Acknowledged++
		case w.isRetired(m.ID, name):
			n.Retired++
		}
	}
	return n
}

func (w *shardWorld) compare(n ShardNews, truly Counts, pairs HostCounts, kept bool) {
	got := n.Tally.Zones
	switch {
	case !got.Balanced() || got.Total != len(w.members):
		w.bad("the counts do not add up: %+v", got)
	case n.Standing.Sum() != got.Pending:
		w.bad("%d zones are pending, and they stand as %+v", got.Pending, n.Standing)
	case n.Standing.NotBegun > 0 && n.Standing.NotBegun > got.Total-len(w.flights):
		w.bad("%d not begun, and %d of %d are in flight", n.Standing.NotBegun, len(w.flights), got.Total)
	case n.Tally.Hosts != pairs:
		w.bad("it says %+v of pairs, and there are %+v", n.Tally.Hosts, pairs)
	case w.stopped && n.Quiet != kept:
		w.bad("it says quiet %t, and all in flight is kept is %t", n.Quiet, kept)
	case n.Quiet && !w.stopped && !w.halted && !w.m.stopped:
		w.bad("it says quiet, and nobody stopped it")
	case w.out == nil && n.Kept > len(w.flights):
		w.bad("%d kept", n.Kept)
	case got != truly:
		w.bad("it says %+v, and the zones are %+v", got, truly)
	}
}

// bringHome repairs the world: every question is answered, zones end done, and
// people resume. The shard must end then, with every zone done or skipped.
func (w *shardWorld) bringHome() {
	for range 2000 {
		if w.out != nil {
			break
		}
		switch {
		case len(w.flights) > 0:
			w.home()
		case w.m.stopped && !w.closed:
			w.follow(Control{Seq: w.m.in.Seq + 1, Window: 3, Retry: true, Told: true, Surprised: w.m.in.Surprised})
		case w.m.in.ClosesAt != (time.Time{}):
			w.follow(Control{Seq: w.m.in.Seq + 1, Window: 3})
		case len(w.keys) > 0:
			w.answerKeys()
		case len(w.batches) > 0:
			w.answerBatch(0)
		case w.probing:
			w.probing = false
			w.m.Probed()
		case !w.m.loaded:
			w.load()
		default:
			w.now = w.m.Wake(w.now)
			if w.now.IsZero() {
				w.bad("nothing is under way, it is not stopped, and it wants nothing")
			}
		}
		w.settle()
	}
	if w.out == nil {
		w.bad("it does not end")
	}
	if w.m.loaded && !w.closed && !w.refused {
		for _, r := range w.m.Records() {
			if r.Outcome != Done && r.Outcome != Skipped && w.m.asideHost(w.m.byID[r.Zone]) == nil && w.records[r.Zone].tries <= handedBack && !failed(r.Outcome) {
				w.bad("%s is left as %s (%s)", r.Zone, r.Outcome, r.Why)
			}
		}
	}
	if c := w.out.Tally.Zones; !c.Balanced() || c.Total != len(w.members) {
		w.bad("the end does not add up: %+v", c)
	}
}

func (w *shardWorld) home() {
	id := w.inFlight()[0]
	f := w.flights[id]
	if !f.started && !f.foreign {
		f.started = true
		w.m.Started(w.now, id, f.start.Try)
		return
	}
	i := slices.IndexFunc(w.members, func(m Member) bool { return m.ID == id })
	w.end(id, Landing{Record: &Record{Zone: id, Outcome: Done, To: "n", Acks: w.acks(w.members[i])}}, Done)
}

func TestAdmissionMillionEvents(t *testing.T) {
	events := 1_000_000
	if testing.Short() {
		events = 100_000
	}
	var n admissionCounts
	for seed := uint64(1); n.events < events; seed++ {
		w := newShardWorld(t, seed, &n)
		loadAt := w.dice.IntN(6)
		for i := range 400 {
			if w.out != nil {
				break
			}
			if i == loadAt && !w.m.loaded {
				w.load()
				w.settle()
			}
			w.step()
		}
		w.bringHome()
	}
	t.Logf("%+v", n)
}
