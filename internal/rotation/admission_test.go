package rotation

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// shardTalker holds a conversation with Admission. It shows what is wanted now,
// by kind.
type shardTalker struct {
	*testing.T
	m     *Admission
	now   time.Time
	news  ShardNews
	tells int                    // how often the campaign was told
	drift map[ZoneID]Fingerprint // what gw-1 holds otherwise than expected
	out   *ShardOut
}

func shardTalk(t *testing.T, zones int, in Setup) *shardTalker {
	in.StallAfter, in.ProofsWithin, in.StartWithin = time.Minute, time.Minute, time.Minute
	if in.Window == 0 {
		in.Window = 2
	}
	in.Timing = Timing{ProofFor: Span(time.Minute), ExposedAfter: Span(30 * time.Second)}
	k := &shardTalker{T: t, now: admissionNoon}
	k.m = NewAdmission(k.now, in)
	if zones > 0 {
		k.load(zones, nil)
	}
	return k
}

func (k *shardTalker) load(zones int, found []Found) {
	var members []Member
	for i := range zones {
		members = append(members, Member{ID: ZoneID(fmt.Sprintf("z%d", i+1)), Baseline: "b", Hosts: []int{0}})
	}
	k.m.Loaded([]HostRef{{Name: "gw-1", Location: "hk"}}, members, found)
}

// next returns the commands except news, which it keeps.
func (k *shardTalker) next() []Command {
	var all []Command
	for _, c := range k.m.Next(k.now) {
		switch c := c.(type) {
		case Tell:
			k.news = c.News
			k.tells++
		case End:
			k.out = &c.Out
		default:
			all = append(all, c)
		}
	}
	return all
}

// wants checks which commands come next.
func (k *shardTalker) wants(kinds ...string) []Command {
	k.Helper()
	all := k.next()
	var got []string
	for _, c := range all {
		kind := reflect.TypeOf(c).Name()
		if s, ok := c.(StartZone); ok {
			kind += " " + string(s.Zone)
		}
		got = append(got, kind)
	}
	if !slices.Equal(got, kinds) {
		k.Fatalf("at %s it wants %q, and not %q", k.now.Sub(admissionNoon), got, kinds)
	}
	return all
}

// prove answers the probe and the proofs of gw-1.
func (k *shardTalker) prove() {
	k.Helper()
	k.wants("AskProbe")
	k.m.Probed()
	k.wants("AskHosts")
	k.m.Proved(k.now, "hk", []Proof{{Host: "gw-1", At: k.now}}, false)
}

// wake lets time pass until Admission wants to wake, which must be at that
// time.
func (k *shardTalker) wake(at time.Duration) {
	k.Helper()
	if k.now = k.m.Wake(k.now); k.now.Sub(admissionNoon) != at {
		k.Fatalf("it wakes at %s, and not at %s", k.now.Sub(admissionNoon), at)
	}
}

func (k *shardTalker) run(zones ...ZoneID) {
	for _, z := range zones {
		k.m.Started(k.now, z, k.m.byID[z].tries)
	}
}

func (k *shardTalker) end(z ZoneID, r Record) {
	k.m.Ended(k.now, z, k.m.byID[z].tries, Landing{Record: &r})
}

func TestAdmissionGoodPath(t *testing.T) {
	k := shardTalk(t, 3, Setup{})
	k.prove()
	k.wants("StartZone z1", "StartZone z2", "AskHosts") // the proof of z3 is asked for in advance
	k.m.Proved(k.now, "hk", []Proof{{Host: "gw-1", At: k.now}}, false)
	k.run("z1", "z2")
	k.now = k.now.Add(2 * time.Second)
	k.end("z1", Record{Outcome: Done, To: "n", Acks: []HostTime{{Host: "gw-1"}}})
	k.wants("StartZone z3")
	k.run("z3")
	k.end("z2", Record{Outcome: Done, To: "n", Acks: []HostTime{{Host: "gw-1"}}})
	k.end("z3", Record{Outcome: Done, To: "n"})
	k.wants()
	if k.out == nil || k.out.Tally.Zones.Done != 3 || k.out.Tally.Hosts != (HostCounts{Total: 3, Acknowledged: 2}) {
		t.Errorf("%+v", k.out)
	}
}

