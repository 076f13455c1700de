package main

import "testing"

func TestWhatIsToldIsComparedWithinItsTurn(t *testing.T) {
	var s summary
	// The machine got twice as slow between the turns, and the third turn was cut off.
	s.whatIsToldCosts([]figure{turn(1, 50, 10), turn(1, 50, 11), turn(1, 50, 12), turn(1, 90, 20), turn(1, 90, 22), turn(1, 90, 26), turn(1, 50, 10)})
	if len(s.goals) != 2 || s.goals[0].got != "1.10 ×, from 1.10 to 1.10" || s.goals[1].got != "1.25 ×, from 1.20 to 1.30" {
		t.Errorf("turns of 1.1 and 1.1, 1.2 and 1.3 became %v", s.goals)
	}
	var none summary
	if none.whatIsToldCosts(nil); len(none.goals) > 0 {
		t.Error("nothing was compared, and a figure came out")
	}
}
