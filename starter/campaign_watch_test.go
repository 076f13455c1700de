package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A person who watches is told at once that nobody answers, and again every
// minute. After ten minutes watching ends. An answer starts these times again.
func TestSilenceIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		var s silence
		rounds := 0
		for ; !s.over(time.Now()); rounds++ {
			s.say(&b, errors.New("no worker answers"))
			time.Sleep(10 * time.Second)
		}
		if lines := strings.Count(b.String(), "no worker answers\n"); lines != 11 || rounds != 61 {
			t.Errorf("%d lines in %d rounds:\n%s", lines, rounds, b.String())
		}
	})
}
