package rotation

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// starts answers every question until nothing more starts, and ends each zone
// that starts.
func (k *shardTalker) starts(live Fingerprint) map[ZoneID]StartZone {
	k.Helper()
	all := map[ZoneID]StartZone{}
	for commands := k.next(); len(commands) > 0; commands = k.next() {
		for _, c := range commands {
			switch c := c.(type) {
			case AskProbe:
				k.m.Probed()
			case AskHosts:
				k.m.Proved(k.now, c.Location, []Proof{{Host: "gw-1", At: k.now, Drift: k.drift}}, false)
			case AskKeys:
				var keys []LiveKey
				for _, id := range c.Zones {
					keys = append(keys, LiveKey{id, live})
				}
				k.m.KeysRead(keys)
			case StartZone:
				all[c.Zone] = c
				k.run(c.Zone)
				k.end(c.Zone, Record{Outcome: Done, To: "n"})
			}
		}
	}
	return all
}

// When a zone's history is deleted, what the campaign remembers decides what is
// done with the zone.
func TestAdmissionRemembers(t *testing.T) {
	for _, c := range []struct {
		memory Memory
		found  Found
		starts Verb // empty: it does not start
		doubt  bool
	}{
		{memoryNever, Found{History: HistoryForgotten}, Rotate, false},
		{memoryStarted, Found{History: HistoryForgotten}, Rotate, true},
		{memoryStarted, Found{History: HistoryNone}, Rotate, true},
		{memoryUnsure, Found{History: HistoryForgotten}, Rotate, true},
		{memoryUnsure, Found{History: HistoryNone}, Rotate, false},
		{memoryUnknown, Found{History: HistoryForgotten}, Rotate, true},
		{memoryUnchanged, Found{History: HistoryForgotten}, Rotate, false},
		{memoryExposed, Found{History: HistoryForgotten}, Repair, false},
		{memoryDone, Found{History: HistoryForgotten}, "", false},
		{memorySkipped, Found{History: HistoryForgotten}, "", false},
		{memoryNever, Found{historyDone, &Record{Outcome: Done, To: "n"}}, "", false},
		{memoryNever, Found{HistoryExposed, &Record{Outcome: Exposed, To: "n"}}, Repair, false},
		{memoryExposed, Found{historyPending, &Record{Outcome: Pending}}, Repair, false},
		{memoryStarted, Found{historyPending, &Record{Outcome: Pending}}, Rotate, false},
		{memoryDone, Found{HistoryLost, nil}, Repair, false},
	} {
		t.Run(fmt.Sprintf("%s, %s", c.memory, c.found.History), func(t *testing.T) {
			k := shardTalk(t, 0, Setup{Again: true, Before: ShardOut{Past: PastOf([]Memory{c.memory})}})
			k.load(1, []Found{c.found})
			start, started := k.starts("b")["z1"]
			if started != (c.starts != "") || start.Verb != c.starts || start.Doubt.IsZero() == c.doubt {
				t.Errorf("it starts: %t, as %q, in doubt since %s", started, start.Verb, start.Doubt)
			}
			if k.out == nil || k.out.Tally.Zones.Done+k.out.Tally.Zones.Skipped != 1 {
				t.Errorf("it ends as %+v", k.out)
			}
		})
	}
}

// A zone whose own workflow is running is not started: the shard waits for its
// end.
func TestAdmissionJoinsWhatRuns(t *testing.T) {
	k := shardTalk(t, 0, Setup{Again: true})
	k.load(1, []Found{{History: historyRunning}})
	if start := k.wants("StartZone z1")[0].(StartZone); !start.Join {
		t.Errorf("%+v", start)
	}
}

// What the campaign has to remember follows each zone. For a page that was not
// loaded it does not change.
func TestAdmissionPast(t *testing.T) {
	k := shardTalk(t, 3, Setup{})
	k.prove()
	k.wants("StartZone z1", "StartZone z2", "AskHosts")
	k.run("z1", "z2")
	k.end("z1", Record{Outcome: Done, To: "n"})
	past := k.m.News(k.now).Past
	for i, want := range []Memory{memoryDone, memoryStarted, memoryNever} {
		if past.Of(i) != want {
			t.Errorf("zone %d is remembered as %s, want %s", i+1, past.Of(i), want)
		}
	}
	before := PastOf([]Memory{memoryExposed})
	if m := NewAdmission(k.now, Setup{Before: ShardOut{Past: before}}); m.News(k.now).Past != before {
		t.Error("a page that is not loaded is forgotten")
	}
}

