package rotation

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// A conversation is what happens to a zone, line by line, and where each line
// leads:
//
//	[+DURATION] EVENT [ARGS] -> PHASE [OUTCOME] [CHECK=VALUE ...]
//
// Time passes only by +DURATION, by waited, which goes to the end of the wait,
// and by look, which goes to the next read of a held zone. Every refresh is
// signed at the moment of its line. Checks are made after the line. Lists are
// joined with commas.
type conversation struct {
	name  string
	story string
	// why is part of the reason at the end.
	why string
}

var talk = Timing{
	ProofFor:      Span(time.Minute),
	Settle:        Span(10 * time.Second),
	SignatureLife: Span(300 * time.Second),
	ExposedAfter:  Span(30 * time.Second),
	DeliverFor:    Span(time.Hour),
}

type talker struct {
	*testing.T
	trip *Trip
	now  time.Time
	line string
}

func (c conversation) hold(t *testing.T) *Trip {
	k := &talker{T: t, now: noon}
	for line := range strings.Lines(c.story) {
		if k.line = strings.TrimSpace(line); k.line != "" {
			k.say()
		}
	}
	if c.why != "" && !strings.Contains(k.trip.Why, c.why) {
		t.Errorf("ended because %q, which does not say %q", k.trip.Why, c.why)
	}
	return k.trip
}

func (k *talker) say() {
	k.Helper()
	said, want, ok := strings.Cut(k.line, "->")
	if !ok {
		k.Fatalf("%q leads nowhere", k.line)
	}
	words := strings.Fields(said)
	if d, found := strings.CutPrefix(words[0], "+"); found {
		k.now = k.now.Add(k.duration(d))
		words = words[1:]
	}
	k.happen(words[0], words[1:])
	k.check(strings.Fields(want))
}

func (k *talker) duration(s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		k.Fatalf("%q: %v", k.line, err)
	}
	return d
}

