package rotation

import (
	"fmt"
	"testing"
	"time"
)

// Somebody changes the key while a request of ours is lost; then it lands. The
// key of ours is live again, although it was not a moment ago.
func TestALateRequestPutsOurKeyBack(t *testing.T) {
	now := noon
	at := func(d time.Duration) time.Time { now = now.Add(d); return now }
	hosts := []HostName{"h1"}
	trip := NewStagedTrip("z", hosts, talk, "old")
	trip.KeyMinted("ours")
	trip.KeyStaged(at(0), hosts, []Ack{{Host: "h1", Held: "old"}}, "", "")
	trip.GivenUp(at(0), now, "no answer") // it will land
	trip.Read(at(10*time.Second), "old")
	trip.Switched(at(0), now) // the second one is answered
	trip.Delivered(at(0), []Ack{{Host: "h1", Held: "ours", At: now}})
	trip.Read(at(0), "ours")
	if trip.Phase != PhaseHold {
		t.Fatalf("with our key live it is %s, although a request may still land", trip.Phase)
	}
	trip.Waited()
	trip.Read(at(20*time.Second), "theirs")
	trip.Delivered(at(0), []Ack{{Host: "h1", Held: "theirs", At: now}})
	trip.Read(at(0), "theirs")
	trip.Waited()
	trip.Read(at(20*time.Second), "ours") // the first request has landed
	if trip.Phase != PhaseDeliver || trip.Live != "ours" {
		t.Fatalf("%s, live %s", trip.Phase, trip.Live)
	}
	trip.Delivered(at(0), []Ack{{Host: "h1", Held: "ours", At: now}})
	for trip.Phase != PhaseEnded {
		trip.Read(at(time.Second), "ours")
		if trip.Phase == PhaseHold || trip.Phase == PhaseSettle {
			now = trip.Wake
			trip.Waited()
		}
	}
	if trip.Ended != Done {
		t.Errorf("%s: %s", trip.Ended, trip.Why)
	}
}

