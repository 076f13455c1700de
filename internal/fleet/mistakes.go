package fleet

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Mistake is one thing that is wrong in a fleet file. Line and Column count
// from 1. Column is 0 where only the line is known; Line is 0 too where not
// even that is known.
type Mistake struct {
	File         string
	Line, Column int
	Text         string
}

// String is "file:line:column: text".
func (m Mistake) String() string {
	switch {
	case m.Line == 0:
		return fmt.Sprintf("%s: %s", m.File, m.Text)
	case m.Column == 0:
		return fmt.Sprintf("%s:%d: %s", m.File, m.Line, m.Text)
	}
	return fmt.Sprintf("%s:%d:%d: %s", m.File, m.Line, m.Column, m.Text)
}

// Mistakes is all that is wrong in a fleet file, in the file's order.
type Mistakes []Mistake

// shown is how many mistakes are printed before the rest is only counted.
const shown = 20

// Error has one line for each of the first 20 mistakes, and the number of the
// others.
func (m Mistakes) Error() string {
	var lines []string
	for _, one := range m[:min(len(m), shown)] {
		lines = append(lines, one.String())
	}
	if len(m) > shown {
		lines = append(lines, fmt.Sprintf("and %d more", len(m)-shown))
	}
	return strings.Join(lines, "\n")
}

func (m Mistakes) sorted() Mistakes {
	slices.SortStableFunc(m, func(a, b Mistake) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return m
}

// nearest is the word that was probably meant, or "".
func nearest(word string, known []string) string {
	best, at := "", max(1, len(word)/3)+1
	for _, k := range known {
		if d := len(k) - len(word); d >= at || -d >= at {
			continue
		}
		if d := distance(strings.ToLower(word), strings.ToLower(k)); d < at && d < max(len(word), len(k)) {
			best, at = k, d
		}
	}
	return best
}

// distance is the number of single-byte edits between a and b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// listed names what exists, shortened so that it does not fill the screen.
func listed(names []string) string {
	const most = 8
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
