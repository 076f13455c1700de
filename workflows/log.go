package workflows

import (
	"fmt"
	"strings"
	"time"
)

// Entry is one thing that people or budgets did to a campaign, or several alike.
type Entry struct {
	At     time.Time `json:"at"`
	What   string    `json:"what"`
	By     string    `json:"by,omitempty"`
	Reason string    `json:"reason,omitempty"`
	// Times is how often it happened, where that is more than once, and Last
	// when it did so last.
	Times int       `json:"times,omitempty"`
	Last  time.Time `json:"last,omitzero"`
}

// Text says what happened, and how often.
func (e Entry) Text() string {
	if e.Times < 2 {
		return e.What
	}
	if name, skip := strings.CutPrefix(e.What, skippedZone); skip {
		return fmt.Sprintf("skipped %d zones, the first %s, the last at %s", e.Times, name, e.Last.UTC().Format(time.TimeOnly))
	}
	return fmt.Sprintf("%s (%d times, the last at %s)", e.What, e.Times, e.Last.UTC().Format(time.DateTime))
}

// What is folded: each zone that is skipped stands in Decided with its reason,
// and the calendar is not a person.
const (
	skippedZone = "skipped zone "
	byCalendar  = "paused by the calendar"
)

// Log is what people and budgets did to a campaign, in its order. No decision of
// a person is ever dropped from it.
type Log []Entry

// Add puts an entry at the end, or folds it into one that says the same.
func (l *Log) Add(e Entry) {
	for i := range *l {
		if old := &(*l)[i]; old.folds(e) {
			old.Times, old.Last = max(1, old.Times)+1, e.At
			return
		}
	}
	*l = append(*l, e)
}

func (e Entry) folds(next Entry) bool {
	switch {
	case strings.HasPrefix(e.What, skippedZone) && strings.HasPrefix(next.What, skippedZone):
		return e.By == next.By && e.Reason == next.Reason
	case e.What == byCalendar:
		return next.What == byCalendar
	}
	return e.By == "" && next.By == "" && e.What == next.What && e.Reason == next.Reason
}

// How many bytes a reason and a name may have: all of them are kept
// for as long as the campaign is.
const (
	maxWords = 200
	maxName  = 100
)

// CheckReason refuses a reason that is too long to be kept whole.
func CheckReason(reason string) error {
	if len(reason) > maxWords {
		return fmt.Errorf("a reason is kept whole, and has at most %d bytes; this one has %d", maxWords, len(reason))
	}
	return nil
}

// checkWords refuses an order whose words are too long to be kept whole.
func (o Order) checkWords() error {
	if len(o.By) > maxName || len(o.Rate) > maxName || len(o.Zone) > maxName || len(o.Host) > maxName {
		return fmt.Errorf("a name has at most %d bytes", maxName)
	}
	return CheckReason(o.Reason)
}