func TestStagedConversations(t *testing.T) {
	for _, c := range []conversation{
		{name: "all goes well", story: `
			staged b              -> mint
			minted k              -> stage
			+1s beside h1 h2      -> switch sent=0
			+1s switched          -> deliver live=k sent=1 stands=dead
			delivered h1 h2       -> verify stands=alive
			read k                -> ended done`},
		{name: "the baseline is read where none is known", story: `
			staged -              -> baseline
			read b                -> mint
			minted k              -> stage`},
		{name: "a host that does not take the key costs no exposure", story: `
			staged b              -> mint
			minted k              -> stage
			beside h1 h2!         -> sweep
			swept                 -> ended unchanged sent=0`, why: "disk full; nothing was sent"},
		{name: "its shard asks it for a proof first", story: `
			staged b lenient      -> mint
			minted k              -> stage
			beside h1 h2!         -> sweep
			left h1               -> ended pending`, why: "a staged key was left on h1"},
		{name: "a host holds what nobody expected: what EdgeOne holds is read again", story: `
			staged b              -> mint
			minted k              -> stage
			beside h1 h2=x        -> baseline
			read b                -> switch
			switched              -> deliver expect=absent,b,x`},
		{name: "and where that is another key, another one is minted for it", story: `
			staged b              -> mint
			minted k              -> stage
			beside h1=x h2=x      -> baseline
			read x                -> mint
			minted k2             -> stage
			beside h1=x h2=x      -> switch`},
		{name: "after a lost answer the same key is sent again at once", story: `
			staged b              -> mint
			minted k              -> stage
			beside h1 h2          -> switch
			lost                  -> readback
			+1s read b            -> switch stands=alive
			switched              -> deliver sent=2
			delivered h1 h2       -> verify
			read k                -> hold held=5m9s
			waited                -> verify
			read k                -> ended done`},
		{name: "it had been executed: held until the request is dead, because the key does not tell which one it was", story: `
			staged b              -> mint
			minted k              -> stage
			beside h1 h2          -> switch
			lost                  -> readback
			+1s read k            -> deliver live=k sent=1
			delivered h1 h2       -> verify
			read k                -> hold
			waited                -> verify
			read k                -> ended done sent=1`, why: "seen by a read"},
		{name: "somebody else changed the key: it is delivered, and nothing more is sent", story: `
			staged b              -> mint
			minted k              -> stage
			beside h1 h2          -> switch
			lost                  -> readback
			+1s read x            -> deliver live=x
			delivered h1 h2       -> verify
			read x                -> hold
			waited                -> verify
			read x                -> sweep
			swept                 -> ended done sent=1`, why: "somebody else"},
		{name: "a second call that is refused may mean that EdgeOne has the key", story: `
			staged b              -> mint
			minted k              -> stage
			beside h1 h2          -> switch
			lost                  -> readback
			read b                -> switch
			refused               -> readback
			read k                -> deliver`},
		{name: "staged too long ago: a first call begins afresh, a further one stages again", story: `
			staged b              -> mint
			minted k              -> stage
			beside h1 h2          -> switch
			lost                  -> readback
			read b                -> switch
			unsent again          -> stage
			beside h1 h2          -> switch`},
		{name: "an early read shows the key: it is activated while the switch runs", story: `
			staged b              -> mint
			minted k              -> stage
			beside h1 h2          -> switch
			began                 -> switch stands=dark
			+1s early k           -> deliver live=k sent=1
			delivered h1 h2       -> verify
			read k                -> answer
			+5s switched          -> verify
			read k                -> ended done`},
		{name: "and the switch has no answer: it counts as given up", story: `
			staged b              -> mint
			minted k              -> stage
			beside h1 h2          -> switch
			began                 -> switch
			+1s early k           -> deliver
			delivered h1 h2       -> verify
			read k                -> answer
			+5s lost              -> verify
			read k                -> hold held=5m10s`},
		{name: "an early read shows somebody else's key, and ours comes over it", story: `
			staged b              -> mint
			minted k              -> stage
			beside h1 h2          -> switch
			began                 -> switch
			+1s early x           -> deliver live=x
			delivered h1 h2       -> verify
			read x                -> answer
			+1s switched          -> settle stands=dark
			waited                -> verify
			read k                -> deliver live=k expect=absent,b,x
			delivered h1 h2       -> verify
			read k                -> ended done`},
		{name: "cancelled before anything was sent", story: `
			staged b              -> mint
			minted k              -> stage
			beside h1 h2          -> switch
			cancel                -> switch
			unsent                -> sweep
			swept                 -> ended pending`},
		{name: "resumed: the old key is surely live, and a new one is minted", story: `
			staged b              -> mint
			resume                -> readback
			read b                -> settle
			waited                -> readback
			read b                -> hold
			waited                -> readback
			read b                -> mint
			minted k2             -> stage`},
		{name: "the live key is another one than was planned with: the new one takes its place, and hosts may hold either", story: `
			staged b              -> mint
			moved x               -> mint baseline=x
			minted k              -> stage
			beside h1=b h2=x      -> switch
			switched              -> deliver expect=absent,x,b`},
		{name: "hosts held another key than was planned with, and so does EdgeOne: some may still hold the planned one", story: `
			staged b              -> mint
			minted k              -> stage
			beside h1=x h2=b      -> baseline
			read x                -> mint baseline=x
			minted k2             -> stage
			beside h1=x h2=b      -> switch
			switched              -> deliver expect=absent,x,b`},
		{name: "resumed, and the live key is another one when a new one is to be minted: what was sent may have landed", story: `
			staged b              -> mint
			resume                -> readback
			read b                -> settle
			waited                -> readback
			read b                -> hold
			waited                -> readback
			read b                -> mint
			moved x               -> readback
			read x                -> deliver live=x sent=1`},
	} {
		t.Run(c.name, func(t *testing.T) { c.hold(t) })
	}
}

