package workflows_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"keywave/activities"
	"keywave/internal/plan"
	"keywave/internal/rotation"
	"keywave/workflows"
)

// plan makes a plan "p" of the world's zones, with pages of at most pageZones
// zones.
func (w *world) plan(settings plan.Settings, pageZones int) plan.Plan {
	w.Helper()
	p := plan.Plan{Name: "p", Made: noon.Add(-time.Hour), Settings: settings, Zones: len(w.order), Hosts: len(w.machines)}
	counts, err := plan.CutWaves(len(w.order), settings.Waves)
	if err != nil {
		w.Fatal(err)
	}
	accounts := w.accounts()
	for _, a := range accounts {
		p.Accounts = append(p.Accounts, plan.Share{Account: a, Zones: len(w.of(a, w.order)), Limit: 20})
	}
	rest := w.order
	for wave, n := range counts {
		cut := plan.Wave{Zones: n, First: len(p.Pages) + 1}
		for _, a := range accounts {
			own := w.of(a, rest[:n])
			part := plan.Part{Account: a, Zones: len(own), First: len(p.Pages) + 1}
			for some := range slices.Chunk(own, pageZones) {
				page := w.page(some, len(p.Pages)+1, wave+1)
				p.Pages = append(p.Pages, page.Digest())
				p.Pairs += page.Pairs()
				w.pages[workflows.PageID("p", page.Number)] = page
			}
			if part.Last = len(p.Pages); len(own) > 0 {
				cut.Parts = append(cut.Parts, part)
			}
		}
		cut.Last = len(p.Pages)
		p.Waves = append(p.Waves, cut)
		rest = rest[n:]
	}
	p.Digest = p.DigestOf()
	w.plans[workflows.PlanID("p")] = p
	return p
}

