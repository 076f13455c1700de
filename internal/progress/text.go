package progress

import (
	"strings"
	"unicode"

	"keywave/internal/harmless"
	"keywave/internal/rotation"
	"keywave/workflows"
)

// style is the parameters of an SGR escape sequence (ECMA-48 §8.3.117).
type style string

const (
	plain   style = ""
	bold    style = "1"
	dim     style = "2"
	red     style = "1;31"
	green   style = "32"
	yellow  style = "33"
	magenta style = "35"
	cyan    style = "36"
)

// word is text in one style; line is words that stand side by side.
type (
	word struct {
		style style
		text  string
	}
	line []word
)

// looks is how an outcome is drawn: no two share a glyph.
type looks struct {
	glyph string
	style style
}

func look(o rotation.Outcome) looks {
	switch o {
	case rotation.Done:
		return looks{"█", green}
	case rotation.Unchanged:
		return looks{"x", yellow}
	case rotation.Exposed:
		return looks{"!", red}
	case rotation.Unknown:
		return looks{"?", magenta}
	case rotation.Skipped:
		return looks{"-", cyan}
	case rotation.Pending:
	}
	return looks{"░", dim}
}

func stateStyle(s workflows.State) style {
	switch s {
	case workflows.StateDone:
		return green
	case workflows.StatePaused, workflows.StateEnded, workflows.StateCancelled:
		return red
	case workflows.StateBaking, workflows.StateWaiting:
		return yellow
	case workflows.StateRunning:
	}
	return cyan
}

// part is n things of a bar that look alike.
type part struct {
	looks
	n int
}

func bar(parts []part, room int) line {
	var l line
	ns := make([]int, len(parts))
	for i, p := range parts {
		ns[i] = max(0, p.n)
	}
	for i, n := range shares(ns, room) {
		if n > 0 {
			l = append(l, word{parts[i].style, strings.Repeat(parts[i].glyph, n)})
		}
	}
	return l
}

// shares divides room among ns, none negative, in proportion, and leaves none that is not zero
// without a cell as long as there are cells: one exposed zone in 100,000 is
// seen. Without anything to show it is empty.
func shares(ns []int, room int) []int {
	got := make([]int, len(ns))
	total, left := 0, room
	for _, n := range ns {
		total += n
	}
	if total == 0 {
		return got
	}
	for i, n := range ns {
		if n > 0 {
			got[i] = min(left, max(1, n*room/total))
			left -= got[i]
		}
	}
	for left > 0 {
		most := 0
		for i, n := range ns {
			if n*room-got[i]*total > ns[most]*room-got[most]*total {
				most = i
			}
		}
		got[most]++
		left--
	}
	return giveCells(ns, got)
}

// giveCells takes cells from the largest for those that came too late.
func giveCells(ns, got []int) []int {
	for i, n := range ns {
		if n == 0 || got[i] > 0 {
			continue
		}
		largest := 0
		for j := range got {
			if got[j] > got[largest] {
				largest = j
			}
		}
		if got[largest] > 1 {
			got[largest]--
			got[i]++
		}
	}
	return got
}

// flow sets pieces side by side, two cells apart, and goes on in a new line,
// indented, where width ends.
func flow(width, indent int, pieces ...line) []line {
	var lines []line
	var l line
	used := 0
	for _, p := range pieces {
		n := p.cells()
		switch {
		case used > 0 && used+2+n > width:
			lines = append(lines, l)
			l, used = line{{plain, strings.Repeat(" ", indent)}}, indent
		case used > 0:
			l, used = append(l, word{plain, "  "}), used+2
		}
		l, used = append(l, p...), used+n
	}
	return append(lines, l)
}

// labelled flows pieces beside a label.
func labelled(width int, label string, pieces ...line) []line {
	lines := flow(width-labelCells, 0, pieces...)
	for i, l := range lines {
		lines[i] = append(line{{dim, pad(label, labelCells)}}, l...)
		label = ""
	}
	return lines
}

