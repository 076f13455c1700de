package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"keywave/internal/proving/stage"
	"keywave/internal/rotation"
	"keywave/workflows"
)

// When a campaign is over, a copy of Temporal's database from the middle of it
// is restored. The campaign finds zones whose keys nobody knows, and pauses.
// When a person lets it go on, it does not refresh those that were refreshed
// after the copy.
func TestRestoredBackup(t *testing.T) {
	s := raiseAs(t, stage.Config{
		Zones: 40, Hosts: 6, Limit: 3, Workers: 1,
		Settings: `{waves: [1, 50%, 100%], bake: 100ms, window: 6, maxFailed: 50%, maxExposed: 40, exposedAfter: 30s, deliverFor: 2m, proofFor: 10s, settle: 1s, signatureLife: 5s}`,
	})
	if err := s.StartCampaign(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "some zones of the second wave are refreshed", 3*time.Minute, func() bool { return len(refreshes(t, s)) >= 6 })
	backup := t.TempDir()
	frozen(t, s.Temporal, func() { copyDatabase(t, s.Dir, backup) })
	if n := len(refreshes(t, s)); n > 17 {
		t.Fatalf("%d zones were refreshed before the copy was made: too few are left of the wave", n)
	}
	must(t, s, "campaign", "watch", "c")
	onceEach(t, s)

	s.Workers[0].Stop(20 * time.Second)
	s.Temporal.Kill()
	copyDatabase(t, backup, s.Dir)
	if err := s.StartTemporal(t.Context()); err != nil {
		t.Fatal(err)
	}
	must(t, s, "brake", "on", "--reason", "a backup was restored")
	if err := s.StartWorker(0); err != nil {
		t.Fatal(err)
	}
	said := ""
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(said)
		}
	})
	eventually(t, "the campaign pauses", 5*time.Minute, func() bool {
		out, err := s.CLI(t.Context(), "campaign", "status", "c")
		said = fmt.Sprint(out, err)
		return err == nil && strings.Contains(said, "Temporal's past is not the world's")
	})
	must(t, s, "audit", "-f", s.Places.Fleet)
	must(t, s, "brake", "off", "--reason", "hosts and EdgeOne agree")
	must(t, s, "campaign", "resume", "c", "--reason", "hosts and EdgeOne agree", "--watch")
	onceEach(t, s)
	truth(t, s)
}

// frozen stops a process for a moment.
func frozen(t *testing.T, p interface{ Signal(syscall.Signal) error }, do func()) {
	t.Helper()
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}()
	do()
}