func (k *talker) happen(event string, args []string) {
	arg := strings.Join(args, " ")
	switch event {
	case "rotate", "repair":
		k.begin(Verb(event), args)
	case "staged":
		k.trip = NewStagedTrip("zone-1", []HostName{"h1", "h2"}, talk, Fingerprint(strings.TrimPrefix(args[0], "-")))
		k.trip.Lenient = len(args) > 1
	case "rollback": // KEY FOR
		k.trip = NewRollback("zone-1", []HostName{"h1", "h2"}, talk, Former{Key: Fingerprint(args[0]), For: Fingerprint(args[1])})
	case "moved":
		k.trip.KeyMoved(Fingerprint(arg))
	case "minted":
		k.trip.KeyMinted(Fingerprint(arg))
	case "beside":
		k.beside(args)
	case "switched":
		k.trip.Switched(k.now, k.now)
	case "swept":
		k.trip.Swept(nil)
	case "left":
		k.trip.Swept([]HostName{HostName(arg)})
	case "proved":
		k.trip.Proved(k.now, arg, BackProof)
	case "drift":
		k.trip.SawDrift(Fingerprint(arg))
	case "refreshed":
		k.trip.Refreshed(k.now, k.now, Fingerprint(arg))
	case "lost":
		k.trip.GivenUp(k.now, k.now, "no answer")
	case "refused":
		k.trip.RefusedBy(k.now, "OperationDenied", "OperationDenied", arg == "all")
	case "unsent":
		k.trip.NotSent(k.now, "proofs expired", BackProof, arg == "again")
	case "read":
		k.trip.Read(k.now, Fingerprint(arg))
	case "unreadable":
		k.trip.Unreadable(k.now, "InternalError", "InternalError", false)
	case "began":
		k.trip.Began(k.now)
	case "early":
		k.trip.Early(k.now, Fingerprint(arg))
	case "running":
		k.trip.Running()
	case "exposed":
		k.trip.ExposedFrom(k.now.Add(-k.duration(arg)))
	case "resume":
		k.trip.Resume(k.now)
	case "rehost":
		k.trip.Rehost(k.now, []HostName{"h1", "h3"}, []HostName{HostName(arg)}, "other definitions")
	case "look":
		k.now = k.trip.Wake
		k.trip.Waited()
	case "waited":
		if k.now = k.trip.Wake; k.trip.Phase == PhaseHold {
			k.now = k.trip.HeldUntil // without a look on the way
		}
		k.trip.Waited()
	case "delivered":
		k.now = maxTime(k.now, k.trip.Wake)
		k.trip.Delivered(k.now, k.acks(args))
	case "doubt":
		k.trip.Doubt()
	case "cancel":
		k.trip.Cancelled()
	case "retire":
		k.trip.Retire(HostName(arg), "scrapped")
	case "skip":
		k.trip.Skip("customer left")
	default:
		k.Fatalf("%q: what is %s?", k.line, event)
	}
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// begin reads: BASELINE|- proved|unproved [HOST ...]
func (k *talker) begin(verb Verb, args []string) {
	hosts := []HostName{"h1", "h2"}
	baseline := Fingerprint(strings.TrimPrefix(args[0], "-"))
	k.trip = NewTrip(verb, "zone-1", hosts, talk, baseline, args[1] == "proved")
}

// acks reads, for each host: h1 (took Live), h1! (failed), h1!KEY (failed, but
// holds KEY), h1=KEY (refused to overwrite KEY), h1~KEY (says that it took KEY).
func (k *talker) acks(args []string) []Ack {
	var acks []Ack
	for _, arg := range args {
		a := Ack{Host: HostName(arg[:2]), At: k.now}
		switch {
		case len(arg) == 2:
			a.Held = k.trip.Live
		case arg[2] == '!':
			a.Problem, a.Held = "connect: no route", Fingerprint(arg[3:])
		case arg[2] == '~':
			a.Held = Fingerprint(arg[3:])
		default:
			a.Problem, a.Held, a.Refused = "holds another key", Fingerprint(arg[3:]), true
		}
		acks = append(acks, a)
	}
	return acks
}

// beside reads, for each host: h1 (has the key beside a file with the baseline), h1! (has
// not), h1=KEY (has it, beside a file with KEY).
func (k *talker) beside(args []string) {
	var asked []HostName
	var acks []Ack
	problem := ""
	for _, arg := range args {
		a := Ack{Host: HostName(arg[:2]), At: k.now, Held: k.trip.Baseline}
		asked = append(asked, a.Host)
		switch {
		case len(arg) == 2:
		case arg[2] == '!':
			problem = string(a.Host) + ": disk full"
			continue
		default:
			a.Held = Fingerprint(arg[3:])
		}
		acks = append(acks, a)
	}
	k.trip.KeyStaged(k.now, asked, acks, problem, BackStage)
}

func (k *talker) check(want []string) {
	k.Helper()
	if len(want) == 0 || string(k.trip.Phase) != want[0] {
		k.Fatalf("%q: the phase is %s", k.line, k.trip.Phase)
	}
	for _, w := range want[1:] {
		name, value, isCheck := strings.Cut(w, "=")
		if !isCheck {
			name, value = "ended", w
		}
		if got := k.get(name); got != value {
			k.Fatalf("%q: %s is %q", k.line, name, got)
		}
	}
	if (k.trip.Phase == PhaseEnded || k.trip.Phase == PhaseSweep) != (k.trip.Ended != "") {
		k.Fatalf("%q: ended is %q in phase %s", k.line, k.trip.Ended, k.trip.Phase)
	}
}

func joined[T ~string](list []T) string {
	words := make([]string, len(list))
	for i, w := range list {
		words[i] = string(w)
	}
	return strings.Join(words, ",")
}

func (k *talker) get(name string) string {
	t := k.trip
	switch name {
	case "ended":
		return string(t.Ended)
	case "live":
		return string(t.Live)
	case "baseline":
		return string(t.Baseline)
	case "sent":
		return fmt.Sprint(t.Sent)
	case "wait":
		return t.Wake.Sub(k.now).String()
	case "gap": // within a quarter of it
		wait, gap := t.Wake.Sub(k.now), backOff(t.Round)
		if wait < gap*3/4 || wait >= gap*5/4 {
			return wait.String()
		}
		return gap.String()
	case "missing":
		return joined(t.Missing())
	case "expect":
		return joined(t.Expect())
	case "replaced":
		return joined(t.Replaced)
	case "exposure":
		return t.Exposure(k.now).String()
	case "since":
		if t.Since.IsZero() {
			return "never"
		}
		return t.Since.Sub(noon).String()
	case "stands":
		return string(t.Standing())
	case "exposed":
		if t.ExposedSince().IsZero() {
			return "never"
		}
		return t.ExposedSince().Sub(noon).String()
	case "held":
		return t.HeldUntil.Sub(k.now).String()
	case "back":
		return string(t.Back)
	case "halt":
		return fmt.Sprint(t.Halt)
	}
	k.Fatalf("%q: there is no check %q", k.line, name)
	return ""
}

func TestConversations(t *testing.T) {
	for _, c := range []conversation{
		{name: "answered", story: `
			rotate b unproved     -> prove
			+1s proved            -> refresh
			refreshed k1          -> deliver live=k1 sent=1 expect=absent,b missing=h1,h2
			+300ms delivered h1 h2 -> verify missing= exposure=300ms
			+1s read k1           -> ended done exposure=300ms`},
		{name: "answered, with proofs at hand", story: `
			rotate b proved       -> refresh
			refreshed k1          -> deliver
			delivered h1 h2       -> verify
			read k1               -> ended done`},
		{name: "without a baseline it is read first, after the proofs", story: `
			rotate - unproved     -> prove
			proved                -> baseline
			read b                -> refresh baseline=b
			refreshed k1          -> deliver expect=absent,b`},
		{name: "without a baseline, proofs at hand", story: `
			rotate - proved       -> baseline
			read b                -> refresh`},
		{name: "the baseline cannot be read", story: `
			rotate - proved       -> baseline
			unreadable            -> ended unchanged sent=0`, why: "nothing was sent, the key is as it was"},
		{name: "a zone without a key gets its first", story: `
			rotate absent proved  -> refresh
			lost                  -> readback
			read k1               -> deliver live=k1 expect=absent`},
		{name: "a host cannot take a key", story: `
			rotate b unproved     -> prove
			proved h1: disk full  -> ended pending sent=0`, why: "nothing was sent"},

		{name: "lost response, changed: adopted, one refresh", story: `
			rotate b proved       -> refresh
			lost                  -> readback exposure=0s
			+5s read k1           -> deliver live=k1 sent=1 exposure=5s replaced=b
			delivered h1 h2       -> verify
			read k1               -> ended done sent=1 exposure=5s`, why: "adopted by read-back"},
		{name: "lost response, changed after the first read: dated from that read", story: `
			rotate b proved       -> refresh
			lost                  -> readback
			+5s read b            -> settle wait=10s since=never
			waited                -> readback
			+1s read k1           -> deliver since=5s exposure=11s
			delivered h1 h2       -> verify
			read k1               -> ended done sent=1`},
		{name: "lost response, unchanged twice: second refresh, hold, verify again", story: `
			rotate b proved       -> refresh
			lost                  -> readback sent=1
			+5s read b            -> settle wait=10s
			waited                -> readback
			read b                -> prove
			+1s proved            -> refresh
			refreshed k2          -> deliver live=k2 sent=2 replaced=b
			delivered h1 h2       -> verify
			read k2               -> hold held=4m54s
			waited                -> verify
			read k2               -> ended done`},
		{name: "the hold lasts until the last of two attempts is dead", story: `
			rotate b proved       -> refresh
			lost                  -> readback
			read b                -> settle
			waited                -> readback
			read b                -> prove
			proved                -> refresh
			lost                  -> readback
			read b                -> settle
			waited                -> readback
			read b                -> prove
			proved                -> refresh
			refreshed k3          -> deliver
			delivered h1 h2       -> verify
			read k3               -> hold held=5m0s
			waited                -> verify
			read k3               -> ended done`},
		{name: "late landing after the second refresh: delivered and verified again", story: `
			rotate b proved       -> refresh
			lost                  -> readback
			read b                -> settle
			waited                -> readback
			read b                -> prove
			proved                -> refresh
			refreshed k2          -> deliver
			delivered h1 h2       -> verify
			read k2               -> hold
			waited                -> verify
			read k1               -> deliver live=k1 replaced=b,k2 expect=absent,b,k2
			delivered h1 h2       -> verify
			read k1               -> ended done`, why: "yet another key"},
		{name: "late landing found at once is believed after the settle time", story: `
			rotate b proved       -> refresh
			lost                  -> readback
			read b                -> settle
			waited                -> readback
			read b                -> prove
			proved                -> refresh
			refreshed k2          -> deliver
			delivered h1 h2       -> verify
			read k1               -> settle wait=10s live=k2
			waited                -> verify
			read k1               -> deliver live=k1
			delivered h1 h2       -> verify
			read k1               -> ended done`},
		{name: "a read that lags shows a late key that was already replaced: nothing is delivered", story: `
			rotate b proved       -> refresh
			lost                  -> readback
			read b                -> settle
			waited                -> readback
			read b                -> prove
			proved                -> refresh
			refreshed k2          -> deliver
			delivered h1 h2       -> verify
			read k1               -> settle wait=10s live=k2
			waited                -> verify
			read k2               -> hold
			waited                -> verify
			read k2               -> ended done live=k2`},
		{name: "two late landings: the second is believed after the settle time, too", story: `
			rotate b proved       -> refresh
			lost                  -> readback
			read b                -> settle
			waited                -> readback
			read b                -> prove
			proved                -> refresh
			lost                  -> readback
			read b                -> settle
			waited                -> readback
			read b                -> prove
			proved                -> refresh
			refreshed k3          -> deliver
			delivered h1 h2       -> verify
			read k3               -> hold
			waited                -> verify
			read k2               -> deliver live=k2
			delivered h1 h2       -> verify
			read k1               -> settle live=k2
			waited                -> verify
			read k2               -> ended done live=k2`},
		{name: "a read that lags just after the signature's death changes nothing", story: `
			rotate b proved       -> refresh
			lost                  -> readback
			cancel                -> readback
			+304s read b          -> settle
			waited                -> readback
			read k1               -> deliver`},

		{name: "stale read: settle, nothing delivered", story: `
			rotate b proved       -> refresh
			refreshed k1          -> deliver
			delivered h1 h2       -> verify
			read b                -> settle wait=10s live=k1 missing=
			waited                -> verify
			read absent           -> settle
			waited                -> verify
			read k1               -> ended done exposure=0s`},
		{name: "unreadable read-back: unknown", story: `
			rotate b proved       -> refresh
			lost                  -> readback
			unreadable            -> ended unknown`, why: "whether the old key is alive cannot be read"},
		{name: "unreadable verification: unknown", story: `
			rotate b proved       -> refresh
			refreshed k1          -> deliver
			delivered h1 h2       -> verify
			unreadable            -> ended unknown live=k1`, why: "every host acknowledged k1"},
		{name: "unreadable after a surprise does not claim acknowledgements", story: `
			rotate b proved       -> refresh
			refreshed k1          -> deliver
			delivered h1 h2=x     -> verify
			unreadable            -> ended unknown missing=h2`, why: "1 of 2 hosts are not known to hold k1"},
		{name: "refused: unchanged", story: `
			rotate b proved       -> refresh
			refused               -> ended unchanged sent=0 halt=false`, why: "not executed, the old key is alive"},
		{name: "denied: unchanged, and every zone would fail alike", story: `
			rotate b proved       -> refresh
			refused all           -> ended unchanged halt=true`},
		{name: "refused after an ambiguity: hold, read back, unchanged", story: `
			rotate b proved       -> refresh
			lost                  -> readback
			read b                -> settle
			waited                -> readback
			read b                -> prove
			proved                -> refresh
			refused               -> hold held=5m0s
			waited                -> readback
			read b                -> ended unchanged sent=1`, why: "the old key is alive"},
		{name: "refused after an ambiguity that lands during the hold", story: `
			rotate b proved       -> refresh
			lost                  -> readback
			read b                -> settle
			waited                -> readback
			read b                -> prove
			proved                -> refresh
			refused               -> hold
			waited                -> readback
			read k1               -> deliver live=k1 since=10s exposure=5m0s
			delivered h1 h2       -> verify
			read k1               -> ended done`},
		{name: "not sent: pending", story: `
			rotate b proved       -> refresh
			unsent again          -> ended pending sent=0`, why: "nothing was sent"},
		{name: "proofs expired on the second try: proved again", story: `
			rotate b proved       -> refresh
			lost                  -> readback
			read b                -> settle
			waited                -> readback
			read b                -> prove
			proved                -> refresh
			unsent again          -> prove
			proved                -> refresh
			refreshed k2          -> deliver sent=2
			delivered h1 h2       -> verify
			read k2               -> hold`},
		{name: "the second try is never sent: hold, unchanged", story: `
			rotate b proved       -> refresh
			lost                  -> readback
			read b                -> settle
			waited                -> readback
			read b                -> prove
			proved                -> refresh
			unsent                -> hold
			waited                -> readback
			read b                -> ended unchanged`},
		{name: "a host fails its proof before the second try: hold, unchanged", story: `
			rotate b proved       -> refresh
			lost                  -> readback
			read b                -> settle
			waited                -> readback
			read b                -> prove
			proved h2: gone       -> hold
			waited                -> readback
			read b                -> ended unchanged`, why: "h2: gone"},
		{name: "three refreshes and no more", story: `
			rotate b proved       -> refresh
			lost                  -> readback sent=1
			read b                -> settle
			waited                -> readback
			read b                -> prove
			proved                -> refresh
			lost                  -> readback sent=2
			read b                -> settle
			waited                -> readback
			read b                -> prove
			proved                -> refresh
			lost                  -> readback sent=3
			read b                -> settle
			waited                -> readback
			read b                -> hold
			waited                -> readback
			read b                -> ended unchanged sent=3`},

		{name: "cancelled while proving", story: `
			rotate b unproved     -> prove
			cancel                -> prove
			proved cancelled      -> ended pending`},
		{name: "cancelled before the refresh is sent", story: `
			rotate b proved       -> refresh
			cancel                -> refresh
			unsent                -> ended pending`},
		{name: "cancelled while a refresh is answered: delivery goes on", story: `
			rotate b proved       -> refresh
			cancel                -> refresh
			refreshed k1          -> deliver
			delivered h1          -> deliver wait=0s
			cancel                -> deliver
			delivered h2          -> verify
			cancel                -> verify
			read k1               -> ended done`},
		{name: "cancelled in the read-back, changed: delivery goes on", story: `
			rotate b proved       -> refresh
			lost                  -> readback
			cancel                -> readback
			read k1               -> deliver
			delivered h1 h2       -> verify
			read k1               -> ended done`},
		{name: "cancelled in the read-back, unchanged: no second refresh, hold", story: `
			rotate b proved       -> refresh
			lost                  -> readback
			cancel                -> readback
			read b                -> settle
			waited                -> readback
			read b                -> hold held=5m0s
			waited                -> readback
			read b                -> ended unchanged sent=1`},
		{name: "cancelled while settling", story: `
			rotate b proved       -> refresh
			lost                  -> readback
			read b                -> settle
			cancel                -> settle
			waited                -> readback
			read b                -> hold`},
		{name: "cancelled while proving for the second try", story: `
			rotate b proved       -> refresh
			lost                  -> readback
			read b                -> settle
			waited                -> readback
			read b                -> prove
			cancel                -> prove
			proved cancelled      -> hold
			cancel                -> hold
			waited                -> readback
			read k1               -> deliver live=k1`},
		{name: "cancelled while the second try waits for proofs: not asked again", story: `
			rotate b proved       -> refresh
			lost                  -> readback
			read b                -> settle
			waited                -> readback
			read b                -> prove
			proved                -> refresh
			cancel                -> refresh
			unsent again          -> hold`},
		{name: "cancelled in the hold before done", story: `
			rotate b proved       -> refresh
			lost                  -> readback
			read b                -> settle
			waited                -> readback
			read b                -> prove
			proved                -> refresh
			refreshed k2          -> deliver
			delivered h1 h2       -> verify
			read k2               -> hold
			cancel                -> hold
			waited                -> verify
			read k1               -> deliver live=k1`},

		{name: "a host with an unexpected key: read again, then expected there", story: `
			rotate b proved       -> refresh
			refreshed k1          -> deliver expect=absent,b
			delivered h1 h2=x     -> verify missing=h2
			read k1               -> deliver expect=absent,b,x missing=h2
			delivered h2          -> verify
			read k1               -> ended done`},
		{name: "a host with an unexpected key, because somebody made it live", story: `
			rotate b proved       -> refresh
			refreshed k1          -> deliver
			delivered h1 h2=x     -> verify
			read x                -> settle live=k1
			waited                -> verify
			read x                -> deliver live=x expect=absent,b,k1 missing=h1,h2
			delivered h1 h2       -> verify
			read x                -> ended done live=x`},
		{name: "drift seen by a proof is expected", story: `
			rotate b unproved     -> prove
			drift x               -> prove
			drift b               -> prove
			proved                -> refresh
			refreshed k1          -> deliver expect=absent,b,x`},
		{name: "a key that a host held before is no sign that the refresh was executed", story: `
			rotate b unproved     -> prove
			drift x               -> prove
			proved                -> refresh
			lost                  -> readback
			read x                -> settle live= expect=absent,x,b
			waited                -> readback
			read x                -> prove
			proved                -> refresh
			lost                  -> readback
			read k                -> deliver live=k expect=absent,x,b`},
		{name: "nor is it in an early read", story: `
			rotate b unproved     -> prove
			drift x               -> prove
			proved                -> refresh
			began                 -> refresh
			+1s early x           -> refresh
			+1s early k           -> deliver live=k`},
		{name: "a key that a host holds only after the refresh may be the new one", story: `
			rotate b unproved     -> prove
			proved                -> refresh
			lost                  -> readback
			read b                -> settle
			waited                -> readback
			read b                -> prove
			drift k               -> prove
			proved                -> refresh
			lost                  -> readback
			read k                -> deliver live=k`},
		{name: "somebody changes the key during delivery", story: `
			rotate b proved       -> refresh
			refreshed k1          -> deliver
			delivered h1 h2!      -> deliver missing=h2
			+1m delivered h2      -> verify
			read c                -> settle live=k1
			waited                -> verify
			read c                -> deliver live=c replaced=b,k1 missing=h1,h2
			delivered h1 h2       -> verify
			read c                -> ended done live=c`},
		{name: "delivery in doubt reads again", story: `
			rotate b proved       -> refresh
			refreshed k1          -> deliver
			doubt                 -> verify
			+10s read c           -> settle
			waited                -> verify
			read c                -> deliver live=c`},
		{name: "an acknowledgement of another key is none", story: `
			rotate b proved       -> refresh
			refreshed k1          -> deliver
			delivered h1 h2!k1    -> deliver missing=h2
			delivered h2!b h1     -> deliver missing=h2
			delivered h2~b        -> deliver missing=h2
			delivered h9 h2       -> verify missing=`},
		{name: "deliverFor exhausted: exposed", story: `
			rotate b proved       -> refresh
			refreshed k1          -> deliver
			delivered h1 h2!      -> deliver wait=0s
			delivered h2!         -> deliver gap=1s
			delivered h2!         -> deliver gap=2s
			+59m delivered h2!    -> deliver
			+1m delivered h2!     -> ended exposed missing=h2`, why: "h2: connect: no route; the old key is dead, and 1 of 2 hosts are not known to hold the live key"},
		{name: "a key adopted late is delivered for as long as any other", story: `
			rotate b proved       -> refresh
			lost                  -> readback
			+2h read k1           -> deliver
			delivered h1 h2!      -> deliver
			+59m delivered h2     -> verify`},
		{name: "a key from the second try is delivered for as long as any other", story: `
			rotate b proved       -> refresh
			lost                  -> readback
			read b                -> settle
			waited                -> readback
			read b                -> prove
			+2h proved            -> refresh
			refreshed k2          -> deliver
			delivered h1 h2!      -> deliver
			+59m delivered h2     -> verify`},
		{name: "a late key is delivered for as long as any other", story: `
			rotate b proved       -> refresh
			refreshed k1          -> deliver
			+59m delivered h1 h2  -> verify
			read c                -> settle
			waited                -> verify
			read c                -> deliver
			+59m delivered h1 h2! -> deliver
			delivered h2          -> verify`},

		{name: "repair", story: `
			repair - unproved     -> baseline
			read k1               -> deliver live=k1 sent=0 expect=absent exposure=0s
			delivered h1 h2       -> verify
			read k1               -> ended done sent=0`},
		{name: "repair over the old key", story: `
			repair b unproved     -> baseline
			read k1               -> deliver expect=absent,b
			delivered h1 h2       -> verify
			read k1               -> ended done`},
		{name: "repair of what needs none", story: `
			repair b unproved     -> baseline
			read b                -> deliver live=b expect=absent
			delivered h1 h2       -> verify
			read b                -> ended done`},
		{name: "repair over drift", story: `
			repair - unproved     -> baseline
			read k1               -> deliver
			delivered h1=b h2=x   -> verify
			read k1               -> deliver expect=absent,b,x
			delivered h1 h2       -> verify
			read k1               -> ended done`},
		{name: "repair with no key", story: `
			repair - unproved     -> baseline
			read absent           -> ended unknown`, why: "no key for this zone"},
		{name: "repair, unreadable", story: `
			repair - unproved     -> baseline
			unreadable            -> ended unknown`},
		{name: "repair, a host is down for good", story: `
			repair - unproved     -> baseline
			read k1               -> deliver
			+2h delivered h1 h2!  -> ended exposed missing=h2`},
		{name: "repair, cancelled: goes on", story: `
			repair - unproved     -> baseline
			cancel                -> baseline
			read k1               -> deliver
			delivered h1 h2       -> verify
			read k1               -> ended done`},

		{name: "the host that was missing is retired", story: `
			rotate b proved       -> refresh
			refreshed k1          -> deliver
			delivered h1 h2!      -> deliver
			retire h2             -> deliver missing=
			delivered             -> verify
			read k1               -> ended done`},
		{name: "all hosts are retired", story: `
			rotate b proved       -> refresh
			retire h9             -> refresh
			retire h1             -> refresh
			retire h2             -> refresh
			skip                  -> ended skipped`, why: "customer left"},
		{name: "skipped", story: `
			rotate b unproved     -> prove
			skip                  -> ended skipped
			skip                  -> ended skipped
			retire h1             -> ended skipped missing=h1,h2`, why: "customer left"},
		{name: "skipped while exposed says so", story: `
			rotate b proved       -> refresh
			refreshed k1          -> deliver
			delivered h1 h2!      -> deliver
			skip                  -> ended skipped`, why: "1 hosts are not known to hold the live key"},
	} {
		t.Run(c.name, func(t *testing.T) { c.hold(t) })
	}
}

func TestStaleReadsComeToAnEnd(t *testing.T) {
	c := conversation{story: `
		rotate b proved       -> refresh
		refreshed k1          -> deliver
		delivered h1 h2       -> verify` + strings.Repeat(`
		read b                -> settle
		waited                -> verify`, maxStaleReads) + `
		read b                -> ended unknown`, why: "already replaced"}
	c.hold(t)
}

// A host that surprises the trip again and again does not keep it from reaching
// its limit.
func TestSurprisesComeToAnEnd(t *testing.T) {
	trip := conversation{story: `
		rotate b proved       -> refresh
		refreshed k1          -> deliver`}.hold(t)
	now := noon
	for round := 1; trip.Phase != PhaseEnded; round++ {
		if round > 1000 {
			t.Fatal("the trip does not end")
		}
		if trip.Phase == PhaseVerify {
			trip.Read(now, "k1")
			continue
		}
		now = maxTime(now, trip.Wake).Add(time.Second)
		held := Fingerprint(fmt.Sprintf("x%d", round))
		trip.Delivered(now, []Ack{{Host: "h1", Held: "k1"}, {Host: "h2", Held: held, Refused: true, Problem: "holds another key"}})
	}
	if trip.Ended != Exposed {
		t.Errorf("ended %s, not exposed", trip.Ended)
	}
}

func TestBackOffGrows(t *testing.T) {
	last := time.Duration(0)
	for round := 1; round <= 40; round++ {
		d := backOff(round)
		if d < last || d > longestBackOff {
			t.Errorf("round %d waits %s after %s", round, d, last)
		}
		last = d
	}
	if last != longestBackOff {
		t.Errorf("it grows to %s", last)
	}
}

// Zones that fail in the same second come back apart, round after round, within a quarter
// of the gap and never later than after 30 s; each always at its own time.
func TestRetriesAreSpread(t *testing.T) {
	const zones = 200
	failed := func(zone ZoneID, round int) *Trip {
		trip := NewTrip(Rotate, zone, []HostName{"h1"}, talk, "b", true)
		trip.Refreshed(noon, noon, "k1")
		trip.Round = round - 1
		trip.Delivered(noon, []Ack{{Host: "h1", Problem: "no route"}})
		return trip
	}
	for round := 2; round <= 40; round++ {
		gap := backOff(round)
		tenths, most := map[time.Duration]int{}, 0
		for i := range zones {
			zone := ZoneID(fmt.Sprintf("zone-%d", i))
			wait := failed(zone, round).Wake.Sub(noon)
			if wait < gap*3/4 || wait >= gap*5/4 || wait > 30*time.Second {
				t.Fatalf("round %d of %s waits %s, of a gap of %s", round, zone, wait, gap)
			}
			if again := failed(zone, round).Wake.Sub(noon); again != wait {
				t.Fatalf("round %d of %s waits %s, and %s", round, zone, wait, again)
			}
			tenth := wait.Truncate(100 * time.Millisecond)
			tenths[tenth]++
			most = max(most, tenths[tenth])
		}
		// Evenly spread would be one for each tenth of half the gap.
		if even := zones * int(200*time.Millisecond) / int(gap); most > 2*even+10 {
			t.Errorf("round %d: %d of %d zones come back in one tenth of a second, evenly they were %d", round, most, zones, even)
		}
	}
	if failed("zone-1", 1).Wake != noon {
		t.Error("the second round waits")
	}
	if a, b := failed("zone-1", 5).Wake, failed("zone-1", 6).Wake; a.Sub(noon)*2 == b.Sub(noon) {
		t.Error("a zone comes late, or early, in every round")
	}
}

func TestAStepOutsideTheTablePanics(t *testing.T) {
	for name, step := range map[string]func(*Trip){
		"delivered": func(t *Trip) { t.Delivered(noon, []Ack{{Host: "h1", Held: "k"}}) },
		"waited":    func(t *Trip) { t.Waited() },
		"read":      func(t *Trip) { t.Read(noon, "k") },
		"proved":    func(t *Trip) { t.Proved(noon, "", "") },
		"doubt":     func(t *Trip) { t.Doubt() },
	} {
		t.Run(name, func(t *testing.T) {
			trip := NewTrip(Rotate, "zone-1", []HostName{"h1"}, talk, "b", true)
			defer func() {
				if why := fmt.Sprint(recover()); !strings.Contains(why, "zone-1") || !strings.Contains(why, string(PhaseRefresh)) {
					t.Errorf("it says %q", why)
				}
			}()
			step(trip)
		})
	}
}

func TestExposureRunsToTheLastAcknowledgement(t *testing.T) {
	trip := NewTrip(Rotate, "zone-1", []HostName{"h1", "h2"}, talk, "b", true)
	at := func(d time.Duration) time.Time { return noon.Add(d) }
	check := func(now, want time.Duration) {
		t.Helper()
		if got := trip.Exposure(at(now)); got != want {
			t.Errorf("at %s the exposure is %s, not %s", now, got, want)
		}
	}
	check(time.Hour, 0)
	trip.Refreshed(at(time.Second), at(time.Second), "k1")
	check(3*time.Second, 2*time.Second)
	trip.Delivered(at(5*time.Second), []Ack{{Host: "h1", Held: "k1", At: at(4 * time.Second)}, {Host: "h2", Problem: "down"}})
	check(6*time.Second, 5*time.Second)
	trip.Delivered(at(9*time.Second), []Ack{{Host: "h2", Held: "k1", At: at(8 * time.Second)}})
	check(9*time.Second, 7*time.Second)
	trip.Read(at(time.Minute), "k1")
	check(time.Hour, 7*time.Second)

	r := trip.Record(at(time.Minute), "req-1", API{Refresh: 1, Describe: 1})
	want := []HostTime{{"h1", 3000}, {"h2", 7000}}
	if r.Outcome != Done || r.ExposureMs != 7000 || !slices.Equal(r.Acks, want) || r.From != "b" || r.To != "k1" || len(r.Missing) != 0 {
		t.Errorf("the record is %+v", r)
	}
}

func TestRecordOfAZoneThatWasNotRefreshed(t *testing.T) {
	trip := conversation{story: `
		rotate b proved -> refresh
		refused all     -> ended unchanged`}.hold(t)
	r := trip.Record(noon, "", API{})
	if r.Outcome != Unchanged || !r.Halt || r.Cause != "OperationDenied" || r.To != "" || r.ExposureMs != 0 || r.Missing != nil || !r.Since.IsZero() {
		t.Errorf("the record is %+v", r)
	}
}

func TestClipKeepsRunesWhole(t *testing.T) {
	for n := range 12 {
		got := clip("añö€😀z", n)
		if !strings.HasPrefix("añö€😀z", strings.TrimSuffix(got, "…")) || len(got) > n+len("…") {
			t.Errorf("clipped to %d: %q", n, got)
		}
	}
	if got := clip("short", 5); got != "short" {
		t.Errorf("what fits became %q", got)
	}
}
