package deliver

import (
	"testing"
	"testing/synctest"
	"time"
)

// A proof of many zones on a busy host takes long, and answers all the while:
// only silence ends it. A put has a fixed time from start to end, whatever it
// says, because every second of it may be an exposure. Other programs' output
// is no answer.
func TestWithin(t *testing.T) {
	const limit = 15 * time.Second
	for name, c := range map[string]struct {
		job  Job
		line string
		ends bool
	}{
		"a proof that answers": {Job{}, "id held zone-1 absent\n", false},
		"a proof of noise":     {Job{}, "welcome\n", true},
		"a put that answers":   {Job{Changes: true}, "id stage wait\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				script := NewTranscript("id")
				ctx, cancel := script.Within(t.Context(), limit, c.job)
				defer cancel()
				for range 10 {
					time.Sleep(limit - time.Second)
					_, _ = script.Write([]byte(c.line))
				}
				synctest.Wait()
				if ended := ctx.Err() != nil; ended != c.ends {
					t.Errorf("ended: %v", ended)
				}
				time.Sleep(limit + time.Second)
				synctest.Wait()
				if ctx.Err() == nil {
					t.Error("silence does not end it")
				}
			})
		})
	}
}
