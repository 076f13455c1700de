package rotation

import (
	"strings"
	"testing"
	"time"
)

// A zone is exposed by definition when a refresh may have been sent, and no
// read younger than the last send shows the key that the hosts hold.
func TestExposureConversations(t *testing.T) {
	for _, c := range []conversation{
		{name: "answered: until the last acknowledgement", story: `
			rotate b proved       -> refresh stands=alive exposed=never
			+1s refreshed k1      -> deliver stands=dead exposed=1s
			+1s delivered h1 h2!  -> deliver stands=dead exposed=1s
			+1s delivered h2      -> verify stands=alive exposed=never
			+1s read k1           -> ended done`},
		{name: "begun and not answered", story: `
			rotate b proved       -> refresh stands=alive
			+5s began             -> refresh stands=dark exposed=5s
			+40s unsent           -> ended pending back=proof exposed=never`},
		{name: "begun, then answered: from the signature", story: `
			rotate b proved       -> refresh
			+5s began             -> refresh stands=dark exposed=5s
			+3s refreshed k1      -> deliver stands=dead exposed=8s`},
		{name: "lost: until a read shows the old key", story: `
			rotate b proved       -> refresh
			+1s lost              -> readback stands=dark exposed=1s
			+90s read b           -> settle stands=alive exposed=never
			waited                -> readback stands=alive
			read b                -> prove stands=alive
			proved                -> refresh stands=alive
			+7s lost              -> readback stands=dark exposed=1m48s`},
		{name: "lost, and the key changed after the last right sight", story: `
			rotate b proved       -> refresh
			lost                  -> readback
			+5s read b            -> settle
			waited                -> readback
			+1s read k1           -> deliver stands=dead exposed=5s`},
		{name: "lost twice, and the key changed: it may have been the first", story: `
			rotate b proved       -> refresh
			lost                  -> readback
			+5s read b            -> settle
			waited                -> readback
			read b                -> prove
			+20s proved           -> refresh
			lost                  -> readback exposed=35s
			read k1               -> deliver exposed=15s`},
		{name: "no key where there was one is no right sight", story: `
			rotate b proved       -> refresh
			lost                  -> readback
			+5s read absent       -> settle stands=dark exposed=0s`},
		{name: "a read that differs starts it where it was", story: `
			rotate b proved       -> refresh
			+1s refreshed k1      -> deliver
			+1s delivered h1 h2   -> verify exposed=never
			+1s read b            -> settle stands=dark exposed=1s
			waited                -> verify stands=dark
			read k1               -> ended done`},
		{name: "held, looked at, landed late: dark since the last right look", story: `
			rotate b proved       -> refresh
			lost                  -> readback
			read b                -> settle
			waited                -> readback
			read b                -> prove
			proved                -> refresh
			refreshed k2          -> deliver
			delivered h1 h2       -> verify
			read k2               -> hold stands=held wait=2s
			look                  -> verify stands=held
			read k2               -> hold stands=held wait=4s exposed=never
			look                  -> verify
			read k1               -> settle stands=dark exposed=12s
			waited                -> verify
			read k1               -> deliver stands=dead exposed=12s live=k1
			delivered h1 h2       -> verify stands=alive
			read k1               -> ended done`},
		{name: "held with the old key, landed late", story: `
			rotate b proved       -> refresh
			lost                  -> readback
			cancel                -> readback
			read b                -> settle
			waited                -> readback
			read b                -> hold stands=held wait=2s
			look                  -> readback stands=held
			read b                -> hold wait=4s stands=held
			look                  -> readback
			read k1               -> deliver stands=dead exposed=12s`},
		{name: "looks come at growing gaps, at most exposedAfter, and the last one at the end", story: `
			rotate b proved       -> refresh
			lost                  -> readback
			cancel                -> readback
			read b                -> settle
			waited                -> readback
			read b                -> hold wait=2s
			look                  -> readback
			read b                -> hold wait=4s
			look                  -> readback
			read b                -> hold wait=8s
			look                  -> readback
			read b                -> hold wait=16s
			look                  -> readback
			read b                -> hold wait=30s
			look                  -> readback
			read b                -> hold wait=30s
			waited                -> readback
			read b                -> ended unchanged`},
		{name: "a look that cannot be read is no end", story: `
			rotate b proved       -> refresh
			lost                  -> readback
			cancel                -> readback
			read b                -> settle
			waited                -> readback
			read b                -> hold
			look                  -> readback
			unreadable            -> hold stands=held halt=false wait=4s
			waited                -> readback
			unreadable            -> ended unknown`},
		{name: "a look at a key already replaced delivers nothing", story: `
			rotate b proved       -> refresh
			lost                  -> readback
			read b                -> settle
			waited                -> readback
			read b                -> prove
			proved                -> refresh
			refreshed k2          -> deliver
			delivered h1 h2       -> verify
			read k2               -> hold
			look                  -> verify
			read b                -> settle stands=dark live=k2
			waited                -> verify
			read k2               -> hold stands=held`},
		{name: "a repair: since an earlier run, or since it knows the live key", story: `
			repair - unproved     -> baseline stands=alive
			+1s read k1           -> deliver stands=dead exposed=1s since=never
			delivered h1 h2       -> verify stands=alive
			read k1               -> ended done`},
		{name: "a repair of what an earlier run left", story: `
			repair - unproved     -> baseline
			exposed 1h            -> baseline stands=dark exposed=-1h0m0s
			read k1               -> deliver stands=dead exposed=-1h0m0s
			delivered h1 h2       -> verify stands=alive`},
		{name: "resumed without knowing", story: `
			rotate b unproved     -> prove
			resume                -> readback stands=dark exposed=0s
			read b                -> settle stands=alive`},
		{name: "recalled before the baseline was read", story: `
			rotate - proved       -> baseline
			cancel                -> baseline
			unsent                -> ended pending back=proof`},

		{name: "other definitions: what was acknowledged counts where nothing changed", story: `
			rotate b proved       -> refresh
			refreshed k1          -> deliver
			delivered h1 h2!      -> deliver
			delivered h2!         -> deliver gap=1s
			rehost h1             -> deliver missing=h3 wait=0s stands=dead
			delivered h3          -> verify missing=
			read k1               -> ended done`, why: "other definitions"},
		{name: "other definitions of a host that had acknowledged", story: `
			rotate b proved       -> refresh
			refreshed k1          -> deliver
			delivered h1 h2!      -> deliver
			rehost h2             -> deliver missing=h1,h3`},
		{name: "other definitions of a held zone: it is delivered again", story: `
			rotate b proved       -> refresh
			lost                  -> readback
			read b                -> settle
			waited                -> readback
			read b                -> prove
			proved                -> refresh
			refreshed k2          -> deliver
			delivered h1 h2       -> verify
			read k2               -> hold
			rehost h1             -> verify missing=h3 stands=dead
			read k2               -> deliver
			delivered h3          -> verify
			read k2               -> hold stands=held`},
	} {
		t.Run(c.name, func(t *testing.T) { c.hold(t) })
	}
}

