package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keywave/activities"
	"keywave/internal/edgeone"
	"keywave/internal/fleet"
	"keywave/internal/rotation"
)

const before = `version: 1
account: {endpoint: "http://127.0.0.1:1"}
defaults: {file: {path: "/srv/keys/{zone}"}}
locations:
  hk:
    hosts:
      gw-1: {file: {}}
      gw-2: {file: {path: "/srv/more/{zone}"}}
zones:
  - {id: zone-a, hosts: [gw-1, gw-2]}
`

// reloading is a worker of all roles but the orchestrator's, with a fleet file.
func reloading(t *testing.T) (w *workers, write func(text string)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fleet.yaml")
	write = func(text string) {
		t.Helper()
		// As Kubernetes and careful editors do it: the whole file at once.
		if err := errors.Join(os.WriteFile(path+".new", []byte(text), 0o600), os.Rename(path+".new", path)); err != nil {
			t.Fatal(err)
		}
	}
	write(before)
	read, err := fleet.Bare(path)
	if err != nil {
		t.Fatal(err)
	}
	seen, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	w = &workers{config: &config{fleetFile: path, fleet: read, seen: seen, roles: []string{roleEdgeOne, roleLocation}}, log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	w.callers = []*caller{{workers: w, account: read.Accounts[0], lease: &edgeone.Lease{}, edgeOne: &activities.EdgeOne{}}}
	w.locations = []*activities.Location{{Name: "hk", Hosts: func() activities.Machines { return w.file.now().hosts["hk"] }}}
	if err := w.give(); err != nil {
		t.Fatal(err)
	}
	return w, write
}

// holds says which hosts of the location there are, and which the zone has.
func (w *workers) holds(t *testing.T) string {
	t.Helper()
	var at []string
	for _, name := range []rotation.HostName{"gw-1", "gw-2", "gw-3"} {
		if _, is := w.locations[0].Hosts()[name]; is {
			at = append(at, string(name))
		}
	}
	refs, err := w.file.now().holders["default"].Of(t.Context(), "zone-a")
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range refs {
		at = append(at, "zone-a:"+string(ref.Name))
	}
	return strings.Join(at, " ")
}

const both = "gw-1 gw-2 zone-a:gw-1 zone-a:gw-2"

func TestAGoodFleetFileHoldsAtOnce(t *testing.T) {
	w, write := reloading(t)
	if got := w.holds(t); got != both {
		t.Fatalf("at the start %s", got)
	}
	kept := w.locations[0].Hosts()["gw-1"]
	marked := w.identity()

	// A host that it removes gets no key, and one that stays keeps its connection.
	write(strings.Replace(strings.Replace(before, "gw-2: {", "gw-3: {", 1), "[gw-1, gw-2]", "[gw-1, gw-3]", 1))
	if got := w.holds(t); got != "gw-1 gw-3 zone-a:gw-1 zone-a:gw-3" {
		t.Errorf("it gives %s", got)
	}
	if w.locations[0].Hosts()["gw-1"].Host != kept.Host {
		t.Error("a host that did not change was made anew")
	}
	if w.identity() == marked {
		t.Error("Temporal hears of the file at the start")
	}
	// Another definition is another digest, which refuses what was planned with the former.
	write(before)
	planned := w.locations[0].Hosts()["gw-2"].Digest
	write(strings.Replace(before, "/srv/more", "/srv/other", 1))
	if got := w.locations[0].Hosts()["gw-2"].Digest; got == planned || w.holds(t) != both {
		t.Errorf("digest %s, as before; %s", got, w.holds(t))
	}
	write(strings.Replace(before, "zones:", "campaign: {deliverFor: 2h}\nzones:", 1))
	if got := w.file.now().fleet.Campaign.Timing.DeliverFor.D(); got != 2*time.Hour {
		t.Errorf("deliverFor is %s", got)
	}
	if err := w.file.problem(); err != nil {
		t.Errorf("it is not ready: %v", err)
	}
}

func TestABadFleetFileLeavesTheLastGoodOne(t *testing.T) {
	w, write := reloading(t)
	for name, c := range map[string]struct{ text, want string }{
		"no YAML":         {"version: [", "fleet.yaml"},
		"a mistake":       {strings.Replace(before, "[gw-1, gw-2]", "[gw-1, gw-9]", 1), `unknown host "gw-9"`},
		"an empty file":   {"", "fleet.yaml"},
		"no table":        {before[:strings.Index(before, "zones:")] + "zones: {csv: nowhere.csv}\n", "the table of zones cannot be read"},
		"another version": {"version: 2\n", "version 1"},
	} {
		write(c.text)
		w.file.tried = time.Time{}
		if got := w.holds(t); got != both {
			t.Errorf("%s: it gives %s", name, got)
		}
		if err := w.file.problem(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: it is not ready because of %v", name, err)
		}
	}
	if err := os.Remove(w.fleetFile); err != nil {
		t.Fatal(err)
	}
	w.file.tried = time.Time{}
	if err := w.file.problem(); w.holds(t) != both || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a file: %s, %v", w.holds(t), err)
	}
	write(before)
	w.file.tried = time.Time{}
	if err := w.file.problem(); err != nil || w.holds(t) != both {
		t.Errorf("a good one again: %v", err)
	}
}

// Other accounts or locations need a restart; what the file gives holds all the same.
func TestWhatNeedsARestartIsTold(t *testing.T) {
	w, write := reloading(t)
	for want, text := range map[string]string{
		"other accounts":  strings.Replace(before, "127.0.0.1:1", "127.0.0.1:2", 1),
		"other locations": strings.Replace(before, "zones:", "  eu:\n    hosts:\n      gw-4: {file: {path: \"/eu/{zone}\"}}\nzones:", 1),
	} {
		write(strings.Replace(text, "[gw-1, gw-2]", "[gw-1]", 1))
		if err := w.file.problem(); err == nil || !strings.Contains(err.Error(), want+" than this worker was started with; restart it") {
			t.Errorf("%s: %v", want, err)
		}
		if got := w.holds(t); got != "gw-1 gw-2 zone-a:gw-1" {
			t.Errorf("%s: it gives %s", want, got)
		}
	}
}

// A campaign's worth of readers, and a file that changes under them.
func TestFleetFileIsReadByMany(t *testing.T) {
	w, write := reloading(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 8)
	for range cap(done) {
		go func() {
			for ctx.Err() == nil {
				if g := w.file.now(); len(g.hosts["hk"]) != len(g.fleet.Hosts) {
					done <- fmt.Errorf("%d hosts of one file, %d of another", len(g.hosts["hk"]), len(g.fleet.Hosts))
					return
				}
			}
			done <- nil
		}()
	}
	for i := range 50 {
		write(strings.Replace(before, "zones:", fmt.Sprintf("      gw-%d: {file: {path: \"/x/{zone}\"}}\nzones:", 10+i), 1))
		w.file.now()
	}
	cancel()
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
