package rotation

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// everyPast visits every combination of all columns.
func everyPast(visit func(m Memory, h History, l Live, c Crowd)) {
	for _, m := range Memories() {
		for _, h := range Histories() {
			for _, l := range Lives() {
				for _, c := range Crowds() {
					visit(m, h, l, c)
				}
			}
		}
	}
}

// Every combination is in exactly one row, and every row has at least one.
func TestEveryPastHasOneRow(t *testing.T) {
	hit := make([]int, len(Pasts()))
	everyPast(func(m Memory, h History, l Live, c Crowd) {
		rows := 0
		for i, row := range Pasts() {
			if row.holds(m, h, l, c) {
				rows++
				hit[i]++
			}
		}
		if rows != 1 {
			t.Errorf("remembered %s, history %s, live %s, such zones %s: %d rows", m, h, l, c, rows)
		}
	})
	for i, n := range hit {
		if n == 0 {
			t.Errorf("row %d holds for nothing: %+v", i, Pasts()[i])
		}
	}
}

// What the table must never say, whatever its rows are.
func TestNoPastRefreshesOnAGuess(t *testing.T) {
	everyPast(func(m Memory, h History, l Live, c Crowd) {
		row := Recall(m, h, l, c)
		wrong := func(what string) {
			t.Helper()
			t.Errorf("remembered %s, history %s, live %s, such zones %s: %s, although %s", m, h, l, c, row.Do, what)
		}
		rotates := row.Do == doRotate
		settled := []Memory{memoryDone, memorySkipped, memoryExposed}
		switch {
		case rotates && (slices.Contains(settled, m) || slices.Contains([]History{historyDone, historySkipped, HistoryExposed, historyRunning}, h)):
			wrong("its key had been changed, or a person excluded it")
		case rotates && l == liveOurs:
			wrong("this campaign made the live key")
		case rotates && slices.Contains([]Memory{memoryStarted, memoryUnknown}, m) && (h == HistoryForgotten || h == HistoryNone || h == HistoryLost) && l != liveSurely:
			wrong("it started, and nobody saw that nothing was executed")
		case rotates && m == memoryUnsure && h == HistoryForgotten && l != liveSurely:
			wrong("it may have started")
		case rotates && c != crowdFew && l == liveHeld:
			wrong("many zones were rotated by nobody known")
		case row.Do == doLeave && slices.Contains([]History{HistoryExposed, historyUnknown, HistoryLost}, h) && m != memorySkipped:
			wrong("nobody saw it end well")
		case row.Do == doAsk && (c != CrowdMany || l != liveHeld):
			wrong("the next step is known")
		case row.Do == doRead && l != liveUnread && l != liveBefore:
			wrong("it was read")
		case row.Why == "":
			wrong("it does not say why")
		}
	})
}

// The rules, in the words of people.
func TestPasts(t *testing.T) {
	for _, c := range []struct {
		memory  Memory
		history History
		live    Live
		want    Do
	}{
		{memoryNever, HistoryForgotten, liveUnread, doRotate},
		{memoryNever, HistoryNone, liveOther, doRotate}, // drift: its live key is the new baseline
		{memoryUnsure, HistoryNone, liveUnread, doRotate},
		{memoryUnsure, HistoryForgotten, liveUnread, doRead},
		{memoryStarted, HistoryForgotten, liveUnread, doRead},
		{memoryStarted, HistoryForgotten, liveBefore, doRead},
		{memoryStarted, HistoryForgotten, liveSurely, doRotate},
		{memoryStarted, HistoryForgotten, liveOther, doDeliver},
		{memoryStarted, HistoryForgotten, liveHeld, doDeliver},
		{memoryStarted, HistoryNone, liveUnread, doRead}, // somebody deleted it
		{memoryStarted, historyPending, liveUnread, doRotate},
		{memoryDone, HistoryForgotten, liveUnread, doLeave},
		{memoryDone, HistoryForgotten, liveSurely, doLeave},
		{memoryExposed, HistoryForgotten, liveUnread, doDeliver},
		{memoryExposed, historyPending, liveUnread, doDeliver},
		{memoryUnknown, HistoryForgotten, liveUnread, doRead},
		{memoryNever, historyRunning, liveUnread, doAwait},
		{memoryNever, historyDone, liveUnread, doLeave}, // the memory was old
	} {
		if got := Recall(c.memory, c.history, c.live, crowdFew); got.Do != c.want {
			t.Errorf("remembered %s, history %s, live %s: %s, want %s", c.memory, c.history, c.live, got.Do, c.want)
		}
	}
}

