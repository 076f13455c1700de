package edgeone

import (
	"testing"
	"time"
)

// A receipt has the date of the answer, even if that refuses. It has none where
// the answer has none.
func TestReceiptIsDated(t *testing.T) {
	date := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	const header = "Date: Tue, 24 Nov 2026 12:00:00 GMT"
	for _, day := range []struct {
		name   string
		answer answer
		want   time.Time
	}{
		{"answered", respond(200, keyAnswer, header), date},
		{"refused", respond(200, `{"Response":{"Error":{"Code":"AuthFailure.SignatureExpire"},"RequestId":"`+requestID+`"}}`, header), date},
		{"by a proxy", respond(502, "<html>", header), date},
		{"no date", respond(200, keyAnswer), time.Time{}},
		{"no date that can be read", respond(200, keyAnswer, "Date: noon"), time.Time{}},
	} {
		t.Run(day.name, func(t *testing.T) {
			_, receipt, _ := connect(t, serve(t, day.answer).endpoint()).Describe(t.Context(), zone)
			if !receipt.Dated.Equal(day.want) {
				t.Errorf("dated %s, want %s", receipt.Dated, day.want)
			}
		})
	}
}
