package deliver

import (
	"encoding/base64"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"keywave/internal/harmless"
	"keywave/internal/rotation"
)

const (
	scrubbed = "[…]"
	maxSaid  = 200
)

var (
	// keyLike matches what a key, its hash or its encoded form looks like.
	keyLike = regexp.MustCompile(`[A-Za-z0-9+/=_-]{20,}`)
	// knownWord matches a part of a known text that may be found inside something
	// that looks like a key.
	knownWord = regexp.MustCompile(`[A-Za-z0-9+/=_-]{8,}`)
	escape    = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`)
)

// Scrub makes what a host printed fit to be shown: harmless, at most 200 bytes,
// without the given keys in any of their forms and without anything that looks
// like a key. Invisible characters are taken out first, because one of them
// could split a key in two.
func Scrub(text string, keys ...rotation.Secret) string {
	return Scrubber{Most: maxSaid}.Scrub(text, keys...)
}

// Scrubber is Scrub with settings.
type Scrubber struct {
	// Known are texts that are no secret, such as the words of the fleet file.
	// Something that looks like a key only because it contains one of them stays.
	Known []string
	// Most is the most bytes to show.
	Most int
}

// Scrub makes a text fit to be shown.
func (s Scrubber) Scrub(text string, keys ...rotation.Secret) string {
	text = escape.ReplaceAllString(text, "")
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			return r
		}
		if unicode.IsSpace(r) {
			return ' '
		}
		return -1
	}, text)
	text = keyLike.ReplaceAllStringFunc(harmless.Terminal(text), s.hide)
	for _, key := range keys {
		for _, form := range forms(key.Expose()) {
			text = strings.ReplaceAll(text, form, scrubbed)
		}
	}
	if len(text) > s.Most {
		text = strings.ToValidUTF8(text[:s.Most-len("…")], "") + "…"
	}
	return text
}

// hide replaces what looks like a key, unless only known texts make it look so.
func (s Scrubber) hide(run string) string {
	rest := run
	for _, word := range s.words() {
		if strings.Contains(word, run) {
			return run
		}
		rest = strings.ReplaceAll(rest, word, " ")
	}
	if keyLike.MatchString(rest) {
		return scrubbed
	}
	return run
}

// words are the known texts cut as keyLike cuts, longest first. Short ones are left
// out: they would cut a key into pieces.
func (s Scrubber) words() []string {
	var all []string
	for _, known := range s.Known {
		all = append(all, knownWord.FindAllString(known, -1)...)
	}
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) })
	return all
}

// forms are the spellings of a key that a program may print, longest first.
func forms(key string) []string {
	if key == "" {
		return nil
	}
	raw := []byte(key)
	lower := hex.EncodeToString(raw)
	all := []string{lower, strings.ToUpper(lower)}
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		all = append(all, strings.TrimRight(encoding.EncodeToString(raw), "="))
	}
	return append(all, key, strings.TrimRight(key, "="))
}

// LastLine keeps the last line that is not blank of what is written to it, cut
// to its first 4 KiB. Its zero value is ready.
type LastLine struct{ line, last []byte }

const maxLine = 4 << 10

// Write never fails.
func (l *LastLine) Write(p []byte) (int, error) {
	for _, b := range p {
		switch {
		case b == '\n' || b == '\r':
			l.end()
		case len(l.line) < maxLine:
			l.line = append(l.line, b)
		}
	}
	return len(p), nil
}

func (l *LastLine) end() {
	if strings.TrimSpace(string(l.line)) != "" {
		l.last = append(l.last[:0], l.line...)
	}
	l.line = l.line[:0]
}

// String is the last line so far, as it was printed: for Scrub, not for people.
func (l *LastLine) String() string {
	line := l.last
	if strings.TrimSpace(string(l.line)) != "" {
		line = l.line
	}
	if len(line) < maxLine {
		return string(line)
	}
	// A line that was cut may end with the first half of a key, which is too
	// short to look like one.
	return strings.TrimRightFunc(string(line), func(r rune) bool { return !unicode.IsSpace(r) })
}
