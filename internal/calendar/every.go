package calendar

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ParseEvery reads how often something happens: a number of days, such as 90d,
// or a duration of at least a second.
func ParseEvery(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 12)
		d = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || d < time.Second {
		return 0, fmt.Errorf("%q is not how often; write days, such as 90d, or a duration of at least 1s, such as 12h", s)
	}
	return d.Truncate(time.Second), nil
}

// Every shows a duration as ParseEvery reads it.
func Every(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	return d.String()
}
