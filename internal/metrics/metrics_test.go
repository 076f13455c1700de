package metrics_test

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"keywave/internal/metrics"
)

var update = flag.Bool("update", false, "write the table of docs/observing.md anew")

func TestNoLabelNamesWhatThereIsALotOf(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range metrics.Table() {
		if seen[m.Name] {
			t.Errorf("%s is there twice", m.Name)
		}
		seen[m.Name] = true
		if m.Doc == "" || m.Unit == "" || (m.Kind == metrics.Histogram) != (m.Buckets != nil) || !slices.IsSorted(m.Buckets) {
			t.Errorf("%s: documentation, unit or buckets are not right", m.Name)
		}
		for _, l := range m.Labels {
			if slices.Contains([]string{"zone", "host", "campaign"}, l.Name) {
				t.Errorf("%s has the label %s", m.Name, l.Name)
			}
		}
	}
}

// docs/observing.md has this table, row by row (make golden writes it).
func TestObservingHasTheTable(t *testing.T) {
	const page, head = "../../docs/observing.md", "| metric | in Prometheus | kind | labels | says |\n|---|---|---|---|---|\n"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), head)
	if !found {
		t.Fatal("there is no table of metrics")
	}
	is, after, _ := strings.Cut(rest, "\n\n")
	var rows []string
	for _, m := range metrics.Table() {
		rows = append(rows, m.Markdown())
	}
	want := strings.Join(rows, "\n")
	if *update {
		if err := os.WriteFile(page, []byte(before+head+want+"\n\n"+after), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if is != want {
		t.Errorf("the table of %s is not that of the code (make golden):\n%s\nwant\n%s", page, is, want)
	}
}

func TestClosed(t *testing.T) {
	m, _ := metrics.Find(metrics.Zones)
	if got := m.Labels[0].Closed("done"); got != "done" {
		t.Errorf("done became %q", got)
	}
	if got := m.Labels[0].Closed("zone-1"); got != metrics.Other {
		t.Errorf("a word that is none of the label's became %q", got)
	}
}

func TestPrometheus(t *testing.T) {
	for name, want := range map[string]string{
		metrics.Zones: "keywave_zones_total", metrics.ZonesExposed: "keywave_zones_exposed",
		metrics.Exposure: "keywave_exposure_seconds", metrics.CredentialExpiry: "keywave_credential_expiry_seconds",
	} {
		if m, _ := metrics.Find(name); m.Prometheus() != want {
			t.Errorf("%s is %s in Prometheus, want %s", name, m.Prometheus(), want)
		}
	}
}
