// Package hostile has a table of hostile words, which tests feed to every
// source, and says what must never be seen at a sink.
package hostile

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Word is one hostile text, and what its author hopes for.
type Word struct{ Hope, Text string }

// Words are hostile to terminals, logs, Markdown, HTML, spreadsheets and chats.
func Words() []Word {
	return []Word{
		{"colours", "\x1b[31mred\x1b[0m and \u009b32mgreen"},
		{"clears the screen", "a\x1b[2J\x1b[Hb\x1bcc"},
		{"sets the title", "\x1b]0;owned\x07x\x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x1b\\"},
		{"overwrites its line", "problem\rok     all is well\b\b\b"},
		{"adds a line", "gw-1\nok     hosts: All is well.\r\n| a | b |\u2028c\u2029d\u0085e\vf\fg"},
		{"ends a text", "nul\x00 del\x7f shift\x0e\x0f"},
		{"turns letters around", "gw\u202egnp.exe\u202c \u2066a\u2069 \u200fb\u061c"},
		{"cannot be seen", "ad\u200bmin\u200d\ufeff\u2060\u00ad\u180e \U000e0041\U000e0042 v\ufe0f\U000e0100"},
		{"is no UTF-8", "a\xff\xfeb\x9b31m\xed\xa0\x80"},
		{"climbs out of its row", "Z" + strings.Repeat("\u0301\u0489", 40)},
		{"never ends", strings.Repeat("long ", 2000)},
		{"emphasis", "**bold** _it_ __a__ ~~gone~~ `code` ***x*** a_b"},
		{"a link", "[click](http://evil.example) ![i](http://evil.example/x.png) [ref][1] <http://evil.example> http://evil.example www.evil.example ftp://evil.example mailto:a@evil.example"},
		{"a heading", "# heading"},
		{"a list", "- item"},
		{"another list", "1. item"},
		{"a rule", "---"},
		{"a definition", ": definition"},
		{"a cell", "a | b |\\| c"},
		{"mathematics", "$x^2$ $$y$$ \\(z\\) \\[w\\]"},
		{"placeholders", "{workflowId} {namespace} {#id} {{.}}"},
		{"references", "&lt;b&gt; &#x202e;x &#27; &amp;"},
		{"backslashes", `\*a\* \`},
		{"joins what follows", "look here!"},
		{"a script", `<script>alert(1)</script><img src=x onerror=alert(1)>"'><svg/onload=alert(1)>`},
		{"a comment", "<!-- hidden --> </td></table> ]]>"},
		{"a formula", "=HYPERLINK(\"http://evil.example\",\"x\")"},
		{"more formulas", "+1+1"},
		{"a number", "-2+3"},
		{"an old formula", "@SUM(A1)"},
		{"a formula after a tab", "\t=1+1"},
		{"a formula after a return", "\r=1+1"},
		{"a wide formula", "＝1+1"},
		{"a formula in a cell of its own", "a;=1+1; -2"},
		{"calls everybody", "<!channel> <!here|x> <@U123> <#C1> @channel @here @all"},
		{"a link of Slack's", "<http://evil.example|bank.example>"},
		{"a command", "$(touch /tmp/x) `id` ; rm -rf / && a || b"},
	}
}

// unseen are runes that nobody sees, or that act. They are taken from the
// standards' own lists, and not from the tables that the product uses.
var unseen = [...][2]rune{
	{0, 8},
	{0x0B, 0x1F},
	{0x7F, 0x9F},
	{0xAD, 0xAD},
	{0x34F, 0x34F},
	{0x61C, 0x61C},
	{0x115F, 0x1160},
	{0x180B, 0x180F},
	{0x200B, 0x200F},
	{0x2028, 0x202E},
	{0x2060, 0x206F},
	{0x3164, 0x3164},
	{0xFE00, 0xFE0F},
	{0xFEFF, 0xFEFF},
	{0xFFA0, 0xFFA0},
	{0xFFF0, 0xFFFB},
	{0xE0000, 0xE0FFF},
}

// Seen says what in a text must not reach any sink; "" means nothing. The
// caller decides about line feeds and tabs.
func Seen(text string) string {
	if !utf8.ValidString(text) {
		return fmt.Sprintf("%q is no UTF-8", text)
	}
	for i, r := range text {
		for _, u := range unseen {
			if u[0] <= r && r <= u[1] {
				return fmt.Sprintf("U+%04X in %q", r, text[max(0, i-40):min(len(text), i+40)])
			}
		}
	}
	return ""
}
