package rotation_test

import (
	"testing"

	"keywave/internal/rotation"
)

func TestZoneQueryChooses(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"", "anything", true},
		{"*", "", true},
		{"shop.example.com", "shop.example.com", true},
		{"shop.example.com", "shop.example.com.org", false},
		{"*.example.com", "a.b.example.com", true},
		{"*.example.com", "example.com", false},
		{"*.example.com", "a.example.com.org", false},
		{"shop-*.example.*", "shop-1.example.com", true},
		{"shop-*.example.*", "my-shop-1.example.com", false},
		{"a*b*a", "aba", true},
		{"a*a", "a", false},
		{"*a*a*", "aba", true},
		{"*a*a*", "ab", false},
		{"a**", "a", true},
	} {
		if got := (rotation.ZoneQuery{Name: c.pattern}).Chooses(rotation.ListedZone{Name: c.name}); got != c.want {
			t.Errorf("%q chooses %q: %v", c.pattern, c.name, got)
		}
	}
	q := rotation.ZoneQuery{Tags: map[string]string{"env": "prod", "empty": ""}}
	for want, tags := range map[bool]map[string]string{true: {"env": "prod", "empty": "", "x": "y"}, false: {"env": "prod"}} {
		if q.Chooses(rotation.ListedZone{Tags: tags}) != want {
			t.Errorf("%v", tags)
		}
	}
	if got, want := (rotation.ZoneQuery{Name: "*.example.com", Status: "active", Tags: map[string]string{"b": "2", "a": "1"}}).String(), "name *.example.com, status active, tag a=1, tag b=2"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