// When zones have been silent for a second and none ends any more, one question to
// Temporal asks about all of them. It is repeated at growing gaps for those that are still queued. A
// zone whose refresh has begun hears since when, and is not asked about any
// more.
func TestAdmissionLooksUpSilentZones(t *testing.T) {
	k := shardTalk(t, 3, Setup{Window: 3})
	k.prove()
	k.wants("StartZone z1", "StartZone z2", "StartZone z3")
	k.run("z1", "z2", "z3")
	k.wants()
	k.m.Heard(k.now, ZoneNews{Zone: "z3", Standing: Dead})
	k.wake(time.Second)
	if look := k.wants("AskBegun")[0].(AskBegun); !slices.Equal(look.Zones, []ZoneID{"z1", "z2"}) {
		t.Errorf("it asks about %v", look.Zones)
	}
	begun := k.now.Add(-time.Second)
	k.m.HeardBegun([]RefreshSeen{{Zone: "z1", Begun: begun}, {Zone: "z2", Queued: true}})
	if o := k.wants("OrderZone")[0].(OrderZone); o.Zone != "z1" || !o.Order.Begun.Equal(begun) {
		t.Errorf("%+v", o)
	}
	for _, at := range []time.Duration{2, 4, 8, 16, 31, 46} {
		for k.now.Sub(admissionNoon) < at*time.Second {
			k.now = k.m.Wake(k.now)
			if c := k.next(); len(c) > 0 {
				if look := c[0].(AskBegun); k.now.Sub(admissionNoon) != at*time.Second || !slices.Equal(look.Zones, []ZoneID{"z2"}) {
					t.Fatalf("at %s it asks about %v", k.now.Sub(admissionNoon), look.Zones)
				}
			}
		}
		k.m.HeardBegun([]RefreshSeen{{Zone: "z2", Queued: true}})
	}
}

// Of a refresh that a process took a moment ago nobody knows whether it waits for its turn.
// It is asked about again as soon as its process has said so, however often that was asked
// before, and without the others.
func TestAdmissionAsksAgainAboutWhatWasJustTaken(t *testing.T) {
	k := shardTalk(t, 2, Setup{Window: 2})
	k.prove()
	k.wants("StartZone z1", "StartZone z2")
	k.run("z1", "z2")
	for range 3 { // the gaps grow meanwhile
		k.now = k.m.Wake(k.now)
		k.wants("AskBegun")
		k.m.HeardBegun([]RefreshSeen{{Zone: "z1", Queued: true}, {Zone: "z2", Queued: true}})
	}
	k.now = k.m.Wake(k.now)
	k.wants("AskBegun")
	asked, says := k.now, k.now.Add(400*time.Millisecond)
	k.m.HeardBegun([]RefreshSeen{{Zone: "z1", Taken: says}, {Zone: "z2", Queued: true}})
	k.wants()
	if k.now = k.m.Wake(k.now); !k.now.Equal(says) {
		t.Errorf("it is asked again after %s", k.now.Sub(asked))
	}
	if look := k.wants("AskBegun")[0].(AskBegun); !slices.Equal(look.Zones, []ZoneID{"z1"}) {
		t.Errorf("it asks about %v", look.Zones)
	}
	k.m.HeardBegun([]RefreshSeen{{Zone: "z1", Begun: asked}})
	k.wants("OrderZone")
}

// As long as others end, a zone is not asked about before it has been silent for five
// seconds.
func TestAdmissionIsPatientWhileZonesEnd(t *testing.T) {
	k := shardTalk(t, 40, Setup{Window: 2})
	k.prove()
	k.next()
	k.m.Proved(k.now, "hk", []Proof{{Host: "gw-1", At: k.now}}, false)
	k.run("z1", "z2")
	last := ZoneID("z2")
	for range 8 { // z1 waits, and every 600 ms another one ends
		k.now = k.now.Add(600 * time.Millisecond)
		for _, c := range k.next() {
			if ask, asks := c.(AskBegun); asks {
				t.Fatalf("after %s it asks about %v", k.now.Sub(admissionNoon), ask.Zones)
			}
		}
		k.end(last, Record{Outcome: Done, To: "n"})
		for more := k.next(); len(more) > 0; more = k.next() {
			for _, c := range more {
				if start, starts := c.(StartZone); starts {
					last = start.Zone
					k.run(last)
				}
				if hosts, asks := c.(AskHosts); asks {
					k.m.Proved(k.now, hosts.Location, []Proof{{Host: "gw-1", At: k.now}}, false)
				}
			}
		}
	}
	k.now = k.now.Add(200 * time.Millisecond)
	asked := slices.ContainsFunc(k.next(), func(c Command) bool { _, asks := c.(AskBegun); return asks })
	if !asked {
		t.Errorf("after %s nobody asks about z1", k.now.Sub(admissionNoon))
	}
}