// Three zones whose hosts and EdgeOne agree on a key that nobody knows stop the
// run before any of them is refreshed. When a person lets it go on, they are
// delivered and not refreshed.
func TestAdmissionMeetsACrowd(t *testing.T) {
	k := shardTalk(t, 4, Setup{Window: 4})
	k.drift = map[ZoneID]Fingerprint{"z1": "x", "z2": "x", "z4": "x"}
	if started := k.starts("x"); len(started) != 1 || started["z3"].Verb != Rotate {
		t.Fatalf("it starts %v", started)
	}
	if k.news.Note.Surprised != 3 || !k.news.Quiet || k.news.Tally.Zones.Pending != 3 {
		t.Errorf("it tells %+v", k.news)
	}
	if why := k.m.Records()[0].Why; !strings.Contains(why, "x, which neither plan nor history knows") {
		t.Errorf("z1 waits, because %q", why)
	}
	k.m.Follow(Control{Seq: 1, Window: 4, Retry: true, Told: true})
	started := k.starts("x")
	for _, id := range []ZoneID{"z1", "z2", "z4"} {
		if started[id].Verb != Repair {
			t.Errorf("%s starts as %q", id, started[id].Verb)
		}
	}
	if k.out == nil || k.out.Tally.Zones.Done != 4 {
		t.Errorf("it ends as %+v", k.out)
	}
}

// Zones of other pages count, and so do those that were accepted at the start.
func TestAdmissionCountsACrowd(t *testing.T) {
	for _, c := range []struct {
		name  string
		in    Setup
		stops bool
	}{
		{"one here", Setup{}, false},
		{"one here, two elsewhere", Setup{Surprised: 2}, true},
		{"one here, two elsewhere, one accepted", Setup{Surprised: 2, Accepted: 1}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := shardTalk(t, 2, c.in)
			k.drift = map[ZoneID]Fingerprint{"z1": "x"}
			started := k.starts("x")
			if _, refreshed := started["z1"]; refreshed == c.stops || k.m.stopped != c.stops {
				t.Errorf("it stops: %t, having started %v", k.m.stopped, started)
			}
		})
	}
}

// Fewer such zones are taken for rotations by somebody else. They are rotated
// too, but last. A key that EdgeOne does not confirm is treated as drift.
func TestAdmissionMeetsAFew(t *testing.T) {
	k := shardTalk(t, 4, Setup{Window: 1})
	k.drift = map[ZoneID]Fingerprint{"z1": "x", "z2": "x"}
	var order []ZoneID
	for len(order) < 4 {
		for _, c := range k.next() {
			switch c := c.(type) {
			case AskProbe:
				k.m.Probed()
			case AskHosts:
				k.m.Proved(k.now, c.Location, []Proof{{Host: "gw-1", At: k.now, Drift: k.drift}}, false)
			case AskKeys:
				for _, id := range c.Zones {
					k.m.KeysRead([]LiveKey{{id, "x"}})
				}
			case StartZone:
				if order = append(order, c.Zone); c.Verb != Rotate || c.Baseline != "" && k.drift[c.Zone] != "" {
					t.Errorf("%s starts as %s from %q", c.Zone, c.Verb, c.Baseline)
				}
				k.run(c.Zone)
				k.end(c.Zone, Record{Outcome: Done, To: "n"})
			}
		}
	}
	if !slices.Equal(order, []ZoneID{"z3", "z4", "z1", "z2"}) {
		t.Errorf("they start as %v", order)
	}
	if len(shardTalkOf(t, "y").starts("z")) != 1 {
		t.Error("a zone that drifted does not rotate")
	}
}

func shardTalkOf(t *testing.T, held Fingerprint) *shardTalker {
	k := shardTalk(t, 1, Setup{})
	k.drift = map[ZoneID]Fingerprint{"z1": held}
	return k
}