func TestCompare(t *testing.T) {
	const old, ours, strange = Fingerprint("0000000000000001"), Fingerprint("0000000000000002"), Fingerprint("0000000000000003")
	for _, c := range []struct {
		name string
		seen Sight
		want Live
	}{
		{"not read", Sight{Baseline: old}, liveUnread},
		{"the plan's", Sight{Live: old, Baseline: old}, liveBefore},
		{"the record's first", Sight{Live: strange, Baseline: old, From: strange}, liveBefore},
		{"none at all", Sight{Live: Absent, Baseline: old}, liveBefore},
		{"twice", Sight{Live: old, Baseline: old, Surely: true}, liveSurely},
		{"the record's last", Sight{Live: ours, Baseline: old, To: ours, Held: []Fingerprint{ours}}, liveOurs},
		{"everywhere", Sight{Live: strange, Baseline: old, To: ours, Held: []Fingerprint{strange, strange}}, liveHeld},
		{"but for one host", Sight{Live: strange, Baseline: old, Held: []Fingerprint{strange, old}}, liveOther},
		{"nobody asked the hosts", Sight{Live: strange, Baseline: old}, liveOther},
	} {
		if got := c.seen.Compare(); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestCrowd(t *testing.T) {
	for _, c := range []struct {
		surprised, accepted int
		told                bool
		want                Crowd
	}{
		{0, 0, false, crowdFew},
		{2, 0, false, crowdFew},
		{3, 0, false, CrowdMany},
		{3, 0, true, crowdTold},
		{12, 10, false, crowdFew},
		{13, 10, false, CrowdMany},
		{2, 0, true, crowdFew},
	} {
		if got := CrowdOf(c.surprised, c.accepted, c.told); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

func TestRemember(t *testing.T) {
	for _, o := range Outcomes() {
		if got := Remember(o, false); o != Pending && string(got) != string(o) {
			t.Errorf("%s is remembered as %s", o, got)
		}
		if got := Remember(o, true); o != Pending && got != Remember(o, false) {
			t.Errorf("%s is forgotten once it is being mended: %s", o, got)
		}
	}
	if Remember(Pending, false) != memoryNever || Remember(Pending, true) != memoryStarted {
		t.Error("what is pending is not told from what started")
	}
}

// A packed past is unpacked as it was, and takes no more room than a campaign's
// state has for it.
func TestPastIsPacked(t *testing.T) {
	memories := make([]Memory, 500)
	for i := range memories {
		memories[i] = Memories()[i*7%len(Memories())]
	}
	for n := range memories {
		past := PastOf(memories[:n])
		for i, m := range memories[:n] {
			if past.Of(i) != m {
				t.Fatalf("zone %d of %d was %s and is %s", i, n, m, past.Of(i))
			}
		}
		if past.Of(n) != memoryUnsure {
			t.Fatalf("zone %d of %d is remembered", n, n)
		}
	}
	const pages = 205
	body, err := json.Marshal(slices.Repeat([]Past{PastOf(memories)}, pages))
	if err != nil || len(body) > 64<<10 {
		t.Errorf("%d pages of %d zones take %d bytes (%v)", pages, len(memories), len(body), err)
	}
	if Past("not base64!").Of(0) != memoryUnsure || Past("").Of(0) != memoryUnsure {
		t.Error("what cannot be read is remembered")
	}
}

func TestALostShardsPast(t *testing.T) {
	lost := PastOf(Memories()).Lost()
	for i, m := range Memories() {
		want := m
		if m == memoryNever {
			want = memoryUnsure
		}
		if lost.Of(i) != want {
			t.Errorf("%s became %s", m, lost.Of(i))
		}
	}
	if Past("").Lost() != "" {
		t.Error("something was remembered of nothing")
	}
}

// The table in the docs is the one in the code.
func TestDrawPasts(t *testing.T) {
	golden := filepath.Join("testdata", "pasts.md")
	got := DrawPasts()
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{golden, filepath.Join("..", "..", "docs", "operations.md")} {
		page, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(page), got) {
			t.Errorf("%s has another table (go test -run DrawPasts -update writes the golden one anew):\n%s", path, got)
		}
	}
}

func ExampleRecall() {
	row := Recall(memoryStarted, HistoryForgotten, liveUnread, crowdFew)
	fmt.Println(row.Do, "-", row.Why)
	// Output: read first - nobody knows whether its key changed: the live key is read
}