// Each time that a shard tells its campaign something, the campaign's timeline
// gets a line. So mere progress is told at growing gaps, and what happens to
// zones of a stopped shard at most once a second. A failure that may exhaust
// the budget is told at once.
func TestAdmissionNewsIsRare(t *testing.T) {
	k := shardTalk(t, 300, Setup{Window: 2, Last: true})
	k.prove()
	until := func(end time.Duration, happens func()) (tells int) {
		for tells = k.tells; k.now.Sub(admissionNoon) < end; k.now = k.now.Add(100 * time.Millisecond) {
			happens()
			k.next()
		}
		return k.tells - tells
	}
	progress := until(time.Minute, func() {
		for _, z := range k.m.zones {
			if z.flight != nil {
				k.run(z.ID)
				k.end(z.ID, Record{Outcome: Done, To: "n"})
				k.m.Proved(k.now, "hk", []Proof{{Host: "gw-1", At: k.now}}, false)
				return
			}
		}
	})
	if progress < 5 || progress > 10 {
		t.Errorf("a minute of progress is told %d times", progress)
	}
	k = shardTalk(t, 40, Setup{Window: 40, Last: true})
	k.prove()
	k.next()
	tells, n := k.tells, 0
	exposed := func() {
		n++
		id := ZoneID(fmt.Sprintf("z%d", n))
		k.run(id)
		k.m.Heard(k.now, ZoneNews{Zone: id, Standing: Dead, Exposed: true})
	}
	exposed()
	if k.next(); k.tells != tells+1 {
		t.Error("an exposed zone is not told at once")
	}
	k.m.Follow(Control{Seq: 1, Stop: true})
	k.next()
	if more := until(3*time.Second, exposed); n < 30 || more > 4 {
		t.Errorf("%d zones of a stopped shard that turn exposed within 3 s are told %d times", n, more)
	}
}

// A zone counts as exposed as long as it says so.
func TestAdmissionExposureIsTakenBack(t *testing.T) {
	k := shardTalk(t, 1, Setup{})
	k.prove()
	k.wants("StartZone z1")
	k.run("z1")
	k.m.Heard(k.now, ZoneNews{Zone: "z1", Standing: Dark, Exposed: true, Why: "EdgeOne does not say which key is live"})
	k.wants()
	if n := k.news; n.Tally.Zones.Exposed != 1 || n.Exposed != 1 || n.Standing.Sum() != 0 || len(n.Note.Attention) != 1 {
		t.Errorf("%+v", n)
	}
	k.m.Heard(k.now, ZoneNews{Zone: "z1", Standing: Held, Why: "a lost request may still land", Until: k.now.Add(time.Minute), Loose: true})
	k.wake(time.Second)
	k.wants()
	if n := k.news; n.Tally.Zones.Pending != 1 || n.Exposed != 0 || n.Standing.Held != 1 || n.InFlight != 0 {
		t.Errorf("%+v", n)
	}
	if w := k.news.Waits; len(w) != 1 || w[0].Standing != Held || w[0].Until.IsZero() || w[0].Example != "z1" {
		t.Errorf("%+v", w)
	}
}

