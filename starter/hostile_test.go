package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"keywave/internal/harmless"
	"keywave/internal/plan"
	"keywave/internal/planning"
	"keywave/internal/proving/hostile"
	"keywave/internal/report"
	"keywave/internal/rotation"
	"keywave/workflows"
)

// said is what each command writes when every word of others is w.
func said(w string) map[string]func(io.Writer) {
	var p plan.Plan
	var z zoneView
	var ended zoneView
	var a workflows.AuditOut
	var checks []check
	var v scheduleView
	var views []scheduleView
	var status workflows.Status
	var also planning.Elsewhere
	var zones []campaignZone
	var plans []listedPlan
	var rows []campaignRow
	var mended []repaired
	var stopped cancelled
	var file checkedFleet
	for _, all := range []any{&zones, &plans, &rows, &mended, &stopped, &file, &also, &p, &z, &ended, &a, &checks, &v, &views, &status} {
		hostile.Fill(all, w)
	}
	also.Zones = 1
	p.Unready, p.Zones, p.Found, z.Record = 1, 2, 1, nil
	return map[string]func(io.Writer){
		"plan":              func(out io.Writer) { showPlan(out, p, also) },
		"zone show, open":   func(out io.Writer) { showZone(out, z) },
		"zone show, closed": func(out io.Writer) { showZone(out, ended) },
		"campaign zones":    func(out io.Writer) { showZones(out, zones, 1, time.Now()) },
		"campaign list":     func(out io.Writer) { showCampaigns(out, rows) },
		"zone repair":       func(out io.Writer) { showRepaired(out, mended) },
		"zone cancel":       func(out io.Writer) { put(out, "Zone %s: %s.\n", stopped.Zone, stopped.Text) },
		"plan list":         func(out io.Writer) { showPlans(out, plans, time.Now()) },
		"fleet check":       func(out io.Writer) { file.show(out, nil) },
		"audit":             func(out io.Writer) { showAudit(out, a) },
		"doctor":            func(out io.Writer) { showChecks(out, checks) },
		"schedule show":     func(out io.Writer) { v.show(out) },
		"schedule list":     func(out io.Writer) { listSchedules(out, views) },
		"an error":          func(out io.Writer) { complain(out, errors.New("gw-1: "+w)) },
		"a file's error": func(out io.Writer) {
			complain(out, &os.PathError{Op: "open", Path: w, Err: os.ErrNotExist})
		},
	}
}

// Whoever gave the words, and whatever is in them: a name adds no line, moves
// no cursor, and does not turn the order of letters around.
func TestCommandsStandHostileWords(t *testing.T) {
	show := func(write func(io.Writer)) string {
		var out bytes.Buffer
		write(harmless.NewWriter(&out))
		return out.String()
	}
	calm := said("calm")
	for _, w := range hostile.Words() {
		for name, write := range said(w.Text) {
			got := show(write)
			if bad := hostile.Seen(strings.ReplaceAll(got, "\n", "")); bad != "" {
				t.Errorf("%s, what hopes for %s: %s", name, w.Hope, bad)
			}
			forged := strings.Count(got, "\n") != strings.Count(show(calm[name]), "\n")
			if strings.Contains(name, "error") { // an error may have several lines, which are indented
				forged = strings.Contains(strings.ReplaceAll(got, "\n  ", ""), "\nok")
			}
			if forged {
				t.Errorf("%s, what hopes for %s adds a line:\n%s", name, w.Hope, got)
			}
		}
	}
}

