package sim

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestALineCutShortByAKillNeverHappened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	const whole = `{"id":"zone-a","key":"one","at":"2026-01-02T03:04:05Z"}` + "\n"
	if err := os.WriteFile(path, []byte(whole+`{"id":"zone-a","key":"tw`), 0o600); err != nil {
		t.Fatal(err)
	}
	for want := 1; want <= 2; want++ {
		var seen []entry
		s, err := openStore(path, func(e entry) { seen = append(seen, e) })
		if err != nil || len(seen) != want || seen[0].Key != "one" {
			t.Fatalf("it replays %+v, %v", seen, err)
		}
		if err := s.append(entry{ID: "zone-a", Key: "three"}); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestADamagedStateIsRefusedWithItsPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(path, []byte("{}\nnonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openStore(path, func(entry) {}); err == nil || !strings.Contains(err.Error(), "line 2") || !strings.Contains(err.Error(), path) {
		t.Errorf("the error is %v", err)
	}
}