// If zones are at their refresh and nothing is executed, the shard is idle, and
// says why. Hours in which nothing could start do not count.
func TestAdmissionIdle(t *testing.T) {
	k := shardTalk(t, 2, Setup{})
	k.prove()
	k.wants("StartZone z1", "StartZone z2")
	k.run("z1", "z2")
	skew := "EdgeOne rejects the time of the signature"
	for k.news.Idle.IsZero() && k.now.Sub(admissionNoon) < time.Hour {
		k.now = k.m.Wake(k.now)
		for _, c := range k.next() {
			if look, ok := c.(AskBegun); ok {
				k.m.HeardBegun([]RefreshSeen{{Zone: look.Zones[0], Text: skew}, {Zone: look.Zones[1], Text: skew}})
			}
		}
	}
	if got := k.now.Sub(admissionNoon); got != time.Minute || !slices.Equal(k.news.Causes, []Cause{{2, skew}}) {
		t.Fatalf("told after %s: %+v", got, k.news.Causes)
	}
	k.m.Heard(k.now, ZoneNews{Zone: "z1", Standing: Dead})
	k.next()
	if !k.news.Idle.IsZero() {
		t.Error("a refresh was executed, and it is told as idle")
	}
	k.m.Follow(Control{Seq: 1, Stop: true, Window: 2})
	k.wants("CancelZone", "CancelZone")
	k.now = k.now.Add(time.Hour)
	k.m.Follow(Control{Seq: 2, Stop: true, Window: 2})
	k.wants("AskBegun")
	if !k.news.Idle.IsZero() {
		t.Error("an hour in which nothing could start is told as idle")
	}
}

// A host need not try again what it tried for a proof that still stands. After a failure,
// and where a zone came back, it must.
func TestAdmissionProvesAgain(t *testing.T) {
	k := shardTalk(t, 3, Setup{})
	k.wants("AskProbe")
	k.m.Probed()
	asks := func(again bool, answer Proof) {
		t.Helper()
		for _, c := range k.next() {
			if c, is := c.(AskHosts); is {
				if got := c.Hosts[0].Again; got != again {
					t.Errorf("at %s again is %t", k.now.Sub(admissionNoon), got)
				}
				answer.Host = "gw-1"
				k.m.Proved(k.now, "hk", []Proof{answer}, false)
				return
			}
		}
		t.Fatal("nothing is asked")
	}
	asks(false, Proof{Problem: "disk full"})
	asks(false, Proof{At: k.now})
	asks(true, Proof{At: k.now})
	k.now = k.now.Add(31 * time.Second)
	k.run("z1", "z2")
	asks(true, Proof{At: k.now})
	k.end("z1", Record{Outcome: Pending, Back: BackNoWorker, Why: "no worker took the refresh"})
	asks(false, Proof{At: k.now})
}

// Zones that come back unsent and are tried again with new proofs have made no
// progress. The time until the new proofs are there does not count, but what
// was counted before is kept.
func TestAdmissionIdleOverHandbacks(t *testing.T) {
	k := shardTalk(t, 1, Setup{})
	k.prove()
	for range 3 {
		k.wants("StartZone z1")
		k.run("z1")
		k.now = k.now.Add(29 * time.Second)
		k.next()
		k.end("z1", Record{Outcome: Pending, Back: BackNoWorker, Why: "no worker took the refresh"})
		k.wants("AskHosts")
		k.now = k.now.Add(10 * time.Second)
		k.m.Proved(k.now, "hk", []Proof{{Host: "gw-1", At: k.now}}, false)
	}
	k.wants("StartZone z1")
	if told := k.news.Idle.Sub(admissionNoon); told != 20*time.Second || !slices.Equal(k.news.Causes, []Cause{{1, "no worker took the refresh"}}) {
		t.Errorf("after %s it is idle since %s because of %v", k.now.Sub(admissionNoon), told, k.news.Causes)
	}
}

// If no probe comes, the shard stalls once the time that a probe may take is
// over.
func TestAdmissionIdleWithoutAProbe(t *testing.T) {
	k := shardTalk(t, 2, Setup{})
	k.wants("AskProbe")
	for k.news.Idle.IsZero() && k.now.Sub(admissionNoon) < time.Hour {
		k.now = k.m.Wake(k.now)
		k.wants()
	}
	if got := k.now.Sub(admissionNoon); got != 2*time.Minute || len(k.news.Causes) != 1 || k.news.Causes[0].Zones != 2 || !strings.Contains(k.news.Causes[0].Why, "no probe") {
		t.Errorf("told after %s: %+v", got, k.news.Causes)
	}
}

