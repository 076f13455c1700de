package telemetry_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"keywave/internal/proving/hostile"
	"keywave/internal/telemetry"
)

// Whatever a message, a value or an error holds, a line of a log is one line,
// and its JSON holds no value that a terminal acts on once it is decoded.
func TestLogsStandHostileWords(t *testing.T) {
	for _, form := range []string{"text", "json"} {
		for _, w := range hostile.Words() {
			var out bytes.Buffer
			log, err := telemetry.NewLogger(&out, "debug", form)
			if err != nil {
				t.Fatal(err)
			}
			log.With("host", w.Text).WithGroup("peer").Error(w.Text, "err", errors.New(w.Text), "all", []string{w.Text}, "n", 3, w.Text, true)
			said, last := strings.CutSuffix(out.String(), "\n")
			if bad := hostile.Seen(said); bad != "" || !last || strings.Contains(said, "\n") {
				t.Errorf("%s of what hopes for %s: %s %q", form, w.Hope, bad, said)
			}
			if form == "json" {
				var line map[string]any
				if err := json.Unmarshal([]byte(said), &line); err != nil {
					t.Fatal(err)
				}
				host, _ := line["host"].(string)
				if bad := hostile.Seen(host); bad != "" || line["level"] != "ERROR" || line["peer"].(map[string]any)["n"] != 3.0 {
					t.Errorf("%s %v", bad, line)
				}
			}
		}
	}
}
