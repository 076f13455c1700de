package edgeone

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Lease
		held := func(want bool, when string) {
			t.Helper()
			err := l.Valid()
			if _, isNotHeld := errors.AsType[*NotHeldError](err); (err == nil) != want || isNotHeld == want {
				t.Errorf("%s: %v", when, err)
			}
		}
		held(false, "zero value")

		sent := time.Now()
		time.Sleep(2 * time.Second) // the answer is slow: the lease counts from when the heartbeat was sent
		l.Extend(sent, 10*time.Second)
		time.Sleep(8*time.Second - 1)
		held(true, "last instant")
		time.Sleep(time.Nanosecond)
		held(false, "ran out")

		l.Extend(time.Now(), 10*time.Second)
		l.Extend(sent, 10*time.Second)
		held(true, "an older grant shortens nothing")

		asked := time.Now()
		time.Sleep(time.Second)
		l.Drop()
		held(false, "dropped")
		l.Extend(asked, time.Hour)
		held(false, "granted to a question from before the drop")
		time.Sleep(time.Second)
		l.Extend(time.Now(), time.Second)
		held(true, "granted anew")

		time.Sleep(time.Hour) // frozen
		held(false, "woke up late")
		late, _ := errors.AsType[*NotHeldError](l.Valid())
		if late.Late != time.Hour-time.Second || !strings.Contains(late.Error(), "nothing was sent") {
			t.Errorf("%v", late)
		}
	})
}
