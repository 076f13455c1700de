package main

import (
	"context"
	"fmt"
	"time"
)

// The way back: a staged campaign whose bad days are over is rolled back under some more
// of them. Then each zone that is done must have the key from before, on EdgeOne and on
// its hosts.

const (
	rollback  = "chaos-rollback"
	backStorm = 10 * time.Second
)

// goBack returns what was wrong, and how many zones were rolled back.
func (w *weather) goBack(ctx context.Context) (wrong []string, zones int) {
	if _, err := w.CLI(ctx, "campaign", "rollback", w.Campaign, "-f", w.Places.Fleet, "--name", rollback, "--reason", "chaos"); err != nil {
		return []string{"the rollback did not begin: " + err.Error()}, 0
	}
	w.Campaign = rollback
	w.apiFault(ctx)
	w.blow(ctx, backStorm)
	if err := w.Heal(ctx); err != nil {
		return []string{err.Error()}, 0
	}
	if status, err := w.Finish(ctx, healing); err != nil {
		wrong = append(wrong, fmt.Sprintf("%v (state %s, zones %v)", err, status.State, status.Zones))
	}
	wrong = append(wrong, w.Outside(ctx)...)
	back, zones, err := w.notBack(ctx)
	if err != nil {
		back = append(back, "could not be checked: "+err.Error())
	}
	return append(wrong, back...), zones
}

// notBack are the zones that the rollback's report calls done, and whose key is not the one
// from before. A key that came back is in the simulator's memory twice, with the one between.
func (w *weather) notBack(ctx context.Context) (wrong []string, zones int, err error) {
	reported, err := w.Reported(ctx)
	if err != nil {
		return nil, 0, err
	}
	keys, err := w.Keys(ctx)
	if err != nil {
		return nil, 0, err
	}
	for _, z := range reported {
		ever := keys[z.ID].Ever
		if n := len(ever); z.Outcome == "done" && (n < 3 || ever[n-1] != ever[n-3]) {
			wrong = append(wrong, fmt.Sprintf("%s was rolled back, and its key is not the one from before", z.ID))
		}
	}
	return wrong, len(reported), nil
}
