package main

import (
	"testing"
	"time"
)

// A process counts as silent when the server has not heard it for a while, told by how long
// its last word has been the last one: the server's clock may be hours off.
func TestSilence(t *testing.T) {
	began := time.Now()
	words := began.Add(-7 * time.Hour) // on the server's clock
	type look struct {
		at     time.Duration
		worker string
		beat   time.Duration
	}
	for name, c := range map[string]struct {
		looks []look
		falls []int // the looks at which it falls silent
	}{
		"it is heard twice a second": {looks: []look{{0, "a", 0}, {600e6, "a", 5e8}, {1400e6, "a", 1e9}, {2300e6, "a", 15e8}}},
		"it is heard no more":        {looks: []look{{0, "a", 0}, {900e6, "a", 0}, {1000e6, "a", 0}, {5e9, "a", 0}}, falls: []int{2}},
		"twice":                      {looks: []look{{0, "a", 0}, {1100e6, "a", 0}, {1200e6, "a", 1e9}, {2100e6, "a", 1e9}, {2300e6, "a", 1e9}}, falls: []int{1, 4}},
		"another one took over":      {looks: []look{{0, "a", 0}, {900e6, "b", 0}, {1100e6, "b", 0}, {1800e6, "b", 0}, {1900e6, "b", 0}}, falls: []int{4}},
		"nobody is there":            {looks: []look{{0, "", 0}, {2e9, "", 0}, {4e9, "", 0}}},
	} {
		t.Run(name, func(t *testing.T) {
			var s silence
			var falls []int
			for i, l := range c.looks {
				if s.falls(began.Add(l.at), l.worker, words.Add(l.beat)) {
					falls = append(falls, i)
				}
			}
			if len(falls) != len(c.falls) {
				t.Fatalf("it falls silent at looks %v, want %v", falls, c.falls)
			}
			for i := range falls {
				if falls[i] != c.falls[i] {
					t.Errorf("it falls silent at looks %v, want %v", falls, c.falls)
				}
			}
		})
	}
}
