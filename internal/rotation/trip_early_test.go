package rotation

import "testing"

// What an early read shows is delivered at once. Nothing ends before the refresh has,
// and what that one still answers is not overlooked.
func TestEarlyReadConversations(t *testing.T) {
	for _, c := range []conversation{
		{name: "the same key tells nothing", story: `
			rotate b proved       -> refresh
			+1s began             -> refresh stands=dark
			+1s early b           -> refresh stands=dark exposed=1s sent=0
			+1s early absent      -> refresh
			+1s refreshed k1      -> deliver live=k1 sent=1`},
		{name: "another key is delivered; the answer is the same", story: `
			rotate b proved       -> refresh
			began                 -> refresh
			+1s early k1          -> deliver live=k1 sent=1 stands=dead exposed=0s expect=absent,b
			delivered h1 h2       -> verify stands=alive exposure=1s
			read k1               -> answer
			+5s refreshed k1      -> verify
			read k1               -> ended done sent=1 exposure=1s`, why: "adopted by an early read"},
		{name: "the worker is lost: the key accounts for its refresh", story: `
			rotate b proved       -> refresh
			began                 -> refresh
			+1s early k1          -> deliver
			delivered h1 h2       -> verify
			read k1               -> answer
			+5s lost              -> verify
			read k1               -> ended done sent=1`},
		{name: "the answer comes while a host is away", story: `
			rotate b proved       -> refresh
			began                 -> refresh
			+1s early k1          -> deliver
			delivered h1 h2!      -> deliver missing=h2
			running               -> answer
			refreshed k1          -> verify
			read k1               -> deliver missing=h2
			delivered h2          -> verify
			read k1               -> ended done`},
		{name: "delivery is not given up while the refresh runs", story: `
			rotate b proved       -> refresh
			began                 -> refresh
			+1s early k1          -> deliver
			+2h delivered h1! h2! -> answer
			lost                  -> verify
			read k1               -> deliver
			delivered h1! h2!     -> ended exposed`},
		{name: "somebody made the key, and the refresh made another one after it", story: `
			rotate b proved       -> refresh
			began                 -> refresh
			+1s early p1          -> deliver
			+1s delivered h1 h2   -> verify stands=alive
			read p1               -> answer
			+1s refreshed k1      -> settle wait=10s stands=dark exposed=2s
			waited                -> verify
			read k1               -> deliver live=k1 replaced=b,p1 stands=dead
			delivered h1 h2       -> verify
			read k1               -> ended done`},
		{name: "somebody made the key after the refresh had made another one", story: `
			rotate b proved       -> refresh
			began                 -> refresh
			+1s early p1          -> deliver
			delivered h1 h2       -> verify
			read p1               -> answer
			refreshed k1          -> settle stands=dark
			waited                -> verify
			read p1               -> ended done live=p1`},
		{name: "the key is an earlier refresh's, and this one was not sent", story: `
			rotate b proved       -> refresh
			lost                  -> readback
			read b                -> settle
			waited                -> readback
			read b                -> prove
			proved                -> refresh
			began                 -> refresh
			+1s early k1          -> deliver sent=2 exposed=10s
			delivered h1 h2       -> verify
			read k1               -> answer
			unsent                -> verify
			read k1               -> ended done`},
		{name: "the key is an earlier refresh's, and this one is refused", story: `
			rotate b proved       -> refresh
			lost                  -> readback
			read b                -> settle
			waited                -> readback
			read b                -> prove
			proved                -> refresh
			began                 -> refresh
			+1s early k1          -> deliver
			delivered h1 h2       -> verify
			read k1               -> answer
			refused all           -> verify halt=true
			read k1               -> ended done halt=true`},
		{name: "an answer accounts for no earlier refresh that was given up", story: `
			rotate b proved       -> refresh
			lost                  -> readback
			read b                -> settle
			waited                -> readback
			read b                -> prove
			proved                -> refresh
			began                 -> refresh
			+1s early k2          -> deliver
			delivered h1 h2       -> verify
			read k2               -> answer
			refreshed k2          -> verify
			read k2               -> hold held=4m59s`},
		{name: "nor does an answer with another key", story: `
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
			began                 -> refresh
			+1s early k1          -> deliver
			delivered h1 h2       -> verify
			read k1               -> answer
			refreshed k3          -> settle
			waited                -> verify
			read k3               -> deliver live=k3
			delivered h1 h2       -> verify
			read k3               -> hold`},
		{name: "it cannot be skipped while the refresh runs, and nothing can be read", story: `
			rotate b proved       -> refresh
			began                 -> refresh
			+1s early k1          -> deliver
			delivered h1 h2       -> verify
			unreadable            -> answer
			lost                  -> verify
			unreadable            -> ended unknown`},
	} {
		t.Run(c.name, func(t *testing.T) { c.hold(t) })
	}
}

func TestNoSkipWhileARefreshRuns(t *testing.T) {
	trip := NewTrip(Rotate, "zone-1", []HostName{"h1"}, talk, "b", true)
	trip.Began(noon)
	trip.Early(noon, "k1")
	if !trip.MayLand(noon) {
		t.Error("nobody knows yet how the refresh ends, and the zone may be left")
	}
	trip.Delivered(noon, []Ack{{Host: "h1", Held: "k1"}})
	trip.Read(noon, "k1")
	trip.Refreshed(noon, noon, "k1")
	if trip.MayLand(noon) {
		t.Error("the refresh has answered, and the zone may not be left")
	}
}
