package rotation

import "testing"

// Each standing is counted in exactly one row, and the rows add up.
func TestStandingsHaveARowEach(t *testing.T) {
	for at, row := range map[Standing]string{NotBegun: "not begun", Alive: "in flight", Dark: "old key dead", Dead: "old key dead", Held: "held"} {
		s := Standings{1, 1, 1, 1}
		s.Count(at)
		for _, r := range s.Rows() {
			if want := map[bool]int{true: 2, false: 1}[r.Name == row]; r.Zones != want {
				t.Errorf("of a zone that is %s, %d are counted as %s", at, r.Zones-1, r.Name)
			}
		}
		if twice := s.Plus(s); s.Sum() != 5 || twice.Sum() != 10 {
			t.Errorf("%+v and %+v do not add up", s, twice)
		}
	}
}