func TestRollbackConversations(t *testing.T) {
	for _, c := range []conversation{
		{name: "all goes well", story: `
			rollback f k          -> mint
			minted f              -> stage
			beside h1 h2          -> switch sent=0
			+1s switched          -> deliver live=f expect=absent,k stands=dead
			delivered h1 h2       -> verify stands=alive
			read f                -> ended done`},
		{name: "it may not be used any more", story: `
			rollback f k          -> mint
			refused               -> ended unchanged sent=0`},
		{name: "a host still holds it", story: `
			rollback f k          -> mint
			minted f              -> stage
			beside h1 h2=f        -> baseline
			read k                -> switch
			switched              -> deliver expect=absent,k`},
		{name: "a host holds what nobody expected, and EdgeOne another key: that one is not replaced", story: `
			rollback f k          -> mint
			minted f              -> stage
			beside h1 h2=x        -> baseline
			read x                -> sweep
			swept                 -> ended unchanged sent=0`, why: "nothing was put back"},
		{name: "the switch looks, and EdgeOne holds another key", story: `
			rollback f k          -> mint
			minted f              -> stage
			beside h1 h2          -> switch
			refused               -> sweep
			swept                 -> ended unchanged sent=0`},
		{name: "a read of it just after the switch may be from before the rotation", story: `
			rollback f k          -> mint
			minted f              -> stage
			beside h1 h2          -> switch
			lost                  -> readback
			+1s read f            -> settle wait=9s stands=dark
			waited                -> readback
			read k                -> switch stands=alive
			switched              -> deliver live=f sent=2`},
		{name: "a later one is from after the switch", story: `
			rollback f k          -> mint
			minted f              -> stage
			beside h1 h2          -> switch
			lost                  -> readback
			+1s read f            -> settle
			waited                -> readback
			read f                -> deliver live=f sent=1 expect=absent,k
			delivered h1 h2       -> verify
			read f                -> hold`},
		{name: "the second call looks, and EdgeOne may have executed the first: exposed until that is known", story: `
			rollback f k          -> mint
			minted f              -> stage
			beside h1 h2          -> switch
			lost                  -> readback
			+1s read k            -> switch stands=alive
			+1s refused           -> readback
			+1s read f            -> settle wait=7s stands=dark exposed=1s
			waited                -> readback
			read f                -> deliver live=f sent=1`},
		{name: "an early read of it tells nothing at first", story: `
			rollback f k          -> mint
			minted f              -> stage
			beside h1 h2          -> switch
			began                 -> switch
			+9s early f           -> switch
			+1s early f           -> deliver live=f sent=1`},
		{name: "the time in which it tells nothing counts from the first call", story: `
			rollback f k          -> mint
			minted f              -> stage
			beside h1 h2          -> switch
			lost                  -> readback
			+5s read k            -> switch
			began                 -> switch
			+1s early f           -> switch exposed=5s
			+4s early f           -> deliver live=f sent=2`},
		{name: "somebody else changed the key: it is delivered, and nothing more is sent", story: `
			rollback f k          -> mint
			minted f              -> stage
			beside h1 h2          -> switch
			lost                  -> readback
			+1s read x            -> deliver live=x
			delivered h1 h2       -> verify
			read x                -> hold
			waited                -> verify
			read x                -> sweep
			swept                 -> ended done sent=1`, why: "somebody else"},
		{name: "resumed: it was put back", story: `
			rollback f k          -> mint
			resume                -> readback
			+1s read f            -> settle wait=9s
			waited                -> readback
			read f                -> deliver live=f sent=1`},
		{name: "resumed: it was not, and is sent when the lost call is dead", story: `
			rollback f k          -> mint
			resume                -> readback
			read k                -> settle
			waited                -> readback
			read k                -> hold
			waited                -> readback
			read k                -> mint
			minted f              -> stage
			beside h1 h2          -> switch sent=1`},
	} {
		t.Run(c.name, func(t *testing.T) { c.hold(t) })
	}
}

// A zone whose key is another one at each look is left alone in the end. A key that is
// minted at last ends the count.
func TestAKeyThatIsAnotherOneAtEachLook(t *testing.T) {
	moves := func(trip *Trip, n int) {
		for i := range n {
			if trip.Phase != PhaseMint {
				t.Fatalf("after %d looks it is in %s", i, trip.Phase)
			}
			trip.KeyMoved(Fingerprint(fmt.Sprint("key", i)))
		}
	}
	trip := NewStagedTrip("z", []HostName{"h1"}, talk, "old")
	moves(trip, maxStaleReads)
	trip.KeyMinted("ours")
	if trip.Stale > 0 {
		t.Error("the count goes on")
	}
	trip.KeyStaged(noon, []HostName{"h1"}, []Ack{{Host: "h1", Held: "strange"}}, "", "")
	trip.Read(noon, "another")
	moves(trip, maxStaleReads+1)
	if trip.Phase != PhaseSweep || trip.Ended != Unchanged {
		t.Errorf("%s, %s: %s", trip.Phase, trip.Ended, trip.Why)
	}
}