// copyDatabase replaces one database, with the files that SQLite keeps beside
// it, by another.
func copyDatabase(t *testing.T, from, to string) {
	t.Helper()
	for _, name := range []string{"temporal.db", "temporal.db-wal", "temporal.db-shm"} {
		target := filepath.Join(to, name)
		if err := os.Remove(target); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		body, err := os.ReadFile(filepath.Join(from, name))
		if errors.Is(err, fs.ErrNotExist) || strings.HasSuffix(name, "-shm") {
			continue // SQLite makes a new one
		}
		if err == nil {
			err = os.WriteFile(target, body, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Every history of a page's zones and of its shard is deleted under an open
// campaign. What the campaign remembers of each zone decides, and no zone is
// refreshed a second time.
func TestForgottenZones(t *testing.T) {
	s := raiseWith(t, `{waves: [8, 100%], bake: 100ms, window: 20, approve: [2], maxFailed: 100%, maxExposed: 8, exposedAfter: 1s, deliverFor: 20s, proofFor: 20s, settle: 1s, signatureLife: 70s}`, 9, 9, 1)
	zones := zonesOf(t, s)
	own := ownHosts(t, s)
	var rest []string
	var apart []string // zones with a host that no other zone has
	for _, zone := range zones[:8] {
		if len(own[zone]) > 0 && len(apart) < 2 {
			apart = append(apart, zone)
		} else {
			rest = append(rest, zone)
		}
	}
	exposed, never, unknown, changed, unchanged, done := apart[0], apart[1], rest[0], rest[1], rest[2], rest[3]

	// The first read of each key is the plan's. One zone ends exposed, one
	// unknown. One is lost after its key has changed, and one before. One waits
	// for a host that is set aside. The others are done.
	for _, h := range own[exposed] {
		post(t, s, "/hosts/"+h+"/bad", map[string]any{"kind": "reloadFails"})
	}
	for _, h := range own[never] {
		post(t, s, "/hosts/"+h+"/bad", map[string]any{"kind": "down"})
	}
	fault(t, s, unknown, "resetAfter")
	post(t, s, "/faults", map[string]any{"action": stage.DescribeAction, "zone": unknown, "nth": 2, "count": 1000, "fault": "error:InternalError"})
	post(t, s, "/faults", map[string]any{"action": stage.RefreshAction, "zone": changed, "nth": 1, "fault": "resetBefore"})
	post(t, s, "/faults", map[string]any{"action": stage.RefreshAction, "zone": unchanged, "fault": "resetBefore"})
	if err := s.StartCampaign(t.Context()); err != nil {
		t.Fatal(err)
	}
	var st stage.Status
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%+v", st)
		}
	})
	zonesAre := func(want map[string]int) func() bool {
		return func() bool {
			var err error
			if st, err = s.Status(t.Context()); err != nil {
				return false
			}
			for outcome, n := range want {
				if st.Zones[outcome] != n {
					return false
				}
			}
			return true
		}
	}
	// The zones that are lost, the one that waits and those of the second wave
	// are pending.
	eventually(t, "each zone is where it is to be", 3*time.Minute, zonesAre(map[string]int{"done": 3, "exposed": 1, "unknown": 1, "pending": 4}))
	before := refreshes(t, s)
	for zone, n := range map[string]int{done: 1, exposed: 1, unknown: 1, changed: 1, unchanged: 0, never: 0} {
		if before[zone] != n {
			t.Fatalf("%s was refreshed %d times before anything was forgotten, and was to be %d times: %v", zone, before[zone], n, before)
		}
	}
	forget(t, s, workflows.ShardID("c", 1))
	for _, zone := range zones[:8] {
		forget(t, s, workflows.ZoneID(rotation.ZoneID(zone)))
	}
	eventually(t, "the campaign pauses", 5*time.Minute, func() bool {
		out, err := s.CLI(t.Context(), "campaign", "status", "c")
		return err == nil && strings.Contains(out, "ended without a result")
	})
	if err := s.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	must(t, s, "campaign", "resume", "c", "--reason", "healed")
	eventually(t, "the page is done", 6*time.Minute, zonesAre(map[string]int{"done": 8}))
	must(t, s, "campaign", "approve", "c", "--wave", "2", "--reason", "nothing is left")
	must(t, s, "campaign", "watch", "c")
	onceEach(t, s)
	truth(t, s)
}

// Everything that is closed is deleted under an open campaign: the plan, a
// shard and its zones. The campaign continues as new, goes on to its end, and
// its report has every zone.
func TestCampaignOutlivesWhatTemporalKeeps(t *testing.T) {
	s := raiseWith(t, `{waves: [4, 100%], bake: 100ms, window: 20, approve: [2], exposedAfter: 30s, deliverFor: 2m, proofFor: 30s, settle: 1s, signatureLife: 5s}`, 10, 6, 1)
	if err := s.StartCampaign(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "wave 2 waits for a person", 3*time.Minute, func() bool {
		st, err := s.Status(t.Context())
		return err == nil && st.State == string(workflows.StateWaiting)
	})
	forget(t, s, workflows.PlanID("c"))
	forget(t, s, workflows.ShardID("c", 1))
	for _, zone := range zonesOf(t, s)[:4] {
		forget(t, s, workflows.ZoneID(rotation.ZoneID(zone)))
	}
	c := temporal(t, s)
	first := latestRun(t, c, workflows.CampaignID("c"))
	for range 4100 { // after so many events, Temporal suggests to continue as new
		if err := c.SignalWorkflow(t.Context(), workflows.CampaignID("c"), "", "noise", nil); err != nil {
			t.Fatal(err)
		}
	}
	must(t, s, "campaign", "approve", "c", "--wave", "2", "--reason", "go on")
	must(t, s, "campaign", "watch", "c")
	if latestRun(t, c, workflows.CampaignID("c")) == first {
		t.Error("it did not continue as new")
	}
	onceEach(t, s)
	truth(t, s)
}

func latestRun(t *testing.T, c client.Client, id string) string {
	t.Helper()
	seen, err := c.DescribeWorkflowExecution(t.Context(), id, "")
	if err != nil {
		t.Fatal(err)
	}
	return seen.GetWorkflowExecutionInfo().GetExecution().GetRunId()
}

// forget deletes all runs of a workflow, as the retention does.
func forget(t *testing.T, s *stage.Stack, id string) {
	t.Helper()
	c := temporal(t, s)
	eventually(t, id+" is deleted", 3*time.Minute, func() bool {
		_, err := c.WorkflowService().DeleteWorkflowExecution(t.Context(), &workflowservice.DeleteWorkflowExecutionRequest{
			Namespace: client.DefaultNamespace, WorkflowExecution: &common.WorkflowExecution{WorkflowId: id},
		})
		var gone *serviceerror.NotFound
		if err != nil && !errors.As(err, &gone) {
			t.Fatal(err)
		}
		_, err = c.DescribeWorkflowExecution(t.Context(), id, "")
		return errors.As(err, &gone)
	})
}

// ownHosts are, for each zone, the hosts that no other zone has.
func ownHosts(t *testing.T, s *stage.Stack) map[string][]string {
	t.Helper()
	pairs, err := s.Pairs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	zones := map[string]int{} // how many zones each host has
	for _, p := range pairs {
		zones[p.Host]++
	}
	own := map[string][]string{}
	for _, p := range pairs {
		if zones[p.Host] == 1 {
			own[p.Zone] = append(own[p.Zone], p.Host)
		}
	}
	return own
}
