package rotation

import (
	"testing"
	"time"
)

// A clock is off by as much as cannot be explained by the way to EdgeOne and
// back, and by EdgeOne's date being in whole seconds.
func TestAhead(t *testing.T) {
	at := time.Date(2026, 11, 27, 6, 0, 0, 0, time.UTC)
	second := time.Second
	for name, c := range map[string]struct {
		signed, heard, dated time.Duration
		want                 time.Duration
	}{
		"right":                  {0, second / 10, 0, 0},
		"right, late in it":      {second * 9 / 10, second, 0, 0},
		"an answer of 50 s":      {0, 50 * second, 0, 0},
		"a date of its middle":   {0, 50 * second, 20 * second, 0},
		"ahead":                  {100 * second, 101 * second, 0, 99 * second},
		"behind":                 {0, second, 100 * second, -99 * second},
		"ahead, a slow answer":   {100 * second, 150 * second, 0, 99 * second},
		"behind, a slow answer":  {0, 50 * second, 100 * second, -50 * second},
		"nothing tells of sends": {-1, 40 * second, 0, 39 * second},
	} {
		r := Receipt{Signed: at.Add(c.signed), Dated: at.Add(c.dated)}
		if c.signed < 0 {
			r.Signed = time.Time{}
		}
		if got, known := r.Ahead(at.Add(c.heard)); got != c.want || !known {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	if _, known := (Receipt{Signed: at}).Ahead(at); known {
		t.Error("there was no date")
	}
}
