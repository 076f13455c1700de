package workflows

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// The log keeps every decision of a person, however many there are.
func TestLogDropsNoDecision(t *testing.T) {
	var log Log
	start := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for i := range 500 {
		log.Add(Entry{At: start.Add(time.Duration(i) * time.Minute), What: fmt.Sprintf("approved wave %d", i%7+1), By: "ann", Reason: "looks good"})
	}
	if len(log) != 500 {
		t.Fatalf("500 approvals became %d entries", len(log))
	}
	for i, e := range log {
		if e.Times != 0 || e.At != start.Add(time.Duration(i)*time.Minute) {
			t.Fatalf("entry %d is %+v", i, e)
		}
	}
}

func TestLogFolds(t *testing.T) {
	var log Log
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for i := range 30 {
		log.Add(Entry{At: at.Add(time.Duration(i) * time.Second), What: fmt.Sprintf("%szone-%d", skippedZone, i), By: "ann", Reason: "moved"})
		log.Add(Entry{At: at.Add(time.Duration(i) * 24 * time.Hour), What: byCalendar, Reason: fmt.Sprintf("the window opens on day %d", i)})
		log.Add(Entry{At: at, What: "paused", Reason: "exposed zones: 1"})
	}
	log.Add(Entry{At: at, What: skippedZone + "zone-99", By: "bob", Reason: "moved"})
	log.Add(Entry{At: at, What: skippedZone + "zone-98", By: "ann", Reason: "sold"})
	log.Add(Entry{At: at, What: "paused", By: "ann", Reason: "lunch"})
	log.Add(Entry{At: at, What: "paused", By: "ann", Reason: "lunch"})
	want := []string{
		"skipped 30 zones, the first zone-0, the last at 12:00:29",
		"paused by the calendar (30 times, the last at 2026-12-22 12:00:00)",
		"paused (30 times, the last at 2026-11-23 12:00:00)",
		"skipped zone zone-99", "skipped zone zone-98", "paused", "paused",
	}
	if len(log) != len(want) {
		t.Fatalf("%d entries: %+v", len(log), log)
	}
	for i, e := range log {
		if e.Text() != want[i] {
			t.Errorf("entry %d says %q, want %q", i, e.Text(), want[i])
		}
	}
	if log[0].At != at || log[1].Reason != "the window opens on day 0" {
		t.Errorf("the first of many is not the one that is shown: %+v", log[:2])
	}
}

func TestReasonsAreKeptWhole(t *testing.T) {
	fits := strings.Repeat("é", maxWords/2)
	if err := (Order{By: "ann", Reason: fits}).checkWords(); err != nil {
		t.Error(err)
	}
	err := Order{Reason: fits + "!"}.checkWords()
	if err == nil || !strings.Contains(err.Error(), "at most 200 bytes; this one has 201") {
		t.Errorf("201 bytes: %v", err)
	}
	for _, o := range []Order{{By: fits + "!"}, {Rate: strings.Repeat("0", 300)}} {
		if o.checkWords() == nil {
			t.Errorf("kept: %+v", o)
		}
	}
}
