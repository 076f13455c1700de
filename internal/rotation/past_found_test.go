package rotation

import (
	"testing"
	"time"
)

func TestFind(t *testing.T) {
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	record := func(o Outcome, minute int) *Record {
		return &Record{Outcome: o, EndedAt: at.Add(time.Duration(minute) * time.Minute), From: Fingerprint(string(o) + "-from")}
	}
	none, lost, running := OwnRun{}, OwnRun{Found: true}, OwnRun{Found: true, Running: true}
	ended := func(o Outcome, minute int) OwnRun { return OwnRun{Found: true, Record: record(o, minute)} }
	for _, c := range []struct {
		name  string
		heard *Record
		own   OwnRun
		keeps bool
		want  History
	}{
		{"nothing, and nothing is forgotten", nil, none, true, HistoryNone},
		{"nothing, and it may be forgotten", nil, none, false, HistoryForgotten},
		{"the shard says pending, which proves nothing", record(Pending, 0), none, false, HistoryForgotten},
		{"the shard says pending, and it was in flight", record(Pending, 0), lost, true, HistoryLost},
		{"the shard says pending, and it ended since", record(Pending, 0), ended(Done, 1), true, historyDone},
		{"handed back by itself", nil, ended(Pending, 1), true, historyPending},
		{"running", record(Exposed, 0), running, true, historyRunning},
		{"only the shard knows", record(Exposed, 0), none, false, HistoryExposed},
		{"the zone is newer", record(Exposed, 0), ended(Done, 1), true, historyDone},
		{"the shard is newer", record(Done, 2), ended(Exposed, 1), true, historyDone},
		{"mended in vain: it still is what it was", record(Exposed, 0), ended(Pending, 1), true, HistoryExposed},
		{"mended, and terminated: it still is what it was", record(Exposed, 0), lost, true, HistoryExposed},
		{"tried again, and terminated", record(Unchanged, 0), lost, true, HistoryLost},
	} {
		got := Find(c.heard, c.own, c.keeps)
		if got.History != c.want {
			t.Errorf("%s: %s, want %s", c.name, got.History, c.want)
		}
		if got.Record != nil && got.History != historyRunning && got.History != HistoryLost && History(got.Record.Outcome) != got.History {
			t.Errorf("%s: %s with a record that says %s", c.name, got.History, got.Record.Outcome)
		}
	}
	before := record(Exposed, 0)
	after := Record{Outcome: Done, EndedAt: at.Add(time.Hour)}
	before.Since = at
	if got := Find(before, OwnRun{Found: true, Record: &after}, true).Record; got.From != before.From || got.Since != at {
		t.Errorf("the key from before the exposure is lost: %+v", got)
	}
}
