package report

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"keywave/internal/rotation"
)

// splitRow splits a table row as GitHub Flavored Markdown does (§4.10): at
// every pipe that no backslash escapes.
func splitRow(row string) []string {
	var cells []string
	var b strings.Builder
	escaped := false
	for _, r := range strings.TrimSuffix(strings.TrimPrefix(row, "|"), "|") {
		if r == '|' && !escaped {
			cells = append(cells, strings.TrimSpace(b.String()))
			b.Reset()
			continue
		}
		escaped = r == '\\' && !escaped
		b.WriteRune(r)
	}
	return append(cells, strings.TrimSpace(b.String()))
}

// All rows of a report's table have the same number of cells, whatever the
// zones' names are.
func FuzzMarkdown(f *testing.F) {
	f.Add(nasty, "\n\n# <b>|", "|\\")
	f.Fuzz(func(t *testing.T, name, why, campaignName string) {
		c := newCampaign(t, 3, func(int) string { return name })
		c.set(1, func(rec *rotation.Record) {
			*rec = rotation.Record{Zone: rec.Zone, Outcome: rotation.Unchanged, Why: why}
		})
		c.records[2].Why = why
		c.status.Campaign, c.status.Emergency, c.status.Reason, c.status.Next = campaignName, why, name, why
		c.status.Log[0].By, c.status.Log[0].Reason = name, why
		var b bytes.Buffer
		if err := c.build(t).WriteMarkdown(&b); err != nil {
			t.Fatal(err)
		}
		if err := rectangular(b.String()); err != nil {
			t.Fatal(err)
		}
	})
}

func rectangular(md string) error {
	width := 0
	for _, l := range strings.Split(md, "\n") {
		switch {
		case !strings.HasPrefix(l, "|"):
			width = 0
		case width == 0:
			width = len(splitRow(l))
		case len(splitRow(l)) != width:
			return fmt.Errorf("%d columns, want %d: %s", len(splitRow(l)), width, l)
		}
	}
	return nil
}

func TestMarkdownSaysFirstWhatIsWrong(t *testing.T) {
	var b bytes.Buffer
	if err := badDay(t).build(t).WriteMarkdown(&b); err != nil {
		t.Fatal(err)
	}
	at := -1
	for _, heading := range []string{
		"# Campaign spring-rotation: cancelled", "## Waves", "## Not done", "### exposed: 2 zones", "### unknown: 1 zone",
		"### unchanged: 1 zone", "### pending: 3 zones", "### skipped: 1 zone", "### Hosts set aside: 1", "## Met on the way",
		"## Who did what", "## Met while planning: 4 findings", "## All zones",
	} {
		next := strings.Index(b.String(), "\n"+heading+"\n")
		if strings.HasPrefix(b.String(), heading+"\n") {
			next = 0
		}
		if next <= at {
			t.Errorf("%q is missing or too early", heading)
		}
		at = next
	}
	if err := rectangular(b.String()); err != nil {
		t.Error(err)
	}
	if strings.Contains(b.String(), "<script>") || strings.Contains(b.String(), "\x1b") {
		t.Error("text from outside is markup")
	}
}
