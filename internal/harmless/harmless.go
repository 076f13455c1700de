// Package harmless makes the words of others fit for the places where people
// read them. Such words are a zone's name, a host's banner, the name of an
// algorithm from an SSH peer that nobody has authenticated, EdgeOne's messages,
// the reason that somebody gave. Each may hold control characters that steer a
// terminal, marks that turn the order of the letters around, letters that
// cannot be seen, Markdown, HTML or a formula.
//
// There is one function for each sink, and a sink calls it at its door. What
// the function returns is one line of text that shows what it is and does
// nothing. Bytes that must stay as they are (JSON) are escaped instead. Pure: a
// text in, a text out.
package harmless

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits for one text of others.
const (
	maxWord    = 4 << 10  // bytes
	maxLog     = 16 << 10 // bytes; a stack is long
	maxSummary = 190      // bytes; Temporal takes 200
	maxMarks   = 4        // combining marks on one letter
)

// control matches the control sequences of ECMA-48 that terminals know best, so
// that a coloured word does not leave its parameters behind.
var control = regexp.MustCompile(`(?:\x1b\[|\x{9b})[0-?]*[ -/]*[@-~]`)

// Terminal makes one line for a terminal. A control character, a line break or
// a blank becomes one blank. What cannot be seen is taken out. What is no
// letter of any script, or no UTF-8, becomes U+FFFD.
func Terminal(s string) string { return bounded(line(s), maxWord) }

// Log makes one line for a log, as Terminal does, because people read logs on
// terminals.
func Log(s string) string { return bounded(line(s), maxLog) }

func line(s string) string { return strings.Join(strings.Fields(clean(s, false)), " ") }

// Lines makes text of several lines harmless for a terminal or a file: as
// Terminal, but line feeds, tabs and blanks stay.
func Lines(s string) string { return clean(s, true) }

// clean drops and replaces single runes. With layout, line feeds and tabs stay.
func clean(s string, layout bool) string {
	if plainASCII(s, layout) {
		return s
	}
	if strings.ContainsAny(s, "\x1b\u009b") {
		s = control.ReplaceAllString(s, "")
	}
	var b strings.Builder
	marks := 0
	for _, r := range s { // an invalid byte is read as U+FFFD
		kept := seen(r, layout)
		if marks = count(marks, r); kept >= 0 && marks <= maxMarks {
			b.WriteRune(kept)
		}
	}
	return b.String()
}

// plainASCII is true for almost every text, which then needs no work.
func plainASCII(s string, layout bool) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && !(layout && (c == '\n' || c == '\t')) || c > '~' {
			return false
		}
	}
	return true
}

// seen is the rune that is shown for a rune; -1 means nothing.
func seen(r rune, layout bool) rune {
	switch {
	case layout && (r == '\n' || r == '\t' || r == '\u00a0'):
		return r
	case unicode.IsSpace(r) || unicode.IsControl(r) || r == '\u2800':
		return ' '
	case unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point):
		return -1
	case !unicode.IsGraphic(r):
		return utf8.RuneError
	}
	return r
}

// count is how many combining marks there are in a row, with r.
func count(marks int, r rune) int {
	if r >= 0x300 && unicode.In(r, unicode.Mn, unicode.Me) {
		return marks + 1
	}
	return 0
}

// bounded is s, cut to at most most bytes.
func bounded(s string, most int) string {
	if len(s) <= most {
		return s
	}
	n := most - len("…")
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// CSV makes a cell of a table that people open in a spreadsheet. A cell that a
// spreadsheet would calculate gets an apostrophe in front. This holds also for
// a spreadsheet that splits cells at semicolons.
func CSV(s string) string { return formula.ReplaceAllString(Terminal(s), "$1'$2") }

// formula matches the beginnings of formulas, also in the wide forms of East
// Asian keyboards.
var formula = regexp.MustCompile(`(^|;\s*)([=+@＝＋－＠-])`)

// Slack makes a part of a message for Slack, and for chats that imitate it,
// some of which read Markdown. The text mentions nobody, is no link, and
// formats nothing.
func Slack(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(unformatted(s))
}

// Chat makes a part of a plain message for the group robots of WeCom, DingTalk
// and Feishu, as Slack does. Each of these makes a tag, a mention or a link of
// some texts.
func Chat(s string) string {
	return strings.NewReplacer("<", "‹", ">", "›").Replace(unformatted(s))
}

func unformatted(s string) string {
	s = address.ReplaceAllString(mention.ReplaceAllString(Terminal(s), "$1@ "), "$1[:]$2")
	s = strings.NewReplacer("](", "] (", "`", "'", "*", "∗", "~", "∼").Replace(s)
	return edges(s, "＿")
}

// address matches what some readers turn into a link by themselves.
var address = regexp.MustCompile(`(?i)(mailto):|:(//)`)

// mention is an @ that begins a word.
var mention = regexp.MustCompile(`(^|[^\pL\pN])@\b`)

// edges replaces underscores at the edges of a word, because only those can
// begin or end emphasis.
func edges(s, by string) string {
	if !strings.Contains(s, "_") {
		return s
	}
	var b strings.Builder
	before := ' '
	for i, r := range s {
		if r != '_' {
			b.WriteRune(r)
			before = r
			continue
		}
		after, _ := utf8.DecodeRuneInString(strings.TrimLeft(s[i:], "_"))
		if inWord(before) && inWord(after) {
			b.WriteRune('_')
		} else {
			b.WriteString(by)
		}
	}
	return b.String()
}

func inWord(r rune) bool { return r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r)) }

// Summary makes a summary of a workflow, an activity or a timer. Temporal's UI
// shows it as Markdown in one place and as plain text in another. So a
// character that has a meaning in Markdown is replaced by one that looks alike.
// It has at most 190 bytes.
func Summary(s string) string {
	s = address.ReplaceAllString(Terminal(s), "$1: $2")
	s = strings.NewReplacer("`", "'", "*", "∗", "~", "∼", "<", "‹", ">", "›", "[", "(", "]", ")", "{", "(", "}", ")",
		"|", "/", `\`, "/", "$", "＄", "&", "＆").Replace(s)
	s = leading.ReplaceAllString(edges(s, "＿"), "· $0")
	return bounded(s, maxSummary)
}