// The whole program prints nothing else of what it was given to read.
func TestProgramStandsHostileWords(t *testing.T) {
	t.Setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
	for _, w := range hostile.Words() {
		if strings.Contains(w.Text, "\x00") {
			continue // no program is given that
		}
		file := filepath.Join(t.TempDir(), "fleet.yaml")
		body, err := json.Marshal(map[string]any{"version": 1, w.Text: w.Text, "zones": []any{map[string]any{"id": w.Text, "name": w.Text, "hosts": []string{w.Text}}}})
		if err != nil || os.WriteFile(file, body, 0o600) != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{
			{w.Text},
			{"plan", "-f", "no/" + w.Text},
			{"plan", "-f", file},
			{"plan", "--" + w.Text},
			{"campaign", "report", "x", "--format", w.Text},
			{"campaign", "pause", w.Text, "--reason", w.Text},
			{"--output", w.Text, "doctor"},
			{"help", w.Text},
			{"report", "verify", file},
		} {
			var out, err bytes.Buffer
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			code := run(ctx, args, &out, &err)
			cancel()
			if text := out.String() + err.String(); code == exitOK || hostile.Seen(strings.ReplaceAll(strings.ReplaceAll(text, "\n", ""), "\t", "")) != "" {
				t.Errorf("%q (what hopes for %s): exit %d, %s", args, w.Hope, code, hostile.Seen(text))
			}
		}
	}
}

// JSON is for machines: every value stays, and nothing in it acts on a
// terminal.
func TestJSONStandsHostileWords(t *testing.T) {
	for _, w := range hostile.Words() {
		var out bytes.Buffer
		a := &app{out: harmless.NewWriter(&out), output: "json"}
		if err := a.print(map[string]string{"name": w.Text}, nil); err != nil {
			t.Fatal(err)
		}
		var got map[string]string
		if err := json.Unmarshal(out.Bytes(), &got); err != nil || got["name"] != strings.ToValidUTF8(w.Text, "\ufffd") && !strings.Contains(w.Text, "\xff") {
			t.Errorf("%q came as %q, %v", w.Text, got, err)
		}
		if bad := hostile.Seen(strings.TrimSuffix(out.String(), "\n")); bad != "" {
			t.Error(bad)
		}
	}
}

// The filter does not change what must stay as it is: the completion scripts of
// shells, and a report's own formats.
func TestFilterChangesNothingOfOurs(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		var raw, out, none bytes.Buffer
		root := (&app{out: &raw, err: &none}).root()
		root.SetArgs([]string{"completion", shell})
		if err := root.Execute(); err != nil {
			t.Fatal(err)
		}
		if code := run(context.Background(), []string{"completion", shell}, &out, &none); code != exitOK || out.String() != raw.String() || raw.Len() < 100 {
			t.Errorf("%s: exit %d, %d bytes of %d", shell, code, out.Len(), raw.Len())
		}
	}
	r := report.Report{Campaign: "spring", Waves: []report.Wave{{Number: 1}}, Zones: []report.Zone{{ID: "zone-1", Wave: 1, Name: "b\u202ec", Outcome: rotation.Pending}}}
	for form, write := range reportWriters() {
		var raw, out bytes.Buffer
		if err := errors.Join(write(r, &raw), write(r, harmless.NewWriter(&out))); err != nil || raw.String() != out.String() {
			t.Errorf("%s: %v\n%s\n%s", form, err, raw.String(), out.String())
		}
	}
}

func TestCompletionOffersNoOddNames(t *testing.T) {
	for _, w := range hostile.Words() {
		root := (&app{}).root()
		root.SetContext(context.Background())
		offers, _ := offered(func(context.Context, *cobra.Command, string) []string { return []string{w.Text, "zone-27q0p0bal192"} }, root, "")
		for _, o := range offers {
			if hostile.Seen(o) != "" || strings.ContainsAny(o, " \t\n;|&$`<>(){}*'\"\\") {
				t.Errorf("%q is offered", o)
			}
		}
		if len(offers) == 0 {
			t.Error("the zone is not offered")
		}
	}
}

// Only one file writes what people read. Nowhere else is a format filled with
// words that were not made harmless.
func TestEverybodySpeaksThroughPut(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || file == "put.go" {
			continue
		}
		set := token.NewFileSet()
		parsed, err := parser.ParseFile(set, file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				name := fmt.Sprint(s.X) + "." + s.Sel.Name
				if strings.HasPrefix(name, "fmt.Fprint") || strings.HasPrefix(name, "fmt.Print") || name == "io.WriteString" || name == "json.NewEncoder" ||
					(name == "os.Stdout" || name == "os.Stderr") && file != "main.go" {
					t.Errorf("%s: %s; use put, putJSON or harmless.Draw", set.Position(s.Pos()), name)
				}
			}
			return true
		})
	}
}
