package rotation

import (
	"fmt"
	"strings"
)

const (
	nameLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
	longestName = 64
)

// CheckName is the one rule for the names of accounts, locations, hosts, zones,
// plans, campaigns and schedules. They become parts of workflow IDs, task queues,
// paths and queries, in which a slash or a quote would make one name of two.
func CheckName(s string) error { return CheckNameUpTo(longestName, s) }

// Listed is "a", "a and b", "a, b and c"; empty for none.
func Listed[S ~string](all []S) string {
	words := make([]string, len(all))
	for i, s := range all {
		words[i] = string(s)
	}
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}

// AccountsText is "account a", "accounts a and b".
func AccountsText(all []Account) string {
	if len(all) == 1 {
		return "account " + string(all[0])
	}
	return "accounts " + Listed(all)
}

// CheckNameUpTo is CheckName of a name to which something will be added.
func CheckNameUpTo(longest int, s string) error {
	if s == "" || len(s) > longest || strings.Trim(s, nameLetters) != "" || strings.IndexByte("_.-", s[0]) >= 0 {
		return fmt.Errorf("%.80q is no name; use at most %d letters, digits and _.- with a letter or digit first", s, longest)
	}
	return nil
}
