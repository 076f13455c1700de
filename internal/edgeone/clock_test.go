package edgeone

import (
	"slices"
	"testing"
	"time"

	"keywave/internal/rotation"
)

// The log says at once that a clock is off, again every five minutes, and when
// it is right again. An answer without a date says nothing about the clock.
func TestClockIsToldOf(t *testing.T) {
	now := time.Date(2026, 11, 27, 6, 0, 0, 0, time.UTC)
	var told []time.Duration
	c := clock{tell: func(ahead time.Duration) { told = append(told, ahead.Round(time.Second)) }}
	for _, s := range []struct {
		after time.Duration
		off   time.Duration // how much EdgeOne's clock is ahead of this machine's
	}{
		{0, 0},
		{time.Second, 29 * time.Second},
		{time.Second, 40 * time.Second},
		{time.Minute, 40 * time.Second},
		{5 * time.Minute, 41 * time.Second},
		{time.Second, 0},
		{time.Second, 0},
		{time.Second, -50 * time.Second},
	} {
		now = now.Add(s.after)
		c.saw(rotation.Receipt{Signed: now, Dated: now.Add(s.off)}, now)
		c.saw(rotation.Receipt{Signed: now}, now)
	}
	if want := []time.Duration{-40 * time.Second, -41 * time.Second, 0, 49 * time.Second}; !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
}

// Only EdgeOne's own answers give EdgeOne's time. An answer that refuses gives
// it too.
func TestClockIsEdgeOnes(t *testing.T) {
	date := "Date: " + time.Now().Add(100*time.Second).UTC().Format(time.RFC1123[:len(time.RFC1123)-3]) + "GMT"
	for _, day := range []struct {
		name   string
		answer answer
		known  bool
	}{
		{"answered", respond(200, keyAnswer, date), true},
		{"refused", respond(200, `{"Response":{"Error":{"Code":"AuthFailure.SignatureExpire"},"RequestId":"`+requestID+`"}}`, date), true},
		{"by a proxy", respond(502, "<html>", date), false},
	} {
		t.Run(day.name, func(t *testing.T) {
			c := connect(t, serve(t, day.answer).endpoint())
			_, _, _ = c.Describe(t.Context(), zone)
			ahead, known := c.Clock()
			if known != day.known || known && (ahead+100*time.Second).Abs() > 10*time.Second {
				t.Errorf("ahead by %s, known %t", ahead, known)
			}
		})
	}
}
