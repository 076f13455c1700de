package report

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"slices"

	"keywave/internal/harmless"
	"keywave/internal/plan"
	"keywave/internal/rotation"
)

var (
	//go:embed page/page.html
	pageHTML string
	//go:embed page/page.css
	pageCSS string
	//go:embed page/page.js
	pageJS string
)

// view is what page.html shows.
type view struct {
	R         Report
	Policy    string
	Style     template.CSS
	Script    template.JS
	JSON      template.JS
	Verdict   string
	Worst     rotation.Outcome
	Tiles     []tile
	Strips    []strip
	Exposure  *exposurePlot
	Rate      *ratePlot
	Attention []Zone
	More      int
	Ran       string
	PutsBack  string
	Kept      string
}

type tile struct {
	Outcome rotation.Outcome
	N       int
}

// maxAttention is how many zones that are not done the page names outside of
// the table of all zones.
const maxAttention = 200

// WriteHTML writes the report as one file that loads nothing: it holds the whole
// JSON, so that Verify reads it too. The template escapes words of others, and the
// page passes the filter for what acts or cannot be seen, from which the JSON is
// escaped.
func (r Report) WriteHTML(w io.Writer) error {
	page, err := template.New("page").Parse(pageHTML)
	if err != nil {
		return err
	}
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	var safe bytes.Buffer
	json.HTMLEscape(&safe, body)
	v := view{
		R: r, Policy: policy(), Style: template.CSS(pageCSS), Script: template.JS(pageJS), JSON: template.JS(harmless.JSON(safe.Bytes())),
		Verdict: r.verdict(), Worst: r.worst(), Strips: r.strips(), Exposure: r.exposurePlot(), Rate: r.ratePlot(), Ran: r.ran(),
		PutsBack: plan.PutsBack(r.Plan.Undoes), Kept: r.kept(),
	}
	for _, o := range rotation.Outcomes() {
		v.Tiles = append(v.Tiles, tile{o, r.Counts.Of(o)})
	}
	for _, z := range r.Zones {
		if z.Outcome == rotation.Done {
			continue
		}
		if len(v.Attention) == maxAttention {
			v.More++
			continue
		}
		v.Attention = append(v.Attention, z)
	}
	slices.SortStableFunc(v.Attention, func(a, b Zone) int { return severity(b.Outcome) - severity(a.Outcome) })
	return page.Execute(harmless.NewWriter(w), v)
}

// policy lets the page run its own script and style, and load nothing.
func policy() string {
	hash := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	return "default-src 'none'; base-uri 'none'; form-action 'none'; script-src " + hash(pageJS) + "; style-src " + hash(pageCSS) + "; style-src-attr 'unsafe-inline'"
}

// severity orders outcomes by how much they need a person.
func severity(o rotation.Outcome) int {
	return slices.Index([]rotation.Outcome{rotation.Done, rotation.Skipped, rotation.Pending, rotation.Unchanged, rotation.Unknown, rotation.Exposed}, o)
}

func (r Report) worst() rotation.Outcome {
	worst := rotation.Done
	for _, o := range rotation.Outcomes() {
		if r.Counts.Of(o) > 0 && severity(o) > severity(worst) {
			worst = o
		}
	}
	return worst
}

func (r Report) verdict() string {
	if r.Counts.Done == r.Counts.Total {
		key := "their new key"
		if r.Plan.Undoes != "" {
			key = "their former key again"
		}
		return fmt.Sprintf("all %s hold %s, read back from EdgeOne", plural(r.Counts.Total, "zone"), key)
	}
	return fmt.Sprintf("%s; %s", r.State, words(r.Counts))
}
