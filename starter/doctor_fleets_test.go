package main

import "testing"

func TestJudgeFleets(t *testing.T) {
	for _, c := range []struct {
		name  string
		marks map[string]string
		level level
		saw   string
	}{
		{"all have it", map[string]string{"a": "1", "b": "1"}, levelOK, "1, as the one given here"},
		{"all have another", map[string]string{"a": "2", "b": "2"}, levelWarn, "the one given here is 1; 2 has a, b"},
		{"some have another", map[string]string{"a": "1", "b": "2", "c": "1"}, levelWarn, "the one given here is 1; 1 has a, c; 2 has b"},
		{"nobody says", nil, levelNote, "no worker says which it has"},
	} {
		if got := judgeFleets("fleets", "1", c.marks); got.Level != c.level || got.Saw != c.saw {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}
