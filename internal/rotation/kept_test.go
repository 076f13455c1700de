package rotation

import (
	"strings"
	"testing"
)

func TestKeptExposures(t *testing.T) {
	var e Exposures
	for i := range 500 {
		e.Add(int64(100 + 37*i))
	}
	few := Tally{Exposures: e}.Kept().Exposures
	if len(few.Bins) > keptBins || few.Max != e.Max {
		t.Fatalf("%d bins up to %d of %d up to %d", len(few.Bins), few.Max, len(e.Bins), e.Max)
	}
	n := 0
	for _, b := range few.Bins {
		n += b.N
	}
	was, is := e.Summary(), few.Summary()
	if n != 500 || is.P50 < was.P50 || is.P90 < was.P90 || is.P99 < was.P99 || is.P50 > was.P50*11/10 || is.Max != was.Max {
		t.Errorf("%d zones with %+v became %d with %+v", 500, was, n, is)
	}
	one := Exposures{}
	one.Add(85)
	if got := one.coarse(keptBins); len(got.Bins) != 1 || got.Bins[0] != one.Bins[0] {
		t.Errorf("few bins became %+v", got)
	}
}

func TestKeptNotes(t *testing.T) {
	why := strings.Repeat("é", 300)
	note := ShardNote{Halt: why}
	for range 5 {
		note.Attention = append(note.Attention, Attention{Zone: "zone-1", Outcome: Exposed, Why: why})
		note.SetAside = append(note.SetAside, Attention{Host: "gw-1", Why: why})
	}
	whole, one := note.Kept(keptWhole-1), note.Kept(keptWhole)
	if len(whole.Attention) != 5 || len(whole.SetAside) != 5 || len(one.Attention) != 1 || len(one.SetAside) != 1 {
		t.Errorf("kept %+v and %+v", whole, one)
	}
	const most = keptWords + len("…")
	if len(whole.Halt) > most || len(whole.Attention[4].Why) > most || len(note.Attention[0].Why) != len(why) {
		t.Errorf("reasons of %d and %d bytes are kept", len(whole.Halt), len(whole.Attention[4].Why))
	}
}
