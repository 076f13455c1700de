package rotation

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"
)

func TestSpanReadsAsText(t *testing.T) {
	for text, d := range map[string]time.Duration{"30s": 30 * time.Second, "5m0s": 5 * time.Minute, "0s": 0, "1h0m0.5s": time.Hour + 500*time.Millisecond} {
		body, err := json.Marshal(map[string]Span{"bake": Span(d)})
		if want := fmt.Sprintf(`{"bake":%q}`, text); err != nil || string(body) != want {
			t.Errorf("%s is written as %s, %v", text, body, err)
		}
		var back map[string]Span
		if err := json.Unmarshal(body, &back); err != nil || back["bake"].D() != d {
			t.Errorf("%s is read as %s, %v", text, back["bake"], err)
		}
	}
	var s Span
	if err := json.Unmarshal([]byte(`"soon"`), &s); err == nil {
		t.Error("soon is a span")
	}
}

// A process works at as many refreshes as pass in little more than half a second.
func TestRefreshesAtOnce(t *testing.T) {
	for limit, want := range map[float64]int{0: 12, 0.5: 2, 2: 2, 5: 3, 10: 6, 20: 12, 40: 24, 100: 24} {
		if got := RefreshesAtOnce(limit); got != want {
			t.Errorf("%v calls a second: %d at once, want %d", limit, got, want)
		}
	}
}
