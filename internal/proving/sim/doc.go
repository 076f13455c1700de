// Package sim is a simulated world to rotate in. Its EdgeOne speaks the real
// wire format, checks real signatures and keeps the real limit. Its hosts are
// real SSH servers on loopback. Both have bad days (faults) on demand. What the
// simulator counts is the truth, with which tests compare Keywave's own reports.
//
// The control API shows every key in clear. So the simulator listens on loopback
// only, and must never be used with a real key.
//
// The control API (JSON; [World.Control]):
//
//	GET    /state              State: zones, counters by action, faults that struck
//	GET    /keys               Keys: every key that ever existed, by zone, in clear
//	GET    /edges?after=N&max=M&wait=10s
//	                           journal.Page: what happened, in order; wait holds the answer until there is news
//	POST   /faults             one Fault or a list; added after those that are set
//	DELETE /faults             no more faults
//	POST   /zones              one Zone or a list; added to those that exist
//	DELETE /zones/{zone}       the zone is gone, as when somebody deletes it in the console
//	POST   /zones/{zone}/key   the zone has a new key, as when somebody changes it in the console
//	POST   /limit              {"perSecond": 20}; 0 or less lifts the limit
//	POST   /dataplane/{zone}   {"nonce", "mac"}: 200 if mac is MAC(live key, nonce), 403 if not
//	GET    /hosts              hosts.State by host name
//	POST   /hosts/{name}/bad   hosts.Bad: begins a bad day
//	DELETE /hosts/{name}/bad   ends the host's bad days, or with ?kind=K that one
package sim
