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
