package charset_test

import (
	"errors"
	"strings"
	"testing"

	"keywave/internal/charset"
)

func TestUTF8(t *testing.T) {
	for name, c := range map[string]struct {
		data     string
		encoding string // "" when the text is UTF-8
		line     int
	}{
		"nothing":                   {"", "", 0},
		"ASCII":                     {"id,hosts\n", "", 0},
		"Chinese":                   {"id,name\nz,赛事网\n", "", 0},
		"UTF-8 with a mark":         {"\ufeffid,hosts\n", "", 0},
		"a character that is shown": {"a\ufffd", "", 0},
		"UTF-16, little end first":  {"\xff\xfei\x00d\x00", "UTF-16, not UTF-8", 0},
		"UTF-16, big end first":     {"\xfe\xff\x00i\x00d", "UTF-16, not UTF-8", 0},
		"UTF-16 without a mark":     {"i\x00d\x00", "UTF-16, not UTF-8", 0},
		"GBK":                       {"id,name\nz,\xc9\xcc\xb3\xc7\n", "GBK (GB 18030), not UTF-8", 2},
		"four bytes of GB 18030":    {"\n\n\x81\x39\xee\x39", "GBK (GB 18030), not UTF-8", 3},
		"neither":                   {"caf\xe9\n", "neither UTF-8 nor GBK", 1},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := charset.UTF8([]byte(c.data))
			other, is := errors.AsType[*charset.OtherError](err)
			switch {
			case is != (c.encoding != ""):
				t.Fatalf("got %q, %v", text, err)
			case is && (other.Encoding != c.encoding || other.Line != c.line):
				t.Errorf("got %+v", other)
			case !is && text != strings.TrimPrefix(c.data, "\ufeff"):
				t.Errorf("got %q", text)
			}
		})
	}
}
