package telemetry

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"keywave/internal/metrics"
)

const (
	observability = "../../deploy/observability/"
	runbook       = "docs/runbook.md"
)

type rule struct {
	Alert, Expr         string
	Labels, Annotations map[string]string
}

func rules(t *testing.T) []rule {
	t.Helper()
	text, err := os.ReadFile(observability + "rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Groups []struct{ Rules []rule } }
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	var all []rule
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) == 0 {
		t.Fatal("there are no rules")
	}
	return all
}

// An alert says what is wrong and leads to the section of the runbook that says what to
// do.
func TestAlertsLeadToTheRunbook(t *testing.T) {
	page, err := os.ReadFile("../../" + runbook)
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]bool{}
	for line := range strings.Lines(string(page)) {
		if title, is := strings.CutPrefix(line, "## "); is {
			sections[anchor(title)] = true
		}
	}
	for _, r := range rules(t) {
		file, section, _ := strings.Cut(r.Annotations["runbook"], "#")
		if file != runbook || !sections[section] {
			t.Errorf("%s leads to %q, which is no section of %s", r.Alert, r.Annotations["runbook"], runbook)
		}
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" || r.Labels["severity"] == "" {
			t.Errorf("%s has no summary, description or severity", r.Alert)
		}
	}
}

// anchor is the address of a section, as Git hosts and editors make it.
func anchor(title string) string {
	kept := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), "")
	return strings.ReplaceAll(kept, " ", "-")
}

// docs/observing.md names every alert.
func TestObservingNamesTheAlerts(t *testing.T) {
	page, err := os.ReadFile("../../docs/observing.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules(t) {
		if !strings.Contains(string(page), "`"+r.Alert+"`") {
			t.Errorf("docs/observing.md does not name %s", r.Alert)
		}
	}
}

// Rules and dashboard ask for metrics and labels that there are.
func TestQueriesAskForWhatThereIs(t *testing.T) {
	board, err := os.ReadFile(observability + "dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var panels struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(board, &panels); err != nil {
		t.Fatal(err)
	}
	asked := map[string]string{}
	for _, p := range panels.Panels {
		for _, q := range p.Targets {
			asked[p.Title+": "+q.Expr] = q.Expr
		}
	}
	for _, r := range rules(t) {
		asked[r.Alert+": "+r.Expr] = r.Expr
	}
	known := map[string]bool{}
	for _, m := range metrics.Table() {
		names := []string{m.Prometheus()}
		if m.Kind == metrics.Histogram {
			names = []string{m.Prometheus() + "_bucket", m.Prometheus() + "_sum", m.Prometheus() + "_count"}
		}
		for _, name := range names {
			known[name] = true
		}
	}
	for where, query := range asked {
		for _, name := range regexp.MustCompile(`keywave_\w+`).FindAllString(query, -1) {
			if !known[name] {
				t.Errorf("%s: there is no %s", where, name)
			}
		}
	}
}

func TestRulesByPromtool(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("no promtool on this machine; apt-get install prometheus")
	}
	for _, args := range [][]string{{"check", "rules", "rules.yml"}, {"test", "rules", "rules_test.yml"}} {
		cmd := exec.CommandContext(t.Context(), promtool, args...)
		cmd.Dir = observability
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, said)
		}
	}
	tested, err := os.ReadFile(observability + "rules_test.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules(t) {
		if fires := regexp.MustCompile(`alertname: ` + r.Alert + `\n\s+exp_alerts:`); !fires.Match(tested) {
			t.Errorf("no test lets %s fire", r.Alert)
		}
	}
}
