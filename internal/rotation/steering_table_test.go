package rotation

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The table in docs/steering.md is drawn from SteeringTable.
func TestSteeringTableIsInTheDocs(t *testing.T) {
	const begin, end = "<!-- SteeringTable -->\n", "<!-- end -->\n"
	page := filepath.Join("..", "..", "docs", "steering.md")
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), begin)
	drawn, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s has no table between %q and %q", page, begin, end)
	}
	want := DrawSteering()
	if *update {
		if err := os.WriteFile(page, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if drawn != want {
		t.Errorf("the table of %s is not SteeringTable (go test -run SteeringTable -update writes it anew):\n%s", page, want)
	}
}

// An input has one row: the second would never be read.
func TestSteeringTableHasEachInputOnce(t *testing.T) {
	if len(rules()) != len(SteeringTable()) {
		t.Error("an input stands twice")
	}
}
