package rotation

import (
	"fmt"
	"testing"
)

// Two rotations in a row: no late request of the first may undo the second.
func TestTwoRotationsInARow(t *testing.T) {
	pairs := 0
	tell := func(seed uint64, aloud bool) (string, *story) {
		s := randomStory(Rotate, true, none, seed)
		s.aloud, s.keyless = aloud, 0
		s.patient = true
		if wrong := s.tell(); wrong != "" {
			return "first: " + wrong, s
		}
		if s.t.Ended == Exposed || s.t.Ended == Unknown || len(s.t.Hosts) == 0 {
			return "", s
		}
		n := s.sequel()
		pairs++
		if wrong := n.tell(); wrong != "" {
			return fmt.Sprintf("second: %s", wrong), n
		}
		return "", n
	}
	for seed := range uint64(30000) {
		if wrong, _ := tell(seed, false); wrong != "" {
			_, s := tell(seed, true)
			for _, line := range s.said {
				t.Log(line)
			}
			t.Fatalf("%d: %s", seed, wrong)
		}
	}
	t.Log(pairs, "pairs")
}