// accounts are the accounts of the zones, in the order in which they first
// appear.
func (w *world) accounts() []rotation.Account {
	var all []rotation.Account
	for _, id := range w.order {
		if a := w.zones[id].account; !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	return all
}

// of are those of the zones that belong to an account.
func (w *world) of(a rotation.Account, zones []rotation.ZoneID) []rotation.ZoneID {
	return slices.DeleteFunc(slices.Clone(zones), func(id rotation.ZoneID) bool { return w.zones[id].account != a })
}

func (w *world) page(zones []rotation.ZoneID, number, wave int) plan.Page {
	var targets []plan.Target
	for _, id := range zones {
		targets = append(targets, plan.Target{ID: id, Account: w.zones[id].account, Hosts: w.zones[id].hosts})
	}
	pages, _, err := plan.Cut(targets, nil)
	if err != nil || len(pages) != 1 {
		w.Fatalf("%d pages, %v", len(pages), err)
	}
	page := pages[0]
	page.Number, page.Wave = number, wave
	for i := range page.Zones {
		page.Zones[i].Baseline = w.zones[page.Zones[i].ID].fingerprint()
	}
	return page
}

func usualSettings() plan.Settings {
	return plan.Settings{Waves: []string{"100%"}, Window: 4, MaxFailed: "50%", MaxExposed: 0, Timing: usualTiming()}
}

// shardIn asks for page 1 of a plan with all zones on that page.
func (w *world) shardIn(window int) workflows.ShardIn {
	p := w.plan(usualSettings(), 500)
	return workflows.ShardIn{Campaign: "c", Account: account, Plan: "p", Page: 1, Digest: p.Pages[0], Window: window, Timing: usualTiming(), Began: noon}
}

// shard runs a shard to its end and compares it with the truth.
func (w *world) shard(in workflows.ShardIn) workflows.ShardOut {
	w.Helper()
	var out workflows.ShardOut
	w.execute(workflows.ShardID("c", in.Page), workflows.TypeShard, in, &out)
	w.judgeAll()
	w.judgeTally(out.Tally)
	w.judgeWindow(in.Window, 2*in.Window)
	w.judgeStops()
	return out
}

func (w *world) judgeTally(t rotation.Tally) {
	w.Helper()
	if !t.Zones.Balanced() || t.Zones.Total != len(w.order) {
		w.Errorf("the counts do not add up to %d: %+v\n%s", len(w.order), t.Zones, w.story())
	}
	truly := 0
	for _, id := range w.order {
		if w.records[id].Outcome == rotation.Done {
			truly++
		}
	}
	if t.Zones.Done != truly {
		w.Errorf("it says that %d zones are done, and %d are\n%s", t.Zones.Done, truly, w.story())
	}
}

// judgeWindow: a zone is at risk from the moment its refresh is asked for until
// it ends or gives its slot back. No account ever has more zones at risk than
// its window. Together with zones that gave their slots back, there are never
// more than all.
func (w *world) judgeWindow(window, all int) {
	w.Helper()
	for _, a := range w.accounts() {
		w.judgeWindowOf(a, window, all)
	}
}

func (w *world) judgeWindowOf(a rotation.Account, window, all int) {
	w.Helper()
	risk, loose := map[rotation.ZoneID]bool{}, map[rotation.ZoneID]bool{}
	for _, e := range w.events {
		if z := w.zones[e.zone]; z == nil || z.account != a {
			continue
		}
		switch e.what {
		case workflows.ActRefresh:
			risk[e.zone] = true
		case "loose":
			delete(risk, e.zone)
			loose[e.zone] = true
		case "zone-end":
			delete(risk, e.zone)
			delete(loose, e.zone)
		}
		if len(risk) > window {
			w.Errorf("%d zones at risk at %s, and the window is %d\n%s", len(risk), e.at.Sub(noon), window, w.story())
			return
		}
		if len(risk)+len(loose) > all {
			w.Errorf("%d zones in flight at %s, and the window is %d\n%s", len(risk)+len(loose), e.at.Sub(noon), window, w.story())
			return
		}
	}
}

// judgeStops: after a shard received a stop, no refresh is asked for. After it
// said that it is quiet, none is sent until it is told to go on. With several
// accounts this holds for the zones of the shard's own page, until that page
// runs again.
func (w *world) judgeStops() {
	w.Helper()
	if len(w.accounts()) == 1 {
		w.judgeStopsIn(w.events)
		return
	}
	shards := map[string][]event{}
	shardOf := map[rotation.ZoneID]string{}
	for _, p := range w.pages {
		for _, z := range p.Zones {
			shardOf[z.ID] = workflows.ShardID("c", p.Number)
		}
	}
	for _, e := range w.events {
		id, _, _ := strings.Cut(e.note, ",") // of stop, quiet and retry
		switch e.what {
		case workflows.ActRefresh, "sent":
			id = shardOf[e.zone]
		case "shard-asked":
			id, e.what = string(e.zone), "retry"
		}
		shards[id] = append(shards[id], e)
	}
	for _, events := range shards {
		w.judgeStopsIn(events)
	}
}

func (w *world) judgeStopsIn(events []event) {
	w.Helper()
	var stop, quiet time.Time
	for _, e := range events {
		switch e.what {
		case "stop":
			if stop.IsZero() {
				stop = e.at
			}
		case "quiet":
			quiet = e.at
		case "retry":
			stop, quiet = time.Time{}, time.Time{}
		case workflows.ActRefresh:
			if !stop.IsZero() && e.at.After(stop) {
				w.Errorf("%s: a refresh was asked for %s after the shard received stop\n%s", e.zone, e.at.Sub(stop), w.story())
				return
			}
		case "sent":
			if !quiet.IsZero() {
				w.Errorf("%s: a refresh was sent after the shard said that all is quiet\n%s", e.zone, w.story())
				return
			}
		}
	}
}

func (w *world) control(id string, c workflows.Control) {
	w.env.RegisterDelayedCallback(func() {
		if w.running[id] == 0 {
			return
		}
		if err := w.env.SignalWorkflowByID(id, workflows.SignalControl, c); err != nil {
			w.Errorf("%s: %v", id, err)
		}
	}, time.Nanosecond)
}

// stopAndClose stops the shard, and lets it return at a time when everything
// that was under way must have ended.
func (w *world) stopAndClose(at time.Duration, window int) {
	id := workflows.ShardID("c", 1)
	w.after(at, func() { w.control(id, workflows.Control{Seq: 1, Stop: true, Window: window}) })
	w.after(at+15*time.Minute, func() { w.control(id, workflows.Control{Seq: 2, Stop: true, Close: true, Window: window}) })
}

func TestShardGoodPath(t *testing.T) {
	w := newWorld(t, 20, 6, 2)
	out := w.shard(w.shardIn(4))
	if out.Tally.Zones.Done != 20 || out.Tally.Hosts != (rotation.HostCounts{Total: 40, Acknowledged: 40}) {
		t.Fatalf("%+v\n%s", out.Tally, w.story())
	}
	if out.Tally.API != (rotation.API{Refresh: 20, Describe: 20}) {
		t.Errorf("calls: %+v", out.Tally.API)
	}
	if w.runs[workflows.ActBegun] > 0 {
		t.Errorf("Temporal was asked %d times about refreshes that answer soon", w.runs[workflows.ActBegun])
	}
	if w.runs[workflows.ActProve] > 4 {
		t.Errorf("proofs were asked for %d times: they are shared", w.runs[workflows.ActProve])
	}
	news := 0
	for _, s := range w.said {
		if s.to == workflows.CampaignID("c") {
			news++
		}
	}
	if news > 5 {
		t.Errorf("the campaign was told %d times", news)
	}
	for _, id := range w.order {
		if w.zones[id].executed != 1 {
			t.Errorf("%s was refreshed %d times", id, w.zones[id].executed)
		}
	}
}

func TestShardFillsItsWindow(t *testing.T) {
	w := newWorld(t, 20, 6, 2)
	for _, z := range w.zones {
		z.refresh = []refreshing{slow(3 * time.Second)}
	}
	in := w.shardIn(4)
	w.shard(in)
	started, most := 0, 0
	for _, e := range w.events {
		switch e.what {
		case "zone-start":
			started++
		case "zone-end":
			started--
		}
		most = max(most, started)
	}
	if most != 4 {
		t.Errorf("%d zones at once, and the window is 4", most)
	}
}

func TestShardGivesBackTheSlotsOfLooseZones(t *testing.T) {
	w := newWorld(t, 12, 6, 2)
	for _, id := range w.order[:4] {
		w.zones[id].refresh = []refreshing{unanswered(-1)} // it gets its slot soon, and is locked for 300 s
	}
	out := w.shard(w.shardIn(4))
	if out.Tally.Zones.Done != 12 {
		t.Fatalf("%+v\n%s", out.Tally, w.story())
	}
	last := w.records[w.order[11]]
	if at := last.EndedAt.Sub(noon); at > time.Minute {
		t.Errorf("the others waited for zones that only wait for a signature to die: the last ended after %s", at)
	}
}

func TestShardStartsNoMoreWhenAWindowOfZonesIsLoose(t *testing.T) {
	w := newWorld(t, 30, 6, 2)
	w.machines["h1"].down(noon.Add(100*time.Millisecond), 20*time.Minute)
	in := w.shardIn(2)
	w.shard(in)
}

func TestShardSetsAHostAside(t *testing.T) {
	w := newWorld(t, 12, 6, 2)
	w.machines["h3"].down(noon, forever)
	out := w.shard(w.shardIn(4))
	waiting := 0
	for _, id := range w.order {
		for _, h := range w.zones[id].hosts {
			if h.Name == "h3" {
				waiting++
				if w.zones[id].sent > 0 {
					t.Errorf("%s was refreshed, and h3 proved nothing", id)
				}
			}
		}
	}
	if out.Tally.Zones.Pending != waiting || out.Tally.Zones.Done != 12-waiting {
		t.Errorf("%+v, and %d zones have h3\n%s", out.Tally.Zones, waiting, w.story())
	}
	if len(out.Note.Attention) != 0 || len(out.Note.SetAside) != 1 || out.Note.SetAside[0].Host != "h3" || !strings.Contains(out.Note.SetAside[0].Why, "no route") {
		t.Errorf("%+v", out.Note)
	}
}

func TestShardAsksAHostTwice(t *testing.T) {
	w := newWorld(t, 6, 3, 2)
	w.machines["h2"].unproved = []string{"disk full"}
	if out := w.shard(w.shardIn(4)); out.Tally.Zones.Done != 6 || len(out.Note.SetAside) != 0 {
		t.Errorf("%+v\n%s", out, w.story())
	}
}

func TestShardALocationWithoutWorkers(t *testing.T) {
	w := newWorld(t, 6, 6, 1)
	w.queued = noWorkers(workflows.LocationQueue("eu"), forever)
	out := w.shard(w.shardIn(2))
	if out.Tally.Zones.Done != 3 || out.Tally.Zones.Pending != 3 {
		t.Errorf("%+v\n%s", out.Tally.Zones, w.story())
	}
	for _, a := range out.Note.SetAside {
		if !strings.Contains(a.Why, "no worker of location eu answers") {
			t.Errorf("%+v", a)
		}
	}
}

func TestShardRenewsProofs(t *testing.T) {
	w := newWorld(t, 20, 4, 2)
	for _, z := range w.zones {
		z.refresh = []refreshing{slow(15 * time.Second)}
	}
	if out := w.shard(w.shardIn(2)); out.Tally.Zones.Done != 20 { // world.sign checks every proof's age
		t.Errorf("%+v\n%s", out.Tally.Zones, w.story())
	}
	if w.runs[workflows.ActProve] < 6 {
		t.Errorf("proofs were asked for %d times in 150 s", w.runs[workflows.ActProve])
	}
}

func TestShardReadsTheBaselineAgainWhereAHostDrifted(t *testing.T) {
	w := newWorld(t, 3, 3, 1)
	in := w.shardIn(4)
	z := w.zones["zone-02"]
	z.newKey() // by somebody in the console, after the plan; that person also put it on the host
	w.machines["h2"].files["zone-02"] = z.live()
	out := w.shard(in)
	if out.Tally.Zones.Done != 3 || out.Tally.API.Describe != 4 {
		t.Errorf("%+v\n%s", out.Tally, w.story())
	}
	if r := w.records["zone-02"]; r.From != z.print(z.keys[1]) {
		t.Errorf("its baseline is not the key that was live: %+v", r)
	}
}

// Proofs are about the zones whose turn comes next, so that a page's hosts need
// not read all of their files at once. A host that has drifted is still found.
func TestShardProvesInParts(t *testing.T) {
	w := newWorld(t, 200, 3, 2)
	in := w.shardIn(4)
	z := w.zones["zone-150"]
	z.newKey() // by somebody in the console
	host := z.hosts[0].Name
	w.machines[host].files["zone-150"] = z.live()
	w.machines["h3"].unproved = []string{"disk full"}
	w.after(8*time.Second, func() { w.machines["h3"].unproved = []string{"disk full"} })
	out := w.shard(in) // world.sign checks when each host was asked about the zone
	if out.Tally.Zones.Done != 200 || out.Tally.API.Describe != 201 {
		t.Errorf("%+v\n%s", out.Tally, w.story())
	}
	if w.asked > 84 {
		t.Errorf("a host was asked about %d zones at once", w.asked)
	}
	if runs := w.runs[workflows.ActProve]; runs > 10 {
		t.Errorf("proofs were asked for %d times", runs)
	}
	if len(out.Note.SetAside) > 0 {
		t.Errorf("a host that failed twice, and not in a row, was set aside: %+v", out.Note.SetAside)
	}
}

func TestShardDefersABusyZone(t *testing.T) {
	for _, s := range []struct {
		name  string
		again bool
		done  int
	}{{"that becomes free", false, 6}, {"that stays busy", true, 5}} {
		t.Run(s.name, func(t *testing.T) {
			w := newWorld(t, 6, 3, 2)
			w.await[workflows.ZoneID("zone-01")] = awaitAnswer{out: activities.AwaitOut{Busy: "other"}, again: s.again}
			out := w.shard(w.shardIn(4))
			if out.Tally.Zones.Done != s.done || out.Tally.Zones.Done+out.Tally.Zones.Pending != 6 {
				t.Errorf("%+v\n%s", out.Tally.Zones, w.story())
			}
			if s.again {
				return
			}
			started := w.happened("zone-asked")
			if started[len(started)-1].zone != "zone-01" {
				t.Errorf("a busy zone is tried last\n%s", w.story())
			}
		})
	}
}

func TestShardTakesTheRecordOfItsOrphan(t *testing.T) {
	w := newWorld(t, 4, 3, 2)
	z := w.zones["zone-02"]
	done := rotation.Record{Zone: "zone-02", Outcome: rotation.Done, To: z.fingerprint(), ExposureMs: 900, API: rotation.API{Refresh: 1, Describe: 1}}
	w.await[workflows.ZoneID("zone-02")] = awaitAnswer{after: 10 * time.Second, out: activities.AwaitOut{Record: done}}
	w.records["zone-02"] = done
	out := w.shard(w.shardIn(4))
	if out.Tally.Zones.Done != 4 || z.sent != 0 {
		t.Errorf("%+v, %d sent\n%s", out.Tally.Zones, z.sent, w.story())
	}
}

func TestShardAnOrphanThatEndedWithoutARecordIsUnknown(t *testing.T) {
	w := newWorld(t, 2, 3, 2)
	w.await[workflows.ZoneID("zone-02")] = awaitAnswer{out: activities.AwaitOut{Lost: true}}
	if out := w.shard(w.shardIn(4)); out.Tally.Zones.Unknown != 1 || out.Tally.Zones.Done != 1 {
		t.Errorf("%+v\n%s", out.Tally.Zones, w.story())
	}
}

func TestShardRefusesAPageThatDiffers(t *testing.T) {
	w := newWorld(t, 6, 3, 2)
	in := w.shardIn(4)
	id := workflows.PageID("p", 1)
	page := w.pages[id]
	page.Zones = slices.Clone(page.Zones)
	page.Zones[0].Hosts = page.Zones[0].Hosts[:1]
	w.pages[id] = page
	var out workflows.ShardOut
	w.execute(workflows.ShardID("c", 1), workflows.TypeShard, in, &out)
	if !strings.Contains(out.Note.Halt, "another digest") || len(w.happened("zone-start")) > 0 || w.runs[workflows.ActProve] > 0 {
		t.Errorf("%+v\n%s", out, w.story())
	}
}

func TestShardWithoutAProbeTouchesNothing(t *testing.T) {
	w := newWorld(t, 6, 3, 2)
	w.noProbe = "no keyset for eu"
	out := w.shard(w.shardIn(4))
	if out.Note.Halt != "no keyset for eu" || out.Tally.Zones.Pending != 6 || len(w.happened("zone-start")) > 0 {
		t.Errorf("%+v\n%s", out, w.story())
	}
}

// The budget's promise, tested at many moments: a refresh that was not sent
// when the shard received the stop is never sent, and one that was sent goes on
// to its end.
func TestShardStoppedAtAnyMoment(t *testing.T) {
	for _, at := range moments(25 * time.Second) {
		w := newWorld(t, 12, 4, 2)
		w.queued = noWorkers(workflows.RefreshQueue(account), 120*time.Millisecond)
		w.zones["zone-02"].refresh = []refreshing{unanswered(-1)}
		w.zones["zone-03"].refresh = []refreshing{unanswered(15 * time.Second)}
		w.machines["h4"].down(noon.Add(time.Second), 12*time.Second)
		w.stopAndClose(at, 4)
		out := w.shard(w.shardIn(4))
		c := out.Tally.Zones
		if c.Done+c.Pending+c.Unchanged != 12 {
			t.Errorf("stopped after %s: %+v\n%s", at, c, w.story())
		}
		if c.Pending > 0 && len(w.happened("quiet")) == 0 {
			t.Errorf("stopped after %s: the campaign was never told that all is quiet\n%s", at, w.story())
		}
		if t.Failed() {
			return
		}
	}
}

// A stop is answered although zones that may have refreshed still deliver.
func TestShardIsQuietWhileKeptZonesGoOn(t *testing.T) {
	w := newWorld(t, 6, 3, 2)
	w.machines["h1"].down(noon.Add(200*time.Millisecond), 10*time.Minute)
	w.stopAndClose(time.Minute, 3)
	out := w.shard(w.shardIn(3))
	quiet := w.happened("quiet")
	if len(quiet) == 0 || quiet[0].at.Sub(noon) > time.Minute+time.Second {
		t.Fatalf("quiet: %v\n%s", quiet, w.story())
	}
	if !strings.Contains(quiet[0].note, "kept") || strings.Contains(quiet[0].note, " 0 kept") {
		t.Errorf("%s", quiet[0].note)
	}
	if out.Tally.Zones.Exposed > 0 {
		t.Errorf("%+v\n%s", out.Tally.Zones, w.story())
	}
}

// A campaign may be paused over a weekend. A shard that waits for a person must
// not fill its own history, or its campaign's.
func TestShardThatIsStoppedIsSilent(t *testing.T) {
	w := newWorld(t, 6, 3, 2)
	id := workflows.ShardID("c", 1)
	w.after(400*time.Millisecond, func() { w.control(id, workflows.Control{Seq: 1, Stop: true, Window: 2}) })
	w.after(24*time.Hour, func() { w.control(id, workflows.Control{Seq: 2, Stop: true, Close: true, Window: 2}) })
	timers := 0
	w.env.SetOnTimerScheduledListener(func(string, time.Duration) { timers++ })
	w.shard(w.shardIn(2))
	news := 0
	for _, s := range w.said {
		if s.name == workflows.SignalShardNews {
			news++
		}
	}
	if news > 10 || timers > 200 {
		t.Errorf("in a day of waiting it set %d timers and told its campaign %d times", timers, news)
	}
}

func TestShardRetries(t *testing.T) {
	w := newWorld(t, 8, 4, 2)
	id := workflows.ShardID("c", 1)
	w.zones["zone-02"].refresh = []refreshing{refused("OperationDenied.ConfigLocked", false)}
	w.machines["h4"].unproved = []string{"disk full", "disk full"}
	w.after(400*time.Millisecond, func() { w.control(id, workflows.Control{Seq: 1, Stop: true, Window: 4}) })
	w.after(time.Minute, func() {
		w.log(w.env.Now(), "retry", "", "")
		w.control(id, workflows.Control{Seq: 2, Retry: true, Window: 4})
	})
	out := w.shard(w.shardIn(4))
	if out.Tally.Zones.Done != 8 || len(out.Note.SetAside) != 0 {
		t.Errorf("%+v\n%s", out, w.story())
	}
	for _, z := range w.zones {
		if z.executed != 1 {
			t.Errorf("%s was refreshed %d times", z.id, z.executed)
		}
	}
}

func TestShardTellsAnExposedZoneAtOnce(t *testing.T) {
	w := newWorld(t, 3, 3, 1)
	w.machines["h2"].down(noon.Add(100*time.Millisecond), 2*time.Minute)
	w.shard(w.shardIn(4))
	for _, s := range w.said {
		n, ok := s.arg.(workflows.ShardNews)
		if !ok || n.Tally.Zones.Exposed == 0 {
			continue
		}
		since := w.records["zone-02"].Since
		if late := s.at.Sub(since); late > 31*time.Second {
			t.Errorf("told after %s", late)
		}
		if len(n.Note.Attention) != 1 || n.Note.Attention[0].Zone != "zone-02" || !strings.Contains(n.Note.Attention[0].Why, "h2") {
			t.Errorf("%+v", n.Note)
		}
		return
	}
	t.Errorf("the campaign was not told\n%s", w.story())
}

func TestShardStopsAfterFailuresInARow(t *testing.T) {
	w := newWorld(t, 20, 4, 2)
	for _, z := range w.zones {
		z.refresh = []refreshing{refused("OperationDenied", false)}
	}
	w.stopAndClose(time.Hour, 1)
	w.shard(w.shardIn(1))
	for _, s := range w.said {
		if n, ok := s.arg.(workflows.ShardNews); ok && n.Note.Halt != "" {
			if !strings.Contains(n.Note.Halt, "5 zones in a row failed with OperationDenied") {
				t.Errorf("%s", n.Note.Halt)
			}
			return
		}
	}
	t.Errorf("nobody was told\n%s", w.story())
}

// When a zone says that every zone would fail alike, no other zone is begun,
// however late the campaign hears of it.
func TestShardStandsStillAtOnce(t *testing.T) {
	w := newWorld(t, 6, 2, 1)
	w.zones["zone-03"].refresh = []refreshing{refused("AuthFailure.SecretIdNotFound", true)}
	w.stopAndClose(time.Hour, 1)
	out := w.shard(w.shardIn(1))
	if began := w.happened("zone-start"); len(began) != 3 || out.Tally.Zones.Pending != 3 || out.Note.Halt == "" {
		t.Errorf("%d zones were begun, %+v\n%s", len(began), out, w.story())
	}
}

func TestShardOneSuccessResetsTheBreaker(t *testing.T) {
	w := newWorld(t, 20, 4, 2)
	for i, id := range w.order {
		if i%5 != 4 {
			w.zones[id].refresh = []refreshing{refused("OperationDenied", false)}
		}
	}
	if out := w.shard(w.shardIn(1)); out.Note.Halt != "" || out.Tally.Zones.Unchanged != 16 {
		t.Errorf("%+v\n%s", out, w.story())
	}
}

func TestShardDecisions(t *testing.T) {
	id := workflows.ShardID("c", 1)
	decided := func(w *world, at time.Duration, d workflows.Decided) {
		w.after(at, func() {
			for _, r := range d.Retired {
				w.retired[r.Host] = true
			}
			w.control(id, workflows.Control{Window: 2, Decided: &d})
		})
	}
	t.Run("a skipped zone is not touched", func(t *testing.T) {
		w := newWorld(t, 6, 3, 2)
		decided(w, 50*time.Millisecond, workflows.Decided{Skipped: []workflows.Skipped{{Zone: "zone-05", Reason: "not now"}}})
		out := w.shard(w.shardIn(2))
		if out.Tally.Zones.Skipped != 1 || w.zones["zone-05"].sent != 0 || out.Tally.Zones.Done != 5 {
			t.Errorf("%+v\n%s", out.Tally.Zones, w.story())
		}
	})
	t.Run("a zone that waits for its refresh is skipped", func(t *testing.T) {
		w := newWorld(t, 3, 3, 2)
		w.queued = noWorkers(workflows.RefreshQueue(account), 10*time.Second)
		decided(w, 5*time.Second, workflows.Decided{Skipped: []workflows.Skipped{{Zone: "zone-01", Reason: "not now"}}})
		out := w.shard(w.shardIn(2))
		if out.Tally.Zones.Skipped != 1 || w.zones["zone-01"].sent != 0 {
			t.Errorf("%+v\n%s", out.Tally.Zones, w.story())
		}
	})
	t.Run("a retired host is delivered to no more", func(t *testing.T) {
		w := newWorld(t, 6, 3, 2)
		w.machines["h2"].down(noon.Add(100*time.Millisecond), forever)
		decided(w, 5*time.Minute, workflows.Decided{Retired: []workflows.Retired{{Host: "h2", Reason: "scrapped"}}})
		out := w.shard(w.shardIn(2))
		if out.Tally.Zones.Exposed > 0 {
			t.Errorf("%+v\n%s", out.Tally.Zones, w.story())
		}
		if got := w.records["zone-01"]; got.Outcome != rotation.Done || got.EndedAt.Sub(noon) > 6*time.Minute {
			t.Errorf("%+v", got)
		}
	})
	t.Run("the only zone that waits is skipped", func(t *testing.T) {
		w := newWorld(t, 2, 3, 2)
		decided(w, 200*time.Millisecond, workflows.Decided{Skipped: []workflows.Skipped{{Zone: "zone-02", Reason: "not now"}}})
		if out := w.shard(w.shardIn(1)); out.Tally.Zones.Skipped != 1 || out.Tally.Zones.Done != 1 {
			t.Errorf("%+v\n%s", out.Tally.Zones, w.story())
		}
	})
	t.Run("a zone that is about to start hears of it", func(t *testing.T) {
		w := newWorld(t, 2, 3, 2)
		w.starts[workflows.ZoneID("zone-01")] = 2 * time.Second
		w.machines["h2"].down(noon.Add(time.Second), forever)
		decided(w, time.Second, workflows.Decided{Retired: []workflows.Retired{{Host: "h2", Reason: "scrapped"}}})
		out := w.shard(w.shardIn(2))
		if out.Tally.Zones.Exposed > 0 {
			t.Errorf("%+v\n%s", out.Tally.Zones, w.story())
		}
	})
	t.Run("a zone that starts with the decision knows it", func(t *testing.T) {
		w := newWorld(t, 4, 4, 2)
		w.machines["h2"].down(noon, forever)
		w.retired["h2"] = true
		in := w.shardIn(2)
		in.Decided = workflows.Decided{Retired: []workflows.Retired{{Host: "h2", Reason: "scrapped"}}}
		if out := w.shard(in); out.Tally.Zones.Done != 4 {
			t.Errorf("%+v\n%s", out, w.story())
		}
	})
}

// Zones that an earlier run ended as done are never touched again. What it left
// exposed is delivered first, without a refresh.
func TestShardGoesOnFromAnEarlierRun(t *testing.T) {
	w := newWorld(t, 6, 3, 2)
	in := w.shardIn(1)
	in.Again = true
	record := func(id rotation.ZoneID, o rotation.Outcome) rotation.Record {
		return rotation.Record{Zone: id, Outcome: o, From: w.zones[id].baseline(), Since: noon.Add(-time.Hour), API: rotation.API{Refresh: 1, Describe: 1}}
	}
	exposed := record("zone-05", rotation.Exposed)
	w.zones["zone-05"].newKey()
	exposed.To = w.zones["zone-05"].fingerprint()
	done := record("zone-01", rotation.Done)
	done.To = w.zones["zone-01"].fingerprint()
	for _, r := range []rotation.Record{done, record("zone-02", rotation.Unchanged), exposed, record("zone-06", rotation.Skipped)} {
		w.prior[r.Zone] = rotation.Found{History: rotation.History(r.Outcome), Record: &r}
	}
	w.prior["zone-03"] = rotation.Found{History: rotation.HistoryLost}
	w.records["zone-01"] = done
	out := w.shard(in)
	if c := out.Tally.Zones; c.Done != 5 || c.Skipped != 1 {
		t.Fatalf("%+v\n%s", c, w.story())
	}
	for id, want := range map[rotation.ZoneID]int{"zone-01": 0, "zone-02": 1, "zone-03": 1, "zone-04": 1, "zone-05": 0, "zone-06": 0} {
		if w.zones[id].sent != want {
			t.Errorf("%s was refreshed %d times, want %d", id, w.zones[id].sent, want)
		}
	}
	started := w.happened("zone-asked")
	if first := []rotation.ZoneID{started[0].zone, started[1].zone}; !slices.Contains(first, "zone-05") || !slices.Contains(first, "zone-03") {
		t.Errorf("first were %v: what may be exposed goes first\n%s", first, w.story())
	}
	if out.Tally.API.Refresh != 7 { // earlier zones 1, 2, 5 and 6; now zones 2, 3 and 4
		t.Errorf("calls: %+v", out.Tally.API)
	}
}

func TestShardMendsOnly(t *testing.T) {
	w := newWorld(t, 4, 3, 2)
	in := w.shardIn(2)
	in.Again, in.Mend = true, true
	w.zones["zone-03"].newKey()
	exposed := rotation.Record{Zone: "zone-03", Outcome: rotation.Exposed, From: w.zones["zone-03"].baseline()}
	w.prior["zone-03"] = rotation.Found{History: rotation.HistoryExposed, Record: &exposed}
	out := w.shard(in)
	if c := out.Tally.Zones; c.Done != 1 || c.Pending != 3 || len(w.happened("sent")) > 0 {
		t.Errorf("%+v\n%s", c, w.story())
	}
}

// A child that never starts stops neither the shard nor a stop from going on.
func TestShardAZoneThatNeverStarts(t *testing.T) {
	w := newWorld(t, 4, 3, 2)
	w.never[workflows.ZoneID("zone-02")] = true
	w.after(2*time.Hour, func() {
		if w.running[workflows.ShardID("c", 1)] > 0 {
			t.Fatalf("after two hours the shard still waits for zone-02\n%s", w.story())
		}
	})
	out := w.shard(w.shardIn(2))
	if out.Tally.Zones.Done != 3 || out.Tally.Zones.Pending != 1 {
		t.Errorf("%+v\n%s", out.Tally.Zones, w.story())
	}
}

// The promise about budgets, tested with many schedules. Whatever goes wrong
// and whenever the stop comes: no refresh is asked for after it, none is sent
// after the shard said that it is quiet, and never more zones than the window
// are at risk.
func TestShardSchedules(t *testing.T) {
	seeds := uint64(150)
	if testing.Short() {
		seeds = 20
	}
	for seed := range seeds {
		schedule(t, seed)
		if t.Failed() {
			t.Logf("seed %d", seed)
			return
		}
	}
}

func schedule(t *testing.T, seed uint64) {
	dice := rand.New(rand.NewPCG(seed, 7))
	ms := func(most int) time.Duration { return time.Duration(dice.IntN(most)+1) * time.Millisecond }
	w := newWorld(t, 6+dice.IntN(20), 2+dice.IntN(5), 1+dice.IntN(2))
	w.took.refresh, w.took.read, w.took.prove, w.took.put = ms(900), ms(500), ms(1500), ms(900)
	w.queued = func(*task) time.Duration { return ms(400) }
	w.beside, w.standby = seed%2 == 1, seed%3 == 1
	for _, id := range w.order {
		z := w.zones[id]
		for range 1 + dice.IntN(3) {
			switch dice.IntN(14) {
			case 0:
				z.refresh = append(z.refresh, unanswered(-1))
			case 1:
				z.refresh = append(z.refresh, unanswered(ms(299_000)))
			case 2:
				z.refresh = append(z.refresh, workerLost(ms(60_000)))
			case 3:
				z.refresh = append(z.refresh, refused(fmt.Sprintf("Code%d", dice.IntN(3)), false))
			case 4:
				z.refresh = append(z.refresh, notSent(dice.IntN(2) == 0))
			case 5:
				z.refresh = append(z.refresh, slow(ms(8000)))
			default:
				z.refresh = append(z.refresh, refreshed)
			}
		}
	}
	for _, m := range w.machines {
		if dice.IntN(4) == 0 {
			m.down(noon.Add(ms(8000)), ms(90_000))
		}
	}
	window := 1 + dice.IntN(5)
	w.stopAndClose(ms(20_000), window)
	w.shard(w.shardIn(window))
}

// Proofs are asked of the worker that calls EdgeOne. When it is gone another
// worker gives them, and the shard learns which one calls EdgeOne now.
func TestShardProvesWhereItRefreshes(t *testing.T) {
	for _, c := range []struct {
		name string
		gone bool
	}{{"it is there", false}, {"it is gone", true}} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, 6, 3, 2)
			w.beside = true
			ordinary := 0
			w.queued = func(task *task) time.Duration {
				switch {
				case task.name == workflows.ActProve && task.options.TaskQueue == ownQueue("hk") && c.gone:
					return forever
				case task.name == workflows.ActProve && task.options.TaskQueue == workflows.LocationQueue("hk"):
					ordinary++
				}
				return 0
			}
			out := w.shard(w.shardIn(4))
			if out.Tally.Zones.Done != 6 || (ordinary > 0) != c.gone {
				t.Errorf("%+v, %d proofs the ordinary way\n%s", out.Tally.Zones, ordinary, w.story())
			}
			if c.gone == (w.runs[workflows.ActProbe] == 1) {
				t.Errorf("%d probes, gone is %t\n%s", w.runs[workflows.ActProbe], c.gone, w.story())
			}
		})
	}
}

