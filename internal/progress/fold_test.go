package progress_test

import (
	"strings"
	"testing"

	"keywave/internal/progress"
)

func TestFold(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"short lines stay": {"a  b\n\nc", "a  b\n\nc"},
		"between words":    {"one two three four five six\nseven\n", "one two three four\n  five six\nseven\n"},
		"beside its label": {"reason    the hosts are slow today\n", "reason    the hosts\n          are slow\n          today\n"},
		"further in":       {"  zone-1 host gw-1: the host holds nothing", "  zone-1 host gw-1:\n    the host holds\n    nothing"},
		"a command is whole": {
			"do next: keywave campaign resume spring; or wait", "do next:\n  keywave campaign resume spring;\n  or wait",
		},
		"a word is whole": {"look at http://127.0.0.1:8233/namespaces/default", "look at\n  http://127.0.0.1:8233/namespaces/default"},
		"wide letters":    {"区域 区域 区域 区域 区域", "区域 区域 区域 区域\n  区域"},
	} {
		if got := progress.Fold(c.text, 20); got != c.want {
			t.Errorf("%s:\n%s\nwant:\n%s", name, got, c.want)
		}
	}
	if got := progress.Fold(strings.Repeat("word ", 40), 80); strings.Count(got, "\n") != 2 {
		t.Errorf("%q", got)
	}
}