// The reason that people read says which kind of exposure it is, and which
// hosts it is about.
func TestStandingWhy(t *testing.T) {
	for _, c := range []struct{ story, want string }{
		{`
			rotate b proved -> refresh
			lost            -> readback`, "EdgeOne does not say which key is live: the old one may be dead"},
		{`
			rotate b proved -> refresh
			refreshed k1    -> deliver`, "the old key is dead, h1 and h2 lack the new one"},
		{`
			rotate b proved  -> refresh
			refreshed k1     -> deliver
			delivered h1 h2! -> deliver`, "the old key is dead, h2 lacks the new one: connect: no route"},
		{`
			rotate b proved -> refresh
			refreshed k1    -> deliver
			delivered h1 h2 -> verify
			read b          -> settle`, "EdgeOne does not say which key is live: the one that the hosts hold may be dead"},
		{`
			repair - unproved -> baseline
			read k1           -> deliver`, "h1 and h2 are not known to hold the live key"},
		{`
			rotate b proved -> refresh`, ""},
	} {
		if got := (conversation{story: c.story}).hold(t).StandingWhy(); got != c.want {
			t.Errorf("%s\nsays %q, not %q", c.story, got, c.want)
		}
	}
}

// Each retired host is in the record with what was last seen on it, even if the
// live key is another one by now.
func TestRecordHasRetiredHosts(t *testing.T) {
	trip := conversation{story: `
		rotate b proved       -> refresh
		refreshed k1          -> deliver
		+1s delivered h1 h2   -> verify
		read c                -> settle
		waited                -> verify
		read c                -> deliver live=c
		delivered h1! h2      -> deliver
		retire h1             -> deliver missing=
		delivered             -> verify
		read c                -> ended done`}.hold(t)
	r := trip.Record(noon.Add(time.Minute), "", API{})
	if len(r.Retired) != 1 || r.Retired[0] != (HostHeld{"h1", "k1"}) || len(r.Acks) != 1 || r.Acks[0].Host != "h2" || len(r.Missing) != 0 {
		t.Errorf("%+v", r)
	}
}

// Acknowledgements that came are kept, even if nobody knows when the exposure
// began. No exposure is invented then.
func TestRecordKeepsAcknowledgements(t *testing.T) {
	trip := conversation{story: `
		repair - unproved -> baseline
		read k1           -> deliver
		delivered h1 h2!  -> deliver`}.hold(t)
	r := trip.Record(noon.Add(time.Minute), "", API{})
	if len(r.Acks) != 1 || r.Acks[0] != (HostTime{"h1", 0}) || r.ExposureMs != 0 || !r.Since.IsZero() || len(r.Missing) != 1 {
		t.Errorf("%+v", r)
	}
}

// A request that EdgeOne rejected was sent, and the record does not say that it
// was not.
func TestHandedBackUnreached(t *testing.T) {
	trip := NewTrip(Rotate, "zone-1", []HostName{"h1"}, talk, "b", true)
	trip.NotSent(noon, "EdgeOne rejects the time of the signature", BackUnreached, true)
	if trip.Ended != Pending || trip.Back != BackUnreached || strings.Contains(trip.Why, "nothing was sent") || !strings.Contains(trip.Why, "the old key is alive") {
		t.Errorf("%s (%s): %s", trip.Ended, trip.Back, trip.Why)
	}
}