// paragraph sets lines beside a label, at most most of them.
func paragraph(width int, label string, texts []string, s style, most int) []line {
	var lines []line
	for i, text := range texts[:min(len(texts), most)] {
		if i+1 == most && len(texts) > most {
			text = truncate(text+" "+texts[most], width-labelCells)
		}
		lines = append(lines, line{{dim, pad(label, labelCells)}, {s, text}})
		label = ""
	}
	return lines
}

// wrap breaks text between words, and inside one that is wider than room. An
// empty text has no lines.
func wrap(text string, room int) []string {
	room = max(2, room) // a wide rune needs two
	var lines []string
	l, used := "", 0
	for _, w := range strings.Fields(text) {
		head := prefix(w, room)
		if l != "" && head == w && used+1+cells(w) <= room {
			l, used = l+" "+w, used+1+cells(w)
			continue
		}
		if l != "" {
			lines = append(lines, l)
		}
		for ; head != w; head = prefix(w, room) {
			lines, w = append(lines, head), w[len(head):]
		}
		l, used = w, cells(w)
	}
	if l != "" {
		lines = append(lines, l)
	}
	return lines
}

// wrapCommand is wrap, but a command that would be broken begins a line of its
// own, so that it can be copied where it fits.
func wrapCommand(text string, room int) []string {
	at := strings.Index(text, "keywave ")
	if at <= 0 || cells(text) <= room {
		return wrap(text, room)
	}
	return append(wrap(text[:at], room), wrap(text[at:], room)...)
}

func (l line) cells() int {
	n := 0
	for _, w := range l {
		n += cells(w.text)
	}
	return n
}

// render is the line in at most width cells, without trailing blanks.
func (l line) render(width int, color bool) string {
	var b strings.Builder
	over := l.cells() > width
	for i, w := range l {
		text := w.text
		if over && (line{w}).cells()+1 > width {
			text = prefix(text, max(0, width-1)) + "…"
		}
		if i == len(l)-1 {
			text = strings.TrimRight(text, " ")
		}
		b.WriteString(paint(text, w.style, color))
		if width -= cells(text); over && width <= 0 {
			break
		}
	}
	return strings.TrimRight(b.String(), " ")
}

// paint lets none but its own control sequences through.
func paint(text string, s style, color bool) string {
	text = harmless.Lines(text)
	if !color || s == plain || strings.TrimSpace(text) == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

// pad fills up to n cells on the right, or to -n on the left.
func pad(s string, n int) string {
	if n < 0 {
		return strings.Repeat(" ", max(0, -n-cells(s))) + s
	}
	return s + strings.Repeat(" ", max(0, n-cells(s)))
}

func truncate(s string, width int) string {
	if cells(s) <= width {
		return s
	}
	return prefix(s, max(0, width-1)) + "…"
}

// prefix is as much of s as fits into width cells.
func prefix(s string, width int) string {
	used := 0
	for i, r := range s {
		if used += runeCells(r); used > width {
			return s[:i]
		}
	}
	return s
}

func cells(s string) int {
	n := 0
	for _, r := range s {
		n += runeCells(r)
	}
	return n
}

// runeCells is how many cells a terminal gives to a rune that is harmless.
// Where terminals differ it is the larger number.
func runeCells(r rune) int {
	if r < 0x300 {
		return 1
	}
	if unicode.In(r, unicode.Mn, unicode.Me) {
		return 0
	}
	// East Asian Wide and Fullwidth (Unicode TR11), and blocks with emoji.
	for _, wide := range [...][2]rune{
		{0x1100, 0x115F},
		{0x2300, 0x23FF},
		{0x25FD, 0x25FE},
		{0x2600, 0x27BF},
		{0x2B00, 0x2BFF},
		{0x2E80, 0xA4CF},
		{0xA960, 0xA97F},
		{0xAC00, 0xD7A3},
		{0xF900, 0xFAFF},
		{0xFE10, 0xFE6F},
		{0xFF00, 0xFF60},
		{0xFFE0, 0xFFE6},
		{0x16FE0, 0x18DFF},
		{0x1AFF0, 0x1B2FF},
		{0x1D300, 0x1D37F},
		{0x1F000, 0x1FAFF},
		{0x20000, 0x3FFFD},
	} {
		if r >= wide[0] && r <= wide[1] {
			return 2
		}
	}
	return 1
}
