package report

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"keywave/internal/rotation"
	"keywave/workflows"
)

func page(t *testing.T, r Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// The page loads nothing, and runs nothing except its own script.
func TestThePageLoadsNothing(t *testing.T) {
	html := page(t, badDay(t).build(t))
	if !strings.Contains(html, `content="default-src &#39;none&#39;`) {
		t.Error("no policy against loading")
	}
	if found := regexp.MustCompile(`(?i)(src|href|action)=|@import|url\(`).FindString(strings.ReplaceAll(html, "default-src", "")); found != "" {
		t.Errorf("the page has %q", found)
	}
}

// Names that are markup, code or formulas are shown as names.
func TestHostileNames(t *testing.T) {
	for _, name := range []string{
		`</script><script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `<!--`, "{{.Secret}}", `=cmd|' /C calc'!A0`, "+1", "@sum", "\t=1", "a\"b,c\nd",
	} {
		r := newCampaign(t, 2, func(int) string { return name }).build(t)
		html := page(t, r)
		if strings.Contains(html, name) && strings.ContainsAny(name, "<") {
			t.Errorf("%q is markup in the page", name)
		}
		if n := strings.Count(html, "<script"); n != 2 {
			t.Errorf("%q: the page has %d scripts, want 2", name, n)
		}
		if _, err := Verify(strings.NewReader(html)); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		var b bytes.Buffer
		if err := r.WriteCSV(&b); err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(&b).ReadAll()
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		for _, cell := range rows[1] {
			if cell != "" && strings.ContainsRune("=+-@\t", rune(cell[0])) {
				t.Errorf("%q is a formula in the CSV", cell)
			}
		}
	}
}

// The page shows what the report inside it says. A change of either is found.
func TestVerifyOfAPage(t *testing.T) {
	html := page(t, badDay(t).build(t))
	if _, err := Verify(strings.NewReader(html)); err != nil {
		t.Fatal(err)
	}
	for _, edit := range [][2]string{
		{"<h1>", "<h1>not "},
		{`"outcome":"exposed"`, `"outcome":"done"`},
		{"</footer>", "<p>approved</p></footer>"},
		{`id="report">`, `id="other">`},
	} {
		if _, err := Verify(strings.NewReader(strings.Replace(html, edit[0], edit[1], 1))); err == nil {
			t.Errorf("%q to %q: not noticed", edit[0], edit[1])
		}
	}
}

// In a wave's strip each cell shows its worst zone, however many zones it has.
func TestOneExposedZoneOfTenThousandIsSeen(t *testing.T) {
	c := newCampaign(t, 10000, func(i int) string { return fmt.Sprintf("shop-%d.example.com", i) })
	r := c.build(t)
	r.Zones[7000].Outcome = "exposed"
	seen := 0
	for _, s := range r.strips() {
		for _, cell := range s.Cells {
			if cell.Outcome == "exposed" {
				seen++
			}
		}
	}
	if seen != 1 {
		t.Errorf("%d cells are exposed", seen)
	}
}

func BenchmarkHTML(b *testing.B) {
	r := newCampaign(b, 10000, func(i int) string { return fmt.Sprintf("shop-%d.example.com", i) }).build(b)
	for b.Loop() {
		var out bytes.Buffer
		if err := r.WriteHTML(&out); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(out.Len()), "bytes")
	}
}

// largeDay is a campaign of 10,000 zones at full speed, with pauses and one
// exposed zone. It is made from a seed.
func largeDay(t testing.TB) Report {
	random := rand.New(rand.NewPCG(1, 2))
	r := newCampaign(t, 10000, func(i int) string { return fmt.Sprintf("shop-%d.example.com", i) }).build(t)
	at := r.StartedAt
	var all rotation.Exposures
	for i := range r.Zones {
		z := &r.Zones[i]
		at = at.Add(time.Duration(50+random.IntN(6)) * time.Millisecond)
		if i == 1 || i == 2500 {
			at = at.Add(30 * time.Second) // bake
		}
		z.Since, z.RequestID = at, fmt.Sprintf("%08x-0000-4000-8000-%012x", random.Uint32(), random.Uint32())
		z.ExposureMs = int64(90 * math.Exp(random.NormFloat64()*0.35))
		if i == 7000 {
			z.Outcome, z.Why, z.Missing = rotation.Exposed, "gw-2 (10.1.0.12:22): cannot be reached: connection refused; check the address and that sshd runs", []rotation.HostName{z.Hosts[0].Host}
			continue
		}
		all.Add(z.ExposureMs)
	}
	r.State, r.Plan.Limit = workflows.StatePaused, 20
	r.Reason = "exposed zones: 1, and the budget maxExposed is 0"
	r.sum(len(r.Waves))
	r.ExposureMs = all.Summary()
	r.EndedAt = nil
	var err error
	if r.Digest, err = r.digest(); err != nil {
		t.Fatal(err)
	}
	return r
}

// With REPORT_OUT=FILE the report is kept, so that a person can look at it.
func TestLargeDay(t *testing.T) {
	html := page(t, largeDay(t))
	if _, err := Verify(strings.NewReader(html)); err != nil {
		t.Error(err)
	}
	if visible, _, _ := strings.Cut(html, `<script type="application/json"`); len(visible) > 100_000 {
		t.Errorf("%d bytes of markup for what scripts draw when it is looked at", len(visible))
	}
	if file := os.Getenv("REPORT_OUT"); file != "" {
		if err := os.WriteFile(file, []byte(html), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