// A stop is answered at once while the page, an earlier run's records or a probe
// are waited for.
func TestAdmissionStopsWhileItWaits(t *testing.T) {
	before := ShardOut{Tally: Tally{Zones: Counts{Total: 3, Exposed: 1, Pending: 2}}, Note: ShardNote{Attention: []Attention{{Zone: "z1"}}}}
	for _, loaded := range []int{0, 3} {
		k := shardTalk(t, loaded, Setup{Before: before, Again: true})
		k.next()
		k.m.Follow(Control{Seq: 1, Stop: true, Window: 2})
		k.wants()
		if !k.news.Quiet || k.news.Seq != 1 || k.news.Tally.Zones.Total != 3 {
			t.Errorf("it is not quiet: %+v", k.news)
		}
		if loaded == 0 && (k.news.Tally.Zones.Exposed != 1 || k.news.Mending != before.Tally.Zones || k.news.Standing.Sum() != 2) {
			t.Errorf("what was known of the page is lost: %+v", k.news)
		}
		k.m.Follow(Control{Seq: 2, Close: true, Window: 2})
		if k.wants(); k.out == nil {
			t.Error("it does not end")
		}
	}
}

// Five zones in a row that never reached EdgeOne stop the shard; zones that came
// back for other reasons never do.
func TestAdmissionBreaker(t *testing.T) {
	for back, stops := range map[Handback]bool{
		BackUnreached: true, BackStopped: false, backBusy: false, backAside: false, BackProof: false, BackNoWorker: false,
	} {
		k := shardTalk(t, 9, Setup{Window: 1, Emergency: true})
		for range 9 {
			for _, c := range k.next() {
				if s, ok := c.(StartZone); ok {
					k.run(s.Zone)
					k.end(s.Zone, Record{Outcome: Pending, Back: back, Why: "connection refused"})
				}
			}
		}
		k.next()
		if halted := k.news.Note.Halt != ""; halted != stops {
			t.Errorf("%s: %q", back, k.news.Note.Halt)
		}
		if stops && !strings.Contains(k.news.Note.Halt, "5 zones in a row never reached EdgeOne, their old keys are alive") {
			t.Errorf("%s", k.news.Note.Halt)
		}
	}
}

// A host that fails twice is set aside. Its zones wait, and it is named as the
// reason. When it is retired they go on without it.
func TestAdmissionSetAsideAndRetired(t *testing.T) {
	k := shardTalk(t, 0, Setup{})
	k.m.Loaded([]HostRef{{Name: "gw-1", Location: "hk"}, {Name: "gw-2", Location: "eu"}},
		[]Member{{ID: "z1", Baseline: "b", Hosts: []int{0, 1}}, {ID: "z2", Baseline: "b", Hosts: []int{1}}}, nil)
	k.wants("AskProbe")
	k.m.Probed()
	k.wants("AskHosts", "AskHosts")
	for range proofTries {
		k.m.Proved(k.now, "hk", []Proof{{Host: "gw-1", Problem: "disk full"}}, false)
		k.m.Proved(k.now, "eu", []Proof{{Host: "gw-2", At: k.now}}, false)
		k.next()
	}
	if len(k.news.Note.SetAside) != 1 || len(k.news.Waits) != 1 || k.news.Waits[0].Why != "host gw-1 is set aside: disk full" {
		t.Errorf("%+v", k.news)
	}
	k.m.Follow(Control{Window: 2, Decided: &Decided{Retired: []RetiredHost{{Host: "gw-1", Reason: "scrapped"}}}})
	s := k.wants("StartZone z1")[0].(StartZone)
	if len(s.Hosts) != 1 || s.Hosts[0].Name != "gw-2" {
		t.Errorf("%+v", s)
	}
	if k.news.Tally.Hosts != (HostCounts{Total: 3, Retired: 1}) {
		t.Errorf("%+v", k.news.Tally.Hosts)
	}
}

