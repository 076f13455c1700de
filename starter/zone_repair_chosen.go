package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"keywave/internal/rotation"
)

// repairsAtOnce is how many zones are repaired side by side: one that cannot be
// mended now holds its place until its operation ends.
const repairsAtOnce = 40

// repaired is how the repair of one of several zones ended.
type repaired struct {
	rotation.Record
	// Problem is why there is no record.
	Problem string `json:"problem,omitempty"`
}

// repairChosen repairs the zones that the selectors choose.
func (a *app) repairChosen(ctx context.Context, o *zoneOptions) error {
	f, conn, err := a.wholeFleet(ctx, o.fleetFile, "")
	if err != nil {
		return err
	}
	defer conn.Close()
	if f, err = o.of(f); err != nil {
		return err
	}
	if err := awaitWorker(ctx, conn); err != nil {
		return err
	}
	a.say("Repairs %s.", f.Selected)
	all := make([]repaired, len(f.Zones))
	var group errgroup.Group
	group.SetLimit(repairsAtOnce)
	for i, z := range f.Zones {
		group.Go(func() error {
			record, err := a.carryOut(ctx, conn, zoneIn(f, rotation.Repair, z.ID, o), o)
			record.Zone = z.ID
			if all[i] = (repaired{Record: seen(record)}); err != nil {
				all[i].Problem = err.Error()
			}
			return nil
		})
	}
	_ = group.Wait()
	if err := a.print(all, func(w io.Writer) { showRepaired(w, all) }); err != nil {
		return err
	}
	return unrepaired(all, o.fleetFile)
}

func showRepaired(w io.Writer, all []repaired) {
	for _, r := range all {
		put(w, "%s  %s\n", r.Zone, r.said())
	}
}

func (r repaired) said() string {
	switch {
	case r.Problem != "":
		return "failed: " + r.Problem
	case r.Why != "":
		return string(r.Outcome) + ": " + r.Why
	}
	return string(r.Outcome)
}

// unrepaired names the zones whose hosts are not known to hold the live key.
func unrepaired(all []repaired, path string) error {
	left := slices.DeleteFunc(slices.Clone(all), func(r repaired) bool { return r.Problem == "" && r.Outcome == rotation.Done })
	if len(left) == 0 {
		return nil
	}
	var names []string
	for _, r := range left[:min(len(left), 10)] {
		names = append(names, string(r.Zone))
	}
	return notDone(fmt.Errorf("%d of %s are not repaired; once what is named is mended: keywave zone repair -f %s --zones %s", len(left), many(len(all), "zone"), path, strings.Join(names, ",")))
}
