// Package charset reads text files as editors and spreadsheets write them. It
// takes away a byte order mark before UTF-8. It names another encoding, so that
// people know what to change, but never guesses one: a wrong guess would make
// another word of a name. Pure: bytes in, text out.
package charset

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/simplifiedchinese"
)

// OtherError says in which encoding a file is instead of UTF-8. It shows nothing
// of the file's content.
type OtherError struct {
	// Encoding is for people, such as "UTF-16, not UTF-8".
	Encoding string
	// Line is the first line that is not UTF-8, counted from 1. It is 0 when the
	// whole file is not.
	Line int
}

// Error is the encoding and what to do; the file's name comes before it.
func (e *OtherError) Error() string {
	return fmt.Sprintf("is %s; save it as UTF-8", e.Encoding)
}

// UTF8 is the text of a file without a byte order mark. Its error is an
// *OtherError.
func UTF8(data []byte) (string, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	switch {
	case bytes.HasPrefix(data, []byte{0xff, 0xfe}), bytes.HasPrefix(data, []byte{0xfe, 0xff}), bytes.IndexByte(data, 0) >= 0:
		return "", &OtherError{Encoding: "UTF-16, not UTF-8"}
	case !utf8.Valid(data):
		return "", other(data)
	}
	return string(data), nil
}

func other(data []byte) error {
	good := 0
	for {
		r, n := utf8.DecodeRune(data[good:])
		if r == utf8.RuneError && n == 1 {
			break
		}
		good += n
	}
	e := &OtherError{Encoding: "neither UTF-8 nor GBK", Line: 1 + bytes.Count(data[:good], []byte("\n"))}
	// GB18030 includes GBK and GB 2312. Its decoder writes U+FFFD for bytes that
	// are not in it.
	if text, err := simplifiedchinese.GB18030.NewDecoder().Bytes(data); err == nil && !strings.ContainsRune(string(text), utf8.RuneError) {
		e.Encoding = "GBK (GB 18030), not UTF-8"
	}
	return e
}
