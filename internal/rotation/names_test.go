package rotation

import (
	"strings"
	"testing"
)

func TestNamesInWords(t *testing.T) {
	for want, all := range map[string][]Account{"account cn": {"cn"}, "accounts cn and intl": {"cn", "intl"}, "accounts a, b and c": {"a", "b", "c"}} {
		if got := AccountsText(all); got != want {
			t.Errorf("%v in words: %q, want %q", all, got, want)
		}
	}
	if got := Listed[HostName](nil); got != "" {
		t.Errorf("nobody: %q", got)
	}
}

func TestCheckName(t *testing.T) {
	for _, good := range []string{"a", "7", "zone-27q0p0bal192", "quarterly.2026_1-x", strings.Repeat("a", 64)} {
		if err := CheckName(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{
		"", ".", "..", "-f", "_a", "a b", "a/b", "boom/shard/1", "a\nb", "a\x00", "a'b", "é", "a\u202eb", "a%2f", "a\\b", strings.Repeat("a", 65),
	} {
		if err := CheckName(bad); err == nil || !strings.Contains(err.Error(), "is no name; use at most 64 letters") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if CheckNameUpTo(3, "abcd") == nil {
		t.Error("4 letters of 3 are taken")
	}
}
