package harmless

import (
	"bytes"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// JSON escapes what a terminal or an editor would act on, or not show. The
// values of the JSON stay the same.
func JSON(text []byte) []byte {
	var b bytes.Buffer
	run := 0
	for rest := text; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		run = count(run, r)
		switch {
		case seen(r, true) == r && run <= maxMarks:
			b.Write(rest[:size])
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		rest = rest[size:]
	}
	return b.Bytes()
}
