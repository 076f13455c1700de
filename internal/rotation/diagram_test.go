package rotation

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestDiagram(t *testing.T) {
	golden := filepath.Join("testdata", "phases.mmd")
	got := Diagram()
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the drawing differs from %s (go test -run Diagram -update writes it anew):\n%s", golden, got)
	}
}

// The diagram has each transition of the table once, and nothing else.
func TestDiagramIsTheTable(t *testing.T) {
	drawn := map[took]int{}
	for line := range strings.Lines(Diagram()) {
		ends, on, labelled := strings.Cut(strings.TrimSpace(line), " : ")
		from, to, isArrow := strings.Cut(ends, " --> ")
		if !labelled || !isArrow {
			continue
		}
		for event := range strings.SplitSeq(on, ", ") {
			drawn[took{Phase(from), Event(event), Phase(to)}]++
		}
	}
	for _, row := range Table() {
		for _, to := range row.To {
			if step := (took{row.From, row.On, to}); drawn[step] != 1 {
				t.Errorf("%v is drawn %d times", step, drawn[step])
			} else {
				delete(drawn, step)
			}
		}
	}
	if len(drawn) > 0 {
		t.Errorf("drawn, but not in the table: %v", drawn)
	}
}

// No row is in the table twice: the second would never be read.
func TestTableHasEachRowOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, row := range Table() {
		for _, to := range append([]Phase{""}, row.To...) {
			key := fmt.Sprint(row.From, "|", row.On, "|", to)
			if seen[key] {
				t.Errorf("%s stands twice", key)
			}
			seen[key] = true
		}
	}
}
