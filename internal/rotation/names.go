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

// CheckNameUpTo is CheckName of a name to which something will be added.
func CheckNameUpTo(longest int, s string) error {
	if s == "" || len(s) > longest || strings.Trim(s, nameLetters) != "" || strings.IndexByte("_.-", s[0]) >= 0 {
		return fmt.Errorf("%.80q is no name; use at most %d letters, digits and _.- with a letter or digit first", s, longest)
	}
	return nil
}
