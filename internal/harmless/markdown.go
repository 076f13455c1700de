package harmless

import (
	"fmt"
	"regexp"
	"strings"
)

// A character that has a meaning in Markdown is written as a numeric character
// reference. Unlike a backslash or a named reference, that means the same to
// every reader of Markdown, Temporal's UI included, and cannot form a pair with
// a mark around it.
var (
	marks = regexp.MustCompile("[\\\\`*\\[\\]{}|~$<>&]|[!#]$|://|(?i:mailto:|www\\.)")
	// leading matches what would begin a heading, a list, a rule or a definition.
	leading = regexp.MustCompile(`^(?:[#+=:-]|[0-9]+[.)])`)
)

// Markdown makes text that is shown as it is, wherever it stands in Markdown:
// in a paragraph, between marks, in the words of a link, in a cell of a table.
// It cannot leave its place, and is no link.
func Markdown(s string) string {
	s = marks.ReplaceAllStringFunc(Terminal(s), func(m string) string {
		switch {
		case m == "://":
			return reference(":") + "//"
		case len(m) > 1: // mailto: and www.
			return m[:len(m)-1] + reference(m[len(m)-1:])
		}
		return reference(m)
	})
	return leading.ReplaceAllStringFunc(edges(s, "&#95;"), func(m string) string { return m[:len(m)-1] + reference(m[len(m)-1:]) })
}

func reference(s string) string {
	var b strings.Builder
	for _, r := range s {
		fmt.Fprintf(&b, "&#%d;", r)
	}
	return b.String()
}

// Code makes a code span, or plain text where a span cannot hold it.
func Code(s string) string {
	if s = Terminal(s); s == "" || strings.ContainsAny(s, "`|\\<>&{$") {
		return Markdown(s)
	}
	return "`" + s + "`"
}
