package activities

import "time"

// Limit is the time that one activity has: inside, for what it does one after the
// other, and from outside, where Temporal ends it. Inside must be the shorter, or
// what an attempt knows is lost with it.
type Limit struct {
	// Tries are the calls of one attempt, one after the other: each takes at most
	// Call, and at most BackOff lies between two. None are counted where InTime
	// alone bounds them.
	Tries         int
	Call, BackOff time.Duration
	// InTime says that an attempt ends shortly before Close by itself, whatever it
	// waits for, and returns what it knows.
	InTime bool
	// Repeats says that an attempt that is cut off loses nothing: the next one
	// begins again, or where it was.
	Repeats bool
	// Start is how long it may wait for a worker. It is zero on the orchestrator's
	// queue, because whoever waits runs there too. Close ends one attempt, Total
	// all of them; zero means no end.
	Start, Close, Total time.Duration
	// Heartbeat ends an attempt that was silent for so long. An attempt reports
	// every Beat. Both are zero where there are no heartbeats.
	Heartbeat, Beat time.Duration
	// Attempts are made by Temporal; 0 is as many as it takes.
	Attempts int32
}

// Limits has one for each activity, by its name. They are the longest: a step of a
// workflow that is in a hurry shortens Start and Close.
type Limits struct {
	Refresh, Read, Baselines, Probe, Health, Examine, Discover, PlanFleet   Limit // account
	Mint, Switch                                                            Limit
	Prove, Deliver, Stage, Unstage                                          Limit // location
	LoadPlan, LoadPage, Prior, Await, LastRun, OpenRun, AskRun, Rate, Begun Limit // orchestrator
	Notify                                                                  Limit
	Lease                                                                   Limit // lease
}

// EdgeOneCall is the longest that one call of EdgeOne's API takes once its turn
// has come.
const EdgeOneCall = 10 * time.Second

// Of a refresh, beyond the life of the proofs: until then it may be rejected again
// and again, and then one call, the short way and a read are under way.
const (
	refreshTurn = 24 * time.Second // for its turn at the slowest pace, one a second, with the others of the process (rotation.RefreshesAtOnce)
	refreshTail = refreshTurn + EdgeOneCall + straightFor + readAfterFor + 10*time.Second
)

// RefreshBeat is how often the server is to hear of a refresh. When it has not for
// one Heartbeat, the worker counts as lost and the zone goes on; by then the lease
// of that worker must be over, so that it signs nothing more (promise 4).
const RefreshBeat = time.Second

// DeliverBeat is how often the server is to hear of a delivery. When it has not for one
// Heartbeat, another worker of the location delivers. Should the first one live all the
// same, the hosts' compare-and-swap makes two deliveries as good as one.
const DeliverBeat = 500 * time.Millisecond

// readTries is how often one activity asks before it hands the problem back.
const readTries = 4

// readMargin is the part of its time that a read leaves for its answer.
const readMargin = 5 * time.Second

// LimitsFor is the table, for proofs that live so long.
func LimitsFor(proofs time.Duration) Limits {
	const heartbeat, unhurried = 6 * time.Second, 30 * time.Second
	stored := Limit{Repeats: true, Close: 5 * time.Minute, Heartbeat: unhurried, Beat: beatEvery}
	long := stored
	long.Close = 24 * time.Hour
	bulk := Limit{InTime: true, Start: 12 * time.Hour, Close: 10 * time.Minute, Heartbeat: heartbeat, Beat: beatEvery}
	host := Limit{InTime: true, Start: time.Minute, Close: time.Minute, Heartbeat: heartbeat, Beat: beatEvery, Attempts: 2}
	key := Limit{InTime: true, Start: 15 * time.Second, Close: 25 * time.Second, Heartbeat: 3 * DeliverBeat, Beat: DeliverBeat, Attempts: 1}
	stage, unstage := key, key
	stage.Attempts, stage.Repeats = 2, true
	unstage.Start, unstage.Close = 5*time.Second, 15*time.Second
	change := Limit{
		Tries: 1, Call: refreshTurn + EdgeOneCall + straightFor + readAfterFor, BackOff: mostBackOff,
		Start: proofs, Close: proofs + refreshTail, Heartbeat: heartbeat, Beat: RefreshBeat, Attempts: 1,
	}
	return Limits{
		Refresh: change, Switch: change,
		Read: Limit{
			Tries: readTries, Call: EdgeOneCall, BackOff: 200 * time.Millisecond << (readTries - 2), InTime: true,
			Start: 30 * time.Second, Close: time.Minute, Total: 2 * time.Minute, Heartbeat: heartbeat, Beat: beatEvery, Attempts: 3,
		},
		// It asks the fleet file, and may read the key that is to be replaced. An attempt that
		// is lost has told nobody its key.
		Mint: Limit{
			Tries: readTries, Call: EdgeOneCall, BackOff: 200 * time.Millisecond << (readTries - 2), InTime: true, Repeats: true,
			Start: 30 * time.Second, Close: time.Minute, Total: 3 * time.Minute, Heartbeat: heartbeat, Beat: beatEvery, Attempts: 3,
		},
		Baselines: bulk, Health: bulk, Discover: bulk,
		Probe:     Limit{Tries: 1, Call: time.Second, Start: bulk.Start, Close: bulk.Close, Heartbeat: heartbeat, Beat: beatEvery},
		Examine:   Limit{Tries: 1, Call: EdgeOneCall, Start: 15 * time.Second, Close: time.Minute, Heartbeat: heartbeat, Beat: beatEvery, Attempts: 1},
		PlanFleet: Limit{Repeats: true, Start: bulk.Start, Close: 24 * time.Hour, Heartbeat: heartbeat, Beat: beatEvery},
		Prove:     host, Deliver: key, Stage: stage, Unstage: unstage,
		LoadPlan: stored, LoadPage: stored, Prior: stored, LastRun: stored, OpenRun: stored, AskRun: stored, Rate: stored, Await: long,
		Begun:  Limit{InTime: true, Close: 30 * time.Second, Heartbeat: heartbeat, Beat: beatEvery, Attempts: 1},
		Notify: Limit{Tries: 1, Call: 10 * time.Second, Close: 15 * time.Second, Total: time.Hour},
		Lease:  Limit{Repeats: true, Close: 10 * 365 * 24 * time.Hour, Heartbeat: LeaseTimeout, Beat: leaseBeat},
	}
}