// A zone's workflow that somebody terminates leaves no record. Nobody knows
// what happened to its key, and it is never counted as done.
func TestShardAZoneThatIsTerminatedIsUnknown(t *testing.T) {
	w := newWorld(t, 3, 2, 1)
	w.zones["zone-02"].refresh = []refreshing{slow(5 * time.Second)}
	w.killed[workflows.ZoneID("zone-02")] = 2 * time.Second
	out := w.shard(w.shardIn(3))
	if z := out.Tally.Zones; z.Done != 2 || z.Unknown != 1 {
		t.Errorf("%+v\n%s", z, w.story())
	}
	if len(out.Note.Attention) != 1 || out.Note.Attention[0].Zone != "zone-02" {
		t.Errorf("%+v", out.Note)
	}
}

// What one zone learns of a worker that gave proofs and takes no delivery any more, or
// soon none, the shard knows: the zones after it do not try that worker.
func TestShardLearnsWhichWorkerIsGone(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(*world)
	}{
		{"it was killed", func(w *world) {}},
		{"it stops", func(w *world) { w.leaving = true }},
	} {
		t.Run(c.name, func(t *testing.T) {
			const zones, window = 20, 2
			w := newWorld(t, zones, 1, 1)
			own := 0
			w.queued = func(asked *task) time.Duration {
				if asked.name != workflows.ActDeliver || asked.options.TaskQueue != ownQueue("hk") {
					return 0
				}
				own++
				if w.leaving {
					return 0
				}
				return forever
			}
			c.set(w)
			if out := w.shard(w.shardIn(window)); out.Tally.Zones.Done != zones {
				t.Fatalf("%+v\n%s", out.Tally.Zones, w.story())
			}
			if own > 2*window {
				t.Errorf("%d of %d zones tried the worker that is gone\n%s", own, zones, w.story())
			}
		})
	}
}

// The zones that are under way when the first one finds its worker gone hear of it, before
// that one has ended.
func TestZonesUnderWayLearnWhichWorkerIsGone(t *testing.T) {
	const zones = 6
	w := newWorld(t, zones, 1, 1)
	for i, id := range slices.Sorted(maps.Keys(w.zones)) {
		w.zones[id].refresh = []refreshing{slow(time.Duration(1+3*i) * time.Second)}
	}
	w.took.read = 5 * time.Second // so the first one ends after the second one's refresh
	own := 0
	w.queued = func(asked *task) time.Duration {
		if asked.name == workflows.ActDeliver && asked.options.TaskQueue == ownQueue("hk") {
			own++
			return forever
		}
		return 0
	}
	if out := w.shard(w.shardIn(zones)); out.Tally.Zones.Done != zones || own != 1 {
		t.Errorf("%d of %d zones tried the worker that is gone: %+v\n%s", own, zones, out.Tally.Zones, w.story())
	}
}
