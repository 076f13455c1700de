package deliver

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"keywave/internal/rotation"
)

// A put that was begun waits five seconds for its key: then its input ends.
func TestBegunWaitsForSoLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Courier{Host: "gw-1", Settings: Settings{Path: "/keys/{zone}.key"}, Channel: patient{}}
		began := time.Now()
		b := c.Begin(t.Context(), "zone-1", nil).(*begun)
		<-b.ended
		if took := time.Since(began); took != waitsFor {
			t.Errorf("its input ended after %s", took)
		}
		// What comes too late goes as a put of its own.
		if _, err := b.Put(t.Context(), rotation.NewSecret("key")); !errors.Is(err, errPut) {
			t.Errorf("got %v", err)
		}
	})
}

// One that is closed ends at once.
func TestBegunIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Courier{Host: "gw-1", Settings: Settings{Path: "/keys/{zone}.key"}, Channel: patient{}}
		began := time.Now()
		b := c.Begin(t.Context(), "zone-1", nil).(*begun)
		synctest.Wait()
		b.Close()
		<-b.ended
		if took := time.Since(began); took != 0 {
			t.Errorf("it ended after %s", took)
		}
	})
}

var errPut = errors.New("put")

// patient runs the script that waits, and fails for all others.
type patient struct{}

func (patient) Says(why string) string { return why }
func (patient) Limit() time.Duration   { return time.Minute }

func (patient) Run(ctx context.Context, build func(string) Job) (Answer, error) {
	j := build(NewAttempt())
	if !j.Waits {
		return Answer{}, errPut
	}
	j.Then(ctx, NewTranscript(j.Attempt), io.Discard)
	return Answer{Verdict: "cut"}, nil
}
