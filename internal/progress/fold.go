package progress

import (
	"regexp"
	"strings"
)

// label is what a line begins with that others stand beside: a word and room.
var label = regexp.MustCompile(`^ *\S+ {2,}`)

const (
	maxLabel  = 24 // cells of a label, beside which a line goes on
	furtherIn = 2
)

// Fold breaks lines that are wider than width cells between words; what goes on
// stands beside the line's label, or further in than its beginning. A command
// stays whole, on a line of its own, so that it can be copied, and so does a word.
func Fold(text string, width int) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		body, end := strings.CutSuffix(line, "\n")
		out.WriteString(strings.Join(folded(body, width), "\n"))
		if end {
			out.WriteString("\n")
		}
	}
	return out.String()
}

func folded(line string, width int) []string {
	if cells(line) <= width {
		return []string{line}
	}
	text := strings.TrimLeft(line, " ")
	indent := line[:len(line)-len(text)]
	hang := len(indent) + furtherIn
	if l := label.FindString(line); l != "" && cells(l) <= maxLabel {
		hang = cells(l)
	}
	var lines []string
	now, empty := indent, true
	for _, unit := range units(text) {
		if !empty && cells(now)+cells(strings.TrimRight(unit, " ")) > width {
			lines = append(lines, strings.TrimRight(now, " "))
			now = strings.Repeat(" ", hang)
		}
		now, empty = now+unit, false
	}
	return append(lines, strings.TrimRight(now, " "))
}

// units are what a line may be broken between, each with the room behind it: words,
// and whole commands.
func units(text string) []string {
	var all []string
	for text != "" {
		end := len(text)
		switch {
		case strings.HasPrefix(text, "keywave "), strings.HasPrefix(text, "temporal workflow "):
			if at := strings.Index(text, "; "); at >= 0 {
				end = at + 2
			}
		default:
			if at := strings.IndexByte(text, ' '); at >= 0 {
				end = at + 1
				for end < len(text) && text[end] == ' ' {
					end++
				}
			}
		}
		all, text = append(all, text[:end]), text[end:]
	}
	return all
}
