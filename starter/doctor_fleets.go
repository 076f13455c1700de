package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"keywave/internal/fleet"
	"keywave/internal/temporalclient"
)

// checkFleets compares the fleet files that workers use, by the
// marks that they tell, with each other and with the one at hand.
func checkFleets(ctx context.Context, conn *temporalclient.Connection, f *fleet.Fleet, file string) check {
	const what = "fleet files of the workers"
	bare, err := fleet.Bare(file)
	if err != nil {
		return failed(what, err, "")
	}
	marks := map[string]string{}
	for _, q := range queuesOf(f) {
		of, err := conn.Fleets(ctx, q.name)
		if err != nil {
			return failed(what, err, "may "+operator()+" describe the task queues of namespace "+conn.Namespace+"?")
		}
		maps.Copy(marks, of)
	}
	return judgeFleets(what, bare.Mark(), marks)
}

// judgeFleets names which worker has which fleet file, unless all have own.
func judgeFleets(what, own string, marks map[string]string) check {
	workers := map[string][]string{}
	for worker, mark := range marks {
		workers[mark] = append(workers[mark], worker)
	}
	if len(workers) == 0 {
		return check{What: what, Level: levelNote, Saw: "no worker says which it has"}
	}
	if len(workers) == 1 && len(workers[own]) > 0 {
		return check{What: what, Level: levelOK, Saw: fmt.Sprintf("%s, as the one given here", own)}
	}
	var saw []string
	for _, mark := range slices.Sorted(maps.Keys(workers)) {
		slices.Sort(workers[mark])
		saw = append(saw, fmt.Sprintf("%s has %s", mark, strings.Join(workers[mark], ", ")))
	}
	return check{
		What: what, Level: levelWarn, Saw: fmt.Sprintf("the one given here is %s; %s", own, strings.Join(saw, "; ")),
		Remedy: "give all workers the same fleet file: what one plans or proves, another refuses",
	}
}
