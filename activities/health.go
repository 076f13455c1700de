package activities

import (
	"context"
	"fmt"
)

// HealthIn names checks of the fleet file.
type HealthIn struct {
	Checks []string `json:"checks"`
}

// HealthOut says what is wrong, in one sentence for each check that was not
// content.
type HealthOut struct {
	Problems []string `json:"problems,omitempty"`
}

// Health asks whether what the account's zones serve is well. A plan names
// checks and does not define them, so that nobody who can write to Temporal can have
// a command run.
func (e *EdgeOne) Health(ctx context.Context, in HealthIn) (HealthOut, error) {
	defer beat(ctx)()
	ctx, cancel := inTime(ctx)
	defer cancel()
	var out HealthOut
	checks := e.Checks()
	for _, name := range in.Checks {
		check, known := checks[name]
		if !known {
			out.Problems = append(out.Problems, fmt.Sprintf("health check %s is not in the fleet file of the account's worker", name))
			continue
		}
		if err := check(ctx); err != nil {
			out.Problems = append(out.Problems, fmt.Sprintf("health check %s failed: %v", name, err))
		}
	}
	return out, nil
}
