package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"syscall"
	"time"

	"keywave/internal/proving/stage"
)

// weather makes bad days during a campaign.
type weather struct {
	*stage.Stack
	rng                   *rand.Rand
	changes               string // the API action that changes keys
	kills, faults, orders int
	hostNames             []string
	witness               *witness
	// done are the zones whose history was deleted after they were done, and when.
	done map[string]time.Time
}

// apiFaults are all kinds of faults that the simulator has, and some of
// EdgeOne's own errors.
var apiFaults = []string{
	"resetBefore", "resetAfter", "closeAfter", "delayBefore", "delayAfter", "truncatedBody", "stalledBody", "truncatedJSON",
	"html502Before", "html502After", "error5xxBody", "internalErrorBefore", "internalErrorAfter", "emptyObject",
	"lateLanding", "throttle", "error:OperationDenied.ConfigLocked", "error:ServiceUnavailable", "error:RequestLimitExceeded.UinLimitExceeded",
}

var hostFaults = []string{
	"down", "authRefused", "otherHostKey", "hang", "diskFull", "readOnlyDir", "reloadFails",
	"dropAtExec", "dropMidTransfer", "dropBeforeAck", "lateStart", "lateAck", "lateReload",
}

// counted are the bad days that strike a number of commands; the others last
// for a time.
var counted = []string{"dropAtExec", "dropMidTransfer", "dropBeforeAck", "lateStart", "lateAck", "diskFull", "hang"}

// look learns the hosts' names.
func (w *weather) look(ctx context.Context) error {
	hosts, err := w.Hosts(ctx)
	w.hostNames = slices.Sorted(maps.Keys(hosts))
	return err
}

// blow makes bad days for a time, one after the other.
func (w *weather) blow(ctx context.Context, while time.Duration) {
	end := time.Now().Add(while)
	for time.Now().Before(end) && ctx.Err() == nil {
		if stage.Pause(ctx, time.Duration(w.rng.IntN(700))*time.Millisecond) != nil {
			return
		}
		w.something(ctx)
	}
}

func (w *weather) something(ctx context.Context) {
	switch n := w.rng.IntN(100); {
	case n < 35:
		w.apiFault(ctx)
	case n < 60:
		w.hostFault(ctx)
	case n < 72:
		w.killWorker(ctx, w.rng.IntN(workers))
	case n < 76:
		w.killWorker(ctx, 0)
		w.killWorker(ctx, 1)
	case n < 82:
		w.killTemporal(ctx)
	case n < 90:
		w.freeze(ctx)
	default:
		w.operator(ctx)
	}
}

func (w *weather) apiFault(ctx context.Context) {
	kind := apiFaults[w.rng.IntN(len(apiFaults))]
	action := w.changes
	if w.rng.IntN(4) == 0 && kind != "lateLanding" {
		action = stage.DescribeAction
	}
	f := map[string]any{"action": action, "count": 1 + w.rng.IntN(3), "fault": kind, "delayMs": 200 + w.rng.IntN(3000)}
	if w.Control(ctx, http.MethodPost, "/faults", f, nil) == nil {
		w.faults++
	}
}

func (w *weather) hostFault(ctx context.Context) {
	kind := hostFaults[w.rng.IntN(len(hostFaults))]
	bad := map[string]any{"kind": kind, "delayMs": w.rng.IntN(2000)}
	if slices.Contains(counted, kind) {
		bad["count"] = 1 + w.rng.IntN(4)
	} else {
		bad["seconds"] = 1 + w.rng.Float64()*7
	}
	host := w.hostNames[w.rng.IntN(len(w.hostNames))]
	if w.Control(ctx, http.MethodPost, "/hosts/"+host+"/bad", bad, nil) == nil {
		w.faults++
	}
}

func (w *weather) killWorker(ctx context.Context, i int) {
	w.witness.disturbed()
	defer w.witness.recovered()
	w.Workers[i].Kill()
	w.kills++
	_ = stage.Pause(ctx, time.Duration(w.rng.IntN(2000))*time.Millisecond)
	_ = w.StartWorker(i)
}

func (w *weather) killTemporal(ctx context.Context) {
	w.witness.disturbed()
	defer w.witness.recovered()
	w.Temporal.Kill()
	w.kills++
	_ = stage.Pause(ctx, time.Duration(w.rng.IntN(3000))*time.Millisecond)
	if err := w.StartTemporal(ctx); err != nil {
		fmt.Println("the server did not start again:", err)
	}
}

// freeze stops a worker, as a paused virtual machine would, and wakes it up
// later.
func (w *weather) freeze(ctx context.Context) {
	w.witness.disturbed()
	defer w.witness.recovered()
	victim := w.Workers[w.rng.IntN(workers)]
	_ = victim.Signal(syscall.SIGSTOP)
	_ = stage.Pause(ctx, time.Duration(w.rng.Int64N(int64(maxFreeze))))
	_ = victim.Signal(syscall.SIGCONT)
	w.faults++
}

// operator does what people do. An order may be refused; that is no failure.
func (w *weather) operator(ctx context.Context) {
	orders := [][]string{
		{"campaign", "pause", campaign, "--reason", "chaos"},
		{"campaign", "resume", campaign, "--reason", "chaos"},
		{"campaign", "resume", campaign, "--reason", "chaos"},
		{"campaign", "cancel", campaign, "--reason", "chaos"},
		{"campaign", "set", campaign, "--window", fmt.Sprint(1 + w.rng.IntN(30))},
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, _ = w.CLI(ctx, orders[w.rng.IntN(len(orders))]...)
	w.orders++
}
