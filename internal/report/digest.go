package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"keywave/internal/harmless"
)

// WriteJSON writes the whole report, indented, ending in a line break. What a
// terminal would act on is escaped: the values are what they are.
func (r Report) WriteJSON(w io.Writer) error {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(r); err != nil {
		return err
	}
	_, err := w.Write(harmless.JSON(text.Bytes()))
	return err
}

// Verify reads a report as WriteJSON or WriteHTML wrote it, or as any other tool
// laid the JSON out since, and says whether its digest is that of its content: the SHA-256 of the
// canonical JSON (RFC 8785: members sorted, no blanks, strings in their shortest
// form; every number is an integer) of the object without its member "digest".
// The same by hand: jq -cSj 'del(.digest)' report.json | sha256sum. A digest
// tells a damaged report from a whole one; it is no signature.
func Verify(r io.Reader) (string, error) {
	raw, err := io.ReadAll(r)
	if err != nil {
		return "", fmt.Errorf("report cannot be read: %w", err)
	}
	page := raw
	if raw, err = inside(raw); err != nil {
		return "", err
	}
	var says struct{ Format, Campaign, Digest string }
	if err := json.Unmarshal(raw, &says); err != nil {
		return "", fmt.Errorf("report is not whole: %w", err)
	}
	if says.Format != Format {
		return "", fmt.Errorf("not a report of the form %s: its format is %q", Format, says.Format)
	}
	has, err := digestOf(raw)
	if err != nil {
		return "", err
	}
	if has != says.Digest {
		return "", fmt.Errorf("report was changed after it was made: its digest says %q, its content has %q; make it anew: keywave campaign report %s", says.Digest, has, says.Campaign)
	}
	if len(page) > len(raw) {
		return has, samePage(page, raw)
	}
	return has, nil
}

// samePage says whether a page shows what the report in it says.
func samePage(page, raw []byte) error {
	var r Report
	if err := json.Unmarshal(raw, &r); err != nil {
		return fmt.Errorf("report is not whole: %w", err)
	}
	var again bytes.Buffer
	if err := r.WriteHTML(&again); err != nil {
		return err
	}
	if !bytes.Equal(again.Bytes(), page) {
		return errors.New("the report inside of the page is whole, but the page around it is not what this keywave writes for it: another version wrote it, or it was edited; write it anew: keywave campaign report " + r.Campaign + " --format html")
	}
	return nil
}

// inside is the JSON of an HTML report, or what it is given.
func inside(raw []byte) ([]byte, error) {
	if !bytes.HasPrefix(raw, []byte("<!doctype html>")) {
		return raw, nil
	}
	const opens, closes = `<script type="application/json" id="report">`, "</script>"
	_, after, found := bytes.Cut(raw, []byte(opens))
	body, _, closed := bytes.Cut(after, []byte(closes))
	if !found || !closed {
		return nil, errors.New("report is not whole: the page holds no report")
	}
	return body, nil
}

func (r Report) digest() (string, error) {
	raw, err := json.Marshal(r)
	if err != nil {
		return "", err
	}
	return digestOf(raw)
}

// digestOf takes an object that json accepts.
func digestOf(raw []byte) (string, error) {
	c := canon{in: raw}
	members, err := c.members()
	if err != nil {
		return "", err
	}
	members = slices.DeleteFunc(members, func(m member) bool { return m.key == "digest" })
	sum := sha256.Sum256(object(members))
	return hex.EncodeToString(sum[:]), nil
}

// canon walks JSON that is known to be valid, and gives it back in canonical
// form.
type canon struct {
	in []byte
	at int
}

type member struct {
	key   string
	value []byte
}

// next skips blanks, and what stands between values.
func (c *canon) next() byte {
	for {
		switch c.in[c.at] {
		case ' ', '\t', '\r', '\n', ',', ':':
			c.at++
		default:
			return c.in[c.at]
		}
	}
}

func (c *canon) value() ([]byte, error) {
	switch c.next() {
	case '{':
		members, err := c.members()
		return object(members), err
	case '[':
		return c.array()
	case '"':
		s, err := c.text()
		return quoted(s), err
	}
	start := c.at
	for c.at < len(c.in) && strings.IndexByte(" \t\r\n,]}", c.in[c.at]) < 0 {
		c.at++
	}
	return c.in[start:c.at], nil
}

func (c *canon) members() ([]member, error) {
	c.next()
	c.at++
	var members []member
	for c.next() != '}' {
		key, err := c.text()
		if err != nil {
			return nil, err
		}
		value, err := c.value()
		if err != nil {
			return nil, err
		}
		members = append(members, member{key, value})
	}
	c.at++
	slices.SortFunc(members, func(a, b member) int { return strings.Compare(a.key, b.key) })
	for i := 1; i < len(members); i++ {
		if members[i].key == members[i-1].key {
			return nil, fmt.Errorf("report has the member %q twice in one object: it was changed after it was made", members[i].key)
		}
	}
	return members, nil
}

func (c *canon) array() ([]byte, error) {
	c.at++
	out := []byte{'['}
	for c.next() != ']' {
		value, err := c.value()
		if err != nil {
			return nil, err
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, value...)
	}
	c.at++
	return append(out, ']'), nil
}

func (c *canon) text() (string, error) {
	start := c.at
	for c.at++; c.in[c.at] != '"'; c.at++ {
		if c.in[c.at] == '\\' {
			c.at++
		}
	}
	c.at++
	raw := c.in[start:c.at]
	if !utf8.Valid(raw) {
		return "", errors.New("report is not UTF-8")
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1]), nil
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return s, err
}

func object(members []member) []byte {
	out := []byte{'{'}
	for i, m := range members {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, quoted(m.key)...)
		out = append(out, ':')
		out = append(out, m.value...)
	}
	return append(out, '}')
}

// quoted is RFC 8785 §3.2.2.2.
func quoted(s string) []byte {
	out := make([]byte, 0, len(s)+2)
	out = append(out, '"')
	for _, b := range []byte(s) {
		switch {
		case b == '"' || b == '\\':
			out = append(out, '\\', b)
		case b == '\b':
			out = append(out, '\\', 'b')
		case b == '\f':
			out = append(out, '\\', 'f')
		case b == '\n':
			out = append(out, '\\', 'n')
		case b == '\r':
			out = append(out, '\\', 'r')
		case b == '\t':
			out = append(out, '\\', 't')
		case b < 0x20:
			out = fmt.Appendf(out, `\u%04x`, b)
		default:
			out = append(out, b)
		}
	}
	return append(out, '"')
}