// When a bastion is lost, the bastion is set aside in place of all hosts behind
// it, and their zones wait for it alone.
func TestAdmissionSetsABastionAside(t *testing.T) {
	k := shardTalk(t, 0, Setup{})
	var hosts []HostRef
	var zones []Member
	var proofs []Proof
	for i := range 30 {
		name := HostName(fmt.Sprintf("gw-%d", i))
		hosts = append(hosts, HostRef{Name: name, Location: "hk"})
		zones = append(zones, Member{ID: ZoneID(fmt.Sprintf("z%d", i)), Baseline: "b", Hosts: []int{i}})
		proofs = append(proofs, Proof{Host: name, Problem: "connect: bastion jump is lost", Bastion: "jump"})
	}
	proofs[0] = Proof{Host: "gw-0", Problem: "disk full"}
	k.m.Loaded(hosts, zones, nil)
	k.wants("AskProbe")
	k.m.Probed()
	for k.out == nil {
		for _, c := range k.next() {
			asked, is := c.(AskHosts)
			if !is {
				continue
			}
			var answers []Proof
			for _, h := range asked.Hosts {
				i := slices.IndexFunc(proofs, func(p Proof) bool { return p.Host == h.Host.Name })
				answers = append(answers, proofs[i])
			}
			k.m.Proved(k.now, "hk", answers, false)
		}
		k.now = k.now.Add(time.Second)
	}
	want := []Attention{{Bastion: "jump", Hosts: 29, Why: "connect: bastion jump is lost"}, {Host: "gw-0", Why: "disk full"}}
	if got := k.out.Note.SetAside; !slices.Equal(got, want) {
		t.Errorf("set aside are %+v, want %+v", got, want)
	}
	whys := map[string]int{}
	for _, w := range k.news.Waits {
		whys[w.Why]++
	}
	if len(whys) != 2 || whys["hosts behind bastion jump are set aside: connect: bastion jump is lost"] != 1 {
		t.Errorf("zones wait for %+v, want two things", k.news.Waits)
	}
}

func TestAsideTogether(t *testing.T) {
	got := AsideTogether([]Attention{{Bastion: "jump", Hosts: 3}, {Host: "gw-1"}, {Bastion: "jump", Hosts: 29}, {Host: "gw-1"}, {Bastion: "other", Hosts: 1}})
	var who []string
	for _, a := range got {
		who = append(who, a.Who())
	}
	if said := strings.Join(who, ", "); said != "bastion jump (29 hosts or more), gw-1, gw-1, bastion other (1 host)" {
		t.Errorf("got %s", said)
	}
}

// When another shard of the campaign started a zone, the zone is asked to tell
// its news again.
func TestAdmissionAdoptsAnOrphan(t *testing.T) {
	k := shardTalk(t, 1, Setup{Emergency: true})
	k.wants("StartZone z1")
	k.m.Foreign(k.now, "z1", 1)
	if o := k.wants("OrderZone")[0].(OrderZone); !o.Order.Tell {
		t.Errorf("%+v", o)
	}
	k.m.Follow(Control{Seq: 1, Stop: true, Window: 2})
	k.wants("CancelZone")
	if k.news.Quiet {
		t.Error("quiet, and nobody knows whether the zone may still refresh")
	}
	k.m.Heard(k.now, ZoneNews{Zone: "z1", Standing: Dead, Kept: true})
	if k.wants(); !k.news.Quiet || k.news.Kept != 1 {
		t.Errorf("%+v", k.news)
	}
}

func TestWaitsAreAtMostEight(t *testing.T) {
	k := shardTalk(t, 12, Setup{Window: 12, Emergency: true})
	k.next()
	for i, z := range k.m.zones {
		k.run(z.ID)
		k.m.Heard(k.now, ZoneNews{Zone: z.ID, Standing: Dead, Why: fmt.Sprintf("gw-%d: refused", i)})
	}
	k.m.Heard(k.now, ZoneNews{Zone: "z12", Standing: Held, Why: "a lost request may still land"})
	waits := k.m.waits()
	zones := 0
	for _, w := range waits {
		zones += w.Zones
	}
	if len(waits) != maxWaits || zones != 12 || waits[6].Zones != 5 || waits[6].Why != "gw-6: refused, and other reasons" || waits[7].Standing != Held {
		t.Errorf("%d zones: %+v", zones, waits)
	}
}
