package main

import (
	"context"
	"fmt"
	"time"

	"keywave/internal/rotation"
)

// The reads of a staged rotation that keeps the former key, and of its rollback, where all
// goes well: what is live, before the key is minted and after the last acknowledgement; and
// before the switch and after it.
const (
	readsOfRotation = 3
	readsOfRollback = 2
)

// tryStaged finds out on one zone what the API's pages do not say: by a staged rotation
// and its way back, after which the zone has the key that it had.
func (a *app) tryStaged(ctx context.Context, o *doctorOptions) ([]check, error) {
	id := rotation.ZoneID(o.zone)
	f, conn, err := a.wholeFleet(ctx, o.fleetFile, id)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := allowed(f, o.fleetFile); err != nil {
		return nil, err
	}
	zo := &zoneOptions{fleetFile: o.fleetFile, reason: o.reason, strategy: string(rotation.Staged)}
	there, err := a.recordOf(ctx, conn, zoneIn(f, rotation.Rotate, id, zo), zo)
	if err != nil {
		return nil, err
	}
	checks := triedThere(there, o.fleetFile)
	if there.Outcome != rotation.Done || there.Former == nil {
		return checks, nil
	}
	back, err := a.recordOf(ctx, conn, rollbackIn(f, id, *there.Former, zo), zo)
	if err != nil {
		return checks, err
	}
	return append(checks, triedBack(back, o.fleetFile)...), nil
}

const whatModify = "ModifyMultiPathGatewaySecretKey"

func triedThere(r rotation.Record, path string) []check {
	if r.Outcome != rotation.Done {
		return []check{notTaken(whatModify, "a new key", r, path)}
	}
	checks := []check{
		{What: whatModify, Level: levelOK, Saw: fmt.Sprintf("the credential may call it, and EdgeOne took a new key of zone %s", r.Zone)},
		lockedOut("new key", r), upToDate("new key", r, readsOfRotation),
		{What: "the key that EdgeOne has", Level: levelNote, Saw: "whether it is taken once more is not tried: a call whose answer is lost could land after the zone's next rotation. Nothing depends on it"},
	}
	if r.Former == nil {
		checks = append(checks, check{What: "former key", Level: levelWarn, Saw: "none was kept: " + r.Why, Remedy: "set rollbackFor in the fleet file of the account's edgeone workers, too"})
	}
	return checks
}

func triedBack(r rotation.Record, path string) []check {
	if r.Outcome != rotation.Done {
		return []check{notTaken("former key", "a former key", r, path)}
	}
	return []check{
		{What: "former key", Level: levelOK, Saw: fmt.Sprintf("EdgeOne took it again; zone %s has the key that it had", r.Zone)},
		lockedOut("former key", r), upToDate("former key", r, readsOfRollback),
	}
}

// notTaken is a trial that did not come to its end.
func notTaken(what, key string, r rotation.Record, path string) check {
	c := check{What: what, Level: levelFail, Saw: fmt.Sprintf("EdgeOne was not seen to take %s: zone %s is %s: %s", key, r.Zone, r.Outcome, r.Why), Remedy: "see keywave zone show " + string(r.Zone)}
	if r.Outcome == rotation.Exposed || r.Outcome == rotation.Unknown {
		c.Remedy = fmt.Sprintf("keywave zone repair %s -f %s", r.Zone, path)
	}
	return c
}

func lockedOut(key string, r rotation.Record) check {
	return check{What: key + ", exposure", Level: levelOK, Saw: fmt.Sprintf("%s from the switch to the last host's acknowledgement", time.Duration(r.ExposureMs)*time.Millisecond)}
}

// upToDate says whether EdgeOne's reads showed the key at once. How long a gateway takes to
// know it cannot be seen from here.
func upToDate(key string, r rotation.Record, needed int) check {
	c := check{What: key + ", reads", Level: levelOK, Saw: fmt.Sprintf("each of %d reads was up to date", r.API.Describe)}
	if more := r.API.Describe - needed; more > 0 {
		c.Level, c.Saw = levelNote, fmt.Sprintf("%s more than were needed: some failed, or were not up to date; the zone waited for them", many(more, "read"))
	}
	return c
}
